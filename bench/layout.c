/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * layout.c — see layout.h.
 */
#include "layout.h"

#include "random.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LAYOUT_CHUNK = 1 << 20, LAYOUT_MODE = 0644 };

static void fill_random(char *buf, size_t length, uint64_t seed)
{
    for (size_t at = 0; at + sizeof seed <= length; at += sizeof seed) {
        uint64_t word = random_next(&seed);
        memcpy(buf + at, &word, sizeof word);
    }
}

static int write_all(int fd, const char *buf, uint64_t length)
{
    while (length) {
        ssize_t n = write(fd, buf, length);
        if (n < 0)
            return -errno;
        buf += n;
        length -= (uint64_t)n;
    }
    return 0;
}

static int fill_file(int fd, uint64_t size, uint64_t unit, uint64_t seed)
{
    uint64_t chunk = LAYOUT_CHUNK;
    if (unit)
        chunk = unit > LAYOUT_CHUNK ? unit : LAYOUT_CHUNK / unit * unit;
    char *buf = aligned_alloc(LAYOUT_CHUNK, (chunk + LAYOUT_CHUNK - 1) / LAYOUT_CHUNK * LAYOUT_CHUNK);
    if (!buf)
        return -ENOMEM;
    fill_random(buf, chunk, seed);
    int error = 0;
    for (uint64_t at = 0; at < size && !error; at += chunk) {
        uint64_t length = size - at < chunk ? size - at : chunk;
        if (unit)
            verify_stamp(buf, length / unit * unit, unit, at, seed, VERIFY_LAYOUT, 0);
        error = write_all(fd, buf, length);
    }
    free(buf);
    return error;
}

static int is_large_enough(const char *path, uint64_t size)
{
    struct stat st;
    if (stat(path, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return (uint64_t)st.st_size >= size ? 0 : -ENODATA;
}

int layout_file(const char *path, enum layout_kind kind, uint64_t size, uint64_t unit, uint64_t seed, char *why,
                size_t why_size)
{
    int error = is_large_enough(path, kind == LAYOUT_KEEP ? size : 0);
    if (kind == LAYOUT_PRESENT || (kind == LAYOUT_KEEP && !error)) {
        if (error)
            snprintf(why, why_size, "%s: %s", path, strerror(-error));
        return error;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, LAYOUT_MODE);
    error = fd < 0 ? -errno : 0;
    if (!error && kind != LAYOUT_EMPTY)
        error = fill_file(fd, size, unit, seed);
    if (!error && fsync(fd))
        error = -errno;
    if (fd >= 0 && close(fd) && !error)
        error = -errno;
    if (error)
        snprintf(why, why_size, "laying out %s: %s", path, strerror(-error));
    return error;
}
