/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * options.c — see options.h. One table describes every option; what a value means is in options_value.c.
 */
#include "options.h"

#include "verify.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum kind {
    KIND_SWITCH,
    KIND_COUNT,
    KIND_SIZE,
    KIND_TIME,
    KIND_STRING,
    KIND_NAME,
    KIND_RW,
    KIND_BS,
    KIND_BSRANGE,
    KIND_VERIFY,
    KIND_ENGINE,
    KIND_FORMAT
};

struct description {
    const char *name;
    const char *alias; /* NULL: none */
    enum kind kind;
    bool global; /* `offset` is in struct options, else in struct job_options */
    size_t offset;
    const char *help;
};

static const struct description table[] = {
    {"name", NULL, KIND_NAME, false, 0, "begins a job of this name"},
    {"directory", NULL, KIND_STRING, false, offsetof(struct job_options, directory), "where files are"},
    {"filename", NULL, KIND_STRING, false, offsetof(struct job_options, filename),
     "one file, shared by all numjobs (default: NAME.JOBNUM.0 for each)"},
    {"ioengine", NULL, KIND_ENGINE, false, 0, "psync, nvmmio, mmap, libpmem, null (default psync)"},
    {"rw", "readwrite", KIND_RW, false, 0, "read, write, randread, randwrite, rw, randrw, append (default read)"},
    {"bs", "blocksize", KIND_BS, false, 0, "bytes per operation (default 4k)"},
    {"bsrange", "blocksize_range", KIND_BSRANGE, false, 0, "LOW-HIGH: random lengths, multiples of LOW"},
    {"size", NULL, KIND_SIZE, false, offsetof(struct job_options, size), "bytes of the file that each job works on"},
    {"io_size", "io_limit", KIND_SIZE, false, offsetof(struct job_options, io_size),
     "bytes to read and write (default: size)"},
    {"offset", NULL, KIND_SIZE, false, offsetof(struct job_options, offset), "where the job's region starts"},
    {"offset_increment", NULL, KIND_SIZE, false, offsetof(struct job_options, offset_increment),
     "job number times this is added to the offset"},
    {"numjobs", NULL, KIND_COUNT, false, offsetof(struct job_options, numjobs), "run so many of this job at once"},
    {"thread", NULL, KIND_SWITCH, false, offsetof(struct job_options, thread),
     "jobs are threads (default 1); 0: forked processes"},
    {"fsync", NULL, KIND_COUNT, false, offsetof(struct job_options, fsync), "fsync after every N writes"},
    {"fdatasync", NULL, KIND_COUNT, false, offsetof(struct job_options, fdatasync), "fdatasync after every N writes"},
    {"end_fsync", NULL, KIND_SWITCH, false, offsetof(struct job_options, end_fsync), "fsync at the end of the job"},
    {"rwmixread", NULL, KIND_COUNT, false, offsetof(struct job_options, rwmixread),
     "percentage of reads in rw and randrw (default 50)"},
    {"runtime", "timeout", KIND_TIME, false, offsetof(struct job_options, runtime_us),
     "stop after this time (s; suffixes us, ms, m, h)"},
    {"time_based", NULL, KIND_SWITCH, false, offsetof(struct job_options, time_based),
     "go on for all of runtime, whatever io_size is"},
    {"ramp_time", NULL, KIND_TIME, false, offsetof(struct job_options, ramp_time_us), "do not count the first so long"},
    {"gtod_reduce", NULL, KIND_SWITCH, false, offsetof(struct job_options, gtod_reduce),
     "measure no latencies: two clock readings less for each operation"},
    {"ramp_size", NULL, KIND_SIZE, false, offsetof(struct job_options, ramp_size), "do not count the first bytes"},
    {"number_ios", NULL, KIND_COUNT, false, offsetof(struct job_options, number_ios), "stop after so many operations"},
    {"randseed", NULL, KIND_COUNT, false, offsetof(struct job_options, randseed), "all that is random follows from it"},
    {"norandommap", NULL, KIND_SWITCH, false, offsetof(struct job_options, norandommap),
     "random blocks with repetition (default: each block once per pass)"},
    {"verify", NULL, KIND_VERIFY, false, 0, "0, 1 or crc32c: stamp each block, check each block after the job"},
    {"do_verify", NULL, KIND_SWITCH, false, offsetof(struct job_options, do_verify), "0: only stamp, do not check"},
    {"verify_only", NULL, KIND_SWITCH, false, offsetof(struct job_options, verify_only),
     "do no I/O but the check of what the same command line wrote before"},
    {"atomic", NULL, KIND_SWITCH, false, offsetof(struct job_options, atomic),
     "open with O_ATOMIC; with --ack, after a kill, what was synced last must stand exactly"},
    {"create_only", NULL, KIND_SWITCH, false, offsetof(struct job_options, create_only), "lay the files out and end"},
    {"overwrite", NULL, KIND_SWITCH, false, offsetof(struct job_options, overwrite),
     "lay the files out before timing (default 1); 0: writing jobs start with an empty file"},
    {"unlink", NULL, KIND_SWITCH, false, offsetof(struct job_options, unlink), "remove the files at the end"},
    {"group_reporting", NULL, KIND_SWITCH, false, offsetof(struct job_options, group_reporting),
     "report all numjobs as one"},
    {"stonewall", "wait_for_previous", KIND_SWITCH, false, offsetof(struct job_options, stonewall),
     "start when all jobs before this one have ended"},
    {"output-format", NULL, KIND_FORMAT, true, 0, "normal, json, terse (semicolons, first line names the fields)"},
    {"output", NULL, KIND_STRING, true, offsetof(struct options, output), "file for the results"},
    {"ack", NULL, KIND_STRING, true, offsetof(struct options, ack),
     "tell in this file how far each job comes; --verify_only then checks what a killed run must have left"},
    {"clock_gettime", NULL, KIND_SWITCH, true, offsetof(struct options, clock_gettime),
     "time by clock_gettime instead of the CPU's counter"},
    {"stats", NULL, KIND_SWITCH, true, offsetof(struct options, stats), "report libnvmmio's counters"},
    {"help", NULL, KIND_SWITCH, true, offsetof(struct options, help), "this text"},
    {"version", NULL, KIND_SWITCH, true, offsetof(struct options, version), "the version"},
};

