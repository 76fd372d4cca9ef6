/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_root.c — in which root an open file lies. Layer log.
 */
#include "base/rawsys.h"
#include "log/log_private.h"
#include "log/volume_private.h"

#include <string.h>

static const char internal_name[] = ".nvmmio";

/* The devices of the configured roots, looked up when first needed and again while one is missing. */
struct root_device {
    _Atomic uint32_t known; /* release after the numbers, acquire before them */
    _Atomic uint32_t major, minor;
};
static struct root_device root_devices[CONF_ROOTS_MAX];

static bool root_is_on(const struct conf *conf, unsigned i, uint32_t dev_major, uint32_t dev_minor)
{
    struct root_device *device = &root_devices[i];
    struct statx stx;
    if (!conf->root[i])
        return false;
    if (!atomic_load_explicit(&device->known, memory_order_acquire)) {
        if (sys_statx(AT_FDCWD, conf->root[i], 0, STATX_TYPE | STATX_INO, &stx) < 0 || !S_ISDIR(stx.stx_mode))
            return false;
        /* Racing threads store the same. */
        atomic_store_explicit(&device->major, stx.stx_dev_major, memory_order_relaxed);
        atomic_store_explicit(&device->minor, stx.stx_dev_minor, memory_order_relaxed);
        atomic_store_explicit(&device->known, 1, memory_order_release);
    }
    return atomic_load_explicit(&device->major, memory_order_relaxed) == dev_major &&
           atomic_load_explicit(&device->minor, memory_order_relaxed) == dev_minor;
}

bool volume_root_is_on(uint32_t dev_major, uint32_t dev_minor)
{
    const struct conf *conf = conf_get();
    for (unsigned i = 0; i < conf->root_count; i++)
        if (root_is_on(conf, i, dev_major, dev_minor))
            return true;
    return !conf->root_count; /* any mount may be one */
}

/* The file's path: its length, 0 if it has none here, or -errno. A removed file has its old one with " (deleted)" behind,
 * a file without a name (O_TMPFILE) that of its directory with a number. */
static ssize_t read_path(int fd, char *path)
{
    char link[LOG_FD_PATH_BYTES];
    log_fd_path(fd, link);
    ssize_t n = sys_readlinkat(AT_FDCWD, link, path, CONF_PATH_MAX);
    if (n <= 0 || n >= CONF_PATH_MAX || path[0] != '/')
        return n < 0 ? n : 0;
    path[n] = 0;
    return n;
}

/* Whether path lies below the directory of `length` bytes, "/" or without a slash at the end. */
static bool is_below(const char *path, const char *directory, size_t length)
{
    if (length == 1)
        return path[1] != 0;
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

bool volume_is_internal(const char *path, size_t root_length)
{
    const char *rest = path + (root_length == 1 ? 1 : root_length + 1);
    size_t n = sizeof internal_name - 1;
    return strncmp(rest, internal_name, n) == 0 && (rest[n] == '/' || rest[n] == 0);
}

/* Without configured roots: the mount point, found by walking up the path while device and mount stay the same. */
static size_t mount_point(const struct statx *file, char *path, size_t length)
{
    size_t root = 0;
    uint64_t mount = 0;
    while (length > 0) {
        while (length > 0 && path[length - 1] != '/')
            length--;
        size_t parent = length > 1 ? length - 1 : length; /* without the slash, but for "/" */
        char kept = path[parent];
        struct statx stx;
        path[parent] = 0;
        int result = parent ? sys_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MNT_ID, &stx) : -1;
        path[parent] = kept;
        if (result < 0 || stx.stx_dev_major != file->stx_dev_major || stx.stx_dev_minor != file->stx_dev_minor ||
            (mount && stx.stx_mnt_id != mount))
            break;
        mount = stx.stx_mnt_id;
        root = parent;
        if (parent == 1 && length == 1)
            break;
        length = parent;
    }
    return root;
}

bool volume_has_one_root(const struct statx *stx)
{
    const struct conf *conf = conf_get();
    unsigned here = 0;
    if (conf->root_count == 0)
        return stx->stx_attributes & STATX_ATTR_DAX;
    for (unsigned i = 0; i < conf->root_count; i++) {
        bool on = root_is_on(conf, i, stx->stx_dev_major, stx->stx_dev_minor);
        if (!atomic_load_explicit(&root_devices[i].known, memory_order_acquire))
            return false;
        here += on;
    }
    return here == 1;
}

ssize_t volume_root_of(int fd, const struct statx *stx, char *path)
{
    const struct conf *conf = conf_get();
    if (conf->root_count == 0) {
        ssize_t length = stx->stx_attributes & STATX_ATTR_DAX ? read_path(fd, path) : 0;
        return length > 0 ? (ssize_t)mount_point(stx, path, (size_t)length) : length;
    }
    size_t best = 0;
    path[0] = 0;
    for (unsigned i = 0; i < conf->root_count; i++) {
        if (!root_is_on(conf, i, stx->stx_dev_major, stx->stx_dev_minor))
            continue;
        ssize_t known = path[0] ? 1 : read_path(fd, path);
        if (known <= 0)
            return known;
        size_t length = strlen(conf->root[i]);
        if (length > best && is_below(path, conf->root[i], length))
            best = length;
    }
    return (ssize_t)best;
}
