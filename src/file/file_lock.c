/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_lock.c — fcntl's locks: they are the kernel's; what the file's end and position are it may not know. Layer file.
 *
 * Of a file that nobody serves it does, and a range that is told from the file's start needs neither: then a lock concerns the
 * library no more than that there was one. After the first on a descriptor, which sees to all that a lock needs, the preload
 * library lets such ones pass by: it asks file_lock_passes.
 */
#include "file/file_lock.h"

#include "base/inside.h"
#include "base/rawsys.h"
#include "file/file_private.h"
#include "log/volume.h"
#include "pm/pm_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOCK_PASSES 1024u /* descriptors whose locks may pass by */

/* A descriptor whose hint is FD_HINT_LOCKS. */
struct lock_pass {
    struct volume *_Atomic volume; /* of its file */
    _Atomic uint64_t ino;
    _Atomic bool plain;     /* while nobody serves that, whatever range is told; else from the start alone */
    _Atomic uint32_t count; /* of locks since the uma was told */
};
static struct {
    struct lock_pass pass[LOCK_PASSES];
    _Atomic uint32_t end; /* from this number on there was none */
} lock_passes;

/* ---- locks that pass by ---- */

/* Whether a lock is the kernel's, whatever range it says: nobody serves the file, and the kernel has the offset. Not where
 * another process has the description, and may move that. */
static bool lock_is_plain(const struct fd_handle *handle, enum uma_lock how)
{
    /* relaxed, without its lock: where another thread moves the offset meanwhile either one is right */
    return how == UMA_LOCK_KERNEL && ofd_is_in_kernel(handle->ofd) && !ofd_is_shared(handle->ofd);
}

/* The next ones on fd need not come here, as long as this is so. */
static void lock_let_pass(const struct fd_handle *handle, int fd, bool plain)
{
    if ((unsigned)fd >= LOCK_PASSES)
        return;
    struct lock_pass *pass = &lock_passes.pass[fd];
    struct volume *volume;
    uint64_t ino;
    uma_identity(handle->uma, &volume, &ino);
    /* relaxed: complete before the hint */
    atomic_store_explicit(&pass->volume, volume, memory_order_relaxed);
    atomic_store_explicit(&pass->ino, ino, memory_order_relaxed);
    atomic_store_explicit(&pass->plain, plain, memory_order_relaxed);
    uint32_t end = atomic_load_explicit(&lock_passes.end, memory_order_relaxed);
    while (end <= (uint32_t)fd && !atomic_compare_exchange_weak_explicit(&lock_passes.end, &end, (uint32_t)fd + 1,
                                                                         memory_order_seq_cst, memory_order_relaxed))
        ;
    fd_table_hint_locks(fd, true);
    /* seq_cst, the hint: who changes any of this forgets behind that, and we look behind the hint: one of us sees the other */
    enum uma_lock how = uma_note_lock(handle->uma);
    if (fd_table_get(fd) != handle || how == UMA_LOCK_EARLY || (plain && !lock_is_plain(handle, how)))
        fd_table_hint_locks(fd, false);
}

void file_lock_forget(void)
{
    for (uint32_t fd = 0, end = atomic_load_explicit(&lock_passes.end, memory_order_seq_cst); fd < end; fd++)
        fd_table_hint_locks((int)fd, false);
}

static bool is_from_start(const struct flock *given)
{
    short whence;
    inside_enter(); /* guards do not nest: no handler may run meanwhile */
    bool read = pm_guard_copy(&whence, &given->l_whence, sizeof whence);
    inside_leave();
    return read && whence == SEEK_SET;
}

bool file_lock_passes(int fd, const struct flock *given)
{
    if ((unsigned)fd >= LOCK_PASSES || /* acquire: what lock_let_pass has stored */
        atomic_load_explicit(&fd_table.hints[fd], memory_order_acquire) != FD_HINT_LOCKS)
        return false;
    struct lock_pass *pass = &lock_passes.pass[fd];
    bool plain = atomic_load_explicit(&pass->plain, memory_order_relaxed) &&
                 volume_may_look(atomic_load_explicit(&pass->volume, memory_order_relaxed),
                                 atomic_load_explicit(&pass->ino, memory_order_relaxed));
    if (!plain && !is_from_start(given))
        return false;
    /* relaxed: a guess; two at once may count as one */
    atomic_store_explicit(&pass->count, atomic_load_explicit(&pass->count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return true;
}

uint32_t file_lock_count(int fd)
{
    if ((unsigned)fd >= LOCK_PASSES || !atomic_load_explicit(&lock_passes.pass[fd].count, memory_order_relaxed))
        return 0;
    return atomic_exchange_explicit(&lock_passes.pass[fd].count, 0, memory_order_relaxed);
}

/* ---- one lock ---- */

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

int file_lock_prepare(int fd, const struct flock *given, struct flock *lock)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : 1;
    enum uma_lock how = uma_note_lock(handle->uma);
    bool plain = lock_is_plain(handle, how);
    bool counted = how == UMA_LOCK_EARLY && handle_count(handle);
    if (how != UMA_LOCK_EARLY)
        lock_let_pass(handle, fd, plain);
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

int file_lock(int fd, int cmd, long arg)
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
