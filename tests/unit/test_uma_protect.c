/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_protect.c — failure-atomic mappings: the first store to a page since the last commit saves it and is the only one
 * that costs anything; a commit takes the right to store back; reads and writes of the file meet the same bytes; what the
 * mapping may not do, or has no room for, is a signal as the kernel's. What a crash leaves is kill_maps' and the explorer's.
 */
#include "unit/managed.h"

#include "base/rawsys.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define K 1024
#define MIB (1024 * K)
#define PAGE 4096

static const unsigned kind = UMA_MAP_SHARED | UMA_MAP_WRITABLE | UMA_MAP_ATOMIC;

/* ---- signals ---- */

static sigjmp_buf back;
static volatile sig_atomic_t heard;

static void hear(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    heard = signal;
    siglongjmp(back, 1);
}

/* cmocka puts handlers of its own in the place of all others before each test. What the library had is put back. */
static void keep_handlers(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS};
    static struct sys_action ours[2];
    static bool kept;
    const struct sys_action wanted = {.sigaction = hear, .flags = SA_SIGINFO};
    for (unsigned i = 0; i < 2; i++) {
        if (kept) {
            assert_int_equal(sys_sigaction(signals[i], &ours[i], NULL), 0);
        } else {
            assert_int_equal(pm_guard_action(signals[i], &wanted, NULL), 0);
            assert_int_equal(sys_sigaction(signals[i], NULL, &ours[i]), 0);
        }
    }
    kept = true;
}

static char *map(struct managed *m, uint64_t offset, size_t length)
{
    char *at = sys_mmap(NULL, length, PROT_READ, MAP_SHARED, m->fd, (off_t)offset);
    assert_false(sys_is_error(at));
    assert_int_equal(uma_map(m->uma, m->fd, at, length, offset, kind), 0);
    keep_handlers();
    return at;
}

/* The signal that a store raises, 0: none. Our handler is in front of the one that is set here. */
static int signal_of_store(char *at)
{
    heard = 0;
    if (!sigsetjmp(back, 1))
        *(volatile char *)at = 1;
    return heard;
}

/* ---- tests ---- */

/* A store, in the file and in the model. */
static void store(struct managed *m, char *at, uint64_t offset, uint8_t byte)
{
    *(volatile char *)(at + offset) = (char)byte;
    m->want[offset] = byte;
}

static uint32_t exposed(const struct managed *m)
{
    return m->uma->protect.exposed;
}

static void test_first_store_only(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 256 * K, 256 * K, 0);
    char *at = map(&m, 0, 256 * K);
    assert_int_equal(exposed(&m), 0);
    store(&m, at, 100, 1);
    assert_int_equal(exposed(&m), 1);
    for (unsigned i = 0; i < PAGE; i++)
        store(&m, at, i, (uint8_t)i);
    assert_int_equal(exposed(&m), 1);
    managed_check(&m);
    managed_check_kernel(&m); /* other programs see it at once */
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(exposed(&m), 0);
    store(&m, at, 5, 77);
    assert_int_equal(exposed(&m), 1);
    store(&m, at, 200 * K, 78);
    assert_int_equal(exposed(&m), 2);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(exposed(&m), 0);
    managed_check(&m);
    assert_int_equal(uma_unmap(at, 256 * K), 0);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* Stores in sequence fault ever more rarely. */
static void test_sequence(void **state)
{
    enum { PAGES = 512 };
    struct managed m;
    (void)state;
    managed_open(&m, PAGES * PAGE, PAGES * PAGE, 0);
    char *at = map(&m, 0, PAGES * PAGE);
    unsigned faults = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        uint32_t before = m.uma->protect.count;
        store(&m, at, i * PAGE + 9, (uint8_t)i);
        faults += m.uma->protect.count != before;
    }
    assert_in_range(faults, PAGES / 16, PAGES / 8);
    assert_int_equal(managed_commit(&m), 0);
    managed_check(&m);
    managed_remove(&m);
}

