/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm.c — copies by libpmem, write-backs and fences by single instructions. Layer pm; called by log and uma.
 *
 * What libpmem's environment variables could do to persistence, and what is done here about it:
 *   PMEM_NO_FLUSH=1            its write-backs become nothing, those of the edges of a non-temporal copy included. On x86
 *                              every copy is then written back once more here (pm.flush_copies).
 *   PMEM_NO_MOVNT=1            NONTEMPORAL copies become cached ones with its write-back: safe, or else the case above.
 *   PMEM_NO_CLWB, PMEM_NO_CLFLUSHOPT
 *                              weaker instructions, and with clflush alone an empty fence. Not read by our own.
 *   PMEM_MOVNT_THRESHOLD       decides for copies without a flag; ours always have one.
 *   PMEM_IS_PMEM_FORCE         decides pmem_is_pmem, which is never asked.
 *   PMEM_AVX, PMEM_AVX512F, PMEM_WC_WORKAROUND ...
 *                              choose among copy loops of the same meaning.
 * On other machines than x86 libpmem does everything, and PMEM_NO_FLUSH is obeyed with a warning.
 */
#include "pm/pm.h"

#include "base/msg.h"
#include "base/stats.h"
#include "base/tsan.h"

#include <dlfcn.h>
#include <errno.h>
#include <libpmem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Non-temporal whatever the size: libpmem stores partial lines through the cache and writes them back itself, and whole
 * lines took 55 ns less than through the cache, measured with 8 to 4096 bytes at random places. */
#define PM_COPY_FLAGS (PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NONTEMPORAL)

__thread enum pm_domain pm_domain;

enum pm_write_back { PM_CLFLUSH, PM_CLFLUSHOPT, PM_CLWB, PM_LIBPMEM };

/* Set by the constructor, read only afterwards; the functions by pm_load, complete when they are seen. */
static struct pm {
    enum pm_write_back write_back;
    bool flush_copies; /* libpmem's copies cannot be trusted to be persistent after a fence */
    _Atomic(__typeof__(&pmem_memcpy)) copy;
    _Atomic(__typeof__(&pmem_memset)) set;
    __typeof__(&pmem_flush) flush; /* not x86 */
    __typeof__(&pmem_drain) drain;
} pm = {.write_back = PM_LIBPMEM};

#define PM_LIBRARY "libpmem.so.1" /* its ABI has been this one since 2016 */

