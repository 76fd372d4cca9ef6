/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_histogram.c — what nvbench reports about latencies is what was recorded.
 */
#include "histogram.h"
#include "random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram hist;

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* An empty histogram reports zeros, not rubbish. */
static void test_empty(void **state)
{
    (void)state;
    histogram_reset(&hist);
    assert_int_equal(histogram_percentile(&hist, 50), 0);
    assert_true(histogram_mean(&hist) == 0 && histogram_stddev(&hist) == 0);
}

/* Every value falls into a bucket; larger values never into an earlier one; percentile 100 of one value is it. */
static void test_buckets(void **state)
{
    (void)state;
    unsigned last = 0;
    for (uint64_t value = 0; value < (uint64_t)1 << 42; value = value < 1000 ? value + 1 : value + value / 300) {
        unsigned index = histogram_index(value);
        assert_in_range(index, last, HIST_BUCKETS - 1);
        last = index;
    }
    histogram_reset(&hist);
    histogram_add(&hist, 12345);
    assert_int_equal(histogram_percentile(&hist, 1), 12345);
    assert_int_equal(histogram_percentile(&hist, 100), 12345);
}

/* Percentiles of a long-tailed sample are within 1% of the exact ones. */
static void test_percentiles(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    uint64_t *value = malloc(COUNT * sizeof *value);
    uint64_t seed = 1;
    assert_non_null(value);
    histogram_reset(&hist);
    for (unsigned i = 0; i < COUNT; i++) {
        double uniform = ((double)random_below(&seed, 1000000) + 1) / 1000001;
        value[i] = (uint64_t)(200 - 100000 * log(uniform) * uniform);
        histogram_add(&hist, value[i]);
    }
    qsort(value, COUNT, sizeof *value, compare);
    for (unsigned i = 0; i < HIST_PERCENTILES; i++) {
        uint64_t rank = (uint64_t)ceil(histogram_percentile_list[i] / 100 * COUNT);
        double exact = (double)value[rank - 1];
        double got = (double)histogram_percentile(&hist, histogram_percentile_list[i]);
        assert_true(fabs(got - exact) <= exact / 100);
    }
    assert_int_equal(hist.min, value[0]);
    assert_int_equal(hist.max, value[COUNT - 1]);
    free(value);
}

/* Mean and deviation are exact also where all values are close to each other and large. */
static void test_moments(void **state)
{
    (void)state;
    histogram_reset(&hist);
    for (unsigned i = 0; i < 1000; i++) {
        histogram_add(&hist, 1000000001);
        histogram_add(&hist, 1000000003);
    }
    assert_true(fabs(histogram_mean(&hist) - 1000000002) < 1e-3);
    assert_true(fabs(histogram_stddev(&hist) - sqrt(2000.0 / 1999)) < 1e-6);
}

/* Merging equals recording in one. */
static void test_merge(void **state)
{
    (void)state;
    static struct histogram half[2];
    histogram_reset(&hist);
    histogram_reset(&half[0]);
    histogram_reset(&half[1]);
    uint64_t seed = 2;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t value = random_below(&seed, 1000000);
        histogram_add(&hist, value);
        histogram_add(&half[i % 2], value);
    }
    histogram_merge(&half[0], &half[1]);
    assert_memory_equal(&half[0], &hist, sizeof hist);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),   cmocka_unit_test(test_buckets), cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_moments), cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
