/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_detach.c — from user space back to the kernel's path. Layer uma; called at the last close of a file, at exit and exec.
 *
 * Under the inode's bucket lock, as attaching is. The last process brings everything to the file and gives the log back; one
 * that others outlive commits what is theirs as well, and leaves. What cannot be brought to the file stays in the log.
 */
#include "pm/pm.h"
#include "uma/uma_private.h"

/* Brings everything to the file, as far as it is ours to say. */
static int detach_settle(struct uma *uma, struct index_record *record, bool last)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_PASSTHROUGH) {
        /* the log was told first, and is about to be given away */
        if (atomic_load_explicit(&log_header(&uma->log)->flags, memory_order_relaxed) & LOG_FLAG_PASSTHROUGH)
            return 0;
        uma_damaged(uma, "the mode");
    }
    /* This process goes on without the file, but with mappings that nobody will count: not even the others can log it. */
    bool keeps_maps = atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ALONE &&
                      atomic_load_explicit(&uma->maps, memory_order_relaxed);
    if (last || keeps_maps)
        return uma_set_mode(uma, record, INDEX_MODE_PASSTHROUGH);
    /* others go on: an O_ATOMIC file's unsynced changes stay theirs to sync */
    if (atomic_load_explicit(&shared->atomic, memory_order_acquire))
        return 0;
    int error = uma_commit_record(uma, record);
    int64_t n = error ? 0 : uma_writeback_quietly(uma, record, UINT64_MAX, false);
    return n < 0 ? (int)n : error;
}

static void detach_unmap(struct uma *uma)
{
    pm_map_close(&uma->data);
    uma_scratch_free(uma);
    atomic_store_explicit(&uma->state, UMA_DETACHED, memory_order_release);
}

int uma_detach(struct uma *uma)
{
    if (atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_DETACHED)
        return 0;
    int error = volume_lock_inode(uma->volume, uma->ino);
    if (error)
        return error;
    uma_lease_end(uma);
    uma_work_on(uma); /* the registry does not have it any more */
    struct index_record *record = uma_claim(uma);
    uma_repair(uma, record); /* so that the dead do not count */
    bool last = !uma_is_shared(uma);
    error = detach_settle(uma, record, last);
    uma_protect_end(uma);
    uma_times_deliver(uma, record); /* at the end: while it is pending, nothing needs to put the time back */
    uma_unclaim(uma, record);
    uma_work_on(uma); /* once more: what follows stores to the log's header */
    index_leave(&uma->index, uma->participant);
    /* Exclusive: nobody else is attached in truth, also none that the index does not know. */
    if (last && !error && log_lock(&uma->log, LOG_LOCK_EXCLUSIVE) == 0) {
        log_retire(&uma->log);
        volume_unregister_log(uma->volume, uma->ino);
        uint64_t nonce = uma->index.nonce;
        bool kept = index_destroy(&uma->index, true);
        if (!kept)
            pm_store64(&log_header(&uma->log)->index_nonce, 0);
        if (!volume_give_log(uma->volume, &uma->log) && kept)
            index_discard(nonce);
    } else { /* others go on, or the log is needed for another try: recovery at the next attach */
        log_close(&uma->log);
        if (last)
            index_abandon(&uma->index);
        else
            index_close(&uma->index);
    }
    uma_work_on(NULL);
    detach_unmap(uma);
    volume_unlock_inode(uma->volume, uma->ino);
    uma_sync_review();
    return error;
}
