/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_show.c — changes, for programs without the library that watch a file or follow it (tail -f). Layer uma; called by
 * the sync thread when it delivers a time.
 *
 * The newest bytes behind the kernel's end are copied to the file by the kernel's write, which makes it longer: also before
 * write-back, which makes the file long first and would show zeros for a moment. Nothing
 * becomes durable or committed by that, and the log stays as it is: behind `kernel_durable` no line has its home in the
 * file, whatever the entries say, so nobody's copy is overwritten; a power cut leaves bytes behind the committed size,
 * which recovery cuts off. In front of that size only committed bytes are shown: recovery would take what is there for the
 * old content of lines that the log has no old copy of, the zeros of a hole. The kernel lock keeps
 * write-back from making homes of them meanwhile, the resize lock keeps the end where it is.
 */
#include "base/grow.h"
#include "base/rawsys.h"
#include "uma/uma_block.h"

#include <linux/falloc.h>

#define SHOW_TRIES 4u

/* Whether the lines of the block from byte `offset` of the file on are committed as they are, or need not be. */
static bool may_be_shown(struct uma *uma, uint64_t offset, uint32_t number)
{
    struct index_shared *shared = uma_shared(uma);
    return offset >= atomic_load_explicit(&shared->committed_size, memory_order_acquire) ||
           uma_entry_newest(log_entry(&uma->log, number)).epoch <
               atomic_load_explicit(&shared->durable, memory_order_acquire);
}

/* Shows the bytes [from, to) of a block as far as they are in the log: the rest is a hole. *end: behind the last byte that
 * was written. False if others keep changing it, or a commit must come first. */
static bool show_block(struct uma *uma, uint64_t block, unsigned from, unsigned to, uint64_t *end)
{
    struct index_slot *slot = index_find(&uma->index, block);
    for (unsigned tries = 0; slot && tries < SHOW_TRIES; tries++) {
        uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
        uint64_t lines = atomic_load_explicit(&slot->newest, memory_order_acquire);
        uint32_t number = index_state_entry(state);
        if (index_state_locked(state))
            continue;
        const char *log = lines && log_has_block(&uma->log, number) ? log_block(&uma->log, number) : NULL;
        if (!log)
            return !lines;
        bool may = may_be_shown(uma, block * UMA_BLOCK + from, number);
        atomic_thread_fence(memory_order_acquire); /* the state again behind the entry: views_hold of uma_read.c */
        if (atomic_load_explicit(&slot->state, memory_order_acquire) != state)
            continue;
        if (!may)
            return false;
        unsigned first, last;
        while (uma_take_run(&lines, &first, &last)) {
            unsigned a = first * UMA_LINE, b = (last + 1) * UMA_LINE;
            a = a < from ? from : a;
            b = b > to ? to : b;
            if (a >= b)
                continue;
            /* the kernel reads the log: a poisoned page is an error here, not a signal */
            if (sys_pwrite(uma->data_fd, log + a, b - a, (off_t)(block * UMA_BLOCK + a)) != (ssize_t)(b - a))
                return false;
            *end = uma_max(*end, block * UMA_BLOCK + b);
        }
        atomic_thread_fence(memory_order_acquire); /* as in views_hold of uma_read.c */
        if (atomic_load_explicit(&slot->state, memory_order_acquire) == state)
            return true;
    }
    return !slot;
}

/* Resize and kernel lock held. */
static void show_range(struct uma *uma, uint64_t from, uint64_t to)
{
    uint64_t end = from;
    for (uint64_t at = from; at < to;) {
        uint64_t block = uma_block_of(at), next = uma_min(to, (block + 1) * UMA_BLOCK);
        if (!show_block(uma, block, (unsigned)(at % UMA_BLOCK), (unsigned)(next - block * UMA_BLOCK), &end))
            break;
        at = next;
    }
    /* release: whose reach it is sees the file that long */
    atomic_store_explicit(&uma_shared(uma)->kernel_size, end, memory_order_release);
}

void uma_show_appended(struct uma *uma, struct index_record *record, uint64_t most)
{
    struct index_shared *shared = uma_shared(uma);
    if (!uma->data_writable || atomic_load_explicit(&shared->atomic, memory_order_acquire) || uma_is_frozen(uma) ||
        uma_size(uma) <= atomic_load_explicit(&shared->kernel_size, memory_order_acquire))
        return;
    uma_lock(uma, record, INDEX_LOCK_RESIZE);
    uma_lock(uma, record, INDEX_LOCK_KERNEL);
    uint64_t size = uma_size(uma);
    uint64_t from = atomic_load_explicit(&shared->kernel_size, memory_order_relaxed);
    if (atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_LOGGED && size > from &&
        size - from <= most && size <= UMA_MAPPED_MOST && size <= grow_limit()) {
        uma_times_keep(uma, record);
        show_range(uma, from, size);
        uma_times_restore(uma, record);
    }
    uma_unlock(uma, record, INDEX_LOCK_KERNEL);
    uma_unlock(uma, record, INDEX_LOCK_RESIZE);
}

void uma_announce(struct uma *uma)
{
    if (!atomic_load_explicit(&uma->announce, memory_order_relaxed) ||
        !atomic_exchange_explicit(&uma->announce, 0, memory_order_relaxed))
        return;
    /* An allocation of what is allocated: it changes nothing but the times, and raises the event of a write. */
    if (!uma->data_writable || !atomic_load_explicit(&uma_shared(uma)->dense_blocks, memory_order_acquire))
        return;
    struct index_record *record = uma_claim(uma);
    uma_times_keep(uma, record);
    sys_fallocate(uma->data_fd, FALLOC_FL_KEEP_SIZE, 0, 1);
    uma_times_restore(uma, record);
    uma_unclaim(uma, record);
}
