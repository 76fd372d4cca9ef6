/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * highfd.c — the library's own descriptors. Layer base.
 */
#include "base/highfd.h"

#include "base/rawsys.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>

#define HIGHFD_NOTED 65536u /* numbers that are noted; higher ones are not protected */
#define WORD_BITS 64u
#define PROGRAM_LEAST 16 /* numbers that are the application's where half would be fewer: what it is likely to need */

/* One bit a number. Relaxed: a bit concerns a descriptor that is published to other threads by other means. */
static struct highfd {
    _Atomic uint64_t noted[HIGHFD_NOTED / WORD_BITS];
    _Atomic uint32_t count; /* of bits */
} highfd;

static void note(int fd, bool internal)
{
    if ((unsigned)fd >= HIGHFD_NOTED)
        return;
    uint64_t bit = UINT64_C(1) << (unsigned)fd % WORD_BITS;
    _Atomic uint64_t *word = &highfd.noted[(unsigned)fd / WORD_BITS];
    uint64_t old = internal ? atomic_fetch_or_explicit(word, bit, memory_order_relaxed)
                            : atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
    if (((old & bit) != 0) != internal)
        atomic_fetch_add_explicit(&highfd.count, internal ? 1u : -1u, memory_order_relaxed);
}

/* The first number that is ours, and the end of all numbers. False: the kernel does not say. */
static bool range(long *base, long *end)
{
    struct rlimit limit;
    if (rawsys(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0) != 0)
        return false;
    *end = limit.rlim_cur < INT32_MAX ? (long)limit.rlim_cur : INT32_MAX;
    *base = *end / 2 < HIGHFD_MOST ? *end / 2 : HIGHFD_MOST;
    return true;
}

bool highfd_has_room(unsigned count, bool needed)
{
    long base, end;
    if (!range(&base, &end))
        return true;
    if (!needed && base < PROGRAM_LEAST)
        base = PROGRAM_LEAST;
    return (long)atomic_load_explicit(&highfd.count, memory_order_relaxed) + (long)count <= end - base;
}

static int move(int fd)
{
    long base, end;
    if (!range(&base, &end) || fd >= base)
        return fd;
    int high = sys_fcntl(fd, F_DUPFD_CLOEXEC, base);
    if (high < 0)
        return fd;
    sys_close(fd);
    return high;
}

int highfd_move(int fd)
{
    if (fd < 0)
        return fd;
    fd = move(fd);
    note(fd, true);
    return fd;
}

int highfd_take(int fd)
{
    sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
    note(fd, true);
    return fd;
}

void highfd_close(int fd)
{
    /* A number that is not ours any more: in a child that was made while another thread was about to close it. */
    if (fd < 0 || ((unsigned)fd < HIGHFD_NOTED && !highfd_is_internal(fd)))
        return;
    note(fd, false); /* before: the number may be the application's at once */
    sys_close(fd);
}

bool highfd_is_internal(int fd)
{
    return (unsigned)fd < HIGHFD_NOTED &&
           atomic_load_explicit(&highfd.noted[(unsigned)fd / WORD_BITS], memory_order_relaxed) >>
                   (unsigned)fd % WORD_BITS &
               1;
}

int highfd_next(unsigned from, unsigned last)
{
    while (from <= last && from < HIGHFD_NOTED) {
        uint64_t rest = atomic_load_explicit(&highfd.noted[from / WORD_BITS], memory_order_relaxed) >> from % WORD_BITS;
        if (rest) {
            from += (unsigned)__builtin_ctzll(rest);
            return from <= last ? (int)from : -1;
        }
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return -1;
}
