/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_writeback.c — bringing committed lines to the file and freeing their entries (rules 9, 11, 12). Layer uma; called by
 * the sync thread, under log pressure, before mode changes and at detach.
 *
 * Order of the stores for a batch of blocks, all slots locked
 *   1. the file's size durable (fsync) as far as the batch reaches: a home that counts must exist. Its blocks do: they were
 *      allocated before the write, and the commit of the write's epoch has made that durable
 *   2. lines log -> file; fence                      still void for recovery: entries say "log"
 *   3. superseded entries zeroed; fence               before the deciding entry goes, or they would decide
 *   4. entries zeroed, older record first; fence      from here on recovery takes the file
 *   5. slots unlocked without entry, log blocks free  only now may anybody reuse them
 */
#include "base/geometry.h"
#include "base/grow.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "pm/pm.h"
#include "uma/uma_block.h"

#include <errno.h>

#define BATCH GEOMETRY_BATCH

struct batch_slot {
    struct index_slot *slot;
    uint64_t old;
    uint64_t block;
    uint64_t end; /* of what counts in the file, when the slot was locked: bytes of the block behind it are garbage */
    struct log_entry *entry;
    uint32_t number;
    uint32_t superseded;
};

struct batch {
    struct batch_slot slot[BATCH];
    unsigned count;
    uint64_t reach; /* the file must be that long */
    bool by_kernel; /* some block is not mapped here: stored by pwrite, made durable by fsync */
};

/* The end of what counts in the file: committed, newest, or what is zeroed for a size that will come, whichever is larger. */
static uint64_t meaningful_end(struct index_shared *shared)
{
    uint64_t zeros =
        atomic_load_explicit(&shared->zeros_end, memory_order_acquire); /* before the size, see uma_size_set */
    uint64_t size = uma_max(atomic_load_explicit(&shared->size, memory_order_acquire),
                            atomic_load_explicit(&shared->committed_size, memory_order_acquire));
    return uma_max(zeros, size);
}

/* Adds the block if it is locked now and its entry can go; else leaves the slot unlocked. */
static void batch_add(struct uma *uma, struct index_record *record, struct batch *batch, uint64_t block,
                      struct index_slot *slot, bool wait)
{
    struct index_shared *shared = uma_shared(uma);
    struct batch_slot *item = &batch->slot[batch->count];
    if (wait)
        item->old = uma_lock_slot(uma, record, slot, block);
    else if (!index_slot_try_lock(slot, uma_id(uma, record), &item->old))
        return;
    item->number = index_state_entry(item->old);
    item->entry = log_has_block(&uma->log, item->number) ? log_entry(&uma->log, item->number) : NULL;
    uint64_t durable = atomic_load_explicit(&shared->durable, memory_order_acquire);
    if (!item->entry || uma_entry_newest(item->entry).epoch >= durable || !log_block(&uma->log, item->number)) {
        index_slot_unlock(slot, item->old, (uint32_t)(item->old >> 32));
        return;
    }
    item->slot = slot;
    item->block = block;
    item->end = uma_min((block + 1) * UMA_BLOCK, meaningful_end(shared));
    if (item->end > block * UMA_BLOCK && item->end > batch->reach)
        batch->reach = item->end;
    batch->count++;
}

static int copy_by_kernel(struct uma *uma, const char *bytes, uint64_t count, uint64_t at)
{
    int error = sys_pwrite_all(uma->data_fd, bytes, count, (off_t)at);
    if (!error)
        uma_worth_count(&uma->bytes_copied, count);
    return error;
}

/* Step 2 for one block: bytes behind the end are nobody's and stay out of the file. `most`: so long is the kernel's file.
 * Somebody may be about to make the file longer; he zeroes what was garbage when this slot was locked, but not yet. Where the
 * file is not mapped here the kernel copies, until mapping it is worth the faults. */
static int block_copy(struct uma *uma, const struct batch_slot *item, uint64_t most, uint64_t limit, bool *by_kernel)
{
    uint64_t start = item->block * UMA_BLOCK;
    uint64_t end = uma_min(item->end, most);
    if (end <= start)
        return 0;
    char *home = pm_map_peek(&uma->data, start);
    const char *log = log_block(&uma->log, item->number);
    /* the kernel would refuse what was written before; or there is much to come */
    if (!home && start < UMA_MAPPED_MOST && (end > limit || uma_home_worth_mapping(uma, most))) {
        home = pm_map_at(&uma->data, start);
        if (!home && end > limit)
            return -ENOMEM;
    }
    *by_kernel = *by_kernel || !home;
    uint64_t lines = atomic_load_explicit(&item->slot->newest, memory_order_relaxed);
    unsigned first, last;
    int error = 0;
    while (!error && uma_take_run(&lines, &first, &last)) {
        uint64_t from = first * UMA_LINE, to = uma_min((last + 1) * UMA_LINE, end - start);
        if (from >= to)
            break;
        if (home)
            pm_copy(home + from, log + from, to - from);
        else
            error = copy_by_kernel(uma, log + from, to - from, start + from);
    }
    return error;
}

