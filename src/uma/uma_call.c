/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_call.c — which way a call goes, to user space or to the kernel, and what it leaves behind. Layer uma; called by file
 * around every call.
 */
#include "base/stats.h"
#include "uma/uma_private.h"

#include <errno.h>

/* ---- one call ---- */

static int begin_attached(struct uma *uma)
{
    switch (atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire)) {
    case INDEX_MODE_PASSTHROUGH:
        return UMA_PATH_KERNEL;
    case INDEX_MODE_FAILED:
        return -EIO;
    default:
        return UMA_PATH_USER;
    }
}

static bool is_leaving(const struct uma *uma)
{
    return uma_exiting() || atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_LEAVING;
}

/* The process ends, or becomes another program; or the file is the kernel's, and may be attached by others while this call is
 * there. */
static int begin_leaving(struct uma *uma, enum uma_intent intent, struct uma_op *op)
{
    struct volume_inflight inflight = {.word = NULL};
    if (!uma_exiting() && volume_enter_kernel(uma->volume, uma->ino, intent == UMA_INTENT_WRITE, &inflight))
        op->inflight = inflight.word;
    return UMA_PATH_KERNEL;
}

static int begin_detached(struct uma *uma, int fd, enum uma_intent intent, struct uma_op *op)
{
    struct volume_inflight inflight = {.word = NULL};
    if (is_leaving(uma))
        return begin_leaving(uma, intent, op);
    bool attach = uma_wants_attach(uma, fd, intent);
    if (attach && !uma_has_room()) { /* for good: if somebody else has it attached we join all the same */
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
        attach = false;
    }
    for (;;) {
        if (atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_OUTSIDE)
            return UMA_PATH_KERNEL;
        /* What the kernel tells of a file that nobody served when we began was so then: nobody need wait for the answer. */
        if (intent == UMA_INTENT_LOOK && volume_may_look(uma->volume, uma->ino))
            return UMA_PATH_KERNEL;
        if (!attach && volume_enter_kernel(uma->volume, uma->ino, intent == UMA_INTENT_WRITE, &inflight)) {
            op->inflight = inflight.word;
            return UMA_PATH_KERNEL;
        }
        int error = uma_attach(uma, fd, UMA_TO_SERVE);
        if (!error)
            return begin_attached(uma);
        if (is_leaving(uma)) /* meanwhile */
            return begin_leaving(uma, intent, op);
        if (error == -EXDEV)
            continue;
        if (error == -EIO || !attach)
            return error == -EACCES && intent != UMA_INTENT_WRITE ? UMA_PATH_KERNEL : error == -EIO ? -EIO : -EBUSY;
        if (fd < 0) /* without a descriptor there is no attaching: the caller tries again with one */
            return -EBADF;
        /* no space, no permission, too many: the kernel serves the file for good, unless somebody else has it */
        if (error != -EDEADLK && error != -EAGAIN && error != -EINTR)
            atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ALONE, memory_order_acq_rel);
        attach = false;
    }
}

int uma_begin(struct uma *uma, int fd, enum uma_intent intent, struct uma_op *op)
{
    op->inflight = NULL;
    if (__builtin_expect(uma_is_attached(uma), 1))
        return begin_attached(uma);
    return begin_detached(uma, fd, intent, op);
}

static void note_synced(struct uma *uma)
{
    if (atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_FRESH)
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_FRESH, memory_order_acq_rel);
}

bool uma_sync_is_void(struct uma *uma)
{
    if (uma->durable || uma_is_attached(uma) || !volume_may_look(uma->volume, uma->ino))
        return false;
    note_synced(uma);
    return true;
}

static inline bool is_unattended(const struct uma *uma)
{
    return atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_UNATTENDED;
}

void uma_end(struct uma *uma, struct uma_op *op, const struct uma_done *done)
{
    if (!op->inflight && !(done->bytes_read | done->bytes_written) && uma_is_attached(uma)) {
        if (__builtin_expect(is_unattended(uma), 0))
            uma_settle_unattended(uma);
        return;
    }
    if (done->bytes_read || done->bytes_written)
        uma_worth_count(&uma->worth.calls, 1);
    if (done->bytes_read) {
        uma_worth_count(&uma->worth.bytes_read, done->bytes_read);
        stats_add(STATS_KERNEL_READS, 1);
    }
    if (done->bytes_written) {
        uma_worth_count(&uma->worth.bytes_written, done->bytes_written);
        uma_worth_reach(&uma->worth, done->end);
        stats_add(STATS_KERNEL_WRITES, 1);
    }
    if (done->synced)
        note_synced(uma);
    if (op->inflight) {
        struct volume_inflight inflight = {.word = op->inflight};
        volume_leave_kernel(&inflight);
        op->inflight = NULL;
    }
}

bool uma_is_detached(struct uma *uma)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    return !uma_is_attached(uma) && (flags & UMA_FLAG_OUTSIDE || !volume_is_attached(uma->volume, uma->ino));
}

bool uma_begin_kernel(struct uma *uma, struct uma_op *op)
{
    struct volume_inflight inflight = {.word = NULL};
    op->inflight = NULL;
    if (atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_OUTSIDE)
        return true;
    if (!volume_enter_kernel(uma->volume, uma->ino, true, &inflight))
        return false;
    op->inflight = inflight.word;
    return true;
}

bool uma_is_served(const struct uma *uma)
{
    return uma_is_attached(uma);
}
