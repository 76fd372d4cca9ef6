/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * schedule.c — the deterministic scheduler of threads.
 */
#include "crash/explore/schedule.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STUCK_WAITS 200000u /* without a step between them */

static struct {
    _Atomic uint32_t turn; /* the thread that runs; a futex word */
    uint32_t steps, waits;
    unsigned threads;
    bool live[OPERATION_ACTORS];
    bool stuck;
    const struct workload *workload;
} schedule;

static _Thread_local unsigned schedule_self;

void schedule_begin(const struct workload *workload, unsigned threads)
{
    memset(&schedule, 0, sizeof schedule);
    schedule.workload = workload;
    schedule.threads = threads;
    for (unsigned thread = 1; thread <= threads; thread++)
        schedule.live[thread] = true;
    atomic_store(&schedule.turn, 1);
}

static void await_turn(void)
{
    uint32_t turn;
    while ((turn = atomic_load(&schedule.turn)) != schedule_self)
        syscall(SYS_futex, &schedule.turn, FUTEX_WAIT_PRIVATE, turn, NULL, NULL, 0);
}

static void give_turn(unsigned thread)
{
    atomic_store(&schedule.turn, thread);
    syscall(SYS_futex, &schedule.turn, FUTEX_WAKE_PRIVATE, OPERATION_ACTORS, NULL, NULL, 0);
}

/* The next live thread behind this one; itself if there is no other, 0 if there is none. */
static unsigned next_live(void)
{
    for (unsigned i = 1; i <= schedule.threads; i++) {
        unsigned thread = (schedule_self - 1 + i) % schedule.threads + 1;
        if (schedule.live[thread])
            return thread;
    }
    return 0;
}

static void hand_over(unsigned thread)
{
    if (!thread || thread == schedule_self)
        return;
    give_turn(thread);
    await_turn();
}

void schedule_enter(unsigned thread)
{
    schedule_self = thread;
    await_turn();
}

void schedule_leave(void)
{
    schedule.live[schedule_self] = false;
    unsigned next = next_live();
    schedule_self = 0;
    give_turn(next);
}

void schedule_step(void)
{
    if (!schedule_self)
        return;
    uint32_t step = schedule.steps++;
    schedule.waits = 0;
    for (unsigned i = 0; i < schedule.workload->switches; i++) {
        const struct workload_switch *at = &schedule.workload->at[i];
        if (at->step == step && at->thread <= schedule.threads && schedule.live[at->thread])
            hand_over(at->thread);
    }
}

bool schedule_wait(void)
{
    if (!schedule_self)
        return false;
    if (++schedule.waits > STUCK_WAITS)
        schedule.stuck = true;
    hand_over(next_live());
    return !schedule.stuck;
}

uint32_t schedule_steps(void)
{
    return schedule.steps;
}

bool schedule_stuck(void)
{
    return schedule.stuck;
}
