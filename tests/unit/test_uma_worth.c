/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_worth.c — which detached files are attached: on tmpfs those that have earned it; and no file that lies beside the
 * root on the root's device.
 */
#include "unit/managed.h"

#include "base/rcu.h"
#include "nvmmio.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define K 1024
#define EARNED 40 /* calls that earn an attachment */

/* So many small writes, one behind the other. */
static void write_calls(struct managed *m, int calls)
{
    for (int i = 0; i < calls; i++)
        assert_int_equal(managed_write(m, (uint64_t)i * 50, 50, 0), 50);
}

/* The bytes are right here, and in the file when it is closed. */
static void check_and_remove(struct managed *m)
{
    managed_check(m);
    assert_int_equal(managed_close(m), 0);
    managed_check_kernel(m);
    managed_remove(m);
}

/* One write to a new file, a sync, another write: is it attached then? */
static bool attaches_at_once(int flags)
{
    struct managed m;
    managed_open(&m, 8 * K, 64 * K, flags);
    assert_int_equal(managed_write(&m, 100, 1000, 0), 1000);
    bool attached = uma_is_attached(m.uma);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write(&m, 8 * K, 10, 0), 10);
    check_and_remove(&m);
    return attached;
}

/* A file must earn an attachment by calls; O_ATOMIC files need not. Whoever serves a file, its bytes are right. */
static void test_attachments_are_earned(void **state)
{
    struct managed m;
    (void)state;
    assert_false(attaches_at_once(0));
    assert_true(attaches_at_once(O_ATOMIC));

    managed_open(&m, 8 * K, 64 * K, 0);
    write_calls(&m, EARNED);
    assert_true(uma_is_attached(m.uma));
    check_and_remove(&m);
}

/* Calls among as many locks do not: what an attachment saves is less than it costs. Calls on the same file that outnumber the
 * locks later do. */
static void test_locks_cost(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 8 * K, 64 * K, 0);
    for (int i = 0; i < 3 * EARNED; i++) {
        assert_int_equal(uma_note_lock(m.uma), i ? UMA_LOCK_KERNEL : UMA_LOCK_EARLY);
        assert_int_equal(uma_before_lock(m.uma, m.fd), 0);
        assert_int_equal(managed_write(&m, (uint64_t)i * 50, 50, 0), 50);
        assert_int_equal(uma_note_lock(m.uma), UMA_LOCK_KERNEL);
    }
    assert_false(uma_is_attached(m.uma));
    write_calls(&m, 4 * EARNED);
    assert_true(uma_is_attached(m.uma));
    check_and_remove(&m);
}

/* Bytes earn an attachment as well, reads do not by themselves. */
static void test_bytes_earn(void **state)
{
    enum { PIECE = 64 * K, PIECES = 5 };
    struct managed m;
    (void)state;
    managed_open(&m, PIECE, PIECES * PIECE, 0);
    for (uint64_t i = 0; i < PIECES; i++)
        assert_int_equal(managed_write(&m, i * PIECE, PIECE, 0), PIECE);
    assert_true(uma_is_attached(m.uma));
    managed_check(&m);
    managed_remove(&m);
}

/* A write that makes the file longer, over a block's end, would be torn by the kernel if the process were killed in it: it
 * earns the attachment at once. No other does. */
static void test_appends_stay_whole(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 8 * K, 64 * K, 0);
    assert_int_equal(managed_write(&m, 100, 10, 0), 10);
    assert_false(uma_earn_whole(m.uma, m.fd, 2 * K, 4 * K)); /* nothing longer */
    assert_false(uma_earn_whole(m.uma, m.fd, 8 * K, 4 * K)); /* one block */
    assert_false(uma_earn_whole(m.uma, m.fd, -1, 4 * K));    /* the same, by O_APPEND */
    assert_int_equal(lseek(m.fd, 8 * K, SEEK_SET), 8 * K);   /* the same, where the descriptor is */
    assert_false(uma_earn_whole(m.uma, m.fd, UMA_OFFSET_KERNELS, 4 * K));
    assert_int_equal(managed_write(&m, 200, 10, 0), 10);
    assert_false(uma_is_attached(m.uma));
    assert_int_equal(lseek(m.fd, 8 * K - 1, SEEK_SET), 8 * K - 1);
    assert_true(uma_earn_whole(m.uma, m.fd, UMA_OFFSET_KERNELS, 2));
    assert_int_equal(managed_write(&m, 8 * K, 4 * K + 1, 0), 4 * K + 1);
    assert_true(uma_is_attached(m.uma));
    managed_check(&m);
    managed_remove(&m);
}

static void cut_as_another(const char *path)
{
    struct uma *uma;
    struct uma_op op;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool well = fd >= 0 && uma_open(fd, O_RDWR, NULL, &uma) == 0 && uma;
    rcu_enter();
    well = well && uma_begin(uma, fd, UMA_INTENT_WRITE, &op) == UMA_PATH_KERNEL;
    if (well) {
        uma_note_cut(uma);
        well = ftruncate(fd, 5) == 0;
        uma_note_cut(uma);
        uma_end(uma, &op, &(struct uma_done){0});
    }
    rcu_leave();
    _exit(well ? 0 : 1);
}

