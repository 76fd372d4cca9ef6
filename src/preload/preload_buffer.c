/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_buffer.c — the kernel stores into memory of the application that is a failure-atomic mapping. Layer preload.
 *
 * Pages of such a mapping get the right to be stored to one by one, by a fault (uma_protect.c), and a system call only fails
 * with EFAULT there. So the calls that fill a buffer are made again behind that, when the core says that the buffer can be
 * stored to now (preload_fill.c); fread as well, inside which libc makes them. Those that take a datagram from a socket before they look at
 * the buffer would lose it: what they receive comes into a room apart, and from there by plain stores.
 */
#include "preload/preload.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BUFFER_VECTORS = 32, /* of a vector that are looked at */
    BUFFER_NS_OF_S = 1000000000,
    BUFFER_MOST = 1u << 30, /* is received by one call; the kernel itself stops at 2 GiB */
};

/* By the core, which makes no system call; without it, and for what it cannot read, by the kernel. */
bool preload_peek(void *to, const void *from, size_t length)
{
    const struct nvmmio_core *core = preload_core();
    if (core && core->peek(to, from, length))
        return true;
    struct iovec local = {to, length}, remote = {(void *)from, length};
    return rawsys(SYS_process_vm_readv, sys_getpid(), (long)&local, 1, (long)&remote, 1, 0) == (long)length;
}

/* ---- from sockets ---- */

static void room_free(void *room)
{
    const struct iovec *own = room;
    sys_munmap(own->iov_base, own->iov_len);
}

/* recvmsg into a room of `most` bytes, and from there to the message's vectors, `to`: the system call's result. */
static long receive_apart(int fd, struct msghdr *message, const struct iovec *to, size_t most, int flags)
{
    void *base = sys_mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys_is_error(base))
        return -ENOMEM;
    struct iovec room = {base, most};
    struct msghdr own = *message;
    own.msg_iov = &room;
    own.msg_iovlen = 1;
    long result;
    pthread_cleanup_push(room_free, &room);
    result = preload_wait(SYS_recvmsg, fd, (long)&own, flags, 0, 0, 0);
    size_t left = result < 0 ? 0 : (size_t)result < most ? (size_t)result : most; /* MSG_TRUNC tells more than came */
    const char *at = base;
    for (size_t i = 0; left; i++) {
        size_t part = left < to[i].iov_len ? left : to[i].iov_len;
        memcpy(to[i].iov_base, at, part);
        at += part;
        left -= part;
    }
    pthread_cleanup_pop(1);
    if (result >= 0) {
        message->msg_namelen = own.msg_namelen;
        message->msg_controllen = own.msg_controllen;
        message->msg_flags = own.msg_flags;
    }
    return result;
}

/* How much may be received if one of the vectors is a failure-atomic mapping, else 0. */
static size_t vectors_apart(const struct nvmmio_core *core, const struct iovec *iov, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = iov[i].iov_len < BUFFER_MOST - most ? most + iov[i].iov_len : BUFFER_MOST;
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = core->touch(iov[i].iov_base, iov[i].iov_len);
    return any ? most : 0;
}

ssize_t preload_recvfrom(int fd, void *buf, size_t count, int flags, struct sockaddr *from, socklen_t *length)
{
    const struct nvmmio_core *core = preload_core();
    struct iovec part = {buf, count};
    size_t most = core ? vectors_apart(core, &part, 1) : 0;
    if (!most)
        return preload_result(preload_wait(SYS_recvfrom, fd, (long)buf, (long)count, flags, (long)from, (long)length));
    struct msghdr message = {.msg_name = from, .msg_namelen = from && length ? *length : 0};
    long result = receive_apart(fd, &message, &part, most, flags);
    if (result >= 0 && from && length)
        *length = message.msg_namelen;
    return preload_result(result);
}

/* The same of a message, whose vectors are in `iov` then. */
static size_t message_apart(const struct nvmmio_core *core, const struct msghdr *message,
                            struct iovec iov[BUFFER_VECTORS])
{
    struct msghdr copy;
    bool known = preload_peek(&copy, message, sizeof copy) && copy.msg_iovlen <= BUFFER_VECTORS &&
                 preload_peek(iov, copy.msg_iov, copy.msg_iovlen * sizeof *iov);
    return known ? vectors_apart(core, iov, copy.msg_iovlen) : 0;
}

long preload_receive(int fd, struct msghdr *message, int flags)
{
    const struct nvmmio_core *core = preload_core();
    struct iovec iov[BUFFER_VECTORS];
    size_t most = core ? message_apart(core, message, iov) : 0;
    return most ? receive_apart(fd, message, iov, most, flags)
                : preload_wait(SYS_recvmsg, fd, (long)message, flags, 0, 0, 0);
}

static bool any_apart(const struct nvmmio_core *core, const struct mmsghdr *messages, unsigned count)
{
    struct iovec iov[BUFFER_VECTORS];
    bool any = core->touch(messages, count * sizeof *messages);
    for (unsigned i = 0; i < count && !any; i++)
        any = message_apart(core, &messages[i].msg_hdr, iov);
    return any;
}

