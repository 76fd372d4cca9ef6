/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * rawsys.h — system calls without libc: no errno, no cancellation, no interposition. Layer base; called by all.
 *
 * Every system call of the library goes through rawsys_table.invoke, so that a test can let the N-th one fail. Each
 * typed wrapper returns what the kernel returns: a result >= 0, or a negative errno value.
 */
#ifndef BASE_RAWSYS_H
#define BASE_RAWSYS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* The one replaceable entry. Set before the library is used by more than one thread; plain reads afterwards. */
struct rawsys {
    long (*invoke)(long number, long a, long b, long c, long d, long e, long f);
};
extern struct rawsys rawsys_table;

/* The default of rawsys_table.invoke: the bare system call instruction. */
long rawsys_invoke_kernel(long number, long a, long b, long c, long d, long e, long f);

static inline long rawsys(long number, long a, long b, long c, long d, long e, long f)
{
    return rawsys_table.invoke(number, a, b, c, d, e, f);
}

static inline int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    return (int)rawsys(SYS_openat, dirfd, (long)path, flags, (long)mode, 0, 0);
}
static inline int sys_close(int fd)
{
    return (int)rawsys(SYS_close, fd, 0, 0, 0, 0, 0);
}
static inline ssize_t sys_read(int fd, void *buf, size_t len)
{
    return rawsys(SYS_read, fd, (long)buf, (long)len, 0, 0, 0);
}
static inline ssize_t sys_write(int fd, const void *buf, size_t len)
{
    return rawsys(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}
static inline ssize_t sys_pread(int fd, void *buf, size_t len, off_t off)
{
    return rawsys(SYS_pread64, fd, (long)buf, (long)len, off, 0, 0);
}
static inline ssize_t sys_pwrite(int fd, const void *buf, size_t len, off_t off)
{
    return rawsys(SYS_pwrite64, fd, (long)buf, (long)len, off, 0, 0);
}
/* All of it, whatever interrupts or shortens a call: 0 or -errno, -EIO where nothing more is taken. */
static inline int sys_pwrite_all(int fd, const char *bytes, size_t count, off_t off)
{
    for (size_t done = 0; done < count;) {
        ssize_t n = sys_pwrite(fd, bytes + done, count - done, off + (off_t)done);
        if (n == 0 || (n < 0 && n != -EINTR))
            return n ? (int)n : -EIO;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}
static inline ssize_t sys_readv(int fd, const struct iovec *iov, int cnt)
{
    return rawsys(SYS_readv, fd, (long)iov, cnt, 0, 0, 0);
}
static inline ssize_t sys_writev(int fd, const struct iovec *iov, int cnt)
{
    return rawsys(SYS_writev, fd, (long)iov, cnt, 0, 0, 0);
}
/* The kernel takes the offset in two registers and ignores the upper one on 64-bit machines. */
static inline ssize_t sys_preadv2(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
    return rawsys(SYS_preadv2, fd, (long)iov, cnt, off, 0, flags);
}
static inline ssize_t sys_pwritev2(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
    return rawsys(SYS_pwritev2, fd, (long)iov, cnt, off, 0, flags);
}
static inline off_t sys_lseek(int fd, off_t off, int whence)
{
    return rawsys(SYS_lseek, fd, off, whence, 0, 0, 0);
}
static inline int sys_fsync(int fd)
{
    return (int)rawsys(SYS_fsync, fd, 0, 0, 0, 0, 0);
}
static inline int sys_fdatasync(int fd)
{
    return (int)rawsys(SYS_fdatasync, fd, 0, 0, 0, 0, 0);
}
static inline int sys_ftruncate(int fd, off_t len)
{
    return (int)rawsys(SYS_ftruncate, fd, len, 0, 0, 0, 0);
}
static inline int sys_truncate(const char *path, off_t len)
{
    return (int)rawsys(SYS_truncate, (long)path, len, 0, 0, 0, 0);
}
static inline int sys_fallocate(int fd, int mode, off_t off, off_t len)
{
    return (int)rawsys(SYS_fallocate, fd, mode, off, len, 0, 0);
}
static inline int sys_fstat(int fd, struct stat *st)
{
    return (int)rawsys(SYS_fstat, fd, (long)st, 0, 0, 0, 0);
}
static inline int sys_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    return (int)rawsys(SYS_newfstatat, dirfd, (long)path, (long)st, flags, 0, 0);
}
static inline int sys_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    return (int)rawsys(SYS_statx, dirfd, (long)path, flags, (long)mask, (long)stx, 0);
}
/* Returns the address, or a negative errno value: test with sys_is_error. */
static inline void *sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
    return (void *)rawsys(SYS_mmap, (long)addr, (long)len, prot, flags, fd, off);
}
static inline int sys_is_error(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)-4095;
}
static inline void *sys_mremap(void *old, size_t old_len, size_t len, int flags, void *new)
{
    return (void *)rawsys(SYS_mremap, (long)old, (long)old_len, (long)len, flags, (long)new, 0);
}
static inline int sys_mprotect(void *addr, size_t len, int prot)
{
    return (int)rawsys(SYS_mprotect, (long)addr, (long)len, prot, 0, 0, 0);
}
static inline int sys_munmap(void *addr, size_t len)
{
    return (int)rawsys(SYS_munmap, (long)addr, (long)len, 0, 0, 0, 0);
}
static inline int sys_madvise(void *addr, size_t len, int advice)
{
    return (int)rawsys(SYS_madvise, (long)addr, (long)len, advice, 0, 0, 0);
}
static inline int sys_msync(void *addr, size_t len, int flags)
{
    return (int)rawsys(SYS_msync, (long)addr, (long)len, flags, 0, 0, 0);
}
static inline int sys_fcntl(int fd, int cmd, long arg)
{
    return (int)rawsys(SYS_fcntl, fd, cmd, arg, 0, 0, 0);
}
static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
    return (int)rawsys(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0);
}
static inline int sys_dup(int fd)
{
    return (int)rawsys(SYS_dup, fd, 0, 0, 0, 0, 0);
}
static inline int sys_dup3(int fd, int newfd, int flags)
{
    return (int)rawsys(SYS_dup3, fd, newfd, flags, 0, 0, 0);
}
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)rawsys(SYS_close_range, (long)first, (long)last, (long)flags, 0, 0, 0);
}
static inline int sys_faccessat2(int dirfd, const char *path, int mode, int flags)
{
    return (int)rawsys(SYS_faccessat2, dirfd, (long)path, mode, flags, 0, 0);
}
static inline int sys_linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
    return (int)rawsys(SYS_linkat, fromfd, (long)from, tofd, (long)to, flags, 0);
}
/* handle: a struct file_handle. */
static inline int sys_name_to_handle_at(int dirfd, const char *path, void *handle, int *mount, int flags)
{
    return (int)rawsys(SYS_name_to_handle_at, dirfd, (long)path, (long)handle, (long)mount, flags, 0);
}
static inline int sys_open_by_handle_at(int mountfd, void *handle, int flags)
{
    return (int)rawsys(SYS_open_by_handle_at, mountfd, (long)handle, flags, 0, 0, 0);
}
/* Whether both are of one description: 0. */
static inline int sys_kcmp_file(int fd, int other)
{
    enum { KCMP_FILE = 0 };
    long pid = rawsys(SYS_getpid, 0, 0, 0, 0, 0, 0);
    return (int)rawsys(SYS_kcmp, pid, pid, KCMP_FILE, fd, other, 0);
}
static inline int sys_syncfs(int fd)
{
    return (int)rawsys(SYS_syncfs, fd, 0, 0, 0, 0, 0);
}
static inline int sys_unlinkat(int dirfd, const char *path, int flags)
{
    return (int)rawsys(SYS_unlinkat, dirfd, (long)path, flags, 0, 0, 0);
}
static inline int sys_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
    return (int)rawsys(SYS_renameat2, fromfd, (long)from, tofd, (long)to, (long)flags, 0);
}
static inline int sys_mkdirat(int dirfd, const char *path, mode_t mode)
{
    return (int)rawsys(SYS_mkdirat, dirfd, (long)path, (long)mode, 0, 0, 0);
}
static inline int sys_fchown(int fd, uid_t uid, gid_t gid)
{
    return (int)rawsys(SYS_fchown, fd, (long)uid, (long)gid, 0, 0, 0);
}
static inline int sys_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    return (int)rawsys(SYS_fchownat, dirfd, (long)path, (long)uid, (long)gid, flags, 0);
}
static inline int sys_fchmod(int fd, mode_t mode)
{
    return (int)rawsys(SYS_fchmod, fd, (long)mode, 0, 0, 0, 0);
}
static inline ssize_t sys_readlinkat(int dirfd, const char *path, char *buf, size_t len)
{
    return rawsys(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)len, 0, 0);
}
static inline ssize_t sys_getdents64(int fd, void *buf, size_t len)
{
    return rawsys(SYS_getdents64, fd, (long)buf, (long)len, 0, 0, 0);
}
static inline int sys_futex(uint32_t *word, int op, uint32_t val, const struct timespec *timeout)
{
    return (int)rawsys(SYS_futex, (long)word, op, (long)val, (long)timeout, 0, 0);
}
static inline int sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    return (int)rawsys(SYS_utimensat, dirfd, (long)path, (long)times, flags, 0, 0);
}
static inline ssize_t sys_getrandom(void *buf, size_t len, unsigned flags)
{
    return rawsys(SYS_getrandom, (long)buf, (long)len, (long)flags, 0, 0, 0);
}
static inline int sys_statfs(const char *path, void *buf)
{
    return (int)rawsys(SYS_statfs, (long)path, (long)buf, 0, 0, 0, 0);
}
static inline int sys_fstatfs(int fd, void *buf)
{
    return (int)rawsys(SYS_fstatfs, fd, (long)buf, 0, 0, 0, 0);
}
static inline int sys_sched_yield(void)
{
    return (int)rawsys(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
static inline pid_t sys_getpid(void)
{
    return (pid_t)rawsys(SYS_getpid, 0, 0, 0, 0, 0, 0);
}
static inline uid_t sys_geteuid(void)
{
    return (uid_t)rawsys(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}
static inline pid_t sys_gettid(void)
{
    return (pid_t)rawsys(SYS_gettid, 0, 0, 0, 0, 0, 0);
}
static inline int sys_tgkill(pid_t pid, pid_t tid, int sig)
{
    return (int)rawsys(SYS_tgkill, pid, tid, sig, 0, 0, 0);
}
/* Signal sets are passed as the kernel's one word (bit n - 1: signal n). */

/* The kernel's struct sigaction on 64-bit machines. */
struct sys_action {
    union {
        void (*handler)(int);
        void (*sigaction)(int, siginfo_t *, void *);
    };
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};
static inline int sys_sigaction(int signal, const struct sys_action *new, struct sys_action *old)
{
    return (int)rawsys(SYS_rt_sigaction, signal, (long)new, (long)old, sizeof new->mask, 0, 0);
}
static inline int sys_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
    return (int)rawsys(SYS_rt_sigprocmask, how, (long)set, (long)old, sizeof *set, 0, 0);
}
/* Blocks all signals of this thread: the mask to give back to sys_unblock_signals. */
static inline uint64_t sys_block_signals(void)
{
    uint64_t all = ~UINT64_C(0), mask = 0;
    sys_sigprocmask(SIG_SETMASK, &all, &mask);
    return mask;
}
static inline void sys_unblock_signals(uint64_t mask)
{
    sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}
static inline int sys_sigpending(uint64_t *set)
{
    return (int)rawsys(SYS_rt_sigpending, (long)set, sizeof *set, 0, 0, 0, 0);
}
static inline int sys_sigtimedwait(const uint64_t *set, void *info, const struct timespec *timeout)
{
    return (int)rawsys(SYS_rt_sigtimedwait, (long)set, (long)info, (long)timeout, sizeof *set, 0, 0);
}

#endif
