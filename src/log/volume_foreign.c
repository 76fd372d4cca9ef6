/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_foreign.c — files of other users, or of a user whose number is another one here: whether their owner has a log for
 * one now. Layer log.
 *
 * ROOT/.nvmmio/UID.live is read like anything that a stranger may have put there: without waiting, without following a
 * link, and only if it is the owner's.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "log/volume_private.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

/* ROOT/.nvmmio, by the root in `path` (CONF_PATH_MAX bytes): a descriptor to open what is in it, or -errno. */
static int open_top(char *path, size_t root_length)
{
    static const char top[] = "/.nvmmio";
    size_t length = root_length > 1 ? root_length : 0; /* "/" */
    if (length + sizeof top > CONF_PATH_MAX)
        return -ENAMETOOLONG;
    path[root_length] = 0;
    int held = volume_root_fd(path);
    if (held >= 0)
        return sys_openat(held, top + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    memcpy(path + length, top, sizeof top);
    return sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* Whether that list, which must be the owner's, has the inode. */
static bool is_in_list(int top, const char *name, uint32_t owner, uint64_t ino)
{
    uint64_t bucket[VOLUME_SLOTS] = {0};
    struct stat st;
    int fd = sys_openat(top, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
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

/* The same in all lists of that owner: their names are numbers of another user namespace. Reads into `room`
 * (CONF_PATH_MAX bytes). */
static bool is_in_any_list(int top, char *room, uint32_t owner, uint64_t ino)
{
    static const char suffix[] = ".live";
    bool listed = false;
    int fd = sys_openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    ssize_t n;
    while (fd >= 0 && !listed && (n = sys_getdents64(fd, room, CONF_PATH_MAX)) > 0)
        for (ssize_t at = 0; at < n && !listed;) {
            const struct dirent64 *entry = (const struct dirent64 *)(room + at);
            size_t length = strlen(entry->d_name);
            at += entry->d_reclen;
            if (length >= sizeof suffix && strcmp(entry->d_name + length - (sizeof suffix - 1), suffix) == 0)
                listed = is_in_list(top, entry->d_name, owner, ino);
        }
    if (fd >= 0)
        sys_close(fd);
    return listed;
}

bool volume_is_listed(char *path, size_t root_length, uint32_t owner, uint64_t ino)
{
    char name[VOLUME_LIVE_NAME_BYTES];
    int top = open_top(path, root_length);
    if (top < 0)
        return false;
    volume_live_name(name, owner);
    bool listed = volume_users_mapped() ? is_in_any_list(top, path, owner, ino) : is_in_list(top, name, owner, ino);
    sys_close(top);
    return listed;
}

int volume_foreign(int fd, const struct statx *stx)
{
    if (conf_get()->pm == CONF_PM_NONE || !S_ISREG(stx->stx_mode) || !stx->stx_ino ||
        !volume_root_is_on(stx->stx_dev_major, stx->stx_dev_minor))
        return 0;
    uint32_t euid = sys_geteuid(); /* last: a system call */
    if ((euid == 0 || euid == stx->stx_uid) && !volume_users_mapped())
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
