/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * oracle.c — the reference of a run: its operations in order, the versions of each file, and the judgement of a state.
 */
#include "crash/explore/oracle_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the run ---- */

static void read_marks(struct oracle *oracle)
{
    for (unsigned i = 0; i < WORKLOAD_MOST; i++)
        oracle->begin[i] = oracle->end[i] = SIZE_MAX;
    oracle->death = oracle->heir = SIZE_MAX;
    for (size_t i = 0; i < oracle->trace->count; i++) {
        const struct trace_event *event = &oracle->trace->event[i];
        if (event->kind != TRACE_MARK)
            continue;
        if (event->mark == EXECUTE_BEGIN) {
            oracle->begin[event->argument[0]] = i;
            oracle->order[oracle->ordered++] = (unsigned)event->argument[0];
        } else if (event->mark == EXECUTE_END) {
            oracle->end[event->argument[0]] = i;
        } else if (event->mark == EXECUTE_DEATH) {
            oracle->death = i;
        } else if (event->mark == EXECUTE_HEIR) {
            oracle->heir = i;
        }
    }
}

static unsigned place_of(const struct oracle *oracle, int number)
{
    unsigned place = 0;
    while (place < oracle->ordered && (int)oracle->order[place] != number)
        place++;
    return place;
}

unsigned oracle_inode_of(const struct oracle *oracle, unsigned place)
{
    const struct execution *e = oracle->execution;
    const struct operation *op = &oracle->workload->operation[oracle->order[place]];
    unsigned found = EXECUTE_INODES;
    for (unsigned i = 0; i < e->inodes; i++)
        if (e->inode[i].file == op->file &&
            (e->inode[i].made == EXECUTE_NEVER || place_of(oracle, e->inode[i].made) < place))
            found = i;
    return found;
}

/* ---- versions ---- */

static bool is_dead(const struct oracle *oracle, unsigned number)
{
    return oracle->end[number] == SIZE_MAX && oracle->begin[number] < oracle->death && oracle->death != SIZE_MAX;
}

static struct oracle_version *version_after(struct oracle *oracle, struct oracle_version *before, unsigned number)
{
    const struct operation *op = &oracle->workload->operation[number];
    bool ended = oracle->end[number] != SIZE_MAX;
    int result = ended ? oracle->execution->operation[number].result : reference_success(op);
    if (!reference_changes(op) || result < 0)
        return before;
    struct oracle_version *after = malloc(sizeof *after);
    *after = *before;
    if (!is_dead(oracle, number))
        reference_apply(&after->world[0], op, number, result);
    reference_apply(&after->world[1], op, number, result);
    after->split = after->split || is_dead(oracle, number);
    return after;
}

static void make_versions(struct oracle *oracle, unsigned inode)
{
    struct oracle_inode *of = &oracle->inode[inode];
    const struct execute_inode *made = &oracle->execution->inode[inode];
    of->version[0] = calloc(1, sizeof *of->version[0]);
    if (made->made == EXECUTE_NEVER)
        reference_begin(&of->version[0]->world[0], oracle->workload, made->file);
    of->version[0]->world[1] = of->version[0]->world[0];
    for (unsigned place = 0; place < oracle->ordered; place++) {
        bool here = oracle_inode_of(oracle, place) == inode;
        of->version[place + 1] =
            here ? version_after(oracle, of->version[place], oracle->order[place]) : of->version[place];
    }
}

struct oracle *oracle_new(const struct workload *workload, const struct execution *execution, const struct trace *trace,
                          bool same_boot)
{
    struct oracle *oracle = calloc(1, sizeof *oracle);
    oracle->workload = workload;
    oracle->execution = execution;
    oracle->trace = trace;
    oracle->same_boot = same_boot;
    read_marks(oracle);
    for (unsigned inode = 0; inode < execution->inodes; inode++)
        make_versions(oracle, inode);
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    for (unsigned inode = 0; inode < oracle->execution->inodes; inode++)
        for (unsigned place = oracle->ordered + 1; place-- > 0;)
            if (!place || oracle->inode[inode].version[place] != oracle->inode[inode].version[place - 1])
                free(oracle->inode[inode].version[place]);
    free(oracle->legal);
    free(oracle);
}

