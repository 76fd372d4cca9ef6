/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_rawsys.c — base/rawsys, and the fault injector that stands on it.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "unit/fault.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Results are the kernel's, errors are negative, errno is not touched. */
static void test_results(void **state)
{
    (void)state;
    errno = 77;
    assert_int_equal(sys_close(-1), -EBADF);
    assert_int_equal(sys_openat(AT_FDCWD, "/nonexistent/x", O_RDONLY, 0), -ENOENT);
    assert_int_equal(errno, 77);
    int fd = unit_file(0);
    assert_int_equal(sys_pwrite(fd, "abcdef", 6, 10), 6);
    struct stat st;
    assert_int_equal(sys_fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 16);
    char buf[8] = {0};
    assert_int_equal(sys_pread(fd, buf, 8, 12), 4);
    assert_string_equal(buf, "cdef");
    assert_int_equal(sys_close(fd), 0);
}

/* All six arguments arrive: mmap needs each of them, and so do the vectored calls with an offset and flags. */
static void test_six_arguments(void **state)
{
    (void)state;
    int fd = unit_file(8192);
    assert_int_equal(sys_pwrite(fd, "x", 1, 4096), 1);
    char *p = sys_mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
    assert_false(sys_is_error(p));
    assert_int_equal(p[0], 'x');
    assert_int_equal(sys_munmap(p, 4096), 0);
    assert_true(sys_is_error(sys_mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1)));
    struct iovec iov = {"yz", 2};
    assert_int_equal(sys_pwritev2(fd, &iov, 1, 100, 0), 2);
    char buf[2];
    iov.iov_base = buf;
    assert_int_equal(sys_preadv2(fd, &iov, 1, 100, 0), 2);
    assert_memory_equal(buf, "yz", 2);
    sys_close(fd);
}

/* The injector fails exactly the n-th call, or all from it on, and only those of its number. */
static void test_fault(void **state)
{
    (void)state;
    int fd = unit_file(0);
    struct stat st;
    fault_start();
    fault_set(SYS_fstat, 2, EIO, false);
    fault_set(SYS_pwrite64, 2, ENOSPC, true);
    assert_int_equal(sys_fstat(fd, &st), 0);
    assert_int_equal(sys_fstat(fd, &st), -EIO);
    assert_int_equal(sys_fstat(fd, &st), 0);
    assert_int_equal(sys_pwrite(fd, "a", 1, 0), 1);
    assert_int_equal(sys_pwrite(fd, "a", 1, 0), -ENOSPC);
    assert_int_equal(sys_pwrite(fd, "a", 1, 0), -ENOSPC);
    assert_int_equal(fault_calls(SYS_fstat), 3);
    assert_int_equal(fault_calls(FAULT_ANY), 6);
    assert_int_equal(fault_hits(), 3);
    fault_stop();
    assert_int_equal(sys_pwrite(fd, "a", 1, 0), 1);
    assert_int_equal(fault_calls(FAULT_ANY), 6);
    fault_start();
    fault_set(FAULT_ANY, 2, EINTR, false);
    assert_int_equal(sys_fstat(fd, &st), 0);
    assert_int_equal(sys_fsync(fd), -EINTR);
    assert_int_equal(sys_fsync(fd), 0);
    fault_stop();
    sys_close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_six_arguments),
        cmocka_unit_test(test_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
