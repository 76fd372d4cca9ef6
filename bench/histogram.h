/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * histogram.h — latencies in nanoseconds: exact count, minimum, maximum, mean and standard deviation, and log-linear
 * buckets for percentiles.
 *
 * A power of two is cut into 128 buckets, so that a value read back from a bucket's middle is off by at most 0.4%.
 * A histogram has no pointers: it may lie in memory that is shared with a forked job.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HIST_SUB_BITS = 7,
    HIST_SUB = 1 << HIST_SUB_BITS,
    HIST_VALUE_BITS = 40, /* up to 18 minutes; longer ones are counted in the last bucket */
    HIST_BUCKETS = (HIST_VALUE_BITS - HIST_SUB_BITS + 1) * HIST_SUB
};

struct histogram {
    uint64_t count;
    uint64_t min; /* meaningless while count is 0 */
    uint64_t max;
    uint64_t sum;
    unsigned __int128 sum_squares; /* exact: no cancellation in the deviation of long runs */
    uint64_t bucket[HIST_BUCKETS];
};

void histogram_reset(struct histogram *hist);
void histogram_merge(struct histogram *into, const struct histogram *from);
double histogram_mean(const struct histogram *hist);
double histogram_stddev(const struct histogram *hist);

/* The smallest recorded value (to the accuracy of a bucket) that `percent` of all values do not exceed. 0 if empty. */
uint64_t histogram_percentile(const struct histogram *hist, double percent);

/* The percentiles that fio reports. */
enum { HIST_PERCENTILES = 17 };
extern const double histogram_percentile_list[HIST_PERCENTILES];

static inline unsigned histogram_index(uint64_t value)
{
    if (value < HIST_SUB)
        return (unsigned)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    if (top >= HIST_VALUE_BITS)
        return HIST_BUCKETS - 1;
    unsigned group = top - HIST_SUB_BITS;
    return (group + 1) * HIST_SUB + (unsigned)((value >> group) & (HIST_SUB - 1));
}

static inline void histogram_add(struct histogram *hist, uint64_t value)
{
    hist->count++;
    hist->sum += value;
    hist->sum_squares += (unsigned __int128)value * value;
    if (value < hist->min)
        hist->min = value;
    if (value > hist->max)
        hist->max = value;
    hist->bucket[histogram_index(value)]++;
}

#endif
