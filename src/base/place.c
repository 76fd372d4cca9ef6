/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * place.c — the descriptors of place.h. Layer base.
 */
#include "base/place.h"

#include "base/highfd.h"
#include "base/rawsys.h"

#include <stdatomic.h>
#include <string.h>

struct place {
    const char *name; /* with a slash at the end */
    /* 0: not held; else the descriptor + 1. Stored once: relaxed, as both ways lead to the same directory until the view
     * changes, and who changes it holds first. */
    _Atomic int held;
};
static struct place places[] = {{.name = "/proc/"}, {.name = "/dev/shm/"}};
#define PLACES (sizeof places / sizeof *places)

void place_hold(void)
{
    for (unsigned i = 0; i < PLACES; i++) {
        int none = 0;
        if (atomic_load_explicit(&places[i].held, memory_order_relaxed))
            continue;
        int fd = highfd_move(sys_openat(AT_FDCWD, places[i].name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        if (fd >= 0 && !atomic_compare_exchange_strong_explicit(&places[i].held, &none, fd + 1, memory_order_relaxed,
                                                                memory_order_relaxed))
            highfd_close(fd);
    }
}

int place_at(const char **path)
{
    for (unsigned i = 0; i < PLACES; i++) {
        int held = atomic_load_explicit(&places[i].held, memory_order_relaxed);
        size_t length = strlen(places[i].name);
        if (held && strncmp(*path, places[i].name, length) == 0) {
            *path += length;
            return held - 1;
        }
    }
    return AT_FDCWD;
}

bool place_is_held(void)
{
    return atomic_load_explicit(&places[0].held, memory_order_relaxed) != 0;
}

void place_fd_path(int fd, char path[PLACE_FD_PATH])
{
    static const char head[] = "/proc/self/fd/";
    char digits[12];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + fd % 10);
    while (fd /= 10);
    memcpy(path, head, sizeof head - 1);
    path += sizeof head - 1;
    while (count)
        *path++ = digits[--count];
    *path = 0;
}

int place_reopen(int fd, int flags)
{
    char name[PLACE_FD_PATH];
    const char *path = name;
    place_fd_path(fd, name);
    int at = place_at(&path);
    return sys_openat(at, path, flags, 0);
}

ssize_t place_name(int fd, char *path, size_t size)
{
    char name[PLACE_FD_PATH];
    const char *link = name;
    place_fd_path(fd, name);
    int at = place_at(&link);
    return sys_readlinkat(at, link, path, size);
}
