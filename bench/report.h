/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * report.h — results as text in fio's manner, as JSON with fio's names, or as one line per direction.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "run.h"

#include <stdio.h>

/* A job, or with --group_reporting all of its numjobs together. */
struct report_row {
    const struct job *first;
    unsigned jobs;
    unsigned group;
    struct job_result *sum;
};

void report_all(FILE *stream, const struct run *run);

void report_normal(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count);
void report_json(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count);
void report_terse(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count);

/* The version of nvbench's output and options: that of the library. */
extern const char report_version[];

double report_iops(const struct job_result *result, unsigned direction);
double report_bytes_per_second(const struct job_result *result, unsigned direction);

/* Bytes stored to PM for each byte written, from libnvmmio's counters; 0 if unknown. */
double report_amplification(const struct job_result *result, const struct counters *until);

#endif
