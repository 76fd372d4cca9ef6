/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * many.c — scenarios: many processes on one file.
 */
#include "hostile.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* More than there are places in an index, at the same time. */
enum { CROWD = 520 };
enum {
    CROWD_WAIT_US = 20000,
    CROWD_WAITS = 4000
}; /* seldom: the waiting are many, and the others need the processors */

struct crowd {
    _Atomic unsigned here, wrong;
};

static void crowd_member(struct crowd *crowd, int number)
{
    int fd = nvx.open("file", O_RDWR);
    must(fd >= 0, "open by process %d", number);
    uint32_t word = (uint32_t)number, back = 0;
    off_t at = (off_t)number * (off_t)sizeof word;
    must(nvx.pwrite(fd, &word, sizeof word, at) == sizeof word, "pwrite by process %d", number);
    crowd->here++;
    for (int i = 0; crowd->here < CROWD && i < CROWD_WAITS; i++)
        usleep(CROWD_WAIT_US);
    must(crowd->here == CROWD, "only %u processes came", crowd->here);
    /* all have written: everybody sees everything */
    for (int i = 0; i < CROWD; i++) {
        must(nvx.pread(fd, &back, sizeof back, i * (off_t)sizeof back) == sizeof back, "pread by process %d", number);
        if (back != (uint32_t)i)
            crowd->wrong++;
    }
    must(nvx.fsync(fd) == 0, "fsync by process %d", number);
    must(nvx.close(fd) == 0, "close by process %d", number);
}

static void crowd(void)
{
    struct crowd *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[CROWD];
    int fd = file_begin("file");
    file_put(fd, 1, 3);
    for (int i = 0; i < CROWD; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            nvx.close(fd);
            crowd_member(shared, i);
            exit(EXIT_SUCCESS);
        }
    }
    for (int i = 0; i < CROWD; i++)
        await(pid[i]);
    must(shared->wrong == 0, "%u values were not seen", shared->wrong);
    for (int i = 0; i < CROWD; i++) {
        uint32_t back;
        must(nvx.pread(fd, &back, sizeof back, i * (off_t)sizeof back) == sizeof back && back == (uint32_t)i,
             "value %d", i);
    }
    must(nvx.close(fd) == 0, "close");
}

/* Processes come and go, some by SIGKILL, while one stays. */
static void come_and_go(void)
{
    int fd = file_begin("file");
    for (unsigned round = 1; round <= 150; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            int own = nvx.open("file", O_RDWR);
            must(own >= 0, "open");
            file_check(own, 1, round == 1 ? 1 : round + 99);
            file_put(own, 2, round);
            file_put(own, 1, round + 100);
            if (round % 3 == 0)
                raise(SIGKILL);
            exit(nvx.close(own));
        }
        int status;
        waitpid(pid, &status, 0);
        must(WIFSIGNALED(status) == (round % 3 == 0) && (WIFSIGNALED(status) || WEXITSTATUS(status) == 0), "status %x",
             status);
        file_check(fd, 1, round + 100);
        file_check(fd, 2, round);
    }
    file_put(fd, 1, 1);
    file_put(fd, 2, 1);
    file_end(fd, "file");
}

/* A reader that may not write, of the same owner: it sees each write at once. */
static void reader(void)
{
    int to_child[2], to_parent[2];
    char word;
    int fd = file_begin("file");
    must(fchmod(fd, 0444) == 0 && pipe(to_child) == 0 && pipe(to_parent) == 0, "chmod");
    pid_t pid = fork();
    if (pid == 0) {
        int own = nvx.open("file", O_RDONLY);
        must(own >= 0, "open for reading");
        for (unsigned i = 0; i < 50; i++) {
            must(read(to_child[0], &word, 1) == 1, "word");
            file_check(own, 3, 60 + i);
            must(write(to_parent[1], "x", 1) == 1, "word");
        }
        must(nvx.pwrite(own, "x", 1, 0) < 0 && errno == EBADF, "it cannot write");
        exit(nvx.close(own));
    }
    for (unsigned i = 0; i < 50; i++) {
        file_put(fd, 3, 60 + i);
        must(write(to_child[1], "x", 1) == 1 && read(to_parent[0], &word, 1) == 1, "word");
    }
    await(pid);
    file_end(fd, "file");
}

