/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kept_lock.c — promise: locks of every kind on a managed file are held after exec, by programs with the library and without,
 * one after the other, if the descriptor is inherited; they are gone when the program closes the file. Children of the one who
 * holds them get no descriptor that they do not know.
 *
 * Without the preload library it tests the test.
 */
#include "clean.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 7, GONE = 2, BYTES = 8192, NOBODY = 65534 };

static const char library[] = "LD_PRELOAD", kept_library[] = "KEPT_LOCK_PRELOAD", missing[] = "/nothing/there";

static char path[64];

struct kind {
    const char *name;
    int set, get; /* commands of fcntl; 0: flock */
    short type;
};
static const struct kind kinds[] = {
    {"posix", F_SETLK, F_GETLK, F_WRLCK},
    {"waited", F_SETLKW, F_GETLK, F_WRLCK},
    {"shared", F_SETLK, F_GETLK, F_RDLCK}, /* by a descriptor that may only read */
    {"description", F_OFD_SETLK, F_OFD_GETLK, F_WRLCK},
    {"flock", 0, 0, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int fail(const struct kind *kind, const char *what, const char *way)
{
    fprintf(stderr, "kept_lock: %s: %s, with %s left to execute\n", kind->name, what, way);
    return EXIT_FAILURE;
}

static int status_of(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : GONE;
}

/* As another process sees it. */
static bool is_locked(const struct kind *kind)
{
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR);
        if (!kind->get)
            _exit(fd < 0 ? GONE : flock(fd, LOCK_EX | LOCK_NB) != 0);
        _exit(fd < 0 || fcntl(fd, kind->get, &lock) ? GONE : lock.l_type != F_UNLCK);
    }
    return status_of(child) == 1;
}

static bool take(const struct kind *kind)
{
    struct flock lock = {.l_type = kind->type, .l_whence = SEEK_SET};
    int fd = kind->set && kind->type == F_RDLCK ? open(path, O_RDONLY) : HELD;
    return (kind->set ? fcntl(fd, kind->set, &lock) : flock(fd, LOCK_EX)) == 0;
}

/* ---- descriptors that nobody knows ---- */

/* In a program without the library. */
static int count_strangers(void)
{
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    for (const struct dirent *entry; list && (entry = readdir(list)) != NULL;)
        count += atoi(entry->d_name) > HELD && atoi(entry->d_name) != dirfd(list);
    return count;
}

static int strangers_of_child(void)
{
    static char *const argv[] = {"kept_lock", "count", NULL};
    pid_t child = fork();
    if (child == 0) {
        if (pwrite(HELD, "", 1, 0) != 1) /* so that it has the file in its own right */
            _exit(GONE);
        unsetenv(library);
        execv("/proc/self/exe", argv);
        _exit(GONE);
    }
    int count = status_of(child);
    if (count || posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, (char *[]){NULL}))
        return count + 1;
    return status_of(child);
}

/* ---- one after the other ---- */

/* way: the programs that follow, 'l' with the library, 'p' without. */
static void become(const struct kind *kind, const char *way)
{
    char number[2] = {(char)('0' + (kind - kinds)), 0};
    const char *preload = getenv(kept_library);
    if (*way == 'l' && preload)
        setenv(library, preload, 1);
    else
        unsetenv(library);
    execl("/proc/self/exe", "kept_lock", path, number, way + 1, (char *)NULL);
    _exit(GONE);
}

static int executed(const struct kind *kind, const char *way)
{
    char bytes[BYTES] = {2};
    if (!is_locked(kind))
        return fail(kind, "lost at exec", way);
    if (strangers_of_child() && getenv(library)) /* a program without the library has one, and its children */
        return fail(kind, "a descriptor for a child", way);
    if (*way)
        become(kind, way);
    if (pwrite(HELD, bytes, sizeof bytes, 0) != BYTES || fsync(HELD) || pread(HELD, bytes, 1, 0) != 1 || *bytes != 2)
        return fail(kind, "no file", way);
    if (getenv(library))
        closefrom(HELD + 1);
    if (!is_locked(kind))
        return fail(kind, "lost afterwards", way);
    close(HELD);
    if (is_locked(kind))
        return fail(kind, "held after the close", way);
    return EXIT_SUCCESS;
}

