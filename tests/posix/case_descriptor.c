/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_descriptor.c — kinds and flags of descriptors: O_PATH, O_TMPFILE, O_DIRECT, reopening by number, leases, and the
 * numbers that libc's streams use.
 */
#include "cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>

static void finish(int fd)
{
    SHOW(fd);
    CALL(write(fd, bytes + 40, 333));
    CALL(fsync(fd));
    CALL(pwrite(fd, bytes + 41, 5000, 4000));
    SHOW(fd);
    CALL(close(fd));
    look(".");
}

/* ---- O_PATH ---- */

static void path_refuses_data(void)
{
    int fd = subject();
    CALL(write(fd, bytes + 1, 5000));
    int p = CALL(open(SUBJECT, O_PATH));
    struct iovec iov = {scratch, 100};
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int number;
    CALL(read(p, scratch, 10));
    CALL(write(p, bytes, 10));
    CALL(pread(p, scratch, 10, 0));
    CALL(pwrite(p, bytes, 10, 0));
    CALL(readv(p, &iov, 1));
    CALL(pwritev2(p, &iov, 1, 0, RWF_APPEND));
    CALL(lseek(p, 0, SEEK_CUR));
    CALL(ftruncate(p, 10));
    CALL(fallocate(p, 0, 0, 10));
    CALL(posix_fallocate(p, 0, 10));
    CALL(fsync(p));
    CALL(fdatasync(p));
    CALL(sync_file_range(p, 0, 10, 2));
    CALL_POINTER(mmap(NULL, 4096, PROT_READ, MAP_SHARED, p, 0));
    CALL(sendfile(fd, p, NULL, 10));
    CALL(copy_file_range(p, NULL, fd, NULL, 10, 0));
    CALL(flock(p, LOCK_SH));
    CALL(fcntl(p, F_SETLK, &lock));
    CALL(ioctl(p, FIONREAD, &number));
    CALL(fchmod(p, 0600));
    CALL(futimens(p, NULL));
    CALL(posix_fadvise(p, 0, 0, 0));
    CALL(fcntl(p, F_SETFL, O_APPEND));
    CALL(close(p));
    finish(fd);
}

