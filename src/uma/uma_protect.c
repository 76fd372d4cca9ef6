/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_protect.c — mappings whose plain stores are failure-atomic: after a crash the file is as at its last completed sync.
 * Layer uma; called by uma_map.c and uma_commit.c, by the handler of SIGSEGV, and by layer file for buffers.
 *
 * Such a mapping is PROT_READ in truth. The first store to a page since the last commit faults; the handler saves the page in
 * the log as an UNDO write of the whole block would (rule 4), makes the page writable (*exposes* it) and lets the store go on.
 * A commit protects all exposed pages again and writes them back. So the cost of both is that of the pages stored to.
 *
 * Order, and what each step is for
 *   fault     slot locked, guard of epoch e entered; old lines in the log, fence; { base, flip = all lines } in the entry,
 *             fence; page writable; noted in `list`; guard left
 *   commit e  epoch = e + 1; guard of e drained: every page of e is in a list, with its old content durable; the pages
 *             protected, in every process; what was stored in them flushed; fence; then the header line commits
 * A store before the commit's mprotect belongs to e, and is flushed behind it: mprotect returns when no CPU has the old
 * permission any more. A store after it faults, enters the guard of e + 1, and waits until e is durable, as all writers of the
 * file do (piece_check). So nothing is lost, nothing that is not committed can reach the file without its old content in the
 * log, and what is committed is a cut: no store is in it without all that its thread, and those it has heard of, did before.
 *
 * Several processes: each protects its own pages. The committer rings (settle_bell) and waits until every living process that
 * has exposed some since it settled last (`exposed` in its first record) says that it has settled that epoch (uma_settler.c).
 * Who has exposed none need not hear of it, and may be stopped: the guard of the epoch is drained, and who would expose a page
 * in the next one waits until the commit is done. What a dead one had exposed is found by the entries of the epoch (strays).
 */
#include "base/inside.h"
#include "base/mem.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "pm/pm.h"
#include "uma/uma_block.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LIST_LEAST 64u /* first room of the list */
#define LIST_MOST                                                                                                      \
    8192u /* pages that are exposed at once: each may be a mapping of its own, and the kernel's count of them has an end */
#define RUN_MOST 16u /* pages that are exposed ahead of stores in sequence */

/* ---- the list of pages; under protect.lock ---- */

static int list_reserve(struct uma_protect *protect, uint32_t more)
{
    if (protect->count + more <= protect->room)
        return 0;
    uint32_t room = protect->room ? protect->room * 2 : LIST_LEAST;
    struct uma_exposed *list = mem_alloc(room * sizeof *list);
    if (!list)
        return -ENOMEM;
    if (protect->count)
        memcpy(list, protect->list, protect->count * sizeof *list);
    if (protect->list)
        mem_free(protect->list, protect->room * sizeof *list);
    protect->list = list;
    protect->room = room;
    return 0;
}

/* By address, so that pages next to each other are protected in one call, which then never splits a mapping of the kernel's:
 * there is a limit to their number. Shellsort: it needs no memory, and stores in sequence leave the list sorted. */
static void list_sort(struct uma_exposed *list, uint32_t count)
{
    for (uint32_t gap = count / 2; gap; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            struct uma_exposed one = list[i];
            uint32_t at = i;
            for (; at >= gap && list[at - gap].page > one.page; at -= gap)
                list[at] = list[at - gap];
            list[at] = one;
        }
    }
}

/* Takes the permission to store from all pages that have it; they stay in the list, to be written back. */
static void list_protect(struct uma_protect *protect)
{
    list_sort(protect->list, protect->count);
    for (uint32_t i = 0, next; i < protect->count; i = next) {
        uintptr_t page = protect->list[i].page, end = page;
        for (next = i; next < protect->count && protect->list[next].page == end && page; next++) {
            protect->list[next].page = 0;
            end += UMA_BLOCK;
        }
        if (page)
            sys_mprotect((void *)page, end - page, PROT_READ);
        else
            next = i + 1;
    }
    protect->exposed = 0;
}

/* ---- exposing ---- */

static struct index_record *own_record(const struct uma *uma)
{
    return index_records(&uma->index, uma->participant);
}

