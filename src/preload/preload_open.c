/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_open.c — descriptors are made: open, creat, mkstemp and their kin. Layer preload.
 */
#include "preload/preload.h"

#include <stdlib.h>

/* Whether the call has a mode as its last argument. */
static bool open_has_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* What must not reach a file of another process's log by the kernel alone: a truncation, and the O_ATOMIC of a file that
 * exists (the bit is the core's). */
static const struct nvmmio_core *open_core(int dirfd, const char *path, int flags)
{
    const struct nvmmio_core *core = preload_core();
    if (!core && (flags & (O_TRUNC | O_ATOMIC)) && preload_hopeful() &&
        preload_root_holds_path(dirfd, path, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0))
        core = preload_core_load();
    return core && !preload_foreign() ? core : NULL;
}

/* With threads the kernel opens, so that one that waits for a FIFO's other end can be cancelled. */
int preload_openat_mode(int dirfd, const char *path, int flags, mode_t mode)
{
    const struct nvmmio_core *core = open_core(dirfd, path, flags);
    if (core && (!preload_threaded() || (flags & (O_TRUNC | O_ATOMIC)))) {
        preload_cancel_point();
        return (int)preload_result(core->openat(dirfd, path, flags, mode));
    }
    long fd = preload_wait(SYS_openat, dirfd, (long)path, flags & ~O_ATOMIC, (long)mode, 0, 0);
    return (int)preload_result(preload_adopt_result(fd, flags));
}

int preload_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (open_has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return preload_openat_mode(AT_FDCWD, path, flags, mode);
}

int preload_openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (open_has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return preload_openat_mode(dirfd, path, flags, mode);
}

/* The checked forms have no mode: libc's own ends the program if one was needed. */
int preload_openat_2(int dirfd, const char *path, int flags)
{
    if (open_has_mode(flags)) {
        int (*real)(const char *, int) = preload_real(PRELOAD_REAL___open_2);
        return real ? real(path, flags) : -1;
    }
    return preload_openat_mode(dirfd, path, flags, 0);
}

int preload_open_2(const char *path, int flags)
{
    return preload_openat_2(AT_FDCWD, path, flags);
}

int preload_creat(const char *path, mode_t mode)
{
    return preload_openat_mode(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int preload_open_by_handle_at(int mount_fd, void *handle, int flags)
{
    long fd = preload_wait(SYS_open_by_handle_at, mount_fd, (long)handle, flags & ~O_ATOMIC, 0, 0, 0);
    return (int)preload_result(preload_adopt_result(fd, flags));
}

/* ---- the mkstemp family opens inside libc ---- */

static int open_adopt_temporary(int fd, int flags)
{
    if (fd >= 0)
        preload_adopt(fd, O_RDWR | O_CREAT | O_EXCL | flags);
    return fd;
}

int preload_mkostemps(char *pattern, int suffix, int flags)
{
    int (*real)(char *, int, int) = preload_real(PRELOAD_REAL_mkostemps);
    return real ? open_adopt_temporary(real(pattern, suffix, flags & ~O_ATOMIC), flags) : -1;
}

int preload_mkostemp(char *pattern, int flags)
{
    int (*real)(char *, int) = preload_real(PRELOAD_REAL_mkostemp);
    return real ? open_adopt_temporary(real(pattern, flags & ~O_ATOMIC), flags) : -1;
}

int preload_mkstemps(char *pattern, int suffix)
{
    int (*real)(char *, int) = preload_real(PRELOAD_REAL_mkstemps);
    return real ? open_adopt_temporary(real(pattern, suffix), 0) : -1;
}

int preload_mkstemp(char *pattern)
{
    int (*real)(char *) = preload_real(PRELOAD_REAL_mkstemp);
    return real ? open_adopt_temporary(real(pattern), 0) : -1;
}

#define PRELOAD_EXPORT_open PRELOAD_ALIAS
#include "preload/preload_export.h"
