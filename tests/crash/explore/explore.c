/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore.c — every crash point, every state, every recovery, and crashes inside of recovery.
 *
 * What is legal. At level 0 the oracle says it. A recovery that is cut short and done again must give the very same files as
 * the one that ran through: nothing was lost that it needs (rule 14). One exception: with same_boot the first recovery
 * promotes, and a power cut inside of it, before the new epoch is durable, loses what the dead processes had not synced
 * (rule 15). So a result that differs is shown to the oracle, which knows by the level that it may be as after a power cut.
 *
 * A state is skipped if its image was judged before under the same legal set, and below level 0 under the same wanted result.
 */
#include "crash/explore/explore_private.h"

#include "crash/explore/states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECOND_SHARE = 16, CHECK_SHARE = 4096, DEPTH_PARTS = 16 };

/* All images that this process has met. */
static struct seen explore_counted;

void explore_defaults(struct explore_options *options)
{
    *options = (struct explore_options){.model = EXPLORE_ADR,
                                        .product = 4096,
                                        .subset = 3,
                                        .random = 1000,
                                        .bulk = 16,
                                        .depth = 2,
                                        .depth_subset = 2,
                                        .depth_share = 64,
                                        .full_share = 0,
                                        .seed = 1};
}

bool explorer_open(struct explorer *explorer, const struct trace *trace, const struct explore_oracle *oracle,
                   const struct explore_options *options, struct explore_stats *stats, struct explore_failure *failure)
{
    memset(explorer, 0, sizeof *explorer);
    explorer->trace = trace;
    explorer->oracle = oracle;
    explorer->options = options;
    explorer->stats = stats;
    explorer->failure = failure;
    if (trace->overflow || !image_open(&explorer->image, trace))
        return false;
    explorer->files = calloc(explorer->image.files + 1, sizeof *explorer->files);
    return explorer->files != NULL;
}

void explorer_close(struct explorer *explorer)
{
    image_close(&explorer->image);
    seen_free(&explorer->judged);
    recover_copy_free(&explorer->expected);
    free(explorer->files);
    for (unsigned i = 0; i < EXPLORE_LEVELS; i++) {
        free(explorer->cut[i].choice);
        kernel_tape_free(&explorer->tape[i]);
    }
}

unsigned explorer_boot(const struct explorer *explorer, unsigned level)
{
    return explorer->options->same_boot ? level : level + 1;
}

/* ---- one state ---- */

/* As the oracle sees the image now. */
static const char *ask_oracle(struct explorer *explorer, unsigned level, int error)
{
    struct explore_outcome outcome = {
        .at = explorer->cut[0].at, .level = level, .file = explorer->files, .error = error};
    outcome.files = recover_files(&explorer->image, explorer->files);
    return explorer->oracle->judge(explorer->oracle->context, explorer->trace, &outcome);
}

/* Below level 0: the same files as without the crash. */
static const char *compare(struct explorer *explorer, unsigned level, int error)
{
    uint32_t file;
    uint64_t offset;
    if (error == 0 && recover_copy_equal(&explorer->expected, &explorer->image, &file, &offset))
        return NULL;
    if (explorer->options->same_boot)
        return ask_oracle(explorer, level, error);
    if (error)
        snprintf(explorer->text, sizeof explorer->text, "recovery after a crash in recovery failed with %d", error);
    else if (offset == UINT64_MAX)
        snprintf(explorer->text, sizeof explorer->text,
                 "after a crash in recovery file %u has another size or none (%llu)", file,
                 (unsigned long long)explorer->image.file[file].size);
    else
        snprintf(explorer->text, sizeof explorer->text, "after a crash in recovery file %u differs from byte %llu on",
                 file, (unsigned long long)offset);
    return explorer->text;
}

const char *explorer_verdict(struct explorer *explorer, unsigned level, struct kernel_tape *tape)
{
    int error = recover_image(&explorer->image, explorer_boot(explorer, level), tape, NULL);
    explorer->stats->recoveries++;
    if (kernel_trouble())
        return kernel_trouble();
    return level == 0 ? ask_oracle(explorer, level, error) : compare(explorer, level, error);
}

/* A recovered image once more: there must be nothing to do. */
static const char *recover_again(struct explorer *explorer, unsigned level)
{
    uint64_t changes;
    if (recover_image(&explorer->image, explorer_boot(explorer, level), NULL, &changes) != 0 || changes == 0)
        return NULL;
    snprintf(explorer->text, sizeof explorer->text, "a second recovery made %llu stores", (unsigned long long)changes);
    return explorer->text;
}

static void set_choice(struct explore_cut *cut, const uint16_t *choice)
{
    size_t units = cut->persist->units;
    if (units > cut->room) {
        free(cut->choice);
        cut->choice = malloc(units * sizeof *choice);
        cut->room = units;
        if (!cut->choice)
            abort();
    }
    if (units)
        memmove(cut->choice, choice, units * sizeof *choice);
}

