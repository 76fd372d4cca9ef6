/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_shlock.c — base/shlock: exclusion among threads and processes, patience, take-over.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "base/shlock.h"
#include "unit/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    struct shlock lock;
    uint64_t count; /* guarded by lock */
    _Atomic int ready;
    uint64_t acquired_us; /* when a child got the lock */
};

static struct shared *shared_new(void)
{
    struct shared *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    return shared;
}

static void acquire_patiently(struct shlock *lock, uint32_t owner)
{
    while (shlock_acquire(lock, owner) == -ETIMEDOUT)
        ;
}

/* An uncontended lock knows its owner and makes no system call. */
static void test_owner(void **state)
{
    (void)state;
    struct shlock lock = {0};
    fault_start();
    assert_int_equal(shlock_owner(&lock), 0);
    assert_int_equal(shlock_try(&lock, 7), 0);
    assert_int_equal(shlock_owner(&lock), 7);
    assert_int_equal(shlock_try(&lock, 8), -EBUSY);
    assert_int_equal(shlock_owner(&lock), 7);
    shlock_release(&lock);
    assert_int_equal(shlock_acquire(&lock, SHLOCK_OWNER_MAX), 0);
    assert_int_equal(shlock_owner(&lock), SHLOCK_OWNER_MAX);
    shlock_release(&lock);
    assert_int_equal(shlock_owner(&lock), 0);
    fault_stop();
    assert_int_equal(fault_calls(FAULT_ANY), 0);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Acquiring a held lock gives up, neither at once nor much later than promised, also when sleeping does not work. */
static void test_patience(void **state)
{
    (void)state;
    struct shlock lock = {0};
    assert_int_equal(shlock_try(&lock, 1), 0);
    for (int broken = 0; broken < 2; broken++) {
        fault_start();
        if (broken)
            fault_set(SYS_futex, 1, EINTR, true);
        uint64_t begin = now_us();
        assert_int_equal(shlock_acquire(&lock, 2), -ETIMEDOUT);
        uint64_t took = now_us() - begin;
        fault_stop();
        assert_true(took >= SHLOCK_PATIENCE_US && took < SHLOCK_PATIENCE_US + 1000000);
        assert_int_equal(shlock_owner(&lock), 1);
    }
    shlock_release(&lock);
    assert_int_equal(shlock_acquire(&lock, 2), 0);
    shlock_release(&lock);
}

#define ROUNDS 20000

static void count(struct shared *shared, uint32_t owner)
{
    for (int i = 0; i < ROUNDS; i++) {
        acquire_patiently(&shared->lock, owner);
        shared->count++;
        shlock_release(&shared->lock);
    }
}

static void *count_thread(void *arg)
{
    count(arg, (uint32_t)sys_gettid());
    return NULL;
}

/* No increment of threads and processes is lost. */
static void test_exclusion(void **state)
{
    (void)state;
    struct shared *shared = shared_new();
    pid_t child = fork();
    if (!child) {
        count(shared, (uint32_t)getpid());
        _exit(0);
    }
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_thread, shared), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(shared->count, 3 * ROUNDS);
    assert_int_equal(shlock_owner(&shared->lock), 0);
    munmap(shared, 4096);
}

/* A sleeper in another process is woken by the release, long before its patience ends. (A busy machine may make some of
 * them late.) */
static void test_wake(void **state)
{
    (void)state;
    struct shared *shared = shared_new();
    const unsigned rounds = 20, slept_us = 300, soon_us = SHLOCK_PATIENCE_US / 2 - slept_us;
    unsigned soon = 0;
    for (unsigned i = 0; i < rounds; i++) {
        atomic_store(&shared->ready, 0);
        assert_int_equal(shlock_try(&shared->lock, 1), 0);
        pid_t child = fork();
        if (!child) {
            atomic_store(&shared->ready, 1);
            acquire_patiently(&shared->lock, 2);
            shared->acquired_us = now_us();
            _exit(0);
        }
        while (!atomic_load(&shared->ready))
            usleep(50);
        usleep(slept_us);
        uint64_t released_us = now_us();
        shlock_release(&shared->lock);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        soon += shared->acquired_us - released_us < soon_us;
        shlock_release(&shared->lock);
    }
    assert_true(soon >= rounds / 2);
    munmap(shared, 4096);
}

/* The lock of a killed process can be taken over once, by naming the dead owner; a waiter's mark survives. */
static void test_take_over(void **state)
{
    (void)state;
    struct shared *shared = shared_new();
    pid_t child = fork();
    if (!child) {
        shlock_try(&shared->lock, 5);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(shlock_acquire(&shared->lock, 6), -ETIMEDOUT);
    assert_int_equal(shlock_owner(&shared->lock), 5);
    assert_int_equal(shlock_take_over(&shared->lock, 4, 6), -EBUSY);
    assert_int_equal(shlock_take_over(&shared->lock, 0, 6), -EBUSY);
    assert_int_equal(shlock_take_over(&shared->lock, 5, 6), 0);
    assert_int_equal(shlock_take_over(&shared->lock, 5, 7), -EBUSY);
    assert_int_equal(shlock_owner(&shared->lock), 6);
    assert_true(atomic_load(&shared->lock.word) & SHLOCK_WAITERS);
    shlock_release(&shared->lock);
    assert_int_equal(shlock_take_over(&shared->lock, 0, 6), -EBUSY);
    munmap(shared, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner), cmocka_unit_test(test_patience),  cmocka_unit_test(test_exclusion),
        cmocka_unit_test(test_wake),  cmocka_unit_test(test_take_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
