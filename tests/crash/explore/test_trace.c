/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_trace.c — the recorder: what happens is recorded, as it happened, and what passes it by is found.
 *
 * All is played in children, whose traces the test reads afterwards: so each test also shows that a dead process's events
 * are there. With --sites it prints the source places that the library's workload met, for sites.py.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "crash/explore/trace.h"
#include "log/log_format.h"
#include "log/volume.h"
#include "nvmmio.h"
#include "pm/pm.h"
#include "pm/pm_guard.h"

#include <dirent.h>
#include <errno.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES 16384u
#define FAULT_AT 8192u
#define VERIFY_TEXT 512

static struct {
    char root[UNIT_PATH_MAX];
    uint32_t countdown; /* of events, to a child's death */
} test;

/* ---- looking at a trace ---- */

static const struct trace_event *event_at(size_t i)
{
    assert_true(i < trace_now()->count);
    return &trace_now()->event[i];
}

static void expect_event(size_t i, enum trace_kind kind, uint64_t offset, uint64_t length, const void *bytes)
{
    const struct trace_event *event = event_at(i);
    assert_int_equal(event->kind, kind);
    assert_int_equal(event->offset, offset);
    assert_int_equal(event->length, length);
    if (bytes)
        assert_memory_equal(trace_now()->data + event->data, bytes, length);
}

static const struct trace_event *expect_call(size_t i, enum trace_call call, uint64_t offset, uint64_t length)
{
    expect_event(i, TRACE_CALL, offset, length, NULL);
    assert_int_equal(event_at(i)->call, call);
    return event_at(i);
}

static void expect_name(const struct trace_event *event, const char *directory, const char *name)
{
    const char *path = trace_now()->file[event->directory].path;
    assert_string_equal(path + strlen(test.root), directory);
    assert_string_equal(trace_now()->data + event->name, name);
}

static const struct trace_file *file_of(const struct trace_event *event)
{
    assert_true(event->file < trace_now()->file_count);
    return &trace_now()->file[event->file];
}

/* ---- a root for each test ---- */

static int open_in_root(const char *name, int flags)
{
    char path[UNIT_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", test.root, name);
    return sys_openat(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static int make_root(void **state)
{
    (void)state;
    unit_directory(test.root);
    int fd = open_in_root("file", O_CREAT | O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    assert_int_equal(pwrite(fd, "initial", 7, 100), 7);
    close(fd);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    trace_end();
    char command[UNIT_PATH_MAX + 32];
    snprintf(command, sizeof command, "rm -r %s", test.root);
    return system(command);
}

static char *map_file(int fd)
{
    char *base = sys_mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unit_check(!sys_is_error(base));
    return base;
}

/* ---- each primitive ---- */

static void play_primitives(void)
{
    static const uint64_t words[2] = {3, 4};
    int fd = open_in_root("file", O_RDWR);
    char *base = map_file(fd);
    trace_set_process(7);
    trace_set_thread(3);
    trace_begin(test.root);
    pm_store64((_Atomic uint64_t *)(base + 8), 5);
    pm_store_words(base + 64, words, sizeof words);
    unit_check(pm_or64((_Atomic uint64_t *)(base + 8), 8) == 5);
    pm_copy(base + 4090, "sixteen bytes...", 16);
    pm_zero(base + 101, 3);
    pm_copy(base, "", 0); /* nothing: no event */
    pm_flush(base + 60, 8);
    pm_fence();
    uint64_t private;
    pm_copy(&private, words, sizeof private); /* elsewhere: no event */
    trace_mark(42, 1, 2);
    char text[VERIFY_TEXT];
    unit_check(trace_verify(text, sizeof text));
}

static void test_primitives(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_primitives), 0);
    expect_event(0, TRACE_STORE, 8, 8, &(uint64_t){5});
    expect_event(1, TRACE_STORE, 64, 8, &(uint64_t){3});
    expect_event(2, TRACE_STORE, 72, 8, &(uint64_t){4});
    expect_event(3, TRACE_STORE, 8, 8, &(uint64_t){13});
    expect_event(4, TRACE_STREAM, 4090, 16, "sixteen bytes...");
    expect_event(5, TRACE_STREAM, 101, 3, "\0\0");
    expect_event(6, TRACE_FLUSH, 60, 8, NULL);
    expect_event(7, TRACE_FENCE, 0, 0, NULL);
    expect_event(8, TRACE_MARK, 0, 0, NULL);
    assert_int_equal(trace_now()->count, 9);
    assert_int_equal(event_at(8)->mark, 42);
    assert_int_equal(event_at(8)->argument[1], 2);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(event_at(i)->thread, 3);
        assert_int_equal(event_at(i)->process, 7);
        assert_int_equal(file_of(event_at(i))->kind, TRACE_FILE_DATA);
        assert_int_equal(file_of(event_at(i))->size, FILE_BYTES);
        assert_memory_equal(trace_now()->data + file_of(event_at(i))->data + 100, "initial", 7);
    }
}

/* Two stores of one place have one name, neighbours in one function have two. */
static void test_sites(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_primitives), 0);
    for (size_t i = 0; i < 8; i++) {
        const char *name = trace_site_name(event_at(i)->site);
        assert_non_null(strstr(name, "test_trace.c:"));
        assert_non_null(strstr(name, " play_primitives"));
        if (i > 0)
            assert_int_equal(name == trace_site_name(event_at(i - 1)->site), i == 2);
    }
}

