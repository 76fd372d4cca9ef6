/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_map.c — mapped ranges of managed files: from an address to a uma. Layer uma; called by file. What follows for the
 * file's mode is uma_mapped.c's; the table is uma_ranges.c's.
 *
 * The kernel's call that takes a range away (munmap, a mapping put over it, mremap) is made under the lock, when all memory
 * is there, and the table changes behind it if it succeeded: it never forgets what is still mapped; and what another
 * thread maps at the same place meanwhile is entered behind us.
 */
#include "base/rawsys.h"
#include "base/rcu.h"
#include "uma/uma_ranges.h"

#include <errno.h>
#include <sys/mman.h>

struct uma *uma_at(const void *addr, struct uma_place *place)
{
    uintptr_t address = (uintptr_t)addr;
    const struct range *range = ranges_find(address);
    place->length = SIZE_MAX;
    if (!range)
        return NULL;
    if (range->start > address) {
        place->length = range->start - address;
        return NULL;
    }
    place->length = range->end - address;
    place->offset = range->offset + (address - range->start);
    place->kind = range->kind;
    return range->kind & UMA_MAP_SHARED ? range->uma : NULL;
}

/* ---- failure-atomic mappings ---- */

/* The pages of [start, end) are about to go or to move: nobody is to change them later. Under ranges.lock. */
static void leave_protected(uintptr_t start, uintptr_t end)
{
    const struct range *range;
    for (uintptr_t at = start; (range = ranges_find(at)) && range->start < end; at = range->end)
        if (range->kind & UMA_MAP_ATOMIC)
            uma_protect_forget(range->uma, range->start > start ? range->start : start,
                               range->end < end ? range->end : end);
}

void uma_map_leaving(void *addr, size_t length)
{
    uintptr_t start = (uintptr_t)addr, end = ranges_page_end(addr, length);
    if (end <= start || !ranges_meet(start, end))
        return;
    ranges_lock();
    leave_protected(start, end);
    ranges_unlock();
}

/* Before the mapping counts. *kind loses what cannot be: the kernel serves the file. Under ranges.lock. */
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

/* Whether all mappings are a program's that nobody stores to. */
static bool is_looked_at(const struct uma *uma)
{
    return uma_is_program(uma) && !atomic_load_explicit(&uma->stored_maps, memory_order_relaxed) &&
           !atomic_load_explicit(&uma->atomic_maps, memory_order_relaxed);
}

/* ---- mappings ---- */

/* Attaches where that can be. 0: it is attached, or the kernel serves the file. */
static int attach_for_mapping(struct uma *uma, int fd, unsigned kind)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    bool elsewhere = volume_is_attached(uma->volume, uma->ino);
    if (uma_is_attached(uma) || flags & UMA_FLAG_OUTSIDE)
        return flags & UMA_FLAG_OUTSIDE ? -EXDEV : 0;
    /* A program is mapped to be looked at, as a rule, and nobody could execute it while it is attached by a descriptor that
     * can write. If this process attaches it later a private mapping counts; a shared one shows the kernel's file. */
    bool looks = flags & UMA_FLAG_PROGRAM && !(kind & (UMA_MAP_STORES | UMA_MAP_ATOMIC));
    if (!elsewhere && (flags & UMA_FLAG_ALONE || (looks && !(kind & UMA_MAP_SHARED))))
        return 0;
    if (!elsewhere && looks)
        return uma_demote(uma, fd, UMA_DEMOTE_MMAP);
    int error = uma_attach(uma, fd, UMA_TO_SERVE);
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
        .start = (uintptr_t)addr, .end = ranges_page_end(addr, length), .offset = offset, .uma = uma, .kind = kind};
    const struct ranges_span span = {range.start, range.end};
    struct ranges_edit edit;
    int error = attach_for_mapping(uma, fd, kind);
    if (error)
        return error;
    ranges_lock();
    error = begin_protected(uma, addr, length, &range.kind);
    kind = range.kind;
    if (!error)
        error = ranges_edit_begin(&edit, span, RANGES_NO_SPAN, 1);
    if (!error) {
        error = uma_mapped_more(uma, kind); /* the mode first: from then on its address is used */
        if (error)
            ranges_edit_cancel(&edit);
    }
    if (!error) {
        ranges_edit_keep(&edit); /* what was there is gone: MAP_FIXED */
        ranges_edit_put(&edit, &range, range.start, range.end);
        ranges_edit_end(&edit);
        uma_mapped_less(uma, kind); /* ranges_edit_put has counted it */
    }
    ranges_unlock();
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
    uintptr_t start = (uintptr_t)over->addr, end = ranges_page_end(over->addr, over->length);
    if (end <= start || !ranges_meet(start, end))
        return over_call(over);
    struct ranges_edit edit;
    ranges_lock();
    int error = ranges_edit_begin(&edit, (struct ranges_span){start, end}, RANGES_NO_SPAN, 0);
    if (error) { /* without memory for the change nothing changes */
        ranges_unlock();
        return (void *)(intptr_t)error;
    }
    leave_protected(start, end);
    void *result = over_call(over);
    if (sys_is_error(result)) {
        ranges_edit_cancel(&edit);
    } else {
        ranges_edit_keep(&edit);
        ranges_edit_end(&edit);
    }
    ranges_unlock();
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
static void move_ranges(struct ranges_edit *edit, uintptr_t from, size_t old_length, uintptr_t to, size_t length)
{
    uintptr_t from_end = from + (old_length ? old_length : 1);
    const struct range *range;
    for (uintptr_t at = from; (range = ranges_find(at)) && range->start < from_end; at = range->end) {
        uintptr_t a = range->start > from ? range->start - from : 0;
        uintptr_t b = range->end < from_end ? range->end - from : length;
        b = b > length ? length : b;
        if (a >= b)
            continue;
        struct range moved = *range;
        moved.offset += from + a - range->start;
        moved.start = to + a;
        ranges_edit_put(edit, &moved, to + a, to + b);
    }
}

