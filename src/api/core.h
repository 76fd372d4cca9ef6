/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * core.h — what libnvmmio.so gives to libnvmmio_preload.so: one table of functions. Layer api; read by preload.
 *
 * The preload library needs libc alone. It loads libnvmmio.so with dlopen(RTLD_NOW | RTLD_LOCAL) when a regular file in
 * a root is opened first, and finds the table by the symbol nvmmio_core. Functions are those of file/file.h: arguments of
 * the system call, result or negative errno; no handler of the application runs inside one (base/inside.h). The two libraries are built together; `version` guards against a mix.
 */
#ifndef API_CORE_H
#define API_CORE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NVMMIO_CORE_VERSION 9u

struct sys_action; /* base/rawsys.h */
struct flock;

#define NVMMIO_MANAGED_LOCKS 2u /* FD_HINT_LOCKS */

struct nvmmio_core {
    uint32_t version; /* NVMMIO_CORE_VERSION */
    uint32_t size;    /* sizeof(struct nvmmio_core) */
    /* managed[fd] != 0: fd is managed; fd < managed_count. A racy hint that saves unmanaged descriptors the call: set
     * before open returns, cleared after close. Descriptors above the table are always asked. NVMMIO_MANAGED_LOCKS: locks may
     * pass by, if lock_passes. */
    const volatile uint8_t *managed;
    uint32_t managed_count;
    bool (*lock_passes)(int fd, const struct flock *given); /* see file_lock_passes */

    int (*openat)(int dirfd, const char *path, int flags, mode_t mode);
    int (*adopt)(int fd, int flags);
    bool (*relieve)(void); /* after EMFILE: whether there are descriptors now */
    int (*close)(int fd);
    int (*release)(int fd);
    int (*dup)(int fd);
    int (*dup2)(int fd, int newfd);
    int (*dup3)(int fd, int newfd, int flags);
    int (*close_range)(unsigned first, unsigned last, unsigned flags);
    int (*fcntl)(int fd, int cmd, long arg);
    int (*lock_prepare)(int fd, const struct flock *given,
                        struct flock *lock); /* before F_SETLKW: see file_lock_prepare */
    bool (*is_managed)(int fd);
    bool (*is_own)(int fd); /* the core's, and no descriptor as far as the program knows */
    ssize_t (*read)(int fd, void *buf, size_t count);
    ssize_t (*write)(int fd, const void *buf, size_t count);
    ssize_t (*pread)(int fd, void *buf, size_t count, off_t offset);
    ssize_t (*pwrite)(int fd, const void *buf, size_t count, off_t offset);
    ssize_t (*readv)(int fd, const struct iovec *iov, int iovcnt);
    ssize_t (*writev)(int fd, const struct iovec *iov, int iovcnt);
    ssize_t (*preadv2)(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags);
    ssize_t (*pwritev2)(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags);
    off_t (*lseek)(int fd, off_t offset, int whence);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    void (*sync_all)(void);
    int (*ftruncate)(int fd, off_t length);
    int (*truncate)(const char *path, off_t length);
    int (*fallocate)(int fd, int mode, off_t offset, off_t length);
    int (*chown)(int dirfd, const char *path, uid_t uid, gid_t gid, int flags); /* fchown if path is NULL */
    int (*rename)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
    int (*fstat)(int fd, struct stat *st);
    int (*fstatat)(int dirfd, const char *path, struct stat *st, int flags);
    int (*statx)(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx);
    int (*futimens)(int fd, const struct timespec times[2]);
    int (*utimensat)(int dirfd, const char *path, const struct timespec times[2], int flags);
    void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
    int (*munmap)(void *addr, size_t length);
    int (*msync)(void *addr, size_t length, int flags);
    int (*remove)(void *addr, size_t length); /* madvise(MADV_REMOVE) */
    int (*mprotect)(void *addr, size_t length, int prot);
    bool (*touch)(const void *addr, size_t length);          /* after EFAULT: whether a call may be made again */
    bool (*peek)(void *to, const void *from, size_t length); /* false for a bad address */
    void *(*mremap)(void *old, size_t old_length, size_t length, int flags, void *new);
    int (*demote)(int fd, int reason); /* enum uma_demotion */
    /* makes a call by which the kernel reads `in` (or -1) and writes `out`: see file_by_kernel */
    long (*by_kernel)(int in, int out, int reason, long (*call)(const void *arg), const void *arg);
    void (*demote_inheritable)(bool own_memory);
    int (*ring_begin)(void);
    void (*before_exec)(void); /* with own memory */
    void (*exec_failed)(void);
    bool (*take_over)(int fd); /* at the start, see file_take_over */
    void (*take_over_end)(void);
    /* Once, at load: from now on the caller calls the three below around each fork, inside all other handlers, and
     * `foreign` tells, without a system call, whether this is a vfork child or the like. */
    void (*attend)(bool (*foreign)(void));
    void (*before_fork)(void);
    void (*after_fork_parent)(void);
    void (*after_fork_child)(void);
    /* Around the making of a child that runs no fork handlers, with all signals blocked, in the parent. */
    void (*before_bare)(void);
    void (*after_bare)(void);
    void (*born)(void);          /* in that child */
    void (*limit_changed)(void); /* after setrlimit and prlimit; once at load promises that it will be called */
    /* sigaction of SIGBUS and SIGSEGV */
    int (*sigaction)(int signal, const struct sys_action *new, struct sys_action *old);
    /* The process changes what it sees or may do; file/file.h tells more. */
    void (*before_move)(unsigned what, const char *target);
    void (*after_move)(unsigned what, bool moved);
    void (*before_user)(uint32_t euid, bool privileged);
    void (*main_ended)(void); /* the first thread of the process ends by pthread_exit */
    /* In each handler of another signal, before the application's: true if the thread is inside the core. The signal will
     * come again when it has left. */
    bool (*defer)(int signal, siginfo_t *info, void *context);
    void (*doubt)(void); /* the application may have changed this thread's signal mask or cancellation type */
    void (*exit)(void);  /* orderly end of the process by _exit and the like: commits and writes back */
};

extern const struct nvmmio_core nvmmio_core __attribute__((visibility("default")));

/* The preload library's, if it is loaded: from now on the calls it stands for concern this core. By the first nvopen. */
void nvmmio_preload_attend(const struct nvmmio_core *core) __attribute__((weak, visibility("default")));

#endif
