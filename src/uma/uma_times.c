/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_times.c — times. Layer uma; called by file before a stat and before times are set, at close, and by the sync thread.
 *
 * A write in user space leaves a mark; delivering it sets mtime and ctime to now and raises IN_MODIFY. The log's header has
 * the mark too, for recovery. A read leaves one in the process: delivering it is a read by the kernel. What the library
 * itself does to the file later (write-back, truncation) must not move a time that the application has set or seen.
 *
 * Three parties set times at once, in one process or several: who delivers, the application that sets times, and who
 * changes the file and puts its time back. Each does so under times_lock, so that no old time comes over a newer one. The
 * lock is held for a system call or two, never while data moves: who wants a time back is counted (times_keepers), the
 * first one notes the time, and a delivery or the application's own call replaces the note.
 */
#include "base/rawsys.h"
#include "uma/uma_private.h"

void uma_times_mark(struct uma *uma)
{
    /* seq_cst: before the note; pairs with note_settled */
    atomic_store_explicit(&uma_shared(uma)->times_pending, INDEX_TIMES_PENDING, memory_order_seq_cst);
    log_note_times(&uma->log, true);
}

static bool times_are_pending(const struct uma *uma)
{
    /* relaxed: a caller's own write is before it in his thread; what others have just marked may be missed */
    return atomic_load_explicit(&uma_shared(uma)->times_pending, memory_order_relaxed) != INDEX_TIMES_SETTLED;
}

/* Recovery is not to move the mtime, unless somebody writes meanwhile: either his note comes after ours, or we see his mark
 * and note it again. */
static void note_settled(struct uma *uma)
{
    log_note_times(&uma->log, false);
    atomic_thread_fence(memory_order_seq_cst);
    if (times_are_pending(uma))
        log_note_times(&uma->log, true);
}

void uma_note_read(struct uma *uma)
{
    /* relaxed: a mark by itself; read first, so that readers share the line */
    if (!atomic_load_explicit(&uma->was_read, memory_order_relaxed))
        atomic_store_explicit(&uma->was_read, 1, memory_order_relaxed);
}

/* The clock that the kernel takes the times of files from: it stands still for some milliseconds, and so do they. No system
 * call. */
static uint64_t tick_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The kernel moves the time of access by the rules of its mount if it reads itself; once in a tick is enough. */
static bool deliver_access(struct uma *uma)
{
    char byte;
    if (!atomic_load_explicit(&uma->was_read, memory_order_relaxed) ||
        !atomic_exchange_explicit(&uma->was_read, 0, memory_order_relaxed))
        return false;
    uint64_t tick = tick_now();
    if (atomic_load_explicit(&uma->access_tick, memory_order_relaxed) == tick)
        return false;
    atomic_store_explicit(&uma->access_tick, tick, memory_order_relaxed);
    sys_pread(uma->data_fd, &byte, sizeof byte, 0);
    return true;
}

/* ---- under times_lock ---- */

/* The time that the file has now is the one to go back to, if anybody will. */
static void keep_time_of_now(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    struct stat st;
    bool known = sys_fstat(uma->data_fd, &st) == 0;
    /* relaxed: read under the lock */
    atomic_store_explicit(&shared->kept_seconds, known ? st.st_mtim.tv_sec : 0, memory_order_relaxed);
    atomic_store_explicit(&shared->kept_nanoseconds, known ? st.st_mtim.tv_nsec : UTIME_OMIT, memory_order_relaxed);
}

static bool has_keepers(const struct uma *uma)
{
    return atomic_load_explicit(&uma_shared(uma)->times_keepers, memory_order_relaxed);
}

/* A write during the call marks the file again, and is delivered once more; a stat during the call sees that the time is on
 * its way and waits for the lock. */
static bool deliver_locked(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    if (!times_are_pending(uma))
        return false;
    uint32_t delivering = INDEX_TIMES_DELIVERING;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    atomic_store_explicit(&shared->times_pending, INDEX_TIMES_DELIVERING, memory_order_seq_cst);
    atomic_store_explicit(&shared->times_tick, tick_now(), memory_order_relaxed);
    sys_utimensat(uma->data_fd, NULL, times, 0);
    volume_note_correction(uma->volume);
    atomic_store_explicit(&uma->announce, 1, memory_order_relaxed);
    if (has_keepers(uma))
        keep_time_of_now(uma);
    atomic_compare_exchange_strong_explicit(&shared->times_pending, &delivering, INDEX_TIMES_SETTLED,
                                            memory_order_seq_cst, memory_order_relaxed);
    note_settled(uma);
    return true;
}

/* For who looks at the time: where one of this tick was delivered already another would be the same. Watchers still hear of
 * the write, from the sync thread. False: it must be delivered. */
static bool settle_in_tick(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    uint32_t pending = INDEX_TIMES_PENDING;
    if (has_keepers(uma) || atomic_load_explicit(&shared->times_tick, memory_order_relaxed) != tick_now())
        return false;
    atomic_store_explicit(&uma->announce, 1, memory_order_relaxed);
    bool settled = atomic_compare_exchange_strong_explicit(&shared->times_pending, &pending, INDEX_TIMES_SETTLED,
                                                           memory_order_seq_cst, memory_order_relaxed);
    if (settled)
        note_settled(uma);
    return settled;
}

