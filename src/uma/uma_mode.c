/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_mode.c — the modes of a uma, the gate that changes them, demotion. Layer uma.
 *
 *     from          to            by                    what it does first
 *     LOGGED        PASSTHROUGH   uma_demote            commits, writes everything back, sets the kernel's size
 *     IN_PLACE      PASSTHROUGH   uma_demote            the same
 *     LOGGED        IN_PLACE      uma_mapped.c          the same: newest copies are in the file
 *     IN_PLACE      LOGGED        uma_mapped.c          looks whether anybody has it mapped; nothing else
 *     LOGGED, ...   PASSTHROUGH   uma_detach (last)     the same
 *     any           FAILED        uma_fail              nothing; sticky
 * All but the last hold resize, commit and gate: no writer is inside the guard.
 */
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "base/stats.h"
#include "uma/uma_private.h"

#include <errno.h>

void uma_gate_close(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uma_lock(uma, record, INDEX_LOCK_COMMIT);
    /* A commit that a dead process left half done: writers inside the guard may wait for it, and we are about to wait for
     * them. */
    if (atomic_load_explicit(&shared->epoch, memory_order_acquire) >
        atomic_load_explicit(&shared->durable, memory_order_acquire))
        uma_commit_locked(uma, record);
    uma_lock(uma, record, INDEX_LOCK_GATE); /* a locked exchange; pairs with uma_guard_enter */
    uma_guard_drain(uma, record, UINT64_MAX);
}

void uma_gate_open(struct uma *uma, struct index_record *record)
{
    uma_unlock(uma, record, INDEX_LOCK_GATE);
    uma_unlock(uma, record, INDEX_LOCK_COMMIT);
}

/* The kernel's file as long as ours, and nothing reserved behind. All is committed, the gate closed. Before write-back stores
 * there: where a reserve lies across the end ext4 may need a block of its own for the first store, and have none (SIGBUS). */
static int settle_length(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    int error = uma_extend_to_cut(uma, record, size);
    if (error)
        return error;
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    uint64_t now = atomic_load_explicit(&shared->kernel_size, memory_order_relaxed);
    bool exact = now == size && atomic_load_explicit(&shared->garbage_end, memory_order_relaxed) <= size &&
                 atomic_load_explicit(&shared->dense_blocks, memory_order_relaxed) <= uma_round_up(size) / UMA_BLOCK;
    if (!exact)
        error = uma_cut_kernel(uma, record, size, now); /* what is behind the committed end is nobody's */
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    return error;
}

int uma_settle(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    /* readers of a frozen file see it change now: it is closed, mapped, or nobody's business any more */
    atomic_store_explicit(&shared->frozen, 0, memory_order_release);
    int error = uma_commit_locked(uma, record);
    if (!error)
        error = settle_length(uma, record);
    if (error)
        return error;
    int64_t n = uma_writeback(uma, record, UINT64_MAX, true);
    if (n < 0)
        return (int)n;
    /* neither home has anything behind the end any more */
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    if (atomic_load_explicit(&shared->garbage_end, memory_order_relaxed) > size)
        atomic_store_explicit(&shared->garbage_end, size, memory_order_relaxed);
    return 0;
}

/* The last mapping is gone. Gate closed. What it stored is in the kernel's file, which the next commit makes durable; what
 * it stored behind the end, in the last page, is nobody's (rule 7). */
static void leave_in_place(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    if (atomic_load_explicit(&shared->stored, memory_order_acquire)) {
        uint64_t garbage = atomic_load_explicit(&shared->garbage_end, memory_order_relaxed);
        atomic_store_explicit(&shared->garbage_end, uma_max(garbage, uma_round_up(size)), memory_order_relaxed);
        atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
        atomic_store_explicit(&shared->stored, 0, memory_order_relaxed);
    }
    uma_mode_store(uma, INDEX_MODE_LOGGED);
    stats_add(STATS_LOGGED, 1);
}

