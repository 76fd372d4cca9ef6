/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mutate.c — finds for each place of the library a fixed workload that fails without it.
 *
 * A mutant is a change of the trace, so a workload runs once and its trace is explored with each mutant in turn. Two workers
 * never have the same mutant at the same time twice: a mutant that one has killed is left alone by all.
 */
#include "crash/explore/mutate.h"

#include "crash/explore/execute.h"
#include "crash/explore/generate.h"
#include "crash/explore/oracle.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MUTANTS_MOST 512u
#define NAME_BYTES 96u
#define THREAD_SWITCHES 24u /* runs of each workload of threads */
#define PROCESS_DEATHS 24u  /* of each workload of processes: before as many events */
#define RECOVERY_PRODUCT 512u
#define RECOVERY_RANDOM 50u
#define RECOVERY_WORKLOADS 4u /* whose recoveries are looked at for places */

struct mutant {
    uint64_t site;
    bool swap, sampled, of_recovery;
    uint8_t kind;
    char name[NAME_BYTES];
    _Atomic uint32_t killed; /* by workload number - 1 */
};

struct mutants {
    unsigned count;
    _Atomic uint32_t next; /* workload */
    _Atomic uint64_t explored, recoveries;
    struct mutant mutant[MUTANTS_MOST];
};

static struct mutants *mutants;

static const char *kind_name(const struct mutant *mutant)
{
    switch (mutant->kind) {
    case TRACE_STORE:
        return "store";
    case TRACE_FLUSH:
        return "flush";
    case TRACE_FENCE:
        return "fence";
    default:
        return "sync";
    }
}

static const char *function_of(const struct mutant *mutant)
{
    const char *function = strrchr(mutant->name, ' ');
    return function ? function + 1 : "";
}

/* ---- workloads ---- */

static const struct {
    enum generate_set set;
    unsigned runs;   /* of each */
    bool atomic_too; /* both ways */
} groups[] = {
    {GENERATE_MUTANTS, 1, true},
    {GENERATE_MUTANTS_THREADS, THREAD_SWITCHES, false},
    {GENERATE_MUTANTS_PROCESSES, PROCESS_DEATHS, false},
};

static unsigned workloads(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++)
        count += generate_fixed_count(groups[i].set) * groups[i].runs * (groups[i].atomic_too ? 2 : 1);
    return count;
}

static void workload_of(unsigned number, struct workload *workload)
{
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
        unsigned count = generate_fixed_count(groups[i].set), ways = groups[i].atomic_too ? 2 : 1;
        if (number >= count * groups[i].runs * ways) {
            number -= count * groups[i].runs * ways;
            continue;
        }
        generate_fixed(groups[i].set, number % count, workload);
        number /= count;
        if (groups[i].atomic_too && number % ways)
            workload->atomic = !workload->atomic;
        number /= ways;
        if (workload->processes) {
            workload->kill = number;
        } else if (number) { /* spread over the run */
            workload->at[0] = (struct workload_switch){number * 3, 2};
            workload->switches = 1;
        }
        return;
    }
}

/* ---- places ---- */

static void add(const struct explore_site *site, bool of_recovery)
{
    for (unsigned i = 0; i < mutants->count; i++)
        if (mutants->mutant[i].site == site->site) {
            mutants->mutant[i].of_recovery |= of_recovery; /* an heir's, in the trace itself, as well */
            return;
        }
    if (mutants->count == MUTANTS_MOST)
        return;
    struct mutant *mutant = &mutants->mutant[mutants->count++];
    mutant->site = site->site;
    mutant->kind = site->kind;
    mutant->swap = site->kind == TRACE_STORE;
    mutant->of_recovery = of_recovery;
    snprintf(mutant->name, sizeof mutant->name, "%s:%s", kind_name(mutant), trace_site_name(site->site));
}

static void collect(const struct trace *trace)
{
    struct explore_site *sites = NULL;
    size_t count = 0;
    explore_sites(trace, &sites, &count);
    for (size_t i = 0; i < count; i++)
        add(&sites[i], false);
    free(sites);
}

/* Recovers some states of the workload, crashed again, and takes the places that recovery was at. */
static void collect_recovery(const struct workload *workload, bool same_boot)
{
    struct campaign_stats stats = {0};
    struct campaign campaign = {.part = CAMPAIGN_ALL};
    struct explore_site *sites = NULL;
    size_t count = 0;
    explore_defaults(&campaign.options);
    campaign.options.product = campaign.options.random = 4;
    campaign.options.subset = campaign.options.depth = campaign.options.depth_share = 1;
    campaign.options.same_boot = same_boot;
    campaign_try(workload, &campaign, &stats, NULL);
    explore_recovery_sites(&sites, &count);
    for (size_t i = 0; i < count; i++)
        add(&sites[i], true);
    free(sites);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct mutant *)a)->name, ((const struct mutant *)b)->name);
}

