/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm.h — persistence primitives over libpmem. Layer pm; called by log, uma. Nothing else includes libpmem.h.
 *
 * Vocabulary: a *line* is 64 bytes, aligned. A store is *visible* when other threads see it, *persistent* when it
 * survives a power cut: after its line was written back (clwb, or a non-temporal store) and the same thread has fenced.
 *
 * Where there is nothing that survives a power cut (tmpfs) a cached store is all that can be had: it survives the death
 * of processes. A thread that works on such files says so (pm_domain): its copies go through the cache, where the next
 * reader finds them, its write-backs are nothing and its fences order the compiler and threads, as a release does.
 */
#ifndef PM_PM_H
#define PM_PM_H

#include "pm/pm_trace.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PM_LINE 64u

/* What the stores of this thread are to survive. Durable is always right. */
enum pm_domain {
    PM_DOMAIN_DURABLE, /* a power cut */
    PM_DOMAIN_CACHED,  /* the death of processes */
};
extern __thread enum pm_domain pm_domain __attribute__((tls_model("initial-exec")));

/* Loads libpmem, once: it and what it needs cost a process a millisecond, and where nothing is durable it is not needed. To be
 * called before there is anything durable to store to, where a library can be loaded: not in a handler of signals, and
 * without a lock that a library's constructor may wait for. Without it copies go through the cache and are written back. */
void pm_load(void);

/* Copies n bytes to PM, byte-precise (nothing outside [dst, dst+n) is touched). Persistent after pm_fence of this thread.
 * Whole lines go non-temporal: other threads may see them late, so fence (or a locked instruction) before publishing; in
 * the cached domain they are plain stores, which any release publishes. */
void pm_copy(void *dst, const void *src, size_t n);

/* Stores n zero bytes; else as pm_copy. */
void pm_zero(void *dst, size_t n);

/* One 8-byte atomic regular store, not flushed. Stores by one thread to one line persist in program order: that is
 * what entries and headers rely on. Release, so that neither compiler nor CPU moves earlier stores after it. */
static inline void pm_store64(_Atomic uint64_t *dst, uint64_t value)
{
    pm_trace_before(PM_TRACE_STORE, (const void *)dst, sizeof *dst, NULL);
    atomic_store_explicit(dst, value, memory_order_release);
    pm_trace_after();
}

/* n bytes (a multiple of 8, dst aligned so) as such stores, in ascending order: for fields that are constant while others
 * may read them. */
static inline void pm_store_words(void *dst, const void *src, size_t n)
{
    typedef uint64_t __attribute__((may_alias)) word;
    for (size_t i = 0; i < n / sizeof(word); i++)
        pm_store64((_Atomic word *)dst + i, ((const word *)src)[i]);
}

/* Sets bits of a word, atomically; else as pm_store64. Returns the word as it was. */
static inline uint64_t pm_or64(_Atomic uint64_t *dst, uint64_t bits)
{
    pm_trace_before(PM_TRACE_STORE, (const void *)dst, sizeof *dst, NULL);
    uint64_t before = atomic_fetch_or_explicit(dst, bits, memory_order_release);
    pm_trace_after();
    return before;
}

/* Writes back the lines of [addr, addr+n). Persistent after pm_fence of this thread. */
void pm_flush(const void *addr, size_t n);

/* Waits until this thread's flushes and non-temporal stores are persistent. In the cached domain a release fence. */
void pm_fence(void);

#endif
