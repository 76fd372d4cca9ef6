/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_msg.c — base/msg: whole lines where asked for, silence elsewhere, and no harm from a broken log.
 */
#include "unit/unit.h"

#include "base/msg.h"
#include "base/rawsys.h"
#include "unit/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[UNIT_PATH_MAX];
static char log_file[UNIT_PATH_MAX + 16];
static char text[8192]; /* what a child has logged */

static int set_up(void **state)
{
    (void)state;
    unit_directory(dir);
    snprintf(log_file, sizeof log_file, "%s/log", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(log_file);
    return rmdir(dir);
}

/* Runs `speak` in a child with log:PATH and more; its log is then in `text`. Returns the child's status. */
static int in_child(const char *path, const char *more, void (*speak)(void))
{
    char conf[256];
    unlink(log_file);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        snprintf(conf, sizeof conf, "log:%s%s", path, more);
        if (path[0])
            setenv("NVMMIO_CONF", conf, 1);
        else
            unsetenv("NVMMIO_CONF");
        speak();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    memset(text, 0, sizeof text);
    int fd = open(log_file, O_RDONLY);
    if (fd >= 0) {
        assert_true(read(fd, text, sizeof text - 1) >= 0);
        close(fd);
    }
    return status;
}

static void speak_formats(void)
{
    msg(MSG_ERROR, "%s|%d|%d|%u|%ld|%lu|%lld|%llu|%zu|%x|%lx|%llx|%p|%%", "str", -5, INT_MIN, 4000000000u, LONG_MIN,
        ULONG_MAX, LLONG_MAX, ULLONG_MAX, (size_t)12, 0xbeefu, 0xdeadbeefcafel, 1ull << 63, (void *)0x10);
}

/* All conversions of the list, by comparison with libc's. */
static void test_formats(void **state)
{
    (void)state;
    char expected[512];
    assert_int_equal(in_child(log_file, "", speak_formats), 0);
    snprintf(expected, sizeof expected, "%s|%d|%d|%u|%ld|%lu|%lld|%llu|%zu|%x|%lx|%llx|%p|%%\n", "str", -5, INT_MIN,
             4000000000u, LONG_MIN, ULONG_MAX, LLONG_MAX, ULLONG_MAX, (size_t)12, 0xbeefu, 0xdeadbeefcafel, 1ull << 63,
             (void *)0x10);
    char *at = strstr(text, "]: error: ");
    assert_non_null(at);
    assert_string_equal(at + strlen("]: error: "), expected);
    assert_memory_equal(text, "nvmmio[", 7);
    struct stat st;
    assert_int_equal(stat(log_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void speak_levels(void)
{
    msg(MSG_ERROR, "one");
    msg(MSG_WARNING, "two");
    msg(MSG_NOTICE, "three");
    msg(MSG_DEBUG, "four");
}

static unsigned lines(void)
{
    unsigned n = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

/* log_level bounds what is said. */
static void test_levels(void **state)
{
    (void)state;
    in_child(log_file, "", speak_levels);
    assert_int_equal(lines(), 3);
    in_child(log_file, ",log_level:1", speak_levels);
    assert_int_equal(lines(), 1);
    in_child(log_file, ",log_level:4", speak_levels);
    assert_int_equal(lines(), 4);
}

static void speak_without_log(void)
{
    fault_start();
    msg(MSG_ERROR, "nobody wants to know");
    fault_stop();
    _exit(fault_calls(SYS_write) + fault_calls(SYS_openat) ? 1 : 0);
}

/* Without log: nothing is opened and nothing written. */
static void test_silent(void **state)
{
    (void)state;
    assert_int_equal(in_child("", "", speak_without_log), 0);
    assert_string_equal(text, "");
}

static void speak_long(void)
{
    char longer[3000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    errno = 77;
    fault_start();
    msg(MSG_ERROR, "%s%d", longer, 5);
    msg(MSG_ERROR, "second");
    fault_stop();
    _exit(errno == 77 && fault_calls(SYS_write) == 2 ? 0 : 1);
}

/* A long line is cut, still ends as a line, is one write, and leaves errno alone. */
static void test_long(void **state)
{
    (void)state;
    assert_int_equal(in_child(log_file, "", speak_long), 0);
    assert_int_equal(lines(), 2);
    assert_true(strlen(text) < 1200);
    assert_non_null(strstr(text, "error: second\n"));
}

static void speak_bad_conf(void)
{
    msg(MSG_DEBUG, "below the level");
}

/* A bad NVMMIO_CONF is told in one line, where the string itself asks for messages. */
static void test_bad_conf(void **state)
{
    (void)state;
    in_child(log_file, ",bad:1", speak_bad_conf);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(text, "NVMMIO_CONF is ignored"));
}

static void speak_pid(void)
{
    char name[UNIT_PATH_MAX + 32], expected[32];
    msg(MSG_ERROR, "here");
    snprintf(name, sizeof name, "%s/%d.log", dir, getpid());
    snprintf(expected, sizeof expected, "nvmmio[%d]: error: here\n", getpid());
    char buf[64] = {0};
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, buf, sizeof buf - 1);
    unlink(name);
    _exit(n > 0 && !strcmp(buf, expected) ? 0 : 1);
}

/* %p in the path is the process id. */
static void test_pid(void **state)
{
    (void)state;
    char path[UNIT_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%%p.log", dir);
    assert_int_equal(in_child(path, "", speak_pid), 0);
}

static void speak_to_closed_pipe(void)
{
    int fd[2];
    if (pipe(fd) || dup2(fd[1], STDERR_FILENO) < 0)
        _exit(9);
    close(fd[0]);
    close(fd[1]);
    msg(MSG_ERROR, "nobody reads");
    sigset_t set;
    sigpending(&set);
    if (sigismember(&set, SIGPIPE))
        _exit(2);
    sigprocmask(SIG_BLOCK, NULL, &set);
    _exit(sigismember(&set, SIGPIPE) ? 3 : 0);
}

static void speak_over_limit(void)
{
    struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_FSIZE, &limit);
    msg(MSG_ERROR, "no room");
}

/* A log that cannot be written kills nobody: closed pipe (SIGPIPE), file size limit (SIGXFSZ), no such directory. */
static void test_broken_log(void **state)
{
    (void)state;
    assert_int_equal(in_child("stderr", "", speak_to_closed_pipe), 0);
    assert_int_equal(in_child(log_file, "", speak_over_limit), 0);
    assert_string_equal(text, "");
    assert_int_equal(in_child("/nonexistent/dir/log", "", speak_levels), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),    cmocka_unit_test(test_levels), cmocka_unit_test(test_silent),
        cmocka_unit_test(test_long),       cmocka_unit_test(test_pid),    cmocka_unit_test(test_bad_conf),
        cmocka_unit_test(test_broken_log),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
