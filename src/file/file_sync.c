/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_sync.c — fsync, fdatasync, and what comes before sync(2). Layer file.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>

struct sync_call {
    struct file_call call;
    int (*kernel)(int fd);
};

static long sync_step(struct file_call *call, enum uma_path path)
{
    if (path == UMA_PATH_USER)
        return uma_commit(call->uma);
    int result = uma_is_volatile(call->uma) ? 0 : ((struct sync_call *)call)->kernel(call->fd);
    call->done.synced = result == 0;
    return result;
}

static int sync_file(int fd, int (*kernel)(int fd))
{
    if (candidate_is_unseen(fd) && volume_all_idle()) { /* a directory, mostly */
        atomic_store_explicit(&candidate_record(fd)->fresh, false, memory_order_relaxed);
        return kernel(fd);
    }
    struct fd_candidate *candidate = candidate_of(fd);
    if (candidate && candidate_is_alone(candidate)) {
        atomic_store_explicit(&candidate->fresh, false, memory_order_relaxed);
        return candidate->ino ? 0 : kernel(fd); /* on tmpfs there is nothing to do */
    }
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : kernel(fd);
    struct sync_call sync = {.call = {.uma = handle->uma, .fd = fd}, .kernel = kernel};
    int result = uma_sync_is_void(handle->uma) ? 0 : (int)file_call_run(&sync.call, UMA_INTENT_SYNC, sync_step);
    handle_leave();
    return result;
}

int file_fsync(int fd)
{
    return sync_file(fd, sys_fsync);
}

int file_fdatasync(int fd)
{
    return sync_file(fd, sys_fdatasync);
}

static long commit_step(struct file_call *call, enum uma_path path)
{
    return path == UMA_PATH_USER ? uma_commit(call->uma) : 0; /* the kernel's sync comes next */
}

/* Not by uma_each, whose lock ranks below what beginning a call may take. A file with several handles is committed once
 * and found clean afterwards. */
static void commit_file(struct fd_handle *handle)
{
    if (!handle_count(handle))
        return;
    struct file_call call = {.uma = handle->uma, .fd = -1};
    file_call_run(&call, UMA_INTENT_LOOK, commit_step); /* sync(2) has no errors either */
    handle_drop(handle, -1);
}

void file_sync_all(void)
{
    if (atomic_load_explicit(&file_state.pid, memory_order_relaxed) &&
        !atomic_load_explicit(&file_state.gone, memory_order_relaxed))
        handle_each(commit_file);
}
