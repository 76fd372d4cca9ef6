/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_size.c — ftruncate, truncate, fallocate. Layer file.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/place.h"
#include "base/rawsys.h"

#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>

struct size_call {
    struct file_call call;
    const char *path; /* truncate(2) of a file without a descriptor for writing; else NULL */
    uint64_t size;    /* ftruncate: the new size; fallocate: the length */
    uint64_t offset;  /* fallocate */
    int mode;         /* fallocate */
    bool over_limit;  /* set by the step: SIGXFSZ is due */
};

static long size_finish(const struct size_call *size, long result)
{
    if (size->over_limit)
        file_limit_signal();
    return result;
}

/* ---- truncation ---- */

static long resize_step(struct file_call *call, enum uma_path path)
{
    struct size_call *size = (struct size_call *)call;
    if (path == UMA_PATH_KERNEL) {
        uma_note_cut(call->uma); /* whatever comes of it */
        int result =
            size->path ? sys_truncate(size->path, (off_t)size->size) : sys_ftruncate(call->fd, (off_t)size->size);
        uma_note_cut(call->uma);
        return result;
    }
    if (!file_limit_allows(uma_size(call->uma), size->size)) {
        size->over_limit = true;
        return -EFBIG;
    }
    return uma_resize(call->uma, size->size);
}

int file_resize(struct uma *uma, int fd, uint64_t size)
{
    struct size_call call = {.call = {.uma = uma, .fd = fd}, .size = size};
    return (int)size_finish(&call, file_call_run(&call.call, UMA_INTENT_WRITE, resize_step));
}

int file_resize_path(struct uma *uma, int fd, const char *path, uint64_t size)
{
    struct size_call call = {.call = {.uma = uma, .fd = fd}, .path = path, .size = size};
    return (int)size_finish(&call, file_call_run(&call.call, UMA_INTENT_WRITE, resize_step));
}

int file_ftruncate(int fd, off_t length)
{
    struct volume_inflight inflight;
    struct fd_candidate *candidate = candidate_enter_write(fd, &inflight);
    int result;
    if (candidate) {
        volume_note_cut(candidate->volume);
        result = sys_ftruncate(fd, length);
        volume_note_cut(candidate->volume);
        candidate_leave(&inflight);
        return result;
    }
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_ftruncate(fd, length);
    file_heed(handle, fd);
    result = length < 0 || !handle->writable ? sys_ftruncate(fd, length) /* EINVAL */
                                             : file_resize(handle->uma, fd, (uint64_t)length);
    handle_drop(handle, fd);
    return result;
}

/* The file may be in use here or in another process: it is looked up by an O_PATH descriptor, whose closing drops no
 * POSIX lock. */
int file_truncate(const char *path, off_t length)
{
    struct stat st;
    if (length < 0 || !file_owns_table() || sys_fstatat(AT_FDCWD, path, &st, 0) || !S_ISREG(st.st_mode))
        return sys_truncate(path, length);
    int fd = sys_openat(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0)
        return sys_truncate(path, length);
    char proc_path[PLACE_FD_PATH];
    place_fd_path(fd, proc_path);
    struct uma *uma = NULL;
    int result = uma_open(fd, O_WRONLY, NULL, &uma);
    if (!result && uma) {
        file_begin_process();
        result = sys_faccessat2(fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH);
        if (!result)
            result =
                file_resize_path(uma, fd, place_is_held() ? path : proc_path, (uint64_t)length); /* no /proc, maybe */
        int error = uma_close(uma, fd);
        if (!result)
            result = error;
    } else if (!result) {
        result = sys_truncate(path, length);
    }
    sys_close(fd);
    return result;
}

/* ---- allocation ---- */

static long allocate_step(struct file_call *call, enum uma_path path)
{
    struct size_call *size = (struct size_call *)call;
    if (path == UMA_PATH_KERNEL) {
        if (size->mode & FALLOC_FL_COLLAPSE_RANGE)
            uma_note_cut(call->uma);
        int result = sys_fallocate(call->fd, size->mode, (off_t)size->offset, (off_t)size->size);
        if (size->mode & FALLOC_FL_COLLAPSE_RANGE)
            uma_note_cut(call->uma);
        return result;
    }
    uint64_t now = uma_size(call->uma);
    uint64_t then = size->mode & FALLOC_FL_INSERT_RANGE ? now + size->size : size->offset + size->size;
    if (!(size->mode & FALLOC_FL_KEEP_SIZE) && !file_limit_allows(now, then)) {
        size->over_limit = true;
        return -EFBIG;
    }
    return uma_allocate(call->uma, size->mode, size->offset, size->size);
}

int file_fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_fallocate(fd, mode, offset, length);
    int result;
    file_heed(handle, fd);
    if (offset < 0 || length <= 0 || !handle->writable || length > INT64_MAX - offset) {
        result = sys_fallocate(fd, mode, offset, length); /* EINVAL, EBADF, EFBIG */
    } else {
        struct size_call call = {
            .call = {.uma = handle->uma, .fd = fd}, .size = (uint64_t)length, .offset = (uint64_t)offset, .mode = mode};
        result = (int)size_finish(&call, file_call_run(&call.call, UMA_INTENT_WRITE, allocate_step));
    }
    handle_drop(handle, fd);
    return result;
}
