/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fake/uma.h — what a test of layer file tells the fake uma, and what the fake saw. The fake implements uma/uma.h over
 * plain system calls on a descriptor of its own, with explicit offsets, so that the application's descriptor stays where
 * it is as it does with the real uma.
 */
#ifndef FAKE_UMA_H
#define FAKE_UMA_H

#include "uma/uma.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fake_uma {
    /* told */
    char root[80];     /* files below it are managed; empty: none */
    _Atomic bool user; /* path that uma_begin says */
    _Atomic int again; /* so many user space calls return -UMA_AGAIN, and the path flips each time */
    int open_error, close_error, demote_error, begin_error;
    bool wants_kernel;       /* uma_wants_kernel */
    int64_t size_bias;       /* uma_size tells so much more than the file has */
    int64_t size_max;        /* uma_write refuses beyond (-EFBIG); 0: none */
    _Atomic bool hold_reads; /* uma_read waits until this is false */
    _Atomic bool hold_close; /* uma_close, likewise */

    /* seen */
    _Atomic int open_umas, inside, inside_read;
    _Atomic int opens, closes, commits, resizes, delivered, set_times, written_back, demotions, locks, maps, unmaps,
        held, reached, execs;     /* held: maps that keep the file with the kernel */
    _Atomic int used_after_close; /* calls on a uma that was closed for good */
    _Atomic unsigned last_write_flags;
    _Atomic int last_close_fd;
};
extern struct fake_uma fake_uma;

/* A new directory on tmpfs in `directory` (UNIT_PATH_MAX bytes) with a subdirectory "in", whose files are managed. */
void fake_uma_begin(char *directory);

/* Removes both with the files in them, and fails if a uma is left open, a call left unfinished or one was used after its
 * end. */
void fake_uma_finish(const char *directory);

#endif
