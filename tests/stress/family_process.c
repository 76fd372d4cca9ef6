/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family_process.c — a process of stress_family: its threads, the children that it forks, and its end, which is a return,
 * an _exit, an abort, a SIGKILL or an exec of a process that goes on with what it inherits.
 */
#include "stress/family_process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALIVE_MOST 8u
#define THREADS_MOST 4u

struct family family;

struct worker {
    pthread_t id;
    uint64_t seed, ops;
};

/* ---- processes ---- */

unsigned family_alive(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < FAMILY_PROCESSES; i++)
        n += atomic_load(&family.shared->process[i].pid) != 0;
    return n;
}

/* A free place in the table of processes; NULL: enough of them. */
static struct family_process *process_take(void)
{
    for (unsigned i = 0; family_alive() < ALIVE_MOST && i < FAMILY_PROCESSES; i++) {
        int nobody = 0;
        if (atomic_compare_exchange_strong(&family.shared->process[i].pid, &nobody, -1))
            return &family.shared->process[i];
    }
    return NULL;
}

static void process_free(struct family_process *p)
{
    memset(p->uses, 0, sizeof(p->uses));
    atomic_store(&p->pid, 0);
}

/* A child that was waited for: dead by a signal of ours, or well. */
static void process_ended(pid_t pid, int status)
{
    bool killed = WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGABRT);
    if (status && !(killed && family.shared->kills_wanted))
        family_fail(FAMILY_NONE, "process %d ended with status %#x", (int)pid, (unsigned)status);
    if (killed)
        atomic_fetch_add(&family.shared->kills, 1);
    for (unsigned i = 0; i < FAMILY_PROCESSES; i++)
        if (atomic_load(&family.shared->process[i].pid) == pid)
            process_free(&family.shared->process[i]);
}

/* Waits for children: for all of them, or for those that have ended. Whether any is left. */
bool family_reap(bool block)
{
    int status;
    pid_t pid;
    pthread_mutex_lock(&family.children);
    while ((pid = waitpid(-1, &status, block ? 0 : WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
        if (pid > 0)
            process_ended(pid, status);
    pthread_mutex_unlock(&family.children);
    return pid == 0;
}

/* Forks. Called by a thread that holds the table of descriptors for reading, or where there are no other threads; the
 * others may be in the midst of anything. */
pid_t family_fork(uint64_t seed)
{
    struct family_process *p = process_take();
    if (!p)
        return 0;
    if (family.self)
        memcpy(p->uses, family.self->uses, sizeof(p->uses));
    pthread_mutex_lock(&family.children);
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&p->pid, getpid()); /* should the parent be killed before it notes it */
        family.self = p;
        family_process_main(seed);
    }
    if (pid < 0)
        process_free(p);
    else
        atomic_store(&p->pid, pid);
    pthread_mutex_unlock(&family.children);
    atomic_fetch_add(&family.shared->forks, 1);
    return pid;
}

/* ---- the end of a process ---- */

static void close_all(void)
{
    for (unsigned i = 0; i < FAMILY_TABLE; i++)
        if (family.table[i].open && nvx.close(family.table[i].fd))
            family_fail(family.table[i].object, "close: %s", strerror(errno));
}

/* Descriptors are inherited where the new image knows them: under the preload library. */
static void go_on_by_exec(struct tool_rng *rng)
{
    char slot[32], seed[32], entries[2][80];
    char *argv[10] = {"stress_family", "--join", family_shared_path(), slot, seed};
    int count = 5;
    snprintf(slot, sizeof(slot), "%u", (unsigned)(family.self - family.shared->process));
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)tool_random(rng));
    for (unsigned i = 0, n = 0; i < FAMILY_TABLE && n < 2 && nvx_is_kernel && tool_below(rng, 3); i++) {
        const struct family_entry *e = &family.table[i];
        if (!e->open || fcntl(e->fd, F_SETFD, 0))
            continue;
        snprintf(entries[n], sizeof(entries[n]), "%d,%u,%u,%d", e->fd, e->description, e->object, e->flags);
        argv[count++] = entries[n++];
    }
    atomic_fetch_add(&family.shared->execs, 1);
    execv("/proc/self/exe", argv);
    family_fail(FAMILY_NONE, "exec: %s", strerror(errno));
    _exit(1);
}

