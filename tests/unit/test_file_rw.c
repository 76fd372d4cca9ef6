/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_rw.c — file_read, file_write and their kin against the kernel: the same calls on a managed file and on a plain
 * one give the same results, offsets, errors and bytes, while the managed file's path changes under way.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "file/file.h"
#include "file/handle.h"
#include "support/tool.h"
#include "unit/fake/uma.h"
#include "unit/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS 4
#define LENGTH_MAX 9000

/* Both sides of a comparison: descriptor i of the managed file, and of the plain one. */
static struct pair {
    char directory[UNIT_PATH_MAX];
    char managed[UNIT_PATH_MAX + 16], plain[UNIT_PATH_MAX + 16];
    int fd[2][DESCRIPTORS];
} pair;

static int setup(void **state)
{
    (void)state;
    fake_uma_begin(pair.directory);
    snprintf(pair.managed, sizeof pair.managed, "%s/in/f", pair.directory);
    snprintf(pair.plain, sizeof pair.plain, "%s/f", pair.directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_uma_finish(pair.directory);
    return 0;
}

static int result_of(long result)
{
    return result < 0 ? -errno : (int)result;
}

static void open_pair(int slot, int flags)
{
    pair.fd[0][slot] = file_openat(AT_FDCWD, pair.managed, flags, 0600);
    pair.fd[1][slot] = open(pair.plain, flags, 0600);
    assert_true(pair.fd[0][slot] >= 0 && pair.fd[1][slot] >= 0);
    assert_true(file_is_managed(pair.fd[0][slot]));
}

static void close_pair(int slot)
{
    assert_int_equal(file_close(pair.fd[0][slot]), 0);
    assert_int_equal(close(pair.fd[1][slot]), 0);
}

/* The call on both sides; results must agree. */
#define same(managed, plain)                                                                                           \
    do {                                                                                                               \
        int got = (int)(managed), want = result_of(plain);                                                             \
        if (got != want)                                                                                               \
            fail_msg("%s: %d instead of %d", #managed, got, want);                                                     \
    } while (0)

static char buffer[2][LENGTH_MAX + 64];

static void same_bytes(size_t n)
{
    assert_memory_equal(buffer[0], buffer[1], n);
}

static void random_iov(struct tool_rng *rng, struct iovec iov[2][8], int *count, size_t *length)
{
    *count = (int)tool_below(rng, 6);
    size_t at = 0;
    for (int i = 0; i < *count; i++) {
        size_t n = tool_below(rng, 10) ? tool_below(rng, 1200) : 0;
        for (int side = 0; side < 2; side++)
            iov[side][i] = (struct iovec){.iov_base = buffer[side] + at, .iov_len = n};
        at += n;
    }
    *length = at;
}

static void random_flags(struct tool_rng *rng, int slot)
{
    int flags = tool_below(rng, 2) ? O_APPEND : 0;
    same(file_fcntl(pair.fd[0][slot], F_SETFL, flags), fcntl(pair.fd[1][slot], F_SETFL, flags));
    same(file_fcntl(pair.fd[0][slot], F_GETFL, 0), fcntl(pair.fd[1][slot], F_GETFL, 0));
}

static void random_dup(int from, int to)
{
    if (from == to)
        return;
    assert_int_equal(file_dup2(pair.fd[0][from], pair.fd[0][to]), pair.fd[0][to]);
    assert_int_equal(dup2(pair.fd[1][from], pair.fd[1][to]), pair.fd[1][to]);
}

static void fill(uint64_t key, size_t n)
{
    tool_pattern(buffer[0], n, key, 0);
    memcpy(buffer[1], buffer[0], n);
}

/* One random call on both. Buffers are equal before and compared afterwards. */
static void random_call(struct tool_rng *rng, uint64_t step)
{
    int slot = (int)tool_below(rng, DESCRIPTORS), f0 = pair.fd[0][slot], f1 = pair.fd[1][slot], count;
    size_t n = tool_length(rng, LENGTH_MAX);
    off_t offset = (off_t)tool_below(rng, 60000) - (tool_below(rng, 20) ? 0 : 100);
    struct iovec iov[2][8];
    fill(step, sizeof buffer[0]);
    switch (tool_below(rng, 16)) {
    case 0:
    case 1:
        same(file_write(f0, buffer[0], n), write(f1, buffer[1], n));
        break;
    case 2:
    case 3:
        same(file_read(f0, buffer[0], n), read(f1, buffer[1], n));
        break;
    case 4:
        same(file_pwrite(f0, buffer[0], n, offset), pwrite(f1, buffer[1], n, offset));
        break;
    case 5:
        same(file_pread(f0, buffer[0], n, offset), pread(f1, buffer[1], n, offset));
        break;
    case 6:
        random_iov(rng, iov, &count, &n);
        same(file_readv(f0, iov[0], count), readv(f1, iov[1], count));
        break;
    case 7:
        random_iov(rng, iov, &count, &n);
        same(file_writev(f0, iov[0], count), writev(f1, iov[1], count));
        break;
    case 8:
        random_iov(rng, iov, &count, &n);
        offset = tool_below(rng, 3) ? offset : -1;
        same(file_preadv2(f0, iov[0], count, offset, 0), preadv2(f1, iov[1], count, offset, 0));
        break;
    case 9: {
        static const int flags[] = {0, RWF_APPEND, RWF_DSYNC, RWF_SYNC, RWF_HIPRI, 0x40000000};
        int flag = flags[tool_below(rng, 6)];
        random_iov(rng, iov, &count, &n);
        offset = tool_below(rng, 3) ? offset : -1;
        same(file_pwritev2(f0, iov[0], count, offset, flag), pwritev2(f1, iov[1], count, offset, flag));
        break;
    }
    case 10:
    case 11: {
        int whence = (int)tool_below(rng, 6); /* SEEK_DATA, SEEK_HOLE and a wrong one, too */
        offset = tool_below(rng, 4) ? offset : -offset;
        same(file_lseek(f0, offset, whence), lseek(f1, offset, whence));
        break;
    }
    case 12:
        same(file_ftruncate(f0, offset), ftruncate(f1, offset));
        break;
    case 13:
        same(file_fallocate(f0, (int)tool_below(rng, 2), offset, (off_t)n),
             fallocate(f1, 0, offset, (off_t)n)); /* with and without KEEP_SIZE: same result, size put right below */
        same(file_ftruncate(f0, 50000), ftruncate(f1, 50000));
        break;
    case 14:
        random_flags(rng, slot);
        break;
    default:
        if (tool_below(rng, 8) == 0)
            random_dup(slot, (int)tool_below(rng, DESCRIPTORS));
    }
    same_bytes(sizeof buffer[0]);
    for (int i = 0; i < DESCRIPTORS && step % 7 == 0; i++)
        same(file_lseek(pair.fd[0][i], 0, SEEK_CUR), lseek(pair.fd[1][i], 0, SEEK_CUR));
}

/* Every call behaves as the kernel's, also when the file changes between user space and kernel at any moment. */
static void test_random_calls(void **state)
{
    (void)state;
    static const int flags[DESCRIPTORS] = {O_RDWR, O_RDWR | O_APPEND, O_RDONLY, O_WRONLY};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct tool_rng rng = {.state = seed * 1000003};
        for (int i = 0; i < DESCRIPTORS; i++)
            open_pair(i, flags[i] | O_CREAT);
        for (uint64_t step = 0; step < 4000; step++) {
            if (tool_below(&rng, 10) == 0)
                fake_uma.user = tool_below(&rng, 3) != 0;
            fake_uma.again = tool_below(&rng, 10) == 0 ? 3 : 0;
            random_call(&rng, step);
        }
        struct stat managed, plain;
        same(file_fstat(pair.fd[0][0], &managed), fstat(pair.fd[1][0], &plain));
        assert_int_equal(managed.st_size, plain.st_size);
        for (int i = 0; i < DESCRIPTORS; i++)
            close_pair(i);
        unlink(pair.managed);
        unlink(pair.plain);
    }
}

/* Wrong arguments get the kernel's errno, on either path. */
static void wrong_arguments(int slot)
{
    int f0 = pair.fd[0][slot], f1 = pair.fd[1][slot];
    char *volatile wrong = (char *)8; /* volatile: the compiler would warn, rightly */
    volatile int below = -1, above = IOV_MAX + 1;
    char *bad = wrong;
    struct iovec iov[2] = {{.iov_base = buffer[0], .iov_len = 10}, {.iov_base = buffer[0], .iov_len = (size_t)-5}};
    struct iovec badbase = {.iov_base = bad, .iov_len = 10};
    same(file_pread(f0, buffer[0], 10, -1), pread(f1, buffer[0], 10, -1));
    same(file_pwrite(f0, buffer[0], 10, -1), pwrite(f1, buffer[0], 10, -1));
    same(file_pread(f0, buffer[0], 10, INT64_MAX - 5), pread(f1, buffer[0], 10, INT64_MAX - 5));
    same(file_pwrite(f0, buffer[0], 10, INT64_MAX - 5), pwrite(f1, buffer[0], 10, INT64_MAX - 5));
    same(file_read(f0, bad, 10), read(f1, bad, 10));
    same(file_write(f0, bad, 10), write(f1, bad, 10));
    same(file_write(f0, bad, 0), write(f1, bad, 0));
    char *volatile beyond = (char *)-4096;
    volatile size_t endless = (size_t)1 << 62;
    struct iovec over[2] = {{.iov_base = buffer[0], .iov_len = 10}, {.iov_base = buffer[0], .iov_len = endless}};
    same(file_read(f0, beyond, 10), read(f1, beyond, 10));
    same(file_pread(f0, beyond, 10, INT64_MAX / 2), pread(f1, beyond, 10, INT64_MAX / 2)); /* behind the end, too */
    same(file_write(f0, beyond, 0), write(f1, beyond, 0));
    same(file_write(f0, buffer[0], endless), write(f1, buffer[0], endless));
    same(file_pread(f0, buffer[0], endless, 0), pread(f1, buffer[0], endless, 0));
    same(file_writev(f0, over, 2), writev(f1, over, 2));
    same(file_preadv2(f0, over, 2, -2, 0), preadv2(f1, over, 2, -2, 0));
    same(file_read(f0, buffer[0], SIZE_MAX), syscall(SYS_read, f1, buffer[0], SIZE_MAX));
    same(file_write(f0, buffer[0], SIZE_MAX - 1), syscall(SYS_write, f1, buffer[0], SIZE_MAX - 1));
    same(file_readv(f0, iov, below), readv(f1, iov, below));
    same(file_readv(f0, iov, above), readv(f1, iov, above));
    same(file_readv(f0, iov, 0), readv(f1, iov, 0));
    same(file_readv(f0, iov, 2), readv(f1, iov, 2));
    same(file_writev(f0, iov, 2), writev(f1, iov, 2));
    same(file_writev(f0, &badbase, 1), writev(f1, &badbase, 1));
    same(file_preadv2(f0, iov, 1, -2, 0), preadv2(f1, iov, 1, -2, 0));
    same(file_lseek(f0, -1, SEEK_SET), lseek(f1, -1, SEEK_SET));
    same(file_lseek(f0, INT64_MAX, SEEK_END), lseek(f1, INT64_MAX, SEEK_END));
    same(file_lseek(f0, 0, 77), lseek(f1, 0, 77));
    same(file_ftruncate(f0, -1), ftruncate(f1, -1));
    same(file_fallocate(f0, 0, -1, 10), fallocate(f1, 0, -1, 10));
    same(file_fallocate(f0, 0, 10, 0), fallocate(f1, 0, 10, 0));
    same(file_fallocate(f0, 0, INT64_MAX, 10), fallocate(f1, 0, INT64_MAX, 10));
    same(file_lseek(f0, 0, SEEK_CUR), lseek(f1, 0, SEEK_CUR));
    same(file_lseek(f0, INT64_MAX - 5, SEEK_SET) > 0, (lseek(f1, INT64_MAX - 5, SEEK_SET) > 0)); /* tmpfs goes so far */
    same(file_read(f0, buffer[0], 10), read(f1, buffer[0], 10));
    same(file_writev(f0, iov, 1), writev(f1, iov, 1));
    same(file_lseek(f0, 6, SEEK_CUR), lseek(f1, 6, SEEK_CUR));
    same(file_lseek(f0, 0, SEEK_SET), lseek(f1, 0, SEEK_SET));
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    static const int flags[] = {O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_APPEND};
    for (int user = 0; user < 2; user++) {
        fake_uma.user = user;
        for (int i = 0; i < 4; i++) {
            open_pair(i, flags[i] | O_CREAT);
            wrong_arguments(i);
        }
        for (int i = 0; i < 4; i++)
            close_pair(i);
    }
}

/* An array of buffers that is no memory is EFAULT. (Own child: the guard's handlers.) */
static void play_bad_array(void)
{
    open_pair(0, O_RDWR | O_CREAT);
    unit_check(file_readv(pair.fd[0][0], (struct iovec *)16, 2) == -EFAULT);
    unit_check(file_writev(pair.fd[0][0], (struct iovec *)16, 2) == -EFAULT);
    unit_check(file_pwritev2(pair.fd[0][0], (struct iovec *)16, 2, 0, 0) == -EFAULT);
}

static void test_bad_array(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_bad_array), 0);
}

