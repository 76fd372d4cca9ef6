/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_list.c — the names in a directory: of logs, of index objects. Layer log; called by the scan and the reclaiming.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "log/log_private.h"

#include <errno.h>
#include <fcntl.h>

enum {
    LIST_BYTES = 32768,
};

/* A record of getdents64. */
struct list_dirent {
    uint64_t ino;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

int log_list(int dirfd, const char *path, void (*visit)(void *arg, int fd, const char *name), void *arg)
{
    char *records = mem_alloc(LIST_BYTES); /* threads may have small stacks */
    if (!records)
        return -ENOMEM;
    ssize_t n = 0;
    int fd = sys_openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    while (fd >= 0 && (n = sys_getdents64(fd, records, LIST_BYTES)) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct list_dirent *entry = (const struct list_dirent *)(const void *)(records + at);
            visit(arg, fd, entry->name);
            at += entry->length;
        }
    if (fd >= 0)
        sys_close(fd);
    mem_free(records, LIST_BYTES);
    return fd < 0 ? fd : (int)n;
}
