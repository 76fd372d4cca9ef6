/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_open.c — calls that make, duplicate and close descriptors, for interpose.c.
 */
#include "interpose.h"

#include <mqueue.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);
int __open(const char *, int, ...);
int __open64(const char *, int, ...);
int __close(int);
int __dup2(int, int);
int __fcntl(int, int, ...);

CALL(open, "openat")
{
    return interpose_opened(open(interpose.path, O_RDWR));
}
CALL(open64, "openat")
{
    return interpose_opened(open64(interpose.path, O_RDWR));
}
CALL(__open, "openat")
{
    return interpose_opened(__open(interpose.path, O_RDWR));
}
CALL(__open64, "openat")
{
    return interpose_opened(__open64(interpose.path, O_RDWR));
}
CALL(openat, "openat")
{
    return interpose_opened(openat(AT_FDCWD, interpose.path, O_RDWR));
}
CALL(openat64, "openat")
{
    return interpose_opened(openat64(AT_FDCWD, interpose.path, O_RDWR));
}
CALL(__open_2, "openat")
{
    return interpose_opened(__open_2(interpose.path, O_RDWR));
}
CALL(__open64_2, "openat")
{
    return interpose_opened(__open64_2(interpose.path, O_RDWR));
}
CALL(__openat_2, "openat")
{
    return interpose_opened(__openat_2(AT_FDCWD, interpose.path, O_RDWR));
}
CALL(__openat64_2, "openat")
{
    return interpose_opened(__openat64_2(AT_FDCWD, interpose.path, O_RDWR));
}
CALL(creat, "openat")
{
    return interpose_opened(creat(interpose.path, 0600));
}
CALL(creat64, "openat")
{
    return interpose_opened(creat64(interpose.path, 0600));
}

/* ---- mkstemp ---- */

static char *open_pattern(const char *end)
{
    static char pattern[128];
    snprintf(pattern, sizeof pattern, "%s/t.XXXXXX%s", interpose.root, end);
    return pattern;
}

static bool open_temporary(int fd, const char *path)
{
    return unlink(path) == 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && interpose_opened(fd);
}

#define CALL_TEMPORARY(name, end, ...)                                                                                 \
    CALL(name, "adopt")                                                                                                \
    {                                                                                                                  \
        char *pattern = open_pattern(end);                                                                             \
        int fd = name(pattern, ##__VA_ARGS__);                                                                         \
        return open_temporary(fd, pattern);                                                                            \
    }
CALL_TEMPORARY(mkstemp, "")
CALL_TEMPORARY(mkstemp64, "")
CALL_TEMPORARY(mkostemp, "", O_APPEND)
CALL_TEMPORARY(mkostemp64, "", O_APPEND)
CALL_TEMPORARY(mkstemps, ".x", 2)
CALL_TEMPORARY(mkstemps64, ".x", 2)
CALL_TEMPORARY(mkostemps, ".x", 2, O_APPEND)
CALL_TEMPORARY(mkostemps64, ".x", 2, O_APPEND)

/* File handles are not made by every file system, nor used by every user: the call may fail, but not for want of one. */
CALL(open_by_handle_at, "adopt")
{
    union {
        struct file_handle handle;
        char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } u = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, interpose.path, &u.handle, &mount_id, 0) == 0) {
        int fd = open_by_handle_at(interpose.fd, &u.handle, O_RDONLY);
        if (fd >= 0)
            return interpose_opened(fd);
    }
    bool excused = errno == EOPNOTSUPP || errno == EPERM;
    char *pattern = open_pattern(""); /* so that the core sees the call that it waits for */
    return open_temporary(mkstemp(pattern), pattern) && excused;
}

CALL(memfd_create, "adopt")
{
    return interpose_opened(memfd_create("name", 0));
}

CALL(shm_open, "adopt")
{
    int fd = shm_open("/nvmmio-interpose", O_RDWR | O_CREAT, 0600);
    return shm_unlink("/nvmmio-interpose") == 0 && interpose_opened(fd);
}

CALL(pidfd_getfd, "adopt")
{
    int own = pidfd_open(getpid(), 0);
    return interpose_opened(pidfd_getfd(own, interpose.fd, 0)) && interpose_opened(own);
}

/* ---- close, dup ---- */

static bool open_is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

CALL(close, "close")
{
    return close(interpose.fd) == 0 && open_is_closed(interpose.fd) && close(interpose.fd) < 0 && errno == EBADF;
}

CALL(__close, "close")
{
    return __close(interpose.fd) == 0 && open_is_closed(interpose.fd);
}

CALL(mq_close, "close")
{
    return mq_close(interpose.fd) == 0 && open_is_closed(interpose.fd);
}

CALL(close_range, "close_range")
{
    unsigned fd = (unsigned)interpose.fd;
    return close_range(fd, fd, 0) == 0 && open_is_closed(interpose.fd);
}

