/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * counters.c — see counters.h.
 */
#include "counters.h"

#include "engine.h"

#include <string.h>

static const char *const names[COUNTERS_COUNT] = {
    "pm.bytes",        "pm.meta_bytes",        "pm.fences",       "pm.flushes",     "uma.reads",
    "uma.read_bytes",  "uma.writes",           "uma.write_bytes", "uma.commits",    "uma.early_commits",
    "uma.relocations", "uma.writeback_blocks", "uma.attaches",    "uma.repairs",    "log.recoveries",
    "log.created",     "kernel.reads",         "kernel.writes",   "demote.nospace",
};

void counters_read(struct counters *counters)
{
    memset(counters, 0, sizeof *counters);
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        if (engine_nvmmio_counter(names[i], &counters->value[i]) == 0)
            counters->valid = true;
}

const char *counters_name(unsigned index)
{
    return names[index];
}

uint64_t counters_between(const struct counters *from, const struct counters *to, const char *name)
{
    for (unsigned i = 0; i < COUNTERS_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return to->value[i] - from->value[i];
    return 0;
}
