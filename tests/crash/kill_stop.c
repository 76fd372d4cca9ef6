/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_stop.c — sessions in which processes are stopped (SIGSTOP) in the middle of what they do, while others go on.
 *
 * Three processes write one file, a fourth one has a file of its own in the same root. A stopped process lives: it is not
 * to be declared dead, however long it is stopped, so that what it holds (slots, locks, the guard) stays its own, and
 * nothing of its write is lost or changed when it is continued. Others may wait for what it holds, and must go on once it
 * is continued, or killed while it was stopped. Who needs nothing of it goes on at once: the fourth process. While one is
 * stopped others are killed and started. At the end every byte is judged as after any kill.
 */
#include "crash/kill_run.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum {
    STOP_SHORT_US = 20000,
    STOP_LONG_US = 300000, /* 150 times the patience of a waiter (2 ms), three times the idle time */
    STOP_LONG_EVERY = 6,
    STOP_OPS = 10,            /* that each must do once nobody is stopped */
    STOP_APPENDS_MOST = 6000, /* then the file is long enough */
    STOP_BESIDE = 20,         /* that the process beside must do while somebody is */
};

static uint64_t ops_of_others(uint32_t index)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kill_run.j->writers; i++)
        sum += i == index ? 0 : atomic_load(&kill_run.j->writer[i].ops);
    return sum;
}

static void stop_writer(uint32_t index)
{
    struct kj_writer *w = &kill_run.j->writer[index];
    int status = 0;
    kill(kill_run.pid[index], SIGSTOP);
    if (waitpid(kill_run.pid[index], &status, WUNTRACED) != kill_run.pid[index] || !WIFSTOPPED(status)) {
        kill_run.pid[index] = 0;
        kill_fail("writer %u ended with status %#x", index, (unsigned)status);
        return;
    }
    kill_run.stops++;
    kill_run.stops_inside += atomic_load(&w->flight.state) == KJ_IN_FLIGHT;
}

/* The process that needs nothing of the stopped one goes on. */
static void must_go_on_beside(void)
{
    uint64_t base = atomic_load(&kill_run.j->beside), end = tool_now_ns() + KILL_WATCHDOG_MS * UINT64_C(1000000);
    while (atomic_load(&kill_run.j->beside) < base + STOP_BESIDE && !kill_run.failed) {
        tool_sleep_us(100);
        if (kill_run.j->error[0])
            kill_fail("beside");
        else if (tool_now_ns() > end)
            kill_fail("the process with a file of its own hangs while another one is stopped");
    }
}

static void must_all_go_on(void)
{
    for (uint32_t i = 0; i < kill_run.j->writers && !kill_run.failed; i++)
        kill_wait_ops(i, atomic_load(&kill_run.j->writer[i].ops), STOP_OPS, false);
}

static void hold(uint32_t index)
{
    uint64_t time =
        tool_below(&kill_run.rng, STOP_LONG_EVERY) ? tool_below(&kill_run.rng, STOP_SHORT_US) : STOP_LONG_US;
    must_go_on_beside();
    tool_sleep_us(time / 2);
    uint64_t base = ops_of_others(index);
    tool_sleep_us(time / 2 + 1000);
    kill_run.stops_that_held += ops_of_others(index) == base;
}

static void one_stop(void)
{
    struct tool_rng *rng = &kill_run.rng;
    uint32_t writers = kill_run.j->writers, index = (uint32_t)tool_below(rng, writers);
    uint32_t other = (index + 1 + (uint32_t)tool_below(rng, writers - 1)) % writers;
    bool dies = !tool_below(rng, 3), other_dies = !tool_below(rng, 3);
    tool_sleep_us(tool_below(rng, 3000));
    stop_writer(index);
    if (kill_run.failed)
        return;
    hold(index);
    if (other_dies) {
        kill_writer(other);
        hold(index);
        kill_start_writer(other);
        must_go_on_beside();
    }
    if (dies)
        kill_writer(index);
    else
        kill(kill_run.pid[index], SIGCONT);
    if (dies)
        kill_start_writer(index);
    must_all_go_on();
}

static void end_all(pid_t beside)
{
    atomic_store(&kill_run.j->stop, 1);
    for (uint32_t i = 0; i < kill_run.j->writers; i++) {
        if (kill_run.pid[i])
            kill_must_exit_well(kill_run.pid[i], "a writer");
        kill_run.pid[i] = 0;
    }
    kill_must_exit_well(beside, "the process beside");
}

static bool is_long_enough(void)
{
    return kill_run.j->mode == KJ_APPEND && ops_of_others(KJ_WRITERS_MAX) > STOP_APPENDS_MOST;
}

void kill_session_stops(void)
{
    char beside_file[KILL_PATH_BYTES + 16];
    snprintf(beside_file, sizeof(beside_file), "%s/beside", kill_run.root);
    pid_t beside = kill_spawn("beside", tool_random(&kill_run.rng), beside_file);
    for (uint32_t i = 0; i < kill_run.j->writers; i++)
        kill_start_writer(i);
    must_all_go_on();
    for (uint64_t rounds = 2 + tool_below(&kill_run.rng, 6); rounds-- && !kill_run.failed && !is_long_enough();)
        one_stop();
    if (!kill_run.failed && !tool_below(&kill_run.rng, 3)) /* all die, one of them stopped */
        for (uint32_t i = 0; i < kill_run.j->writers && !kill_run.failed; i++) {
            if (i == 0)
                stop_writer(0);
            kill_writer(i);
        }
    if (kill_run.failed) {
        kill(beside, SIGKILL);
        waitpid(beside, NULL, 0);
        return;
    }
    end_all(beside);
    if (!kill_run.failed)
        kill_judge();
}
