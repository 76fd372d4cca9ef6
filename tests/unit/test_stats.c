/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_stats.c — base/stats: nothing is lost, every counter has its own name.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "base/stats.h"
#include "unit/fault.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Names are distinct, dotted and complete. */
static void test_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATS_COUNT; i++) {
        assert_non_null(stats_name((enum stats_counter)i));
        assert_non_null(strchr(stats_name((enum stats_counter)i), '.'));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(stats_name((enum stats_counter)i), stats_name((enum stats_counter)k));
    }
    assert_null(stats_name(STATS_COUNT));
    assert_string_equal(stats_name(STATS_PM_BYTES), "pm.bytes");
    assert_string_equal(stats_name(STATS_WRITEBACK_BLOCKS), "uma.writeback_blocks");
    assert_string_equal(stats_name(STATS_DEMOTE_OTHER), "demote.other");
}

/* Counters are apart; after the first use of a thread adding makes no system call. */
static void test_add(void **state)
{
    (void)state;
    uint64_t reads = stats_sum(STATS_READS), writes = stats_sum(STATS_WRITES);
    stats_add(STATS_READS, 1);
    fault_start();
    for (int i = 0; i < 1000; i++)
        stats_add(STATS_READS, 3);
    fault_stop();
    assert_int_equal(fault_calls(FAULT_ANY), 0);
    assert_int_equal(stats_sum(STATS_READS) - reads, 3001);
    assert_int_equal(stats_sum(STATS_WRITES), writes);
}

#define THREADS 100 /* more than there are stripes */
#define ADDS 20000
static pthread_barrier_t barrier;

static void *adder(void *arg)
{
    stats_add(STATS_COMMITS, 1);
    pthread_barrier_wait(&barrier); /* all have a stripe before any ends */
    for (int i = 1; i < ADDS; i++)
        stats_add(STATS_COMMITS, 1);
    return arg;
}

/* Many threads at once, most of them on the shared stripe, lose nothing; and again, on the stripes of the ended. */
static void test_threads(void **state)
{
    (void)state;
    uint64_t before = stats_sum(STATS_COMMITS);
    for (int round = 1; round <= 2; round++) {
        pthread_t thread[THREADS];
        pthread_barrier_init(&barrier, NULL, THREADS);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, adder, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        pthread_barrier_destroy(&barrier);
        assert_int_equal(stats_sum(STATS_COMMITS) - before, (uint64_t)round * THREADS * ADDS);
    }
}

/* A forked child counts by itself: on, or, where the fork table runs, from 0. */
static void test_fork(void **state)
{
    (void)state;
    uint64_t before = stats_sum(STATS_ATTACHES);
    pid_t child = fork();
    if (!child) {
        stats_add(STATS_ATTACHES, 5);
        if (stats_sum(STATS_ATTACHES) != before + 5)
            _exit(1);
        stats_after_fork_child();
        if (stats_sum(STATS_ATTACHES) != 0)
            _exit(2);
        stats_add(STATS_ATTACHES, 7);
        _exit(stats_sum(STATS_ATTACHES) == 7 ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(stats_sum(STATS_ATTACHES), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
