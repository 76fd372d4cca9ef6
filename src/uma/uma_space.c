/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_space.c — space: log blocks for a write, blocks of the file that it will need, the file's size in the kernel. Layer
 * uma; called before a write takes its locks. All that calls the kernel is done for many blocks at once.
 */
#include "base/conf.h"
#include "base/geometry.h"
#include "base/grow.h"
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "uma/uma_block.h"

#include <errno.h>
#include <sys/mman.h>

#define GROW_LEAST GEOMETRY_GROW_LEAST /* log blocks: 1 MiB */
#define GROW_MOST GEOMETRY_GROW_MOST   /* 16 MiB */
#define LOG_SURE GEOMETRY_LOG_SURE     /* a write of a whole piece finds room, whatever log_max says */
#define LOG_PATIENCE 5000u /* steps of waiting, the most of them 50 us long, for what other writers have taken */
#define RECLAIM_LEAST GEOMETRY_RECLAIM
#define AHEAD_MOST GEOMETRY_AHEAD_MOST /* blocks reserved behind the end of a growing file */
#define AHEAD_LEAST GEOMETRY_AHEAD_LEAST
#define AHEAD_SHARE 8u /* one of so many of what the file has */

/* ---- the log ---- */

static void note_tight(struct uma *uma, int error)
{
    if (error == -ENOSPC || error == -EDQUOT)
        atomic_store_explicit(&uma->tight, true, memory_order_relaxed);
}

/* So many block numbers a log may have. */
static uint64_t log_most(void)
{
    return uma_min(uma_max(conf_get()->log_max, LOG_SURE) / LOG_BLOCK, LOG_BLOCKS_MAX);
}

/* Makes the log longer by `least` blocks or more. 0, -ENOSPC, ... */
static int log_extend(struct uma *uma, struct index_record *record, uint32_t least)
{
    struct index_shared *shared = uma_shared(uma);
    uma_lock(uma, record, INDEX_LOCK_GROW);
    int error = 0;
    if (atomic_load_explicit(&shared->free_blocks, memory_order_relaxed) < least) {
        uint32_t from = atomic_load_explicit(&shared->log_blocks, memory_order_acquire);
        uint64_t most = log_most();
        uint32_t more = from / 2 < GROW_LEAST ? GROW_LEAST : from / 2 > GROW_MOST ? GROW_MOST : from / 2;
        more = more < least ? least : more;
        more = (uint32_t)uma_min(more, most > from ? most - from : 0);
        error = more ? log_grow(&uma->log, from, more) : -ENOSPC;
        if (error && error != -EIO && more > least && least) { /* the file system is nearly full: no more than needed */
            more = least;
            error = log_grow(&uma->log, from, more);
        }
        if (!error)
            error = index_add_blocks(&uma->index, from, from + more);
    }
    uma_unlock(uma, record, INDEX_LOCK_GROW);
    return error;
}

/* Frees log blocks by writing back; commits early if nothing else helps (never for O_ATOMIC files). */
static int log_reclaim(struct uma *uma, struct index_record *record, uint32_t count)
{
    uint64_t most = uma_max(count, RECLAIM_LEAST);
    int64_t freed = uma_writeback_quietly(uma, record, most, false);
    if (freed == 0 && !atomic_load_explicit(&uma_shared(uma)->atomic, memory_order_relaxed)) {
        int error = uma_commit_record(uma, record);
        if (error)
            return error;
        stats_add(STATS_EARLY_COMMITS, 1);
        freed = uma_writeback_quietly(uma, record, most, true);
    }
    return freed < 0 ? (int)freed : freed == 0 ? -ENOSPC : 0;
}

/* All or none. */
static int take_blocks(struct uma *uma, struct index_record *record, uint32_t count, uint32_t *list)
{
    uint32_t got = 0;
    int error = 0;
    while (got < count && !error) {
        uint32_t first;
        int n = index_take_blocks(&uma->index, record, count - got, &first);
        if (n == -ETIMEDOUT) {
            uma_look_after(uma, record, INDEX_LOCK_ALLOC);
        } else if (n > 0) {
            if (!log_has_block(&uma->log, first + (uint32_t)n - 1))
                return -EIO;
            for (uint32_t i = 0; i < (uint32_t)n; i++)
                list[got++] = first + i;
        } else {
            int full = log_extend(uma, record, count - got);
            error = full;
            note_tight(uma, full);
            if (full == -ENOSPC || full == -EDQUOT || full == -EFBIG || full == -ENOMEM)
                error = log_reclaim(uma, record, count - got);
            if (error == -ENOSPC) /* what the kernel calls it */
                error = full;
        }
    }
    if (error) {
        /* forgotten first: who repairs after us must not free what somebody else has taken meanwhile */
        atomic_store_explicit(&record->alloc_count, 0, memory_order_release);
        while (got)
            index_give_block(&uma->index, list[--got]);
    }
    return error;
}

