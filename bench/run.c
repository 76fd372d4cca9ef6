/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * run.c — see run.h.
 */
#include "run.h"

#include "layout.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the signal handler reaches; NULL outside a group. */
static _Atomic(struct job_control *) control_of_signal;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    struct job_control *control = atomic_load(&control_of_signal);
    if (control)
        atomic_store(&control->stop, true);
}

/* Zeroed memory that forked jobs share; NULL if there is none. Lives until the end of the program. */
static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int make_path(struct job *job)
{
    const struct job_options *options = job->options;
    const char *directory = options->directory ? options->directory : "";
    const char *slash = options->directory ? "/" : "";
    int length;
    if (options->filename)
        length = snprintf(job->path, sizeof job->path, "%s%s%s", directory, slash, options->filename);
    else
        length = snprintf(job->path, sizeof job->path, "%s%s%s.%u.0", directory, slash, options->name, job->number);
    return length < 0 || (size_t)length >= sizeof job->path ? -ENAMETOOLONG : 0;
}

static uint64_t region_end(const struct job *job)
{
    return job->start + job->options->size;
}

static bool empties(const struct job_options *options)
{
    if (options->rw == RW_APPEND)
        return true;
    return !options->overwrite && !options_rw_reads(options->rw);
}

/* Jobs on one file, of one group: its size, and who has his bytes for himself. */
static void relate_jobs(struct run *run)
{
    for (unsigned i = 0; i < run->job_count; i++) {
        struct job *job = &run->job[i];
        job->file_size = region_end(job);
        job->exclusive = true;
        for (unsigned k = 0; k < run->job_count; k++) {
            const struct job *other = &run->job[k];
            if (k == i || run->group[k] != run->group[i] || strcmp(job->path, other->path) != 0)
                continue;
            if (region_end(other) > job->file_size)
                job->file_size = region_end(other);
            if (region_end(other) > job->start && other->start < region_end(job))
                job->exclusive = false;
        }
    }
}

static int number_jobs(struct run *run)
{
    const struct options *options = run->options;
    unsigned group = 0, id = 0;
    for (unsigned i = 0; i < options->job_count; i++) {
        const struct job_options *section = &options->job[i];
        if (section->stonewall && i > 0)
            group++;
        for (unsigned n = 0; n < section->numjobs; n++, id++) {
            struct job *job = &run->job[id];
            job->options = section;
            job->number = n;
            job->id = id;
            job->start = section->offset + n * section->offset_increment;
            job->ticks = &run->ticks;
            job->result = &run->result[id];
            run->group[id] = group;
            if (make_path(job))
                return -ENAMETOOLONG;
        }
    }
    relate_jobs(run);
    return 0;
}

static uint32_t first_on_file(const struct run *run, unsigned id)
{
    uint32_t first = 0;
    while (run->group[first] != run->group[id] || strcmp(run->job[first].path, run->job[id].path) != 0)
        first++;
    return first;
}

static int make_models(struct run *run)
{
    for (unsigned id = 0; id < run->job_count; id++) {
        struct job *job = &run->job[id];
        const struct job_options *options = job->options;
        struct verify_model *model = &run->models[id];
        model->file = first_on_file(run, id);
        if (!options->verify)
            continue;
        model->seed = options->randseed;
        model->unit = options->bs_min;
        model->start = job->start;
        model->units = options->size / options->bs_min;
        model->hole = empties(options);
        job->models = run->models;
        job->model_count = run->job_count;
        if (!options_rw_writes(options->rw))
            continue;
        model->sequence = shared_memory(model->units * sizeof *model->sequence);
        if (!model->sequence)
            return -ENOMEM;
    }
    return 0;
}

static bool only_verifies(const struct options *options)
{
    bool only = true;
    for (unsigned i = 0; i < options->job_count; i++)
        only &= options->job[i].verify_only;
    return only;
}

static int make_acks(struct run *run, char *why, size_t why_size)
{
    const struct options *options = run->options;
    int error = 0;
    if (!options->ack)
        return 0;
    struct ack *acks = ack_map(options->ack, run->job_count, only_verifies(options), &error);
    if (error)
        snprintf(why, why_size, "--ack: %s: %s", options->ack, strerror(-error));
    for (unsigned id = 0; id < run->job_count && acks; id++) {
        const struct job_options *section = run->job[id].options;
        run->job[id].ack = &acks[id];
        /* A sync of any of them is one of all. */
        if (section->atomic && run->models[id].file != id) {
            snprintf(why, why_size, "--ack with --atomic needs a file for each job, not only for job %s",
                     section->name);
            return -EINVAL;
        }
    }
    return error;
}

