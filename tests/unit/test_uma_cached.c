/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_cached.c — files on tmpfs, where nothing outlives a power cut: what is written over goes to the file at once and
 * a sync commits nothing, yet every write survives the death of its process, an O_ATOMIC file rolls back to its last sync,
 * and a file at rest is whole for programs without the library. No pm:force here.
 */
#include "unit/managed.h"

#include "base/stats.h"
#include "nvmmio.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define K 1024
#define MOST (64 * K)
#define PATIENCE_MS 5000u

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* ---- deaths ---- */

/* What a child that is killed leaves of its model. */
struct will {
    uint64_t size;
    uint8_t bytes[MOST];
};

static void bequeath(const struct managed *m, struct will *will)
{
    will->size = m->size;
    memcpy(will->bytes, m->want, MOST);
}

static void play_heir(const struct will *will)
{
    struct managed m;
    managed_inherit(&m, MOST);
    managed_attach(&m);
    memcpy(m.want, will->bytes, MOST);
    m.size = will->size;
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
    uma_exit();
}

/* Runs `body` in a child on a new file of 32 KiB; it ends by SIGKILL. For the next process the file must be as in the will. */
static void expect_after_death(void (*body)(struct managed *m, struct will *will), int flags)
{
    int status;
    struct will *will = mmap(NULL, sizeof *will, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(will != MAP_FAILED);
    pid_t child = fork();
    if (!child) {
        struct managed m;
        managed_open(&m, 32 * K, MOST, flags);
        managed_attach(&m);
        body(&m, will);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_signal(status, SIGKILL);
    child = fork();
    if (!child) {
        play_heir(will);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_exit(status, 0);
    munmap(will, sizeof *will);
}

/* Written over in whole blocks, in parts of lines and across blocks; appended; written over in what was appended. */
static void write_all_over(struct managed *m)
{
    assert_int_equal(managed_write(m, 4 * K, 4 * K, 0), 4 * K);
    assert_int_equal(managed_write(m, 9000, 10, 0), 10);
    assert_int_equal(managed_write(m, 12 * K - 70, 140, 0), 140);
    assert_int_equal(managed_write(m, 32 * K - 100, 9000, 0), 9000);
    assert_int_equal(managed_write(m, 33 * K, 100, 0), 100);
}

static void die_unsynced(struct managed *m, struct will *will)
{
    write_all_over(m);
    bequeath(m, will);
}

static void die_synced(struct managed *m, struct will *will)
{
    write_all_over(m);
    assert_int_equal(managed_commit(m), 0);
    write_all_over(m);
    assert_int_equal(managed_resize(m, 30 * K), 0);
    assert_int_equal(managed_commit(m), 0);
    assert_int_equal(managed_resize(m, 40 * K), 0);
    bequeath(m, will);
}

static void die_atomic(struct managed *m, struct will *will)
{
    write_all_over(m);
    assert_int_equal(managed_commit(m), 0);
    bequeath(m, will);
    write_all_over(m);
    assert_int_equal(managed_resize(m, 10 * K), 0);
}

/* The file is in use when it is opened O_ATOMIC: it rolls back to that moment, however much was written and synced before
 * without a commit, and to syncs from then on. */
static void become_atomic(struct managed *m)
{
    struct uma *uma;
    write_all_over(m);
    assert_int_equal(managed_commit(m), 0);
    write_all_over(m);
    int fd = open(m->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(uma_open(fd, O_RDWR | O_ATOMIC, NULL, &uma), 0);
    assert_ptr_equal(uma, m->uma);
}

static void die_become_atomic(struct managed *m, struct will *will)
{
    become_atomic(m);
    bequeath(m, will);
    write_all_over(m);
}

static void die_become_atomic_synced(struct managed *m, struct will *will)
{
    become_atomic(m);
    write_all_over(m);
    assert_int_equal(managed_commit(m), 0);
    bequeath(m, will);
    write_all_over(m);
}

/* Writes a file that the process which forked it has opened, and dies when it can be opened. */
static void die_as_child(int opened)
{
    struct managed m;
    char byte;
    assert_int_equal(read(opened, &byte, 1), 1);
    managed_inherit(&m, MOST);
    managed_attach(&m);
    write_all_over(&m);
    raise(SIGKILL);
}

/* Only looks at the file, and closes it when it has no name any more. */
static void hold_nameless(void)
{
    struct managed m;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (!child)
        die_as_child(ends[0]);
    managed_open(&m, 32 * K, MOST, 0);
    assert_int_equal(write(ends[1], "", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_signal(status, SIGKILL);
    assert_false(uma_is_attached(m.uma));
    assert_int_equal(managed_logs(), 1);
    assert_int_equal(unlink(m.path), 0);
    assert_int_equal(managed_close(&m), 0);
    uma_exit();
    assert_int_equal(managed_logs(), 0);
}

/* The last one who can find a file without a name gives back the log that a dead process left, though it never used it. */
static void test_nameless(void **state)
{
    int status;
    (void)state;
    pid_t holder = fork();
    if (!holder) {
        hold_nameless();
        _exit(0);
    }
    assert_int_equal(waitpid(holder, &status, 0), holder);
    unit_expect_exit(status, 0);
}

static void test_deaths(void **state)
{
    (void)state;
    expect_after_death(die_unsynced, 0);
    expect_after_death(die_synced, 0);
    expect_after_death(die_atomic, O_ATOMIC);
    expect_after_death(die_become_atomic, 0);
    expect_after_death(die_become_atomic_synced, 0);
}

/* ---- in place ---- */

/* What is written over is in the file at once, a sync makes no commit and no call, nothing is in the log; O_ATOMIC has all
 * of that. */
static void test_stores_in_place(void **state)
{
    struct managed m;
    (void)state;
    for (int atomic = 0; atomic <= 1; atomic++) {
        managed_open(&m, MOST, MOST, atomic ? O_ATOMIC : 0);
        managed_attach(&m);
        uint64_t commits = stats_sum(STATS_COMMITS);
        for (unsigned i = 0; i < 20; i++) {
            uint64_t offset = managed_random(MOST - 5000);
            assert_int_equal(managed_write(&m, offset, 1 + managed_random(5000), i % 2 ? UMA_WRITE_SYNC : 0) > 0, 1);
            managed_watch();
            assert_int_equal(managed_commit(&m), 0);
            assert_in_range(managed_calls(), 0, 1); /* 1: the sync thread had just gone to sleep, and is woken */
            managed_check(&m);
            if (!atomic)
                managed_check_kernel(&m);
        }
        assert_int_equal(stats_sum(STATS_COMMITS) - commits, atomic ? 20 : 0);
        assert_int_equal(managed_log_blocks_used(&m) != 0, atomic);
        managed_remove(&m);
    }
}

/* ---- at rest ---- */

/* What was appended and synced is in the log until the file is idle. */
static void test_idle(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 8 * K, MOST, 0);
    managed_attach(&m);
    assert_int_equal(managed_write(&m, 8 * K, 10000, 0), 10000);
    assert_int_equal(managed_commit(&m), 0);
    for (unsigned ms = 0; managed_log_blocks_used(&m); ms += 5) {
        assert_true(ms < PATIENCE_MS);
        nap(5);
    }
    nap(50); /* trimmed */
    managed_check_kernel(&m);
    managed_check(&m);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deaths), /* first: the children are forked before this process uses the library */
        cmocka_unit_test(test_nameless),
        cmocka_unit_test(test_stores_in_place),
        cmocka_unit_test(test_idle),
    };
    managed_begin("idle:20ms,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
