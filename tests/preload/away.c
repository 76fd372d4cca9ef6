/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * away.c — promise: a file that gets another owner, or goes to another root or to none, while it is served or after its
 * server died, keeps every completed write, whoever is killed when. On the kernel too, which tests the test. Root alone may
 * give files away: others try the moves.
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

enum { SIZE = 20000, LATER = 30000, OWNER = 4711, PATH = 64 };

static char top[] = "/dev/shm/nvmmio-away.XXXXXX";
static char path[PATH], within[PATH], other_root[PATH], outside[PATH];
static char bytes[SIZE], found[LATER + 5];

/* The file, new and this user's. */
static int fresh(void)
{
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    return write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 ? fd : -1;
}

/* With a synced write that is served in user space. */
static int subject(void)
{
    int fd = fresh();
    return pwrite(fd, "first", 5, 0) == 5 && fsync(fd) == 0 ? fd : -1;
}

/* More, one write synced and one that makes the file longer not; then the end. */
static void go_on(int fd)
{
    if (pwrite(fd, "first", 5, 0) == 5 && pwrite(fd, "second", 6, 5000) == 6 && fsync(fd) == 0 &&
        pwrite(fd, "third", 5, LATER) == 5)
        kill(getpid(), SIGKILL);
    exit(EXIT_FAILURE);
}

static bool holds(const char *name, bool more)
{
    memset(found, 0, sizeof found);
    int fd = open(name, O_RDWR);
    ssize_t size = pread(fd, found, sizeof found, 0);
    bool right = size == (more ? LATER + 5 : SIZE) && memcmp(found, "firstb", 6) == 0 && found[SIZE - 1] == 'b' &&
                 (!more || (memcmp(found + 5000, "second", 6) == 0 && memcmp(found + LATER, "third", 5) == 0));
    return close(fd) == 0 && right;
}

static bool is_killed(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* ---- how it goes away: true if it did; and its name then ---- */

static bool by_fchown(int fd)
{
    return fchown(fd, OWNER, OWNER) == 0;
}
static bool by_chown(int fd)
{
    return fd >= 0 && chown(path, OWNER, (gid_t)-1) == 0;
}
static bool by_lchown(int fd)
{
    return fd >= 0 && lchown(path, OWNER, (gid_t)-1) == 0;
}
static bool by_fchownat(int fd)
{
    return syscall(SYS_fchownat, fd, "", OWNER, -1, AT_EMPTY_PATH) == 0;
}
static bool by_rename(int fd)
{
    return fd >= 0 && rename(path, other_root) == 0;
}
static bool by_renameat(int fd)
{
    return fd >= 0 && syscall(SYS_renameat, AT_FDCWD, path, AT_FDCWD, outside) == 0;
}
static bool by_exchange(int fd)
{
    int other = open(outside, O_RDWR | O_CREAT | O_TRUNC, 0600);
    return fd >= 0 && close(other) == 0 && renameat2(AT_FDCWD, outside, AT_FDCWD, path, RENAME_EXCHANGE) == 0;
}
static bool by_rename_within(int fd)
{
    return fd >= 0 && rename(path, within) == 0;
}

static const struct way {
    const char *name;
    bool (*go)(int fd);
    const char *then;
    bool for_root;
} ways[] = {
    {"fchown", by_fchown, path, true},
    {"chown", by_chown, path, true},
    {"lchown", by_lchown, path, true},
    {"fchownat of a descriptor", by_fchownat, path, true},
    {"rename to another root", by_rename, other_root, false},
    {"renameat to no root", by_renameat, outside, false},
    {"exchange with a file in no root", by_exchange, outside, false},
    {"rename in the root", by_rename_within, within, false},
};
static const struct way *way;

/* ---- when ---- */

static bool while_served(void)
{
    pid_t child = fork();
    int fd = child == 0 ? subject() : -1;
    if (child == 0 && way->go(fd))
        go_on(fd);
    if (child == 0)
        exit(EXIT_FAILURE);
    return is_killed(child) && holds(way->then, true);
}

/* Its first write that would be served comes later. */
static bool before_service(void)
{
    pid_t child = fork();
    int fd = child == 0 ? fresh() : -1;
    if (child == 0 && way->go(fd))
        go_on(fd);
    if (child == 0)
        exit(EXIT_FAILURE);
    return is_killed(child) && holds(way->then, true);
}

/* By the parent, which does not have it open. */
static bool by_another(void)
{
    char byte;
    int ready[2], gone[2];
    pid_t child = pipe(ready) || pipe(gone) ? -1 : fork();
    if (child == 0) {
        int fd = subject();
        if (write(ready[1], "r", 1) == 1 && read(gone[0], &byte, 1) == 1)
            go_on(fd);
        exit(EXIT_FAILURE);
    }
    bool right = child > 0 && read(ready[0], &byte, 1) == 1 && way->go(open("/dev/null", O_RDONLY));
    right = write(gone[1], "g", 1) == 1 && right;
    return is_killed(child) && right && holds(way->then, true);
}

static bool after_a_death(void)
{
    pid_t child = fork();
    if (child == 0)
        kill(subject() < 0 ? 0 : getpid(), SIGKILL);
    return is_killed(child) && way->go(open("/dev/null", O_RDONLY)) && holds(way->then, false);
}

/* Closed and opened again, it is served where it is now. */
static bool again(void)
{
    int fd = subject();
    bool right = way->go(fd) && pwrite(fd, "second", 6, 5000) == 6 && close(fd) == 0;
    pid_t child = fork();
    if (child == 0) {
        fd = open(way->then, O_RDWR);
        if (fsync(fd) == 0 && pwrite(fd, "third", 5, LATER) == 5)
            kill(getpid(), SIGKILL);
        exit(EXIT_FAILURE);
    }
    return is_killed(child) && right && holds(way->then, true);
}

/* In a process that has opened nothing in a root yet. */
static bool in_child(const char *name, bool (*run)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        exit(run() ? EXIT_SUCCESS : EXIT_FAILURE);
    bool right = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    if (!right)
        fprintf(stderr, "%s, %s: is wrong\n", way->name, name);
    return right;
}

static bool prepare(void)
{
    char roots[2 * PATH], directory[PATH];
    if (!mkdtemp(top))
        return false;
    static const char *const names[] = {"one", "one/within", "two", "outside"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(directory, sizeof directory, "%s/%s", top, names[i]);
        if (mkdir(directory, 0755))
            return false;
    }
    snprintf(path, sizeof path, "%s/one/file", top);
    snprintf(within, sizeof within, "%s/one/within/file", top);
    snprintf(other_root, sizeof other_root, "%s/two/file", top);
    snprintf(outside, sizeof outside, "%s/outside/file", top);
    snprintf(roots, sizeof roots, "%s/one:%s/two", top, top);
    memset(bytes, 'b', sizeof bytes);
    return setenv("NVMMIO_ROOT", roots, 1) == 0 && setenv("NVMMIO_CONF", "pm:force", 1) == 0;
}

int main(void)
{
    bool right = prepare();
    for (way = ways; way < ways + sizeof ways / sizeof *ways; way++) {
        if (way->for_root && geteuid() != 0)
            continue;
        right = in_child("while it is served", while_served) && right;
        right = in_child("before it is served", before_service) && right;
        right = in_child("and served again", again) && right;
        if (way->go == by_fchown || way->go == by_fchownat)
            continue; /* by a descriptor */
        right = in_child("after a death", after_a_death) && right;
        right = in_child("by another process", by_another) && right;
    }
    clean_tree(top);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
