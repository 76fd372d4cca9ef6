/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_worth.c — whether a detached file is to be attached: is it in a root at all, does it need it, does it pay. Layer uma;
 * called by uma.c before a call, by uma_attach.c.
 *
 * A file on PM is attached at the first write that must be atomic: all but those of a fresh file, which has nothing committed
 * to protect. On tmpfs nothing outlives a power cut, whoever serves the file, and after the death of processes the kernel
 * keeps what they wrote as well: there a file is attached because it pays. Attaching and detaching cost as much as some dozen
 * calls of the kernel; programs that open, write and close small files all the time (a rollback journal, a spool) would pay
 * for it each time. So the process remembers how its attachments ended: when several in a row were over at once, files must
 * earn the next one by calls first, until one has paid again. O_ATOMIC files need it always.
 */
#include "base/geometry.h"
#include "base/rawsys.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <time.h>

#define FRESH_LEAST GEOMETRY_FRESH_LEAST /* bytes moved before a fresh file is looked at */
#define FRESH_SHARE 2u                   /* fresh no more when so many times its size was moved */

#define PAYS_NS 1000000          /* an attachment that was over sooner did not pay: about fifty times what it costs */
#define DOUBT_ONE 1u             /* for one that did not pay */
#define DOUBT_LESS 2u            /* for one that did */
#define DOUBT_LIMIT 4u           /* from here on files must earn it */
#define DOUBT_MOST 8u            /* so that it is left again soon */
#define EARN_CALLS 32u           /* calls on the kernel's path that earn an attachment */
#define EARN_BYTES (256u * 1024) /* or so many bytes */

/* What the process has learnt. Relaxed everywhere: a guess that any thread may move. */
static struct {
    _Atomic uint32_t doubt;
} worth;

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
    int error = sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx);
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

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* no system call */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void uma_worth_attached(struct uma *uma)
{
    uma->attached_ns = now_ns();
}

void uma_worth_detached(const struct uma *uma)
{
    uint32_t doubt = atomic_load_explicit(&worth.doubt, memory_order_relaxed);
    if (now_ns() - uma->attached_ns < PAYS_NS)
        doubt = doubt + DOUBT_ONE < DOUBT_MOST ? doubt + DOUBT_ONE : DOUBT_MOST;
    else
        doubt = doubt > DOUBT_LESS ? doubt - DOUBT_LESS : 0;
    atomic_store_explicit(&worth.doubt, doubt, memory_order_relaxed);
}

static bool must_earn(const struct uma *uma, uint32_t flags)
{
    return atomic_load_explicit(&worth.doubt, memory_order_relaxed) >= DOUBT_LIMIT && !(flags & UMA_FLAG_ATOMIC) &&
           !volume_is_durable(uma->volume);
}

static bool has_earned(const struct uma *uma)
{
    return atomic_load_explicit(&uma->kernel_calls, memory_order_relaxed) >= EARN_CALLS ||
           atomic_load_explicit(&uma->bytes_written, memory_order_relaxed) >= EARN_BYTES;
}

/* ---- does it need it ---- */

void uma_worth_begin(struct uma *uma, uint64_t size)
{
    atomic_store_explicit(&uma->size_at_open, size, memory_order_relaxed);
    atomic_store_explicit(&uma->fresh_until, FRESH_LEAST, memory_order_relaxed);
}

/* A fresh file has nothing committed to protect, but one that is written over and over, or read again and again, is served
 * faster here. Looked at now and then, at growing distances. */
static void reconsider_fresh(struct uma *uma, int fd)
{
    struct stat st;
    uint64_t moved = atomic_load_explicit(&uma->bytes_read, memory_order_relaxed) +
                     atomic_load_explicit(&uma->bytes_written, memory_order_relaxed);
    uint64_t due = atomic_load_explicit(&uma->fresh_until, memory_order_relaxed);
    if (moved < due || sys_fstat(fd, &st) != 0)
        return;
    if (moved >= FRESH_SHARE * (uint64_t)st.st_size) {
        atomic_store_explicit(&uma->size_at_open, (uint64_t)st.st_size, memory_order_relaxed);
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_FRESH, memory_order_acq_rel);
    }
    atomic_store_explicit(&uma->fresh_until, moved * 2, memory_order_relaxed);
}

bool uma_is_unearned(const struct uma *uma)
{
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    return !(flags & (UMA_FLAG_ALONE | UMA_FLAG_FRESH | UMA_FLAG_OUTSIDE)) && must_earn(uma, flags) && !has_earned(uma);
}

static bool in_one_block(uint64_t offset, uint64_t length)
{
    return offset % UMA_BLOCK + length <= UMA_BLOCK;
}

/* SIGKILL may end a write of the kernel between two pages, never within one. */
bool uma_earn_whole(struct uma *uma, int fd, int64_t offset, uint64_t length)
{
    struct stat st;
    if ((offset >= 0 && in_one_block((uint64_t)offset, length)) || sys_fstat(fd, &st) != 0)
        return false;
    uint64_t size = (uint64_t)st.st_size, start = offset < 0 ? size : (uint64_t)offset;
    if (in_one_block(start, length) || start + length <= size)
        return false;
    atomic_store_explicit(&uma->kernel_calls, EARN_CALLS, memory_order_relaxed);
    return true;
}

bool uma_wants_attach(struct uma *uma, int fd, enum uma_intent intent)
{
    if (atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_FRESH && fd >= 0)
        reconsider_fresh(uma, fd);
    uint32_t flags = atomic_load_explicit(&uma->flags, memory_order_relaxed);
    uint64_t size = atomic_load_explicit(&uma->size_at_open, memory_order_relaxed);
    if (flags & (UMA_FLAG_ALONE | UMA_FLAG_FRESH))
        return false;
    switch (intent) {
    case UMA_INTENT_WRITE:
        return !must_earn(uma, flags) || has_earned(uma);
    case UMA_INTENT_READ:
        return size && !(flags & UMA_FLAG_PROGRAM) &&
               atomic_load_explicit(&uma->bytes_read, memory_order_relaxed) >= size &&
               (!must_earn(uma, flags) || has_earned(uma));
    default:
        return false;
    }
}
