/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * oracle_threads.c — operations of threads at once, on one file. A state is legal if some set of operations makes it, in
 * some order: with an operation the set holds all that returned before it began; it holds all that returned before a sync
 * began that has returned, and none that began after the last sync returned.
 */
#include "crash/explore/oracle_private.h"

#include <stdlib.h>
#include <string.h>

struct search {
    struct oracle *oracle;
    uint32_t required, permitted; /* sets of operations, by number */
    uint32_t members;             /* that change something and have begun */
    bool (*found)(struct search *search, const struct reference *model);
    /* for a read */
    const struct operation *read;
    const struct execute_operation *done;
    uint64_t seen[ORACLE_LEGAL_MOST];
    unsigned seen_count;
};

static bool is_actors(const struct oracle *oracle, unsigned number)
{
    return oracle->workload->operation[number].actor != 0;
}

static bool precedes(const struct oracle *oracle, unsigned first, unsigned second)
{
    return oracle->end[first] < oracle->begin[second];
}

/* Whether the node was here before: the same set with the same content. */
static bool is_known(struct search *search, uint32_t set, const struct reference *model)
{
    uint64_t hash = execute_hash(model->bytes, model->size) ^ ((uint64_t)set << 32 | model->size);
    for (unsigned i = 0; i < search->seen_count; i++)
        if (search->seen[i] == hash)
            return true;
    if (search->seen_count < ORACLE_LEGAL_MOST)
        search->seen[search->seen_count++] = hash;
    return false;
}

/* From the set `set` that made `model`: true if it, or one with more, is what is sought. */
static bool search_from(struct search *search, uint32_t set, const struct reference *model)
{
    const struct oracle *oracle = search->oracle;
    if (is_known(search, set, model))
        return false;
    if ((search->required & search->members & ~set) == 0 && search->found(search, model))
        return true;
    for (unsigned number = 0; number < oracle->workload->count; number++) {
        uint32_t bit = UINT32_C(1) << number;
        if (set & bit || !(search->members & search->permitted & bit))
            continue;
        bool next = true;
        for (unsigned other = 0; other < oracle->workload->count && next; other++)
            next = set >> other & 1 || !(search->members >> other & 1) || !precedes(oracle, other, number);
        if (!next)
            continue;
        struct reference *after = malloc(sizeof *after);
        const struct operation *op = &oracle->workload->operation[number];
        bool ended = oracle->end[number] != SIZE_MAX;
        *after = *model;
        reference_apply(after, op, number, ended ? oracle->execution->operation[number].result : reference_success(op));
        bool found = search_from(search, set | bit, after);
        free(after);
        if (found)
            return true;
    }
    return false;
}

static void members_at(struct search *search, size_t at)
{
    const struct oracle *oracle = search->oracle;
    for (unsigned i = 0; i < oracle->workload->count; i++)
        if (is_actors(oracle, i) && oracle->begin[i] < at && reference_changes(&oracle->workload->operation[i]))
            search->members |= UINT32_C(1) << i;
}

static const struct reference *reference_before(const struct oracle *oracle)
{
    unsigned place = 0;
    while (place < oracle->ordered && !is_actors(oracle, oracle->order[place]))
        place++;
    return &oracle->inode[0].version[place]->world[0];
}

/* ---- states ---- */

static bool collect(struct search *search, const struct reference *model)
{
    struct oracle *oracle = search->oracle;
    uint64_t hash = execute_hash(model->bytes, model->size) + model->size;
    for (unsigned i = 0; i < oracle->legals; i++)
        if (oracle->legal_hash[i] == hash)
            return false;
    if (oracle->legals == ORACLE_LEGAL_MOST)
        return false;
    struct reference *grown = realloc(oracle->legal, (oracle->legals + 1) * sizeof *grown);
    if (!grown)
        return false;
    oracle->legal = grown;
    oracle->legal_hash[oracle->legals] = hash;
    oracle->legal[oracle->legals++] = *model;
    oracle->identity = oracle->identity * 31 ^ hash;
    return false;
}

void oracle_threads_prepare(struct oracle *oracle, size_t at)
{
    struct search search = {.oracle = oracle, .found = collect};
    bool begun = false, acked = false;
    members_at(&search, at);
    for (unsigned sync = 0; sync < oracle->workload->count; sync++) {
        if (!is_actors(oracle, sync) || !operation_syncs(oracle->workload->operation[sync].verb) ||
            oracle->begin[sync] >= at)
            continue;
        bool ended = oracle->end[sync] < at;
        begun = true;
        acked = acked || ended;
        for (unsigned i = 0; i < oracle->workload->count; i++) {
            uint32_t bit = UINT32_C(1) << i;
            if (ended && (i == sync || precedes(oracle, i, sync)))
                search.required |= bit;
            if (!ended || oracle->begin[i] < oracle->end[sync])
                search.permitted |= bit;
        }
    }
    oracle->legals = 0;
    if (!acked) { /* what was committed before the threads began: the verdict of oracle_legal on the last prologue state */
        const struct oracle_inode *of = &oracle->inode[0];
        size_t begin = at;
        for (unsigned i = 0; i < oracle->workload->count; i++)
            if (is_actors(oracle, i) && oracle->begin[i] < begin)
                begin = oracle->begin[i];
        oracle_legal(oracle, begin);
        for (unsigned i = 0; i < of->ranges; i++)
            collect(&search, &of->version[of->range[i].from]->world[0]);
    }
    if (begun)
        search_from(&search, 0, reference_before(oracle));
}

const char *oracle_threads_judge(struct oracle *oracle, const struct explore_file *file)
{
    for (unsigned i = 0; i < oracle->legals; i++)
        if (oracle->legal[i].size == file->size && memcmp(oracle->legal[i].bytes, file->bytes, file->size) == 0)
            return NULL;
    return "no order of the threads' operations makes this state";
}

/* ---- reads ---- */

static bool matches_read(struct search *search, const struct reference *model)
{
    const struct operation *op = search->read;
    uint32_t left = op->offset < model->size ? model->size - op->offset : 0;
    uint32_t length = op->length < left ? op->length : left;
    return search->done->result == (int)length &&
           search->done->read_hash == execute_hash(model->bytes + op->offset, length);
}

bool oracle_threads_read_is_right(struct oracle *oracle, unsigned number)
{
    struct search search = {.oracle = oracle,
                            .found = matches_read,
                            .read = &oracle->workload->operation[number],
                            .done = &oracle->execution->operation[number]};
    members_at(&search, oracle->end[number]);
    search.permitted = search.members;
    for (unsigned i = 0; i < oracle->workload->count; i++)
        if (precedes(oracle, i, number))
            search.required |= UINT32_C(1) << i;
    return search_from(&search, 0, reference_before(oracle));
}
