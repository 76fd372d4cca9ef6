/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_ranges.c — the table of mapped ranges: lookup, and changes that replace it (uma_ranges.h). Layer uma; called by uma_map.c.
 *
 * A change concerns the leaves that its spans meet, or into which it puts; and a neighbour, if both together are small: so
 * there are at most about four times as many leaves as the ranges would fill.
 */
#include "uma/uma_ranges.h"

#include "base/mem.h"
#include "base/rcu.h"

#include <errno.h>
#include <string.h>

#define LEAF_MOST 50u /* ranges: 2 KiB with the head */
#define SPANS 2u
#define SPARE_ROWS 2u
#define SPARE_ROW_BYTES 16384u /* larger ones are not kept */
#define SPARE_LEAVES 4u

struct ranges_leaf {
    struct ranges_leaf *next; /* while it is memory of an edit */
    size_t count;             /* never 0 in a table */
    struct range range[LEAF_MOST];
};

struct ranges {
    size_t count, bytes;
    struct ranges_part {
        uintptr_t end; /* of the leaf's last range */
        struct ranges_leaf *leaf;
    } part[];
};

/* lock: changes of the table, one at a time; before the attach lock in order, which the last close of a uma takes. */
static struct ranges_map {
    struct shlock lock;
    struct ranges *_Atomic table; /* RCU. NULL: none was ever mapped */
    /* under lock: what edits have done with, for the next one. Fresh memory is slow, and mem_alloc clears it */
    struct ranges *spare;
    struct ranges_row *spare_row[SPARE_ROWS];
    struct ranges_leaf *spare_leaf;
    unsigned spare_leaves;
} ranges;

/* In a read section, or under ranges.lock. Acquire: the table is complete; pairs with ranges_edit_end. */
static const struct ranges *ranges_now(void)
{
    return atomic_load_explicit(&ranges.table, memory_order_acquire);
}

void ranges_lock(void)
{
    shlock_acquire_private(&ranges.lock);
}

void ranges_unlock(void)
{
    shlock_release(&ranges.lock);
}

/* ---- lookup ---- */

