/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * index_locks.c — the locks of the shared page, and who does not hold what seems to be held. Layer index; called by uma.
 *
 * A lock's word names its owner's record, a locked slot too, and a record's epoch says that it is in the guard. Should such a
 * word be damaged, nobody would ever change it back, and who waits would wait for ever. So the record says the same once
 * more: `holds` has the lock's bit from before it is taken until after it is released, `first` and `blocks` cover a slot while
 * it is locked, `claimed` is odd while anything is. A word that names a record which does not say so is damaged.
 *
 * Why a healthy owner is never taken for none, be it slow or stopped. The owner stores its bit, takes the lock by an exchange
 * (acq_rel), gives it back by another, and takes the bit away. We load holds, the word (acquire), holds again. If the word
 * that we see is the owner's exchange then the second load sees the bit, or something later. holds never has a value twice,
 * as each taking counts: so if both loads are equal and without the bit, no taking of this lock was under way between them,
 * and the word is nobody's. The same with claimed and a record's epoch; and a slot's state that is loaded twice and equal was
 * locked all the time between, as its version counts, so that first and blocks in between were its owner's.
 * A place that another process joins keeps both counts (take_place).
 */
#include "index/index.h"

#include <errno.h>

#define HOLDS_TURN (UINT64_C(1) << 16)
#define HOLDS_LOCKS (HOLDS_TURN - 1)
_Static_assert(INDEX_LOCKS <= 16, "a bit for each");

static void holds_begin(struct index_record *record, enum index_lock which)
{
    uint64_t holds = atomic_load_explicit(&record->holds, memory_order_relaxed); /* only its thread stores it */
    /* relaxed: the exchange that takes the lock releases it */
    atomic_store_explicit(&record->holds, (holds + HOLDS_TURN) | UINT64_C(1) << which, memory_order_relaxed);
}

static void holds_end(struct index_record *record, enum index_lock which)
{
    uint64_t holds = atomic_load_explicit(&record->holds, memory_order_relaxed);
    /* release: behind the exchange that has given the lock back */
    atomic_store_explicit(&record->holds, holds & ~(UINT64_C(1) << which), memory_order_release);
}

int index_lock_acquire(struct index *index, struct index_record *record, enum index_lock which)
{
    holds_begin(record, which);
    int error = shlock_acquire(index_lock(index, which), index_record_id(index, record));
    if (error)
        holds_end(record, which);
    return error;
}

int index_lock_try(struct index *index, struct index_record *record, enum index_lock which)
{
    holds_begin(record, which);
    int error = shlock_try(index_lock(index, which), index_record_id(index, record));
    if (error)
        holds_end(record, which);
    return error;
}

int index_lock_take_over(struct index *index, struct index_record *record, enum index_lock which, uint32_t owner)
{
    holds_begin(record, which);
    int error = shlock_take_over(index_lock(index, which), owner, index_record_id(index, record));
    if (error)
        holds_end(record, which);
    return error;
}

void index_lock_release(struct index *index, struct index_record *record, enum index_lock which)
{
    shlock_release(index_lock(index, which));
    holds_end(record, which);
}

bool index_lock_is_nobodys(struct index *index, const struct index_record *record, enum index_lock which,
                           uint32_t *owner)
{
    const struct shlock *lock = index_lock(index, which);
    for (;;) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_acquire);
        *owner = word & SHLOCK_OWNER_MAX;
        if (!word)
            return false;
        const struct index_record *holder = index_record_of(index, *owner);
        if (!holder || holder == record)
            return true;
        uint64_t before = atomic_load_explicit(&holder->holds, memory_order_acquire);
        uint32_t again = atomic_load_explicit(&lock->word, memory_order_acquire) & SHLOCK_OWNER_MAX;
        /* a place that is nobody's holds nothing: who leaves it has given back what it had, who repairs the dead, too */
        bool left = !atomic_load_explicit(index_process(index, index_participant_of(*owner)), memory_order_acquire);
        if (atomic_load_explicit(&holder->holds, memory_order_acquire) != before || again != *owner)
            continue; /* it is at work */
        return left || !(before >> which & 1);
    }
}

bool index_slot_is_nobodys(struct index *index, const struct index_record *record, const struct index_slot *slot,
                           uint64_t block, uint64_t state)
{
    const struct index_record *holder = index_record_of(index, (uint32_t)(state >> 32));
    if (!holder || holder == record)
        return true;
    bool claimed = index_is_claimed(holder);
    uint64_t first = atomic_load_explicit(&holder->first, memory_order_acquire);
    uint32_t blocks = atomic_load_explicit(&holder->blocks, memory_order_acquire);
    bool left = !atomic_load_explicit(index_process(index, index_participant_of((uint32_t)(state >> 32))),
                                      memory_order_acquire);
    bool says_so = claimed && !left && block >= first && block - first < blocks;
    return !says_so && atomic_load_explicit(&slot->state, memory_order_acquire) == state;
}

uint64_t index_stray_epoch(const struct index_record *record)
{
    uint32_t claimed = atomic_load_explicit(&record->claimed, memory_order_acquire);
    uint64_t epoch = atomic_load_explicit(&record->epoch, memory_order_acquire);
    bool used = claimed & 1 || atomic_load_explicit(&record->claimed, memory_order_acquire) != claimed;
    return used ? 0 : epoch;
}

void index_record_free(struct index_record *record)
{
    uint64_t holds = atomic_load_explicit(&record->holds, memory_order_relaxed);
    uint32_t claimed = atomic_load_explicit(&record->claimed, memory_order_relaxed);
    atomic_store_explicit(&record->holds, holds & ~HOLDS_LOCKS, memory_order_release); /* behind the locks */
    atomic_store_explicit(&record->claimed, (claimed | 1) + 1, memory_order_release);
}
