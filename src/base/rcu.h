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

/* A read section: what is unpublished after its begin stays whole until its end. Sections nest. */
static inline void rcu_enter(void)
{
    urcu_bp_read_lock();
}

static inline void rcu_leave(void)
{
#ifdef RCU_TSAN
    __tsan_release((void *)&urcu_bp_read_lock);
#endif
    urcu_bp_read_unlock();
}

/* Whether this thread is in a read section: in a signal handler that interrupted one, that is. */
static inline bool rcu_inside(void)
{
    return urcu_bp_read_ongoing() != 0;
}

/* Waits until all sections that have begun have ended. Not within one. */
static inline void rcu_wait(void)
{
    urcu_bp_synchronize_rcu();
#ifdef RCU_TSAN
    __tsan_acquire((void *)&urcu_bp_read_lock);
#endif
}

#endif
