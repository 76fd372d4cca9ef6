/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_away.c — a file leaves the volume that has its log: another owner, another directory, which may be in another root
 * or in none. Layer file; called by preload.
 *
 * The next program looks for a log only in the volume of the file's owner, in the root where it lies then. So what is
 * attached becomes the kernel's before, in all processes, and a log that a dead one has left is recovered; what nobody has
 * attached is not attached by this process any more. Both end with the last close. A directory that is moved takes its
 * files along unseen.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/rawsys.h"
#include "log/volume.h"
#include "pm/pm_probe.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/sysmacros.h>

#define AWAY_PAGE 4096u
#define AWAY_SAME_USER ((uid_t)-1) /* "leave it as it is" */

/* A file on its way: held meanwhile, so that the kernel has it until it is gone. */
struct away {
    int fd, own_fd; /* -1: none */
    struct uma *uma;
};

/* Whether somebody has the file open by nvmmio, or died with it. path: as of fstatat, NULL for dirfd itself. */
static bool is_in_use(int dirfd, const char *path, int flags, const struct stat *st)
{
    const uint32_t dev_major = major(st->st_dev), dev_minor = minor(st->st_dev);
    if (uma_is_known(st->st_dev, st->st_ino) || volume_elsewhere(st->st_uid, dev_major, dev_minor, st->st_ino))
        return true;
    volume_look(dirfd, path ? path : "", path ? flags : AT_EMPTY_PATH, st);
    return volume_elsewhere(st->st_uid, dev_major, dev_minor, st->st_ino) != NULL;
}

/* st: what the kernel says of it. -EIO, -EBUSY, -ENOSPC: it cannot be brought up to date, and stays. */
static int away_begin(struct away *away, int dirfd, const char *path, int flags, const struct stat *st)
{
    *away = (struct away){.fd = -1, .own_fd = -1};
    if (!S_ISREG(st->st_mode) || !is_in_use(dirfd, path, flags, st))
        return 0;
    if (path && !(flags & AT_EMPTY_PATH && !*path))
        away->own_fd = sys_openat(dirfd, path, O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
    else
        away->fd = dirfd;
    if (away->own_fd >= 0)
        away->fd = away->own_fd;
    int error = away->fd < 0 ? 0 : uma_open(away->fd, O_RDONLY, NULL, &away->uma);
    if (error || !away->uma)
        return error == -EIO ? -EIO : 0; /* damaged: its log would not be found. Else it is not ours */
    file_begin_process();
    return uma_demote(away->uma, away->fd,
                      UMA_DEMOTE_EXEC); /* as for another program: attached only if somebody has it */
}

static int away_end(struct away *away, int result)
{
    int error = away->uma ? uma_close(away->uma, away->fd) : 0;
    if (away->own_fd >= 0)
        sys_close(away->own_fd);
    return result ? result : error;
}

/* ---- another owner ---- */

/* Whether it is that user's already, as a candidate's volume says without asking. */
static bool is_owners(int fd, uid_t uid)
{
    const struct fd_candidate *candidate = candidate_is_unseen(fd) ? NULL : candidate_of(fd);
    return candidate && volume_owner(candidate->volume) == uid;
}

int file_chown(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    struct stat st;
    struct away away = {.fd = -1, .own_fd = -1};
    int result = 0;
    if (uid != AWAY_SAME_USER && (path || !is_owners(dirfd, uid)) && file_owns_table() &&
        (path ? sys_fstatat(dirfd, path, &st, flags) : sys_fstat(dirfd, &st)) == 0 && st.st_uid != uid)
        result = away_begin(&away, dirfd, path, flags, &st);
    if (!result)
        result = path ? sys_fchownat(dirfd, path, uid, gid, flags) : sys_fchown(dirfd, uid, gid);
    return away_end(&away, result);
}

/* ---- another directory ---- */

/* Of the part of a name that says the directory, with its slash; -1 where it cannot be told: no address for one, or it is
 * too long. Nothing of it is the kernel's to refuse yet. */
static ssize_t directory_length(const char *path)
{
    ssize_t length = 0;
    for (size_t i = 0; i < PATH_MAX; i++) {
        if ((!i || !((uintptr_t)(path + i) % AWAY_PAGE)) && !pm_probe(path + i))
            return -1;
        if (!path[i])
            return length;
        if (path[i] == '/')
            length = (ssize_t)i + 1;
    }
    return -1;
}

/* Told by the names alone: where they say another one it may still be the same. Most moves are in a directory. */
static bool is_same_directory(int from_dir, const char *from, int to_dir, const char *to)
{
    if (!atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return false; /* no handler of faults yet */
    ssize_t length = directory_length(from);
    return length >= 0 && length == directory_length(to) && memcmp(from, to, (size_t)length) == 0 &&
           (from_dir == to_dir || (length && *from == '/'));
}

/* Whatever is at `path` goes to another directory. */
static int leave_directory(struct away *away, int dirfd, const char *path)
{
    struct stat st;
    bool found = sys_fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    return found ? away_begin(away, dirfd, path, AT_SYMLINK_NOFOLLOW, &st) : 0;
}

int file_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    struct away away[2] = {{.fd = -1, .own_fd = -1}, {.fd = -1, .own_fd = -1}};
    if (!file_owns_table() || is_same_directory(from_dir, from, to_dir, to))
        return sys_renameat2(from_dir, from, to_dir, to, flags);
    int result = leave_directory(&away[0], from_dir, from);
    if (!result && flags & RENAME_EXCHANGE)
        result = leave_directory(&away[1], to_dir, to);
    if (!result)
        result = sys_renameat2(from_dir, from, to_dir, to, flags);
    return away_end(&away[1], away_end(&away[0], result));
}
