/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_mapped.c — which files are mapped, by which processes, and the mode that follows from it. Layer uma; called by
 * uma_map.c, which knows the addresses, by uma_attach.c and by the sync thread.
 *
 * Each process says in its first record of the index how many mappings of the file it has; what a dead one says does not
 * count. While anybody says so the mode is IN_PLACE: newest copies are in the file, the kernel's size is the size, a write
 * saves what it overwrites in the log first. So loads and stores through any mapping, of any program, and reads and writes
 * meet in the same bytes.
 *
 * A process says that it has a mapping before it asks for the mode; the mode goes back only with the gate closed and by a
 * look at all of them in there. So one of the two sees the other: either the look finds the mapping, or the mapping's maker
 * comes behind the look and sets the mode again.
 *
 * Back at once, as a rule. But a file that is mapped and unmapped over and over would change its mode each time; and behind
 * a fork the child's mappings are there before the child can say so. Then the sync thread looks again, a second later.
 */
#include "base/rawsys.h"
#include "base/stats.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <time.h>

#define REVIEW_MS 1000u    /* between two looks of the sync thread */
#define RETURNS_AT_ONCE 4u /* so many times the mode goes back at once, then the sync thread sees to it */
#define FORK_GRACE_S 2     /* a child has said by then what it inherited */

/* When this process last forked with mappings, of the monotonic clock. Relaxed: a time by itself. */
static _Atomic int64_t forked_at;

static int64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* no system call */
    return now.tv_sec + 1;                       /* 0 is never */
}

void uma_mapped_forked(void)
{
    atomic_store_explicit(&forked_at, now_s(), memory_order_relaxed);
}

static struct index_record *own_record(const struct uma *uma)
{
    return index_records(&uma->index, uma->participant);
}

/* Tells the other processes. seq_cst, again until it is right: two threads may be at it. */
static void publish(struct uma *uma)
{
    uint32_t maps;
    do {
        maps = atomic_load_explicit(&uma->maps, memory_order_seq_cst);
        atomic_store_explicit(&own_record(uma)->maps, maps, memory_order_seq_cst);
    } while (atomic_load_explicit(&uma->maps, memory_order_seq_cst) != maps);
}

bool uma_is_mapped(struct uma *uma)
{
    uint32_t participants = atomic_load_explicit(&uma_shared(uma)->participants, memory_order_acquire);
    for (unsigned p = 0; p < participants && p < INDEX_PARTICIPANTS; p++) {
        uint64_t process = atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire);
        /* seq_cst: pairs with publish, see above */
        if (process && atomic_load_explicit(&index_records(&uma->index, p)->maps, memory_order_seq_cst) &&
            (p == uma->participant || !volume_is_dead(uma->volume, process)))
            return true;
    }
    return false;
}

static int set_mode(struct uma *uma, enum index_mode mode)
{
    struct index_record *record = uma_claim(uma);
    int error = uma_set_mode(uma, record, mode);
    uma_unclaim(uma, record);
    return error;
}

/* Stores may come that nobody sees: from now on a sync asks the kernel for one. Behind the mode: who sets that back clears the
 * mark, but not any more once we are seen. Nobody has stored yet. */
static void note_stores(struct uma *uma)
{
    _Atomic uint32_t *stored = &uma_shared(uma)->stored;
    if (atomic_load_explicit(&uma->stored_maps, memory_order_acquire) &&
        !atomic_load_explicit(stored, memory_order_relaxed))
        atomic_store_explicit(stored, 1, memory_order_release);
}

/* Sets the mode that this process's mappings ask for. */
static int follow(struct uma *uma)
{
    if (atomic_load_explicit(&uma->kernel_maps, memory_order_acquire))
        return set_mode(uma, INDEX_MODE_PASSTHROUGH);
    int error = set_mode(uma, INDEX_MODE_IN_PLACE);
    if (!error) {
        note_stores(uma);
        uma_deliver_times(uma); /* programs without the library are about to look, maybe */
    }
    return error;
}

