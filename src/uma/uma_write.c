/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_write.c — writing: pieces, locks, guard, publication. Layer uma; called by file. The blocks are uma_block.c's.
 *
 * One piece (at most 2 MiB) is one step for everybody else: its slots are locked from before the first store until after
 * the fence, and it lies in one epoch. In order:
 *     prepare   index nodes, file space, log blocks: all that can fail or call the kernel
 *     lock      slots, ascending
 *     guard     enter the epoch; look at mode, gate and size again
 *     plan      per block: homes; nothing is stored yet, so everything above can be undone and repeated
 *     store     data, entries; one fence
 *     publish   size, slots; leave the guard
 */
#include "base/stats.h"
#include "pm/pm.h"
#include "uma/uma_block.h"
#include "uma/uma_source.h"

#include <errno.h>
#include <string.h>

#define SMALL_BLOCKS 4u /* pieces up to this many blocks need no scratch memory */

/* The piece must be repeated from the start: after growing the lock set, or in another mode. Internal. */
#define RETRY_RESIZE (-4093) /* the size must be moved: take the resize lock first */
#define RETRY_BLOCKS (-4092) /* more log blocks are needed than were taken */
#define RETRY_GATE (-4091)   /* the gate is closed, or was: prepare again */

/* ---- one piece ---- */

struct piece {
    struct uma *uma;
    struct index_record *record;
    struct uma_source *source;
    uint64_t offset, length;
    bool moves_size; /* false: zeros behind the end, the size stays */
    bool has_resize; /* the resize lock is held */
    uint32_t mode;   /* that it was prepared for */
    uintptr_t page;  /* not a write: the blocks are saved, and then this mapping of them is exposed (uma_protect.c) */
    uint64_t first;  /* blocks */
    uint32_t blocks;
    struct uma_hold *hold;
    uint32_t *fresh; /* log blocks taken */
    uint32_t fresh_count;
    char *bounce;
};

static void piece_range(const struct piece *piece, uint32_t i, unsigned *from, unsigned *to)
{
    uint64_t start = (piece->first + i) * UMA_BLOCK;
    *from = start < piece->offset ? (unsigned)(piece->offset - start) : 0;
    *to = (unsigned)uma_min(piece->offset + piece->length - start, UMA_BLOCK);
}

/* Index nodes and mappings for the piece; how many blocks have no entry yet. */
static int piece_prepare_slots(struct piece *piece, uint32_t *missing)
{
    struct uma *uma = piece->uma;
    *missing = 0;
    for (uint32_t i = 0; i < piece->blocks; i++) {
        int error = 0;
        struct index_slot *slot = NULL;
        if (i && (piece->first + i) % INDEX_LEAF_SLOTS)
            slot = piece->hold[i - 1].slot + 1;
        while (!slot) {
            slot = index_make(&uma->index, piece->record, piece->first + i, &error);
            if (!slot && error != -ETIMEDOUT)
                return error;
            if (!slot)
                uma_look_after(uma, piece->record, INDEX_LOCK_NODE);
        }
        piece->hold[i].slot = slot;
        if (!index_state_entry(atomic_load_explicit(&slot->state, memory_order_relaxed)))
            ++*missing;
    }
    return 0;
}

static void piece_give_fresh(struct piece *piece)
{
    if (!piece->fresh_count)
        return;
    atomic_store_explicit(&piece->record->alloc_count, 0, memory_order_release); /* first, as in uma_take_blocks */
    while (piece->fresh_count)
        index_give_block(&piece->uma->index, piece->fresh[--piece->fresh_count]);
}

/* The kernel's file as long as this piece needs it, and its blocks allocated. In mode IN_PLACE all of it goes to the file.
 * In mode LOGGED a block that was appended and is now written over can flip to its file home only if the kernel's file has
 * it; else it would be relocated each time. All that is committed then, so that few writes pay; and not for appends, which
 * share a block with the append before and would never come to an end of this. That comes before the allocation: should the
 * file be cut in between, what was allocated is behind its end again, where no home counts; the other way round the longer
 * file could have a hole here. */
static int piece_prepare_homes(struct piece *piece)
{
    struct uma *uma = piece->uma;
    struct index_shared *shared = uma_shared(uma);
    uint64_t end = piece->offset + piece->length;
    int error = 0;
    uint32_t mode = piece->mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    uint64_t committed = atomic_load_explicit(&shared->committed_size, memory_order_acquire);
    if (mode == INDEX_MODE_LOGGED && end <= uma_min(committed, UMA_MAPPED_MOST) &&
        atomic_load_explicit(&shared->kernel_durable, memory_order_acquire) < uma_min(committed, uma_round_up(end)))
        error = uma_extend_kernel(uma, piece->record, committed);
    if (!error)
        error = uma_reserve_home(uma, piece->record, piece->first, piece->blocks);
    return error || mode != INDEX_MODE_IN_PLACE ? error : uma_lengthen_kernel(uma, piece->record, end);
}

