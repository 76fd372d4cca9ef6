/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_lease.c — programs without the library read a file whole (configuration key lease). Layer uma; called at attach and
 * detach, and by a thread of its own.
 *
 * The kernel grants a write lease on a file that has one open description alone, and makes whoever opens it then wait for
 * the holder. So with lease:1 `data_fd` is a duplicate of the application's descriptor instead of an open of our own, where
 * that can be written and does not append. Its lease is broken by a foreign open: we commit, write back and *freeze* the
 * file, then let the opener go on. While the file is frozen the kernel's file does not change: no line has its home there
 * (home_usable), nothing is written back, trimmed or shown, no time is delivered; new lines are kept in the log. The file
 * thaws when the lease can be had again, that is when the foreigners have closed it.
 *
 *     OFF     no lease: not asked for, O_ATOMIC (a commit that nobody asked for breaks its promise), detached, handed over
 *     WANTED  this process has several descriptions, or others share the file: not frozen, and tried again now and then
 *     HELD    nobody else has the file open
 *     LENT    somebody has: frozen
 *
 * The last close thaws: it cannot wait for readers. The break is told by a realtime signal to our thread, which has it
 * blocked and reads it from a signalfd; no other thread ever gets it, and an open that breaks our own lease waits for that
 * thread alone.
 */
#include "base/conf.h"
#include "base/highfd.h"
#include "base/rawsys.h"
#include "base/thread.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

#define LEASE_SIGNAL 61 /* a realtime signal: thread-directed, blocked where it arrives */
#define LEASE_LOOK_MS 50
/* At least so long: who opened with O_NONBLOCK was told EAGAIN, and is to find it open at the next try. */
#define LEASE_LENT_MS 2000u
#define LEASE_MOST 64u /* files that are looked at in one round */
#define STACK_BYTES (256u * 1024)

enum lease_thread_state { LEASE_NONE, LEASE_STARTING, LEASE_RUNNING, LEASE_FORBIDDEN };

/* The thread. Written by whoever starts it, and by itself. */
static struct lease_thread {
    _Atomic uint32_t state; /* enum lease_thread_state */
    _Atomic uint32_t tid;   /* 0: not running yet; a futex word */
    _Atomic uint32_t lent;  /* files that are WANTED or LENT: it looks after them now and then */
    _Atomic int signal_fd;
} lease_thread;

/* ---- freezing ---- */

/* The file is whole, and the kernel's file stays as it is from now on. */
static int freeze(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_gate_close(uma, record);
    int error = 0;
    if (atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_LOGGED) {
        uma_times_keep(uma, record);
        error = uma_settle(uma, record);
        uma_times_restore(uma, record);
        if (!error) /* the gate is closed: every write that begins later sees it in the guard */
            atomic_store_explicit(&shared->frozen, 1, memory_order_release);
    }
    uma_gate_open(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    uma_times_deliver(uma, record);
    uma_unclaim(uma, record);
    return error;
}

static void thaw(struct uma *uma)
{
    /* release: whoever may use the file again comes after those who could not */
    if (atomic_exchange_explicit(&uma_shared(uma)->frozen, 0, memory_order_acq_rel))
        uma_sync_wake(uma); /* there is something to write back */
}

/* ---- the lease ---- */

static bool waits(uint32_t state)
{
    return state == UMA_LEASE_WANTED || state == UMA_LEASE_LENT;
}

static void set_state(struct uma *uma, enum uma_lease state)
{
    uint32_t before = atomic_exchange_explicit(&uma->lease, (uint32_t)state, memory_order_acq_rel);
    if (waits(before) != waits(state))
        atomic_fetch_add_explicit(&lease_thread.lent, waits(state) ? 1u : -1u, memory_order_acq_rel);
}

static void give_up(struct uma *uma, enum uma_lease state)
{
    set_state(uma, state);
    thaw(uma);
    sys_fcntl(uma->data_fd, F_SETLEASE, F_UNLCK);
}

void uma_lease_end(struct uma *uma)
{
    if (atomic_load_explicit(&uma->lease, memory_order_acquire) != UMA_LEASE_OFF)
        give_up(uma, UMA_LEASE_OFF);
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); /* no system call */
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Somebody opens the file, and waits; or has opened it before. */
static void lend(struct uma *uma)
{
    if (freeze(uma) == 0) {
        uma->lent_at = now_ms();
        set_state(uma, UMA_LEASE_LENT);
        sys_fcntl(uma->data_fd, F_SETLEASE, F_UNLCK);
    } else {
        give_up(uma, UMA_LEASE_OFF);
    }
}

struct uma *uma_lease_yield(uint64_t dev, uint64_t ino)
{
    uma_registry_lock();
    struct uma *uma = conf_get()->lease ? uma_find(dev, ino) : NULL;
    if (uma && atomic_load_explicit(&uma->lease, memory_order_acquire) == UMA_LEASE_OFF)
        uma = NULL;
    if (uma)
        uma->holders++; /* so the lease's thread does not find the file ours alone */
    uma_registry_unlock();
    if (uma)
        give_up(uma, UMA_LEASE_WANTED);
    return uma;
}

static bool is_ours_alone(const struct uma *uma)
{
    uma_registry_lock();
    bool one = uma->holders == 1;
    uma_registry_unlock();
    /* acquire: set before the other holder went */
    return one && !atomic_load_explicit(&uma->stray, memory_order_acquire) && !uma_is_shared(uma);
}

/* Each time anew: the kernel forgets whom to tell, and by which signal, when a lease is given back, and would send SIGIO to
 * the process. */
static int take(struct uma *uma)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID,
                               .pid = (pid_t)atomic_load_explicit(&lease_thread.tid, memory_order_acquire)};
    int error = sys_fcntl(uma->data_fd, F_SETOWN_EX, (long)&owner);
    if (!error)
        error = sys_fcntl(uma->data_fd, F_SETSIG, LEASE_SIGNAL);
    return error ? error : sys_fcntl(uma->data_fd, F_SETLEASE, F_WRLCK);
}

