/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * index_tree.c — the radix table: finding, making and walking slots. Layer index.
 *
 * What a reader sees: the root word and the page numbers in inner nodes are published by release stores after the page
 * behind them is allocated and zero, and never change afterwards (a grown root holds the old one as its first child).
 * Acquire loads pair with them. A process that died while it made a node has at most lost one unused page.
 */
#include "index/index.h"

#include "base/rawsys.h"

#include <errno.h>

#define INDEX_NODE_WAYS (1u << INDEX_NODE_SHIFT)
#define INDEX_RESERVE_FIRST 4u
#define INDEX_RESERVE_MOST 64u

bool index_has_node(struct index *index, uint32_t page)
{
    struct stat st;
    /* relaxed: the object never becomes shorter */
    if (__builtin_expect(page <= atomic_load_explicit(&index->nodes, memory_order_relaxed), 1))
        return true;
    if (sys_fstat(index->fd, &st) < 0 || (uint64_t)st.st_size < INDEX_NODES_OFFSET)
        return false;
    uint64_t nodes = ((uint64_t)st.st_size - INDEX_NODES_OFFSET) / INDEX_PAGE;
    atomic_store_explicit(&index->nodes, nodes < UINT32_MAX ? (uint32_t)nodes : UINT32_MAX, memory_order_relaxed);
    return page <= nodes;
}

bool index_is_endless(struct index *index, uint64_t leaves)
{
    /* twice: a walk may begin in the middle and come round; leaves that are added meanwhile are pages that are looked for here */
    uint64_t pages = leaves / 2;
    return pages > UINT32_MAX || !index_has_node(index, (uint32_t)pages);
}

/* Of a number that was read from shared memory: NULL if there is no such page. */
static void *node_at(struct index *index, uint32_t page)
{
    if (page == 0 || !index_has_node(index, page))
        return NULL;
    return pm_map_at(&index->map, INDEX_NODES_OFFSET + (uint64_t)(page - 1) * INDEX_PAGE);
}

static inline unsigned root_height(uint64_t root)
{
    return (unsigned)(root >> 32);
}
static inline unsigned node_shift(unsigned height)
{
    return INDEX_LEAF_SHIFT + INDEX_NODE_SHIFT * (height - 1);
}
/* Whether a tree of that height has a place for the block. */
static inline bool height_covers(unsigned height, uint64_t block)
{
    return (block >> (INDEX_LEAF_SHIFT + INDEX_NODE_SHIFT * height)) == 0;
}
static inline unsigned node_way(uint64_t block, unsigned height)
{
    return (unsigned)(block >> node_shift(height)) & (INDEX_NODE_WAYS - 1);
}

struct index_slot *index_find(struct index *index, uint64_t block)
{
    uint64_t root = atomic_load_explicit(&index->shared->root, memory_order_acquire);
    unsigned height = root_height(root);
    uint32_t page = (uint32_t)root;
    if (!page || height > INDEX_HEIGHT_MAX || !height_covers(height, block))
        return NULL;
    for (; height; height--) {
        _Atomic uint32_t *node = node_at(index, page);
        if (!node)
            return NULL;
        page = atomic_load_explicit(&node[node_way(block, height)], memory_order_acquire);
        if (!page)
            return NULL;
    }
    struct index_slot *leaf = node_at(index, page);
    return leaf ? leaf + (block & (INDEX_LEAF_SLOTS - 1)) : NULL;
}

/* A zeroed page's number, 0 when /dev/shm is full. Under node_lock. */
static uint32_t node_new(struct index *index)
{
    struct index_shared *shared = index->shared;
    uint32_t next = atomic_load_explicit(&shared->node_next, memory_order_relaxed);
    uint32_t reserved = atomic_load_explicit(&shared->node_reserved, memory_order_relaxed);
    if (next >= reserved) {
        uint32_t more = reserved / 2;
        more = more < INDEX_RESERVE_FIRST ? INDEX_RESERVE_FIRST : more;
        more = more > INDEX_RESERVE_MOST ? INDEX_RESERVE_MOST : more;
        while (
            index_reserve(index, INDEX_NODES_OFFSET + (uint64_t)reserved * INDEX_PAGE, (uint64_t)more * INDEX_PAGE)) {
            if (more == 1)
                return 0;
            more = 1;
        }
        atomic_store_explicit(&shared->node_reserved, reserved + more, memory_order_relaxed);
    }
    atomic_store_explicit(&shared->node_next, next + 1, memory_order_relaxed);
    return next + 1;
}

