/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_stat.c — the stat family and the utimens family. Layer file.
 *
 * The kernel answers; of a file whose logical size is not yet the kernel's, st_size is put right, and a pending mtime is
 * delivered before. By path the kernel says first which inode it is. A second question follows only for files that this
 * process has open and whose mtime had to be put right meanwhile, or that others have attached: of those the log tells the
 * size.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/rawsys.h"
#include "log/volume.h"

#include <errno.h>
#include <sys/sysmacros.h>

#define ASK_TRIES 8u /* while files go back to the kernel all the time the answer may be of a moment ago */

struct stat_call;

/* How an answer is read and corrected: a struct stat, or a struct statx. */
struct stat_form {
    void (*set_size)(struct stat_call *stat, off_t size);
    void (*set_mtime)(struct stat_call *stat, const struct timespec *mtime);
    bool (*inode)(const struct stat_call *stat, struct stat *st); /* which inode it is of; false: none of ours */
    size_t bytes;
};

/* What is asked: one of the three calls. */
struct stat_call {
    struct file_call call;
    int (*ask)(struct stat_call *stat); /* the kernel's answer, into what `answer` points to */
    const struct stat_form *form;
    void *answer;
    int dirfd;
    const char *path;
    int flags;
    unsigned mask;        /* statx */
    uint64_t corrections; /* volume_corrections before the kernel was asked to find the inode */
    bool answered;        /* it has been asked for that */
    bool elsewhere;       /* and when it was asked again the path was another one's */
    bool corrected;       /* its answer was not the last word */
};

static void stat_correct(struct stat_call *stat, off_t size)
{
    stat->corrected = true;
    stat->form->set_size(stat, size);
}

