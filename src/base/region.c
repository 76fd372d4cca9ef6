/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * region.c — the region of region.h: a part of the address space below the mappings of programs, which grow down from where
 * libc lies. It is handed out from above to below, and then from above again. What is taken the kernel tells
 * (MAP_FIXED_NOREPLACE): after some tries, as in a program whose mappings have grown into the region, and for what is too
 * large for it, the kernel chooses. Layer base.
 */
#include "base/region.h"

#include "base/rawsys.h"

#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define REGION_DISTANCE (UINT64_C(128) << 30)
#define REGION_PAGE UINT64_C(4096)
#define REGION_HUGE (UINT64_C(2) << 20) /* so long, or longer: aligned to this, as newer kernels do */
#define REGION_NEAR (UINT64_C(1) << 30) /* looked at first: one page of the kernel's tables says where all of it lies */
#define REGION_TRIES_NEAR 2u
#define REGION_TRIES_FAR 16u

/* The region has two parts, for short mappings and, below, for long ones. The beginning of either is looked at first.
 * ThreadSanitizer knows no mappings of programs some 512 GiB further down: few programs come there. Counters of the bytes
 * handed out, relaxed: they order nothing, the kernel decides who has what. */
static struct region_part {
    const uint64_t distance, bytes;
    _Atomic uint64_t near, far;
} region_part[2] = {
    {.distance = REGION_DISTANCE, .bytes = UINT64_C(128) << 30, .far = REGION_NEAR},
    {.distance = REGION_DISTANCE + (UINT64_C(128) << 30), .bytes = UINT64_C(4) << 40, .far = REGION_NEAR},
};

/* An address for so many bytes, at most so far into the part, where nothing of ours was lately; or NULL. */
static void *region_next(const struct region_part *part, _Atomic uint64_t *taken, uint64_t within, uint64_t bytes)
{
    uint64_t libc = (uint64_t)(uintptr_t)getauxval & ~(REGION_HUGE - 1);
    uint64_t past = atomic_fetch_add_explicit(taken, bytes, memory_order_relaxed) % within + bytes;
    if (past > within || libc < part->distance + part->bytes + REGION_DISTANCE) /* no shared libraries: no room below */
        return NULL;
    return (void *)(uintptr_t)(libc - part->distance - past);
}

void *region_map(size_t length, int prot, int flags, int fd, off_t offset)
{
    struct region_part *part = &region_part[length >= REGION_HUGE];
    const uint64_t unit = length >= REGION_HUGE ? REGION_HUGE : REGION_PAGE;
    const uint64_t bytes = ((uint64_t)length + unit - 1) & ~(unit - 1);
    for (unsigned tries = 0; tries < REGION_TRIES_NEAR + REGION_TRIES_FAR; tries++) {
        void *at = tries < REGION_TRIES_NEAR ? region_next(part, &part->near, REGION_NEAR, bytes)
                                             : region_next(part, &part->far, part->bytes, bytes);
        if (!at)
            continue;
        void *result = sys_mmap(at, length, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);
        if (result != (void *)(intptr_t)-EEXIST)
            return result;
    }
    return sys_mmap(NULL, length, prot, flags, fd, offset);
}
