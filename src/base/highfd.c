/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * highfd.c — descriptors of the library out of the application's way. Layer base.
 */
#include "base/highfd.h"

#include "base/rawsys.h"

#include <sys/resource.h>

int highfd_move(int fd)
{
    if (fd < 0)
        return fd;
    struct rlimit limit;
    if (rawsys(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0) != 0)
        return fd;
    long base = limit.rlim_cur / 2 < HIGHFD_MOST ? (long)(limit.rlim_cur / 2) : HIGHFD_MOST;
    if (fd >= base)
        return fd;
    int high = sys_fcntl(fd, F_DUPFD_CLOEXEC, base);
    if (high < 0)
        return fd;
    sys_close(fd);
    return high;
}
