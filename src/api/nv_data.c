/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_data.c — nv* entry points for data, durability and size. Layer api.
 */
#include "api/nv_ret.h"
#include "file/file.h"
#include "nvmmio.h"

ssize_t nvread(int fd, void *buf, size_t count)
{
    nv_enter();
    return nv_leave(file_read(fd, buf, count));
}

ssize_t nvwrite(int fd, const void *buf, size_t count)
{
    nv_enter();
    return nv_leave(file_write(fd, buf, count));
}

ssize_t nvpread(int fd, void *buf, size_t count, off_t offset)
{
    nv_enter();
    return nv_leave(file_pread(fd, buf, count, offset));
}

ssize_t nvpwrite(int fd, const void *buf, size_t count, off_t offset)
{
    nv_enter();
    return nv_leave(file_pwrite(fd, buf, count, offset));
}

ssize_t nvreadv(int fd, const struct iovec *iov, int iovcnt)
{
    nv_enter();
    return nv_leave(file_readv(fd, iov, iovcnt));
}

ssize_t nvwritev(int fd, const struct iovec *iov, int iovcnt)
{
    nv_enter();
    return nv_leave(file_writev(fd, iov, iovcnt));
}

/* Offset -1 has a meaning for preadv2 alone. */
ssize_t nvpreadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    nv_enter();
    return nv_leave(offset < 0 ? -EINVAL : file_preadv2(fd, iov, iovcnt, offset, 0));
}

ssize_t nvpwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    nv_enter();
    return nv_leave(offset < 0 ? -EINVAL : file_pwritev2(fd, iov, iovcnt, offset, 0));
}

off_t nvlseek(int fd, off_t offset, int whence)
{
    nv_enter();
    return nv_leave(file_lseek(fd, offset, whence));
}

int nvfsync(int fd)
{
    nv_enter();
    return (int)nv_leave(file_fsync(fd));
}

int nvfdatasync(int fd)
{
    nv_enter();
    return (int)nv_leave(file_fdatasync(fd));
}

int nvftruncate(int fd, off_t length)
{
    nv_enter();
    return (int)nv_leave(file_ftruncate(fd, length));
}

int nvfallocate(int fd, int mode, off_t offset, off_t len)
{
    nv_enter();
    return (int)nv_leave(file_fallocate(fd, mode, offset, len));
}

int nvfstat(int fd, struct stat *st)
{
    nv_enter();
    return (int)nv_leave(file_fstat(fd, st));
}
