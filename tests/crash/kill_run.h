/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_run.h — what the sessions of the kill campaign are made of: starting, watching, killing and burying writers, and
 * judging what is left. Of the driver, which is one thread.
 */
#ifndef CRASH_KILL_RUN_H
#define CRASH_KILL_RUN_H

#include "crash/kill_journal.h"
#include "support/tool.h"

#include <sys/types.h>

#define KILL_WATCHDOG_MS 20000u
#define KILL_PATH_BYTES 512

struct kill_options {
    const char *worker, *preload, *modes, *dir;
    bool library, expect_failure, loose, torn_reads, strict, damage, stops, private_shm;
    uint64_t seed, kills, session, seconds;
};

struct kill_run {
    struct kj *j;
    int journal_fd;
    struct tool_rng rng;
    char root[KILL_PATH_BYTES], file[KILL_PATH_BYTES + 32];
    pid_t pid[KJ_WRITERS_MAX]; /* 0: not running */
    uint64_t kills, recovery_kills, recoveries_cut, sessions, partial, in_flight;
    uint64_t stops, stops_inside, stops_that_held;
    bool failed;
};

extern struct kill_options kill_option;
extern struct kill_run kill_run;

void kill_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

pid_t kill_spawn(const char *role, uint64_t number, const char *file);
void kill_start_writer(uint32_t index);
void kill_must_exit_well(pid_t pid, const char *what);
void kill_report_hang(pid_t pid);

/* Waits until the writer has done `more` operations beyond `base`. */
bool kill_wait_ops(uint32_t index, uint64_t base, uint64_t more, bool spin);

bool kill_is_gone(pid_t pid);

/* Kills a writer that is not this process's child, or is: dead when it returns. A dead one's journal is put in order. */
void kill_writer(uint32_t index);
void kill_bury(uint32_t index);
void kill_all(void);

/* Recovers, now and then by processes that are killed, verifies through the library and without it. */
void kill_judge(void);

/* kill_stop.c: three processes on one file, of which some are stopped, continued, killed. */
void kill_session_stops(void);

#endif
