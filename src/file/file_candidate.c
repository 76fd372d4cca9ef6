/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_candidate.c — descriptors that may be served one day: made, counted, adopted. Layer file; called by file_open.c, by
 * the calls that candidates can stay candidates in, and by handle.c for all others.
 */
#include "file/file_candidate.h"

#include "base/conf.h"
#include "base/mem.h"
#include "base/rawsys.h"
#include "file/file_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/single_threaded.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CANDIDATE_NO_USER UINT64_MAX

struct fd_candidates candidates;

static struct fd_candidate *reserve(int fd)
{
    if (fd_table_reserve(fd))
        return NULL;
    struct fd_candidate *_Atomic *at = &candidates.block[(unsigned)fd / CANDIDATE_BLOCK];
    if (!atomic_load_explicit(at, memory_order_relaxed)) {
        const size_t bytes = CANDIDATE_BLOCK * sizeof(struct fd_candidate);
        struct fd_candidate *block = mem_alloc(bytes), *none = NULL;
        if (!block)
            return NULL;
        if (!atomic_compare_exchange_strong_explicit(at, &none, block, memory_order_release, memory_order_relaxed))
            mem_free(block, bytes);
    }
    return candidate_record(fd);
}

/* Without the preload library nobody tells of children that are made without fork handlers. */
static inline bool may_be_any(int fd)
{
    const struct conf *conf = conf_get();
    return fd > STDERR_FILENO && !conf->atomic && !conf->lease &&
           atomic_load_explicit(&file_state.foreign, memory_order_relaxed);
}

/* Whether files of the volume need not be served. What has no place in its table publishes no words. */
static bool volume_fits(struct volume *volume)
{
    return volume && !volume_is_durable(volume) && volume_self(volume);
}

/* `seen`: what the others of the record's fields begin with. */
static bool make(int fd, const struct fd_candidate *seen, uint64_t size)
{
    struct fd_candidate *record = reserve(fd);
    if (!record)
        return false;
    file_begin_process();
    record->volume = seen->volume;
    record->dev = seen->dev;
    record->ino = seen->ino;
    record->flags = seen->flags;
    atomic_store_explicit(&record->seen, atomic_load_explicit(&seen->seen, memory_order_relaxed), memory_order_relaxed);
    record->worth = (struct uma_worth){.size_floor = size};
    atomic_store_explicit(&record->fresh, size == 0, memory_order_relaxed);
    atomic_store_explicit(&record->given, false, memory_order_relaxed);
    fd_table_set(fd, FD_CANDIDATE); /* release: the record is complete */
    /* seq_cst, and behind it: who takes the word back sees the entry; nobody can meanwhile where there is one thread */
    if (!__libc_single_threaded || !atomic_load_explicit(&candidates.any, memory_order_relaxed))
        atomic_store_explicit(&candidates.any, true, memory_order_seq_cst);
    return true;
}

bool candidate_make(int fd, int flags, const struct statx *stx)
{
    struct fd_candidate seen = {.volume = may_be_any(fd) ? volume_candidate(stx) : NULL,
                                .dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
                                .ino = stx->stx_ino,
                                .flags = flags,
                                .seen = true};
    return volume_fits(seen.volume) && volume_may_look(seen.volume, seen.ino) && !uma_is_known(seen.dev, seen.ino) &&
           make(fd, &seen, stx->stx_size);
}

void candidate_user_changed(void)
{
    /* relaxed: told before it happens, by the thread that makes it happen */
    atomic_store_explicit(&candidates.user, CANDIDATE_NO_USER, memory_order_relaxed);
}

/* 1 + the effective user, as long as it has never changed. */
static uint64_t user_known(void)
{
    uint64_t known = 0;
    if (__builtin_expect(atomic_load_explicit(&candidates.user, memory_order_relaxed) == 0, 0))
        atomic_compare_exchange_strong_explicit(&candidates.user, &known, 1 + (uint64_t)sys_geteuid(),
                                                memory_order_relaxed, memory_order_relaxed);
    return atomic_load_explicit(&candidates.user, memory_order_relaxed);
}

bool candidate_make_new(int fd, int flags)
{
    const uint64_t user = user_known();
    if (!may_be_any(fd) || user == CANDIDATE_NO_USER)
        return false;
    struct fd_candidate seen = {.volume = volume_unserved(), .flags = flags, .seen = true};
    return seen.volume && volume_owner(seen.volume) == user - 1 && make(fd, &seen, 0);
}

bool candidate_make_unseen(int fd, int flags)
{
    struct fd_candidate seen = {.volume = may_be_any(fd) ? volume_unserved() : NULL, .flags = flags};
    return seen.volume && make(fd, &seen, 0);
}

/* ---- an unseen one is looked at ---- */

enum sight {
    SIGHT_OTHER,     /* no regular file, or in no root */
    SIGHT_CANDIDATE, /* it is seen now */
    SIGHT_MANAGED,   /* a handle is needed */
};

static enum sight look(struct fd_candidate *record, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || !volume_is_near(major(st->st_dev), minor(st->st_dev)))
        return SIGHT_OTHER;
    if (!volume_may_have(record->volume, st) || !volume_may_look(record->volume, st->st_ino) ||
        uma_is_known(st->st_dev, st->st_ino))
        return SIGHT_MANAGED;
    record->dev = st->st_dev;
    record->ino = st->st_ino;
    uma_worth_reach(&record->worth, (uint64_t)st->st_size);
    if (st->st_size)
        atomic_store_explicit(&record->fresh, false, memory_order_relaxed);
    atomic_store_explicit(&record->seen, true, memory_order_release); /* pairs with candidate_is_seen */
    return SIGHT_CANDIDATE;
}

