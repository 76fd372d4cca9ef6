/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_fd.c — descriptors are duplicated, changed and closed: close, dup, fcntl, lockf and their kin. Layer preload.
 *
 * A vfork child works in its parent's memory but on descriptors of its own: there the calls are the kernel's alone, and a
 * managed file that gets another number, which the program to be executed will find, is demoted.
 */
#include "preload/preload.h"

#include <linux/close_range.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The core protects its own descriptors. What is neither its own nor managed is the kernel's affair, who may wait. */
int preload_close(int fd)
{
    const struct nvmmio_core *core = preload_owner();
    if (!core || (!preload_serves(fd) && !core->is_own(fd)))
        return (int)preload_wait_result(SYS_close, fd, 0, 0, 0);
    preload_cancel_point();
    return (int)preload_result(core->close(fd));
}

int preload_close_range(unsigned first, unsigned last, int flags)
{
    const struct nvmmio_core *core = preload_owner();
    const unsigned divides = UMA_MOVE_FILES | UMA_MOVE_ALONE;
    if (!core)
        return (int)preload_result(rawsys(SYS_close_range, first, last, flags, 0, 0, 0));
    if (flags & CLOSE_RANGE_UNSHARE)
        core->before_move(divides, NULL);
    long result = core->close_range(first, last, (unsigned)flags);
    if (flags & CLOSE_RANGE_UNSHARE)
        core->after_move(divides, result >= 0);
    return (int)preload_result(result);
}

void preload_closefrom(int first)
{
    unsigned from = first > 0 ? (unsigned)first : 0;
    const struct nvmmio_core *core = preload_owner();
    long result = core ? core->close_range(from, ~0U, 0) : rawsys(SYS_close_range, from, ~0U, 0, 0, 0, 0);
    if (result >= 0)
        return;
    void (*real)(int) = preload_real(PRELOAD_REAL_closefrom); /* a kernel without close_range */
    if (real)
        real(first);
}

/* ---- duplicates ---- */

/* Before a vfork child duplicates fd by the kernel alone: 0 or -errno. */
static int fd_prepare_foreign(int fd)
{
    return preload_demote(fd, UMA_DEMOTE_EXEC);
}

int preload_dup(int fd)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (core && !preload_foreign())
        return (int)preload_result(core->dup(fd));
    int error = core ? fd_prepare_foreign(fd) : 0;
    return (int)preload_result(error ? error : sys_dup(fd));
}

/* The core also where only the target is managed, or neither: it protects its own descriptors. */
int preload_dup3(int fd, int newfd, int flags)
{
    const struct nvmmio_core *core = preload_owner();
    if (core)
        return (int)preload_result(core->dup3(fd, newfd, flags));
    int error = fd_prepare_foreign(fd);
    return (int)preload_result(error ? error : sys_dup3(fd, newfd, flags));
}

int preload_dup2(int fd, int newfd)
{
    const struct nvmmio_core *core = preload_owner();
    if (core)
        return (int)preload_result(core->dup2(fd, newfd));
    if (fd == newfd) { /* valid, unlike with dup3, and says only whether fd is open */
        long flags = sys_fcntl(fd, F_GETFD, 0);
        return (int)preload_result(flags < 0 ? flags : fd);
    }
    return preload_dup3(fd, newfd, 0);
}

/* ---- fcntl ---- */

/* F_GETOWN of a process group is a small negative number, which the kernel cannot tell from an error. */
static long fd_get_owner(int fd)
{
    struct f_owner_ex owner;
    long result = sys_fcntl(fd, F_GETOWN_EX, (long)&owner);
    if (result < 0)
        return preload_result(result);
    return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
}

/* Whether a lock on fd is for the kernel alone. */
static inline bool fd_lock_is_plain(const struct nvmmio_core *core, int fd, long arg)
{
    return !core || ((unsigned)fd < core->managed_count && core->managed[fd] == NVMMIO_MANAGED_LOCKS &&
                     core->lock_passes(fd, (const struct flock *)arg));
}

/* In the kernel, where it can be cancelled and interrupted. */
static long fd_wait_for_lock(const struct nvmmio_core *core, int fd, int cmd, long arg)
{
    struct flock lock;
    int prepared = fd_lock_is_plain(core, fd, arg) ? 1 : core->lock_prepare(fd, (const struct flock *)arg, &lock);
    return prepared < 0 ? prepared : preload_wait(SYS_fcntl, fd, cmd, prepared ? arg : (long)&lock, 0, 0, 0);
}

/* In a vfork child: a command on its own table of descriptors. */
static long fd_command_foreign(int fd, int cmd, long arg)
{
    bool given = cmd != F_SETFD || !(arg & FD_CLOEXEC);
    int error = given ? fd_prepare_foreign(fd) : 0;
    return error ? error : sys_fcntl(fd, cmd, arg);
}

int preload_fcntl_arg(int fd, int cmd, long arg)
{
    const struct nvmmio_core *core = preload_serves(fd);
    switch (cmd) {
    case F_GETOWN:
        return (int)fd_get_owner(fd);
    case F_SETLK:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_GETLK:
        if (fd_lock_is_plain(core, fd, arg))
            return (int)preload_result(sys_fcntl(fd, cmd, arg));
        break;
    case F_SETLKW:
    case F_OFD_SETLKW:
        return (int)preload_result(fd_wait_for_lock(core, fd, cmd, arg));
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_SETFD: /* these concern this process's table of descriptors, not the open file */
        if (core && preload_foreign())
            return (int)preload_result(fd_command_foreign(fd, cmd, arg));
        break;
    default:
        break;
    }
    return (int)preload_result(core ? core->fcntl(fd, cmd, arg) : sys_fcntl(fd, cmd, arg));
}

