/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_open.c — descriptors are made: open, creat, mkstemp and their kin. Layer preload.
 */
#include "preload/preload.h"

#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>

/* Whether the call has a mode as its last argument. */
static bool open_has_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* What must not reach a file of another process's log by the kernel alone: a truncation, and the O_ATOMIC of a file that
 * exists (the bit is the core's). */
static const struct nvmmio_core *open_core(int dirfd, const char *path, int flags)
{
    const struct nvmmio_core *core = preload_core();
    if (!core && (flags & (O_TRUNC | O_ATOMIC)) && preload_hopeful() &&
        preload_root_holds_path(dirfd, path, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0))
        core = preload_core_load();
    return core && !preload_foreign() ? core : NULL;
}

/* With threads the kernel opens, so that one that waits for a FIFO's other end can be cancelled. */
int preload_openat_mode(int dirfd, const char *path, int flags, mode_t mode)
{
    const struct nvmmio_core *core = open_core(dirfd, path, flags);
    if (core && (!preload_threaded() || (flags & (O_TRUNC | O_ATOMIC)))) {
        preload_cancel_point();
        return (int)preload_result(core->openat(dirfd, path, flags, mode));
    }
    long fd = preload_wait(SYS_openat, dirfd, (long)path, flags & ~O_ATOMIC, (long)mode, 0, 0);
    if (fd == -EMFILE && core && core->relieve())
        fd = preload_wait(SYS_openat, dirfd, (long)path, flags & ~O_ATOMIC, (long)mode, 0, 0);
    if (fd == -EAGAIN && core) /* O_NONBLOCK met a lease: it may be the core's own */
        return (int)preload_result(core->openat(dirfd, path, flags, mode));
    return (int)preload_result(preload_adopt_result(fd, flags));
}

int preload_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (open_has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return preload_openat_mode(AT_FDCWD, path, flags, mode);
}

int preload_openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (open_has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return preload_openat_mode(dirfd, path, flags, mode);
}

/* The checked forms have no mode: libc's own ends the program if one was needed. */
int preload_openat_2(int dirfd, const char *path, int flags)
{
    if (open_has_mode(flags)) {
        int (*real)(const char *, int) = preload_real(PRELOAD_REAL___open_2);
        return real ? real(path, flags) : -1;
    }
    return preload_openat_mode(dirfd, path, flags, 0);
}

int preload_open_2(const char *path, int flags)
{
    return preload_openat_2(AT_FDCWD, path, flags);
}

int preload_creat(const char *path, mode_t mode)
{
    return preload_openat_mode(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- opened by the kernel in other ways: O_TRUNC is kept back, a file that is in use is cut by the core ---- */

/* What O_TRUNC does, to a descriptor that was just opened without it: fd, or -errno with nothing left open. */
static long open_cut(long fd, int flags)
{
    struct stat st;
    if (fd < 0 || !(flags & O_TRUNC) || sys_fstat((int)fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fd;
    int saved = errno;
    char path[PRELOAD_FD_NAME];
    preload_fd_name((int)fd, path);
    int result = (flags & O_ACCMODE) == O_RDONLY ? preload_truncate(path, 0) : preload_ftruncate((int)fd, 0);
    long error = result ? -errno : 0;
    errno = saved;
    if (error)
        preload_close((int)fd);
    return error ? error : fd;
}

int preload_open_by_handle_at(int mount_fd, void *handle, int flags)
{
    long fd = preload_wait(SYS_open_by_handle_at, mount_fd, (long)handle, flags & ~(O_ATOMIC | O_TRUNC), 0, 0, 0);
    return (int)preload_result(open_cut(preload_adopt_result(fd, flags), flags));
}

/* By syscall() alone. What cannot be read, or is larger than what is known here, is for the kernel to judge. */
int preload_openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    struct open_how kept;
    int flags = PRELOAD_ASK_FLAGS, cut = 0;
    if (size == sizeof kept && preload_peek(&kept, how, sizeof kept)) {
        flags = (int)kept.flags;
        if ((flags & O_TRUNC) && !(flags & O_PATH)) {
            kept.flags &= ~(uint64_t)O_TRUNC;
            how = &kept;
            cut = flags;
        }
    }
    long fd = rawsys(SYS_openat2, dirfd, (long)path, (long)how, (long)size, 0, 0);
    return (int)preload_result(open_cut(preload_adopt_result(fd, flags), cut));
}

int preload_memfd_create(const char *name, unsigned flags)
{
    return (int)preload_result(
        preload_adopt_result(rawsys(SYS_memfd_create, (long)name, flags, 0, 0, 0, 0), PRELOAD_ASK_FLAGS));
}

int preload_shm_open(const char *name, int flags, mode_t mode)
{
    int (*real)(const char *, int, mode_t) = preload_real(PRELOAD_REAL_shm_open);
    int fd = real ? real(name, flags & ~O_TRUNC, mode) : -1;
    return fd < 0 ? fd : (int)preload_result(open_cut(preload_adopt_result(fd, flags), flags));
}

/* ---- the mkstemp family opens inside libc ---- */

static int open_adopt_temporary(int fd, int flags)
{
    if (fd >= 0)
        preload_adopt(fd, O_RDWR | O_CREAT | O_EXCL | flags);
    return fd;
}

int preload_mkostemps(char *pattern, int suffix, int flags)
{
    int (*real)(char *, int, int) = preload_real(PRELOAD_REAL_mkostemps);
    return real ? open_adopt_temporary(real(pattern, suffix, flags & ~O_ATOMIC), flags) : -1;
}

int preload_mkostemp(char *pattern, int flags)
{
    int (*real)(char *, int) = preload_real(PRELOAD_REAL_mkostemp);
    return real ? open_adopt_temporary(real(pattern, flags & ~O_ATOMIC), flags) : -1;
}

int preload_mkstemps(char *pattern, int suffix)
{
    int (*real)(char *, int) = preload_real(PRELOAD_REAL_mkstemps);
    return real ? open_adopt_temporary(real(pattern, suffix), 0) : -1;
}

int preload_mkstemp(char *pattern)
{
    int (*real)(char *) = preload_real(PRELOAD_REAL_mkstemp);
    return real ? open_adopt_temporary(real(pattern), 0) : -1;
}

#define PRELOAD_EXPORT_open PRELOAD_ALIAS
#include "preload/preload_export.h"