/* As fstat, but not by it, which asks for the times: see VOLUME_STATX. */
static int ask(int fd, struct stat *st)
{
    struct statx stx;
    int error = sys_statx(fd, "", AT_EMPTY_PATH, VOLUME_STATX, &stx);
    *st = (struct stat){.st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
                        .st_ino = stx.stx_ino,
                        .st_uid = stx.stx_uid,
                        .st_mode = stx.stx_mode,
                        .st_size = (off_t)stx.stx_size};
    return error;
}

int candidate_see(int fd, struct stat *st)
{
    struct stat own;
    if (!file_owns_table() || !fd_table_take_candidate(fd, FD_CHANGING))
        return st ? sys_fstat(fd, st) : 0;
    struct fd_candidate *record = candidate_record(fd);
    atomic_store_explicit(&record->worth.cuts, volume_cuts(record->volume), memory_order_relaxed); /* before its size */
    int error = st ? sys_fstat(fd, st) : ask(fd, &own);
    enum sight sight = error ? SIGHT_CANDIDATE : look(record, st ? st : &own);
    fd_table_set(fd, sight == SIGHT_OTHER ? NULL : FD_CANDIDATE);
    return sight == SIGHT_MANAGED ? candidate_adopt(fd) : error;
}

bool candidate_drop(int fd)
{
    return fd_table_take_candidate(fd, NULL);
}

static void drop(int fd)
{
    candidate_drop(fd);
}

void candidate_drop_range(unsigned first, unsigned last)
{
    fd_table_each_candidate(first, last, drop);
}

/* ---- what is done with one ---- */

struct fd_candidate *candidate_enter_write(int fd, struct volume_inflight *inflight)
{
    struct fd_candidate *candidate = candidate_of(fd);
    return candidate && candidate_enter(candidate, true, inflight) ? candidate : NULL;
}

/* ---- adoption ---- */

/* Whether fd is still of the file that it was when it became a candidate, as far as that is known. */
static bool is_same(const struct fd_candidate *record, const struct statx *stx)
{
    return !record->ino ||
           (stx->stx_ino == record->ino && makedev(stx->stx_dev_major, stx->stx_dev_minor) == record->dev);
}

/* A handle for fd, which is FD_CHANGING. NULL, and 0, if libc closed the number behind our back, or the file is not ours, or the
 * kernel's as there can be no handle. */
static int make_handle(int fd, struct fd_candidate *record, struct fd_handle **handle)
{
    struct statx stx;
    struct uma *uma = NULL;
    *handle = NULL;
    bool foreign = !file_owns_table();
    bool same = sys_statx(fd, "", AT_EMPTY_PATH, VOLUME_STATX, &stx) == 0 && is_same(record, &stx);
    if (foreign && (!same || !record->ino)) {
        atomic_store_explicit(&record->given, true, memory_order_relaxed); /* the parent waits for what comes of us */
        return -EPERM;
    }
    if (!same)
        return 0;
    if (candidate_is_fresh(record))
        stx.stx_size = 0; /* as it was when it was opened */
    else if (!stx.stx_size)
        stx.stx_size = 1; /* the same: somebody has cut it since */
    int error = uma_hold(fd, record->flags, &stx, &uma);
    if (error || !uma)
        return error;
    uma_note_worth(uma, &record->worth);
    *handle = handle_make(uma, record->flags);
    if (!*handle) {
        if (!uma_demote(uma, fd, UMA_DEMOTE_OTHER))
            return 0; /* the kernel's, and the hold stays: see file_publish */
        uma_close(uma, fd);
        return -ENOMEM;
    }
    if (atomic_load_explicit(&record->given, memory_order_relaxed))
        ofd_give_away((*handle)->ofd);
    return 0;
}

int candidate_adopt(int fd)
{
    struct fd_handle *handle;
    if (!fd_table_take_candidate(fd, FD_CHANGING))
        return 0;
    int error = make_handle(fd, candidate_record(fd), &handle);
    fd_table_set(fd, error ? FD_CANDIDATE : handle);
    return error;
}

static void adopt(int fd)
{
    if (candidate_adopt(fd))
        atomic_store_explicit(&candidates.any, true, memory_order_relaxed);
}

/* Before a vfork child becomes another program. */
static void give(int fd)
{
    struct fd_candidate *candidate = candidate_of(fd);
    int flags = sys_fcntl(fd, F_GETFD, 0);
    if (candidate && flags >= 0 && !(flags & FD_CLOEXEC))
        atomic_store_explicit(&candidate->given, true, memory_order_relaxed); /* the parent waits for us */
}

void candidate_adopt_all(void)
{
    if (!atomic_load_explicit(&candidates.any, memory_order_relaxed))
        return;
    if (!file_owns_table()) {
        fd_table_each_candidate(0, UINT_MAX, give);
        return;
    }
    atomic_exchange_explicit(&candidates.any, false, memory_order_seq_cst);
    fd_table_each_candidate(0, UINT_MAX, adopt);
}
