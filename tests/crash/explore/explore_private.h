/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore_private.h — what the files of the explorer share: one exploration.
 */
#ifndef CRASH_EXPLORE_EXPLORE_PRIVATE_H
#define CRASH_EXPLORE_EXPLORE_PRIVATE_H

#include "crash/explore/explore.h"
#include "crash/explore/persist.h"
#include "crash/explore/recover.h"

#define EXPLORE_LEVELS 3u /* the workload's crash and two in recovery */

/* The way to a state: a crash point of each level and what was chosen there. */
struct explore_cut {
    size_t at;
    struct persist *persist;
    uint16_t *choice; /* of persist->units */
    size_t room;
};

struct explorer {
    const struct trace *trace;
    const struct explore_oracle *oracle;
    const struct explore_options *options;
    struct explore_stats *stats;
    struct explore_failure *failure;
    struct image image;
    struct seen judged;
    struct explore_file *files; /* of an outcome */
    struct explore_cut cut[EXPLORE_LEVELS];
    struct kernel_tape tape[EXPLORE_LEVELS];
    struct recover_copy expected; /* what level 0 was recovered to */
    struct seen_key expected_hash;
    uint64_t legal;
    uint64_t marks;
    uint64_t version; /* of persist at the last crash point, with begun */
    bool begun;
    bool stop;
    char text[256]; /* a verdict of our own */
};

bool explorer_open(struct explorer *explorer, const struct trace *trace, const struct explore_oracle *oracle,
                   const struct explore_options *options, struct explore_stats *stats, struct explore_failure *failure);
void explorer_close(struct explorer *explorer);

/* Whether the power may go before event `at` of a recovery's tape. */
bool explorer_is_point(const struct trace *tape, size_t at);

/* The boot under which the recovery of that level runs. */
unsigned explorer_boot(const struct explorer *explorer, unsigned level);

/* Recovers the image as it is, judges, leaves it recovered. NULL: legal. */
const char *explorer_verdict(struct explorer *explorer, unsigned level, struct kernel_tape *tape);

/* The persist for crashes inside the recovery on tape[level] that began at the image as it is (with same_boot at level 0: as
 * it is durable). */
void explorer_enter(struct explorer *explorer, unsigned level, struct persist *persist);

/* ---- explore_text.c ---- */

/* The way to the state of `level` as text, and back: false if it cannot be read. */
void explore_text_write(const struct explorer *explorer, unsigned level, char *text, size_t size);
/* The next level's crash point and choices (set to what `persist` has units for); *text moves on. */
bool explore_text_point(const char **text, size_t *at);
bool explore_text_choice(const char **text, const struct persist *persist, uint16_t *choice);

/* ---- explore_full.c ---- */

/* The image (a crash state, not recovered) recovered by the whole library in a new process; NULL if its data files are then
 * equal to `expected`, else what is wrong. */
const char *explore_full(const struct explorer *explorer, const struct recover_copy *expected);

/* ---- explore_sites.c ---- */

void explore_sites_note(const struct trace *tape);

#endif
