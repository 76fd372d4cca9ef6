/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * birth.c — the page of birth.h. Layer base.
 */
#include "base/birth.h"

#include "base/rawsys.h"

#include <sys/mman.h>

#define BIRTH_PAGE 4096u

_Atomic uint8_t *_Atomic birth_page;

static void birth_make(void)
{
    _Atomic uint8_t *page = sys_mmap(NULL, BIRTH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error((void *)page))
        return;
    _Atomic uint8_t *none = NULL;
    atomic_store_explicit(page, 1, memory_order_relaxed);
    /* release: the page is filled; whoever comes second takes the first one's */
    if (sys_madvise((void *)page, BIRTH_PAGE, MADV_WIPEONFORK) != 0 ||
        !atomic_compare_exchange_strong_explicit(&birth_page, &none, page, memory_order_release, memory_order_relaxed))
        sys_munmap((void *)page, BIRTH_PAGE);
}

void birth_note(void)
{
    _Atomic uint8_t *page = atomic_load_explicit(&birth_page, memory_order_acquire);
    if (page)
        atomic_store_explicit(page, 1, memory_order_relaxed); /* read by this process alone */
    else
        birth_make();
}
