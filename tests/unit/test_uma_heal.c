/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_heal.c — damaged words that are waited for: each wait ends, the file fails, and the next open brings back all that
 * was written. Whoever really holds what is waited for, busy or stopped, keeps it. (tests/fuzz/words.c damages at random.)
 */
#include "unit/managed.h"

#include "base/rcu.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define K 1024
#define SIZE (64 * K)
#define MOST (256 * K)
#define HANG_SECONDS 60 /* an alarm ends the test then */
#define HELD_MS 60      /* many times as long as it takes until somebody looks whether what he waits for is there */
#define NS_PER_MS 1000000L

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * NS_PER_MS}, NULL);
}

/* Changed and committed, then changed again. */
static void open_used(struct managed *m)
{
    alarm(HANG_SECONDS);
    managed_open(m, SIZE, MOST, 0);
    managed_attach(m);
    assert_int_equal(managed_write(m, 100, 20 * K, 0), 20 * K);
    assert_int_equal(managed_commit(m), 0);
    assert_int_equal(managed_write(m, 5000, 20 * K, 0), 20 * K);
}

/* Everything that waits for anything; what is written is there already, so that it does not matter what fails. */
static void use(struct managed *m)
{
    char byte, bytes[8 * K];
    rcu_enter();
    for (unsigned i = 0; i < 2; i++) {
        memcpy(bytes, m->want + 5000, 100);
        managed_write_bytes(m, bytes, 5000, 100, 0);
        memcpy(bytes, m->want + 40 * K, sizeof bytes);
        managed_write_bytes(m, bytes, 40 * K, sizeof bytes, 0);
        uma_resize(m->uma, SIZE);
        managed_read(m, &byte, 0, 1);
        uma_commit(m->uma);
        uma_write_back(m->uma);
        uma_deliver_times(m->uma);
    }
    rcu_leave();
}

/* Whatever became of it, the next open has all that was written. */
static void expect_recovered(struct managed *m)
{
    managed_close(m);
    managed_reopen(m, 0);
    managed_attach(m);
    managed_check(m);
    managed_remove(m);
    alarm(0);
}

/* ---- damage ---- */

static void test_locks(void **state)
{
    const uint32_t words[] = {1,
                              /* maybe the one that will wait */ 9,
                              3 * INDEX_RECORDS,
                              SHLOCK_WAITERS,
                              SHLOCK_WAITERS | 5,
                              SHLOCK_OWNER_MAX,
                              INDEX_PARTICIPANTS * INDEX_RECORDS + 1};
    unsigned failed = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        for (unsigned which = 0; which < INDEX_LOCKS; which++) {
            struct managed m;
            open_used(&m);
            struct shlock *lock = index_lock(&m.uma->index, (enum index_lock)which);
            atomic_store(&lock->word, words[i]);
            use(&m);
            assert_true(uma_is_failed(m.uma) || atomic_load(&lock->word)); /* or nobody came by */
            failed += uma_is_failed(m.uma);
            expect_recovered(&m);
        }
    assert_true(failed >= 5 * sizeof words / sizeof *words - 1); /* a gate with a mark alone is open */
}

enum spoiled {
    SLOT_STRANGE,
    SLOT_OTHER,
    SLOT_ODD,
    GUARD,
    EPOCH_FAR,
    EPOCH_BACK,
    DURABLE_FAR,
    DURABLE_BACK,
    PLACE,
    SPOILED
};

static void spoil(struct uma *uma, enum spoiled what)
{
    struct index_shared *shared = uma_shared(uma);
    struct index_slot *slot = index_find(&uma->index, 1);
    uint64_t version = (uint32_t)atomic_load(&slot->state) | 1;
    uint64_t epoch = atomic_load(&shared->durable);
    switch (what) {
    case SLOT_STRANGE:
        atomic_store(&slot->state, UINT64_C(0xfffffff1) << 32 | version);
        break;
    case SLOT_OTHER:
        atomic_store(&slot->state, UINT64_C(12) << 32 | version);
        break;
    case SLOT_ODD:
        atomic_fetch_or(&slot->state, 1);
        break;
    case GUARD:
        atomic_store(&index_records(&uma->index, uma->participant)[11].epoch, epoch);
        break;
    case EPOCH_FAR:
        atomic_store(&shared->epoch, epoch + 1000);
        break;
    case EPOCH_BACK:
        atomic_store(&shared->epoch, epoch - 1);
        break;
    case DURABLE_FAR:
        atomic_store(&shared->durable, epoch + (UINT64_C(1) << 40));
        break;
    case DURABLE_BACK:
        atomic_store(&shared->durable, epoch - 2);
        break;
    default:
        atomic_store(index_process(&uma->index, uma->participant), 0);
    }
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned what = 0; what < SPOILED; what++) {
        struct managed m;
        open_used(&m);
        spoil(m.uma, (enum spoiled)what);
        use(&m);
        assert_true(uma_is_failed(m.uma));
        assert_int_equal(managed_commit(&m), -EIO);
        expect_recovered(&m);
    }
}