/* Writers of one file must agree on what a block is, or none can tell what the other left. */
static int check_models(const struct run *run, char *why, size_t why_size)
{
    for (unsigned id = 0; id < run->job_count; id++) {
        const struct job_options *options = run->job[id].options;
        const struct job_options *first = run->job[run->models[id].file].options;
        bool same = options->verify == first->verify && options->bs_min == first->bs_min &&
                    options->randseed == first->randseed && empties(options) == empties(first);
        if (same || (!options->verify && !first->verify))
            continue;
        snprintf(why, why_size, "jobs %s and %s share a file, but not --verify, --bs, --randseed and --overwrite",
                 first->name, options->name);
        return -EINVAL;
    }
    return 0;
}

static bool group_writes_file(const struct run *run, uint32_t file)
{
    for (unsigned id = 0; id < run->job_count; id++)
        if (run->models[id].file == file && options_rw_writes(run->job[id].options->rw))
            return true;
    return false;
}

static int lay_out_group(struct run *run, unsigned group, char *why, size_t why_size)
{
    for (unsigned id = 0; id < run->job_count; id++) {
        const struct job *job = &run->job[id];
        const struct job_options *options = job->options;
        if (run->group[id] != group || run->models[id].file != id || options->engine == &engine_null)
            continue;
        enum layout_kind kind = LAYOUT_KEEP;
        if (options->verify_only)
            kind = LAYOUT_PRESENT;
        else if (empties(options))
            /* A raw append wants its blocks there before. */
            kind = options->engine->maps && !options->verify ? LAYOUT_KEEP : LAYOUT_EMPTY;
        else if (options->verify && group_writes_file(run, id))
            kind = LAYOUT_FRESH;
        int error = layout_file(job->path, kind, job->file_size, options->verify ? options->bs_min : 0,
                                options->randseed, why, why_size);
        if (error)
            return error;
    }
    return 0;
}

static void *thread_main(void *argument)
{
    job_run(argument);
    return NULL;
}

static pid_t start_process(struct job *job)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    job_run(job);
    /* An ordinary exit: libraries get to do what they do then. */
    exit(EXIT_SUCCESS);
}

static void mark_lost(struct job *job, const char *why, int error)
{
    atomic_store(&job->control->abort, true);
    if (job->result->error == 0)
        job->result->error = error;
    snprintf(job->result->why, sizeof job->result->why, "%s", why);
}

static void wait_for_process(struct run *run, const pid_t *pids)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    for (unsigned id = 0; pid > 0 && id < run->job_count; id++) {
        struct job *job = &run->job[id];
        if (pids[id] != pid || (job->result->finished && WIFEXITED(status) && WEXITSTATUS(status) == 0))
            continue;
        char why[JOB_WHY_MAX];
        if (WIFSIGNALED(status))
            snprintf(why, sizeof why, "the process was killed by signal %d", WTERMSIG(status));
        else
            snprintf(why, sizeof why, "the process ended with status %d", WEXITSTATUS(status));
        mark_lost(job, why, ECHILD);
    }
}

/* Threads need the engine before they start: loading it is for one thread. */
static int load_for_threads(const struct run *run, unsigned group, char *why, size_t why_size)
{
    for (unsigned id = 0; id < run->job_count; id++) {
        const struct job_options *options = run->job[id].options;
        if (run->group[id] != group || !options->thread)
            continue;
        int error = options->engine->load(why, why_size);
        if (error)
            return error;
    }
    return 0;
}

/* A group that runs: what was started for each job of the run. */
struct crew {
    unsigned group;
    struct job_control *control;
    pthread_t *threads;
    bool *threaded; /* threads[id] is valid */
    pid_t *pids;    /* 0: none */
    unsigned processes;
};

static bool takes_part(const struct run *run, const struct crew *crew, unsigned id)
{
    return run->group[id] == crew->group && !run->job[id].options->create_only;
}

