/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * core.c — the table of core.h. Layer api; read by preload.
 */
#include "api/core.h"

#include "api/init.h"
#include "base/rcu.h"
#include "file/fd_table.h"
#include "file/file.h"
#include "pm/pm_guard.h"

static int core_demote(int fd, int reason)
{
    return file_demote(fd, (enum uma_demotion)reason);
}

static long core_by_kernel(int in, int out, int reason, long (*call)(const void *arg), const void *arg)
{
    return file_by_kernel(in, out, (enum uma_demotion)reason, call, arg);
}

const struct nvmmio_core nvmmio_core = {
    .version = NVMMIO_CORE_VERSION,
    .size = sizeof(struct nvmmio_core),
    .managed = (const volatile uint8_t *)fd_table.hints,
    .managed_count = FD_HINTS,
    .openat = file_openat,
    .adopt = file_adopt,
    .close = file_close,
    .release = file_release,
    .dup = file_dup,
    .dup2 = file_dup2,
    .dup3 = file_dup3,
    .close_range = file_close_range,
    .fcntl = file_fcntl,
    .lock_prepare = file_lock_prepare,
    .is_managed = file_is_managed,
    .read = file_read,
    .write = file_write,
    .pread = file_pread,
    .pwrite = file_pwrite,
    .readv = file_readv,
    .writev = file_writev,
    .preadv2 = file_preadv2,
    .pwritev2 = file_pwritev2,
    .lseek = file_lseek,
    .fsync = file_fsync,
    .fdatasync = file_fdatasync,
    .sync_all = file_sync_all,
    .ftruncate = file_ftruncate,
    .truncate = file_truncate,
    .fallocate = file_fallocate,
    .fstat = file_fstat,
    .fstatat = file_fstatat,
    .statx = file_statx,
    .futimens = file_futimens,
    .utimensat = file_utimensat,
    .mmap = file_mmap,
    .munmap = file_nvmunmap,
    .msync = file_nvmsync,
    .mremap = file_mremap,
    .demote = core_demote,
    .by_kernel = core_by_kernel,
    .demote_inheritable = file_demote_inheritable,
    .ring_begin = file_ring_begin,
    .before_exec = file_before_exec,
    .attend = api_attend,
    .before_fork = api_before_fork,
    .after_fork_parent = api_after_fork_parent,
    .after_fork_child = api_after_fork_child,
    .before_bare = rcu_before_bare,
    .after_bare = rcu_after_bare,
    .born = api_born,
    .sigaction = pm_guard_action,
    .main_ended = file_main_ended,
    .exit = api_exit,
    .limit_changed = file_limit_changed,
};