static int piece_prepare(struct piece *piece, bool worst)
{
    uint32_t missing;
    int error = piece_prepare_slots(piece, &missing);
    if (!error)
        error = piece_prepare_homes(piece);
    uint32_t need = worst ? piece->blocks : missing;
    if (!error && need > piece->fresh_count) {
        piece_give_fresh(piece);
        error = uma_take_blocks(piece->uma, piece->record, need, piece->fresh);
        if (!error)
            piece->fresh_count = need;
    }
    return error;
}

static void piece_lock(struct piece *piece)
{
    /* told before the first slot is locked, for the repairer; release orders first before blocks */
    atomic_store_explicit(&piece->record->first, piece->first, memory_order_relaxed);
    atomic_store_explicit(&piece->record->blocks, piece->blocks, memory_order_release);
    for (uint32_t i = 0; i < piece->blocks; i++) {
        piece->hold[i].old = uma_lock_slot(piece->uma, piece->record, piece->hold[i].slot, piece->first + i);
        piece->hold[i].newest = atomic_load_explicit(&piece->hold[i].slot->newest, memory_order_relaxed);
    }
}

/* Unlocks without a change. */
static void piece_unlock(struct piece *piece)
{
    for (uint32_t i = 0; i < piece->blocks; i++)
        index_slot_unlock(piece->hold[i].slot, piece->hold[i].old, (uint32_t)(piece->hold[i].old >> 32));
}

/* Inside the guard: whether the piece may go on, and what it needs to know. */
static int piece_check(struct piece *piece, struct uma_change *change)
{
    struct index_shared *shared = uma_shared(piece->uma);
    uint32_t mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH || (piece->page && mode == INDEX_MODE_LOGGED))
        return -UMA_AGAIN;
    if (mode == INDEX_MODE_FAILED)
        return -EIO;
    if (mode != piece->mode) /* mapped meanwhile: what the kernel's file must have for that was not asked for */
        return RETRY_GATE;
    /* While the mappings are being settled stores through them still belong to the epoch before: what the same thread has
     * done before them, by a call or through a page that it exposes now, must not come later (uma_protect.c). */
    if (atomic_load_explicit(&shared->protected, memory_order_acquire) &&
        atomic_load_explicit(&shared->durable, memory_order_acquire) < change->epoch) {
        uma_wait_durable(piece->uma, piece->record, change->epoch - 1);
        if (uma_is_failed(piece->uma))
            return -EIO;
    }
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    uint64_t end = piece->offset + piece->length;
    if (piece->moves_size && end > size && !piece->has_resize)
        return RETRY_RESIZE;
    if (end > atomic_load_explicit(&shared->garbage_end, memory_order_relaxed) && end > size) {
        log_note_past_end(&piece->uma->log); /* both before the stores: we may die in them */
        atomic_store_explicit(&shared->garbage_end, end, memory_order_release);
    }
    change->mapped = mode == INDEX_MODE_IN_PLACE;
    change->undo = atomic_load_explicit(&piece->uma->undo, memory_order_relaxed); /* either is right */
    change->size_after = piece->page ? size : uma_max(size, end);
    return 0;
}

static int piece_plan(struct piece *piece, struct uma_change *change)
{
    uint32_t need = 0;
    for (uint32_t i = 0; i < piece->blocks; i++) {
        unsigned from, to;
        piece_range(piece, i, &from, &to);
        int fresh = uma_block_plan(piece->uma, piece->record, change, piece->first + i, from, to, &piece->hold[i]);
        if (fresh < 0)
            return fresh;
        need += (uint32_t)fresh;
    }
    return need > piece->fresh_count ? RETRY_BLOCKS : 0;
}

static void piece_store(struct piece *piece, const struct uma_change *change)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < piece->blocks; i++) {
        unsigned from, to;
        struct uma_hold *hold = &piece->hold[i];
        piece_range(piece, i, &from, &to);
        bool takes = hold->set && (!hold->number || hold->relocate);
        uint32_t fresh = takes ? piece->fresh[next] : 0;
        if (piece->page)
            uma_block_save(piece->uma, change, piece->first + i, fresh, hold);
        else
            uma_block_store(piece->uma, change, piece->first + i, from, to,
                            uma_source_take(piece->source, to - from, piece->bounce), fresh, hold);
        next += takes;
    }
    pm_fence();
    if (!next)
        return;
    /* The used ones are in entries now; once the slots are unlocked others may free them. */
    atomic_store_explicit(&piece->record->alloc_count, 0, memory_order_release);
    piece->fresh_count -= next;
    memmove(piece->fresh, piece->fresh + next, piece->fresh_count * sizeof *piece->fresh);
}

