/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * grow.c — growing a file without a signal. Layer base.
 */
#include "base/grow.h"

#include "base/rawsys.h"

#include <errno.h>
#include <sys/resource.h>

uint64_t grow_limit(void)
{
    struct rlimit limit;
    if (rawsys(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

int grow_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    if (offset + length > grow_limit())
        return -EFBIG;
    int result;
    do
        result = sys_fallocate(fd, mode, (off_t)offset, (off_t)length);
    while (result == -EINTR);
    return result;
}

int grow_truncate(int fd, uint64_t size, uint64_t now)
{
    if (size > now && size > grow_limit())
        return -EFBIG;
    int result;
    do
        result = sys_ftruncate(fd, (off_t)size);
    while (result == -EINTR);
    return result;
}
