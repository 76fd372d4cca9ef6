/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_op.c — operations under way: records, waiting for others, slot locks, the epoch guard. Layer uma.
 *
 * Every operation that takes a lock in shared memory or enters the guard claims one of its process's records first. The
 * record says who owns what, so that others can go on when the process dies.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "uma/uma_block.h"

#include <errno.h>

#define WAIT_SPINS 200u  /* pauses before the first yield */
#define WAIT_YIELDS 240u /* rounds that only yield */
#define WAIT_SLEEP_NS 50000
#define WAIT_REPAIR_ROUNDS 40u /* sleeps between two looks for the dead: about 2 ms */

static _Atomic unsigned thread_count;
static _Thread_local unsigned thread_number; /* + 1; 0: not numbered yet */

static unsigned thread_hint(void)
{
    if (!thread_number)
        thread_number = atomic_fetch_add_explicit(&thread_count, 1, memory_order_relaxed) + 1;
    return thread_number - 1;
}

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void sleep_ns(long ns)
{
    struct timespec pause = {.tv_sec = 0, .tv_nsec = ns};
    rawsys(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
}

struct index_record *uma_claim(struct uma *uma)
{
    struct index_record *records = index_records(&uma->index, uma->participant);
    unsigned hint = thread_hint();
    for (unsigned rounds = 0;; rounds++) {
        for (unsigned i = 0; i < INDEX_RECORDS; i++) {
            unsigned n = (hint + i) % INDEX_RECORDS;
            struct uma_claim *claim = &uma->claim[n];
            uint32_t expected = 0;
            /* acquire: pairs with the release of the thread that used it before */
            if (atomic_load_explicit(&claim->taken, memory_order_relaxed) == 0 &&
                atomic_compare_exchange_strong_explicit(&claim->taken, &expected, 1, memory_order_acq_rel,
                                                        memory_order_relaxed)) {
                uint32_t claimed = atomic_load_explicit(&records[n].claimed, memory_order_relaxed);
                /* relaxed: locks, guard and ranges are told behind it, by releases */
                atomic_store_explicit(&records[n].claimed, (claimed + 1) | 1, memory_order_relaxed);
                uma_work_on(uma);
                return &records[n];
            }
        }
        if (rounds < WAIT_SPINS)
            sys_sched_yield();
        else
            sleep_ns(WAIT_SLEEP_NS);
    }
}

void uma_unclaim(struct uma *uma, struct index_record *record)
{
    /* blocks that were reserved and not needed */
    uint32_t count = atomic_load_explicit(&record->alloc_count, memory_order_relaxed);
    uint32_t claimed = atomic_load_explicit(&record->claimed, memory_order_relaxed);
    uma_work_on(NULL);
    if (count)
        atomic_store_explicit(&record->alloc_count, 0, memory_order_relaxed);
    if (atomic_load_explicit(&record->blocks, memory_order_relaxed))
        atomic_store_explicit(&record->blocks, 0, memory_order_relaxed);
    atomic_store_explicit(&record->claimed, (claimed | 1) + 1, memory_order_release);
    atomic_store_explicit(&uma->claim[record - index_records(&uma->index, uma->participant)].taken, 0,
                          memory_order_release);
}

struct uma_scratch *uma_scratch(struct uma *uma, const struct index_record *record)
{
    struct uma_scratch **scratch = &uma->scratch[record - index_records(&uma->index, uma->participant)];
    if (!*scratch)
        *scratch = mem_alloc(sizeof **scratch);
    return *scratch;
}

void uma_scratch_free(struct uma *uma)
{
    for (unsigned i = 0; i < INDEX_RECORDS; i++) {
        mem_free(uma->scratch[i], sizeof *uma->scratch[i]);
        uma->scratch[i] = NULL;
    }
}

bool uma_is_shared(const struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    uint32_t participants = atomic_load_explicit(&shared->participants, memory_order_acquire);
    for (unsigned p = 0; p < participants && p < INDEX_PARTICIPANTS; p++)
        if (p != uma->participant && atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire))
            return true;
    return false;
}

