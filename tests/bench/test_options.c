/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_options.c — nvbench reads options as fio does, and refuses what it does not understand.
 */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ARGS_MAX = 32, WHY_MAX = 256 };

static struct options options;
static char why[WHY_MAX];

/* Arguments until NULL. */
static int parse(const char *first, ...)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t) "nvbench"};
    int argc = 1;
    va_list args;
    va_start(args, first);
    for (const char *arg = first; arg; arg = va_arg(args, const char *))
        argv[argc++] = (char *)(uintptr_t)arg;
    va_end(args);
    why[0] = '\0';
    return options_parse(&options, argc, argv, why, sizeof why);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},        {"64", 64},         {"4k", 4096},       {"4K", 4096},     {"4kb", 4096}, {"4KiB", 4096},
        {"1m", 1 << 20}, {"2g", 2ull << 30}, {"3T", 3ull << 40}, {"0x1000", 4096}, {"010", 10},   {"512b", 512},
    };
    static const char *const bad[] = {"", "k", "-1", "4x", "4 k", "1.5k", "99999999999999999999", "20000000t", "4kk"};
    uint64_t value;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(options_parse_size(good[i].text, &value), 0);
        assert_int_equal(value, good[i].value);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_not_equal(options_parse_size(bad[i], &value), 0);
}

static void test_times(void **state)
{
    (void)state;
    uint64_t us;
    assert_int_equal(options_parse_time("10", &us), 0);
    assert_int_equal(us, 10000000);
    assert_int_equal(options_parse_time("250ms", &us), 0);
    assert_int_equal(us, 250000);
    assert_int_equal(options_parse_time("2m", &us), 0);
    assert_int_equal(us, 120000000);
    assert_int_not_equal(options_parse_time("2w", &us), 0);
}

/* --opt=value and --opt value are the same, for every option that takes one. */
static void test_both_forms(void **state)
{
    (void)state;
    assert_int_equal(parse("--name=a", "--rw=randrw", "--bs=8k", "--size=1g", "--numjobs=3", "--fsync=32",
                           "--rwmixread=70", "--runtime=500ms", "--ioengine=mmap", NULL),
                     0);
    struct job_options first = options.job[0];
    assert_int_equal(parse("--name", "a", "--rw", "randrw", "--bs", "8k", "--size", "1g", "--numjobs", "3", "--fsync",
                           "32", "--rwmixread", "70", "--runtime", "500ms", "--ioengine", "mmap", NULL),
                     0);
    assert_string_equal(options.job[0].name, "a");
    options.job[0].name = first.name;
    assert_memory_equal(&options.job[0], &first, sizeof first);
    assert_int_equal(first.rw, RW_RANDMIX);
    assert_int_equal(first.bs_min, 8192);
    assert_int_equal(first.bs_max, 8192);
    assert_int_equal(first.size, 1 << 30);
    assert_int_equal(first.numjobs, 3);
    assert_int_equal(first.fsync, 32);
    assert_int_equal(first.rwmixread, 70);
    assert_int_equal(first.runtime_us, 500000);
    assert_ptr_equal(first.engine, &engine_mmap);
}

/* Options before the first --name hold for all jobs, those after it for one. */
static void test_sections(void **state)
{
    (void)state;
    assert_int_equal(parse("--size=1m", "--bs=1k", "--name=a", "--bs=2k", "--name=b", "--stonewall", NULL), 0);
    assert_int_equal(options.job_count, 2);
    assert_int_equal(options.job[0].bs_min, 2048);
    assert_int_equal(options.job[1].bs_min, 1024);
    assert_int_equal(options.job[1].size, 1 << 20);
    assert_false(options.job[0].stonewall);
    assert_true(options.job[1].stonewall);
}

static void test_switches(void **state)
{
    (void)state;
    assert_int_equal(parse("--name=a", "--size=1m", NULL), 0);
    assert_true(options.job[0].thread && options.job[0].overwrite && options.job[0].do_verify);
    assert_false(options.job[0].verify || options.job[0].norandommap);
    assert_int_equal(parse("--name=a", "--size=1m", "--thread=0", "--norandommap", "--overwrite=0", NULL), 0);
    assert_false(options.job[0].thread || options.job[0].overwrite);
    assert_true(options.job[0].norandommap);
    assert_int_not_equal(parse("--name=a", "--size=1m", "--thread=yes", NULL), 0);
}

