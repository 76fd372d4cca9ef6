/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fd_table.c — descriptor number -> handle. Layer file.
 */
#include "file/fd_table.h"

#include "base/mem.h"
#include "base/rawsys.h"

#include <errno.h>

struct fd_table fd_table;

int fd_table_reserve(int fd)
{
    if ((unsigned)fd >= (unsigned)FD_MAX)
        return -ENFILE;
    if (fd_table_entry(fd))
        return 0;
    fd_entry *leaf = mem_alloc(FD_LEAF * sizeof *leaf);
    if (!leaf)
        return -ENOMEM;
    fd_entry *expected = NULL;
    /* release: the leaf is zero before it is seen; pairs with fd_table_entry */
    if (!atomic_compare_exchange_strong_explicit(&fd_table.leaves[fd >> FD_LEAF_SHIFT], &expected, leaf,
                                                 memory_order_release, memory_order_relaxed))
        mem_free(leaf, FD_LEAF * sizeof *leaf);
    return 0;
}

static void set_hint(int fd, bool managed)
{
    if ((unsigned)fd < FD_HINTS) /* relaxed: a hint */
        atomic_store_explicit(&fd_table.hints[fd], managed ? FD_HINT_MANAGED : FD_HINT_NONE, memory_order_relaxed);
}

void fd_table_hint_locks(int fd, bool pass)
{
    uint8_t from = pass ? FD_HINT_MANAGED : FD_HINT_LOCKS;
    /* seq_cst: for lock_let_pass and file_lock_forget */
    atomic_compare_exchange_strong_explicit(&fd_table.hints[fd], &from, pass ? FD_HINT_LOCKS : FD_HINT_MANAGED,
                                            memory_order_seq_cst, memory_order_seq_cst);
}

void fd_table_set(int fd, struct fd_handle *handle)
{
    fd_entry *entry = fd_table_entry(fd);
    if (!entry)
        return;
    set_hint(fd, handle != NULL);
    atomic_store_explicit(entry, handle, memory_order_release); /* the handle is complete; pairs with fd_table_get */
}

struct fd_handle *fd_table_take(int fd, struct fd_handle *mark)
{
    fd_entry *entry = fd_table_entry(fd);
    if (!entry)
        return NULL;
    struct fd_handle *old = atomic_load_explicit(entry, memory_order_acquire);
    for (;;) {
        if (old == FD_CHANGING) {
            sys_sched_yield();
            old = atomic_load_explicit(entry, memory_order_acquire);
        } else if (!fd_is_handle(old)) {
            return NULL;
        } else if (atomic_compare_exchange_weak_explicit(entry, &old, mark, memory_order_acq_rel,
                                                         memory_order_acquire)) {
            return old; /* acq_rel: one thread alone gets the handle, complete */
        }
    }
}

bool fd_table_take_candidate(int fd, struct fd_handle *mark)
{
    fd_entry *entry = fd_table_entry(fd);
    struct fd_handle *expected = FD_CANDIDATE;
    /* acq_rel: one thread alone gets it, and what was noted of it */
    if (!entry || atomic_load_explicit(entry, memory_order_relaxed) != FD_CANDIDATE ||
        !atomic_compare_exchange_strong_explicit(entry, &expected, mark, memory_order_acq_rel, memory_order_acquire))
        return false;
    set_hint(fd, mark != NULL);
    return true;
}

/* Calls visit for each entry in the range that is not NULL. */
static void each_entry(unsigned first, unsigned last, void (*visit)(int fd, struct fd_handle *handle, void *arg),
                       void *arg)
{
    if (last >= (unsigned)FD_MAX)
        last = (unsigned)FD_MAX - 1;
    for (unsigned fd = first; fd <= last; fd++) {
        fd_entry *entry = fd_table_entry((int)fd);
        if (!entry) {
            fd |= FD_LEAF - 1; /* the whole leaf is missing */
            continue;
        }
        struct fd_handle *handle = atomic_load_explicit(entry, memory_order_acquire);
        if (handle)
            visit((int)fd, handle, arg);
    }
}

struct each_handle {
    void (*visit)(int fd, struct fd_handle *handle, void *arg);
    void *arg;
};

static void visit_handle(int fd, struct fd_handle *handle, void *arg)
{
    struct each_handle *each = arg;
    if (fd_is_handle(handle))
        each->visit(fd, handle, each->arg);
}

void fd_table_each(unsigned first, unsigned last, void (*visit)(int fd, struct fd_handle *handle, void *arg), void *arg)
{
    each_entry(first, last, visit_handle, &(struct each_handle){.visit = visit, .arg = arg});
}

struct each_candidate {
    void (*visit)(int fd);
};

static void visit_candidate(int fd, struct fd_handle *handle, void *arg)
{
    struct each_candidate *each = arg;
    if (handle == FD_CANDIDATE)
        each->visit(fd);
}

void fd_table_each_candidate(unsigned first, unsigned last, void (*visit)(int fd))
{
    each_entry(first, last, visit_candidate, &(struct each_candidate){.visit = visit});
}

static void clear_mark(int fd, struct fd_handle *handle, void *arg)
{
    (void)arg;
    if (handle == FD_CLOSING || handle == FD_CHANGING)
        fd_table_set(fd, NULL);
}

void fd_table_clear_marks(void)
{
    each_entry(0, (unsigned)FD_MAX - 1, clear_mark, NULL);
}
