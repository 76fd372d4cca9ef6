/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * job.c — see job.h. The loop in do_workload is what is timed; job_verify.c has the check after it.
 */
#include "job.h"

#include "job_verify.h"
#include "nvmmio.h"
#include "random.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUFFER_ALIGN = 4096, WAIT_US = 50, US_PER_SECOND = 1000000, NS_PER_US = 1000 };

static void fail(struct job *job, int error, const char *what)
{
    if (job->result->error)
        return;
    job->result->error = -error;
    snprintf(job->result->why, sizeof job->result->why, "%.*s: %s", JOB_WHY_MAX / 2, what,
             error == -EILSEQ ? "wrong data" : strerror(-error));
}

static void wait_for_all(struct job *job, enum job_phase phase)
{
    struct job_control *control = job->control;
    atomic_fetch_add(&control->arrived[phase], 1);
    while (atomic_load(&control->arrived[phase]) < control->jobs && !atomic_load(&control->abort))
        usleep(WAIT_US);
}

static int who_am_i(const struct job *job)
{
    return job->options->thread ? RUSAGE_THREAD : RUSAGE_SELF;
}

static uint64_t timeval_us(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * US_PER_SECOND + (uint64_t)time->tv_usec;
}

/* Where counting starts: at the first operation, or when the ramp is over. */
struct measure {
    uint64_t start_ticks;
    struct rusage usage;
};

static void start_measure(struct job *job, struct measure *measure)
{
    struct job_result *result = job->result;
    for (unsigned i = 0; i < PLAN_DIRECTIONS; i++) {
        result->direction[i].bytes = 0;
        result->direction[i].short_ios = 0;
        histogram_reset(&result->direction[i].latency);
    }
    histogram_reset(&result->sync);
    getrusage(who_am_i(job), &measure->usage);
    if (job->counts)
        counters_read(&result->counters_start);
    measure->start_ticks = ticks_now(job->ticks);
}

static void end_measure(struct job *job, const struct measure *measure)
{
    struct job_result *result = job->result;
    result->runtime_ns = ticks_to_ns(job->ticks, ticks_now(job->ticks) - measure->start_ticks);
    if (job->counts)
        counters_read(&result->counters_end);
    struct rusage now;
    const struct rusage *then = &measure->usage;
    getrusage(who_am_i(job), &now);
    result->user_us = timeval_us(&now.ru_utime) - timeval_us(&then->ru_utime);
    result->system_us = timeval_us(&now.ru_stime) - timeval_us(&then->ru_stime);
    result->context_switches = (uint64_t)(now.ru_nvcsw + now.ru_nivcsw - then->ru_nvcsw - then->ru_nivcsw);
    result->major_faults = (uint64_t)(now.ru_majflt - then->ru_majflt);
    result->minor_faults = (uint64_t)(now.ru_minflt - then->ru_minflt);
}

static ssize_t do_call(struct job *job, struct engine_file *file, const struct plan_io *io, char *buf, uint64_t done)
{
    const struct engine *engine = job->options->engine;
    if (io->direction == PLAN_READ)
        return engine->read(file, buf + done, io->length - done, io->offset + done);
    if (job->options->rw == RW_APPEND)
        return engine->append(file, buf + done, io->length - done, io->offset + done);
    return engine->write(file, buf + done, io->length - done, io->offset + done);
}

/* One operation, continued where it came back short. */
static int do_io(struct job *job, struct engine_file *file, const struct plan_io *io, char *buf)
{
    ssize_t n = do_call(job, file, io, buf, 0);
    if (__builtin_expect(n == (ssize_t)io->length, 1))
        return 0;
    uint64_t done = 0;
    while (n > 0) {
        job->result->direction[io->direction].short_ios++;
        done += (uint64_t)n;
        if (done == io->length)
            return 0;
        n = do_call(job, file, io, buf, done);
    }
    return n < 0 ? (int)n : -ENODATA;
}

static int do_sync(struct job *job, struct engine_file *file, bool data_only)
{
    uint64_t done = job->ack ? ack_get(&job->ack->done) : 0;
    if (job->ack)
        ack_set(&job->ack->syncing, done);
    uint64_t before = ticks_now(job->ticks);
    int error = job->options->engine->sync(file, data_only);
    histogram_add(&job->result->sync, ticks_to_ns(job->ticks, ticks_now(job->ticks) - before));
    if (job->ack && !error)
        ack_set(&job->ack->synced, done);
    return error;
}

static bool is_due(uint64_t writes, uint64_t interval)
{
    return interval && writes % interval == 0;
}

static int sync_where_due(struct job *job, struct engine_file *file, uint64_t writes)
{
    int error = 0;
    if (is_due(writes, job->options->fsync))
        error = do_sync(job, file, false);
    if (!error && is_due(writes, job->options->fdatasync))
        error = do_sync(job, file, true);
    return error;
}

/* An appending job starts its file again. That is no append: the clock of the measurement stands still for it. */
static int restart(struct job *job, struct engine_file *file, struct measure *measure, uint64_t *deadline)
{
    uint64_t before = ticks_now(job->ticks);
    if (job->models)
        verify_model_clear(&job->models[job->id]);
    int error = job->options->engine->truncate(file, 0);
    uint64_t taken = ticks_now(job->ticks) - before;
    measure->start_ticks += taken;
    if (*deadline != UINT64_MAX)
        *deadline += taken;
    return error;
}

static void stamp(struct job *job, const struct plan_io *io, char *buf)
{
    if (io->direction == PLAN_WRITE)
        verify_stamp(buf, io->length, job->options->bs_min, io->offset, job->options->randseed, job->id, io->sequence);
}

