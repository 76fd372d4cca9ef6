/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_fd_table.c — file/fd_table and file/pool: numbers up to the end of the table, marks, many threads.
 */
#include "unit/unit.h"

#include "base/mem.h"
#include "file/fd_table.h"
#include "file/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

static struct fd_handle *pointer(uintptr_t n)
{
    return (struct fd_handle *)(n * 64);
}

/* Any number below FD_MAX can be managed, neighbours in other leaves are untouched, others are refused. */
static void test_numbers(void **state)
{
    (void)state;
    const int numbers[] = {0, 1, (int)FD_LEAF - 1, (int)FD_LEAF, 1 << 20, (1 << 20) + 7, FD_MAX - 1};
    const size_t count = sizeof numbers / sizeof *numbers;
    assert_null(fd_table_get(-1));
    assert_null(fd_table_get(FD_MAX));
    assert_int_equal(fd_table_reserve(-1), -ENFILE);
    assert_int_equal(fd_table_reserve(FD_MAX), -ENFILE);
    for (size_t i = 0; i < count; i++) {
        assert_null(fd_table_get(numbers[i]));
        assert_int_equal(fd_table_reserve(numbers[i]), 0);
        fd_table_set(numbers[i], pointer(i + 1));
    }
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(fd_table_get(numbers[i]), pointer(i + 1));
    assert_null(fd_table_get(2));
    assert_null(fd_table_get(FD_MAX - 2));
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(fd_table_take(numbers[i], NULL), pointer(i + 1));
    for (size_t i = 0; i < count; i++)
        assert_null(fd_table_get(numbers[i]));
}

/* Without memory for a leaf the number stays unmanaged, and works later. */
static void test_no_memory(void **state)
{
    (void)state;
    int fd = (int)FD_LEAF * 100;
    mem_fail_after(0);
    assert_int_equal(fd_table_reserve(fd), -ENOMEM);
    mem_fail_after(-1);
    fd_table_set(fd, pointer(1)); /* without effect, without harm */
    assert_null(fd_table_get(fd));
    assert_int_equal(fd_table_reserve(fd), 0);
}

/* The hint says "managed" whenever the table does. */
static void test_hint(void **state)
{
    (void)state;
    assert_int_equal(fd_table_reserve(5), 0);
    assert_int_equal(fd_table.hints[5], 0);
    fd_table_set(5, pointer(1));
    assert_int_equal(fd_table.hints[5], 1);
    fd_table_set(5, NULL);
    assert_int_equal(fd_table.hints[5], 0);
}

static void count_visit(int fd, struct fd_handle *handle, void *arg)
{
    assert_ptr_equal(handle, pointer(9));
    *(int *)arg += fd;
}

/* A visit sees the handles of the range and no marks; a forked child loses the marks alone. */
static void test_visit_and_marks(void **state)
{
    (void)state;
    int sum = 0;
    assert_int_equal(fd_table_reserve(10), 0);
    fd_table_set(9, pointer(9));
    fd_table_set(10, pointer(9));
    fd_table_set(11, FD_CLOSING);
    fd_table_set(12, FD_CHANGING);
    fd_table_set(13, pointer(9));
    fd_table_each(10, 12, count_visit, &sum);
    assert_int_equal(sum, 10);
    assert_null(fd_table_take(11, NULL)); /* a closing descriptor is nobody's to take */
    fd_table_clear_marks();
    assert_null(fd_table_get(11));
    assert_null(fd_table_get(12));
    sum = 0;
    fd_table_each(0, ~0u, count_visit, &sum);
    assert_int_equal(sum, 9 + 10 + 13);
    for (int fd = 9; fd <= 13; fd++)
        fd_table_set(fd, NULL);
}

/* Of many threads that take an entry one gets it. */
static _Atomic int taken;
static void *take_all(void *arg)
{
    (void)arg;
    for (int fd = 0; fd < 200; fd++)
        if (fd_table_take(fd, NULL))
            taken++;
    return NULL;
}

static void test_take_once(void **state)
{
    (void)state;
    pthread_t thread[4];
    taken = 0;
    for (int fd = 0; fd < 200; fd++)
        fd_table_set(fd, pointer(1));
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, take_all, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(taken, 200);
}

/* No two threads hold one record of a pool at once, and none is lost. */
#define POOL_ROUNDS 20000
static struct pool pool;
static _Atomic int pool_wrong;

static void *pool_use(void *arg)
{
    uint32_t held[8] = {0};
    for (int i = 0; i < POOL_ROUNDS; i++) {
        uint32_t *slot = &held[i % 8];
        if (*slot) {
            uintptr_t *owner = (uintptr_t *)pool_at(&pool, *slot) + 1;
            if (*owner != (uintptr_t)arg)
                pool_wrong++;
            pool_give(&pool, *slot);
        }
        *slot = pool_take(&pool);
        ((uintptr_t *)pool_at(&pool, *slot))[1] = (uintptr_t)arg;
    }
    for (int i = 0; i < 8; i++)
        pool_give(&pool, held[i]);
    return NULL;
}

static void test_pool(void **state)
{
    (void)state;
    pthread_t thread[4];
    assert_int_equal(pool_make(&pool, false), 0);
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, pool_use, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(pool_wrong, 0);
    assert_true(pool_extent(&pool) <= 32);
}

/* An exhausted pool says so, and goes on when a record comes back. */
static void test_pool_end(void **state)
{
    (void)state;
    struct pool all = {.head = NULL};
    assert_int_equal(pool_make(&all, false), 0);
    for (uint32_t i = 1; i <= POOL_CAPACITY; i++)
        assert_int_equal(pool_take(&all), i);
    assert_int_equal(pool_take(&all), 0);
    pool_give(&all, 77);
    assert_int_equal(pool_take(&all), 77);
    assert_int_equal(pool_take(&all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_no_memory), cmocka_unit_test(test_hint),
        cmocka_unit_test(test_visit_and_marks), cmocka_unit_test(test_take_once), cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