/* ---- each system call ---- */

static void play_calls(void)
{
    trace_begin(test.root);
    int root = open_in_root(".", O_RDONLY | O_DIRECTORY);
    int fd = sys_openat(root, "new", O_CREAT | O_RDWR, 0600); /* 0 link */
    unit_check(sys_write(fd, "hello", 5) == 5);               /* 1 write */
    unit_check(sys_pwrite(fd, "abc", 3, 4093) == 3);          /* 2 write */
    struct iovec iov[2] = {{"ab", 2}, {"cd", 2}};
    unit_check(sys_writev(fd, iov, 2) == 4);                                                 /* 3 write */
    unit_check(sys_pwritev2(fd, iov, 2, 50, RWF_DSYNC) == 4);                                /* 4 write, 5 sync */
    unit_check(sys_ftruncate(fd, 8192) == 0);                                                /* 6 resize */
    unit_check(sys_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536) == 0);                       /* nothing */
    unit_check(sys_fallocate(fd, 0, 8192, 4096) == 0);                                       /* 7 resize */
    unit_check(sys_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0); /* 8 punch */
    unit_check(sys_fsync(fd) == 0);                                                          /* 9 sync */
    int append = sys_openat(root, "new", O_WRONLY | O_APPEND | O_SYNC, 0);
    unit_check(sys_write(append, "end", 3) == 3); /* 10 write, 11 sync */
    sys_close(append);
    unit_check(sys_linkat(root, "new", root, "second", 0) == 0);      /* 12 link */
    unit_check(sys_renameat2(root, "second", root, "third", 0) == 0); /* 13 rename */
    unit_check(sys_unlinkat(root, "third", 0) == 0);                  /* 14 unlink */
    unit_check(sys_mkdirat(root, "below", 0700) == 0);                /* 15 link */
    int nameless = sys_openat(root, "below", O_TMPFILE | O_RDWR, 0600);
    unit_check(sys_write(nameless, "x", 1) == 1); /* 16 write */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", nameless);
    unit_check(sys_linkat(AT_FDCWD, self, root, "below/named", AT_SYMLINK_FOLLOW) == 0); /* 17 link */
    unit_check(sys_fsync(root) == 0);                                                    /* 18 sync */
    sys_close(sys_openat(root, "new", O_WRONLY | O_TRUNC, 0));                           /* 19 resize */
    unit_check(sys_ftruncate(fd, -1) == -EINVAL);                                        /* failed: nothing */
    char *base = map_file(fd);
    unit_check(sys_ftruncate(fd, FILE_BYTES) == 0);        /* 20 resize */
    unit_check(sys_msync(base, FILE_BYTES, MS_SYNC) == 0); /* 21 sync */
    /* the number of a closed descriptor goes to another file */
    sys_close(fd);
    int other = open_in_root("file", O_RDWR);
    unit_check(other == fd && sys_pwrite(other, "z", 1, 1) == 1); /* 22 write */
    unit_check(sys_unlinkat(root, "new", 0) == 0);                /* 23 unlink */
    char text[VERIFY_TEXT];
    unit_check(trace_verify(text, sizeof text));
}