static void run_all(const struct workload *only)
{
    if (!execute_begin(0))
        _exit(2);
    if (only) {
        execute(only);
        collect(trace_now());
        collect_recovery(only, false);
        execute_end();
        _exit(0);
    }
    for (unsigned i = 0; i < workloads(); i++) {
        struct workload workload;
        workload_of(i, &workload);
        if (workload.switches)
            continue;
        execute(&workload);
        collect(trace_now());
    }
    for (unsigned i = 0; i < RECOVERY_WORKLOADS * 2; i++) {
        struct workload workload;
        workload_of(i / 2, &workload);
        collect_recovery(&workload, i % 2);
    }
    execute_end();
    _exit(0);
}

/* Runs every workload once, or one, in a process of its own. */
static bool find_all(const struct workload *only)
{
    int status;
    mutants = mmap(NULL, sizeof *mutants, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mutants == MAP_FAILED)
        return false;
    pid_t child = fork();
    if (child == 0)
        run_all(only);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        return false;
    qsort(mutants->mutant, mutants->count, sizeof *mutants->mutant, by_name);
    return true;
}

/* "kind:function", or a part of the name. */
static bool is_called(const struct mutant *mutant, const char *name)
{
    const char *colon = strchr(name, ':');
    size_t kind = colon ? (size_t)(colon - name) : 0;
    if (strstr(mutant->name, name))
        return true;
    return colon && strncmp(mutant->name, name, kind + 1) == 0 && strcmp(function_of(mutant), colon + 1) == 0;
}

uint64_t mutate_find(const char *name, const struct workload *workload)
{
    if (!find_all(workload))
        return 0;
    for (unsigned i = 0; i < mutants->count; i++)
        if (is_called(&mutants->mutant[i], name))
            return mutants->mutant[i].site;
    return 0;
}

bool mutate_list(void)
{
    if (!find_all(NULL))
        return false;
    for (unsigned i = 0; i < mutants->count; i++)
        printf("0x%llx %s\n", (unsigned long long)mutants->mutant[i].site, mutants->mutant[i].name);
    return true;
}

/* Places whose mutant may survive, and why: no workload is tried on them. `which`: of the places of that kind in the
 * function, in order, a bit each. */
static const struct {
    const char *kind, *function;
    unsigned which;
    const char *why;
} known[] = {
    {"store", "fill_header", ~0u, "all of it is fenced before the magic is stored"},
    {"store", "make_index", ~0u, "names an object that does not outlive a boot"},
    {"store", "entry_make", ~0u, "the entry is void until its epoch is stored, and committed only behind a fence"},
    {"store", "entry_update", ~0u, "committed only behind a fence; base is two stores before the epoch"},
    {"store", "uma_commit_locked", 1, "size and its check: both before the epoch"},
    {"store", "promote", ~0u, "size and its check: both before the epoch"},
    {"store", "free_entries", 3, "sizes and checks: before floor and epoch"},
    {"store", "free_entries", ~15u, "does not outlive a boot, or is issued anew"},
    {"fence", "free_entries", 5, "log_retire follows, which fences; the order of these lines does not matter"},
    {"flush", "free_entries", 4, "the boot is issued anew"},
    {"store", "log_store_newest_size", ~0u, "matters to a death between the two, which a swapped trace does not have"},
    {"flush", "log_note_times", ~0u, "the mtime of a recovered file, which images do not have"},
    {"store", "log_note_past_end", ~0u, "for logs whose files are gone; an image has its file"},
    {"fence", "uma_repair_slot", ~0u, "the repairer fences before it commits; it is for commits by its other threads"},
    {"fence", "adopt_in_place", ~0u, "the same"},
    {"store", "perform_store", ~0u, "the application's own"},
    {"flush", "adopt_in_place", ~0u, "both homes are equal until the next write, which flushes the entry"},
    {"sync", "extend_file", ~0u, "needs bytes behind the end in the file's last page, which only other mappings leave"},
    {"sync", "sync_step", ~0u, "for plain stores into a mapping, which no workload makes"},
    {"sync", "open_or_make", ~0u, "images do not know that a directory must be reachable"},
};

static const char *harmless(const struct mutant *mutant)
{
    unsigned before = 0;
    for (const struct mutant *other = mutants->mutant; other < mutant; other++)
        before += other->kind == mutant->kind && strcmp(function_of(other), function_of(mutant)) == 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(kind_name(mutant), known[i].kind) == 0 && strcmp(function_of(mutant), known[i].function) == 0 &&
            known[i].which >> (before < 31 ? before : 31) & 1)
            return known[i].why;
    return NULL;
}

