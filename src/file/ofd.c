/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ofd.c — records of open file descriptions. Layer file.
 */
#include "file/ofd.h"

#include "base/rawsys.h"

#include <errno.h>
#include <unistd.h>

static struct {
    struct pool pool; /* shared */
} ofd_arena;

struct ofd *ofd_make(uint32_t flags, uint32_t *index)
{
    if (pool_make(&ofd_arena.pool, true))
        return NULL;
    *index = pool_take(&ofd_arena.pool);
    if (!*index)
        return NULL;
    struct ofd *ofd = pool_at(&ofd_arena.pool, *index);
    /* acquire: what its last holders did is over. pool_take says so, too, but where a child was the last one the thread
     * sanitizer has not seen it. */
    (void)atomic_load_explicit(&ofd->references, memory_order_acquire);
    /* relaxed: nobody else has the record; the descriptor table publishes it */
    atomic_store_explicit(&ofd->lock.word, 0, memory_order_relaxed);
    atomic_store_explicit(&ofd->flags, flags, memory_order_relaxed);
    atomic_store_explicit(&ofd->in_kernel, 1, memory_order_relaxed);
    atomic_store_explicit(&ofd->given, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&ofd->generation, 1, memory_order_relaxed);
    ofd->offset = 0;
    /* release: a stale holder that counts itself in sees the new generation; pairs with ofd_reference */
    atomic_store_explicit(&ofd->references, 1, memory_order_release);
    return ofd;
}

void ofd_give_away(struct ofd *ofd)
{
    struct pool_head *head = pool_at(&ofd_arena.pool, 0);
    atomic_exchange_explicit(&ofd->given, 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&head->word, 1, memory_order_seq_cst); /* who sees the number sees the mark */
}

uint32_t ofd_gifts(void)
{
    const struct pool_head *head = pool_at(&ofd_arena.pool, 0);
    return atomic_load_explicit(&head->word, memory_order_acquire); /* pairs with ofd_give_away */
}

bool ofd_reference(struct ofd *ofd)
{
    uint32_t count = atomic_load_explicit(&ofd->references, memory_order_relaxed);
    while (count)
        /* acquire: the generation is that of the description that is counted */
        if (atomic_compare_exchange_weak_explicit(&ofd->references, &count, count + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

void ofd_release(struct ofd *ofd, uint32_t index)
{
    /* acq_rel: what every holder did to the record is over before it is given back */
    if (atomic_fetch_sub_explicit(&ofd->references, 1, memory_order_acq_rel) == 1)
        pool_give(&ofd_arena.pool, index);
}

void ofd_lock_contended(struct ofd *ofd, uint32_t self, bool (*is_gone)(uint32_t owner, void *arg), void *arg)
{
    while (shlock_acquire(&ofd->lock, self) == -ETIMEDOUT) {
        uint32_t owner = shlock_owner(&ofd->lock);
        if (owner && owner != self && is_gone(owner, arg) && shlock_take_over(&ofd->lock, owner, self) == 0)
            return;
    }
}

int ofd_to_kernel(struct ofd *ofd, int fd)
{
    if (ofd_is_in_kernel(ofd))
        return 0;
    off_t offset = sys_lseek(fd, (off_t)ofd->offset, SEEK_SET);
    if (offset < 0)
        return (int)offset;
    ofd_set_in_kernel(ofd);
    return 0;
}

int ofd_from_kernel(struct ofd *ofd, int fd)
{
    if (!ofd_is_in_kernel(ofd))
        return 0;
    off_t offset = sys_lseek(fd, 0, SEEK_CUR);
    if (offset < 0)
        return (int)offset;
    ofd_set_offset(ofd, (uint64_t)offset);
    return 0;
}
