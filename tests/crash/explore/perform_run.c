/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * perform_run.c — who does which operation: one process, threads of it, or two processes of which the first dies.
 */
#include "crash/explore/perform_private.h"
#include "crash/explore/schedule.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 20000000

static struct {
    const struct workload *workload;
    struct perform_shared *shared;
} work;

static void operations_of(unsigned actor)
{
    for (unsigned i = 0; i < work.workload->count; i++)
        if (work.workload->operation[i].actor == actor)
            perform_operation(i);
}

static unsigned actors(void)
{
    unsigned most = 0;
    for (unsigned i = 0; i < work.workload->count; i++)
        if (work.workload->operation[i].actor > most)
            most = work.workload->operation[i].actor;
    return most;
}

static void begin(const struct workload *workload, struct perform_shared *shared)
{
    work.workload = workload;
    work.shared = shared;
    perform_hook(shared);
    perform_open(workload, shared);
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    unsigned actor = (unsigned)(uintptr_t)arg;
    trace_set_thread((uint8_t)actor);
    schedule_enter(actor);
    operations_of(actor);
    schedule_leave();
    return NULL;
}

static void run_threads(void)
{
    pthread_t thread[OPERATION_ACTORS];
    unsigned most = actors();
    perform_prepare();
    schedule_begin(work.workload, most);
    for (unsigned actor = 1; actor <= most; actor++)
        pthread_create(&thread[actor], NULL, thread_main, (void *)(uintptr_t)actor);
    for (unsigned actor = 1; actor <= most; actor++)
        pthread_join(thread[actor], NULL);
    struct execution *e = &work.shared->execution;
    e->steps = schedule_steps();
    if (schedule_stuck())
        snprintf(e->trouble, sizeof e->trouble, "the threads wait for each other");
}

void perform_alone(const struct workload *workload, struct perform_shared *shared)
{
    begin(workload, shared);
    operations_of(0);
    if (workload->threads)
        run_threads();
    char *trouble = shared->execution.trouble;
    if (!trouble[0] && trace_verify(trouble, sizeof shared->execution.trouble))
        trouble[0] = 0;
    shared->execution.finished = true;
}

/* ---- two processes ---- */

void perform_tell(struct perform_shared *shared, enum perform_stage stage)
{
    atomic_store(&shared->stage, stage);
    syscall(SYS_futex, &shared->stage, FUTEX_WAKE, 8, NULL, NULL, 0);
}

void perform_await(struct perform_shared *shared, enum perform_stage stage, pid_t child)
{
    uint32_t now;
    const struct timespec poll = {.tv_nsec = POLL_NS};
    while ((now = atomic_load(&shared->stage)) < (uint32_t)stage) {
        siginfo_t info = {.si_pid = 0};
        if (child && (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid))
            return;
        syscall(SYS_futex, &shared->stage, FUTEX_WAIT, now, &poll, NULL, 0);
    }
}

void perform_first(const struct workload *workload, struct perform_shared *shared)
{
    begin(workload, shared);
    operations_of(0);
    perform_prepare();
    perform_tell(shared, PERFORM_FIRST_READY);
    perform_await(shared, PERFORM_FIRST_GO, 0);
    perform_die_at(workload->kill);
    operations_of(1);
    shared->execution.deaths = perform_events();
    syscall(SYS_kill, getpid(), SIGKILL);
}

void perform_second(const struct workload *workload, struct perform_shared *shared)
{
    trace_set_process(1);
    trace_set_thread(2);
    if (workload->heir)
        trace_mark(EXECUTE_DEATH, 0, 0);
    begin(workload, shared);
    if (workload->heir) {
        trace_mark(EXECUTE_HEIR, 0, 0);
    } else {
        perform_prepare();
        perform_tell(shared, PERFORM_SECOND_READY);
        perform_await(shared, PERFORM_SECOND_GO, 0);
        trace_mark(EXECUTE_DEATH, 0, 0);
    }
    operations_of(2);
    shared->execution.finished = true;
}
