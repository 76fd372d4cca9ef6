/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ticks.c — see ticks.h.
 */
#include "ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { CALIBRATE_NS = 20 * 1000 * 1000, PAIR_TRIES = 2000 };

static bool counter_usable(void)
{
#if defined(__x86_64__)
    /* CPUID 0x80000001 EDX bit 27: rdtscp; 0x80000007 EDX bit 8: the rate never changes and does not stop. */
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) || !(edx & (1u << 27)))
        return false;
    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
#else
    return false;
#endif
}

void ticks_init(struct ticks *ticks, bool want_cpu)
{
    ticks->cpu = want_cpu && counter_usable();
    ticks->mult = (uint64_t)1 << TICKS_NS_SHIFT;
    if (!ticks->cpu)
        return;
    uint64_t start_ns = ticks_monotonic_ns();
    uint64_t start = ticks_now(ticks);
    uint64_t end_ns, end;
    do {
        end_ns = ticks_monotonic_ns();
        end = ticks_now(ticks);
    } while (end_ns - start_ns < CALIBRATE_NS);
    if (end <= start) {
        ticks->cpu = false;
        return;
    }
    ticks->mult = (uint64_t)(((unsigned __int128)(end_ns - start_ns) << TICKS_NS_SHIFT) / (end - start));
}

uint64_t ticks_pair_ns(const struct ticks *ticks)
{
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < PAIR_TRIES; i++) {
        uint64_t start = ticks_now(ticks);
        uint64_t difference = ticks_now(ticks) - start;
        if (difference < best)
            best = difference;
    }
    return ticks_to_ns(ticks, best);
}
