/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * layout.h — makes a job's file ready before anything is timed, by the libc's calls.
 */
#ifndef BENCH_LAYOUT_H
#define BENCH_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum layout_kind {
    LAYOUT_EMPTY,  /* a new file of size 0 */
    LAYOUT_KEEP,   /* filled, unless there is one of that size or more already */
    LAYOUT_FRESH,  /* filled anew */
    LAYOUT_PRESENT /* it must be there */
};

/* Fills `size` bytes; with `unit` not 0 with blocks that --verify knows as laid out by `seed`. 0, or a negative errno
 * and one line in `why`. */
int layout_file(const char *path, enum layout_kind kind, uint64_t size, uint64_t unit, uint64_t seed, char *why,
                size_t why_size);

#endif
