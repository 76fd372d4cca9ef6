/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_fault.c — every system call of every operation fails once, and from then on, in every way that fits it; memory
 * runs out. The operation says so or goes another way; nothing that was acknowledged is lost, nothing is left behind.
 */
#include "unit/managed.h"

#include "base/mem.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define K 1024
#define SIZE (64 * K)
#define MOST (512 * K) /* more than a new log holds */
#define NTH_MOST 200u

/* ---- operations ---- */

struct operation {
    const char *name;
    int flags;
    void (*prepare)(struct managed *m);
    ssize_t (*run)(struct managed *m);
};

static void nothing(struct managed *m)
{
    (void)m;
}

static void attached(struct managed *m)
{
    managed_attach(m);
}

static void written(struct managed *m)
{
    assert_int_equal(managed_write(m, 1000, 30 * K, 0), 30 * K);
    assert_int_equal(managed_commit(m), 0);
    assert_int_equal(managed_write(m, 20 * K, 20 * K, 0), 20 * K);
}

static void committed(struct managed *m)
{
    written(m);
    assert_int_equal(managed_write(m, 60 * K, 20 * K, 0), 20 * K); /* grows the file */
    assert_int_equal(managed_commit(m), 0);
}

static void shrunk(struct managed *m)
{
    committed(m);
    assert_int_equal(managed_resize(m, 10000), 0);
    assert_int_equal(managed_commit(m), 0);
}

static void changed(struct managed *m)
{
    committed(m);
    assert_int_equal(managed_resize(m, 30 * K), 0);
    assert_int_equal(managed_write(m, 10, 5000, 0), 5000);
    assert_int_equal(managed_write(m, 90 * K, 5000, 0), 5000);
}

/* The same without a change in the kernel: whose fsync failed under the commit of an O_ATOMIC file goes back to the commit
 * before, and is told so. */
static void changed_here(struct managed *m)
{
    committed(m);
    assert_int_equal(managed_resize(m, 30 * K), 0);
    assert_int_equal(managed_write(m, 10, 5000, 0), 5000);
    assert_int_equal(managed_write(m, 30 * K, 50 * K, 0), 50 * K);
}

static ssize_t run_attach(struct managed *m)
{
    return uma_attach(m->uma, m->fd, UMA_TO_SERVE);
}

static ssize_t run_write(struct managed *m)
{
    return managed_write(m, 5000, 10 * K, 0);
}

static ssize_t run_write_few(struct managed *m) /* two lines, in two blocks, in part */
{
    return managed_write(m, 8 * K - 5, 12, 0);
}

static ssize_t run_grow(struct managed *m)
{
    return managed_write(m, 30 * K, MOST - 30 * K, 0);
}

static ssize_t run_append(struct managed *m)
{
    char bytes[9000];
    memset(bytes, 'a', sizeof bytes);
    ssize_t result = managed_write_bytes(m, bytes, 0, sizeof bytes, UMA_WRITE_APPEND | UMA_WRITE_SYNC);
    /* the sync alone may fail, as in the kernel: the bytes are there */
    if (result < 0 && uma_is_attached(m->uma) && uma_size(m->uma) > m->size) {
        memcpy(m->want + m->size, bytes, sizeof bytes);
        m->size += sizeof bytes;
    }
    return result;
}

static ssize_t run_read(struct managed *m)
{
    uint8_t *got = malloc(MOST);
    ssize_t result = managed_read(m, got, 0, MOST);
    if (result > 0)
        assert_memory_equal(got, m->want, result);
    free(got);
    return result;
}

static ssize_t run_commit(struct managed *m)
{
    return managed_commit(m);
}

static ssize_t run_write_back(struct managed *m)
{
    return managed_write_back(m);
}

static ssize_t run_resize(struct managed *m)
{
    return managed_resize(m, m->size + 100 * K);
}

static ssize_t run_demote(struct managed *m)
{
    return uma_demote(m->uma, m->fd, UMA_DEMOTE_OTHER);
}

