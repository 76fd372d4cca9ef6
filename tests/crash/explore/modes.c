/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * modes.c — the campaigns: sequences, random workloads, threads, deaths.
 */
#include "crash/explore/modes.h"

#include "crash/explore/generate.h"

#include <string.h>

#define RANDOM_LENGTH 20u
#define THREAD_SLICES 16u /* items of one thread workload */
#define THREAD_PAIRS 150u /* pairs of switches tried in one item */
#define KILLS_MOST 400u   /* events before which the first of two processes dies */

static bool try(struct modes_work *work, const struct workload *workload, enum campaign_part part)
{
    work->campaign = (struct campaign){.options = work->options, .part = part};
    return campaign_try(workload, &work->campaign, work->stats, &work->finding);
}

/* ---- sequences ---- */

static uint64_t items_seq1(void)
{
    return generate_sequences(1);
}
static uint64_t items_seq2(void)
{
    return generate_sequences(2);
}
static uint64_t items_seq3(void)
{
    return generate_sequences(3);
}

/* Another order of the items, so that whoever stops early has seen something of everything. */
static uint64_t shuffled(uint64_t item, uint64_t items)
{
    return items < 1000 ? item : item * UINT64_C(1000003) % items;
}

static bool run_seq1(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    generate_sequence(1, item, &workload);
    if (!try(work, &workload, CAMPAIGN_ALL))
        return false;
    generate_ending(&workload);
    return try(work, &workload, CAMPAIGN_LAST_TWO);
}

static bool run_seq2(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    generate_sequence(2, item, &workload);
    if (!try(work, &workload, CAMPAIGN_LAST))
        return false;
    generate_ending(&workload);
    return try(work, &workload, CAMPAIGN_LAST_TWO);
}

static bool run_seq3(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    generate_sequence(3, shuffled(item, items_seq3()), &workload);
    return try(work, &workload, CAMPAIGN_LAST);
}

static bool run_ending(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    generate_sequence(3, shuffled(item, items_seq3()), &workload);
    generate_ending(&workload);
    return try(work, &workload, CAMPAIGN_LAST_TWO);
}

static uint64_t items_endless(void)
{
    return UINT64_MAX;
}

static bool run_random(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    generate_random(work->seed, item, RANDOM_LENGTH, &workload);
    return try(work, &workload, CAMPAIGN_ALL);
}

/* ---- threads ---- */

static uint64_t items_threads(void)
{
    return (uint64_t)generate_fixed_count(GENERATE_THREADS) * 2 * THREAD_SLICES;
}

static unsigned threads_of(const struct workload *workload)
{
    unsigned most = 1;
    for (unsigned i = 0; i < workload->count; i++)
        if (workload->operation[i].actor > most)
            most = workload->operation[i].actor;
    return most;
}

/* One switch anywhere, to any thread: every 16th of them in each item; then random pairs. */
static bool run_threads(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    uint32_t steps, deaths;
    unsigned slice = (unsigned)(item / (items_threads() / THREAD_SLICES));
    uint64_t state = work->seed * 977 + item;
    generate_fixed(GENERATE_THREADS, (unsigned)(item / 2 % generate_fixed_count(GENERATE_THREADS)), &workload);
    workload.atomic = item & 1;
    campaign_measure(&workload, &steps, &deaths);
    if (!slice && !try(work, &workload, CAMPAIGN_ACTORS))
        return false;
    unsigned threads = threads_of(&workload);
    workload.switches = 1;
    for (uint32_t step = slice; step < steps && !work->stop(); step += THREAD_SLICES)
        for (unsigned thread = 1; thread <= threads; thread++) {
            workload.at[0] = (struct workload_switch){step, (uint8_t)thread};
            if (!try(work, &workload, CAMPAIGN_ACTORS))
                return false;
        }
    workload.switches = 2;
    for (unsigned i = 0; i < THREAD_PAIRS && steps && !work->stop(); i++) {
        for (unsigned j = 0; j < 2; j++)
            workload.at[j] = (struct workload_switch){(uint32_t)generate_number(&state, steps),
                                                      (uint8_t)(1 + generate_number(&state, threads))};
        if (!try(work, &workload, CAMPAIGN_ACTORS))
            return false;
    }
    return true;
}

/* ---- deaths ---- */

/* Everybody dies at once, at any moment of a sequence: recovery promotes, and the power goes in it. */
static bool run_death(struct modes_work *work, uint64_t item)
{
    struct workload workload;
    uint64_t singles = items_seq1();
    if (item < singles)
        generate_sequence(1, item, &workload);
    else
        generate_sequence(2, shuffled(item - singles, items_seq2()), &workload);
    work->options.same_boot = true;
    return try(work, &workload, CAMPAIGN_LAST);
}

static uint64_t items_death(void)
{
    return items_seq1() + items_seq2();
}

/* One of two processes dies, the other goes on. */
static bool run_pair(struct modes_work *work, enum generate_set set, uint64_t item)
{
    static struct {
        uint32_t deaths[GENERATE_MUTANTS][64];
    } known; /* of each workload, once measured */
    struct workload workload;
    unsigned count = generate_fixed_count(set), ways = set == GENERATE_HEIRS ? 1 : 2;
    unsigned variant = (unsigned)(item % (count * ways));
    uint32_t steps, *deaths = &known.deaths[set][variant % 64];
    generate_fixed(set, variant / ways, &workload);
    workload.atomic = variant % ways;
    workload.kill = (uint32_t)(item / (count * ways));
    if (!*deaths) {
        campaign_measure(&workload, &steps, deaths);
        ++*deaths;
    }
    return workload.kill >= *deaths || try(work, &workload, CAMPAIGN_BEHIND);
}

static uint64_t items_survivor(void)
{
    return (uint64_t)generate_fixed_count(GENERATE_PROCESSES) * 2 * KILLS_MOST;
}
static bool run_survivor(struct modes_work *work, uint64_t item)
{
    return run_pair(work, GENERATE_PROCESSES, item);
}

static uint64_t items_heir(void)
{
    return (uint64_t)generate_fixed_count(GENERATE_HEIRS) * KILLS_MOST;
}
static bool run_heir(struct modes_work *work, uint64_t item)
{
    return run_pair(work, GENERATE_HEIRS, item);
}

const struct mode modes[] = {
    {"seq1", 3, 4096, 3, 1000, 256, items_seq1, run_seq1},
    {"seq2", 8, 256, 2, 50, 1024, items_seq2, run_seq2},
    {"survivor", 4, 128, 2, 30, 1024, items_survivor, run_survivor},
    {"heir", 3, 128, 2, 30, 1024, items_heir, run_heir},
    {"death", 3, 4096, 3, 1000, 4, items_death, run_death},
    {"threads", 6, 64, 2, 20, 4096, items_threads, run_threads},
    {"random", 4, 256, 2, 50, 2048, items_endless, run_random},
    {"ending", 4, 128, 2, 30, 2048, items_seq3, run_ending},
    {"seq3", 8, 128, 2, 30, 2048, items_seq3, run_seq3},
};

unsigned modes_count(void)
{
    return sizeof modes / sizeof *modes;
}

const struct mode *modes_find(const char *name, size_t length)
{
    for (unsigned i = 0; i < modes_count(); i++)
        if (strlen(modes[i].name) == length && memcmp(modes[i].name, name, length) == 0)
            return &modes[i];
    return NULL;
}