enum { TABLE_COUNT = sizeof table / sizeof table[0] };

struct parser {
    struct options *options;
    struct job_options common; /* what stands before the first --name */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *parser, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parser->why, parser->why_size, format, args);
    va_end(args);
    return -EINVAL;
}

static const struct description *find(const char *name, size_t length)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        const char *names[] = {table[i].name, table[i].alias};
        for (unsigned n = 0; n < 2; n++)
            if (names[n] && strlen(names[n]) == length && strncmp(names[n], name, length) == 0)
                return &table[i];
    }
    return NULL;
}

static int parse_count(const char *text, uint64_t *count)
{
    /* No suffix: "--numjobs=1k" is a mistake. */
    size_t length = strlen(text);
    if (strspn(text, "0123456789") != length)
        return -EINVAL;
    return options_parse_size(text, count);
}

static int parse_bs(const char *text, uint64_t *bs)
{
    return options_parse_size(text, bs) || *bs == 0 || *bs > OPTIONS_BS_MAX ? -EINVAL : 0;
}

static int parse_bsrange(const char *text, struct job_options *job)
{
    char low[32];
    const char *dash = strchr(text, '-');
    if (!dash || (size_t)(dash - text) >= sizeof low)
        return -EINVAL;
    memcpy(low, text, (size_t)(dash - text));
    low[dash - text] = '\0';
    if (parse_bs(low, &job->bs_min) || parse_bs(dash + 1, &job->bs_max) || job->bs_min > job->bs_max)
        return -EINVAL;
    return 0;
}

