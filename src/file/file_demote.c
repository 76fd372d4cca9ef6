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
    const bool *own_memory = arg;
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (flags < 0 || flags & FD_CLOEXEC)
        return;
    /* A vfork child works in its parent's memory on descriptors of its own: it can do all that opens none. */
    if (*own_memory || uma_is_served(handle->uma))
        file_demote(fd, UMA_DEMOTE_EXEC);
}

void file_demote_inheritable(bool own_memory)
{
    fd_table_each(0, UINT_MAX, demote_inheritable, &own_memory);
}

void file_before_exec(void)
{
    if (!file_owns_table() || !atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return;
    file_demote_inheritable(true);
    uma_before_exec();
}
