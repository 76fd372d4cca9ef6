/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * child.h — each part of a test in a child of its own, with a time limit: what waits for ever is a failure, not the end.
 */
#ifndef PRELOAD_CHILD_H
#define PRELOAD_CHILD_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILD_LIMIT_S = 40 };

/* In a child: counts what is not as promised. */
static unsigned child_failures;

static inline void check(bool right, const char *promise)
{
    if (right)
        return;
    if (child_failures++ < 10)
        printf("FAIL: %s (errno is %s)\n", promise, strerror(errno));
    fflush(stdout);
}

/* Runs `part` in a child: whether it ended in time, with nothing to complain of. */
static inline bool child_runs(const char *name, void (*part)(void))
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        child_failures = 0;
        part();
        fflush(stdout);
        exit(child_failures ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    time_t end = time(NULL) + CHILD_LIMIT_S;
    pid_t ended = 0;
    while (child > 0 && (ended = waitpid(child, &status, WNOHANG)) == 0 && time(NULL) < end)
        nanosleep(&pause, NULL);
    if (ended == 0 && child > 0) {
        printf("FAIL: %s: does not end\n", name);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    } else if (WIFSIGNALED(status)) {
        printf("FAIL: %s: killed by signal %d\n", name, WTERMSIG(status));
    } else if (WEXITSTATUS(status)) {
        printf("FAIL: %s\n", name);
    } else {
        printf("%s: right\n", name);
    }
    fflush(stdout);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
