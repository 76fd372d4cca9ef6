/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_dup.c — dup, dup2, dup3, F_DUPFD, close_range: shared offsets, lowest free number.
 */
#include "cases.h"

#include <linux/close_range.h>
#include <string.h>
#include <sys/resource.h>

static void shared_offset(void)
{
    int fd = subject();
    int copy = CALL(nvx.dup(fd));
    CALL(nvx.write(fd, bytes + 1, 100));
    SHOW(copy);
    CALL(nvx.write(copy, bytes + 2, 100));
    SHOW(fd);
    CALL(nvx.lseek(copy, 5000, SEEK_SET));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 3000)));
    SHOW_BYTES(scratch, CALL(nvx.read(copy, scratch, 3000)));
    CALL(nvx.pwrite(fd, bytes, 10, 0));
    int third = CALL(nvx.dup(copy));
    CALL(nvx.close(fd));
    SHOW(copy);
    CALL(nvx.write(copy, bytes + 3, 100));
    CALL(nvx.close(copy));
    SHOW(third);
    CALL(nvx.fsync(third));
    CALL(nvx.write(third, bytes + 4, 100));
    SHOW(third);
    CALL(nvx.close(third));
    CALL(nvx.write(third, bytes, 1));
}

static void onto_another(void)
{
    int fd = subject();
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes + 9, 9000));
    CALL(nvx.fsync(other));
    CALL(nvx.pwrite(other, bytes + 8, 900, 90));
    CALL(nvx.lseek(fd, 50, SEEK_SET));
    CALL(nvx.dup2(fd, other)); /* the last close of the other file */
    look("other");
    SHOW(other);
    CALL(nvx.write(other, bytes + 3, 500));
    SHOW(fd);
    CALL(nvx.dup2(fd, fd));
    CALL(nvx.dup2(fd, 20));
    CALL(nvx.write(20, bytes + 4, 500));
    SHOW(fd);
    CALL(nvx.dup2(20, -1));
    CALL(nvx.dup2(20, 100000000));
    CALL(nvx.dup2(555, 20));
    SHOW(20);
    CALL(nvx.close(fd));
    CALL(nvx.close(other));
    SHOW(20);
    CALL(nvx.close(20));
}

/* A managed number becomes a pipe, and a pipe's number a managed file. */
static void to_and_from_other_kinds(void)
{
    int fd = subject();
    int ends[2];
    CALL(pipe(ends));
    CALL(nvx.dup2(fd, ends[0]));
    SHOW(ends[0]);
    CALL(nvx.dup2(ends[1], fd));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.write(ends[0], bytes + 6, 66));
    SHOW(ends[0]);
    CALL(nvx.close(ends[0]));
    CALL(nvx.close(ends[1]));
    CALL(nvx.close(fd));
}

static void with_flags(void)
{
    int fd = subject();
    CALL(dup3(fd, 15, O_CLOEXEC));
    CALL(fcntl(15, F_GETFD));
    CALL(dup3(fd, 16, 0));
    CALL(fcntl(16, F_GETFD));
    CALL(dup3(fd, fd, 0));
    CALL(dup3(fd, 17, O_APPEND));
    CALL(dup3(fd, -1, 0));
    CALL(dup3(777, 17, 0));
    CALL(nvx.write(15, bytes + 1, 111));
    CALL(nvx.write(16, bytes + 2, 111));
    SHOW(fd);
    CALL(nvx.close(15));
    CALL(nvx.close(16));
    int copy = CALL(fcntl(fd, F_DUPFD, 0));
    int high = CALL(fcntl(fd, F_DUPFD, 50));
    int next = CALL(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    CALL(fcntl(next, F_GETFD));
    CALL(fcntl(high, F_GETFD));
    CALL(fcntl(fd, F_DUPFD, -1));
    CALL(fcntl(fd, F_DUPFD, 100000000));
    CALL(nvx.write(copy, bytes + 3, 222));
    CALL(nvx.write(high, bytes + 4, 222));
    CALL(nvx.write(next, bytes + 5, 222));
    SHOW(fd);
    CALL(nvx.close(fd));
    CALL(nvx.close(copy));
    CALL(nvx.close(high));
    SHOW(next);
    CALL(nvx.close(next));
}

static int open_and_write(const char *name)
{
    int fd = CALL(nvx.open(name, O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(fd, bytes, 5000));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 1, 5000, 100));
    SHOW(fd);
    return fd;
}

