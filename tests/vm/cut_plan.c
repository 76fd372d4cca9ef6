/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cut_plan.c — the plans of the power-cut test's writers.
 */
#include "vm/cut_plan.h"

enum {
    BLOCK = 4096,
    FEW_BYTES = 300, /* longest of a short write */
    LEAST_BASE = 8 * 1024,
    BASE_STEPS = 120 * 1024,
};

static const char *const role_names[CUT_ROLES] = {
    [CUT_ATOMIC] = "atomic", [CUT_PLAIN] = "plain", [CUT_OSYNC] = "osync",   [CUT_MAPPED] = "mapped",
    [CUT_STORED] = "stored", [CUT_FIRST] = "first", [CUT_SECOND] = "second", [CUT_RENAME] = "rename",
};

const char *cut_role_name(enum cut_role role)
{
    return role_names[role];
}

bool cut_role_parse(const char *name, enum cut_role *role)
{
    for (int i = 0; i < CUT_ROLES; i++)
        if (!strcmp(name, role_names[i])) {
            *role = (enum cut_role)i;
            return true;
        }
    return false;
}

static bool is_pair(enum cut_role role)
{
    return role == CUT_FIRST || role == CUT_SECOND;
}

/* Which of the two writers has the chunk of this offset. */
static enum cut_role chunk_owner(uint64_t offset)
{
    return offset / CUT_CHUNK % 2 ? CUT_SECOND : CUT_FIRST;
}

static uint64_t number(const struct cut_plan *plan, uint64_t s, enum cut_role role)
{
    return tool_mix2(tool_mix2(plan->seed, plan->generation), s * CUT_ROLES + role);
}

void cut_base(const struct cut_plan *plan, struct cut_file *file)
{
    /* one base for both writers of a pair */
    enum cut_role role = is_pair(plan->role) ? CUT_FIRST : plan->role;
    struct tool_rng rng = {.state = number(plan, 0, role)};
    file->size = LEAST_BASE + tool_below(&rng, BASE_STEPS);
    if (is_pair(role) || cut_role_maps(role))
        file->size = CUT_BYTES;
    tool_pattern(file->data, file->size, tool_random(&rng), 0);
}

static uint64_t any_length(struct tool_rng *rng)
{
    switch (tool_below(rng, 4)) {
    case 0:
        return BLOCK * (1 + tool_below(rng, 8)); /* with an offset made to fit */
    case 1:
        return 1 + tool_below(rng, FEW_BYTES);
    case 2:
        return 1 + tool_below(rng, 3 * BLOCK);
    default:
        return 1 + tool_below(rng, 8 * BLOCK);
    }
}

static void plan_write(struct tool_rng *rng, uint64_t size, bool may_grow, struct cut_op *op)
{
    uint64_t end = may_grow ? CUT_BYTES : size;
    op->length = any_length(rng);
    op->offset = tool_below(rng, 5) == 0 && may_grow ? size : tool_below(rng, size + 1);
    if (op->length % BLOCK == 0)
        op->offset -= op->offset % BLOCK;
    if (op->offset >= end)
        op->offset = end - 1;
    if (op->offset + op->length > end)
        op->length = end - op->offset;
}

/* An overwrite within one chunk of one's own. */
static void plan_chunk(struct tool_rng *rng, enum cut_role role, uint64_t size, struct cut_op *op)
{
    uint64_t chunks = size / CUT_CHUNK / 2; /* whole ones of each writer */
    uint64_t start = (2 * tool_below(rng, chunks) + (role == CUT_SECOND)) * CUT_CHUNK;
    uint64_t in = tool_below(rng, 3) ? tool_below(rng, CUT_CHUNK) : 0;
    op->offset = start + in;
    op->length = tool_below(rng, 3) ? 1 + tool_below(rng, CUT_CHUNK - in) : CUT_CHUNK - in;
}

