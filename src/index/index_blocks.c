/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * index_blocks.c — which blocks of the log are free. Layer index; called by uma.
 *
 * Taking is done under alloc_lock: the record is told of the run before its bits are set, so that the run of a thread that
 * died is known. Giving back needs no lock: clearing a bit of a block that one owns races with nobody.
 */
#include "index/index.h"

#include "log/log_format.h"

#include <errno.h>

#define WORD_BITS 64u

static _Atomic uint64_t *map_word(struct index *index, uint32_t word)
{
    return (_Atomic uint64_t *)((char *)index->shared + INDEX_FREEMAP_OFFSET) + word;
}

/* Length of the run of free blocks at `block`, at most `most`. */
static uint32_t run_length(struct index *index, uint32_t block, uint32_t end, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && block + n < end) {
        uint32_t at = block + n;
        uint64_t used = atomic_load_explicit(map_word(index, at / WORD_BITS), memory_order_relaxed) >> at % WORD_BITS;
        uint32_t room = WORD_BITS - at % WORD_BITS;
        uint32_t run = used ? (uint32_t)__builtin_ctzll(used) : room;
        n += run < room ? run : room;
        if (run < room)
            break;
    }
    if (n > most)
        n = most;
    return block + n > end ? end - block : n;
}

/* The next free block in [from, end), `end` if none. */
static uint32_t next_free(struct index *index, uint32_t from, uint32_t end)
{
    while (from < end) {
        uint64_t free =
            ~atomic_load_explicit(map_word(index, from / WORD_BITS), memory_order_relaxed) >> from % WORD_BITS;
        if (free) {
            from += (uint32_t)__builtin_ctzll(free);
            break;
        }
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return from < end ? from : end;
}

static void run_mark(struct index *index, uint32_t first, uint32_t count)
{
    while (count) {
        uint32_t shift = first % WORD_BITS;
        uint32_t n = WORD_BITS - shift < count ? WORD_BITS - shift : count;
        uint64_t bits = (n == WORD_BITS ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << shift;
        /* relaxed: alloc_lock orders takers; givers only clear bits of blocks that are theirs */
        atomic_fetch_or_explicit(map_word(index, first / WORD_BITS), bits, memory_order_relaxed);
        first += n;
        count -= n;
    }
}

/* The longest run of up to `count` blocks in [from, end) that first-fit meets within a few tries. */
static uint32_t find_run(struct index *index, uint32_t from, uint32_t end, uint32_t count, uint32_t *first)
{
    enum { TRIES = 64 };
    uint32_t best = 0;
    for (unsigned i = 0; i < TRIES && best < count; i++) {
        uint32_t at = next_free(index, from, end);
        if (at >= end)
            break;
        uint32_t n = run_length(index, at, end, count);
        if (n > best) {
            best = n;
            *first = at;
        }
        from = at + n;
    }
    return best;
}

int index_take_blocks(struct index *index, struct index_record *record, uint32_t count, uint32_t *first)
{
    struct index_shared *shared = index->shared;
    uint32_t free = atomic_load_explicit(&shared->free_blocks, memory_order_relaxed);
    if (free == 0)
        return 0;
    int error = index_lock_acquire(index, record, INDEX_LOCK_ALLOC);
    if (error)
        return error;
    uint32_t end = atomic_load_explicit(&shared->log_blocks, memory_order_acquire);
    if (end > LOG_BLOCKS_MAX)
        end = LOG_BLOCKS_MAX;
    uint32_t hint = atomic_load_explicit(&shared->alloc_hint, memory_order_relaxed);
    if (hint < LOG_FIRST_BLOCK || hint >= end)
        hint = LOG_FIRST_BLOCK;
    uint32_t n = find_run(index, hint, end, count, first);
    if (!n)
        n = find_run(index, LOG_FIRST_BLOCK, hint, count, first);
    if (n) {
        atomic_store_explicit(&record->alloc_first, *first, memory_order_relaxed);
        /* release: a repairer that sees the count sees the first */
        atomic_store_explicit(&record->alloc_count, n, memory_order_release);
        run_mark(index, *first, n);
        atomic_fetch_sub_explicit(&shared->free_blocks, n, memory_order_relaxed);
        atomic_store_explicit(&shared->alloc_hint, *first + n, memory_order_relaxed);
    } else if (next_free(index, LOG_FIRST_BLOCK, end) == end) {
        /* counted too high: a process died between map and count. Unless somebody gave one back just now. */
        atomic_compare_exchange_strong_explicit(&shared->free_blocks, &free, 0, memory_order_relaxed,
                                                memory_order_relaxed);
    }
    index_lock_release(index, record, INDEX_LOCK_ALLOC);
    return (int)n;
}

void index_give_block(struct index *index, uint32_t block)
{
    uint64_t bit = UINT64_C(1) << block % WORD_BITS;
    /* release: the next owner's stores to the block come after ours (its taking is ordered by reading this word) */
    uint64_t before = atomic_fetch_and_explicit(map_word(index, block / WORD_BITS), ~bit, memory_order_release);
    if (before & bit)
        atomic_fetch_add_explicit(&index->shared->free_blocks, 1, memory_order_relaxed);
}

int index_add_blocks(struct index *index, uint32_t from, uint32_t to)
{
    struct index_shared *shared = index->shared;
    if (to > atomic_load_explicit(&shared->reserved_blocks, memory_order_relaxed)) {
        int error = index_reserve(index, INDEX_FREEMAP_OFFSET + from / 8, (to - from) / 8 + 8);
        if (!error)
            error = index_reserve(index, INDEX_SUPERSEDED_OFFSET + (uint64_t)from * sizeof(uint32_t),
                                  (uint64_t)(to - from) * sizeof(uint32_t));
        if (error)
            return error;
        atomic_store_explicit(&shared->reserved_blocks, to, memory_order_relaxed);
    }
    /* release: who sees the new end sees the map's pages allocated */
    atomic_store_explicit(&shared->log_blocks, to, memory_order_release);
    atomic_fetch_add_explicit(&shared->free_blocks, to - from, memory_order_relaxed);
    return 0;
}
