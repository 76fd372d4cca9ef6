/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_root.c — in which root an open file lies. Layer log.
 *
 * The kernel tells a file's path as this process sees it. A process that changes its view (chroot, another mount
 * namespace) sees a root under another name, or a part of it as its "/": the path is then changed back to the name in the
 * configuration, under which the volume is known.
 */
#include "base/highfd.h"
#include "base/mem.h"
#include "base/place.h"
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
    ssize_t n = place_name(fd, path, CONF_PATH_MAX);
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

/* ---- views ---- */

/* A root in a view that has changed. Written by the thread that changes the view of the whole process. */
struct root_view {
    int fd;           /* of the root, from before the first change; -1: none */
    bool hidden;      /* its configured name is another directory's now */
    const char *seen; /* a path of the view, "" for all; NULL: none but the configured name */
    const char *real; /* what it was at first: the root or a directory in it */
    const char *next; /* between before and after: what will be "/", as `real` */
};
static struct root_view *_Atomic root_views; /* CONF_ROOTS_MAX; NULL: the view has never changed */

/* Whether a path is, or lies below, the directory of which `seen` is the name. */
static bool is_seen(const char *path, const char *seen)
{
    size_t length = strlen(seen);
    return length == 0 || strcmp(path, seen) == 0 || is_below(path, seen, length);
}

/* Puts the first `length` bytes of path right: they are `real` in truth. False: there is no room. */
static bool path_replace(char *path, size_t length, const char *real)
{
    size_t with = strcmp(real, "/") == 0 ? 0 : strlen(real);
    size_t rest = strlen(path + length);
    if (with + rest >= CONF_PATH_MAX)
        return false;
    memmove(path + with, path + length, rest + 1);
    memcpy(path, real, with);
    return true;
}

/* In which root, the innermost of several, a path of this view lies: CONF_ROOTS_MAX for none. *path becomes what it was in
 * the first view. Only roots on the device of `stx`; all where it is NULL. */
static unsigned path_root(const struct conf *conf, const struct statx *stx, char *path)
{
    struct root_view *views = atomic_load_explicit(&root_views, memory_order_acquire); /* pairs with the release */
    unsigned found = CONF_ROOTS_MAX;
    size_t best = 0;
    const char *seen = "", *real = NULL;
    for (unsigned i = 0; i < conf->root_count; i++) {
        const struct root_view *view = views ? &views[i] : NULL;
        if (!conf->root[i] || strlen(conf->root[i]) <= best ||
            (stx && !root_is_on(conf, i, stx->stx_dev_major, stx->stx_dev_minor)))
            continue;
        if (view && view->seen && is_seen(path, view->seen)) {
            seen = view->seen;
            real = view->real;
        } else if (!(view && view->hidden) && is_seen(path, conf->root[i])) {
            seen = real = conf->root[i];
        } else {
            continue;
        }
        best = strlen(conf->root[i]);
        found = i;
    }
    if (real != seen && real && !path_replace(path, strcmp(seen, "/") == 0 ? 0 : strlen(seen), real))
        return CONF_ROOTS_MAX;
    return found;
}

static bool is_same_directory(int fd, const struct stat *other)
{
    struct stat own;
    return sys_fstat(fd, &own) == 0 && own.st_dev == other->st_dev && own.st_ino == other->st_ino;
}

static char *copy_path(const char *path)
{
    size_t length = strlen(path);
    char *copy = mem_alloc(length + 1);
    if (copy)
        memcpy(copy, path, length);
    return copy;
}

/* What the directory `target`, which becomes "/", was in the first view, in `path`. False: it is in no root. */
static bool target_path(const struct conf *conf, const char *target, char *path)
{
    int fd = target ? sys_openat(AT_FDCWD, target, O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    ssize_t n = read_path(fd, path);
    sys_close(fd);
    return n > 0 && path_root(conf, NULL, path) != CONF_ROOTS_MAX;
}

void volume_before_view(const char *target)
{
    const struct conf *conf = conf_get();
    struct root_view *views = atomic_load_explicit(&root_views, memory_order_acquire);
    char *path = mem_alloc(CONF_PATH_MAX);
    if (!views) {
        views = mem_alloc(CONF_ROOTS_MAX * sizeof *views);
        for (unsigned i = 0; views && i < CONF_ROOTS_MAX; i++)
            views[i].fd = -1;
    }
    bool inside = path && views && target_path(conf, target, path);
    for (unsigned i = 0; views && i < conf->root_count; i++) {
        struct root_view *view = &views[i];
        if (!conf->root[i])
            continue;
        (void)root_is_on(conf, i, 0, 0); /* notes the device while the name is good */
        if (view->fd < 0)
            view->fd = highfd_move(sys_openat(AT_FDCWD, conf->root[i], O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        view->next = inside && is_seen(path, conf->root[i]) ? copy_path(path) : NULL;
    }
    mem_free(path, CONF_PATH_MAX);
    atomic_store_explicit(&root_views, views, memory_order_release); /* pairs with path_root */
}

/* How a root that is not around "/" is seen now. `path`: room. Old names stay: readers may hold them. */
static void view_look(struct root_view *view, const char *root, char *path)
{
    struct stat st;
    bool named = sys_fstatat(AT_FDCWD, root, &st, 0) == 0;
    view->hidden = named && !is_same_directory(view->fd, &st);
    view->seen = NULL;
    ssize_t n = place_name(view->fd, path, CONF_PATH_MAX - 1);
    if (n <= 0)
        return;
    path[n] = 0;
    if (strcmp(path, root) == 0 || sys_fstatat(AT_FDCWD, path, &st, 0) < 0 || !is_same_directory(view->fd, &st))
        return;
    view->real = root;
    view->seen = copy_path(path);
}

void volume_after_view(bool changed)
{
    const struct conf *conf = conf_get();
    struct root_view *views = atomic_load_explicit(&root_views, memory_order_acquire);
    char *path = mem_alloc(CONF_PATH_MAX);
    for (unsigned i = 0; views && path && changed && i < conf->root_count; i++) {
        struct root_view *view = &views[i];
        if (view->next) {
            view->real = view->next;
            view->seen = "";
        } else if (view->fd >= 0) {
            view_look(view, conf->root[i], path);
        }
    }
    mem_free(path, CONF_PATH_MAX);
}

int volume_root_fd(const char *root)
{
    const struct conf *conf = conf_get();
    struct root_view *views = atomic_load_explicit(&root_views, memory_order_acquire);
    for (unsigned i = 0; views && i < conf->root_count; i++)
        if (conf->root[i] && views[i].fd >= 0 && strcmp(conf->root[i], root) == 0)
            return views[i].fd;
    return -1;
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

bool volume_has_one_root(uint32_t dev_major, uint32_t dev_minor, bool dax)
{
    const struct conf *conf = conf_get();
    unsigned here = 0;
    if (conf->root_count == 0)
        return dax;
    for (unsigned i = 0; i < conf->root_count; i++) {
        bool on = root_is_on(conf, i, dev_major, dev_minor);
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
    bool on = false;
    for (unsigned i = 0; i < conf->root_count && !on; i++)
        on = root_is_on(conf, i, stx->stx_dev_major, stx->stx_dev_minor);
    ssize_t known = on ? read_path(fd, path) : 0;
    if (known <= 0)
        return known;
    unsigned root = path_root(conf, stx, path);
    return root == CONF_ROOTS_MAX ? 0 : (ssize_t)strlen(conf->root[root]);
}
