/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fake_core.c — a libnvmmio.so.0 for tests of the preload library: it counts the calls of each function of the core and
 * makes the system call. The counts are shared with forked children.
 *
 * A file is managed if its path begins with NVMMIO_ROOT.
 */
#include "api/core.h"
#include "base/rawsys.h"
#include "nvmmio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FAKE_DESCRIPTORS 64
#define FAKE_PATH 512

/* clang-format off */
#define FAKE_FUNCTIONS(X)                                                                                              \
    X(openat) X(adopt) X(close) X(release) X(dup) X(dup2) X(dup3) X(close_range) X(fcntl) X(lock_prepare) X(is_managed) X(read)        \
    X(write) X(pread) X(pwrite) X(readv) X(writev) X(preadv2) X(pwritev2) X(lseek) X(fsync) X(fdatasync)               \
    X(sync_all) X(ftruncate) X(truncate) X(fallocate) X(chown) X(rename) X(fstat) X(fstatat) X(statx) X(futimens) X(utimensat)            \
    X(mmap) X(munmap) X(msync) X(remove) X(mprotect) X(touch) X(mremap) X(demote) X(by_kernel) X(demote_inheritable) X(ring_begin) X(before_exec) X(exec_failed) X(limit_changed) X(sigaction)  \
    X(doubt) X(before_move) X(after_move) X(before_user) X(exit)
/* clang-format on */

enum fake_function {
#define FAKE_ENUM(name) FAKE_##name,
    FAKE_FUNCTIONS(FAKE_ENUM) FAKE_COUNT
};

struct fake {
    uint8_t managed[FAKE_DESCRIPTORS];
    unsigned long *calls; /* FAKE_COUNT, shared */
    int reason;           /* of the last demotion */
    bool own_memory;      /* of the last demote_inheritable */
    bool (*foreign)(void);
};
static struct fake fake;

#define FAKE_API __attribute__((visibility("default")))

static void fake_call(enum fake_function function)
{
    fake.calls[function]++;
}

/* How often the function of the core was called; -1: there is none of that name. */
FAKE_API long fake_core_calls(const char *function)
{
    static const char *const names[] = {
#define FAKE_NAME(name) #name,
        FAKE_FUNCTIONS(FAKE_NAME)};
    for (unsigned i = 0; i < FAKE_COUNT; i++)
        if (strcmp(names[i], function) == 0)
            return (long)fake.calls[i];
    return -1;
}

FAKE_API int fake_core_reason(void)
{
    return fake.reason;
}

FAKE_API bool fake_core_foreign(void)
{
    return fake.foreign();
}

FAKE_API bool fake_core_own_memory(void)
{
    return fake.own_memory;
}

