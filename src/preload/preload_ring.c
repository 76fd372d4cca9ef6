/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_ring.c — io_uring. Layer preload.
 *
 * What a ring is asked to do is told through memory, where nobody can see it: there are no rings, and programs take
 * another way. That must be so before the core is there, since a ring made early would serve files that are opened
 * later. With `aio:allow` there are rings, and from the first one on every file of the process is the kernel's while it is
 * open. liburing makes its system calls itself, not by syscall(), and returns negative errors.
 */
#include "preload/preload.h"

#include <stdlib.h>
#include <string.h>

/* 0 where a ring may be made: no file can ever be managed, as the core cannot be loaded, or the core has taken care. */
static int ring_begin(void)
{
    const char *conf = secure_getenv("NVMMIO_CONF");
    if (!preload_hopeful())
        return 0;
    /* The core knows whether that is a key: it is not loaded for those who never think of rings. */
    if (!conf || !strstr(conf, "aio:"))
        return -ENOSYS;
    const struct nvmmio_core *core = preload_core_load();
    if (core)
        return core->ring_begin();
    return preload_hopeful() ? -ENOSYS : 0;
}

static void *ring_real(enum preload_real which, int *error)
{
    *error = ring_begin();
    void *real = *error ? NULL : preload_real(which);
    *error = *error || real ? *error : -ENOSYS;
    return real;
}

int preload_io_uring_setup(unsigned entries, void *parameters)
{
    int error = ring_begin();
    return error ? error : (int)rawsys(SYS_io_uring_setup, entries, (long)parameters, 0, 0, 0, 0);
}

int preload_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
    int error;
    int (*real)(unsigned, void *, unsigned) = ring_real(PRELOAD_REAL_io_uring_queue_init, &error);
    return real ? real(entries, ring, flags) : error;
}

int preload_io_uring_queue_init_params(unsigned entries, void *ring, void *parameters)
{
    int error;
    int (*real)(unsigned, void *, void *) = ring_real(PRELOAD_REAL_io_uring_queue_init_params, &error);
    return real ? real(entries, ring, parameters) : error;
}

int preload_io_uring_queue_init_mem(unsigned entries, void *ring, void *parameters, void *memory, size_t size)
{
    int error;
    int (*real)(unsigned, void *, void *, void *, size_t) = ring_real(PRELOAD_REAL_io_uring_queue_init_mem, &error);
    return real ? real(entries, ring, parameters, memory, size) : error;
}

#define PRELOAD_EXPORT_ring PRELOAD_ALIAS
#include "preload/preload_export.h"