/* Calls and stores, in the same lines and pages, lose nothing of each other. */
static void test_beside_calls(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    char *at = map(&m, 0, 64 * K);
    assert_int_equal(managed_write(&m, 10, 20, 0), 20);
    store(&m, at, 5, 1);
    store(&m, at, 40, 2);
    assert_int_equal(managed_write(&m, 0, 3, 0), 3);
    managed_check(&m);
    assert_memory_equal(at, m.want, 64 * K);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write(&m, 3 * K, 6 * K, 0), 6 * K);
    store(&m, at, 4 * K, 3);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write_back(&m), 0);
    managed_check(&m);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* The last page ends before it does; behind it there is nothing to store to, until the file is longer. */
static void test_end_of_file(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 5 * K, 64 * K, 0);
    char *at = map(&m, 0, 64 * K);
    store(&m, at, 5 * K - 1, 9);
    at[5 * K + 7] = 1; /* in the page, and not in the file */
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(signal_of_store(at + 8 * K), SIGBUS);
    assert_int_equal(managed_resize(&m, 20 * K), 0);
    managed_check(&m);        /* zeros behind the old end */
    store(&m, at, 12 * K, 4); /* past the committed end: nothing is there to save */
    assert_int_equal(log_header(&m.uma->log)->magic, LOG_MAGIC);
    assert_int_equal(managed_commit(&m), 0);
    managed_check(&m);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* The kernel's file is longer than the library knows: a mapping of a file that was handed over ends where the kernel says. */
static void test_handed_over(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 5 * K, 64 * K, 0);
    char *at = map(&m, 0, 64 * K);
    store(&m, at, 100, 1);
    assert_int_equal(uma_demote(m.uma, m.fd, UMA_DEMOTE_KERNEL_COPY), 0);
    assert_int_equal(signal_of_store(at + 8 * K), SIGBUS);
    assert_int_equal(managed_resize(&m, 20 * K), 0);
    keep_handlers();
    assert_int_equal(signal_of_store(at + 16 * K), 0);
    m.want[16 * K] = 1;
    store(&m, at, 200, 2);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* Who has no handler for it dies of a store behind the end, as with the kernel's mappings. The first test: the child is to find
 * the library unused. */
static void test_end_of_file_kills(void **state)
{
    struct managed m;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        const struct sys_action action = {.handler = SIG_DFL};
        managed_open(&m, 5 * K, 64 * K, 0);
        char *at = map(&m, 0, 64 * K);
        pm_guard_action(SIGBUS, &action, NULL);
        alarm(10);
        *(volatile char *)(at + 8 * K) = 1;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    managed_inherit(&m, 64 * K);
    managed_attach(&m); /* recovers */
    managed_remove(&m);
}

struct channel {
    int opened[2], told[2];
};

/* Stops twice: with nothing stored since a sync, and with a store. */
static void stop_and_go(struct channel *channel)
{
    struct managed m;
    char byte;
    alarm(60);
    if (read(channel->opened[0], &byte, 1) != 1)
        _exit(1);
    managed_inherit(&m, 64 * K);
    managed_attach(&m);
    m.size = 64 * K;
    char *at = map(&m, 0, 64 * K);
    store(&m, at, 100, 1);
    bool good = managed_commit(&m) == 0 && write(channel->told[1], "", 1) == 1;
    raise(SIGSTOP);
    store(&m, at, 100, 3);
    store(&m, at, 20 * K, 4);
    good = good && write(channel->told[1], "", 1) == 1;
    raise(SIGSTOP);
    store(&m, at, 30 * K, 5);
    good = good && uma_unmap(at, 64 * K) == 0 && managed_close(&m) == 0;
    uma_exit();
    _exit(good ? 0 : 1);
}

