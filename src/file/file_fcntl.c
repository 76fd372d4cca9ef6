/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_fcntl.c — fcntl: duplicates and status flags; the rest is the kernel's, or file_lock.c's. Layer file.
 */
#include "file/file_lock.h"
#include "file/file_private.h"

#include "base/conf.h"
#include "base/rawsys.h"

#include <errno.h>
#include <unistd.h>

/* Status flags that F_SETFL can change, of a regular file: not O_ASYNC. */
#define FCNTL_STATUS (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)

/* The library's lease sets and clears O_ASYNC on the application's description (lease:1). */
static int fcntl_get_flags(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);
    if (flags < 0 || !conf_get()->lease)
        return flags;
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : flags;
    flags = (flags & ~O_ASYNC) | (int)(ofd_flags(handle->ofd) & O_ASYNC);
    handle_leave();
    return flags;
}

static int fcntl_set_flags(int fd, long arg)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_fcntl(fd, F_SETFL, arg);
    handle_lock(handle); /* two at once: record and kernel end with the same flags */
    int result = arg & (O_APPEND | O_DIRECT) ? uma_before_flags(handle->uma, fd) : 0;
    if (!result)
        result = sys_fcntl(fd, F_SETFL, arg);
    if (!result) {
        uint32_t flags = (ofd_flags(handle->ofd) & ~(uint32_t)FCNTL_STATUS) | ((uint32_t)arg & FCNTL_STATUS);
        atomic_store_explicit(&handle->ofd->flags, flags, memory_order_relaxed); /* guarded; readers take either */
        atomic_store_explicit(&handle->quiet, flags & O_NOATIME, memory_order_relaxed);
    }
    ofd_unlock(handle->ofd);
    handle_leave();
    return result;
}

int file_fcntl(int fd, int cmd, long arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return file_dup_from(fd, cmd, arg);
    case F_GETFL:
        return fcntl_get_flags(fd);
    case F_SETFL:
        return fcntl_set_flags(fd, arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file_lock(fd, cmd, arg);
    default:
        return sys_fcntl(fd, cmd, arg);
    }
}
