/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * place.h — /proc and /dev/shm for a process that may lose sight of them. Layer base; called by log, index, uma and file.
 *
 * By name, until the process is about to change its view of the file system (chroot, setns, ...): from then on by
 * descriptors that were opened before.
 */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens both, if that has not been done. */
void place_hold(void);

/* The directory to give to the kernel with *path, an absolute path in /proc or /dev/shm, which is changed to one relative
 * to it where they are held; AT_FDCWD otherwise. */
int place_at(const char **path);
bool place_is_held(void);

/* "/proc/self/fd/N": a name for what has none. */
#define PLACE_FD_PATH 32
void place_fd_path(int fd, char path[PLACE_FD_PATH]);

/* Opens the file of a descriptor anew, with those flags: a descriptor or -errno. */
int place_reopen(int fd, int flags);

/* The path of an open file, as the kernel tells it: its length, without a zero byte, or -errno. */
ssize_t place_name(int fd, char *path, size_t size);

#endif