/* ---- trying ---- */

/* The first event of the place; SIZE_MAX: the trace has none. */
static size_t first_at(const struct trace *trace, uint64_t site)
{
    for (size_t i = 0; i < trace->count; i++)
        if (trace->event[i].site == site)
            return i;
    return SIZE_MAX;
}

/* Power cuts; deaths, after which recovery promotes, with power cuts in that. */
static bool survives(const struct mutant *mutant, const struct workload *workload, const struct execution *execution,
                     const struct explore_options *options, bool same_boot)
{
    struct explore_options with = *options;
    struct explore_stats stats = {0};
    struct explore_failure failure;
    with.mutant_site = mutant->site;
    with.mutant_swap = mutant->swap;
    with.same_boot = same_boot;
    with.depth = mutant->of_recovery ? 1 : 0;
    with.depth_share = 1;
    if (mutant->of_recovery) { /* few, and it is what they leave that matters */
        with.product = RECOVERY_PRODUCT;
        with.random = RECOVERY_RANDOM;
        with.subset = 2;
    }
    struct oracle *oracle = oracle_new(workload, execution, trace_now(), same_boot);
    const struct explore_oracle judge = oracle_judge(oracle);
    size_t from = mutant->of_recovery ? 0 : first_at(trace_now(), mutant->site); /* up to there nothing is mutated */
    bool good = explore(trace_now(), from, trace_now()->count, &judge, &with, &stats, &failure);
    oracle_free(oracle);
    atomic_fetch_add(&mutants->explored, stats.states);
    atomic_fetch_add(&mutants->recoveries, stats.recoveries);
    return good;
}

static void try_workload(unsigned number, const struct explore_options *options)
{
    struct workload workload;
    workload_of(number, &workload);
    const struct execution *execution = execute(&workload);
    struct oracle *oracle = oracle_new(&workload, execution, trace_now(), false);
    bool worthless = oracle_complaint(oracle) != NULL;
    oracle_free(oracle);
    for (unsigned i = 0; i < mutants->count && !worthless; i++) {
        struct mutant *mutant = &mutants->mutant[i];
        if (!mutant->sampled || atomic_load(&mutant->killed) ||
            !(mutant->of_recovery || first_at(trace_now(), mutant->site) != SIZE_MAX))
            continue;
        if (!survives(mutant, &workload, execution, options, false) ||
            (!workload.threads && !workload.processes && !survives(mutant, &workload, execution, options, true)))
            atomic_store(&mutant->killed, number + 1);
    }
}

static void work(unsigned worker, const struct explore_options *options)
{
    unsigned number;
    if (!execute_begin(worker))
        _exit(2);
    while ((number = atomic_fetch_add(&mutants->next, 1)) < workloads())
        try_workload(number, options);
    execute_end();
    _exit(0);
}

static void sample(unsigned share, uint64_t seed)
{
    uint64_t state = seed;
    for (unsigned i = 0; i < mutants->count; i++)
        mutants->mutant[i].sampled = generate_number(&state, share) == 0 && !harmless(&mutants->mutant[i]);
}

static bool print_result(void)
{
    unsigned tried = 0, killed = 0, left = 0;
    for (unsigned i = 0; i < mutants->count; i++) {
        const struct mutant *mutant = &mutants->mutant[i];
        const char *why = harmless(mutant);
        left += why != NULL;
        tried += mutant->sampled;
        killed += mutant->sampled && mutant->killed;
        if (why)
            printf("left out: %s: %s\n", mutant->name, why);
        else if (mutant->sampled && !mutant->killed)
            printf("SURVIVES: %s (0x%llx)\n", mutant->name, (unsigned long long)mutant->site);
    }
    printf("mutants: %u places, %u left out, %u tried, %u killed, %u survive; states %llu, recoveries %llu\n",
           mutants->count, left, tried, killed, tried - killed, (unsigned long long)mutants->explored,
           (unsigned long long)mutants->recoveries);
    return killed == tried && tried;
}

bool mutate_run(const struct workers_options *options, unsigned share)
{
    if (!find_all(NULL))
        return false;
    sample(share, options->seed);
    fflush(stdout);
    for (unsigned i = 0; i < options->jobs; i++)
        if (fork() == 0)
            work(i, &options->explore);
    bool good = true;
    int status;
    while (wait(&status) > 0)
        good = good && WIFEXITED(status) && !WEXITSTATUS(status);
    return print_result() && good;
}
