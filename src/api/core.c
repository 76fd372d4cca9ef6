/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * core.c — the table of core.h: the functions of layer file, each as a call that the thread is inside of. Layer api;
 * read by preload.
 */
#include "api/core.h"

#include "api/init.h"
#include "base/highfd.h"
#include "base/inside.h"
#include "base/rcu.h"
#include "file/fd_table.h"
#include "file/file.h"
#include "file/file_lock.h"
#include "pm/pm_guard.h"

_Static_assert(NVMMIO_MANAGED_LOCKS == FD_HINT_LOCKS, "one word for it");

/* A macro, since the calls differ in their types and numbers of arguments alone. */
#define CORE_CALL(type, name, parameters, arguments)                                                                   \
    static type core_##name parameters                                                                                 \
    {                                                                                                                  \
        inside_enter();                                                                                                \
        type result = file_##name arguments;                                                                           \
        inside_leave();                                                                                                \
        return result;                                                                                                 \
    }
CORE_CALL(int, openat, (int dirfd, const char *path, int flags, mode_t mode), (dirfd, path, flags, mode))
CORE_CALL(int, adopt, (int fd, int flags), (fd, flags))
CORE_CALL(bool, take_over, (int fd), (fd))
CORE_CALL(int, close, (int fd), (fd))
CORE_CALL(int, release, (int fd), (fd))
CORE_CALL(int, dup, (int fd), (fd))
CORE_CALL(int, dup2, (int fd, int newfd), (fd, newfd))
CORE_CALL(int, dup3, (int fd, int newfd, int flags), (fd, newfd, flags))
CORE_CALL(int, close_range, (unsigned first, unsigned last, unsigned flags), (first, last, flags))
CORE_CALL(int, fcntl, (int fd, int cmd, long arg), (fd, cmd, arg))
CORE_CALL(int, lock_prepare, (int fd, const struct flock *given, struct flock *lock), (fd, given, lock))
CORE_CALL(int, ring_begin, (void), ())
CORE_CALL(ssize_t, read, (int fd, void *buf, size_t count), (fd, buf, count))
CORE_CALL(ssize_t, write, (int fd, const void *buf, size_t count), (fd, buf, count))
CORE_CALL(ssize_t, pread, (int fd, void *buf, size_t count, off_t offset), (fd, buf, count, offset))
CORE_CALL(ssize_t, pwrite, (int fd, const void *buf, size_t count, off_t offset), (fd, buf, count, offset))
CORE_CALL(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))
CORE_CALL(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count))
CORE_CALL(ssize_t, preadv2, (int fd, const struct iovec *iov, int count, off_t offset, int flags),
          (fd, iov, count, offset, flags))
CORE_CALL(ssize_t, pwritev2, (int fd, const struct iovec *iov, int count, off_t offset, int flags),
          (fd, iov, count, offset, flags))
