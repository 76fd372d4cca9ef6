/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pool.h — a lock-free pool of 64-byte records in one mapping. Layer file; used by ofd.c (shared) and handle.c (private).
 *
 * Lock-free because open and close may be called from a signal handler that interrupts them, and because a process may
 * die or fork at any point: what it had taken is lost, the pool stays whole. Records keep their type for ever: one that
 * was given back may be looked at, it is just somebody else's.
 */
#ifndef FILE_POOL_H
#define FILE_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POOL_RECORD 64u
#define POOL_CAPACITY (UINT32_C(1) << 18)

/* The first word of every record. Links free records; free for the owner's lists while the record is taken. */
struct pool_link {
    _Atomic uint32_t next;
};

struct pool_head {
    _Atomic uint64_t free;  /* top of the free records: low half an index, 0 none; high half a count against ABA */
    _Atomic uint32_t fresh; /* records ever taken off the end */
    _Atomic uint32_t word;  /* the owner's, 0 at first */
    char padding[POOL_RECORD - 16];
};
_Static_assert(sizeof(struct pool_head) == POOL_RECORD, "the head takes the place of record 0");

struct pool {
    struct pool_head *_Atomic head; /* NULL until made */
};

/* Makes the mapping if it is not there yet. `shared`: forked children share it. 0 or -errno. Thread-safe. */
int pool_make(struct pool *pool, bool shared);

/* Index of a record, its content as the last owner left it (zero when never used); 0: none is left. After pool_make. */
uint32_t pool_take(struct pool *pool);
void pool_give(struct pool *pool, uint32_t index);

/* Records that were taken at least once have indices 1 .. pool_extent. 0 before pool_make. */
uint32_t pool_extent(struct pool *pool);

static inline void *pool_at(struct pool *pool, uint32_t index)
{
    /* acquire: pairs with the exchange in pool_make */
    char *base = (char *)atomic_load_explicit(&pool->head, memory_order_acquire);
    return base + (uint64_t)index * POOL_RECORD;
}

#endif
