/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * plan.c — see plan.h.
 */
#include "plan.h"

#include "random.h"

#include <string.h>

static void begin_pass(struct plan *plan)
{
    plan->pass_position = 0;
    for (unsigned i = 0; i < sizeof plan->key / sizeof plan->key[0]; i++)
        plan->key[i] = random_next(&plan->state);
}

void plan_init(struct plan *plan, const struct job_options *options, unsigned job, uint64_t start)
{
    memset(plan, 0, sizeof *plan);
    plan->rw = options->rw;
    plan->repetition = options->norandommap;
    plan->endless = options->time_based;
    plan->ramping = options->ramp_size || options->ramp_time_us;
    plan->unit = options->bs_min;
    plan->steps = options->bs_max / options->bs_min;
    plan->start = start;
    plan->units = options->size / options->bs_min;
    plan->byte_limit = options->io_size ? options->io_size : options->size;
    plan->io_limit = options->number_ios ? options->number_ios : UINT64_MAX;
    plan->ramp_size = options->ramp_size;
    plan->mix = options->rwmixread;
    plan->state = options->randseed;
    plan->state = random_next(&plan->state) + job;
    /* Both halves of a unit's number have a bit at least; the domain is less than twice the number of units. */
    unsigned bits = 2;
    while (bits < 63 && (uint64_t)1 << bits < plan->units)
        bits++;
    plan->high_bits = bits / 2;
    plan->low_bits = bits - plan->high_bits;
    begin_pass(plan);
}

static uint64_t scramble(uint64_t value, uint64_t key)
{
    uint64_t mixed = (value ^ key) * 0x9e3779b97f4a7c15u;
    return (mixed ^ (mixed >> 29)) >> 16;
}

/* A Feistel network maps the domain onto itself, one to one; what falls behind the last unit goes through it again. */
static uint64_t permute(const struct plan *plan, uint64_t index)
{
    uint64_t low_mask = ((uint64_t)1 << plan->low_bits) - 1;
    uint64_t high_mask = ((uint64_t)1 << plan->high_bits) - 1;
    do {
        uint64_t high = index >> plan->low_bits;
        uint64_t low = index & low_mask;
        high ^= scramble(low, plan->key[0]) & high_mask;
        low ^= scramble(high, plan->key[1]) & low_mask;
        high ^= scramble(low, plan->key[2]) & high_mask;
        low ^= scramble(high, plan->key[3]) & low_mask;
        index = high << plan->low_bits | low;
    } while (index >= plan->units);
    return index;
}

static uint64_t random_unit(struct plan *plan)
{
    if (plan->repetition)
        return random_below(&plan->state, plan->units);
    if (plan->pass_position == plan->units)
        begin_pass(plan);
    return permute(plan, plan->pass_position++);
}

static unsigned choose_direction(struct plan *plan)
{
    if (plan->rw == RW_MIX || plan->rw == RW_RANDMIX)
        return random_below(&plan->state, 100) < plan->mix ? PLAN_READ : PLAN_WRITE;
    return options_rw_writes(plan->rw) ? PLAN_WRITE : PLAN_READ;
}

bool plan_next(struct plan *plan, struct plan_io *io)
{
    uint64_t allowed = UINT64_MAX; /* units */
    if (!plan->ramping) {
        if (plan->ios >= plan->io_limit)
            return false;
        if (!plan->endless)
            allowed = (plan->byte_limit - plan->bytes) / plan->unit;
        if (allowed == 0)
            return false;
    }
    io->direction = choose_direction(plan);
    io->restart = false;
    uint64_t length = plan->steps == 1 ? 1 : 1 + random_below(&plan->state, plan->steps);
    uint64_t first;
    if (options_rw_random(plan->rw)) {
        first = random_unit(plan);
    } else {
        if (plan->position[io->direction] == plan->units) {
            plan->position[io->direction] = 0;
            io->restart = plan->rw == RW_APPEND;
        }
        first = plan->position[io->direction];
    }
    if (length > plan->units - first)
        length = plan->units - first;
    if (length > allowed)
        length = allowed;
    plan->position[io->direction] = first + length;
    io->offset = plan->start + first * plan->unit;
    io->length = length * plan->unit;
    io->sequence = io->direction == PLAN_WRITE ? ++plan->sequence : 0;
    plan->bytes += io->length;
    plan->ios++;
    return true;
}
