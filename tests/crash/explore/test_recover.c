/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_recover.c — the explorer on one real run of the library: no state is wrong, what is planted is found, what is found is
 * found again by its text, the whole library makes the same of it. With --bench [SECONDS] it measures.
 *
 * The run: a file of two blocks and a bit, writes of single lines and of a block, an append, fsyncs; each version of the file
 * that an fsync began with is legal from then on, and none before the last that returned.
 */
#include "crash/explore/explore_private.h"

#include "nvmmio.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 8200, FILE_MOST = 16384, VERSIONS = 8, MARK_BEGIN = 1, MARK_END = 2 };

/* One write and an fsync behind it. */
struct step {
    uint64_t offset, length;
};
static const struct step steps[] = {{64, 64}, {4096, 700}, {100, 4000}, {8200, 500}, {0, 8}, {4090, 80}};
enum { STEPS = sizeof steps / sizeof *steps };

struct versions {
    uint8_t bytes[VERSIONS][FILE_MOST];
    uint64_t size[VERSIONS];
    unsigned first, last; /* legal at the prepared point */
    char text[128];
};

static struct {
    char root[UNIT_PATH_MAX];
    struct versions versions;
} run;

static uint8_t byte_of(unsigned step, uint64_t offset)
{
    return (uint8_t)(1 + (step * 37 + offset * 11) % 250);
}

static void make_versions(void)
{
    struct versions *v = &run.versions;
    v->size[0] = FILE_BYTES;
    for (uint64_t i = 0; i < FILE_BYTES; i++)
        v->bytes[0][i] = byte_of(100, i);
    for (unsigned s = 0; s < STEPS; s++) {
        memcpy(v->bytes[s + 1], v->bytes[s], FILE_MOST);
        for (uint64_t i = 0; i < steps[s].length; i++)
            v->bytes[s + 1][steps[s].offset + i] = byte_of(s, i);
        uint64_t end = steps[s].offset + steps[s].length;
        v->size[s + 1] = end > v->size[s] ? end : v->size[s];
    }
}

/* ---- the run ---- */

static void path_of(char path[UNIT_PATH_MAX + 8])
{
    snprintf(path, UNIT_PATH_MAX + 8, "%s/file", run.root);
}

static void play(void)
{
    char path[UNIT_PATH_MAX + 8];
    uint8_t bytes[FILE_MOST];
    path_of(path);
    setenv("NVMMIO_ROOT", run.root, 1);
    setenv("NVMMIO_CONF", "commit_interval:1000s,idle:1000s,pool:1,pm:force", 1);
    int fd = nvopen(path, O_RDWR);
    unit_check(fd >= 0);
    for (unsigned s = 0; s < STEPS; s++) {
        for (uint64_t i = 0; i < steps[s].length; i++)
            bytes[i] = byte_of(s, i);
        unit_check(nvpwrite(fd, bytes, steps[s].length, (off_t)steps[s].offset) == (ssize_t)steps[s].length);
        trace_mark(MARK_BEGIN, s, 0);
        unit_check(nvfsync(fd) == 0);
        trace_mark(MARK_END, s, 0);
    }
    nvclose(fd);
}

static int record(void **state)
{
    (void)state;
    char path[UNIT_PATH_MAX + 8];
    unit_directory(run.root);
    path_of(path);
    make_versions();
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, run.versions.bytes[0], FILE_BYTES), FILE_BYTES);
    close(fd);
    trace_begin(run.root);
    unit_expect_exit(unit_in_child(play), 0);
    trace_end();
    assert_false(trace_now()->overflow);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    char command[UNIT_PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r %s", run.root);
    return system(command);
}

/* ---- the oracle ---- */

static void prepare(void *context, const struct trace *trace, size_t at)
{
    struct versions *v = context;
    v->first = v->last = 0;
    for (size_t i = 0; i < at; i++) {
        if (trace->event[i].kind != TRACE_MARK)
            continue;
        v->last = (unsigned)trace->event[i].argument[0] + 1;
        if (trace->event[i].mark == MARK_END)
            v->first = v->last;
    }
    if (at > 0 && v->first == STEPS)
        v->last = STEPS;
}

static const char *judge(void *context, const struct trace *trace, const struct explore_outcome *outcome)
{
    struct versions *v = context;
    (void)trace;
    if (outcome->error || outcome->files != 1 || !outcome->file->exists) {
        snprintf(v->text, sizeof v->text, "recovery error %d", outcome->error);
        return v->text;
    }
    for (unsigned i = v->first; i <= v->last; i++)
        if (outcome->file->size == v->size[i] && memcmp(outcome->file->bytes, v->bytes[i], v->size[i]) == 0)
            return NULL;
    snprintf(v->text, sizeof v->text, "neither version %u nor %u (size %llu)", v->first, v->last,
             (unsigned long long)outcome->file->size);
    return v->text;
}

static const struct explore_oracle oracle = {.context = &run.versions, .prepare = prepare, .judge = judge};

/* In the same boot every write that returned is there, whichever fsync was the last. */
static const char *judge_living(void *context, const struct trace *trace, const struct explore_outcome *outcome)
{
    struct versions *v = context;
    v->first = 0;
    v->last = STEPS;
    if (outcome->error)
        return judge(context, trace, outcome);
    (void)trace;
    return outcome->level == 0 || judge(context, trace, outcome) == NULL ? NULL : v->text;
}

static const struct explore_oracle living = {.context = &run.versions, .prepare = prepare, .judge = judge_living};

