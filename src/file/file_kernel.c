/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_kernel.c — calls by which the kernel itself moves data between files: copy_file_range, sendfile, clones. Layer
 * file; called by preload.
 *
 * A file that somebody has attached is demoted first. One that nobody has is the kernel's as it is: the call is made as any
 * other on the kernel's path, and nothing is attached to be handed over at once, as cp would have it for each file.
 */
#include "file/file_private.h"

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
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 0;
    int error = uma_is_detached(handle->uma) ? offset_to_kernel(handle, fd) : file_demote(fd, reason);
    handle_drop(handle, fd);
    return error;
}

long file_by_kernel(int in, int out, enum uma_demotion reason, file_kernel_call call, const void *arg)
{
    struct uma_op op;
    int error = in < 0 ? 0 : source_prepare(in, reason);
    struct fd_handle *handle = error ? NULL : handle_borrow(out);
    if (!fd_is_handle(handle))
        return error ? error : handle ? -EBADF : call(arg);
    long result;
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
