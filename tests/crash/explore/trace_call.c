/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace_call.c — the recorder's hook of the library's system calls: what changes files, sizes, names, or makes such changes
 * durable. Not known here, since nothing of the library needs it under a trace: RENAME_EXCHANGE, copies inside the kernel.
 */
#include "crash/explore/trace_private.h"

#include "base/rawsys.h"

#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

long (*trace_invoke)(long number, long a, long b, long c, long d, long e, long f) = rawsys_invoke_kernel;

/* A call under way. */
struct call {
    long number;
    long a, b, c, d, e, f;
    uint64_t site;
};

static long run(const struct call *call)
{
    return trace_invoke(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
}

static void announce(enum trace_call kind)
{
    if (trace_before)
        trace_before(TRACE_CALL, kind);
}

static struct trace_event *add(const struct call *call, enum trace_call kind, uint32_t file, uint64_t offset,
                               uint64_t length)
{
    struct trace_event *event = recorder_add(TRACE_CALL, file, call->site, offset, length, NULL);
    if (event)
        event->call = (uint8_t)kind;
    return event;
}

/* ---- names ---- */

struct name {
    uint32_t directory; /* TRACE_NO_FILE: elsewhere */
    char text[NAME_MAX + 1];
    char path[256]; /* of the name, below the root */
};

static void name_of(int dirfd, const char *path, struct name *name)
{
    const char *slash = strrchr(path, '/');
    const char *text = slash ? slash + 1 : path;
    char parent[PATH_MAX] = ".";
    if (slash)
        snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    snprintf(name->text, sizeof name->text, "%s", text);
    name->directory = TRACE_NO_FILE;
    name->path[0] = 0;
    int fd = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    char directory[256];
    if (recorder_path_of(fd, directory)) {
        name->directory = trace_file_of(fd);
        if (snprintf(name->path, sizeof name->path, "%s/%s", directory, text) >= (int)sizeof name->path)
            name->directory = TRACE_NO_FILE;
    }
    close(fd);
}

static void add_name(const struct call *call, enum trace_call kind, uint32_t file, const struct name *name,
                     const struct name *old)
{
    uint64_t text = recorder_keep(name->text, strlen(name->text) + 1);
    uint64_t old_text = old ? recorder_keep(old->text, strlen(old->text) + 1) : 0;
    struct trace_event *event = add(call, kind, file, 0, 0);
    if (!event)
        return;
    event->directory = name->directory;
    event->name = text;
    if (old) {
        event->old_directory = old->directory;
        event->old_name = old_text;
    }
}

static uint32_t file_at(int dirfd, const char *path, int flags, struct stat *st)
{
    return fstatat(dirfd, path, st, flags) == 0 ? recorder_find(st->st_dev, st->st_ino) : TRACE_NO_FILE;
}

/* A new file or directory has got its name. fd: open, or -1. */
static void add_made(const struct call *call, int fd, const struct name *name)
{
    struct stat st;
    if (lstat(name->path, &st) != 0)
        return;
    uint32_t file = recorder_new_file(fd, &st, name->path, recorder_kind(name->path, st.st_mode));
    if (recorder_wants(file))
        add_name(call, TRACE_CALL_LINK, file, name, NULL);
}

static long call_open(const struct call *call)
{
    int flags = (int)call->c;
    struct stat st;
    struct name name;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        long fd = run(call);
        char path[256];
        if (fd >= 0 && fstat((int)fd, &st) == 0 && recorder_path_of((int)fd, path))
            recorder_new_file((int)fd, &st, "", recorder_kind(path, st.st_mode));
        return fd;
    }
    uint32_t file = file_at((int)call->a, (const char *)call->b, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0, &st);
    bool exists =
        file != TRACE_NO_FILE || faccessat((int)call->a, (const char *)call->b, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    bool cuts = flags & O_TRUNC && flags & O_ACCMODE && exists && recorder_wants(file) && S_ISREG(st.st_mode);
    bool makes = flags & O_CREAT && !exists;
    if (makes) {
        name_of((int)call->a, (const char *)call->b, &name);
        makes = recorder_wants(name.directory);
    }
    if (cuts || makes)
        announce(cuts ? TRACE_CALL_RESIZE : TRACE_CALL_LINK);
    long fd = run(call);
    if (fd >= 0 && makes)
        add_made(call, (int)fd, &name);
    if (fd >= 0 && cuts)
        add(call, TRACE_CALL_RESIZE, file, 0, 0);
    return fd;
}

static long call_mkdir(const struct call *call)
{
    struct name name;
    name_of((int)call->a, (const char *)call->b, &name);
    if (!recorder_wants(name.directory))
        return run(call);
    announce(TRACE_CALL_LINK);
    long result = run(call);
    if (result == 0)
        add_made(call, -1, &name);
    return result;
}

static long call_link(const struct call *call)
{
    struct name name;
    struct stat st;
    name_of((int)call->c, (const char *)call->d, &name);
    if (!recorder_wants(name.directory))
        return run(call);
    announce(TRACE_CALL_LINK);
    long result = run(call);
    uint32_t file = result == 0 && lstat(name.path, &st) == 0 ? recorder_find(st.st_dev, st.st_ino) : TRACE_NO_FILE;
    if (recorder_wants(file)) {
        char *path = recorder.shared->trace.file[file].path;
        if (!path[0])
            memcpy(path, name.path, sizeof name.path);
        add_name(call, TRACE_CALL_LINK, file, &name, NULL);
    }
    return result;
}

static long call_unlink(const struct call *call)
{
    struct name name;
    struct stat st;
    uint32_t file = file_at((int)call->a, (const char *)call->b, AT_SYMLINK_NOFOLLOW, &st);
    if (!recorder_wants(file))
        return run(call);
    name_of((int)call->a, (const char *)call->b, &name);
    announce(TRACE_CALL_UNLINK);
    long result = run(call);
    if (result == 0)
        add_name(call, TRACE_CALL_UNLINK, file, &name, NULL);
    return result;
}

static long call_rename(const struct call *call)
{
    struct name name, old;
    struct stat st;
    uint32_t file = file_at((int)call->a, (const char *)call->b, AT_SYMLINK_NOFOLLOW, &st);
    if (!recorder_wants(file))
        return run(call);
    name_of((int)call->a, (const char *)call->b, &old);
    name_of((int)call->c, (const char *)call->d, &name);
    announce(TRACE_CALL_RENAME);
    long result = run(call);
    if (result == 0)
        add_name(call, TRACE_CALL_RENAME, file, &name, &old);
    return result;
}

/* ---- sizes ---- */

static uint64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static long call_ftruncate(const struct call *call)
{
    uint32_t file = trace_file_of((int)call->a);
    if (!recorder_wants(file))
        return run(call);
    announce(TRACE_CALL_RESIZE);
    long result = run(call);
    if (result == 0)
        add(call, TRACE_CALL_RESIZE, file, 0, (uint64_t)call->b);
    return result;
}

static long call_truncate(const struct call *call)
{
    struct stat st;
    uint32_t file = file_at(AT_FDCWD, (const char *)call->a, 0, &st);
    if (!recorder_wants(file))
        return run(call);
    announce(TRACE_CALL_RESIZE);
    long result = run(call);
    if (result == 0)
        add(call, TRACE_CALL_RESIZE, file, 0, (uint64_t)call->b);
    return result;
}

/* What an fallocate does besides allocating. SYNC: nothing. */
static enum trace_call fallocate_kind(int mode)
{
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return TRACE_CALL_PUNCH;
    if (mode & FALLOC_FL_COLLAPSE_RANGE)
        return TRACE_CALL_COLLAPSE;
    if (mode & FALLOC_FL_INSERT_RANGE)
        return TRACE_CALL_INSERT;
    return TRACE_CALL_SYNC;
}

static long call_fallocate(const struct call *call)
{
    int fd = (int)call->a, mode = (int)call->b;
    uint64_t offset = (uint64_t)call->c, length = (uint64_t)call->d;
    uint32_t file = trace_file_of(fd);
    if (!recorder_wants(file))
        return run(call);
    enum trace_call kind = fallocate_kind(mode);
    uint64_t size = size_of(fd);
    bool moves = kind == TRACE_CALL_COLLAPSE || kind == TRACE_CALL_INSERT;
    bool grows = !moves && !(mode & FALLOC_FL_KEEP_SIZE) && offset + length > size;
    if (kind == TRACE_CALL_PUNCH)
        length = offset < size ? length < size - offset ? length : size - offset : 0;
    if (kind == TRACE_CALL_PUNCH && !length)
        kind = TRACE_CALL_SYNC;
    if (kind == TRACE_CALL_SYNC && !grows)
        return run(call);
    announce(kind == TRACE_CALL_SYNC ? TRACE_CALL_RESIZE : kind);
    long result = run(call);
    if (result == 0 && kind != TRACE_CALL_SYNC)
        add(call, kind, file, offset, length);
    if (result == 0 && grows)
        add(call, TRACE_CALL_RESIZE, file, 0, (uint64_t)(call->c + call->d));
    return result;
}

/* ---- data and durability ---- */

/* The first n bytes of the vector: their offset in the data. */
static uint64_t keep_vector(const struct iovec *iov, size_t n)
{
    uint64_t first = recorder_keep(NULL, 0);
    for (size_t done = 0; done < n; iov++) {
        size_t part = iov->iov_len < n - done ? iov->iov_len : n - done;
        recorder_keep(iov->iov_base, part);
        done += part;
    }
    return first;
}

/* position: of pwrite and its kin, -1: the descriptor's. */
static long call_write(const struct call *call, const struct iovec *iov, int64_t position, int how)
{
    int fd = (int)call->a;
    uint32_t file = trace_file_of(fd);
    if (!recorder_wants(file))
        return run(call);
    int flags = fcntl(fd, F_GETFL);
    announce(TRACE_CALL_WRITE);
    uint64_t offset = (flags & O_APPEND) | (how & RWF_APPEND) ? size_of(fd)
                      : position < 0                          ? (uint64_t)lseek(fd, 0, SEEK_CUR)
                                                              : (uint64_t)position;
    long n = run(call);
    if (n <= 0)
        return n;
    uint64_t data = keep_vector(iov, (size_t)n);
    struct trace_event *event = add(call, TRACE_CALL_WRITE, file, offset, (uint64_t)n);
    if (event)
        event->data = data;
    if (flags & O_DSYNC || how & (RWF_DSYNC | RWF_SYNC)) /* O_SYNC has the bit of O_DSYNC */
        add(call, TRACE_CALL_SYNC, file, 0, 0);
    return n;
}

static long call_sync(const struct call *call)
{
    uint32_t file = trace_file_of((int)call->a);
    if (!recorder_wants(file))
        return run(call);
    announce(TRACE_CALL_SYNC);
    long result = run(call);
    if (result == 0)
        add(call, TRACE_CALL_SYNC, file, 0, 0);
    return result;
}

static long call_msync(const struct call *call)
{
    const struct recorder_region *region = recorder_region_at((const void *)call->a);
    if (!region || !recorder_wants(region->file) || !(call->c & MS_SYNC))
        return run(call);
    uint32_t file = region->file;
    announce(TRACE_CALL_SYNC);
    long result = run(call);
    if (result == 0)
        add(call, TRACE_CALL_SYNC, file, 0, 0);
    return result;
}

/* ---- mappings, noted whether a trace runs or not ---- */

static long call_mmap(const struct call *call)
{
    long at = run(call);
    if (sys_is_error((void *)at))
        return at;
    if (call->d & MAP_FIXED)
        recorder_unmap((void *)at, (size_t)call->b);
    if ((call->d & MAP_TYPE) != MAP_PRIVATE && !(call->d & MAP_ANONYMOUS))
        recorder_map((void *)at, (size_t)call->b, (int)call->e, (uint64_t)call->f);
    return at;
}

static long call_munmap(const struct call *call)
{
    recorder_unmap((void *)call->a, (size_t)call->b); /* before another thread can get the addresses */
    return run(call);
}

static long call_madvise(const struct call *call)
{
    long result = run(call);
    if (result == 0 && call->c == MADV_DONTFORK)
        recorder_dont_fork((void *)call->a, (size_t)call->b);
    return result;
}

/* ---- the hook ---- */

static long recorded(const struct call *call)
{
    struct iovec one = {.iov_base = (void *)call->b, .iov_len = (size_t)call->c};
    switch (call->number) {
    case SYS_openat:
        return call_open(call);
    case SYS_mkdirat:
        return call_mkdir(call);
    case SYS_linkat:
        return call_link(call);
    case SYS_unlinkat:
        return call_unlink(call);
    case SYS_renameat2:
        return call_rename(call);
    case SYS_ftruncate:
        return call_ftruncate(call);
    case SYS_truncate:
        return call_truncate(call);
    case SYS_fallocate:
        return call_fallocate(call);
    case SYS_write:
        return call_write(call, &one, -1, 0);
    case SYS_pwrite64:
        return call_write(call, &one, call->d, 0);
    case SYS_writev:
        return call_write(call, (const struct iovec *)call->b, -1, 0);
    case SYS_pwritev:
        return call_write(call, (const struct iovec *)call->b, call->d, 0);
    case SYS_pwritev2:
        return call_write(call, (const struct iovec *)call->b, call->d, (int)call->f);
    case SYS_fsync:
    case SYS_fdatasync:
        return call_sync(call);
    case SYS_msync:
        return call_msync(call);
    default:
        return run(call);
    }
}

long recorder_call(long number, long a, long b, long c, long d, long e, long f)
{
    struct call call = {number, a, b, c, d, e, f, recorder_site(__builtin_return_address(0))};
    switch (number) {
    case SYS_mmap:
        return call_mmap(&call);
    case SYS_munmap:
        return call_munmap(&call);
    case SYS_madvise:
        return call_madvise(&call);
    default:
        recorder_close_pending();
        return recorder_is_on() ? recorded(&call) : run(&call);
    }
}
