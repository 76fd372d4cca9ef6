/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_rw.c — data move and become durable: read, write, lseek, fsync and their kin. Layer preload.
 */
#include "preload/preload.h"

__attribute__((noinline)) long preload_wait_result(long number, long a, long b, long c, long d)
{
    return preload_result(preload_wait(number, a, b, c, d, 0, 0));
}

ssize_t preload_read(int fd, void *buf, size_t count)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_wait_result(SYS_read, fd, (long)buf, (long)count, 0);
    preload_cancel_point();
    return preload_result(core->read(fd, buf, count));
}

ssize_t preload_write(int fd, const void *buf, size_t count)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_wait_result(SYS_write, fd, (long)buf, (long)count, 0);
    preload_cancel_point();
    return preload_result(core->write(fd, buf, count));
}

ssize_t preload_pread(int fd, void *buf, size_t count, off_t offset)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_wait_result(SYS_pread64, fd, (long)buf, (long)count, offset);
    preload_cancel_point();
    return preload_result(core->pread(fd, buf, count, offset));
}

ssize_t preload_pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_wait_result(SYS_pwrite64, fd, (long)buf, (long)count, offset);
    preload_cancel_point();
    return preload_result(core->pwrite(fd, buf, count, offset));
}

/* ---- checked forms: more than the buffer holds ends the program, in libc ---- */

ssize_t preload_read_chk(int fd, void *buf, size_t count, size_t size)
{
    if (__builtin_expect(count > size, 0)) {
        ssize_t (*real)(int, void *, size_t, size_t) = preload_real(PRELOAD_REAL___read_chk);
        return real ? real(fd, buf, count, size) : -1;
    }
    return preload_read(fd, buf, count);
}

ssize_t preload_pread_chk(int fd, void *buf, size_t count, off_t offset, size_t size)
{
    if (__builtin_expect(count > size, 0)) {
        ssize_t (*real)(int, void *, size_t, off_t, size_t) = preload_real(PRELOAD_REAL___pread_chk);
        return real ? real(fd, buf, count, offset, size) : -1;
    }
    return preload_pread(fd, buf, count, offset);
}

/* ---- eventfd's calls are reads and writes, of whatever descriptor ---- */

int preload_eventfd_read(int fd, uint64_t *value)
{
    return preload_read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

int preload_eventfd_write(int fd, uint64_t value)
{
    return preload_write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}

/* ---- vectors ---- */

ssize_t preload_readv(int fd, const struct iovec *iov, int count)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_result(preload_wait(SYS_readv, fd, (long)iov, count, 0, 0, 0));
    preload_cancel_point();
    return preload_result(core->readv(fd, iov, count));
}

ssize_t preload_writev(int fd, const struct iovec *iov, int count)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_result(preload_wait(SYS_writev, fd, (long)iov, count, 0, 0, 0));
    preload_cancel_point();
    return preload_result(core->writev(fd, iov, count));
}

ssize_t preload_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core) /* the kernel takes the offset in two registers and ignores the upper one */
        return preload_result(preload_wait(SYS_preadv2, fd, (long)iov, count, offset, 0, flags));
    preload_cancel_point();
    return preload_result(core->preadv2(fd, iov, count, offset, flags));
}

ssize_t preload_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return preload_result(preload_wait(SYS_pwritev2, fd, (long)iov, count, offset, 0, flags));
    preload_cancel_point();
    return preload_result(core->pwritev2(fd, iov, count, offset, flags));
}

/* Without flags an offset of -1 is no offset, it does not mean the file's position. */
ssize_t preload_preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (offset < 0)
        return preload_result(rawsys(SYS_preadv, fd, (long)iov, count, offset, 0, 0));
    return preload_preadv2(fd, iov, count, offset, 0);
}

ssize_t preload_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (offset < 0)
        return preload_result(rawsys(SYS_pwritev, fd, (long)iov, count, offset, 0, 0));
    return preload_pwritev2(fd, iov, count, offset, 0);
}

off_t preload_lseek(int fd, off_t offset, int whence)
{
    const struct nvmmio_core *core = preload_serves(fd);
    return preload_result(core ? core->lseek(fd, offset, whence) : sys_lseek(fd, offset, whence));
}

/* ---- durability ---- */

int preload_fsync(int fd)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return (int)preload_wait_result(SYS_fsync, fd, 0, 0, 0);
    preload_cancel_point();
    return (int)preload_result(core->fsync(fd));
}

int preload_fdatasync(int fd)
{
    const struct nvmmio_core *core = preload_serves(fd);
    if (!core)
        return (int)preload_wait_result(SYS_fdatasync, fd, 0, 0, 0);
    preload_cancel_point();
    return (int)preload_result(core->fdatasync(fd));
}

void preload_sync(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->sync_all();
    rawsys(SYS_sync, 0, 0, 0, 0, 0, 0);
}

int preload_syncfs(int fd)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->sync_all();
    return (int)preload_result(rawsys(SYS_syncfs, fd, 0, 0, 0, 0, 0));
}

#define PRELOAD_EXPORT_rw PRELOAD_ALIAS
#include "preload/preload_export.h"
