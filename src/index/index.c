/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * index.c — the shared object itself: creation, opening, pool, participants. Layer index.
 */
#include "index/index.h"

#include "base/grow.h"
#include "base/highfd.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "log/log_format.h"
#include "log/log_index.h"

#include <errno.h>
#include <string.h>

#define INDEX_POOL_MAX 4u
#define INDEX_POOL_NODES 8u         /* an object with more pages of nodes would make a small file dear */
#define INDEX_POOL_LOG_BLOCKS 1024u /* nor is one kept whose tables have grown */
#define INDEX_RECORDS_PER_PAGE (INDEX_PAGE / sizeof(struct index_record))
#define INDEX_PARTICIPANTS_PER_PAGE (INDEX_RECORDS_PER_PAGE / INDEX_RECORDS)

/* Objects ready for use again, per process. lock guards all of it; rank: below every lock of a uma. */
static struct index_pool {
    struct shlock lock;
    unsigned count;
    struct index object[INDEX_POOL_MAX];
} pool;

static void pool_lock(void)
{
    shlock_acquire_private(&pool.lock);
}

int index_reserve(struct index *index, uint64_t offset, uint64_t length)
{
    uint64_t from = offset & ~(uint64_t)(INDEX_PAGE - 1);
    uint64_t to = (offset + length + INDEX_PAGE - 1) & ~(uint64_t)(INDEX_PAGE - 1);
    if (!pm_map_at(&index->map, from) || !pm_map_at(&index->map, to - 1))
        return -ENOMEM;
    return grow_allocate(index->fd, 0, from, to - from);
}

/* Maps the object and finds page 0. */
static int object_map(struct index *index)
{
    struct stat st;
    int error = sys_fstat(index->fd, &st);
    if (!error && !S_ISREG(st.st_mode))
        error = -ESTALE;
    if (!error)
        error = pm_map_open(&index->map, index->fd, true, true, PM_MAP_SYNC_NEVER);
    if (error)
        return error;
    index->dev = st.st_dev;
    index->ino = st.st_ino;
    index->shared = pm_map_at(&index->map, 0);
    return 0;
}

static int object_new(struct index *index, uint32_t owner, uint64_t nonce)
{
    char path[LOG_INDEX_PATH_BYTES];
    index->nonce = nonce;
    log_index_path(owner, nonce, path);
    const char *name = path;
    int at = place_at(&name);
    int fd = sys_openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    index->fd = highfd_move(fd);
    index->owner = owner;
    int error = log_index_hold(index->fd);
    if (!error && sys_geteuid() != owner)
        error = sys_fchown(index->fd, owner, (gid_t)-1);
    if (!error) /* page 0, process words, the first page of records */
        error = grow_allocate(index->fd, 0, 0, 3 * INDEX_PAGE);
    if (!error)
        error = object_map(index);
    if (error) {
        sys_unlinkat(at, name, 0);
        highfd_close(index->fd);
    }
    return error;
}

bool index_is_pooled(uint64_t nonce)
{
    bool found = false;
    pool_lock();
    for (unsigned i = 0; i < pool.count; i++)
        found = found || pool.object[i].nonce == nonce;
    shlock_release(&pool.lock);
    return found;
}

/* Takes the pooled object of that nonce out of the pool. */
static bool pool_take(struct index *index, uint64_t nonce)
{
    bool found = false;
    pool_lock();
    for (unsigned i = 0; i < pool.count && !found; i++) {
        if (pool.object[i].nonce == nonce) {
            *index = pool.object[i]; /* with descriptor and segments */
            pool.object[i] = pool.object[--pool.count];
            found = true;
        }
    }
    shlock_release(&pool.lock);
    return found;
}

int index_new_nonce(uint64_t *nonce)
{
    do
        if (sys_getrandom(nonce, sizeof *nonce, 0) != (ssize_t)sizeof *nonce)
            return -EIO;
    while (!*nonce);
    return 0;
}

int index_create(struct index *index, uint32_t owner, uint64_t nonce, uint32_t log_blocks)
{
    int error = 0;
    if (!pool_take(index, nonce)) {
        memset(index, 0, sizeof *index);
        error = object_new(index, owner, nonce);
    }
    if (error)
        return error;
    struct index_shared *shared = index->shared;
    shared->magic = INDEX_MAGIC;
    shared->nonce = index->nonce;
    atomic_store_explicit(&shared->record_pages, 1, memory_order_relaxed);
    error = index_add_blocks(index, LOG_FIRST_BLOCK, log_blocks);
    if (error)
        index_destroy(index, false);
    return error;
}

