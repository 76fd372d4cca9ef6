/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_times.c — times are set: utimensat and its many older forms. Layer preload.
 */
#include "preload/preload.h"

#include <sys/time.h>
#include <utime.h>

#define TIMES_MICROSECONDS 1000000
#define TIMES_NANOSECONDS 1000

int preload_utimens(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (!path) { /* the system call would take the descriptor's own file */
        const struct nvmmio_core *core = preload_serves(dirfd);
        return (int)preload_result(core ? core->futimens(dirfd, times) : sys_utimensat(dirfd, NULL, times, flags));
    }
    const struct nvmmio_core *core = preload_core();
    struct stat st;
    if (!core && preload_hopeful() && sys_fstatat(dirfd, path, &st, flags) == 0 && preload_root_is_served(&st))
        core = preload_core_load();
    return (int)preload_result(core ? core->utimensat(dirfd, path, times, flags)
                                    : sys_utimensat(dirfd, path, times, flags));
}

int preload_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    return path ? preload_utimens(dirfd, path, times, flags) : (int)preload_result(-EINVAL);
}

int preload_futimens(int fd, const struct timespec times[2])
{
    return fd < 0 ? (int)preload_result(-EBADF) : preload_utimens(fd, NULL, times, 0);
}

/* ---- times in microseconds ---- */

/* The times in nanoseconds, NULL for "now"; false with errno where they are none. */
static bool times_convert(const struct timeval from[2], struct timespec to[2], const struct timespec **times)
{
    *times = from ? to : NULL;
    for (int i = 0; from && i < 2; i++) {
        if (from[i].tv_usec < 0 || from[i].tv_usec >= TIMES_MICROSECONDS) {
            errno = EINVAL;
            return false;
        }
        to[i].tv_sec = from[i].tv_sec;
        to[i].tv_nsec = from[i].tv_usec * TIMES_NANOSECONDS;
    }
    return true;
}

static int times_set(int dirfd, const char *path, const struct timeval times[2], int flags)
{
    struct timespec buffer[2];
    const struct timespec *converted;
    return times_convert(times, buffer, &converted) ? preload_utimens(dirfd, path, converted, flags) : -1;
}

int preload_futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    return times_set(dirfd, path, times, 0);
}

int preload_futimes(int fd, const struct timeval times[2])
{
    return fd < 0 ? (int)preload_result(-EBADF) : times_set(fd, NULL, times, 0);
}

/* Without a path the kernel would take AT_FDCWD for a descriptor and say EBADF, where the calls by path say EFAULT. */
int preload_utimes(const char *path, const struct timeval times[2])
{
    return path ? times_set(AT_FDCWD, path, times, 0) : (int)preload_result(-EFAULT);
}

int preload_lutimes(const char *path, const struct timeval times[2])
{
    return path ? times_set(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) : (int)preload_result(-EFAULT);
}

int preload_utime(const char *path, const struct utimbuf *times)
{
    struct timeval converted[2];
    if (times) {
        converted[0] = (struct timeval){.tv_sec = times->actime};
        converted[1] = (struct timeval){.tv_sec = times->modtime};
    }
    return preload_utimes(path, times ? converted : NULL);
}

#define PRELOAD_EXPORT_times PRELOAD_ALIAS
#include "preload/preload_export.h"