/* The call, and the table behind it. Under ranges.lock. The spans are known only when the kernel has told where to: room for
 * any is taken before. */
static void *remap_locked(void *old, size_t old_length, size_t length, int flags, void *new)
{
    struct ranges_edit edit;
    int error = ranges_edit_begin(&edit, (struct ranges_span){0, UINTPTR_MAX}, RANGES_NO_SPAN, 0);
    if (error)
        return (void *)(intptr_t)error;
    leave_protected((uintptr_t)old, (uintptr_t)old + old_length);
    if (flags & MREMAP_FIXED)
        leave_protected((uintptr_t) new, (uintptr_t) new + length);
    void *result = sys_mremap(old, old_length, length, flags, new);
    if (sys_is_error(result)) {
        ranges_edit_cancel(&edit);
        return result;
    }
    uintptr_t from = (uintptr_t)old, to = (uintptr_t)result;
    edit.gone[0] = (struct ranges_span){to, to + length};
    /* the old pages stay mapped with MREMAP_DONTUNMAP, and with a length of 0, which only makes a second mapping */
    edit.gone[1] =
        flags & MREMAP_DONTUNMAP || !old_length ? RANGES_NO_SPAN : (struct ranges_span){from, from + old_length};
    ranges_edit_keep(&edit);
    move_ranges(&edit, from, old_length, to, length);
    ranges_edit_end(&edit);
    return result;
}

void *uma_remap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    uintptr_t start = (uintptr_t)old, end = start + (old_length ? old_length : 1);
    uintptr_t to = (uintptr_t) new;
    if (end < start || (!ranges_meet(start, end) && !(flags & MREMAP_FIXED && ranges_meet(to, to + length))))
        return sys_mremap(old, old_length, length, flags, new);
    ranges_lock();
    void *result = remap_locked(old, old_length, length, flags, new);
    ranges_unlock();
    return result;
}

/* ---- mprotect ---- */

/* The kernel's call and the mark for the ranges in [start, end), which is in the table. Under ranges.lock. */
static int protect_locked(uintptr_t start, uintptr_t end, int prot)
{
    struct ranges_edit edit;
    int error = ranges_edit_begin(&edit, (struct ranges_span){start, end}, RANGES_NO_SPAN, 0);
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
        ranges_edit_cancel(&edit);
        return error;
    }
    ranges_edit_keep(&edit);
    for (size_t i = edit.from; i < edit.to; i++) {
        struct range range = edit.old->range[i];
        uintptr_t from = range.start > start ? range.start : start, to = range.end < end ? range.end : end;
        range.kind = (range.kind & ~(unsigned)UMA_MAP_WRITABLE) | (prot & PROT_WRITE ? UMA_MAP_WRITABLE : 0);
        ranges_edit_put(&edit, &range, from, to);
    }
    ranges_edit_end(&edit);
    return 0;
}

int uma_map_protect(void *addr, size_t length, int prot)
{
    uintptr_t start = (uintptr_t)addr, end = ranges_page_end(addr, length);
    if (end <= start || !ranges_meet(start, end))
        return sys_mprotect(addr, length, prot);
    ranges_lock();
    int error = protect_locked(start, end, prot);
    ranges_unlock();
    return error;
}

/* ---- fork ---- */

void uma_map_before_fork(void)
{
    ranges_lock();
}

void uma_map_after_fork(void)
{
    if (ranges_find(0))
        uma_mapped_forked();
    ranges_unlock();
}

/* The child's own protection, before anything of it stores. It is alone: no lock. */
static void protect_inherited(void)
{
    const struct range *range;
    for (uintptr_t at = 0; (range = ranges_find(at)); at = range->end)
        if (range->kind & UMA_MAP_ATOMIC)
            sys_mprotect((void *)range->start, range->end - range->start, PROT_READ);
}

void uma_map_inherited(void)
{
    protect_inherited();
    for (uintptr_t at = 0;;) {
        struct uma *uma = NULL;
        ranges_lock(); /* not while attaching: the last close of another file takes the attach lock behind this one */
        const struct range *range = ranges_find(at);
        if (range) {
            at = range->end;
            uma = range->uma;
            uma_ref(uma);
        }
        ranges_unlock();
        if (!uma)
            return;
        if (atomic_load_explicit(&uma->inherited, memory_order_relaxed)) {
            atomic_store_explicit(&uma->inherited, 0, memory_order_relaxed);
            /* failing, it is as with a file that cannot be attached when it is mapped */
            (void)uma_attach(uma, -1, is_looked_at(uma) ? UMA_TO_DEMOTE : UMA_TO_SERVE);
            uma_sync_start();
        }
        uma_close(uma, -1);
    }
}
