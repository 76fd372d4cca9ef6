/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * workers.c — forks the workers of a mode, counts what they do, shows progress.
 */
#include "crash/explore/workers.h"

#include "crash/explore/execute.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHRINK_SECONDS 30u
#define PROGRESS_SECONDS 10u
#define POLL_NS 100000000L

/* Of the mode that runs: shared by the workers. */
struct board {
    _Atomic uint64_t next; /* item */
    _Atomic bool stop;
    _Atomic uint32_t failures;
    _Atomic uint32_t printing; /* a lock: one report at a time */
    pid_t pid[WORKERS_MOST];
    struct campaign_stats stats[WORKERS_MOST];
};

static struct {
    struct board *board;
    time_t end;
    volatile sig_atomic_t interrupted;
} workers;

static void stop_all(int signal_number)
{
    (void)signal_number;
    workers.interrupted = 1;
    atomic_store(&workers.board->stop, true);
}

static bool is_over(void)
{
    return atomic_load(&workers.board->stop) || (workers.end && time(NULL) >= workers.end);
}

static void fail(struct modes_work *work)
{
    while (atomic_exchange(&workers.board->printing, 1))
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    campaign_report(&work->finding, &work->campaign);
    campaign_shrink(&work->finding, &work->campaign, SHRINK_SECONDS);
    printf("shrunk:\n");
    campaign_report(&work->finding, &work->campaign);
    atomic_store(&workers.board->printing, 0);
    atomic_fetch_add(&workers.board->failures, 1);
}

static void work(const struct mode *mode, const struct workers_options *options, unsigned number)
{
    static const enum explore_model turns[] = {EXPLORE_ADR, EXPLORE_ADR, EXPLORE_TORN, EXPLORE_ADR, EXPLORE_EADR};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    workers.board->pid[number] = getpid();
    if (!execute_begin(number)) {
        perror("cannot make the directories");
        _exit(2);
    }
    uint64_t items = mode->items(), item;
    while (!is_over() && (item = atomic_fetch_add(&workers.board->next, 1)) < items) {
        struct modes_work one = {.options = options->explore,
                                 .seed = options->seed,
                                 .stats = &workers.board->stats[number],
                                 .stop = is_over};
        one.options.seed = options->seed;
        if (!options->own_effort) {
            one.options.product = mode->product;
            one.options.subset = mode->subset;
            one.options.random = mode->random;
            one.options.depth_share = mode->depth_share;
        }
        if (options->all_models)
            one.options.model = turns[(item / 2) % (sizeof turns / sizeof *turns)];
        if (mode->run(&one, item))
            continue;
        fail(&one);
        if (!options->keep_going)
            atomic_store(&workers.board->stop, true);
    }
    execute_end();
    _exit(0);
}

static void sum_up(const struct board *board, unsigned jobs, struct campaign_stats *sum)
{
    memset(sum, 0, sizeof *sum);
    for (unsigned i = 0; i < jobs; i++) {
        sum->sequences += board->stats[i].sequences;
        campaign_add(&sum->explored, &board->stats[i].explored);
    }
}

static void show(const struct mode *mode, const struct campaign_stats *sum, time_t begin)
{
    printf("%-8s %4lld s: sequences %llu, states %llu, distinct %llu\n", mode->name, (long long)(time(NULL) - begin),
           (unsigned long long)sum->sequences, (unsigned long long)sum->explored.states,
           (unsigned long long)sum->explored.distinct);
    fflush(stdout);
}

/* Waits for the workers; whether all ended well. */
static bool watch(const struct mode *mode, const struct workers_options *options, unsigned alive)
{
    time_t begin = time(NULL), shown = begin;
    bool good = true;
    while (alive) {
        int status;
        pid_t child = waitpid(-1, &status, WNOHANG);
        if (child > 0) {
            alive--;
            if (!WIFEXITED(status) || WEXITSTATUS(status)) {
                printf("a worker ended with status 0x%x\n", (unsigned)status);
                good = false;
            }
            continue;
        }
        struct campaign_stats sum;
        sum_up(workers.board, options->jobs, &sum);
        if (options->states && sum.explored.distinct >= options->states)
            atomic_store(&workers.board->stop, true);
        if (!options->quiet && time(NULL) - shown >= (time_t)PROGRESS_SECONDS) {
            show(mode, &sum, begin);
            shown = time(NULL);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    return good;
}

bool workers_run(const struct mode *mode, const struct workers_options *options, struct campaign_stats *stats)
{
    struct campaign_stats sum;
    time_t begin = time(NULL);
    workers.board = mmap(NULL, sizeof *workers.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (workers.board == MAP_FAILED)
        return false;
    workers.end = options->seconds ? begin + options->seconds : 0;
    signal(SIGTERM, stop_all);
    signal(SIGINT, stop_all);
    fflush(stdout);
    unsigned alive = 0;
    for (unsigned i = 0; i < options->jobs; i++) {
        pid_t child = fork();
        if (child == 0)
            work(mode, options, i);
        alive += child > 0;
    }
    bool good = watch(mode, options, alive) && alive == options->jobs;
    sum_up(workers.board, options->jobs, &sum);
    bool complete = atomic_load(&workers.board->next) >= mode->items();
    printf("%-8s %4lld s: sequences %llu%s, crash points %llu, distinct states %llu, recoveries %llu, deep %llu, full "
           "%llu\n",
           mode->name, (long long)(time(NULL) - begin), (unsigned long long)sum.sequences, complete ? " (all)" : "",
           (unsigned long long)sum.explored.points, (unsigned long long)sum.explored.distinct,
           (unsigned long long)sum.explored.recoveries, (unsigned long long)sum.explored.deep,
           (unsigned long long)sum.explored.full);
    good = good && !atomic_load(&workers.board->failures);
    stats->sequences += sum.sequences;
    campaign_add(&stats->explored, &sum.explored);
    for (unsigned i = 0; i < options->jobs; i++) /* nothing, unless it crashed */
        execute_remove(workers.board->pid[i], i);
    munmap(workers.board, sizeof *workers.board);
    return good && !workers.interrupted;
}
