/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * shlock.c — the futex mutex of shlock.h. Layer base; called by log, index, uma and file.
 *
 * A waiter sets SHLOCK_WAITERS before it sleeps, and takes the lock with that bit set, since others may sleep as well.
 * A wake-up that is lost with its process costs the others at most their patience, as every sleep ends by itself.
 */
#include "base/shlock.h"

#include "base/rawsys.h"

#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#define SHLOCK_SPINS 100

static int64_t shlock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* the vdso, no system call */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void shlock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* acquire: sees all that the last owner stored before its release. release: who sees the owner's id sees what it has said of
 * itself before. */
static bool shlock_swap(struct shlock *lock, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(&lock->word, expected, desired, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

int shlock_try(struct shlock *lock, uint32_t owner)
{
    uint32_t free_word = 0;
    return shlock_swap(lock, &free_word, owner) ? 0 : -EBUSY;
}

static bool shlock_spin(struct shlock *lock, uint32_t owner)
{
    for (int i = 0; i < SHLOCK_SPINS; i++) {
        /* relaxed: only a hint; shlock_try acquires */
        if (!atomic_load_explicit(&lock->word, memory_order_relaxed) && !shlock_try(lock, owner))
            return true;
        shlock_pause();
    }
    return false;
}

int shlock_acquire(struct shlock *lock, uint32_t owner)
{
    if (!shlock_try(lock, owner) || shlock_spin(lock, owner))
        return 0;
    int64_t deadline = shlock_now_ns() + SHLOCK_PATIENCE_US * INT64_C(1000);
    for (;;) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed); /* the exchanges below decide */
        if (!word) {
            if (shlock_swap(lock, &word, owner | SHLOCK_WAITERS))
                return 0;
            continue;
        }
        if (!(word & SHLOCK_WAITERS) && !shlock_swap(lock, &word, word | SHLOCK_WAITERS))
            continue;
        int64_t left = deadline - shlock_now_ns();
        if (left <= 0)
            return -ETIMEDOUT;
        struct timespec timeout = {.tv_nsec = left}; /* below one second by SHLOCK_PATIENCE_US */
        sys_futex((uint32_t *)&lock->word, FUTEX_WAIT, word | SHLOCK_WAITERS, &timeout);
    }
}

void shlock_acquire_private(struct shlock *lock)
{
    const uint32_t owner = 1; /* any: nobody asks */
    while (shlock_acquire(lock, owner) == -ETIMEDOUT)
        ;
}

void shlock_release(struct shlock *lock)
{
    /* release: pairs with shlock_swap's acquire. An exchange is a locked instruction: earlier non-temporal stores and
     * write-backs of this thread are done when the lock is seen free. */
    uint32_t old = atomic_exchange_explicit(&lock->word, 0, memory_order_release);
    if (old & SHLOCK_WAITERS)
        sys_futex((uint32_t *)&lock->word, FUTEX_WAKE, 1, NULL);
}

uint32_t shlock_owner(const struct shlock *lock)
{
    return atomic_load_explicit(&lock->word, memory_order_relaxed) & SHLOCK_OWNER_MAX; /* a moment's answer anyway */
}

int shlock_take_over(struct shlock *lock, uint32_t dead, uint32_t owner)
{
    uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed); /* the exchange decides */
    do {
        if (!word || (word & SHLOCK_OWNER_MAX) != dead)
            return -EBUSY;
    } while (!shlock_swap(lock, &word, owner | (word & SHLOCK_WAITERS)));
    return 0;
}
