/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * plan.h — which operations a job does, in which order. The order follows from the options, the seed and the job's
 * number alone, so that a later run can compute again what was written last (--verify_only).
 *
 * Offsets and lengths are multiples of a unit, the smallest block size. Random order without repetition is a keyed
 * permutation of the units: no map in memory, about 10 ns. With --bsrange the permutation is of the starts, and blocks
 * may overlap.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include "options.h"

#include <stdbool.h>
#include <stdint.h>

enum { PLAN_READ, PLAN_WRITE, PLAN_DIRECTIONS };

struct plan_io {
    unsigned direction;
    bool restart; /* appending: cut the file to nothing first */
    uint64_t offset;
    uint64_t length;
    uint64_t sequence; /* of the job's writes, from 1 */
};

struct plan {
    enum options_rw rw;
    bool repetition;      /* norandommap */
    bool endless;         /* time_based */
    bool ramping;         /* no limit counts yet */
    uint64_t unit, steps; /* lengths are 1 to `steps` units */
    uint64_t start, units;
    uint64_t byte_limit, io_limit, ramp_size;
    uint64_t mix;
    uint64_t state; /* of the random numbers */
    uint64_t bytes, ios;
    uint64_t sequence;
    uint64_t position[PLAN_DIRECTIONS]; /* sequential: next unit */
    uint64_t pass_position;             /* random: units of this pass already given out */
    uint64_t key[4];                    /* of this pass's permutation */
    unsigned low_bits, high_bits;
};

/* `job` is the number of the job among all of the command line, `start` where its region begins. */
void plan_init(struct plan *plan, const struct job_options *options, unsigned job, uint64_t start);

/* False at the end of the plan. */
bool plan_next(struct plan *plan, struct plan_io *io);

/* Ends the ramp where it is over; `time_over` tells whether its time has come. True if it ended now. */
static inline bool plan_ramp_ends(struct plan *plan, bool time_over)
{
    if (!plan->ramping || !time_over || plan->bytes < plan->ramp_size)
        return false;
    plan->ramping = false;
    plan->bytes = 0;
    plan->ios = 0;
    return true;
}

#endif
