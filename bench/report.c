/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * report.c — puts results together, and the terse form. See report.h.
 */
#include "report.h"

#include "nvmmio.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_STRING(x) #x
#define REPORT_VERSION(major, minor) REPORT_STRING(major) "." REPORT_STRING(minor)
const char report_version[] = "nvbench-" REPORT_VERSION(NVMMIO_VERSION_MAJOR, NVMMIO_VERSION_MINOR);

static double per_second(uint64_t count, uint64_t ns)
{
    return ns ? (double)count * TICKS_SECOND_NS / (double)ns : 0;
}

double report_iops(const struct job_result *result, unsigned direction)
{
    return per_second(result->direction[direction].latency.count, result->runtime_ns);
}

double report_bytes_per_second(const struct job_result *result, unsigned direction)
{
    return per_second(result->direction[direction].bytes, result->runtime_ns);
}

double report_amplification(const struct job_result *result, const struct counters *until)
{
    const struct counters *from = &result->counters_start;
    uint64_t written = counters_between(from, until, "uma.write_bytes");
    uint64_t stored = counters_between(from, until, "pm.bytes") + counters_between(from, until, "pm.meta_bytes");
    return written ? (double)stored / (double)written : 0;
}

static void add_counters(struct counters *into, const struct counters *from)
{
    into->valid |= from->valid;
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        into->value[i] += from->value[i];
}

static void add_result(struct job_result *into, const struct job_result *from)
{
    for (unsigned i = 0; i < PLAN_DIRECTIONS; i++) {
        into->direction[i].bytes += from->direction[i].bytes;
        into->direction[i].short_ios += from->direction[i].short_ios;
        histogram_merge(&into->direction[i].latency, &from->direction[i].latency);
    }
    histogram_merge(&into->sync, &from->sync);
    if (from->runtime_ns > into->runtime_ns)
        into->runtime_ns = from->runtime_ns;
    into->user_us += from->user_us;
    into->system_us += from->system_us;
    into->context_switches += from->context_switches;
    into->major_faults += from->major_faults;
    into->minor_faults += from->minor_faults;
    into->verified += from->verified;
    into->verify_errors += from->verify_errors;
    add_counters(&into->counters_start, &from->counters_start);
    add_counters(&into->counters_end, &from->counters_end);
    add_counters(&into->counters_closed, &from->counters_closed);
    if (from->error && !into->error) {
        into->error = from->error;
        memcpy(into->why, from->why, sizeof into->why);
    }
}

/* Rows for the jobs; false if there is no memory for them. */
static bool make_rows(const struct run *run, struct report_row *rows, unsigned *row_count)
{
    *row_count = 0;
    for (unsigned id = 0; id < run->job_count; id++) {
        const struct job *job = &run->job[id];
        bool joins = *row_count && job->options->group_reporting && job->number > 0;
        if (!joins) {
            struct job_result *sum = calloc(1, sizeof *sum);
            if (!sum)
                return false;
            for (unsigned i = 0; i < PLAN_DIRECTIONS; i++)
                histogram_reset(&sum->direction[i].latency);
            histogram_reset(&sum->sync);
            rows[(*row_count)++] = (struct report_row){.first = job, .group = run->group[id], .sum = sum};
        }
        struct report_row *row = &rows[*row_count - 1];
        row->jobs++;
        add_result(row->sum, job->result);
    }
    return true;
}

void report_all(FILE *stream, const struct run *run)
{
    static void (*const form[])(FILE *, const struct run *, const struct report_row *, unsigned) = {
        [FORMAT_NORMAL] = report_normal, [FORMAT_JSON] = report_json, [FORMAT_TERSE] = report_terse};
    struct report_row *rows = calloc(run->job_count, sizeof *rows);
    unsigned row_count = 0;
    if (rows && make_rows(run, rows, &row_count))
        form[run->options->format](stream, run, rows, row_count);
    else
        fprintf(stderr, "nvbench: no memory for the report\n");
    for (unsigned i = 0; i < row_count; i++)
        free(rows[i].sum);
    free(rows);
}

void report_terse(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count)
{
    (void)run;
    fprintf(stream, "job;engine;direction;error;ios;bytes;runtime_ns;iops;bw_bytes;min_ns;mean_ns;stddev_ns;p50_ns;"
                    "p99_ns;p99.9_ns;max_ns;syncs;sync_mean_ns;op_ns;amplification;amplification_closed\n");
    static const char *const names[] = {[PLAN_READ] = "read", [PLAN_WRITE] = "write"};
    for (unsigned i = 0; i < row_count; i++) {
        const struct job_result *sum = rows[i].sum;
        for (unsigned d = 0; d < PLAN_DIRECTIONS; d++) {
            const struct histogram *latency = &sum->direction[d].latency;
            if (!latency->count)
                continue;
            /* Syncs belong to the writes: op_ns is what a write and its share of the syncs take together. */
            uint64_t op_sum = latency->sum + (d == PLAN_WRITE ? sum->sync.sum : 0);
            fprintf(stream, "%s;%s;%s;%d;%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%.1f;%.0f;%" PRIu64 ";%.1f;%.1f;",
                    rows[i].first->options->name, rows[i].first->options->engine->name, names[d], sum->error,
                    latency->count, sum->direction[d].bytes, sum->runtime_ns, report_iops(sum, d),
                    report_bytes_per_second(sum, d), latency->min, histogram_mean(latency), histogram_stddev(latency));
            fprintf(stream, "%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%" PRIu64 ";%.1f;%.1f;%.4f;%.4f\n",
                    histogram_percentile(latency, 50), histogram_percentile(latency, 99),
                    histogram_percentile(latency, 99.9), latency->max, sum->sync.count, histogram_mean(&sum->sync),
                    (double)op_sum / (double)latency->count, report_amplification(sum, &sum->counters_end),
                    report_amplification(sum, &sum->counters_closed));
        }
    }
}