/* ---- the first of them ---- */

struct state {
    const char *name;
    bool written; /* and so attached, if there is a library */
    mode_t mode;
};
static const struct state states[] = {
    {"empty", false, 0600}, {"written", true, 0600}, {"executable", false, 0700}, {"a written program", true, 0700}};
enum { STATES = sizeof states / sizeof *states };

static int lock_and_execute(const struct kind *kind, const struct state *state, const char *way)
{
    char bytes[BYTES] = {1};
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, state->mode);
    if (fd < 0 || dup2(fd, HELD) != HELD || (state->written && (write(fd, bytes, BYTES) != BYTES || fsync(fd))))
        return GONE;
    if (fd != HELD)
        close(fd);
    if (!take(kind))
        return GONE;
    if (state->written && pwrite(HELD, bytes, BYTES, 100) != BYTES) /* attaches what was not */
        return GONE;
    if (!is_locked(kind))
        return fail(kind, "lost before exec", way);
    if (strangers_of_child())
        return fail(kind, "a descriptor for a child", way);
    execl(missing, missing, (char *)NULL);
    if (strangers_of_child())
        return fail(kind, "a descriptor for a child after a failed exec", way);
    become(kind, way);
    return GONE;
}

static int try(const struct kind *kind, const struct state *state, const char *way)
{
    pid_t child = fork();
    if (child == 0)
        _exit(lock_and_execute(kind, state, way));
    int status = status_of(child);
    if (status)
        fprintf(stderr, "kept_lock: %s: a file that is %s, executing %s: %d\n", kind->name, state->name, way, status);
    return status != 0;
}

/* A program that may only read the file by what it inherits, and is not allowed to write it. */
static int give_to_nobody(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0644), reader = open(path, O_RDONLY);
    if (write(fd, "1", 1) != 1 || fsync(fd) || pwrite(fd, "2", 1, 0) != 1 || dup2(reader, HELD) != HELD)
        return GONE;
    if (fcntl(HELD, F_SETLK, &lock) || close_range(3, HELD - 1, 0) || fcntl(HELD, F_SETLK, &lock) || setuid(NOBODY))
        return GONE;
    unsetenv(library);
    execl("/proc/self/exe", "kept_lock", "count", (char *)NULL);
    return errno == EACCES ? 0 : GONE; /* the test's own folder is private */
}

static int try_nobody(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(geteuid() == 0 ? give_to_nobody() : 0);
    int status = status_of(child);
    if (status)
        fprintf(stderr, "kept_lock: a descriptor for one who may not write: %d\n", status);
    return status != 0;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"l", "ll", "p", "pp", "pl", "lpll"};
    char root[] = "/dev/shm/nvmmio-lock.XXXXXX";
    int wrong = 0;
    if (argc == 2)
        return count_strangers();
    if (argc == 4) {
        snprintf(path, sizeof path, "%s", argv[1]);
        return executed(&kinds[(*argv[2] - '0') % KINDS], argv[3]);
    }
    closefrom(HELD + 1); /* what this test was started with */
    if (!mkdtemp(root))
        return GONE;
    snprintf(path, sizeof path, "%s/f", root);
    setenv("NVMMIO_ROOT", root, 1);
    setenv("NVMMIO_CONF", "pm:force", 1);
    if (getenv(library))
        setenv(kept_library, getenv(library), 1);
    for (int i = 0; i < KINDS; i++)
        for (int j = 0; j < STATES; j++)
            for (unsigned k = 0; k < sizeof ways / sizeof *ways; k++)
                wrong += try(&kinds[i], &states[j], ways[k]);
    wrong += try_nobody();
    clean_tree(root);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
