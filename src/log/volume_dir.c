/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_dir.c — ROOT/.nvmmio/UID: making it, and refusing what somebody else has put there. Layer log.
 *
 * ROOT/.nvmmio is made by whoever comes first: 01777 where several users may come (ROOT is writable for others, or root
 * makes it), else 0755. ROOT/.nvmmio/UID is 0700 and UID's.
 */
#include "base/highfd.h"
#include "base/msg.h"
#include "base/rawsys.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>

enum {
    DIR_MODE_SHARED = 01777,
    DIR_MODE_SINGLE = 0755,
    DIR_MODE_OWN = 0700,
    DIR_OTHERS_WRITE = 022,
    DIR_OTHERS_ANY = 077,
};
#define DIR_OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Opens the directory, or makes it with owner and mode: a descriptor or -errno. */
static int open_or_make(int parent, const char *name, uint32_t owner, mode_t mode)
{
    int fd = sys_openat(parent, name, DIR_OPEN_FLAGS, 0);
    if (fd != -ENOENT)
        return fd == -ELOOP || fd == -ENOTDIR ? -ESTALE : fd;
    int made = sys_mkdirat(parent, name, DIR_MODE_OWN); /* opened to others when it is ready */
    if (made < 0 && made != -EEXIST)
        return made;
    fd = sys_openat(parent, name, DIR_OPEN_FLAGS, 0);
    if (fd < 0 || made == -EEXIST)
        return fd == -ELOOP || fd == -ENOTDIR ? -ESTALE : fd;
    int result = 0;
    if (owner != sys_geteuid())
        result = sys_fchown(fd, owner, (gid_t)-1);
    if (result == 0)
        result = sys_fchmod(fd, mode);
    if (result == 0)
        result = sys_fsync(parent);
    if (result < 0) {
        sys_close(fd);
        return result;
    }
    return fd;
}

static int refuse(int fd, const char *what, uint32_t owner)
{
    msg(MSG_WARNING, "%s of uid %u refused: not a directory of the right owner and mode", what, owner);
    if (fd >= 0)
        sys_close(fd);
    return -ESTALE;
}

/* ROOT/.nvmmio. */
static int open_top(int root_fd, uint32_t owner)
{
    struct stat root, st;
    int result = sys_fstat(root_fd, &root);
    if (result < 0)
        return result;
    uint32_t euid = sys_geteuid();
    bool shared = euid == 0 || root.st_mode & DIR_OTHERS_WRITE;
    int fd = open_or_make(root_fd, ".nvmmio", euid, shared ? DIR_MODE_SHARED : DIR_MODE_SINGLE);
    if (fd < 0)
        return fd == -ESTALE ? refuse(-1, ".nvmmio", owner) : fd;
    result = sys_fstat(fd, &st);
    if (result < 0) {
        sys_close(fd);
        return result;
    }
    bool trusted = st.st_uid == 0 || st.st_uid == root.st_uid || st.st_uid == owner;
    if (!trusted && euid == 0)
        trusted = sys_fchown(fd, 0, (gid_t)-1) == 0;
    /* A sticky directory of another user who came first: he can remove what is in it, but not read or replace it unseen. */
    bool sticky = (st.st_mode & S_ISVTX) != 0;
    if ((st.st_mode & DIR_OTHERS_WRITE && !sticky) || (!trusted && !sticky))
        return refuse(fd, ".nvmmio", owner);
    return fd;
}

char *volume_put_number(char *out, uint32_t value)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (n > 0)
        *out++ = digits[--n];
    *out = 0;
    return out;
}

int volume_dir_open(int root_fd, uint32_t owner)
{
    int top = open_top(root_fd, owner);
    if (top < 0)
        return top;
    char name[VOLUME_NUMBER_BYTES];
    volume_put_number(name, owner);
    int fd = open_or_make(top, name, owner, DIR_MODE_OWN);
    sys_close(top);
    if (fd < 0)
        return fd == -ESTALE ? refuse(-1, "log directory", owner) : fd;
    struct stat st;
    int result = sys_fstat(fd, &st);
    if (result < 0) {
        sys_close(fd);
        return result;
    }
    if (st.st_uid != owner || st.st_mode & DIR_OTHERS_ANY)
        return refuse(fd, "log directory", owner);
    return highfd_move(fd);
}
