/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_commit.c — making an epoch durable. Layer uma; called for fsync, O_SYNC writes, the sync thread, mode changes.
 *
 * Order of a commit of epoch e = durable, and what each step is for
 *   1. epoch = e + 1            new writes no longer belong to e
 *   2. drain the guard of e     every writer of e has fenced its data and entries before it left
 *   2a. settle the mappings       what was stored through failure-atomic ones is written back (uma_protect.c)
 *   3. fsync of the file        only if something went through the kernel: size, allocation, bulk data
 *   4. size[(e+1)&1], epoch     one line, stored in this order, flushed, fenced: the commit point
 *   5. durable = e + 1          now homes of e's lines may be reused
 * A committer that dies after 1 leaves epoch = durable + 1: the next one finishes from step 2.
 */
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "pm/pm.h"
#include "uma/uma_private.h"

#include <errno.h>

void uma_fail(struct uma *uma, int error)
{
    msg(MSG_ERROR, "I/O error %d on inode %llu: the file fails until its last close", -error,
        (unsigned long long)uma->ino);
    atomic_store_explicit(&uma_shared(uma)->mode, INDEX_MODE_FAILED, memory_order_release);
}

/* Whether something changed in an epoch that is not durable. */
static bool commit_needed(struct index_shared *shared, uint64_t durable)
{
    return atomic_load_explicit(&shared->epoch, memory_order_acquire) > durable ||
           atomic_load_explicit(&shared->dirty_epoch, memory_order_acquire) >= durable ||
           atomic_load_explicit(&shared->kernel_changes, memory_order_acquire) !=
               atomic_load_explicit(&shared->kernel_synced, memory_order_relaxed);
}

int uma_commit_locked(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t epoch = atomic_load_explicit(&shared->durable, memory_order_acquire);
    if (atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_FAILED)
        return -EIO;
    if (!uma_epochs_hold(
            uma)) /* a header with an epoch that is not the next would void what is committed, or commit more */
        return -EIO;
    if (!commit_needed(shared, epoch))
        return 0;
    /* seq_cst: pairs with uma_guard_enter; either that writer sees the new epoch or we see its record */
    atomic_exchange_explicit(&shared->epoch, epoch + 1, memory_order_seq_cst);
    uma_guard_drain(uma, record, epoch);
    if (atomic_load_explicit(&shared->protected, memory_order_acquire))
        uma_protect_settle(uma, record, epoch);
    uint32_t changes = atomic_load_explicit(&shared->kernel_changes, memory_order_acquire);
    if (changes != atomic_load_explicit(&shared->kernel_synced, memory_order_relaxed)) {
        int error = sys_fsync(uma->data_fd);
        if (error) {
            uma_fail(uma, error);
            return error == -ENOSPC || error == -EDQUOT ? error : -EIO;
        }
        /* after the fsync: who takes over from a dead committer makes it again */
        atomic_store_explicit(&shared->kernel_synced, changes, memory_order_relaxed);
    }
    struct log_header *header = log_header(&uma->log);
    uint64_t size = uma_size_of_epoch(uma, epoch);
    if (size > UMA_SIZE_MAX)
        uma_damaged(uma, "the size");
    if (uma_is_failed(
            uma)) /* or by a writer of this epoch, before it left the guard: its stores may have gone nowhere */
        return -EIO;
    pm_store64(&header->size[(epoch + 1) & 1], size);
    pm_store64(&header->size_check[(epoch + 1) & 1], log_size_check(size, epoch + 1));
    pm_store64(&header->epoch, epoch + 1);
    pm_flush(&header->size, PM_LINE);
    pm_fence();
    if (uma_is_failed(uma))
        return -EIO;
    atomic_store_explicit(&shared->committed_size, size, memory_order_relaxed);
    /* release: who sees the new durable epoch sees its size */
    atomic_store_explicit(&shared->durable, epoch + 1, memory_order_release);
    stats_add(STATS_COMMITS, 1);
    return 0;
}