bool uma_wait_step(struct uma *uma, struct index_record *record, struct uma_wait *wait)
{
    unsigned round = wait->rounds++;
    if (round < WAIT_SPINS) {
        cpu_pause();
        return false;
    }
    if (round < WAIT_YIELDS) {
        sys_sched_yield();
        return false;
    }
    sleep_ns(WAIT_SLEEP_NS);
    if (round % WAIT_REPAIR_ROUNDS)
        return false;
    uma_repair(uma, record);
    return true;
}

void uma_lock(struct uma *uma, struct index_record *record, enum index_lock which)
{
    while (index_lock_acquire(&uma->index, record, which) == -ETIMEDOUT)
        uma_look_after(uma, record, which);
}

void uma_unlock(struct uma *uma, struct index_record *record, enum index_lock which)
{
    index_lock_release(&uma->index, record, which);
}

void uma_look_after(struct uma *uma, struct index_record *record, enum index_lock which)
{
    uma_repair(uma, record); /* releases what dead processes held */
    uma_heal_lock(uma, record, which);
    uma_heal_outside(uma, record);
}

uint64_t uma_lock_slot(struct uma *uma, struct index_record *record, struct index_slot *slot, uint64_t block)
{
    struct uma_wait wait = {0};
    uint64_t old;
    while (!index_slot_try_lock(slot, uma_id(uma, record), &old)) {
        if (!uma_wait_step(uma, record, &wait))
            continue;
        uma_heal_slot(uma, record, slot, block);
        uma_heal_outside(uma, record);
    }
    return old;
}

int uma_guard_enter(struct uma *uma, struct index_record *record, uint64_t *epoch)
{
    struct index_shared *shared = uma_shared(uma);
    for (;;) {
        uint64_t now = atomic_load_explicit(&shared->epoch, memory_order_acquire);
        /* seq_cst (a locked exchange): the epoch is in the record before gate and epoch are read again; pairs with the
         * exchanges in uma_commit_locked and uma_gate_close, which are followed by reading the records */
        atomic_exchange_explicit(&record->epoch, now, memory_order_seq_cst);
        if (shlock_owner(&shared->gate)) {
            uma_guard_leave(record);
            return -EAGAIN;
        }
        if (atomic_load_explicit(&shared->epoch, memory_order_seq_cst) == now) {
            *epoch = now;
            return 0;
        }
        uma_guard_leave(record);
    }
}

void uma_gate_wait(struct uma *uma, struct index_record *record)
{
    struct uma_wait wait = {0};
    while (shlock_owner(&uma_shared(uma)->gate)) {
        if (!uma_wait_step(uma, record, &wait))
            continue;
        uma_heal_lock(uma, record, INDEX_LOCK_GATE);
        uma_heal_outside(uma, record);
    }
}

void uma_guard_drain(struct uma *uma, struct index_record *record, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    uint32_t participants = atomic_load_explicit(&shared->participants, memory_order_acquire);
    for (unsigned p = 0; p < participants && p < INDEX_PARTICIPANTS; p++) {
        if (!atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire))
            continue;
        struct index_record *records = index_records(&uma->index, p);
        for (unsigned i = 0; i < INDEX_RECORDS; i++) {
            struct uma_wait wait = {0};
            for (;;) {
                uint64_t inside = atomic_load_explicit(&records[i].epoch, memory_order_seq_cst);
                if (!inside || inside > epoch || &records[i] == record)
                    break;
                if (uma_wait_step(uma, record, &wait))
                    uma_heal_guard(uma, &records[i]);
            }
        }
    }
}

void uma_mark_changed(struct uma *uma, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t dirty = atomic_load_explicit(&shared->dirty_epoch, memory_order_relaxed);
    /* release: a committer that misses it is one that this epoch's guard still waits for */
    while (dirty < epoch && !atomic_compare_exchange_weak_explicit(&shared->dirty_epoch, &dirty, epoch,
                                                                   memory_order_release, memory_order_relaxed))
        ;
    if (atomic_load_explicit(&shared->times_pending, memory_order_relaxed) != INDEX_TIMES_PENDING)
        uma_times_mark(uma);
    if (!atomic_load_explicit(&uma->active, memory_order_relaxed))
        uma_sync_wake(uma);
}
