/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * reference.h — what a file must contain after an operation: a copy of it in DRAM.
 */
#ifndef CRASH_EXPLORE_REFERENCE_H
#define CRASH_EXPLORE_REFERENCE_H

#include "crash/explore/operation.h"

struct reference {
    uint32_t size;
    uint8_t bytes[OPERATION_SIZE_MOST]; /* zero behind the size */
};

void reference_begin(struct reference *reference, const struct workload *workload, unsigned file);

/* Whether the operation changes bytes or size at all. */
bool reference_changes(const struct operation *operation);

/* What the operation returns when it succeeds: bytes or 0. */
int reference_success(const struct operation *operation);
/* What the operation, number `number` of its workload, does if it returned `result`. */
void reference_apply(struct reference *reference, const struct operation *operation, unsigned number, int result);

#endif
