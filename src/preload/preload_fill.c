/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_fill.c — which memory of the application a system call fills, so that it can be made again where that is a
 * failure-atomic mapping; and the calls of libc that fill a small structure and are otherwise none of ours. Layer preload.
 *
 * Only calls that change nothing before they store: what has received or taken something would lose it (preload_buffer.c).
 */
#include "preload/preload.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

enum {
    FILL_VECTORS = 32, /* of a vector that are looked at */
    FILL_ONCE = -1,    /* `unit` bytes, */
    FILL_TOLD = -2,    /* as many as the word says that the next argument points to */
};

/* A call stores to the memory that argument `at` points to: `unit` bytes for each that argument `count` counts. A call may have
 * several. */
static const struct fill {
    short number;
    signed char at, count;
    unsigned short unit;
} fills[] = {
    {SYS_read, 1, 2, 1},
    {SYS_pread64, 1, 2, 1},
    {SYS_getdents64, 1, 2, 1},
    {SYS_getrandom, 0, 1, 1},
    {SYS_poll, 0, 1, sizeof(struct pollfd)},
    {SYS_ppoll, 0, 1, sizeof(struct pollfd)},
    {SYS_epoll_wait, 1, 2, sizeof(struct epoll_event)},
    {SYS_epoll_pwait, 1, 2, sizeof(struct epoll_event)},
    {SYS_epoll_pwait2, 1, 2, sizeof(struct epoll_event)},
    {SYS_readlink, 1, 2, 1},
    {SYS_readlinkat, 2, 3, 1},
    {SYS_getcwd, 0, 1, 1},
    {SYS_uname, 0, FILL_ONCE, sizeof(struct utsname)},
    {SYS_sysinfo, 0, FILL_ONCE, sizeof(struct sysinfo)},
    {SYS_times, 0, FILL_ONCE, sizeof(struct tms)},
    {SYS_getrusage, 1, FILL_ONCE, sizeof(struct rusage)},
    {SYS_getrlimit, 1, FILL_ONCE, sizeof(struct rlimit)},
    {SYS_getitimer, 1, FILL_ONCE, sizeof(struct itimerval)},
    {SYS_timerfd_gettime, 1, FILL_ONCE, sizeof(struct itimerspec)},
    {SYS_clock_gettime, 1, FILL_ONCE, sizeof(struct timespec)},
    {SYS_clock_getres, 1, FILL_ONCE, sizeof(struct timespec)},
    {SYS_gettimeofday, 0, FILL_ONCE, sizeof(struct timeval)},
    {SYS_statfs, 1, FILL_ONCE, sizeof(struct statfs)},
    {SYS_fstatfs, 1, FILL_ONCE, sizeof(struct statfs)},
    {SYS_getgroups, 1, 0, sizeof(gid_t)},
    {SYS_sched_getaffinity, 2, 1, 1},
    {SYS_getxattr, 2, 3, 1},
    {SYS_lgetxattr, 2, 3, 1},
    {SYS_fgetxattr, 2, 3, 1},
    {SYS_listxattr, 1, 2, 1},
    {SYS_llistxattr, 1, 2, 1},
    {SYS_flistxattr, 1, 2, 1},
    {SYS_getsockname, 1, FILL_TOLD, 1},
    {SYS_getsockname, 2, FILL_ONCE, sizeof(socklen_t)},
    {SYS_getpeername, 1, FILL_TOLD, 1},
    {SYS_getpeername, 2, FILL_ONCE, sizeof(socklen_t)},
    {SYS_getsockopt, 3, FILL_TOLD, 1},
    {SYS_getsockopt, 4, FILL_ONCE, sizeof(socklen_t)},
    {SYS_pipe, 0, FILL_ONCE, 2 * sizeof(int)},
    {SYS_pipe2, 0, FILL_ONCE, 2 * sizeof(int)},
    {SYS_socketpair, 3, FILL_ONCE, 2 * sizeof(int)},
};

