/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_open.c — nv* entry points that make and end descriptors. Layer api.
 */
#include "api/core.h"
#include "api/nv_ret.h"
#include "file/file.h"
#include "nvmmio.h"

#include <fcntl.h>
#include <stdarg.h>

/* open(2) reads a mode only with these. O_TMPFILE has the bit of O_DIRECTORY. */
static int takes_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_managed(int dirfd, const char *path, int flags, mode_t mode)
{
    if (nvmmio_preload_attend) /* libc's calls may be mixed with ours from now on */
        nvmmio_preload_attend(&nvmmio_core);
    nv_enter();
    return (int)nv_leave(file_openat(dirfd, path, flags, mode));
}

int nvopen(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (takes_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return open_managed(AT_FDCWD, path, flags, mode);
}

int nvopenat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (takes_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return open_managed(dirfd, path, flags, mode);
}

int nvcreat(const char *path, mode_t mode)
{
    return open_managed(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int nvclose(int fd)
{
    nv_enter();
    return (int)nv_leave(file_close(fd));
}

int nvdup(int fd)
{
    nv_enter();
    return (int)nv_leave(file_dup(fd));
}

int nvdup2(int fd, int newfd)
{
    nv_enter();
    return (int)nv_leave(file_dup2(fd, newfd));
}
