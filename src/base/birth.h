/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * birth.h — has this process been made by something that runs no fork handlers? Layer base; called by file.
 *
 * A page that the kernel wipes in every process that gets a copy of the memory (MADV_WIPEONFORK). Whoever sets a process
 * up fills it; a process that finds it empty is new and has not been set up. To look costs two loads.
 */
#ifndef BASE_BIRTH_H
#define BASE_BIRTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern _Atomic uint8_t *_Atomic birth_page; /* NULL until birth_note has made it */

/* This process is set up. Makes the page at first; without memory for it every process counts as known. */
void birth_note(void);

/* Whether birth_note was called in this process, or in none. */
static inline bool birth_is_known(void)
{
    /* acquire: pairs with the release of birth_note; the page's byte then is what this process stored, or wiped */
    _Atomic uint8_t *page = atomic_load_explicit(&birth_page, memory_order_acquire);
    return !page || atomic_load_explicit(page, memory_order_relaxed);
}

#endif
