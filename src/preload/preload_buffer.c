/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_buffer.c — the kernel stores into memory of the application that is a failure-atomic mapping. Layer preload.
 *
 * Pages of such a mapping get the right to be stored to one by one, by a fault (uma_protect.c), and a system call only fails
 * with EFAULT there. So the calls that fill a buffer are made again behind that, when the core says that the buffer can be
 * stored to now. Nothing is lost but by those that take a datagram from a socket before they look at the buffer: for them
 * the buffer is made ready first, and only a commit at the same moment can come between.
 */
#include "preload/preload.h"

#include <limits.h>
#include <sys/socket.h>

enum { BUFFER_VECTORS = 32 }; /* of a vector that are looked at */

/* Copies what may be at a bad address. */
static bool copy_safely(void *to, const void *from, size_t length)
{
    struct iovec local = {to, length}, remote = {(void *)from, length};
    return rawsys(SYS_process_vm_readv, sys_getpid(), (long)&local, 1, (long)&remote, 1, 0) == (long)length;
}

static bool touch_vector(const struct nvmmio_core *core, const struct iovec *from, size_t count)
{
    struct iovec iov[BUFFER_VECTORS];
    bool any = false;
    if (!count || count > BUFFER_VECTORS || !copy_safely(iov, from, count * sizeof *iov))
        return false;
    for (size_t i = 0; i < count; i++)
        any = core->touch(iov[i].iov_base, iov[i].iov_len) || any;
    return any;
}

bool preload_touch(long number, long a, long b, long c)
{
    const struct nvmmio_core *core = preload_core();
    struct msghdr message;
    if (!core)
        return false;
    switch (number) {
    case SYS_read:
    case SYS_pread64:
    case SYS_recvfrom:
        return core->touch((const void *)b, (size_t)c);
    case SYS_getrandom:
        return core->touch((const void *)a, (size_t)b);
    case SYS_readv:
    case SYS_preadv2:
        return touch_vector(core, (const struct iovec *)b, (size_t)c);
    case SYS_recvmsg:
        return copy_safely(&message, (const void *)b, sizeof message) &&
               touch_vector(core, message.msg_iov, message.msg_iovlen);
    default:
        return false;
    }
}

ssize_t preload_recvfrom(int fd, void *buf, size_t count, int flags, struct sockaddr *from, socklen_t *length)
{
    preload_touch(SYS_recvfrom, fd, (long)buf, (long)count);
    return preload_result(preload_wait(SYS_recvfrom, fd, (long)buf, (long)count, flags, (long)from, (long)length));
}

ssize_t preload_recv(int fd, void *buf, size_t count, int flags)
{
    return preload_recvfrom(fd, buf, count, flags, NULL, NULL);
}

/* Checked forms: more than the buffer holds ends the program, in libc. */

ssize_t preload_recvfrom_chk(int fd, void *buf, size_t count, size_t size, int flags, struct sockaddr *from,
                             socklen_t *length)
{
    if (__builtin_expect(count > size, 0)) {
        ssize_t (*real)(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *) =
            preload_real(PRELOAD_REAL___recvfrom_chk);
        return real ? real(fd, buf, count, size, flags, from, length) : -1;
    }
    return preload_recvfrom(fd, buf, count, flags, from, length);
}

ssize_t preload_recv_chk(int fd, void *buf, size_t count, size_t size, int flags)
{
    if (__builtin_expect(count > size, 0)) {
        ssize_t (*real)(int, void *, size_t, size_t, int) = preload_real(PRELOAD_REAL___recv_chk);
        return real ? real(fd, buf, count, size, flags) : -1;
    }
    return preload_recv(fd, buf, count, flags);
}

ssize_t preload_getrandom(void *buf, size_t count, unsigned flags)
{
    return preload_result(preload_wait(SYS_getrandom, (long)buf, (long)count, flags, 0, 0, 0));
}

int preload_getentropy(void *buf, size_t count)
{
    const size_t most = 256; /* by its definition */
    if (count > most) {
        errno = EIO;
        return -1;
    }
    for (size_t done = 0; done < count;) {
        ssize_t n = preload_getrandom((char *)buf + done, count - done, 0);
        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

#define PRELOAD_EXPORT_buffer PRELOAD_ALIAS
#include "preload/preload_export.h"
