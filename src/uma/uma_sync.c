/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_sync.c — the background sync thread: one per process, started with the first attachment, ended when nothing is attached
 * any more: the kernel looks descriptors up faster in a process of one thread. Layer uma.
 *
 * It sleeps without end while no file has anything to do; a write, or a commit, wakes it. While some file is busy it looks
 * every half idle time, at most 100 ms: a file that was quiet for `idle` is written back and trimmed; a file that is never synced is
 * committed every `commit_interval`; a pending mtime is delivered within a second. All signals but those of
 * faults are blocked in it.
 */
#include "base/conf.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/thread.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#define TICK_LEAST_MS 5u
#define TICK_MOST_MS 100u
#define TIMES_MS 800u /* with a tick less than the second that is promised */
#define LINGER_MS 20u /* a program that attaches again soon keeps its thread */
#define STACK_BYTES (256u * 1024)
#define ALONE_MS 50u        /* how often it looks whether it is the last one */
#define ALONE_THREADS 2u    /* it, and the first thread, which the kernel keeps as a zombie */
#define TASK_LINKS 2u       /* of /proc/self/task, beside one for each thread */
#define STOP_PATIENCE 5000u /* waits of 1 ms for the thread to end its round */

enum sync_state { SYNC_NONE, SYNC_STARTING, SYNC_RUNNING, SYNC_STOPPED }; /* STOPPED, or forbidden */

/* The thread. `asleep` and `stop` are futex words: it sleeps on the first without end while that is 1, and on the second
 * for a tick while that is 0, so that an exit need not wait. All fields are atomic: writers wake it from any thread without
 * a lock. */
static struct sync_thread {
    _Atomic uint32_t asleep;
    _Atomic uint32_t state; /* enum sync_state; a futex word for who waits for the end */
    _Atomic uint32_t stop;
    _Atomic uint32_t tid;        /* 0: not known yet */
    _Atomic uint32_t walks;      /* that were begun, by whichever thread */
    _Atomic uint32_t main_ended; /* the process lives as long as its other threads: we must not be the last one */
} sync_thread;

