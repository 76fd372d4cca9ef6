/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_ranges.h — the table of the addresses at which this process has managed files mapped, and how it changes. Layer uma;
 * for uma_map.c alone.
 *
 * The ranges, sorted by address, lie in leaves of some tens, and the table is an array of these. Nothing of either ever
 * changes: a change makes the leaves that it concerns anew, and the array, and puts them in place at once. So lookups are
 * lock-free, under RCU, and a change costs by the number of leaves and not of ranges. Each range references its uma, and
 * counts as a mapping of it.
 */
#ifndef UMA_UMA_RANGES_H
#define UMA_UMA_RANGES_H

#include "uma/uma_private.h"

struct range {
    uintptr_t start, end;
    uint64_t offset; /* of start in the file */
    struct uma *uma;
    unsigned kind; /* enum uma_map_kind */
};

struct ranges;
struct ranges_leaf;

/* Some ranges in one array. */
struct ranges_row {
    size_t count, bytes;
    struct range range[];
};

struct ranges_span {
    uintptr_t start, end; /* equal: none */
};
#define RANGES_NO_SPAN ((struct ranges_span){0, 0})

/* A change of the table: two spans of addresses go, other ranges come. What meets neither stays as it is. */
struct ranges_edit {
    struct ranges_row *old, *new; /* what is in the leaves that change, and what will be */
    struct ranges_span gone[2];
    size_t from, to;            /* ranges of the old row from the first span to the last */
    size_t first, last;         /* leaves of the table that change */
    struct ranges *next;        /* the table to be */
    struct ranges_leaf *leaves; /* memory for new ones */
};

/* Changes, one at a time; taken before the attach lock, which the last close of a uma takes. */
void ranges_lock(void);
void ranges_unlock(void);

/* The first range that ends above `address`, NULL: none. In a read section, or locked; it stays until then. */
const struct range *ranges_find(uintptr_t address);
/* Whether any range meets [start, end); without a lock, for the many unmappings that are none of ours. */
bool ranges_meet(uintptr_t start, uintptr_t end);

static inline uintptr_t ranges_page_end(const void *addr, size_t length)
{
    return (uintptr_t)addr + ((length + UMA_BLOCK - 1) & ~(size_t)(UMA_BLOCK - 1));
}

/* ---- locked ---- */

/* Takes all the memory that the change may need: `more` ranges, each one of the spans once more (moved, or of another kind),
 * and what a cut leaves on both sides of the spans. -ENOMEM. */
int ranges_edit_begin(struct ranges_edit *edit, struct ranges_span first, struct ranges_span second, size_t more);
/* All that stays, in part or wholly. */
void ranges_edit_keep(struct ranges_edit *edit);
/* One more range, [start, end) of `range`, at its place by address; its uma is referenced, and it counts. It cannot fail: it
 * is there already, and while others of the file are counted the mode does not change. */
void ranges_edit_put(struct ranges_edit *edit, const struct range *range, uintptr_t start, uintptr_t end);
/* Puts the new table in place and lets go of what is not in it. */
void ranges_edit_end(struct ranges_edit *edit);
/* Instead: nothing changes. Nothing was put. */
void ranges_edit_cancel(struct ranges_edit *edit);

#endif
