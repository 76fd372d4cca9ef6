/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * handle.h — what this process knows of an open file description: uma, OFD record, access mode. Layer file.
 *
 * Descriptors that were duplicated share one handle. A handle is found through the descriptor table within an RCU read
 * section (handle_enter ... handle_leave) and is used there; whoever needs it longer takes a count. The last count ends
 * this process's part in the description: the uma is closed, and handle and record are used again after a grace period.
 */
#ifndef FILE_HANDLE_H
#define FILE_HANDLE_H

#include "base/birth.h"
#include "base/rcu.h"
#include "file/fd_table.h"
#include "file/ofd.h"
#include "uma/uma.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fd_handle {
    struct pool_link link;  /* free, or the index of the next one that waits for its end */
    _Atomic uint32_t count; /* table entries and borrowers; 0: ended */
    struct uma *uma;
    struct ofd *ofd;
    uint32_t ofd_index;
    uint32_t index; /* of the handle itself */
    bool readable, writable;
    _Atomic bool quiet;      /* O_NOATIME */
    _Atomic uint8_t forked;  /* a fork under way has counted the record for the child */
    int late_fd;             /* of one that waits in `late`: a descriptor of the file, to be closed with it */
    uint32_t ofd_generation; /* of the record when it became ours */
    _Atomic uint32_t gifts;  /* ofd_gifts when the file's descriptions were last looked at */
    char padding[POOL_RECORD - 52];
};
_Static_assert(sizeof(struct fd_handle) == POOL_RECORD, "one line each");

/* A handle with one count, for a description opened with `flags`. Takes over the caller's hold on the uma. NULL: no
 * memory; the hold is still the caller's. */
struct fd_handle *handle_make(struct uma *uma, int flags);

/* Whether any description that this process has of the uma was given away (ofd_is_given). */
bool handle_any_given(const struct uma *uma);

/* One count more; false if it has ended. */
bool handle_count(struct fd_handle *handle);

/* One count less. `fd`: a descriptor of the file, still open, or -1 if there is none any more. The last one returns
 * uma_close's error. Not within a read section, except in a signal handler that interrupted one: the end comes later
 * then, when another descriptor is opened or closed. */
int handle_drop(struct fd_handle *handle, int fd);

/* Ends what handle_drop had to put off. */
void handle_end_late(void);

/* Calls visit for every handle that has a count. */
void handle_each(void (*visit)(struct fd_handle *handle));

/* The fork table: counts every record once more, for the child; the parent forgets that; the child makes it its own. A
 * child for which nothing was counted takes what it finds, or, if the parent has let go of it since, the kernel's offset. */
void handle_before_fork(void);
void handle_after_fork_parent(void);
void handle_after_fork_child(bool counted); /* false: nothing was called before */

/* Locks the record (ofd_unlock). The owner is this process's word in the table of the file's volume, which says who lives
 * in every namespace; without a place there it is the process id. */
void handle_lock(struct fd_handle *handle);

/* At exit: takes every handle out of the table and gives the records back. */
void handle_exit(void);

/* A read section that does not begin while the files of the process are let go (uma_is_parting). */
void handle_enter_section(void);

/* handle_enter, when the entry is not simply a handle. */
struct fd_handle *handle_enter_marked(int fd);

/* The handle of fd, within a read section from now on until handle_leave. NULL: fd is not managed; FD_CLOSING: it is no
 * descriptor any more; no read section in both cases. */
static inline struct fd_handle *handle_enter(int fd)
{
    if (!fd_table_get(fd))
        return 0;
    birth_check();
    rcu_enter();
    struct fd_handle *handle = fd_table_get(fd);
    if (__builtin_expect(fd_is_handle(handle), 1) && !uma_is_parting())
        return handle;
    rcu_leave();
    return handle_enter_marked(fd);
}

static inline void handle_leave(void)
{
    rcu_leave();
}

/* As handle_enter, but counted and outside a read section: to be given back with handle_drop. */
struct fd_handle *handle_borrow(int fd);

#endif