static long stat_step(struct file_call *call, enum uma_path path)
{
    struct stat_call *stat = (struct stat_call *)call;
    if (path != UMA_PATH_USER)
        return stat->answered ? 0 : stat->ask(stat);
    bool moved = uma_deliver_times(call->uma);
    off_t size = (off_t)uma_size(call->uma);
    struct timespec mtime;
    uint32_t keeps;
    bool kept;
    int error;
    unsigned tries = 0;
    if (stat->answered && !moved && uma_times_are_told(call->uma) && stat->corrections == volume_corrections()) {
        stat_correct(stat, size);
        return 0;
    }
    do { /* the answer may be of a file that somebody is just changing; one by path is asked again, its first was before */
        keeps = uma_times_keeps(call->uma);
        kept = uma_times_kept(call->uma, &mtime);
        error = stat->ask(stat);
    } while (!error && keeps != uma_times_keeps(call->uma) && ++tries < ASK_TRIES);
    if (error)
        return error;
    struct stat st;
    stat->elsewhere = stat->path && (!stat->form->inode(stat, &st) || uma_find(st.st_dev, st.st_ino) != call->uma);
    if (stat->elsewhere)
        return 0;
    stat_correct(stat, size);
    if (kept)
        stat->form->set_mtime(stat, &mtime);
    return 0;
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

static void set_size_stat(struct stat_call *stat, off_t size)
{
    ((struct stat *)stat->answer)->st_size = size;
}

static void set_mtime_stat(struct stat_call *stat, const struct timespec *mtime)
{
    ((struct stat *)stat->answer)->st_mtim = *mtime;
}

static int ask_statx(struct stat_call *stat)
{
    return sys_statx(stat->dirfd, stat->path, stat->flags, stat->mask, stat->answer);
}

static void set_size_statx(struct stat_call *stat, off_t size)
{
    ((struct statx *)stat->answer)->stx_size = (uint64_t)size;
}

static void set_mtime_statx(struct stat_call *stat, const struct timespec *mtime)
{
    struct statx_timestamp *told = &((struct statx *)stat->answer)->stx_mtime;
    told->tv_sec = mtime->tv_sec;
    told->tv_nsec = (uint32_t)mtime->tv_nsec;
}

static bool inode_of_stat(const struct stat_call *call, struct stat *st)
{
    *st = *(const struct stat *)call->answer;
    return S_ISREG(st->st_mode);
}

static bool inode_of_statx(const struct stat_call *call, struct stat *st)
{
    const struct statx *stx = call->answer;
    const unsigned needed = STATX_TYPE | STATX_INO | STATX_UID;
    *st = (struct stat){.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
                        .st_ino = stx->stx_ino,
                        .st_uid = stx->stx_uid,
                        .st_mode = stx->stx_mode};
    return (stx->stx_mask & needed) == needed && S_ISREG(stx->stx_mode);
}

static const struct stat_form form_stat = {set_size_stat, set_mtime_stat, inode_of_stat, sizeof(struct stat)};
static const struct stat_form form_statx = {set_size_statx, set_mtime_statx, inode_of_statx, sizeof(struct statx)};

static bool is_gone(void)
{
    return atomic_load_explicit(&file_state.gone, memory_order_relaxed);
}

static bool nothing_managed(void)
{
    return !atomic_load_explicit(&file_state.pid, memory_order_relaxed) || is_gone();
}

/* Others have the file attached, or died with it, and this process has not. `st`: what the kernel said of it. */
static void ask_of_log(struct stat_call *call, const struct stat *st)
{
    const uint32_t dev_major = major(st->st_dev), dev_minor = minor(st->st_dev);
    struct volume *volume = volume_elsewhere(st->st_uid, dev_major, dev_minor, st->st_ino);
    if (!volume && call->path) {
        volume_look(call->dirfd, call->path, call->flags, st);
        volume = volume_elsewhere(st->st_uid, dev_major, dev_minor, st->st_ino);
    }
    struct statx stx;
    uint64_t size;
    if (!volume)
        return;
    const char *path = call->path ? call->path : "";
    int flags = call->path ? call->flags : AT_EMPTY_PATH;
    if (!sys_statx(call->dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &stx) && stx.stx_ino == st->st_ino &&
        makedev(stx.stx_dev_major, stx.stx_dev_minor) == st->st_dev && !volume_size_elsewhere(volume, &stx, &size))
        stat_correct(call, (off_t)size);
}

/* Corrects the answer if the inode is one of ours. The first answer stands if its size cannot be had: stat by path needs no right
 * to the file, and fails for no state of it. */
static void ask_of_inode(struct stat_call *call, const struct stat *st)
{
    call->answered = true;
    call->elsewhere = false;
    handle_enter_section();
    call->call.uma = uma_find(st->st_dev, st->st_ino);
    call->call.fd = -1;
    bool known = call->call.uma && file_call_run(&call->call, UMA_INTENT_LOOK, stat_step) == 0;
    rcu_leave();
    if (!known)
        ask_of_log(call, st);
}

/* Asks the kernel, then those who know better. A file that goes back to the kernel between the two questions would be told
 * with its old size: asked again. */
static int ask_both(struct stat_call *call)
{
    struct stat st;
    int error;
    for (unsigned tries = 0;; tries++) {
        call->corrections = volume_corrections();
        error = call->ask(call);
        if (error || is_gone() || !call->form->inode(call, &st))
            return error;
        ask_of_inode(call, &st);
        if (call->elsewhere && tries < ASK_TRIES)
            continue;
        if (call->corrected || call->corrections == volume_corrections() || tries == ASK_TRIES)
            return 0;
    }
}

/* fstat: of a managed descriptor its uma knows at once. */
static int ask_of_descriptor(struct stat_call *call)
{
    struct fd_handle *handle = handle_enter(call->dirfd);
    if (!handle) /* an O_PATH descriptor, or one that was opened by other ways, may be of a managed file */
        return nothing_managed() ? call->ask(call) : ask_both(call);
    if (!fd_is_handle(handle))
        return -EBADF;
    call->call.uma = handle->uma;
    call->call.fd = call->dirfd;
    int result = (int)file_call_run(&call->call, UMA_INTENT_LOOK, stat_step);
    handle_leave();
    return result;
}

/* The answer may go to a failure-atomic mapping: see file_touch. */
static int stat_run(struct stat_call *call, int (*once)(struct stat_call *call))
{
    int result;
    unsigned touches = 0;
    do
        result = once(call);
    while (__builtin_expect(result == -EFAULT, 0) && touches++ < FILE_TOUCHES &&
           file_touch(call->answer, call->form->bytes));
    return result;
}

/* Whether the kernel's answer is the last word: nobody served any file when it was asked (volume_all_idle). */
static inline bool told_all(int error, const struct stat *st)
{
    return error ? error != -EFAULT : !S_ISREG(st->st_mode) || volume_is_known(st);
}

/* Not inlined, so that who is told all at once needs no room for the call. */
static __attribute__((noinline)) int fstat_by_uma(int fd, struct stat *st)
{
    struct stat_call stat = {.ask = ask_fstat, .form = &form_stat, .answer = st, .dirfd = fd};
    return stat_run(&stat, ask_of_descriptor);
}

int file_fstat(int fd, struct stat *st)
{
    const bool idle = volume_all_idle(), unseen = candidate_is_unseen(fd);
    int error = unseen ? candidate_see(fd, st) : idle ? sys_fstat(fd, st) : 0;
    if ((unseen && error && error != -EFAULT) || (idle && told_all(error, st)))
        return error;
    return fstat_by_uma(fd, st);
}

static __attribute__((noinline)) int fstatat_by_uma(int dirfd, const char *path, struct stat *st, int flags)
{
    struct stat_call stat = {
        .ask = ask_fstatat, .form = &form_stat, .answer = st, .dirfd = dirfd, .path = path, .flags = flags};
    return stat_run(&stat, ask_both);
}

int file_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    if (volume_all_idle()) {
        int error = sys_fstatat(dirfd, path, st, flags);
        if (told_all(error, st))
            return error;
    }
    return fstatat_by_uma(dirfd, path, st, flags);
}