/* Whether a log without room is as long as it may be, and only what other writers have just taken is not to be had by
 * writing back. */
static bool others_hold_blocks(struct uma *uma)
{
    const struct index_shared *shared = uma_shared(uma);
    return atomic_load_explicit(&shared->log_blocks, memory_order_acquire) >= log_most() && !uma_is_frozen(uma) &&
           !atomic_load_explicit(&shared->atomic, memory_order_relaxed);
}

int uma_take_blocks(struct uma *uma, struct index_record *record, uint32_t count, uint32_t *list)
{
    struct uma_wait wait = {0};
    int error = take_blocks(uma, record, count, list);
    /* Nothing is held meanwhile but the resize lock: they go on. Not for ever, should they wait for us all the same. */
    for (unsigned i = 0; error == -ENOSPC && i < LOG_PATIENCE && others_hold_blocks(uma); i++) {
        uma_wait_step(uma, record, &wait);
        error = take_blocks(uma, record, count, list);
    }
    return error;
}

/* ---- the file ---- */

static bool home_reserved(struct uma *uma, uint64_t first, uint64_t count)
{
    if (first + count <= atomic_load_explicit(&uma_shared(uma)->dense_blocks, memory_order_acquire))
        return true;
    for (uint64_t block = first; block < first + count; block++) {
        struct index_slot *slot = index_find(&uma->index, block);
        uint64_t state = slot ? atomic_load_explicit(&slot->state, memory_order_acquire) : 0;
        if (index_state_locked(state)) /* the bit hides while it is locked; a second allocation harms nobody */
            state = 0;
        if (!uma_home_allocated(uma, block, state))
            return false;
    }
    return true;
}

/* Allocates without moving the kernel's size; durable with the next fsync of the file, which the next commit makes. */
static int home_allocate(struct uma *uma, uint64_t first, uint64_t count)
{
    uint64_t from = first * UMA_BLOCK, to = (first + count) * UMA_BLOCK, limit = grow_limit();
    /* A write may end anywhere below the limit: its last block is allocated by any byte of it. */
    if (to > limit && limit > to - UMA_BLOCK)
        to = limit;
    int error = grow_allocate(uma->data_fd, FALLOC_FL_KEEP_SIZE, from, to - from);
    if (error == -EOPNOTSUPP)
        error = -EIO; /* no way to tell ENOSPC in time: the caller hands the file to the kernel */
    if (!error)
        atomic_fetch_add_explicit(&uma_shared(uma)->kernel_changes, 1, memory_order_release);
    return error;
}

int uma_reserve_home(struct uma *uma, struct index_record *record, uint64_t first, uint64_t count)
{
    struct index_shared *shared = uma_shared(uma);
    if (home_reserved(uma, first, count))
        return 0;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    int error = 0;
    uint64_t dense = atomic_load_explicit(&shared->dense_blocks, memory_order_relaxed);
    uint64_t end = first + count;
    bool behind_end =
        end * UMA_BLOCK > uma_max(atomic_load_explicit(&shared->kernel_size, memory_order_relaxed), uma_size(uma));
    if (end <= dense) {
        ; /* meanwhile done */
    } else if (first <= dense && behind_end) {
        /* A file that grows: ahead of it, so that few writes pay. What is left over is cut off at the last close. */
        uint64_t ahead = uma_min(uma_max(end / AHEAD_SHARE, AHEAD_LEAST), AHEAD_MOST);
        error = home_allocate(uma, dense, end + ahead - dense);
        if (!error)
            end += ahead;
        else
            error = home_allocate(uma, dense, end - dense);
        if (!error)
            atomic_store_explicit(&shared->dense_blocks, end, memory_order_release);
    } else {
        error = home_allocate(uma, first, count); /* the slots will say so */
    }
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    note_tight(uma, error);
    return error;
}

void uma_drop_reserve(struct uma *uma, struct index_record *record, uint64_t to)
{
    struct index_shared *shared = uma_shared(uma);
    /* Bytes below may be somebody's: of the newest state, of the committed one, or garbage that growth has to zero. */
    uint64_t end = uma_max(uma_size(uma), atomic_load_explicit(&shared->committed_size, memory_order_acquire));
    end = uma_max(end, atomic_load_explicit(&shared->garbage_end, memory_order_relaxed));
    end = uma_max(end, atomic_load_explicit(&shared->kernel_size, memory_order_acquire));
    uint64_t first = uma_round_up(end) / UMA_BLOCK;
    if (first >= to / UMA_BLOCK || first >= atomic_load_explicit(&shared->dense_blocks, memory_order_acquire))
        return;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    uint64_t dense = atomic_load_explicit(&shared->dense_blocks, memory_order_relaxed);
    if (first < dense) {
        /* lowered first: nobody takes a home there for one that is reserved */
        atomic_store_explicit(&shared->dense_blocks, first, memory_order_release);
        sys_fallocate(uma->data_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * UMA_BLOCK),
                      (off_t)((dense - first) * UMA_BLOCK)); /* failing, they only stay reserved */
    }
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
}

