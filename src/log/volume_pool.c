/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_pool.c — ready logs of this process: mapped, exclusively locked, void. Layer log.
 */
#include "base/geometry.h"
#include "base/rawsys.h"
#include "log/log_index.h"
#include "log/volume_private.h"

#include <errno.h>

enum {
    POOL_KEEP_BLOCKS = GEOMETRY_POOL_KEEP, /* larger logs are cut */
    POOL_CUT_BLOCKS = GEOMETRY_POOL_CUT,   /* much larger ones removed: their entries alone would take too much */
};

/* A retired log that is mapped. Its index object goes first: whoever dies in between leaves none that no header names. */
static void remove_log(struct volume *volume, struct log *log)
{
    log_index_remove(volume->owner, log_header(log)->index_nonce);
    int error = log_unlink(log);
    if (error && error != -ENOENT)                                        /* we are another user by now */
        atomic_store_explicit(&volume->left, true, memory_order_relaxed); /* read by this process's exit alone */
    log_close(log);
}

/* Takes a pooled log; false if there is none. */
static bool pop(struct volume *volume, struct log *log)
{
    volume_private_lock(&volume->lock);
    bool found = volume->pool_count > 0;
    if (found)
        *log = volume->pool[--volume->pool_count];
    shlock_release(&volume->lock);
    return found;
}

int volume_take_log(struct volume *volume, struct log *log)
{
    while (pop(volume, log)) {
        struct stat st;
        if (sys_fstat(log->fd, &st) == 0 && st.st_nlink == 1)
            return 0;
        log_close(log); /* somebody removed it: what is committed there would be lost */
    }
    return log_create(log, volume->dirfd, volume->owner, VOLUME_READY_BLOCKS, volume->sync);
}

/* Whether the log is fit for the pool, after a cut where it is large. */
static bool make_small(struct log *log)
{
    struct stat st;
    if (sys_fstat(log->fd, &st) < 0 || st.st_nlink != 1 || !log_is_whole(&st))
        return false;
    uint32_t blocks = log_blocks_in((uint64_t)st.st_size);
    if (blocks > POOL_CUT_BLOCKS || blocks < LOG_FIRST_BLOCK + VOLUME_READY_BLOCKS)
        return false;
    if (blocks <= POOL_KEEP_BLOCKS)
        return true;
    atomic_store_explicit(&log->blocks, 0, memory_order_relaxed);
    return sys_ftruncate(log->fd, (off_t)log_block_offset(LOG_FIRST_BLOCK + VOLUME_READY_BLOCKS)) == 0;
}

bool volume_give_log(struct volume *volume, struct log *log)
{
    uint32_t most = conf_get()->pool < VOLUME_POOL_MAX ? conf_get()->pool : VOLUME_POOL_MAX;
    bool keep = !volume_is_exiting() && most > 0 && make_small(log);
    if (keep) {
        volume_private_lock(&volume->lock);
        keep = volume->pool_count < most;
        if (keep)
            volume->pool[volume->pool_count++] = *log;
        shlock_release(&volume->lock);
    }
    if (!keep)
        remove_log(volume, log);
    return keep;
}

int volume_open_log(struct volume *volume, uint64_t id, struct log *log)
{
    return log_open(log, volume->dirfd, id, volume->owner);
}

void volume_pool_unlink(struct volume *volume)
{
    while (volume->pool_count > 0)
        remove_log(volume, &volume->pool[--volume->pool_count]);
}

void volume_pool_forget(struct volume *volume)
{
    while (volume->pool_count > 0)
        log_forget(&volume->pool[--volume->pool_count]);
}
