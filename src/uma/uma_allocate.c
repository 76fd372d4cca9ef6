/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_allocate.c — fallocate. Layer uma; called by file.
 *
 * Allocation alone goes to the kernel at once: it moves neither data nor the logical size. What moves data (punch, zero,
 * collapse, insert, unshare) is done by the kernel on a file that is whole, with all writers out.
 */
#include "base/grow.h"
#include "base/rawsys.h"
#include "uma/uma_block.h"

#include <errno.h>
#include <linux/falloc.h>

/* The kernel moves data. Resize lock and gate are held. */
static int allocate_settled(struct uma *uma, struct index_record *record, int mode, uint64_t offset, uint64_t length)
{
    struct index_shared *shared = uma_shared(uma);
    struct stat st;
    int error = uma_settle(uma, record);
    if (error)
        return error;
    uma_forget_homes(uma, record, uma_block_of(offset));
    if (offset + length > grow_limit() && !(mode & FALLOC_FL_KEEP_SIZE))
        return -EFBIG;
    /* told first: if we die behind it, the next commit makes durable what others may have seen */
    atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
    do
        error = sys_fallocate(uma->data_fd, mode, (off_t)offset, (off_t)length);
    while (error == -EINTR);
    if (error)
        return error;
    error = sys_fstat(uma->data_fd, &st);
    if (error) { /* the file may have another size now */
        uma_fail(uma, error);
        return -EIO;
    }
    uint64_t size = (uint64_t)st.st_size;
    uint64_t epoch = atomic_load_explicit(&shared->epoch, memory_order_acquire);
    atomic_store_explicit(&shared->kernel_size, size, memory_order_release);
    atomic_store_explicit(&shared->garbage_end, size, memory_order_relaxed);
    uma_mark_changed(uma, epoch);
    uma_size_set(uma, epoch, size);
    atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
    error = uma_commit_locked(uma, record); /* with the kernel's fsync */
    if (!error)
        atomic_store_explicit(&shared->kernel_durable, size, memory_order_release);
    return error;
}

/* What the library keeps there is not the application's: it would go when the file grows. And tmpfs shows what is allocated twice
 * as data. */
static void drop_reserve(struct uma *uma, uint64_t to)
{
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_drop_reserve(uma, record, uma_round_up(to));
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    uma_unclaim(uma, record);
}

int uma_allocate(struct uma *uma, int mode, uint64_t offset, uint64_t length)
{
    struct index_shared *shared = uma_shared(uma);
    int error;
    if (!uma->data_writable)
        return -EACCES;
    if (!(mode & ~FALLOC_FL_KEEP_SIZE)) {
        drop_reserve(uma, offset + length);
        error = grow_allocate(uma->data_fd, FALLOC_FL_KEEP_SIZE, offset, length);
        if (error)
            return error;
        atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
        return !(mode & FALLOC_FL_KEEP_SIZE) && offset + length > uma_size(uma) ? uma_resize(uma, offset + length) : 0;
    }
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_gate_close(uma, record);
    uint32_t now = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (now == INDEX_MODE_PASSTHROUGH)
        error = -UMA_AGAIN;
    else if (now == INDEX_MODE_FAILED)
        error = -EIO;
    else
        error = allocate_settled(uma, record, mode, offset, length);
    uma_gate_open(uma, record);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
    uma_unclaim(uma, record);
    return error;
}
