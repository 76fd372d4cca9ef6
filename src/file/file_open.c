/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_open.c — opening: which descriptors become managed, and O_TRUNC. Layer file.
 *
 * The kernel opens first, with the application's path and flags, so that permissions, numbers, locks and events are its
 * own. O_TRUNC alone is kept from it where the file is a regular one: a managed file that is in use is cut by its uma.
 * Nothing that could be a device or a FIFO is opened twice.
 */
#include "file/file_candidate.h"
#include "file/file_lock.h"
#include "file/file_private.h"

#include "base/inside.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/rcu.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Flags of open(2) that are gone once the file is open. */
#define OPEN_ONCE (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_ATOMIC | O_CLOEXEC)

enum open_cut {
    CUT_NOT,     /* no O_TRUNC, or the kernel does it */
    CUT_CREATED, /* there was no file: only if somebody was faster */
    CUT_EXISTED, /* O_TRUNC on a regular file */
};

/* Whether an open with these flags has made the file. */
static bool open_makes(int flags)
{
    return (flags & (O_CREAT | O_EXCL | O_ATOMIC)) == (O_CREAT | O_EXCL);
}

/* ---- O_TRUNC ---- */

static enum open_cut open_cut_of(int dirfd, const char *path, int flags)
{
    if (!(flags & O_TRUNC) || (flags & (O_PATH | O_DIRECTORY)) || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return CUT_NOT;
    struct stat st;
    int error = sys_fstatat(dirfd, path, &st, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0);
    if (error == -ENOENT)
        return CUT_CREATED;
    return !error && S_ISREG(st.st_mode) ? CUT_EXISTED : CUT_NOT;
}

struct look_call {
    struct file_call call;
    uint64_t size; /* set by the step */
};

static long look_step(struct file_call *call, enum uma_path path)
{
    if (path == UMA_PATH_USER)
        ((struct look_call *)call)->size = uma_size(call->uma);
    return 0;
}

/* The size before the cut; `size` is the kernel's. */
static uint64_t size_before(struct uma *uma, int fd, uint64_t size)
{
    struct look_call look = {.call = {.uma = uma, .fd = fd}, .size = size};
    if (uma)
        file_call_run(&look.call, UMA_INTENT_LOOK, look_step);
    return look.size;
}

/* What O_TRUNC does to an open regular file. */
static int open_cut(struct uma *uma, int fd, int flags, enum open_cut cut, uint64_t size)
{
    if (cut == CUT_CREATED && !size_before(uma, fd, size))
        return 0;
    char path[PLACE_FD_PATH];
    place_fd_path(fd, path);
    int mode = flags & O_ACCMODE;
    if (mode == O_WRONLY || mode == O_RDWR)
        return uma ? file_resize(uma, fd, 0) : sys_ftruncate(fd, 0);
    /* Opened for reading alone: Linux cuts it if the caller might have written. */
    if (!uma)
        return sys_truncate(path, 0);
    int error = sys_faccessat2(fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH);
    return error ? error : file_resize_path(uma, fd, path, 0);
}

/* ---- the table ---- */

void file_drop_stale(int fd)
{
    if (!fd_table_get(fd) || candidate_drop(fd))
        return;
    struct fd_handle *handle = fd_table_take(fd, NULL);
    if (handle)
        handle_drop(handle, -1);
    else
        fd_table_set(fd, NULL); /* a mark of a close that the kernel has done */
}

int file_publish(int newfd, struct fd_handle *handle)
{
    file_drop_stale(newfd);
    if (!fd_table_reserve(newfd)) {
        fd_table_set(newfd, handle);
        if (newfd <= STDERR_FILENO)
            file_demote(newfd, UMA_DEMOTE_STDIO); /* libc's standard streams write behind our back */
        return newfd;
    }
    handle_lock(handle);
    int error = uma_demote(handle->uma, newfd, UMA_DEMOTE_OTHER);
    if (!error)
        error = ofd_to_kernel(handle->ofd, newfd);
    ofd_unlock(handle->ofd);
    if (!error)
        return newfd; /* the handle keeps its count, so that the uma stays PASSTHROUGH while newfd may be open */
    handle_drop(handle, newfd);
    return error;
}

/* Behind the publication of fd: whether it must be the kernel's. fd, or -errno and it is in the table no more. */
static int open_settle(int fd, bool rings)
{
    int error = 0;
    if (rings)
        error = file_demote(fd, UMA_DEMOTE_AIO);
    else if (atomic_load_explicit(&file_state.divided, memory_order_relaxed)) /* see file_move.c */
        error = file_demote(fd, UMA_DEMOTE_OTHER);
    if (error)
        file_release(fd);
    return error ? error : fd;
}

/* Makes the uma's open description a managed one. The hold on the uma is taken over in any case. fd, or -errno. */
static int open_manage(struct uma *uma, int fd, int flags)
{
    file_begin_process();
    struct fd_handle *handle = handle_make(uma, flags & ~OPEN_ONCE);
    if (handle) {
        int result = file_publish(fd, handle);
        return result < 0 ? result : open_settle(fd, file_has_rings());
    }
    if (!uma_demote(uma, fd, UMA_DEMOTE_OTHER))
        return fd; /* the hold stays: see file_publish */
    uma_close(uma, fd);
    return -ENOMEM;
}

/* Behind an open by path: whether the look at what it is may come later, or need not come. */
static bool open_needs_no_look(int fd, int flags, enum open_cut cut)
{
    if (open_makes(flags))
        return candidate_make_new(fd, flags & ~OPEN_ONCE);
    return cut == CUT_NOT && !(flags & (O_PATH | O_ATOMIC)) && candidate_make_unseen(fd, flags & ~OPEN_ONCE);
}

/* Behind the kernel's open: fd, or -errno with fd still open. */
static int open_finish(int fd, int flags, enum open_cut cut)
{
    if (flags & O_PATH)
        return fd;
    if (open_makes(flags) && candidate_make_new(fd, flags & ~OPEN_ONCE))
        return open_settle(fd, file_has_rings_now());
    struct statx stx;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, VOLUME_STATX, &stx);
    if (error)
        return cut == CUT_NOT ? fd : error;
    if (!S_ISREG(stx.stx_mode))
        return cut != CUT_NOT && S_ISDIR(stx.stx_mode) ? -EISDIR : fd;
    if (flags & O_ATOMIC)
        candidate_adopt_all(); /* one of this file is to be atomic, too */
    if (cut == CUT_NOT && !volume_is_near(stx.stx_dev_major, stx.stx_dev_minor))
        return fd;
    if (cut == CUT_NOT && !(flags & O_ATOMIC) && candidate_make(fd, flags & ~OPEN_ONCE, &stx))
        return open_settle(fd, file_has_rings_now());
    struct uma *uma = NULL;
    error = uma_open(fd, flags, &stx, &uma);
    if (error)
        return error;
    if (cut != CUT_NOT) {
        error = open_cut(uma, fd, flags, cut, stx.stx_size);
        if (error) {
            if (uma)
                uma_close(uma, fd);
            return error;
        }
    }
    return uma ? open_manage(uma, fd, flags) : fd;
}

