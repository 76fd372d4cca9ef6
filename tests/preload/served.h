/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * served.h — what the tests of files that come to be served share: many calls, one byte, the end of a child.
 */
#ifndef PRELOAD_SERVED_H
#define PRELOAD_SERVED_H

#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVED_CALLS = 100 }; /* enough for a file to be served */

/* So many writes of a byte at `offset`, the last of which is '.'. */
static inline bool write_many(int fd, off_t offset)
{
    for (int i = SERVED_CALLS; i-- > 0;)
        if (pwrite(fd, i ? "," : ".", 1, offset) != 1)
            return false;
    return true;
}

static inline bool byte_is(int fd, off_t offset, char byte)
{
    char got = 0;
    return pread(fd, &got, 1, offset) == 1 && got == byte;
}

static inline bool ended_well(pid_t pid)
{
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

#endif