/* Adds levels until the tree covers the block. Under node_lock. */
static int tree_raise(struct index *index, uint64_t block)
{
    struct index_shared *shared = index->shared;
    uint64_t root = atomic_load_explicit(&shared->root, memory_order_relaxed);
    if (!(uint32_t)root) {
        unsigned height = 0;
        while (!height_covers(height, block))
            height++;
        uint32_t page = node_new(index);
        if (!page)
            return -ENOSPC;
        atomic_store_explicit(&shared->root, (uint64_t)height << 32 | page, memory_order_release);
        return 0;
    }
    if (root_height(root) > INDEX_HEIGHT_MAX)
        return -EIO;
    while (!height_covers(root_height(root), block)) {
        uint32_t page = node_new(index);
        _Atomic uint32_t *node = node_at(index, page);
        if (!node)
            return -ENOSPC;
        atomic_store_explicit(&node[0], (uint32_t)root, memory_order_relaxed);
        root = (uint64_t)(root_height(root) + 1) << 32 | page;
        atomic_store_explicit(&shared->root, root, memory_order_release);
    }
    return 0;
}

/* Makes the path to the block's leaf. Under node_lock. */
static int tree_fill(struct index *index, uint64_t block)
{
    uint64_t root = atomic_load_explicit(&index->shared->root, memory_order_relaxed);
    uint32_t page = (uint32_t)root;
    for (unsigned height = root_height(root); height; height--) {
        _Atomic uint32_t *node = node_at(index, page);
        if (!node)
            return -ENOSPC;
        _Atomic uint32_t *way = &node[node_way(block, height)];
        page = atomic_load_explicit(way, memory_order_relaxed);
        if (!page) {
            page = node_new(index);
            if (!page)
                return -ENOSPC;
            atomic_store_explicit(way, page, memory_order_release);
        }
    }
    return 0;
}

struct index_slot *index_make(struct index *index, struct index_record *record, uint64_t block, int *error)
{
    struct index_slot *slot = index_find(index, block);
    if (slot)
        return slot;
    *error = index_lock_acquire(index, record, INDEX_LOCK_NODE);
    if (*error)
        return NULL;
    *error = tree_raise(index, block);
    if (!*error)
        *error = tree_fill(index, block);
    index_lock_release(index, record, INDEX_LOCK_NODE);
    if (*error)
        return NULL;
    slot = index_find(index, block);
    if (!slot)
        *error = -ENOSPC;
    return slot;
}

/* First block >= `block` below the node of `height` whose leaf exists; UINT64_MAX if none. `start` is the node's first. */
static uint64_t node_next_block(struct index *index, uint32_t page, unsigned height, uint64_t start, uint64_t block)
{
    if (height == 0)
        return block > start ? block : start;
    _Atomic uint32_t *node = node_at(index, page);
    if (!node)
        return UINT64_MAX;
    uint64_t span = UINT64_C(1) << node_shift(height);
    unsigned way = block > start ? (unsigned)((block - start) / span) : 0;
    for (; way < INDEX_NODE_WAYS; way++) {
        uint32_t child = atomic_load_explicit(&node[way], memory_order_acquire);
        if (!child)
            continue;
        uint64_t found = node_next_block(index, child, height - 1, start + way * span, block);
        if (found != UINT64_MAX)
            return found;
    }
    return UINT64_MAX;
}

uint64_t index_next(struct index *index, uint64_t block)
{
    uint64_t root = atomic_load_explicit(&index->shared->root, memory_order_acquire);
    if (!(uint32_t)root || root_height(root) > INDEX_HEIGHT_MAX || !height_covers(root_height(root), block))
        return UINT64_MAX;
    return node_next_block(index, (uint32_t)root, root_height(root), 0, block);
}
