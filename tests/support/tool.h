/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * tool.h — random numbers that can be replayed, data patterns, clocks. For the test programs.
 */
#ifndef SUPPORT_TOOL_H
#define SUPPORT_TOOL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* The finaliser of splitmix64: a good hash of one word. */
static inline uint64_t tool_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t tool_mix2(uint64_t a, uint64_t b)
{
    return tool_mix(tool_mix(a) ^ b);
}

struct tool_rng {
    uint64_t state;
};

static inline uint64_t tool_random(struct tool_rng *rng)
{
    return tool_mix(rng->state++);
}

/* A number in [0, n), n > 0. */
static inline uint64_t tool_below(struct tool_rng *rng, uint64_t n)
{
    return tool_random(rng) % n;
}

/* The byte that the write with `key` puts at file offset `offset`; neighbours of another key differ in 255 of 256. */
static inline uint8_t tool_pattern_byte(uint64_t key, uint64_t offset)
{
    return (uint8_t)(tool_mix2(key, offset >> 3) >> ((offset & 7) * 8));
}

static inline void tool_pattern(void *buf, size_t len, uint64_t key, uint64_t offset)
{
    uint8_t *p = buf;
    size_t i = 0;
    while (i < len && ((offset + i) & 7))
        p[i] = tool_pattern_byte(key, offset + i), i++;
    for (; i + 8 <= len; i += 8) {
        uint64_t word = tool_mix2(key, (offset + i) >> 3);
        memcpy(p + i, &word, 8);
    }
    for (; i < len; i++)
        p[i] = tool_pattern_byte(key, offset + i);
}

static inline uint64_t tool_hash(const void *buf, size_t len)
{
    const uint8_t *p = buf;
    uint64_t h = tool_mix(len), word;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, p + i, 8);
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 32;
    }
    for (; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return tool_mix(h);
}

/* A length as programs have them: mostly small, some a block, few large. */
static inline size_t tool_length(struct tool_rng *rng, size_t max)
{
    uint64_t kind = tool_below(rng, 100);
    size_t len;
    if (kind < 20)
        len = 1 + tool_below(rng, 64);
    else if (kind < 45)
        len = 1 + tool_below(rng, 4096);
    else if (kind < 65)
        len = 4096;
    else if (kind < 90)
        len = 1 + tool_below(rng, 16384);
    else
        len = 1 + tool_below(rng, max);
    return len < max ? len : max;
}

static inline uint64_t tool_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static inline void tool_sleep_us(uint64_t us)
{
    struct timespec ts = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&ts, NULL);
}

#endif