/* RLIMIT_FSIZE: a write is cut at the limit, then EFBIG with SIGXFSZ for the calling thread; ftruncate likewise. */
static volatile sig_atomic_t over;
static void on_xfsz(int signal)
{
    (void)signal;
    over++;
}

/* The signals so far. (A thread sanitizer brings them late.) */
static int overs(void)
{
    usleep(1);
    return over;
}

static void play_limit(void)
{
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};
    char big[8192] = {0};
    signal(SIGXFSZ, on_xfsz);
    open_pair(0, O_RDWR | O_CREAT);
    int f0 = pair.fd[0][0], f1 = pair.fd[1][0];
    unit_check(file_write(f0, big, 1000) == 1000 && write(f1, big, 1000) == 1000);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int round = 0; round < 2; round++) {
        unit_check(file_write(f0, big, 8192) == (round ? -EFBIG : 4000));
        unit_check(overs() == round);
        over = 0;
        unit_check(result_of(write(f1, big, 8192)) == (round ? -EFBIG : 4000));
        unit_check(overs() == round);
        over = 0;
    }
    unit_check(file_ftruncate(f0, 5001) == -EFBIG && overs() == 1);
    unit_check(file_fallocate(f0, 0, 0, 6000) == -EFBIG && overs() == 2);
    unit_check(file_ftruncate(f0, 4000) == 0 && overs() == 2);
    unit_check(file_pwrite(f0, big, 10, 100) == 10 && overs() == 2);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    unit_check(file_pwrite(f0, big, 10, 20000) == 10 && overs() == 2);
}

