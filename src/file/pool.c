/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pool.c — the lock-free pool of pool.h. Layer file.
 */
#include "file/pool.h"

#include "base/rawsys.h"
#include "base/region.h"

#include <errno.h>
#include <sys/mman.h>

#define POOL_BYTES ((size_t)(POOL_CAPACITY + 1) * POOL_RECORD)
#define POOL_INDEX_MASK UINT64_C(0xffffffff)
#define POOL_COUNT_ONE (POOL_INDEX_MASK + 1)

int pool_make(struct pool *pool, bool shared)
{
    if (atomic_load_explicit(&pool->head, memory_order_acquire))
        return 0;
    int flags = MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE);
    void *base = region_map(POOL_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (sys_is_error(base))
        return (int)(intptr_t)base;
    struct pool_head *expected = NULL;
    /* release: pairs with pool_at; whoever comes second takes the first one's */
    if (!atomic_compare_exchange_strong_explicit(&pool->head, &expected, (struct pool_head *)base, memory_order_release,
                                                 memory_order_acquire))
        sys_munmap(base, POOL_BYTES);
    return 0;
}

static struct pool_link *pool_link(struct pool *pool, uint32_t index)
{
    return pool_at(pool, index);
}

uint32_t pool_take(struct pool *pool)
{
    struct pool_head *head = pool_at(pool, 0);
    uint64_t top = atomic_load_explicit(&head->free, memory_order_acquire);
    while (top & POOL_INDEX_MASK) {
        uint32_t index = (uint32_t)(top & POOL_INDEX_MASK);
        /* May read the link of a record that was taken meanwhile: the count in `top` lets the exchange fail then. */
        uint32_t next = atomic_load_explicit(&pool_link(pool, index)->next, memory_order_relaxed);
        uint64_t below = ((top & ~POOL_INDEX_MASK) + POOL_COUNT_ONE) | next;
        /* acquire: sees the link, and all that the last owner did to the record */
        if (atomic_compare_exchange_weak_explicit(&head->free, &top, below, memory_order_acquire, memory_order_acquire))
            return index;
    }
    uint32_t fresh = atomic_load_explicit(&head->fresh, memory_order_relaxed);
    do {
        if (fresh >= POOL_CAPACITY)
            return 0;
    } while (
        !atomic_compare_exchange_weak_explicit(&head->fresh, &fresh, fresh + 1, memory_order_relaxed,
                                               memory_order_relaxed)); /* a mere number: nothing is published by it */
    return fresh + 1;
}

void pool_give(struct pool *pool, uint32_t index)
{
    struct pool_head *head = pool_at(pool, 0);
    uint64_t top = atomic_load_explicit(&head->free, memory_order_relaxed), above;
    do {
        atomic_store_explicit(&pool_link(pool, index)->next, (uint32_t)(top & POOL_INDEX_MASK), memory_order_relaxed);
        above = ((top & ~POOL_INDEX_MASK) + POOL_COUNT_ONE) | index;
        /* release: pairs with pool_take */
    } while (
        !atomic_compare_exchange_weak_explicit(&head->free, &top, above, memory_order_release, memory_order_relaxed));
}

uint32_t pool_extent(struct pool *pool)
{
    struct pool_head *head = atomic_load_explicit(&pool->head, memory_order_acquire);
    return head ? atomic_load_explicit(&head->fresh, memory_order_relaxed) : 0;
}
