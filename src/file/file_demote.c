/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_demote.c — handing files to the kernel: for stdio, mappings, other programs. Layer file.
 */
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>
#include <limits.h>

int file_demote(int fd, enum uma_demotion reason)
{
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 0;
    ofd_lock(handle->ofd);
    int error = uma_demote(handle->uma, fd, reason);
    if (!error)
        error = ofd_to_kernel(handle->ofd, fd);
    ofd_unlock(handle->ofd);
    handle_drop(handle, fd);
    return error;
}

static void demote_inheritable(int fd, struct fd_handle *handle, void *arg)
{
    (void)handle;
    (void)arg;
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (flags >= 0 && !(flags & FD_CLOEXEC))
        file_demote(fd, UMA_DEMOTE_EXEC);
}

/* In a vfork child any number may have been duplicated behind our back, so close-on-exec says nothing. The kernel's
 * offset does not count where the record's does: setting it changes nothing for the parent. */
static void set_kernel_offset(int fd, struct fd_handle *handle, void *arg)
{
    (void)arg;
    ofd_lock(handle->ofd);
    if (!ofd_is_in_kernel(handle->ofd))
        sys_lseek(fd, (off_t)handle->ofd->offset, SEEK_SET);
    ofd_unlock(handle->ofd);
}

void file_demote_inheritable(bool own_memory)
{
    fd_table_each(0, UINT_MAX, own_memory ? demote_inheritable : set_kernel_offset, NULL);
}
