/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_read.c — reading: optimistic, without a store to shared memory. Layer uma; called by file.
 *
 * What a reader sees. A piece (at most 2 MiB) is read as it was at one moment: all slots are loaded first (acquire), the
 * bytes are copied from the homes that the slots name, and all slots are loaded again; any change means another try. A
 * block without a slot has version 0, as has a slot that was never locked. Log blocks and the file stay mapped while the
 * uma is attached, so a home that is reused under the copy gives garbage, never a fault; what the second look rejects. A
 * fault can only come from the user's buffer (EFAULT) or from a file that somebody made shorter (looked at again, EIO).
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "base/tsan.h"
#include "pm/pm_guard.h"
#include "uma/uma_block.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define SMALL_BLOCKS 8u
#define OPTIMISTIC_TRIES 16u /* then the slots are locked */
#define FAULT_TRIES 4u

/* ---- the destination ---- */

struct sink {
    const struct iovec *iov;
    size_t skip; /* of iov[0] */
};

/* The next contiguous part of the destination, at most n bytes. */
static char *sink_part(struct sink *sink, size_t *n)
{
    while (sink->skip == sink->iov->iov_len) {
        sink->iov++;
        sink->skip = 0;
    }
    size_t room = sink->iov->iov_len - sink->skip;
    *n = room < *n ? room : *n;
    char *at = (char *)sink->iov->iov_base + sink->skip;
    sink->skip += *n;
    return at;
}

static void sink_put(struct sink *sink, const char *from, size_t n)
{
    while (n) {
        size_t part = n;
        char *to = sink_part(sink, &part);
        if (from) {
            memcpy(to, from, part);
            from += part;
        } else {
            memset(to, 0, part);
        }
        n -= part;
    }
}

static void sink_skip(struct sink *sink, uint64_t n)
{
    while (n) {
        size_t part = n;
        sink_part(sink, &part);
        n -= part;
    }
}

/* How many bytes of the next `length` lie before the one at `address`; `length` if it is not among them. */
static uint64_t sink_before(const struct sink *sink, uint64_t length, uintptr_t address)
{
    const struct iovec *iov = sink->iov;
    size_t skip = sink->skip;
    for (uint64_t seen = 0; seen < length; skip = 0, iov++) {
        uintptr_t from = (uintptr_t)iov->iov_base + skip;
        if (address >= from && address - from < iov->iov_len - skip)
            return seen + (address - from);
        seen += iov->iov_len - skip;
    }
    return length;
}

/* ---- one piece ---- */

struct view {
    struct index_slot *slot;
    uint64_t state, newest;
};

struct reading {
    struct uma *uma;
    uint64_t offset, length, first;
    uint32_t blocks;
    struct view *view;
    uint64_t good; /* after -EFAULT: bytes of the destination before the bad one */
};

/* Loads all slots; false if one is locked. */
static bool views_load(struct reading *reading)
{
    for (uint32_t i = 0; i < reading->blocks; i++) {
        struct view *view = &reading->view[i];
        if (i && (reading->first + i) % INDEX_LEAF_SLOTS)
            view->slot = view[-1].slot ? view[-1].slot + 1 : NULL;
        else
            view->slot = index_find(&reading->uma->index, reading->first + i);
        view->state = view->newest = 0;
        if (!view->slot)
            continue;
        view->state = atomic_load_explicit(&view->slot->state, memory_order_acquire);
        if (index_state_locked(view->state))
            return false;
        view->newest = atomic_load_explicit(&view->slot->newest, memory_order_acquire);
    }
    return true;
}

/* Whether all slots are as they were loaded. */
static bool views_hold(const struct reading *reading)
{
    /* the copies above must not move below; pairs with the unlocker's release */
    atomic_thread_fence(memory_order_acquire);
    for (uint32_t i = 0; i < reading->blocks; i++) {
        const struct view *view = &reading->view[i];
        const struct index_slot *slot = view->slot ? view->slot : index_find(&reading->uma->index, reading->first + i);
        if (slot && atomic_load_explicit(&slot->state, memory_order_acquire) != view->state)
            return false;
    }
    return true;
}

/* Bytes [from, to) of the file home: mapped where the file has a block, zeros past the kernel's end, and through the
 * kernel where there may be a hole (touching one in a mapping would fill it). */
