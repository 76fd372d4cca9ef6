/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * oracle_legal.c — which states of a file are legal at one point of a run whose operations follow each other.
 *
 * Goes through the operations up to that point and keeps, for each file: `acked`, the last state that is durable for sure;
 * `early`, later states that may have been committed whole; `mixed`, since when the kernel has stored bytes by itself.
 */
#include "crash/explore/oracle_private.h"

#include <string.h>

#define NOT_MIXED UINT32_MAX

struct story {
    unsigned acked, mixed;
    bool by_library; /* who served the file after the operation before */
    bool mapped, full, unlinked;
    unsigned earlies, early[2 * WORKLOAD_MOST];
};

static bool is_creation(const struct operation *op)
{
    return op->verb == 'c' || op->verb == 'C';
}

static void add_early(struct story *story, unsigned version)
{
    if (story->earlies < sizeof story->early / sizeof *story->early)
        story->early[story->earlies++] = version;
}

static void commit(struct story *story, unsigned version)
{
    story->acked = version;
    story->earlies = 0;
    story->mixed = NOT_MIXED;
}

/* Since version `place`, operation `op` has stored to the file by plain instructions, or is about to. */
static void note_stored(struct oracle_inode *of, const struct operation *op, unsigned place)
{
    if (!of->stored)
        of->stored_from = place;
    of->stored = true;
    for (uint64_t i = op->offset & ~7u; i < op->offset + op->length && i < OPERATION_SIZE_MOST; i++)
        of->loose[i] = true;
}

static void forget_stored(struct oracle_inode *of)
{
    of->stored = false;
    memset(of->loose, 0, sizeof of->loose);
}

static bool syncs(const struct story *story, const struct operation *op)
{
    return operation_syncs(op->verb) && (op->verb != 's' || story->mapped);
}

/* The kernel serves it before and after: what is stored may be durable in part. */
static void by_kernel(struct story *story, const struct operation *op, unsigned before, bool ended)
{
    if (reference_changes(op) && story->mixed == NOT_MIXED)
        story->mixed = story->acked;
    if (syncs(story, op) && ended)
        commit(story, before + 1);
}

/* A last close: all that was written is committed and brought to the file. */
static void closed(struct story *story, unsigned before, bool ended)
{
    if (ended)
        commit(story, before);
    else
        add_early(story, before);
    story->mapped = false;
}

static void by_library(struct story *story, const struct operation *op, unsigned before, bool ended, bool atomic,
                       bool shrinks, int result)
{
    /* a mapped file that becomes shorter is committed, as the kernel's file is cut */
    bool commits = (syncs(story, op) || (shrinks && story->mapped)) && result >= 0;
    bool moves = op->verb == 'p' || op->verb == 'z';
    if (story->full && !atomic && reference_changes(op))
        add_early(story, before);
    if (strchr("mni", op->verb) && !story->mapped) {
        add_early(story, before);
        story->mapped = story->mapped || ended;
    }
    if (op->verb == 'M' && ended)
        story->mapped = false;
    if (moves)
        add_early(story, before);
    if ((commits || (moves && result >= 0)) && ended)
        commit(story, before + 1);
    else if (commits || moves)
        add_early(story, before + 1);
}

static void tell(struct story *story, struct oracle *oracle, unsigned place, size_t at)
{
    unsigned number = oracle->order[place];
    const struct operation *op = &oracle->workload->operation[number];
    bool ended = oracle->end[number] < at, ever = oracle->end[number] != SIZE_MAX;
    const struct execute_operation *done = &oracle->execution->operation[number];
    /* who serves it afterwards is known from the run, which went on behind this point */
    bool library = ever ? done->path == EXECUTE_LIBRARY : story->by_library;
    story->unlinked = story->unlinked || op->verb == 'u';
    if (op->verb == 'x' && story->unlinked) /* left undone */
        return;
    if (op->verb == 'x' || is_creation(op)) {
        if (story->by_library)
            closed(story, place, ended);
        if (ended) {
            story->by_library = library && op->verb == 'x';
            story->mapped = false; /* of a file that was demoted, too */
        }
        return;
    }
    if (!story->by_library && !library) {
        by_kernel(story, op, place, ended);
        return;
    }
    if (!story->by_library && library) { /* attached: what the kernel has is the first committed state */
        if (ended) {
            commit(story, place);
        } else if (story->acked != place) {
            add_early(story, place);
        }
    }
    if (story->by_library && !library) { /* demoted: committed, then the kernel's */
        if (ended)
            commit(story, place);
        else
            add_early(story, place);
        if (story->mixed == NOT_MIXED)
            story->mixed = place;
        if (syncs(story, op) && ended)
            commit(story, place + 1);
        story->by_library = ended ? false : story->by_library;
        return;
    }
    struct oracle_inode *of = &oracle->inode[oracle_inode_of(oracle, place)];
    bool shrinks = op->verb == 't' && op->length < of->version[place]->world[0].size;
    by_library(story, op, place, ended, oracle->workload->atomic, shrinks, ever ? done->result : 0);
    if (op->verb == 'i' && !oracle->workload->atomic) /* else it is failure-atomic, as a write is */
        note_stored(of, op, place);
    if (strchr("fs", op->verb) && syncs(story, op) && ended && done->result >= 0)
        forget_stored(of);
    story->by_library = library;
}

