/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fd_table.h — descriptor number -> handle. Layer file; process-private.
 *
 * Two levels: an array of leaves, each made when a descriptor in its range is managed first and kept for ever. Reading an
 * entry takes two loads and no lock; the handle that is found stays valid while the caller is in an RCU read section that
 * began before.
 *
 * Besides a handle an entry can hold one of four marks:
 *     FD_CLOSING    the descriptor is being closed: it is no longer one for the application (EBADF)
 *     FD_CHANGING   its file is being replaced, or looked at: wait, outside the read section, until that is done
 *     FD_CANDIDATE  the kernel's as long as nobody serves its file, without a handle (file_candidate.c)
 *     FD_LEFT       the process ends: the kernel's for the thread that ends it, others wait until it is gone
 */
#ifndef FILE_FD_TABLE_H
#define FILE_FD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fd_handle;

#define FD_LEAF_SHIFT 10
#define FD_LEAF (1u << FD_LEAF_SHIFT)
#define FD_LEAVES 4096u
#define FD_MAX ((int)(FD_LEAF * FD_LEAVES)) /* descriptors from here on are never managed */
#define FD_HINTS 65536u                     /* bytes of the racy hint table */

#define FD_CLOSING ((struct fd_handle *)1)
#define FD_CHANGING ((struct fd_handle *)2)
#define FD_CANDIDATE ((struct fd_handle *)3)
#define FD_LEFT ((struct fd_handle *)4)

typedef struct fd_handle *_Atomic fd_entry;

/* What whoever only has the number can know at a glance. Hints are racy: as for who uses a number that is being closed. */
enum fd_hint {
    FD_HINT_NONE,
    FD_HINT_MANAGED, /* the entry is not NULL */
    FD_HINT_LOCKS,   /* and fcntl's locks may pass by (file_lock.c) */
};

struct fd_table {
    fd_entry *_Atomic leaves[FD_LEAVES];
    _Atomic uint8_t hints[FD_HINTS]; /* enum fd_hint; core.h: managed */
};
extern struct fd_table fd_table;

/* Makes room for an entry of fd: 0, -ENOMEM, -ENFILE for a number beyond the table. */
int fd_table_reserve(int fd);

/* The entry of fd, NULL if there is no room for it, so that it cannot be managed. */
static inline fd_entry *fd_table_entry(int fd)
{
    if ((unsigned)fd >= (unsigned)FD_MAX)
        return 0;
    /* acquire: pairs with the exchange in fd_table_reserve */
    fd_entry *leaf = atomic_load_explicit(&fd_table.leaves[fd >> FD_LEAF_SHIFT], memory_order_acquire);
    return leaf ? &leaf[fd & (int)(FD_LEAF - 1)] : 0;
}

/* What the entry holds: a handle, a mark or NULL. */
static inline struct fd_handle *fd_table_get(int fd)
{
    fd_entry *entry = fd_table_entry(fd);
    return entry ? atomic_load_explicit(entry, memory_order_acquire) : 0; /* pairs with fd_table_set */
}

static inline bool fd_is_handle(const struct fd_handle *handle)
{
    return (uintptr_t)handle > (uintptr_t)FD_LEFT;
}

/* Stores, and keeps the hint. Only where there is room. */
void fd_table_set(int fd, struct fd_handle *handle);

/* Replaces a handle by `mark`, and returns the handle; NULL if there was none. Waits out FD_CHANGING. */
struct fd_handle *fd_table_take(int fd, struct fd_handle *mark);

/* Replaces FD_CANDIDATE by `mark`, FD_CHANGING or NULL. False: the entry did not hold it. */
bool fd_table_take_candidate(int fd, struct fd_handle *mark);

/* Visits every number in [first, last] whose entry holds a handle; or FD_CANDIDATE. */
void fd_table_each(unsigned first, unsigned last, void (*visit)(int fd, struct fd_handle *handle, void *arg),
                   void *arg);
void fd_table_each_candidate(unsigned first, unsigned last, void (*visit)(int fd));

/* Makes the hint of a managed descriptor FD_HINT_LOCKS, or FD_HINT_MANAGED again. */
void fd_table_hint_locks(int fd, bool pass);

/* In a forked child: the thread that was closing or changing a descriptor is not here. */
void fd_table_clear_marks(void);

#endif
