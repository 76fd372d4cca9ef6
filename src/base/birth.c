/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * birth.c — the page of birth.h. Layer base.
 */
#include "base/birth.h"

#include "base/rawsys.h"
#include "base/region.h"

#include <signal.h>
#include <sys/mman.h>

#define BIRTH_PAGE 4096u

enum birth_state { BIRTH_NEW, BIRTH_KNOWN, BIRTH_MEETING }; /* NEW: wiped by the kernel */

_Atomic uint8_t *_Atomic birth_page;
static void (*birth_set_up)(uint64_t *mask);
static __thread bool birth_busy; /* this thread sets the process up; what it calls for that checks, too */

void birth_handler(void (*set_up)(uint64_t *mask))
{
    birth_set_up = set_up;
}

static void birth_make(void)
{
    _Atomic uint8_t *page = region_map(BIRTH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error((void *)page))
        return;
    _Atomic uint8_t *none = NULL;
    atomic_store_explicit(page, BIRTH_KNOWN, memory_order_relaxed);
    /* release: the page is filled; whoever comes second takes the first one's */
    if (sys_madvise((void *)page, BIRTH_PAGE, MADV_WIPEONFORK) != 0 ||
        !atomic_compare_exchange_strong_explicit(&birth_page, &none, page, memory_order_release, memory_order_relaxed))
        sys_munmap((void *)page, BIRTH_PAGE);
}

void birth_note(void)
{
    _Atomic uint8_t *page = atomic_load_explicit(&birth_page, memory_order_acquire);
    if (page) /* release: all that sets the process up comes before; pairs with birth_check */
        atomic_store_explicit(page, BIRTH_KNOWN, memory_order_release);
    else
        birth_make();
}

void birth_meet(void)
{
    _Atomic uint8_t *page = atomic_load_explicit(&birth_page, memory_order_acquire);
    if (birth_busy)
        return;
    uint64_t mask = sys_block_signals(); /* a handler of this thread would wait for it */
    uint8_t state = BIRTH_NEW;
    /* acquire on failure: what the other thread has set up is seen */
    while (!atomic_compare_exchange_strong_explicit(page, &state, BIRTH_MEETING, memory_order_acquire,
                                                    memory_order_acquire) &&
           state == BIRTH_MEETING) {
        sys_sched_yield();
        state = BIRTH_NEW;
    }
    if (state == BIRTH_NEW) {
        birth_busy = true;
        if (birth_set_up)
            birth_set_up(&mask);
        birth_busy = false;
        birth_note();
    }
    sys_unblock_signals(mask);
}
