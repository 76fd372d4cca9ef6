/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * passing_locks.c — promise: a lock is on the range that it says, whichever number of locks came before it and whoever serves the
 * file by then: told from the start, from the end or from the position; and it is there until it is given back. The kernel is
 * asked by another process, which has not the library. The same without the library, which tests the test.
 */
#include "clean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 20000, MANY = 200, LATER = 300 };

static char root[] = "/dev/shm/nvmmio-passing.XXXXXX", path[64];
static char bytes[SIZE];

/* A lock is set, or taken off; the second time by the way that is left to those that pass by. */
static bool lock(int fd, short type, short whence, off_t start)
{
    struct flock range = {.l_type = type, .l_whence = whence, .l_start = start, .l_len = 1};
    return fcntl(fd, F_SETLK, &range) == 0;
}

/* Whether exactly that byte is locked, as another program sees it. */
static bool only_locked(off_t at)
{
    char text[24], *const argv[] = {"passing_locks", "look", text, path, NULL};
    char *const nothing[] = {NULL};
    int status;
    snprintf(text, sizeof text, "%lld", (long long)at);
    pid_t pid = fork();
    if (pid == 0) {
        execve("/proc/self/exe", argv, nothing); /* without LD_PRELOAD */
        _exit(EXIT_FAILURE);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static int look(off_t at, const char *file)
{
    int fd = open(file, O_RDWR);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd < 0 || fcntl(fd, F_GETLK, &range))
        return EXIT_FAILURE;
    if (at < 0)
        return range.l_type == F_UNLCK ? EXIT_SUCCESS : EXIT_FAILURE;
    bool there = range.l_type == F_WRLCK && range.l_start == at && range.l_len == 1;
    if (!there)
        fprintf(stderr, "expected %lld, is %d %lld %lld\n", (long long)at, range.l_type, (long long)range.l_start,
                (long long)range.l_len);
    return there ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Each kind of range, where it must be. */
static bool each_is_right(int fd, off_t position, off_t size)
{
    return lock(fd, F_WRLCK, SEEK_SET, 77) && only_locked(77) && lock(fd, F_UNLCK, SEEK_SET, 77) && only_locked(-1) &&
           lock(fd, F_WRLCK, SEEK_END, -1) && only_locked(size - 1) && lock(fd, F_UNLCK, SEEK_END, -1) &&
           lock(fd, F_WRLCK, SEEK_CUR, 5) && only_locked(position + 5) && lock(fd, F_UNLCK, SEEK_CUR, 5) &&
           only_locked(-1);
}

static int made(void)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    return fd >= 0 && write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && close(fd) == 0 ? open(path, O_RDWR) : -1;
}

/* Moves data, and more often than there were locks, so that the file comes to be served. */
static bool serve(int fd)
{
    for (int i = 0; i < MANY; i++)
        if (pwrite(fd, "x", 1, i) != 1)
            return false;
    return true;
}

static bool as_it_is(void)
{
    int fd = made();
    return each_is_right(fd, 0, SIZE) && each_is_right(fd, 0, SIZE) && lseek(fd, 40, SEEK_SET) == 40 &&
           each_is_right(fd, 40, SIZE);
}

static bool served_meanwhile(void)
{
    int fd = made();
    return each_is_right(fd, 0, SIZE) && each_is_right(fd, 0, SIZE) && serve(fd) && each_is_right(fd, 0, SIZE) &&
           write(fd, "12345", 5) == 5 && each_is_right(fd, 5, SIZE) && pwrite(fd, "end", 3, SIZE) == 3 &&
           each_is_right(fd, 5, SIZE + 3) && lseek(fd, -3, SEEK_END) == SIZE && write(fd, "enlarged", 8) == 8 &&
           each_is_right(fd, SIZE + 8, SIZE + 8) && each_is_right(fd, SIZE + 8, SIZE + 8);
}

/* Files are let go for lack of descriptors: the position goes back to the kernel only when it is asked for. */
static bool let_go(void)
{
    int fd = made(), last = -1, next;
    struct rlimit few = {64, 64};
    if (!each_is_right(fd, 0, SIZE) || !serve(fd) || write(fd, "12345", 5) != 5 || !each_is_right(fd, 5, SIZE) ||
        setrlimit(RLIMIT_NOFILE, &few))
        return false;
    while ((next = open("/dev/null", O_RDONLY)) >= 0)
        last = next;
    close(last);
    close(last - 1);
    close(last - 2);
    return errno == EMFILE && each_is_right(fd, 5, SIZE) && each_is_right(fd, 5, SIZE) && write(fd, "678", 3) == 3 &&
           each_is_right(fd, 8, SIZE);
}

/* The child moves the position that it shares. */
static bool shared_with_a_child(void)
{
    int fd = made(), status;
    if (!each_is_right(fd, 0, SIZE) || !each_is_right(fd, 0, SIZE))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(serve(fd) && write(fd, bytes, LATER) == LATER ? EXIT_SUCCESS : EXIT_FAILURE);
    return waitpid(pid, &status, 0) == pid && status == 0 && each_is_right(fd, LATER, SIZE) &&
           each_is_right(fd, LATER, SIZE);
}

/* The number is another file's by then. */
static bool of_another_file(void)
{
    char other[sizeof path + 8];
    int fd = made();
    snprintf(other, sizeof other, "%s.other", path);
    if (!each_is_right(fd, 0, SIZE) || !each_is_right(fd, 0, SIZE) || close(fd) || rename(path, other))
        return false;
    int again = made(); /* the same number */
    bool good = again == fd && serve(again) && write(again, "12", 2) == 2 && each_is_right(again, 2, SIZE);
    unlink(other);
    return good;
}

static const struct part {
    const char *name;
    bool (*run)(void);
} parts[] = {
    {"as_it_is", as_it_is},
    {"served_meanwhile", served_meanwhile},
    {"let_go", let_go},
    {"shared_with_a_child", shared_with_a_child},
    {"of_another_file", of_another_file},
};

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 4)
        return look(atoll(argv[2]), argv[3]);
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(parts[i].run() ? EXIT_SUCCESS : EXIT_FAILURE);
        waitpid(pid, &status, 0);
        printf("%s: %s\n", parts[i].name, status ? "FAILED" : "ok");
        failed += status != 0;
        unlink(path);
    }
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