void uma_reach(struct uma *uma)
{
    if (!uma_is_attached(uma) || !uma->data_writable)
        return;
    uint32_t mode = atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH || mode == INDEX_MODE_FAILED || uma_is_frozen(uma))
        return;
    struct index_record *record = uma_claim(uma);
    uma_extend_kernel(uma, record, uma_size(uma));
    uma_unclaim(uma, record);
}

/* Faults the mapping's pages of [from, to) in. Each is allocated, but for the first store to one that lies in a reserve across
 * the end of the file ext4 may need a block of its own, and have none: SIGBUS. So where space is short that is found out
 * before anything is stored there. 0 or -ENOSPC. */
static int home_populate(struct uma *uma, uint64_t from, uint64_t to)
{
    const uint64_t step = (uint64_t)UMA_PIECE_BLOCKS * UMA_BLOCK; /* aligned to itself: never in two segments */
    for (uint64_t at = from & ~(uint64_t)(UMA_BLOCK - 1), next; at < to; at = next) {
        next = (at & ~(step - 1)) + step;
        char *home = pm_map_peek(&uma->data, at);
        if (home && sys_madvise(home, uma_round_up(uma_min(next, to) - at), MADV_POPULATE_WRITE) == -EFAULT)
            return -ENOSPC;
    }
    return 0;
}

/* Under the kernel lock. `tight`: space may be short, and what is reserved across the new end stays there. */
static int extend_locked(struct uma *uma, uint64_t size, bool tight)
{
    struct index_shared *shared = uma_shared(uma);
    int error = 0;
    uint64_t now = atomic_load_explicit(&shared->kernel_size, memory_order_relaxed);
    if (now < size) {
        error = grow_truncate(uma->data_fd, size, now);
        if (!error)
            now = size;
    }
    bool longer = !error;
    if (!error && tight)
        error = home_populate(uma, atomic_load_explicit(&shared->kernel_durable, memory_order_relaxed), now);
    if (!error)
        error = sys_fsync(uma->data_fd);
    if (longer) /* release: whose reach it is sees the file that long */
        atomic_store_explicit(&shared->kernel_size, now, memory_order_release);
    if (!error)
        atomic_store_explicit(&shared->kernel_durable, now, memory_order_release);
    return error;
}

static bool reaches(const struct uma *uma, uint64_t size)
{
    return atomic_load_explicit(&uma_shared(uma)->kernel_durable, memory_order_acquire) >= size;
}

static bool is_tight(const struct uma *uma)
{
    return uma->durable && atomic_load_explicit(&uma->tight, memory_order_relaxed);
}

int uma_extend_kernel(struct uma *uma, struct index_record *record, uint64_t size)
{
    if (reaches(uma, size))
        return 0;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    int error = extend_locked(uma, size, is_tight(uma));
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    return error;
}

int uma_extend_to_cut(struct uma *uma, struct index_record *record, uint64_t size)
{
    if (reaches(uma, size))
        return 0;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    int error = extend_locked(uma, size, false);
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    return error;
}

int uma_extend_with_slots(struct uma *uma, struct index_record *record, uint64_t size)
{
    if (reaches(uma, size))
        return 0;
    if (index_lock_try(&uma->index, record, INDEX_LOCK_KERNEL))
        return -EAGAIN;
    int error = extend_locked(uma, size, is_tight(uma));
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    return error;
}

int uma_lengthen_kernel(struct uma *uma, struct index_record *record, uint64_t size)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&shared->kernel_size, memory_order_acquire) >= size)
        return 0;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    int error = 0;
    uint64_t now = atomic_load_explicit(&shared->kernel_size, memory_order_relaxed);
    if (now < size) {
        error = grow_truncate(uma->data_fd, size, now);
        if (!error) {
            /* behind the call: a commit that sees it has its fsync behind it, too; before anybody uses what there is now */
            atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
            atomic_store_explicit(&shared->kernel_size, size, memory_order_release);
        }
    }
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    return error;
}

int uma_cut_kernel(struct uma *uma, struct index_record *record, uint64_t size, uint64_t now)
{
    struct index_shared *shared = uma_shared(uma);
    /* Lower the reach before the kernel cuts: nobody may take a home that is about to go. Writers are out. */
    atomic_store_explicit(&shared->kernel_durable, size, memory_order_release);
    atomic_store_explicit(&shared->kernel_size, size, memory_order_release);
    uma_forget_homes(uma, record, uma_round_up(size) / UMA_BLOCK);
    /* Told first: if we die behind the cut, the next commit makes it durable, or what was cut off comes back. */
    uint32_t changes = atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_acq_rel) + 1;
    int error = grow_truncate(uma->data_fd, size, now);
    if (!error)
        error = sys_fsync(uma->data_fd);
    if (!error) /* under the commit lock */
        atomic_store_explicit(&shared->kernel_synced, changes, memory_order_relaxed);
    return error;
}
