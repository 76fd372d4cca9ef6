/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_candidate.h — descriptors of files that might be served one day, and are the kernel's until then. Layer file.
 *
 * On tmpfs a file must earn being attached (uma_worth.c), and most are closed before: for those a handle, an OFD record and
 * a uma would be made for nothing, which costs more than a good part of the calls on them. Such a descriptor is a candidate:
 * its entry in the table is FD_CANDIDATE, and what is known of it lies beside the table. Calls that move data and little
 * else are made by the kernel, with the in-flight word that the hand-over asks for (log/volume.h). Whatever else is asked of
 * the descriptor, and any call once somebody serves the file or it has earned it, adopts it first: from then on it has a
 * handle like any other. handle_enter does so, so that who does not know of candidates need not.
 *
 * The kernel has the offset and the flags of a candidate's description. Processes and descriptors that share it would each
 * make an OFD record of it later: so candidates are adopted before a fork, a dup, or a new program. A vfork child cannot do
 * so for its parent, as its numbers may mean other files by then: it notes what it gives away.
 *
 * What an open has given is not even looked at, where nobody serves any file of the process: it may be no file of a root, or no
 * regular file. Such a candidate is unseen. The first call that must know looks, by an fstat of the application's where it can:
 * most programs begin with one.
 *
 * Who uses the number while another thread closes it may meet the next file of that number, as with the kernel.
 */
#ifndef FILE_FILE_CANDIDATE_H
#define FILE_FILE_CANDIDATE_H

#include "base/birth.h"
#include "base/geometry.h"
#include "base/stats.h"
#include "file/fd_table.h"
#include "log/volume.h"
#include "uma/uma.h"

struct fd_candidate {
    struct volume *volume;
    uint64_t dev, ino;  /* 0: not asked for yet, of a file that was made by its open */
    int flags;          /* of open(2); F_SETFL adopts */
    _Atomic bool seen;  /* release: the above is of this file; false: nothing of the file is known */
    _Atomic bool fresh; /* empty when it was opened, and not synced since: as a fresh uma */
    _Atomic bool given; /* a program that a vfork child became has the description: ofd_give_away is due */
    struct uma_worth worth;
};

/* The records, by number; each block is made when a number in it becomes a candidate first, and kept for ever. */
#define CANDIDATE_BLOCK 64u /* records that are made together: a page and a bit */
#define CANDIDATE_BLOCKS ((unsigned)FD_MAX / CANDIDATE_BLOCK)
struct fd_candidates {
    struct fd_candidate *_Atomic block[CANDIDATE_BLOCKS]; /* acquire pairs with the exchange that makes it */
    _Atomic uint64_t user; /* 1 + the effective user; 0: to be asked; UINT64_MAX once it has changed */
    _Atomic bool any;      /* one was made since all were adopted */
};
extern struct fd_candidates candidates;

/* The record of a number that is a candidate, or was one. */
static inline struct fd_candidate *candidate_record(int fd)
{
    return &atomic_load_explicit(&candidates.block[(unsigned)fd / CANDIDATE_BLOCK],
                                 memory_order_acquire)[(unsigned)fd % CANDIDATE_BLOCK];
}
static inline bool candidate_is_seen(const struct fd_candidate *candidate)
{
    return atomic_load_explicit(&candidate->seen, memory_order_acquire); /* pairs with candidate_see */
}
static inline bool candidate_is_unseen(int fd)
{
    return fd_table_get(fd) == FD_CANDIDATE && !candidate_is_seen(candidate_record(fd));
}
/* Looks: afterwards fd is a seen candidate, or managed, or none of ours; 0, or the kernel's error, or -EBUSY: another user has
 * the file, and it stays unseen. st: receives what the kernel says of it, or NULL. In a vfork child nothing happens to fd. */
int candidate_see(int fd, struct stat *st);

/* The candidate that fd is, NULL if it is none. Valid until the number is closed. */
static inline struct fd_candidate *candidate_of(int fd)
{
    if (candidate_is_unseen(fd))
        candidate_see(fd, NULL);
    return fd_table_get(fd) == FD_CANDIDATE && candidate_is_seen(candidate_record(fd)) ? candidate_record(fd) : NULL;
}

/* Makes fd a candidate, if it may be one: true. flags: those of its open; stx: its statx. */
bool candidate_make(int fd, int flags, const struct statx *stx);
/* The same behind an open that has made a file (O_EXCL), without asking which: it is a regular file of the effective user, and
 * nobody else has it yet. */
bool candidate_make_new(int fd, int flags);
/* The same behind any open, without a look. */
bool candidate_make_unseen(int fd, int flags);
/* The effective user may be another one from now on. */
void candidate_user_changed(void);

/* Gives the candidate a handle; no effect on others. A failure (-ENOMEM, -EBUSY) leaves it a candidate, and so does -EPERM, in a
 * vfork child: there the number is the kernel's. */
int candidate_adopt(int fd);
void candidate_adopt_all(void);

/* Forgets the candidate: true. False: fd is none. */
bool candidate_drop(int fd);
void candidate_drop_range(unsigned first, unsigned last);

/* A call of the kernel on the candidate: true if nobody serves the file, until candidate_leave. False: adopt it. */
static inline bool candidate_enter(const struct fd_candidate *candidate, bool writes, struct volume_inflight *inflight)
{
    birth_check();
    return candidate->ino ? volume_enter_kernel(candidate->volume, candidate->ino, writes, inflight)
                          : volume_enter_unknown(candidate->volume, inflight);
}
/* The same for a call that writes to fd, if that is one: the candidate, or NULL. */
struct fd_candidate *candidate_enter_write(int fd, struct volume_inflight *inflight);
static inline void candidate_leave(struct volume_inflight *inflight)
{
    volume_leave_kernel(inflight);
}

/* Whether nobody serves the file at this moment: what the kernel tells of it then is so. */
static inline bool candidate_is_alone(const struct fd_candidate *candidate)
{
    return candidate->ino ? volume_may_look(candidate->volume, candidate->ino) : volume_is_idle(candidate->volume);
}

static inline bool candidate_is_fresh(const struct fd_candidate *candidate)
{
    return atomic_load_explicit(&candidate->fresh, memory_order_relaxed);
}

/* Behind a transfer. */
static inline void candidate_note(struct fd_candidate *candidate, bool write, uint64_t bytes)
{
    stats_add(write ? STATS_KERNEL_WRITES : STATS_KERNEL_READS, 1);
    uma_worth_count(&candidate->worth.calls, 1);
    uma_worth_count(write ? &candidate->worth.bytes_written : &candidate->worth.bytes_read, bytes);
}

/* Whether it is time to adopt. */
static inline bool candidate_has_earned(const struct fd_candidate *candidate)
{
    const struct uma_worth *worth = &candidate->worth;
    if (!candidate_is_fresh(candidate))
        return uma_worth_earned(worth);
    return atomic_load_explicit(&worth->bytes_read, memory_order_relaxed) +
               atomic_load_explicit(&worth->bytes_written, memory_order_relaxed) >=
           GEOMETRY_FRESH_LEAST; /* it may have been written over and over: for the uma to tell */
}

#endif
