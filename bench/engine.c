/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * engine.c — the list of engines, and the null engine.
 */
#include "engine.h"

#include <string.h>

static const struct engine *const engine_list[] = {
    &engine_psync, &engine_nvmmio, &engine_nvmmap, &engine_mmap, &engine_libpmem, &engine_null, NULL,
};

const struct engine *engine_find(const char *name)
{
    for (const struct engine *const *engine = engine_list; *engine; engine++)
        if (strcmp((*engine)->name, name) == 0)
            return *engine;
    return NULL;
}

const struct engine *engine_at(unsigned index)
{
    return index < sizeof engine_list / sizeof engine_list[0] ? engine_list[index] : NULL;
}

static int null_load(char *why, size_t why_size)
{
    (void)why;
    (void)why_size;
    return 0;
}

static int null_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    (void)path;
    (void)flags;
    file->fd = -1;
    file->end = size;
    return 0;
}

static ssize_t null_read(struct engine_file *file, void *buf, size_t length, uint64_t offset)
{
    (void)file;
    (void)buf;
    (void)offset;
    return (ssize_t)length;
}

static ssize_t null_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    (void)file;
    (void)buf;
    (void)offset;
    return (ssize_t)length;
}

static int null_sync(struct engine_file *file, bool data_only)
{
    (void)file;
    (void)data_only;
    return 0;
}

static int null_truncate(struct engine_file *file, uint64_t size)
{
    file->end = size;
    return 0;
}

static int null_size(struct engine_file *file, uint64_t *size)
{
    *size = file->end;
    return 0;
}

static int null_close(struct engine_file *file)
{
    (void)file;
    return 0;
}

const struct engine engine_null = {
    .name = "null",
    .help = "does nothing: measures the harness",
    .load = null_load,
    .open = null_open,
    .read = null_read,
    .write = null_write,
    .append = null_write,
    .sync = null_sync,
    .truncate = null_truncate,
    .size = null_size,
    .close = null_close,
};
