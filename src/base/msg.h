/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * msg.h — one line of text where the user asked for it (NVMMIO_CONF=log:...), else nothing. Layer base.
 *
 * A line is formatted on the stack and written by one write(2) to a descriptor opened with O_APPEND. No allocation, no
 * stdio; errno is untouched.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include <stdint.h>

enum msg_level { MSG_ERROR = 1, MSG_WARNING, MSG_NOTICE, MSG_DEBUG };

/* One line of statistics, "name value", where messages go. */
void msg_statistic(const char *name, uint64_t value);

/* printf-like; understands %s %d %u %ld %lu %lld %llu %zu %x %lx %llx %p %%. The line ends by itself. */
void msg(enum msg_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
