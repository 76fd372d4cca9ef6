/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * hostile.h — what the scenarios of hostile surroundings share: a file that is in use, and what must go on with it.
 */
#ifndef HOSTILE_HOSTILE_H
#define HOSTILE_HOSTILE_H

#include "support/nvx.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK ((size_t)4096)
#define BLOCKS 64u
#define NOBODY 65534u

struct scenario {
    const char *name;
    void (*run)(void);
    bool root;  /* needs it */
    bool keeps; /* logs may stay: damaged ones, planted names, of a file that nothing proves to be gone */
};
extern const struct scenario scenarios_view[], scenarios_user[], scenarios_limit[], scenarios_many[];

/* Ends the scenario as failed, and says where, if `good` is false. */
#define must(good, ...) ((good) ? (void)0 : hostile_fail(__FILE__, __LINE__, __VA_ARGS__))
_Noreturn void hostile_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Ends it as not possible here. */
_Noreturn void hostile_skip(const char *why);
/* Whether the library is at work. */
bool hostile_active(void);

extern char hostile_root[64]; /* NVMMIO_ROOT; the working directory at the start */

/* A new file of BLOCKS blocks in the working directory, synced and written again, so that it is in use. Block i is filled
 * with `round` and i. */
int file_begin(const char *name);
void file_put(int fd, unsigned block, unsigned round);
/* Whether block i is of that round. */
void file_check(int fd, unsigned block, unsigned round);
/* All that goes on with an open file: writes, syncs, reads, by this process and by a forked child. */
void file_goes_on(int fd);
/* The same for a new file, and for a second open of `name`, whose other descriptor is fd. */
void file_opens(const char *name, int fd);
/* In another process without the library, once all is closed: the file is as the last rounds were. */
void file_end(int fd, const char *path);

/* Calls visit for each index object in /dev/shm that this process has open: others' are not ours to spoil. `path` leads to
 * it, `name` is its own. */
void each_index(void (*visit)(const char *path, const char *name, long arg), long arg);

/* Runs `run` in a forked child, which must end well. */
void in_child(void (*run)(int fd), int fd);
void await(pid_t pid);

#endif
