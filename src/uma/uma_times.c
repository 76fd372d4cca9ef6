/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_times.c — mtime. Layer uma; called by file before a stat, at fsync and close, and by the sync thread.
 *
 * A write in user space leaves a mark; delivering it sets mtime and ctime to now and raises IN_MODIFY. What the library
 * itself does to the file later (write-back, truncation) must not move a time that the application has set or seen.
 */
#include "base/rawsys.h"
#include "uma/uma_private.h"

bool uma_deliver_times(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_DETACHED ||
        !atomic_load_explicit(&shared->times_pending, memory_order_relaxed) ||
        !atomic_exchange_explicit(&shared->times_pending, 0, memory_order_acq_rel))
        return false;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    sys_utimensat(uma->data_fd, NULL, times, 0);
    return true;
}

void uma_forget_times(struct uma *uma)
{
    if (uma_is_attached(uma))
        atomic_store_explicit(&uma_shared(uma)->times_pending, 0, memory_order_relaxed);
}

void uma_times_save(struct uma *uma, struct uma_times *times)
{
    struct stat st;
    times->valid = !atomic_load_explicit(&uma_shared(uma)->times_pending, memory_order_relaxed) &&
                   sys_fstat(uma->data_fd, &st) == 0;
    if (times->valid)
        times->modified = st.st_mtim;
}

void uma_times_restore(struct uma *uma, const struct uma_times *times)
{
    struct stat st;
    if (!times->valid || sys_fstat(uma->data_fd, &st) != 0 ||
        (st.st_mtim.tv_sec == times->modified.tv_sec && st.st_mtim.tv_nsec == times->modified.tv_nsec))
        return;
    const struct timespec both[2] = {{.tv_nsec = UTIME_OMIT}, times->modified};
    sys_utimensat(uma->data_fd, NULL, both, 0);
}
