/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * perform.h — what the children of execute.c do: the operations themselves, through the nv API, with marks around each.
 */
#ifndef CRASH_EXPLORE_PERFORM_H
#define CRASH_EXPLORE_PERFORM_H

#include "crash/explore/execute.h"

#include <stdatomic.h>
#include <sys/types.h>

#define PERFORM_OBJECTS 16u
#define PERFORM_NAME 64u

/* Stages of a run of two processes. */
enum perform_stage {
    PERFORM_NOTHING,
    PERFORM_FIRST_READY,
    PERFORM_SECOND_READY,
    PERFORM_FIRST_GO,
    PERFORM_SECOND_GO,
};

/* Between parent and children. */
struct perform_shared {
    struct execution execution;
    _Atomic uint32_t stage; /* a futex word */
    _Atomic uint32_t objects;
    char object[PERFORM_OBJECTS][PERFORM_NAME]; /* index objects that were made */
};

/* A process of its own for each; they return when all is done. */
void perform_alone(const struct workload *workload, struct perform_shared *shared);
void perform_first(const struct workload *workload, struct perform_shared *shared);
void perform_second(const struct workload *workload, struct perform_shared *shared);

void perform_tell(struct perform_shared *shared, enum perform_stage stage);
/* Waits for that stage, or for the death of `child` (0: nobody's). */
void perform_await(struct perform_shared *shared, enum perform_stage stage, pid_t child);

#endif
