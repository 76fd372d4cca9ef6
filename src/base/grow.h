/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * grow.h — growing a file without a signal. Layer base; called by log, index, uma.
 *
 * fallocate and ftruncate past RLIMIT_FSIZE raise SIGXFSZ, which would kill an application for a file of the library's.
 */
#ifndef BASE_GROW_H
#define BASE_GROW_H

#include <stdint.h>
#include <sys/types.h>

/* The soft RLIMIT_FSIZE in bytes, UINT64_MAX if there is none. */
uint64_t grow_limit(void);

/* fallocate(2), repeated after EINTR; -EFBIG where the limit would be passed. */
int grow_allocate(int fd, int mode, uint64_t offset, uint64_t length);

/* ftruncate(2), in the same way; `now` is the file's size: making it shorter is always allowed. */
int grow_truncate(int fd, uint64_t size, uint64_t now);

#endif
