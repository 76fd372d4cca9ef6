/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_chown.c — a file is given to another owner. Layer file; called by preload.
 *
 * Logs lie in the volume of the file's owner, and that of another owner is the only one where the next program looks. So
 * what is attached becomes the kernel's before, in all processes, and a log that a dead one has left is recovered; what
 * nobody has attached is not attached by this process any more. Both end with the last close.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>

#define CHOWN_SAME ((uid_t)-1) /* "leave it as it is" */

struct chown_call {
    int dirfd;
    const char *path; /* NULL: fchown(dirfd) */
    uid_t uid;
    gid_t gid;
    int flags;
};

static int make_call(const struct chown_call *call)
{
    return call->path ? sys_fchownat(call->dirfd, call->path, call->uid, call->gid, call->flags)
                      : sys_fchown(call->dirfd, call->uid, call->gid);
}

/* Of a regular file that gets another owner. It is held meanwhile, so that the kernel has it until it is given away. */
static int give_away(int fd, const struct chown_call *call)
{
    struct uma *uma = NULL;
    int error = uma_open(fd, O_RDONLY, NULL, &uma);
    if (error || !uma)
        return error == -EIO ? -EIO : make_call(call); /* damaged: its log would not be found. Else it is not ours */
    file_begin_process();
    int result = uma_demote(uma, fd, UMA_DEMOTE_EXEC); /* as for another program: attached only if somebody has it */
    if (!result)
        result = make_call(call);
    error = uma_close(uma, fd);
    return result ? result : error;
}

/* Whether it is that user's already, as a candidate's volume says without asking. */
static bool is_owners(int fd, uid_t uid)
{
    const struct fd_candidate *candidate = candidate_is_unseen(fd) ? NULL : candidate_of(fd);
    return candidate && volume_owner(candidate->volume) == uid;
}

int file_chown(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    const struct chown_call call = {dirfd, path, uid, gid, flags};
    struct stat st;
    if (uid == CHOWN_SAME || (!path && is_owners(dirfd, uid)) || !file_owns_table() ||
        (path ? sys_fstatat(dirfd, path, &st, flags) : sys_fstat(dirfd, &st)) || !S_ISREG(st.st_mode) ||
        st.st_uid == uid)
        return make_call(&call);
    if (!path || (flags & AT_EMPTY_PATH && !*path))
        return give_away(dirfd, &call);
    int fd = sys_openat(dirfd, path, O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
    if (fd < 0)
        return make_call(&call);
    int result = give_away(fd, &call);
    sys_close(fd);
    return result;
}