__attribute__((constructor)) static void fake_start(void)
{
    fake.calls =
        sys_mmap(NULL, FAKE_COUNT * sizeof *fake.calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* ---- descriptors ---- */

static void fake_set(int fd, bool managed)
{
    if (fd >= 0 && fd < FAKE_DESCRIPTORS)
        fake.managed[fd] = managed;
}

static bool fake_is_in_root(int fd)
{
    char name[sizeof "/proc/self/fd/" + 11];
    char path[FAKE_PATH];
    const char *root = getenv("NVMMIO_ROOT");
    struct stat st;
    if (sys_fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = sys_readlinkat(AT_FDCWD, name, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return root && strncmp(path, root, strlen(root)) == 0;
}

static bool fake_is_managed(int fd)
{
    fake_call(FAKE_is_managed);
    return fd < FAKE_DESCRIPTORS && fake.managed[fd];
}

/* It has none; closing what is not managed needs no more of it. */
static bool fake_is_own(int fd)
{
    (void)fd;
    return false;
}

static int fake_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    fake_call(FAKE_openat);
    int fd = sys_openat(dirfd, path, flags & ~O_ATOMIC, mode);
    fake_set(fd, fd >= 0 && fake_is_in_root(fd));
    return fd;
}

static int fake_adopt(int fd, int flags)
{
    (void)flags;
    fake_call(FAKE_adopt);
    fake_set(fd, fake_is_in_root(fd));
    return 0;
}

static int fake_close(int fd)
{
    fake_call(FAKE_close);
    fake_set(fd, false);
    return sys_close(fd);
}

static int fake_release(int fd)
{
    fake_call(FAKE_release);
    fake_set(fd, false);
    return 0;
}

static int fake_copy(int fd, int newfd)
{
    if (newfd >= 0)
        fake_set(newfd, fd < FAKE_DESCRIPTORS && fake.managed[fd]);
    return newfd;
}

static int fake_dup(int fd)
{
    fake_call(FAKE_dup);
    return fake_copy(fd, sys_dup(fd));
}

static int fake_dup2(int fd, int newfd)
{
    fake_call(FAKE_dup2);
    if (fd == newfd) {
        int flags = sys_fcntl(fd, F_GETFD, 0);
        return flags < 0 ? flags : fd;
    }
    return fake_copy(fd, sys_dup3(fd, newfd, 0));
}

static int fake_dup3(int fd, int newfd, int flags)
{
    fake_call(FAKE_dup3);
    return fake_copy(fd, sys_dup3(fd, newfd, flags));
}

static int fake_close_range(unsigned first, unsigned last, unsigned flags)
{
    fake_call(FAKE_close_range);
    for (unsigned i = first; i <= last && i < FAKE_DESCRIPTORS; i++)
        fake_set((int)i, false);
    return (int)rawsys(SYS_close_range, first, last, flags, 0, 0, 0);
}

static int fake_lock_prepare(int fd, const struct flock *given, struct flock *lock)
{
    (void)fd;
    fake_call(FAKE_lock_prepare);
    *lock = *given;
    return 0;
}

static int fake_fcntl(int fd, int cmd, long arg)
{
    fake_call(FAKE_fcntl);
    int result = sys_fcntl(fd, cmd, arg);
    return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? fake_copy(fd, result) : result;
}

/* ---- data ---- */

static ssize_t fake_read(int fd, void *buf, size_t count)
{
    fake_call(FAKE_read);
    return sys_read(fd, buf, count);
}

static ssize_t fake_write(int fd, const void *buf, size_t count)
{
    fake_call(FAKE_write);
    return sys_write(fd, buf, count);
}

static ssize_t fake_pread(int fd, void *buf, size_t count, off_t offset)
{
    fake_call(FAKE_pread);
    return sys_pread(fd, buf, count, offset);
}

static ssize_t fake_pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    fake_call(FAKE_pwrite);
    return sys_pwrite(fd, buf, count, offset);
}

static ssize_t fake_readv(int fd, const struct iovec *iov, int count)
{
    fake_call(FAKE_readv);
    return sys_readv(fd, iov, count);
}

static ssize_t fake_writev(int fd, const struct iovec *iov, int count)
{
    fake_call(FAKE_writev);
    return sys_writev(fd, iov, count);
}

static ssize_t fake_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    fake_call(FAKE_preadv2);
    return sys_preadv2(fd, iov, count, offset, flags);
}

static ssize_t fake_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    fake_call(FAKE_pwritev2);
    return sys_pwritev2(fd, iov, count, offset, flags);
}

static off_t fake_lseek(int fd, off_t offset, int whence)
{
    fake_call(FAKE_lseek);
    return sys_lseek(fd, offset, whence);
}

static int fake_fsync(int fd)
{
    fake_call(FAKE_fsync);
    return sys_fsync(fd);
}

static int fake_fdatasync(int fd)
{
    fake_call(FAKE_fdatasync);
    return sys_fdatasync(fd);
}

static void fake_sync_all(void)
{
    fake_call(FAKE_sync_all);
}

/* ---- size, status, times ---- */

static int fake_ftruncate(int fd, off_t length)
{
    fake_call(FAKE_ftruncate);
    return sys_ftruncate(fd, length);
}

static int fake_truncate(const char *path, off_t length)
{
    fake_call(FAKE_truncate);
    return (int)rawsys(SYS_truncate, (long)path, length, 0, 0, 0, 0);
}

static int fake_chown(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    fake_call(FAKE_chown);
    return path ? sys_fchownat(dirfd, path, uid, gid, flags) : sys_fchown(dirfd, uid, gid);
}

static int fake_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    fake_call(FAKE_rename);
    return sys_renameat2(from_dir, from, to_dir, to, flags);
}

static int fake_fallocate(int fd, int mode, off_t offset, off_t length)
{
    fake_call(FAKE_fallocate);
    return sys_fallocate(fd, mode, offset, length);
}

static int fake_fstat(int fd, struct stat *st)
{
    fake_call(FAKE_fstat);
    return sys_fstat(fd, st);
}

static int fake_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    fake_call(FAKE_fstatat);
    return sys_fstatat(dirfd, path, st, flags);
}

static int fake_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    fake_call(FAKE_statx);
    return sys_statx(dirfd, path, flags, mask, stx);
}

