/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * highfd.h — the library's own descriptors: out of the application's way, and protected from it. Layer base; called by log,
 * index, uma and file.
 *
 * The kernel gives an application the lowest free number; a number of ours in between would shift what it sees. And an
 * application that closes all numbers it does not know must not close ours: a log's descriptor holds its lock.
 */
#ifndef BASE_HIGHFD_H
#define BASE_HIGHFD_H

#include <stdbool.h>

/* Moves fd to a free number from half the soft RLIMIT_NOFILE on (at most HIGHFD_MOST: the kernel's table grows with the
 * number), makes it close-on-exec and notes it as the library's. Returns the new number, or fd itself where none is free; a
 * negative fd unchanged. */
#define HIGHFD_MOST 8192
int highfd_move(int fd);

/* The same, but fd keeps its number. */
int highfd_take(int fd);

/* Whether `count` more of the library's descriptors leave the application its half of RLIMIT_NOFILE; and, if we can do without
 * (not needed), no fewer than a program is likely to need. */
bool highfd_has_room(unsigned count, bool needed);

/* Closes one of the library's descriptors. -1 is ignored. */
void highfd_close(int fd);

/* Whether fd is the library's. */
bool highfd_is_internal(int fd);

/* The first of the library's descriptors in [from, last], or -1. */
int highfd_next(unsigned from, unsigned last);

#endif
