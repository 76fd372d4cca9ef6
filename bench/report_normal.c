/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * report_normal.c — results as text in fio's manner.
 */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TEXT_MAX = 32, PER_LINE = 4, NS_PER_MS = 1000000, US_PER_SECOND = 1000000 };

/* "12", "3456k": as many digits as tell something. */
static const char *short_number(char *text, double value, double base, const char *const *units)
{
    unsigned unit = 0;
    while (value >= 1000 && units[unit + 1]) {
        value /= base;
        unit++;
    }
    snprintf(text, TEXT_MAX, "%.*f%s", value >= 100 || unit == 0 ? 0 : value >= 10 ? 1 : 2, value, units[unit]);
    return text;
}

static const char *decimal(char *text, double value)
{
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    return short_number(text, value, 1000, units);
}

static const char *binary(char *text, double value)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    return short_number(text, value, 1024, units);
}

struct scale {
    const char *name;
    double ns;
};

/* As fio: nanoseconds, unless all of it is well above. */
static struct scale choose_scale(const struct histogram *hist)
{
    static const struct scale usec = {"usec", 1e3}, msec = {"msec", 1e6}, nsec = {"nsec", 1};
    if (hist->min > 2000000 && hist->max > 99999000)
        return msec;
    return hist->min > 2000 && hist->max > 99999 ? usec : nsec;
}

static void put_latency(FILE *stream, const char *label, const struct histogram *hist)
{
    struct scale scale = choose_scale(hist);
    char low[TEXT_MAX], high[TEXT_MAX];
    fprintf(stream, "    %s (%s): min=%s, max=%s, avg=%.2f, stdev=%.2f\n", label, scale.name,
            decimal(low, (double)hist->min / scale.ns), decimal(high, (double)hist->max / scale.ns),
            histogram_mean(hist) / scale.ns, histogram_stddev(hist) / scale.ns);
    fprintf(stream, "    %s percentiles (%s):\n", label, scale.name);
    for (unsigned i = 0; i < HIST_PERCENTILES; i++) {
        double percent = histogram_percentile_list[i];
        fprintf(stream, "%s%5.2fth=[%5.0f]%s", i % PER_LINE ? " " : "     | ", percent,
                (double)histogram_percentile(hist, percent) / scale.ns,
                i + 1 == HIST_PERCENTILES      ? "\n"
                : i % PER_LINE == PER_LINE - 1 ? ",\n"
                                               : ",");
    }
}

static void put_bandwidth(FILE *stream, const struct job_result *sum, unsigned direction)
{
    char bw[TEXT_MAX], bw10[TEXT_MAX], bytes[TEXT_MAX], bytes10[TEXT_MAX];
    double rate = report_bytes_per_second(sum, direction);
    double total = (double)sum->direction[direction].bytes;
    fprintf(stream, "BW=%s/s (%sB/s)(%s (%sB)/%" PRIu64 "msec)\n", binary(bw, rate), decimal(bw10, rate),
            binary(bytes, total), decimal(bytes10, total), sum->runtime_ns / NS_PER_MS);
}

static void put_counters(FILE *stream, const struct job_result *sum)
{
    if (!sum->counters_end.valid) {
        fprintf(stream, "  nvmmio       : not in this process\n");
        return;
    }
    fprintf(stream, "  nvmmio       : write amplification %.3f, with the write-back of the last close %.3f\n",
            report_amplification(sum, &sum->counters_end), report_amplification(sum, &sum->counters_closed));
    for (unsigned i = 0; i < COUNTERS_COUNT; i++) {
        uint64_t run = sum->counters_end.value[i] - sum->counters_start.value[i];
        uint64_t closed = sum->counters_closed.value[i] - sum->counters_end.value[i];
        if (run || closed)
            fprintf(stream, "     %-22s %14" PRIu64 "  (close: %" PRIu64 ")\n", counters_name(i), run, closed);
    }
}

static double percent_cpu(uint64_t us, uint64_t runtime_ns)
{
    return runtime_ns ? 100.0 * (double)us * (TICKS_SECOND_NS / US_PER_SECOND) / (double)runtime_ns : 0;
}

