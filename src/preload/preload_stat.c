/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_stat.c — the size is looked at: the stat family, also in its form before glibc 2.33. Layer preload.
 *
 * By path every stat goes to the core once it is there: the file may be one that this process manages. Before, the core is
 * loaded if another process serves the file.
 */
#include "preload/preload.h"

#include <sys/sysmacros.h>

#define STAT_VERSION_MAX 1 /* "kernel" and "Linux" layout are one on 64-bit machines */

int preload_fstat(int fd, struct stat *st)
{
    const struct nvmmio_core *core = preload_core(); /* also for descriptors that are not managed: O_PATH, for one */
    return (int)preload_result(core ? core->fstat(fd, st) : sys_fstat(fd, st));
}

/* The core where the kernel's answer may be wrong, though this process has opened nothing yet. */
static const struct nvmmio_core *stat_core(const struct stat *st)
{
    return preload_root_is_served(st) ? preload_core_load() : NULL;
}

int preload_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    const struct nvmmio_core *core = preload_core();
    int result = core ? 0 : sys_fstatat(dirfd, path, st, flags);
    if (!core && !result)
        core = stat_core(st);
    return (int)preload_result(core ? core->fstatat(dirfd, path, st, flags) : result);
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
    int result = core ? 0 : sys_statx(dirfd, path, flags, mask, stx);
    const unsigned needed = STATX_TYPE | STATX_INO | STATX_UID;
    if (!core && !result && (stx->stx_mask & needed) == needed)
        core = stat_core(&(struct stat){.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
                                        .st_ino = stx->stx_ino,
                                        .st_uid = stx->stx_uid,
                                        .st_mode = stx->stx_mode});
    return (int)preload_result(core ? core->statx(dirfd, path, flags, mask, stx) : result);
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
