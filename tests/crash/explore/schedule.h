/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * schedule.h — one thread runs at a time, and who it is follows from the workload: at each event of the trace, and at each
 * system call by which the library waits, the running thread may hand over to another. A run without switches runs each
 * thread until it waits or ends; a switch at step N hands over there. So the same workload makes the same trace again.
 */
#ifndef CRASH_EXPLORE_SCHEDULE_H
#define CRASH_EXPLORE_SCHEDULE_H

#include "crash/explore/operation.h"

/* Before the threads 1 .. `threads` are made. */
void schedule_begin(const struct workload *workload, unsigned threads);

/* By each thread at its begin (returns when it is its turn) and end. */
void schedule_enter(unsigned thread);
void schedule_leave(void);

/* A step of the calling thread, if it is one of those: another may be given the turn. */
void schedule_step(void);

/* The calling thread waits for another. False if it is none of those: then it must really wait. */
bool schedule_wait(void);

/* Steps that all threads made. */
uint32_t schedule_steps(void);
/* All threads waited for each other for good. */
bool schedule_stuck(void);

#endif