/* The third argument is a number, a pointer or missing: taken as a word, as libc does. */
int preload_fcntl(int fd, int cmd, ...)
{
    va_list args;
    va_start(args, cmd);
    long arg = va_arg(args, long);
    va_end(args);
    return preload_fcntl_arg(fd, cmd, arg);
}

int preload_lockf(int fd, int cmd, off_t length)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_len = length};
    const struct nvmmio_core *core = preload_serves(fd);
    if (core) { /* the kernel does not know where the file's position is */
        lock.l_whence = SEEK_SET;
        lock.l_start = core->lseek(fd, 0, SEEK_CUR);
        if (lock.l_start < 0)
            return (int)preload_result(lock.l_start);
    }
    switch (cmd) {
    case F_LOCK:
        return preload_fcntl_arg(fd, F_SETLKW, (long)&lock);
    case F_TLOCK:
        return preload_fcntl_arg(fd, F_SETLK, (long)&lock);
    case F_ULOCK:
        lock.l_type = F_UNLCK;
        return preload_fcntl_arg(fd, F_SETLK, (long)&lock);
    case F_TEST:
        lock.l_type = F_RDLCK;
        if (preload_fcntl_arg(fd, F_GETLK, (long)&lock) < 0)
            return -1;
        return lock.l_type == F_UNLCK || lock.l_pid == sys_getpid() ? 0 : (int)preload_result(-EACCES);
    default:
        return (int)preload_result(-EINVAL);
    }
}

/* ---- descriptors that are given away ---- */

/* Demotes the managed files among `count` descriptors: 0 or -errno. Those that cannot be read are not passed. */
static int fd_demote_each(const char *fds, size_t count)
{
    int error = 0, fd;
    for (size_t i = 0; !error && i < count && preload_peek(&fd, fds + i * sizeof fd, sizeof fd); i++)
        error = preload_demote(fd, UMA_DEMOTE_FDPASS);
    return error;
}

/* Demotes each managed file whose descriptor the message carries: 0 or -errno. */
static int fd_demote_control(const char *control, size_t left)
{
    struct cmsghdr head;
    int error = 0;
    while (!error && left >= sizeof head && preload_peek(&head, control, sizeof head)) {
        if (head.cmsg_len < sizeof head || head.cmsg_len > left)
            break; /* refused */
        if (head.cmsg_level == SOL_SOCKET && head.cmsg_type == SCM_RIGHTS)
            error = fd_demote_each(control + CMSG_LEN(0), (head.cmsg_len - CMSG_LEN(0)) / sizeof(int));
        size_t length = CMSG_ALIGN(head.cmsg_len);
        control += length;
        left -= length < left ? length : left;
    }
    return error;
}

/* The same for `count` messages, as far as they can be read. */
static int fd_demote_passed(const void *messages, size_t count, size_t stride)
{
    struct msghdr message;
    int error = 0;
    for (const char *at = messages; preload_core() && !error && count && preload_peek(&message, at, sizeof message);
         at += stride, count--)
        if (message.msg_control)
            error = fd_demote_control(message.msg_control, message.msg_controllen);
    return error;
}

ssize_t preload_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int error = fd_demote_passed(message, 1, sizeof *message);
    return preload_result(error ? error : preload_wait(SYS_sendmsg, fd, (long)message, flags, 0, 0, 0));
}

int preload_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int error = fd_demote_passed(messages, count, sizeof *messages);
    return (int)preload_result(error ? error : preload_wait(SYS_sendmmsg, fd, (long)messages, count, flags, 0, 0));
}

/* ---- descriptors that are received ---- */

/* Whether any can be a managed file's: else the message is not looked at. */
static bool fd_may_be_managed(void)
{
    return preload_core() || preload_hopeful();
}

static void fd_adopt_received(struct msghdr *message)
{
    if (!message->msg_control)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            preload_adopt_shared(fd);
        }
    }
}

ssize_t preload_recvmsg(int fd, struct msghdr *message, int flags)
{
    long result = preload_receive(fd, message, flags);
    if (result >= 0 && fd_may_be_managed())
        fd_adopt_received(message);
    return preload_result(result);
}

int preload_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    long result = preload_receive_many(fd, messages, count, flags, timeout);
    for (long i = 0; i < result && fd_may_be_managed(); i++)
        fd_adopt_received(&messages[i].msg_hdr);
    return (int)preload_result(result);
}

/* The process that has the description may keep its offset to itself until its next call. */
int preload_pidfd_getfd(int pidfd, int target, unsigned flags)
{
    long fd = rawsys(SYS_pidfd_getfd, pidfd, target, flags, 0, 0, 0);
    if (fd >= 0)
        preload_adopt_shared((int)fd);
    return (int)preload_result(fd);
}

#define PRELOAD_EXPORT_fd PRELOAD_ALIAS
#include "preload/preload_export.h"
