/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_map.c — nvmmap'ed ranges: from an address to a uma. Layer uma; called by file.
 *
 * The ranges of this process are an array, sorted by address, that is replaced as a whole: lookups are lock-free, under
 * RCU. While a file is in the array of any process its mode is IN_PLACE: newest copies are in the file, so that plain
 * loads from the mapping see them.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct range {
    uintptr_t start, end;
    uint64_t offset; /* of start in the file */
    struct uma *uma;
    bool writable;
    bool plain; /* the application's own: only holds the uma, and is found by no address */
};

struct range_table {
    size_t count, bytes;
    struct range range[];
};

/* lock: changes of the table, one at a time; before the attach lock in order, which the last close of a uma takes. */
static struct range_map {
    struct shlock lock;
    struct range_table *_Atomic table; /* RCU */
} map;

/* In a read section, or under map.lock. Acquire: the table is complete; pairs with table_replace. */
static struct range_table *table_now(void)
{
    return atomic_load_explicit(&map.table, memory_order_acquire);
}

static void map_lock(void)
{
    while (shlock_acquire(&map.lock, 1) == -ETIMEDOUT)
        ; /* threads of this process */
}

void uma_map_before_fork(void)
{
    map_lock();
}

void uma_map_after_fork(void)
{
    shlock_release(&map.lock);
}

static struct range_table *table_new(size_t count)
{
    size_t bytes = sizeof(struct range_table) + count * sizeof(struct range);
    struct range_table *table = mem_alloc(bytes);
    if (table)
        table->bytes = bytes;
    return table;
}

/* Puts the new table in place and frees the old one after a grace period. */
static void table_replace(struct range_table *table)
{
    struct range_table *old = table_now();
    atomic_store_explicit(&map.table, table, memory_order_release); /* pairs with table_now */
    if (old) {
        rcu_wait();
        mem_free(old, old->bytes);
    }
}

/* First range that ends above `address`. */
static size_t table_search(const struct range_table *table, uintptr_t address)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->range[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct uma *uma_at(const void *addr, uint64_t *offset, size_t *length, bool *writable)
{
    uintptr_t address = (uintptr_t)addr;
    const struct range_table *table = table_now();
    *length = SIZE_MAX;
    if (!table)
        return NULL;
    size_t i = table_search(table, address);
    if (i == table->count)
        return NULL;
    const struct range *range = &table->range[i];
    if (range->plain && range->start <= address) {
        *length = range->end - address;
        return NULL;
    }
    if (range->start > address) {
        *length = range->start - address;
        return NULL;
    }
    *length = range->end - address;
    *offset = range->offset + (address - range->start);
    *writable = range->writable;
    return range->uma;
}

/* Sets the mode that the number of mappings asks for. */
static int follow_maps(struct uma *uma)
{
    struct index_record *record = uma_claim(uma);
    bool mapped = atomic_load_explicit(&uma_shared(uma)->maps, memory_order_acquire);
    int error = uma_set_mode(uma, record, mapped ? INDEX_MODE_IN_PLACE : INDEX_MODE_LOGGED);
    uma_unclaim(uma, record);
    return error;
}

/* Puts a range into the table. Under map.lock. */
static int table_insert(const struct range *range)
{
    const struct range_table *old = table_now();
    size_t count = old ? old->count : 0;
    struct range_table *table = table_new(count + 1);
    if (!table)
        return -ENOMEM;
    size_t at = old ? table_search(old, range->start) : 0;
    if (at)
        memcpy(table->range, old->range, at * sizeof(struct range));
    table->range[at] = *range;
    if (count > at)
        memcpy(table->range + at + 1, old->range + at, (count - at) * sizeof(struct range));
    table->count = count + 1;
    table_replace(table);
    return 0;
}

static inline uintptr_t page_end(const void *addr, size_t length)
{
    return (uintptr_t)addr + ((length + UMA_BLOCK - 1) & ~(size_t)(UMA_BLOCK - 1));
}

int uma_map(struct uma *uma, int fd, void *addr, size_t length, uint64_t offset, bool writable)
{
    int error = uma_attach(uma, fd);
    if (error)
        return error;
    if (atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) == INDEX_MODE_PASSTHROUGH)
        return uma_hold_mapping(uma, fd, addr, length); /* a plain mapping of a file that the kernel serves */
    struct range range = {
        .start = (uintptr_t)addr, .end = page_end(addr, length), .offset = offset, .uma = uma, .writable = writable};
    atomic_fetch_add_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel);
    uma_ref(uma);
    map_lock();
    error = follow_maps(uma);
    if (!error)
        error = table_insert(&range);
    shlock_release(&map.lock);
    if (error) {
        atomic_fetch_sub_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel);
        uma_close(uma, fd);
    }
    return error;
}

int uma_hold_mapping(struct uma *uma, int fd, void *addr, size_t length)
{
    struct range range = {.start = (uintptr_t)addr, .end = page_end(addr, length), .uma = uma, .plain = true};
    uma_unmap(addr, length); /* what was there is gone (MAP_FIXED, or a mapping moved away unseen) */
    uma_ref(uma);
    map_lock();
    int error = table_insert(&range);
    shlock_release(&map.lock);
    if (error)
        uma_close(uma, fd);
    return error;
}

