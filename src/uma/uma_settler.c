/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_settler.c — a commit reaches the mappings of other processes (uma_protect.c). Layer uma; called by it.
 *
 * A process with failure-atomic mappings of a file has a thread for it that sleeps on the file's bell. A committer whose
 * epoch is not to get more stores rings it; the thread protects its process's pages, writes them back, and says which epoch
 * it has settled. The committer waits for all that are alive and have exposed pages since they settled last: one that is
 * stopped (SIGSTOP) holds it up. Its pages may be stored to the moment it goes on, and nobody else can take that right from it.
 * To commit all the same their content would have to be in the log a second time, for the next epoch, before that moment:
 * before this commit is durable, as nobody knows when it goes on. But an entry that has that content as its base would show
 * it, too, if the power is cut before (rule 11), and not what was committed last.
 */
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/thread.h"
#include "uma/uma_private.h"

#include <limits.h>
#include <linux/futex.h>

#define STACK_BYTES (128u * 1024)
#define NOTICE_LOOKS 500u /* of 2 ms and more: a second or some */

enum settler_state { SETTLER_NONE, SETTLER_RUNNING, SETTLER_STOPPING, SETTLER_STOPPED };

static struct index_record *first_record(const struct uma *uma, unsigned participant)
{
    return index_records(&uma->index, participant);
}

static void *settler_main(void *arg)
{
    struct uma *uma = arg;
    struct index_shared *shared = uma_shared(uma);
    struct index_record *first = first_record(uma, uma->participant);
    uma_work_on(uma);
    for (;;) {
        uint32_t bell = atomic_load_explicit(&shared->settle_bell, memory_order_acquire);
        if (atomic_load_explicit(&uma->protect.settler, memory_order_acquire) == SETTLER_STOPPING)
            break;
        /* acquire: whoever exposed a page in that epoch has left its guard, and the page is in our list */
        uint64_t epoch = atomic_load_explicit(&shared->settle_epoch, memory_order_acquire);
        /* relaxed: stored to by this thread, and by the process's committers for what they have settled themselves */
        if (atomic_load_explicit(&first->settled, memory_order_relaxed) < epoch) {
            uma_protect_settle_own(uma);
            /* release: behind the fence; who sees it may commit */
            atomic_store_explicit(&first->settled, epoch, memory_order_release);
        }
        /* An epoch that came since is stored before the bell: either it was seen above, or this does not wait. */
        sys_futex((uint32_t *)&shared->settle_bell, FUTEX_WAIT, bell, NULL);
    }
    uma_work_on(NULL);
    atomic_store_explicit(&uma->protect.settler, SETTLER_STOPPED, memory_order_release);
    sys_futex((uint32_t *)&uma->protect.settler, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    return NULL;
}

static void ring(struct index_shared *shared)
{
    atomic_fetch_add_explicit(&shared->settle_bell, 1, memory_order_seq_cst);
    sys_futex((uint32_t *)&shared->settle_bell, FUTEX_WAKE, INT_MAX, NULL);
}

int uma_settler_start(struct uma *uma)
{
    if (atomic_load_explicit(&uma->protect.settler, memory_order_acquire) != SETTLER_NONE)
        return 0;
    /* Nothing of ours is in an epoch whose guard is drained already. Before `protects` is set: who sees that finds this, not
     * what the place's last owner left. */
    atomic_store_explicit(&first_record(uma, uma->participant)->settled,
                          atomic_load_explicit(&uma_shared(uma)->settle_epoch, memory_order_acquire),
                          memory_order_release);
    atomic_store_explicit(&uma->protect.settler, SETTLER_RUNNING, memory_order_release);
    int error = thread_start(settler_main, uma, STACK_BYTES);
    if (error)
        atomic_store_explicit(&uma->protect.settler, SETTLER_NONE, memory_order_release);
    return error;
}

void uma_settler_stop(struct uma *uma)
{
    uint32_t state = SETTLER_RUNNING;
    if (!atomic_compare_exchange_strong_explicit(&uma->protect.settler, &state, SETTLER_STOPPING, memory_order_acq_rel,
                                                 memory_order_acquire))
        return;
    ring(uma_shared(uma));
    while ((state = atomic_load_explicit(&uma->protect.settler, memory_order_acquire)) != SETTLER_STOPPED)
        sys_futex((uint32_t *)&uma->protect.settler, FUTEX_WAIT_PRIVATE, state, NULL);
}

void uma_settler_ring(struct uma *uma, struct index_record *record, uint64_t epoch)
{
    struct index_shared *shared = uma_shared(uma);
    uint32_t participants = atomic_load_explicit(&shared->participants, memory_order_acquire);
    bool rung = false; /* once: who begins later looks at settle_epoch first */
    /* release: the guard of the epoch is drained. Under the commit lock */
    atomic_store_explicit(&shared->settle_epoch, epoch, memory_order_release);
    /* The caller has settled what is ours: our thread, should it begin or wake later, would protect what is exposed since. */
    atomic_store_explicit(&first_record(uma, uma->participant)->settled, epoch, memory_order_release);
    for (unsigned p = 0; p < participants && p < INDEX_PARTICIPANTS; p++) {
        struct index_record *first = first_record(uma, p);
        struct uma_wait wait = {0};
        unsigned looks = 0;
        /* while it lives; uma_wait_step looks after the dead, whose place is then free */
        while (p != uma->participant && atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire) &&
               atomic_load_explicit(&first->protects, memory_order_seq_cst) &&
               /* acquire: what it had exposed is written back */
               atomic_load_explicit(&first->exposed, memory_order_acquire) &&
               atomic_load_explicit(&first->settled, memory_order_acquire) < epoch) {
            if (!rung)
                ring(shared);
            rung = !uma_wait_step(uma, record, &wait); /* again now and then: the bell may be damaged as any word */
            if (rung)
                continue;
            if (atomic_load_explicit(&first->protects, memory_order_seq_cst) != INDEX_PROTECTS ||
                atomic_load_explicit(&shared->settle_epoch, memory_order_acquire) != epoch) {
                uma_damaged(uma, "mappings"); /* it may have none, and nobody who hears us */
                return;
            }
            if (++looks == NOTICE_LOOKS)
                msg(MSG_WARNING,
                    "inode %llu: a sync waits for a process that has it mapped and does not answer: stopped?",
                    (unsigned long long)uma->ino);
        }
    }
}
