/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * stats.c — counters in per-thread stripes. Layer base; bumped by all layers.
 *
 * A thread owns the stripe that carries its id. When all are taken a new thread looks for the stripe of a thread that
 * has ended, and shares the last one (locked adds) if there is none. A forked child goes on with its parent's counts.
 */
#include "base/stats.h"

#include "base/rawsys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define STATS_STRIPES 64
#define STATS_SHARED (STATS_STRIPES - 1)

static struct stats {
    struct stats_stripe stripe[STATS_STRIPES];
} stats;

__thread struct stats_stripe *stats_own;

/* relaxed throughout this file: counts order nothing, and the exchange of `owner` alone makes a stripe's owner unique
 */

static bool stats_take(struct stats_stripe *stripe, int owner, int me)
{
    return atomic_compare_exchange_strong_explicit(&stripe->owner, &owner, me, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static struct stats_stripe *stats_assign(void)
{
    int me = sys_gettid();
    for (int i = 0; i < STATS_SHARED; i++)
        if (stats_take(&stats.stripe[i], 0, me))
            return &stats.stripe[i];
    pid_t pid = sys_getpid();
    for (int i = 0; i < STATS_SHARED; i++) {
        int owner = atomic_load_explicit(&stats.stripe[i].owner, memory_order_relaxed);
        bool ended = owner == me || sys_tgkill(pid, owner, 0) == -ESRCH;
        if (ended && stats_take(&stats.stripe[i], owner, me))
            return &stats.stripe[i];
    }
    return &stats.stripe[STATS_SHARED];
}

void stats_add_slow(enum stats_counter counter, uint64_t n)
{
    struct stats_stripe *stripe = stats_assign();
    if (stripe == &stats.stripe[STATS_SHARED]) {
        atomic_fetch_add_explicit(&stripe->count[counter], n, memory_order_relaxed);
        return;
    }
    stats_own = stripe;
    stats_add(counter, n);
}

void stats_after_fork_child(void)
{
    memset(&stats, 0, sizeof stats); /* there is one thread */
    stats_own = NULL;
}

uint64_t stats_sum(enum stats_counter counter)
{
    uint64_t sum = 0;
    for (int i = 0; i < STATS_STRIPES; i++)
        sum += atomic_load_explicit(&stats.stripe[i].count[counter], memory_order_relaxed);
    return sum;
}

const char *stats_name(enum stats_counter counter)
{
    static const char *const names[STATS_COUNT] = {
        [STATS_PM_BYTES] = "pm.bytes",
        [STATS_PM_META_BYTES] = "pm.meta_bytes",
        [STATS_PM_FENCES] = "pm.fences",
        [STATS_PM_FLUSHES] = "pm.flushes",
        [STATS_READS] = "uma.reads",
        [STATS_READ_BYTES] = "uma.read_bytes",
        [STATS_WRITES] = "uma.writes",
        [STATS_WRITE_BYTES] = "uma.write_bytes",
        [STATS_COMMITS] = "uma.commits",
        [STATS_EARLY_COMMITS] = "uma.early_commits",
        [STATS_RELOCATIONS] = "uma.relocations",
        [STATS_WRITEBACK_BLOCKS] = "uma.writeback_blocks",
        [STATS_ATTACHES] = "uma.attaches",
        [STATS_RECOVERIES] = "log.recoveries",
        [STATS_LOGS_CREATED] = "log.created",
        [STATS_REPAIRS] = "uma.repairs",
        [STATS_KERNEL_READS] = "kernel.reads",
        [STATS_KERNEL_WRITES] = "kernel.writes",
        [STATS_IN_PLACE] = "uma.in_place",
        [STATS_LOGGED] = "uma.logged",
        [STATS_DEMOTE_STDIO] = "demote.stdio",
        [STATS_DEMOTE_MMAP] = "demote.mmap",
        [STATS_DEMOTE_EXEC] = "demote.exec",
        [STATS_DEMOTE_FDPASS] = "demote.fdpass",
        [STATS_DEMOTE_AIO] = "demote.aio",
        [STATS_DEMOTE_KERNEL_COPY] = "demote.kernel_copy",
        [STATS_DEMOTE_IOCTL] = "demote.ioctl",
        [STATS_DEMOTE_NOSPACE] = "demote.nospace",
        [STATS_DEMOTE_OTHER] = "demote.other",
    };
    return (unsigned)counter < STATS_COUNT ? names[counter] : NULL;
}