static int parse_switch(const char *text, bool *value)
{
    if (text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return -EINVAL;
    *value = !text || *text == '1';
    return 0;
}

static int parse_rw(const char *text, enum options_rw *rw)
{
    if (strcmp(text, "readwrite") == 0)
        text = options_rw_name(RW_MIX);
    for (enum options_rw i = RW_READ; i <= RW_APPEND; i++) {
        if (strcmp(text, options_rw_name(i)) == 0) {
            *rw = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_format(const char *text, enum options_format *format)
{
    static const char *const names[] = {[FORMAT_NORMAL] = "normal", [FORMAT_JSON] = "json", [FORMAT_TERSE] = "terse"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *format = (enum options_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_verify(const char *text, bool *verify)
{
    *verify = strcmp(text, "0") != 0;
    return !*verify || strcmp(text, "1") == 0 || strcmp(text, "crc32c") == 0 ? 0 : -EINVAL;
}

static int begin_job(struct parser *parser, const char *name)
{
    struct options *options = parser->options;
    if (options->job_count == OPTIONS_JOBS_MAX)
        return fail(parser, "more than %d jobs", OPTIONS_JOBS_MAX);
    if (*name == '\0' || strchr(name, '/'))
        return fail(parser, "--name: '%s' is no name", name);
    options->job[options->job_count] = parser->common;
    options->job[options->job_count++].name = name;
    return 0;
}

/* `value` is NULL only for a switch without one. */
static int apply(struct parser *parser, const struct description *option, const char *value)
{
    struct options *options = parser->options;
    struct job_options *job = options->job_count ? &options->job[options->job_count - 1] : &parser->common;
    char *field = (option->global ? (char *)options : (char *)job) + option->offset;
    int error = 0;
    switch (option->kind) {
    case KIND_NAME:
        return begin_job(parser, value);
    case KIND_SWITCH:
        error = parse_switch(value, (bool *)(void *)field);
        break;
    case KIND_COUNT:
        error = parse_count(value, (uint64_t *)(void *)field);
        break;
    case KIND_SIZE:
        error = options_parse_size(value, (uint64_t *)(void *)field);
        break;
    case KIND_TIME:
        error = options_parse_time(value, (uint64_t *)(void *)field);
        break;
    case KIND_STRING:
        *(const char **)(void *)field = value;
        break;
    case KIND_RW:
        error = parse_rw(value, &job->rw);
        break;
    case KIND_BS:
        error = parse_bs(value, &job->bs_min);
        job->bs_max = job->bs_min;
        break;
    case KIND_BSRANGE:
        error = parse_bsrange(value, job);
        break;
    case KIND_VERIFY:
        error = parse_verify(value, &job->verify);
        break;
    case KIND_ENGINE:
        job->engine = engine_find(value);
        error = job->engine ? 0 : -EINVAL;
        break;
    case KIND_FORMAT:
        error = parse_format(value, &options->format);
        break;
    }
    return error ? fail(parser, "--%s: bad value '%s'", option->name, value) : 0;
}

static bool regions_overlap(const struct job_options *job)
{
    return job->filename && job->numjobs > 1 && job->offset_increment < job->size;
}

static int check_verify(struct parser *parser, const struct job_options *job)
{
    if (job->bs_min < VERIFY_UNIT_MIN)
        return fail(parser, "job %s: --verify needs blocks of %d bytes or more", job->name, VERIFY_UNIT_MIN);
    if (job->offset % job->bs_min || job->offset_increment % job->bs_min)
        return fail(parser, "job %s: --verify needs offsets that are multiples of the block size", job->name);
    if (job->verify_only && !options_rw_writes(job->rw))
        return fail(parser, "job %s: --verify_only needs a job that writes", job->name);
    if (job->rw == RW_APPEND && job->filename && job->numjobs > 1)
        return fail(parser, "job %s: --verify cannot tell where appends of several jobs to one file land", job->name);
    if (regions_overlap(job) && job->engine->maps)
        return fail(parser,
                    "job %s: --verify of stores into a mapping needs regions that do not overlap"
                    " (--offset_increment)",
                    job->name);
    if (job->verify_only && !parser->options->ack && (job->time_based || job->runtime_us || job->ramp_time_us))
        return fail(parser, "job %s: what a run limited by time wrote cannot be told from its seed", job->name);
    return 0;
}

static int check_job(struct parser *parser, const struct job_options *job)
{
    uint64_t end;
    if (job->size < job->bs_min)
        return fail(parser, "job %s: --size is %s", job->name, job->size ? "smaller than one block" : "needed");
    if (job->numjobs < 1 || job->numjobs > OPTIONS_NUMJOBS_MAX)
        return fail(parser, "job %s: --numjobs is 1 to %d", job->name, OPTIONS_NUMJOBS_MAX);
    if (__builtin_mul_overflow(job->offset_increment, job->numjobs, &end) ||
        __builtin_add_overflow(end, job->offset, &end) || __builtin_add_overflow(end, job->size, &end) ||
        end > INT64_MAX)
        return fail(parser, "job %s: the file would be too large", job->name);
    if (job->rwmixread > 100)
        return fail(parser, "job %s: --rwmixread is a percentage", job->name);
    if (job->time_based && !job->runtime_us)
        return fail(parser, "job %s: --time_based needs --runtime", job->name);
    if (job->rw == RW_APPEND && (job->offset || job->offset_increment))
        return fail(parser, "job %s: append has no --offset", job->name);
    if (job->rw == RW_APPEND && job->engine->maps && job->filename && job->numjobs > 1)
        return fail(parser, "job %s: a mapping cannot append to a shared file", job->name);
    if (parser->options->ack && job->rw == RW_APPEND)
        return fail(parser, "job %s: --ack does not tell where an append starts again", job->name);
    if (job->verify_only && !job->verify)
        return fail(parser, "job %s: --verify_only needs --verify", job->name);
    if (job->verify)
        return check_verify(parser, job);
    return 0;
}

static void set_defaults(struct job_options *job)
{
    *job = (struct job_options){
        .engine = &engine_psync,
        .rw = RW_READ,
        .bs_min = 4096,
        .bs_max = 4096,
        .numjobs = 1,
        .rwmixread = 50,
        .randseed = 0x89876c95, /* any constant: runs repeat unless asked otherwise */
        .thread = true,
        .do_verify = true,
        .overwrite = true,
    };
}

int options_parse(struct options *options, int argc, char **argv, char *why, size_t why_size)
{
    struct parser parser = {.options = options, .why = why, .why_size = why_size};
    *options = (struct options){.format = FORMAT_NORMAL};
    set_defaults(&parser.common);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0)
            return fail(&parser, "'%s' is no option", arg);
        arg += 2;
        size_t length = strcspn(arg, "=");
        const struct description *option = find(arg, length);
        if (!option)
            return fail(&parser, "unknown option '--%.*s'", (int)length, arg);
        const char *value = arg[length] == '=' ? arg + length + 1 : NULL;
        if (!value && option->kind != KIND_SWITCH) {
            if (++i == argc)
                return fail(&parser, "--%s needs a value", option->name);
            value = argv[i];
        }
        if (apply(&parser, option, value))
            return -EINVAL;
    }
    if (options->help || options->version)
        return 0;
    if (options->job_count == 0)
        return fail(&parser, "no job defined (--name)");
    for (unsigned i = 0; i < options->job_count; i++)
        if (check_job(&parser, &options->job[i]))
            return -EINVAL;
    return 0;
}

void options_help(FILE *stream)
{
    fprintf(stream, "nvbench: I/O in the manner of fio, by several engines\n\n"
                    "usage: nvbench [--option=value ...] --name=JOB [--option=value ...] [--name=JOB2 ...]\n\n"
                    "Options have fio's names and meanings. Those before the first --name hold for all jobs.\n\n");
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        fprintf(stream, "  --%-18s %s\n", table[i].name, table[i].help);
    fprintf(stream, "\nengines:\n");
    const struct engine *engine;
    for (unsigned i = 0; (engine = engine_at(i)) != NULL; i++)
        fprintf(stream, "  %-20s %s\n", engine->name, engine->help);
    fprintf(stream, "\nThe exit status is 0 if all jobs and their checks succeeded, 1 if not, 2 for a wrong option.\n");
}