static void test_limit(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_limit), 0);
}

/* The file system's largest file: the uma's EFBIG comes through, without a signal. */
static void test_largest(void **state)
{
    (void)state;
    open_pair(0, O_RDWR | O_CREAT);
    fake_uma.size_max = 1 << 20;
    assert_int_equal(file_pwrite(pair.fd[0][0], "x", 1, 2 << 20), -EFBIG);
    assert_int_equal(file_pwrite(pair.fd[0][0], "x", 0, 2 << 20), 0);
    close_pair(0);
}

/* O_SYNC, O_DSYNC, RWF_SYNC and RWF_DSYNC make the write durable; O_APPEND appends; nothing else does. */
static unsigned flags_of_write(int open_flags, int rwf)
{
    struct iovec iov = {.iov_base = buffer[0], .iov_len = 3};
    int fd = file_openat(AT_FDCWD, pair.managed, O_RDWR | O_CREAT | open_flags, 0600);
    assert_int_equal(file_pwritev2(fd, &iov, 1, 0, rwf), 3);
    unsigned seen = fake_uma.last_write_flags;
    file_close(fd);
    return seen;
}

static void test_write_flags(void **state)
{
    (void)state;
    assert_int_equal(flags_of_write(0, 0), 0);
    assert_int_equal(flags_of_write(0, RWF_HIPRI), 0);
    assert_int_equal(flags_of_write(O_SYNC, 0), UMA_WRITE_SYNC);
    assert_int_equal(flags_of_write(O_DSYNC, 0), UMA_WRITE_SYNC);
    assert_int_equal(flags_of_write(0, RWF_SYNC), UMA_WRITE_SYNC);
    assert_int_equal(flags_of_write(0, RWF_DSYNC), UMA_WRITE_SYNC);
    assert_int_equal(flags_of_write(O_APPEND, 0), UMA_WRITE_APPEND);
    assert_int_equal(flags_of_write(O_APPEND | O_SYNC, 0), UMA_WRITE_APPEND | UMA_WRITE_SYNC);
    assert_int_equal(flags_of_write(0, RWF_APPEND), UMA_WRITE_APPEND);
    assert_int_equal(flags_of_write(O_APPEND, 0x20), 0); /* RWF_NOAPPEND */
}

