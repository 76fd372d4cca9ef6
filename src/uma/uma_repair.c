/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_repair.c — when a process dies and others go on (rule 16). Layer uma; called by whoever waits long.
 *
 * A dead process's records tell what it was at. For each slot that one of its records owns, PM tells the truth: data were
 * stored before the entry that shows them, so the newest entry of the block, as it stands, is complete. The repairer
 * writes back entry and homes on the dead one's behalf (its stores are visible, not known to be persistent), takes
 * base ^ flip into the slot, and unlocks. Only then it releases the record's guard, so that no commit can pass before.
 * Size changes and the log's header need nothing: each step of theirs leaves a consistent state.
 */
#include "base/msg.h"
#include "base/stats.h"
#include "pm/pm.h"
#include "uma/uma_block.h"

#include <errno.h>

static struct log_entry *entry_in_use(struct uma *uma, uint32_t n, uint64_t floor)
{
    struct log_entry *entry = log_entry(&uma->log, n);
    if (!entry)
        return NULL;
    struct uma_newest newest = uma_entry_newest(entry);
    return newest.epoch > floor ? entry : NULL;
}

/* The entry in use of a block with the highest seq; its lower ones are chained behind it as superseded. 0: none. All
 * entries of the block are flushed; the caller fences. */
static uint32_t adopt_entry(struct uma *uma, uint64_t block)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t floor = atomic_load_explicit(&log_header(&uma->log)->floor, memory_order_relaxed);
    uint32_t end = atomic_load_explicit(&shared->log_blocks, memory_order_acquire);
    uint32_t best = 0;
    uint64_t best_seq = 0;
    for (uint32_t n = LOG_FIRST_BLOCK; n < end && log_has_block(&uma->log, n); n++) {
        struct log_entry *entry = log_entry(&uma->log, n);
        if (!entry || log_entry_number(atomic_load_explicit(&entry->block, memory_order_relaxed)) != block)
            continue;
        uint64_t seq = log_entry_number(atomic_load_explicit(&entry->seq, memory_order_relaxed));
        if (!seq) /* never used */
            continue;
        pm_flush(entry, PM_LINE); /* also one that the dead has just zeroed: it must not come back */
        if (!entry_in_use(uma, n, floor))
            continue;
        if (!best || seq > best_seq) {
            atomic_store_explicit(index_superseded(&uma->index, n), best, memory_order_relaxed);
            best = n;
            best_seq = seq;
        } else {
            _Atomic uint32_t *link = index_superseded(&uma->index, best);
            atomic_store_explicit(index_superseded(&uma->index, n), atomic_load_explicit(link, memory_order_relaxed),
                                  memory_order_relaxed);
            atomic_store_explicit(link, n, memory_order_relaxed);
        }
    }
    return best;
}

/* A mapped file has its newest lines, always. Where the dead one had saved lines and not yet said that the file has the new
 * ones, the file has some of their bytes, maybe: each is old or new, as with the kernel. What was saved is not put back: a
 * mapping may have stored to the rest of a line since. The caller flushes the file's home before anything can commit this. */
static void adopt_in_place(struct log_entry *entry, uint64_t newest)
{
    struct uma_newest record = uma_entry_newest(entry);
    pm_store64(&entry->record[record.which].flip, record.flip | newest);
    pm_flush(entry, PM_LINE);
    pm_fence();
}

void uma_repair_slot(struct uma *uma, uint64_t block, struct index_slot *slot, uint64_t state)
{
    uint32_t n = adopt_entry(uma, block);
    uint64_t newest = 0;
    if (n) {
        struct log_entry *entry = log_entry(&uma->log, n);
        struct uma_newest record = uma_entry_newest(entry);
        newest = record.base ^ record.flip;
        char *log = log_block(&uma->log, n);
        if (log)
            pm_flush(log, UMA_BLOCK);
        pm_fence();
        if (newest && atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE) {
            adopt_in_place(entry, newest);
            newest = 0;
        }
    } else {
        pm_fence();
    }
    /* As far as the file reaches into the block: more than its last page is never mapped, less would be too little. */
    uint64_t start = block * UMA_BLOCK;
    if (start < UMA_MAPPED_MOST && start < atomic_load_explicit(&uma_shared(uma)->kernel_size, memory_order_acquire)) {
        char *home = pm_map_at(&uma->data, start); /* flushed by address */
        if (home) {
            pm_flush(home, UMA_BLOCK);
            pm_fence();
        }
    }
    atomic_store_explicit(&slot->newest, newest, memory_order_relaxed);
    /* the dead owner had made the version odd: (version - 1) was the state before. Whether the file's block is allocated
     * is forgotten: it is reserved again at the next write */
    index_slot_unlock(slot, state - 1, n);
}

