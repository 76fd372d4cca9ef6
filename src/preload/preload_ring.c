/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_ring.c — io_uring. Layer preload.
 *
 * What a ring is asked to do is told through memory, where nobody can see it: there are no rings, and programs take
 * another way. That must be so before the core is there, since a ring made early would serve files that are opened
 * later. liburing makes its system calls itself, not by syscall(), and returns negative errors.
 */
#include "preload/preload.h"

/* Only where no file can ever be managed, as the core cannot be loaded. */
static bool ring_is_allowed(void)
{
    return !preload_hopeful();
}

int preload_io_uring_setup(unsigned entries, void *parameters)
{
    return ring_is_allowed() ? (int)rawsys(SYS_io_uring_setup, entries, (long)parameters, 0, 0, 0, 0) : -ENOSYS;
}

int preload_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
    int (*real)(unsigned, void *, unsigned) = ring_is_allowed() ? preload_real(PRELOAD_REAL_io_uring_queue_init) : NULL;
    return real ? real(entries, ring, flags) : -ENOSYS;
}

int preload_io_uring_queue_init_params(unsigned entries, void *ring, void *parameters)
{
    int (*real)(unsigned, void *, void *) =
        ring_is_allowed() ? preload_real(PRELOAD_REAL_io_uring_queue_init_params) : NULL;
    return real ? real(entries, ring, parameters) : -ENOSYS;
}

int preload_io_uring_queue_init_mem(unsigned entries, void *ring, void *parameters, void *memory, size_t size)
{
    int (*real)(unsigned, void *, void *, void *, size_t) =
        ring_is_allowed() ? preload_real(PRELOAD_REAL_io_uring_queue_init_mem) : NULL;
    return real ? real(entries, ring, parameters, memory, size) : -ENOSYS;
}

#define PRELOAD_EXPORT_ring PRELOAD_ALIAS
#include "preload/preload_export.h"
