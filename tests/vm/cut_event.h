/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cut_event.h — how a writer of the power-cut test tells the world outside what it has done: what was said before the cut
 * is known after it, to the byte.
 *
 * In the machine that is a debug port of its own for each writer: the byte is in a file of the host when the instruction
 * ends, no driver and no buffer in between. Without a port it is a file, for runs on the host itself.
 */
#ifndef VM_CUT_EVENT_H
#define VM_CUT_EVENT_H

#include <stdbool.h>

struct cut_event {
    int port; /* -1: none */
    int fd;   /* used without a port */
};

/* False with errno. */
bool cut_event_open(struct cut_event *event, int port, const char *path);

/* One line, without its end. */
void cut_event_say(const struct cut_event *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
