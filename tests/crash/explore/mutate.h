/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mutate.h — mutants: every place of the library that orders or persists something, left out of the traces of fixed
 * workloads (flush, fence, sync) or exchanged with the next store (stores). Each must lead to a violation somewhere.
 */
#ifndef CRASH_EXPLORE_MUTATE_H
#define CRASH_EXPLORE_MUTATE_H

#include "crash/explore/workers.h"

/* The site of the first place that the workload (NULL: one of the fixed ones) meets and that is called so: "kind:function",
 * or any part of a line of mutate_list; 0: none. */
uint64_t mutate_find(const char *name, const struct workload *workload);

/* Prints the places that the fixed workloads meet. */
bool mutate_list(void);

/* Tries them, one in `sample`; prints the survivors. True if there is none. */
bool mutate_run(const struct workers_options *options, unsigned sample);

#endif
