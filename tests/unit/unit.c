/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * unit.c — files and child processes for unit tests.
 */
#include "unit/unit.h"

#include "support/place.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int unit_file(uint64_t size)
{
    int fd = open(place_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

void unit_directory(char *path)
{
    assert_true(snprintf(path, UNIT_PATH_MAX, "%s/nvmmio-unit-XXXXXX", place_directory()) < UNIT_PATH_MAX);
    assert_non_null(mkdtemp(path));
}

#define UNIT_CHILD_SECONDS 20

int unit_in_child(void (*play)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(UNIT_CHILD_SECONDS);
        play();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

void unit_check_failed(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: in a child: not so: %s\n", file, line, condition);
    _exit(1);
}

void unit_expect_exit(int status, int code)
{
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

void unit_expect_signal(int status, int signal)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}
