/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_away.c — a file gets another owner, or goes to another directory: chown, rename and their kin. Layer preload.
 */
#include "preload/preload.h"

#include <stdio.h>
#include <unistd.h>

/* Another process may serve the file: the core is needed then even if this one has opened nothing in a root. path: NULL
 * for dirfd itself. */
static const struct nvmmio_core *away_core(int dirfd, const char *path, int flags)
{
    const struct nvmmio_core *core = preload_core();
    struct stat st;
    if (core || !preload_hopeful())
        return core;
    int error = path ? sys_fstatat(dirfd, path, &st, flags) : sys_fstat(dirfd, &st);
    return !error && preload_root_is_served(&st) ? preload_core_load() : NULL;
}

/* ---- another owner ---- */

int preload_fchown(int fd, uid_t uid, gid_t gid)
{
    const struct nvmmio_core *core = away_core(fd, NULL, 0);
    return (int)preload_result(core ? core->chown(fd, NULL, uid, gid, 0) : sys_fchown(fd, uid, gid));
}

int preload_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    const struct nvmmio_core *core = path ? away_core(dirfd, path, flags) : NULL;
    return (int)preload_result(core ? core->chown(dirfd, path, uid, gid, flags)
                                    : sys_fchownat(dirfd, path, uid, gid, flags));
}

int preload_chown(const char *path, uid_t uid, gid_t gid)
{
    return preload_fchownat(AT_FDCWD, path, uid, gid, 0);
}

int preload_lchown(const char *path, uid_t uid, gid_t gid)
{
    return preload_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

/* ---- another directory ---- */

int preload_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    const struct nvmmio_core *core = from ? away_core(from_dir, from, AT_SYMLINK_NOFOLLOW) : NULL;
    if (!core && to && flags & RENAME_EXCHANGE)
        core = away_core(to_dir, to, AT_SYMLINK_NOFOLLOW);
    return (int)preload_result(core && from && to ? core->rename(from_dir, from, to_dir, to, flags)
                                                  : sys_renameat2(from_dir, from, to_dir, to, flags));
}

int preload_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return preload_renameat2(from_dir, from, to_dir, to, 0);
}

int preload_rename(const char *from, const char *to)
{
    return preload_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

#define PRELOAD_EXPORT_away PRELOAD_ALIAS
#include "preload/preload_export.h"
