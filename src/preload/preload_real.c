/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_real.c — libc's own functions behind this library, looked up when first needed. Layer preload.
 *
 * Never used by the calls that an allocator may make inside its locks (open, read, write, close, mmap, munmap): dlsym may
 * allocate.
 */
#include "preload/preload.h"

#include <dlfcn.h>

struct preload_reals {
    void *_Atomic found[PRELOAD_REAL_COUNT]; /* NULL: not looked up yet */
};
static struct preload_reals reals;

static const char *const real_names[PRELOAD_REAL_COUNT] = {
#define REAL_NAME(name) [PRELOAD_REAL_##name] = #name,
    PRELOAD_REALS(REAL_NAME)
#undef REAL_NAME
};

void *preload_real(enum preload_real which)
{
    /* relaxed: all threads find the same address, and it leads to code that was there before */
    void *found = atomic_load_explicit(&reals.found[which], memory_order_relaxed);
    if (found)
        return found;
    found = dlsym(RTLD_NEXT, real_names[which]);
    if (!found)
        errno = ENOSYS;
    atomic_store_explicit(&reals.found[which], found, memory_order_relaxed);
    return found;
}
