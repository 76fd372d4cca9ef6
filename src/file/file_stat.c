/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_stat.c — the stat family and the utimens family. Layer file.
 *
 * The kernel answers; of a file whose logical size is not yet the kernel's, st_size is put right, and a pending mtime is
 * delivered before. By path this needs a second question to the kernel, and only for files that this process has open, or
 * that others have attached: of those the log tells the size.
 */
#include "file/file_private.h"

#include "base/rawsys.h"
#include "log/volume.h"

#include <errno.h>
#include <sys/sysmacros.h>

/* What is asked: one of the three calls. */
struct stat_call {
    struct file_call call;
    int (*ask)(struct stat_call *stat);                  /* the kernel's answer, into what `answer` points to */
    void (*correct)(struct stat_call *stat, off_t size); /* the size in it */
    void *answer;
    int dirfd;
    const char *path;
    int flags;
    unsigned mask; /* statx */
    bool answered; /* the kernel has been asked already, to find the inode */
};

static long stat_step(struct file_call *call, enum uma_path path)
{
    struct stat_call *stat = (struct stat_call *)call;
    if (path != UMA_PATH_USER)
        return stat->answered ? 0 : stat->ask(stat);
    bool moved = uma_deliver_times(call->uma);
    off_t size = (off_t)uma_size(call->uma);
    int error = stat->answered && !moved ? 0 : stat->ask(stat);
    if (!error)
        stat->correct(stat, size);
    return error;
}

/* ---- the three calls ---- */

static int ask_fstat(struct stat_call *stat)
{
    return sys_fstat(stat->dirfd, stat->answer);
}

static int ask_fstatat(struct stat_call *stat)
{
    return sys_fstatat(stat->dirfd, stat->path, stat->answer, stat->flags);
}

static void correct_stat(struct stat_call *stat, off_t size)
{
    ((struct stat *)stat->answer)->st_size = size;
}

static int ask_statx(struct stat_call *stat)
{
    return sys_statx(stat->dirfd, stat->path, stat->flags, stat->mask, stat->answer);
}

static void correct_statx(struct stat_call *stat, off_t size)
{
    ((struct statx *)stat->answer)->stx_size = (uint64_t)size;
}

static bool nothing_managed(void)
{
    return !atomic_load_explicit(&file_state.pid, memory_order_relaxed) ||
           atomic_load_explicit(&file_state.gone, memory_order_relaxed);
}

/* Others have the file attached, or died with it, and this process has not. */
static void ask_of_log(struct stat_call *stat, uint32_t owner, uint64_t dev, uint64_t ino)
{
    struct volume *volume = volume_elsewhere(owner, major(dev), minor(dev), ino);
    struct statx stx;
    uint64_t size;
    if (!volume)
        return;
    const char *path = stat->path ? stat->path : "";
    int flags = stat->path ? stat->flags : AT_EMPTY_PATH;
    if (!sys_statx(stat->dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &stx) && stx.stx_ino == ino &&
        makedev(stx.stx_dev_major, stx.stx_dev_minor) == dev && !volume_size_elsewhere(volume, &stx, &size))
        stat->correct(stat, (off_t)size);
}

/* Corrects the answer if the inode is one of ours. The first answer stands if its size cannot be had: stat by path needs no right
 * to the file, and fails for no state of it. */
static void ask_of_inode(struct stat_call *stat, uint32_t owner, uint64_t dev, uint64_t ino)
{
    stat->answered = true;
    rcu_enter();
    stat->call.uma = uma_find(dev, ino);
    stat->call.fd = -1;
    bool known = stat->call.uma && file_call_run(&stat->call, UMA_INTENT_LOOK, stat_step) == 0;
    rcu_leave();
    if (!known)
        ask_of_log(stat, owner, dev, ino);
}

int file_fstat(int fd, struct stat *st)
{
    struct stat_call stat = {.ask = ask_fstat, .correct = correct_stat, .answer = st, .dirfd = fd};
    struct fd_handle *handle = handle_enter(fd);
    if (!handle) { /* an O_PATH descriptor, or one that was opened by other ways, may be of a managed file */
        int error = stat.ask(&stat);
        if (!error && !nothing_managed() && S_ISREG(st->st_mode))
            ask_of_inode(&stat, st->st_uid, st->st_dev, st->st_ino);
        return error;
    }
    if (!fd_is_handle(handle))
        return -EBADF;
    stat.call.uma = handle->uma;
    stat.call.fd = fd;
    int result = (int)file_call_run(&stat.call, UMA_INTENT_LOOK, stat_step);
    handle_leave();
    return result;
}

int file_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    struct stat_call stat = {
        .ask = ask_fstatat, .correct = correct_stat, .answer = st, .dirfd = dirfd, .path = path, .flags = flags};
    int error = stat.ask(&stat);
    if (error || nothing_managed() || !S_ISREG(st->st_mode))
        return error;
    ask_of_inode(&stat, st->st_uid, st->st_dev, st->st_ino);
    return 0;
}

int file_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    struct stat_call stat = {.ask = ask_statx,
                             .correct = correct_statx,
                             .answer = stx,
                             .dirfd = dirfd,
                             .path = path,
                             .flags = flags,
                             .mask = mask};
    int error = stat.ask(&stat);
    if (error || nothing_managed() || !S_ISREG(stx->stx_mode))
        return error;
    ask_of_inode(&stat, stx->stx_uid, makedev(stx->stx_dev_major, stx->stx_dev_minor), stx->stx_ino);
    return 0;
}

/* ---- times ---- */

/* utimensat, with fd (path NULL) or path, on a file that may be `uma`'s. */
static int set_times(struct uma *uma, int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (uma)
        uma_deliver_times(uma); /* what was written before has its time first: it must not come over this one */
    int result = sys_utimensat(dirfd, path, times, flags);
    if (uma && !result)
        uma_forget_times(uma);
    return result;
}

int file_futimens(int fd, const struct timespec times[2])
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_utimensat(fd, NULL, times, 0);
    int result = set_times(handle->uma, fd, NULL, times, 0);
    handle_leave();
    return result;
}

int file_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (!path && !flags)
        return file_futimens(dirfd, times);
    struct stat st;
    bool plain = nothing_managed() || !path || sys_fstatat(dirfd, path, &st, flags) || !S_ISREG(st.st_mode);
    if (plain)
        return sys_utimensat(dirfd, path, times, flags);
    rcu_enter();
    int result = set_times(uma_find(st.st_dev, st.st_ino), dirfd, path, times, flags);
    rcu_leave();
    return result;
}
