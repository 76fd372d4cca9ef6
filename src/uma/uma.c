/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma.c — the umas of this process: open, close, lookup, fork. Layer uma; called by file.
 */
#include "uma/uma.h"

#include "base/conf.h"
#include "base/highfd.h"
#include "base/mem.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "nvmmio.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <sys/sysmacros.h>

#define HASH_BUCKETS 8192u

/* All umas. lock guards the chains (writers) and holders; readers walk the chains under RCU. attach_lock: one attach or
 * detach at a time, before lock in order. */
static struct registry {
    struct shlock lock;
    struct shlock attach_lock;
    _Atomic(struct uma *) bucket[HASH_BUCKETS];
    _Atomic bool exiting;
} registry;

void uma_registry_lock(void)
{
    shlock_acquire_private(&registry.lock);
}
void uma_registry_unlock(void)
{
    shlock_release(&registry.lock);
}
void uma_attach_lock(void)
{
    shlock_acquire_private(&registry.attach_lock);
}
void uma_attach_unlock(void)
{
    shlock_release(&registry.attach_lock);
}
bool uma_exiting(void)
{
    return atomic_load_explicit(&registry.exiting, memory_order_acquire);
}
bool uma_begin_exit(void)
{
    return !atomic_exchange_explicit(&registry.exiting, true, memory_order_acq_rel);
}

static unsigned hash(uint64_t dev, uint64_t ino)
{
    /* neighbours side by side, as in live_bucket */
    uint64_t run = (dev * 31 + ino / HASH_BUCKETS) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return (unsigned)(ino + run) % HASH_BUCKETS;
}

struct uma *uma_find(uint64_t dev, uint64_t ino)
{
    /* acquire: pairs with the release at insertion; the uma behind it is complete */
    struct uma *uma = atomic_load_explicit(&registry.bucket[hash(dev, ino)], memory_order_acquire);
    while (uma && (uma->dev != dev || uma->ino != ino))
        uma = uma->hash_next;
    return uma;
}

bool uma_is_known(uint64_t dev, uint64_t ino)
{
    rcu_enter();
    bool known = uma_find(dev, ino) != NULL;
    rcu_leave();
    return known;
}

/* Without a lock, in a handler: a uma that is found here stays, as the thread that met the fault is in a call on it. */
struct uma *uma_of_index(uintptr_t address)
{
    for (unsigned i = 0; i < HASH_BUCKETS; i++)
        for (struct uma *uma = atomic_load_explicit(&registry.bucket[i], memory_order_acquire); uma;
             uma = uma->hash_next)
            if (pm_map_patch(&uma->index.map, address))
                return uma;
    return NULL;
}

/* ---- life ---- */

static struct uma *uma_new(struct volume *volume, const struct statx *stx, uint64_t dev, bool proven)
{
    struct uma *uma = mem_alloc(sizeof *uma);
    if (!uma)
        return NULL;
    uma->dev = dev;
    uma->ino = stx->stx_ino;
    uma->volume = volume;
    uma->durable = volume_is_durable(volume);
    uma->data_fd = uma->spare_fd = -1;
    uma_worth_begin(uma, stx->stx_size);
    unsigned flags = (stx->stx_size == 0 ? UMA_FLAG_FRESH : 0) | (proven ? 0 : UMA_FLAG_UNPROVEN) |
                     (stx->stx_mode & (S_IXUSR | S_IXGRP | S_IXOTH) ? UMA_FLAG_PROGRAM : 0);
    atomic_store_explicit(&uma->flags, flags, memory_order_relaxed);
    return uma;
}

static bool open_is_atomic(int flags)
{
    return flags & O_ATOMIC || conf_get()->atomic;
}

static void note_open_flags(struct uma *uma, int flags)
{
    if (open_is_atomic(flags)) {
        atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)UMA_FLAG_FRESH, memory_order_acq_rel);
        atomic_fetch_or_explicit(&uma->flags, UMA_FLAG_ATOMIC, memory_order_acq_rel);
    }
}

/* One more holder of a uma of this process whose file is known to be in its root. NULL: there is none. */
static struct uma *open_known(uint64_t dev, uint64_t ino, int flags)
{
    uma_registry_lock();
    struct uma *uma = uma_find(dev, ino);
    if (uma && !(atomic_load_explicit(&uma->flags, memory_order_acquire) & UMA_FLAG_UNPROVEN)) {
        uma->holders++;
        note_open_flags(uma, flags);
    } else {
        uma = NULL;
    }
    uma_registry_unlock();
    return uma;
}