/* ---- advisory locks ---- */

/* Whether another process could lock byte `at` by fcntl: 1, 0; -1: it cannot ask. */
static int lockable(const char *name, off_t at)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
        int fd = nvx.open(name, O_RDWR);
        _exit(fd < 0 ? 2 : fcntl(fd, F_SETLK, &lock) == 0);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) < 2 ? WEXITSTATUS(status) : -1;
}

static int set_lock(int fd, int command, short type, off_t at)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, &lock);
}

/* POSIX locks go with any close of the file by their process, and with no other; the library's own descriptors, and its
 * attaching and detaching, neither take nor drop one. */
static void posix_locks(void)
{
    if (!nvx_is_kernel)
        hostile_skip("fcntl is the preload library's affair");
    int fd = file_begin("file");
    must(set_lock(fd, F_SETLK, F_WRLCK, 10) == 0, "lock");
    must(lockable("file", 10) == 0 && lockable("file", 11) == 1, "the lock holds");
    for (unsigned i = 0; i < BLOCKS; i++)
        file_put(fd, i, 70);
    must(nvx.fsync(fd) == 0, "fsync");
    usleep(400000); /* idle write-back */
    must(lockable("file", 10) == 0, "the lock holds after write-back");
    FILE *stream = popen("true", "r"); /* demotes, inheritable as the descriptor is */
    must(stream && pclose(stream) == 0 && lockable("file", 10) == 0, "the lock holds after demotion");
    int other = nvx.open("file", O_RDONLY);
    must(other >= 0 && nvx.close(other) == 0, "another descriptor");
    must(lockable("file", 10) == 1, "any close of the file drops the lock");
    must(set_lock(fd, F_SETLK, F_WRLCK, 10) == 0 && set_lock(fd, F_SETLK, F_RDLCK, 10) == 0, "lock again");
    pid_t pid = fork();
    if (pid == 0) {
        nvx.close(fd); /* the child has no locks to lose, and does not lose its parent's */
        exit(EXIT_SUCCESS);
    }
    await(pid);
    must(lockable("file", 10) == 0, "a child's close drops nothing");
    struct flock ask = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
    must(fcntl(fd, F_GETLK, &ask) == 0 && ask.l_type == F_UNLCK, "own locks are not in the way");
    must(set_lock(fd, F_SETLK, F_UNLCK, 10) == 0 && lockable("file", 10) == 1, "unlock");
    must(nvx.lseek(fd, 100, SEEK_SET) == 100 && lockf(fd, F_LOCK, 5) == 0, "lockf");
    must(lockable("file", 103) == 0 && lockable("file", 105) == 1, "lockf is about the offset");
    file_end(fd, "file");
}

/* Locks of descriptions, and flock, go with the last descriptor. */
static void description_locks(void)
{
    if (!nvx_is_kernel)
        hostile_skip("fcntl is the preload library's affair");
    int fd = file_begin("file");
    must(set_lock(fd, F_OFD_SETLK, F_WRLCK, 20) == 0, "lock");
    int other = nvx.open("file", O_RDWR);
    must(set_lock(other, F_OFD_SETLK, F_WRLCK, 20) < 0 && errno == EAGAIN, "it holds against this process, too");
    must(nvx.close(other) == 0 && lockable("file", 20) == 0, "another descriptor's close drops nothing");
    int copy = nvx.dup(fd);
    must(nvx.close(fd) == 0 && lockable("file", 20) == 0, "nor does that of a duplicate");
    other = nvx.open("file", O_RDWR);
    must(flock(copy, LOCK_EX) == 0 && flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "flock");
    file_put(copy, 1, 80);
    must(nvx.fsync(copy) == 0 && nvx.close(copy) == 0, "the last close");
    must(lockable("file", 20) == 1 && flock(other, LOCK_EX | LOCK_NB) == 0, "drops both");
    file_end(other, "file");
}

const struct scenario scenarios_many[] = {
    {"crowd", crowd, false, false},
    {"come_and_go", come_and_go, false, false},
    {"reader", reader, false, false},
    {"posix_locks", posix_locks, false, false},
    {"description_locks", description_locks, false, false},
    {0},
};
