/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_stat.c — promises of stat by path of a file that is served: one question to the kernel where nothing had to be
 * put right, and the time of a completed write, whatever happens between the kernel's answer and the look at the file.
 */
#include "unit/unit.h"

#include "api/init.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "file/file.h"
#include "nvmmio.h"
#include "uma/uma_private.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SIZE = 3 * UMA_BLOCK, LONG_AGO = 2000, WRONG = 3000 };

static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = LONG_AGO}};
static const struct timespec wrong[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = WRONG}};

static struct {
    char root[UNIT_PATH_MAX];
    char path[UNIT_PATH_MAX + 16];
    int fd;
    struct uma *uma;
} subject;

/* What happens around the kernel's next answer to a stat by path, of this thread. */
static __thread struct {
    bool watched;
    void (*before)(void);
    void (*behind)(void);
    unsigned asked, calls;
} moment;

static long invoke(long number, long a, long b, long c, long d, long e, long f)
{
    moment.calls++;
    if (!moment.watched || number != SYS_newfstatat || moment.asked++)
        return rawsys_invoke_kernel(number, a, b, c, d, e, f);
    if (moment.before)
        moment.before();
    long result = rawsys_invoke_kernel(number, a, b, c, d, e, f);
    if (moment.behind)
        moment.behind();
    return result;
}

static struct stat look(void (*before)(void), void (*behind)(void))
{
    struct stat st;
    moment.before = before;
    moment.behind = behind;
    moment.asked = moment.calls = 0;
    moment.watched = true;
    int error = file_fstatat(AT_FDCWD, subject.path, &st, 0);
    moment.watched = false;
    assert_int_equal(error, 0);
    assert_int_equal(st.st_size, SIZE);
    return st;
}

static void write_byte(void)
{
    assert_int_equal(nvpwrite(subject.fd, "x", 1, 0), 1);
}

static void deliver(void)
{
    struct stat st;
    moment.asked = 1; /* by descriptor */
    assert_int_equal(nvfstat(subject.fd, &st), 0);
}

static int setup(void **state)
{
    (void)state;
    char bytes[SIZE] = {0};
    rawsys_table.invoke = invoke; /* before there is another thread */
    unit_directory(subject.root);
    setenv("NVMMIO_ROOT", subject.root, 1);
    setenv("NVMMIO_CONF", "pm:force,idle:60s", 1);
    snprintf(subject.path, sizeof subject.path, "%s/f", subject.root);
    subject.fd = nvopen(subject.path, O_RDWR | O_CREAT, 0600);
    assert_true(subject.fd >= 0);
    assert_int_equal(nvpwrite(subject.fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(nvfsync(subject.fd), 0);
    write_byte();
    struct stat st;
    assert_int_equal(nvfstat(subject.fd, &st), 0);
    subject.uma = uma_find(st.st_dev, st.st_ino);
    assert_non_null(subject.uma);
    assert_true(uma_is_attached(subject.uma));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[UNIT_PATH_MAX + 16];
    assert_int_equal(nvclose(subject.fd), 0);
    api_exit();
    snprintf(command, sizeof command, "rm -rf %s", subject.root);
    return system(command);
}

static void test_one_question(void **state)
{
    (void)state;
    deliver();
    look(NULL, NULL);
    assert_int_equal(moment.calls, 1);
    assert_int_equal(file_futimens(subject.fd, long_ago), 0);
    assert_int_equal(look(NULL, NULL).st_mtim.tv_sec, LONG_AGO);
    assert_int_equal(moment.calls, 1);
    write_byte();
    assert_true(look(NULL, NULL).st_mtim.tv_sec > WRONG);
    assert_true(moment.calls > 1);
}

static void test_delivered_between(void **state)
{
    (void)state;
    assert_int_equal(file_futimens(subject.fd, long_ago), 0);
    write_byte();
    assert_true(look(NULL, deliver).st_mtim.tv_sec > WRONG);
}

static struct index_record *keeper;

static void move_time(void)
{
    assert_int_equal(sys_utimensat(subject.uma->data_fd, NULL, wrong, 0), 0);
}

static void put_back(void)
{
    uma_times_restore(subject.uma, keeper);
}

/* The library's own changes move the time, and put it back. */
static void test_put_back_between(void **state)
{
    (void)state;
    assert_int_equal(file_futimens(subject.fd, long_ago), 0);
    rcu_enter();
    keeper = uma_claim(subject.uma);
    uma_times_keep(subject.uma, keeper);
    assert_int_equal(look(move_time, put_back).st_mtim.tv_sec, LONG_AGO);
    uma_unclaim(subject.uma, keeper);
    rcu_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_question),
        cmocka_unit_test(test_delivered_between),
        cmocka_unit_test(test_put_back_between),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
