/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_failed.c — a lack of space or of quota is told by the write that meets it, and nothing later; an I/O error where
 * memory and PM may disagree is told by every call until the last close, and what was acknowledged is there afterwards.
 */
#include "unit/fault.h"
#include "unit/managed.h"

#include "base/stats.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define K 1024
#define SIZE (64 * K)
#define MOST (4096 * K) /* more than what is reserved ahead, and than a new log holds */

static const int lacks[] = {ENOSPC, EDQUOT};

/* The background thread makes system calls, too, and must not meet the table of them while it changes. */
static void faults_begin(void)
{
    uma_sync_pause();
    fault_start();
}

static void faults_end(void)
{
    fault_stop();
    uma_sync_resume();
}

/* Nobody but the library may go back on what an O_ATOMIC file is promised: the write fails. */
static void test_lack_atomic(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        struct managed m;
        managed_open(&m, SIZE, MOST, O_ATOMIC);
        managed_attach(&m);
        assert_int_equal(managed_write(&m, 1000, 20 * K, 0), 20 * K);
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_write(&m, 5000, 20 * K, 0), 20 * K);
        faults_begin();
        fault_set(SYS_fallocate, 1, lacks[i], true);
        assert_int_equal(managed_write(&m, SIZE, MOST - SIZE, 0), -lacks[i]);
        managed_check(&m);
        assert_int_equal(managed_write(&m, 6000, 10 * K, 0), 10 * K); /* what has its blocks can still be written */
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_close(&m), 0);
        faults_end();
        managed_check_kernel(&m);
        managed_remove(&m);
    }
}

/* Any other file is the kernel's then, which may have room in the file, or says what is wrong. */
static void test_lack(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        struct managed m;
        uint64_t demoted = stats_sum(STATS_DEMOTE_NOSPACE);
        managed_open(&m, SIZE, MOST, 0);
        managed_attach(&m);
        assert_int_equal(managed_write(&m, 1000, 20 * K, 0), 20 * K);
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_write(&m, 5000, 20 * K, 0), 20 * K);
        faults_begin();
        fault_set(SYS_fallocate, 1, lacks[i], true);
        assert_int_equal(managed_write(&m, SIZE, MOST - SIZE, 0), MOST - SIZE);
        faults_end();
        assert_int_equal(stats_sum(STATS_DEMOTE_NOSPACE), demoted + 1);
        managed_check(&m);
        managed_check_kernel(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_remove(&m);
    }
}

static void expect_failed(struct managed *m)
{
    char byte;
    struct uma_op op;
    assert_int_equal(managed_read(m, &byte, 0, 1), -EIO);
    assert_int_equal(managed_write(m, 0, 100, 0), -EIO);
    assert_int_equal(managed_write(m, m->size, 100, 0), -EIO);
    assert_int_equal(managed_resize(m, 10), -EIO);
    assert_int_equal(managed_commit(m), -EIO);
    assert_int_equal(uma_demote(m->uma, m->fd, UMA_DEMOTE_STDIO), -EIO);
    assert_int_equal(uma_begin(m->uma, m->fd, UMA_INTENT_LOOK, &op), -EIO);
}

static void test_sticky(void **state)
{
    struct managed m;
    struct uma *again;
    (void)state;
    managed_open(&m, SIZE, MOST, 0);
    managed_attach(&m);
    assert_int_equal(managed_write(&m, 1000, 20 * K, 0), 20 * K);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write(&m, SIZE - 100, 500 * K, 0), 500 * K); /* changes something in the kernel */
    faults_begin();
    fault_set(SYS_fsync, 1, EIO, false);
    assert_int_equal(managed_commit(&m), -EIO);
    assert_int_equal(fault_hits(), 1);
    faults_end();
    expect_failed(&m);
    assert_int_equal(uma_open(m.fd, O_RDWR, NULL, &again), 0); /* of the same uma: not a way out */
    expect_failed(&m);
    assert_int_equal(uma_close(again, m.fd), 0);
    expect_failed(&m);
    assert_int_equal(managed_close(&m), -EIO);
    managed_reopen(&m, 0); /* recovers: completed writes are there */
    managed_check(&m);
    assert_int_equal(managed_write(&m, 100, 5000, 0), 5000);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lack_atomic),
        cmocka_unit_test(test_lack),
        cmocka_unit_test(test_sticky),
    };
    managed_begin("idle:1000s,commit_interval:1000s,pool:0,pm:force");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
