/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * histogram.c — see histogram.h.
 */
#include "histogram.h"

#include <math.h>
#include <string.h>

const double histogram_percentile_list[HIST_PERCENTILES] = {1,  5,  10, 20, 30,   40,   50,    60,   70,
                                                            80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99};

void histogram_reset(struct histogram *hist)
{
    memset(hist, 0, sizeof *hist);
    hist->min = UINT64_MAX;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->sum_squares += from->sum_squares;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

double histogram_mean(const struct histogram *hist)
{
    return hist->count ? (double)hist->sum / (double)hist->count : 0;
}

double histogram_stddev(const struct histogram *hist)
{
    if (hist->count < 2)
        return 0;
    /* n * sum(x^2) - sum(x)^2 in integers, for as long as it fits; then there is nothing to cancel. */
    unsigned __int128 n = hist->count;
    unsigned __int128 square_of_sum = (unsigned __int128)hist->sum * hist->sum;
    double variance;
    if (hist->sum_squares <= ~(unsigned __int128)0 / n) {
        variance = (double)(n * hist->sum_squares - square_of_sum) / ((double)n * (double)(n - 1));
    } else {
        double mean = histogram_mean(hist);
        variance = ((double)hist->sum_squares - (double)hist->sum * mean) / (double)(n - 1);
    }
    return variance > 0 ? sqrt(variance) : 0;
}

static uint64_t bucket_middle(unsigned index)
{
    if (index < HIST_SUB)
        return index;
    unsigned group = index / HIST_SUB - 1;
    uint64_t low = (uint64_t)(HIST_SUB + index % HIST_SUB) << group;
    return low + (((uint64_t)1 << group) >> 1);
}

uint64_t histogram_percentile(const struct histogram *hist, double percent)
{
    if (hist->count == 0)
        return 0;
    uint64_t rank = (uint64_t)ceil(percent / 100 * (double)hist->count);
    if (rank < 1)
        rank = 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->bucket[i];
        if (seen < rank)
            continue;
        uint64_t value = bucket_middle(i);
        if (value < hist->min)
            return hist->min;
        return value > hist->max ? hist->max : value;
    }
    return hist->max;
}
