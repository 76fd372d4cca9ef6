/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_pm.c — pm/pm: exactly the bytes asked for, counted; libpmem's variables do no harm.
 */
#include "unit/unit.h"

#include "base/stats.h"
#include "pm/pm.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AREA 16384
static unsigned char *pm_area;
static unsigned char source[AREA];

static int set_up(void **state)
{
    (void)state;
    int fd = unit_file(AREA);
    pm_area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    for (size_t i = 0; i < AREA; i++)
        source[i] = (unsigned char)(i * 7 + i / 251 + 1);
    return pm_area == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(pm_area, AREA);
}

static void check_only(size_t from, size_t n, const unsigned char *expected, unsigned char background)
{
    for (size_t i = 0; i < AREA; i++) {
        unsigned char want = i >= from && i < from + n ? expected[i - from] : background;
        if (pm_area[i] != want)
            fail_msg("[%zu, +%zu): byte %zu is %u, not %u", from, n, i, pm_area[i], want);
    }
}

static const size_t lengths[] = {0,  1,  2,   3,   7,   8,   9,   15,  16,  17,  31,   32,   33,   60,   63,
                                 64, 65, 100, 127, 128, 129, 191, 255, 256, 257, 1000, 4095, 4096, 4097, 8192};
#define LENGTHS (sizeof lengths / sizeof lengths[0])

/* A copy stores its n bytes, and none beside them, for all alignments within a line. */
static void test_copy(void **state)
{
    (void)state;
    for (size_t offset = 0; offset < 64; offset += offset < 10 ? 1 : 9)
        for (size_t i = 0; i < LENGTHS; i++)
            for (size_t shift = 0; shift < 4; shift += 3) {
                memset(pm_area, 0xee, AREA);
                pm_copy(pm_area + 128 + offset, source + shift, lengths[i]);
                pm_fence();
                check_only(128 + offset, lengths[i], source + shift, 0xee);
            }
}

static void test_zero(void **state)
{
    (void)state;
    static const unsigned char zeros[AREA];
    for (size_t offset = 0; offset < 64; offset += 7)
        for (size_t i = 0; i < LENGTHS; i++) {
            memset(pm_area, 0xee, AREA);
            pm_zero(pm_area + 128 + offset, lengths[i]);
            pm_fence();
            check_only(128 + offset, lengths[i], zeros, 0xee);
        }
}

/* pm.bytes counts payload, pm.flushes and pm.meta_bytes lines, pm.fences fences. */
static void test_counters(void **state)
{
    (void)state;
    uint64_t bytes = stats_sum(STATS_PM_BYTES), meta = stats_sum(STATS_PM_META_BYTES);
    uint64_t flushes = stats_sum(STATS_PM_FLUSHES), fences = stats_sum(STATS_PM_FENCES);
    pm_copy(pm_area, source, 4096);
    pm_copy(pm_area + 5, source, 3);
    pm_copy(pm_area + 5, source, 0);
    pm_zero(pm_area + 100, 1000);
    assert_int_equal(stats_sum(STATS_PM_BYTES) - bytes, 4096 + 3 + 1000);
    assert_int_equal(stats_sum(STATS_PM_META_BYTES), meta);
    flushes = stats_sum(STATS_PM_FLUSHES);
    pm_flush(pm_area, 64);      /* 1 line */
    pm_flush(pm_area + 63, 2);  /* 2 lines */
    pm_flush(pm_area + 1, 64);  /* 2 lines */
    pm_flush(pm_area + 64, 0);  /* none */
    pm_flush(pm_area, 4096);    /* 64 lines */
    pm_flush(pm_area + 127, 1); /* 1 line */
    assert_int_equal(stats_sum(STATS_PM_FLUSHES) - flushes, 70);
    assert_int_equal(stats_sum(STATS_PM_META_BYTES) - meta, 70 * 64);
    pm_fence();
    pm_fence();
    assert_int_equal(stats_sum(STATS_PM_FENCES) - fences, 2);
}

/* In the cached domain nothing is written back and no fence is made; without libpmem every line of a copy is written back. */
static void test_cached(void **state)
{
    (void)state;
    uint64_t bytes = stats_sum(STATS_PM_BYTES), flushes = stats_sum(STATS_PM_FLUSHES);
    uint64_t fences = stats_sum(STATS_PM_FENCES);
    pm_domain = PM_DOMAIN_CACHED;
    memset(pm_area, 0xee, AREA);
    pm_copy(pm_area + 128, source, 1000);
    pm_flush(pm_area, AREA);
    pm_fence();
    pm_domain = PM_DOMAIN_DURABLE;
    check_only(128, 1000, source, 0xee);
    assert_int_equal(stats_sum(STATS_PM_BYTES) - bytes, 1000);
    assert_int_equal(stats_sum(STATS_PM_FLUSHES), flushes);
    assert_int_equal(stats_sum(STATS_PM_FENCES), fences);
}

/* A store is one 8-byte store of the value. */
static void test_store64(void **state)
{
    (void)state;
    memset(pm_area, 0xee, AREA);
    pm_store64((_Atomic uint64_t *)(void *)(pm_area + 64), UINT64_C(0x0102030405060708));
    uint64_t value;
    memcpy(&value, pm_area + 64, 8);
    assert_int_equal(value, UINT64_C(0x0102030405060708));
    assert_int_equal(pm_area[63], 0xee);
    assert_int_equal(pm_area[72], 0xee);
}

/* With PMEM_NO_FLUSH=1, and with it and PMEM_NO_MOVNT=1, every line of a copy is written back by the library itself. The
 * variables are read when the process starts, so the test starts itself again; see main. */
static void test_no_flush(void **state)
{
    (void)state;
    static const char *const variables[] = {"PMEM_NO_FLUSH=1", "PMEM_NO_FLUSH=1 PMEM_NO_MOVNT=1",
                                            "PMEM_NO_FLUSH=1 PMEM_NO_CLWB=1 PMEM_NO_CLFLUSHOPT=1"};
    char command[512], self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        strcpy(command, variables[i]);
        strcat(strcat(strcat(command, " "), self), " no-flush");
        assert_int_equal(system(command), 0);
    }
    strcpy(command, "PMEM_NO_FLUSH=0 ");
    strcat(strcat(command, self), " no-flush");
    assert_int_not_equal(system(command), 0);
    strcpy(command, self); /* nor is libpmem asked before it is loaded */
    strcat(command, " not-loaded");
    assert_int_equal(system(command), 0);
}

/* 0 if the 65 lines of a copy were counted as written back. */
static int no_flush_main(void)
{
    static unsigned char target[AREA] __attribute__((aligned(64)));
    uint64_t flushes = stats_sum(STATS_PM_FLUSHES);
    pm_copy(target + 1, source, 4096);
    bool right = !memcmp(target + 1, source, 4096);
    return right && stats_sum(STATS_PM_FLUSHES) - flushes == 65 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),   cmocka_unit_test(test_zero),    cmocka_unit_test(test_counters),
        cmocka_unit_test(test_cached), cmocka_unit_test(test_store64), cmocka_unit_test(test_no_flush),
    };
    if (argc == 2 && !strcmp(argv[1], "not-loaded"))
        return no_flush_main();
    pm_load();
    if (argc == 2 && !strcmp(argv[1], "no-flush"))
        return no_flush_main();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