/* The first process is dead and the second recovers what it left: all that it did is committed when the file is open. */
static void inherit(struct story *story, const struct oracle *oracle, unsigned place, size_t at)
{
    if (oracle->heir < at)
        commit(story, place);
    else if (oracle->death < at)
        add_early(story, place);
    if (oracle->heir < at)
        story->by_library = story->mapped = false;
}

static void add_range(struct oracle_inode *of, unsigned from, unsigned to, bool zero)
{
    if (of->ranges < sizeof of->range / sizeof *of->range)
        of->range[of->ranges++] = (struct oracle_range){from, to, zero};
}

/* The state now: everything that returned, and what is in flight in part. */
static struct oracle_range living_at(const struct oracle *oracle, size_t at)
{
    struct oracle_range range = {0, 0, false};
    for (unsigned place = 0; place < oracle->ordered; place++) {
        unsigned number = oracle->order[place];
        if (oracle->begin[number] >= at)
            break;
        range.to = place + 1;
        if (oracle->end[number] < at)
            range.from = place + 1;
    }
    return range;
}

/* A name is durable when it was made and its directory synced, and nobody began to take it away. */
static bool may_be_gone(const struct oracle *oracle, unsigned inode, size_t at)
{
    const struct execute_inode *made = &oracle->execution->inode[inode];
    bool durable = made->made == EXECUTE_NEVER && !oracle->workload->empty;
    bool exists = made->made == EXECUTE_NEVER;
    for (unsigned place = 0; place < oracle->ordered; place++) {
        unsigned number = oracle->order[place];
        const struct operation *op = &oracle->workload->operation[number];
        if (oracle->begin[number] >= at)
            break;
        if ((op->verb == 'u' || is_creation(op)) && oracle_inode_of(oracle, place) == inode)
            return true;
        exists = exists || (int)number == made->made;
        durable = durable || (exists && op->verb == 'D' && oracle->end[number] < at);
    }
    return !durable;
}

static void identify_range(struct oracle *oracle, const struct oracle_inode *of, const struct oracle_range *range)
{
    for (unsigned v = range->from; v <= range->to; v++)
        for (unsigned w = 0; w < ORACLE_WORLDS; w++) {
            const struct reference *is = &of->version[v]->world[w];
            oracle->identity = (oracle->identity * 31 + is->size) ^ execute_hash(is->bytes, is->size);
        }
}

static void identify(struct oracle *oracle, const struct oracle_inode *of)
{
    oracle->identity = oracle->identity * 31 + of->may_be_gone;
    for (unsigned i = 0; i < of->ranges; i++)
        identify_range(oracle, of, &of->range[i]);
    if (oracle->same_boot)
        identify_range(oracle, of, &of->living);
}

void oracle_legal(struct oracle *oracle, size_t at)
{
    oracle->identity = 0;
    for (unsigned inode = 0; inode < oracle->execution->inodes; inode++) {
        struct oracle_inode *of = &oracle->inode[inode];
        struct story story = {.mixed = NOT_MIXED};
        forget_stored(of);
        unsigned now = 0;
        bool inherited = !oracle->workload->heir;
        for (unsigned place = 0; place < oracle->ordered && oracle->begin[oracle->order[place]] < at; place++) {
            if (!inherited && oracle->begin[oracle->order[place]] > oracle->death) {
                inherit(&story, oracle, place, at);
                inherited = true;
            }
            story.full = story.full || oracle->workload->operation[oracle->order[place]].verb == 'l';
            if (oracle_inode_of(oracle, place) == inode)
                tell(&story, oracle, place, at);
            now = place + 1;
        }
        if (!inherited)
            inherit(&story, oracle, now, at);
        of->ranges = 0;
        add_range(of, story.acked, story.acked, false);
        for (unsigned i = 0; i < story.earlies; i++)
            if (of->version[story.early[i]] != of->version[story.acked])
                add_range(of, story.early[i], story.early[i], false);
        of->stored_to = now;
        if (story.mixed != NOT_MIXED)
            add_range(of, story.mixed, now, true);
        of->living = living_at(oracle, at);
        of->may_be_gone = may_be_gone(oracle, inode, at);
        identify(oracle, of);
    }
}
