/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_append.c — O_APPEND, F_SETFL, two opens of one file.
 */
#include "cases.h"

static void append(void)
{
    CALL(nvx.close(subject()));
    int fd = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 1, 1000));
    SHOW(fd);
    CALL(nvx.lseek(fd, 10, SEEK_SET));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 50)));
    CALL(nvx.write(fd, bytes + 2, 5000));
    SHOW(fd);
    /* On Linux pwrite appends as well. */
    CALL(nvx.pwrite(fd, bytes + 3, 100, 0));
    SHOW(fd);
    struct iovec iov[2] = {{bytes + 4, 70}, {bytes + 5, 4096}};
    CALL(nvx.writev(fd, iov, 2));
    CALL(nvx.pwritev(fd, iov, 2, 77));
    CALL(nvx.lseek(fd, -100, SEEK_SET));
    CALL(nvx.lseek(fd, 0, SEEK_SET));
    CALL(nvx.write(fd, bytes, 0));
    SHOW(fd);
    CALL(nvx.ftruncate(fd, 300));
    CALL(nvx.write(fd, bytes + 6, 33));
    CALL(nvx.ftruncate(fd, 50000));
    CALL(nvx.write(fd, bytes + 7, 33));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes + 8, 33));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void append_empty(void)
{
    int fd = CALL(nvx.open("log", O_WRONLY | O_CREAT | O_APPEND, 0600));
    for (int i = 0; i < 300; i++) {
        if (nvx.write(fd, bytes + i, 97) != 97)
            say("short write");
        if (i % 40 == 0)
            CALL(nvx.fdatasync(fd));
    }
    SHOW(fd);
    CALL(nvx.close(fd));
    look("log");
}

/* Each appends at the end that the other has moved. */
static void append_two(void)
{
    CALL(nvx.close(subject()));
    int a = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    int b = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    int c = CALL(nvx.open(SUBJECT, O_RDWR));
    for (int i = 0; i < 20; i++) {
        if (nvx.write(a, bytes + i, 501) != 501 || nvx.write(b, bytes + 2 * i, 1003) != 1003)
            say("short write");
        if (nvx.write(c, bytes + 3 * i, 2000) != 2000)
            say("short write");
    }
    SHOW(a);
    SHOW(b);
    SHOW(c);
    CALL(nvx.fsync(b));
    CALL(nvx.write(a, bytes, 10));
    CALL(nvx.close(a));
    SHOW(b);
    CALL(nvx.close(b));
    SHOW(c);
    CALL(nvx.close(c));
}

static void two_opens(void)
{
    int a = subject();
    int b = CALL(nvx.open(SUBJECT, O_RDWR));
    int r = CALL(nvx.open(SUBJECT, O_RDONLY));
    int w = CALL(nvx.open(SUBJECT, O_WRONLY));
    CALL(nvx.write(a, bytes + 1, 3000));
    SHOW_BYTES(scratch, CALL(nvx.read(b, scratch, 4000)));
    SHOW_BYTES(scratch, CALL(nvx.read(r, scratch, 5000)));
    CALL(nvx.write(w, bytes + 2, 100));
    SHOW(a);
    SHOW(b);
    SHOW(r);
    CALL(nvx.fsync(r));
    CALL(nvx.write(b, bytes + 3, 30000));
    SHOW(r);
    CALL(nvx.close(a));
    SHOW(r);
    CALL(nvx.write(w, bytes + 4, 300));
    CALL(nvx.close(w));
    SHOW(b);
    CALL(nvx.close(b));
    SHOW(r);
    CALL(nvx.close(r));
}

static void set_append(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    CALL(fcntl(fd, F_SETFL, O_APPEND));
    CALL(fcntl(fd, F_GETFL));
    CALL(nvx.write(fd, bytes + 1, 200));
    SHOW(fd);
    int copy = CALL(nvx.dup(fd));
    CALL(nvx.lseek(copy, 500, SEEK_SET));
    CALL(nvx.write(copy, bytes + 2, 300));
    SHOW(fd);
    CALL(fcntl(copy, F_SETFL, 0));
    CALL(fcntl(fd, F_GETFL));
    CALL(nvx.lseek(copy, 500, SEEK_SET));
    CALL(nvx.write(fd, bytes + 3, 400));
    SHOW(copy);
    CALL(fcntl(fd, F_SETFL, O_NONBLOCK | O_RDONLY | O_TRUNC | O_SYNC));
    CALL(fcntl(fd, F_GETFL));
    CALL(nvx.write(fd, bytes + 4, 400));
    CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CALL(fcntl(fd, F_GETFD));
    CALL(fcntl(copy, F_GETFD));
    CALL(nvx.close(copy));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The flag belongs to the description, not to the file. */
static void set_append_one_of_two(void)
{
    int a = subject();
    int b = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(fcntl(a, F_SETFL, O_APPEND));
    CALL(nvx.write(a, bytes + 1, 10));
    CALL(nvx.write(b, bytes + 2, 10));
    SHOW(a);
    SHOW(b);
    CALL(nvx.close(a));
    CALL(nvx.close(b));
}

const struct posix_case cases_append[] = {
    {"append", append, CASE_NV},
    {"append_empty", append_empty, CASE_NV | CASE_ONCE},
    {"append_two", append_two, CASE_NV},
    {"two_opens", two_opens, CASE_NV},
    {"set_append", set_append, 0},
    {"set_append_one_of_two", set_append_one_of_two, 0},
    {0},
};
