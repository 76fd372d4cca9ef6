/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * grow.c — growing a file without a signal. Layer base.
 */
#include "base/grow.h"

#include "base/rawsys.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <sys/resource.h>

enum { GROW_EXTENTS = 8 }; /* that are asked for at once */

uint64_t grow_limit(void)
{
    struct rlimit limit;
    if (rawsys(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

/* Whether the file has all blocks of a range, as the file system says. */
static bool is_allocated(int fd, uint64_t offset, uint64_t length)
{
    union {
        struct fiemap map; /* the extents follow it */
        char space[sizeof(struct fiemap) + GROW_EXTENTS * sizeof(struct fiemap_extent)];
    } ask;
    const uint32_t none = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC;
    uint64_t at = offset, end = offset + length;
    while (at < end) {
        ask.map = (struct fiemap){.fm_start = at, .fm_length = end - at, .fm_extent_count = GROW_EXTENTS};
        if (rawsys(SYS_ioctl, fd, FS_IOC_FIEMAP, (long)&ask, 0, 0, 0) < 0 || !ask.map.fm_mapped_extents)
            return false;
        for (uint32_t i = 0; i < ask.map.fm_mapped_extents && at < end; i++) {
            const struct fiemap_extent *extent = &ask.map.fm_extents[i];
            if (extent->fe_logical > at || extent->fe_logical + extent->fe_length <= at || extent->fe_flags & none)
                return false;
            at = extent->fe_logical + extent->fe_length;
        }
    }
    return true;
}

int grow_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    if (offset + length > grow_limit())
        return -EFBIG;
    int result;
    do
        result = sys_fallocate(fd, mode, (off_t)offset, (off_t)length);
    while (result == -EINTR);
    /* XFS wants to have room for all of the range, also where it has nothing to allocate */
    bool full = result == -ENOSPC || result == -EDQUOT;
    return full && mode == FALLOC_FL_KEEP_SIZE && is_allocated(fd, offset, length) ? 0 : result;
}

int grow_truncate(int fd, uint64_t size, uint64_t now)
{
    if (size > now && size > grow_limit())
        return -EFBIG;
    int result;
    do
        result = sys_ftruncate(fd, (off_t)size);
    while (result == -EINTR);
    return result;
}
