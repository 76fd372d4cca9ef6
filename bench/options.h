/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * options.h — the command line: fio's names and meanings.
 *
 * Options before the first --name hold for all jobs; each --name begins one more. --opt=value and --opt value are the
 * same, except for switches, whose value (0 or 1) may only follow "=".
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum options_rw { RW_READ, RW_WRITE, RW_RANDREAD, RW_RANDWRITE, RW_MIX, RW_RANDMIX, RW_APPEND };
enum options_format { FORMAT_NORMAL, FORMAT_JSON, FORMAT_TERSE };

enum { OPTIONS_JOBS_MAX = 32, OPTIONS_NUMJOBS_MAX = 512, OPTIONS_BS_MAX = 1 << 30 };

struct job_options {
    const char *name;
    const char *directory; /* NULL: the working directory */
    const char *filename;  /* NULL: name.jobnum.0 for each job */
    const struct engine *engine;
    enum options_rw rw;
    uint64_t bs_min, bs_max;
    uint64_t size;
    uint64_t io_size; /* 0: size */
    uint64_t offset, offset_increment;
    uint64_t numjobs;
    uint64_t fsync, fdatasync; /* after so many writes; 0: never */
    uint64_t rwmixread;        /* percent */
    uint64_t runtime_us, ramp_time_us;
    uint64_t ramp_size;
    uint64_t number_ios; /* 0: no limit */
    uint64_t randseed;
    bool thread;
    bool end_fsync;
    bool gtod_reduce; /* no latencies: the clock is read now and then, to end in time */
    bool time_based;
    bool norandommap;
    bool verify;
    bool do_verify;
    bool verify_only;
    bool atomic;
    bool create_only;
    bool overwrite;
    bool unlink;
    bool group_reporting;
    bool stonewall;
};

struct options {
    struct job_options job[OPTIONS_JOBS_MAX];
    unsigned job_count;
    enum options_format format;
    const char *output; /* NULL: standard output */
    const char *ack;    /* NULL: none */
    bool clock_gettime;
    bool stats;
    bool help;
    bool version;
};

/* Reads argv[1..]. 0, or -EINVAL and one line that says what is wrong. Strings of argv are kept, not copied. */
int options_parse(struct options *options, int argc, char **argv, char *why, size_t why_size);

/* "4k", "1m", "2g", "64", "0x1000", "4kb", "4KiB": k = 1024. */
int options_parse_size(const char *text, uint64_t *size);
/* "10" and "10s" are seconds; us, ms, m, h. Result in microseconds. */
int options_parse_time(const char *text, uint64_t *us);

void options_help(FILE *stream);

const char *options_rw_name(enum options_rw rw);
bool options_rw_reads(enum options_rw rw);
bool options_rw_writes(enum options_rw rw);
bool options_rw_random(enum options_rw rw);

#endif