static bool fill_touch(const struct nvmmio_core *core, const struct fill *fill, const long a[6])
{
    socklen_t told = 0;
    long count = fill->count >= 0 ? a[fill->count] : 1;
    if (fill->count == FILL_TOLD)
        count = preload_peek(&told, (const void *)a[fill->at + 1], sizeof told) ? (long)told : 0;
    return count > 0 && core->touch((const void *)a[fill->at], (size_t)count * fill->unit);
}

static bool touch_vector(const struct nvmmio_core *core, const struct iovec *from, size_t count)
{
    struct iovec iov[FILL_VECTORS];
    bool any = false;
    if (!count || count > FILL_VECTORS || !preload_peek(iov, from, count * sizeof *iov))
        return false;
    for (size_t i = 0; i < count; i++)
        any = core->touch(iov[i].iov_base, iov[i].iov_len) || any;
    return any;
}

bool preload_touch(long number, const long a[6])
{
    const struct nvmmio_core *core = preload_core();
    bool any = false;
    if (!core)
        return false;
    if (number == SYS_readv || number == SYS_preadv2)
        return touch_vector(core, (const struct iovec *)a[1], (size_t)a[2]);
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++)
        any = (fills[i].number == number && fill_touch(core, &fills[i], a)) || any;
    return any;
}

/* ---- the calls of libc; no cancellation points ---- */

static long fill(long number, long a, long b, long c, long d)
{
    const long arguments[6] = {a, b, c, d, 0, 0};
    return preload_plain(number, arguments);
}

ssize_t preload_readlink(const char *path, char *buf, size_t size)
{
    return preload_result(fill(SYS_readlink, (long)path, (long)buf, (long)size, 0));
}

ssize_t preload_readlinkat(int dirfd, const char *path, char *buf, size_t size)
{
    return preload_result(fill(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)size));
}

/* By libc, which makes memory where it is given none, and finds what the kernel cannot tell. */
char *preload_getcwd(char *buf, size_t size)
{
    char *(*real)(char *, size_t) = preload_real(PRELOAD_REAL_getcwd);
    const long arguments[6] = {(long)buf, (long)size};
    char *result;
    unsigned touches = 0;
    do
        result = real ? real(buf, size) : NULL;
    while (!result && buf && errno == EFAULT && touches++ < PRELOAD_TOUCHES && preload_touch(SYS_getcwd, arguments));
    return result;
}

int preload_uname(struct utsname *name)
{
    return (int)preload_result(fill(SYS_uname, (long)name, 0, 0, 0));
}

int preload_sysinfo(struct sysinfo *info)
{
    return (int)preload_result(fill(SYS_sysinfo, (long)info, 0, 0, 0));
}

int preload_getrusage(int who, struct rusage *usage)
{
    return (int)preload_result(fill(SYS_getrusage, who, (long)usage, 0, 0));
}

int preload_getitimer(int which, struct itimerval *value)
{
    return (int)preload_result(fill(SYS_getitimer, which, (long)value, 0, 0));
}

int preload_statfs(const char *path, struct statfs *st)
{
    return (int)preload_result(fill(SYS_statfs, (long)path, (long)st, 0, 0));
}

int preload_fstatfs(int fd, struct statfs *st)
{
    return (int)preload_result(fill(SYS_fstatfs, fd, (long)st, 0, 0));
}

int preload_getsockname(int fd, struct sockaddr *name, socklen_t *length)
{
    return (int)preload_result(fill(SYS_getsockname, fd, (long)name, (long)length, 0));
}

int preload_getpeername(int fd, struct sockaddr *name, socklen_t *length)
{
    return (int)preload_result(fill(SYS_getpeername, fd, (long)name, (long)length, 0));
}

#define PRELOAD_EXPORT_fill PRELOAD_ALIAS
#include "preload/preload_export.h"
