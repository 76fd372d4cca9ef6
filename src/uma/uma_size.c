/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_size.c — the logical size (rules 6 to 9), ftruncate. Layer uma.
 *
 * shared->size is what the application sees; a change belongs to an epoch. A commit of epoch e must take the size as of e
 * though writers of e + 1 may have moved it already: prev_size is the size before the first change of size_epoch.
 */
#include "base/rawsys.h"
#include "uma/uma_private.h"

#include <errno.h>

uint64_t uma_size_of_epoch(struct uma *uma, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    for (;;) {
        /* Writers store prev_size, size_epoch, size in this order (release). If size is a newer one's, so is the second
         * size_epoch; what a writer of `epoch` itself stored is complete, since its guard was drained. */
        uint64_t changed = atomic_load_explicit(&shared->size_epoch, memory_order_acquire);
        if (changed > epoch)
            return atomic_load_explicit(&shared->prev_size, memory_order_acquire);
        uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
        if (atomic_load_explicit(&shared->size_epoch, memory_order_acquire) == changed)
            return size;
    }
}

void uma_size_set(struct uma *uma, uint64_t epoch, uint64_t size)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t changed = atomic_load_explicit(&shared->size_epoch, memory_order_relaxed);
    if (epoch > changed) {
        atomic_store_explicit(&shared->prev_size, atomic_load_explicit(&shared->size, memory_order_relaxed),
                              memory_order_release);
        atomic_store_explicit(&shared->size_epoch, epoch, memory_order_release);
    } else if (epoch < changed) { /* a late writer of the epoch that is being committed: both sizes grow */
        uint64_t previous = atomic_load_explicit(&shared->prev_size, memory_order_relaxed);
        atomic_store_explicit(&shared->prev_size, uma_max(previous, size), memory_order_release);
        size = uma_max(size, atomic_load_explicit(&shared->size, memory_order_relaxed));
    }
    atomic_store_explicit(&shared->size, size, memory_order_release);
    /* release: who sees that it is over sees the size */
    if (atomic_load_explicit(&shared->zeros_end, memory_order_relaxed))
        atomic_store_explicit(&shared->zeros_end, 0, memory_order_release);
    /* for recovery after the death of all processes; not flushed, valid under this boot only */
    log_store_newest_size(log_header(&uma->log), size);
}

uint64_t uma_garbage_end(struct uma *uma, uint64_t size)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t end = atomic_load_explicit(&shared->garbage_end, memory_order_relaxed);
    return atomic_load_explicit(&shared->stored, memory_order_acquire) ? uma_max(end, uma_round_up(size)) : end;
}

uint64_t uma_size(struct uma *uma)
{
    return atomic_load_explicit(&uma_shared(uma)->size, memory_order_acquire);
}

/* Changes the size in the current epoch. Under the resize lock. */
static int size_change(struct uma *uma, struct index_record *record, uint64_t size)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t epoch;
    while (uma_guard_enter(uma, record, &epoch))
        uma_gate_wait(uma, record);
    int error = 0;
    uint32_t mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH) {
        error = -UMA_AGAIN;
    } else if (mode == INDEX_MODE_FAILED) {
        error = -EIO;
    } else {
        uint64_t now = atomic_load_explicit(&shared->size, memory_order_relaxed);
        uint64_t garbage = atomic_load_explicit(&shared->garbage_end, memory_order_relaxed);
        if (now > garbage)
            atomic_store_explicit(&shared->garbage_end, now, memory_order_relaxed);
        log_note_past_end(&uma->log);
        uma_mark_changed(uma, epoch);
        uma_size_set(uma, epoch, size);
    }
    uma_guard_leave(record);
    return error;
}

uint64_t uma_size_most(struct uma *uma, uint64_t end)
{
    /* The kernel takes an offset that a file may have, and no other. One that is the application's is not to be moved. */
    if (end <= UMA_SIZE_SURE || uma->borrowed || sys_lseek(uma->data_fd, (off_t)end, SEEK_SET) >= 0)
        return end;
    uint64_t good = UMA_SIZE_SURE;
    for (uint64_t bad = end; bad - good > 1;) {
        uint64_t middle = good + (bad - good) / 2;
        if (sys_lseek(uma->data_fd, (off_t)middle, SEEK_SET) >= 0)
            good = middle;
        else
            bad = middle;
    }
    return good;
}

/* A mapped file became shorter: a load behind its end is to raise SIGBUS, so the kernel's file is cut at once, which what is
 * committed must allow (rule 9). Under the resize lock. */
static int cut_mapped(struct uma *uma, struct index_record *record)
{
    uma_gate_close(uma, record);
    int error = uma_commit_locked(uma, record);
    if (!error)
        error = uma_trim_locked(uma, record);
    uma_gate_open(uma, record);
    return error;
}

int uma_resize(struct uma *uma, uint64_t size)
{
    struct index_shared *shared = uma_shared(uma);
    if (size > (uint64_t)UMA_SIZE_MAX || uma_size_most(uma, size) < size)
        return -EFBIG;
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uint64_t now = atomic_load_explicit(&shared->size, memory_order_relaxed);
    int error = 0;
    if (size > now) {
        /* garbage between old and new end becomes zeros first; nobody sees it before the size moves (rule 7) */
        uint64_t garbage = uma_garbage_end(uma, now);
        uma_drop_reserve(uma, record, size);
        if (garbage > now)
            error = uma_write_zeros(uma, record, now, uma_min(garbage, size));
        /* a mapped file's new pages must exist before somebody touches them */
        if (!error && atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE)
            error = uma_lengthen_kernel(uma, record, size);
    }
    if (!error)
        error = size_change(uma, record, size); /* an equal size too: ftruncate moves the times */
    if (!error && size < now && atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_IN_PLACE)
        error = cut_mapped(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    if (!error)
        atomic_store_explicit(&uma->dirty, 1, memory_order_relaxed);
    uma_unclaim(uma, record);
    return error;
}
