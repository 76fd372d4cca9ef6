/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_plan.h — which line of a file is to be taken from which log block: the entries of a log, read, checked and
 * decided by the rules of log_format.h. Layer log; called by recovery.
 */
#ifndef LOG_LOG_PLAN_H
#define LOG_LOG_PLAN_H

#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An entry in use: a private copy of what counts of it. */
struct log_plan_entry {
    uint64_t block, seq;
    uint64_t base, flip, epoch; /* of the record with the larger epoch */
    uint64_t lines;             /* decided: these lines of the block are in log block n */
    uint32_t n;
    bool chained; /* both records are above the floor: the older one was committed before the newer began */
    bool decides; /* it is not superseded and has a committed state */
};

struct log_plan {
    struct log_plan_entry *entry; /* ordered by block, then seq */
    size_t count, room;
    uint64_t newest_epoch; /* the largest of all records in use, 0 if there is none */
};

/* Reads all entries of a log of `length` bytes whose header was checked (a private copy). 0; -EBADMSG for entries that
 * cannot be; -ENOMEM; or as pread(2). Nothing is written. */
int log_plan_read(struct log_plan *plan, const struct log *log, const struct log_header *header, uint64_t length);

/* Decides every line with H = `durable`. May be repeated. Returns how many entries decide nothing. */
uint32_t log_plan_decide(struct log_plan *plan, uint64_t durable);

void log_plan_free(struct log_plan *plan);

#endif
