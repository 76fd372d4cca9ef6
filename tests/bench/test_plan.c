/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_plan.c — nvbench does the operations that were asked for.
 */
#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct job_options defaults(enum options_rw rw)
{
    return (struct job_options){.rw = rw, .bs_min = 4096, .bs_max = 4096, .numjobs = 1, .rwmixread = 50, .randseed = 7};
}

/* Random order: each block exactly once per pass, in another order in each pass, and not in a line. */
static void test_random_map(void **state)
{
    (void)state;
    for (uint64_t units = 1; units < 5000; units = units < 70 ? units + 1 : units * 2 + 1) {
        struct job_options options = defaults(RW_RANDWRITE);
        options.size = units * options.bs_min;
        options.io_size = 2 * options.size;
        unsigned char *seen = calloc(units, 1);
        uint64_t *order = calloc(2 * units, sizeof *order);
        assert_true(seen && order);
        struct plan plan;
        struct plan_io io;
        plan_init(&plan, &options, 0, 0);
        uint64_t count = 0, neighbours = 0;
        while (plan_next(&plan, &io)) {
            assert_int_equal(io.length, 4096);
            assert_int_equal(io.offset % 4096, 0);
            assert_in_range(io.offset / 4096, 0, units - 1);
            order[count] = io.offset / 4096;
            assert_int_equal(seen[order[count]], count / units);
            seen[order[count]]++;
            neighbours += count && order[count] == order[count - 1] + 1;
            count++;
            assert_int_equal(io.sequence, count);
        }
        assert_int_equal(count, 2 * units);
        if (units > 70) {
            assert_true(neighbours < units / 8);
            assert_memory_not_equal(order, order + units, units * sizeof *order);
        }
        free(order);
        free(seen);
    }
}

/* With norandommap blocks repeat, about as chance would have it. */
static void test_repetition(void **state)
{
    (void)state;
    enum { UNITS = 1000 };
    struct job_options options = defaults(RW_RANDREAD);
    options.size = UNITS * options.bs_min;
    options.norandommap = true;
    static unsigned char seen[UNITS];
    struct plan plan;
    struct plan_io io;
    unsigned distinct = 0;
    plan_init(&plan, &options, 0, 0);
    while (plan_next(&plan, &io))
        distinct += !seen[io.offset / 4096]++;
    assert_in_range(distinct, UNITS * 55 / 100, UNITS * 70 / 100);
}

/* The same seed and job give the same plan, another seed or job another. */
static void test_repeatable(void **state)
{
    (void)state;
    struct job_options options = defaults(RW_RANDMIX);
    options.size = 1 << 20;
    options.bs_max = 1 << 16;
    struct plan plan[2];
    struct plan_io io[2];
    memset(io, 0, sizeof io);
    plan_init(&plan[0], &options, 3, 0);
    plan_init(&plan[1], &options, 3, 0);
    while (plan_next(&plan[0], &io[0])) {
        assert_true(plan_next(&plan[1], &io[1]));
        assert_memory_equal(&io[0], &io[1], sizeof io[0]);
    }
    assert_false(plan_next(&plan[1], &io[1]));
    struct job_options other = options;
    other.randseed++;
    unsigned same[2] = {0, 0};
    for (unsigned variant = 0; variant < 2; variant++) {
        plan_init(&plan[0], &options, 3, 0);
        plan_init(&plan[1], variant ? &other : &options, variant ? 3 : 4, 0);
        for (unsigned i = 0; i < 10 && plan_next(&plan[0], &io[0]) && plan_next(&plan[1], &io[1]); i++)
            same[variant] += io[0].offset == io[1].offset;
    }
    assert_true(same[0] < 5 && same[1] < 5);
}

/* Lengths are multiples of the smaller size, spread over the range, inside the region; the bytes add up. */
static void test_lengths(void **state)
{
    (void)state;
    struct job_options options = defaults(RW_RANDWRITE);
    options.bs_min = 512;
    options.bs_max = 8192;
    options.size = 1 << 20;
    options.io_size = 10 << 20;
    struct plan plan;
    struct plan_io io;
    uint64_t bytes = 0, small = 0, large = 0, start = 1 << 20;
    plan_init(&plan, &options, 0, start);
    while (plan_next(&plan, &io)) {
        assert_int_equal(io.length % 512, 0);
        assert_in_range(io.length, 512, 8192);
        assert_true(io.offset >= start && io.offset + io.length <= start + options.size);
        bytes += io.length;
        small += io.length <= 4096;
        large += io.length > 4096;
    }
    assert_int_equal(bytes, options.io_size);
    assert_true(small > large / 2 && large > small / 2);
}

/* Sequential: from the start to the end and again; an appending job is told when to start over. */
static void test_sequential(void **state)
{
    (void)state;
    for (enum options_rw rw = RW_READ; rw <= RW_APPEND; rw++) {
        if (options_rw_random(rw) || rw == RW_MIX)
            continue;
        struct job_options options = defaults(rw);
        options.size = 10 * 4096 + 100; /* what is less than a block is left alone */
        options.number_ios = 25;
        options.io_size = 1 << 20;
        struct plan plan;
        struct plan_io io;
        uint64_t count = 0;
        plan_init(&plan, &options, 0, 0);
        for (; plan_next(&plan, &io); count++) {
            assert_int_equal(io.offset, count % 10 * 4096);
            assert_int_equal(io.restart, rw == RW_APPEND && count && count % 10 == 0);
            assert_int_equal(io.direction, rw == RW_READ ? PLAN_READ : PLAN_WRITE);
        }
        assert_int_equal(count, 25);
    }
}

/* The mix is as asked, and limits count from the end of the ramp. */
static void test_mix_and_ramp(void **state)
{
    (void)state;
    struct job_options options = defaults(RW_RANDMIX);
    options.size = 64 << 20;
    options.rwmixread = 70;
    options.ramp_size = 1 << 20;
    options.number_ios = 10000;
    struct plan plan;
    struct plan_io io;
    uint64_t reads = 0, total = 0, ramped = 0;
    plan_init(&plan, &options, 0, 0);
    while (plan_next(&plan, &io)) {
        if (plan.ramping)
            ramped++;
        else
            total++, reads += io.direction == PLAN_READ;
        plan_ramp_ends(&plan, true);
    }
    assert_int_equal(ramped, (1 << 20) / 4096);
    assert_int_equal(total, 10000);
    assert_in_range(reads, 6800, 7200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_map), cmocka_unit_test(test_repetition), cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_lengths),    cmocka_unit_test(test_sequential), cmocka_unit_test(test_mix_and_ramp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
