/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * seen.h — a set of 128-bit hashes that grows: which states were met already.
 */
#ifndef CRASH_EXPLORE_SEEN_H
#define CRASH_EXPLORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen_key {
    uint64_t half[2];
};

struct seen {
    struct seen_key *key; /* both halves zero: free */
    size_t count, room;   /* room is a power of two */
};

/* 64 bits in which every bit of x counts. */
static inline uint64_t seen_mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

/* The key together with a number that it is met under. */
static inline struct seen_key seen_under(struct seen_key key, uint64_t number)
{
    key.half[0] ^= seen_mix(number + UINT64_C(0x9e3779b97f4a7c15));
    key.half[1] += seen_mix(number ^ UINT64_C(0xc2b2ae3d27d4eb4f));
    return key;
}

/* Adds the key: true if it is new. */
bool seen_add(struct seen *seen, struct seen_key key);
void seen_free(struct seen *seen);

#endif