/* Whether the state of cut[level] with that choice is wrong as well. */
static bool still_fails(struct explorer *explorer, unsigned level)
{
    struct explore_cut *cut = &explorer->cut[level];
    struct image_point mark = image_mark(&explorer->image);
    persist_apply(cut->persist, cut->choice);
    bool fails = explorer_verdict(explorer, level, NULL) != NULL;
    image_rewind(&explorer->image, mark);
    return fails;
}

/* As much as possible is persistent, so that what is missing is what matters. The image is as it is durable. */
static void minimise(struct explorer *explorer, unsigned level)
{
    struct explore_cut *cut = &explorer->cut[level];
    for (size_t i = 0; i < cut->persist->units; i++) {
        uint16_t was = cut->choice[i];
        for (uint16_t c = cut->persist->unit[i].most; c > was; c--) {
            cut->choice[i] = c;
            if (still_fails(explorer, level))
                break;
            cut->choice[i] = was;
        }
    }
}

static void report(struct explorer *explorer, unsigned level, const char *wrong)
{
    explorer->stats->violations++;
    if (!explorer->failure)
        return;
    explorer->stop = true;
    struct explore_failure *failure = explorer->failure;
    failure->at = explorer->cut[0].at;
    failure->level = level;
    snprintf(failure->reason, sizeof failure->reason, "%s", wrong);
}

/* ---- crashes inside recovery ---- */

static void explore_cut(struct explorer *explorer, unsigned level);

bool explorer_is_point(const struct trace *tape, size_t at)
{
    const struct trace_event *event = at < tape->count ? &tape->event[at] : NULL;
    return !event || event->kind == TRACE_FENCE || (event->kind == TRACE_CALL && event->call == TRACE_CALL_SYNC) ||
           (at > 0 && tape->event[at - 1].kind == TRACE_CALL);
}

void explorer_enter(struct explorer *explorer, unsigned level, struct persist *persist)
{
    if (explorer->options->same_boot && level == 0)
        persist_copy(persist, explorer->cut[0].persist);
    else
        persist_open(persist, &explorer->image, &explorer->tape[level].trace, explorer->options);
}

/* Every crash point of the recovery on tape[level]. The image is as explorer_enter wants it, and is left changed. */
static void crash_recovery(struct explorer *explorer, unsigned level)
{
    const struct trace *tape = &explorer->tape[level].trace;
    struct persist persist;
    explorer_enter(explorer, level, &persist);
    explore_sites_note(tape);
    for (size_t at = 0; at <= tape->count && !explorer->stop; at++) {
        if (at && explorer_is_point(tape, at)) {
            explorer->cut[level + 1].at = at;
            explorer->cut[level + 1].persist = &persist;
            explore_cut(explorer, level + 1);
        }
        if (at < tape->count)
            persist_feed(&persist, tape, at);
    }
    persist_close(&persist);
}

/* ---- the states of a crash point ---- */

struct visit {
    struct explorer *explorer;
    unsigned level;
};

static bool is_share(const struct seen_key *hash, unsigned share)
{
    return share && (hash->half[1] >> 8) % share == 0;
}

/* Whether this image was judged already. */
static bool is_known(struct explorer *explorer, unsigned level)
{
    struct seen_key key = seen_under(explorer->image.hash, explorer->legal * EXPLORE_LEVELS + level);
    if (level)
        key = seen_under(key, explorer->expected_hash.half[0] ^ explorer->expected_hash.half[1]);
    return !seen_add(&explorer->judged, key);
}

static void count_state(struct explorer *explorer, unsigned level)
{
    explorer->stats->states += level == 0;
    explorer->stats->deep += level > 0;
    explorer->stats->distinct += seen_add(&explore_counted, explorer->image.plain);
}

static bool is_late(const struct explore_options *options)
{
    struct timespec now;
    if (options->until <= 0)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9 > options->until;
}

