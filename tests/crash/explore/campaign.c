/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * campaign.c — runs a workload and has every crash state of it judged; prints what fails.
 */
#include "crash/explore/campaign.h"

#include "crash/explore/oracle.h"

#include <stdio.h>
#include <string.h>

#define KILL_NEVER 1000000u

const char *const campaign_model_names[] = {"adr", "eadr", "torn"};

void campaign_add(struct explore_stats *sum, const struct explore_stats *more)
{
    sum->points += more->points;
    sum->states += more->states;
    sum->distinct += more->distinct;
    sum->recoveries += more->recoveries;
    sum->deep += more->deep;
    sum->full += more->full;
    sum->violations += more->violations;
}

/* The event of the mark with which the last operation but `before` began. */
static size_t last_begin(const struct trace *trace, unsigned before)
{
    for (size_t i = trace->count; i-- > 0;)
        if (trace->event[i].kind == TRACE_MARK && trace->event[i].mark == EXECUTE_BEGIN && !before--)
            return i;
    return 0;
}

static size_t first_event(const struct workload *workload, const struct trace *trace, enum campaign_part part)
{
    if (part == CAMPAIGN_LAST || part == CAMPAIGN_LAST_TWO)
        return workload->count > 1 ? last_begin(trace, part == CAMPAIGN_LAST_TWO) : 0;
    if (part == CAMPAIGN_ALL)
        return 0;
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        if (event->kind != TRACE_MARK)
            continue;
        if (part == CAMPAIGN_BEHIND ? event->mark == EXECUTE_DEATH
                                    : event->mark == EXECUTE_BEGIN && workload->operation[event->argument[0]].actor)
            return i;
    }
    return 0;
}

bool campaign_try(const struct workload *workload, const struct campaign *campaign, struct campaign_stats *stats,
                  struct campaign_finding *finding)
{
    const struct execution *execution = execute(workload);
    const struct trace *trace = trace_now();
    struct explore_stats explored = {0};
    struct campaign_finding own;
    finding = finding ? finding : &own;
    memset(finding, 0, sizeof *finding);
    finding->workload = *workload;
    struct oracle *oracle = oracle_new(workload, execution, trace, campaign->options.same_boot);
    const char *complaint = oracle_complaint(oracle);
    bool good = !complaint;
    if (complaint) {
        finding->failure.at = SIZE_MAX;
        snprintf(finding->failure.reason, sizeof finding->failure.reason, "%s", complaint);
    } else {
        const struct explore_oracle judge = oracle_judge(oracle);
        good = explore(trace, first_event(workload, trace, campaign->part), trace->count, &judge, &campaign->options,
                       &explored, &finding->failure);
    }
    oracle_free(oracle);
    stats->sequences++;
    explored.violations = !good;
    campaign_add(&stats->explored, &explored);
    return good;
}

void campaign_measure(const struct workload *workload, uint32_t *steps, uint32_t *deaths)
{
    struct workload plain = *workload;
    plain.switches = 0;
    plain.kill = KILL_NEVER;
    const struct execution *execution = execute(&plain);
    *steps = execution->steps;
    *deaths = execution->deaths;
}

void campaign_report(const struct campaign_finding *finding, const struct campaign *campaign)
{
    char text[WORKLOAD_TEXT];
    const struct explore_failure *failure = &finding->failure;
    workload_print(&finding->workload, text, sizeof text);
    printf("VIOLATION: %s\n", failure->reason);
    if (failure->at != SIZE_MAX)
        printf("  power cut before event %zu, level %u, state %s\n", failure->at, failure->level, failure->state);
    printf("  crash_explore --model %s%s", campaign_model_names[campaign->options.model],
           campaign->options.same_boot ? " --same-boot" : "");
    if (campaign->options.mutant_site)
        printf(" --mutant 0x%llx%s", (unsigned long long)campaign->options.mutant_site,
               campaign->options.mutant_swap ? " --swap" : "");
    printf(" --seed %llu", (unsigned long long)campaign->options.seed);
    if (failure->at != SIZE_MAX)
        printf(" --at %zu --level %u --state '%s'", failure->at, failure->level, failure->state);
    printf(" --replay '%s'\n", text);
    fflush(stdout);
}