static void look(struct uma *uma)
{
    uint32_t state = atomic_load_explicit(&uma->lease, memory_order_acquire);
    if (!uma_is_attached(uma) || state == UMA_LEASE_OFF)
        return;
    if (atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) != INDEX_MODE_LOGGED) {
        give_up(uma, UMA_LEASE_OFF);
    } else if (!is_ours_alone(uma)) {
        if (state != UMA_LEASE_WANTED)
            give_up(uma, UMA_LEASE_WANTED);
    } else if (state == UMA_LEASE_HELD) {
        if (sys_fcntl(uma->data_fd, F_GETLEASE, 0) != F_WRLCK)
            lend(uma);
    } else if (state == UMA_LEASE_WANTED || now_ms() - uma->lent_at >= LEASE_LENT_MS) {
        int error = take(uma);
        if (!error) {
            set_state(uma, UMA_LEASE_HELD);
            thaw(uma);
        } else if (error != -EAGAIN) { /* this file system has none */
            give_up(uma, UMA_LEASE_OFF);
        } else if (state == UMA_LEASE_WANTED) { /* those who read it have read a mix so far; no more from here on */
            lend(uma);
        }
    }
}

/* ---- the thread ---- */

struct round {
    struct uma *uma[LEASE_MOST];
    unsigned count;
};

/* Under the registry lock: those that are busy cannot go away. */
static void collect(struct uma *uma, void *arg)
{
    struct round *round = arg;
    if (round->count < LEASE_MOST && uma_is_attached(uma) &&
        atomic_load_explicit(&uma->lease, memory_order_acquire) != UMA_LEASE_OFF) {
        uma->busy++;
        round->uma[round->count++] = uma;
    }
}

static void look_all(void)
{
    struct round round = {.count = 0};
    uma_each(collect, &round);
    for (unsigned i = 0; i < round.count; i++)
        look(round.uma[i]);
    uma_registry_lock();
    for (unsigned i = 0; i < round.count; i++)
        round.uma[i]->busy--;
    uma_registry_unlock();
}

