/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_dup.c — descriptions shared by dup and fork: offsets, flags, dup2 as one step, locks, exec, the fork table.
 */
#include "unit/unit.h"

#include "api/init.h"
#include "base/rawsys.h"
#include "file/file.h"
#include "file/handle.h"
#include "unit/fake/uma.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[UNIT_PATH_MAX];
static char managed[UNIT_PATH_MAX + 16], second[UNIT_PATH_MAX + 16], plain[UNIT_PATH_MAX + 16];

static int setup(void **state)
{
    (void)state;
    fake_uma_begin(directory);
    snprintf(managed, sizeof managed, "%s/in/f", directory);
    snprintf(second, sizeof second, "%s/in/g", directory);
    snprintf(plain, sizeof plain, "%s/f", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_uma_finish(directory);
    return 0;
}

static int open_new(const char *path, int flags)
{
    int fd = file_openat(AT_FDCWD, path, O_RDWR | O_CREAT | flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static off_t where(int fd)
{
    return file_lseek(fd, 0, SEEK_CUR);
}

/* Duplicates share offset and O_APPEND; a second open does not. Numbers are the kernel's. */
static void test_sharing(void **state)
{
    (void)state;
    int fd = open_new(managed, 0), other = open_new(managed, 0);
    int copy = file_dup(fd), high = file_fcntl(fd, F_DUPFD_CLOEXEC, 400);
    assert_int_equal(copy, other + 1);
    assert_int_equal(high, 400);
    assert_int_equal(fcntl(high, F_GETFD), FD_CLOEXEC);
    assert_int_equal(file_write(fd, "0123456789", 10), 10);
    assert_int_equal(where(copy), 10);
    assert_int_equal(file_lseek(high, 4, SEEK_SET), 4);
    fake_uma.user = false; /* the kernel's offset takes over */
    assert_int_equal(where(fd), 4);
    assert_int_equal(file_write(copy, "x", 1), 1);
    fake_uma.user = true;
    assert_int_equal(file_write(high, "y", 1), 1);
    assert_int_equal(where(fd), 6);
    assert_int_equal(where(other), 0);
    assert_int_equal(file_fcntl(copy, F_SETFL, O_APPEND), 0);
    assert_int_equal(file_write(fd, "z", 1), 1);
    assert_int_equal(where(copy), 11);
    assert_int_equal(file_write(other, "o", 1), 1);
    assert_int_equal(where(other), 1);
    assert_int_equal(file_close(fd), 0);
    assert_int_equal(fake_uma.closes, 0);
    assert_int_equal(file_close(copy), 0);
    assert_int_equal(where(high), 11); /* the last duplicate goes on */
    assert_int_equal(file_close(high), 0);
    assert_int_equal(fake_uma.closes, 1);
    assert_int_equal(file_close(other), 0);
}

/* dup2 closes what was there, onto itself it only checks, and its errors change nothing. */
static void test_dup2(void **state)
{
    (void)state;
    int f = open_new(managed, 0), g = open_new(second, 0), p = open_new(plain, 0);
    assert_int_equal(file_write(f, "ffff", 4), 4);
    assert_int_equal(file_write(g, "gg", 2), 2);
    assert_int_equal(file_dup2(f, f), f);
    assert_int_equal(file_dup2(999, 999), -EBADF);
    assert_int_equal(file_dup3(f, f, 0), -EINVAL);
    assert_int_equal(file_dup3(f, g, O_APPEND), -EINVAL);
    assert_int_equal(file_dup2(999, g), -EBADF);
    assert_int_equal(file_dup2(f, -1), -EBADF);
    assert_int_equal(file_dup2(f, 1 << 30), -EBADF);
    assert_int_equal(where(g), 2);
    assert_int_equal(fake_uma.open_umas, 2);
    assert_int_equal(file_dup2(f, g), g); /* managed over managed */
    assert_int_equal(fake_uma.open_umas, 1);
    assert_int_equal(where(g), 4);
    assert_int_equal(file_dup3(g, p, O_CLOEXEC), p); /* managed over plain */
    assert_int_equal(where(p), 4);
    assert_int_equal(fcntl(p, F_GETFD), FD_CLOEXEC);
    int null = open("/dev/null", O_RDWR);
    assert_int_equal(file_dup2(null, g), g); /* plain over managed */
    assert_false(file_is_managed(g));
    assert_int_equal(file_write(g, "n", 1), 1);
    assert_int_equal(where(f), 4);
    assert_int_equal(file_close(f), 0);
    assert_int_equal(fake_uma.open_umas, 1);
    assert_int_equal(file_close(p), 0);
    assert_int_equal(fake_uma.open_umas, 0);
    file_close(g);
    file_close(null);
}

/* Threads that use a number while dup2 replaces its file meet one file or the other, never none, and never a uma that has
 * ended. */
static _Atomic bool storm_over;
static void *storm_write(void *arg)
{
    struct stat st;
    int fd = *(int *)arg;
    while (!storm_over) {
        ssize_t result = file_write(fd, "abcd", 4);
        if (result != 4)
            return (void *)(intptr_t)(result ? result : 1);
        result = file_pwrite(fd, "abcd", 4, 0);
        if (result != 4)
            return (void *)(intptr_t)(result ? result : 1);
        result = file_fstat(fd, &st);
        if (result)
            return (void *)(intptr_t)result;
    }
    return NULL;
}

static void test_dup2_storm(void **state)
{
    (void)state;
    pthread_t thread[3];
    int fd = open_new(managed, O_APPEND);
    storm_over = false;
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, storm_write, &fd);
    for (int i = 0; i < 1500; i++) {
        int next = open_new(i % 3 == 0 ? plain : i % 3 == 1 ? second : managed, O_APPEND);
        fake_uma.user = i % 5 != 0;
        assert_int_equal(file_dup2(next, fd), fd);
        assert_int_equal(file_close(next), 0);
    }
    storm_over = true;
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_null(result);
    }
    file_close(fd);
}

/* A dup2 waits for the calls on the old file that are under way, and they end on it. */
static void *held_read(void *arg)
{
    char buffer[4];
    return (void *)(intptr_t)file_pread(*(int *)arg, buffer, 4, 0);
}

static void *release_later(void *arg)
{
    (void)arg;
    usleep(20000);
    fake_uma.hold_reads = false;
    return NULL;
}

static void test_dup2_waits(void **state)
{
    (void)state;
    pthread_t reader, timer;
    void *result;
    int f = open_new(managed, 0), g = open_new(second, 0), again = open_new(managed, 0); /* its uma does not end */
    assert_int_equal(file_write(f, "ffff", 4), 4);
    fake_uma.hold_reads = true;
    pthread_create(&reader, NULL, held_read, &f);
    while (!fake_uma.inside_read)
        sched_yield();
    pthread_create(&timer, NULL, release_later, NULL);
    assert_int_equal(file_dup2(g, f), f);
    assert_int_equal(fake_uma.inside_read, 0);
    pthread_join(reader, &result);
    pthread_join(timer, NULL);
    assert_int_equal((intptr_t)result, 4);
    file_close(again);
    file_close(f);
    file_close(g);
}

/* Locks of fcntl are announced to a uma that is not attached yet; all else passes through. */
static void test_fcntl(void **state)
{
    (void)state;
    int fd = open_new(managed, 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    fake_uma.user = false;
    assert_int_equal(file_fcntl(fd, F_SETLK, (long)&lock), 0);
    assert_int_equal(fake_uma.locks, 1);
    fake_uma.user = true;
    assert_int_equal(file_fcntl(fd, F_GETLK, (long)&lock), 0);
    assert_int_equal(fake_uma.locks, 1);
    assert_int_equal(lock.l_type, F_UNLCK);
    assert_int_equal(file_fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(file_fcntl(fd, F_GETFD, 0), FD_CLOEXEC);
    assert_int_equal(file_fcntl(fd, 12345, 0), -EINVAL);
    assert_int_equal(file_fcntl(999, F_DUPFD, 0), -EBADF);
    assert_int_equal(file_fcntl(fd, F_DUPFD, -1), -EINVAL);
    file_close(fd);
}

/* Demotion hands the offset over; before exec that happens to all descriptors that stay open, and to no other. In a vfork
 * child, where nothing may be opened, to those that are attached. */
static void test_demotion(void **state)
{
    (void)state;
    int f = open_new(managed, 0), g = open_new(second, O_CLOEXEC);
    assert_int_equal(file_write(f, "ffff", 4), 4);
    assert_int_equal(file_write(g, "gg", 2), 2);
    assert_int_equal(lseek(f, 0, SEEK_CUR), 0);
    fake_uma.user = false;
    file_demote_inheritable(false);
    assert_int_equal(fake_uma.demotions, 0);
    fake_uma.user = true;
    file_demote_inheritable(false);
    assert_int_equal(fake_uma.demotions, 1);
    assert_int_equal(lseek(f, 0, SEEK_CUR), 4);
    assert_int_equal(lseek(g, 0, SEEK_CUR), 0);
    assert_int_equal(file_write(f, "more", 4), 4);
    assert_int_equal(lseek(f, 0, SEEK_CUR), 8);
    fake_uma.demote_error = EIO;
    assert_int_equal(file_demote(g, UMA_DEMOTE_STDIO), -EIO);
    assert_int_equal(lseek(g, 0, SEEK_CUR), 0);
    assert_int_equal(where(g), 2);
    fake_uma.demote_error = 0;
    assert_int_equal(file_demote(999, UMA_DEMOTE_OTHER), 0);
    file_close(f);
    file_close(g);
}

/* ---- fork ---- */

static pid_t table_fork(int times)
{
    for (int i = 0; i < times; i++)
        api_before_fork();
    pid_t pid = fork(); /* calls them once more, by pthread_atfork */
    for (int i = 0; i < times; i++) {
        if (pid)
            api_after_fork_parent();
        else
            api_after_fork_child();
    }
    return pid;
}

static void wait_child(pid_t child)
{
    int status;
    waitpid(child, &status, 0);
    unit_expect_exit(status, 0);
}

/* Parent and child share the offset both ways, however often the handlers are called for the fork, and O_APPEND. */
static void test_fork_sharing(void **state)
{
    (void)state;
    for (int times = 0; times < 3; times++) {
        int fd = open_new(managed, O_TRUNC);
        assert_int_equal(file_write(fd, "parent", 6), 6);
        pid_t child = table_fork(times);
        if (!child) {
            unit_check(where(fd) == 6);
            unit_check(file_write(fd, "child", 5) == 5);
            unit_check(file_fcntl(fd, F_SETFL, O_APPEND) == 0);
            _exit(0);
        }
        wait_child(child);
        assert_int_equal(where(fd), 11);
        assert_int_equal(file_lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(file_write(fd, "!", 1), 1);
        assert_int_equal(where(fd), 12);
        char buffer[12];
        assert_int_equal(file_pread(fd, buffer, 12, 0), 12);
        assert_memory_equal(buffer, "parentchild!", 12);
        file_close(fd);
    }
}

/* Writers of several processes on one description lose nothing: each record is whole, and all are there. */
#define RECORDS 400
static void test_fork_writers(void **state)
{
    (void)state;
    enum { CHILDREN = 3 };
    int fd = open_new(managed, 0);
    pid_t child[CHILDREN];
    for (int c = 0; c < CHILDREN; c++) {
        child[c] = fork();
        if (child[c])
            continue;
        for (int i = 0; i < RECORDS; i++) {
            char record[16];
            memset(record, 'a' + c, sizeof record);
            fake_uma.user = i % 50 != 0;
            unit_check(file_write(fd, record, sizeof record) == sizeof record);
        }
        _exit(0);
    }
    for (int c = 0; c < CHILDREN; c++)
        wait_child(child[c]);
    int count[CHILDREN] = {0};
    char record[16], same[16];
    assert_int_equal(file_lseek(fd, 0, SEEK_SET), 0);
    while (file_read(fd, record, sizeof record) == sizeof record) {
        memset(same, record[0], sizeof same);
        assert_memory_equal(record, same, sizeof same);
        count[record[0] - 'a']++;
    }
    for (int c = 0; c < CHILDREN; c++)
        assert_int_equal(count[c], RECORDS);
    file_close(fd);
}

/* A child killed in the middle of its calls leaves the description usable. */
static void test_fork_killed(void **state)
{
    (void)state;
    int fd = open_new(managed, 0);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        if (!child)
            for (;;)
                file_write(fd, "0123456789abcdef", 16);
        usleep(1000 + 137 * (unsigned)round);
        kill(child, SIGKILL);
        alarm(10);
        assert_int_equal(file_write(fd, "0123456789abcdef", 16), 16);
        alarm(0);
        waitpid(child, NULL, 0);
        assert_int_equal(where(fd) % 16, 0);
    }
    file_close(fd);
}

/* References: a record outlives its parent's close while a child has it, and comes back when the child has ended in
 * order. */
static void test_fork_references(void **state)
{
    (void)state;
    int go[2];
    assert_int_equal(pipe(go), 0);
    int fd = open_new(managed, 0);
    assert_int_equal(file_write(fd, "abcdef", 6), 6);
    struct ofd *ofd = ((struct fd_handle *)fd_table_get(fd))->ofd;
    pid_t child = fork();
    if (!child) {
        char c;
        unit_check(read(go[0], &c, 1) == 1);
        unit_check(where(fd) == 6);
        unit_check(file_write(fd, "g", 1) == 1);
        api_exit();
        _exit(0);
    }
    assert_int_equal(ofd->references, 2);
    assert_int_equal(file_close(fd), 0);
    for (int i = 0; i < 200; i++) { /* enough for what has ended to be used again */
        fd = open_new(second, 0);
        assert_ptr_not_equal(((struct fd_handle *)fd_table_get(fd))->ofd, ofd);
        assert_int_equal(file_close(fd), 0);
    }
    assert_int_equal(write(go[1], "x", 1), 1);
    wait_child(child);
    assert_int_equal(ofd->references, 0);
    close(go[0]);
    close(go[1]);
}

/* What had ended in the parent and was not given back yet is the parent's to give back. */
static void test_fork_ended(void **state)
{
    (void)state;
    int fd = open_new(managed, O_APPEND);
    struct ofd *ofd = ((struct fd_handle *)fd_table_get(fd))->ofd;
    while (file_close(fd), ofd->references == 0) { /* it was the one that made all be given back */
        fd = open_new(managed, O_APPEND);
        ofd = ((struct fd_handle *)fd_table_get(fd))->ofd;
    }
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 200; i++)
            unit_check(file_close(file_openat(AT_FDCWD, second, O_RDWR | O_CREAT, 0600)) == 0);
        _exit(0);
    }
    wait_child(child);
    assert_int_equal(ofd->references, 1);
    assert_true(ofd_flags(ofd) & O_APPEND); /* nobody had the record meanwhile */
}

/* fork while other threads open, close and duplicate: the child works. */
static void *churn(void *arg)
{
    (void)arg;
    while (!storm_over) {
        int fd = file_openat(AT_FDCWD, second, O_RDWR | O_CREAT, 0600);
        int copy = file_dup(fd);
        file_close(fd);
        file_close(copy);
    }
    return NULL;
}

static void test_fork_storm(void **state)
{
    (void)state;
    pthread_t thread[2];
    int fd = open_new(managed, 0);
    storm_over = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, churn, NULL);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (!child) {
            alarm(10);
            unit_check(file_write(fd, "x", 1) == 1);
            int other = file_openat(AT_FDCWD, second, O_RDWR | O_CREAT, 0600);
            unit_check(other >= 0 && file_write(other, "y", 1) == 1);
            unit_check(file_close(other) == 0);
            _exit(0);
        }
        wait_child(child);
    }
    storm_over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(where(fd), 100);
    file_close(fd);
}

/* A vfork child has the parent's memory and its own descriptors: what it closes and duplicates stays its own matter. */
static void test_vfork(void **state)
{
    (void)state;
    int f = open_new(managed, 0), g = open_new(second, 0);
    volatile int failed = 0;
    pid_t child = vfork();
    if (!child) {
        if (file_close(f) || file_dup2(g, f) != f || file_close(g))
            failed = 1;
        _exit(0);
    }
    wait_child(child);
    assert_int_equal(failed, 0);
    assert_true(file_is_managed(f) && file_is_managed(g));
    assert_int_equal(file_write(f, "ff", 2), 2);
    assert_int_equal(file_pwrite(g, "g", 1, 0), 1);
    assert_int_equal(fake_uma.closes, 0);
    file_close(f);
    file_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sharing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dup2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dup2_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dup2_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fcntl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_demotion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_sharing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vfork, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