static void open_closefrom(void)
{
    closefrom(interpose.fd);
    _exit(open_is_closed(interpose.fd) && !open_is_closed(STDOUT_FILENO) ? 7 : 8);
}

CALL(closefrom, "close_range")
{
    return interpose_in_child(open_closefrom) == 7;
}

CALL(dup, "dup")
{
    return interpose_opened(dup(interpose.fd));
}

CALL(dup2, "dup2")
{
    int target = dup(STDOUT_FILENO);
    return dup2(target, target) == target && dup2(interpose.fd, target) == target && lseek(target, 5, SEEK_SET) == 5 &&
           lseek(interpose.fd, 0, SEEK_CUR) == 5 && interpose_opened(target);
}

CALL(__dup2, "dup2")
{
    int target = dup(STDOUT_FILENO);
    return __dup2(interpose.fd, target) == target && interpose_opened(target);
}

CALL(dup3, "dup3")
{
    int target = dup(STDOUT_FILENO);
    return dup3(interpose.fd, interpose.fd, 0) < 0 && errno == EINVAL &&
           dup3(interpose.fd, target, O_CLOEXEC) == target && fcntl(target, F_GETFD) == FD_CLOEXEC &&
           interpose_opened(target);
}

/* ---- fcntl and locks ---- */

CALL(fcntl, "fcntl")
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    return interpose_opened(fcntl(interpose.fd, F_DUPFD, 3)) &&
           interpose_opened(fcntl(interpose.fd, F_DUPFD_CLOEXEC, 3)) &&
           (fcntl(interpose.fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(interpose.fd, F_SETLK, &lock) == 0;
}

CALL(fcntl64, "fcntl")
{
    return interpose_opened(fcntl64(interpose.fd, F_DUPFD, 3));
}
CALL(__fcntl, "fcntl")
{
    return interpose_opened(__fcntl(interpose.fd, F_DUPFD, 3));
}

CALL(lockf, "fcntl")
{
    return lseek(interpose.fd, 10, SEEK_SET) == 10 && lockf(interpose.fd, F_TEST, 5) == 0 &&
           lockf(interpose.fd, F_LOCK, 5) == 0 && lockf(interpose.fd, F_TLOCK, 5) == 0 &&
           lockf(interpose.fd, F_ULOCK, 5) == 0 && lockf(interpose.fd, -1, 5) < 0 && errno == EINVAL;
}

CALL(lockf64, "lock_prepare")
{
    return lockf64(interpose.fd, F_LOCK, 5) == 0;
}

/* ---- messages ---- */

struct open_message {
    struct msghdr header;
    struct iovec iov;
    char byte;
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(__alignof__(struct cmsghdr))));
};

/* A message that carries the descriptor of the file. */
static void open_make_message(struct open_message *m)
{
    memset(m, 0, sizeof *m);
    m->iov = (struct iovec){&m->byte, 1};
    m->header = (struct msghdr){
        .msg_iov = &m->iov, .msg_iovlen = 1, .msg_control = m->control, .msg_controllen = sizeof m->control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m->header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &interpose.fd, sizeof(int));
}

CALL(sendmsg, "demote")
{
    int ends[2];
    struct open_message m;
    open_make_message(&m);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && sendmsg(ends[0], &m.header, 0) == 1 &&
           interpose_opened(ends[0]) && interpose_opened(ends[1]);
}

CALL(sendmmsg, "demote")
{
    int ends[2];
    struct open_message m;
    struct mmsghdr messages[1];
    open_make_message(&m);
    messages[0].msg_hdr = m.header;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && sendmmsg(ends[0], messages, 1, 0) == 1 &&
           interpose_opened(ends[0]) && interpose_opened(ends[1]);
}

/* Whether a message has come whose descriptor is one of the file. */
static bool open_received(ssize_t result, struct open_message *m)
{
    int fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m->header);
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return result == 1 && lseek(interpose.fd, 7, SEEK_SET) == 7 && lseek(fd, 0, SEEK_CUR) == 7 && interpose_opened(fd);
}

CALL(recvmsg, "adopt")
{
    int ends[2];
    struct open_message m;
    open_make_message(&m);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && sendmsg(ends[0], &m.header, 0) == 1 &&
           open_received(recvmsg(ends[1], &m.header, 0), &m) && interpose_opened(ends[0]) && interpose_opened(ends[1]);
}

CALL(recvmmsg, "adopt")
{
    int ends[2];
    struct open_message m;
    struct mmsghdr messages[1];
    open_make_message(&m);
    messages[0].msg_hdr = m.header;
    return socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 && sendmsg(ends[0], &m.header, 0) == 1 &&
           open_received(recvmmsg(ends[1], messages, 1, 0, NULL), &m) && interpose_opened(ends[0]) &&
           interpose_opened(ends[1]);
}