static void test_calls(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_calls), 0);
    expect_name(expect_call(0, TRACE_CALL_LINK, 0, 0), "", "new");
    assert_false(file_of(event_at(0))->initial);
    expect_call(1, TRACE_CALL_WRITE, 0, 5);
    expect_call(2, TRACE_CALL_WRITE, 4093, 3);
    assert_memory_equal(trace_now()->data + event_at(2)->data, "abc", 3);
    expect_call(3, TRACE_CALL_WRITE, 5, 4);
    assert_memory_equal(trace_now()->data + event_at(3)->data, "abcd", 4);
    expect_call(4, TRACE_CALL_WRITE, 50, 4);
    expect_call(5, TRACE_CALL_SYNC, 0, 0);
    expect_call(6, TRACE_CALL_RESIZE, 0, 8192);
    expect_call(7, TRACE_CALL_RESIZE, 0, 12288);
    expect_call(8, TRACE_CALL_PUNCH, 0, 4096);
    expect_call(9, TRACE_CALL_SYNC, 0, 0);
    expect_call(10, TRACE_CALL_WRITE, 12288, 3);
    expect_call(11, TRACE_CALL_SYNC, 0, 0);
    expect_name(expect_call(12, TRACE_CALL_LINK, 0, 0), "", "second");
    expect_name(expect_call(13, TRACE_CALL_RENAME, 0, 0), "", "third");
    assert_string_equal(trace_now()->data + event_at(13)->old_name, "second");
    assert_int_equal(event_at(13)->old_directory, event_at(13)->directory);
    expect_name(expect_call(14, TRACE_CALL_UNLINK, 0, 0), "", "third");
    expect_name(expect_call(15, TRACE_CALL_LINK, 0, 0), "", "below");
    assert_int_equal(file_of(event_at(15))->kind, TRACE_FILE_DIRECTORY);
    expect_call(16, TRACE_CALL_WRITE, 0, 1);
    expect_name(expect_call(17, TRACE_CALL_LINK, 0, 0), "/below", "named");
    assert_int_equal(event_at(17)->file, event_at(16)->file);
    expect_call(18, TRACE_CALL_SYNC, 0, 0);
    assert_int_equal(file_of(event_at(18))->kind, TRACE_FILE_DIRECTORY);
    expect_call(19, TRACE_CALL_RESIZE, 0, 0);
    expect_call(20, TRACE_CALL_RESIZE, 0, FILE_BYTES);
    expect_call(21, TRACE_CALL_SYNC, 0, 0);
    expect_call(22, TRACE_CALL_WRITE, 1, 1);
    assert_true(file_of(event_at(22))->initial);
    expect_name(expect_call(23, TRACE_CALL_UNLINK, 0, 0), "", "new");
    assert_int_equal(trace_now()->count, 24);
    for (size_t i = 0; i < 14; i++)
        if (i != 13)
            assert_int_equal(event_at(i)->file, event_at(0)->file);
    assert_non_null(strstr(trace_site_name(event_at(6)->site), " play_calls"));
}

/* ---- faults and deaths ---- */

/* Not inlined: it has a guard's landing place. */
static __attribute__((noinline)) bool copy_faults(char *to, const char *from, size_t n)
{
    struct pm_guard guard;
    if (pm_guard_begin(&guard))
        return true;
    pm_copy(to, from, n);
    pm_guard_end();
    return false;
}

/* A source that ends in the middle: what was stored before the fault is recorded, whatever comes next. */
static void play_fault(void)
{
    unit_check(pm_guard_install() == 0);
    int fd = open_in_root("file", O_RDWR);
    char *base = map_file(fd);
    char *source = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(source, 'x', FAULT_AT);
    munmap(source + FAULT_AT, FILE_BYTES - FAULT_AT);
    trace_begin(test.root);
    unit_check(copy_faults(base + 64, source, FAULT_AT + 1000));
    unit_check(memcmp(base + 64, source, 64) == 0);
    pm_fence();
    char text[VERIFY_TEXT];
    unit_check(trace_verify(text, sizeof text));
}

static void test_fault(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_fault), 0);
    assert_int_equal(trace_now()->count, 2);
    assert_int_equal(event_at(0)->kind, TRACE_STREAM);
    assert_int_equal(event_at(0)->offset, 64);
    assert_in_range(event_at(0)->length, 64, FAULT_AT);
    assert_int_equal(event_at(1)->kind, TRACE_FENCE);
}

static void die_in_time(enum trace_kind kind, enum trace_call call)
{
    (void)kind;
    (void)call;
    if (test.countdown-- == 0)
        kill(getpid(), SIGKILL);
}

static void play_death(void)
{
    int fd = open_in_root("file", O_RDWR);
    char *base = map_file(fd);
    test.countdown = 3;
    trace_before = die_in_time;
    trace_begin(test.root);
    for (uint64_t i = 0;; i++)
        pm_store64((_Atomic uint64_t *)base + i, i + 1);
}

static void test_death(void **state)
{
    (void)state;
    unit_expect_signal(unit_in_child(play_death), SIGKILL);
    assert_int_equal(trace_now()->count, 3);
    expect_event(2, TRACE_STORE, 16, 8, &(uint64_t){3});
}

/* ---- the proof that nothing passes by ---- */

