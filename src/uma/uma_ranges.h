/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_ranges.h — the table of the addresses at which this process has managed files mapped, and how it changes. Layer uma;
 * for uma_map.c alone.
 *
 * The ranges are an array, sorted by address, that is replaced as a whole: lookups are lock-free, under RCU. Each range
 * references its uma, and counts as a mapping of it.
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

struct ranges {
    size_t count, bytes;
    struct range range[];
};

struct ranges_span {
    uintptr_t start, end; /* equal: none */
};
#define RANGES_NO_SPAN ((struct ranges_span){0, 0})

/* A change of the table: two spans of addresses go, other ranges come. What meets neither stays as it is. */
struct ranges_edit {
    const struct ranges *old; /* NULL: none */
    struct ranges *new;
    struct ranges_span gone[2];
    size_t from, to; /* ranges of the old table from the first span to the last */
};

/* Changes, one at a time; taken before the attach lock, which the last close of a uma takes. */
void ranges_lock(void);
void ranges_unlock(void);

/* NULL: none was ever mapped. In a read section, or locked. */
struct ranges *ranges_now(void);
/* First range that ends above `address`. */
size_t ranges_search(const struct ranges *table, uintptr_t address);
/* Whether any range meets [start, end); without a lock, for the many unmappings that are none of ours. */
bool ranges_meet(uintptr_t start, uintptr_t end);

static inline uintptr_t ranges_page_end(const void *addr, size_t length)
{
    return (uintptr_t)addr + ((length + UMA_BLOCK - 1) & ~(size_t)(UMA_BLOCK - 1));
}

/* ---- locked ---- */

/* Takes all the memory that the change may need: `more` ranges, and what a cut leaves on both sides of the spans. -ENOMEM. */
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