/* The same where another process has made the file shorter since this one saw how long it is. */
static void test_cuts_of_others(void **state)
{
    struct managed m;
    int status;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    assert_int_equal(managed_write(&m, 0, 10, 0), 10); /* the volume is there */
    assert_false(uma_earn_whole(m.uma, m.fd, 2 * K, 4 * K));
    pid_t child = fork();
    if (child == 0)
        cut_as_another(m.path);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(uma_earn_whole(m.uma, m.fd, 2 * K, 4 * K));
    managed_remove(&m);
}

static unsigned threads(void)
{
    struct stat st;
    assert_int_equal(stat("/proc/self/task", &st), 0);
    return (unsigned)st.st_nlink - 2;
}

/* That of an earlier test lingers. */
static void wait_for_no_thread(void)
{
    for (int i = 0; i < 5000 && threads() > 1; i++)
        usleep(1000);
    assert_int_equal(threads(), 1);
}

/* A file that is attached for such a write needs no thread: each call brings to the file what it did. Once the file has earned
 * it, there is one, and it does so. */
static void test_whole_appends_need_no_thread(void **state)
{
    struct managed m;
    uint64_t end = 8 * K;
    (void)state;
    if (MANAGED_SAMPLE) /* the sanitizer has threads of its own */
        skip();
    wait_for_no_thread();
    managed_open(&m, end, 64 * K, 0);
    assert_true(uma_earn_whole(m.uma, m.fd, -1, 4 * K + 1));
    for (int i = 0; i < 5; i++, end += 100) {
        assert_int_equal(managed_write(&m, end, 100, 0), 100);
        assert_true(uma_is_attached(m.uma));
        assert_int_equal(threads(), 1);
        managed_check_kernel(&m);
    }
    assert_int_equal(managed_write(&m, 0, 6 * K, 0), 6 * K);
    managed_check_kernel(&m);
    for (int i = 0; i < (int)EARNED; i++)
        assert_int_equal(managed_write(&m, 100, 100, 0), 100);
    assert_int_equal(threads(), 2);
    managed_check(&m);
    managed_remove(&m);
}

/* Nor is it without one where it is mapped, which a call does not see. */
static void test_mapped_files_need_a_thread(void **state)
{
    struct managed m;
    (void)state;
    if (MANAGED_SAMPLE) /* the sanitizer has threads of its own */
        skip();
    wait_for_no_thread();
    managed_open(&m, 8 * K, 64 * K, 0);
    assert_true(uma_earn_whole(m.uma, m.fd, -1, 4 * K + 1));
    assert_int_equal(managed_write(&m, 8 * K, 5 * K, 0), 5 * K);
    assert_true(atomic_load(&m.uma->flags) & UMA_FLAG_UNATTENDED);
    void *base = mmap(NULL, 8 * K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(base, MAP_FAILED);
    assert_int_equal(uma_map(m.uma, m.fd, base, 8 * K, 0, UMA_MAP_SHARED | UMA_MAP_STORES), 0);
    assert_false(atomic_load(&m.uma->flags) & UMA_FLAG_UNATTENDED);
    assert_int_equal(threads(), 2);
    assert_int_equal(uma_unmap(base, 8 * K), 0);
    munmap(base, 8 * K);
    managed_remove(&m);
}

/* A file on the root's device, but not in the root, is found out when it would be attached, and stays the kernel's. Nothing
 * of the library's is opened for it, not even for a lock. */
static void test_beside_the_root(void **state)
{
    struct managed m;
    struct uma *uma;
    char path[MANAGED_PATH_MAX + 16], byte = 'x';
    (void)state;
    managed_open(&m, 8 * K, 8 * K, O_ATOMIC); /* the volume is there */
    snprintf(path, sizeof path, "%s.beside", m.path);
    char *name = strrchr(path, '/'); /* ROOT/file.beside becomes ROOT.beside */
    *name = '.';
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "1234", 4), 4);
    unsigned descriptors = managed_descriptors();
    assert_int_equal(uma_open(fd, O_RDWR, NULL, &uma), 0);
    for (int i = 0; uma && i < 3; i++) {
        struct uma_op op;
        struct uma_done done = {.bytes_written = 1};
        assert_int_equal(uma_before_lock(uma, fd), 0);
        rcu_enter();
        assert_int_equal(uma_begin(uma, fd, UMA_INTENT_WRITE, &op), UMA_PATH_KERNEL);
        assert_int_equal(pwrite(fd, &byte, 1, i), 1);
        uma_end(uma, &op, &done);
        rcu_leave();
        assert_false(uma_is_attached(uma));
    }
    assert_int_equal(managed_descriptors(), descriptors);
    if (uma) {
        assert_int_equal(uma_demote(uma, fd, UMA_DEMOTE_STDIO), 0);
        assert_int_equal(uma_close(uma, fd), 0);
    }
    assert_int_equal(uma_open(fd, O_RDWR | O_ATOMIC, NULL, &uma), 0); /* looked for at once */
    assert_null(uma);
    close(fd);
    unlink(path);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attachments_are_earned),
        cmocka_unit_test(test_locks_cost),
        cmocka_unit_test(test_bytes_earn),
        cmocka_unit_test(test_appends_stay_whole),
        cmocka_unit_test(test_cuts_of_others),
        cmocka_unit_test(test_whole_appends_need_no_thread),
        cmocka_unit_test(test_mapped_files_need_a_thread),
        cmocka_unit_test(test_beside_the_root),
    };
    managed_begin("idle:1000s,commit_interval:1000s"); /* without pm:force: emulated PM is what this is about */
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