/* Called by the writer of the saved blocks, behind their entries and inside the guard. */
int uma_protect_expose(struct uma *uma, uint64_t first, uint32_t blocks, uintptr_t page)
{
    struct uma_protect *protect = &uma->protect;
    _Atomic uint32_t *told = &own_record(uma)->exposed;
    shlock_acquire_private(&protect->lock);
    /* relaxed: under the lock, and before the guard is left, behind which the committer looks */
    if (!atomic_load_explicit(told, memory_order_relaxed))
        atomic_store_explicit(told, 1, memory_order_relaxed);
    if (protect->exposed + blocks > LIST_MOST)
        list_protect(protect);
    int error = list_reserve(protect, blocks);
    if (!error)
        error = sys_mprotect((void *)page, blocks * UMA_BLOCK, PROT_READ | PROT_WRITE);
    if (error == -ENOMEM && protect->exposed) { /* too many mappings: those of the others become one again */
        list_protect(protect);
        error = sys_mprotect((void *)page, blocks * UMA_BLOCK, PROT_READ | PROT_WRITE);
    }
    for (uint32_t i = 0; !error && i < blocks; i++)
        protect->list[protect->count++] = (struct uma_exposed){first + i, page + i * UMA_BLOCK};
    if (!error)
        protect->exposed += blocks;
    shlock_release(&protect->lock);
    return error;
}

/* How many pages from `block` on to expose for a store to it: stores in sequence double it. A guess: no lock. */
static uint32_t guess_run(struct uma_protect *protect, uint64_t block)
{
    uint32_t run = atomic_load_explicit(&protect->run, memory_order_relaxed);
    bool follows = run && atomic_load_explicit(&protect->next, memory_order_relaxed) == block;
    run = follows ? (uint32_t)uma_min(run * 2, RUN_MOST) : 1;
    atomic_store_explicit(&protect->run, run, memory_order_relaxed);
    atomic_store_explicit(&protect->next, block + run, memory_order_relaxed);
    return run;
}

/* The page at `page`, of a mapping that goes on for `length` bytes, may be stored to afterwards. */
static int expose(struct uma *uma, uintptr_t page, uint64_t offset, size_t length)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t block = uma_block_of(offset);
    uint64_t end = uma_round_up(uma_size(uma)) / UMA_BLOCK;
    int error = -EFAULT;
    if (block < end) {
        uint32_t run = (uint32_t)uma_min(guess_run(&uma->protect, block), uma_min(end - block, length / UMA_BLOCK));
        struct index_record *record = uma_claim(uma);
        error = uma_write_save(uma, record, block, run, page);
        uma_unclaim(uma, record);
    }
    /* Handed to the kernel, which committed it and alone knows its size: a mapping like any other from now on. */
    if ((error == -UMA_AGAIN || error == -EFAULT) &&
        atomic_load_explicit(&shared->mode, memory_order_acquire) == INDEX_MODE_PASSTHROUGH)
        error = sys_mprotect((void *)page, length, PROT_READ | PROT_WRITE);
    return error;
}

/* The uma of the mapping at `addr` if it is failure-atomic and may be stored to, else NULL. In a read section. */
static struct uma *protected_at(const void *addr, struct uma_place *place)
{
    const unsigned wanted = UMA_MAP_ATOMIC | UMA_MAP_WRITABLE;
    struct uma *uma = uma_at(addr, place);
    return uma && (place->kind & wanted) == wanted ? uma : NULL;
}

/* Exposes the page of `address` if it is in such a mapping. */
static enum pm_guard_verdict expose_at(uintptr_t address)
{
    struct uma_place place;
    uintptr_t page = address & ~(uintptr_t)(UMA_BLOCK - 1);
    int error;
    do {
        rcu_enter();
        struct uma *uma = protected_at((void *)page, &place);
        if (uma)
            uma_ref(uma); /* the mapping has one of its own, but may go when we have left the section */
        rcu_leave();
        if (!uma)
            return PM_GUARD_NOT_OURS;
        error = uma_is_attached(uma) ? 0 : uma_attach(uma, -1, UMA_TO_SERVE);
        if (!error)
            error = expose(uma, page, place.offset, place.length);
        uma_close(uma, -1);
    } while (error == -UMA_AGAIN);
    return error ? PM_GUARD_BUS : PM_GUARD_RESUME;
}

enum pm_guard_verdict uma_protect_fault(uintptr_t address)
{
    if (uma_working) /* by ourselves, with locks held */
        return PM_GUARD_NOT_OURS;
    inside_enter();
    enum pm_guard_verdict verdict = expose_at(address);
    inside_leave();
    return verdict;
}

