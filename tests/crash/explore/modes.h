/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * modes.h — the kinds of campaigns, cut into items that workers do independently of each other.
 */
#ifndef CRASH_EXPLORE_MODES_H
#define CRASH_EXPLORE_MODES_H

#include "crash/explore/campaign.h"

/* What a worker does for one item: tries workloads until one fails, or `stop` says so. */
struct modes_work {
    struct explore_options options;
    uint64_t seed;
    struct campaign_stats *stats;
    bool (*stop)(void);
    struct campaign_finding finding; /* of a failure */
    struct campaign campaign;        /* under which it failed */
};

struct mode {
    const char *name;
    unsigned share; /* of the time */
    /* How closely a crash point is looked at: see struct explore_options. Many workloads are better than many states. */
    uint64_t product;
    unsigned subset, random, depth_share;
    uint64_t (*items)(void);
    bool (*run)(struct modes_work *work, uint64_t item); /* false: a failure */
};

extern const struct mode modes[];
unsigned modes_count(void);
const struct mode *modes_find(const char *name, size_t length);

#endif
