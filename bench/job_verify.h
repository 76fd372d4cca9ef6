/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * job_verify.h — a job's checks: of what it reads, and of its whole region at the end.
 */
#ifndef BENCH_JOB_VERIFY_H
#define BENCH_JOB_VERIFY_H

#include "job.h"

/* Checks what one operation read. -EILSEQ if it is wrong: the workload ends there. */
int job_verify_read(struct job *job, const char *buf, uint64_t offset, uint64_t length);

/* Computes the model from the plan, without I/O: as of all its writes, or with --ack of those that were done and one that
 * may have been in flight, or as of write number `last` where that is earlier. */
void job_verify_replay(struct job *job, uint64_t last);

/* Reads all of the region, by the job's engine, and the file's size. Faults are counted in the result, the first few
 * told on standard error; the return value is that of reading. */
int job_verify_file(struct job *job, struct engine_file *file);

/* The same after a kill, of a file opened O_ATOMIC: it is exactly as of the last sync, or as of one that was in flight. The
 * model is of the last sync. */
int job_verify_synced(struct job *job, struct engine_file *file);

#endif
