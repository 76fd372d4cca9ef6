/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_lock.c — POSIX, OFD and flock locks on a file that is written: kept, and lost when POSIX says so.
 */
#include "cases.h"

#include <sys/file.h>

/* A child asks: it is another process to POSIX locks. */
static void ask(int fd)
{
    static const off_t places[] = {0, 150, 5000, 1 << 30};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = places[i], .l_len = 1};
        int r = fcntl(fd, F_GETLK, &lock);
        say("  at %lld: %d %s %lld+%lld by parent %d", (long long)places[i], r,
            lock.l_type == F_UNLCK   ? "free"
            : lock.l_type == F_RDLCK ? "read"
                                     : "write",
            (long long)lock.l_start, (long long)lock.l_len, lock.l_type != F_UNLCK && lock.l_pid == getppid());
    }
    static const short bases[] = {SEEK_CUR,
                                  SEEK_END}; /* of the answer only the type is changed where there is no lock */
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = bases[i], .l_start = 1 << 20, .l_len = 1};
        int r = fcntl(fd, F_GETLK, &lock);
        say("  from %d: %d %d %lld+%lld", bases[i], r, lock.l_type, (long long)lock.l_start, (long long)lock.l_len);
    }
}

static int set_lock(int fd, short type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, F_SETLK, &lock);
}

static void kept_while_written(void)
{
    int fd = subject();
    CALL(set_lock(fd, F_WRLCK, 0, 100));
    CALL(set_lock(fd, F_RDLCK, 100, 100));
    in_child(ask, fd);
    CALL(nvx.write(fd, bytes + 1, 5000));
    in_child(ask, fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 2, 5000, 3000));
    SHOW(fd);
    in_child(ask, fd);
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.pwrite(other, bytes + 3, 5000, 4000));
    CALL(nvx.fsync(other));
    in_child(ask, fd);
    CALL(nvx.ftruncate(fd, 10));
    CALL(nvx.pwrite(fd, bytes + 4, 9000, 0));
    SHOW(other);
    in_child(ask, fd);
    CALL(set_lock(fd, F_UNLCK, 0, 100));
    in_child(ask, fd);
    CALL(nvx.close(other)); /* any close loses all */
    in_child(ask, fd);
    CALL(nvx.write(fd, bytes + 5, 50));
    CALL(nvx.close(fd));
}

/* SQLite locks first and writes then. */
static void locked_before_first_write(void)
{
    CALL(nvx.close(subject()));
    int fd = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(set_lock(fd, F_WRLCK, 1 << 30, 10));
    for (int i = 0; i < 4; i++) {
        CALL(nvx.pwrite(fd, bytes + i, 3000, 1000 * i));
        CALL(nvx.pread(fd, scratch, 3000, 500));
        CALL(nvx.fdatasync(fd));
        in_child(ask, fd);
    }
    int journal = CALL(nvx.open("journal", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(journal, bytes, 3000));
    CALL(nvx.fsync(journal));
    CALL(nvx.pwrite(journal, bytes + 1, 30, 0));
    CALL(nvx.close(journal));
    CALL(unlink("journal"));
    in_child(ask, fd);
    struct stat st;
    CALL(stat(SUBJECT, &st));
    in_child(ask, fd);
    CALL(nvx.close(fd));
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    in_child(ask, fd);
    CALL(nvx.close(fd));
}

static void lost_on_close_of_copy(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 5000));
    int copy = CALL(nvx.dup(fd));
    CALL(set_lock(fd, F_WRLCK, 0, 100));
    in_child(ask, fd);
    CALL(nvx.close(copy));
    in_child(ask, fd);
    CALL(set_lock(fd, F_WRLCK, 0, 100));
    CALL(nvx.dup2(0, 40));
    CALL(nvx.dup2(fd, 40));
    in_child(ask, fd);
    CALL(nvx.dup2(0, 40));
    in_child(ask, fd);
    CALL(nvx.close(40));
    CALL(nvx.close(fd));
}

/* The descriptor of another process's locks. */
static void child_locks(int fd)
{
    CALL(set_lock(fd, F_WRLCK, 0, 100));
    CALL(nvx.pwrite(fd, bytes + 9, 5000, 100));
}