void uma_mark_passthrough(struct uma *uma)
{
    volume_note_correction(uma->volume);
    uma_set_log_flag(uma, LOG_FLAG_PASSTHROUGH);
    volume_note_passthrough(uma->volume, uma->ino);
    uma_mode_store(uma, INDEX_MODE_PASSTHROUGH);
}

int uma_set_mode(struct uma *uma, struct index_record *record, enum index_mode mode)
{
    struct index_shared *shared = uma_shared(uma);
    uma_show_appended(uma, record, UMA_SHOW_QUIET); /* a follower is not to see zeros instead */
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_gate_close(uma, record);
    int error = 0;
    uint32_t now = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (now == INDEX_MODE_FAILED)
        error = -EIO;
    else if (mode == INDEX_MODE_LOGGED) {
        if (now == INDEX_MODE_IN_PLACE && !uma_is_mapped(uma))
            leave_in_place(uma);
    } else if (now != mode && now != INDEX_MODE_PASSTHROUGH) {
        uma_times_keep(uma, record);
        error = uma_settle(uma, record);
        if (!error && uma_is_failed(uma))
            error = -EIO;
        uma_times_restore(uma, record);
        if (!error && mode == INDEX_MODE_PASSTHROUGH)
            uma_mark_passthrough(uma);
        else if (!error)
            uma_mode_store(uma, mode);
        if (!error && mode == INDEX_MODE_IN_PLACE)
            stats_add(STATS_IN_PLACE, 1);
    }
    uma_gate_open(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    return error;
}

/* Of a uma that is attached; within a read section, in which it stays so. */
static int demote_attached(struct uma *uma, enum uma_demotion reason)
{
    if (atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) == INDEX_MODE_PASSTHROUGH)
        return 0;
    struct index_record *record = uma_claim(uma);
    int error = uma_set_mode(uma, record, INDEX_MODE_PASSTHROUGH);
    uma_times_deliver(uma, record);
    uma_unclaim(uma, record);
    if (error)
        return error;
    if (reason == UMA_DEMOTE_NOSPACE) { /* it may be the log that has it all */
        log_release_blocks(&uma->log);
        volume_drop_pool();
    }
    stats_add(STATS_DEMOTE_STDIO + (enum stats_counter)reason, 1);
    msg(MSG_NOTICE, "inode %llu: handed to the kernel, reason %d", (unsigned long long)uma->ino, (int)reason);
    return 0;
}

int uma_demote(struct uma *uma, int fd, enum uma_demotion reason)
{
    /* Another program is about to have the file, and nobody serves it in user space: it is the kernel's already. */
    if (reason == UMA_DEMOTE_EXEC && !uma_is_attached(uma) && !volume_is_attached(uma->volume, uma->ino)) {
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
        return 0;
    }
    int error = uma_attach(uma, fd, UMA_TO_DEMOTE);
    if (error == -EXDEV) /* it never was ours */
        return 0;
    if (error == -EBUSY || error == -EIO)
        return error;
    if (error && volume_is_attached(uma->volume, uma->ino))
        return -EBUSY;
    if (error) { /* cannot be attached, so nobody serves it in user space: the kernel does already */
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
        return 0;
    }
    rcu_enter(); /* it stays attached meanwhile; if it was let go again the kernel has it */
    error = uma_is_attached(uma) ? demote_attached(uma, reason) : 0;
    rcu_leave();
    if (error)
        uma_sync_start(); /* it is served on */
    return error;
}

static bool is_of(const struct uma *uma, int fd)
{
    struct stat st;
    return sys_fstat(fd, &st) == 0 && st.st_dev == uma->dev && st.st_ino == uma->ino;
}

int uma_demote_beside(struct uma *uma, int fd, enum uma_demotion reason)
{
    int result = 1;
    rcu_enter();
    if (is_of(uma, fd) && !uma_is_attached(uma))
        result = 0;
    else if (is_of(uma, fd) && is_of(uma, uma->data_fd))
        result = demote_attached(uma, reason);
    rcu_leave();
    return result;
}

long uma_out_of_room(long result)
{
    return volume_drop_pool() ? -UMA_AGAIN : result;
}