static void *lease_main(void *arg)
{
    struct signalfd_siginfo told;
    int fd = atomic_load_explicit(&lease_thread.signal_fd, memory_order_acquire);
    (void)arg;
    atomic_store_explicit(&lease_thread.tid, (uint32_t)sys_gettid(), memory_order_release);
    sys_futex((uint32_t *)&lease_thread.tid, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    for (;;) {
        struct pollfd poll = {.fd = fd, .events = POLLIN};
        const struct timespec pause = {.tv_nsec = LEASE_LOOK_MS * 1000000L};
        bool lent = atomic_load_explicit(&lease_thread.lent, memory_order_acquire);
        rawsys(SYS_ppoll, (long)&poll, 1, lent ? (long)&pause : 0, 0, 0, 0);
        sys_read(fd, &told, sizeof told); /* does not wait; what it tells is looked up anyway */
        look_all();
    }
    return NULL;
}

static int start_thread(void)
{
    uint64_t signal = UINT64_C(1) << (LEASE_SIGNAL - 1);
    int fd = (int)rawsys(SYS_signalfd4, -1, (long)&signal, sizeof signal, SFD_CLOEXEC | SFD_NONBLOCK, 0, 0);
    if (fd < 0)
        return fd;
    fd = highfd_move(fd);
    atomic_store_explicit(&lease_thread.signal_fd, fd, memory_order_release);
    int error = thread_start(lease_main, NULL, STACK_BYTES);
    if (error)
        highfd_close(fd);
    return error;
}

static bool thread_comes(void)
{
    uint32_t state = atomic_load_explicit(&lease_thread.state, memory_order_acquire);
    return state == LEASE_STARTING || state == LEASE_RUNNING;
}

/* Starts the thread if there is none, and waits until its id is known, which signals go to. */
static void ensure_thread(void)
{
    uint32_t expected = LEASE_NONE;
    if (atomic_compare_exchange_strong_explicit(&lease_thread.state, &expected, LEASE_STARTING, memory_order_acq_rel,
                                                memory_order_acquire)) {
        int error = start_thread();
        atomic_store_explicit(&lease_thread.state, error ? LEASE_NONE : LEASE_RUNNING, memory_order_release);
        if (error) /* who waits for it looks again */
            sys_futex((uint32_t *)&lease_thread.tid, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    }
    while (!atomic_load_explicit(&lease_thread.tid, memory_order_acquire) && thread_comes())
        sys_futex((uint32_t *)&lease_thread.tid, FUTEX_WAIT_PRIVATE, 0,
                  &(struct timespec){.tv_nsec = LEASE_LOOK_MS * 1000000L});
}

/* ---- attach, fork ---- */

bool uma_lease_fits(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDWR && !(flags & (O_APPEND | O_DIRECT | O_PATH));
}

bool uma_lease_wanted(const struct uma *uma, int fd)
{
    return conf_get()->lease && !(atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC) &&
           uma_lease_fits(fd);
}

/* A description of our own cannot take the place of the borrowed one: closing any descriptor drops the process's POSIX
 * locks. */
int uma_before_flags(struct uma *uma, int fd)
{
    return uma->borrowed && uma_is_attached(uma) ? uma_demote(uma, fd, UMA_DEMOTE_OTHER) : 0;
}

void uma_lease_prepare(const struct uma *uma, int fd)
{
    if (uma_lease_wanted(uma, fd) && !uma_exiting())
        ensure_thread();
}

/* Before anybody writes in user space: a foreign open that came between the first write and the lease would see a mix. */
void uma_lease_begin(struct uma *uma)
{
    if (!uma->borrowed || atomic_load_explicit(&uma_shared(uma)->atomic, memory_order_relaxed) ||
        !atomic_load_explicit(&lease_thread.tid, memory_order_acquire))
        return;
    bool alone =
        is_ours_alone(uma) && atomic_load_explicit(&uma_shared(uma)->mode, memory_order_relaxed) == INDEX_MODE_LOGGED;
    int error = alone ? take(uma) : 0;
    if (error && error != -EAGAIN) /* this file system has none */
        return;
    if (error) { /* somebody reads it: the kernel's file, which is whole, stays as it is */
        uma->lent_at = now_ms();
        /* relaxed: nobody uses the file before it is published as attached */
        atomic_store_explicit(&uma_shared(uma)->frozen, 1, memory_order_relaxed);
    }
    set_state(uma, !alone ? UMA_LEASE_WANTED : error ? UMA_LEASE_LENT : UMA_LEASE_HELD);
}

void uma_lease_attached(struct uma *uma)
{
    uint32_t thread = atomic_load_explicit(&lease_thread.tid, memory_order_acquire);
    if (thread && atomic_load_explicit(&uma->lease, memory_order_acquire) != UMA_LEASE_OFF)
        rawsys(SYS_tgkill, sys_getpid(), thread, LEASE_SIGNAL, 0, 0, 0); /* it may sleep without end */
}

/* The child has the description, too. */
static void share_attached(struct uma *uma, void *arg)
{
    (void)arg;
    if (uma_is_attached(uma) && atomic_load_explicit(&uma->lease, memory_order_acquire) != UMA_LEASE_OFF)
        give_up(uma, UMA_LEASE_WANTED);
}

void uma_lease_before_fork(void)
{
    /* not by the configuration: a fork before the first file must not be the moment when the environment is read */
    if (atomic_load_explicit(&lease_thread.state, memory_order_acquire) == LEASE_RUNNING)
        uma_each(share_attached, NULL);
}

void uma_lease_after_fork_child(void)
{
    if (atomic_load_explicit(&lease_thread.state, memory_order_relaxed) == LEASE_RUNNING)
        highfd_close(atomic_load_explicit(&lease_thread.signal_fd, memory_order_relaxed));
    /* relaxed: there is one thread */
    atomic_store_explicit(&lease_thread.state, LEASE_NONE, memory_order_relaxed);
    atomic_store_explicit(&lease_thread.tid, 0, memory_order_relaxed);
    atomic_store_explicit(&lease_thread.lent, 0, memory_order_relaxed);
}

void uma_lease_forbid(void)
{
    atomic_store_explicit(&lease_thread.state, LEASE_FORBIDDEN, memory_order_relaxed);
}