static struct cut_op plan_op(struct tool_rng *rng, enum cut_role role, uint64_t size, bool may_cut)
{
    struct cut_op op = {.kind = CUT_WRITE, .key = tool_random(rng)};
    uint64_t dice = tool_below(rng, 20);
    if (is_pair(role)) {
        plan_chunk(rng, role, size, &op);
        return op;
    }
    if (dice == 0 && may_cut && !cut_role_maps(role)) {
        op.kind = CUT_TRUNCATE;
        op.offset = tool_below(rng, 2) ? size / 4 + tool_below(rng, size / 2 + 1) : 1 + tool_below(rng, CUT_BYTES);
        return op;
    }
    plan_write(rng, size, !cut_role_maps(role), &op);
    if (dice < 4 && !cut_role_maps(role))
        op.kind = CUT_VECTOR;
    else if (dice < 7 && role != CUT_OSYNC)
        op.kind = CUT_OTHER_FD;
    return op;
}

/* As cut_apply does to the size. */
static uint64_t size_after(uint64_t size, const struct cut_op *op)
{
    if (op->kind == CUT_TRUNCATE)
        return op->offset;
    return op->offset + op->length > size ? op->offset + op->length : size;
}

void cut_plan_epoch(const struct cut_plan *plan, uint64_t s, const struct cut_file *file, struct cut_epoch *epoch)
{
    struct tool_rng rng = {.state = number(plan, s, plan->role)};
    uint64_t size = file->size, dice = tool_below(&rng, 16);
    epoch->end = dice == 0 ? CUT_REOPEN : dice < 6 ? CUT_FDATASYNC : CUT_FSYNC;
    epoch->count = 1 + (unsigned)tool_below(&rng, CUT_OPS);
    if (plan->role == CUT_OSYNC)
        epoch->count = 1 + (tool_below(&rng, 8) == 0); /* a truncation may come before the write, which syncs both */
    for (unsigned i = 0; i < epoch->count; i++) {
        bool last = i + 1 == epoch->count;
        do
            epoch->op[i] = plan_op(&rng, plan->role, size, plan->role != CUT_OSYNC || !last);
        while (plan->role == CUT_OSYNC && !last && epoch->op[i].kind != CUT_TRUNCATE);
        size = size_after(size, &epoch->op[i]);
    }
}

void cut_apply(struct cut_file *file, const struct cut_op *op)
{
    uint64_t after = size_after(file->size, op);
    if (after > file->size)
        memset(file->data + file->size, 0, after - file->size);
    file->size = after;
    if (op->kind != CUT_TRUNCATE)
        tool_pattern(file->data + op->offset, op->length, op->key, op->offset);
}

void cut_step(const struct cut_plan *plan, uint64_t s, struct cut_file *file)
{
    struct cut_epoch epoch;
    cut_plan_epoch(plan, s, file, &epoch);
    for (unsigned i = 0; i < epoch.count; i++)
        cut_apply(file, &epoch.op[i]);
}

uint64_t cut_differ(const struct cut_file *a, const struct cut_file *b, enum cut_role role)
{
    uint64_t size = a->size < b->size ? a->size : b->size;
    if (!is_pair(role)) {
        if (!memcmp(a->data, b->data, size))
            return a->size == b->size ? UINT64_MAX : size;
    }
    for (uint64_t i = 0; i < size; i++)
        if (a->data[i] != b->data[i] && (!is_pair(role) || chunk_owner(i) == role))
            return i;
    return a->size == b->size ? UINT64_MAX : size;
}

void cut_version(const struct cut_plan *plan, uint64_t s, struct cut_file *file)
{
    struct cut_plan always = *plan;
    always.generation = 0; /* versions go on over the generations */
    struct tool_rng rng = {.state = number(&always, s, CUT_RENAME)};
    file->size = s ? 1 + tool_below(&rng, BASE_STEPS / 2) : 0;
    tool_pattern(file->data, file->size, tool_random(&rng), 0);
}
