/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_sync.c — what happens without being asked: the sync thread writes back, commits what is never synced and delivers
 * times; and many threads on one file at once, with it among them.
 */
#include "unit/managed.h"

#include "base/rcu.h"
#include "base/stats.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define K 1024
#define PATIENCE_MS 5000u

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* Waits for it; false if it does not come to pass within a time that no machine is that slow for. */
static bool comes(bool (*condition)(struct managed *m), struct managed *m)
{
    for (unsigned ms = 0; ms < PATIENCE_MS; ms += 5) {
        if (condition(m))
            return true;
        nap(5);
    }
    return false;
}

/* Threads of this process. */
static unsigned threads(void)
{
    struct stat st;
    assert_int_equal(stat("/proc/self/task", &st), 0);
    return (unsigned)st.st_nlink - 2;
}

static unsigned
    threads_before; /* beside ours: the thread sanitizer has one of its own, from the first that is made on */

static void *nothing(void *arg)
{
    return arg;
}

static bool is_alone(struct managed *m)
{
    (void)m;
    return threads() == threads_before;
}

static bool log_is_empty(struct managed *m)
{
    return managed_log_blocks_used(m) == 0;
}

static bool is_committed(struct managed *m)
{
    struct index_shared *shared = uma_shared(m->uma);
    return atomic_load(&shared->dirty_epoch) < atomic_load(&shared->durable);
}

static bool is_trimmed(struct managed *m)
{
    struct stat st;
    return stat(m->path, &st) == 0 && (uint64_t)st.st_size == m->size;
}

static bool has_new_time(struct managed *m)
{
    struct stat st;
    return stat(m->path, &st) == 0 && st.st_mtim.tv_sec != 1000;
}

/* A file that is committed and quiet is written back: a program without the library sees it whole, before any close. Its
 * length follows when it was cut. */
static void test_idle(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 256 * K, 256 * K, O_ATOMIC);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(managed_write(&m, 100, 200 * K, 0), 200 * K);
        assert_int_equal(managed_commit(&m), 0);
        assert_true(comes(log_is_empty, &m));
        managed_check_kernel(&m);
        managed_check(&m);
    }
    assert_int_equal(managed_resize(&m, 10000), 0);
    assert_int_equal(managed_commit(&m), 0);
    assert_true(comes(is_trimmed, &m));
    managed_check(&m);
    managed_remove(&m);
}

static void *write_back(void *arg)
{
    struct managed *m = arg;
    rcu_enter();
    assert_int_equal(uma_write_back(m->uma), 0);
    rcu_leave();
    return NULL;
}

/* Write-back needs the kernel lock to make the file longer. Who has it may be about to lock all slots (uma_forget_homes): so
 * whoever waits for it has none. */
static void test_no_slot_waits_for_kernel_lock(void **state)
{
    struct managed m;
    pthread_t thread;
    (void)state;
    managed_open(&m, 64 * K, 256 * K, O_ATOMIC);
    assert_int_equal(managed_write(&m, 64 * K, 128 * K, 0), 128 * K);
    assert_int_equal(managed_commit(&m), 0);
    struct index_record *record = uma_claim(m.uma);
    uma_lock(m.uma, record, INDEX_LOCK_KERNEL);
    assert_int_equal(pthread_create(&thread, NULL, write_back, &m), 0);
    nap(100); /* long enough for it to wait; were it later, the test would not fail */
    unsigned ms = 0;
    for (uint64_t block = 0; block < 192 * K / UMA_BLOCK; block++) {
        struct index_slot *slot = index_find(&m.uma->index, block);
        for (; slot && index_state_locked(atomic_load(&slot->state)) && ms < PATIENCE_MS; ms++)
            nap(1);
    }
    uma_unlock(m.uma, record, INDEX_LOCK_KERNEL);
    uma_unclaim(m.uma, record);
    pthread_join(thread, NULL);
    assert_true(ms < PATIENCE_MS);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* A file that nobody ever syncs is committed after a while, and then written back; one that was synced, or is O_ATOMIC,
 * waits for its application. */
static void test_commit_interval(void **state)
{
    struct managed m, synced, atomic;
    (void)state;
    managed_open(&synced, 64 * K, 64 * K, 0);
    managed_open(&atomic, 64 * K, 64 * K, O_ATOMIC);
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&synced);
    assert_int_equal(managed_commit(&synced), 0);
    assert_int_equal(managed_write(&synced, 0, 20 * K, 0), 20 * K);
    assert_int_equal(managed_write(&atomic, 0, 20 * K, 0), 20 * K);
    assert_int_equal(managed_write(&m, 0, 20 * K, 0), 20 * K);
    assert_true(comes(is_committed, &m));
    assert_true(comes(log_is_empty, &m));
    managed_check_kernel(&m);
    nap(100);
    assert_false(is_committed(&synced));
    assert_false(is_committed(&atomic));
    managed_remove(&m);
    managed_remove(&synced);
    managed_remove(&atomic);
}