static void batch_unlock(struct batch *batch, bool unchanged)
{
    for (unsigned i = 0; i < batch->count; i++) {
        struct batch_slot *item = &batch->slot[i];
        uint32_t high = (uint32_t)(item->old >> 32);
        if (!unchanged)
            atomic_store_explicit(&item->slot->newest, 0, memory_order_relaxed);
        index_slot_unlock(item->slot, item->old, unchanged ? high : high & INDEX_HOME_ALLOCATED);
    }
    batch->count = 0;
    batch->reach = 0;
    batch->by_kernel = false;
}

/* Steps 1 to 5. Returns entries freed or -errno; -EAGAIN: nothing was done, and the slots are unlocked. Not inlined: the caller's
 * frame holds the batch, and stacks are small. */
static __attribute__((noinline)) int64_t batch_flush(struct uma *uma, struct index_record *record, struct batch *batch)
{
    int64_t freed = batch->count;
    if (!batch->count)
        return 0;
    uint64_t most = meaningful_end(uma_shared(uma)); /* once: what the kernel's file is made is what is copied */
    int error = batch->reach ? uma_extend_with_slots(uma, record, most) : 0;
    uint64_t limit = pm_map_peek(&uma->data, batch->slot[0].block * UMA_BLOCK) ? UINT64_MAX : grow_limit();
    for (unsigned i = 0; i < batch->count && !error; i++)
        error = block_copy(uma, &batch->slot[i], most, limit, &batch->by_kernel);
    if (!error && batch->by_kernel)
        error = sys_fsync(uma->data_fd);
    if (!error && uma_is_failed(uma)) /* the file is not what was copied to: the entries stay */
        error = -EIO;
    if (error) {
        batch_unlock(batch, true);
        return error;
    }
    pm_fence();
    bool superseded = false;
    for (unsigned i = 0; i < batch->count; i++) {
        struct batch_slot *item = &batch->slot[i];
        item->superseded = uma_void_superseded(uma, item->number, item->entry);
        superseded = superseded || item->superseded;
    }
    if (superseded)
        pm_fence();
    for (unsigned i = 0; i < batch->count; i++)
        uma_entry_zero(batch->slot[i].entry);
    pm_fence();
    for (unsigned i = 0; i < batch->count; i++) {
        uma_give_chain(uma, batch->slot[i].superseded);
        index_give_block(&uma->index, batch->slot[i].number);
    }
    batch_unlock(batch, false);
    stats_add(STATS_WRITEBACK_BLOCKS, (uint64_t)freed);
    return freed;
}

/* The blocks of one leaf. */
static int64_t writeback_leaf(struct uma *uma, struct index_record *record, uint64_t first, uint64_t most, bool all)
{
    struct batch batch = {.count = 0};
    int64_t freed = 0;
    struct index_slot *leaf = index_find(&uma->index, first);
    if (!leaf)
        return 0;
    atomic_store_explicit(&record->first, first, memory_order_relaxed);
    atomic_store_explicit(&record->blocks, INDEX_LEAF_SLOTS, memory_order_release);
    unsigned begin = 0; /* of the batch */
    for (unsigned i = 0; i < INDEX_LEAF_SLOTS && (uint64_t)freed < most; i++) {
        uint64_t state = atomic_load_explicit(&leaf[i].state, memory_order_relaxed);
        if (index_state_locked(state) || index_state_entry(state))
            batch_add(uma, record, &batch, first + i, &leaf[i], all);
        if (batch.count < BATCH && i < INDEX_LEAF_SLOTS - 1)
            continue;
        int64_t n = batch_flush(uma, record, &batch);
        if (n == -EAGAIN) {
            uma_lock(uma, record, INDEX_LOCK_KERNEL); /* without slots */
            uma_unlock(uma, record, INDEX_LOCK_KERNEL);
            i = begin - 1; /* the batch again */
            continue;
        }
        if (n < 0)
            return n;
        freed += n;
        begin = i + 1;
    }
    return freed;
}

