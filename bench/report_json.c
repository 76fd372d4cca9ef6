/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * report_json.c — results as JSON, with fio's names and units; "verify" and "nvmmio" are our own.
 */
#include "report.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { KIB = 1024, NS_PER_MS = 1000000, US_PER_SECOND = 1000000 };

static void put_string(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(stream, "\\%c", c);
        else if (c < ' ')
            fprintf(stream, "\\u%04x", c);
        else
            fputc(c, stream);
    }
    fputc('"', stream);
}

static void put_latency(FILE *stream, const char *name, const struct histogram *hist)
{
    fprintf(stream,
            "        \"%s\" : {\n          \"min\" : %" PRIu64 ",\n          \"max\" : %" PRIu64
            ",\n          \"mean\" : %f,\n          \"stddev\" : %f,\n          \"N\" : %" PRIu64,
            name, hist->count ? hist->min : 0, hist->max, histogram_mean(hist), histogram_stddev(hist), hist->count);
    if (hist->count) {
        fprintf(stream, ",\n          \"percentile\" : {");
        for (unsigned i = 0; i < HIST_PERCENTILES; i++)
            fprintf(stream, "%s\n            \"%f\" : %" PRIu64, i ? "," : "", histogram_percentile_list[i],
                    histogram_percentile(hist, histogram_percentile_list[i]));
        fprintf(stream, "\n          }");
    }
    fprintf(stream, "\n        }");
}

static void put_direction(FILE *stream, const char *name, const struct job_result *sum, unsigned direction)
{
    const struct job_direction *d = &sum->direction[direction];
    uint64_t bw = (uint64_t)report_bytes_per_second(sum, direction);
    fprintf(stream,
            "      \"%s\" : {\n        \"io_bytes\" : %" PRIu64 ",\n        \"io_kbytes\" : %" PRIu64
            ",\n        \"bw_bytes\" : %" PRIu64 ",\n        \"bw\" : %" PRIu64
            ",\n        \"iops\" : %f,\n        \"runtime\" : %" PRIu64 ",\n        \"total_ios\" : %" PRIu64
            ",\n        \"short_ios\" : %" PRIu64 ",\n",
            name, d->bytes, d->bytes / KIB, bw, bw / KIB, report_iops(sum, direction),
            d->latency.count ? sum->runtime_ns / NS_PER_MS : 0, d->latency.count, d->short_ios);
    put_latency(stream, "clat_ns", &d->latency);
    /* There is no queue: completion latency is all of it. */
    fprintf(stream, ",\n");
    put_latency(stream, "lat_ns", &d->latency);
    fprintf(stream, "\n      },\n");
}

static void put_counters(FILE *stream, const struct job_result *sum)
{
    if (!sum->counters_end.valid)
        return;
    fprintf(stream, "      \"nvmmio\" : {\n");
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        fprintf(stream, "        \"%s\" : { \"run\" : %" PRIu64 ", \"close\" : %" PRIu64 " },\n", counters_name(i),
                sum->counters_end.value[i] - sum->counters_start.value[i],
                sum->counters_closed.value[i] - sum->counters_end.value[i]);
    fprintf(stream, "        \"amplification\" : %f,\n        \"amplification_closed\" : %f\n      },\n",
            report_amplification(sum, &sum->counters_end), report_amplification(sum, &sum->counters_closed));
}

static void put_options(FILE *stream, const struct report_row *row)
{
    const struct job_options *options = row->first->options;
    fprintf(stream, "      \"job options\" : {\n        \"name\" : ");
    put_string(stream, options->name);
    fprintf(stream,
            ",\n        \"ioengine\" : \"%s\",\n        \"rw\" : \"%s\",\n        \"bsrange\" : \"%" PRIu64 "-%" PRIu64
            "\",\n        \"size\" : \"%" PRIu64 "\",\n        \"numjobs\" : \"%" PRIu64
            "\",\n        \"thread\" : \"%d\",\n        \"fsync\" : \"%" PRIu64
            "\",\n        \"fdatasync\" : \"%" PRIu64 "\",\n        \"randseed\" : \"%" PRIu64 "\"\n      },\n",
            options->engine->name, options_rw_name(options->rw), options->bs_min, options->bs_max, options->size,
            options->numjobs, options->thread, options->fsync, options->fdatasync, options->randseed);
}

static double percent_cpu(uint64_t us, uint64_t runtime_ns)
{
    return runtime_ns ? 100.0 * (double)us * (TICKS_SECOND_NS / US_PER_SECOND) / (double)runtime_ns : 0;
}

static void put_row(FILE *stream, const struct report_row *row)
{
    const struct job_result *sum = row->sum;
    fprintf(stream, "    {\n      \"jobname\" : ");
    put_string(stream, row->first->options->name);
    fprintf(stream, ",\n      \"groupid\" : %u,\n      \"error\" : %d,\n", row->group, sum->error);
    if (sum->error) {
        fprintf(stream, "      \"error text\" : ");
        put_string(stream, sum->why);
        fprintf(stream, ",\n");
    }
    put_options(stream, row);
    put_direction(stream, "read", sum, PLAN_READ);
    put_direction(stream, "write", sum, PLAN_WRITE);
    fprintf(stream, "      \"sync\" : {\n        \"total_ios\" : %" PRIu64 ",\n", sum->sync.count);
    put_latency(stream, "lat_ns", &sum->sync);
    fprintf(stream, "\n      },\n");
    put_counters(stream, sum);
    fprintf(stream,
            "      \"verify\" : { \"checked\" : %" PRIu64 ", \"errors\" : %" PRIu64
            " },\n      \"job_runtime\" : %" PRIu64
            ",\n      \"usr_cpu\" : %f,\n      \"sys_cpu\" : %f,\n      \"ctx\" : %" PRIu64
            ",\n      \"majf\" : %" PRIu64 ",\n      \"minf\" : %" PRIu64 "\n    }",
            sum->verified, sum->verify_errors, sum->runtime_ns / NS_PER_MS, percent_cpu(sum->user_us, sum->runtime_ns),
            percent_cpu(sum->system_us, sum->runtime_ns), sum->context_switches, sum->major_faults, sum->minor_faults);
}

void report_json(FILE *stream, const struct run *run, const struct report_row *rows, unsigned row_count)
{
    fprintf(stream, "{\n  \"nvbench version\" : ");
    put_string(stream, report_version);
    fprintf(stream,
            ",\n  \"timestamp\" : %lld,\n  \"clock\" : \"%s\",\n  \"clock_pair_ns\" : %" PRIu64 ",\n  \"jobs\" : [\n",
            (long long)time(NULL), run->ticks.cpu ? "cpu" : "clock_gettime", ticks_pair_ns(&run->ticks));
    for (unsigned i = 0; i < row_count; i++) {
        put_row(stream, &rows[i]);
        fprintf(stream, "%s\n", i + 1 < row_count ? "," : "");
    }
    fprintf(stream, "  ]\n}\n");
}