static void __attribute__((noreturn)) end_process(struct tool_rng *rng)
{
    uint64_t kind = tool_below(rng, 10);
    bool kill_me = family.shared->kills_wanted && kind<3, ended = tool_now_ns()> family.shared->end;
    if (atomic_load(&family.shared->failed))
        _exit(0);
    if (!kill_me && tool_below(rng, 2))
        family_reap(true);
    if (kill_me && kind == 0)
        abort();
    if (kill_me)
        raise(SIGKILL);
    if (kind < 6 && !ended)
        go_on_by_exec(rng);
    if (kind < 8)
        close_all();
    if (kind & 1)
        exit(0);
    _exit(0);
}

/* ---- threads ---- */

static struct family_thread *thread_make(uint64_t seed)
{
    struct family_thread *t = calloc(1, sizeof(*t));
    if (!t || !(t->buf = malloc(FAMILY_BYTES)) || !(t->other = malloc(FAMILY_BYTES)))
        _exit(2);
    family_thread_start(t, seed);
    return t;
}

static void one_op(struct family_thread *t)
{
    uint64_t kind = tool_below(&t->rng, 1000);
    if (kind < 25) {
        family_open(t);
    } else if (kind < 38) {
        family_close(t);
    } else if (kind < 48) {
        family_dup(t);
    } else if (kind < 54) {
        family_names(t);
    } else if (kind < 55) {
        tool_sleep_us(tool_below(&t->rng, 150000)); /* idle write-back */
    } else {
        pthread_rwlock_rdlock(&family.lock);
        unsigned at = (unsigned)tool_below(&t->rng, FAMILY_TABLE);
        for (unsigned i = 0; i < FAMILY_TABLE && !family.table[at].open; i++)
            at = (at + 1) % FAMILY_TABLE;
        if (kind < 58 && family_fork(tool_random(&t->rng)) < 0)
            family_fail(FAMILY_NONE, "fork failed");
        else if (kind < 70)
            family_stat_path(t);
        else if (family.table[at].open)
            family_data(t, &family.table[at]);
        pthread_rwlock_unlock(&family.lock);
    }
}

static void *thread_main(void *arg)
{
    const struct worker *w = arg;
    struct family_thread *t = thread_make(w->seed);
    for (uint64_t i = 0; i < w->ops && !atomic_load(&family.shared->failed) && tool_now_ns() < family.shared->end;
         i++) {
        one_op(t);
        atomic_fetch_add(&family.shared->ops, 1);
        if (i % 64 == 0)
            family_reap(false);
    }
    free(t->buf);
    free(t->other);
    free(t);
    return NULL;
}

/* A process, also a forked or executed one, with the table of descriptors that it has. */
void family_process_main(uint64_t seed)
{
    struct tool_rng rng = {.state = seed};
    struct worker worker[THREADS_MOST];
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&family.lock, &fair);
    pthread_mutex_init(&family.children, NULL);
    unsigned threads = 1 + (unsigned)tool_below(&rng, family.shared->threads);
    uint64_t ops = 20 + tool_below(&rng, 40) * tool_below(&rng, 60);
    for (unsigned i = 0; i < threads; i++) {
        worker[i] = (struct worker){.seed = tool_random(&rng), .ops = ops};
        if (i && pthread_create(&worker[i].id, NULL, thread_main, &worker[i]))
            _exit(2);
    }
    thread_main(&worker[0]);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(worker[i].id, NULL);
    end_process(&rng);
}

/* An executed process: argv is --join PATH PLACE SEED [ENTRY...]. */
void family_join(char **argv)
{
    family_map(argv[2]);
    family.self = &family.shared->process[atoi(argv[3])];
    uint32_t uses[FAMILY_OBJECTS] = {0};
    for (unsigned i = 0; argv[5 + i]; i++) {
        struct family_entry *e = &family.table[i];
        if (sscanf(argv[5 + i], "%d,%u,%u,%d", &e->fd, &e->description, &e->object, &e->flags) != 4)
            _exit(2);
        e->open = true;
        uses[e->object]++;
        fcntl(e->fd, F_SETFD, FD_CLOEXEC);
    }
    for (unsigned i = 0; i < FAMILY_OBJECTS; i++)
        family.self->uses[i] = uses[i]; /* never 0 between: the file's model would be taken for another */
    family_process_main(strtoull(argv[4], NULL, 0));
}
