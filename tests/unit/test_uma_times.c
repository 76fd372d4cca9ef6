/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_times.c — the mtime of a managed file: writes move it, the library's own changes do not, and a time that the
 * application sets stays, whoever else is about to set one at the same moment.
 */
#include "unit/managed.h"

#include "base/rawsys.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define K 1024
#define LONG_AGO 2000 /* seconds: a time that nobody takes for now */

static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = LONG_AGO, .tv_nsec = 5}};

static struct timespec modified(const struct managed *m)
{
    struct stat st;
    assert_int_equal(stat(m->path, &st), 0);
    return st.st_mtim;
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL); /* the clock of files moves with the kernel's tick */
}

/* A write moves mtime by the time it is asked for, and what the library does to the file later does not; a time that the
 * application set stays. */
static void test_times(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    struct timespec before = modified(&m);
    tick();
    assert_int_equal(managed_write(&m, 0, 5000, 0), 5000);
    assert_true(uma_deliver_times(m.uma));
    struct timespec written = modified(&m);
    assert_true(later(written, before));
    assert_false(uma_deliver_times(m.uma));
    tick();
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write_back(&m), 0);
    assert_false(later(modified(&m), written));
    managed_check(&m);
    assert_int_equal(managed_write(&m, 0, 5000, 0), 5000);
    assert_int_equal(managed_resize(&m, 80), 0);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write_back(&m), 0);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO);
    assert_int_equal(managed_close(&m), 0);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO);
    assert_int_equal(modified(&m).tv_nsec, 5);
    managed_reopen(&m, 0);
    managed_attach(&m);
    assert_int_equal(managed_resize(&m, 80), 0); /* an equal size, too */
    assert_int_equal(managed_close(&m), 0);      /* the close delivers */
    assert_true(later(modified(&m), written));
    managed_remove(&m);
}

static uint64_t kernel_tick(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A look at the time behind a write makes no call if one of the same tick of the kernel's clock was delivered, and the time
 * is not moved later; in another tick it is moved; and so is one that the application has set meanwhile. */
static void test_one_in_a_tick(void **state)
{
    struct managed m;
    unsigned calls;
    uint64_t tick_before;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    do {
        tick(); /* at the beginning of one, about */
        tick_before = kernel_tick();
        assert_int_equal(managed_write(&m, 0, 100, 0), 100);
        uma_deliver_times(m.uma);
        assert_int_equal(managed_write(&m, 100, 100, 0), 100);
        managed_watch();
        uma_deliver_times(m.uma);
        calls = managed_calls();
    } while (kernel_tick() != tick_before);
    assert_int_equal(calls, 0);
    struct timespec first = modified(&m);
    tick();
    assert_false(uma_deliver_times(m.uma));
    assert_false(later(modified(&m), first));
    assert_int_equal(managed_write(&m, 0, 100, 0), 100);
    assert_true(uma_deliver_times(m.uma));
    assert_true(later(modified(&m), first));
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    assert_int_equal(managed_write(&m, 0, 100, 0), 100);
    assert_true(uma_deliver_times(m.uma));
    assert_true(later(modified(&m), first));
    managed_remove(&m);
}

/* ---- several at once ---- */

/* A system call that sets a time, the first one of its thread, takes a while. */
static struct slow {
    long (*invoke)(long number, long a, long b, long c, long d, long e, long f);
    struct managed *m;
    sem_t begun;
    pthread_t thread;
    _Atomic int slept;
} slow;

static long slow_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_utimensat && pthread_equal(pthread_self(), slow.thread) && !atomic_exchange(&slow.slept, 1)) {
        sem_post(&slow.begun);
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    }
    return slow.invoke(number, a, b, c, d, e, f);
}

static void *deliver(void *arg)
{
    (void)arg;
    slow.thread = pthread_self();
    uma_deliver_times(slow.m->uma);
    return NULL;
}

/* The library changes the file and puts its time back. */
static void *write_back(void *arg)
{
    (void)arg;
    slow.thread = pthread_self();
    struct index_record *record = uma_claim(slow.m->uma);
    uma_times_keep(slow.m->uma, record);
    futimens(slow.m->fd, NULL);
    uma_times_restore(slow.m->uma, record);
    uma_unclaim(slow.m->uma, record);
    return NULL;
}

/* Runs `other` in a thread until it is about to set a time. */
static pthread_t begin_slow(struct managed *m, void *(*other)(void *))
{
    pthread_t thread;
    uma_sync_pause(); /* it makes system calls, too */
    slow.m = m;
    slow.slept = 0;
    sem_init(&slow.begun, 0, 0);
    slow.invoke = rawsys_table.invoke;
    rawsys_table.invoke = slow_invoke;
    assert_int_equal(pthread_create(&thread, NULL, other, NULL), 0);
    sem_wait(&slow.begun);
    return thread;
}

