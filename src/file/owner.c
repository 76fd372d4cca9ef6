/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * owner.c — is a process gone? Asks /proc/PID/stat. Layer file.
 */
#include "file/owner.h"

#include "base/place.h"
#include "base/rawsys.h"

#include <errno.h>
#include <string.h>

/* Fields of /proc/PID/stat, counted from the state, which is the first behind the name's parenthesis. */
enum owner_field { OWNER_FIELD_STATE = 0, OWNER_FIELD_THREADS = 17 };

static void stat_path(uint32_t pid, char *path)
{
    char digits[12];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid);
    memcpy(path, "/proc/", 6);
    path += 6;
    while (count)
        *path++ = digits[--count];
    memcpy(path, "/stat", 6);
}

/* The text of the n-th field, or NULL. */
static const char *stat_field(const char *text, enum owner_field n)
{
    const char *p = strrchr(text, ')'); /* the name may hold anything, also parentheses and blanks */
    for (int field = -1; p && field < (int)n; field++) {
        p = strchr(p, ' ');
        if (p)
            p++;
    }
    return p;
}

static uint64_t stat_number(const char *text, enum owner_field n)
{
    uint64_t value = 0;
    for (const char *p = stat_field(text, n); p && *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    return value;
}

/* Else nobody is found there. */
static bool owner_has_proc(void)
{
    const char *path = "/proc/self/stat";
    int at = place_at(&path);
    return sys_fstatat(at, path, &(struct stat){0}, 0) == 0;
}

bool owner_is_gone(uint32_t pid)
{
    char path[32], text[512];
    stat_path(pid, path);
    const char *name = path;
    int at = place_at(&name);
    int fd = sys_openat(at, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd == -ENOENT)
        return owner_has_proc();
    if (fd < 0)
        return false;
    ssize_t length = sys_read(fd, text, sizeof text - 1);
    sys_close(fd);
    if (length == -ESRCH)
        return true; /* died between the two calls */
    if (length <= 0)
        return false;
    text[length] = 0;
    const char *state = stat_field(text, OWNER_FIELD_STATE);
    if (!state || (*state != 'Z' && *state != 'X'))
        return false;
    return stat_number(text, OWNER_FIELD_THREADS) <= 1; /* more: only the first thread has ended */
}