/* The first leaf that ends above the address. */
static size_t table_search(const struct ranges *table, uintptr_t address)
{
    size_t low = 0, high = table ? table->count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->part[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The first of some ranges that does. */
static size_t row_search(const struct range *range, size_t count, uintptr_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (range[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const struct range *ranges_find(uintptr_t address)
{
    const struct ranges *table = ranges_now();
    size_t i = table_search(table, address);
    if (!table || i == table->count)
        return NULL;
    const struct ranges_leaf *leaf = table->part[i].leaf;
    return &leaf->range[row_search(leaf->range, leaf->count, address)];
}

bool ranges_meet(uintptr_t start, uintptr_t end)
{
    rcu_enter();
    const struct range *range = ranges_find(start);
    bool meets = range && range->start < end;
    rcu_leave();
    return meets;
}

/* ---- memory; under ranges.lock ---- */

/* Room for so many leaves, and some more so that it can be used again. */
static struct ranges *table_new(size_t count)
{
    size_t bytes = sizeof(struct ranges) + count * sizeof(struct ranges_part);
    struct ranges *table = ranges.spare;
    if (table && table->bytes >= bytes) {
        ranges.spare = NULL;
        return table;
    }
    bytes += bytes / 2;
    table = mem_alloc(bytes);
    if (table)
        table->bytes = bytes;
    return table;
}

/* Nobody finds it, now or any more: it is the next one's memory. */
static void table_unused(struct ranges *table)
{
    bool larger = !ranges.spare || table->bytes > ranges.spare->bytes;
    struct ranges *less = larger ? ranges.spare : table;
    if (larger)
        ranges.spare = table;
    if (less)
        mem_free(less, less->bytes);
}

static struct ranges_row *row_new(size_t room)
{
    size_t bytes = sizeof(struct ranges_row) + room * sizeof(struct range);
    for (unsigned i = 0; i < SPARE_ROWS; i++) {
        struct ranges_row *row = ranges.spare_row[i];
        if (row && row->bytes >= bytes) {
            ranges.spare_row[i] = NULL;
            row->count = 0;
            return row;
        }
    }
    bytes += bytes / 2;
    struct ranges_row *row = mem_alloc(bytes);
    if (row)
        row->bytes = bytes;
    return row;
}

static void row_free(struct ranges_row *row)
{
    for (unsigned i = 0; row && row->bytes <= SPARE_ROW_BYTES && i < SPARE_ROWS; i++) {
        struct ranges_row *other = ranges.spare_row[i];
        if (!other || other->bytes < row->bytes) {
            ranges.spare_row[i] = row;
            row = other;
        }
    }
    if (row)
        mem_free(row, row->bytes);
}

static struct ranges_leaf *leaf_new(void)
{
    struct ranges_leaf *leaf = ranges.spare_leaf;
    if (!leaf)
        return mem_alloc(sizeof *leaf);
    ranges.spare_leaf = leaf->next;
    ranges.spare_leaves--;
    return leaf;
}

static void leaf_free(struct ranges_leaf *leaf)
{
    if (ranges.spare_leaves >= SPARE_LEAVES) {
        mem_free(leaf, sizeof *leaf);
        return;
    }
    leaf->next = ranges.spare_leaf;
    ranges.spare_leaf = leaf;
    ranges.spare_leaves++;
}

/* Memory of an edit that is over. */
static void edit_free(struct ranges_edit *edit)
{
    row_free(edit->old);
    row_free(edit->new);
    for (struct ranges_leaf *leaf = edit->leaves, *next; leaf; leaf = next) {
        next = leaf->next;
        leaf_free(leaf);
    }
}

/* For what the new row may hold at most, with what the table has beside it. False: there is none. */
static bool edit_take_memory(struct ranges_edit *edit, size_t kept, size_t room)
{
    size_t leaves = room / LEAF_MOST + 1;
    edit->new = row_new(room);
    edit->next = table_new(kept + leaves);
    for (size_t i = 0; i < leaves; i++) {
        struct ranges_leaf *leaf = leaf_new();
        if (!leaf)
            return false;
        leaf->next = edit->leaves;
        edit->leaves = leaf;
    }
    return edit->old && edit->new && edit->next;
}

/* ---- changes, under ranges.lock ---- */

static inline bool span_meets(const struct ranges_span *span, const struct range *range)
{
    return span->start < range->end && range->start < span->end;
}

static inline bool edit_drops(const struct ranges_edit *edit, const struct range *range)
{
    return span_meets(&edit->gone[0], range) || span_meets(&edit->gone[1], range);
}

/* Which leaves a change of [start, end) concerns; how many ranges they have. */
static size_t edit_choose(struct ranges_edit *edit, const struct ranges *table, uintptr_t start, uintptr_t end)
{
    size_t leaves = table ? table->count : 0, count = 0;
    edit->first = table_search(table, start);
    if (edit->first == leaves && leaves)
        edit->first--;
    edit->last = edit->first;
    while (edit->last < leaves && (edit->last == edit->first || table->part[edit->last].leaf->range[0].start < end))
        count += table->part[edit->last++].leaf->count;
    if (edit->first && table->part[edit->first - 1].leaf->count + count <= LEAF_MOST / 2)
        count += table->part[--edit->first].leaf->count;
    if (edit->last < leaves && table->part[edit->last].leaf->count + count <= LEAF_MOST / 2)
        count += table->part[edit->last++].leaf->count;
    return count;
}

int ranges_edit_begin(struct ranges_edit *edit, struct ranges_span first, struct ranges_span second, size_t more)
{
    const struct ranges *table = ranges_now();
    *edit = (struct ranges_edit){.gone = {first, second}};
    if (second.start == second.end)
        second = first;
    uintptr_t start = first.start < second.start ? first.start : second.start;
    uintptr_t end = first.end > second.end ? first.end : second.end;
    size_t count = edit_choose(edit, table, start, end);
    size_t kept = table ? table->count - (edit->last - edit->first) : 0;
    struct ranges_row *old = edit->old = row_new(count);
    if (!edit_take_memory(edit, kept, 2 * (count + SPANS) + more)) {
        if (edit->next)
            table_unused(edit->next);
        edit_free(edit);
        return -ENOMEM;
    }
    for (size_t i = edit->first; i < edit->last; i++) {
        const struct ranges_leaf *leaf = table->part[i].leaf;
        memcpy(old->range + old->count, leaf->range, leaf->count * sizeof(struct range));
        old->count += leaf->count;
    }
    edit->from = edit->to = row_search(old->range, count, start);
    while (edit->to < count && old->range[edit->to].start < end)
        edit->to++;
    edit->new->count = edit->from;
    memcpy(edit->new->range, old->range, edit->from * sizeof(struct range));
    return 0;
}

void ranges_edit_put(struct ranges_edit *edit, const struct range *range, uintptr_t start, uintptr_t end)
{
    struct range part = *range;
    part.offset += start - range->start;
    part.start = start;
    part.end = end;
    struct ranges_row *row = edit->new;
    size_t at = row->count++;
    for (; at && row->range[at - 1].start > start; at--)
        row->range[at] = row->range[at - 1];
    row->range[at] = part;
    uma_ref(part.uma);
    (void)uma_mapped_more(part.uma, part.kind);
}

/* What is left of a range outside the spans. */
static void cut_range(struct ranges_edit *edit, const struct range *range)
{
    for (uintptr_t at = range->start, next; at < range->end; at = next) {
        bool gone = false;
        next = range->end;
        for (unsigned i = 0; i < SPANS; i++) {
            const struct ranges_span *span = &edit->gone[i];
            bool inside = at >= span->start && at < span->end;
            uintptr_t border = inside ? span->end : span->start;
            gone = gone || inside;
            if (border > at && border < next)
                next = border;
        }
        if (!gone)
            ranges_edit_put(edit, range, at, next);
    }
}

void ranges_edit_keep(struct ranges_edit *edit)
{
    for (size_t i = edit->from; i < edit->to; i++) {
        const struct range *range = &edit->old->range[i];
        if (edit_drops(edit, range))
            cut_range(edit, range);
        else
            edit->new->range[edit->new->count++] = *range;
    }
}

static void parts_copy(struct ranges *next, const struct ranges_part *from, size_t count)
{
    memcpy(next->part + next->count, from, count * sizeof *from);
    next->count += count;
}

/* The new row in leaves that are filled alike, between those of the table that stay. */
static void edit_build(struct ranges_edit *edit, const struct ranges *table)
{
    const struct ranges_row *row = edit->new;
    struct ranges *next = edit->next;
    size_t pieces = (row->count + LEAF_MOST - 1) / LEAF_MOST, at = 0;
    next->count = 0;
    if (table)
        parts_copy(next, table->part, edit->first);
    for (size_t i = 0; i < pieces; i++) {
        struct ranges_leaf *leaf = edit->leaves;
        edit->leaves = leaf->next;
        leaf->count = (row->count - at) / (pieces - i);
        memcpy(leaf->range, row->range + at, leaf->count * sizeof(struct range));
        at += leaf->count;
        next->part[next->count++] = (struct ranges_part){leaf->range[leaf->count - 1].end, leaf};
    }
    if (table)
        parts_copy(next, table->part + edit->last, table->count - edit->last);
}

void ranges_edit_end(struct ranges_edit *edit)
{
    struct ranges *table = (struct ranges *)ranges_now();
    struct ranges_row *row = edit->new;
    size_t rest = edit->old->count - edit->to;
    memcpy(row->range + row->count, edit->old->range + edit->to, rest * sizeof(struct range));
    row->count += rest;
    edit_build(edit, table);
    atomic_store_explicit(&ranges.table, edit->next, memory_order_release); /* pairs with ranges_now */
    for (size_t i = edit->from; i < edit->to; i++) {
        const struct range *range = &edit->old->range[i];
        if (!edit_drops(edit, range))
            continue;
        uma_mapped_less(range->uma, range->kind);
        uma_close(range->uma, -1); /* the last one waits for those who found it in the old table */
    }
    if (table) {
        rcu_wait_for_others();
        for (size_t i = edit->first; i < edit->last; i++)
            leaf_free(table->part[i].leaf);
        table_unused(table);
    }
    edit_free(edit);
}

void ranges_edit_cancel(struct ranges_edit *edit)
{
    table_unused(edit->next);
    edit_free(edit);
}
