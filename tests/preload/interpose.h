/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose.h — one call of each intercepted name of libc: what the files of the interposition test share.
 *
 * Each name of class M or S that has a handler in symbols.def has a CALL here, or the test does not link.
 */
#ifndef PRELOAD_INTERPOSE_H
#define PRELOAD_INTERPOSE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERPOSE_SIZE 8192

struct interpose {
    char root[64];  /* of managed files */
    char path[128]; /* of a file of INTERPOSE_SIZE bytes, made anew for each call */
    int fd;         /* of that file, for reading and writing, at offset 0 */
};
extern struct interpose interpose;

/* Calls the name once on the managed file. True: it did what the kernel would. `expected` is the function of the core
 * that must have been called by it. */
#define CALL(name, expected)                                                                                           \
    const char expect_##name[] = expected;                                                                             \
    bool call_##name(void);                                                                                            \
    bool call_##name(void)

/* Closes a descriptor that a call has made: whether there was one. */
static inline bool interpose_opened(int fd)
{
    return fd >= 0 && close(fd) == 0;
}

/* Runs `run` in a child: its exit status, -1 where there is none. */
static inline int interpose_in_child(void (*run)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        run();
        _exit(99);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
