/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * workers.h — processes that share the items of a mode, each with a directory of its own.
 */
#ifndef CRASH_EXPLORE_WORKERS_H
#define CRASH_EXPLORE_WORKERS_H

#include "crash/explore/modes.h"

#define WORKERS_MOST 16u

struct workers_options {
    struct explore_options explore;
    bool own_effort; /* product, subset, random, depth_share are those of `explore`, not of the mode */
    bool all_models; /* every item has one of the models, in turn */
    uint64_t seed;
    unsigned jobs;
    unsigned seconds; /* of this mode; 0: until all items are done */
    uint64_t states;  /* or until so many distinct states were seen; 0: no end */
    bool keep_going;  /* after a failure */
    bool quiet;
};

/* Does the items of a mode. Adds to *stats; true if nothing failed. Failures are shrunk and printed by the workers. */
bool workers_run(const struct mode *mode, const struct workers_options *options, struct campaign_stats *stats);

#endif
