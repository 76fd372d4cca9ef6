/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_leave.c — files are let go while descriptors of them stay open: all of them at exit, before exec and for lack of
 * descriptors, while other threads' calls wait; or one, so that it can be executed. Layer uma; called by file.
 */
#include "base/rawsys.h"
#include "base/rcu.h"
#include "uma/uma_private.h"
#include "uma/uma_ranges.h"

#include <time.h>

#define LEAVE_PATIENCE_NS (INT64_C(5) * 1000000000)
#define LEAVE_YIELDS 100u
#define LEAVE_PAUSE_NS 50000

/* ---- other threads wait ---- */

struct uma_parting uma_parting;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* the vdso, no system call */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void pause_round(unsigned round)
{
    const struct timespec pause = {.tv_nsec = LEAVE_PAUSE_NS};
    if (round < LEAVE_YIELDS)
        sys_sched_yield();
    else
        rawsys(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
}

/* Whether all files were let go for good: the process ends. */
static bool has_left(void)
{
    return atomic_load_explicit(&uma_parting.until, memory_order_acquire) != 0;
}

/* What comes behind our exit takes so long that a thread of ours is waited for, by another library's destructor: it goes on. */
static bool patience_is_over(void)
{
    return has_left() && now_ns() >= atomic_load_explicit(&uma_parting.until, memory_order_relaxed);
}

static uintptr_t this_thread(void)
{
    return (uintptr_t)__builtin_thread_pointer();
}

/* From here to parting_end no other thread is in a call, or begins one. False: this thread had begun already, or there is nothing
 * left to let go. */
static bool parting_begin(void)
{
    uintptr_t none = 0;
    unsigned round = 0;
    /* acq_rel: the one before has let everything go */
    while (!atomic_compare_exchange_strong_explicit(&uma_parting.thread, &none, this_thread(), memory_order_acq_rel,
                                                    memory_order_acquire)) {
        if (none == this_thread() || patience_is_over())
            return false;
        none = 0;
        pause_round(round++);
    }
    rcu_wait_for_others();
    return true;
}

void uma_parting_end(void)
{
    uintptr_t self = this_thread();
    /* release: who waits finds the files as they are now */
    atomic_compare_exchange_strong_explicit(&uma_parting.thread, &self, 0, memory_order_release, memory_order_relaxed);
}

void uma_parting_after_fork_child(void)
{
    atomic_store_explicit(&uma_parting.thread, 0, memory_order_relaxed); /* the only thread */
    if (has_left())
        atomic_store_explicit(&uma_parting.until, 1, memory_order_relaxed); /* long ago: nobody waits here */
}

bool uma_parting_wait(void)
{
    uintptr_t thread;
    for (unsigned round = 0; (thread = atomic_load_explicit(&uma_parting.thread, memory_order_acquire)) != 0; round++) {
        if (thread == this_thread() || patience_is_over())
            return false;
        pause_round(round);
    }
    return true;
}

bool uma_has_left(void)
{
    return has_left();
}

void uma_exit_wait(bool to_the_end)
{
    for (unsigned round = 0; to_the_end ? !patience_is_over() : !has_left(); round++) {
        if (atomic_load_explicit(&uma_parting.thread, memory_order_relaxed) == this_thread())
            return;
        pause_round(round);
    }
}

/* ---- all files ---- */

static void leave_path(struct uma *uma)
{
    atomic_store_explicit(&uma->state, UMA_LEAVING, memory_order_release);
}

/* Waits until the sync thread is out of the uma; it does not come back to one that is leaving. */
static void leave_wait(struct uma *uma)
{
    while (uma->busy) {
        uma_registry_unlock();
        sys_sched_yield();
        uma_registry_lock();
    }
}

static void leave_detach(struct uma *uma)
{
    uma_detach(uma);
}

/* Detaches every uma, as its last close would. Within parting_begin and uma_parting_end. One that an open has attached meanwhile is
 * in no call yet. */
static void leave_all(void)
{
    uma_registry_lock();
    uma_each_in_state(UMA_ATTACHED, leave_path);
    uma_registry_unlock();
    rcu_wait_for_others(); /* other threads may still be inside */
    uma_attach_lock();
    uma_registry_lock();
    uma_each_in_state(UMA_ATTACHED, leave_path);
    uma_each_in_state(UMA_LEAVING, leave_wait);
    uma_each_in_state(UMA_LEAVING, leave_detach);
    uma_registry_unlock();
    volume_drop_pool();
    index_pool_drain(true);
    uma_attach_unlock();
}

/* ---- the process becomes another program, or ends ---- */

/* Nobody goes on before it is known that there will be no new program: what another thread wrote now would be in a log again,
 * which that program may know nothing of. */
void uma_before_exec(void)
{
    if (uma_exiting())
        return;
    parting_begin();
    leave_all();
}

static void relieve_one(struct uma *uma, void *arg)
{
    bool *any = arg;
    if (!uma_is_attached(uma))
        return;
    atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
    *any = true;
}

bool uma_relieve(void)
{
    bool any = false;
    if (uma_exiting())
        return false;
    uma_each(relieve_one, &any);
    if (any && parting_begin()) {
        leave_all();
        uma_parting_end();
    }
    return any;
}

/* Other threads' calls wait until the process is gone, as before an exec: in the kernel they would go past the log of another
 * process that serves the file. First the calls that have begun end, as ever; only then uma_exiting() keeps files from being
 * attached, which sends calls to the kernel. */
void uma_exit(void)
{
    parting_begin();
    if (!uma_begin_exit())
        return;
    uma_sync_stop();
    leave_all();
    volume_exit();
    /* release: who waits for this finds the files let go */
    atomic_store_explicit(&uma_parting.until, now_ns() + LEAVE_PATIENCE_NS, memory_order_release);
}

/* ---- one file ---- */

/* As leave_all, of one that the kernel has whole: meanwhile calls go there. */
static void leave_one(struct uma *uma)
{
    uma_registry_lock();
    if (uma_is_attached(uma))
        leave_path(uma);
    uma_registry_unlock();
    rcu_wait_for_others();
    uma_attach_lock();
    uma_registry_lock();
    leave_wait(uma);
    if (atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_LEAVING)
        uma_detach(uma);
    uma_registry_unlock();
    if (atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_DETACHED)
        uma_data_close(uma);
    uma_attach_unlock();
}

bool uma_bars_execution(const struct uma *uma)
{
    return uma_is_program(uma) && uma_is_attached(uma) && uma->data_writable &&
           !(atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC) &&
           !atomic_load_explicit(&uma->stored_maps, memory_order_relaxed);
}

static bool is_last_holder(const struct uma *uma)
{
    uma_registry_lock();
    bool last = uma->holders == 1;
    uma_registry_unlock();
    return last;
}

static bool is_shared_now(struct uma *uma)
{
    rcu_enter();
    bool shared = uma_is_attached(uma) && uma_is_shared(uma);
    rcu_leave();
    return shared;
}

int uma_let_lender_go(struct uma *uma, int fd)
{
    if (__builtin_expect(!uma->borrowed, 1) || fd < 0 || is_last_holder(uma))
        return 0;
    uma_attach_lock();
    bool lends = uma->borrowed && uma->data_fd >= 0 && sys_kcmp_file(fd, uma->data_fd) <= 0; /* failing: it may be so */
    if (lends) /* release: with the lock's, before anybody finds one holder alone */
        atomic_store_explicit(&uma->stray, true, memory_order_release);
    uma_attach_unlock();
    if (!lends || is_shared_now(uma) || atomic_load_explicit(&uma->maps, memory_order_relaxed) ||
        atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC)
        return 0; /* it stays ours alone, but nobody is taken for a stranger any more */
    int error = uma_is_attached(uma) ? uma_demote(uma, fd, UMA_DEMOTE_OTHER) : 0;
    if (!error)
        leave_one(uma);
    return error;
}

int uma_let_execute(struct uma *uma, int fd)
{
    if (is_last_holder(uma) || is_shared_now(uma) || fd < 0)
        return 0;
    ranges_lock(); /* nobody counts a mapping meanwhile */
    int error = uma_demote(uma, fd, UMA_DEMOTE_OTHER);
    if (!error) {
        leave_one(uma);
        if (atomic_load_explicit(&uma->maps, memory_order_relaxed))
            error = uma_demote(uma, fd, UMA_DEMOTE_OTHER);
    }
    ranges_unlock();
    return error;
}
