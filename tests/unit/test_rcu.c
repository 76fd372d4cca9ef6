/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_rcu.c — promise: where liburcu cannot be used (a child that ran no fork handlers) a grace period still waits for all
 * read sections that began before it, and for no others; and such a child is set up once.
 */
#include "base/birth.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READERS = 3, ROUNDS = 300, FREED = 0xdead };

struct shared {
    _Atomic(_Atomic int *) published;
    _Atomic bool stop;
    _Atomic unsigned wrong;
};

/* What is read in a section must not be freed in it. */
static void *reader_run(void *arg)
{
    struct shared *shared = arg;
    while (!atomic_load(&shared->stop)) {
        rcu_enter();
        rcu_enter();
        _Atomic int *at = atomic_load(&shared->published);
        rcu_leave();
        sched_yield();
        if (atomic_load(at) == FREED || !rcu_inside())
            atomic_fetch_add(&shared->wrong, 1);
        rcu_leave();
        if (rcu_inside())
            atomic_fetch_add(&shared->wrong, 1);
    }
    return NULL;
}

static unsigned run_readers(void)
{
    static _Atomic int objects[ROUNDS + 1];
    struct shared shared = {.published = &objects[0]};
    pthread_t thread[READERS];
    for (int i = 0; i < READERS; i++)
        pthread_create(&thread[i], NULL, reader_run, &shared);
    for (int i = 0; i < ROUNDS; i++) {
        _Atomic int *old = atomic_exchange(&shared.published, &objects[i + 1]);
        rcu_wait();
        atomic_store(old, FREED);
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    return shared.wrong;
}

static int in_child(unsigned (*run)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(run() != 0);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_liburcu(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_readers), 0);
}

static unsigned run_counted(void)
{
    rcu_born();
    return run_readers();
}

static void test_counted(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_counted), 0);
}

/* A section that began before goes on in the child; and a fork of the child knows its own sections alone. */
static unsigned run_mixed(void)
{
    unsigned wrong = 0;
    rcu_enter();
    rcu_born();
    wrong += !rcu_inside();
    rcu_enter();
    rcu_leave();
    rcu_leave();
    wrong += rcu_inside();
    rcu_enter();
    rcu_before_fork();
    rcu_after_fork_child();
    wrong += !rcu_inside();
    rcu_leave();
    rcu_wait(); /* would never end if the section were still counted */
    return wrong;
}

static void test_mixed(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_mixed), 0);
}

static _Atomic unsigned births;

static void count_birth(uint64_t *mask)
{
    (void)mask;
    birth_check(); /* by what sets the process up: does not come here again */
    atomic_fetch_add(&births, 1);
}

static void *check_run(void *arg)
{
    birth_check();
    atomic_fetch_add((_Atomic unsigned *)arg, atomic_load(&births));
    return NULL;
}

static unsigned run_born(void)
{
    _Atomic unsigned seen = 0;
    pthread_t thread[READERS];
    if (atomic_load(&births))
        return 1;
    for (int i = 0; i < READERS; i++)
        pthread_create(&thread[i], NULL, check_run, &seen);
    for (int i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    birth_check();
    return births != 1 || seen != READERS;
}

static void test_birth(void **state)
{
    (void)state;
    birth_handler(count_birth);
    birth_check();
    assert_int_equal(births, 0);
    birth_note();
    birth_check();
    assert_int_equal(births, 0);
    assert_int_equal(in_child(run_born), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_liburcu),
        cmocka_unit_test(test_counted),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_birth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
