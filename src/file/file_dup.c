/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_dup.c — dup, dup2, dup3. Layer file.
 *
 * dup2 replaces a descriptor in one step: other threads that use its number meet the old file or the new one, never none.
 * While the kernel does it the table says FD_CHANGING, and calls on that number wait.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/highfd.h"
#include "base/rawsys.h"

#include <errno.h>
#include <unistd.h>

/* Enters newfd, the duplicate of a descriptor of handle, which has a count for it; handle NULL: of an unmanaged one. */
static int dup_enter(int newfd, struct fd_handle *handle)
{
    if (!handle) {
        file_drop_stale(newfd);
        return newfd;
    }
    int result = file_publish(newfd, handle);
    if (result < 0)
        sys_close(newfd);
    return result;
}

/* A duplicate with a number that the kernel chooses: from `least` on by command `cmd` (F_DUPFD...), or by dup. */
static int dup_any(int fd, int cmd, long least)
{
    if (!file_owns_table())
        return sys_fcntl(fd, cmd, least);
    struct fd_handle *handle = handle_borrow(fd);
    if (handle == FD_CLOSING)
        return -EBADF;
    int newfd = sys_fcntl(fd, cmd, least);
    if (newfd == -EMFILE && file_relieve())
        newfd = sys_fcntl(fd, cmd, least);
    if (newfd >= 0)
        return dup_enter(newfd, handle);
    if (handle)
        handle_drop(handle, fd);
    return newfd;
}

int file_dup(int fd)
{
    return dup_any(fd, F_DUPFD, 0);
}

int file_dup_from(int fd, int cmd, long least)
{
    return dup_any(fd, cmd, least);
}

/* dup3 onto a descriptor whose handle `old` was taken out of the table. handle: of fd, with a count for newfd, or NULL. */
static int dup_replace(int fd, int newfd, int flags, struct fd_handle *handle, struct fd_handle *old)
{
    int keep = highfd_move(sys_fcntl(newfd, F_DUPFD_CLOEXEC, 0)); /* the old uma's last close needs one */
    if (keep < 0)
        handle_drop(old, newfd); /* dup2 keeps errors of the implied close to itself */
    if (!rcu_inside())
        rcu_wait(); /* calls that found the old handle may use newfd: until here */
    int result = sys_dup3(fd, newfd, flags);
    if (result < 0) {
        fd_table_set(newfd, keep < 0 ? NULL : old);
        if (keep < 0)
            file_adopt(newfd, FILE_ASK_FLAGS);
    } else {
        fd_table_set(newfd, handle);
        if (keep >= 0)
            handle_drop(old, keep);
    }
    if (keep >= 0)
        highfd_close(keep);
    return result;
}

int file_dup3(int fd, int newfd, int flags)
{
    if (fd == newfd || (flags & ~O_CLOEXEC) || newfd < 0 || !file_owns_table())
        return sys_dup3(fd, newfd, flags);
    if (highfd_is_internal(newfd))
        return -EBUSY; /* which dup2 may say of a number that is being opened */
    struct fd_handle *handle = handle_borrow(fd);
    if (handle == FD_CLOSING)
        return -EBADF;
    handle_end_late();
    candidate_adopt(newfd); /* with a handle other threads' calls on it are waited for */
    /* Before the old file is let go: is fd a descriptor at all? */
    bool replaces = file_is_managed(newfd) && sys_fcntl(fd, F_GETFD, 0) >= 0;
    struct fd_handle *old = replaces ? fd_table_take(newfd, FD_CHANGING) : NULL;
    int result = old ? dup_replace(fd, newfd, flags, handle, old) : sys_dup3(fd, newfd, flags);
    if (result >= 0 && !old)
        result = dup_enter(newfd, handle);
    if (result >= 0 && handle && newfd <= STDERR_FILENO)
        file_demote(newfd, UMA_DEMOTE_STDIO); /* libc's standard streams write behind our back */
    if (result >= 0)
        return result;
    if (handle)
        handle_drop(handle, fd);
    return result;
}

int file_dup2(int fd, int newfd)
{
    if (fd != newfd)
        return file_dup3(fd, newfd, 0);
    int result = sys_fcntl(fd, F_GETFD, 0);
    return result < 0 ? result : newfd;
}
