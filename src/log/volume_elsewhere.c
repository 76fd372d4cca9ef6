/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_elsewhere.c — the size of a file that others have attached, or that dead processes have left, from its log: for
 * a stat by path. Nothing is opened but the log, nothing is recovered. Layer log.
 */
#include "base/mem.h"
#include "base/rawsys.h"
#include "log/log_private.h"
#include "log/log_recover.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

struct volume *volume_elsewhere(uint32_t owner, uint32_t dev_major, uint32_t dev_minor, uint64_t ino)
{
    for (struct volume *volume = volume_first(); volume; volume = volume->next)
        if (volume->owner == owner && volume->dev_major == dev_major && volume->dev_minor == dev_minor &&
            atomic_load_explicit(&volume->ready, memory_order_acquire) && volume_is_attached(volume, ino))
            return volume;
    return NULL;
}

static bool owner_is_known(const struct stat *st)
{
    for (struct volume *volume = volume_first(); volume; volume = volume->next)
        if (volume->owner == st->st_uid && volume->dev_major == major(st->st_dev) &&
            volume->dev_minor == minor(st->st_dev))
            return true;
    return false;
}

void volume_look(int dirfd, const char *path, int flags, const struct stat *st)
{
    struct statx stx;
    if (conf_get()->pm == CONF_PM_NONE || !volume_root_is_on(major(st->st_dev), minor(st->st_dev)) ||
        owner_is_known(st))
        return;
    uint32_t euid = sys_geteuid(); /* last: a system call */
    if (euid && euid != st->st_uid)
        return;
    int nofollow = flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int fd = sys_openat(dirfd, path, O_PATH | O_CLOEXEC | nofollow, 0); /* its close drops no locks */
    char *real = fd < 0 ? NULL : mem_alloc(CONF_PATH_MAX);
    if (real && sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0 && stx.stx_ino == st->st_ino) {
        ssize_t length = volume_root_of(fd, &stx, real);
        if (length > 0 && !volume_is_internal(real, (size_t)length) &&
            volume_is_listed(real, (size_t)length, st->st_uid, st->st_ino))
            volume_of(fd, &stx);
    }
    mem_free(real, CONF_PATH_MAX);
    sys_close(fd);
}

/* As far as it can be told without opening the file: another one that got the inode number was born later. */
static bool is_of_file(const struct log_header *copy, const struct statx *stx)
{
    return stx->stx_mask & STATX_BTIME && copy->identity.ino == stx->stx_ino &&
           copy->identity.birth_sec == stx->stx_btime.tv_sec && copy->identity.birth_nsec == stx->stx_btime.tv_nsec;
}

/* The size that the next opener of the file will find: that of those who use it, or of the recovery to come. */
static uint64_t size_to_find(const struct log_header *copy, bool used)
{
    uint64_t boot[2];
    bool same_boot = log_boot_id(boot) == 0 && memcmp(boot, copy->boot_id, sizeof boot) == 0;
    bool atomic = atomic_load_explicit(&copy->flags, memory_order_relaxed) & LOG_FLAG_ATOMIC; /* a private copy */
    uint64_t epoch = atomic_load_explicit(&copy->epoch, memory_order_relaxed);
    if (same_boot && (used || !atomic))
        return atomic_load_explicit(&copy->newest_size, memory_order_relaxed);
    return atomic_load_explicit(&copy->size[epoch & 1], memory_order_relaxed);
}

int volume_size_elsewhere(struct volume *volume, const struct statx *stx, uint64_t *size)
{
    struct log log;
    uint64_t id = volume_find_log(volume, stx->stx_ino); /* without the lock: what it names is checked */
    int result = id ? volume_open_log(volume, id, &log) : -ENOENT;
    if (result < 0)
        return result;
    struct log_header *copy = mem_alloc(sizeof *copy);
    result = copy ? log_check(&log, volume->owner, copy) : -ENOMEM;
    bool used = log_is_used(&log);
    if (!result && !used)
        result = log_check(&log, volume->owner, copy); /* again: they may have gone between the two looks */
    bool served = !result && !(atomic_load_explicit(&copy->flags, memory_order_relaxed) & LOG_FLAG_PASSTHROUGH);
    if (!result && (!served || !is_of_file(copy, stx)))
        result = -ENOENT;
    if (!result)
        *size = size_to_find(copy, used);
    mem_free(copy, sizeof *copy);
    log_close(&log);
    return result;
}
