/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * owner.c — promise: a file that is given another owner while it is served, or after its server died, keeps every completed
 * write, whoever is killed when. On the kernel too, which tests the test. Root alone may give files away: 77 for others.
 */
#include "clean.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 20000, LATER = 30000, OWNER = 4711, SKIPPED = 77 };

static char root[] = "/dev/shm/nvmmio-owner.XXXXXX", path[64];
static char bytes[SIZE], found[LATER + 5];

/* The file, new and root's, with a synced write that is served in user space. */
static int subject(void)
{
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    bool right = write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && pwrite(fd, "first", 5, 0) == 5 && fsync(fd) == 0;
    return right ? fd : -1;
}

/* More, one write synced and one that makes the file longer not; then the end. */
static void go_on(int fd)
{
    if (pwrite(fd, "second", 6, 5000) == 6 && fsync(fd) == 0 && pwrite(fd, "third", 5, LATER) == 5)
        kill(getpid(), SIGKILL);
    exit(EXIT_FAILURE);
}

static bool holds(bool more)
{
    memset(found, 0, sizeof found);
    int fd = open(path, O_RDWR);
    ssize_t size = pread(fd, found, sizeof found, 0);
    bool right = size == (more ? LATER + 5 : SIZE) && memcmp(found, "firstb", 6) == 0 && found[SIZE - 1] == 'b' &&
                 (!more || (memcmp(found + 5000, "second", 6) == 0 && memcmp(found + LATER, "third", 5) == 0));
    return close(fd) == 0 && right;
}

static bool is_given(void)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_uid == OWNER;
}

/* A process that is to be killed. */
static pid_t begin(void (*part)(void))
{
    pid_t child = fork();
    if (child == 0)
        part();
    return child;
}

static bool is_killed(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void by_descriptor(void)
{
    int fd = subject();
    if (fchown(fd, OWNER, OWNER) == 0)
        go_on(fd);
    exit(EXIT_FAILURE);
}

static void by_name(void)
{
    int fd = subject();
    if (chown(path, OWNER, (gid_t)-1) == 0)
        go_on(fd);
    exit(EXIT_FAILURE);
}

static void by_link(void)
{
    int fd = subject();
    if (lchown(path, OWNER, (gid_t)-1) == 0)
        go_on(fd);
    exit(EXIT_FAILURE);
}

static void by_call(void)
{
    int fd = subject();
    if (syscall(SYS_fchownat, fd, "", OWNER, -1, AT_EMPTY_PATH) == 0)
        go_on(fd);
    exit(EXIT_FAILURE);
}

/* Given away by the parent meanwhile. */
static int ready[2], given[2];

static void beside(void)
{
    char byte;
    int fd = subject();
    if (write(ready[1], "r", 1) == 1 && read(given[0], &byte, 1) == 1)
        go_on(fd);
    exit(EXIT_FAILURE);
}

static bool other_gives(void)
{
    char byte;
    pid_t child = pipe(ready) || pipe(given) ? -1 : begin(beside);
    bool right = child > 0 && read(ready[0], &byte, 1) == 1 && fchownat(AT_FDCWD, path, OWNER, -1, 0) == 0 &&
                 write(given[1], "g", 1) == 1;
    return is_killed(child) && right && is_given() && holds(true);
}

/* Given away when all who served it are dead. */
static void only_begin(void)
{
    kill(subject() < 0 ? 0 : getpid(), SIGKILL);
}

static bool dead_gave(void)
{
    return is_killed(begin(only_begin)) && chown(path, OWNER, OWNER) == 0 && is_given() && holds(false);
}

/* Closed and opened again, it is served for its new owner. */
static bool again(void)
{
    int fd = subject();
    bool right = fchown(fd, OWNER, OWNER) == 0 && pwrite(fd, "second", 6, 5000) == 6 && close(fd) == 0;
    pid_t child = fork();
    if (child == 0) {
        fd = open(path, O_RDWR);
        if (fsync(fd) == 0 && pwrite(fd, "third", 5, LATER) == 5)
            kill(getpid(), SIGKILL);
        exit(EXIT_FAILURE);
    }
    return is_killed(child) && right && holds(true);
}

static void (*const parts[])(void) = {by_descriptor, by_name, by_link, by_call};
static const char *const names[] = {"fchown", "chown", "lchown", "fchownat of a descriptor"};
static unsigned part;

static bool killed_holds(void)
{
    return is_killed(begin(parts[part])) && is_given() && holds(true);
}

/* In a process that has opened nothing in the root yet. */
static bool in_child(const char *name, bool (*run)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        exit(run() ? EXIT_SUCCESS : EXIT_FAILURE);
    bool right = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    if (!right)
        fprintf(stderr, "%s is wrong\n", name);
    return right;
}

int main(void)
{
    if (geteuid() != 0)
        return SKIPPED;
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || setenv("NVMMIO_CONF", "pm:force", 1))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    memset(bytes, 'b', sizeof bytes);
    bool right = true;
    for (part = 0; part < sizeof parts / sizeof *parts; part++)
        right = in_child(names[part], killed_holds) && right;
    right = in_child("fchownat by another process", other_gives) && right;
    right = in_child("chown after a death", dead_gave) && right;
    right = in_child("service for the new owner", again) && right;
    clean_tree(root);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
