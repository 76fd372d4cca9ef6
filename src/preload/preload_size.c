/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_size.c — the size changes: truncate, fallocate and their kin. Layer preload.
 */
#include "preload/preload.h"

int preload_ftruncate(int fd, off_t length)
{
    const struct nvmmio_core *core = preload_serves(fd);
    return (int)preload_result(core ? core->ftruncate(fd, length) : sys_ftruncate(fd, length));
}

/* Another process may have a log of the file: the core is needed even if this one has opened nothing in a root. */
int preload_truncate(const char *path, off_t length)
{
    const struct nvmmio_core *core = preload_core();
    if (!core && preload_hopeful() && preload_root_holds_path(AT_FDCWD, path, 0))
        core = preload_core_load();
    return (int)preload_result(core ? core->truncate(path, length)
                                    : (int)rawsys(SYS_truncate, (long)path, length, 0, 0, 0, 0));
}

static long size_allocate(int fd, int mode, off_t offset, off_t length)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_wait(SYS_fallocate, fd, mode, offset, length, 0, 0);
    preload_cancel_point();
    return core->fallocate(fd, mode, offset, length);
}

int preload_fallocate(int fd, int mode, off_t offset, off_t length)
{
    return (int)preload_result(size_allocate(fd, mode, offset, length));
}

/* Returns the error number. Where the file system cannot allocate, libc's own writes zeros, through the kernel. */
int preload_posix_fallocate(int fd, off_t offset, off_t length)
{
    long result = size_allocate(fd, 0, offset, length);
    if (result != -EOPNOTSUPP)
        return (int)-result;
    int saved = errno;
    int (*real)(int, off_t, off_t) = preload_real(PRELOAD_REAL_posix_fallocate);
    errno = saved;
    int error = preload_demote(fd, UMA_DEMOTE_OTHER);
    if (error || !real)
        return error ? -error : EOPNOTSUPP;
    return real(fd, offset, length);
}

#define PRELOAD_EXPORT_size PRELOAD_ALIAS
#include "preload/preload_export.h"
