/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * execute.h — runs a workload under the recorder, in forked children with a library that knows nothing yet, on a root of
 * its own in /dev/shm. The children end as if killed: nothing is closed.
 */
#ifndef CRASH_EXPLORE_EXECUTE_H
#define CRASH_EXPLORE_EXECUTE_H

#include "crash/explore/operation.h"
#include "crash/explore/trace.h"

#include <sys/types.h>

/* Marks in the trace; the first argument is the number of the operation. */
enum execute_mark {
    EXECUTE_BEGIN = 1,
    EXECUTE_END,
    EXECUTE_DEATH, /* the first of two processes is dead; the second goes on */
    EXECUTE_HEIR,  /* which has opened the files only now, and recovered them */
};

/* Who served the file when an operation was done. */
enum execute_path {
    EXECUTE_KERNEL, /* detached, or handed over for good */
    EXECUTE_LIBRARY,
};

#define EXECUTE_INODES 8u
#define EXECUTE_NEVER (-1)

/* One inode that had one of the names. */
struct execute_inode {
    uint8_t file;
    uint32_t number; /* in the trace */
    int made;        /* by which operation; EXECUTE_NEVER: it was there before */
};

struct execute_operation {
    int result; /* 0, bytes, or -errno */
    uint8_t path;
    uint64_t read_hash; /* of what was read */
};

/* What the children tell. */
struct execution {
    struct execute_operation operation[WORKLOAD_MOST];
    struct execute_inode inode[EXECUTE_INODES];
    unsigned inodes;
    uint32_t steps;    /* of the threads */
    uint32_t deaths;   /* events of the process that died, were it not killed */
    bool finished;     /* all was done that should be */
    char trouble[160]; /* what went wrong with the run itself; empty: nothing */
};

/* Makes the directory of worker `number` and sets the environment of the library, which reads it once: so, once in a
 * process and its forked children. Removes all. */
bool execute_begin(unsigned number);
void execute_end(void);
/* Removes what worker `number`, which was process `pid` and is dead, has left. */
void execute_remove(pid_t pid, unsigned number);
const char *execute_root(void);

/* Runs the workload on a fresh root. The trace is valid until the next run. */
const struct execution *execute(const struct workload *workload);

/* FNV-1a. */
uint64_t execute_hash(const uint8_t *bytes, size_t length);

#endif