/* ---- no damage ---- */

struct holder {
    struct managed *m;
    enum index_lock which;
    _Atomic bool holds;
};

static void *hold_lock(void *arg)
{
    struct holder *holder = arg;
    struct uma *uma = holder->m->uma;
    struct index_record *record = uma_claim(uma);
    uma_lock(uma, record, holder->which);
    atomic_store(&holder->holds, true);
    nap(HELD_MS);
    assert_int_equal(shlock_owner(index_lock(&uma->index, holder->which)), uma_id(uma, record));
    uma_unlock(uma, record, holder->which);
    uma_unclaim(uma, record);
    return NULL;
}

/* Who holds a lock for long keeps it. */
static void test_busy(void **state)
{
    (void)state;
    for (unsigned which = 0; which < INDEX_LOCKS; which++) {
        struct managed m;
        pthread_t thread;
        open_used(&m);
        struct holder holder = {.m = &m, .which = (enum index_lock)which};
        assert_int_equal(pthread_create(&thread, NULL, hold_lock, &holder), 0);
        while (!atomic_load(&holder.holds))
            nap(1);
        use(&m);
        pthread_join(thread, NULL);
        assert_false(uma_is_failed(m.uma));
        managed_check(&m);
        managed_remove(&m);
    }
    alarm(0);
}

enum stopped { IN_LOCK, IN_SLOT, IN_GUARD, STOPPED };

/* In a child that has opened the file, too. */
static void stop_within(struct managed *m, enum stopped at, int tell)
{
    struct uma *uma = m->uma;
    struct index_record *record = uma_claim(uma);
    struct index_slot *slot = index_find(&uma->index, 1);
    uint64_t old = 0, epoch;
    switch (at) {
    case IN_LOCK:
        uma_lock(uma, record, INDEX_LOCK_COMMIT);
        break;
    case IN_SLOT:
        atomic_store(&record->first, 1);
        atomic_store(&record->blocks, 1);
        old = uma_lock_slot(uma, record, slot, 1);
        break;
    default:
        assert_int_equal(uma_guard_enter(uma, record, &epoch), 0);
    }
    assert_int_equal(write(tell, "", 1), 1);
    raise(SIGSTOP);
    if (at == IN_LOCK)
        uma_unlock(uma, record, INDEX_LOCK_COMMIT);
    else if (at == IN_SLOT)
        index_slot_unlock(slot, old, (uint32_t)(old >> 32));
    else
        uma_guard_leave(record);
    uma_unclaim(uma, record);
}

static void run_child(enum stopped at, int opened, int tell)
{
    struct managed m;
    char byte;
    alarm(HANG_SECONDS);
    if (read(opened, &byte, 1) != 1)
        _exit(1);
    managed_inherit(&m, MOST);
    managed_attach(&m);
    stop_within(&m, at, tell);
    bool good = !uma_is_failed(m.uma) && managed_close(&m) == 0;
    uma_exit();
    _exit(good ? 0 : 1);
}

static void *use_thread(void *arg)
{
    struct holder *holder = arg;
    use(holder->m);
    atomic_store(&holder->holds, true);
    return NULL;
}

static void wait_for_stopped(enum stopped at)
{
    struct managed m;
    struct holder waiter = {.m = &m};
    pthread_t thread;
    int opened[2], told[2], status;
    char byte;
    assert_true(pipe(opened) == 0 && pipe(told) == 0);
    pid_t child = fork();
    if (!child)
        run_child(at, opened[0], told[1]);
    open_used(&m);
    assert_int_equal(write(opened[1], "", 1), 1);
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(pthread_create(&thread, NULL, use_thread, &waiter), 0);
    nap(4 * HELD_MS);
    assert_false(atomic_load(&waiter.holds)); /* it waits */
    assert_false(uma_is_failed(m.uma));
    assert_int_equal(kill(child, SIGCONT), 0);
    pthread_join(thread, NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_exit(status, 0);
    assert_false(uma_is_failed(m.uma));
    managed_check(&m);
    managed_remove(&m);
    uma_exit();
}

/* A stopped process keeps what it holds until it goes on, however long others wait. Each time two processes that are new to the
 * library. */
static void test_stopped(void **state)
{
    (void)state;
    for (unsigned at = 0; at < STOPPED; at++) {
        int status;
        pid_t child = fork();
        if (!child) {
            wait_for_stopped((enum stopped)at);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        unit_expect_exit(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped), /* first: its children are to be new to the library */
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_busy),
    };
    managed_begin("idle:1000s,commit_interval:1000s,pool:0,pm:force");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
