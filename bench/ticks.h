/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ticks.h — the clock that times single operations: the CPU's time stamp counter where it is invariant, else
 * CLOCK_MONOTONIC. Two readings cost about 20 ns, against 50 ns by clock_gettime: a 4 KiB write to PM takes 230.
 */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { TICKS_NS_SHIFT = 24, TICKS_SECOND_NS = 1000000000 };

struct ticks {
    bool cpu;      /* readings are of the time stamp counter */
    uint64_t mult; /* nanoseconds = readings * mult >> TICKS_NS_SHIFT */
};

/* Chooses the source and measures its rate (20 ms). With `want_cpu` false always CLOCK_MONOTONIC. */
void ticks_init(struct ticks *ticks, bool want_cpu);

/* What one pair of readings with nothing between adds to a latency, in nanoseconds: the smallest of many. */
uint64_t ticks_pair_ns(const struct ticks *ticks);

static inline uint64_t ticks_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * TICKS_SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Taken before and after an operation. rdtscp waits for the loads before it, lfence keeps what follows behind it. */
static inline uint64_t ticks_now(const struct ticks *ticks)
{
#if defined(__x86_64__)
    if (ticks->cpu) {
        unsigned aux;
        uint64_t value = __rdtscp(&aux);
        _mm_lfence();
        return value;
    }
#endif
    (void)ticks;
    return ticks_monotonic_ns();
}

static inline uint64_t ticks_to_ns(const struct ticks *ticks, uint64_t difference)
{
    return (uint64_t)((unsigned __int128)difference * ticks->mult >> TICKS_NS_SHIFT);
}

static inline uint64_t ticks_from_ns(const struct ticks *ticks, uint64_t ns)
{
    return (uint64_t)(((unsigned __int128)ns << TICKS_NS_SHIFT) / ticks->mult);
}

#endif
