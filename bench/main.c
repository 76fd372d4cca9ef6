/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * main.c — nvbench: I/O in the manner of fio, by the kernel, by libnvmmio, by mappings, and by libpmem as the limit.
 */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_OK, STATUS_FAILED, STATUS_USAGE, WHY_MAX = 512 };

static int report(const struct run *run)
{
    FILE *stream = stdout;
    if (run->options->output) {
        stream = fopen(run->options->output, "w");
        if (!stream) {
            fprintf(stderr, "nvbench: %s: %s\n", run->options->output, strerror(errno));
            return STATUS_FAILED;
        }
    }
    report_all(stream, run);
    bool failed = fflush(stream) || ferror(stream);
    if (stream != stdout)
        fclose(stream);
    if (failed)
        fprintf(stderr, "nvbench: the results could not be written\n");
    return failed ? STATUS_FAILED : STATUS_OK;
}

static int job_status(const struct run *run)
{
    int status = STATUS_OK;
    for (unsigned id = 0; id < run->job_count; id++) {
        const struct job *job = &run->job[id];
        if (!job->result->error)
            continue;
        fprintf(stderr, "nvbench: job %s.%u: %s\n", job->options->name, job->number, job->result->why);
        status = STATUS_FAILED;
    }
    return status;
}

static bool only_creates(const struct options *options)
{
    for (unsigned i = 0; i < options->job_count; i++)
        if (!options->job[i].create_only)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    static struct options options;
    struct run run;
    char why[WHY_MAX] = "";
    if (options_parse(&options, argc, argv, why, sizeof why)) {
        fprintf(stderr, "nvbench: %s (--help tells the options)\n", why);
        return STATUS_USAGE;
    }
    if (options.help) {
        options_help(stdout);
        return STATUS_OK;
    }
    if (options.version) {
        printf("%s\n", report_version);
        return STATUS_OK;
    }
    if (run_all(&run, &options, why, sizeof why)) {
        fprintf(stderr, "nvbench: %s\n", why);
        return STATUS_FAILED;
    }
    int status = job_status(&run);
    if (only_creates(&options))
        return status;
    int reported = report(&run);
    return status ? status : reported;
}