/* Each new descriptor is the lowest number free, whatever the library keeps open. */
static void lowest_number(void)
{
    int first = subject();
    CALL(nvx.write(first, bytes, 100));
    CALL(nvx.fsync(first));
    CALL(nvx.write(first, bytes, 100));
    int a = open_and_write("a");
    int b = open_and_write("b");
    int c = open_and_write("c");
    CALL(nvx.close(a));
    CALL(nvx.close(c));
    a = CALL(nvx.dup(first));
    c = open_and_write("c");
    int plain = CALL(open("/dev/null", O_RDWR));
    CALL(close(plain));
    CALL(nvx.close(0));
    int zero = open_and_write("zero");
    CALL(nvx.close(zero));
    CALL(nvx.close(first));
    CALL(nvx.close(b));
    b = open_and_write("b");
    int ends[2];
    CALL(pipe(ends));
    say("pipe %d %d", ends[0], ends[1]);
    CALL(close(ends[0]));
    CALL(close(ends[1]));
    CALL(nvx.close(a));
    CALL(nvx.close(b));
    CALL(nvx.close(c));
}

static void range_closed(void)
{
    int fd = subject();
    int a = open_and_write("a");
    int b = open_and_write("b");
    CALL(nvx.dup2(fd, 60));
    CALL(nvx.dup2(a, 61));
    CALL(close_range((unsigned)a, 60, 0));
    look("b");
    CALL(nvx.write(b, bytes, 1));
    CALL(nvx.write(60, bytes, 1));
    SHOW(61);
    SHOW(fd);
    CALL(close_range(61, 61, CLOSE_RANGE_CLOEXEC));
    CALL(fcntl(61, F_GETFD));
    SHOW(61);
    CALL(close_range(9, 8, 0));
    CALL(close_range(61, 61, 1 << 20));
    SHOW(61);
    CALL(nvx.close(61));
    look("a");
    a = open_and_write("again");
    CALL(close_range(3, 800, 0));
    CALL(nvx.write(fd, bytes, 1));
    CALL(nvx.write(a, bytes, 1));
    look(".");
}

/* Everything above 2 but our control descriptor: the library must keep what it needs. */
static void everything_closed(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 100));
    CALL(close_range(3, 899, 0));
    CALL(close_range(901, ~0U, 0));
    look(SUBJECT);
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.write(fd, bytes + 2, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 3, 100, 4000));
    SHOW(fd);
    for (int i = 901; i < 1024; i++)
        nvx.close(i);
    CALL(nvx.pwrite(fd, bytes + 3, 10000, 14000));
    CALL(nvx.fsync(fd));
    SHOW(fd);
    CALL(nvx.close(fd));
    fd = open_and_write("new");
    CALL(nvx.close(fd));
}

static void limit_of_numbers(void)
{
    int fd = subject();
    struct rlimit limit;
    CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 12;
    CALL(setrlimit(RLIMIT_NOFILE, &limit));
    int got[32], count = 0;
    while (count < 32 && (got[count] = nvx.open("new", O_RDWR | O_CREAT, 0600)) >= 0)
        count++;
    say("opened %d, then %s", count, strerrorname_np(errno));
    CALL(nvx.dup(fd));
    CALL(nvx.dup2(fd, 12));
    CALL(nvx.write(got[0], bytes, 5000));
    CALL(nvx.fsync(got[0]));
    CALL(nvx.write(got[1], bytes + 1, 6000));
    CALL(nvx.pwrite(fd, bytes + 2, 6000, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 3, 6000, 200));
    SHOW(fd);
    SHOW(got[2]);
    while (count > 0)
        nvx.close(got[--count]);
    CALL(nvx.close(fd));
    look("new");
}

const struct posix_case cases_dup[] = {
    {"shared_offset", shared_offset, CASE_NV},
    {"onto_another", onto_another, CASE_NV},
    {"to_and_from_other_kinds", to_and_from_other_kinds, CASE_NV},
    {"with_flags", with_flags, 0},
    {"lowest_number", lowest_number, CASE_NV},
    {"range_closed", range_closed, 0},
    {"everything_closed", everything_closed, 0},
    {"limit_of_numbers", limit_of_numbers, CASE_NV},
    {0},
};