/* A write moves mtime within about a second, without anybody asking. */
static void test_time_is_delivered(void **state)
{
    struct managed m;
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(futimens(m.fd, old), 0);
    assert_int_equal(managed_write(&m, 0, 10, 0), 10);
    assert_true(comes(has_new_time, &m));
    managed_remove(&m);
}

/* ---- threads ---- */

#define BLOCKS 8u
#define BLOCK 4096u
#define CELLS (BLOCK / sizeof(uint64_t))
#define THREAD_MS 700

static struct crowd {
    struct managed m;
    _Atomic bool stop;
    _Atomic uint64_t torn, failed, done;
} crowd;

/* One call, as the file layer makes it. */
static ssize_t call(bool write, void *buffer, uint64_t offset, uint64_t length, unsigned flags)
{
    struct managed *m = &crowd.m;
    struct uma_op op;
    struct uma_done done = {0};
    const struct iovec iov = {buffer, length};
    uint64_t end;
    ssize_t result;
    rcu_enter();
    do {
        int path = uma_begin(m->uma, m->fd, write ? UMA_INTENT_WRITE : UMA_INTENT_READ, &op);
        result = path != UMA_PATH_USER ? -EIO
                 : write               ? uma_write(m->uma, &iov, 1, offset, length, flags, &end)
                                       : uma_read(m->uma, &iov, 1, offset, length);
        if (path >= 0)
            uma_end(m->uma, &op, &done);
    } while (result == -UMA_AGAIN);
    rcu_leave();
    return result;
}

/* Writes one or all blocks whole, each write with a number of its own in every cell. */
static void *write_blocks(void *arg)
{
    uint64_t number = (uint64_t)(uintptr_t)arg << 32;
    uint64_t *bytes = malloc(BLOCKS * BLOCK);
    while (!atomic_load(&crowd.stop)) {
        number++;
        for (unsigned i = 0; i < BLOCKS * CELLS; i++)
            bytes[i] = number;
        bool all = number % 4 == 0;
        uint64_t length = all ? BLOCKS * BLOCK : BLOCK, offset = all ? 0 : number % BLOCKS * BLOCK;
        if (call(true, bytes, offset, length, number % 16 ? 0 : UMA_WRITE_SYNC) != (ssize_t)length)
            atomic_fetch_add(&crowd.failed, 1);
        atomic_fetch_add(&crowd.done, 1);
    }
    free(bytes);
    return NULL;
}

/* A read never sees half a write: all cells of a block are of one write. */
static void *read_blocks(void *arg)
{
    uint64_t block = (uint64_t)(uintptr_t)arg;
    uint64_t *bytes = malloc(BLOCKS * BLOCK);
    while (!atomic_load(&crowd.stop)) {
        block = (block + 1) % BLOCKS;
        bool all = block == 0;
        uint64_t length = all ? BLOCKS * BLOCK : BLOCK;
        if (call(false, bytes, all ? 0 : block * BLOCK, length, 0) != (ssize_t)length)
            atomic_fetch_add(&crowd.failed, 1);
        for (uint64_t i = 0; i < length / sizeof *bytes; i++)
            if (bytes[i] != bytes[i / CELLS * CELLS]) {
                atomic_fetch_add(&crowd.torn, 1);
                break;
            }
        atomic_fetch_add(&crowd.done, 1);
    }
    free(bytes);
    return NULL;
}

static void *disturb(void *arg)
{
    (void)arg;
    for (unsigned i = 0; !atomic_load(&crowd.stop); i++) {
        if ((i % 2 ? uma_write_back(crowd.m.uma) : uma_commit(crowd.m.uma)) != 0)
            atomic_fetch_add(&crowd.failed, 1);
        nap(1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    void *(*const bodies[])(void *) = {write_blocks, write_blocks, read_blocks, read_blocks, disturb};
    enum { THREADS = sizeof bodies / sizeof *bodies };
    pthread_t thread[THREADS];
    (void)state;
    for (int mapped = 0; mapped < 2; mapped++) {
        memset(&crowd, 0, sizeof crowd);
        managed_open(&crowd.m, BLOCKS * BLOCK, BLOCKS * BLOCK, 0);
        memset(crowd.m.want, 0, BLOCKS * BLOCK);
        assert_int_equal(managed_write_bytes(&crowd.m, crowd.m.want, 0, BLOCKS * BLOCK, 0), BLOCKS * BLOCK);
        void *base = NULL;
        if (mapped) {
            base = mmap(NULL, BLOCKS * BLOCK, PROT_READ, MAP_SHARED, crowd.m.fd, 0);
            assert_int_equal(uma_map(crowd.m.uma, crowd.m.fd, base, BLOCKS * BLOCK, 0, UMA_MAP_SHARED), 0);
        }
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, bodies[i], (void *)(i + 1)), 0);
        nap(THREAD_MS);
        atomic_store(&crowd.stop, true);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        assert_int_equal(atomic_load(&crowd.failed), 0);
        assert_int_equal(atomic_load(&crowd.torn), 0);
        assert_true(atomic_load(&crowd.done) > 10);
        /* what is there now is there for all */
        assert_int_equal(call(false, crowd.m.want, 0, BLOCKS * BLOCK, 0), BLOCKS * BLOCK);
        if (mapped) {
            assert_memory_equal(base, crowd.m.want, BLOCKS * BLOCK);
            uma_unmap(base, BLOCKS * BLOCK);
            munmap(base, BLOCKS * BLOCK);
        }
        assert_int_equal(managed_close(&crowd.m), 0);
        managed_check_kernel(&crowd.m);
        managed_remove(&crowd.m);
    }
}