/* The same where there is none yet; NULL for lack of memory. */
static struct uma *open_new(struct volume *volume, const struct statx *stx, bool proven, int flags)
{
    uint64_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    uma_registry_lock();
    struct uma *uma = uma_find(dev, stx->stx_ino);
    if (!uma) {
        uma = uma_new(volume, stx, dev, proven);
        if (uma) {
            _Atomic(struct uma *) *bucket = &registry.bucket[hash(dev, stx->stx_ino)];
            uma->hash_next = atomic_load_explicit(bucket, memory_order_relaxed);
            atomic_store_explicit(bucket, uma, memory_order_release);
        }
    }
    if (uma) {
        uma->holders++;
        note_open_flags(uma, flags);
    }
    uma_registry_unlock();
    return uma;
}

int uma_hold(int fd, int flags, const struct statx *given, struct uma **out)
{
    struct statx stx;
    *out = NULL;
    if (uma_exiting()) {
        uma_exit_wait(true);
        return 0;
    }
    if (given)
        stx = *given;
    else {
        int error = sys_statx(fd, "", AT_EMPTY_PATH, VOLUME_STATX, &stx);
        if (error)
            return error;
    }
    if (!S_ISREG(stx.stx_mode))
        return 0;
    struct uma *uma = open_known(makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino, flags);
    if (!uma) {
        /* Many a file is gone before anything depends on where it lies. */
        struct volume *volume = open_is_atomic(flags) ? NULL : volume_candidate(&stx);
        bool proven = !volume || volume_is_attached(volume, stx.stx_ino);
        if (proven)
            volume = volume_of(fd, &stx);
        if (!volume)
            return volume_foreign(fd, &stx);
        uma = open_new(volume, &stx, proven, flags);
        if (!uma)
            return -ENOMEM;
    }
    *out = uma;
    return 0;
}

int uma_open(int fd, int flags, const struct statx *given, struct uma **out)
{
    int error = uma_hold(fd, flags, given, out);
    struct uma *uma = *out;
    if (error || !uma)
        return error;
    if (uma_is_attached(uma))
        uma_note_atomic(uma);
    else if (volume_is_attached(uma->volume,
                                uma->ino)) /* by another process, or left behind by a dead one: recover now */
        error = uma_attach(uma, fd, UMA_TO_JOIN);
    if (error == -EACCES || error == -EUSERS) /* only readable for us, or the kernel's since there are too many */
        error = 0;
    if (error) {
        uma_close(uma, fd);
        *out = NULL;
    }
    return error;
}

void uma_ref(struct uma *uma)
{
    uma_registry_lock();
    uma->holders++;
    uma_registry_unlock();
}

static void unlink_uma(struct uma *uma)
{
    _Atomic(struct uma *) *bucket = &registry.bucket[hash(uma->dev, uma->ino)];
    struct uma *at = atomic_load_explicit(bucket, memory_order_relaxed);
    if (at == uma) {
        atomic_store_explicit(bucket, uma->hash_next, memory_order_release);
        return;
    }
    while (at->hash_next != uma)
        at = at->hash_next;
    at->hash_next = uma->hash_next;
}

/* A file without a name that this process has never served, but that has a log: if who made that is dead, nobody else finds the
 * file to recover it, so it is recovered here and given back. */
static void close_nameless(struct uma *uma, int fd)
{
    struct stat st;
    if (fd >= 0 && !uma_is_attached(uma) && volume_is_attached(uma->volume, uma->ino) && !sys_fstat(fd, &st) &&
        !st.st_nlink)
        uma_attach(uma, fd, UMA_TO_SERVE);
}

int uma_close(struct uma *uma, int fd)
{
    close_nameless(uma, fd);
    uma_registry_lock();
    bool last = --uma->holders == 0;
    if (last)
        unlink_uma(uma);
    while (last && uma->busy) { /* the sync thread is at it; it cannot find it again */
        uma_registry_unlock();
        sys_sched_yield();
        uma_registry_lock();
    }
    uma_registry_unlock();
    if (!last)
        return 0;
    /* Without a lock: a reader may be waiting for one. An open of the same inode that comes now makes a new uma, which
     * joins as if it were another process. */
    rcu_wait_for_others();
    uma_attach_lock();
    int error = uma_detach(uma);
    uma_data_close(uma);
    uma_attach_unlock();
    mem_free(uma, sizeof *uma);
    return error;
}

uint32_t uma_process(const struct uma *uma)
{
    return (uint32_t)volume_self(uma->volume);
}

