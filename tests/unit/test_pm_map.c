/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_pm_map.c — pm/pm_map: addresses that never move, alignment, and what fails cleanly.
 */
#include "support/place.h"
#include "unit/unit.h"

#include "base/rawsys.h"
#include "pm/pm_map.h"
#include "unit/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALIGN (UINT64_C(2) << 20)

/* Lines of /proc/self/maps that contain `word`: what leaks shows here. */
static unsigned mappings_of(const char *word)
{
    unsigned n = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        n += strstr(line, word) != NULL;
    fclose(maps);
    return n;
}

static unsigned mappings(void)
{
    return mappings_of("");
}

/* The arithmetic of segments: contiguous, doubling, no aligned power of two in two of them. */
static void test_segments(void **state)
{
    (void)state;
    assert_int_equal(pm_map_segment(0), 0);
    assert_int_equal(pm_map_segment(PM_MAP_FIRST - 1), 0);
    for (unsigned k = 1; k < PM_MAP_SEGMENTS; k++) {
        assert_int_equal(pm_map_segment_start(k), PM_MAP_FIRST << (k - 1));
        assert_int_equal(pm_map_segment(pm_map_segment_start(k)), k);
        assert_int_equal(pm_map_segment(pm_map_segment_start(k) - 1), k - 1);
    }
    assert_true(pm_map_segment((UINT64_C(1) << 62) - 1) == PM_MAP_SEGMENTS - 1);
    assert_true(pm_map_segment(UINT64_C(1) << 62) >= PM_MAP_SEGMENTS);
    assert_true(pm_map_segment(UINT64_MAX) >= PM_MAP_SEGMENTS);
}

/* Bytes lie at their file offsets, beyond 2 and 4 GiB too; addresses stay; 2 MiB alignment agrees with the offset. */
static void test_addresses(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0,
                                       4096,
                                       PM_MAP_FIRST - 1,
                                       PM_MAP_FIRST,
                                       2 * PM_MAP_FIRST,
                                       (UINT64_C(2) << 30) - 1,
                                       UINT64_C(2) << 30,
                                       (UINT64_C(4) << 30) + 12345};
    int fd = unit_file(UINT64_C(5) << 30); /* sparse */
    struct pm_map map;
    unsigned before = mappings();
    assert_int_equal(pm_map_open(&map, fd, true, false, PM_MAP_SYNC_NEVER), 0);
    assert_false(map.sync);
    char *address[8];
    for (int i = 0; i < 8; i++) {
        address[i] = pm_map_at(&map, offsets[i]);
        assert_non_null(address[i]);
        assert_int_equal((uintptr_t)address[i] % ALIGN, offsets[i] % ALIGN);
        *address[i] = (char)('a' + i);
    }
    for (int i = 0; i < 8; i++) {
        char c = 0;
        assert_ptr_equal(pm_map_at(&map, offsets[i]), address[i]);
        assert_int_equal(pread(fd, &c, 1, (off_t)offsets[i]), 1);
        assert_int_equal(c, 'a' + i);
    }
    assert_null(pm_map_at(&map, UINT64_C(1) << 62));
    assert_null(pm_map_at(&map, UINT64_MAX));
    assert_null(pm_map_at(&map, UINT64_C(1) << 60)); /* more address space than there is */
    fault_start();
    for (int i = 0; i < 8; i++)
        pm_map_at(&map, offsets[i]);
    fault_stop();
    assert_int_equal(fault_calls(FAULT_ANY), 0);
    pm_map_close(&map);
    pm_map_close(&map); /* nothing left to unmap */
    assert_int_equal(mappings(), before);
    close(fd);
}

/* Gives reserves that are not aligned: newer kernels align large ones by themselves. */
static long unaligned_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    const long shift = 5 * 4096;
    if (number != SYS_mmap || c != PROT_NONE)
        return rawsys_invoke_kernel(number, a, b, c, d, e, f);
    long result = rawsys_invoke_kernel(number, a, b + shift, c, d, e, f);
    if (result > 0)
        rawsys_invoke_kernel(SYS_munmap, result, shift, 0, 0, 0, 0);
    return result > 0 ? result + shift : result;
}

/* Segments are aligned wherever the kernel puts the reserve, and what is left of it is given back. */
static void test_alignment(void **state)
{
    (void)state;
    int fd = unit_file(2 * PM_MAP_FIRST);
    struct pm_map map;
    unsigned before = mappings();
    rawsys_table.invoke = unaligned_invoke;
    int result = pm_map_open(&map, fd, true, false, PM_MAP_SYNC_NEVER);
    rawsys_table.invoke = rawsys_invoke_kernel;
    assert_int_equal(result, 0);
    assert_int_equal((uintptr_t)pm_map_at(&map, 0) % ALIGN, 0);
    pm_map_close(&map);
    assert_int_equal(mappings(), before);
    close(fd);
}

/* MAP_SYNC is refused on tmpfs: an error where required, plain where tried; on PM it is granted. A mapping not writable is
 * read-only. */