/* Appends by many threads: none is lost, none overlaps another, none is torn. */
#define RECORD 100u
#define APPENDS 300u

static void *append(void *arg)
{
    char bytes[RECORD];
    memset(bytes, (int)(uintptr_t)arg, sizeof bytes);
    for (unsigned i = 0; i < APPENDS; i++)
        if (call(true, bytes, 0, RECORD, UMA_WRITE_APPEND) != RECORD)
            atomic_fetch_add(&crowd.failed, 1);
    return NULL;
}

static void test_threads_append(void **state)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS + 1];
    unsigned seen[THREADS + 1] = {0};
    uint64_t size = THREADS * APPENDS * RECORD;
    (void)state;
    memset(&crowd, 0, sizeof crowd);
    managed_open(&crowd.m, 0, size, O_ATOMIC);
    managed_attach(&crowd.m);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, append, (void *)(i + 1)), 0);
    assert_int_equal(pthread_create(&thread[THREADS], NULL, disturb, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&crowd.stop, true);
    pthread_join(thread[THREADS], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(uma_size(crowd.m.uma), size);
    assert_int_equal(call(false, crowd.m.want, 0, size, 0), size);
    crowd.m.size = size;
    for (uint64_t at = 0; at < size; at += RECORD) {
        uint8_t who = crowd.m.want[at];
        assert_in_range(who, 1, THREADS);
        seen[who]++;
        for (unsigned i = 0; i < RECORD; i++)
            assert_int_equal(crowd.m.want[at + i], who);
    }
    for (unsigned i = 1; i <= THREADS; i++)
        assert_int_equal(seen[i], APPENDS);
    assert_int_equal(managed_close(&crowd.m), 0);
    managed_check_kernel(&crowd.m);
    managed_remove(&crowd.m);
}

/* Threads that open, use and close files while others do: no call fails, nothing is lost. */
static void *open_and_close(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 60; i++) {
        int fd = open(crowd.m.path, O_RDWR | O_CLOEXEC);
        struct uma *uma;
        char byte = 'x';
        if (fd < 0 || uma_open(fd, O_RDWR, NULL, &uma) || !uma) {
            atomic_fetch_add(&crowd.failed, 1);
            continue;
        }
        struct uma_op op;
        struct uma_done done = {0};
        const struct iovec iov = {&byte, 1};
        uint64_t end;
        rcu_enter();
        int path = uma_begin(uma, fd, UMA_INTENT_WRITE, &op);
        if (path != UMA_PATH_USER || uma_write(uma, &iov, 1, i, 1, 0, &end) != 1)
            atomic_fetch_add(&crowd.failed, 1);
        if (path >= 0)
            uma_end(uma, &op, &done);
        rcu_leave();
        if (uma_close(uma, fd))
            atomic_fetch_add(&crowd.failed, 1);
        close(fd);
    }
    return NULL;
}

static void test_threads_open_close(void **state)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    (void)state;
    memset(&crowd, 0, sizeof crowd);
    managed_open(&crowd.m, 64 * K, 64 * K, 0);
    assert_int_equal(managed_close(&crowd.m), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    memset(crowd.m.want, 'x', 60);
    managed_check_kernel(&crowd.m);
    managed_remove(&crowd.m);
}

/* The thread ends when nothing is attached any more, and is there again for the next file, however close the one follows on
 * the other. */
static void test_thread_ends(void **state)
{
    enum { ROUNDS = 60, LINGER_MS = 20 };
    struct managed m;
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
    pthread_join(thread, NULL);
    nap(LINGER_MS); /* the kernel counts a thread until it is gone */
    threads_before = threads();
    for (unsigned round = 0; round < ROUNDS; round++) {
        managed_open(&m, 8 * K, 64 * K, 0);
        managed_attach(&m);
        assert_true(threads() > threads_before);
        if (round % 3 == 0) { /* it works */
            assert_int_equal(managed_write(&m, 100, 1000, 0), 1000);
            assert_int_equal(managed_commit(&m), 0);
            assert_true(comes(log_is_empty, &m));
        }
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_remove(&m);
        if (round % 10 == 0)
            assert_true(comes(is_alone, NULL));
        else
            nap(LINGER_MS * 2 - 10 + round % 20); /* about when it leaves */
    }
    assert_true(comes(is_alone, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_ends),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_no_slot_waits_for_kernel_lock),
        cmocka_unit_test(test_commit_interval),
        cmocka_unit_test(test_time_is_delivered),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_append),
        cmocka_unit_test(test_threads_open_close),
    };
    managed_begin("pm:force,idle:20ms,commit_interval:60ms");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