static void play_plain_store(void)
{
    char text[VERIFY_TEXT];
    int fd = open_in_root("file", O_RDWR);
    char *base = map_file(fd);
    trace_begin(test.root);
    pm_store64((_Atomic uint64_t *)base, 1);
    unit_check(trace_verify(text, sizeof text));
    base[5000] = 1;
    unit_check(!trace_verify(text, sizeof text) && strstr(text, "byte 5000 is 01, recorded 00"));
    trace_begin(test.root); /* known now */
    unit_check(trace_verify(text, sizeof text));
    unit_check(pwrite(fd, "y", 1, 2) == 1); /* past the hook */
    unit_check(!trace_verify(text, sizeof text) && strstr(text, "byte 2 is 79, recorded 00"));
}

static void test_plain_store(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_plain_store), 0);
}

/* The library's own thread may just be storing: what it does is recorded a moment later. */
static void verify(int line)
{
    char text[VERIFY_TEXT];
    for (unsigned tries = 5; !trace_verify(text, sizeof text); tries--) {
        if (!tries) {
            fprintf(stderr, "before line %d: %s\n", line, text);
            _exit(1);
        }
        usleep(20000);
    }
}

static void write_at(int fd, uint64_t offset, size_t n)
{
    static char bytes[FILE_BYTES];
    static char value;
    memset(bytes, ++value, sizeof bytes);
    unit_check(nvpwrite(fd, bytes, n, (off_t)offset) == (ssize_t)n);
}

/* Every way to store: first writes, rewrites, appends, relocation, a full log, write-back, truncation, mappings. */
static void play_library(void)
{
    char path[UNIT_PATH_MAX + 32];
    setenv("NVMMIO_ROOT", test.root, 1);
    setenv("NVMMIO_CONF", "pm:force,idle:5ms", 1);
    trace_begin(test.root);
    snprintf(path, sizeof path, "%s/file", test.root);
    int fd = nvopen(path, O_RDWR);
    unit_check(fd >= 0);
    write_at(fd, 10, 100);
    write_at(fd, 4000, 8192); /* a piece and a part of one */
    verify(__LINE__);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t block = 0; block < 20; block++) /* more blocks than the log can have */
            write_at(fd, block * 4096 + round, 4096);
        verify(__LINE__);
        unit_check(nvfsync(fd) == 0);
    }
    verify(__LINE__);
    unit_check(nvftruncate(fd, 5000) == 0);
    write_at(fd, 20000, 33);
    unit_check(nvfsync(fd) == 0);
    unit_check(nvfallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 6000) == 0);
    verify(__LINE__);
    usleep(30000); /* the sync thread writes back */
    verify(__LINE__);
    char *base = nvmmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unit_check(base != MAP_FAILED);
    nvmemcpy(base + 50, "mapped", 6);
    nvmemset(base + 4090, 7, 100);
    unit_check(nvmsync(base, 20000, MS_SYNC) == 0);
    verify(__LINE__);
    unit_check(nvmunmap(base, 20000) == 0);
    int atomic = nvopen(path, O_RDWR | O_ATOMIC);
    write_at(atomic, 0, 10);
    verify(__LINE__);
    unit_check(nvclose(atomic) == 0 && nvclose(fd) == 0);
    verify(__LINE__);
    fd = nvopen(path, O_RDWR | O_SYNC);
    write_at(fd, 300, 1000);
    verify(__LINE__);
    unit_check(nvclose(fd) == 0);
    snprintf(path, sizeof path, "%s/fresh", test.root);
    fd = nvopen(path, O_RDWR | O_CREAT, 0600);
    write_at(fd, 0, 8192);
    unit_check(nvfsync(fd) == 0);
    write_at(fd, 100, 100);
    unit_check(nvclose(fd) == 0);
    verify(__LINE__);
    exit(0); /* the library cleans up */
}

static void test_library(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_library), 0);
    const struct trace *trace = trace_end();
    assert_false(trace->overflow);
    uint64_t log_end = 0;
    bool seen[TRACE_MARK] = {false};
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        seen[event->kind] = true;
        assert_null(strstr(trace_site_name(event->site), "?"));
        if (event->kind == TRACE_STREAM && file_of(event)->kind == TRACE_FILE_LOG &&
            event->offset + event->length > log_end)
            log_end = event->offset + event->length;
    }
    for (unsigned kind = 0; kind < TRACE_MARK; kind++)
        assert_true(seen[kind]);
    assert_int_equal(log_end, log_block_offset(LOG_BLOCKS_MAX)); /* all groups, all blocks */
}

static int print_sites(void)
{
    make_root(NULL);
    unit_expect_exit(unit_in_child(play_library), 0);
    const struct trace *trace = trace_end();
    for (size_t i = 0; i < trace->count; i++)
        puts(trace_site_name(trace->event[i].site));
    return remove_root(NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--sites") == 0)
        return print_sites();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_primitives, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_sites, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_calls, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_fault, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_death, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_plain_store, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_library, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