int file_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    struct stat_call stat = {.ask = ask_statx,
                             .form = &form_statx,
                             .answer = stx,
                             .dirfd = dirfd,
                             .path = path,
                             .flags = flags,
                             .mask = mask};
    return stat_run(&stat, ask_both);
}

/* ---- times ---- */

struct times_call {
    struct file_call call;
    const struct timespec *times;
};

/* On either path: of a file that others have attached what was written before must have its time first. */
static long times_step(struct file_call *call, enum uma_path path)
{
    (void)path;
    return uma_set_times(call->uma, call->fd, NULL, ((struct times_call *)call)->times, 0);
}

int file_futimens(int fd, const struct timespec times[2])
{
    struct volume_inflight inflight;
    int result;
    if (candidate_enter_write(fd, &inflight)) {
        result = sys_utimensat(fd, NULL, times, 0);
        candidate_leave(&inflight);
        return result;
    }
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : sys_utimensat(fd, NULL, times, 0);
    struct times_call call = {.call = {.uma = handle->uma, .fd = fd}, .times = times};
    result = (int)(uma_is_served(handle->uma) ? times_step(&call.call, UMA_PATH_USER)
                                              : file_call_run(&call.call, UMA_INTENT_LOOK, times_step));
    handle_leave();
    return result;
}

/* By path, and this process does not serve the file. Another one may: what that has written gets its time first here as
 * well, so it is joined for the moment. */
static int set_times_elsewhere(int dirfd, const char *path, const struct timespec times[2], int flags,
                               const struct stat *st)
{
    const uint32_t dev_major = major(st->st_dev), dev_minor = minor(st->st_dev);
    struct uma *uma = NULL;
    volume_look(dirfd, path, flags, st);
    int nofollow = flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int fd = volume_elsewhere(st->st_uid, dev_major, dev_minor, st->st_ino)
                 ? sys_openat(dirfd, path, O_PATH | O_CLOEXEC | nofollow, 0)
                 : -1;
    if (fd >= 0 && uma_open(fd, O_RDONLY, NULL, &uma) == 0 && uma)
        file_begin_process();
    int result = uma ? uma_set_times(uma, dirfd, path, times, flags) : sys_utimensat(dirfd, path, times, flags);
    if (uma)
        uma_close(uma, fd);
    sys_close(fd);
    return result;
}

int file_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    struct stat st;
    if (!path && !flags)
        return file_futimens(dirfd, times);
    if (!path || !file_owns_table() || sys_fstatat(dirfd, path, &st, flags) || !S_ISREG(st.st_mode))
        return sys_utimensat(dirfd, path, times, flags);
    rcu_enter();
    struct uma *uma = uma_find(st.st_dev, st.st_ino);
    bool ours = uma && uma_is_served(uma);
    int result = ours ? uma_set_times(uma, dirfd, path, times, flags) : 0;
    rcu_leave();
    return ours ? result : set_times_elsewhere(dirfd, path, times, flags, &st);
}