/* The time from now to `end`; zero if it is over. */
static struct timespec time_left(const struct timespec *end)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct timespec left = {end->tv_sec - now.tv_sec, end->tv_nsec - now.tv_nsec};
    if (left.tv_nsec < 0)
        left = (struct timespec){left.tv_sec - 1, left.tv_nsec + BUFFER_NS_OF_S};
    return left.tv_sec < 0 ? (struct timespec){0, 0} : left;
}

/* One after the other, as the kernel does it: the time is looked at behind each message, and an error behind the first one
 * only ends the call. */
static long receive_each(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    struct timespec end = {0, 0};
    if (timeout) {
        if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= BUFFER_NS_OF_S)
            return -EINVAL;
        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_nsec += timeout->tv_nsec;
        if (__builtin_add_overflow(end.tv_sec, timeout->tv_sec, &end.tv_sec))
            end.tv_sec = INT64_MAX;
    }
    for (unsigned done = 0; done < count;) {
        long result = preload_receive(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE);
        if (result < 0)
            return done ? (long)done : result;
        messages[done++].msg_len = (unsigned)result;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (timeout)
            *timeout = time_left(&end);
        if ((timeout && !timeout->tv_sec && !timeout->tv_nsec) || messages[done - 1].msg_hdr.msg_flags & MSG_OOB)
            return done;
    }
    return count;
}

long preload_receive_many(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    const struct nvmmio_core *core = preload_core();
    count = count < UIO_MAXIOV ? count : UIO_MAXIOV; /* as the kernel */
    return core && any_apart(core, messages, count)
               ? receive_each(fd, messages, count, flags, timeout)
               : preload_wait(SYS_recvmmsg, fd, (long)messages, count, flags, (long)timeout, 0);
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

ssize_t preload_getdents(int fd, void *entries, size_t count)
{
    return preload_result(
        preload_wait(SYS_getdents64, fd, (long)entries, (long)(count < INT_MAX ? count : INT_MAX), 0, 0, 0));
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

/* ---- by libc, for a stream ---- */

typedef size_t buffer_fread(void *buf, size_t size, size_t count, FILE *stream);

/* In bytes, as libc does it: what came before the kernel met the mapping is part of the result. */
static size_t buffer_read_stream(buffer_fread *real, void *buf, size_t size, size_t count, FILE *stream)
{
    const struct nvmmio_core *core = preload_core();
    size_t bytes;
    if (!core || !size || __builtin_mul_overflow(size, count, &bytes) || ferror(stream))
        return real(buf, size, count, stream);
    int saved = errno;
    unsigned touches = 0;
    size_t done = 0;
    for (;;) {
        errno = 0;
        size_t more = real((char *)buf + done, 1, bytes - done, stream);
        done += more;
        touches = more ? 0 : touches + 1; /* a commit may have come between; or it is another bad address */
        if (done == bytes || errno != EFAULT || touches > PRELOAD_TOUCHES ||
            !core->touch((char *)buf + done, bytes - done))
            break;
        clearerr(stream);
    }
    errno = errno ? errno : saved;
    return done == bytes ? count : done / size;
}

size_t preload_fread(void *buf, size_t size, size_t count, FILE *stream)
{
    buffer_fread *real = preload_real(PRELOAD_REAL_fread);
    return real ? buffer_read_stream(real, buf, size, count, stream) : 0;
}

size_t preload_fread_unlocked(void *buf, size_t size, size_t count, FILE *stream)
{
    buffer_fread *real = preload_real(PRELOAD_REAL_fread_unlocked);
    return real ? buffer_read_stream(real, buf, size, count, stream) : 0;
}

/* More than the buffer holds ends the program, in libc. */
static size_t buffer_read_checked(enum preload_real which, buffer_fread *plain, void *buf, size_t room, size_t size,
                                  size_t count, FILE *stream)
{
    size_t bytes;
    if (__builtin_mul_overflow(size, count, &bytes) || bytes > room) {
        size_t (*real)(void *, size_t, size_t, size_t, FILE *) = preload_real(which);
        return real ? real(buf, room, size, count, stream) : 0;
    }
    return plain(buf, size, count, stream);
}

size_t preload_fread_chk(void *buf, size_t room, size_t size, size_t count, FILE *stream)
{
    return buffer_read_checked(PRELOAD_REAL___fread_chk, preload_fread, buf, room, size, count, stream);
}

size_t preload_fread_unlocked_chk(void *buf, size_t room, size_t size, size_t count, FILE *stream)
{
    return buffer_read_checked(PRELOAD_REAL___fread_unlocked_chk, preload_fread_unlocked, buf, room, size, count,
                               stream);
}

#define PRELOAD_EXPORT_buffer PRELOAD_ALIAS
#include "preload/preload_export.h"
