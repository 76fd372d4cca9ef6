/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * engine.h — the ways to do I/O that are compared (--ioengine).
 *
 *   psync    pread, pwrite, fsync of the libc: the kernel, or whatever is preloaded before it
 *   nvmmio   nvpread, nvpwrite, nvfsync of libnvmmio.so
 *   nvmmap   memcpy on a mapping by nvmmap, nvmsync of all of it
 *   mmap     memcpy on a shared mapping, msync of what changed
 *   libpmem  the raw limit: one pmem_memcpy with drain (non-temporal) per write, one memcpy per read, nothing to sync
 *   null     does nothing: measures the harness
 *
 * libnvmmio.so and libpmem are loaded by the first use of their engine alone, so that a psync process is an ordinary
 * program. All functions return a negative errno when they fail.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct engine_file {
    int fd;
    char *map;           /* engines with `maps` */
    uint64_t map_length; /* the file's size too, while it is open */
    uint64_t end;        /* what counts as the file's size in an appending job */
    bool appending;
    uint64_t dirty_low, dirty_high; /* range to msync */
};

struct engine {
    const char *name;
    const char *help;
    bool maps; /* needs the file at its full size from the start */
    /* Makes the engine usable in this process; 0, or an error and the reason in `why`. */
    int (*load)(char *why, size_t why_size);
    /* `size` is the file's full size (engines that map), `flags` are those of open(2). */
    int (*open)(struct engine_file *file, const char *path, int flags, uint64_t size);
    ssize_t (*read)(struct engine_file *file, void *buf, size_t length, uint64_t offset);
    ssize_t (*write)(struct engine_file *file, const void *buf, size_t length, uint64_t offset);
    /* Writes at the end of a file opened with O_APPEND; `offset` is where this job believes the end to be. */
    ssize_t (*append)(struct engine_file *file, const void *buf, size_t length, uint64_t offset);
    int (*sync)(struct engine_file *file, bool data_only);
    int (*truncate)(struct engine_file *file, uint64_t size);
    int (*size)(struct engine_file *file, uint64_t *size);
    int (*close)(struct engine_file *file);
};

extern const struct engine engine_psync;
extern const struct engine engine_nvmmio;
extern const struct engine engine_nvmmap;
extern const struct engine engine_mmap;
extern const struct engine engine_libpmem;
extern const struct engine engine_null;

/* For engines that map: how much of `length` bytes at `offset` the mapping has; reading by loads; what counts as the size. */
size_t engine_map_clip(const struct engine_file *file, size_t length, uint64_t offset);
ssize_t engine_map_read(struct engine_file *file, void *buf, size_t length, uint64_t offset);
int engine_map_size(struct engine_file *file, uint64_t *size);

/* NULL if there is none of that name. */
const struct engine *engine_find(const char *name);
/* The index-th engine, NULL behind the last. */
const struct engine *engine_at(unsigned index);

/* One counter of libnvmmio, if it is loaded in this process, by whomever. 0, -ENOENT. */
int engine_nvmmio_counter(const char *name, uint64_t *value);

#endif
