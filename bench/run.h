/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * run.h — all jobs of a command line: numbers them, lays out their files, runs group after group (--stonewall), each
 * job as a thread or as a process.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "job.h"

struct run {
    const struct options *options;
    struct ticks ticks;
    unsigned job_count;
    struct job *job;           /* by id */
    unsigned *group;           /* of each job */
    struct job_result *result; /* shared */
    struct verify_model *models;
};

/* 0, or a negative errno and one line in `why` where not even the jobs could be started. What befell single jobs is in
 * their results. */
int run_all(struct run *run, const struct options *options, char *why, size_t why_size);

#endif