static int copy_home(struct reading *reading, struct sink *sink, uint64_t from, uint64_t to, bool allocated)
{
    struct uma *uma = reading->uma;
    uint64_t reach = atomic_load_explicit(&uma_shared(uma)->kernel_size, memory_order_acquire);
    uint64_t end = uma_min(to, uma_max(reach, from));
    if (allocated && (pm_map_peek(&uma->data, from) || uma_home_worth_mapping(uma, reach))) {
        while (from < uma_min(end, UMA_MAPPED_MOST)) { /* a run may cross segments of the mapping */
            uint64_t part = uma_min(end, pm_map_segment_start(pm_map_segment(from) + 1)) - from;
            const char *home = pm_map_at(&uma->data, from);
            if (!home) /* no room for a mapping: the kernel reads */
                break;
            sink_put(sink, home, part);
            from += part;
        }
    }
    while (from < end) {
        size_t part = end - from;
        char *at = sink_part(sink, &part);
        ssize_t n = sys_pread(uma->data_fd, at, part, (off_t)from);
        if (n < 0) {
            reading->good = from - reading->offset;
            return (int)n;
        }
        /* less than there must be: cut by another program, not by us, who lower the size first */
        if ((size_t)n < part &&
            from + (size_t)n < atomic_load_explicit(&uma_shared(uma)->kernel_size, memory_order_acquire))
            return -EIO;
        atomic_fetch_add_explicit(&uma->worth.bytes_read, (uint64_t)n, memory_order_relaxed);
        memset(at + n, 0, part - (size_t)n);
        from += part;
    }
    sink_put(sink, NULL, to - from);
    return 0;
}

/* Bytes [from, to) of a block that has lines in the log. */
static int copy_block(struct reading *reading, struct sink *sink, uint64_t block, unsigned from, unsigned to,
                      const struct view *view)
{
    struct uma *uma = reading->uma;
    uint32_t number = index_state_entry(view->state);
    if (!log_has_block(&uma->log, number))
        return -EIO;
    const char *log = log_block(&uma->log, number);
    if (!log)
        return -ENOMEM;
    bool allocated = uma_home_allocated(uma, block, view->state);
    while (from < to) {
        unsigned line = from / UMA_LINE;
        bool in_log = view->newest >> line & 1;
        uint64_t other = (in_log ? ~view->newest : view->newest) & UMA_ALL_LINES << line;
        unsigned end = other ? (unsigned)__builtin_ctzll(other) * UMA_LINE : UMA_BLOCK;
        end = end < to ? end : to;
        if (in_log) {
            sink_put(sink, log + from, end - from);
        } else {
            int error = copy_home(reading, sink, block * UMA_BLOCK + from, block * UMA_BLOCK + end, allocated);
            if (error)
                return error;
        }
        from = end;
    }
    return 0;
}

/* Copies the piece as the views tell. Runs of blocks that are in the file alone go in one copy. */
static int copy_views(struct reading *reading, struct sink sink)
{
    uint64_t end = reading->offset + reading->length;
    for (uint32_t i = 0; i < reading->blocks;) {
        const struct view *view = &reading->view[i];
        uint64_t block = reading->first + i;
        uint64_t from = uma_max(reading->offset, block * UMA_BLOCK);
        int error;
        if (view->newest) {
            uint64_t to = uma_min(end, (block + 1) * UMA_BLOCK);
            error = copy_block(reading, &sink, block, (unsigned)(from % UMA_BLOCK), (unsigned)(to - block * UMA_BLOCK),
                               view);
            i++;
        } else {
            bool allocated = uma_home_allocated(reading->uma, block, view->state);
            do
                i++;
            while (i < reading->blocks && !reading->view[i].newest &&
                   uma_home_allocated(reading->uma, reading->first + i, reading->view[i].state) == allocated);
            error = copy_home(reading, &sink, from, uma_min(end, (reading->first + i) * UMA_BLOCK), allocated);
        }
        if (error)
            return error;
    }
    return 0;
}

/* A copy under the fault guard: 0, -EFAULT (the user's buffer), -EIO (ours), or an error of copy_views. */
static __attribute__((noinline)) int copy_guarded(struct reading *reading, const struct sink *sink)
{
    struct pm_guard guard;
    struct reading *volatile kept_reading = reading; /* pm_guard.h tells why */
    const struct sink *volatile kept_sink = sink;
    tsan_optimistic_begin();
    if (pm_guard_begin(&guard)) {
        tsan_optimistic_end();
        reading = kept_reading;
        uint64_t before = sink_before(kept_sink, reading->length, guard.address);
        reading->good = before < reading->length ? before : 0;
        return before < reading->length || guard.signal == SIGSEGV ? -EFAULT : -EIO;
    }
    int error = copy_views(reading, *sink);
    pm_guard_end();
    tsan_optimistic_end();
    return error;
}

