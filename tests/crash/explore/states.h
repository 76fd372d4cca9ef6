/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * states.h — which states of a crash point are tried: all, or the families of explore.h. Always the same, in the same order,
 * for the same numbers.
 */
#ifndef CRASH_EXPLORE_STATES_H
#define CRASH_EXPLORE_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct states_bounds {
    uint64_t product; /* all of them if they are at most so many; no family of sets is larger than twice that */
    unsigned subset;  /* sets of at most so many units */
    unsigned random;  /* seeded ones */
    uint64_t seed;
};

/* Calls visit for each state: choice[i] is 0 .. most[i]. Ends early when it returns false; false then. */
typedef bool (*states_visit)(void *context, const uint16_t *choice);
bool states_enumerate(const uint16_t *most, size_t units, const struct states_bounds *bounds, states_visit visit,
                      void *context);

/* How many there are in all, UINT64_MAX for more than can be counted. */
uint64_t states_product(const uint16_t *most, size_t units);

/* A generator for seeded choices. */
uint64_t states_random(uint64_t *seed);

#endif
