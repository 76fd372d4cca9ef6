/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * oracle_private.h — what the files of the oracle share.
 */
#ifndef CRASH_EXPLORE_ORACLE_PRIVATE_H
#define CRASH_EXPLORE_ORACLE_PRIVATE_H

#include "crash/explore/oracle.h"
#include "crash/explore/reference.h"

#define ORACLE_LEGAL_MOST 2048u
#define ORACLE_WORLDS 2u /* the dead process's operation did not happen; it did */

/* The file as it was when `count` operations of the run's order were done. Shared by positions without a change. */
struct oracle_version {
    struct reference world[ORACLE_WORLDS];
    bool split; /* the worlds differ */
};

/* Legal content of one inode: one of the versions [from, to], wholly if they are the same one, else byte by byte. */
struct oracle_range {
    unsigned from, to;
    bool zero; /* or zero: the kernel had not stored it yet */
};

struct oracle_inode {
    struct oracle_version *version[WORKLOAD_MOST + 1];
    bool may_be_gone;
    /* bytes that were stored through a mapping and not synced since: each may be as in any of these versions */
    bool stored;
    unsigned stored_from, stored_to;
    bool loose[OPERATION_SIZE_MOST];
    unsigned ranges;
    struct oracle_range range[2 * WORKLOAD_MOST + 4]; /* after a power cut */
    struct oracle_range living;                       /* after a death, while the power is on */
};

struct oracle {
    const struct workload *workload;
    const struct execution *execution;
    const struct trace *trace;
    bool same_boot;
    size_t begin[WORKLOAD_MOST], end[WORKLOAD_MOST]; /* events; SIZE_MAX: never */
    size_t death, heir;                              /* events; SIZE_MAX: there is none */
    unsigned order[WORKLOAD_MOST], ordered;          /* operations by their begin */
    struct oracle_inode inode[EXECUTE_INODES];
    /* threads: legal contents at the prepared point */
    struct reference *legal;
    uint64_t legal_hash[ORACLE_LEGAL_MOST];
    unsigned legals;
    uint64_t identity;
    char text[256];
};

/* Which of the inodes operation `number` (by its place in the order) was on; EXECUTE_INODES: none. */
unsigned oracle_inode_of(const struct oracle *oracle, unsigned place);

/* oracle_legal.c: sequences */
void oracle_legal(struct oracle *oracle, size_t at);

/* oracle_threads.c */
void oracle_threads_prepare(struct oracle *oracle, size_t at);
const char *oracle_threads_judge(struct oracle *oracle, const struct explore_file *file);
bool oracle_threads_read_is_right(struct oracle *oracle, unsigned number);

#endif