static void test_sync(void **state)
{
    (void)state;
    int fd = unit_file(4096);
    struct pm_map map;
    unsigned before = mappings();
    assert_int_equal(pm_map_open(&map, fd, true, false, PM_MAP_SYNC_REQUIRED), place_is_pm() ? 0 : -EOPNOTSUPP);
    if (place_is_pm())
        pm_map_close(&map);
    assert_int_equal(mappings(), before);
    assert_int_equal(pm_map_open(&map, fd, true, false, PM_MAP_SYNC_TRY), 0);
    assert_int_equal(map.sync, place_is_pm());
    pm_map_close(&map);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY);
    assert_int_equal(pm_map_open(&map, reader, true, false, PM_MAP_SYNC_NEVER), -EACCES);
    assert_int_equal(pm_map_open(&map, reader, false, false, PM_MAP_SYNC_NEVER), 0);
    assert_int_equal(*(char *)pm_map_at(&map, 0), 0);
    pm_map_close(&map);
    assert_int_equal(mappings(), before);
    assert_int_equal(pm_map_open(&map, -1, true, false, PM_MAP_SYNC_NEVER), -EBADF);
    close(reader);
    close(fd);
}

/* MAP_SYNC, once granted, is asked for again for later segments. The kernel's answer is played by the injector's place. */
static long all_sync_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    const long sync = 0x80000, validate = 3;
    if (number == SYS_mmap && e >= 0) {
        assert_true(d & sync && (d & validate) == validate);
        d = (d & ~sync & ~validate) | MAP_SHARED;
    }
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

static void test_sync_granted(void **state)
{
    (void)state;
    int fd = unit_file(4 * PM_MAP_FIRST);
    struct pm_map map;
    rawsys_table.invoke = all_sync_invoke;
    int result = pm_map_open(&map, fd, true, false, PM_MAP_SYNC_TRY);
    void *later = result ? NULL : pm_map_at(&map, 3 * PM_MAP_FIRST);
    rawsys_table.invoke = rawsys_invoke_kernel;
    assert_int_equal(result, 0);
    assert_true(map.sync);
    assert_non_null(later);
    pm_map_close(&map);
    close(fd);
}

/* A child of fork inherits the mapping, or does not, as asked. */
static void test_fork(void **state)
{
    (void)state;
    int fd = unit_file(4096);
    for (int dont_fork = 0; dont_fork < 2; dont_fork++) {
        struct pm_map map;
        assert_int_equal(pm_map_open(&map, fd, true, dont_fork, PM_MAP_SYNC_NEVER), 0);
        char *p = pm_map_at(&map, 0);
        pid_t child = fork();
        if (!child) {
            unsigned char present;
            _exit(mincore(p, 4096, &present) ? 1 : 0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), dont_fork);
        pm_map_close(&map);
    }
    close(fd);
}

/* Whichever system call fails: an error, nothing left mapped, and the map still works where it was open. */
static void test_failures(void **state)
{
    (void)state;
    int fd = unit_file(2 * PM_MAP_FIRST);
    unsigned before = mappings();
    static const long numbers[] = {SYS_mmap, SYS_madvise};
    for (int i = 0; i < 2; i++)
        for (unsigned nth = 1;; nth++) {
            struct pm_map map;
            fault_start();
            fault_set(numbers[i], nth, ENOMEM, false);
            int result = pm_map_open(&map, fd, true, true, PM_MAP_SYNC_NEVER);
            void *extended = result ? NULL : pm_map_at(&map, PM_MAP_FIRST);
            unsigned hits = fault_hits();
            fault_stop();
            if (hits)
                assert_true(result == -ENOMEM || !extended);
            if (!result) {
                assert_non_null(pm_map_at(&map, PM_MAP_FIRST));
                pm_map_close(&map);
            }
            assert_int_equal(mappings(), before);
            if (!hits) {
                assert_true(nth > 2);
                break;
            }
        }
    close(fd);
}

#define THREADS 4
static struct pm_map shared_map;
static pthread_barrier_t barrier;

static void *extend(void *arg)
{
    pthread_barrier_wait(&barrier);
    *(void **)arg = pm_map_at(&shared_map, PM_MAP_FIRST + 4096);
    return NULL;
}

/* Threads that need a segment at once get the same, and the losers' mappings are gone. */
static void test_threads(void **state)
{
    (void)state;
    int fd = unit_file(2 * PM_MAP_FIRST);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int round = 0; round < 50; round++) {
        pthread_t thread[THREADS];
        void *address[THREADS] = {0};
        assert_int_equal(pm_map_open(&shared_map, fd, true, false, PM_MAP_SYNC_NEVER), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, extend, &address[i]), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < THREADS; i++)
            assert_ptr_equal(address[i], address[0]);
        assert_non_null(address[0]);
        pm_map_close(&shared_map);
        assert_int_equal(mappings_of("/dev/shm/"), 0);
    }
    pthread_barrier_destroy(&barrier);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments), cmocka_unit_test(test_addresses),    cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_sync),     cmocka_unit_test(test_sync_granted), cmocka_unit_test(test_fork),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