/* ---- before any crash ---- */

/* Whether an operation may fail with that error: only for lack of space in the log, which O_ATOMIC files cannot hide. */
static bool may_fail(const struct oracle *oracle, unsigned number)
{
    bool full = false;
    if (oracle->workload->operation[number].verb == 'z' && oracle->execution->operation[number].result == -EOPNOTSUPP)
        return true; /* on tmpfs */
    for (unsigned i = 0; i < number; i++)
        full = full || oracle->workload->operation[i].verb == 'l';
    return full && oracle->workload->atomic && oracle->execution->operation[number].result == -ENOSPC;
}

static bool read_is_right(struct oracle *oracle, unsigned number)
{
    const struct operation *op = &oracle->workload->operation[number];
    const struct execute_operation *done = &oracle->execution->operation[number];
    if (oracle->workload->threads && op->actor)
        return oracle_threads_read_is_right(oracle, number);
    unsigned place = place_of(oracle, (int)number), inode = oracle_inode_of(oracle, place);
    const struct oracle_version *version = oracle->inode[inode].version[place];
    const struct reference *now = &version->world[0];
    uint32_t left = op->offset < now->size ? now->size - op->offset : 0;
    uint32_t length = op->length < left ? op->length : left;
    return version->split ||
           (done->result == (int)length && done->read_hash == execute_hash(now->bytes + op->offset, length));
}

const char *oracle_complaint(struct oracle *oracle)
{
    const struct execution *e = oracle->execution;
    if (e->trouble[0])
        return e->trouble;
    for (unsigned place = 0; place < oracle->ordered; place++) {
        unsigned number = oracle->order[place];
        if (oracle->end[number] == SIZE_MAX)
            continue;
        const char *what = NULL;
        if (e->operation[number].result < 0 && !may_fail(oracle, number))
            what = "failed with";
        else if (oracle->workload->operation[number].verb == 'r' && !read_is_right(oracle, number))
            what = "read what never was; result";
        if (what) {
            snprintf(oracle->text, sizeof oracle->text, "operation %u (%c) %s %d", number,
                     oracle->workload->operation[number].verb, what, e->operation[number].result);
            return oracle->text;
        }
    }
    return NULL;
}

/* ---- judging ---- */

static bool is_stored(const struct oracle_inode *of, uint64_t at, uint8_t byte)
{
    bool right = false;
    for (unsigned v = of->stored_from; of->loose[at] && v <= of->stored_to && !right; v++)
        for (unsigned w = 0; w < ORACLE_WORLDS && !right; w++)
            right = of->version[v]->world[w].bytes[at] == byte;
    return right;
}

static bool is_whole(const struct oracle_inode *of, const struct reference *model, const struct explore_file *file)
{
    if (file->size != model->size)
        return false;
    if (!model->size || memcmp(file->bytes, model->bytes, model->size) == 0)
        return true;
    bool right = of->stored;
    for (uint64_t i = 0; i < file->size && right; i++)
        right = file->bytes[i] == model->bytes[i] || is_stored(of, i, file->bytes[i]);
    return right;
}

/* Whether each byte, and the size, is that of one of the versions. */
static bool is_mixed(const struct oracle_inode *of, const struct oracle_range *range, const struct explore_file *file)
{
    bool size_right = false;
    for (unsigned v = range->from; v <= range->to; v++)
        for (unsigned w = 0; w < ORACLE_WORLDS; w++)
            size_right = size_right || of->version[v]->world[w].size == file->size;
    if (!size_right || file->size > OPERATION_SIZE_MOST)
        return false;
    for (uint64_t i = 0; i < file->size; i++) {
        bool right = (range->zero && file->bytes[i] == 0) || (of->stored && is_stored(of, i, file->bytes[i]));
        for (unsigned v = range->from; v <= range->to && !right; v++)
            for (unsigned w = 0; w < ORACLE_WORLDS && !right; w++)
                right = of->version[v]->world[w].bytes[i] == file->bytes[i];
        if (!right)
            return false;
    }
    return true;
}