/* Locks, enters, plans, stores, publishes: once. */
static int piece_try(struct piece *piece)
{
    struct uma *uma = piece->uma;
    struct uma_change change;
    piece_lock(piece);
    int error = uma_guard_enter(uma, piece->record, &change.epoch) ? RETRY_GATE : 0;
    bool inside = !error;
    if (!error)
        error = piece_check(piece, &change);
    if (!error)
        error = piece_plan(piece, &change);
    if (error) {
        piece_unlock(piece);
        if (inside)
            uma_guard_leave(piece->record);
        return error;
    }
    uma_mark_changed(uma, change.epoch);
    piece_store(piece, &change);
    uint64_t end = piece->offset + piece->length;
    if (piece->moves_size && end > atomic_load_explicit(&uma_shared(uma)->size, memory_order_relaxed))
        uma_size_set(uma, change.epoch, end);
    if (piece->page) /* while nobody else can change the blocks, and before their epoch can end */
        error = uma_protect_expose(uma, piece->first, piece->blocks, piece->page);
    for (uint32_t i = 0; i < piece->blocks; i++)
        uma_block_publish(uma, &piece->hold[i]);
    uma_guard_leave(piece->record);
    return uma_is_failed(uma) ? -EIO : error;
}

static int piece_write(struct piece *piece)
{
    struct uma_hold small_hold[SMALL_BLOCKS];
    uint32_t small_fresh[SMALL_BLOCKS];
    piece->first = uma_block_of(piece->offset);
    piece->blocks = (uint32_t)(uma_block_of(piece->offset + piece->length - 1) - piece->first + 1);
    if (piece->blocks <= SMALL_BLOCKS && (!piece->source->iov || piece->source->count == 1)) {
        piece->hold = small_hold;
        piece->fresh = small_fresh;
    } else {
        struct uma_scratch *scratch = uma_scratch(piece->uma, piece->record);
        if (!scratch)
            return -ENOMEM;
        piece->hold = scratch->hold;
        piece->fresh = scratch->fresh;
        piece->bounce = scratch->bounce;
    }
    int error;
    bool worst = false;
    do {
        error = piece_prepare(piece, worst);
        if (error)
            break;
        error = piece_try(piece);
        if (error == RETRY_GATE)
            uma_gate_wait(piece->uma, piece->record);
        worst = worst || error == RETRY_BLOCKS;
    } while (error == RETRY_GATE || error == RETRY_BLOCKS);
    piece_give_fresh(piece);
    return error;
}

/* ---- writes ---- */

/* One piece of zeros; *from moves behind it. */
static int write_zeros_piece(struct uma *uma, struct index_record *record, uint64_t *from, uint64_t length)
{
    struct uma_source source = {.iov = NULL};
    struct piece piece = {
        .uma = uma, .record = record, .source = &source, .offset = *from, .length = length, .has_resize = true};
    *from += length;
    return piece_write(&piece);
}

int uma_write_zeros(struct uma *uma, struct index_record *record, uint64_t from, uint64_t to)
{
    struct index_shared *shared = uma_shared(uma);
    int error = 0;
    /* Before the first store; uma_size_set ends it. Without it a write-back in between would lose the zeros. */
    atomic_store_explicit(&shared->zeros_end, to, memory_order_release);
    /* The rest of the last block in any case: what a mapping stored there the kernel does not tell, as it is behind the end. */
    uint64_t block_end = uma_min(to, uma_round_up(from));
    if (from < block_end)
        error = write_zeros_piece(uma, record, &from, block_end - from);
    /* holes are zeros already: a file may have been cut from, and grown to, any size */
    while (!error && (from = uma_next_data(uma, from)) < to)
        error =
            write_zeros_piece(uma, record, &from, uma_piece_length(from, uma_min(to, uma_next_hole(uma, from)) - from));
    if (error)
        atomic_store_explicit(&shared->zeros_end, 0, memory_order_release);
    return error;
}

/* Zeros between the end and where the write starts, where there may be garbage (rule 7). Under the resize lock. */
static int write_gap(struct uma *uma, struct index_record *record, uint64_t offset)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_relaxed);
    uint64_t to = uma_min(offset, uma_garbage_end(uma, size));
    if (offset / UMA_BLOCK > uma_round_up(size) / UMA_BLOCK)
        uma_drop_reserve(uma, record, offset);
    return size < to ? uma_write_zeros(uma, record, size, to) : 0;
}

