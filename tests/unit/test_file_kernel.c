/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_kernel.c — calls by which the kernel moves data between files: attached files are demoted before, others are left
 * as they are; offsets are the kernel's; errors come back.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "file/file.h"
#include "unit/fake/uma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char directory[UNIT_PATH_MAX];
static char source[UNIT_PATH_MAX + 16], target[UNIT_PATH_MAX + 16], plain[UNIT_PATH_MAX + 16];

static int setup(void **state)
{
    (void)state;
    fake_uma_begin(directory);
    snprintf(source, sizeof source, "%s/in/f", directory);
    snprintf(target, sizeof target, "%s/in/g", directory);
    snprintf(plain, sizeof plain, "%s/f", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_uma_finish(directory);
    return 0;
}

struct copy {
    int in, out;
};

static long copy_bytes(const void *arg)
{
    const struct copy *copy = arg;
    return rawsys(SYS_copy_file_range, copy->in, 0, copy->out, 0, 4, 0);
}

static int open_new(const char *path)
{
    int fd = file_openat(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* From and to each kind of file, attached or not. */
static void test_copies(void **state)
{
    (void)state;
    for (int user = 0; user < 2; user++) {
        const char *const ends[][2] = {{source, target}, {source, plain}, {plain, target}};
        for (unsigned i = 0; i < 3; i++) {
            char byte[4] = "";
            int managed = (ends[i][0] != plain) + (ends[i][1] != plain);
            int before = fake_uma.demotions;
            fake_uma.user = user;
            int in = open_new(ends[i][0]), out = open_new(ends[i][1]);
            assert_int_equal(file_write(in, "12345678", 8), 8);
            assert_int_equal(file_lseek(in, 2, SEEK_SET), 2);
            assert_int_equal(file_lseek(out, 3, SEEK_SET), 3);
            const struct copy copy = {in, out};
            assert_int_equal(file_by_kernel(in, out, UMA_DEMOTE_KERNEL_COPY, copy_bytes, &copy), 4);
            assert_int_equal(fake_uma.demotions - before, user ? managed : 0);
            assert_int_equal(file_lseek(in, 0, SEEK_CUR), 6);
            assert_int_equal(file_lseek(out, 0, SEEK_CUR), 7);
            assert_int_equal(file_pread(out, byte, 4, 3), 4);
            assert_memory_equal(byte, "3456", 4);
            file_close(in);
            file_close(out);
            unlink(ends[i][0]);
            unlink(ends[i][1]);
        }
    }
}

/* A file that cannot be handed over is not touched; what the call itself says is returned. */
static void test_errors(void **state)
{
    (void)state;
    int in = open_new(source), out = open_new(target);
    const struct copy copy = {in, -1};
    fake_uma.user = true;
    fake_uma.demote_error = ENOSPC;
    assert_int_equal(file_by_kernel(in, out, UMA_DEMOTE_KERNEL_COPY, copy_bytes, &copy), -ENOSPC);
    assert_int_equal(file_by_kernel(-1, out, UMA_DEMOTE_KERNEL_COPY, copy_bytes, &copy), -ENOSPC);
    fake_uma.demote_error = 0;
    assert_int_equal(file_by_kernel(in, out, UMA_DEMOTE_KERNEL_COPY, copy_bytes, &copy), -EBADF);
    file_close(in);
    file_close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
