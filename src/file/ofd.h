/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ofd.h — records of open file descriptions, in an arena that forked children share. Layer file.
 *
 * A record is made by the open and has one reference for each process that holds the description. A process that is
 * killed leaves its reference behind: the record is lost to the pool, nothing else. Each change of a record is one store
 * that takes effect at the end, so that whoever takes the lock over from a dead process finds it right.
 */
#ifndef FILE_OFD_H
#define FILE_OFD_H

#include "base/shlock.h"
#include "file/pool.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ofd {
    struct pool_link link;
    struct shlock lock; /* guards offset and in_kernel, and orders calls that use them; owner: see handle_lock */
    _Atomic uint32_t references; /* processes; 0: free */
    _Atomic uint32_t flags;      /* file status flags: O_APPEND, O_SYNC, O_DSYNC, ... */
    uint64_t offset;             /* counts while in_kernel is 0 */
    _Atomic uint32_t in_kernel;  /* 1: the kernel's offset counts */
    _Atomic uint32_t given;      /* 1: a program without the library may have a descriptor of it */
    _Atomic uint32_t generation; /* raised whenever the record becomes another description's */
    char padding[POOL_RECORD - 36];
};
_Static_assert(sizeof(struct ofd) == POOL_RECORD, "one line each");

/* A record with one reference, its offset the kernel's. Index in *index. NULL if there is no memory or none is left. */
struct ofd *ofd_make(uint32_t flags, uint32_t *index);

/* One more process: false if the record is free already (its last holder was faster). */
bool ofd_reference(struct ofd *ofd);
void ofd_release(struct ofd *ofd, uint32_t index);

/* Locks, as `self` (1 .. SHLOCK_OWNER_MAX); takes over from an owner that is_gone. Nests inside nothing of this library. */
void ofd_lock_contended(struct ofd *ofd, uint32_t self, bool (*is_gone)(uint32_t owner, void *arg), void *arg);
static inline void ofd_lock(struct ofd *ofd, uint32_t self, bool (*is_gone)(uint32_t owner, void *arg), void *arg)
{
    if (shlock_try(&ofd->lock, self))
        ofd_lock_contended(ofd, self, is_gone, arg);
}
static inline void ofd_unlock(struct ofd *ofd)
{
    shlock_release(&ofd->lock);
}

/* Under the lock: makes the kernel's offset count, the record's. `fd` is of the description. 0 or -errno (lseek's). */
int ofd_to_kernel(struct ofd *ofd, int fd);
int ofd_from_kernel(struct ofd *ofd, int fd);

static inline bool ofd_is_in_kernel(const struct ofd *ofd)
{
    return atomic_load_explicit(&ofd->in_kernel, memory_order_relaxed); /* guarded by the lock */
}
/* Under the lock: the record's offset counts from now on. */
static inline void ofd_set_offset(struct ofd *ofd, uint64_t offset)
{
    *(volatile uint64_t *)&ofd->offset = offset; /* one store, before the next one, also for whoever takes over */
    atomic_store_explicit(&ofd->in_kernel, 0, memory_order_release);
}
/* Under the lock: the kernel's offset counts from now on. */
static inline void ofd_set_in_kernel(struct ofd *ofd)
{
    atomic_store_explicit(&ofd->in_kernel, 1, memory_order_release);
}
static inline uint32_t ofd_generation(const struct ofd *ofd)
{
    return atomic_load_explicit(&ofd->generation, memory_order_relaxed); /* the caller has a reference: it is fixed */
}
static inline uint32_t ofd_flags(const struct ofd *ofd)
{
    return atomic_load_explicit(&ofd->flags, memory_order_relaxed); /* a word by itself, as f_flags in the kernel */
}

/* Another program may have the description now, until all of it is closed. The record is shared: a parent learns what its
 * child's exec gave away. Sequentially consistent: the giver then looks for an attachment to demote, and who attaches looks
 * here afterwards (file_heed, file_yields), so one of them sees the other. */
void ofd_give_away(struct ofd *ofd);
static inline bool ofd_is_given(const struct ofd *ofd)
{
    return atomic_load_explicit(&ofd->given, memory_order_relaxed); /* behind uma_begin, whose attaching is locked */
}
/* Whether a process beside this one may have it. */
static inline bool ofd_is_shared(const struct ofd *ofd)
{
    return atomic_load_explicit(&ofd->references, memory_order_relaxed) != 1 || ofd_is_given(ofd);
}
/* How many were given away in the arena so far: who sees another number than before looks at all of a file's. */
uint32_t ofd_gifts(void);

#endif