/* ---- calls ---- */

bool uma_times_deliver(struct uma *uma, struct index_record *record)
{
    bool accessed = deliver_access(uma); /* first: a file that was written after it was read must look so */
    if (!times_are_pending(uma))
        return accessed;
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    bool moved = deliver_locked(uma);
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
    return moved || accessed;
}

bool uma_deliver_times(struct uma *uma)
{
    if (!uma_is_attached(uma))
        return false;
    bool accessed = deliver_access(uma);
    if (!times_are_pending(uma))
        return accessed;
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    bool moved = !settle_in_tick(uma) && deliver_locked(uma);
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
    uma_unclaim(uma, record);
    return moved || accessed;
}

bool uma_times_are_told(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    /* acquire, both: who sees that it is delivered, or put back, sees the correction that was noted before */
    return uma_is_attached(uma) &&
           atomic_load_explicit(&shared->times_pending, memory_order_acquire) == INDEX_TIMES_SETTLED &&
           !atomic_load_explicit(&shared->times_keepers, memory_order_acquire);
}

uint32_t uma_times_keeps(struct uma *uma)
{
    /* The caller's question to the kernel is between two of these: a system call, behind and before which nothing moves. */
    return uma_is_attached(uma) ? atomic_load_explicit(&uma_shared(uma)->times_keeps, memory_order_acquire) : 0;
}

bool uma_times_kept(struct uma *uma, struct timespec *mtime)
{
    struct index_shared *shared = uma_is_attached(uma) ? uma_shared(uma) : NULL;
    if (!shared || !has_keepers(uma))
        return false;
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    bool kept = has_keepers(uma);
    mtime->tv_sec = atomic_load_explicit(&shared->kept_seconds, memory_order_relaxed);
    mtime->tv_nsec = atomic_load_explicit(&shared->kept_nanoseconds, memory_order_relaxed);
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
    uma_unclaim(uma, record);
    return kept && mtime->tv_nsec != UTIME_OMIT;
}

int uma_set_times(struct uma *uma, int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (!uma_is_attached(uma))
        return sys_utimensat(dirfd, path, times, flags);
    struct index_shared *shared = uma_shared(uma);
    struct index_record *record = uma_claim(uma);
    deliver_access(uma);
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    deliver_locked(uma); /* what was written before must not come over this one */
    int error = sys_utimensat(dirfd, path, times, flags);
    if (!error) {
        /* the next write, and read, moves it from there */
        atomic_store_explicit(&shared->times_tick, 0, memory_order_relaxed);
        atomic_store_explicit(&uma->access_tick, 0, memory_order_relaxed);
        atomic_store_explicit(&shared->times_pending, INDEX_TIMES_SETTLED, memory_order_seq_cst);
        note_settled(uma);
        if (has_keepers(uma))
            keep_time_of_now(uma);
    }
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
    uma_unclaim(uma, record);
    return error;
}

void uma_times_keep(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    if (!has_keepers(uma))
        keep_time_of_now(uma);
    /* release: before the file is changed, so that whoever sees the moved time sees this, too */
    atomic_fetch_add_explicit(&shared->times_keeps, 1, memory_order_release);
    /* In this order: if we die in between, somebody keeps a time for nobody, and no count falls below zero. Atomic, since
     * uma_times_let_go counts down without the lock. */
    atomic_fetch_add_explicit(&shared->times_keepers, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&record->keeping, 1, memory_order_relaxed);
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
}

void uma_times_restore(struct uma *uma, struct index_record *record)
{
    struct index_shared *shared = uma_shared(uma);
    struct stat st;
    uma_lock(uma, record, INDEX_LOCK_TIMES);
    const struct timespec both[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = atomic_load_explicit(&shared->kept_seconds, memory_order_relaxed),
         .tv_nsec = atomic_load_explicit(&shared->kept_nanoseconds, memory_order_relaxed)},
    };
    /* a pending time comes over this one anyway */
    if (!times_are_pending(uma) && both[1].tv_nsec != UTIME_OMIT && sys_fstat(uma->data_fd, &st) == 0 &&
        (st.st_mtim.tv_sec != both[1].tv_sec || st.st_mtim.tv_nsec != both[1].tv_nsec)) {
        sys_utimensat(uma->data_fd, NULL, both, 0);
        volume_note_correction(uma->volume);
    }
    atomic_fetch_sub_explicit(&record->keeping, 1, memory_order_relaxed);
    /* release: behind the note; pairs with uma_times_are_told */
    atomic_fetch_sub_explicit(&shared->times_keepers, 1, memory_order_release);
    uma_unlock(uma, record, INDEX_LOCK_TIMES);
}

void uma_times_let_go(struct uma *uma, struct index_record *record)
{
    uint32_t keeping = atomic_exchange_explicit(&record->keeping, 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&uma_shared(uma)->times_keepers, keeping, memory_order_relaxed);
}
