/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nvx.h — the calls a test makes on the file under test, as a table: nv* when built against the library, plain libc
 * when built with -DNVX_KERNEL (the test's own sanity run, and the one that goes under LD_PRELOAD).
 */
#ifndef SUPPORT_NVX_H
#define SUPPORT_NVX_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef O_ATOMIC
#define O_ATOMIC 01000000000
#endif

struct nvx {
    const char *name;
    int (*open)(const char *path, int flags, ...);
    int (*close)(int fd);
    int (*dup)(int fd);
    int (*dup2)(int fd, int newfd);
    ssize_t (*read)(int fd, void *buf, size_t count);
    ssize_t (*write)(int fd, const void *buf, size_t count);
    ssize_t (*pread)(int fd, void *buf, size_t count, off_t offset);
    ssize_t (*pwrite)(int fd, const void *buf, size_t count, off_t offset);
    ssize_t (*readv)(int fd, const struct iovec *iov, int iovcnt);
    ssize_t (*writev)(int fd, const struct iovec *iov, int iovcnt);
    ssize_t (*preadv)(int fd, const struct iovec *iov, int iovcnt, off_t offset);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int iovcnt, off_t offset);
    off_t (*lseek)(int fd, off_t offset, int whence);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, off_t length);
    int (*fallocate)(int fd, int mode, off_t offset, off_t len);
    int (*fstat)(int fd, struct stat *st);
    void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
    int (*munmap)(void *addr, size_t length);
    void *(*mremap)(void *old, size_t old_length, size_t length, int flags, ...);
    int (*msync)(void *addr, size_t length, int flags);
    void *(*memcpy)(void *dst, const void *src, size_t n);
    void *(*memset)(void *dst, int c, size_t n);
};

extern const struct nvx nvx;       /* the side under test */
extern const struct nvx nvx_plain; /* libc's calls */
extern const bool nvx_is_kernel;   /* nvx is libc's calls as well */

#endif
