/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_mem.c — base/mem and base/heap.
 */
#include "unit/unit.h"

#include "base/heap.h"
#include "base/mem.h"
#include "base/rawsys.h"
#include "unit/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t sizes[] = {0, 1, 63, 64, 65, 100, 4096, 32767, 32768, 32769, 65536, 1 << 20};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void check_fresh(const unsigned char *p, size_t size)
{
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (size_t i = 0; i < size; i++)
        if (p[i])
            fail_msg("byte %zu of %zu is not zero", i, size);
}

/* Memory is zeroed and aligned, also when it was used before; what is freed is counted off again. */
static void test_alloc(void **state)
{
    (void)state;
    size_t before = mem_allocated();
    for (int round = 0; round < 3; round++) {
        unsigned char *p[SIZES];
        for (size_t i = 0; i < SIZES; i++) {
            p[i] = mem_alloc(sizes[i]);
            check_fresh(p[i], sizes[i]);
            memset(p[i], 0xa5, sizes[i]);
        }
        for (size_t i = 0; i < SIZES; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                if (p[i][k] != 0xa5)
                    fail_msg("pieces overlap");
        assert_true(mem_allocated() > before);
        for (size_t i = 0; i < SIZES; i++)
            mem_free(p[i], sizes[i]);
        assert_int_equal(mem_allocated(), before);
    }
    mem_free(NULL, 10);
    assert_int_equal(mem_allocated(), before);
}

/* The impossible is refused, not wrapped around. */
static void test_too_large(void **state)
{
    (void)state;
    volatile size_t most = SIZE_MAX;
    assert_null(mem_alloc(most));
    assert_null(mem_alloc(most / 2 + 1));
    assert_null(heap_alloc(most));
    assert_null(heap_alloc(most - 4095));
    assert_null(heap_alloc(most / 4));
}

/* The test hook fails one call, the one asked for. */
static void test_fail_after(void **state)
{
    (void)state;
    mem_fail_after(1);
    void *a = mem_alloc(10);
    void *b = mem_alloc(10);
    void *c = mem_alloc(10);
    mem_fail_after(-1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    mem_free(a, 10);
    mem_free(c, 10);
}

/* The kernel's refusal is NULL, and the heap works again afterwards. */
static void test_no_memory(void **state)
{
    (void)state;
    fault_start();
    fault_set(SYS_mmap, 1, ENOMEM, true);
    assert_null(heap_alloc(1 << 20));
    void *piece[4096];
    size_t n = 0;
    while (n < 4096 && (piece[n] = heap_alloc(2048)))
        n++;
    assert_true(n < 4096);
    fault_stop();
    void *more = heap_alloc(2048);
    assert_non_null(more);
    heap_free(more, 2048);
    while (n)
        heap_free(piece[--n], 2048);
}

/* Freed pieces are used again: no growth in steady state. */
static void test_reuse(void **state)
{
    (void)state;
    void *p = heap_alloc(500);
    heap_free(p, 500);
    fault_start();
    for (int i = 0; i < 10000; i++) {
        p = heap_alloc(500);
        assert_non_null(p);
        heap_free(p, 500);
    }
    fault_stop();
    assert_int_equal(fault_calls(FAULT_ANY), 0);
}

#define THREADS 4
#define HELD 4 /* few, so that the same pieces come and go at once */
static _Atomic int overlaps;

/* Each thread stamps what it holds with its own number and finds the stamps unharmed. */
static void *hammer(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    struct {
        uintptr_t *at;
        size_t size;
    } held[HELD] = {0};
    unsigned random = (unsigned)me;
    for (int i = 0; i < 3000000; i++) {
        random = random * 1103515245u + 12345u;
        unsigned slot = (random >> 16) % HELD;
        if (held[slot].at) {
            if (held[slot].at[0] != me || held[slot].at[held[slot].size / sizeof me - 1] != me)
                atomic_fetch_add(&overlaps, 1);
            heap_free(held[slot].at, held[slot].size);
            held[slot].at = NULL;
        } else {
            held[slot].size = 64;
            held[slot].at = heap_alloc(held[slot].size);
            held[slot].at[0] = me;
            held[slot].at[held[slot].size / sizeof me - 1] = me;
        }
    }
    for (int i = 0; i < HELD; i++)
        if (held[i].at)
            heap_free(held[i].at, held[i].size);
    return NULL;
}

/* No piece is ever given to two threads. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hammer, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&overlaps), 0);
}

static _Atomic bool stop;

static void *churn(void *arg)
{
    while (!atomic_load(&stop)) {
        void *p = mem_alloc(200);
        mem_free(p, 200);
    }
    return arg;
}

/* A child that was forked in the middle of another thread's allocation can allocate. */
static void test_fork(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, churn, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            alarm(10);
            for (int k = 0; k < 100; k++)
                mem_free(mem_alloc(200), 200);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc), cmocka_unit_test(test_too_large), cmocka_unit_test(test_fail_after),
        cmocka_unit_test(test_reuse), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
