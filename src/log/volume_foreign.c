/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_foreign.c — files of other users: whether their owner has a log for one now. Layer log.
 *
 * ROOT/.nvmmio/UID.live is read like anything that a stranger may have put there: without waiting, without following a
 * link, and only if it is the owner's.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>

/* ROOT/.nvmmio, by the root in `path` (CONF_PATH_MAX bytes): a descriptor to open what is in it, or -errno. */
static int open_top(char *path, size_t root_length)
{
    static const char top[] = "/.nvmmio";
    size_t length = root_length > 1 ? root_length : 0; /* "/" */
    if (length + sizeof top > CONF_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(path + length, top, sizeof top);
    return sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

bool volume_is_listed(char *path, size_t root_length, uint32_t owner, uint64_t ino)
{
    char name[VOLUME_LIVE_NAME_BYTES];
    uint64_t bucket[VOLUME_SLOTS] = {0};
    struct stat st;
    int top = open_top(path, root_length);
    if (top < 0)
        return false;
    volume_live_name(name, owner);
    int fd = sys_openat(top, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    sys_close(top);
    if (fd < 0)
        return false;
    bool listed = false;
    if (sys_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == owner &&
        sys_pread(fd, bucket, sizeof bucket, (off_t)(live_bucket(ino) * sizeof bucket)) == sizeof bucket)
        for (unsigned i = 0; i < VOLUME_SLOTS; i++)
            listed |= bucket[i] == ino;
    sys_close(fd);
    return listed;
}

int volume_foreign(int fd, const struct statx *stx)
{
    uint32_t euid = sys_geteuid();
    if (euid == 0 || euid == stx->stx_uid || conf_get()->pm == CONF_PM_NONE || !S_ISREG(stx->stx_mode) || !stx->stx_ino)
        return 0;
    char *path = mem_alloc(CONF_PATH_MAX);
    if (!path)
        return 0;
    size_t length = volume_root_of(fd, stx, path);
    int result = 0;
    if (length && !volume_is_internal(path, length) && volume_is_listed(path, length, stx->stx_uid, stx->stx_ino))
        result = -EBUSY;
    mem_free(path, CONF_PATH_MAX);
    return result;
}