/* Whether blocks that had no slot still have none that anybody has used. */
static bool views_miss_none(const struct reading *reading)
{
    for (uint32_t i = 0; i < reading->blocks; i++) {
        struct index_slot *slot = reading->view[i].slot ? NULL : index_find(&reading->uma->index, reading->first + i);
        if (slot && atomic_load_explicit(&slot->state, memory_order_acquire))
            return false;
    }
    return true;
}

/* With the slots locked: what optimistic tries did not get done. -EAGAIN if a slot was made meanwhile. */
static int read_locked(struct reading *reading, const struct sink *sink)
{
    struct uma *uma = reading->uma;
    struct index_record *record = uma_claim(uma);
    atomic_store_explicit(&record->first, reading->first, memory_order_relaxed);
    atomic_store_explicit(&record->blocks, reading->blocks, memory_order_release);
    for (uint32_t i = 0; i < reading->blocks; i++) {
        struct view *view = &reading->view[i];
        view->slot = index_find(&uma->index, reading->first + i);
        view->state = view->newest = 0;
        if (view->slot) {
            view->state = uma_lock_slot(uma, record, view->slot, reading->first + i);
            view->newest = atomic_load_explicit(&view->slot->newest, memory_order_relaxed);
        }
    }
    int error = copy_guarded(reading, sink);
    atomic_thread_fence(memory_order_acquire); /* as in views_hold */
    if (!views_miss_none(reading))
        error = -EAGAIN;
    for (uint32_t i = 0; i < reading->blocks; i++)
        if (reading->view[i].slot)
            index_slot_unlock(reading->view[i].slot, reading->view[i].state, (uint32_t)(reading->view[i].state >> 32));
    uma_unclaim(uma, record);
    return error;
}

static int read_piece(struct reading *reading, const struct sink *sink)
{
    unsigned faults = 0;
    for (unsigned tries = 0; tries < OPTIMISTIC_TRIES; tries++) {
        if (!views_load(reading)) {
            if (tries > OPTIMISTIC_TRIES / 2)
                sys_sched_yield();
            continue;
        }
        int error = copy_guarded(reading, sink);
        if (!views_hold(reading))
            continue;
        if (error == -EIO && ++faults < FAULT_TRIES)
            continue;
        return error;
    }
    int error;
    do
        error = read_locked(reading, sink);
    while (error == -EAGAIN);
    return error;
}

ssize_t uma_read(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length)
{
    struct index_shared *shared = uma_shared(uma);
    struct view small[SMALL_BLOCKS];
    struct sink sink = {.iov = iov};
    (void)iovcnt;
    uint64_t size = atomic_load_explicit(&shared->size, memory_order_acquire);
    if (offset >= size)
        length = 0;
    else
        length = uma_min(length, size - offset);
    uint64_t done = 0;
    int error = 0;
    while (done < length) {
        struct reading reading = {.uma = uma, .offset = offset + done, .view = small};
        reading.length = uma_piece_length(reading.offset, length - done);
        reading.first = uma_block_of(reading.offset);
        reading.blocks = (uint32_t)(uma_block_of(reading.offset + reading.length - 1) - reading.first + 1);
        if (reading.blocks > SMALL_BLOCKS) {
            reading.view = mem_alloc(reading.blocks * sizeof *reading.view);
            if (!reading.view) {
                error = -ENOMEM;
                break;
            }
        }
        error = read_piece(&reading, &sink);
        if (reading.view != small)
            mem_free(reading.view, reading.blocks * sizeof *reading.view);
        if (error == -EFAULT && reading.good) { /* what can be stored is read, as the kernel does */
            length = done + reading.good;
            continue;
        }
        if (error)
            break;
        sink_skip(&sink, reading.length);
        done += reading.length;
    }
    /* PASSTHROUGH: another process may write through the kernel, which versions do not show */
    uint32_t mode = atomic_load_explicit(&shared->mode, memory_order_acquire);
    if (mode == INDEX_MODE_PASSTHROUGH)
        return -UMA_AGAIN;
    if (mode == INDEX_MODE_FAILED)
        return -EIO;
    if (done) {
        stats_add(STATS_READS, 1);
        stats_add(STATS_READ_BYTES, done);
    }
    return done ? (ssize_t)done : error;
}
