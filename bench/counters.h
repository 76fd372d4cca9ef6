/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * counters.h — libnvmmio's counters of this process, where it is loaded (--stats).
 */
#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

enum { COUNTERS_COUNT = 19 };

struct counters {
    bool valid; /* libnvmmio is in this process */
    uint64_t value[COUNTERS_COUNT];
};

void counters_read(struct counters *counters);
const char *counters_name(unsigned index);
/* What was counted between two readings, by name; 0 for an unknown one. */
uint64_t counters_between(const struct counters *from, const struct counters *to, const char *name);

#endif
