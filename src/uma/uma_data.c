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

void uma_data_replace(struct uma *uma, int fd)
{
    uma->spare_fd = uma->data_fd;
    uma->data_fd = highfd_move(fd);
    uma->data_writable = true;
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
    if (uma->data_fd >= 0) {
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
