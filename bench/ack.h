/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ack.h — how far each job came, in a file that outlives a killed nvbench (--ack): what a check after the kill
 * (--verify_only --ack) may expect.
 *
 * The file lies outside of what is tested, mapped shared. Write numbers count a job's writes from 1.
 */
#ifndef BENCH_ACK_H
#define BENCH_ACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one job; stored by it alone, release, so that what it says has happened. */
struct ack {
    _Atomic uint64_t begun;   /* the last write that was begun, */
    _Atomic uint64_t done;    /* and that returned; one apart at most */
    _Atomic uint64_t syncing; /* the last write before a sync that was begun, */
    _Atomic uint64_t synced;  /* and that returned */
    uint64_t unused[4];
};
_Static_assert(sizeof(struct ack) == 64, "a line each");

static inline void ack_set(_Atomic uint64_t *field, uint64_t value)
{
    atomic_store_explicit(field, value, memory_order_release);
}

static inline uint64_t ack_get(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire);
}

/* Maps `jobs` of them: zeros, or with `keep` what the file has. NULL and a negative errno in *error. */
struct ack *ack_map(const char *path, unsigned jobs, bool keep, int *error);

#endif