bool uma_protect_touch(const void *addr, size_t length)
{
    uintptr_t start = (uintptr_t)addr, end = start + length;
    bool any = false;
    for (uintptr_t at = start; at < end; at = (at | (UMA_BLOCK - 1)) + 1) {
        struct uma_place place;
        rcu_enter();
        bool ours = protected_at((void *)at, &place);
        rcu_leave();
        if (ours)
            any = expose_at(at) == PM_GUARD_RESUME || any;
        else if (place.length > end - at)
            break;
        else
            at += place.length - 1;
    }
    return any;
}

/* ---- commit ---- */

void uma_protect_settle_own(struct uma *uma)
{
    struct uma_protect *protect = &uma->protect;
    shlock_acquire_private(&protect->lock);
    list_protect(protect);
    for (uint32_t i = 0; i < protect->count; i++)
        pm_flush(pm_map_peek(&uma->data, protect->list[i].block * UMA_BLOCK), UMA_BLOCK); /* saved from there */
    protect->count = 0;
    pm_fence();
    /* release: behind the fence; who sees it may commit */
    atomic_store_explicit(&own_record(uma)->exposed, 0, memory_order_release);
    shlock_release(&protect->lock);
}

/* What dead processes stored, and nobody flushed: in the blocks that are changed in that epoch. This process may never have
 * mapped them. Where it cannot, the fsync that a commit makes for the kernel's changes is for those pages, too. */
static void flush_strays(struct uma *uma, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t reach = uma_round_up(atomic_load_explicit(&shared->kernel_size, memory_order_acquire));
    uint64_t end = uma_min(reach, UMA_MAPPED_MOST) / UMA_BLOCK;
    uint64_t leaves = 0;
    for (uint64_t block = 0; (block = index_next(&uma->index, block)) < end; block++) {
        if (block % INDEX_LEAF_SLOTS == 0 && !uma_walk_on(uma, &leaves))
            break;
        struct index_slot *slot = index_find(&uma->index, block);
        uint32_t number = slot ? index_state_entry(atomic_load_explicit(&slot->state, memory_order_acquire)) : 0;
        const struct log_entry *entry =
            number && log_has_block(&uma->log, number) ? log_entry(&uma->log, number) : NULL;
        if (!entry || uma_entry_newest(entry).epoch != epoch)
            continue;
        const char *home = pm_map_at(&uma->data, block * UMA_BLOCK);
        if (home)
            pm_flush(home, UMA_BLOCK);
        else
            atomic_fetch_add_explicit(&shared->kernel_changes, 1, memory_order_release);
    }
    pm_fence();
}

void uma_protect_settle(struct uma *uma, struct index_record *record, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    uma_protect_settle_own(uma);
    uma_settler_ring(uma, record, epoch);
    /* acquire: what the repairer has seen of the dead; it set this before it let the dead one's place go */
    if (atomic_load_explicit(&shared->strays, memory_order_acquire)) {
        atomic_store_explicit(&shared->strays, 0, memory_order_relaxed); /* first: one more may die meanwhile */
        flush_strays(uma, epoch);
    }
}

/* ---- begin and end ---- */

int uma_protect_begin(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    int error = uma_settler_start(uma);
    if (error)
        return error;
    atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ATOMIC, memory_order_acq_rel);
    if (!atomic_load_explicit(&shared->atomic, memory_order_acquire)) /* else the log says so, too */
        uma_note_atomic(uma);
    /* seq_cst: before any page is exposed, which happens in the guard: a committer that has drained it sees both */
    atomic_store_explicit(&own_record(uma)->protects, INDEX_PROTECTS, memory_order_seq_cst);
    atomic_store_explicit(&shared->protected, 1, memory_order_seq_cst);
    return 0;
}

void uma_protect_end(struct uma *uma)
{
    struct uma_protect *protect = &uma->protect;
    uma_settler_stop(uma);
    uma_protect_settle_own(uma); /* others may go on, and commit what was stored here */
    if (protect->list)
        mem_free(protect->list, protect->room * sizeof *protect->list);
    *protect = (struct uma_protect){0};
}

void uma_protect_forget(struct uma *uma, uintptr_t start, uintptr_t end)
{
    struct uma_protect *protect = &uma->protect;
    shlock_acquire_private(&protect->lock);
    for (uint32_t i = 0; i < protect->count; i++) {
        struct uma_exposed *one = &protect->list[i];
        if (one->page < start || one->page >= end)
            continue;
        sys_mprotect((void *)one->page, UMA_BLOCK,
                     PROT_READ); /* one mapping of the kernel's again, as mremap wants it */
        one->page = 0;
        protect->exposed--;
    }
    shlock_release(&protect->lock);
}
