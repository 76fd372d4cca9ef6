/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_demote.c — handing files to the kernel: for stdio, mappings, other programs. Layer file.
 */
#include "file/file_candidate.h"
#include "file/file_lock.h"
#include "file/file_private.h"

#include "base/conf.h"
#include "base/rawsys.h"

#include <errno.h>
#include <limits.h>

int file_demote(int fd, enum uma_demotion reason)
{
    struct fd_handle *handle = handle_borrow(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 0;
    handle_lock(handle);
    bool beside = !file_may_change(); /* the record is locked */
    int error = beside ? uma_demote_beside(handle->uma, fd, reason) : uma_demote(handle->uma, fd, reason);
    if (!error)
        error = ofd_to_kernel(handle->ofd, fd);
    /* what a vfork child could not do its parent does at its next call, see file_yields */
    if (error >= 0 && (beside || reason == UMA_DEMOTE_FDPASS))
        ofd_give_away(handle->ofd);
    ofd_unlock(handle->ofd);
    handle_drop(handle, fd);
    return error < 0 ? error : 0;
}

static void demote_inheritable(int fd, struct fd_handle *handle, void *arg)
{
    const bool *own_memory = arg;
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (flags < 0 || flags & FD_CLOEXEC)
        return;
    ofd_give_away(handle->ofd); /* nobody attaches the file by it any more, see file_heed */
    if (*own_memory || uma_is_served(handle->uma))
        file_demote(fd, UMA_DEMOTE_EXEC);
}

void file_heed_gifts(struct fd_handle *handle, int fd, uint32_t gifts)
{
    atomic_store_explicit(&handle->gifts, gifts, memory_order_relaxed);
    if (ofd_is_given(handle->ofd) || handle_any_given(handle->uma))
        uma_demote(handle->uma, fd, UMA_DEMOTE_EXEC);
}

/* ---- rings ---- */

static void demote_for_ring(int fd, struct fd_handle *handle, void *arg)
{
    int *result = arg, error = file_demote(fd, UMA_DEMOTE_AIO);
    (void)handle;
    if (error && !*result)
        *result = error;
}

int file_ring_begin(void)
{
    int error = 0;
    if (conf_get()->aio != CONF_AIO_ALLOW)
        return -ENOSYS;
    /* Before the look into the table: an open that published its handle and then finds no ring is met by the look. Both
     * sides change one word, so that one of them comes second and sees what the other did before. */
    atomic_fetch_or_explicit(&file_state.rings, 1, memory_order_acq_rel);
    candidate_adopt_all();
    fd_table_each(0, UINT_MAX, demote_for_ring, &error);
    return error;
}

bool file_has_rings(void)
{
    return atomic_fetch_or_explicit(&file_state.rings, 0, memory_order_acq_rel);
}

static void demote_handles(bool own_memory)
{
    fd_table_each(0, UINT_MAX, demote_inheritable, &own_memory);
}

void file_demote_inheritable(bool own_memory)
{
    candidate_adopt_all();
    demote_handles(own_memory);
}

static void keep_locks(int fd, struct fd_handle *handle, void *arg)
{
    (void)arg;
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (flags >= 0 && !(flags & FD_CLOEXEC)) /* else its own close drops them */
        uma_keep_locks(handle->uma, handle->readable && handle->writable);
}

void file_before_exec(void)
{
    if (!file_owns_table() || !atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return;
    file_lock_forget();
    demote_handles(true); /* a candidate's description is the kernel's as it is */
    fd_table_each(0, UINT_MAX, keep_locks, NULL);
    uma_before_exec();
}

void file_exec_failed(void)
{
    if (file_owns_table())
        uma_exec_failed();
}

bool file_take_over(int fd)
{
    return uma_take_over(fd);
}

void file_take_over_end(void)
{
    uma_take_over_end();
}
