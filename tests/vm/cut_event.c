/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cut_event.c — lines to a debug port or a file.
 */
#include "vm/cut_event.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/io.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE = 400 };

bool cut_event_open(struct cut_event *event, int port, const char *path)
{
    event->port = port;
    event->fd = -1;
    if (port >= 0)
        return ioperm((unsigned long)port, 1, 1) == 0;
    event->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return event->fd >= 0;
}

void cut_event_say(const struct cut_event *event, const char *format, ...)
{
    char line[LINE];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (n < 0 || n > LINE - 2)
        n = LINE - 2;
    line[n++] = '\n';
    if (event->port < 0) {
        if (syscall(SYS_write, event->fd, line, n) != n)
            _exit(3); /* nothing that follows would count */
        return;
    }
    for (int i = 0; i < n; i++)
        outb((unsigned char)line[i], (unsigned short)event->port);
}