void pm_load(void)
{
    if (atomic_load_explicit(&pm.copy, memory_order_relaxed))
        return;
    int saved = errno; /* the application's, which the loader spoils */
    void *library = dlopen(PM_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *copy = library ? dlsym(library, "pmem_memcpy") : NULL;
    void *set = library ? dlsym(library, "pmem_memset") : NULL;
    void *flush = library ? dlsym(library, "pmem_flush") : NULL;
    void *drain = library ? dlsym(library, "pmem_drain") : NULL;
    errno = saved;
    if (!copy || !set) {
        msg(MSG_WARNING, "%s cannot be used: copies are written back line by line", PM_LIBRARY);
        return;
    }
    pm.flush = (__typeof__(pm.flush))flush;
    pm.drain = (__typeof__(pm.drain))drain;
    /* release, `copy` last: its library is there; two threads at once store the same */
    atomic_store_explicit(&pm.set, (__typeof__(&pmem_memset))set, memory_order_release);
    atomic_store_explicit(&pm.copy, (__typeof__(&pmem_memcpy))copy, memory_order_release);
}

static uintptr_t pm_line_of(const void *addr)
{
    return (uintptr_t)addr & ~(uintptr_t)(PM_LINE - 1);
}

static size_t pm_lines(const void *addr, size_t n)
{
    return (pm_line_of((const char *)addr + n - 1) - pm_line_of(addr)) / PM_LINE + 1;
}

#if defined(__x86_64__)

#include <cpuid.h>

#define PM_CPUID_CLFLUSHOPT (1u << 23) /* leaf 7, ebx */
#define PM_CPUID_CLWB (1u << 24)

__attribute__((constructor)) static void pm_init(void)
{
    unsigned eax, ebx = 0, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        ebx = 0;
    pm.write_back = ebx & PM_CPUID_CLWB ? PM_CLWB : ebx & PM_CPUID_CLFLUSHOPT ? PM_CLFLUSHOPT : PM_CLFLUSH;
    const char *no_flush = getenv("PMEM_NO_FLUSH");
    pm.flush_copies = no_flush && no_flush[0] != '0';
    if (pm.flush_copies)
        msg(MSG_WARNING, "PMEM_NO_FLUSH is set: every copy is written back line by line");
}

/* "+m": the compiler keeps the earlier stores to the line before the instruction; the CPU orders it behind them. */
static void pm_write_back(const void *addr, size_t n)
{
    uintptr_t end = (uintptr_t)addr + n;
    switch (pm.write_back) {
    case PM_CLWB:
        for (uintptr_t line = pm_line_of(addr); line < end; line += PM_LINE)
            __asm__ volatile("clwb %0" : "+m"(*(volatile char *)line)::"memory");
        break;
    case PM_CLFLUSHOPT:
        for (uintptr_t line = pm_line_of(addr); line < end; line += PM_LINE)
            __asm__ volatile("clflushopt %0" : "+m"(*(volatile char *)line)::"memory");
        break;
    default:
        for (uintptr_t line = pm_line_of(addr); line < end; line += PM_LINE)
            __asm__ volatile("clflush %0" : "+m"(*(volatile char *)line)::"memory");
        break;
    }
}

static void pm_fence_stores(void)
{
    __asm__ volatile("sfence" ::: "memory");
}

#else

__attribute__((constructor)) static void pm_init(void)
{
    pm_load();
    const char *no_flush = getenv("PMEM_NO_FLUSH");
    if (no_flush && no_flush[0] == '1')
        msg(MSG_WARNING, "PMEM_NO_FLUSH=1: nothing is durable unless the CPU caches are");
}

static void pm_write_back(const void *addr, size_t n)
{
    if (pm.flush)
        pm.flush(addr, n);
}

static void pm_fence_stores(void)
{
    if (pm.drain)
        pm.drain();
    atomic_thread_fence(memory_order_seq_cst);
}

#endif

static inline bool pm_is_cached(void)
{
    return pm_domain == PM_DOMAIN_CACHED;
}

/* What pm_copy and pm_zero do after n bytes were stored, by libpmem or through the cache. The lines that libpmem wrote back
 * at the edges are not counted as flushes. */
static inline void pm_stored(const void *dst, size_t n, bool cached)
{
    stats_add(STATS_PM_BYTES, n);
    if (__builtin_expect((cached || pm.flush_copies) && !pm_is_cached(), 0)) {
        pm_write_back(dst, n);
        stats_add(STATS_PM_FLUSHES, pm_lines(dst, n));
    }
}

void pm_copy(void *dst, const void *src, size_t n)
{
    if (!n)
        return;
    pm_trace_before(PM_TRACE_STREAM, dst, n, PM_TRACE_CALLER);
    tsan_copied(dst, src, n);
    /* acquire: pairs with pm_load */
    __typeof__(&pmem_memcpy) copy = pm_is_cached() ? NULL : atomic_load_explicit(&pm.copy, memory_order_acquire);
    if (copy)
        copy(dst, src, n, PM_COPY_FLAGS);
    else
        memcpy(dst, src, n);
    pm_stored(dst, n, !copy);
    pm_trace_after();
}

void pm_zero(void *dst, size_t n)
{
    if (!n)
        return;
    pm_trace_before(PM_TRACE_STREAM, dst, n, PM_TRACE_CALLER);
    tsan_copied(dst, NULL, n);
    __typeof__(&pmem_memset) set = pm_is_cached() ? NULL : atomic_load_explicit(&pm.set, memory_order_acquire);
    if (set)
        set(dst, 0, n, PM_COPY_FLAGS);
    else
        memset(dst, 0, n);
    pm_stored(dst, n, !set);
    pm_trace_after();
}

void pm_flush(const void *addr, size_t n)
{
    if (!n || pm_is_cached())
        return;
    pm_trace_before(PM_TRACE_FLUSH, addr, n, PM_TRACE_CALLER);
    size_t lines = pm_lines(addr, n);
    pm_write_back(addr, n);
    pm_trace_after();
    stats_add(STATS_PM_FLUSHES, lines);
    stats_add(STATS_PM_META_BYTES, lines * PM_LINE);
}

void pm_fence(void)
{
    if (pm_is_cached()) {
        /* for other threads: what was stored before comes before what is stored after; nothing to do on x86 */
        atomic_thread_fence(memory_order_release);
        return;
    }
    pm_trace_before(PM_TRACE_FENCE, NULL, 0, PM_TRACE_CALLER);
    pm_fence_stores();
    pm_trace_after();
    stats_add(STATS_PM_FENCES, 1);
}