static void path_is_a_place(void)
{
    int fd = subject();
    CALL(pwrite(fd, bytes + 1, 5000, subject_size));
    int p = CALL(open(SUBJECT, O_PATH | O_CLOEXEC));
    struct stat st;
    CALL(fcntl(p, F_GETFL));
    CALL(fcntl(p, F_GETFD));
    CALL(fstat(p, &st));
    say("size %lld", (long long)st.st_size);
    CALL(fstatat(p, "", &st, AT_EMPTY_PATH));
    say("size %lld", (long long)st.st_size);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", p);
    int again = CALL(open(name, O_RDWR));
    SHOW(again);
    CALL(write(again, bytes + 2, 700));
    SHOW(fd);
    CALL(truncate(name, 9999));
    SHOW(again);
    int copy = CALL(dup(p));
    CALL(read(copy, scratch, 10));
    CALL(dup2(p, again)); /* in the place of a managed one */
    CALL(read(again, scratch, 10));
    CALL(linkat(AT_FDCWD, name, AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
    CALL(dup2(fd, copy)); /* and the reverse */
    CALL(write(copy, bytes + 3, 70));
    CALL(close(again));
    CALL(close(copy));
    CALL(close(p));
    finish(fd);
}

/* ---- by number ---- */

static void reopen(const char *name, int flags, int fd)
{
    int again = CALL(open(name, flags));
    if (again < 0)
        return;
    SHOW(again);
    CALL(write(again, bytes + 5, 3000));
    SHOW(fd);
    CALL(write(fd, bytes + 6, 300));
    CALL(fsync(again));
    SHOW(again);
    CALL(close(again));
}

static void reopened_by_number(void)
{
    static const char *const where[] = {"/proc/self/fd/%d", "/dev/fd/%d", "/proc/thread-self/fd/%d"};
    int fd = subject();
    char name[64];
    struct stat st;
    CALL(lseek(fd, 100, SEEK_SET));
    for (size_t i = 0; i < sizeof where / sizeof where[0]; i++) {
        say("%s", where[i]);
        snprintf(name, sizeof name, where[i], fd);
        reopen(name, O_RDWR, fd);
        reopen(name, O_RDONLY, fd);
        reopen(name, O_WRONLY | O_APPEND, fd);
        reopen(name, O_RDWR | O_CREAT, fd);
        CALL(stat(name, &st));
        say("size %lld", (long long)st.st_size);
    }
    CALL(unlink(SUBJECT));
    reopen(name, O_RDWR, fd);
    reopen(name, O_RDWR | O_TRUNC, fd);
    finish(fd);
}

static void reopen_of_parent(int fd)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/fd/%d", getppid(), fd);
    int again = open(name, O_RDWR);
    SHOW(again);
    CALL(write(again, bytes + 5, 3000));
    CALL(pwrite(again, bytes + 6, 3000, subject_size));
    SHOW(fd);
    CALL(close(again));
}

static void reopened_by_a_child(void)
{
    int fd = subject();
    CALL(write(fd, bytes + 2, 600));
    in_child(reopen_of_parent, fd);
    finish(fd);
}

/* ---- O_TMPFILE ---- */

static void nameless(void)
{
    for (int i = 0; i < 3; i++) {
        int fd = CALL(open(".", O_TMPFILE | O_RDWR | (i == 2 ? O_EXCL : 0), 0640));
        CALL(write(fd, bytes + i, 10000));
        CALL(fsync(fd));
        CALL(pwrite(fd, bytes + 5, 8000, 6000));
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        int again = CALL(open(name, O_RDWR));
        CALL(write(again, bytes + 7, 700));
        SHOW(fd);
        if (i == 1)
            CALL(linkat(fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH));
        else
            CALL(linkat(AT_FDCWD, name, AT_FDCWD, i ? "excluded" : "first", AT_SYMLINK_FOLLOW));
        CALL(pwrite(fd, bytes + 9, 100, 100));
        SHOW(again);
        CALL(close(fd));
        CALL(write(again, bytes + 8, 800));
        CALL(close(again));
        look(".");
    }
    int fd = CALL(open("first", O_RDWR));
    finish(fd);
}

/* ---- flags ---- */

static void exact_flags(void)
{
    static const int opened[] = {O_RDONLY,
                                 O_WRONLY,
                                 O_RDWR,
                                 O_RDWR | O_APPEND,
                                 O_RDWR | O_NONBLOCK,
                                 O_RDWR | O_SYNC,
                                 O_RDWR | O_DSYNC,
                                 O_RDWR | O_DIRECT,
                                 O_RDWR | O_NOATIME,
                                 O_RDWR | O_CLOEXEC | O_CREAT,
                                 O_RDWR | O_LARGEFILE,
                                 O_RDWR | O_ASYNC,
                                 O_RDWR | O_NOCTTY | O_NOFOLLOW,
                                 O_WRONLY | O_TRUNC,
                                 O_ACCMODE};
    CALL(close(subject()));
    for (size_t i = 0; i < sizeof opened / sizeof opened[0]; i++) {
        say("%#o", (unsigned)opened[i]);
        int fd = CALL(open(SUBJECT, opened[i], 0600));
        CALL(fcntl(fd, F_GETFL));
        CALL(fcntl(fd, F_GETFD));
        CALL(write(fd, bytes, 4096));
        CALL(fcntl(fd, F_GETFL));
        CALL(close(fd));
    }
}

static void changed_flags(void)
{
    static const int changed[] = {O_APPEND,
                                  O_APPEND | O_NONBLOCK,
                                  O_DIRECT,
                                  O_NOATIME | O_ASYNC,
                                  O_SYNC,
                                  O_DSYNC | O_APPEND,
                                  O_WRONLY,
                                  O_CREAT | O_TRUNC | O_EXCL | O_CLOEXEC,
                                  O_PATH | O_DIRECTORY,
                                  -1,
                                  0};
    int fd = subject();
    int other = CALL(open(SUBJECT, O_RDWR));
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        say("%#o", (unsigned)changed[i]);
        CALL(fcntl(fd, F_SETFL, changed[i]));
        CALL(fcntl(fd, F_GETFL));
        CALL(fcntl(other, F_GETFL));
        CALL(lseek(fd, 4096, SEEK_SET));
        CALL(write(fd, bytes, 4096));
        CALL(lseek(fd, 0, SEEK_CUR));
        CALL(fcntl(fd, F_GETFL));
    }
    SHOW(other);
    CALL(close(other));
    finish(fd);
}

