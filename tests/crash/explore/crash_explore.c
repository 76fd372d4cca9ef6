/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * crash_explore.c — the explorer's program. Says at the end what was explored; exit status 1 for a violation.
 *
 *     --mode NAME[,NAME...]  seq1 seq2 seq3 ending random threads death survivor heir; default: all
 *     --budget SECONDS       for all modes together; without it every mode but `random` is done to its end
 *     --states N             a mode ends when it has seen N distinct states
 *     --require N            fail if fewer distinct states were seen in all
 *     --model M              adr, eadr, torn, or all: they take turns (default)
 *     --jobs N               workers (2)
 *     --seed S               of random workloads, states, schedules
 *     --depth N, --depth-share N, --full-share N, --product N, --random N, --subset N    see explore.h
 *     --keep-going           do not stop at the first violation
 *     --replay TEXT          that workload alone (operation.h); with --at, --level and --state one state of it, shown
 *     --same-boot            of --replay: its processes die, the power stays on
 *     --mutant SITE, --swap  as if that place of the library were missing; SITE: a number or a name
 *     --list-sites           the places that the fixed workloads meet
 *     --mutate               each of them in turn, on the fixed workloads: survivors are listed
 *     --sample N             of --mutate: one in N of them, by --seed
 *     --expect-violation     turns the exit status round: for the proof that it can fail
 */
#include "crash/explore/mutate.h"
#include "crash/explore/oracle.h"
#include "crash/explore/workers.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOBS_DEFAULT 2u
#define ENDLESS_SECONDS 60u /* of a mode without an end, where there is no budget */

enum choice {
    OPTION_MODE = 256,
    OPTION_BUDGET,
    OPTION_STATES,
    OPTION_REQUIRE,
    OPTION_MODEL,
    OPTION_JOBS,
    OPTION_SEED,
    OPTION_DEPTH,
    OPTION_DEPTH_SHARE,
    OPTION_FULL_SHARE,
    OPTION_PRODUCT,
    OPTION_RANDOM,
    OPTION_SUBSET,
    OPTION_KEEP_GOING,
    OPTION_REPLAY,
    OPTION_AT,
    OPTION_LEVEL,
    OPTION_STATE,
    OPTION_SAME_BOOT,
    OPTION_MUTANT,
    OPTION_SWAP,
    OPTION_LIST_SITES,
    OPTION_MUTATE,
    OPTION_SAMPLE,
    OPTION_EXPECT_VIOLATION,
};

static const struct option long_options[] = {
    {"mode", required_argument, NULL, OPTION_MODE},
    {"budget", required_argument, NULL, OPTION_BUDGET},
    {"states", required_argument, NULL, OPTION_STATES},
    {"require", required_argument, NULL, OPTION_REQUIRE},
    {"model", required_argument, NULL, OPTION_MODEL},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"depth-share", required_argument, NULL, OPTION_DEPTH_SHARE},
    {"full-share", required_argument, NULL, OPTION_FULL_SHARE},
    {"product", required_argument, NULL, OPTION_PRODUCT},
    {"random", required_argument, NULL, OPTION_RANDOM},
    {"subset", required_argument, NULL, OPTION_SUBSET},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"replay", required_argument, NULL, OPTION_REPLAY},
    {"at", required_argument, NULL, OPTION_AT},
    {"level", required_argument, NULL, OPTION_LEVEL},
    {"state", required_argument, NULL, OPTION_STATE},
    {"same-boot", no_argument, NULL, OPTION_SAME_BOOT},
    {"mutant", required_argument, NULL, OPTION_MUTANT},
    {"swap", no_argument, NULL, OPTION_SWAP},
    {"list-sites", no_argument, NULL, OPTION_LIST_SITES},
    {"mutate", no_argument, NULL, OPTION_MUTATE},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {"expect-violation", no_argument, NULL, OPTION_EXPECT_VIOLATION},
    {NULL, 0, NULL, 0},
};