static void wait_stopped(pid_t child, const struct channel *channel)
{
    int status;
    char byte;
    assert_int_equal(read(channel->told[0], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
}

static _Atomic bool committed;

static void *commit_beside(void *arg)
{
    assert_int_equal(managed_commit(arg), 0);
    atomic_store(&committed, true);
    return NULL;
}

static void commit_with_stopped(void)
{
    struct managed m;
    struct channel channel;
    pthread_t thread;
    int status;
    assert_true(pipe(channel.opened) == 0 && pipe(channel.told) == 0);
    pid_t child = fork();
    if (child == 0)
        stop_and_go(&channel);
    alarm(60);
    managed_open(&m, 64 * K, 64 * K, 0);
    char *at = map(&m, 0, 64 * K);
    store(&m, at, 200, 1);
    assert_int_equal(write(channel.opened[1], "", 1), 1);
    wait_stopped(child, &channel);
    store(&m, at, 8 * K, 2);
    assert_int_equal(managed_write(&m, 40 * K, 5000, 0), 5000);
    assert_int_equal(managed_commit(&m), 0); /* it is not waited for */
    assert_int_equal(kill(child, SIGCONT), 0);
    wait_stopped(child, &channel);
    m.want[100] = 3;
    m.want[20 * K] = 4;
    managed_check(&m);
    assert_int_equal(pthread_create(&thread, NULL, commit_beside, &m), 0);
    usleep(200000);
    assert_false(atomic_load(&committed));
    assert_int_equal(kill(child, SIGCONT), 0);
    pthread_join(thread, NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_exit(status, 0);
    m.want[30 * K] = 5;
    managed_check(&m);
    assert_int_equal(managed_commit(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
    uma_exit();
}

/* A sync waits for a stopped process only if that has stored something. Two processes that are new to the library. */
static void test_stopped(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        commit_with_stopped();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    unit_expect_exit(status, 0);
}

/* As many pages as may be exposed, and more. */
static void test_many_pages(void **state)
{
    enum { PAGES = 9000, STRIDE = 2 * PAGE, MOST = 8192 };
    struct managed m;
    (void)state;
    managed_open(&m, (uint64_t)PAGES * STRIDE, (uint64_t)PAGES * STRIDE, 0);
    char *at = map(&m, 0, (size_t)PAGES * STRIDE);
    for (uint64_t i = 0; i < PAGES; i++) {
        store(&m, at, i * 7919 % PAGES * STRIDE, (uint8_t)(i | 1));
        assert_in_range(exposed(&m), 1, MOST);
    }
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(exposed(&m), 0);
    managed_check(&m);
    managed_remove(&m);
}

/* mprotect and mremap of what has been stored to in parts; a mapping without the right to store raises SIGSEGV. */
static void test_protect_and_move(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 128 * K, 0);
    char *at = map(&m, 0, 64 * K);
    store(&m, at, 9 * K, 1);
    store(&m, at, 30 * K, 1);
    assert_int_equal(uma_map_protect(at, 16 * K, PROT_READ), 0);
    assert_int_equal(signal_of_store(at + 9 * K), SIGSEGV);
    store(&m, at, 31 * K, 2);
    assert_int_equal(uma_map_protect(at, 16 * K, PROT_READ | PROT_WRITE), 0);
    store(&m, at, 9 * K, 3);
    at = uma_remap(at, 64 * K, 128 * K, MREMAP_MAYMOVE, NULL);
    assert_false(sys_is_error(at));
    store(&m, at, 10 * K, 4);
    assert_int_equal(managed_commit(&m), 0);
    store(&m, at, 10 * K, 5);
    assert_int_equal(exposed(&m), 1);
    managed_check(&m);
    managed_remove(&m);
}

/* What was stored through a mapping that is gone is committed as well, and nothing is protected in its place. */
static void test_gone_mapping(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    char *at = map(&m, 0, 64 * K);
    char *other = map(&m, 0, 64 * K);
    store(&m, at, 100, 1);
    assert_int_equal(other[100], 1);
    store(&m, other, 200, 2);
    assert_int_equal(uma_unmap(at, 64 * K), 0);
    char *foreign = mmap(at, 64 * K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(foreign, at);
    assert_int_equal(managed_commit(&m), 0);
    foreign[100] = 7; /* no fault */
    assert_int_equal(munmap(foreign, 64 * K), 0);
    managed_check(&m);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped),          cmocka_unit_test(test_end_of_file_kills),
        cmocka_unit_test(test_first_store_only), cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_beside_calls),     cmocka_unit_test(test_end_of_file),
        cmocka_unit_test(test_many_pages),       cmocka_unit_test(test_protect_and_move),
        cmocka_unit_test(test_gone_mapping),     cmocka_unit_test(test_handed_over),
    };
    managed_begin("pm:force,idle:1000s,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