/* A read or overwrite in user space costs the file layer neither a system call nor memory; at the offset neither, once it
 * was fetched. (The fake's own calls do not go through rawsys.) */
static void test_no_system_call(void **state)
{
    (void)state;
    open_pair(0, O_RDWR | O_CREAT);
    int fd = pair.fd[0][0];
    assert_int_equal(file_write(fd, buffer[0], 8192), 8192);
    assert_int_equal(file_lseek(fd, 0, SEEK_SET), 0);
    size_t before = 0;
    fault_start();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(file_pread(fd, buffer[0], 4096, 0), 4096);
        assert_int_equal(file_pwrite(fd, buffer[0], 4096, 4096), 4096);
        assert_int_equal(file_read(fd, buffer[0], 100), 100);
        assert_int_equal(file_write(fd, buffer[0], 100), 100);
        assert_int_equal(file_lseek(fd, 10, SEEK_SET), 10);
        assert_int_equal(file_lseek(fd, 10, SEEK_CUR), 20);
    }
    fault_stop();
    assert_int_equal(fault_calls(FAULT_ANY), before);
    close_pair(0);
}

/* Threads that write through one description overlap nowhere. */
#define TOGETHER 20000
static _Atomic bool go;
static void *write_many(void *arg)
{
    while (!go)
        ;
    for (int i = 0; i < TOGETHER; i++)
        if (file_write(*(int *)arg, "12345678", 8) != 8)
            return arg;
    return NULL;
}

