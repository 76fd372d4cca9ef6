/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * job_verify.c — see job_verify.h.
 */
#include "job_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFY_CHUNK = 1 << 20, VERIFY_TOLD_MAX = 10, VERIFY_TEXT_MAX = 256 };

static void tell(struct job *job, const char *text)
{
    uint64_t told = job->result->verify_errors++;
    if (job->quiet)
        return;
    if (told < VERIFY_TOLD_MAX)
        fprintf(stderr, "nvbench: verify: job %u, %s: %s\n", job->id, job->path, text);
    else if (told == VERIFY_TOLD_MAX)
        fprintf(stderr, "nvbench: verify: job %u: further faults are only counted\n", job->id);
}

static bool check_unit(struct job *job, const char *buf, uint64_t offset)
{
    const struct verify_model *model = &job->models[job->id];
    enum verify_fault fault = model->sequence ? verify_unit_newest(buf, offset, job->models, job->model_count, job->id)
                                              : verify_unit_intact(buf, model->unit, offset);
    job->result->verified++;
    if (fault == VERIFY_OK)
        return true;
    char text[VERIFY_TEXT_MAX];
    verify_describe(fault, buf, offset, model, job->id, text, sizeof text);
    tell(job, text);
    return false;
}

int job_verify_read(struct job *job, const char *buf, uint64_t offset, uint64_t length)
{
    uint64_t unit = job->options->bs_min;
    int error = 0;
    for (uint64_t at = 0; at < length; at += unit)
        if (!check_unit(job, buf + at, offset + at))
            error = -EILSEQ;
    return error;
}

void job_verify_replay(struct job *job, uint64_t last)
{
    struct verify_model *model = &job->models[job->id];
    uint64_t done = job->ack ? ack_get(&job->ack->done) : UINT64_MAX;
    uint64_t begun = job->ack ? ack_get(&job->ack->begun) : UINT64_MAX;
    struct plan plan;
    struct plan_io io;
    if (!model->sequence)
        return;
    plan_init(&plan, job->options, job->id, job->start);
    while (plan.sequence < begun && plan.sequence < last && plan_next(&plan, &io)) {
        if (io.restart)
            verify_model_clear(model);
        if (io.direction == PLAN_WRITE && io.sequence > done)
            verify_model_begun(model, io.offset, io.length, io.sequence);
        else if (io.direction == PLAN_WRITE)
            verify_model_wrote(model, io.offset, io.length, io.sequence);
        plan_ramp_ends(&plan, true);
    }
}

static int read_fully(struct job *job, struct engine_file *file, char *buf, uint64_t length, uint64_t offset,
                      uint64_t *got)
{
    for (*got = 0; *got < length;) {
        ssize_t n = job->options->engine->read(file, buf + *got, length - *got, offset + *got);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        *got += (uint64_t)n;
    }
    return 0;
}

/* The end of what the model says was written; 0 if nothing. */
static uint64_t written_end(const struct verify_model *model)
{
    uint64_t units = model->units;
    while (units && !model->sequence[units - 1])
        units--;
    return units ? model->start + units * model->unit : 0;
}

static void check_size(struct job *job, struct engine_file *file)
{
    const struct verify_model *model = &job->models[job->id];
    uint64_t expected = job->file_size, size = 0;
    if (model->hole && !job->options->engine->maps) {
        /* Several jobs on one file that grows: its end is not known to each. */
        if (job->options->filename && job->options->numjobs > 1)
            return;
        expected = written_end(model);
    }
    if (job->options->rw == RW_APPEND)
        expected = written_end(model);
    int error = job->options->engine->size(file, &size);
    uint64_t most = expected;
    if (model->flight.sequence && model->flight.offset + model->flight.length > most)
        most = model->flight.offset +
               model->flight.length; /* the kernel lets the size of a killed write grow bit by bit */
    if (!error && size >= expected && size <= most)
        return;
    char text[VERIFY_TEXT_MAX];
    snprintf(text, sizeof text, "expected a size of %" PRIu64 ", found %" PRIu64 "%s%s", expected, size,
             error ? ", " : "", error ? strerror(-error) : "");
    tell(job, text);
}

int job_verify_file(struct job *job, struct engine_file *file)
{
    const struct verify_model *model = &job->models[job->id];
    uint64_t unit = model->unit;
    uint64_t chunk = unit > VERIFY_CHUNK ? unit : VERIFY_CHUNK / unit * unit;
    uint64_t end = model->start + model->units * unit;
    if (job->options->rw == RW_APPEND)
        end = written_end(model);
    char *buf = malloc(chunk);
    if (!buf)
        return -ENOMEM;
    int error = 0;
    for (uint64_t at = model->start; at < end && !error; at += chunk) {
        uint64_t length = end - at < chunk ? end - at : chunk, got;
        error = read_fully(job, file, buf, length, at, &got);
        /* What is behind the end of the file must look missing. */
        memset(buf + got, 0, length - got);
        for (uint64_t i = 0; i < length && !error; i += unit)
            check_unit(job, buf + i, at + i);
    }
    free(buf);
    check_size(job, file);
    return error;
}

int job_verify_synced(struct job *job, struct engine_file *file)
{
    uint64_t syncing = ack_get(&job->ack->syncing);
    job->quiet = syncing != ack_get(&job->ack->synced);
    int error = job_verify_file(job, file);
    if (error || !job->quiet || !job->result->verify_errors)
        return error;
    job->quiet = false;
    job->result->verify_errors = 0;
    verify_model_clear(&job->models[job->id]);
    job_verify_replay(job, syncing);
    return job_verify_file(job, file);
}
