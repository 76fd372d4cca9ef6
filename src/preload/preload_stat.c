/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_stat.c — the size is looked at: the stat family, also in its form before glibc 2.33. Layer preload.
 *
 * By path every stat goes to the core once it is there: the file may be one that this process manages.
 */
#include "preload/preload.h"

#define STAT_VERSION_MAX 1 /* "kernel" and "Linux" layout are one on 64-bit machines */

int preload_fstat(int fd, struct stat *st)
{
    const struct nvmmio_core *core = preload_core(); /* also for descriptors that are not managed: O_PATH, for one */
    return (int)preload_result(core ? core->fstat(fd, st) : sys_fstat(fd, st));
}

int preload_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    const struct nvmmio_core *core = preload_core();
    return (int)preload_result(core ? core->fstatat(dirfd, path, st, flags) : sys_fstatat(dirfd, path, st, flags));
}

int preload_stat(const char *path, struct stat *st)
{
    return preload_fstatat(AT_FDCWD, path, st, 0);
}

int preload_lstat(const char *path, struct stat *st)
{
    return preload_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

int preload_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    const struct nvmmio_core *core = preload_core();
    return (int)preload_result(core ? core->statx(dirfd, path, flags, mask, stx)
                                    : sys_statx(dirfd, path, flags, mask, stx));
}

/* ---- with a version of the structure ---- */

static bool stat_version_ok(int version)
{
    if (version >= 0 && version <= STAT_VERSION_MAX)
        return true;
    errno = EINVAL;
    return false;
}

int preload_fxstat(int version, int fd, struct stat *st)
{
    return stat_version_ok(version) ? preload_fstat(fd, st) : -1;
}

int preload_xstat(int version, const char *path, struct stat *st)
{
    return stat_version_ok(version) ? preload_stat(path, st) : -1;
}

int preload_lxstat(int version, const char *path, struct stat *st)
{
    return stat_version_ok(version) ? preload_lstat(path, st) : -1;
}

int preload_fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
    return stat_version_ok(version) ? preload_fstatat(dirfd, path, st, flags) : -1;
}

#define PRELOAD_EXPORT_stat PRELOAD_ALIAS
#include "preload/preload_export.h"
