/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_times.c — times. Layer uma; called by file before a stat and before times are set, at close, and by the sync thread.
 *
 * A write in user space leaves a mark; delivering it sets mtime and ctime to now and raises IN_MODIFY. The log's header has
 * the mark too, for recovery. A read leaves one in the process: delivering it is a read by the kernel. What the library
 * itself does to the file later (write-back, truncation) must not move a time that the application has set or seen.
 */
#include "base/rawsys.h"
#include "uma/uma_private.h"

void uma_times_mark(struct uma *uma)
{
    /* seq_cst: before the note; pairs with note_settled */
    atomic_store_explicit(&uma_shared(uma)->times_pending, 1, memory_order_seq_cst);
    log_note_times(&uma->log, true);
}

/* Recovery is not to move the mtime, unless somebody writes meanwhile: either his note comes after ours, or we see his mark
 * and note it again. */
static void note_settled(struct uma *uma)
{
    log_note_times(&uma->log, false);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&uma_shared(uma)->times_pending, memory_order_relaxed))
        log_note_times(&uma->log, true);
}

void uma_note_read(struct uma *uma)
{
    /* relaxed: a mark by itself; read first, so that readers share the line */
    if (!atomic_load_explicit(&uma->was_read, memory_order_relaxed))
        atomic_store_explicit(&uma->was_read, 1, memory_order_relaxed);
}

/* The kernel moves the time of access by the rules of its mount if it reads itself. */
static bool deliver_access(struct uma *uma)
{
    char byte;
    if (!atomic_load_explicit(&uma->was_read, memory_order_relaxed) ||
        !atomic_exchange_explicit(&uma->was_read, 0, memory_order_relaxed))
        return false;
    sys_pread(uma->data_fd, &byte, sizeof byte, 0);
    return true;
}

bool uma_deliver_times(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    if (atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_DETACHED)
        return false;
    bool accessed = deliver_access(uma); /* first: a file that was written after it was read must look so */
    if (!atomic_load_explicit(&shared->times_pending, memory_order_relaxed) ||
        !atomic_exchange_explicit(&shared->times_pending, 0, memory_order_acq_rel))
        return accessed;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    sys_utimensat(uma->data_fd, NULL, times, 0);
    atomic_store_explicit(&uma->announce, 1, memory_order_relaxed);
    note_settled(uma);
    return true;
}

void uma_forget_times(struct uma *uma)
{
    if (!uma_is_attached(uma))
        return;
    atomic_store_explicit(&uma_shared(uma)->times_pending, 0, memory_order_relaxed);
    note_settled(uma);
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
