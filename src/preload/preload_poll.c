/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_poll.c — calls that wait for descriptors and tell of them in memory that is a failure-atomic mapping (see
 * preload_buffer.c). Layer preload.
 *
 * Where the kernel could not tell nothing is lost: it is asked again, for the time that is left. Only the sets of select may
 * be changed in part by then: sets in such a mapping are copied before, and what came is stored there.
 */
#include "preload/preload.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

enum {
    POLL_MASK_BYTES = 8, /* of a mask of signals, as the kernel has it */
    POLL_SETS = 3,
    POLL_NS_OF_US = 1000,
    POLL_NS_OF_MS = 1000000,
    POLL_US_OF_S = 1000000,
    POLL_MS_OF_S = 1000,
};

/* ---- poll ---- */

/* The kernel puts the time that is left into `left`, whatever came. */
static int poll_until(struct pollfd *fds, nfds_t count, struct timespec *left, const sigset_t *mask)
{
    return (int)preload_result(
        preload_wait(SYS_ppoll, (long)fds, (long)count, (long)left, (long)mask, POLL_MASK_BYTES, 0));
}

int preload_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    struct timespec left = {timeout / POLL_MS_OF_S, timeout % POLL_MS_OF_S * (long)POLL_NS_OF_MS};
    return poll_until(fds, count, timeout < 0 ? NULL : &left, NULL);
}

int preload_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    return poll_until(fds, count, timeout ? &left : NULL, mask);
}

/* Checked forms: more than the array holds ends the program, in libc. */

int preload_poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size)
{
    if (__builtin_expect(size / sizeof *fds < count, 0)) {
        int (*real)(struct pollfd *, nfds_t, int, size_t) = preload_real(PRELOAD_REAL___poll_chk);
        return real ? real(fds, count, timeout, size) : -1;
    }
    return preload_poll(fds, count, timeout);
}

int preload_ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                      size_t size)
{
    if (__builtin_expect(size / sizeof *fds < count, 0)) {
        int (*real)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t) =
            preload_real(PRELOAD_REAL___ppoll_chk);
        return real ? real(fds, count, timeout, mask, size) : -1;
    }
    return preload_ppoll(fds, count, timeout, mask);
}

/* ---- select ---- */

long preload_select_sets(int count, fd_set *const sets[POLL_SETS], struct timespec *left, long mask)
{
    const struct nvmmio_core *core = preload_core();
    fd_set own[POLL_SETS];
    size_t bytes = count > 0 && count <= FD_SETSIZE ? ((size_t)count + NFDBITS - 1) / NFDBITS * sizeof(fd_mask) : 0;
    long at[POLL_SETS];
    for (int i = 0; i < POLL_SETS; i++) {
        at[i] = (long)sets[i];
        if (core && bytes && sets[i] && core->touch(sets[i], bytes) && preload_peek(&own[i], sets[i], bytes))
            at[i] = (long)&own[i];
    }
    long result = preload_wait(SYS_pselect6, count, at[0], at[1], at[2], (long)left, mask);
    for (int i = 0; i < POLL_SETS && result >= 0; i++)
        if (at[i] == (long)&own[i])
            memcpy(sets[i], &own[i], bytes);
    return result;
}

int preload_select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
    struct timespec left;
    if (timeout) {
        if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
            return (int)preload_result(-EINVAL);
        left.tv_nsec = timeout->tv_usec % POLL_US_OF_S * POLL_NS_OF_US;
        if (__builtin_add_overflow(timeout->tv_sec, timeout->tv_usec / POLL_US_OF_S, &left.tv_sec)) /* for ever */
            left = (struct timespec){INT64_MAX, POLL_NS_OF_US * (long)POLL_US_OF_S - 1};
    }
    long result = preload_select_sets(count, (fd_set *const[]){in, out, other}, timeout ? &left : NULL, 0);
    if (timeout)
        *timeout = (struct timeval){left.tv_sec, left.tv_nsec / POLL_NS_OF_US};
    return (int)preload_result(result);
}

int preload_pselect(int count, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout,
                    const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    const struct {
        const sigset_t *mask;
        size_t bytes;
    } with = {mask, POLL_MASK_BYTES};
    return (int)preload_result(
        preload_select_sets(count, (fd_set *const[]){in, out, other}, timeout ? &left : NULL, (long)&with));
}

/* ---- epoll: what it could not tell stays ready ---- */

int preload_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    return (int)preload_result(preload_wait(SYS_epoll_pwait, fd, (long)events, count, timeout, 0, POLL_MASK_BYTES));
}

int preload_epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *mask)
{
    return (int)preload_result(
        preload_wait(SYS_epoll_pwait, fd, (long)events, count, timeout, (long)mask, POLL_MASK_BYTES));
}

int preload_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *timeout,
                         const sigset_t *mask)
{
    return (int)preload_result(
        preload_wait(SYS_epoll_pwait2, fd, (long)events, count, (long)timeout, (long)mask, POLL_MASK_BYTES));
}

#define PRELOAD_EXPORT_poll PRELOAD_ALIAS
#include "preload/preload_export.h"
