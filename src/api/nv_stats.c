/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_stats.c — counters by name. Layer api.
 */
#include "api/nv_ret.h"
#include "base/stats.h"
#include "nvmmio.h"

#include <string.h>

int nvstats_get(const char *name, uint64_t *value)
{
    for (int i = 0; i < STATS_COUNT; i++) {
        if (strcmp(stats_name((enum stats_counter)i), name) == 0) {
            *value = stats_sum((enum stats_counter)i);
            return 0;
        }
    }
    return (int)nv_ret(-ENOENT);
}