int index_open(struct index *index, uint32_t owner, uint64_t nonce, uint64_t dev, uint64_t ino)
{
    char path[LOG_INDEX_PATH_BYTES];
    struct stat st;
    memset(index, 0, sizeof *index);
    log_index_path(owner, nonce, path);
    const char *name = path;
    int at = place_at(&name);
    int fd = sys_openat(at, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd == -ENOENT || fd == -ELOOP ? -ESTALE : fd;
    index->fd = highfd_move(fd);
    index->owner = owner;
    index->nonce = nonce;
    int error = sys_fstat(index->fd, &st);
    if (!error && (!S_ISREG(st.st_mode) || st.st_uid != owner || (st.st_mode & 07777) != 0600 || st.st_dev != dev ||
                   st.st_ino != ino || st.st_size < 3 * (off_t)INDEX_PAGE))
        error = -ESTALE;
    if (!error) /* those who use it hold it as well, so that nobody is about to remove it */
        error = log_index_hold(index->fd);
    if (!error)
        error = object_map(index);
    if (!error && (index->shared->magic != INDEX_MAGIC || index->shared->nonce != nonce)) {
        pm_map_close(&index->map);
        error = -ESTALE;
    }
    if (error)
        highfd_close(index->fd);
    return error;
}

void index_close(struct index *index)
{
    pm_map_close(&index->map);
    highfd_close(index->fd);
}

void index_abandon(struct index *index)
{
    if (log_index_hold_alone(index->fd))
        log_index_remove(index->owner, index->nonce);
    index_close(index);
}

/* Makes a used object like new, keeping its pages. */
static void object_clear(struct index *index)
{
    struct index_shared *shared = index->shared;
    uint32_t nodes = atomic_load_explicit(&shared->node_next, memory_order_relaxed);
    uint32_t reserved = atomic_load_explicit(&shared->node_reserved, memory_order_relaxed);
    uint32_t blocks = atomic_load_explicit(&shared->log_blocks, memory_order_relaxed);
    char *base = (char *)shared;
    memset(base + INDEX_NODES_OFFSET, 0, (size_t)nodes * INDEX_PAGE);
    memset(base + INDEX_FREEMAP_OFFSET, 0, (blocks + 7) / 8);
    memset(base + INDEX_SUPERSEDED_OFFSET, 0, blocks * sizeof(uint32_t));
    memset(base, 0, 3 * (size_t)INDEX_PAGE);
    atomic_store_explicit(&shared->node_reserved, reserved, memory_order_relaxed);
    atomic_store_explicit(&shared->reserved_blocks, blocks, memory_order_relaxed);
}

bool index_destroy(struct index *index, bool keep)
{
    struct index_shared *shared = index->shared;
    keep = keep && atomic_load_explicit(&shared->node_next, memory_order_relaxed) <= INDEX_POOL_NODES &&
           atomic_load_explicit(&shared->log_blocks, memory_order_relaxed) <= INDEX_POOL_LOG_BLOCKS &&
           atomic_load_explicit(&shared->record_pages, memory_order_relaxed) <= 1 &&
           index_has_node(index, atomic_load_explicit(&shared->node_next, memory_order_relaxed));
    if (keep) {
        object_clear(index);
        pool_lock();
        keep = pool.count < INDEX_POOL_MAX;
        if (keep)
            pool.object[pool.count++] = *index;
        shlock_release(&pool.lock);
    }
    if (!keep) {
        log_index_remove(index->owner, index->nonce);
        index_close(index);
    }
    return keep;
}

void index_discard(uint64_t nonce)
{
    struct index index;
    if (pool_take(&index, nonce)) {
        log_index_remove(index.owner, nonce);
        index_close(&index);
    }
}

void index_pool_drain(bool remove)
{
    if (remove)
        pool_lock(); /* else in a child, with one thread: the lock may be as another thread of the parent left it */
    for (unsigned i = 0; i < pool.count; i++) {
        if (remove) {
            log_index_remove(pool.object[i].owner, pool.object[i].nonce);
            index_close(&pool.object[i]);
        } else {
            highfd_close(pool.object[i].fd); /* mappings are not inherited */
        }
    }
    pool.count = 0;
    shlock_release(&pool.lock);
}

/* Place i, which is free. */
static int take_place(struct index *index, unsigned i, uint64_t process)
{
    struct index_shared *shared = index->shared;
    uint32_t page = i / INDEX_PARTICIPANTS_PER_PAGE;
    uint32_t pages = atomic_load_explicit(&shared->record_pages, memory_order_relaxed); /* under the bucket lock */
    if (page >= pages) {
        int error = index_reserve(index, INDEX_RECORDS_OFFSET + (uint64_t)pages * INDEX_PAGE,
                                  (uint64_t)(page + 1 - pages) * INDEX_PAGE);
        if (error)
            return error;
        atomic_store_explicit(&shared->record_pages, page + 1, memory_order_relaxed);
    }
    for (unsigned n = 0; n < INDEX_RECORDS; n++) {
        struct index_record *record = index_records(index, i) + n;
        index_record_free(record);
        memset(&record->blocks, 0, offsetof(struct index_record, holds) - offsetof(struct index_record, blocks));
    }
    if (i >= atomic_load_explicit(&shared->participants, memory_order_relaxed))
        atomic_store_explicit(&shared->participants, i + 1, memory_order_relaxed);
    /* release: who sees the word sees the cleared records */
    atomic_store_explicit(index_process(index, i), process, memory_order_release);
    return (int)i;
}

int index_join(struct index *index, uint64_t process)
{
    for (unsigned i = 0; i < INDEX_LATE; i++)
        if (!atomic_load_explicit(index_process(index, i), memory_order_relaxed))
            return take_place(index, i, process);
    return -EUSERS;
}

int index_join_late(struct index *index, uint64_t process)
{
    return take_place(index, INDEX_LATE, process);
}

void index_leave(struct index *index, unsigned participant)
{
    atomic_store_explicit(index_process(index, participant), 0, memory_order_release);
}