static int settle(struct job *job, const struct plan_io *io, const char *buf)
{
    if (io->direction == PLAN_WRITE) {
        verify_model_wrote(&job->models[job->id], io->offset, io->length, io->sequence);
        return 0;
    }
    return job->exclusive && job->options->do_verify ? job_verify_read(job, buf, io->offset, io->length) : 0;
}

enum { CLOCK_STRIDE = 64 }; /* operations between two readings of the clock with gtod_reduce */

static void do_workload(struct job *job, struct engine_file *file, char *buf)
{
    const struct job_options *options = job->options;
    const struct ticks *ticks = job->ticks;
    const uint64_t runtime = ticks_from_ns(ticks, options->runtime_us * NS_PER_US);
    struct plan plan;
    struct plan_io io;
    struct measure measure;
    uint64_t writes = 0, after = 0;
    unsigned unclocked = 0;
    int error = 0;

    plan_init(&plan, options, job->id, job->start);
    start_measure(job, &measure);
    uint64_t ramp_end = measure.start_ticks + ticks_from_ns(ticks, options->ramp_time_us * NS_PER_US);
    uint64_t deadline = options->runtime_us ? measure.start_ticks + runtime : UINT64_MAX;
    while (plan_next(&plan, &io)) {
        if (io.restart && (error = restart(job, file, &measure, &deadline)))
            break;
        if (job->models)
            stamp(job, &io, buf);
        if (job->ack && io.direction == PLAN_WRITE)
            ack_set(&job->ack->begun, io.sequence);
        uint64_t before = options->gtod_reduce ? 0 : ticks_now(ticks);
        error = do_io(job, file, &io, buf);
        if (!options->gtod_reduce)
            after = ticks_now(ticks);
        else if (++unclocked % CLOCK_STRIDE == 0)
            after = ticks_now(ticks); /* for ramp and runtime */
        if (error)
            break;
        if (job->ack && io.direction == PLAN_WRITE)
            ack_set(&job->ack->done, io.sequence);
        struct job_direction *direction = &job->result->direction[io.direction];
        histogram_add(&direction->latency, options->gtod_reduce ? 0 : ticks_to_ns(ticks, after - before));
        direction->bytes += io.length;
        if (job->models && (error = settle(job, &io, buf)))
            break;
        if (io.direction == PLAN_WRITE && (error = sync_where_due(job, file, ++writes)))
            break;
        if (plan_ramp_ends(&plan, after >= ramp_end)) {
            start_measure(job, &measure);
            deadline = options->runtime_us ? measure.start_ticks + runtime : UINT64_MAX;
        } else if (after >= deadline && !plan.ramping) {
            break;
        }
        if (atomic_load_explicit(&job->control->stop, memory_order_relaxed))
            break;
    }
    if (!error && options->end_fsync && writes)
        error = do_sync(job, file, false);
    end_measure(job, &measure);
    if (error)
        fail(job, error, io.direction == PLAN_READ ? "read" : "write or sync");
}

static int open_flags(const struct job_options *options)
{
    int atomic = options->atomic ? O_ATOMIC : 0; /* a bit that the kernel does not know: it ignores it */
    if (options->verify_only || !options_rw_writes(options->rw))
        return O_RDONLY | atomic;
    return (options->rw == RW_APPEND ? O_RDWR | O_APPEND : O_RDWR) | atomic;
}

static char *make_buffer(const struct job *job)
{
    uint64_t size = (job->options->bs_max + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN;
    char *buf = aligned_alloc(BUFFER_ALIGN, size);
    if (!buf)
        return NULL;
    uint64_t state = job->options->randseed + job->id;
    for (uint64_t at = 0; at < size; at += sizeof state) {
        uint64_t word = random_next(&state);
        memcpy(buf + at, &word, sizeof word);
    }
    return buf;
}

static bool open_file(struct job *job, struct engine_file *file)
{
    char why[JOB_WHY_MAX / 2] = "";
    int error = job->options->engine->load(why, sizeof why);
    if (error) {
        job->result->error = -error;
        snprintf(job->result->why, sizeof job->result->why, "engine %s: %s", job->options->engine->name, why);
        return false;
    }
    error = job->options->engine->open(file, job->path, open_flags(job->options), job->file_size);
    if (error)
        fail(job, error, job->path);
    return !error;
}

void job_run(struct job *job)
{
    struct engine_file file = {.fd = -1};
    const struct job_options *options = job->options;
    char *buf = make_buffer(job);
    if (!buf)
        fail(job, -ENOMEM, "buffer");
    bool opened = buf && open_file(job, &file);
    wait_for_all(job, JOB_OPENED);
    if (opened && options->verify_only)
        job_verify_replay(job, job->ack && options->atomic ? ack_get(&job->ack->synced) : UINT64_MAX);
    else if (opened)
        do_workload(job, &file, buf);
    /* Nobody checks a shared file before its last writer is done. */
    wait_for_all(job, JOB_DONE);
    if (opened && !job->result->error && job->models && options->do_verify && options_rw_writes(options->rw)) {
        int error = options->verify_only && options->atomic && job->ack ? job_verify_synced(job, &file)
                                                                        : job_verify_file(job, &file);
        if (error)
            fail(job, error, "reading for verify");
    }
    if (opened) {
        bool writes = job->ack && !options->verify_only;
        if (writes) /* the last close is a sync of an O_ATOMIC file */
            ack_set(&job->ack->syncing, ack_get(&job->ack->done));
        int error = options->engine->close(&file);
        if (error)
            fail(job, error, "close");
        else if (writes)
            ack_set(&job->ack->synced, ack_get(&job->ack->done));
    }
    if (job->counts)
        counters_read(&job->result->counters_closed);
    if (job->result->verify_errors)
        fail(job, -EILSEQ, "verify");
    free(buf);
    job->result->finished = true;
}
