/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * heap.c — lock-free free lists over anonymous mappings. Layer base; called by mem.c.
 *
 * A list's head is one word: the address of the first free piece (always a multiple of 64, below 2^48) in the low 48
 * bits without its 6 zero bits, and a tag above that changes with every push and pop, so that a pop which lost the race
 * to a pop and a push of the same piece fails instead of corrupting the list. Pieces are never given back to the
 * kernel, so the stale `next` that such a pop may have read was at least readable.
 */
#include "base/heap.h"

#include "base/rawsys.h"
#include "base/region.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HEAP_CLASSES (HEAP_CLASS_MAX_SHIFT - HEAP_CLASS_MIN_SHIFT + 1)
#define HEAP_SLAB_BYTES ((size_t)64 << 10) /* fetched from the kernel at once */
#define HEAP_PAGE ((size_t)4096)
#define HEAP_ADDRESS_BITS 42 /* of a piece's address / 64 */
#define HEAP_ADDRESS_MASK ((UINT64_C(1) << HEAP_ADDRESS_BITS) - 1)

struct heap_piece {
    _Atomic uint64_t next; /* address / 64 of the next free piece, 0 at the end */
};

static struct heap {
    _Atomic uint64_t head[HEAP_CLASSES];
} heap;

static unsigned heap_class(size_t size)
{
    if (size <= (size_t)1 << HEAP_CLASS_MIN_SHIFT)
        return 0;
    return (unsigned)(64 - __builtin_clzll(size - 1)) - HEAP_CLASS_MIN_SHIFT;
}

static uint64_t heap_word(const void *piece, uint64_t previous)
{
    uint64_t tag = (previous >> HEAP_ADDRESS_BITS) + 1;
    return tag << HEAP_ADDRESS_BITS | (uintptr_t)piece >> HEAP_CLASS_MIN_SHIFT;
}

static struct heap_piece *heap_piece_of(uint64_t word)
{
    return (struct heap_piece *)(uintptr_t)((word & HEAP_ADDRESS_MASK) << HEAP_CLASS_MIN_SHIFT);
}

/* Puts the chain first..last, linked by `next`, on the list. */
static void heap_push(unsigned class, struct heap_piece *first, struct heap_piece *last)
{
    uint64_t old = atomic_load_explicit(&heap.head[class], memory_order_relaxed);
    do
        atomic_store_explicit(&last->next, old & HEAP_ADDRESS_MASK, memory_order_relaxed);
    /* release: whoever pops a piece (acquire) sees its `next`, and the last user's stores lie before its reuse */
    while (!atomic_compare_exchange_weak_explicit(&heap.head[class], &old, heap_word(first, old), memory_order_release,
                                                  memory_order_relaxed));
}

/* May race with the new owner of the piece, whose bytes these then are; the tag makes the exchange fail in that case. */
__attribute__((noinline, no_sanitize("thread"))) static uint64_t heap_peek_next(const struct heap_piece *piece)
{
    return *(const volatile uint64_t *)&piece->next & HEAP_ADDRESS_MASK;
}

static struct heap_piece *heap_pop(unsigned class)
{
    /* acquire here and on failure: pairs with the release of heap_push */
    uint64_t old = atomic_load_explicit(&heap.head[class], memory_order_acquire);
    for (;;) {
        struct heap_piece *piece = heap_piece_of(old);
        if (!piece)
            return NULL;
        uint64_t next = heap_peek_next(piece);
        uint64_t new = heap_word((void *)(uintptr_t)(next << HEAP_CLASS_MIN_SHIFT), old);
        if (atomic_compare_exchange_weak_explicit(&heap.head[class], &old, new, memory_order_acquire,
                                                  memory_order_acquire))
            return piece;
    }
}

static void *heap_map(size_t size)
{
    void *p = region_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return sys_is_error(p) ? NULL : p;
}

/* Cuts a new slab into pieces; returns the first and lists the others. */
static void *heap_grow(unsigned class)
{
    size_t piece_bytes = (size_t)1 << (class + HEAP_CLASS_MIN_SHIFT);
    char *slab = heap_map(HEAP_SLAB_BYTES);
    if (!slab)
        return NULL;
    char *last = slab + HEAP_SLAB_BYTES - piece_bytes;
    for (char *p = slab + piece_bytes; p < last; p += piece_bytes)
        atomic_init(&((struct heap_piece *)p)->next, (uintptr_t)(p + piece_bytes) >> HEAP_CLASS_MIN_SHIFT);
    heap_push(class, (struct heap_piece *)(slab + piece_bytes), (struct heap_piece *)last);
    return slab;
}

static size_t heap_mapping_bytes(size_t size)
{
    return (size + HEAP_PAGE - 1) & ~(HEAP_PAGE - 1);
}

void *heap_alloc(size_t size)
{
    if (size > (size_t)1 << HEAP_CLASS_MAX_SHIFT)
        return size > SIZE_MAX - HEAP_PAGE ? NULL : heap_map(heap_mapping_bytes(size));
    unsigned class = heap_class(size);
    void *piece = heap_pop(class);
    if (!piece)
        return heap_grow(class); /* fresh from the kernel, the other pieces' links apart: zero */
    return memset(piece, 0, (size_t)1 << (class + HEAP_CLASS_MIN_SHIFT));
}

void heap_free(void *ptr, size_t size)
{
    if (size > (size_t)1 << HEAP_CLASS_MAX_SHIFT) {
        sys_munmap(ptr, heap_mapping_bytes(size));
        return;
    }
    heap_push(heap_class(size), ptr, ptr);
}