/* Ends an endless sleep. */
static void sync_rouse(void)
{
    atomic_store_explicit(&sync_thread.asleep, 0, memory_order_seq_cst);
    sys_futex((uint32_t *)&sync_thread.asleep, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void uma_sync_review(void)
{
    /* seq_cst: the thread stores this before it walks; one that still met the file is seen asleep */
    if (atomic_load_explicit(&sync_thread.asleep, memory_order_seq_cst))
        sync_rouse();
}

void uma_sync_wake(struct uma *uma)
{
    atomic_store_explicit(&uma->dirty, 1, memory_order_relaxed);
    /* seq_cst with the thread's store to asleep and its later look at active: one of us sees the other */
    atomic_store_explicit(&uma->active, 1, memory_order_seq_cst);
    uma_sync_review();
}

static bool uncommitted(struct index_shared *shared)
{
    return atomic_load_explicit(&shared->dirty_epoch, memory_order_acquire) >=
           atomic_load_explicit(&shared->durable, memory_order_acquire);
}

bool uma_flush(struct uma *uma, struct index_record *record, bool commit, bool write_back)
{
    uma_show_appended(uma, record, UMA_SHOW_QUIET);
    /* where a sync commits nothing, what is in the log is committed so that it can be written back */
    commit = commit || (uncommitted(uma_shared(uma)) && !uma_keeps_commits(uma));
    bool committed = commit && uma_commit_unasked(uma, record) == 0;
    if (write_back && uma_writeback_quietly(uma, record, UINT64_MAX, false) >= 0)
        uma_trim(uma, record);
    uma_show_appended(uma, record, UMA_SHOW_QUIET); /* behind what is committed, which is in the file now */
    return committed;
}

/* One look at one file after `ms` more; whether it needs another. */
static bool tick_uma(struct uma *uma, uint32_t ms)
{
    const struct conf *conf = conf_get();
    struct index_shared *shared = uma_shared(uma);
    uint32_t mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH || mode == INDEX_MODE_FAILED)
        return false;
    bool active = atomic_exchange_explicit(&uma->active, 0, memory_order_seq_cst);
    uma->quiet_ms = active ? 0 : uma->quiet_ms + ms;
    bool pending = atomic_load_explicit(&shared->times_pending, memory_order_relaxed) && !uma_is_frozen(uma);
    uma->times_ms = pending ? uma->times_ms + ms : 0;
    if (uma->times_ms >= TIMES_MS) {
        struct index_record *record = uma_claim(uma);
        uma_show_appended(uma, record, UMA_SHOW_BUSY);
        uma_times_deliver(uma, record);
        uma_unclaim(uma, record);
        uma->times_ms = 0;
        pending = false;
    }
    if (!uma_is_frozen(uma))
        uma_announce(uma);
    bool never_synced = !atomic_load_explicit(&shared->synced, memory_order_relaxed) &&
                        !atomic_load_explicit(&shared->atomic, memory_order_relaxed);
    bool waiting = never_synced && uncommitted(shared);
    uma->unsynced_ms = waiting ? uma->unsynced_ms + ms : 0;
    bool dirty = atomic_load_explicit(&uma->dirty, memory_order_relaxed);
    bool commit = waiting && uma->unsynced_ms >= conf->commit_interval_ms;
    bool flush = dirty && uma->quiet_ms >= conf->idle_ms;
    if (commit || flush) {
        struct index_record *record = uma_claim(uma);
        if (uma_flush(uma, record, commit, flush)) {
            waiting = false;
            uma->unsynced_ms = 0;
        }
        uma_unclaim(uma, record);
        if (flush && !waiting) { /* what is uncommitted still waits for a sync, which will wake us */
            atomic_store_explicit(&uma->dirty, 0, memory_order_relaxed);
            dirty = false;
        }
    }
    bool review = mode == INDEX_MODE_IN_PLACE && uma_mapped_review(uma, ms);
    return active || dirty || pending || waiting || review;
}

/* Whether some file needs another look; *any: whether there is any. */
static bool tick_all(struct uma_walk *walk, uint32_t ms, bool *any)
{
    bool more = false;
    struct uma *uma = NULL;
    walk->bucket = 0;
    walk->number = atomic_fetch_add_explicit(&sync_thread.walks, 1, memory_order_relaxed) + 1;
    *any = false;
    while ((uma = uma_registry_next(uma, walk))) {
        more = tick_uma(uma, ms) || more;
        *any = true;
    }
    return more;
}

/* The thread is not needed: true, and it is no more. Who attaches a file stores that and then looks at the state; the thread
 * stores the state and then looks for files: all seq_cst, so that one sees the other. */
static bool sync_leave(struct uma_walk *walk)
{
    uint32_t running = SYNC_RUNNING, none = SYNC_NONE;
    bool any;
    atomic_store_explicit(&sync_thread.asleep, 0, memory_order_seq_cst);
    if (!atomic_compare_exchange_strong_explicit(&sync_thread.state, &running, SYNC_NONE, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return false;
    tick_all(walk, 0, &any);
    return !any || !atomic_compare_exchange_strong_explicit(&sync_thread.state, &none, SYNC_RUNNING,
                                                            memory_order_seq_cst, memory_order_relaxed);
}

/* Whether the application has no thread any more. Without /proc: no. */
static bool sync_is_alone(void)
{
    struct stat st;
    const char *path = "/proc/self/task";
    int at = place_at(&path);
    return atomic_load_explicit(&sync_thread.main_ended, memory_order_acquire) && sys_fstatat(at, path, &st, 0) == 0 &&
           st.st_nlink <= TASK_LINKS + ALONE_THREADS;
}

/* A process ends with its last thread: as such this one lets libc call exit. */
static void *sync_main(void *arg)
{
    (void)arg;
    atomic_store_explicit(&sync_thread.tid, (uint32_t)sys_gettid(), memory_order_release);
    uint32_t ms = conf_get()->idle_ms / 2;
    ms = ms < TICK_LEAST_MS ? TICK_LEAST_MS : ms > TICK_MOST_MS ? TICK_MOST_MS : ms;
    const struct timespec tick = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    const struct timespec alone_tick = {.tv_nsec = ALONE_MS * 1000000L};
    struct uma_walk walk = {0};
    const struct timespec linger = {.tv_nsec = LINGER_MS * 1000000L};
    uint32_t passed = 0; /* a sleep without end counts as no time: nothing was waiting */
    bool lingered = false;
    while (!atomic_load_explicit(&sync_thread.stop, memory_order_acquire) && !sync_is_alone()) {
        atomic_store_explicit(&sync_thread.asleep, 1, memory_order_seq_cst);
        bool any, more = tick_all(&walk, passed, &any);
        bool ended = atomic_load_explicit(&sync_thread.main_ended, memory_order_acquire);
        passed = ended ? ALONE_MS : ms;
        if (!any && !ended && lingered && sync_leave(&walk))
            return NULL;
        lingered = !any && !ended;
        if (lingered) {
            atomic_store_explicit(&sync_thread.asleep, 0, memory_order_seq_cst);
            sys_futex((uint32_t *)&sync_thread.stop, FUTEX_WAIT_PRIVATE, 0, &linger);
            passed = LINGER_MS;
        } else if (more || ended) {
            atomic_store_explicit(&sync_thread.asleep, 0, memory_order_seq_cst);
            sys_futex((uint32_t *)&sync_thread.stop, FUTEX_WAIT_PRIVATE, 0, ended ? &alone_tick : &tick);
        } else if (!atomic_load_explicit(&sync_thread.stop, memory_order_acquire)) {
            sys_futex((uint32_t *)&sync_thread.asleep, FUTEX_WAIT_PRIVATE, 1, NULL);
        }
    }
    atomic_store_explicit(&sync_thread.state, SYNC_STOPPED, memory_order_release);
    /* not by the table of calls, which a test may change now */
    rawsys_invoke_kernel(SYS_futex, (long)&sync_thread.state, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
    return NULL;
}

void uma_sync_start(void)
{
    uint32_t expected = SYNC_NONE;
    if (atomic_load_explicit(&sync_thread.state, memory_order_seq_cst) != SYNC_NONE || /* see sync_leave */
        !atomic_compare_exchange_strong_explicit(&sync_thread.state, &expected, SYNC_STARTING, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return;
    atomic_store_explicit(&sync_thread.tid, 0, memory_order_relaxed);
    atomic_store_explicit(&sync_thread.state, SYNC_RUNNING, memory_order_release); /* before the thread says STOPPED */
    int error = thread_start(sync_main, NULL, STACK_BYTES);
    if (error) /* without it everything happens at sync and close; tried again at the next attachment */
        atomic_store_explicit(&sync_thread.state, SYNC_NONE, memory_order_release);
}

void uma_main_ended(void)
{
    /* release, before the futex word changes: the thread either sees it or does not fall asleep */
    atomic_store_explicit(&sync_thread.main_ended, 1, memory_order_release);
    sync_rouse();
}

/* A millisecond of patience. */
static void sync_sleep(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    rawsys(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
}

void uma_sync_stop(void)
{
    atomic_store_explicit(&sync_thread.stop, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&sync_thread.state, memory_order_acquire) != SYNC_RUNNING)
        return;
    sys_futex((uint32_t *)&sync_thread.stop, FUTEX_WAKE_PRIVATE, 1, NULL);
    sync_rouse();
    const struct timespec most = {.tv_nsec = 1000000}; /* one that leaves by itself wakes nobody */
    for (unsigned i = 0; i < STOP_PATIENCE; i++) {
        if (atomic_load_explicit(&sync_thread.state, memory_order_acquire) != SYNC_RUNNING)
            break;
        sys_futex((uint32_t *)&sync_thread.state, FUTEX_WAIT_PRIVATE, SYNC_RUNNING, &most);
    }
}

void uma_sync_after_fork_child(void)
{
    atomic_store_explicit(&sync_thread.state, SYNC_NONE, memory_order_relaxed);
    atomic_store_explicit(&sync_thread.asleep, 0, memory_order_relaxed);
    atomic_store_explicit(&sync_thread.stop, 0, memory_order_relaxed);
    atomic_store_explicit(&sync_thread.main_ended, 0, memory_order_relaxed);
    atomic_store_explicit(&sync_thread.tid, 0, memory_order_relaxed);
}

/* The kernel counts a thread until it is gone. */
static bool sync_is_gone(pid_t tid)
{
    return sys_tgkill(sys_getpid(), tid, 0) == -ESRCH;
}

/* The thread's number, once it has begun. */
static pid_t sync_tid(void)
{
    pid_t tid = 0;
    for (unsigned i = 0; i < STOP_PATIENCE && !tid; i++) {
        tid = (pid_t)atomic_load_explicit(&sync_thread.tid, memory_order_acquire);
        if (!tid)
            sync_sleep();
    }
    return tid;
}

/* One that has left by itself. */
static void sync_wait_for_last(void)
{
    pid_t tid = (pid_t)atomic_load_explicit(&sync_thread.tid, memory_order_acquire);
    for (unsigned i = 0; tid && i < STOP_PATIENCE && !sync_is_gone(tid); i++)
        sync_sleep();
}

bool uma_sync_pause(void)
{
    if (atomic_load_explicit(&sync_thread.state, memory_order_acquire) != SYNC_RUNNING) {
        sync_wait_for_last();
        return false;
    }
    pid_t tid = sync_tid();
    uma_sync_stop();
    for (unsigned i = 0; i < STOP_PATIENCE && !sync_is_gone(tid); i++)
        sync_sleep();
    atomic_store_explicit(&sync_thread.stop, 0, memory_order_seq_cst);
    if (!sync_is_gone(tid))
        return false;
    atomic_store_explicit(&sync_thread.tid, 0, memory_order_relaxed);
    return true;
}

void uma_sync_resume(void)
{
    uint32_t stopped = SYNC_STOPPED;
    if (!uma_exiting() && atomic_compare_exchange_strong_explicit(&sync_thread.state, &stopped, SYNC_NONE,
                                                                  memory_order_acq_rel, memory_order_relaxed))
        uma_sync_start();
}

void uma_sync_forbid(void)
{
    atomic_store_explicit(&sync_thread.state, SYNC_STOPPED, memory_order_relaxed);
}
