/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * rcu.h — liburcu's bulletproof flavour under four names. Layer base; called by uma and file.
 *
 * The read side is inlined: _LGPL_SOURCE asks for functions that are short enough (ten lines) for the licence to let any
 * code have them. In sanitizer builds they are called instead, since one of liburcu's records is less aligned than its
 * type, and the thread sanitizer is told what a grace period orders.
 */
#ifndef BASE_RCU_H
#define BASE_RCU_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#elif __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define RCU_OUT_OF_LINE 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define RCU_OUT_OF_LINE 1
#endif

#if !defined(RCU_TSAN) && !defined(RCU_OUT_OF_LINE) && !defined(_LGPL_SOURCE)
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#ifdef RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#endif

/* In a process that was made without fork handlers liburcu's own locks may be held by threads that are not here. There
 * sections are counted instead (rcu.c), which is slower under contention and needs none of them. */
extern _Atomic bool rcu_counted;
extern __thread unsigned rcu_depth __attribute__((tls_model("initial-exec"))); /* counted sections of this thread */
void rcu_counted_enter(void);
void rcu_counted_leave(void);
void rcu_counted_wait(void);

/* Threads that have ever been in a section, and whether this one has. */
extern _Atomic unsigned rcu_threads;
extern __thread bool rcu_known __attribute__((tls_model("initial-exec")));

/* Counts this thread, and makes it known to liburcu, under a lock of ours, so that somebody who makes a child can keep it
 * out. */
void rcu_register(void);

/* Whether no other thread can be in a section that sees what was unpublished before: a process of one thread need not
 * wait. */
static inline bool rcu_is_alone(void)
{
    /* seq_cst: a thread counts itself and then looks for what is published, we have unpublished and now look at the count */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&rcu_threads, memory_order_relaxed) <= (rcu_known ? 1u : 0u);
}

/* This thread is being made known to liburcu, which takes memory for that, with mmap and mremap, under its lock: under the
 * preload library these are ours. No section can begin, and what they are of is nobody else's. */
extern __thread bool rcu_registering __attribute__((tls_model("initial-exec")));

/* A read section: what is unpublished after its begin stays whole until its end. Sections nest. */
static inline void rcu_enter(void)
{
    /* relaxed: set while the process has one thread */
    if (__builtin_expect(atomic_load_explicit(&rcu_counted, memory_order_relaxed), 0)) {
        rcu_counted_enter();
        return;
    }
#ifdef _LGPL_SOURCE
    bool registered = rcu_known && URCU_TLS(urcu_bp_reader);
#else
    bool registered = rcu_known;
#endif
    if (__builtin_expect(!registered, 0))
        rcu_register();
    urcu_bp_read_lock();
}

static inline void rcu_leave(void)
{
    if (__builtin_expect(rcu_depth, 0)) { /* of a section that began as counted */
        rcu_counted_leave();
        return;
    }
#ifdef RCU_TSAN
    __tsan_release((void *)&urcu_bp_read_lock);
#endif
    urcu_bp_read_unlock();
}

/* Whether this thread is in a read section: in a signal handler that interrupted one, that is. */
static inline bool rcu_inside(void)
{
    return rcu_depth || urcu_bp_read_ongoing() != 0;
}

/* Waits until all sections that have begun have ended. Not within one. */
static inline void rcu_wait(void)
{
    if (__builtin_expect(atomic_load_explicit(&rcu_counted, memory_order_relaxed), 0)) {
        rcu_counted_wait();
        return;
    }
    int saved = errno; /* liburcu waits by calls of libc */
    urcu_bp_synchronize_rcu();
    errno = saved;
#ifdef RCU_TSAN
    __tsan_acquire((void *)&urcu_bp_read_lock);
#endif
}

/* The same for who need not wait alone. */
static inline void rcu_wait_for_others(void)
{
    if (!rcu_is_alone())
        rcu_wait();
}

/* ---- fork ---- */

/* For fork's handlers. All signals are blocked from the first to the second or third. */
void rcu_before_fork(void);
void rcu_after_fork_parent(void);
void rcu_after_fork_child(void);

/* Around the making of a child without handlers, with all signals blocked: no thread registers meanwhile. */
void rcu_before_bare(void);
void rcu_after_bare(void);

/* In such a child. */
void rcu_born(void);

#endif
