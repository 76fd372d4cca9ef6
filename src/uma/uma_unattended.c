/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_unattended.c — files that are attached for one write that must be whole (uma_worth_tears), and may well be closed soon.
 * Layer uma; called when they are attached, and at the end of each call.
 *
 * The sync thread would cost the process more than it does for such a file: libc locks, and the kernel looks descriptors up,
 * otherwise in a process of threads. So there is none until the file has earned it like any other: each call commits and
 * writes back by itself, as the thread would after a while.
 */
#include "base/conf.h"
#include "uma/uma_private.h"

bool uma_begin_unattended(struct uma *uma)
{
    const uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    bool torn = atomic_load_explicit(&uma->worth.torn, memory_order_relaxed);
    if (!torn || uma->durable || (flags & UMA_FLAG_ATOMIC) || uma_worth_pays(&uma->worth) || conf_get()->lease ||
        uma_is_shared(uma))
        return false;
    atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_UNATTENDED, memory_order_seq_cst);
    /* seq_cst: a mapping is counted before it looks for the flag (uma_mapped_more), so one of us sees the other */
    return !atomic_load_explicit(&uma->maps, memory_order_seq_cst);
}

void uma_attend(struct uma *uma)
{
    if (atomic_load_explicit(&uma->flags, memory_order_seq_cst) & UMA_FLAG_UNATTENDED)
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_UNATTENDED, memory_order_relaxed);
    uma_sync_start();
}

void uma_settle_unattended(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    uma_worth_count(&uma->worth.calls, 1);
    if (uma_worth_pays(&uma->worth)) {
        uma_attend(uma);
        uma_sync_wake(uma);
        return;
    }
    if (!atomic_exchange_explicit(&uma->active, 0, memory_order_seq_cst) ||
        atomic_load_explicit(&shared->mode, memory_order_acquire) != INDEX_MODE_LOGGED)
        return;
    struct index_record *record = uma_claim(uma);
    uma_flush(uma, record, false, true);
    uma_times_deliver(uma, record);
    uma_unclaim(uma, record);
    atomic_store_explicit(&uma->dirty, 0, memory_order_relaxed);
}