/* Counts the mapping in or out; what was there before. */
static uint32_t count(struct uma *uma, unsigned kind, uint32_t change)
{
    if (kind & UMA_MAP_STORES)
        atomic_fetch_add_explicit(&uma->stored_maps, change, memory_order_acq_rel);
    if (kind & UMA_MAP_KERNELS)
        atomic_fetch_add_explicit(&uma->kernel_maps, change, memory_order_acq_rel);
    if (kind & UMA_MAP_ATOMIC)
        atomic_fetch_add_explicit(&uma->atomic_maps, change, memory_order_acq_rel);
    return atomic_fetch_add_explicit(&uma->maps, change, memory_order_seq_cst);
}

int uma_mapped_more(struct uma *uma, unsigned kind)
{
    uint32_t before = count(uma, kind, 1);
    if (!uma_is_attached(uma)) /* who attaches it will see us: uma_mapped_look_again */
        return 0;
    publish(uma);
    uma_attend(uma);
    /* while we are known to have one, nobody sets the mode back */
    uint32_t mode = atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire);
    if (before && mode == INDEX_MODE_PASSTHROUGH)
        return 0;
    if (before && mode == INDEX_MODE_IN_PLACE && !(kind & UMA_MAP_KERNELS)) {
        note_stores(uma);
        return 0;
    }
    int error = follow(uma);
    if (error) {
        count(uma, kind, UINT32_MAX);
        publish(uma);
    }
    return error;
}

void uma_mapped_less(struct uma *uma, unsigned kind)
{
    count(uma, kind, UINT32_MAX);
    if (!uma_is_attached(uma))
        return;
    publish(uma);
    if (atomic_load_explicit(&uma->maps, memory_order_relaxed) ||
        atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) != INDEX_MODE_IN_PLACE)
        return;
    uint32_t returns = atomic_load_explicit(&uma->returns, memory_order_relaxed);
    if (returns < RETURNS_AT_ONCE && now_s() - atomic_load_explicit(&forked_at, memory_order_relaxed) > FORK_GRACE_S) {
        atomic_store_explicit(&uma->returns, returns + 1, memory_order_relaxed);
        set_mode(uma, INDEX_MODE_LOGGED); /* uma_set_mode leaves it where others have it mapped */
        return;
    }
    atomic_store_explicit(&uma->review, 1, memory_order_relaxed);
    uma_sync_wake(uma);
}

int uma_mapped_attached(struct uma *uma)
{
    publish(uma);
    int error = atomic_load_explicit(&uma->atomic_maps, memory_order_relaxed) ? uma_protect_begin(uma) : 0;
    return !error && atomic_load_explicit(&uma->maps, memory_order_relaxed) ? follow(uma) : error;
}

void uma_mapped_look_again(struct uma *uma)
{
    if (atomic_load_explicit(&own_record(uma)->maps, memory_order_seq_cst) !=
        atomic_load_explicit(&uma->maps, memory_order_seq_cst))
        (void)uma_mapped_attached(uma); /* failing, the file is FAILED or has no room: its next write will tell */
}

bool uma_mapped_review(struct uma *uma, uint32_t ms)
{
    bool wanted = atomic_load_explicit(&uma->review, memory_order_relaxed);
    uma->mapped_ms += ms;
    if (uma->mapped_ms < REVIEW_MS)
        return wanted;
    uma->mapped_ms = 0;
    if (wanted && now_s() - atomic_load_explicit(&forked_at, memory_order_relaxed) <= FORK_GRACE_S)
        return true;
    atomic_store_explicit(&uma->review, 0, memory_order_relaxed);
    atomic_store_explicit(&uma->returns, 0, memory_order_relaxed);
    if (!uma_is_mapped(uma))
        set_mode(uma, INDEX_MODE_LOGGED);
    return false;
}

bool uma_wants_kernel(struct uma *uma)
{
    return uma_is_attached(uma) && uma_size(uma) > UMA_MAPPED_MOST;
}

bool uma_is_atomic(struct uma *uma)
{
    return atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC ||
           (uma_is_attached(uma) && atomic_load_explicit(&uma_shared(uma)->atomic, memory_order_acquire));
}
