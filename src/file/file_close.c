/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_close.c — close, close_range, and descriptors that somebody else closes. Layer file.
 *
 * The uma's last close needs the descriptor, so the kernel's close comes last. Until the uma is done the table says
 * FD_CLOSING, that no call of another thread goes past the uma to the file; from then on the number is the kernel's, who
 * may give it out again at any moment.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/highfd.h"
#include "base/inside.h"
#include "base/rawsys.h"

#include <errno.h>
#include <linux/close_range.h>

int file_release(int fd)
{
    if (!fd_table_get(fd) || !file_owns_table() || candidate_drop(fd))
        return 0;
    struct fd_handle *handle = fd_table_take(fd, FD_CLOSING);
    if (!handle)
        return 0;
    int error = handle_drop(handle, fd);
    fd_table_set(fd, NULL);
    return error;
}

/* Closes what is no managed file: a socket may wait until it has sent all. */
static int close_other(int fd)
{
    struct inside_window window = inside_open();
    int result = sys_close(fd);
    inside_shut(window);
    return result;
}

int file_close(int fd)
{
    if (highfd_is_internal(fd))
        return -EBADF; /* as far as the application knows */
    if (!fd_table_get(fd)) {
        handle_end_late();
        return close_other(fd);
    }
    int error = file_release(fd);
    handle_end_late();
    int result = sys_close(fd);
    return result ? result : error;
}

bool file_is_managed(int fd)
{
    const struct fd_handle *entry = fd_table_get(fd);
    return entry == FD_CANDIDATE || fd_is_handle(entry);
}

static void release_visited(int fd, struct fd_handle *handle, void *arg)
{
    (void)handle;
    (void)arg;
    file_release(fd); /* close_range(2) tells of no file's errors */
}

int file_close_range(unsigned first, unsigned last, unsigned flags)
{
    bool closes = first <= last && !(flags & ~(unsigned)CLOSE_RANGE_UNSHARE); /* else only marks, or EINVAL */
    if (closes && file_owns_table()) {
        fd_table_each(first, last, release_visited, NULL);
        candidate_drop_range(first, last);
        handle_end_late();
    }
    /* the library's own are left open; they are close-on-exec already */
    int internal;
    while (closes && (internal = highfd_next(first, last)) >= 0) {
        int result = (unsigned)internal > first ? sys_close_range(first, (unsigned)internal - 1, flags) : 0;
        if (result)
            return result;
        if ((unsigned)internal == last)
            return 0;
        flags = 0; /* unshared once */
        first = (unsigned)internal + 1;
    }
    return sys_close_range(first, last, flags);
}