static int fake_futimens(int fd, const struct timespec times[2])
{
    fake_call(FAKE_futimens);
    return sys_utimensat(fd, NULL, times, 0);
}

static int fake_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    fake_call(FAKE_utimensat);
    return sys_utimensat(dirfd, path, times, flags);
}

/* ---- mappings, demotion, the end ---- */

static void *fake_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    fake_call(FAKE_mmap);
    return sys_mmap(addr, length, prot, flags, fd, offset);
}

static int fake_munmap(void *addr, size_t length)
{
    fake_call(FAKE_munmap);
    return sys_munmap(addr, length);
}

static int fake_msync(void *addr, size_t length, int flags)
{
    fake_call(FAKE_msync);
    return sys_msync(addr, length, flags);
}

static int fake_mprotect(void *addr, size_t length, int prot)
{
    fake_call(FAKE_mprotect);
    return sys_mprotect(addr, length, prot);
}

static bool fake_touch(const void *addr, size_t length)
{
    (void)addr;
    (void)length;
    fake_call(FAKE_touch);
    return false;
}

static bool fake_peek(void *to, const void *from, size_t length)
{
    (void)to;
    (void)from;
    (void)length;
    return false; /* the kernel is asked then */
}

static int fake_remove(void *addr, size_t length)
{
    fake_call(FAKE_remove);
    return sys_madvise(addr, length, MADV_REMOVE);
}

static void *fake_mremap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    fake_call(FAKE_mremap);
    return sys_mremap(old, old_length, length, flags, new);
}

static long fake_by_kernel(int in, int out, int reason, long (*call)(const void *arg), const void *arg)
{
    (void)in, (void)out, (void)reason;
    fake_call(FAKE_by_kernel);
    return call(arg);
}

static int fake_demote(int fd, int reason)
{
    (void)fd;
    fake_call(FAKE_demote);
    fake.reason = reason;
    return 0;
}

static bool fake_take_over(int fd)
{
    (void)fd;
    return false;
}

static void fake_exec_failed(void)
{
    fake_call(FAKE_exec_failed);
}

static void fake_before_exec(void)
{
    fake_call(FAKE_before_exec);
}

static void fake_demote_inheritable(bool own_memory)
{
    fake_call(FAKE_demote_inheritable);
    fake.own_memory = own_memory;
}

static int fake_ring_begin(void)
{
    fake_call(FAKE_ring_begin);
    return -ENOSYS;
}

static void fake_limit_changed(void)
{
    fake_call(FAKE_limit_changed);
}

static int fake_sigaction(int signal, const struct sys_action *new, struct sys_action *old)
{
    fake_call(FAKE_sigaction);
    return sys_sigaction(signal, new, old);
}

static void fake_doubt(void)
{
    fake_call(FAKE_doubt);
}

static bool fake_defer(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    return false;
}

static void fake_exit(void)
{
    fake_call(FAKE_exit);
}

static bool fake_relieve(void)
{
    return false;
}

static void fake_attend(bool (*foreign)(void))
{
    fake.foreign = foreign;
}

static void fake_before_move(unsigned what, const char *target)
{
    (void)what;
    (void)target;
    fake_call(FAKE_before_move);
}

static void fake_after_move(unsigned what, bool moved)
{
    (void)what;
    (void)moved;
    fake_call(FAKE_after_move);
}

static void fake_before_user(uint32_t euid, bool privileged)
{
    (void)euid;
    (void)privileged;
    fake_call(FAKE_before_user);
}

static void fake_nothing(void)
{
}

static bool fake_lock_passes(int fd, const struct flock *given)
{
    (void)fd;
    (void)given;
    return false;
}

FAKE_API const struct nvmmio_core nvmmio_core = {
    .version = NVMMIO_CORE_VERSION,
    .size = sizeof nvmmio_core,
    .managed = fake.managed,
    .managed_count = FAKE_DESCRIPTORS,
    .lock_passes = fake_lock_passes,
#define FAKE_MEMBER(name) .name = fake_##name,
    FAKE_FUNCTIONS(FAKE_MEMBER).relieve = fake_relieve,
    .is_own = fake_is_own,
    .peek = fake_peek,
    .attend = fake_attend,
    .before_fork = fake_nothing,
    .defer = fake_defer,
    .after_fork_parent = fake_nothing,
    .after_fork_child = fake_nothing,
    .before_bare = fake_nothing,
    .after_bare = fake_nothing,
    .born = fake_nothing,
    .main_ended = fake_nothing,
    .take_over = fake_take_over,
    .take_over_end = fake_nothing,
};