static bool visit_state(void *context, const uint16_t *choice)
{
    const struct visit *visit = context;
    struct explorer *explorer = visit->explorer;
    unsigned level = visit->level;
    const struct explore_options *options = explorer->options;
    struct image *image = &explorer->image;
    struct explore_cut *cut = &explorer->cut[level];
    struct image_point durable = image_mark(image);
    persist_apply(cut->persist, choice);
    if (is_known(explorer, level)) {
        image_rewind(image, durable);
        return true;
    }
    count_state(explorer, level);
    explorer->stop = is_late(options);
    set_choice(cut, choice);
    struct seen_key hash = image->hash;
    bool crash = level < options->depth && level + 1 < EXPLORE_LEVELS && is_share(&hash, options->depth_share);
    bool full = level == 0 && is_share(&hash, options->full_share);
    struct image_point state = image_mark(image);
    const char *wrong = explorer_verdict(explorer, level, crash ? &explorer->tape[level] : NULL);
    if (level == 0 && (crash || full) && !wrong) {
        recover_copy_take(&explorer->expected, image);
        explorer->expected_hash = recover_copy_hash(&explorer->expected);
    }
    if (!wrong && is_share(&hash, SECOND_SHARE))
        wrong = recover_again(explorer, level);
    image_rewind(image, state);
    if (!wrong && full) {
        explorer->stats->full++;
        wrong = explore_full(explorer, &explorer->expected);
    }
    if (options->same_boot && level == 0)
        image_rewind(image, durable); /* a power cut inside promotion loses what was not durable */
    if (!wrong && crash)
        crash_recovery(explorer, level);
    image_rewind(image, durable);
    if (is_share(&hash, CHECK_SHARE) && !image_check(image)) {
        fprintf(stderr, "explore: an image was changed behind the explorer's back\n");
        exit(2);
    }
    if (wrong) {
        report(explorer, level, wrong);
        if (explorer->failure) {
            minimise(explorer, level);
            explore_text_write(explorer, level, explorer->failure->state, sizeof explorer->failure->state);
        }
    }
    return !explorer->stop;
}

static void explore_cut(struct explorer *explorer, unsigned level)
{
    const struct explore_options *options = explorer->options;
    struct persist *persist = explorer->cut[level].persist;
    struct visit visit = {.explorer = explorer, .level = level};
    struct states_bounds bounds = {.product = options->product,
                                   .subset = options->subset,
                                   .random = options->random,
                                   .seed = options->seed + explorer->cut[level].at};
    if (level) {
        bounds.product = options->product / DEPTH_PARTS;
        bounds.subset = options->depth_subset;
        bounds.random = options->random / DEPTH_PARTS;
    }
    persist_units(persist);
    uint16_t *most = malloc((persist->units + 1) * sizeof *most);
    if (!most)
        abort();
    for (size_t i = 0; i < persist->units; i++)
        most[i] = persist->unit[i].most;
    explorer->stats->points += level == 0;
    if (options->same_boot && level == 0)
        visit_state(&visit, most); /* the power stays on: all of it is there */
    else
        states_enumerate(most, persist->units, &bounds, visit_state, &visit);
    free(most);
}

/* ---- the crash points of the workload ---- */

/* explore.h: before each fence and pinning call, behind each call, on both sides of each mark; before each store where that
 * makes a difference, which is if stores are durable at once, or if it is the process that dies. */
static bool is_workload_point(const struct explorer *explorer, size_t at)
{
    const struct trace *trace = explorer->trace;
    const struct trace_event *event = at < trace->count ? &trace->event[at] : NULL;
    if (explorer_is_point(trace, at) || event->kind == TRACE_MARK || (at && trace->event[at - 1].kind == TRACE_MARK))
        return true;
    bool stores = event->kind == TRACE_STORE || event->kind == TRACE_STREAM;
    return stores && (explorer->options->same_boot || explorer->options->model == EXPLORE_EADR);
}

static void workload_point(struct explorer *explorer, struct persist *persist, size_t at)
{
    const struct explore_oracle *oracle = explorer->oracle;
    if (oracle->prepare)
        oracle->prepare(oracle->context, explorer->trace, at);
    uint64_t legal = oracle->legal_id ? oracle->legal_id(oracle->context) : explorer->marks;
    if (explorer->begun && persist->version == explorer->version && legal == explorer->legal)
        return; /* nothing happened since the last point */
    explorer->begun = true;
    explorer->version = persist->version;
    explorer->legal = legal;
    explorer->cut[0].at = at;
    explorer->cut[0].persist = persist;
    explore_cut(explorer, 0);
}

bool explore(const struct trace *trace, size_t from, size_t to, const struct explore_oracle *oracle,
             const struct explore_options *options, struct explore_stats *stats, struct explore_failure *failure)
{
    struct explorer explorer;
    struct explore_stats unwanted = {0};
    struct persist persist;
    if (!stats)
        stats = &unwanted;
    if (!explorer_open(&explorer, trace, oracle, options, stats, failure)) {
        fprintf(stderr, "explore: the trace overflowed, or has a file of more than %llu bytes\n",
                (unsigned long long)IMAGE_ROOM);
        exit(2);
    }
    uint64_t before = stats->violations;
    persist_open(&persist, &explorer.image, trace, options);
    for (size_t at = 0; at <= trace->count && at <= to && !explorer.stop; at++) {
        if (at >= from && is_workload_point(&explorer, at))
            workload_point(&explorer, &persist, at);
        if (at == trace->count)
            break;
        explorer.marks += trace->event[at].kind == TRACE_MARK;
        persist_feed(&persist, trace, at);
    }
    persist_close(&persist);
    explorer_close(&explorer);
    return stats->violations == before;
}
