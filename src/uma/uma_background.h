/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_background.h — what goes on beside the calls on a file: times, followers, leases, the thread. The last part of
 * uma_private.h, by which it is included; not for other layers.
 */
#ifndef UMA_UMA_BACKGROUND_H
#define UMA_UMA_BACKGROUND_H

#include "uma/uma_private.h"

/* ---- times (uma_times.c) ---- */
/* A write has to move the mtime, later. Inside the guard: what it flushes the writer fences. */
void uma_times_mark(struct uma *uma);
/* uma_deliver_times for who has a record. */
bool uma_times_deliver(struct uma *uma, struct index_record *record);
/* What is done to the file from here to uma_times_restore does not move its mtime, but what others deliver or set counts. */
void uma_times_keep(struct uma *uma, struct index_record *record);
void uma_times_restore(struct uma *uma, struct index_record *record);
/* The record, a dead one's too, wants no time back. */
void uma_times_let_go(struct uma *uma, struct index_record *record);

/* ---- for followers (uma_show.c) ---- */

/* Raises the event of a change that is owed, if any: fanotify does not hear of times. */
void uma_announce(struct uma *uma);
/* Brings what is behind the kernel's end to the file, if that is `most` bytes or less. Best effort. Writers of the end wait
 * meanwhile: while they are busy only a little is shown. */
#define UMA_SHOW_BUSY (UINT64_C(1) << 20)
#define UMA_SHOW_QUIET (UINT64_C(4) << 20)
void uma_show_appended(struct uma *uma, struct index_record *record, uint64_t most);

/* ---- leases (uma_lease.c) ---- */

/* Whether data_fd is to be a duplicate of fd, so that there can be a lease. */
bool uma_lease_wanted(const struct uma *uma, int fd);
/* Whether fd can serve as data_fd at all. */
bool uma_lease_fits(int fd);
/* Around an attachment: before its locks; when it is complete but nobody uses it yet, under its locks; behind them. */
void uma_lease_prepare(const struct uma *uma, int fd);
void uma_lease_begin(struct uma *uma);
void uma_lease_attached(struct uma *uma);
/* Before data_fd is closed, or the file is anybody's but this description's. */
void uma_lease_end(struct uma *uma);
void uma_lease_before_fork(void);
void uma_lease_after_fork_child(void);
/* This process cannot have threads. */
void uma_lease_forbid(void);
static inline bool uma_is_frozen(const struct uma *uma)
{
    return atomic_load_explicit(&uma_shared(uma)->frozen, memory_order_acquire);
}

/* ---- without a thread (uma_unattended.c) ---- */

/* At the end of an attachment: whether it can do without the thread for now. */
bool uma_begin_unattended(struct uma *uma);
/* At the end of a call in user space; within its read section. */
void uma_settle_unattended(struct uma *uma);
/* It needs the thread from now on. */
void uma_attend(struct uma *uma);

/* ---- sync thread (uma_sync.c) ---- */
void uma_sync_start(void);
void uma_sync_wake(struct uma *uma);
/* After a detachment: whether there is anything left to do. */
void uma_sync_review(void);
void uma_sync_stop(void);
/* What the thread does with a file: brings to it what is committed, and commits what is not where nobody will, or if `commit`;
 * whether that was so. */
bool uma_flush(struct uma *uma, struct index_record *record, bool commit, bool write_back);
/* In a child that ran no fork handlers: no thread may be made, as libc's locks are as they were. */
void uma_sync_forbid(void);

#endif
