/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * campaign.h — one workload: run, explored, judged; and what to do with one that fails.
 */
#ifndef CRASH_EXPLORE_CAMPAIGN_H
#define CRASH_EXPLORE_CAMPAIGN_H

#include "crash/explore/execute.h"
#include "crash/explore/explore.h"

/* Which part of a run is explored. */
enum campaign_part {
    CAMPAIGN_ALL,
    CAMPAIGN_LAST, /* from the begin of the last operation: shorter sequences have the rest */
    CAMPAIGN_LAST_TWO,
    CAMPAIGN_ACTORS, /* from the begin of the first operation that an actor does */
    CAMPAIGN_BEHIND, /* from the death of the first process */
};

struct campaign {
    struct explore_options options;
    enum campaign_part part;
};

struct campaign_stats {
    uint64_t sequences;
    struct explore_stats explored;
};

struct campaign_finding {
    struct workload workload;
    struct explore_failure failure; /* at SIZE_MAX: the run itself went wrong, before any crash */
};

/* True if nothing was wrong. */
bool campaign_try(const struct workload *workload, const struct campaign *campaign, struct campaign_stats *stats,
                  struct campaign_finding *finding);

/* Makes the workload of a finding smaller as long as it fails; at most `seconds`. */
void campaign_shrink(struct campaign_finding *finding, const struct campaign *campaign, unsigned seconds);

/* The finding, the command that replays it. */
void campaign_report(const struct campaign_finding *finding, const struct campaign *campaign);

/* Steps of a run of threads, events of the process that dies, without switches and death. */
void campaign_measure(const struct workload *workload, uint32_t *steps, uint32_t *deaths);

void campaign_add(struct explore_stats *sum, const struct explore_stats *more);

extern const char *const campaign_model_names[];
#define CAMPAIGN_MODELS 3u

#endif