int uma_write_save(struct uma *uma, struct index_record *record, uint64_t block, uint32_t blocks, uintptr_t page)
{
    struct uma_source source = {.iov = NULL};
    struct piece piece = {.uma = uma,
                          .record = record,
                          .source = &source,
                          .offset = block * UMA_BLOCK,
                          .length = blocks * UMA_BLOCK,
                          .page = page};
    return piece_write(&piece);
}

/* All pieces. Returns bytes written, or an error if it was before the first. */
static ssize_t write_pieces(struct uma *uma, struct index_record *record, struct uma_source *source, uint64_t *offset,
                            uint64_t length, bool append, bool *has_resize)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t done = 0;
    int error = 0;
    while (done < length && !error) {
        uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
        if (append && !*has_resize) {
            uma_lock(uma, record, INDEX_LOCK_RESIZE);
            *has_resize = true;
            *offset = atomic_load_explicit(&shared->size, memory_order_relaxed);
            if (length > (uint64_t)UMA_SIZE_MAX - *offset)
                return -EFBIG;
        }
        struct piece piece = {.uma = uma, .record = record, .source = source, .offset = *offset, .moves_size = true};
        piece.length = uma_piece_length(*offset, length - done);
        size_t readable = uma_source_probe(source, piece.length);
        if (!readable) {
            error = -EFAULT;
            break;
        }
        piece.length = readable;
        if (piece.offset + piece.length > size && !*has_resize) {
            uma_lock(uma, record, INDEX_LOCK_RESIZE);
            *has_resize = true;
        }
        piece.has_resize = *has_resize;
        if (*has_resize)
            error = write_gap(uma, record, *offset);
        if (!error)
            error = piece_write(&piece);
        if (error == RETRY_RESIZE) { /* somebody made the file shorter meanwhile */
            uma_lock(uma, record, INDEX_LOCK_RESIZE);
            *has_resize = true;
            error = 0;
            continue;
        }
        if (!error) {
            done += piece.length;
            *offset += piece.length;
        }
    }
    return done ? (ssize_t)done : error;
}

/* Starts the loads that a write of one block will wait for, before its first locked instruction: that one waits until the
 * write before is persistent, and these can be done meanwhile. */
static inline void prefetch_block(struct uma *uma, uint64_t block)
{
    struct index_slot *slot = index_find(&uma->index, block);
    if (!slot)
        return;
    uint32_t entry = index_state_entry(atomic_load_explicit(&slot->state, memory_order_relaxed));
    if (entry >= LOG_FIRST_BLOCK && entry < LOG_BLOCKS_MAX)
        __builtin_prefetch(log_entry(&uma->log, entry), 1);
}

/* A mapped file has no home there: neither the mapping nor the log reaches so far. */
static bool is_out_of_place(struct uma *uma, uint64_t offset, uint64_t length)
{
    return offset + length > UMA_MAPPED_MOST &&
           atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE;
}

static bool log_is_full(ssize_t error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG || error == -ENOMEM;
}

ssize_t uma_write(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length,
                  unsigned flags, uint64_t *end)
{
    if (!uma->data_writable)
        return -EACCES;
    if (!length) {
        *end = flags & UMA_WRITE_APPEND ? uma_size(uma) : offset;
        return 0;
    }
    if (offset > (uint64_t)UMA_SIZE_MAX - length && !(flags & UMA_WRITE_APPEND))
        return -EFBIG;
    struct uma_source source = {.iov = iov, .count = iovcnt};
    prefetch_block(uma, uma_block_of(offset));
    struct index_record *record = uma_claim(uma);
    bool has_resize = false;
    ssize_t result = write_pieces(uma, record, &source, &offset, length, flags & UMA_WRITE_APPEND, &has_resize);
    if (has_resize)
        uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    if (result > 0 && flags & UMA_WRITE_SYNC && uma_keeps_commits(uma)) {
        int error = uma_commit_record(uma, record);
        if (error)
            result = error;
    }
    uma_unclaim(uma, record);
    *end = offset;
    if (result == -EIO && is_out_of_place(uma, offset, length) && uma_demote(uma, -1, UMA_DEMOTE_OTHER) == 0)
        return -UMA_AGAIN;
    if (log_is_full(result) && !atomic_load_explicit(&uma_shared(uma)->atomic, memory_order_relaxed) &&
        uma_demote(uma, -1, UMA_DEMOTE_NOSPACE) == 0)
        return -UMA_AGAIN; /* the kernel may still have room in the file, or tells what is wrong */
    if (result > 0) {
        stats_add(STATS_WRITES, 1);
        stats_add(STATS_WRITE_BYTES, (uint64_t)result);
    }
    return result;
}