static void test_names_of_values(void **state)
{
    (void)state;
    static const char *const names[] = {"read", "write", "randread", "randwrite", "rw", "randrw", "append"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(parse("--name=a", "--size=1m", "--rw", names[i], NULL), 0);
        assert_int_equal(options.job[0].rw, i);
    }
    static const char *const engines[] = {"psync", "nvmmio", "mmap", "libpmem", "null"};
    for (unsigned i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        assert_int_equal(parse("--name=a", "--size=1m", "--ioengine", engines[i], NULL), 0);
        assert_string_equal(options.job[0].engine->name, engines[i]);
    }
    static const char *const verify[] = {"0", "1", "crc32c"};
    for (unsigned i = 0; i < sizeof verify / sizeof verify[0]; i++) {
        assert_int_equal(parse("--name=a", "--size=1m", "--verify", verify[i], NULL), 0);
        assert_int_equal(options.job[0].verify, i > 0);
    }
    assert_int_equal(parse("--name=a", "--size=1m", "--output-format=json", NULL), 0);
    assert_int_equal(options.format, FORMAT_JSON);
    assert_int_equal(parse("--name=a", "--size=1m", "--bsrange=512-64k", NULL), 0);
    assert_int_equal(options.job[0].bs_min, 512);
    assert_int_equal(options.job[0].bs_max, 65536);
}

/* Whatever cannot be done as asked is refused with a reason, never done otherwise. */
static void test_refusals(void **state)
{
    (void)state;
    static const char *const bad[][6] = {
        {NULL},
        {"--size=1m", NULL},
        {"--name=a", NULL},
        {"--name=a", "--size=1k", NULL},
        {"--name=", "--size=1m", NULL},
        {"--name=a/b", "--size=1m", NULL},
        {"name=a", "--size=1m", NULL},
        {"--name=a", "--size=1m", "--nosuch=1", NULL},
        {"--name=a", "--size=1m", "--siz=1m", NULL},
        {"--name=a", "--size", NULL},
        {"--name=a", "--size=1m", "--rw=trim", NULL},
        {"--name=a", "--size=1m", "--bs=0", NULL},
        {"--name=a", "--size=1m", "--bsrange=8k-4k", NULL},
        {"--name=a", "--size=1m", "--bsrange=8k", NULL},
        {"--name=a", "--size=1m", "--numjobs=0", NULL},
        {"--name=a", "--size=1m", "--numjobs=1k", NULL},
        {"--name=a", "--size=1m", "--rwmixread=101", NULL},
        {"--name=a", "--size=1m", "--time_based", NULL},
        {"--name=a", "--size=1m", "--ioengine=libaio", NULL},
        {"--name=a", "--size=1m", "--verify=md5", NULL},
        {"--name=a", "--size=1m", "--verify=1", "--bs=32", NULL},
        {"--name=a", "--size=1m", "--verify_only", NULL},
        {"--name=a", "--size=1m", "--rw=write", "--verify=1", "--offset=1000", NULL},
        {"--name=a", "--size=9000000t", NULL},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(parse(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], NULL), 0);
        assert_int_not_equal(strlen(why), 0);
    }
    /* What a run cut off by time wrote cannot be computed again. */
    assert_int_not_equal(
        parse("--name=a", "--size=1m", "--rw=write", "--verify=1", "--verify_only", "--runtime=1", NULL), 0);
    /* Two writers' stores into one mapping are not atomic: there is nothing to verify. */
    assert_int_not_equal(parse("--name=a", "--size=1m", "--rw=write", "--verify=1", "--filename=f", "--numjobs=2",
                               "--ioengine=mmap", NULL),
                         0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_times),    cmocka_unit_test(test_both_forms),
        cmocka_unit_test(test_sections), cmocka_unit_test(test_switches), cmocka_unit_test(test_names_of_values),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
