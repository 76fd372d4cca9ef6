/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_heal.c — words of the index that nobody would ever change back: waits that would not end. Layer uma; called by whoever
 * has waited for some milliseconds.
 *
 * The index is memory that several processes store to, and any of them may spoil it. What is waited for is a lock, a slot, a
 * record in the guard, an epoch. Each has a second word that says the same (index_locks.c tells how, and why nobody healthy
 * is robbed), or a place in which it can only have certain values. If the two do not agree the file has failed: nothing is
 * committed, written back or freed from then on, and every call says EIO. The log has all that was committed, and what was
 * written since; the next opener recovers it. The word is set free, so that everybody who waits comes to see that.
 *
 * What remains is damage that confirms itself, two words of one record for example: it is waited for as what it says.
 */
#include "base/msg.h"
#include "uma/uma_private.h"

void uma_damaged(struct uma *uma, const char *what)
{
    if (!uma_is_failed(uma))
        msg(MSG_ERROR, "inode %llu: the index is damaged (%s): the file fails until its last close",
            (unsigned long long)uma->ino, what);
    /* release, as in uma_fail */
    atomic_store_explicit(&uma_shared(uma)->mode, INDEX_MODE_FAILED, memory_order_release);
}

void uma_mode_store(struct uma *uma, enum index_mode mode)
{
    _Atomic uint32_t *at = &uma_shared(uma)->mode;
    uint32_t now = atomic_load_explicit(at, memory_order_relaxed);
    /* release: readers that see the mode see the file complete */
    while (now != INDEX_MODE_FAILED &&
           !atomic_compare_exchange_weak_explicit(at, &now, (uint32_t)mode, memory_order_release, memory_order_relaxed))
        ;
}

static bool has_its_place(const struct uma *uma)
{
    return atomic_load_explicit(index_process(&uma->index, uma->participant), memory_order_relaxed) == uma->process;
}

bool uma_epochs_hold(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t durable = atomic_load_explicit(&shared->durable, memory_order_acquire);
    uint64_t ahead = atomic_load_explicit(&shared->epoch, memory_order_acquire) - durable;
    /* The header's is durable, or one more where a committer died behind it. */
    uint64_t header = atomic_load_explicit(&log_header(&uma->log)->epoch, memory_order_relaxed) - durable;
    bool hold = ahead <= 1 && header <= ahead && has_its_place(uma);
    if (!hold)
        uma_damaged(uma, "epochs");
    return hold;
}

void uma_heal_lock(struct uma *uma, struct index_record *record, enum index_lock which)
{
    uint32_t owner;
    if (!index_lock_is_nobodys(&uma->index, record, which, &owner))
        return;
    uma_damaged(uma, "a lock"); /* first: who gets it next sees that */
    if (index_lock_take_over(&uma->index, record, which, owner) == 0)
        uma_unlock(uma, record, which);
}

void uma_heal_slot(struct uma *uma, struct index_record *record, struct index_slot *slot, uint64_t block)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    if (!index_state_locked(state) || !index_slot_is_nobodys(&uma->index, record, slot, block, state))
        return;
    uma_damaged(uma, "a slot");
    uint64_t ours = (uint64_t)uma_id(uma, record) << 32 | (uint32_t)state;
    if (atomic_compare_exchange_strong_explicit(&slot->state, &state, ours, memory_order_acq_rel, memory_order_relaxed))
        uma_repair_slot(uma, block, slot, ours);
}

void uma_heal_guard(struct uma *uma, struct index_record *other)
{
    uint64_t epoch = index_stray_epoch(other);
    if (!epoch)
        return;
    uma_damaged(uma, "a record");
    atomic_compare_exchange_strong_explicit(&other->epoch, &epoch, 0, memory_order_release, memory_order_relaxed);
}

void uma_heal_outside(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&record->epoch, memory_order_relaxed)) { /* a committer would wait for us, and we for it */
        uma_damaged(uma, "a record");
        uma_guard_leave(record);
    }
    if (!has_its_place(uma))
        uma_damaged(uma, "a place");
    /* Who joins raises the number first; one that is too low hides dead processes from uma_repair. */
    for (unsigned p = INDEX_PARTICIPANTS; p-- > atomic_load_explicit(&shared->participants, memory_order_acquire);)
        if (atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire) &&
            p >= atomic_load_explicit(&shared->participants, memory_order_acquire)) {
            uma_damaged(uma, "the number of places");
            atomic_store_explicit(&shared->participants, p + 1, memory_order_release);
        }
}

void uma_heal_inside(struct uma *uma, struct index_record *record, uint64_t epoch)
{
    uma_heal_lock(uma, record, INDEX_LOCK_COMMIT);
    if (atomic_load_explicit(&record->epoch, memory_order_relaxed) <= epoch)
        uma_damaged(uma, "a record");
}

bool uma_walk_on(struct uma *uma, uint64_t *leaves)
{
    bool endless = index_is_endless(&uma->index, ++*leaves);
    if (endless)
        uma_damaged(uma, "the tree");
    return !endless;
}
