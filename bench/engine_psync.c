/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * engine_psync.c — I/O by the libc's calls. Through the dynamic symbols, so that a preloaded library gets them.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PSYNC_MODE = 0644 };

static int psync_load(char *why, size_t why_size)
{
    (void)why;
    (void)why_size;
    return 0;
}

static int psync_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    (void)size;
    file->fd = open(path, flags | O_CLOEXEC, PSYNC_MODE);
    return file->fd < 0 ? -errno : 0;
}

static ssize_t psync_read(struct engine_file *file, void *buf, size_t length, uint64_t offset)
{
    ssize_t n = pread(file->fd, buf, length, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t psync_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    ssize_t n = pwrite(file->fd, buf, length, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t psync_append(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    (void)offset;
    ssize_t n = write(file->fd, buf, length);
    return n < 0 ? -errno : n;
}

static int psync_sync(struct engine_file *file, bool data_only)
{
    return (data_only ? fdatasync(file->fd) : fsync(file->fd)) ? -errno : 0;
}

static int psync_truncate(struct engine_file *file, uint64_t size)
{
    return ftruncate(file->fd, (off_t)size) ? -errno : 0;
}

static int psync_size(struct engine_file *file, uint64_t *size)
{
    struct stat st;
    if (fstat(file->fd, &st))
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int psync_close(struct engine_file *file)
{
    return close(file->fd) ? -errno : 0;
}

const struct engine engine_psync = {
    .name = "psync",
    .help = "pread, pwrite, fsync of the libc (and of what is preloaded before it)",
    .load = psync_load,
    .open = psync_open,
    .read = psync_read,
    .write = psync_write,
    .append = psync_append,
    .sync = psync_sync,
    .truncate = psync_truncate,
    .size = psync_size,
    .close = psync_close,
};