static int make_crew(struct run *run, struct crew *crew, unsigned group)
{
    bool counting_thread = false;
    *crew = (struct crew){
        .group = group,
        .control = shared_memory(sizeof *crew->control),
        .threads = calloc(run->job_count, sizeof *crew->threads),
        .threaded = calloc(run->job_count, sizeof *crew->threaded),
        .pids = calloc(run->job_count, sizeof *crew->pids),
    };
    if (!crew->control || !crew->threads || !crew->threaded || !crew->pids)
        return -ENOMEM;
    for (unsigned id = 0; id < run->job_count; id++) {
        struct job *job = &run->job[id];
        if (!takes_part(run, crew, id))
            continue;
        crew->control->jobs++;
        job->control = crew->control;
        job->counts = run->options->stats && !(job->options->thread && counting_thread);
        counting_thread |= job->options->thread;
    }
    return 0;
}

static void free_crew(struct crew *crew)
{
    free(crew->pids);
    free(crew->threaded);
    free(crew->threads);
}

static void start_processes(struct run *run, struct crew *crew)
{
    for (unsigned id = 0; id < run->job_count; id++) {
        struct job *job = &run->job[id];
        if (!takes_part(run, crew, id) || job->options->thread)
            continue;
        crew->pids[id] = start_process(job);
        if (crew->pids[id] > 0)
            crew->processes++;
        else
            mark_lost(job, "fork failed", EAGAIN);
    }
}

static int start_threads(struct run *run, struct crew *crew, char *why, size_t why_size)
{
    int error = load_for_threads(run, crew->group, why, why_size);
    for (unsigned id = 0; id < run->job_count && !error; id++) {
        struct job *job = &run->job[id];
        if (!takes_part(run, crew, id) || !job->options->thread)
            continue;
        crew->threaded[id] = pthread_create(&crew->threads[id], NULL, thread_main, job) == 0;
        if (!crew->threaded[id])
            mark_lost(job, "no thread", EAGAIN);
    }
    return error;
}

static int run_group(struct run *run, unsigned group, char *why, size_t why_size)
{
    struct crew crew;
    int error = lay_out_group(run, group, why, why_size);
    if (error)
        return error;
    error = make_crew(run, &crew, group);
    if (!error) {
        atomic_store(&control_of_signal, crew.control);
        /* All processes before the first thread: a fork copies only the thread that calls it. */
        start_processes(run, &crew);
        error = start_threads(run, &crew, why, why_size);
        if (error)
            atomic_store(&crew.control->abort, true);
        while (crew.processes--)
            wait_for_process(run, crew.pids);
        for (unsigned id = 0; id < run->job_count; id++)
            if (crew.threaded[id])
                pthread_join(crew.threads[id], NULL);
        atomic_store(&control_of_signal, NULL);
    }
    free_crew(&crew);
    return error;
}

static void unlink_files(const struct run *run)
{
    for (unsigned id = 0; id < run->job_count; id++)
        if (run->job[id].options->unlink)
            unlink(run->job[id].path);
}

int run_all(struct run *run, const struct options *options, char *why, size_t why_size)
{
    *run = (struct run){.options = options};
    ticks_init(&run->ticks, !options->clock_gettime);
    for (unsigned i = 0; i < options->job_count; i++)
        run->job_count += (unsigned)options->job[i].numjobs;
    run->job = calloc(run->job_count, sizeof *run->job);
    run->group = calloc(run->job_count, sizeof *run->group);
    run->models = shared_memory(run->job_count * sizeof *run->models); /* replays in forked jobs tell each other */
    run->result = shared_memory(run->job_count * sizeof *run->result);
    int error = -ENOMEM;
    if (run->job && run->group && run->models && run->result)
        error = number_jobs(run);
    if (!error)
        error = make_models(run);
    if (error) {
        snprintf(why, why_size, "%s", strerror(-error));
        return error;
    }
    error = check_models(run, why, why_size);
    if (!error)
        error = make_acks(run, why, why_size);
    if (error)
        return error;
    struct sigaction interrupt = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | SA_RESETHAND};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    for (unsigned group = 0; group <= run->group[run->job_count - 1] && !error; group++)
        error = run_group(run, group, why, why_size);
    unlink_files(run);
    return error;
}
