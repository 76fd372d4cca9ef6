/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * engine_map.c — the two engines that work on a shared mapping: mmap (memcpy and msync) and libpmem (the raw limit).
 *
 * The file has its full size and all its blocks before the job starts. An appending job fills it from the start, and
 * close cuts it to what was appended. libpmem is loaded by the first use.
 */
#include "engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libpmem.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAP_MODE = 0644 };

static const char pmem_soname[] = "libpmem.so.1";

static struct {
    void *handle;
    __typeof__(pmem_memcpy) *memcpy;
    __typeof__(pmem_drain) *drain;
} pmem;

static int mmap_load(char *why, size_t why_size)
{
    (void)why;
    (void)why_size;
    return 0;
}

static int libpmem_load(char *why, size_t why_size)
{
    if (pmem.handle)
        return 0;
    void *handle = dlopen(pmem_soname, RTLD_NOW | RTLD_LOCAL);
    void *copy = handle ? dlsym(handle, "pmem_memcpy") : NULL;
    void *drain = handle ? dlsym(handle, "pmem_drain") : NULL;
    if (!copy || !drain) {
        snprintf(why, why_size, "%s", dlerror());
        return -ELIBACC;
    }
    *(void **)&pmem.memcpy = copy;
    *(void **)&pmem.drain = drain;
    pmem.handle = handle;
    return 0;
}

static int map_open(struct engine_file *file, const char *path, int flags, uint64_t size, int map_flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    int fd = open(path, (flags & ~(O_APPEND | O_ACCMODE)) | (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC, MAP_MODE);
    if (fd < 0)
        return -errno;
    int error = 0;
    struct stat st;
    if (fstat(fd, &st))
        error = -errno;
    /* A store into a file without blocks would be SIGBUS when the file system is full. */
    else if (writes)
        error = -posix_fallocate(fd, 0, (off_t)size);
    else if ((uint64_t)st.st_size < size)
        error = -ENODATA;
    if (!error) {
        int protection = writes ? PROT_READ | PROT_WRITE : PROT_READ;
        void *map = mmap(NULL, size, protection, MAP_SHARED | map_flags, fd, 0);
        if (map == MAP_FAILED)
            error = -errno;
        else
            file->map = map;
    }
    if (error) {
        close(fd);
        return error;
    }
    file->fd = fd;
    file->map_length = size;
    file->appending = flags & O_APPEND;
    file->end = writes ? size : (uint64_t)st.st_size;
    if (file->appending)
        file->end = 0;
    file->dirty_low = UINT64_MAX;
    file->dirty_high = 0;
    return 0;
}

static int mmap_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    return map_open(file, path, flags, size, 0);
}

/* Page faults are no part of the limit. */
static int libpmem_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    return map_open(file, path, flags, size, MAP_POPULATE);
}

size_t engine_map_clip(const struct engine_file *file, size_t length, uint64_t offset)
{
    if (offset >= file->map_length)
        return 0;
    return length < file->map_length - offset ? length : (size_t)(file->map_length - offset);
}

ssize_t engine_map_read(struct engine_file *file, void *buf, size_t length, uint64_t offset)
{
    length = engine_map_clip(file, length, offset);
    memcpy(buf, file->map + offset, length);
    return (ssize_t)length;
}

static ssize_t mmap_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    length = engine_map_clip(file, length, offset);
    if (length == 0)
        return -ENOSPC;
    memcpy(file->map + offset, buf, length);
    if (offset < file->dirty_low)
        file->dirty_low = offset;
    if (offset + length > file->dirty_high)
        file->dirty_high = offset + length;
    return (ssize_t)length;
}

static ssize_t libpmem_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    length = engine_map_clip(file, length, offset);
    if (length == 0)
        return -ENOSPC;
    pmem.memcpy(file->map + offset, buf, length, PMEM_F_MEM_NONTEMPORAL);
    return (ssize_t)length;
}

static ssize_t mmap_append(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    ssize_t n = mmap_write(file, buf, length, offset);
    file->end = n > 0 ? offset + (uint64_t)n : file->end;
    return n;
}

static ssize_t libpmem_append(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    ssize_t n = libpmem_write(file, buf, length, offset);
    file->end = n > 0 ? offset + (uint64_t)n : file->end;
    return n;
}

static int mmap_sync(struct engine_file *file, bool data_only)
{
    (void)data_only;
    if (file->dirty_low >= file->dirty_high)
        return 0;
    uint64_t start = file->dirty_low & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
    if (msync(file->map + start, file->dirty_high - start, MS_SYNC))
        return -errno;
    file->dirty_low = UINT64_MAX;
    file->dirty_high = 0;
    return 0;
}

static int libpmem_sync(struct engine_file *file, bool data_only)
{
    (void)file;
    (void)data_only;
    pmem.drain();
    return 0;
}

static int map_truncate(struct engine_file *file, uint64_t size)
{
    file->end = size;
    return 0;
}

int engine_map_size(struct engine_file *file, uint64_t *size)
{
    *size = file->end;
    return 0;
}

static int map_close(struct engine_file *file)
{
    int error = munmap(file->map, file->map_length) ? -errno : 0;
    if (file->appending && ftruncate(file->fd, (off_t)file->end) && !error)
        error = -errno;
    return close(file->fd) && !error ? -errno : error;
}

const struct engine engine_mmap = {
    .name = "mmap",
    .help = "memcpy on a shared mapping, msync",
    .maps = true,
    .load = mmap_load,
    .open = mmap_open,
    .read = engine_map_read,
    .write = mmap_write,
    .append = mmap_append,
    .sync = mmap_sync,
    .truncate = map_truncate,
    .size = engine_map_size,
    .close = map_close,
};

const struct engine engine_libpmem = {
    .name = "libpmem",
    .help = "the raw limit: one pmem_memcpy with drain per write, one memcpy per read",
    .maps = true,
    .load = libpmem_load,
    .open = libpmem_open,
    .read = engine_map_read,
    .write = libpmem_write,
    .append = libpmem_append,
    .sync = libpmem_sync,
    .truncate = map_truncate,
    .size = engine_map_size,
    .close = map_close,
};
