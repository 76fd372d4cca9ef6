/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_limit.c — RLIMIT_FSIZE: short writes, EFBIG and SIGXFSZ at the limit, nothing below it.
 */
#include "cases.h"

#include <signal.h>
#include <sys/resource.h>

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void set_limit(off_t limit)
{
    struct rlimit wanted = {.rlim_cur = (rlim_t)limit, .rlim_max = RLIM_INFINITY};
    CALL(setrlimit(RLIMIT_FSIZE, &wanted));
}

static void write_at_the_limit(int fd, off_t limit)
{
    CALL(nvx.pwrite(fd, bytes, 100, limit - 200));
    CALL(nvx.pwrite(fd, bytes + 1, 100, limit - 50));
    CALL(nvx.pwrite(fd, bytes + 2, 100, limit - 1));
    CALL(nvx.pwrite(fd, bytes + 3, 100, limit));
    CALL(nvx.pwrite(fd, bytes, 0, limit));
    CALL(nvx.pwrite(fd, bytes + 4, 100, limit + 5000));
    CALL(nvx.lseek(fd, limit - 10, SEEK_SET));
    CALL(nvx.write(fd, bytes + 5, 50));
    CALL(nvx.write(fd, bytes + 6, 50));
    struct iovec iov[2] = {{bytes + 7, 10}, {bytes + 8, 40}};
    CALL(nvx.pwritev(fd, iov, 2, limit - 30));
    CALL(nvx.pwritev(fd, iov, 2, limit + 1));
    CALL(nvx.ftruncate(fd, limit));
    CALL(nvx.ftruncate(fd, limit + 1));
    CALL(nvx.fallocate(fd, 0, 0, limit));
    CALL(nvx.fallocate(fd, 0, limit - 10, 20));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    say("signals %d", (int)signals);
}

static void ignored(void)
{
    int fd = subject();
    signal(SIGXFSZ, SIG_IGN);
    set_limit(subject_size + 5000);
    write_at_the_limit(fd, subject_size + 5000);
    CALL(nvx.close(fd));
}

static void handled(void)
{
    int fd = subject();
    signal(SIGXFSZ, count_signal);
    set_limit(subject_size + 5000);
    write_at_the_limit(fd, subject_size + 5000);
    CALL(nvx.close(fd));
}

/* A limit below the size: what is there may not be overwritten behind it. */
static void below_size(void)
{
    int fd = subject();
    signal(SIGXFSZ, count_signal);
    set_limit(10000);
    CALL(nvx.pwrite(fd, bytes + 1, 100, 9950));
    CALL(nvx.pwrite(fd, bytes + 2, 100, 15000));
    CALL(nvx.ftruncate(fd, 12000));
    CALL(nvx.ftruncate(fd, 13000));
    CALL(nvx.write(fd, bytes + 3, 100));
    CALL(nvx.fsync(fd));
    SHOW(fd);
    say("signals %d", (int)signals);
    CALL(nvx.close(fd));
}

static void append_at_limit(void)
{
    CALL(nvx.close(subject()));
    signal(SIGXFSZ, count_signal);
    int fd = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    set_limit(subject_size + 150);
    for (int i = 0; i < 4; i++)
        CALL(nvx.write(fd, bytes + i, 60));
    SHOW(fd);
    say("signals %d", (int)signals);
    CALL(nvx.close(fd));
}

/* A limit that only the library's own files would meet disturbs nobody. */
static void tiny_limit(void)
{
    signal(SIGXFSZ, count_signal);
    set_limit(9000);
    int fd = CALL(nvx.open("small", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(fd, bytes + 1, 8000));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 2, 8000, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 3, 8000, 900));
    CALL(nvx.pwrite(fd, bytes + 4, 8000, 2000));
    SHOW(fd);
    say("signals %d", (int)signals);
    CALL(nvx.close(fd));
    look("small");
}

/* The limit comes after the writes: only an interposed setrlimit can bring them to the file in time. */
static void no_room_at_all(void)
{
    int fd = subject();
    signal(SIGXFSZ, count_signal);
    set_limit(0);
    CALL(nvx.pwrite(fd, bytes, 1, 0));
    CALL(nvx.write(fd, bytes, 1));
    CALL(nvx.write(fd, bytes, 0));
    CALL(nvx.fsync(fd));
    SHOW(fd);
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes, 1));
    CALL(nvx.ftruncate(other, 1));
    say("signals %d", (int)signals);
    CALL(nvx.close(other));
    CALL(nvx.close(fd));
}

static void die_of_it(int fd)
{
    set_limit(subject_size + 10);
    CALL(nvx.pwrite(fd, bytes + 1, 100, subject_size));
    CALL(nvx.pwrite(fd, bytes + 2, 100, subject_size + 10));
}

static void killed(void)
{
    int fd = subject();
    in_child(die_of_it, fd);
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 3, 100, 50));
    CALL(nvx.close(fd));
}

const struct posix_case cases_limit[] = {
    {"ignored", ignored, CASE_NV},
    {"handled", handled, CASE_NV},
    {"below_size", below_size, 0},
    {"append_at_limit", append_at_limit, CASE_NV},
    {"tiny_limit", tiny_limit, CASE_NV | CASE_ONCE},
    {"no_room_at_all", no_room_at_all, 0},
    {"killed", killed, CASE_NV},
    {0},
};