bool uma_process_is_dead(const struct uma *uma, uint32_t process)
{
    return volume_is_dead(uma->volume, process);
}

bool uma_is_volatile(const struct uma *uma)
{
    return !uma->durable;
}

bool uma_is_reachable(const struct uma *uma, uint32_t euid, bool privileged)
{
    return euid == volume_owner(uma->volume) || (privileged && volume_reachable(uma->volume, euid));
}

/* ---- all of them ---- */

void uma_each(void (*visit)(struct uma *uma, void *arg), void *arg)
{
    uma_registry_lock();
    for (unsigned i = 0; i < HASH_BUCKETS; i++)
        for (struct uma *uma = atomic_load_explicit(&registry.bucket[i], memory_order_relaxed); uma;
             uma = uma->hash_next)
            visit(uma, arg);
    uma_registry_unlock();
}

void uma_each_in_state(enum uma_state state, void (*visit)(struct uma *uma))
{
    for (unsigned i = 0; i < HASH_BUCKETS; i++)
        for (struct uma *uma = atomic_load_explicit(&registry.bucket[i], memory_order_acquire); uma;
             uma = uma->hash_next)
            if (atomic_load_explicit(&uma->state, memory_order_acquire) == state)
                visit(uma);
}

struct uma *uma_registry_next(struct uma *previous, struct uma_walk *walk)
{
    uma_registry_lock();
    if (previous)
        previous->busy--;
    struct uma *uma = NULL;
    for (; walk->bucket < HASH_BUCKETS && !uma; walk->bucket += !uma) {
        uma = atomic_load_explicit(&registry.bucket[walk->bucket], memory_order_relaxed);
        while (uma && (uma->walked == walk->number || !uma_is_attached(uma)))
            uma = uma->hash_next;
    }
    if (uma) {
        uma->walked = walk->number;
        uma->busy++;
    }
    uma_registry_unlock();
    return uma;
}

/* ---- fork ---- */

void uma_before_fork(void)
{
    uma_attach_lock();
    uma_lease_before_fork();
    uma_registry_lock();
    volume_before_fork();
}

void uma_after_fork_parent(void)
{
    volume_after_fork_parent();
    uma_registry_unlock();
    uma_attach_unlock();
}

/* The child shares nothing with the parent's participants: it lets go of what it inherited and attaches anew. Log, index
 * and data mappings were not inherited (MADV_DONTFORK). No POSIX lock can be lost by closing: locks are not inherited. */
static void child_forget(struct uma *uma)
{
    bool mapped = atomic_load_explicit(&uma->maps, memory_order_relaxed);
    if (mapped && uma->borrowed)
        mapped = uma_data_own(uma);
    if (uma_is_attached(uma)) {
        atomic_store_explicit(&uma->inherited, mapped, memory_order_relaxed);
        highfd_close(uma->log.fd);
        highfd_close(uma->index.fd);
        uma_scratch_free(uma);
        atomic_store_explicit(&uma->state, UMA_DETACHED, memory_order_relaxed);
    }
    if (!mapped) { /* else there may be no descriptor any more to open it by: the parent's description serves as well */
        highfd_close(uma->data_fd);
        uma->data_fd = -1;
        uma->borrowed = false;
    }
    highfd_close(uma->spare_fd);
    uma->spare_fd = -1;
    atomic_fetch_and_explicit(&uma->flags, ~(uint32_t)(UMA_FLAG_LOCKABLE | UMA_FLAG_LOCKED),
                              memory_order_relaxed); /* the only thread */
    atomic_store_explicit(&uma->lease, UMA_LEASE_OFF, memory_order_relaxed);
    /* what the parent exposed is the parent's to write back; its list may be in the middle of a change, and is left */
    uma->protect = (struct uma_protect){0};
    uma->busy = 0;
}

void uma_after_fork_child(void)
{
    uma_parting_after_fork_child();
    volume_after_fork_child();
    index_pool_drain(false);
    for (unsigned i = 0; i < HASH_BUCKETS; i++)
        for (struct uma *uma = atomic_load_explicit(&registry.bucket[i], memory_order_relaxed); uma;
             uma = uma->hash_next)
            child_forget(uma);
    uma_sync_after_fork_child();
    uma_lease_after_fork_child();
    uma_registry_unlock();
    uma_attach_unlock();
}

/* All locks of the layer and below are made free, whoever held them. What they guard is whole at every moment for one who
 * reads: chains and lists are changed by single stores. */
void uma_born(void)
{
    uma_after_fork_child();
    uma_sync_forbid();
    uma_lease_forbid();
}
