/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_ranges.c — the table of mapped ranges: lookup, and changes that replace it (uma_ranges.h). Layer uma; called by uma_map.c.
 */
#include "uma/uma_ranges.h"

#include "base/mem.h"
#include "base/rcu.h"

#include <errno.h>
#include <string.h>

/* lock: changes of the table, one at a time; before the attach lock in order, which the last close of a uma takes. */
static struct ranges_map {
    struct shlock lock;
    struct ranges *_Atomic table; /* RCU */
    struct ranges *spare;         /* under lock: the last one that was replaced. Fresh memory is slow */
} ranges;

/* In a read section, or under ranges.lock. Acquire: the table is complete; pairs with ranges_edit_end. */
struct ranges *ranges_now(void)
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

/* Room for so many ranges, and some more so that it can be used again. Under ranges.lock. */
static struct ranges *table_new(size_t count)
{
    size_t bytes = sizeof(struct ranges) + count * sizeof(struct range);
    struct ranges *table = ranges.spare;
    if (table && table->bytes >= bytes) {
        ranges.spare = NULL;
    } else {
        bytes += bytes / 2;
        table = mem_alloc(bytes);
        if (!table)
            return NULL;
        table->bytes = bytes;
    }
    table->count = 0;
    return table;
}

static void table_free(struct ranges *table)
{
    if (table)
        mem_free(table, table->bytes);
}

/* One that nobody ever found. */
static void table_unused(struct ranges *table)
{
    bool larger = !ranges.spare || table->bytes > ranges.spare->bytes;
    table_free(larger ? ranges.spare : table);
    if (larger)
        ranges.spare = table;
}

/* Nobody finds the table any more: it is the next one's memory. */
static void table_retire(struct ranges *table)
{
    if (!table)
        return;
    rcu_wait_for_others();
    table_unused(table);
}

size_t ranges_search(const struct ranges *table, uintptr_t address)
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

bool ranges_meet(uintptr_t start, uintptr_t end)
{
    rcu_enter();
    const struct ranges *table = ranges_now();
    size_t i = table ? ranges_search(table, start) : 0;
    bool meets = table && i < table->count && table->range[i].start < end;
    rcu_leave();
    return meets;
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

int ranges_edit_begin(struct ranges_edit *edit, struct ranges_span first, struct ranges_span second, size_t more)
{
    const struct ranges *old = ranges_now();
    *edit = (struct ranges_edit){.old = old, .gone = {first, second}};
    if (second.start == second.end)
        second = first;
    uintptr_t start = first.start < second.start ? first.start : second.start;
    uintptr_t end = first.end > second.end ? first.end : second.end;
    if (old) {
        edit->from = edit->to = ranges_search(old, start);
        while (edit->to < old->count && old->range[edit->to].start < end)
            edit->to++;
    }
    edit->new = table_new((old ? old->count : 0) + 2 + more);
    if (!edit->new)
        return -ENOMEM;
    edit->new->count = edit->from;
    if (edit->from)
        memcpy(edit->new->range, old->range, edit->from * sizeof(struct range));
    return 0;
}

void ranges_edit_put(struct ranges_edit *edit, const struct range *range, uintptr_t start, uintptr_t end)
{
    struct range part = *range;
    part.offset += start - range->start;
    part.start = start;
    part.end = end;
    struct ranges *table = edit->new;
    size_t at = table->count++;
    for (; at && table->range[at - 1].start > start; at--)
        table->range[at] = table->range[at - 1];
    table->range[at] = part;
    uma_ref(part.uma);
    (void)uma_mapped_more(part.uma, part.kind);
}

/* What is left of a range outside the spans. */
static void cut_range(struct ranges_edit *edit, const struct range *range)
{
    for (uintptr_t at = range->start, next; at < range->end; at = next) {
        bool gone = false;
        next = range->end;
        for (unsigned i = 0; i < 2; i++) {
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

void ranges_edit_end(struct ranges_edit *edit)
{
    size_t rest = edit->old ? edit->old->count - edit->to : 0;
    if (rest)
        memcpy(edit->new->range + edit->new->count, edit->old->range + edit->to, rest * sizeof(struct range));
    edit->new->count += rest;
    atomic_store_explicit(&ranges.table, edit->new, memory_order_release); /* pairs with ranges_now */
    for (size_t i = edit->from; i < edit->to; i++) {
        const struct range *range = &edit->old->range[i];
        if (!edit_drops(edit, range))
            continue;
        uma_mapped_less(range->uma, range->kind);
        uma_close(range->uma, -1); /* the last one waits for those who found it in the old table */
    }
    table_retire((struct ranges *)edit->old);
}

void ranges_edit_cancel(struct ranges_edit *edit)
{
    table_unused(edit->new);
}
