/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_seek.c — lseek. Layer file.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>
#include <unistd.h>

/* Offsets from here on may be more than the file system's largest: the kernel is asked. (ext4 with 1 KiB blocks ends at
 * 4 TiB, the smallest of those that matter.) */
#define SEEK_SURELY_VALID ((off_t)1 << 42)

struct seek_call {
    struct file_call call;
    struct ofd *ofd;
    off_t offset;
    int whence;
};

/* The description's offset becomes base + offset: that, or -EINVAL where the kernel has it. */
static off_t seek_to(const struct seek_call *seek, uint64_t base)
{
    off_t result;
    if (__builtin_add_overflow((off_t)base, seek->offset, &result) || result < 0)
        return -EINVAL;
    if (result >= SEEK_SURELY_VALID) {
        off_t judged = sys_lseek(seek->call.fd, result, SEEK_SET); /* the kernel's offset does not count now */
        if (judged < 0)
            return judged;
    }
    ofd_set_offset(seek->ofd, (uint64_t)result);
    return result;
}

static off_t seek_hole(const struct seek_call *seek)
{
    struct uma *uma = seek->call.uma;
    if (seek->offset < 0)
        return -ENXIO;
    off_t result = seek->whence == SEEK_DATA ? uma_seek_data(uma, (uint64_t)seek->offset)
                                             : uma_seek_hole(uma, (uint64_t)seek->offset);
    if (result >= 0)
        ofd_set_offset(seek->ofd, (uint64_t)result);
    return result;
}

static long seek_step(struct file_call *call, enum uma_path path)
{
    struct seek_call *seek = (struct seek_call *)call;
    if (path == UMA_PATH_KERNEL) {
        int error = ofd_to_kernel(seek->ofd, call->fd);
        return error ? error : sys_lseek(call->fd, seek->offset, seek->whence);
    }
    return seek->whence == SEEK_END ? seek_to(seek, uma_size(call->uma)) : seek_hole(seek);
}

/* SEEK_SET and SEEK_CUR need no look at the file. */
static off_t seek_by_record(struct seek_call *seek)
{
    if (ofd_is_in_kernel(seek->ofd))
        return sys_lseek(seek->call.fd, seek->offset, seek->whence);
    return seek_to(seek, seek->whence == SEEK_CUR ? seek->ofd->offset : 0);
}

off_t file_lseek(int fd, off_t offset, int whence)
{
    const struct fd_candidate *candidate = candidate_of(fd);
    if (candidate && candidate_is_alone(candidate))
        return sys_lseek(fd, offset, whence);
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_lseek(fd, offset, whence);
    struct seek_call seek = {
        .call = {.uma = handle->uma, .fd = fd}, .ofd = handle->ofd, .offset = offset, .whence = whence};
    off_t result;
    handle_lock(handle);
    switch (whence) {
    case SEEK_SET:
    case SEEK_CUR:
        result = seek_by_record(&seek);
        break;
    case SEEK_END:
    case SEEK_DATA:
    case SEEK_HOLE:
        result = file_call_run(&seek.call, UMA_INTENT_LOOK, seek_step);
        break;
    default:
        result = sys_lseek(fd, offset, whence); /* EINVAL */
    }
    if (ofd_is_given(handle->ofd) && result >= 0)
        ofd_to_kernel(handle->ofd, fd); /* where the other program finds it */
    ofd_unlock(handle->ofd);
    handle_leave();
    return result;
}
