/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * stats.h — counters of this process. Layer base; bumped by all layers.
 *
 * Counters live in stripes of their own cache lines; a thread always uses the same stripe. Adding is a relaxed
 * load, add, store while the stripe belongs to one thread, a locked add when it must be shared; reading sums all stripes.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum stats_counter {
    STATS_PM_BYTES,      /* "pm.bytes": payload bytes stored to PM by the library: data, edges, gap zeros, write-back */
    STATS_PM_META_BYTES, /* "pm.meta_bytes": bytes of entries and headers flushed to PM, 64 a line */
    STATS_PM_FENCES,     /* "pm.fences" */
    STATS_PM_FLUSHES,    /* "pm.flushes": lines written back by clwb */
    STATS_READS,         /* "uma.reads": reads served in user space */
    STATS_READ_BYTES,    /* "uma.read_bytes" */
    STATS_WRITES,        /* "uma.writes" */
    STATS_WRITE_BYTES,   /* "uma.write_bytes" */
    STATS_COMMITS,       /* "uma.commits" */
    STATS_EARLY_COMMITS, /* "uma.early_commits": because the log could not grow */
    STATS_RELOCATIONS,   /* "uma.relocations": blocks */
    STATS_WRITEBACK_BLOCKS, /* "uma.writeback_blocks" */
    STATS_ATTACHES,         /* "uma.attaches" */
    STATS_RECOVERIES,       /* "log.recoveries" */
    STATS_LOGS_CREATED,     /* "log.created" */
    STATS_REPAIRS,          /* "uma.repairs": dead threads' operations taken over */
    STATS_KERNEL_READS,     /* "kernel.reads": on files in a root, served by the kernel */
    STATS_KERNEL_WRITES,    /* "kernel.writes" */
    STATS_IN_PLACE,         /* "uma.in_place": mode changes as a file was mapped */
    STATS_LOGGED,           /* "uma.logged": and back, when the last mapping was gone */
    STATS_DEMOTE_STDIO,     /* "demote.stdio", and so on: umas demoted, by reason */
    STATS_DEMOTE_MMAP,
    STATS_DEMOTE_EXEC,
    STATS_DEMOTE_FDPASS,
    STATS_DEMOTE_AIO,
    STATS_DEMOTE_KERNEL_COPY,
    STATS_DEMOTE_IOCTL,
    STATS_DEMOTE_NOSPACE,
    STATS_DEMOTE_OTHER,
    STATS_COUNT
};

struct stats_stripe {
    _Alignas(64) _Atomic uint64_t count[STATS_COUNT];
    _Atomic int owner; /* thread id, 0: nobody's */
};

/* The stripe that this thread alone adds to; NULL: none yet, or it must share. */
extern __thread struct stats_stripe *stats_own __attribute__((tls_model("initial-exec")));

/* For a thread without a stripe of its own. */
void stats_add_slow(enum stats_counter counter, uint64_t n);

/* Inline, since a write adds several times. relaxed: counts order nothing. */
static inline void stats_add(enum stats_counter counter, uint64_t n)
{
    struct stats_stripe *stripe = stats_own;
    if (__builtin_expect(!stripe, 0)) {
        stats_add_slow(counter, n);
        return;
    }
    _Atomic uint64_t *count = &stripe->count[counter];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

/* A child counts from 0: what its parent did is its parent's. */
void stats_after_fork_child(void);

uint64_t stats_sum(enum stats_counter counter);
const char *stats_name(enum stats_counter counter);

#endif
