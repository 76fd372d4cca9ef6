/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_owner.c — a file gets another owner: chown and its kin. Layer preload.
 */
#include "preload/preload.h"

#include <unistd.h>

/* Another process may serve the file: the core is needed then even if this one has opened nothing in a root. */
static const struct nvmmio_core *owner_core(int dirfd, const char *path, uid_t uid, int flags)
{
    const struct nvmmio_core *core = preload_core();
    struct stat st;
    if (core || uid == (uid_t)-1 || !preload_hopeful())
        return core;
    int error = path ? sys_fstatat(dirfd, path, &st, flags) : sys_fstat(dirfd, &st);
    return !error && preload_root_is_served(&st) ? preload_core_load() : NULL;
}

int preload_fchown(int fd, uid_t uid, gid_t gid)
{
    const struct nvmmio_core *core = owner_core(fd, NULL, uid, 0);
    return (int)preload_result(core ? core->chown(fd, NULL, uid, gid, 0) : sys_fchown(fd, uid, gid));
}

int preload_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    const struct nvmmio_core *core = path ? owner_core(dirfd, path, uid, flags) : NULL;
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

#define PRELOAD_EXPORT_owner PRELOAD_ALIAS
#include "preload/preload_export.h"
