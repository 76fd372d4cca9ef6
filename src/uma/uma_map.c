/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_map.c — mapped ranges of managed files: from an address to a uma. Layer uma; called by file. What follows for the
 * file's mode is uma_mapped.c's.
 *
 * The ranges of this process are an array, sorted by address, that is replaced as a whole: lookups are lock-free, under
 * RCU. Each range references its uma, and counts as a mapping of it.
 *
 * The kernel's call that takes a range away (munmap, a mapping put over it, mremap) is made under the lock, when all memory
 * is there, and the array changes behind it if it succeeded: the table never forgets what is still mapped; and what another
 * thread maps at the same place meanwhile is entered behind us.
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
    unsigned kind; /* enum uma_map_kind */
};

struct range_table {
    size_t count, bytes;
    struct range range[];
};

/* lock: changes of the table, one at a time; before the attach lock in order, which the last close of a uma takes. */
static struct range_map {
    struct shlock lock;
    struct range_table *_Atomic table; /* RCU */
    struct range_table *spare;         /* under lock: the last one that was replaced. Fresh memory is slow */
} map;

/* In a read section, or under map.lock. Acquire: the table is complete; pairs with table_replace. */
static struct range_table *table_now(void)
{
    return atomic_load_explicit(&map.table, memory_order_acquire);
}

static void map_lock(void)
{
    shlock_acquire_private(&map.lock);
}

void uma_map_before_fork(void)
{
    map_lock();
}

void uma_map_after_fork(void)
{
    const struct range_table *table = table_now();
    if (table && table->count)
        uma_mapped_forked();
    shlock_release(&map.lock);
}

