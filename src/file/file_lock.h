/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_lock.h — fcntl's locks. Layer file; called by file_fcntl.c and, for what passes by, by api and the files that change it.
 */
#ifndef FILE_FILE_LOCK_H
#define FILE_FILE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* F_GETLK, F_SETLK and the like, but for the waiting that F_SETLKW does. */
int file_lock(int fd, int cmd, long arg);

/* Whether the lock on fd is the kernel's as it is given, and counts it. For fd with FD_HINT_LOCKS; false for others. Not
 * a call that the thread is inside of. */
struct flock;
bool file_lock_passes(int fd, const struct flock *given);
/* Locks that have passed by since the last look. */
uint32_t file_lock_count(int fd);
/* Before files are let go, or descriptions get other owners: none passes by until the next one that does not. */
void file_lock_forget(void);

#endif
