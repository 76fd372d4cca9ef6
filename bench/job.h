/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * job.h — one job: opens its file, waits for the others, does its plan, checks it, closes.
 *
 * A job runs in a thread or in a forked process; what it shares with others (results, control, models) lies in memory
 * mapped before the fork.
 */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include "ack.h"
#include "counters.h"
#include "histogram.h"
#include "options.h"
#include "plan.h"
#include "ticks.h"
#include "verify.h"

#include <limits.h>
#include <stdatomic.h>

enum { JOB_WHY_MAX = 256 };

enum job_phase { JOB_OPENED, JOB_DONE, JOB_PHASES };

/* Of one group of jobs that run at once. */
struct job_control {
    unsigned jobs;
    /* Jobs that reached each phase. Relaxed would do for counting; the default order also publishes the models. */
    atomic_uint arrived[JOB_PHASES];
    atomic_bool stop;  /* the user wants no more: end the workload, report */
    atomic_bool abort; /* a job died: nobody waits for it */
};

struct job_direction {
    uint64_t bytes;
    uint64_t short_ios; /* continued until complete */
    struct histogram latency;
};

struct job_result {
    bool finished;
    int error; /* errno */
    char why[JOB_WHY_MAX];
    struct job_direction direction[PLAN_DIRECTIONS];
    struct histogram sync;
    uint64_t runtime_ns;
    uint64_t user_us, system_us;
    uint64_t context_switches, major_faults, minor_faults;
    uint64_t verified, verify_errors; /* units */
    struct counters counters_start, counters_end, counters_closed;
};

struct job {
    const struct job_options *options;
    unsigned number; /* among its numjobs */
    unsigned id;     /* among all */
    bool counts;     /* reads libnvmmio's counters; of several threads only one does */
    bool quiet;      /* faults are counted, not told: another state may be right */
    bool exclusive;  /* no other job of the group works on these bytes */
    uint64_t start;  /* of the region */
    uint64_t file_size;
    char path[PATH_MAX];
    const struct ticks *ticks;
    struct job_control *control;
    struct job_result *result;
    struct verify_model *models; /* of all jobs by id; NULL without verify */
    uint32_t model_count;
    struct ack *ack; /* NULL without --ack */
};

void job_run(struct job *job);

#endif
