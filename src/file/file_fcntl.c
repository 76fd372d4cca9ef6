/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_fcntl.c — fcntl: duplicates and status flags; the rest is the kernel's. Layer file.
 */
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>

/* Status flags that F_SETFL can change. */
#define FCNTL_STATUS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

static int fcntl_set_flags(int fd, long arg)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_fcntl(fd, F_SETFL, arg);
    ofd_lock(handle->ofd); /* two at once: record and kernel end with the same flags */
    int result = sys_fcntl(fd, F_SETFL, arg);
    if (!result) {
        uint32_t flags = (ofd_flags(handle->ofd) & ~(uint32_t)FCNTL_STATUS) | ((uint32_t)arg & FCNTL_STATUS);
        atomic_store_explicit(&handle->ofd->flags, flags, memory_order_relaxed); /* guarded; readers take either */
    }
    ofd_unlock(handle->ofd);
    handle_leave();
    return result;
}

static int fcntl_lock(int fd, int cmd, long arg)
{
    struct fd_handle *handle = handle_borrow(fd);
    if (handle == FD_CLOSING)
        return -EBADF;
    int result = 0;
    if (handle) {
        result = uma_before_lock(handle->uma, fd);
        handle_drop(handle, fd);
    }
    return result < 0 ? result : sys_fcntl(fd, cmd, arg);
}

int file_fcntl(int fd, int cmd, long arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return file_dup_from(fd, cmd, arg);
    case F_SETFL:
        return fcntl_set_flags(fd, arg);
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(fd, cmd, arg);
    default:
        return sys_fcntl(fd, cmd, arg);
    }
}
