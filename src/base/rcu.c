/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * rcu.c — read sections where liburcu cannot be used, and in fork. Layer base.
 *
 * Counted sections: a reader counts itself in the counter of the phase that it reads; who waits flips the phase and waits
 * until the old counter is zero, twice, since a reader may have read the phase before a flip and count itself after it.
 */
#include "base/rcu.h"

#include "base/rawsys.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>

_Atomic bool rcu_counted;
__thread unsigned rcu_depth __attribute__((tls_model("initial-exec")));
_Atomic unsigned rcu_threads;
__thread bool rcu_known __attribute__((tls_model("initial-exec")));
__thread bool rcu_registering __attribute__((tls_model("initial-exec")));
static __thread unsigned rcu_phase_seen; /* by this thread's section, with rcu_depth */

static struct rcu_count {
    _Atomic unsigned phase;
    _Atomic unsigned readers[2];
    _Atomic bool waiting; /* one thread flips at a time */
    _Atomic bool gate;    /* a thread registers, or a child is being made; held with all signals blocked */
    uint64_t mask;        /* of the thread that forks; guarded by the locks of fork's handlers */
} count;

static void rcu_lock(_Atomic bool *word)
{
    /* acquire, and release in rcu_unlock: the holders come one after the other */
    while (atomic_exchange_explicit(word, true, memory_order_acquire))
        sys_sched_yield();
}

static void rcu_unlock(_Atomic bool *word)
{
    atomic_store_explicit(word, false, memory_order_release);
}

static void rcu_note(void)
{
    rcu_known = true;
    atomic_fetch_add_explicit(&rcu_threads, 1, memory_order_seq_cst); /* pairs with the fence of rcu_is_alone */
}

void rcu_register(void)
{
    if (!rcu_known)
        rcu_note();
    int saved = errno; /* what liburcu asks of libc may fail, and is tried in another way */
    uint64_t mask = sys_block_signals();
    rcu_lock(&count.gate);
    rcu_registering = true;
    urcu_bp_read_lock();
    urcu_bp_read_unlock();
    rcu_registering = false;
    rcu_unlock(&count.gate);
    sys_unblock_signals(mask);
    errno = saved;
}

/* ---- counted sections ---- */

void rcu_counted_enter(void)
{
    if (rcu_depth) {
        rcu_depth++;
        return;
    }
    if (!rcu_known)
        rcu_note();
    /* The phase first: a signal handler in between has a section of its own, which has ended when we go on. */
    unsigned phase = atomic_load_explicit(&count.phase, memory_order_seq_cst) & 1;
    /* seq_cst: either the waiter's look at the counter sees this, or our later loads see what it did before its flip */
    atomic_fetch_add_explicit(&count.readers[phase], 1, memory_order_seq_cst);
    rcu_phase_seen = phase;
    rcu_depth = 1;
}

void rcu_counted_leave(void)
{
    unsigned phase = rcu_phase_seen;
    atomic_signal_fence(memory_order_seq_cst); /* a handler's section, once the depth is 0, changes rcu_phase_seen */
    if (--rcu_depth == 0) /* release: what the section did comes before what the waiter does; pairs with drain */
        atomic_fetch_sub_explicit(&count.readers[phase], 1, memory_order_release);
}

static void rcu_counted_drain(void)
{
    unsigned old = atomic_fetch_add_explicit(&count.phase, 1, memory_order_seq_cst) & 1;
    while (atomic_load_explicit(&count.readers[old], memory_order_seq_cst))
        sys_sched_yield();
}

void rcu_counted_wait(void)
{
    rcu_lock(&count.waiting);
    rcu_counted_drain();
    rcu_counted_drain();
    rcu_unlock(&count.waiting);
}

/* In a child with one thread: only its own section, if it is in one, is counted. */
static void rcu_counted_reset(void)
{
    atomic_store_explicit(&rcu_threads, rcu_known ? 1 : 0, memory_order_relaxed);
    for (unsigned phase = 0; phase < 2; phase++)
        atomic_store_explicit(&count.readers[phase], rcu_depth && rcu_phase_seen == phase, memory_order_relaxed);
    rcu_unlock(&count.waiting);
    rcu_unlock(&count.gate);
}

/* ---- fork ---- */

void rcu_before_fork(void)
{
    if (atomic_load_explicit(&rcu_counted, memory_order_relaxed))
        count.mask = sys_block_signals();
    else
        urcu_bp_before_fork();
}

void rcu_after_fork_parent(void)
{
    if (atomic_load_explicit(&rcu_counted, memory_order_relaxed))
        sys_sigprocmask(SIG_SETMASK, &count.mask, NULL);
    else
        urcu_bp_after_fork_parent();
}

void rcu_after_fork_child(void)
{
    rcu_counted_reset();
    if (atomic_load_explicit(&rcu_counted, memory_order_relaxed))
        sys_sigprocmask(SIG_SETMASK, &count.mask, NULL);
    else
        urcu_bp_after_fork_child();
}

void rcu_before_bare(void)
{
    rcu_lock(&count.gate);
}

void rcu_after_bare(void)
{
    rcu_unlock(&count.gate);
}

void rcu_born(void)
{
    atomic_store_explicit(&rcu_counted, true, memory_order_relaxed);
    rcu_counted_reset();
}
