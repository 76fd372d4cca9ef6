/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_limit.c — RLIMIT_FSIZE for writes in user space. Layer file.
 */
#include "file/file_private.h"

#include "base/grow.h"
#include "base/rawsys.h"

#include <errno.h>
#include <signal.h>

uint64_t file_limit_refresh(void)
{
    uint64_t limit = grow_limit();
    atomic_store_explicit(&file_state.limit, limit, memory_order_relaxed);
    return limit;
}

static void reach(struct uma *uma, void *arg)
{
    (void)arg;
    uma_reach(uma);
}

void file_limit_changed(void)
{
    uma_each(reach, NULL);
    file_limit_refresh();
    atomic_store_explicit(&file_state.limit_told, true, memory_order_relaxed);
}

void file_limit_signal(void)
{
    sys_tgkill(sys_getpid(), sys_gettid(), SIGXFSZ);
}

int file_limit_cut(uint64_t pos, uint64_t *length)
{
    uint64_t limit = file_limit_refresh();
    if (pos >= limit)
        return -EFBIG;
    if (*length > limit - pos)
        *length = limit - pos;
    return 0;
}

bool file_limit_allows(uint64_t now, uint64_t size)
{
    return size <= now || size <= file_limit_refresh();
}
