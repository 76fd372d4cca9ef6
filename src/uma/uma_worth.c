/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_worth.c — whether a detached file is to be attached: is it in a root at all, does it need it, does it pay. Layer uma;
 * called by uma.c before a call, by uma_attach.c.
 *
 * A file on PM is attached at the first write that must be atomic: all but those of a fresh file, which has nothing committed
 * to protect. On tmpfs nothing outlives a power cut, whoever serves the file, and after the death of processes the kernel
 * keeps what they wrote as well: there a file is attached because it pays. Attaching and detaching cost as much as some dozen
 * calls of the kernel, and from the first attachment on the process has a thread of ours, which makes each call of the kernel
 * some per cent dearer. So a file must earn it by calls that move data, or by bytes; a database that takes and drops a lock for
 * each of them gains less than it loses. O_ATOMIC files need it always.
 */
#include "base/geometry.h"
#include "base/rawsys.h"
#include "uma/uma_private.h"

#include <errno.h>

#define FRESH_LEAST GEOMETRY_FRESH_LEAST /* bytes moved before a fresh file is looked at */
#define FRESH_SHARE 2u                   /* fresh no more when so many times its size was moved */

/* ---- is it in a root ---- */

int uma_prove(struct uma *uma, int fd)
{
    struct statx stx;
    if (!(atomic_load_explicit(&uma->flags, memory_order_acquire) & UMA_FLAG_UNPROVEN))
        return 0;
    if (atomic_load_explicit(&uma->flags, memory_order_acquire) & UMA_FLAG_OUTSIDE)
        return -EXDEV;
    if (fd < 0)
        return -EBADF;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, VOLUME_STATX, &stx);
    if (error)
        return error;
    int holds = volume_holds(uma->volume, fd, &stx);
    if (holds < 0)
        return holds;
    if (holds) {
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_UNPROVEN, memory_order_acq_rel);
        return 0;
    }
    atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_OUTSIDE, memory_order_acq_rel);
    return -EXDEV;
}

/* ---- does it pay ---- */

static uint64_t count_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline bool must_earn(const struct uma *uma, uint32_t flags)
{
    return !uma->durable && !(flags & UMA_FLAG_ATOMIC) && !uma_worth_earned(&uma->worth);
}

/* Not by fstat, which asks for the times: see VOLUME_STATX. */
static int kernel_size(int fd, uint64_t *size)
{
    struct statx stx;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx);
    *size = stx.stx_size;
    return error;
}

/* The size is asked for only where it may be another one than was seen: not at each write. A cut by a program without the library
 * cannot be told: whatever was asked, it might come between that and the write. */
bool uma_worth_tears_across(struct uma_worth *worth, const struct volume *volume, int fd, int64_t offset,
                            uint64_t length)
{
    const uint64_t cuts = volume_cuts(volume);
    if (offset >= 0 && cuts == count_of(&worth->cuts) && (uint64_t)offset + length <= count_of(&worth->size_floor))
        return false;
    uint64_t size;
    if (kernel_size(fd, &size))
        return false;
    uint64_t start = offset < 0 ? size : (uint64_t)offset;
    atomic_store_explicit(&worth->size_floor, size, memory_order_relaxed);
    atomic_store_explicit(&worth->cuts, cuts, memory_order_relaxed);
    return uma_worth_is_across((int64_t)start, length) && start + length > size;
}

void uma_note_worth(struct uma *uma, const struct uma_worth *worth)
{
    uma_worth_count(&uma->worth.calls, count_of(&worth->calls));
    uma_worth_count(&uma->worth.bytes_read, count_of(&worth->bytes_read));
    uma_worth_count(&uma->worth.bytes_written, count_of(&worth->bytes_written));
    uma_worth_reach(&uma->worth, count_of(&worth->size_floor));
    if (count_of(&worth->cuts) < count_of(&uma->worth.cuts)) /* the older of two floors is not known to hold still */
        atomic_store_explicit(&uma->worth.cuts, count_of(&worth->cuts), memory_order_relaxed);
}

void uma_note_cut(struct uma *uma)
{
    atomic_store_explicit(&uma->worth.size_floor, 0, memory_order_relaxed);
    volume_note_cut(uma->volume);
}

/* ---- does it need it ---- */

void uma_worth_begin(struct uma *uma, uint64_t size)
{
    atomic_store_explicit(&uma->size_at_open, size, memory_order_relaxed);
    atomic_store_explicit(&uma->fresh_until, FRESH_LEAST, memory_order_relaxed);
    uma_worth_reach(&uma->worth, size);
}

/* A fresh file has nothing committed to protect, but one that is written over and over, or read again and again, is served
 * faster here. Looked at now and then, at growing distances. */
static void reconsider_fresh(struct uma *uma, int fd)
{
    uint64_t size, moved = count_of(&uma->worth.bytes_read) + count_of(&uma->worth.bytes_written);
    uint64_t due = atomic_load_explicit(&uma->fresh_until, memory_order_relaxed);
    if (moved < due || kernel_size(fd, &size))
        return;
    if (moved >= FRESH_SHARE * size) {
        atomic_store_explicit(&uma->size_at_open, size, memory_order_relaxed);
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_FRESH, memory_order_acq_rel);
    }
    atomic_store_explicit(&uma->fresh_until, moved * 2, memory_order_relaxed);
}

static inline bool is_unearned(const struct uma *uma)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    return !(flags & (UMA_FLAG_ALONE | UMA_FLAG_FRESH | UMA_FLAG_OUTSIDE)) && must_earn(uma, flags);
}

bool uma_earn_whole(struct uma *uma, int fd, int64_t offset, uint64_t length)
{
    if (__builtin_expect(!uma_worth_is_across(offset, length), 1) || !is_unearned(uma))
        return false;
    if (offset == UMA_OFFSET_KERNELS)
        offset = sys_lseek(fd, 0, SEEK_CUR);
    if (!uma_worth_tears(&uma->worth, uma->volume, fd, offset, length))
        return false;
    atomic_store_explicit(&uma->worth.torn, true, memory_order_relaxed);
    return true;
}

bool uma_wants_attach(struct uma *uma, int fd, enum uma_intent intent)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    if (__builtin_expect(flags & UMA_FLAG_FRESH, 0) && fd >= 0) {
        reconsider_fresh(uma, fd);
        flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    }
    if (flags & (UMA_FLAG_ALONE | UMA_FLAG_FRESH))
        return false;
    if (intent == UMA_INTENT_READ) {
        uint64_t size = atomic_load_explicit(&uma->size_at_open, memory_order_relaxed);
        if (!size || (flags & UMA_FLAG_PROGRAM) || count_of(&uma->worth.bytes_read) < size)
            return false;
    }
    return (intent == UMA_INTENT_READ || intent == UMA_INTENT_WRITE) && !must_earn(uma, flags);
}
