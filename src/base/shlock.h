/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * shlock.h — a mutex in shared memory that knows its owner. Layer base; called by log, index, uma and file.
 *
 * The word is 0 when free, else the owner's id (1 .. SHLOCK_OWNER_MAX, chosen by the caller) and SHLOCK_WAITERS when
 * somebody sleeps on it. Futex operations are process-shared. The lock does not know who is alive: acquiring gives up
 * after a while so that the caller can ask whether the owner is dead, and then take the lock over with shlock_take_over.
 */
#ifndef BASE_SHLOCK_H
#define BASE_SHLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHLOCK_WAITERS UINT32_C(0x80000000)
#define SHLOCK_OWNER_MAX UINT32_C(0x7fffffff)

struct shlock {
    _Atomic uint32_t word;
};

/* 0 if the lock was free and is now `owner`'s, else -EBUSY. */
int shlock_try(struct shlock *lock, uint32_t owner);

/* Acquires; spins a little, then sleeps. Returns 0, or -ETIMEDOUT after about SHLOCK_PATIENCE_US without success: the
 * caller checks whether shlock_owner is alive and calls again. */
#define SHLOCK_PATIENCE_US 2000
int shlock_acquire(struct shlock *lock, uint32_t owner);

/* Acquires a lock that only threads of this process take: its owner lives, and is waited for. */
void shlock_acquire_private(struct shlock *lock);

/* Releases by a locked instruction, which also is a persist fence for the calling thread's earlier stores, and wakes a
 * sleeper. */
void shlock_release(struct shlock *lock);

/* Now's owner, 0 if free. */
uint32_t shlock_owner(const struct shlock *lock);

/* Hands the lock of `dead` to `owner`: 0, or -EBUSY if `dead` does not hold it any more. `dead` 0: nobody, but the word is
 * not free, which only damage brings about. */
int shlock_take_over(struct shlock *lock, uint32_t dead, uint32_t owner);

#endif