/* Room for so many ranges, and some more so that it can be used again. Under map.lock. */
static struct range_table *table_new(size_t count)
{
    size_t bytes = sizeof(struct range_table) + count * sizeof(struct range);
    struct range_table *table = map.spare;
    if (table && table->bytes >= bytes) {
        map.spare = NULL;
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

static void table_free(struct range_table *table)
{
    if (table)
        mem_free(table, table->bytes);
}

/* One that nobody ever found. */
static void table_unused(struct range_table *table)
{
    bool larger = !map.spare || table->bytes > map.spare->bytes;
    table_free(larger ? map.spare : table);
    if (larger)
        map.spare = table;
}

/* Nobody finds the table any more: it is the next one's memory. */
static void table_retire(struct range_table *table)
{
    if (!table)
        return;
    rcu_wait_for_others();
    table_unused(table);
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

struct uma *uma_at(const void *addr, struct uma_place *place)
{
    uintptr_t address = (uintptr_t)addr;
    const struct range_table *table = table_now();
    place->length = SIZE_MAX;
    size_t i = table ? table_search(table, address) : 0;
    if (!table || i == table->count)
        return NULL;
    const struct range *range = &table->range[i];
    if (range->start > address) {
        place->length = range->start - address;
        return NULL;
    }
    place->length = range->end - address;
    place->offset = range->offset + (address - range->start);
    place->kind = range->kind;
    return range->kind & UMA_MAP_SHARED ? range->uma : NULL;
}

static inline uintptr_t page_end(const void *addr, size_t length)
{
    return (uintptr_t)addr + ((length + UMA_BLOCK - 1) & ~(size_t)(UMA_BLOCK - 1));
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

/* ---- changes, under map.lock ---- */

struct span {
    uintptr_t start, end; /* equal: none */
};
#define NO_SPAN ((struct span){0, 0})

/* A change of the table: two spans of addresses go, other ranges come. What meets neither stays as it is. */
struct edit {
    const struct range_table *old; /* NULL: none */
    struct range_table *new;
    struct span gone[2];
    size_t from, to; /* ranges of the old table from the first span to the last */
};

static inline bool span_meets(const struct span *span, const struct range *range)
{
    return span->start < range->end && range->start < span->end;
}

static inline bool edit_drops(const struct edit *edit, const struct range *range)
{
    return span_meets(&edit->gone[0], range) || span_meets(&edit->gone[1], range);
}

/* Takes all the memory that the change may need: `more` ranges, and what a cut leaves on both sides of the spans. */
static int edit_begin(struct edit *edit, struct span first, struct span second, size_t more)
{
    const struct range_table *old = table_now();
    *edit = (struct edit){.old = old, .gone = {first, second}};
    if (second.start == second.end)
        second = first;
    uintptr_t start = first.start < second.start ? first.start : second.start;
    uintptr_t end = first.end > second.end ? first.end : second.end;
    if (old) {
        edit->from = edit->to = table_search(old, start);
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

/* One more range, [start, end) of `range`, at its place by address; its uma is referenced, and it counts. It cannot fail: it
 * is there already, and while others of the file are counted the mode does not change. */
static void edit_put(struct edit *edit, const struct range *range, uintptr_t start, uintptr_t end)
{
    struct range part = *range;
    part.offset += start - range->start;
    part.start = start;
    part.end = end;
    struct range_table *table = edit->new;
    size_t at = table->count++;
    for (; at && table->range[at - 1].start > start; at--)
        table->range[at] = table->range[at - 1];
    table->range[at] = part;
    uma_ref(part.uma);
    (void)uma_mapped_more(part.uma, part.kind);
}

/* What is left of a range outside the spans. */
static void cut_range(struct edit *edit, const struct range *range)
{
    for (uintptr_t at = range->start, next; at < range->end; at = next) {
        bool gone = false;
        next = range->end;
        for (unsigned i = 0; i < 2; i++) {
            const struct span *span = &edit->gone[i];
            bool inside = at >= span->start && at < span->end;
            uintptr_t border = inside ? span->end : span->start;
            gone = gone || inside;
            if (border > at && border < next)
                next = border;
        }
        if (!gone)
            edit_put(edit, range, at, next);
    }
}

/* All that stays, in part or wholly. */
static void edit_keep(struct edit *edit)
{
    for (size_t i = edit->from; i < edit->to; i++) {
        const struct range *range = &edit->old->range[i];
        if (edit_drops(edit, range))
            cut_range(edit, range);
        else
            edit->new->range[edit->new->count++] = *range;
    }
}

/* Puts the new table in place and lets go of what is not in it. */
static void edit_end(struct edit *edit)
{
    size_t rest = edit->old ? edit->old->count - edit->to : 0;
    if (rest)
        memcpy(edit->new->range + edit->new->count, edit->old->range + edit->to, rest * sizeof(struct range));
    edit->new->count += rest;
    atomic_store_explicit(&map.table, edit->new, memory_order_release); /* pairs with table_now */
    for (size_t i = edit->from; i < edit->to; i++) {
        const struct range *range = &edit->old->range[i];
        if (!edit_drops(edit, range))
            continue;
        uma_mapped_less(range->uma, range->kind);
        uma_close(range->uma, -1); /* the last one waits for those who found it in the old table */
    }
    table_retire((struct range_table *)edit->old);
}

/* ---- failure-atomic mappings ---- */

/* The pages of [start, end) are about to go or to move: nobody is to change them later. Under map.lock. */
static void leave_protected(uintptr_t start, uintptr_t end)
{
    const struct range_table *table = table_now();
    for (size_t i = table ? table_search(table, start) : 0; table && i < table->count; i++) {
        const struct range *range = &table->range[i];
        if (range->start >= end)
            break;
        if (range->kind & UMA_MAP_ATOMIC)
            uma_protect_forget(range->uma, range->start > start ? range->start : start,
                               range->end < end ? range->end : end);
    }
}

void uma_map_leaving(void *addr, size_t length)
{
    uintptr_t start = (uintptr_t)addr, end = page_end(addr, length);
    if (end <= start || !range_meets(start, end))
        return;
    map_lock();
    leave_protected(start, end);
    shlock_release(&map.lock);
}

/* Before the mapping counts. *kind loses what cannot be: the kernel serves the file. Under map.lock. */
static int begin_protected(struct uma *uma, void *addr, size_t length, unsigned *kind)
{
    if (!(*kind & UMA_MAP_ATOMIC))
        return 0;
    if (uma_is_attached(uma) &&
        atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) != INDEX_MODE_PASSTHROUGH)
        return uma_protect_begin(uma);
    *kind = (*kind & ~(unsigned)UMA_MAP_ATOMIC) | UMA_MAP_STORES;
    return *kind & UMA_MAP_WRITABLE ? sys_mprotect(addr, length, PROT_READ | PROT_WRITE) : 0;
}

/* ---- mappings ---- */

/* Attaches where that can be. 0: it is attached, or the kernel serves the file. */
static int attach_for_mapping(struct uma *uma, int fd, unsigned kind)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    bool elsewhere = volume_is_attached(uma->volume, uma->ino);
    if (uma_is_attached(uma) || flags & UMA_FLAG_OUTSIDE)
        return flags & UMA_FLAG_OUTSIDE ? -EXDEV : 0;
    /* A program is mapped to be looked at, as a rule, and nobody could execute it while it is attached. If this process
     * attaches it later the mapping counts. */
    if (!elsewhere && (flags & UMA_FLAG_ALONE || (flags & UMA_FLAG_PROGRAM && !(kind & UMA_MAP_SHARED))))
        return 0;
    int error = uma_attach(uma, fd);
    if (!error || error == -EXDEV || error == -EBUSY || error == -EIO)
        return error;
    if (uma_exiting()) /* other threads may map still */
        return 0;
    if (volume_is_attached(uma->volume, uma->ino))
        return -EBUSY;
    atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
    return 0;
}

int uma_map(struct uma *uma, int fd, void *addr, size_t length, uint64_t offset, unsigned kind)
{
    struct range range = {
        .start = (uintptr_t)addr, .end = page_end(addr, length), .offset = offset, .uma = uma, .kind = kind};
    const struct span span = {range.start, range.end};
    struct edit edit;
    int error = attach_for_mapping(uma, fd, kind);
    if (error)
        return error;
    map_lock();
    error = begin_protected(uma, addr, length, &range.kind);
    kind = range.kind;
    if (!error)
        error = edit_begin(&edit, span, NO_SPAN, 1);
    if (!error) {
        error = uma_mapped_more(uma, kind); /* the mode first: from then on its address is used */
        if (error)
            table_unused(edit.new);
    }
    if (!error) {
        edit_keep(&edit); /* what was there is gone: MAP_FIXED */
        edit_put(&edit, &range, range.start, range.end);
        edit_end(&edit);
        uma_mapped_less(uma, kind); /* edit_put has counted it */
    }
    shlock_release(&map.lock);
    return error;
}

/* A call that takes a range of addresses away. */
struct over {
    void *addr;
    size_t length;
    int prot, flags, fd;
    off_t offset;
    bool unmaps;
};

static void *over_call(const struct over *over)
{
    if (over->unmaps)
        return (void *)(intptr_t)sys_munmap(over->addr, over->length);
    return sys_mmap(over->addr, over->length, over->prot, over->flags, over->fd, over->offset);
}

static void *over_run(const struct over *over)
{
    uintptr_t start = (uintptr_t)over->addr, end = page_end(over->addr, over->length);
    if (end <= start || !range_meets(start, end))
        return over_call(over);
    struct edit edit;
    map_lock();
    int error = edit_begin(&edit, (struct span){start, end}, NO_SPAN, 0);
    if (error) { /* without memory for the change nothing changes */
        shlock_release(&map.lock);
        return (void *)(intptr_t)error;
    }
    leave_protected(start, end);
    void *result = over_call(over);
    if (sys_is_error(result)) {
        table_unused(edit.new);
    } else {
        edit_keep(&edit);
        edit_end(&edit);
    }
    shlock_release(&map.lock);
    return result;
}

int uma_unmap(void *addr, size_t length)
{
    struct over over = {.addr = addr, .length = length, .unmaps = true};
    return (int)(intptr_t)over_run(&over);
}

void *uma_map_over(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    struct over over = {.addr = addr, .length = length, .prot = prot, .flags = flags, .fd = fd, .offset = offset};
    return over_run(&over);
}

/* ---- mremap ---- */

/* The ranges that [old, old + old_length) had, now at `to`; the last one as long as the mapping is now. */
static void move_ranges(struct edit *edit, const struct range_table *old, uintptr_t from, size_t old_length,
                        uintptr_t to, size_t length)
{
    uintptr_t from_end = from + (old_length ? old_length : 1);
    for (size_t i = table_search(old, from); i < old->count && old->range[i].start < from_end; i++) {
        const struct range *range = &old->range[i];
        uintptr_t a = range->start > from ? range->start - from : 0;
        uintptr_t b = range->end < from_end ? range->end - from : length;
        b = b > length ? length : b;
        if (a >= b)
            continue;
        struct range moved = *range;
        moved.offset += from + a - range->start;
        moved.start = to + a;
        edit_put(edit, &moved, to + a, to + b);
    }
}

/* The call, and the table behind it. Under map.lock. The spans are known only when the kernel has told where to: room for
 * any is taken before. */
static void *remap_locked(void *old, size_t old_length, size_t length, int flags, void *new)
{
    const struct range_table *table = table_now();
    struct edit edit;
    size_t all = table ? table->count : 0;
    int error = edit_begin(&edit, (struct span){0, UINTPTR_MAX}, NO_SPAN, all + 2);
    if (error)
        return (void *)(intptr_t)error;
    leave_protected((uintptr_t)old, (uintptr_t)old + old_length);
    if (flags & MREMAP_FIXED)
        leave_protected((uintptr_t) new, (uintptr_t) new + length);
    void *result = sys_mremap(old, old_length, length, flags, new);
    if (sys_is_error(result)) {
        table_unused(edit.new);
        return result;
    }
    uintptr_t from = (uintptr_t)old, to = (uintptr_t)result;
    edit.gone[0] = (struct span){to, to + length};
    /* the old pages stay mapped with MREMAP_DONTUNMAP, and with a length of 0, which only makes a second mapping */
    edit.gone[1] = flags & MREMAP_DONTUNMAP || !old_length ? NO_SPAN : (struct span){from, from + old_length};
    edit_keep(&edit);
    if (table)
        move_ranges(&edit, table, from, old_length, to, length);
    edit_end(&edit);
    return result;
}

void *uma_remap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    uintptr_t start = (uintptr_t)old, end = start + (old_length ? old_length : 1);
    uintptr_t to = (uintptr_t) new;
    if (end < start || (!range_meets(start, end) && !(flags & MREMAP_FIXED && range_meets(to, to + length))))
        return sys_mremap(old, old_length, length, flags, new);
    map_lock();
    void *result = remap_locked(old, old_length, length, flags, new);
    shlock_release(&map.lock);
    return result;
}

/* ---- mprotect ---- */

/* The kernel's call and the mark for the ranges in [start, end), which is in the table. Under map.lock. */
static int protect_locked(uintptr_t start, uintptr_t end, int prot)
{
    struct edit edit;
    int error = edit_begin(&edit, (struct span){start, end}, NO_SPAN, table_now()->count * 2);
    if (error)
        return error;
    leave_protected(start, end);
    uintptr_t at = start;
    for (size_t i = edit.from; i < edit.to && !error; i++) {
        const struct range *range = &edit.old->range[i];
        uintptr_t from = range->start > start ? range->start : start, to = range->end < end ? range->end : end;
        if (from > at)
            error = sys_mprotect((void *)at, from - at, prot);
        if (!error)
            error = sys_mprotect((void *)from, to - from, range->kind & UMA_MAP_ATOMIC ? prot & ~PROT_WRITE : prot);
        at = to;
    }
    if (!error && at < end)
        error = sys_mprotect((void *)at, end - at, prot);
    if (error) {
        table_free(edit.new);
        return error;
    }
    edit_keep(&edit);
    for (size_t i = edit.from; i < edit.to; i++) {
        struct range range = edit.old->range[i];
        uintptr_t from = range.start > start ? range.start : start, to = range.end < end ? range.end : end;
        range.kind = (range.kind & ~(unsigned)UMA_MAP_WRITABLE) | (prot & PROT_WRITE ? UMA_MAP_WRITABLE : 0);
        edit_put(&edit, &range, from, to);
    }
    edit_end(&edit);
    return 0;
}

int uma_map_protect(void *addr, size_t length, int prot)
{
    uintptr_t start = (uintptr_t)addr, end = page_end(addr, length);
    if (end <= start || !range_meets(start, end))
        return sys_mprotect(addr, length, prot);
    map_lock();
    int error = protect_locked(start, end, prot);
    shlock_release(&map.lock);
    return error;
}

/* ---- fork ---- */

/* The child's own protection, before anything of it stores. It is alone: no lock. */
static void protect_inherited(void)
{
    const struct range_table *table = table_now();
    for (size_t i = 0; table && i < table->count; i++) {
        const struct range *range = &table->range[i];
        if (range->kind & UMA_MAP_ATOMIC)
            sys_mprotect((void *)range->start, range->end - range->start, PROT_READ);
    }
}

void uma_map_inherited(void)
{
    protect_inherited();
    for (size_t i = 0;; i++) {
        struct uma *uma = NULL;
        map_lock(); /* not while attaching: the last close of another file takes the attach lock behind this one */
        const struct range_table *table = table_now();
        if (table && i < table->count) {
            uma = table->range[i].uma;
            uma_ref(uma);
        }
        shlock_release(&map.lock);
        if (!uma)
            return;
        if (atomic_load_explicit(&uma->inherited, memory_order_relaxed)) {
            atomic_store_explicit(&uma->inherited, 0, memory_order_relaxed);
            (void)uma_attach(uma, -1); /* failing, it is as with a file that cannot be attached when it is mapped */
        }
        uma_close(uma, -1);
    }
}