/* Copies what is left of a range outside [start, end). */
static void range_cut(struct range_table *table, const struct range *range, uintptr_t start, uintptr_t end)
{
    if (range->start < start) {
        struct range head = *range;
        head.end = start;
        table->range[table->count++] = head;
    }
    if (range->end > end) {
        struct range tail = *range;
        tail.offset += end - range->start;
        tail.start = end;
        table->range[table->count++] = tail;
    }
}

/* One range less, or more when its middle went. A forked child that has not attached yet is not counted. */
static void recount(const struct range *range, int change)
{
    struct uma *uma = range->uma;
    bool counted = !range->plain && uma_is_attached(uma);
    if (change > 0) {
        if (counted)
            atomic_fetch_add_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel);
        uma_ref(uma);
    } else if (change < 0) {
        if (counted && atomic_fetch_sub_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel) == 1)
            follow_maps(uma);
        uma_close(uma, -1);
    }
}

int uma_map_attached(struct uma *uma)
{
    uint32_t count = 0;
    bool plain = false;
    rcu_enter();
    const struct range_table *table = table_now();
    for (size_t i = 0; table && i < table->count; i++) {
        if (table->range[i].uma == uma) {
            count += !table->range[i].plain;
            plain = plain || table->range[i].plain;
        }
    }
    rcu_leave();
    atomic_fetch_add_explicit(&uma_shared(uma)->maps, count, memory_order_acq_rel);
    if (!plain)
        return count ? follow_maps(uma) : 0;
    struct index_record *record = uma_claim(uma);
    int error = uma_set_mode(uma, record, INDEX_MODE_PASSTHROUGH);
    uma_unclaim(uma, record);
    return error;
}

/* Whether any range meets [start, end); without a lock, for the many unmappings that are none of ours. */
static bool range_meets(uintptr_t start, uintptr_t end)
{
    rcu_enter();
    const struct range_table *table = table_now();
    size_t i = table ? table_search(table, start) : 0;
    bool meets = table && i < table->count && table->range[i].start < end;
    rcu_leave();
    return meets;
}

void uma_unmap(void *addr, size_t length)
{
    uintptr_t start = (uintptr_t)addr;
    uintptr_t end = page_end(addr, length);
    if (!range_meets(start, end))
        return;
    map_lock();
    const struct range_table *old = table_now();
    size_t first = table_search(old, start), last = first;
    while (last < old->count && old->range[last].start < end)
        last++;
    if (first < last) {
        size_t cut = last - first;
        struct range removed[4];
        struct range *gone = cut <= sizeof removed / sizeof *removed ? removed : mem_alloc(cut * sizeof *gone);
        struct range_table *table = gone ? table_new(old->count + 1) : NULL;
        if (table) {
            memcpy(gone, old->range + first, cut * sizeof *gone);
            memcpy(table->range, old->range, first * sizeof(struct range));
            table->count = first;
            for (size_t i = 0; i < cut; i++)
                range_cut(table, &gone[i], start, end);
            memcpy(table->range + table->count, old->range + last, (old->count - last) * sizeof(struct range));
            table->count += old->count - last;
            table_replace(table);
            for (size_t i = 0; i < cut; i++)
                recount(&gone[i], (gone[i].start < start) + (gone[i].end > end) - 1);
        }
        if (gone != removed)
            mem_free(gone, cut * sizeof *gone);
    }
    shlock_release(&map.lock);
}

/* The range that holds `address`, with its uma referenced once more. */
static bool range_hold(uintptr_t address, struct range *out)
{
    map_lock();
    const struct range_table *table = table_now();
    size_t i = table ? table_search(table, address) : 0;
    bool found = table && i < table->count && table->range[i].start <= address;
    if (found) {
        *out = table->range[i];
        uma_ref(out->uma);
    }
    shlock_release(&map.lock);
    return found;
}

/* Puts `moved`, whose uma the caller has referenced for it, in the place of what was known there and of the old range. A
 * mapping without memory for its range counts only as long as a descriptor. */
static void range_move(const struct range *moved, void *old, size_t old_length)
{
    struct uma *uma = moved->uma;
    bool counted = !moved->plain && uma_is_attached(uma);
    if (counted) /* before the old one goes: the mode must not change in between */
        atomic_fetch_add_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel);
    uma_unmap((void *)moved->start, moved->end - moved->start);
    if (old_length)
        uma_unmap(old, old_length);
    map_lock();
    int error = table_insert(moved);
    shlock_release(&map.lock);
    if (!error)
        return;
    if (counted)
        atomic_fetch_sub_explicit(&uma_shared(uma)->maps, 1, memory_order_acq_rel);
    uma_close(uma, -1);
}

void *uma_remap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    struct range range;
    bool known = range_hold((uintptr_t)old, &range);
    void *result = sys_mremap(old, old_length, length, flags, new);
    if (!known) {
        if (!sys_is_error(result) && flags & MREMAP_FIXED)
            uma_unmap(result, length); /* the kernel unmapped what was there */
        return result;
    }
    if (sys_is_error(result)) {
        uma_close(range.uma, -1);
        return result;
    }
    range.offset += (uintptr_t)old - range.start;
    range.start = (uintptr_t)result;
    range.end = page_end(result, length);
    /* the old pages stay mapped with MREMAP_DONTUNMAP, and with a length of 0, which only makes a second mapping */
    range_move(&range, old, flags & MREMAP_DONTUNMAP ? 0 : old_length);
    return result;
}
