/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_kernel.c — calls by which the kernel itself moves data between files: copy_file_range, sendfile, clones. Layer
 * file; called by preload.
 *
 * A file that somebody has attached is demoted first. One that nobody has is the kernel's as it is: the call is made as any
 * other on the kernel's path, and nothing is attached to be handed over at once, as cp would have it for each file.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/inside.h"

#include <errno.h>

/* The kernel's offset counts. */
static int offset_to_kernel(struct fd_handle *handle, int fd)
{
    handle_lock(handle);
    int error = ofd_to_kernel(handle->ofd, fd);
    ofd_unlock(handle->ofd);
    return error;
}

/* What is read from. Who attaches it during the call wants to write: what the copy then shows of that is left open, as it is
 * by the kernel. */
static int source_prepare(int fd, enum uma_demotion reason)
{
    const struct fd_candidate *candidate = candidate_of(fd);
    if (candidate && candidate_is_alone(candidate))
        return 0;
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 0;
    int error = uma_is_detached(handle->uma) ? offset_to_kernel(handle, fd) : file_demote(fd, reason);
    handle_drop(handle, fd);
    return error;
}

/* What is written to is no managed file: the call may wait. */
static long call_other(file_kernel_call call, const void *arg)
{
    struct inside_window window = inside_open();
    long result = call(arg);
    inside_shut(window);
    return result;
}

long file_by_kernel(int in, int out, enum uma_demotion reason, file_kernel_call call, const void *arg)
{
    struct uma_op op;
    long result;
    int error = in < 0 ? 0 : source_prepare(in, reason);
    struct volume_inflight inflight;
    struct fd_candidate *candidate = error ? NULL : candidate_enter_write(out, &inflight);
    if (candidate) {
        result = call(arg);
        if (result > 0)
            candidate_note(candidate, true, (uint64_t)result);
        candidate_leave(&inflight);
        return result;
    }
    struct fd_handle *handle = error ? NULL : handle_borrow(out);
    if (!fd_is_handle(handle))
        return error ? error : handle ? -EBADF : call_other(call, arg);
    if (uma_begin_kernel(handle->uma, &op)) {
        error = offset_to_kernel(handle, out);
        result = error ? error : call(arg);
        struct uma_done done = {.bytes_written = result > 0 ? (uint64_t)result : 0};
        uma_end(handle->uma, &op, &done);
    } else {
        error = file_demote(out, reason);
        result = error ? error : call(arg);
    }
    handle_drop(handle, out);
    return result;
}
