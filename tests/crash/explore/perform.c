/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * perform.c — the operations of a workload, through the nv API and, for what the sync thread does, layer uma.
 */
#include "crash/explore/perform_private.h"

#include "base/rawsys.h"
#include "file/handle.h"
#include "nvmmio.h"
#include "pm/pm.h"
#include "uma/uma.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP_BYTES OPERATION_SIZE_MOST
#define PATH_BYTES 256

enum way { WAY_MAIN, WAY_SECOND, WAY_SYNC, WAY_APPEND, WAYS };

struct performed {
    int fd[WAYS]; /* -1: not open */
    bool renamed, unlinked;
    char *map;
};

static struct {
    const struct workload *workload;
    struct perform_shared *shared;
    struct performed file[OPERATION_FILES];
} run;

/* ---- descriptors ---- */

static void path_of(unsigned file, char *path)
{
    snprintf(path, PATH_BYTES, "%s/%c%s", execute_root(), 'a' + file, run.file[file].renamed ? "2" : "");
}

static int open_way(unsigned file, enum way way, int more)
{
    static const int flags[WAYS] = {O_RDWR, O_RDWR, O_RDWR | O_SYNC, O_RDWR | O_APPEND};
    int *fd = &run.file[file].fd[way];
    char path[PATH_BYTES];
    path_of(file, path);
    if (run.file[file].unlinked && way != WAY_MAIN)
        snprintf(path, sizeof path, "/proc/self/fd/%d", run.file[file].fd[WAY_MAIN]);
    if (*fd < 0)
        *fd = nvopen(path, flags[way] | O_CLOEXEC | more | (run.workload->atomic ? O_ATOMIC : 0), 0600);
    return *fd;
}

static int note_inode(unsigned file, int made)
{
    struct execution *e = &run.shared->execution;
    if (e->inodes == EXECUTE_INODES)
        return -ENFILE;
    e->inode[e->inodes] = (struct execute_inode){(uint8_t)file, trace_file_of(run.file[file].fd[WAY_MAIN]), made};
    e->inodes++;
    return 0;
}

static bool uses(unsigned file)
{
    for (unsigned i = 0; i < run.workload->count; i++)
        if (run.workload->operation[i].file == file)
            return true;
    return false;
}

void perform_open(const struct workload *workload, struct perform_shared *shared)
{
    bool first = !shared->execution.inodes;
    run.workload = workload;
    run.shared = shared;
    for (unsigned file = 0; file < OPERATION_FILES; file++) {
        for (enum way way = 0; way < WAYS; way++)
            run.file[file].fd[way] = -1;
        if (!uses(file))
            continue;
        if (open_way(file, WAY_MAIN, workload->empty ? O_CREAT : 0) < 0)
            snprintf(shared->execution.trouble, sizeof shared->execution.trouble, "open: errno %d", errno);
        else if (first)
            note_inode(file, EXECUTE_NEVER);
    }
}

static struct uma *uma_of(unsigned file)
{
    struct fd_handle *handle = fd_table_get(run.file[file].fd[WAY_MAIN]);
    return fd_is_handle(handle) ? handle->uma : NULL;
}

void perform_prepare(void)
{
    for (unsigned file = 0; file < OPERATION_FILES; file++) {
        if (!uses(file))
            continue;
        for (enum way way = 0; way < WAYS; way++)
            open_way(file, way, 0);
        struct uma *uma = uma_of(file);
        if (uma)
            uma_attach(uma, run.file[file].fd[WAY_MAIN], UMA_TO_SERVE);
    }
}

static enum execute_path path_now(unsigned file)
{
    struct uma *uma = uma_of(file);
    if (!uma || !uma_is_attached(uma))
        return EXECUTE_KERNEL;
    return atomic_load(&uma_shared(uma)->mode) == INDEX_MODE_PASSTHROUGH ? EXECUTE_KERNEL : EXECUTE_LIBRARY;
}

/* ---- operations ---- */

static int or_errno(ssize_t result)
{
    return result < 0 ? -errno : (int)result;
}

static void fill(uint8_t *bytes, unsigned number, unsigned file, uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = operation_byte(number, file, offset + i);
}