static void not_inherited(void)
{
    int fd = subject();
    CALL(set_lock(fd, F_WRLCK, 150, 10));
    in_child(child_locks, fd);
    in_child(ask, fd);
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void other_commands(void)
{
    int fd = subject();
    CALL(lockf(fd, F_TLOCK, 100));
    in_child(ask, fd);
    CALL(nvx.write(fd, bytes, 5000));
    CALL(lockf(fd, F_TLOCK, 10));
    CALL(nvx.lseek(fd, 0, SEEK_SET));
    CALL(lockf(fd, F_TEST, 100));
    CALL(lockf(fd, F_ULOCK, 0));
    in_child(ask, fd);
    struct flock from_end = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -subject_size, .l_len = 10};
    CALL(fcntl(fd, F_SETLKW, &from_end));
    in_child(ask, fd);
    struct flock from_here = {.l_type = F_RDLCK, .l_whence = SEEK_CUR, .l_start = 140, .l_len = 100};
    CALL(fcntl(fd, F_SETLK, &from_here));
    in_child(ask, fd);
    CALL(set_lock(fd, 77, 0, 1));
    CALL(set_lock(fd, F_WRLCK, -1, 1));
    CALL(set_lock(-1, F_WRLCK, 0, 1));
    int reader = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL(set_lock(reader, F_WRLCK, 300, 1));
    CALL(nvx.close(reader));
    CALL(nvx.close(fd));
}

/* SEEK_CUR and SEEK_END are the file's offset and size, not the kernel's memory of them. */
static void relative_to_offset(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 5000));
    CALL(nvx.pwrite(fd, bytes, 100, subject_size + 100));
    struct flock here = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 0, .l_len = 1};
    CALL(fcntl(fd, F_SETLK, &here));
    struct flock end = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -subject_size - 50, .l_len = 1};
    CALL(fcntl(fd, F_SETLK, &end));
    in_child(ask, fd);
    CALL(nvx.close(fd));
}

static void description_locks(void)
{
    int fd = subject();
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    CALL(fcntl(fd, F_OFD_SETLK, &lock));
    CALL(fcntl(other, F_OFD_SETLK, &lock));
    CALL(nvx.write(other, bytes + 1, 5000));
    CALL(nvx.fsync(other));
    CALL(nvx.write(fd, bytes + 2, 500));
    CALL(fcntl(other, F_OFD_SETLK, &lock));
    int copy = CALL(nvx.dup(fd));
    CALL(nvx.close(fd));
    CALL(fcntl(other, F_OFD_SETLK, &lock));
    CALL(nvx.close(copy));
    CALL(fcntl(other, F_OFD_SETLK, &lock));
    CALL(nvx.close(other));
}

static void flock_locks(void)
{
    int fd = subject();
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(flock(fd, LOCK_EX | LOCK_NB));
    CALL(flock(other, LOCK_EX | LOCK_NB));
    CALL(nvx.write(other, bytes + 1, 5000));
    CALL(nvx.fsync(other));
    CALL(nvx.write(fd, bytes + 2, 500));
    CALL(flock(other, LOCK_SH | LOCK_NB));
    CALL(flock(fd, LOCK_SH | LOCK_NB));
    CALL(flock(other, LOCK_SH | LOCK_NB));
    CALL(flock(fd, LOCK_UN));
    CALL(flock(other, LOCK_EX | LOCK_NB));
    CALL(nvx.close(other));
    CALL(flock(fd, LOCK_EX | LOCK_NB));
    CALL(nvx.write(fd, bytes + 2, 500));
    CALL(nvx.close(fd));
    /* Nothing that the library keeps open may hold it. */
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(flock(fd, LOCK_EX | LOCK_NB));
    CALL(nvx.close(fd));
}

const struct posix_case cases_lock[] = {
    {"kept_while_written", kept_while_written, 0},
    {"locked_before_first_write", locked_before_first_write, 0},
    {"lost_on_close_of_copy", lost_on_close_of_copy, 0},
    {"not_inherited", not_inherited, 0},
    {"other_commands", other_commands, 0},
    {"relative_to_offset", relative_to_offset, 0},
    {"description_locks", description_locks, 0},
    {"flock_locks", flock_locks, 0},
    {0},
};
