/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_map.c — maps a file's segments on demand, 2 MiB-aligned. Layer pm; called by log, index, uma.
 *
 * Address and file offset must agree modulo 2 MiB or the kernel cannot use huge mappings. The alignment comes from a
 * reserve of address space that is larger by 2 MiB, over which the file is mapped; the rest is given back.
 */
#include "pm/pm_map.h"

#include "base/rawsys.h"
#include "base/region.h"

#include <errno.h>
#include <sys/mman.h>

#define PM_MAP_ALIGN (UINT64_C(1) << 21)
#define PM_MAP_PAGE 4096u

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

static uint64_t pm_map_segment_bytes(unsigned segment)
{
    return segment ? pm_map_segment_start(segment) : PM_MAP_FIRST; /* as long as all before it */
}

/* Address space of `len` bytes, aligned; NULL if there is none. */
static char *pm_map_reserve(uint64_t len)
{
    char *reserve = region_map(len + PM_MAP_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys_is_error(reserve))
        return NULL;
    uint64_t head = -(uintptr_t)reserve & (PM_MAP_ALIGN - 1);
    if (head)
        sys_munmap(reserve, head);
    sys_munmap(reserve + head + len, PM_MAP_ALIGN - head); /* failing, they only stay reserved */
    return reserve + head;
}

/* Maps one segment and stores its address in *base. */
static int pm_map_segment_map(const struct pm_map *map, unsigned segment, char **base)
{
    uint64_t len = pm_map_segment_bytes(segment);
    char *at = pm_map_reserve(len);
    if (!at)
        return -ENOMEM;
    int prot = PROT_READ | (map->writable ? PROT_WRITE : 0);
    int flags = MAP_FIXED | (map->sync ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED);
    void *p = sys_mmap(at, len, prot, flags, map->fd, (off_t)pm_map_segment_start(segment));
    int error = sys_is_error(p) ? (int)(intptr_t)p : 0;
    /* A fork of another thread before this leaves the child a mapping that nobody there knows. */
    if (!error && map->dont_fork)
        error = sys_madvise(at, len, MADV_DONTFORK);
    if (error) {
        sys_munmap(at, len);
        return error;
    }
    *base = at;
    return 0;
}

void pm_map_prepare(struct pm_map *map, int fd, bool writable, bool dont_fork, enum pm_map_sync sync)
{
    map->fd = fd;
    map->writable = writable;
    map->dont_fork = dont_fork;
    map->sync = sync != PM_MAP_SYNC_NEVER;
    for (unsigned i = 0; i < PM_MAP_SEGMENTS; i++)
        atomic_init(&map->segment[i], NULL);
}

int pm_map_open(struct pm_map *map, int fd, bool writable, bool dont_fork, enum pm_map_sync sync)
{
    char *base;
    pm_map_prepare(map, fd, writable, dont_fork, sync);
    int error = pm_map_segment_map(map, 0, &base);
    /* EOPNOTSUPP: no DAX; EINVAL: a kernel before 4.15 */
    if ((error == -EOPNOTSUPP || error == -EINVAL) && sync == PM_MAP_SYNC_TRY) {
        map->sync = false;
        error = pm_map_segment_map(map, 0, &base);
    }
    if (error)
        return error;
    atomic_store_explicit(&map->segment[0], base, memory_order_release); /* pairs with pm_map_at */
    return 0;
}

void pm_map_close(struct pm_map *map)
{
    for (unsigned i = 0; i < PM_MAP_SEGMENTS; i++) {
        /* relaxed: nobody else uses the map any more */
        char *base = atomic_load_explicit(&map->segment[i], memory_order_relaxed);
        if (base)
            sys_munmap(base, pm_map_segment_bytes(i));
        atomic_store_explicit(&map->segment[i], NULL, memory_order_relaxed);
    }
}

void *pm_map_extend(struct pm_map *map, uint64_t offset)
{
    unsigned segment = pm_map_segment(offset);
    if (segment >= PM_MAP_SEGMENTS)
        return NULL;
    char *base = atomic_load_explicit(&map->segment[segment], memory_order_acquire); /* pairs with the release below */
    if (!base) {
        char *mine;
        if (pm_map_segment_map(map, segment, &mine))
            return NULL;
        if (atomic_compare_exchange_strong_explicit(&map->segment[segment], &base, mine, memory_order_acq_rel,
                                                    memory_order_acquire))
            base = mine;
        else
            sys_munmap(mine, pm_map_segment_bytes(segment)); /* another thread was first */
    }
    return base + (offset - pm_map_segment_start(segment));
}

bool pm_map_patch(struct pm_map *map, uintptr_t address)
{
    for (unsigned i = 0; i < PM_MAP_SEGMENTS; i++) {
        /* acquire: the segment is mapped */
        uintptr_t base = (uintptr_t)atomic_load_explicit(&map->segment[i], memory_order_acquire);
        if (!base || address < base || address - base >= pm_map_segment_bytes(i))
            continue;
        void *page = (void *)(address & ~(uintptr_t)(PM_MAP_PAGE - 1));
        void *p = sys_mmap(page, PM_MAP_PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (!sys_is_error(p) && map->dont_fork)
            sys_madvise(page, PM_MAP_PAGE, MADV_DONTFORK);
        return !sys_is_error(p);
    }
    return false;
}
