/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_map.c — the nv* entry points for mappings, stat and times: which calls reach the uma, and errors as the
 * kernel's.
 */
#include "unit/unit.h"

#include "api/core.h"
#include "base/rawsys.h"
#include "file/file.h"
#include "nvmmio.h"
#include "unit/fake/uma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static char directory[UNIT_PATH_MAX];
static char managed[UNIT_PATH_MAX + 16], second[UNIT_PATH_MAX + 16], plain[UNIT_PATH_MAX + 16];

static int setup(void **state)
{
    (void)state;
    fake_uma_begin(directory);
    snprintf(managed, sizeof managed, "%s/in/f", directory);
    snprintf(second, sizeof second, "%s/in/g", directory);
    snprintf(plain, sizeof plain, "%s/f", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_uma_finish(directory);
    return 0;
}

static int open_sized(const char *path, off_t size)
{
    int fd = nvopen(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(nvftruncate(fd, size), 0);
    return fd;
}

static char *map_of(int fd, size_t length, int prot, int flags)
{
    char *map = nvmmap(NULL, length, prot, flags, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    return map;
}

/* A shared nvmmap is registered until nvmunmap, also when the descriptor is closed meanwhile; others are plain. */
static void test_registering(void **state)
{
    (void)state;
    int fd = open_sized(managed, 3 * PAGE), p = open_sized(plain, PAGE);
    char *map = map_of(fd, 2 * PAGE + 5, PROT_READ | PROT_WRITE, MAP_SHARED);
    assert_int_equal(fake_uma.maps, 1);
    assert_int_equal(nvclose(fd), 0);
    assert_int_equal(fake_uma.open_umas, 1);
    assert_ptr_equal(nvmemcpy(map + 10, "hello", 5), map + 10);
    assert_int_equal(fake_uma.last_write_flags, 0);
    assert_memory_equal(map + 10, "hello", 5);
    assert_int_equal(nvmsync(map, 2 * PAGE, MS_SYNC), 0);
    assert_int_equal(fake_uma.commits, 1);
    assert_int_equal(nvmsync(map, 2 * PAGE, MS_ASYNC), 0);
    assert_int_equal(fake_uma.commits, 1);
    assert_int_equal(nvmunmap(map, 3 * PAGE), 0);
    assert_int_equal(fake_uma.unmaps, 1);
    assert_int_equal(fake_uma.open_umas, 0);
    map = map_of(p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    assert_int_equal(fake_uma.maps, 1);
    assert_ptr_equal(nvmemcpy(map, "plain", 5), map);
    assert_int_equal(nvmsync(map, PAGE, MS_SYNC), 0);
    assert_int_equal(nvmunmap(map, PAGE), 0);
    nvclose(p);
}

/* The errors of mmap and munmap are the kernel's. */
static void test_map_errors(void **state)
{
    (void)state;
    int fd = open_sized(managed, PAGE);
    int reader = nvopen(managed, O_RDONLY);
    assert_ptr_equal(nvmmap(NULL, PAGE, PROT_WRITE | PROT_READ, MAP_SHARED, reader, 0), MAP_FAILED);
    assert_int_equal(errno, EACCES);
    assert_ptr_equal(nvmmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    assert_ptr_equal(nvmmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1), MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    assert_ptr_equal(nvmmap(NULL, PAGE, PROT_READ, MAP_SHARED, 999, 0), MAP_FAILED);
    assert_int_equal(errno, EBADF);
    assert_int_equal(nvmunmap((void *)1, PAGE), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fake_uma.maps, 0);
    nvclose(fd);
    nvclose(reader);
}

/* nvmsync: arguments, holes and pieces of several files. */
static void test_msync(void **state)
{
    (void)state;
    int f = open_sized(managed, PAGE), g = open_sized(second, PAGE);
    char *area = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_equal(nvmmap(area + PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, f, 0), area + PAGE);
    assert_ptr_equal(nvmmap(area + 3 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, g, 0), area + 3 * PAGE);
    assert_int_equal(nvmsync(area, 6 * PAGE, MS_SYNC), 0);
    assert_int_equal(fake_uma.commits, 2);
    assert_int_equal(nvmsync(area + PAGE, 1, MS_SYNC | MS_INVALIDATE), 0);
    assert_int_equal(fake_uma.commits, 3);
    assert_int_equal(nvmsync(area, 0, MS_SYNC), 0);
    assert_int_equal(fake_uma.commits, 3);
    munmap(area + 2 * PAGE, PAGE);
    assert_int_equal(nvmsync(area, 6 * PAGE, MS_SYNC), -1); /* the rest is synced all the same */
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fake_uma.commits, 5);
    const int wrong[] = {MS_SYNC | MS_ASYNC, 8, MS_SYNC | 64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nvmsync(area + PAGE, PAGE, wrong[i]), -1);
        assert_int_equal(errno, EINVAL);
    }
    assert_int_equal(nvmsync(area + PAGE + 1, PAGE, MS_SYNC), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(nvmsync(area + PAGE, SIZE_MAX - 2 * PAGE, MS_SYNC), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fake_uma.commits, 5);
    fake_uma.user = false;
    assert_int_equal(nvmsync(area + PAGE, PAGE, MS_SYNC), 0); /* the kernel's */
    assert_int_equal(fake_uma.commits, 5);
    assert_int_equal(nvmunmap(area, 6 * PAGE), 0);
    assert_int_equal(fake_uma.unmaps, 2);
    nvclose(f);
    nvclose(g);
}

/* nvmemcpy and nvmemset store inside the file and nowhere beyond its end, across pieces and from any to any. */
static void test_copying(void **state)
{
    (void)state;
    const size_t size = 40 * PAGE, tail = 100;
    int f = open_sized(managed, (off_t)(size - tail)), g = open_sized(second, (off_t)size);
    char *to = map_of(f, size, PROT_READ | PROT_WRITE, MAP_SHARED), *from = map_of(g, size, PROT_READ, MAP_SHARED);
    char *memory = malloc(size), *copy = malloc(size);
    for (size_t i = 0; i < size; i++)
        memory[i] = (char)(i * 7 + i / 251);
    assert_int_equal(nvpwrite(g, memory, size, 0), size);
    for (int user = 1; user >= 0; user--) {
        fake_uma.user = user;
        assert_ptr_equal(nvmemset(to, 0, size - tail), to);
        assert_ptr_equal(nvmemcpy(to + 3, from + 3, size - tail - 3), to + 3); /* mapping to mapping */
        assert_memory_equal(to + 3, memory + 3, size - tail - 3);
        memset(copy, 1, size);
        assert_ptr_equal(nvmemcpy(copy, to, size - tail), copy); /* mapping to memory */
        assert_int_equal(copy[0], 0);
        assert_memory_equal(copy + 3, memory + 3, size - tail - 3);
        assert_ptr_equal(nvmemset(to + 5, 0x5a, 70000), to + 5);
        for (size_t i = 5; i < 70005; i++)
            assert_int_equal(to[i], 0x5a);
        assert_int_equal(to[70005], memory[70005]);
        assert_ptr_equal(nvmemcpy(to, memory, size - tail), to); /* memory to mapping */
        assert_memory_equal(to, memory, size - tail);
    }
    fake_uma.user = true;
    struct stat st;
    assert_ptr_equal(nvmemcpy(to + size - tail - 2, "abcdef", 6), to + size - tail - 2);
    assert_int_equal(nvfstat(f, &st), 0);
    assert_int_equal(st.st_size, size - tail);
    assert_memory_equal(to + size - tail - 2, "ab", 2);
    assert_ptr_equal(nvmemcpy(copy, to + size - tail - 2, 10), copy); /* zeros up to the end of the page */
    assert_memory_equal(copy, "ab\0\0\0\0\0\0\0\0", 10);
    assert_null(nvmemcpy(from + 1, "x", 1)); /* mapped for reading alone */
    assert_int_equal(errno, EACCES);
    assert_ptr_equal(nvmemcpy(copy, memory, 100), copy);
    assert_memory_equal(copy, memory, 100);
    fake_uma.begin_error = EIO;
    assert_null(nvmemcpy(to, "x", 1));
    assert_int_equal(errno, EIO);
    fake_uma.begin_error = 0;
    nvmunmap(to, size);
    nvmunmap(from, size);
    free(memory);
    free(copy);
    nvclose(f);
    nvclose(g);
}

/* The application's own mmap is entered like nvmmap's, and demotes the file where its uma wants that; of no file it is the
 * bare system call. */
static void test_mmap(void **state)
{
    (void)state;
    int fd = open_sized(managed, PAGE), p = open_sized(plain, PAGE);
    char *map = nvmmio_core.mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_false(sys_is_error(map));
    assert_int_equal(nvmmio_core.munmap(map, PAGE), 0);
    map = nvmmio_core.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p, 0);
    assert_false(sys_is_error(map));
    assert_int_equal(nvmmio_core.munmap(map, PAGE), 0);
    assert_int_equal(fake_uma.maps, 0);
    map = nvmmio_core.mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_int_equal(fake_uma.maps, 1);
    assert_int_equal(fake_uma.demotions, 0);
    assert_ptr_equal(nvmemcpy(map, "both", 4), map);
    /* over it, a mapping of no file */
    assert_ptr_equal(nvmmio_core.mmap(map, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), map);
    assert_int_equal(fake_uma.unmaps, 1);
    assert_int_equal(nvmmio_core.munmap(map, PAGE), 0);
    /* a private one is entered, and memory functions treat it as memory */
    map = nvmmio_core.mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_int_equal(fake_uma.maps, 2);
    assert_ptr_equal(nvmemcpy(map, "mine", 4), map);
    assert_memory_equal(map, "mine", 4);
    assert_int_equal(nvmmio_core.munmap(map, PAGE), 0);
    assert_int_equal(fake_uma.unmaps, 2);
    char text[4];
    assert_int_equal(nvpread(fd, text, 4, 0), 4);
    assert_memory_equal(text, "both", 4);
    fake_uma.wants_kernel = true;
    fake_uma.demote_error = ENOSPC;
    assert_int_equal((intptr_t)nvmmio_core.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), -ENOSPC);
    fake_uma.demote_error = 0;
    map = nvmmio_core.mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_false(sys_is_error(map));
    assert_int_equal(fake_uma.demotions, 1);
    assert_int_equal(fake_uma.held, 1); /* until it is unmapped the file stays with the kernel */
    map[5] = 'm';
    assert_int_equal(nvmmio_core.msync(map, PAGE, MS_SYNC), 0);
    char c;
    assert_int_equal(nvpread(fd, &c, 1, 5), 1);
    assert_int_equal(c, 'm');
    assert_int_equal(nvmmio_core.munmap(map, PAGE), 0);
    nvclose(fd);
    nvclose(p);
}

/* All of the stat family tell the logical size in user space, the kernel's elsewhere, and times are delivered before. */
static void test_stat(void **state)
{
    (void)state;
    struct stat st;
    struct statx stx;
    int fd = open_sized(managed, 100), p = open_sized(plain, 50);
    fake_uma.size_bias = 1000; /* not yet in the kernel */
    assert_int_equal(file_fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 1100);
    assert_int_equal(fake_uma.delivered, 1);
    assert_int_equal(file_fstatat(AT_FDCWD, managed, &st, 0), 0);
    assert_int_equal(st.st_size, 1100);
    assert_int_equal(file_fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
    assert_int_equal(st.st_size, 1100);
    assert_int_equal(file_statx(AT_FDCWD, managed, 0, STATX_BASIC_STATS, &stx), 0);
    assert_int_equal(stx.stx_size, 1100);
    assert_int_equal(fake_uma.delivered, 4);
    assert_int_equal(file_lseek(fd, -100, SEEK_END), 1000);
    assert_int_equal(file_fstatat(AT_FDCWD, plain, &st, 0), 0);
    assert_int_equal(st.st_size, 50);
    assert_int_equal(file_fstatat(AT_FDCWD, "/nowhere", &st, 0), -ENOENT);
    assert_int_equal(file_statx(AT_FDCWD, "/nowhere", 0, STATX_SIZE, &stx), -ENOENT);
    fake_uma.begin_error = EIO; /* stat by path fails for no state of the file */
    assert_int_equal(file_fstatat(AT_FDCWD, managed, &st, 0), 0);
    assert_int_equal(st.st_size, 100);
    fake_uma.begin_error = 0;
    fake_uma.user = false;
    assert_int_equal(file_fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 100);
    assert_int_equal(file_fstatat(AT_FDCWD, managed, &st, 0), 0);
    assert_int_equal(st.st_size, 100);
    fake_uma.size_bias = 0;
    nvclose(fd);
    nvclose(p);
}

/* Times are set by the uma, which knows what is pending, by descriptor and by path. */
static void test_times(void **state)
{
    (void)state;
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    struct stat st;
    int fd = open_sized(managed, 100);
    assert_int_equal(file_futimens(fd, times), 0);
    assert_int_equal(fake_uma.set_times, 1);
    assert_int_equal(file_utimensat(AT_FDCWD, managed, times, 0), 0);
    assert_int_equal(fake_uma.set_times, 2);
    assert_int_equal(file_utimensat(fd, NULL, times, 0), 0);
    assert_int_equal(fake_uma.set_times, 3);
    fstat(fd, &st);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    assert_int_equal(file_utimensat(AT_FDCWD, "/nowhere", times, 0), -ENOENT);
    assert_int_equal(file_utimensat(AT_FDCWD, directory, times, 0), 0);
    assert_int_equal(file_futimens(-1, times), -EBADF);
    assert_int_equal(fake_uma.set_times, 3);
    nvclose(fd);
}

/* truncate(2) by path goes through the uma of a managed file, open here or not. */
static void test_truncate(void **state)
{
    (void)state;
    struct stat st;
    int fd = open_sized(managed, 100), p = open_sized(plain, 100);
    fake_uma.resizes = 0;
    assert_int_equal(file_truncate(managed, 7), 0);
    assert_int_equal(fake_uma.resizes, 1);
    nvclose(fd);
    assert_int_equal(file_truncate(managed, 9), 0);
    assert_int_equal(fake_uma.resizes, 2);
    fake_uma.user = false;
    assert_int_equal(file_truncate(managed, 11), 0);
    assert_int_equal(stat(managed, &st), 0);
    assert_int_equal(st.st_size, 11);
    assert_int_equal(file_truncate(plain, 13), 0);
    assert_int_equal(stat(plain, &st), 0);
    assert_int_equal(st.st_size, 13);
    assert_int_equal(fake_uma.resizes, 2);
    assert_int_equal(file_truncate(managed, -1), -EINVAL);
    assert_int_equal(file_truncate(directory, 0), -EISDIR);
    assert_int_equal(file_truncate("/nowhere", 0), -ENOENT);
    nvclose(p);
}

/* fsync, fdatasync and sync commit in user space; on the kernel's path they are the kernel's. */
static void test_sync(void **state)
{
    (void)state;
    int fd = open_sized(managed, 100), again = nvopen(managed, O_RDONLY);
    assert_int_equal(nvfsync(fd), 0);
    assert_int_equal(nvfdatasync(again), 0);
    assert_int_equal(fake_uma.commits, 2);
    file_sync_all();
    assert_true(fake_uma.commits >= 3);
    int seen = fake_uma.commits;
    fake_uma.user = false;
    assert_int_equal(nvfsync(fd), 0);
    file_sync_all();
    assert_int_equal(fake_uma.commits, seen);
    assert_int_equal(nvfsync(-1), -1);
    assert_int_equal(errno, EBADF);
    nvclose(fd);
    nvclose(again);
}

/* errno is set by failures alone; the table for the preload library is whole; counters have names. */
static void test_edges(void **state)
{
    (void)state;
    uint64_t value = 77;
    errno = 1234;
    int fd = nvopenat(AT_FDCWD, managed, O_RDWR | O_CREAT, 0600);
    assert_int_equal(nvwrite(fd, "abc", 3), 3);
    assert_int_equal(nvclose(fd), 0);
    assert_int_equal(errno, 1234);
    fd = nvcreat(managed, 0600);
    assert_int_equal(nvpreadv(fd, NULL, 0, -1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(nvread(fd, &value, 1), -1);
    assert_int_equal(errno, EBADF);
    nvclose(fd);
    assert_int_equal(nvstats_get("uma.commits", &value), 0);
    assert_int_not_equal(value, 77);
    assert_int_equal(nvstats_get("no.such", &value), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(nvmmio_core.version, NVMMIO_CORE_VERSION);
    assert_int_equal(nvmmio_core.size, sizeof nvmmio_core);
    void *const *entry = (void *const *)&nvmmio_core.openat;
    for (; entry < (void *const *)(&nvmmio_core + 1); entry++)
        assert_non_null(*entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registering, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_msync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copying, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mmap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
