/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * highfd.h — descriptors of the library out of the application's way. Layer base; called by log, index, uma.
 *
 * The kernel gives an application the lowest free number; a number of ours in between would shift what it sees.
 */
#ifndef BASE_HIGHFD_H
#define BASE_HIGHFD_H

/* Moves fd to a free number from half the soft RLIMIT_NOFILE on (at most HIGHFD_MOST: the kernel's table grows with the
 * number) and makes it close-on-exec. Returns the new number, or fd itself where none is free; a negative fd unchanged. */
#define HIGHFD_MOST 8192
int highfd_move(int fd);

#endif
