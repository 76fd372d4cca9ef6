/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * live.h — the format of ROOT/.nvmmio/UID.live, the list of UID's inodes that are in use. Layer base; written by log
 * (volume_live.c), read by log and by the preload library, which asks before it loads the core.
 */
#ifndef BASE_LIVE_H
#define BASE_LIVE_H

#include <stdatomic.h>
#include <stdint.h>

#define LIVE_BUCKET_BITS 12u
#define LIVE_BUCKETS (1u << LIVE_BUCKET_BITS)
#define LIVE_SLOTS 7u

/* Inode numbers that are attached or wait for recovery; 0 where a slot is free, or the kernel serves the file. */
struct live_list {
    _Atomic uint64_t ino[LIVE_BUCKETS][LIVE_SLOTS];
};

/* Where an inode number is, if it is there. */
static inline uint32_t live_bucket(uint64_t ino)
{
    /* Neighbouring inode numbers go to neighbouring buckets: who makes or reads many files walks through the table as the
     * caches like it. Each run of numbers begins elsewhere (Fibonacci hashing), as file systems begin their groups of
     * inodes at round numbers. */
    uint64_t run = (ino >> LIVE_BUCKET_BITS) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - LIVE_BUCKET_BITS);
    return (uint32_t)(ino + run) & (LIVE_BUCKETS - 1);
}

#endif