/* ---- tests ---- */

static void print_stats(const char *what, const struct explore_stats *stats, double seconds)
{
    printf("%-10s points %llu states %llu distinct %llu recoveries %llu deep %llu full %llu violations %llu: %.2f s, "
           "%.0f recoveries/s\n",
           what, (unsigned long long)stats->points, (unsigned long long)stats->states,
           (unsigned long long)stats->distinct, (unsigned long long)stats->recoveries, (unsigned long long)stats->deep,
           (unsigned long long)stats->full, (unsigned long long)stats->violations, seconds,
           (double)stats->recoveries / seconds);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool run_explorer(const char *what, const struct explore_options *options, const struct explore_oracle *judge_by,
                         struct explore_failure *failure)
{
    struct explore_stats stats = {0};
    double before = now();
    bool good = explore(trace_now(), 0, SIZE_MAX, judge_by, options, &stats, failure);
    print_stats(what, &stats, now() - before);
    return good;
}

static struct explore_options few_states(enum explore_model model)
{
    struct explore_options options;
    explore_defaults(&options);
    options.model = model;
    options.product = 64;
    options.random = 20;
    options.subset = 2;
    options.depth_share = 200;
    return options;
}

static void expect_legal(const char *what, const struct explore_options *options, const struct explore_oracle *judge_by)
{
    struct explore_failure failure = {0};
    if (!run_explorer(what, options, judge_by, &failure)) {
        printf("at %zu level %u state %s: %s\n", failure.at, failure.level, failure.state, failure.reason);
        explore_state(trace_now(), &failure, judge_by, options);
        fail();
    }
}

static void nothing_is_wrong(void **state)
{
    (void)state;
    static const char *const names[] = {"adr", "eadr", "torn"};
    for (unsigned model = EXPLORE_ADR; model <= EXPLORE_TORN; model++) {
        struct explore_options options = few_states((enum explore_model)model);
        expect_legal(names[model], &options, &oracle);
    }
}

static void deaths_are_promoted(void **state)
{
    (void)state;
    struct explore_options options = few_states(EXPLORE_ADR);
    options.same_boot = true;
    options.depth_share = 4;
    expect_legal("same boot", &options, &living);
}

/* One state in a few, opened by an application in a process of its own. */
static void whole_library_agrees(void **state)
{
    (void)state;
    struct explore_options options = few_states(EXPLORE_ADR);
    options.depth = 0;
    options.full_share = 20;
    expect_legal("full", &options, &oracle);
    options.same_boot = true;
    options.full_share = 2;
    expect_legal("full boot", &options, &living);
}

/* Tries the site as a mutant. A state that is found is found again by its text. */
static bool is_killed(const struct explore_site *site, const struct explore_options *options,
                      const struct explore_oracle *judge_by)
{
    struct explore_options mutant = *options;
    struct explore_failure failure = {0};
    struct explore_stats stats = {0};
    mutant.mutant_site = site->site;
    mutant.mutant_swap = site->kind == TRACE_STORE;
    bool found = !explore(trace_now(), 0, SIZE_MAX, judge_by, &mutant, &stats, &failure);
    printf("%s %s: %s\n", mutant.mutant_swap ? "swap" : "drop", trace_site_name(site->site),
           found ? failure.reason : "survives");
    if (found && (failure.level == 0 || stats.deep % 8 == 0)) /* reports are long */
        assert_false(explore_state(trace_now(), &failure, judge_by, &mutant));
    return found;
}

/* Every site in turn is left out: at least the commit's and the write's fences must be missed. */
static void mutants_are_found(void **state)
{
    (void)state;
    struct explore_site *sites = NULL;
    size_t count = 0, killed = 0;
    struct explore_options options = few_states(EXPLORE_ADR);
    options.depth = 0;
    explore_sites(trace_now(), &sites, &count);
    assert_true(count > 4);
    for (size_t i = 0; i < count; i++)
        killed += is_killed(&sites[i], &options, &oracle);
    printf("%zu of %zu mutants killed\n", killed, count);
    assert_true(killed >= 8);
    free(sites);
}

/* The same for what recovery does: its fences and fsyncs, and the order of its stores. */
static void mutants_of_recovery_are_found(void **state)
{
    (void)state;
    struct explore_site *sites = NULL;
    size_t count = 0, killed = 0;
    struct explore_options options = few_states(EXPLORE_ADR);
    options.depth = 1;
    options.depth_share = 16;
    explore_recovery_sites(&sites, &count);
    assert_true(count > 4);
    for (size_t i = 0; i < count; i++) {
        options.same_boot = false;
        bool found = is_killed(&sites[i], &options, &oracle);
        options.same_boot = true;
        killed += found || is_killed(&sites[i], &options, &living);
    }
    printf("%zu of %zu mutants of recovery killed\n", killed, count);
    assert_true(killed >= 2);
    free(sites);
}

static void bench(double seconds)
{
    struct explore_options options;
    explore_defaults(&options);
    options.depth_share = 1000;
    double before = now();
    do
        expect_legal("bench", &options, &oracle);
    while (now() - before < seconds);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        record(NULL);
        bench(argc > 2 ? atof(argv[2]) : 1);
        return clean(NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong),
        cmocka_unit_test(deaths_are_promoted),
        cmocka_unit_test(whole_library_agrees),
        cmocka_unit_test(mutants_are_found),
        cmocka_unit_test(mutants_of_recovery_are_found),
    };
    return cmocka_run_group_tests(tests, record, clean);
}
