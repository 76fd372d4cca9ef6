/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_locks.c — the application's POSIX locks: no close of the library's drops them, nor does exec. Layer uma; called by
 * file before locks, around exec and at the start of a program.
 *
 * Closing any descriptor of an inode drops all POSIX locks that the process has on it. So the library's own is opened before
 * the first lock is there, and closed by the last close of the application's. The kernel closes at exec what is close-on-exec:
 * where the application keeps its descriptor, and with it the locks, ours is kept as well. It is marked, and the new program
 * knows it again, if it has the library, and goes on with it; else it is a descriptor of a high number that nobody uses.
 */
#include "base/highfd.h"
#include "base/mem.h"
#include "base/rawsys.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <unistd.h>

/* The mark: the signal of a description that has no owner to get it. No program can choose this one, which is libc's. */
#define LOCKS_MARK 33

/* A descriptor of ours from before exec, whose file no uma has opened yet. */
struct kept {
    struct kept *next;
    uint64_t dev, ino;
    int fd;
    bool writable;
};

static struct kept *kept_list; /* under the attach lock */

int uma_before_lock(struct uma *uma, int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);
    bool writes = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    uma_attach_lock();
    int error = uma_prove(uma, fd);
    if (!error) /* for writing where it may come to that: another one could not be given a high number then */
        error = uma_data_open(uma, fd, writes ? UMA_TO_SERVE : UMA_TO_JOIN);
    if (!error || error == -EXDEV) /* release: what is open is seen by who sees the flag */
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_LOCKABLE, memory_order_release);
    uma_attach_unlock();
    return error == -EXDEV ? 0 : error;
}

static void set_locked(struct uma *uma)
{
    /* relaxed: read by the thread's own exec; of one that comes while another thread locks nobody can tell who was first */
    if (!(atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_LOCKED))
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_LOCKED, memory_order_relaxed);
}

enum uma_lock uma_note_lock(struct uma *uma)
{
    if (!(atomic_load_explicit(&uma->flags, memory_order_acquire) & UMA_FLAG_LOCKABLE) && !uma_is_attached(uma))
        return UMA_LOCK_EARLY;
    uma_worth_count(&uma->worth.others, 1);
    set_locked(uma); /* what is only given back is found out by uma_holds_locks */
    return uma_is_detached(uma) ? UMA_LOCK_KERNEL : UMA_LOCK_HERE;
}

void uma_identity(const struct uma *uma, struct volume **volume, uint64_t *ino)
{
    *volume = uma->volume;
    *ino = uma->ino;
}

void uma_note_locks(struct uma *uma, uint32_t count)
{
    uma_worth_count(&uma->worth.others, count);
}

static bool has_locked(const struct uma *uma)
{
    return atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_LOCKED;
}

/* Whoever has locked may have unlocked: is there any lock on the file? One of an open description would meet it. */
bool uma_holds_locks(const struct uma *uma, int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return has_locked(uma) && (sys_fcntl(fd, F_OFD_GETLK, (long)&lock) < 0 || lock.l_type != F_UNLCK);
}

/* ---- before exec ---- */

/* The new program gets no more of the file than it is given by the application, or could open by itself. */
static bool may_have(int fd)
{
    return sys_faccessat2(fd, "", R_OK | W_OK, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

static void keep(int fd)
{
    if (fd >= 0 && sys_fcntl(fd, F_SETSIG, LOCKS_MARK) == 0)
        sys_fcntl(fd, F_SETFD, 0);
}

/* A borrowed one is the application's own description: a mark on it would be seen, and flock would not end with its close. */
void uma_keep_locks(struct uma *uma, bool whole)
{
    uma_attach_lock();
    if (uma->data_fd >= 0 && !uma->borrowed && uma_holds_locks(uma, uma->data_fd) &&
        (whole || may_have(uma->data_fd))) {
        keep(uma->data_fd);
        keep(uma->spare_fd);
    }
    uma_attach_unlock();
}

static void keep_no_more(struct uma *uma, void *arg)
{
    (void)arg;
    if (!has_locked(uma))
        return;
    if (uma->data_fd >= 0)
        sys_fcntl(uma->data_fd, F_SETFD, FD_CLOEXEC);
    if (uma->spare_fd >= 0)
        sys_fcntl(uma->spare_fd, F_SETFD, FD_CLOEXEC);
}

void uma_exec_failed(void)
{
    uma_attach_lock();
    uma_each(keep_no_more, NULL);
    uma_attach_unlock();
    uma_parting_end();
}

/* ---- in the new program ---- */

bool uma_take_over(int fd)
{
    struct stat st;
    if (sys_fcntl(fd, F_GETSIG, 0) != LOCKS_MARK || sys_fstat(fd, &st) != 0)
        return false;
    struct kept *kept = mem_alloc(sizeof *kept);
    if (!kept)
        return false;
    int flags = sys_fcntl(fd, F_GETFL, 0);
    *kept = (struct kept){.dev = st.st_dev, .ino = st.st_ino, .fd = fd, .writable = (flags & O_ACCMODE) == O_RDWR};
    highfd_take(fd);
    uma_attach_lock();
    kept->next = kept_list;
    kept_list = kept;
    uma_attach_unlock();
    return true;
}

/* There are two at most: data_fd and spare_fd. */
bool uma_take_kept(struct uma *uma)
{
    for (struct kept **at = &kept_list, *kept; (kept = *at) != NULL;) {
        if (kept->dev != uma->dev || kept->ino != uma->ino || uma->spare_fd >= 0) {
            at = &kept->next;
            continue;
        }
        if (uma->data_fd < 0 || kept->writable) {
            uma->spare_fd = uma->data_fd;
            uma->data_fd = kept->fd;
            uma->data_writable = kept->writable;
        } else {
            uma->spare_fd = kept->fd;
        }
        *at = kept->next;
        mem_free(kept, sizeof *kept);
        set_locked(uma);
    }
    return uma->data_fd >= 0;
}

/* A file that the program has not inherited: a close before exec has dropped its locks. */
void uma_take_over_end(void)
{
    uma_attach_lock();
    uma_registry_lock();
    for (struct kept **at = &kept_list, *kept; (kept = *at) != NULL;) {
        if (uma_find(kept->dev, kept->ino)) {
            at = &kept->next;
            continue;
        }
        *at = kept->next;
        highfd_close(kept->fd);
        mem_free(kept, sizeof *kept);
    }
    uma_registry_unlock();
    uma_attach_unlock();
}
