/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * engine_nvmmio.c — I/O by the nv* calls, and by plain stores to what nvmmap has mapped. libnvmmio.so is loaded by the first use, by its soname: if a preloaded
 * library has brought it into the process already, that one is used.
 */
#include "engine.h"

#include "nvmmio.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { NVMMIO_MODE = 0644 };

static const char core_soname[] = "libnvmmio.so.0";

static struct {
    void *handle;
    __typeof__(nvopen) *open;
    __typeof__(nvpread) *pread;
    __typeof__(nvpwrite) *pwrite;
    __typeof__(nvwrite) *write;
    __typeof__(nvfsync) *fsync;
    __typeof__(nvfdatasync) *fdatasync;
    __typeof__(nvftruncate) *ftruncate;
    __typeof__(nvfstat) *fstat;
    __typeof__(nvclose) *close;
    __typeof__(nvmmap) *mmap;
    __typeof__(nvmunmap) *munmap;
    __typeof__(nvmsync) *msync;
} core;

static int nvmmio_load(char *why, size_t why_size)
{
    if (core.handle)
        return 0;
    void *handle = dlopen(core_soname, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(why, why_size, "%s", dlerror());
        return -ELIBACC;
    }
    const struct {
        const char *name;
        void *slot;
    } symbol[] = {
        {"nvopen", &core.open},   {"nvpread", &core.pread},         {"nvpwrite", &core.pwrite},
        {"nvwrite", &core.write}, {"nvfsync", &core.fsync},         {"nvfdatasync", &core.fdatasync},
        {"nvfstat", &core.fstat}, {"nvftruncate", &core.ftruncate}, {"nvclose", &core.close},
        {"nvmmap", &core.mmap},   {"nvmunmap", &core.munmap},       {"nvmsync", &core.msync},
    };
    for (unsigned i = 0; i < sizeof symbol / sizeof symbol[0]; i++) {
        void *address = dlsym(handle, symbol[i].name);
        if (!address) {
            snprintf(why, why_size, "%s has no %s", core_soname, symbol[i].name);
            dlclose(handle);
            return -ELIBBAD;
        }
        /* ISO C has no cast from an object pointer to a function pointer; POSIX wants their representations equal. */
        *(void **)symbol[i].slot = address;
    }
    core.handle = handle;
    return 0;
}

int engine_nvmmio_counter(const char *name, uint64_t *value)
{
    /* RTLD_NOLOAD: only where the process has it already; the reference it adds is harmless. */
    static __typeof__(nvstats_get) *get;
    if (!get) {
        void *handle = dlopen(core_soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        void *address = handle ? dlsym(handle, "nvstats_get") : NULL;
        if (!address)
            return -ENOENT;
        *(void **)&get = address;
    }
    return get(name, value) ? -errno : 0;
}

static int nvmmio_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    (void)size;
    file->fd = core.open(path, flags | O_CLOEXEC, NVMMIO_MODE);
    return file->fd < 0 ? -errno : 0;
}

static ssize_t nvmmio_read(struct engine_file *file, void *buf, size_t length, uint64_t offset)
{
    ssize_t n = core.pread(file->fd, buf, length, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t nvmmio_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    ssize_t n = core.pwrite(file->fd, buf, length, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t nvmmio_append(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    (void)offset;
    ssize_t n = core.write(file->fd, buf, length);
    return n < 0 ? -errno : n;
}

static int nvmmio_sync(struct engine_file *file, bool data_only)
{
    return (data_only ? core.fdatasync(file->fd) : core.fsync(file->fd)) ? -errno : 0;
}

static int nvmmio_truncate(struct engine_file *file, uint64_t size)
{
    return core.ftruncate(file->fd, (off_t)size) ? -errno : 0;
}

static int nvmmio_size(struct engine_file *file, uint64_t *size)
{
    struct stat st;
    if (core.fstat(file->fd, &st))
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int nvmmio_close(struct engine_file *file)
{
    return core.close(file->fd) ? -errno : 0;
}

/* ---- nvmmap ---- */

static int nvmmap_open(struct engine_file *file, const char *path, int flags, uint64_t size)
{
    struct stat st;
    int fd = core.open(path, (flags & ~(O_APPEND | O_ACCMODE)) | O_RDWR | O_CLOEXEC, NVMMIO_MODE);
    if (fd < 0)
        return -errno;
    bool whole = core.fstat(fd, &st) == 0 && ((uint64_t)st.st_size >= size || core.ftruncate(fd, (off_t)size) == 0);
    file->map = whole ? core.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (file->map == MAP_FAILED) {
        int error = -errno;
        core.close(fd);
        return error;
    }
    file->fd = fd;
    file->map_length = file->end = size;
    return 0;
}

static ssize_t nvmmap_write(struct engine_file *file, const void *buf, size_t length, uint64_t offset)
{
    length = engine_map_clip(file, length, offset);
    if (length == 0)
        return -ENOSPC;
    memcpy(file->map + offset, buf, length);
    return (ssize_t)length;
}

static int nvmmap_sync(struct engine_file *file, bool data_only)
{
    (void)data_only;
    return core.msync(file->map, file->map_length, MS_SYNC) ? -errno : 0;
}

static int nvmmap_close(struct engine_file *file)
{
    int error = core.munmap(file->map, file->map_length) ? -errno : 0;
    return core.close(file->fd) && !error ? -errno : error;
}

const struct engine engine_nvmmap = {
    .name = "nvmmap",
    .help = "plain stores to a mapping by nvmmap, which nvmsync makes durable and atomic",
    .maps = true,
    .load = nvmmio_load,
    .open = nvmmap_open,
    .read = engine_map_read,
    .write = nvmmap_write,
    .append = nvmmap_write,
    .sync = nvmmap_sync,
    .truncate = nvmmio_truncate,
    .size = engine_map_size,
    .close = nvmmap_close,
};

const struct engine engine_nvmmio = {
    .name = "nvmmio",
    .help = "nvpread, nvpwrite, nvfsync of libnvmmio.so",
    .load = nvmmio_load,
    .open = nvmmio_open,
    .read = nvmmio_read,
    .write = nvmmio_write,
    .append = nvmmio_append,
    .sync = nvmmio_sync,
    .truncate = nvmmio_truncate,
    .size = nvmmio_size,
    .close = nvmmio_close,
};