static void direct(void)
{
    CALL(close(subject()));
    uint8_t *aligned = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(aligned, bytes, 1 << 16);
    int fd = CALL(open(SUBJECT, O_RDWR | O_DIRECT));
    CALL(pwrite(fd, aligned, 8192, 4096));
    CALL(pread(fd, aligned + 16384, 8192, 0));
    SHOW_BYTES(aligned + 16384, 8192);
    CALL(fsync(fd));
    CALL(write(fd, aligned + 4096, 4096));
    CALL(pwrite(fd, aligned, 4096, 1 << 20));
    SHOW_BYTES(aligned, CALL(pread(fd, aligned, 1 << 16, (1 << 20) - 8192)));
    CALL(fcntl(fd, F_SETFL, 0));
    CALL(write(fd, bytes + 3, 777));
    CALL(munmap(aligned, 1 << 16));
    finish(fd);
}

static void other_commands(void)
{
    static const struct {
        int number;
        const char *name;
    } commands[] = {{F_GETOWN, "F_GETOWN"},
                    {F_GETSIG, "F_GETSIG"},
                    {F_SETSIG, "F_SETSIG"},
                    {F_GETLEASE, "F_GETLEASE"},
                    {F_NOTIFY, "F_NOTIFY"},
                    {F_GETPIPE_SZ, "F_GETPIPE_SZ"},
                    {F_SETPIPE_SZ, "F_SETPIPE_SZ"},
                    {F_GET_SEALS, "F_GET_SEALS"},
                    {F_ADD_SEALS, "F_ADD_SEALS"},
                    {F_GET_RW_HINT, "F_GET_RW_HINT"},
                    {F_SET_RW_HINT, "F_SET_RW_HINT"},
                    {1024 + 100, "1124"},
                    {-1, "-1"}};
    int fd = subject();
    CALL(write(fd, bytes, 5000));
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        uint64_t hint = 2;
        long argument = commands[i].number == F_SET_RW_HINT || commands[i].number == F_GET_RW_HINT ? (long)&hint : 0;
        say("%s", commands[i].name);
        CALL(fcntl(fd, commands[i].number, argument));
        say("%d", (int)hint);
    }
    CALL(fcntl(fd, F_SETOWN, getpid()));
    say("owner %d", fcntl(fd, F_GETOWN) == getpid());
    CALL(fcntl(fd, F_SETOWN, -getpgrp()));
    say("owner %d", fcntl(fd, F_GETOWN) == -getpgrp());
    CALL(fcntl(fd, F_SETOWN, 0));
    finish(fd);
}

/* A lease to write is granted to the only one who has the file open, to read while nobody may write. */
static void leases(void)
{
    signal(SIGIO, SIG_IGN);
    CALL(close(subject()));
    int fd = CALL(open(SUBJECT, O_RDWR));
    CALL(fcntl(fd, F_SETLEASE, F_WRLCK));
    CALL(fcntl(fd, F_GETLEASE));
    CALL(fcntl(fd, F_SETLEASE, F_RDLCK));
    CALL(fcntl(fd, F_SETLEASE, F_UNLCK));
    CALL(close(fd));
    fd = CALL(open(SUBJECT, O_RDONLY));
    CALL(fcntl(fd, F_SETLEASE, F_RDLCK));
    CALL(fcntl(fd, F_GETLEASE));
    CALL(fcntl(fd, F_SETLEASE, F_UNLCK));
    CALL(close(fd));
    fd = CALL(open(SUBJECT, O_RDWR));
    finish(fd);
}