static void put_row(FILE *stream, const struct run *run, const struct report_row *row)
{
    static const char *const names[] = {[PLAN_READ] = "read", [PLAN_WRITE] = "write"};
    const struct job_result *sum = row->sum;
    const struct job_options *options = row->first->options;
    char iops[TEXT_MAX], bs[TEXT_MAX], bs_max[TEXT_MAX];
    fprintf(stream, "\n%s: (groupid=%u, jobs=%u): err=%2d%s%s: rw=%s, bs=%s-%s, ioengine=%s, %s\n", options->name,
            row->group, row->jobs, sum->error, sum->error ? ", " : "", sum->why, options_rw_name(options->rw),
            binary(bs, (double)options->bs_min), binary(bs_max, (double)options->bs_max), options->engine->name,
            options->thread ? "threads" : "processes");
    for (unsigned d = 0; d < PLAN_DIRECTIONS; d++) {
        if (!sum->direction[d].latency.count)
            continue;
        fprintf(stream, "  %s: IOPS=%s, ", names[d], decimal(iops, report_iops(sum, d)));
        put_bandwidth(stream, sum, d);
        put_latency(stream, "clat", &sum->direction[d].latency);
    }
    if (sum->sync.count) {
        fprintf(stream, "  fsync/fdatasync: total=%" PRIu64 "\n", sum->sync.count);
        put_latency(stream, "sync", &sum->sync);
    }
    fprintf(stream, "  cpu          : usr=%.2f%%, sys=%.2f%%, ctx=%" PRIu64 ", majf=%" PRIu64 ", minf=%" PRIu64 "\n",
            percent_cpu(sum->user_us, sum->runtime_ns), percent_cpu(sum->system_us, sum->runtime_ns),
            sum->context_switches, sum->major_faults, sum->minor_faults);
    fprintf(stream, "     issued rw : total=%" PRIu64 ",%" PRIu64 " short=%" PRIu64 ",%" PRIu64 "\n",
            sum->direction[PLAN_READ].latency.count, sum->direction[PLAN_WRITE].latency.count,
            sum->direction[PLAN_READ].short_ios, sum->direction[PLAN_WRITE].short_ios);
    if (options->verify)
        fprintf(stream, "  verify       : %" PRIu64 " blocks checked, %" PRIu64 " wrong\n", sum->verified,
                sum->verify_errors);
    if (run->options->stats)
        put_counters(stream, sum);
}

static void put_group(FILE *stream, const struct report_row *rows, unsigned row_count, unsigned group)
{
    static const char *const names[] = {[PLAN_READ] = " READ", [PLAN_WRITE] = "WRITE"};
    fprintf(stream, "\nRun status group %u (all jobs):\n", group);
    for (unsigned d = 0; d < PLAN_DIRECTIONS; d++) {
        uint64_t bytes = 0, runtime = 0;
        for (unsigned i = 0; i < row_count; i++) {
            if (rows[i].group != group)
                continue;
            bytes += rows[i].sum->direction[d].bytes;
            if (rows[i].sum->runtime_ns > runtime)
                runtime = rows[i].sum->runtime_ns;
        }
        if (!bytes)
            continue;
        char bw[TEXT_MAX], bw10[TEXT_MAX], io[TEXT_MAX], io10[TEXT_MAX];
        double rate = runtime ? (double)bytes * TICKS_SECOND_NS / (double)runtime : 0;
        fprintf(stream, "  %s: bw=%s/s (%sB/s), io=%s (%sB), run=%" PRIu64 "msec\n", names[d], binary(bw, rate),
                decimal(bw10, rate), binary(io, (double)bytes), decimal(io10, (double)bytes), runtime / NS_PER_MS);
    }
}

void report_normal(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count)
{
    fprintf(stream, "%s: %u job%s, clock: %s, %" PRIu64 " ns in each latency\n", report_version, run->job_count,
            run->job_count == 1 ? "" : "s", run->ticks.cpu ? "cpu" : "clock_gettime", ticks_pair_ns(&run->ticks));
    for (unsigned i = 0; i < row_count; i++)
        put_row(stream, run, &rows[i]);
    for (unsigned group = 0; row_count && group <= rows[row_count - 1].group; group++)
        put_group(stream, rows, row_count, group);
}