/* What the command line says. */
static struct {
    struct workers_options workers;
    const char *modes, *replay, *mutant;
    unsigned budget, sample;
    uint64_t require;
    bool list_sites, mutate, expect_violation;
    struct explore_failure state;
    bool has_state;
} arguments;

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno || *end || end == text) {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void choose_model(const char *name)
{
    arguments.workers.all_models = strcmp(name, "all") == 0;
    for (unsigned i = 0; i < CAMPAIGN_MODELS; i++)
        if (strcmp(name, campaign_model_names[i]) == 0) {
            arguments.workers.explore.model = (enum explore_model)i;
            return;
        }
    if (!arguments.workers.all_models) {
        fprintf(stderr, "no such model: %s\n", name);
        exit(2);
    }
}

static void take_explore_option(int option, const char *value)
{
    struct explore_options *explore = &arguments.workers.explore;
    arguments.workers.own_effort = arguments.workers.own_effort || option == OPTION_DEPTH_SHARE ||
                                   option == OPTION_PRODUCT || option == OPTION_RANDOM || option == OPTION_SUBSET;
    switch (option) {
    case OPTION_MODEL:
        choose_model(value);
        break;
    case OPTION_DEPTH:
        explore->depth = (unsigned)number(value);
        break;
    case OPTION_DEPTH_SHARE:
        explore->depth_share = (unsigned)number(value);
        break;
    case OPTION_FULL_SHARE:
        explore->full_share = (unsigned)number(value);
        break;
    case OPTION_PRODUCT:
        explore->product = number(value);
        break;
    case OPTION_RANDOM:
        explore->random = (unsigned)number(value);
        break;
    case OPTION_SUBSET:
        explore->subset = (unsigned)number(value);
        break;
    case OPTION_SAME_BOOT:
        explore->same_boot = true;
        break;
    case OPTION_SWAP:
        explore->mutant_swap = true;
        break;
    default:
        exit(2);
    }
}

static void take_option(int option, const char *value)
{
    switch (option) {
    case OPTION_MODE:
        arguments.modes = value;
        break;
    case OPTION_BUDGET:
        arguments.budget = (unsigned)number(value);
        break;
    case OPTION_STATES:
        arguments.workers.states = number(value);
        break;
    case OPTION_REQUIRE:
        arguments.require = number(value);
        break;
    case OPTION_JOBS:
        arguments.workers.jobs = (unsigned)number(value);
        break;
    case OPTION_SEED:
        arguments.workers.seed = number(value);
        break;
    case OPTION_KEEP_GOING:
        arguments.workers.keep_going = true;
        break;
    case OPTION_REPLAY:
        arguments.replay = value;
        break;
    case OPTION_AT:
        arguments.state.at = number(value);
        arguments.has_state = true;
        break;
    case OPTION_LEVEL:
        arguments.state.level = (unsigned)number(value);
        break;
    case OPTION_STATE:
        snprintf(arguments.state.state, sizeof arguments.state.state, "%s", value);
        break;
    case OPTION_MUTANT:
        arguments.mutant = value;
        break;
    case OPTION_LIST_SITES:
        arguments.list_sites = true;
        break;
    case OPTION_MUTATE:
        arguments.mutate = true;
        break;
    case OPTION_SAMPLE:
        arguments.sample = (unsigned)number(value);
        break;
    case OPTION_EXPECT_VIOLATION:
        arguments.expect_violation = true;
        break;
    default:
        take_explore_option(option, value);
    }
}

/* ---- what it does ---- */

static void parse_replay(struct workload *workload)
{
    const char *error;
    if (!workload_parse(arguments.replay, workload, &error)) {
        fprintf(stderr, "not understood from here on: %s\n", error);
        exit(2);
    }
}

static bool replay(void)
{
    struct workload workload;
    struct campaign_stats stats = {0};
    struct campaign_finding finding;
    parse_replay(&workload);
    if (!execute_begin(0))
        exit(2);
    struct campaign campaign = {.options = arguments.workers.explore, .part = CAMPAIGN_ALL};
    if (workload.processes)
        campaign.part = CAMPAIGN_BEHIND;
    bool good;
    if (arguments.has_state) {
        const struct execution *execution = execute(&workload);
        struct oracle *oracle = oracle_new(&workload, execution, trace_now(), campaign.options.same_boot);
        const struct explore_oracle judge = oracle_judge(oracle);
        good = explore_state(trace_now(), &arguments.state, &judge, &campaign.options);
        oracle_free(oracle);
    } else {
        good = campaign_try(&workload, &campaign, &stats, &finding);
        if (!good)
            campaign_report(&finding, &campaign);
        printf("explored: crash points %" PRIu64 ", distinct states %" PRIu64 ", recoveries %" PRIu64 "\n",
               stats.explored.points, stats.explored.distinct, stats.explored.recoveries);
    }
    execute_end();
    return good;
}

static bool chosen(const struct mode *mode)
{
    for (const char *at = arguments.modes; at && *at;) {
        size_t length = strcspn(at, ",");
        if (modes_find(at, length) == mode)
            return true;
        at += length + (at[length] == ',');
    }
    return !arguments.modes;
}

static bool explore_modes(void)
{
    struct campaign_stats stats = {0};
    time_t begin = time(NULL);
    bool good = true;
    unsigned left = 0;
    for (unsigned i = 0; i < modes_count(); i++)
        left += chosen(&modes[i]) ? modes[i].share : 0;
    for (unsigned i = 0; i < modes_count() && (good || arguments.workers.keep_going); i++) {
        if (!chosen(&modes[i]))
            continue;
        struct workers_options options = arguments.workers;
        if (arguments.budget) { /* what a mode does not need is for those behind it */
            int64_t rest = (int64_t)arguments.budget - (time(NULL) - begin);
            options.seconds = rest > 0 ? (unsigned)(rest * modes[i].share / left) + 1 : 1;
        } else if (modes[i].items() == UINT64_MAX && !options.states) {
            options.seconds = ENDLESS_SECONDS;
        }
        left -= modes[i].share;
        good = workers_run(&modes[i], &options, &stats) && good;
    }
    printf("explored: sequences %" PRIu64 ", crash points %" PRIu64 ", distinct states %" PRIu64 ", recoveries %" PRIu64
           ", deep %" PRIu64 ", violations %" PRIu64 "\n",
           stats.sequences, stats.explored.points, stats.explored.distinct, stats.explored.recoveries,
           stats.explored.deep, stats.explored.violations);
    if (stats.explored.distinct < arguments.require) {
        printf("fewer than %" PRIu64 " distinct states\n", arguments.require);
        good = false;
    }
    return good;
}

static void find_mutant(void)
{
    struct explore_options *explore = &arguments.workers.explore;
    struct workload workload;
    if (!arguments.mutant)
        return;
    if (arguments.replay)
        parse_replay(&workload);
    if (strncmp(arguments.mutant, "0x", 2) == 0)
        explore->mutant_site = number(arguments.mutant);
    else
        explore->mutant_site = mutate_find(arguments.mutant, arguments.replay ? &workload : NULL);
    if (!explore->mutant_site) {
        fprintf(stderr, "no such place: %s\n", arguments.mutant);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    int option;
    explore_defaults(&arguments.workers.explore);
    arguments.workers.all_models = true;
    arguments.workers.jobs = JOBS_DEFAULT;
    arguments.workers.seed = 1;
    arguments.sample = 1;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        take_option(option, optarg);
    if (optind < argc || !arguments.workers.jobs || arguments.workers.jobs > WORKERS_MOST) {
        fprintf(stderr, "see the head of crash_explore.c\n");
        return 2;
    }
    arguments.workers.explore.seed = arguments.workers.seed;
    find_mutant();
    bool good;
    if (arguments.list_sites)
        good = mutate_list();
    else if (arguments.mutate)
        good = mutate_run(&arguments.workers, arguments.sample);
    else
        good = arguments.replay ? replay() : explore_modes();
    if (arguments.expect_violation)
        printf(good ? "no violation was found, though there must be one\n" : "found, as it must be\n");
    return good == arguments.expect_violation;
}
