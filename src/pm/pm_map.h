/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_map.h — a shared mapping of a file that grows and never moves. Layer pm; called by log, index, uma.
 *
 * The file is mapped in segments, each when it is first needed: segment 0 holds the first PM_MAP_FIRST bytes and segment
 * k > 0 the bytes from PM_MAP_FIRST << (k - 1) up to twice that. A file of n bytes so reserves at most max(2n,
 * PM_MAP_FIRST) of address space, offsets up to 2^62 need 37 segments, and an address once given stays valid until
 * pm_map_close. Nothing that is aligned to its own size (a power of two) straddles two segments.
 */
#ifndef PM_PM_MAP_H
#define PM_PM_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PM_MAP_FIRST_SHIFT 26 /* 64 MiB */
#define PM_MAP_FIRST (UINT64_C(1) << PM_MAP_FIRST_SHIFT)
#define PM_MAP_SEGMENTS 37

struct pm_map {
    int fd;                                   /* borrowed: the owner keeps it open while segments may still be mapped */
    bool writable;                            /* PROT_WRITE */
    bool dont_fork;                           /* a forked child does not inherit the mapping */
    bool sync;                                /* MAP_SYNC was granted for segment 0 and is demanded for the others */
    _Atomic(char *) segment[PM_MAP_SEGMENTS]; /* published by compare-and-swap; acquire pairs with that release */
};

/* How a file is mapped: MAP_SYNC only, MAP_SYNC where granted, or never (DRAM objects, emulated PM). */
enum pm_map_sync { PM_MAP_SYNC_REQUIRED, PM_MAP_SYNC_TRY, PM_MAP_SYNC_NEVER };

/* Prepares `map` and maps segment 0. 0 or -errno (ENOMEM, EOPNOTSUPP where MAP_SYNC is required and refused, ...). */
int pm_map_open(struct pm_map *map, int fd, bool writable, bool dont_fork, enum pm_map_sync sync);

/* The same without mapping anything yet: only with PM_MAP_SYNC_REQUIRED or PM_MAP_SYNC_NEVER, which leave nothing to try. */
void pm_map_prepare(struct pm_map *map, int fd, bool writable, bool dont_fork, enum pm_map_sync sync);

/* Unmaps all segments. Nobody may use an address of the map any more. */
void pm_map_close(struct pm_map *map);

/* Maps the segment of `offset`: its address for that byte, or NULL (out of address space or of mappings). Thread-safe. */
void *pm_map_extend(struct pm_map *map, uint64_t offset);

/* If the address is in the map: puts a page of zeros in the place of its page, for this process alone, and returns true. In
 * a signal handler, whoever uses the map meanwhile. */
bool pm_map_patch(struct pm_map *map, uintptr_t address);

static inline unsigned pm_map_segment(uint64_t offset)
{
    return offset < PM_MAP_FIRST ? 0 : (unsigned)(64 - __builtin_clzll(offset >> PM_MAP_FIRST_SHIFT));
}

static inline uint64_t pm_map_segment_start(unsigned segment)
{
    return segment ? PM_MAP_FIRST << (segment - 1) : 0;
}

/* The address of the byte at `offset` if its segment is mapped already, else NULL. */
static inline void *pm_map_peek(struct pm_map *map, uint64_t offset)
{
    unsigned segment = pm_map_segment(offset);
    char *base = segment < PM_MAP_SEGMENTS ? atomic_load_explicit(&map->segment[segment], memory_order_acquire) : NULL;
    return base ? base + (offset - pm_map_segment_start(segment)) : NULL;
}

/* The address of the byte at `offset`, NULL if it cannot be mapped. The caller makes sure that the file has that byte. */
static inline void *pm_map_at(struct pm_map *map, uint64_t offset)
{
    unsigned segment = pm_map_segment(offset);
    char *base = segment < PM_MAP_SEGMENTS ? atomic_load_explicit(&map->segment[segment], memory_order_acquire) : NULL;
    if (__builtin_expect(!base, 0))
        return pm_map_extend(map, offset);
    return base + (offset - pm_map_segment_start(segment));
}

#endif