static void repair_slots(struct uma *uma, struct index_record *dead)
{
    uint32_t blocks = atomic_load_explicit(&dead->blocks, memory_order_acquire);
    uint64_t first = atomic_load_explicit(&dead->first, memory_order_relaxed);
    uint32_t id = uma_id(uma, dead);
    _Static_assert(UMA_PIECE_BLOCKS >= INDEX_LEAF_SLOTS, "write-back says that it holds a leaf");
    for (uint32_t i = 0; i < blocks && i <= UMA_PIECE_BLOCKS; i++) {
        struct index_slot *slot = index_find(&uma->index, first + i);
        if (!slot)
            continue;
        uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
        if (index_state_locked(state) && (uint32_t)(state >> 32) == id)
            uma_repair_slot(uma, first + i, slot, state);
    }
}

/* Frees the log blocks that the dead one had taken and that no entry uses. */
static void repair_blocks(struct uma *uma, struct index_record *dead)
{
    uint64_t floor = atomic_load_explicit(&log_header(&uma->log)->floor, memory_order_relaxed);
    uint32_t end = atomic_load_explicit(&uma_shared(uma)->log_blocks, memory_order_acquire);
    uint32_t count = atomic_load_explicit(&dead->alloc_count, memory_order_acquire);
    uint32_t first = atomic_load_explicit(&dead->alloc_first, memory_order_relaxed);
    for (uint32_t n = first; n < first + count && n < end && log_has_block(&uma->log, n); n++)
        if (!entry_in_use(uma, n, floor))
            index_give_block(&uma->index, n);
}

static void repair_record(struct uma *uma, struct index_record *dead)
{
    repair_slots(uma, dead);
    repair_blocks(uma, dead);
    atomic_store_explicit(&dead->alloc_count, 0, memory_order_relaxed);
    atomic_store_explicit(&dead->blocks, 0, memory_order_relaxed);
    uma_times_let_go(uma, dead);
    uma_guard_leave(dead);
    /* A commit that it had begun shows in epoch > durable; the next holder of the lock finishes it. A mode change that it
     * had begun shows nothing, or is complete. */
    for (unsigned i = 0; i < INDEX_LOCKS; i++) {
        struct shlock *lock = index_lock(&uma->index, (enum index_lock)i);
        if (i != INDEX_LOCK_REPAIR && shlock_owner(lock) == uma_id(uma, dead))
            shlock_release(lock);
    }
    index_record_free(dead);
}

/* The repair lock, also from a repairer that has died, or never was. */
static bool repair_begin(struct uma *uma, struct index_record *record)
{
    uint32_t holder = shlock_owner(index_lock(&uma->index, INDEX_LOCK_REPAIR));
    if (index_record_of(&uma->index, holder)) {
        uint64_t process =
            atomic_load_explicit(index_process(&uma->index, index_participant_of(holder)), memory_order_acquire);
        if ((!process || volume_is_dead(uma->volume, process)) &&
            index_lock_take_over(&uma->index, record, INDEX_LOCK_REPAIR, holder) == 0)
            return true;
    }
    if (index_lock_try(&uma->index, record, INDEX_LOCK_REPAIR) == 0)
        return true;
    uma_heal_lock(uma, record, INDEX_LOCK_REPAIR); /* for the next time */
    return false;
}

bool uma_repair(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    /* What a mapping shows must be put back into the file: left to a process that may write it. */
    if (!uma->data_writable && atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE)
        return false;
    if (!repair_begin(uma, record))
        return false;
    bool any = false;
    uint32_t participants = atomic_load_explicit(&shared->participants, memory_order_acquire);
    for (unsigned p = 0; p < participants && p < INDEX_PARTICIPANTS; p++) {
        uint64_t process = atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire);
        if (!process || p == uma->participant || !volume_is_dead(uma->volume, process))
            continue;
        msg(MSG_NOTICE, "inode %llu: repairing what a dead process left", (unsigned long long)uma->ino);
        for (unsigned i = 0; i < INDEX_RECORDS; i++) {
            struct index_record *dead = &index_records(&uma->index, p)[i];
            if (index_is_claimed(dead))
                repair_record(uma, dead);
        }
        if (atomic_load_explicit(&index_records(&uma->index, p)->protects, memory_order_acquire))
            atomic_store_explicit(&shared->strays, 1, memory_order_release); /* before its place is free */
        index_leave(&uma->index, p);
        stats_add(STATS_REPAIRS, 1);
        any = true;
    }
    uma_unlock(uma, record, INDEX_LOCK_REPAIR);
    return any;
}
