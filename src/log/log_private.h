/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_private.h — helpers that the files of layer log share. Not for other layers.
 */
#ifndef LOG_LOG_PRIVATE_H
#define LOG_LOG_PRIVATE_H

#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOG_TEMPORARY_SUFFIX ".tmp"
#define LOG_EPOCH_MAX (UINT64_C(1) << 62) /* beyond: not an epoch but garbage */

/* An empty struct log of that directory. */
void log_clear(struct log *log, int dirfd);

/* One line that says why this log is left alone. */
void log_complain(const struct log *log, const char *what);

/* 16 hex digits and a zero byte. */
void log_put_hex(char *out, uint64_t value);

/* Whether size, epoch and floor of a private copy of a header that nobody commits into are as they were stored. */
bool log_commit_intact(const struct log_header *copy);

/* Whether its newest_size is. */
bool log_newest_size_intact(const struct log_header *copy);

/* Calls visit for each name in a directory, with a descriptor of that: 0 or -errno. */
int log_list(int dirfd, const char *path, void (*visit)(void *arg, int fd, const char *name), void *arg);

/* Reads exactly n bytes: 0, -EIO if the file ends before, or -errno. */
int log_read_all(int fd, void *buf, size_t n, uint64_t offset);

#endif
