/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * oracle.h — what a file may contain after a power cut or a death at a given point of a workload's run.
 *
 *   library   the content and size of the last sync that returned (fsync, O_SYNC write, nvmsync, a last close, what
 *             attaching or punching commits), or of a sync in flight, wholly
 *   early     commits that nobody asked for may have come as well: at the first nvmmap, before fallocate moves data, at a
 *             close in flight, and, but for O_ATOMIC files, where the log is full
 *   kernel    while the kernel serves the file (fresh, detached, handed over) each byte may be of any state since the last
 *             sync, or zero, and the size of any of them
 *   death     with power on (same_boot) every operation that returned is there; in the one in flight each byte is old or
 *             new. O_ATOMIC: as after a power cut. After a power cut in the recovery that promotes: that, or as after one
 *   dead      one of two processes died within an operation: each byte of that is old or new for good
 *   threads   a set of operations that holds, with an operation, those that returned before it began, in some order that
 *             agrees with time: all that returned before a sync that returned began, and none that began after the last
 */
#ifndef CRASH_EXPLORE_ORACLE_H
#define CRASH_EXPLORE_ORACLE_H

#include "crash/explore/execute.h"
#include "crash/explore/explore.h"

struct oracle;

/* For a run and its trace; both stay as they are while it is used. */
struct oracle *oracle_new(const struct workload *workload, const struct execution *execution, const struct trace *trace,
                          bool same_boot);
void oracle_free(struct oracle *oracle);

/* As the explorer wants it. */
struct explore_oracle oracle_judge(struct oracle *oracle);

/* What went wrong before any crash: operations that failed without a reason, reads that saw what never was. NULL: nothing. */
const char *oracle_complaint(struct oracle *oracle);

#endif