CORE_CALL(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
CORE_CALL(int, fsync, (int fd), (fd))
CORE_CALL(int, fdatasync, (int fd), (fd))
CORE_CALL(int, ftruncate, (int fd, off_t length), (fd, length))
CORE_CALL(int, truncate, (const char *path, off_t length), (path, length))
CORE_CALL(int, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length))
CORE_CALL(int, chown, (int dirfd, const char *path, uid_t uid, gid_t gid, int flags), (dirfd, path, uid, gid, flags))
CORE_CALL(int, rename, (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
          (from_dir, from, to_dir, to, flags))
CORE_CALL(int, fstat, (int fd, struct stat *st), (fd, st))
CORE_CALL(int, fstatat, (int dirfd, const char *path, struct stat *st, int flags), (dirfd, path, st, flags))
CORE_CALL(int, statx, (int dirfd, const char *path, int flags, unsigned mask, struct statx *stx),
          (dirfd, path, flags, mask, stx))
CORE_CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
CORE_CALL(int, utimensat, (int dirfd, const char *path, const struct timespec times[2], int flags),
          (dirfd, path, times, flags))
CORE_CALL(void *, mmap, (void *addr, size_t length, int prot, int flags, int fd, off_t offset),
          (addr, length, prot, flags, fd, offset))
CORE_CALL(void *, mremap, (void *old, size_t old_length, size_t length, int flags, void *addr),
          (old, old_length, length, flags, addr))
CORE_CALL(int, nvmunmap, (void *addr, size_t length), (addr, length))
CORE_CALL(int, nvmsync, (void *addr, size_t length, int flags), (addr, length, flags))
CORE_CALL(int, remove, (void *addr, size_t length), (addr, length))
CORE_CALL(int, mprotect, (void *addr, size_t length, int prot), (addr, length, prot))
CORE_CALL(bool, touch, (const void *addr, size_t length), (addr, length))
CORE_CALL(bool, peek, (void *to, const void *from, size_t length), (to, from, length))
#undef CORE_CALL

static int core_demote(int fd, int reason)
{
    inside_enter();
    int result = file_demote(fd, (enum uma_demotion)reason);
    inside_leave();
    return result;
}

static void core_demote_inheritable(bool own_memory)
{
    inside_enter();
    file_demote_inheritable(own_memory);
    inside_leave();
}

static void core_sync_all(void)
{
    inside_enter();
    file_sync_all();
    inside_leave();
}

static void core_before_exec(void)
{
    inside_enter();
    file_before_exec();
    inside_leave();
}

static void core_exec_failed(void)
{
    inside_enter();
    file_exec_failed();
    inside_leave();
}

static void core_take_over_end(void)
{
    inside_enter();
    file_take_over_end();
    inside_leave();
}

static void core_limit_changed(void)
{
    inside_enter();
    file_limit_changed();
    inside_leave();
}

static bool core_relieve(void)
{
    inside_enter();
    bool result = file_relieve();
    inside_leave();
    return result;
}

static void core_before_move(unsigned what, const char *target)
{
    inside_enter();
    file_before_move(what, target);
    inside_leave();
}

static void core_after_move(unsigned what, bool moved)
{
    inside_enter();
    file_after_move(what, moved);
    inside_leave();
}

static void core_before_user(uint32_t euid, bool privileged)
{
    inside_enter();
    file_before_user(euid, privileged);
    inside_leave();
}

static long core_by_kernel(int in, int out, int reason, long (*call)(const void *arg), const void *arg)
{
    inside_enter();
    long result = file_by_kernel(in, out, (enum uma_demotion)reason, call, arg);
    inside_leave();
    return result;
}

static void core_before_bare(void)
{
    inside_enter();
    file_before_bare();
    inside_leave();
    rcu_before_bare();
}

const struct nvmmio_core nvmmio_core = {
    .version = NVMMIO_CORE_VERSION,
    .size = sizeof(struct nvmmio_core),
    .managed = (const volatile uint8_t *)fd_table.hints,
    .managed_count = FD_HINTS,
    .lock_passes = file_lock_passes,
    .openat = core_openat,
    .adopt = core_adopt,
    .relieve = core_relieve,
    .close = core_close,
    .release = core_release,
    .dup = core_dup,
    .dup2 = core_dup2,
    .dup3 = core_dup3,
    .close_range = core_close_range,
    .fcntl = core_fcntl,
    .lock_prepare = core_lock_prepare,
    .is_managed = file_is_managed,
    .is_own = highfd_is_internal,
    .read = core_read,
    .write = core_write,
    .pread = core_pread,
    .pwrite = core_pwrite,
    .readv = core_readv,
    .writev = core_writev,
    .preadv2 = core_preadv2,
    .pwritev2 = core_pwritev2,
    .lseek = core_lseek,
    .fsync = core_fsync,
    .fdatasync = core_fdatasync,
    .sync_all = core_sync_all,
    .ftruncate = core_ftruncate,
    .truncate = core_truncate,
    .fallocate = core_fallocate,
    .chown = core_chown,
    .rename = core_rename,
    .fstat = core_fstat,
    .fstatat = core_fstatat,
    .statx = core_statx,
    .futimens = core_futimens,
    .utimensat = core_utimensat,
    .mmap = core_mmap,
    .munmap = core_nvmunmap,
    .msync = core_nvmsync,
    .remove = core_remove,
    .mprotect = core_mprotect,
    .touch = core_touch,
    .peek = core_peek,
    .mremap = core_mremap,
    .demote = core_demote,
    .by_kernel = core_by_kernel,
    .demote_inheritable = core_demote_inheritable,
    .ring_begin = core_ring_begin,
    .before_exec = core_before_exec,
    .exec_failed = core_exec_failed,
    .take_over = core_take_over,
    .take_over_end = core_take_over_end,
    .attend = api_attend,
    .before_fork = api_before_fork,
    .after_fork_parent = api_after_fork_parent,
    .after_fork_child = api_after_fork_child,
    .before_bare = core_before_bare,
    .after_bare = rcu_after_bare,
    .born = api_born,
    .sigaction = pm_guard_action,
    .before_move = core_before_move,
    .after_move = core_after_move,
    .before_user = core_before_user,
    .main_ended = file_main_ended,
    .defer = inside_defer,
    .doubt = inside_doubt,
    .exit = api_exit,
    .limit_changed = core_limit_changed,
};
