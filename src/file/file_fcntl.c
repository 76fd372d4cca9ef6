/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_fcntl.c — fcntl: duplicates and status flags; the rest is the kernel's. Layer file.
 */
#include "file/file_private.h"

#include "base/conf.h"
#include "base/rawsys.h"
#include "pm/pm_guard.h"

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

/* A range that is told from the end or the position: the kernel may know neither. */
static int lock_from_start(int fd, struct flock *lock)
{
    struct stat st;
    off_t base = 0;
    int error = 0;
    if (lock->l_whence == SEEK_END) {
        error = file_fstat(fd, &st);
        base = st.st_size;
    } else if (lock->l_whence == SEEK_CUR) {
        base = file_lseek(fd, 0, SEEK_CUR);
        error = base < 0 ? (int)base : 0;
    }
    if (error || (lock->l_whence != SEEK_END && lock->l_whence != SEEK_CUR))
        return error;
    if (__builtin_add_overflow(base, lock->l_start, &lock->l_start))
        return -EOVERFLOW;
    lock->l_whence = SEEK_SET;
    return 0;
}

/* The first lock: the uma has a descriptor of its own before one is there that closing a descriptor could drop. */
static int lock_first(struct fd_handle *handle, int fd)
{
    int result = uma_before_lock(handle->uma, fd);
    if (!result)
        uma_note_lock(handle->uma);
    handle_drop(handle, fd);
    return result;
}

/* Whether a lock is the kernel's, whatever range it says: nobody serves the file, and the kernel has the offset. */
static bool lock_is_plain(const struct fd_handle *handle, enum uma_lock how)
{
    /* relaxed, without its lock: where another thread moves the offset meanwhile either one is right */
    return how == UMA_LOCK_KERNEL && ofd_is_in_kernel(handle->ofd);
}

/* The next ones on fd need not come here. Not where another process has the description, and may move the offset. */
static void lock_let_pass(const struct fd_handle *handle, int fd)
{
    if (ofd_is_shared(handle->ofd))
        return;
    fd_table_note_locks(fd);
    if (fd_table_get(fd) != handle || !lock_is_plain(handle, uma_note_lock(handle->uma)))
        fd_table_forget_locks(); /* it has just changed */
}

int file_lock_prepare(int fd, const struct flock *given, struct flock *lock)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 1;
    enum uma_lock how = uma_note_lock(handle->uma);
    bool plain = lock_is_plain(handle, how);
    bool counted = how == UMA_LOCK_EARLY && handle_count(handle);
    if (plain)
        lock_let_pass(handle, fd);
    handle_leave();
    if (plain)
        return 1;
    int result = counted ? lock_first(handle, fd) : how == UMA_LOCK_EARLY ? -EBADF : 0;
    if (result)
        return result;
    if (!pm_guard_copy(lock, given, sizeof *lock))
        return 1;
    return lock->l_whence == SEEK_SET ? 0 : lock_from_start(fd, lock);
}

static int fcntl_lock(int fd, int cmd, long arg)
{
    struct flock lock, *given = (struct flock *)arg;
    int result = file_lock_prepare(fd, given, &lock);
    if (result)
        return result < 0 ? result : sys_fcntl(fd, cmd, arg);
    result = sys_fcntl(fd, cmd, (long)&lock);
    if (!result && (cmd == F_GETLK || cmd == F_OFD_GETLK)) {
        if (lock.l_type == F_UNLCK) /* nothing else is told then */
            given->l_type = F_UNLCK;
        else
            *given = lock;
    }
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
        return fcntl_lock(fd, cmd, arg);
    default:
        return sys_fcntl(fd, cmd, arg);
    }
}
