/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * perform_private.h — what the files of perform share.
 */
#ifndef CRASH_EXPLORE_PERFORM_PRIVATE_H
#define CRASH_EXPLORE_PERFORM_PRIVATE_H

#include "crash/explore/perform.h"

/* ---- perform.c: one operation after the other ---- */

/* Opens the files, for this process. */
void perform_open(const struct workload *workload, struct perform_shared *shared);
/* Descriptors and attachment as the operations of the actors need them, so that threads need not open anything. */
void perform_prepare(void);
void perform_operation(unsigned number);

/* ---- perform_hook.c: the system calls ---- */

/* Every system call of the library passes a hook from here on. */
void perform_hook(struct perform_shared *shared);
/* Logs cannot grow any more. */
void perform_fill(void);
/* The file of descriptor fd says that it is the inode `like`, born when that was. */
struct perform_identity {
    uint64_t ino;
    int64_t birth_sec;
    uint32_t birth_nsec;
};
void perform_identity_of(int fd, struct perform_identity *identity);
void perform_impersonate(int fd, const struct perform_identity *like);
/* This process dies before its event number `event` from here on; UINT32_MAX: never. The number of events so far. */
void perform_die_at(uint32_t event);
uint32_t perform_events(void);

#endif