/* Under the commit lock: the epoch of now is durable afterwards. */
static int commit_newest(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    bool in_flight = atomic_load_explicit(&shared->epoch, memory_order_acquire) >
                     atomic_load_explicit(&shared->durable, memory_order_acquire);
    int error = uma_commit_locked(uma, record);
    if (!error && in_flight) /* that finished a dead committer's epoch; ours may be the one after it */
        error = uma_commit_locked(uma, record);
    return error;
}

int uma_commit_record(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    /* Our writes are in epochs <= target; a commit that another thread completes meanwhile may have covered them. */
    uint64_t target = atomic_load_explicit(&shared->epoch, memory_order_acquire);
    uma_lock(uma, record, INDEX_LOCK_COMMIT);
    int error = 0;
    if (atomic_load_explicit(&shared->durable, memory_order_acquire) <= target)
        error = commit_newest(uma, record);
    else if (!uma_epochs_hold(uma)) /* it was not another thread */
        error = -EIO;
    uma_unlock(uma, record, INDEX_LOCK_COMMIT);
    return error;
}

int uma_commit_unasked(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uma_lock(uma, record, INDEX_LOCK_COMMIT);
    int error = 0;
    /* where no commit was kept so far it is set under this lock */
    if (!atomic_load_explicit(&shared->atomic, memory_order_acquire))
        error = commit_newest(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_COMMIT);
    return error;
}

void uma_wait_durable(struct uma *uma, struct index_record *record, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    struct uma_wait wait = {0};
    while (atomic_load_explicit(&shared->durable, memory_order_acquire) <= epoch) {
        if (atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_FAILED)
            return;
        if (!shlock_owner(&shared->commit_lock) && index_lock_try(&uma->index, record, INDEX_LOCK_COMMIT) == 0) {
            /* Nobody commits: the committer died. We finish it, inside the guard of the later epoch and with slots
             * locked: a commit needs neither. */
            if (atomic_load_explicit(&shared->durable, memory_order_acquire) <= epoch)
                uma_commit_locked(uma, record);
            /* `epoch` is below that of our guard, so it was the one in flight; or it, or durable, is damaged. */
            if (atomic_load_explicit(&shared->durable, memory_order_acquire) <= epoch)
                uma_damaged(uma, "epochs");
            uma_unlock(uma, record, INDEX_LOCK_COMMIT);
            continue;
        }
        if (uma_wait_step(uma, record, &wait))
            uma_heal_inside(uma, record, epoch);
    }
}

/* Where no commit is to be kept, what was written is as safe as it will ever be. The sync thread commits what there is in
 * the log when the file is idle, to write it back. */
static int commit_record(struct uma *uma)
{
    if (!uma_keeps_commits(uma))
        return 0;
    struct index_record *record = uma_claim(uma);
    int error = uma_commit_record(uma, record);
    uma_unclaim(uma, record);
    return error;
}

int uma_commit_written(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    switch (atomic_load_explicit(&shared->mode, memory_order_acquire)) {
    case INDEX_MODE_PASSTHROUGH:
        return -UMA_AGAIN;
    case INDEX_MODE_FAILED:
        return -EIO;
    default:
        break;
    }
    int error = commit_record(uma);
    if (!atomic_load_explicit(&uma->active, memory_order_relaxed))
        uma_sync_wake(uma); /* there may be something to write back now */
    if (!atomic_load_explicit(&shared->synced, memory_order_relaxed))
        atomic_store_explicit(&shared->synced, 1, memory_order_relaxed);
    return error;
}

int uma_commit(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    /* What was stored through mappings only the kernel can find. Before the commit: who hears of that relies on both. */
    if (uma->durable && atomic_load_explicit(&shared->stored, memory_order_acquire) &&
        atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE) {
        int error = sys_fsync(uma->data_fd);
        if (error)
            return error;
    }
    return uma_commit_written(uma);
}