static void end_slow(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
    rawsys_table.invoke = slow.invoke;
    uma_sync_resume();
    sem_destroy(&slow.begun);
}

/* A time that the application sets while a delivery is on its way is the last one. */
static void test_set_during_delivery(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(managed_write(&m, 0, 5000, 0), 5000);
    pthread_t thread = begin_slow(&m, deliver);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    end_slow(thread);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO);
    managed_remove(&m);
}

/* Who asks while a delivery is on its way sees the new time: a stat behind the write never tells the old one. */
static void test_ask_during_delivery(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    assert_int_equal(managed_write(&m, 0, 5000, 0), 5000);
    pthread_t thread = begin_slow(&m, deliver);
    uma_deliver_times(m.uma);
    struct timespec seen = modified(&m);
    end_slow(thread);
    assert_int_not_equal(seen.tv_sec, LONG_AGO);
    managed_remove(&m);
}

/* A time that is set while the library is about to put an older one back stays. */
static void test_set_during_restore(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    pthread_t thread = begin_slow(&m, write_back);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    end_slow(thread);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO);
    managed_remove(&m);
}

/* Two keep the time of one file, one within the other or overlapping: what is between them does not count. */
static void test_two_keepers(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    struct index_record *first = uma_claim(m.uma), *second = uma_claim(m.uma);
    uma_times_keep(m.uma, first);
    futimens(m.fd, NULL); /* the library's work */
    uma_times_keep(m.uma, second);
    uma_times_restore(m.uma, first);
    futimens(m.fd, NULL);
    uma_times_restore(m.uma, second);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO);
    /* a time set in the middle is the one to go back to */
    const struct timespec newer[2] = {{.tv_sec = 1000}, {.tv_sec = LONG_AGO + 1}};
    uma_times_keep(m.uma, first);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, newer, 0), 0);
    futimens(m.fd, NULL);
    uma_times_restore(m.uma, first);
    assert_int_equal(modified(&m).tv_sec, LONG_AGO + 1);
    uma_unclaim(m.uma, first);
    uma_unclaim(m.uma, second);
    managed_remove(&m);
}

/* Who died while he delivered or kept leaves nothing behind: the time is delivered again, and kept for nobody. */
static void test_dead_deliverer(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    atomic_store(&uma_shared(m.uma)->times_pending, INDEX_TIMES_DELIVERING);
    assert_true(uma_deliver_times(m.uma));
    assert_int_not_equal(modified(&m).tv_sec, LONG_AGO);
    assert_false(uma_deliver_times(m.uma));
    struct index_record *record = uma_claim(m.uma);
    uma_times_keep(m.uma, record);
    uma_times_keep(m.uma, record);
    uma_times_let_go(m.uma, record);
    assert_int_equal(atomic_load(&uma_shared(m.uma)->times_keepers), 0);
    uma_unclaim(m.uma, record);
    managed_remove(&m);
}

/* While the library changes the file the kernel tells a time of its own: a stat is told the one that will be put back. */
static void test_ask_during_keep(void **state)
{
    struct managed m;
    struct timespec mtime;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, long_ago, 0), 0);
    uint32_t keeps = uma_times_keeps(m.uma);
    assert_false(uma_times_kept(m.uma, &mtime));
    struct index_record *record = uma_claim(m.uma);
    uma_times_keep(m.uma, record);
    assert_int_not_equal(uma_times_keeps(m.uma), keeps);
    assert_int_equal(futimens(m.fd, NULL), 0);
    assert_true(later(modified(&m), long_ago[1]));
    assert_true(uma_times_kept(m.uma, &mtime));
    assert_int_equal(mtime.tv_sec, LONG_AGO);
    assert_int_equal(mtime.tv_nsec, long_ago[1].tv_nsec);
    const struct timespec set[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = LONG_AGO + 1}};
    assert_int_equal(uma_set_times(m.uma, m.fd, NULL, set, 0), 0);
    assert_int_equal(futimens(m.fd, NULL), 0);
    assert_true(uma_times_kept(m.uma, &mtime));
    assert_int_equal(mtime.tv_sec, LONG_AGO + 1);
    uma_times_restore(m.uma, record);
    uma_unclaim(m.uma, record);
    assert_false(uma_times_kept(m.uma, &mtime));
    assert_int_equal(modified(&m).tv_sec, LONG_AGO + 1);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_one_in_a_tick),
        cmocka_unit_test(test_set_during_delivery),
        cmocka_unit_test(test_ask_during_delivery),
        cmocka_unit_test(test_set_during_restore),
        cmocka_unit_test(test_two_keepers),
        cmocka_unit_test(test_dead_deliverer),
        cmocka_unit_test(test_ask_during_keep),
    };
    managed_begin("pm:force,idle:1000s,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
