/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_data.c — the library's own descriptor of the data file, opened from one of the application's. Layer uma; called by
 * uma_attach.c and before locks. Under the attach lock.
 */
#include "base/highfd.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <sys/uio.h>

enum { NOWAIT_TAKEN = 1 };

void uma_data_replace(struct uma *uma, int fd)
{
    uma->spare_fd = uma->data_fd;
    /* moving it is closing one: better a number that the application may miss than its locks */
    uma->data_fd = uma_holds_locks(uma, fd) ? highfd_take(fd) : highfd_move(fd);
    uma->data_writable = true;
}

void uma_data_close(struct uma *uma)
{
    highfd_close(uma->data_fd);
    highfd_close(uma->spare_fd);
    uma->data_fd = uma->spare_fd = -1;
    uma->data_writable = uma->borrowed = false;
    /* the application's close drops its locks, before which there is one again */
    atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_LOCKABLE, memory_order_release);
}

void uma_data_open_to_write(struct uma *uma)
{
    int fd = uma->data_writable ? -EEXIST : place_reopen(uma->data_fd, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        uma_data_replace(uma, fd);
}

bool uma_data_own(struct uma *uma)
{
    /* the parent gave its lease back before the fork; should it have one all the same nobody is to wait for it here */
    int fd = place_reopen(uma->data_fd, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    highfd_close(uma->data_fd);
    uma->data_fd = highfd_move(fd);
    uma->borrowed = false;
    return true;
}

int uma_data_open(struct uma *uma, int fd, enum uma_purpose purpose)
{
    if (uma->data_fd >= 0 || uma_take_kept(uma)) {
        if (purpose == UMA_TO_SERVE)
            uma_data_open_to_write(uma);
        return uma->borrowed && !uma_lease_fits(uma->data_fd) ? -EPERM : 0;
    }
    if (fd < 0)
        return -EBADF;
    if (uma_lease_wanted(uma, fd)) {
        int copy = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return copy;
        uma->borrowed = uma->data_writable = true;
        atomic_store_explicit(&uma->stray, false, memory_order_relaxed); /* before it is attached */
        uma->data_fd = highfd_move(copy);
        return 0;
    }
    int own = uma_is_program(uma) && purpose != UMA_TO_SERVE ? -ETXTBSY : place_reopen(fd, O_RDWR | O_CLOEXEC);
    uma->data_writable = own >= 0;
    if (own == -EACCES || own == -EPERM || own == -EROFS || own == -ETXTBSY) /* not for lack of descriptors */
        own = place_reopen(fd, O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return own;
    struct stat st;
    int error = sys_fstat(own, &st);
    if (!error && (st.st_dev != uma->dev || st.st_ino != uma->ino))
        error = -ESTALE;
    if (error) {
        sys_close(own);
        return error;
    }
    uma->data_fd = highfd_move(own);
    return 0;
}

/* ---- RWF_NOWAIT ---- */

/* Asked by a call that moves nothing: a read far behind the end, a write from nowhere. */
static int ask_nowait(int fd, bool write)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)1, 1};
    ssize_t result = write ? sys_pwritev2(fd, &from, 1, 0, RWF_NOWAIT)
                           : sys_preadv2(fd, &to, 1, (off_t)UMA_SIZE_SURE - 1, RWF_NOWAIT);
    return result == -EOPNOTSUPP || result == -EINVAL ? (int)result : NOWAIT_TAKEN;
}

int uma_nowait(struct uma *uma, int fd, enum uma_intent intent)
{
    bool write = intent == UMA_INTENT_WRITE;
    int known = atomic_load_explicit(&uma->nowait[write], memory_order_relaxed); /* always the same answer */
    if (!known &&
        sys_fcntl(fd, F_GETFL, 0) & (O_APPEND | O_DIRECT)) /* at the end; of whole sectors: ours asks for neither */
        fd = uma_is_attached(uma) && uma->data_writable ? uma->data_fd : -1;
    if (!known && fd >= 0) {
        known = ask_nowait(fd, write);
        atomic_store_explicit(&uma->nowait[write], known, memory_order_relaxed);
    }
    return known == NOWAIT_TAKEN ? 0 : known;
}