static ssize_t run_punch(struct managed *m)
{
    ssize_t result = uma_allocate(m->uma, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    static const char zeros[4096];
    char there[4096];
    /* one that failed behind the kernel's part has been done nevertheless */
    if (!result || (pread(m->fd, there, sizeof there, 0) == sizeof there && !memcmp(there, zeros, sizeof there)))
        memset(m->want, 0, 4096);
    return result == -UMA_AGAIN ? 0 : result;
}

static ssize_t run_allocate(struct managed *m)
{
    ssize_t result = uma_allocate(m->uma, 0, m->size, 50 * K);
    if (!result)
        m->size += 50 * K;
    return result == -UMA_AGAIN ? 0 : result;
}

static ssize_t run_map(struct managed *m)
{
    void *base = mmap(NULL, 64 * K, PROT_READ, MAP_SHARED, m->fd, 0);
    ssize_t result = uma_map(m->uma, m->fd, base, 64 * K, 0, UMA_MAP_SHARED);
    uma_unmap(base, 64 * K);
    uma_unmap(base, 64 * K); /* the first may have failed for lack of memory */
    munmap(base, 64 * K);
    return result;
}

static ssize_t run_close(struct managed *m)
{
    return managed_close(m);
}

static ssize_t run_open(struct managed *m)
{
    struct uma *again;
    ssize_t result = uma_open(m->fd, O_RDWR | O_ATOMIC, NULL, &again);
    if (!result && again)
        uma_close(again, m->fd);
    return result;
}

static const struct operation operations[] = {
    {"attach", 0, nothing, run_attach},
    {"attach O_ATOMIC", O_ATOMIC, nothing, run_attach},
    {"first write", 0, nothing, run_write},
    {"write", 0, attached, run_write},
    {"write of a few bytes", 0, attached, run_write_few},
    {"write that grows the log", 0, attached, run_grow},
    {"append", 0, attached, run_append},
    {"read", 0, changed, run_read},
    {"commit", 0, changed, run_commit},
    {"write-back", 0, committed, run_write_back},
    {"trim", 0, shrunk, run_write_back},
    {"resize", 0, shrunk, run_resize},
    {"demote", 0, changed, run_demote},
    {"demote what is detached", 0, nothing, run_demote},
    {"punch", 0, changed, run_punch},
    {"allocate", 0, changed, run_allocate},
    {"map", 0, changed, run_map},
    {"open again", 0, written, run_open},
    {"close", 0, changed, run_close},
    {"close O_ATOMIC", O_ATOMIC, changed_here, run_close},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

/* ---- one failure ---- */

static char label[96];

static void explain(const char *what, ssize_t result)
{
    fail_msg("%s: %s: %lld (call %ld, error %d)", label, what, (long long)result, managed_fault_number(),
             managed_fault_error());
}

/* What the caller of a system call could have been told in this place. */
static bool clear_error(ssize_t result)
{
    static const int known[] = {ENOMEM, ENOSPC, EIO,    EMFILE, EACCES, EBUSY,
                                EPERM,  EAGAIN, ENOLCK, EFBIG,  EINVAL, ENOTTY};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (result == -known[i])
            return true;
    return false;
}

/* A write that failed has left each byte old or new, and the size as it was; the model takes what is there. */
static void adopt(struct managed *m)
{
    uint8_t *got = malloc(m->most + 1);
    ssize_t n = managed_read(m, got, 0, m->most);
    if (n >= 0) {
        if (n != (ssize_t)m->size)
            explain("size after the failure", n);
        for (uint64_t i = 0; i < m->size; i++)
            if (got[i] != m->want[i])
                explain("lost a byte", (ssize_t)i);
    } else if (!clear_error(n)) {
        explain("reading after the failure", n);
    }
    free(got);
}

/* What is there before an operation. */
struct left {
    unsigned descriptors, logs, objects;
    size_t memory;
};

static struct left look(void)
{
    return (struct left){managed_descriptors(), managed_logs(), managed_objects(), mem_allocated()};
}

/* After everything: the file is right for every program, and nothing is left. */
static void finish(struct managed *m, const struct left *before)
{
    int result = m->uma ? managed_close(m) : 0;
    if (result && !clear_error(result))
        explain("close", result);
    if (result || managed_logs() != before->logs ||
        managed_objects() != before->objects) { /* what could not be brought to the file then, is now */
        managed_reopen(m, 0);
        managed_attach(m);
        managed_check(m);
        result = managed_close(m);
        if (result)
            explain("second close", result);
    }
    managed_check_kernel(m);
    struct left after = look();
    if (after.logs != before->logs)
        explain("logs left", (ssize_t)(after.logs - before->logs));
    if (after.objects != before->objects)
        explain("index objects left", (ssize_t)(after.objects - before->objects));
    if (after.descriptors != before->descriptors)
        explain("descriptors left", (ssize_t)after.descriptors - (ssize_t)before->descriptors);
    if (after.memory != before->memory)
        explain("memory left", (ssize_t)(after.memory - before->memory));
    managed_remove(m);
}

/* Runs the operation while the nth call fails; whether there was one. */
static bool run_failing(const struct operation *operation, unsigned nth, unsigned variant, bool sticky)
{
    struct managed m;
    struct left before = look();
    managed_seed(nth + variant * 1000);
    managed_open(&m, SIZE, MOST, operation->flags);
    operation->prepare(&m);
    managed_fault(nth, variant, sticky);
    ssize_t result = operation->run(&m);
    bool hit = managed_fault_stop();
    if (result < 0 && (!hit || !clear_error(result)))
        explain("result", result);
    if (m.uma) {
        adopt(&m);
        bool failed = uma_is_attached(m.uma) && atomic_load(&uma_shared(m.uma)->mode) == INDEX_MODE_FAILED;
        if (result < 0 && !failed) {
            result = operation->run(&m);
            if (result < 0 && !(result == -EACCES && managed_fault_error() == EACCES))
                explain("second try", result);
        }
        if (!failed && m.uma)
            managed_check(&m);
    }
    finish(&m, &before);
    return hit;
}

static unsigned tried;

static void test_operation(void **state)
{
    const struct operation *operation = *state;
    unsigned variants = MANAGED_SAMPLE ? 1 : MANAGED_VARIANTS;
    for (unsigned sticky = 0; sticky < (MANAGED_SAMPLE ? 1 : 2); sticky++) {
        for (unsigned variant = 0; variant < variants; variant++) {
            unsigned nth = 1;
            do
                snprintf(label, sizeof label, "%s, nth %u, variant %u%s", operation->name, nth, variant,
                         sticky ? ", sticky" : "");
            while (run_failing(operation, nth++, variant, sticky) && nth < NTH_MOST);
            assert_true(nth < NTH_MOST);
            tried += nth;
        }
    }
}

/* Without memory an operation fails with ENOMEM or does without; nothing is lost then, either. */
static void test_no_memory(void **state)
{
    enum { ALLOCATIONS = 6 };
    (void)state;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        for (int countdown = 0; countdown < ALLOCATIONS; countdown++) {
            struct managed m;
            struct left before = look();
            snprintf(label, sizeof label, "%s, without memory after %d", operations[i].name, countdown);
            managed_open(&m, SIZE, MOST, operations[i].flags);
            operations[i].prepare(&m);
            mem_fail_after(countdown);
            ssize_t result = operations[i].run(&m);
            mem_fail_after(-1);
            if (result < 0 && result != -ENOMEM)
                explain("result", result);
            if (m.uma)
                adopt(&m);
            finish(&m, &before);
        }
    }
}

int main(void)
{
    struct CMUnitTest tests[OPERATIONS + 1];
    for (unsigned i = 0; i < OPERATIONS; i++)
        tests[i] = (struct CMUnitTest){operations[i].name, test_operation, NULL, NULL, (void *)&operations[i]};
    tests[OPERATIONS] = (struct CMUnitTest)cmocka_unit_test(test_no_memory);
    managed_begin("pm:force,idle:1000s,commit_interval:1000s,pool:0");
    struct managed m; /* the directory and its table are made once */
    managed_open(&m, 1, 1, 0);
    run_map(&m);
    managed_remove(&m);
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
