/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * options_value.c — values of options: sizes, times, names of workloads.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct suffix {
    const char *text;
    uint64_t factor;
};

static int parse_scaled(const char *text, const struct suffix *suffix, uint64_t *value)
{
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    char *rest;
    errno = 0;
    /* Base 0 would read "010" as eight. */
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    unsigned long long number = strtoull(text, &rest, base);
    if (errno)
        return -EINVAL;
    for (; suffix->text; suffix++) {
        if (strcasecmp(rest, suffix->text) != 0)
            continue;
        return __builtin_mul_overflow(number, suffix->factor, value) ? -EINVAL : 0;
    }
    return -EINVAL;
}

int options_parse_size(const char *text, uint64_t *size)
{
    static const uint64_t kilo = 1024;
    static const struct suffix list[] = {
        {"", 1},
        {"b", 1},
        {"k", kilo},
        {"kb", kilo},
        {"ki", kilo},
        {"kib", kilo},
        {"m", kilo * kilo},
        {"mb", kilo * kilo},
        {"mi", kilo * kilo},
        {"mib", kilo * kilo},
        {"g", kilo * kilo * kilo},
        {"gb", kilo * kilo * kilo},
        {"gi", kilo * kilo * kilo},
        {"gib", kilo * kilo * kilo},
        {"t", kilo * kilo * kilo * kilo},
        {"tb", kilo * kilo * kilo * kilo},
        {"ti", kilo * kilo * kilo * kilo},
        {"tib", kilo * kilo * kilo * kilo},
        {NULL, 0},
    };
    return parse_scaled(text, list, size);
}

int options_parse_time(const char *text, uint64_t *us)
{
    static const uint64_t second = 1000 * 1000;
    static const struct suffix list[] = {
        {"", second},   {"s", second},   {"us", 1},          {"usec", 1},          {"ms", 1000},
        {"msec", 1000}, {"sec", second}, {"m", 60 * second}, {"h", 3600 * second}, {NULL, 0},
    };
    return parse_scaled(text, list, us);
}

static const char *const rw_names[] = {
    [RW_READ] = "read", [RW_WRITE] = "write",    [RW_RANDREAD] = "randread", [RW_RANDWRITE] = "randwrite",
    [RW_MIX] = "rw",    [RW_RANDMIX] = "randrw", [RW_APPEND] = "append",
};

const char *options_rw_name(enum options_rw rw)
{
    return rw_names[rw];
}

bool options_rw_reads(enum options_rw rw)
{
    return rw == RW_READ || rw == RW_RANDREAD || rw == RW_MIX || rw == RW_RANDMIX;
}

bool options_rw_writes(enum options_rw rw)
{
    return rw != RW_READ && rw != RW_RANDREAD;
}

bool options_rw_random(enum options_rw rw)
{
    return rw == RW_RANDREAD || rw == RW_RANDWRITE || rw == RW_RANDMIX;
}