bool file_relieve(void)
{
    if (!file_owns_table() || rcu_inside())
        return false;
    file_lock_forget();
    return uma_relieve();
}

/* The kernel's open, which may wait for the other end of a FIFO or for a lease. */
static int open_by_kernel(int dirfd, const char *path, int flags, mode_t mode)
{
    struct inside_window window = inside_open();
    int fd = sys_openat(dirfd, path, flags, mode);
    inside_shut(window);
    return fd;
}

/* The same behind EAGAIN: O_NONBLOCK, and there is a lease. It may be our own. */
static int open_by_lease(int dirfd, const char *path, int flags, mode_t mode)
{
    const int tries = 8; /* its thread may be about to take it once more */
    struct stat st;
    int fd = -EAGAIN;
    if (sys_fstatat(dirfd, path, &st, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
        return fd;
    for (int i = 0; i < tries && fd == -EAGAIN; i++) {
        struct uma *uma = uma_lease_yield(st.st_dev, st.st_ino);
        if (!uma)
            break;
        fd = open_by_kernel(dirfd, path, flags, mode);
        uma_close(uma, -1);
    }
    return fd;
}

int file_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    int kernel_flags = flags & ~O_ATOMIC;
    if (!file_owns_table())
        return open_by_kernel(dirfd, path, kernel_flags, mode);
    handle_end_late();
    enum open_cut cut = open_cut_of(dirfd, path, flags);
    kernel_flags = cut == CUT_NOT ? kernel_flags : kernel_flags & ~O_TRUNC;
    int fd = open_by_kernel(dirfd, path, kernel_flags, mode);
    if (fd == -EMFILE && file_relieve())
        fd = open_by_kernel(dirfd, path, kernel_flags, mode);
    if (fd == -EAGAIN)
        fd = open_by_lease(dirfd, path, kernel_flags, mode);
    if (fd < 0)
        return fd;
    file_drop_stale(fd);
    int result =
        open_needs_no_look(fd, flags, cut) ? open_settle(fd, file_has_rings_now()) : open_finish(fd, flags, cut);
    if (result < 0)
        sys_close(fd);
    return result;
}

int file_adopt(int fd, int flags)
{
    if (fd < 0 || !file_owns_table())
        return 0;
    handle_end_late();
    if (flags == FILE_ASK_FLAGS)
        flags = sys_fcntl(fd, F_GETFL, 0);
    if (flags < 0)
        return flags;
    file_drop_stale(fd);
    int result = open_finish(fd, flags, CUT_NOT);
    return result < 0 ? result : 0;
}