static void test_together(void **state)
{
    (void)state;
    pthread_t thread[2];
    open_pair(0, O_RDWR | O_CREAT);
    int fd = pair.fd[0][0];
    go = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, write_many, &fd);
    go = true;
    for (int i = 0; i < 2; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_null(result);
    }
    assert_int_equal(file_lseek(fd, 0, SEEK_CUR), 2 * TOGETHER * 8);
    assert_int_equal(file_lseek(fd, 0, SEEK_END), 2 * TOGETHER * 8);
    close_pair(0);
}

/* A uma that has failed gives its error to every call, and the offset stays. */
static void test_failed(void **state)
{
    (void)state;
    struct stat st;
    open_pair(0, O_RDWR | O_CREAT);
    int fd = pair.fd[0][0];
    assert_int_equal(file_write(fd, buffer[0], 100), 100);
    fake_uma.begin_error = EIO;
    assert_int_equal(file_read(fd, buffer[0], 1), -EIO);
    assert_int_equal(file_write(fd, buffer[0], 1), -EIO);
    assert_int_equal(file_pread(fd, buffer[0], 1, 0), -EIO);
    assert_int_equal(file_fsync(fd), -EIO);
    assert_int_equal(file_ftruncate(fd, 0), -EIO);
    assert_int_equal(file_fstat(fd, &st), -EIO);
    fake_uma.begin_error = 0;
    assert_int_equal(file_lseek(fd, 0, SEEK_CUR), 100);
    close_pair(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: before CMocka has replaced the signal handlers of a guard that is installed once per process */
        cmocka_unit_test_setup_teardown(test_bad_array, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_system_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
