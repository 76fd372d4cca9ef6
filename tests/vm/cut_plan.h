/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cut_plan.h — what a writer of the power-cut test does, as a function of numbers alone: so that after the cut its file can
 * be told from (seed, generation, epoch).
 *
 * A file begins each generation with a base, state 0; epoch s, some operations and one sync, makes state s. The plan of an
 * epoch follows from seed, role, generation and s, and from the size that the file has by then.
 */
#ifndef VM_CUT_PLAN_H
#define VM_CUT_PLAN_H

#include "support/tool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CUT_BYTES = 192 * 1024, /* the longest file */
    CUT_OPS = 10,           /* most operations of an epoch */
    CUT_CHUNK = 5000,       /* of a file with two writers: unaligned, so that they share blocks and lines */
};

/* What is written how. */
enum cut_role {
    CUT_ATOMIC, /* O_ATOMIC */
    CUT_PLAIN,  /* no flag */
    CUT_OSYNC,  /* O_SYNC: each write is a sync of its own */
    CUT_MAPPED, /* nvmmap, nvmemcpy, nvmsync */
    CUT_STORED, /* O_ATOMIC and mapped: plain stores, and msync */
    CUT_FIRST,  /* two processes on one file, each overwriting chunks of its own */
    CUT_SECOND,
    CUT_RENAME, /* whole files, written beside and renamed over */
    CUT_ROLES
};

enum cut_kind { CUT_WRITE, CUT_VECTOR, CUT_OTHER_FD, CUT_TRUNCATE };

struct cut_op {
    enum cut_kind kind;
    uint64_t offset, length; /* of a write; a truncation's new size is `offset` */
    uint64_t key;            /* of the pattern that is written */
};

struct cut_epoch {
    unsigned count;
    struct cut_op op[CUT_OPS];
    unsigned end; /* how it is synced: see cut_end */
};

enum cut_end { CUT_FSYNC, CUT_FDATASYNC, CUT_REOPEN };

struct cut_file {
    uint64_t size;
    uint8_t data[CUT_BYTES];
};

struct cut_plan {
    uint64_t seed, generation;
    enum cut_role role;
};

/* Whether it works on a mapping of a file whose size stays. */
static inline bool cut_role_maps(enum cut_role role)
{
    return role == CUT_MAPPED || role == CUT_STORED;
}
const char *cut_role_name(enum cut_role role);
bool cut_role_parse(const char *name, enum cut_role *role);

/* State 0 of a generation. */
void cut_base(const struct cut_plan *plan, struct cut_file *file);

/* The operations of epoch s > 0, for a file that is as after epoch s - 1. */
void cut_plan_epoch(const struct cut_plan *plan, uint64_t s, const struct cut_file *file, struct cut_epoch *epoch);

/* What an operation makes of the file. */
void cut_apply(struct cut_file *file, const struct cut_op *op);

/* The next state: cut_plan_epoch and cut_apply of it all. */
void cut_step(const struct cut_plan *plan, uint64_t s, struct cut_file *file);

/* The first offset at which two files differ, of those bytes that are the role's: of a file with two writers each has its
 * own chunks. UINT64_MAX: they are the same. */
uint64_t cut_differ(const struct cut_file *a, const struct cut_file *b, enum cut_role role);

/* Role CUT_RENAME: version `s` of the whole file. */
void cut_version(const struct cut_plan *plan, uint64_t s, struct cut_file *file);

#endif