/* ---- numbers that libc's streams write to and read from unseen ---- */

static void number_of_stdout(void)
{
    watch_errno = false;
    CALL(close(subject()));
    CALL(dup2(1, 50));
    CALL(close(1));
    int fd = CALL(open(SUBJECT, O_RDWR));
    CALL(write(fd, bytes + 1, 5000));
    CALL(fsync(fd));
    CALL(write(fd, bytes + 2, 5000));
    CALL(printf("printed to number %d\n", fd));
    CALL(fflush(stdout));
    SHOW(fd);
    CALL(write(fd, bytes + 3, 300));
    CALL(puts("and again"));
    CALL(fflush(stdout));
    SHOW(fd);
    int reader = CALL(open(SUBJECT, O_RDONLY));
    SHOW(reader);
    CALL(close(reader));
    CALL(dup2(50, 1));
    CALL(close(50));
    look(SUBJECT);
}

static void number_of_stderr(void)
{
    watch_errno = false;
    CALL(close(subject()));
    CALL(dup2(2, 50));
    CALL(close(2));
    int fd = CALL(open(SUBJECT, O_RDWR | O_APPEND));
    CALL(write(fd, bytes + 1, 5000));
    CALL(fsync(fd));
    CALL(write(fd, bytes + 2, 5000));
    errno = ENOENT;
    perror("to the file");
    SHOW(fd);
    CALL(dup2(50, 2));
    CALL(close(50));
    look(SUBJECT);
}

static void number_of_stdin(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(pwrite(fd, "a line\nanother\n", 15, 0));
    CALL(fsync(fd));
    CALL(pwrite(fd, "THE", 3, 7));
    CALL(close(0));
    int in = CALL(open(SUBJECT, O_RDONLY));
    char line[40];
    say("%d %s", in, fgets(line, sizeof line, stdin));
    CALL(pwrite(fd, bytes, 100, 100));
    say("%s", fgets(line, sizeof line, stdin));
    SHOW(in);
    CALL(close(in));
    finish(fd);
}

/* More than a set of select holds, below the numbers that the library keeps for itself. */
static void thousands(void)
{
    enum { MANY = 3000 };
    struct rlimit limit;
    int fd = subject(), last = fd, jumps = 0;
    CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CALL(setrlimit(RLIMIT_NOFILE, &limit));
    CALL(write(fd, bytes, 100));
    for (int i = 0; i < MANY; i++) {
        int next = i % 3 ? open(SUBJECT, O_RDWR) : dup(last);
        if (next != last + 1 && ++jumps < 5)
            say("%d after %d", next, last);
        last = next;
        if (i % 100 == 0)
            CALL(pwrite(last, bytes + i, 50, 10 * i));
    }
    say("last %d, %d jumps", last, jumps);
    SHOW(last);
    CALL(write(last, bytes + 3, 5000));
    CALL(fsync(last));
    SHOW(1500);
    CALL(close(1234));
    CALL(open("new", O_RDWR | O_CREAT, 0600));
    CALL(write(1234, bytes + 3, 5000));
    look("new");
    CALL(close_range(fd + 1, 899, 0));
    CALL(close_range(901, 10000, 0));
    finish(fd);
}

const struct posix_case cases_descriptor[] = {
    {"path_refuses_data", path_refuses_data, 0},
    {"path_is_a_place", path_is_a_place, 0},
    {"reopened_by_number", reopened_by_number, 0},
    {"reopened_by_a_child", reopened_by_a_child, 0},
    {"nameless", nameless, CASE_ONCE},
    {"exact_flags", exact_flags, 0},
    {"changed_flags", changed_flags, 0},
    {"direct", direct, 0},
    {"other_commands", other_commands, 0},
    {"leases", leases, 0},
    {"number_of_stdout", number_of_stdout, 0},
    {"number_of_stderr", number_of_stderr, 0},
    {"number_of_stdin", number_of_stdin, 0},
    {"thousands", thousands, 0},
    {0},
};