int64_t uma_writeback(struct uma *uma, struct index_record *record, uint64_t most, bool all)
{
    struct index_shared *shared = uma_shared(uma);
    uint32_t mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH || mode == INDEX_MODE_FAILED || uma_is_frozen(uma))
        return 0;
    uint64_t begin = all ? 0 : atomic_load_explicit(&shared->writeback_cursor, memory_order_relaxed);
    uint64_t at = begin, leaves = 0;
    int64_t freed = 0;
    bool wrapped = begin == 0;
    while ((uint64_t)freed < most) {
        uint64_t block = index_next(&uma->index, at);
        if (block == UINT64_MAX || (wrapped && begin && block >= begin)) {
            if (wrapped)
                break;
            wrapped = true;
            at = 0;
            continue;
        }
        uint64_t first = block & ~(uint64_t)(INDEX_LEAF_SLOTS - 1);
        int64_t n = uma_walk_on(uma, &leaves) ? writeback_leaf(uma, record, first, most - (uint64_t)freed, all) : -EIO;
        if (n < 0) {
            freed = n;
            break;
        }
        freed += n;
        at = first + INDEX_LEAF_SLOTS;
    }
    atomic_store_explicit(&shared->writeback_cursor, at, memory_order_relaxed);
    atomic_store_explicit(&record->blocks, 0, memory_order_relaxed);
    return freed;
}

int64_t uma_writeback_quietly(struct uma *uma, struct index_record *record, uint64_t most, bool all)
{
    uma_times_keep(uma, record);
    int64_t freed = uma_writeback(uma, record, most, all);
    uma_times_restore(uma, record);
    return freed;
}

void uma_forget_homes(struct uma *uma, struct index_record *record, uint64_t first)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&shared->dense_blocks, memory_order_relaxed) > first)
        atomic_store_explicit(&shared->dense_blocks, first, memory_order_release);
    uint64_t leaves = 0;
    for (uint64_t block = first; (block = index_next(&uma->index, block)) != UINT64_MAX; block++) {
        struct index_slot *slot = index_find(&uma->index, block);
        if (block % INDEX_LEAF_SLOTS == 0 && !uma_walk_on(uma, &leaves))
            break;
        if (!slot || !atomic_load_explicit(&slot->state, memory_order_relaxed))
            continue;
        atomic_store_explicit(&record->first, block, memory_order_relaxed);
        atomic_store_explicit(&record->blocks, 1, memory_order_release);
        uint64_t old = uma_lock_slot(uma, record, slot, block);
        index_slot_unlock(slot, old, index_state_entry(old));
    }
    atomic_store_explicit(&record->blocks, 0, memory_order_relaxed);
}

/* Frees the entries of blocks that lie wholly behind the size. */
static int trim_entries(struct uma *uma, struct index_record *record, uint64_t size)
{
    uint64_t block = uma_round_up(size) / UMA_BLOCK, leaves = 0;
    while ((block = index_next(&uma->index, block)) != UINT64_MAX) {
        int64_t n = -EIO;
        if (uma_walk_on(uma, &leaves))
            n = writeback_leaf(uma, record, block & ~(uint64_t)(INDEX_LEAF_SLOTS - 1), UINT64_MAX, true);
        if (n < 0)
            return (int)n;
        block = (block | (INDEX_LEAF_SLOTS - 1)) + 1;
    }
    return 0;
}

int uma_trim_locked(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    uint64_t durable = atomic_load_explicit(&shared->durable, memory_order_acquire);
    if (size != atomic_load_explicit(&shared->committed_size, memory_order_acquire) ||
        atomic_load_explicit(&shared->dirty_epoch, memory_order_acquire) >= durable ||
        size >= atomic_load_explicit(&shared->kernel_size, memory_order_acquire))
        return 0;
    uma_times_keep(uma, record);
    int error = trim_entries(uma, record, size);
    if (!error) {
        uma_lock(uma, record, INDEX_LOCK_KERNEL);
        error = uma_cut_kernel(uma, record, size, UINT64_MAX);
        uma_unlock(uma, record, INDEX_LOCK_KERNEL);
        uint64_t garbage = atomic_load_explicit(&shared->garbage_end, memory_order_relaxed);
        atomic_store_explicit(&shared->garbage_end, uma_min(garbage, uma_round_up(size)), memory_order_relaxed);
    }
    uma_times_restore(uma, record);
    return error;
}

int uma_trim(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&shared->size, memory_order_relaxed) >=
            atomic_load_explicit(&shared->kernel_size, memory_order_relaxed) ||
        uma_is_frozen(uma))
        return 0;
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_gate_close(uma, record);
    int error = uma_trim_locked(uma, record);
    uma_gate_open(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    return error;
}

int uma_write_back(struct uma *uma)
{
    struct index_record *record = uma_claim(uma);
    int64_t n = uma_writeback_quietly(uma, record, UINT64_MAX, true);
    int error = n < 0 ? (int)n : 0;
    if (!error)
        error = uma_trim(uma, record);
    if (!error && !uma_is_frozen(uma))
        error = uma_extend_kernel(uma, record,
                                  atomic_load_explicit(&uma_shared(uma)->committed_size, memory_order_acquire));
    uma_unclaim(uma, record);
    return error;
}
