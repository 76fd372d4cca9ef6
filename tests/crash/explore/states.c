/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * states.c — enumeration of choices.
 */
#include "crash/explore/states.h"

#include "crash/explore/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct states {
    const uint16_t *most;
    uint16_t *choice;
    size_t units;
    const struct states_bounds *bounds;
    states_visit visit;
    void *context;
};

uint64_t states_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    return seen_mix(*seed);
}

uint64_t states_product(const uint16_t *most, size_t units)
{
    uint64_t product = 1;
    for (size_t i = 0; i < units; i++)
        if (__builtin_mul_overflow(product, (uint64_t)most[i] + 1, &product))
            return UINT64_MAX;
    return product;
}

static bool visit_all(struct states *s)
{
    memset(s->choice, 0, s->units * sizeof *s->choice);
    for (;;) {
        if (!s->visit(s->context, s->choice))
            return false;
        size_t i = 0;
        while (i < s->units && s->choice[i] == s->most[i])
            s->choice[i++] = 0;
        if (i == s->units)
            return true;
        s->choice[i]++;
    }
}

/* Background: nothing, or everything. */
static uint16_t background(const struct states *s, size_t unit, bool full)
{
    return full ? s->most[unit] : 0;
}

static void set_background(struct states *s, bool full)
{
    for (size_t i = 0; i < s->units; i++)
        s->choice[i] = background(s, i, full);
}

/* One unit with each of its other choices. */
static bool visit_single(struct states *s, bool full)
{
    for (size_t i = 0; i < s->units; i++) {
        for (uint16_t c = 0; c <= s->most[i]; c++) {
            if (c == background(s, i, full))
                continue;
            s->choice[i] = c;
            if (!s->visit(s->context, s->choice))
                return false;
        }
        s->choice[i] = background(s, i, full);
    }
    return true;
}

/* Sets of `left` more units from `from` on, with every other choice of each for pairs, the opposite extreme for larger
 * ones. */
static bool visit_sets(struct states *s, bool full, size_t from, unsigned left, bool every)
{
    if (left == 0)
        return s->visit(s->context, s->choice);
    for (size_t i = from; i + left <= s->units; i++) {
        uint16_t was = background(s, i, full);
        for (uint16_t c = every ? 0 : background(s, i, !full); c <= s->most[i]; c++) {
            if (c == was)
                continue;
            s->choice[i] = c;
            if (!visit_sets(s, full, i + 1, left - 1, every))
                return false;
            if (!every)
                break;
        }
        s->choice[i] = was;
    }
    return true;
}

/* How many sets of `size` units there are, with every other choice or one; UINT64_MAX if they cannot be counted. */
static uint64_t count_sets(const struct states *s, unsigned size, bool every)
{
    double count = 1, others = 0;
    for (size_t i = 0; i < s->units; i++)
        others += every ? s->most[i] : 1;
    for (unsigned i = 0; i < size; i++)
        count = count * (others - i) / (i + 1);
    return count > 1e18 ? UINT64_MAX : (uint64_t)count;
}

/* Seeded sets of that size, where there are too many. */
static bool visit_some_sets(struct states *s, bool full, unsigned size, uint64_t *seed)
{
    for (unsigned n = 0; n < s->bounds->random; n++) {
        set_background(s, full);
        for (unsigned k = 0; k < size; k++) {
            size_t i = (size_t)(states_random(seed) % s->units);
            uint16_t other = (uint16_t)(states_random(seed) % s->most[i]);
            s->choice[i] = full ? other : (uint16_t)(other + 1);
        }
        if (!s->visit(s->context, s->choice))
            return false;
    }
    set_background(s, full);
    return true;
}

static bool visit_random(struct states *s, uint64_t *seed)
{
    for (unsigned n = 0; n < s->bounds->random; n++) {
        for (size_t i = 0; i < s->units; i++)
            s->choice[i] = (uint16_t)(states_random(seed) % (s->most[i] + 1u));
        if (!s->visit(s->context, s->choice))
            return false;
    }
    return true;
}

static bool visit_families(struct states *s)
{
    uint64_t seed = s->bounds->seed, most = 2 * s->bounds->product;
    for (int full = 0; full <= 1; full++) {
        set_background(s, full);
        if (!s->visit(s->context, s->choice) || !visit_single(s, full))
            return false;
    }
    for (unsigned size = 2; size <= s->bounds->subset && size <= s->units; size++)
        for (int full = 0; full <= 1; full++) {
            bool every = size == 2 && count_sets(s, size, true) <= most;
            set_background(s, full);
            if (count_sets(s, size, every) <= most) {
                if (!visit_sets(s, full, 0, size, every))
                    return false;
            } else if (!visit_some_sets(s, full, size, &seed)) {
                return false;
            }
        }
    return visit_random(s, &seed);
}

bool states_enumerate(const uint16_t *most, size_t units, const struct states_bounds *bounds, states_visit visit,
                      void *context)
{
    struct states s = {.most = most, .units = units, .bounds = bounds, .visit = visit, .context = context};
    s.choice = calloc(units + 1, sizeof *s.choice);
    if (!s.choice) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    bool done = states_product(most, units) <= bounds->product ? visit_all(&s) : visit_families(&s);
    free(s.choice);
    return done;
}
