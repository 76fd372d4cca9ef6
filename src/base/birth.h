/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * birth.h — has this process been made by something that runs no fork handlers (_Fork, clone)? Layer base; called by file
 * and api.
 *
 * A page that the kernel wipes in every process that gets a copy of the memory (MADV_WIPEONFORK). Whoever sets a process
 * up fills it; a process that finds it empty is new and is set up at its first call. To look costs two loads.
 */
#ifndef BASE_BIRTH_H
#define BASE_BIRTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern _Atomic uint8_t *_Atomic birth_page; /* NULL until birth_note has made it */

/* What sets such a process up: with all signals blocked; `mask` is the thread's mask afterwards, unless it is changed. At
 * load, before other threads exist. */
void birth_handler(void (*set_up)(uint64_t *mask));

/* This process is set up. Makes the page at first; without memory for it every process counts as known. */
void birth_note(void);

/* Sets this process up. If several threads come at once, one does it and the others wait. */
void birth_meet(void);

/* Before a call uses what a process must have of its own. */
static inline void birth_check(void)
{
    /* acquire: pairs with birth_make and birth_meet */
    _Atomic uint8_t *page = atomic_load_explicit(&birth_page, memory_order_acquire);
    if (__builtin_expect(page && atomic_load_explicit(page, memory_order_acquire) != 1, 0))
        birth_meet();
}

#endif
