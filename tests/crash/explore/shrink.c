/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * shrink.c — makes a failing workload smaller: fewer operations, fewer switches, smaller and rounder numbers.
 */
#include "crash/explore/campaign.h"

#include <string.h>
#include <time.h>

struct shrinker {
    struct campaign_finding *finding;
    struct campaign campaign;
    struct campaign_stats stats; /* thrown away */
    time_t end;
};

static bool out_of_time(const struct shrinker *shrinker)
{
    return time(NULL) >= shrinker->end;
}

/* Takes the smaller workload if it fails as well. */
static bool accept(struct shrinker *shrinker, const struct workload *smaller)
{
    struct campaign_finding finding;
    if (out_of_time(shrinker) || campaign_try(smaller, &shrinker->campaign, &shrinker->stats, &finding))
        return false;
    *shrinker->finding = finding;
    return true;
}

static bool drop_operations(struct shrinker *shrinker)
{
    bool any = false;
    for (unsigned i = shrinker->finding->workload.count; i-- > 0;) {
        struct workload smaller = shrinker->finding->workload;
        memmove(&smaller.operation[i], &smaller.operation[i + 1], (smaller.count - i - 1) * sizeof *smaller.operation);
        smaller.count--;
        any = (smaller.count && accept(shrinker, &smaller)) || any;
    }
    for (unsigned i = shrinker->finding->workload.switches; i-- > 0;) {
        struct workload smaller = shrinker->finding->workload;
        memmove(&smaller.at[i], &smaller.at[i + 1], (smaller.switches - i - 1) * sizeof *smaller.at);
        smaller.switches--;
        any = accept(shrinker, &smaller) || any;
    }
    return any;
}

/* Candidates for a number, all smaller. */
static uint32_t smaller_number(uint32_t number, unsigned way)
{
    switch (way) {
    case 0:
        return 0;
    case 1:
        return number / 4096 * 4096;
    case 2:
        return number / 64 * 64;
    default:
        return number / 2;
    }
}

static bool reduce_numbers(struct shrinker *shrinker)
{
    bool any = false;
    for (unsigned i = 0; i < shrinker->finding->workload.count; i++) {
        for (unsigned way = 0; way < 8; way++) {
            struct workload smaller = shrinker->finding->workload;
            struct operation *op = &smaller.operation[i];
            uint32_t *number = way < 4 ? &op->length : &op->offset;
            uint32_t value = smaller_number(*number, way % 4);
            if (value >= *number || (!value && number == &op->length && op->verb != 't'))
                continue;
            *number = value;
            any = accept(shrinker, &smaller) || any;
        }
    }
    return any;
}

void campaign_shrink(struct campaign_finding *finding, const struct campaign *campaign, unsigned seconds)
{
    struct shrinker shrinker = {.finding = finding, .campaign = *campaign, .end = time(NULL) + seconds};
    shrinker.campaign.part = CAMPAIGN_ALL;
    if (finding->workload.processes)
        shrinker.campaign.part = CAMPAIGN_BEHIND;
    struct workload plain = finding->workload;
    plain.atomic = false;
    if (finding->workload.atomic)
        accept(&shrinker, &plain);
    while (!out_of_time(&shrinker) && (drop_operations(&shrinker) || reduce_numbers(&shrinker)))
        ;
}
