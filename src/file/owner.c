/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * owner.c — is a process gone? Asks /proc/PID/stat. Layer file.
 */
#include "file/owner.h"

#include "base/rawsys.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define OWNER_TICKS_PER_SECOND 100u /* USER_HZ: what /proc counts in, on every Linux architecture of ours */
#define OWNER_NS_PER_TICK 10000000
#define OWNER_SLACK_TICKS 2u /* the two clocks are rounded apart */

/* Fields of /proc/PID/stat, counted from the state, which is the first behind the name's parenthesis. */
enum owner_field { OWNER_FIELD_STATE = 0, OWNER_FIELD_THREADS = 17, OWNER_FIELD_START = 19 };

uint64_t owner_now(void)
{
    struct timespec now;
    if (rawsys(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now, 0, 0, 0, 0))
        return 0;
    return (uint64_t)now.tv_sec * OWNER_TICKS_PER_SECOND + (uint64_t)now.tv_nsec / OWNER_NS_PER_TICK;
}

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

bool owner_is_gone(uint32_t pid, uint64_t joined)
{
    char path[32], text[512];
    stat_path(pid, path);
    int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd == -ENOENT)
        return sys_fstatat(AT_FDCWD, "/proc/self/stat", &(struct stat){0}, 0) == 0; /* else there is no /proc at all */
    if (fd < 0)
        return false;
    ssize_t length = sys_read(fd, text, sizeof text - 1);
    sys_close(fd);
    if (length == -ESRCH)
        return true; /* died between the two calls */
    if (length <= 0)
        return false;
    text[length] = 0;
    if (joined && stat_number(text, OWNER_FIELD_START) > joined + OWNER_SLACK_TICKS)
        return true; /* the number is somebody else's now */
    const char *state = stat_field(text, OWNER_FIELD_STATE);
    if (!state || (*state != 'Z' && *state != 'X'))
        return false;
    return stat_number(text, OWNER_FIELD_THREADS) <= 1; /* more: only the first thread has ended */
}