static uint64_t size_of(unsigned file)
{
    struct stat st;
    return nvfstat(run.file[file].fd[WAY_MAIN], &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int perform_write(const struct operation *op, unsigned number, enum way way)
{
    uint8_t bytes[OPERATION_SIZE_MOST];
    int fd = open_way(op->file, way, 0);
    if (fd < 0)
        return -errno;
    /* the bytes of an append are known by their place in the operation */
    fill(bytes, number, op->file, way == WAY_APPEND ? 0 : op->offset, op->length);
    return or_errno(way == WAY_APPEND ? nvwrite(fd, bytes, op->length) : nvpwrite(fd, bytes, op->length, op->offset));
}

static int perform_read(const struct operation *op, unsigned number)
{
    uint8_t bytes[OPERATION_SIZE_MOST];
    ssize_t n = nvpread(run.file[op->file].fd[WAY_MAIN], bytes, op->length, op->offset);
    if (n >= 0)
        run.shared->execution.operation[number].read_hash = execute_hash(bytes, (size_t)n);
    return or_errno(n);
}

static int perform_map(unsigned file)
{
    struct performed *f = &run.file[file];
    if (f->map)
        return 0;
    void *map = nvmmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd[WAY_MAIN], 0);
    if (map == MAP_FAILED)
        return -errno;
    f->map = map;
    return 0;
}

static int perform_unmap(unsigned file)
{
    struct performed *f = &run.file[file];
    int result = f->map ? or_errno(nvmunmap(f->map, MAP_BYTES)) : 0;
    f->map = NULL;
    return result;
}

static int perform_memcpy(const struct operation *op, unsigned number)
{
    uint8_t bytes[OPERATION_SIZE_MOST];
    uint64_t size = size_of(op->file), length = op->length;
    int error = perform_map(op->file);
    if (error)
        return error;
    if (op->offset >= size)
        return 0;
    if (length > size - op->offset)
        length = size - op->offset;
    fill(bytes, number, op->file, op->offset, length);
    if (path_now(op->file) == EXECUTE_KERNEL) /* a plain store would pass the recorder by */
        return or_errno(nvpwrite(run.file[op->file].fd[WAY_MAIN], bytes, length, op->offset));
    return nvmemcpy(run.file[op->file].map + op->offset, bytes, length) ? (int)length : -errno;
}

/* As an application's instructions do it: nothing is flushed, and the library is not told. */
static int perform_store(const struct operation *op, unsigned number)
{
    uint8_t bytes[OPERATION_SIZE_MOST];
    int error = perform_map(op->file);
    uint64_t size = size_of(op->file), from = op->offset & ~UINT64_C(7);
    if (error || from >= size)
        return error;
    uint64_t length = (op->length < size - from ? op->length : size - from) & ~UINT64_C(7);
    fill(bytes, number, op->file, from, length);
    if (path_now(op->file) == EXECUTE_KERNEL)
        return or_errno(nvpwrite(run.file[op->file].fd[WAY_MAIN], bytes, length, (off_t)from));
    /* The fault of a failure-atomic mapping comes before the store is recorded, not in the middle of it. */
    (void)uma_protect_touch(run.file[op->file].map + from, length);
    pm_store_words(run.file[op->file].map + from, bytes, length);
    return 0;
}

/* In this process, until the file is attached again. */
static int perform_policy(unsigned file)
{
    struct uma *uma = uma_of(file);
    if (!uma || (!uma_is_attached(uma) && uma_attach(uma, run.file[file].fd[WAY_MAIN], UMA_TO_SERVE)))
        return 0; /* the kernel's */
    atomic_store(&uma->undo, !atomic_load(&uma->undo));
    return 0;
}

static int close_all(unsigned file)
{
    struct performed *f = &run.file[file];
    int result = perform_unmap(file);
    for (enum way way = WAYS; way-- > WAY_MAIN;) {
        if (f->fd[way] < 0)
            continue;
        int error = or_errno(nvclose(f->fd[way]));
        result = result ? result : error;
        f->fd[way] = -1;
    }
    return result;
}

static int perform_reopen(unsigned file)
{
    if (run.file[file].unlinked)
        return 0; /* it would be gone */
    int result = close_all(file);
    return open_way(file, WAY_MAIN, 0) < 0 ? -errno : result;
}

/* What concerns names alone goes to the kernel by the library's calls, where the recorder sees it. */
static int perform_unlink(unsigned file)
{
    char path[PATH_BYTES];
    path_of(file, path);
    bool unlinked = run.file[file].unlinked;
    run.file[file].unlinked = true;
    return unlinked ? 0 : sys_unlinkat(AT_FDCWD, path, 0);
}

static int sync_directory(void)
{
    int fd = sys_openat(AT_FDCWD, execute_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int result = fd < 0 ? fd : sys_fsync(fd);
    if (fd >= 0)
        sys_close(fd);
    return result;
}

static int perform_create(unsigned file, unsigned number, bool same)
{
    char path[PATH_BYTES];
    struct perform_identity old;
    path_of(file, path);
    perform_identity_of(run.file[file].fd[WAY_MAIN], &old);
    int error = perform_unlink(file);
    if (!error)
        error = close_all(file);
    if (!error && same)
        error = sync_directory();
    old.birth_nsec += !same;
    if (error)
        return error;
    int fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    perform_impersonate(fd, &old);
    trace_identify(fd);
    sys_close(fd);
    run.file[file].unlinked = false;
    if (open_way(file, WAY_MAIN, 0) < 0)
        return -errno;
    return note_inode(file, (int)number);
}

static int perform_rename(unsigned file)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    if (run.file[file].unlinked)
        return 0;
    path_of(file, from);
    run.file[file].renamed = !run.file[file].renamed;
    path_of(file, to);
    return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int write_back(unsigned file, bool all)
{
    struct uma *uma = uma_of(file);
    struct uma_op op;
    const struct uma_done done = {0};
    if (!uma)
        return 0;
    int result = 0;
    rcu_enter();
    int path = uma_begin(uma, run.file[file].fd[WAY_MAIN], UMA_INTENT_LOOK, &op);
    if (path == UMA_PATH_USER && all) {
        result = uma_write_back(uma);
    } else if (path == UMA_PATH_USER) {
        struct index_record *record = uma_claim(uma);
        if (uma_writeback_quietly(uma, record, UINT64_MAX, false) >= 0)
            result = uma_trim(uma, record);
        uma_unclaim(uma, record);
    }
    if (path >= 0)
        uma_end(uma, &op, &done);
    rcu_leave();
    return result;
}

static int perform_verb(const struct operation *op, unsigned number)
{
    int fd = run.file[op->file].fd[WAY_MAIN];
    switch (op->verb) {
    case 'w':
        return perform_write(op, number, WAY_MAIN);
    case 'W':
        return perform_write(op, number, WAY_SECOND);
    case 'y':
        return perform_write(op, number, WAY_SYNC);
    case 'a':
        return perform_write(op, number, WAY_APPEND);
    case 'r':
        return perform_read(op, number);
    case 't':
        return or_errno(nvftruncate(fd, op->length));
    case 'f':
        return or_errno(nvfsync(fd));
    case 'b':
        return write_back(op->file, true);
    case 'q':
        return write_back(op->file, false);
    case 'h':
        return perform_policy(op->file);
    case 'l':
        perform_fill();
        return 0;
    case 'd':
        return uma_of(op->file) ? uma_demote(uma_of(op->file), fd, UMA_DEMOTE_OTHER) : 0;
    case 'm':
        return perform_map(op->file);
    case 'M':
        return perform_unmap(op->file);
    case 'n':
        return perform_memcpy(op, number);
    case 'i':
        return perform_store(op, number);
    case 's':
        return run.file[op->file].map ? or_errno(nvmsync(run.file[op->file].map, MAP_BYTES, MS_SYNC)) : 0;
    case 'p':
        return or_errno(nvfallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, op->offset, op->length));
    case 'z':
        return or_errno(nvfallocate(fd, FALLOC_FL_ZERO_RANGE, op->offset, op->length));
    case 'e':
        return or_errno(nvfallocate(fd, 0, op->offset, op->length));
    case 'x':
        return perform_reopen(op->file);
    case 'c':
    case 'C':
        return perform_create(op->file, number, op->verb == 'C');
    case 'v':
        return perform_rename(op->file);
    case 'u':
        return perform_unlink(op->file);
    default:
        return sync_directory();
    }
}

void perform_operation(unsigned number)
{
    const struct operation *op = &run.workload->operation[number];
    struct execute_operation *done = &run.shared->execution.operation[number];
    trace_mark(EXECUTE_BEGIN, number, 0);
    done->result = perform_verb(op, number);
    done->path = (uint8_t)path_now(op->file);
    trace_mark(EXECUTE_END, number, 0);
}