static bool range_allows(const struct oracle_inode *of, const struct oracle_range *range,
                         const struct explore_file *file)
{
    const struct oracle_version *version = of->version[range->from];
    if (is_whole(of, &version->world[0], file))
        return true;
    if (range->from == range->to)
        return version->split && is_mixed(of, range, file);
    return is_mixed(of, range, file);
}

static bool is_legal(const struct oracle *oracle, const struct oracle_inode *of, const struct explore_file *file,
                     unsigned level)
{
    bool promotes = oracle->same_boot && !oracle->workload->atomic;
    if (promotes && range_allows(of, &of->living, file))
        return true;
    if (promotes && !level)
        return false;
    for (unsigned i = 0; i < of->ranges; i++)
        if (range_allows(of, &of->range[i], file))
            return true;
    return false;
}

static const char *describe(struct oracle *oracle, unsigned inode, const struct explore_file *file)
{
    const struct oracle_inode *of = &oracle->inode[inode];
    unsigned place = oracle->same_boot && !oracle->workload->atomic ? of->living.to : of->range[0].from;
    const struct reference *want = &of->version[place]->world[0];
    uint64_t at = 0, bad = 0;
    for (uint64_t i = 0; i < file->size && i < want->size; i++) {
        if (file->bytes[i] != want->bytes[i] && !bad++)
            at = i;
    }
    snprintf(oracle->text, sizeof oracle->text,
             "file %c has %llu bytes, none of %u legal states; last committed one (after %u operations): %u bytes, "
             "%llu differ, from %llu on",
             'a' + oracle->execution->inode[inode].file, (unsigned long long)file->size, of->ranges, place, want->size,
             (unsigned long long)bad, (unsigned long long)at);
    return oracle->text;
}

static const struct explore_file *find(const struct explore_outcome *outcome, uint32_t number)
{
    for (uint32_t i = 0; i < outcome->files; i++)
        if (outcome->file[i].file == number)
            return &outcome->file[i];
    return NULL;
}

static void prepare(void *context, const struct trace *trace, size_t at)
{
    struct oracle *oracle = context;
    (void)trace;
    oracle_legal(oracle, at);
    if (oracle->workload->threads)
        oracle_threads_prepare(oracle, at);
}

static const char *judge(void *context, const struct trace *trace, const struct explore_outcome *outcome)
{
    struct oracle *oracle = context;
    (void)trace;
    if (outcome->error) {
        snprintf(oracle->text, sizeof oracle->text, "recovery failed with %d", outcome->error);
        return oracle->text;
    }
    for (unsigned inode = 0; inode < oracle->execution->inodes; inode++) {
        const struct explore_file *file = find(outcome, oracle->execution->inode[inode].number);
        if (!file || !file->exists) {
            if (oracle->inode[inode].may_be_gone)
                continue;
            snprintf(oracle->text, sizeof oracle->text, "file %c is gone", 'a' + oracle->execution->inode[inode].file);
            return oracle->text;
        }
        if (oracle->workload->threads && oracle->legals) {
            const char *wrong = oracle_threads_judge(oracle, file);
            if (wrong)
                return wrong;
        } else if (!is_legal(oracle, &oracle->inode[inode], file, outcome->level)) {
            return describe(oracle, inode, file);
        }
    }
    return NULL;
}

/* States of different points that agree in it and in their image are the same state. */
static uint64_t identity(void *context)
{
    return ((const struct oracle *)context)->identity;
}

struct explore_oracle oracle_judge(struct oracle *oracle)
{
    return (struct explore_oracle){.context = oracle, .prepare = prepare, .judge = judge, .legal_id = identity};
}
