/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume.c — the volumes of this process: finding the one of a file, fork, exit. Layer log.
 */
#include "log/volume.h"

#include "base/highfd.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "log/volume_private.h"
#include "pm/pm.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { VOLUME_RETRY = 256 }; /* calls after which a volume that could not be opened is tried again */

/* What user ids mean here. */
enum volume_users { VOLUME_USERS_UNKNOWN, VOLUME_USERS_ALL, VOLUME_USERS_MAPPED };

/* All volumes of the process. They are added at the head and never removed. */
static struct {
    struct shlock lock;             /* guards adding and opening */
    _Atomic(struct volume *) first; /* release when added, acquire by readers */
    _Atomic uint32_t exiting;
    _Atomic uint32_t users; /* enum volume_users; relaxed: racing threads find the same */
} volume_state;

bool volume_is_exiting(void)
{
    return atomic_load_explicit(&volume_state.exiting, memory_order_relaxed) != 0; /* a hint: pools are locked */
}

uint32_t volume_owner(const struct volume *volume)
{
    return volume->owner;
}

enum pm_map_sync volume_sync(const struct volume *volume)
{
    return volume->sync;
}

struct volume *volume_first(void)
{
    return atomic_load_explicit(&volume_state.first, memory_order_acquire);
}

/* ---- opening ---- */

static struct volume *find_volume(const struct statx *stx, const char *root, size_t length)
{
    struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_acquire);
    for (; volume; volume = volume->next)
        if (volume->owner == stx->stx_uid && volume->dev_major == stx->stx_dev_major &&
            volume->dev_minor == stx->stx_dev_minor && volume->root_length == length &&
            memcmp(volume->root, root, length) == 0)
            return volume;
    return NULL;
}

/* A volume that is not ready. Under volume_state.lock. */
static struct volume *add_volume(const struct statx *stx, const char *root, size_t length)
{
    struct volume *volume = mem_alloc(sizeof *volume);
    char *copy = mem_alloc(length + 1);
    if (!volume || !copy) {
        mem_free(volume, sizeof *volume);
        mem_free(copy, length + 1);
        return NULL;
    }
    memcpy(copy, root, length);
    volume->root = copy;
    volume->root_length = length;
    volume->owner = stx->stx_uid;
    volume->dev_major = stx->stx_dev_major;
    volume->dev_minor = stx->stx_dev_minor;
    volume->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    volume->dirfd = volume->table_fd = -1;
    volume->next = atomic_load_explicit(&volume_state.first, memory_order_relaxed); /* under the lock */
    atomic_store_explicit(&volume_state.first, volume, memory_order_release);
    return volume;
}

static int open_root(const struct volume *volume)
{
    struct statx stx;
    int held = volume_root_fd(volume->root);
    int fd = held >= 0 ? sys_openat(held, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
                       : sys_openat(AT_FDCWD, volume->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int result = sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx);
    if (result == 0 && (stx.stx_dev_major != volume->dev_major || stx.stx_dev_minor != volume->dev_minor))
        result = -EXDEV;
    if (result < 0) {
        sys_close(fd);
        return result;
    }
    return fd;
}

/* Under volume_state.lock. */
static int open_volume(struct volume *volume)
{
    int root_fd = open_root(volume);
    if (root_fd < 0)
        return root_fd;
    volume->dirfd = volume_dir_open(root_fd, volume->owner);
    sys_close(root_fd);
    if (volume->dirfd < 0)
        return volume->dirfd;
    int result = volume_table_open(volume);
    if (result < 0) {
        highfd_close(volume->dirfd);
        volume->dirfd = -1;
        return result;
    }
    atomic_store_explicit(&volume->ready, 1, memory_order_release); /* pairs with the acquire in volume_of */
    return 0;
}

/* Opens the volume, making it where it is new; NULL if that fails. */
static struct volume *make_volume(const struct statx *stx, const char *root, size_t length)
{
    volume_private_lock(&volume_state.lock);
    struct volume *volume = find_volume(stx, root, length);
    if (!volume)
        volume = add_volume(stx, root, length);
    int result = volume ? 0 : -ENOMEM;
    if (volume && !atomic_load_explicit(&volume->ready, memory_order_relaxed)) /* under the lock of those who set it */
        result = open_volume(volume);
    if (volume)
        atomic_store_explicit(&volume->failed, result < 0, memory_order_relaxed); /* a hint */
    shlock_release(&volume_state.lock);
    if (result < 0 && volume)
        msg(MSG_WARNING, "files of uid %u below %s are left to the kernel: error %d", volume->owner, volume->root,
            -result);
    return result < 0 ? NULL : volume;
}

/* ---- finding ---- */

/* Whether the file lacks DAX, as its statx says (an older kernel's does not say it). */
static bool is_page_cached(const struct statx *stx)
{
    return (stx->stx_attributes_mask & STATX_ATTR_DAX) && !(stx->stx_attributes & STATX_ATTR_DAX);
}

/* Whether it is worth making a volume for files like this one: nothing is made on a file system that cannot be PM. */
static bool may_be_pm(int fd, const struct statx *stx)
{
    struct statfs fs;
    if (conf_get()->pm == CONF_PM_FORCE || !is_page_cached(stx))
        return true;
    return sys_fstatfs(fd, &fs) == 0 && fs.f_type == VOLUME_TMPFS_MAGIC;
}

static struct volume *volume_below(int fd, const struct statx *stx, const char *root, size_t length)
{
    struct volume *volume = find_volume(stx, root, length);
    if (volume && volume_is_ready(volume))
        return volume->sync == PM_MAP_SYNC_REQUIRED && is_page_cached(stx) ? NULL : volume;
    /* one that another thread is opening right now is waited for in make_volume */
    if (volume && atomic_load_explicit(&volume->failed, memory_order_relaxed) &&
        atomic_fetch_add_explicit(&volume->refusals, 1, memory_order_relaxed) % VOLUME_RETRY != VOLUME_RETRY - 1)
        return NULL;
    if (!may_be_pm(fd, stx))
        return NULL;
    struct statfs fs;
    if (conf_get()->pm == CONF_PM_FORCE || sys_fstatfs(fd, &fs) != 0 || fs.f_type != VOLUME_TMPFS_MAGIC)
        pm_load(); /* with the API alone; see volume_attend. Before the lock: a constructor may open files */
    return make_volume(stx, root, length);
}

/* Whether the map of user ids is that of the first user namespace: "0 0 4294967295". */
static bool users_are_all(void)
{
    char text[64];
    const char *path = "/proc/self/uid_map";
    int at = place_at(&path);
    int fd = sys_openat(at, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return true; /* a kernel without user namespaces, or no /proc, where nothing can be attached anyway */
    ssize_t n = sys_read(fd, text, sizeof text - 1);
    sys_close(fd);
    static const char *const numbers[] = {"0", "0", "4294967295"};
    const char *rest = text;
    text[n > 0 ? n : 0] = 0;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        rest += strspn(rest, " ");
        size_t length = strlen(numbers[i]);
        if (strncmp(rest, numbers[i], length) != 0)
            return false;
        rest += length;
    }
    return true;
}

bool volume_users_mapped(void)
{
    uint32_t users = atomic_load_explicit(&volume_state.users, memory_order_relaxed);
    if (__builtin_expect(users == VOLUME_USERS_UNKNOWN, 0)) {
        users = users_are_all() ? VOLUME_USERS_ALL : VOLUME_USERS_MAPPED;
        atomic_store_explicit(&volume_state.users, users, memory_order_relaxed);
        if (users == VOLUME_USERS_MAPPED)
            msg(MSG_NOTICE, "user ids are mapped: files are left to the kernel");
    }
    return users == VOLUME_USERS_MAPPED;
}

void volume_users_changed(void)
{
    atomic_store_explicit(&volume_state.users, VOLUME_USERS_UNKNOWN, memory_order_relaxed);
}

bool volume_reachable(const struct volume *volume, uint32_t euid)
{
    return euid == 0 || euid == volume->owner;
}

/* Where libraries can be loaded, unlike in the middle of an open, which may be a handler's: what durable volumes need. */
void volume_attend(void)
{
    const struct conf *conf = conf_get();
    struct statfs fs;
    bool durable = conf->pm == CONF_PM_FORCE || !conf->root_count;
    for (unsigned i = 0; i < conf->root_count && !durable; i++)
        durable = conf->root[i] && (sys_statfs(conf->root[i], &fs) != 0 || fs.f_type != VOLUME_TMPFS_MAGIC);
    if (durable)
        pm_load();
}

struct volume *volume_of(int fd, const struct statx *stx)
{
    if (conf_get()->pm == CONF_PM_NONE || !S_ISREG(stx->stx_mode) || volume_is_exiting())
        return NULL;
    struct volume *volume = NULL;
    char *path = mem_alloc(CONF_PATH_MAX);
    if (!path)
        return NULL;
    ssize_t length = volume_root_of(fd, stx, path);
    if (length > 0 && !volume_is_internal(path, (size_t)length) && !volume_users_mapped()) {
        uint32_t euid = sys_geteuid();
        if (euid == 0 || euid == stx->stx_uid)
            volume = volume_below(fd, stx, path, (size_t)length);
    }
    mem_free(path, CONF_PATH_MAX);
    return volume;
}

bool volume_is_durable(const struct volume *volume)
{
    return volume->sync != PM_MAP_SYNC_NEVER || conf_get()->pm == CONF_PM_FORCE;
}

int volume_holds(const struct volume *volume, int fd, const struct statx *stx)
{
    uint32_t euid = sys_geteuid();
    if (!volume_reachable(volume, euid) || volume_users_mapped())
        return 0;
    char *path = mem_alloc(CONF_PATH_MAX);
    if (!path)
        return -ENOMEM;
    ssize_t length = volume_root_of(fd, stx, path);
    int result = length < 0 ? (int)length
                            : stx->stx_uid == volume->owner && (size_t)length == volume->root_length &&
                                  memcmp(path, volume->root, volume->root_length) == 0 &&
                                  !volume_is_internal(path, volume->root_length);
    mem_free(path, CONF_PATH_MAX);
    return result;
}

/* The volume of a process that has but one, below the only root. */
static inline struct volume *find_sole(const struct conf *conf)
{
    struct volume *first = volume_first();
    return first && !first->next && conf->root_count == 1 && volume_is_ready(first) ? first : NULL;
}

/* The only volume of this process on the device that is of that owner, if it is open. */
static struct volume *find_only(uint32_t dev_major, uint32_t dev_minor, uint32_t owner)
{
    struct volume *found = NULL;
    for (struct volume *volume = volume_first(); volume; volume = volume->next) {
        if (volume->dev_major != dev_major || volume->dev_minor != dev_minor || volume->owner != owner)
            continue;
        if (found || !volume_is_ready(volume))
            return NULL;
        found = volume;
    }
    return found;
}

struct volume *volume_candidate(const struct statx *stx)
{
    const struct conf *conf = conf_get();
    struct volume *volume = find_sole(conf);
    if (conf->pm == CONF_PM_NONE || volume_is_exiting() || volume_users_mapped())
        return NULL;
    if (!volume || volume->dev_major != stx->stx_dev_major || volume->dev_minor != stx->stx_dev_minor ||
        volume->owner != stx->stx_uid)
        volume = volume_has_one_root(stx->stx_dev_major, stx->stx_dev_minor, stx->stx_attributes & STATX_ATTR_DAX)
                     ? find_only(stx->stx_dev_major, stx->stx_dev_minor, stx->stx_uid)
                     : NULL;
    return volume && volume->sync == PM_MAP_SYNC_REQUIRED && is_page_cached(stx) ? NULL : volume;
}

bool volume_is_near(uint32_t dev_major, uint32_t dev_minor)
{
    const struct volume *sole = find_sole(conf_get());
    return (sole && sole->dev_major == dev_major && sole->dev_minor == dev_minor) ||
           volume_root_is_on(dev_major, dev_minor);
}

struct volume *volume_unserved(void)
{
    const struct conf *conf = conf_get();
    struct volume *sole = find_sole(conf);
    return sole && volume_has_none(sole) && !volume_is_torn(sole) && sole->sync == PM_MAP_SYNC_NEVER &&
                   conf->pm == CONF_PM_AUTO && volume_self(sole) && !volume_is_exiting() && !volume_users_mapped()
               ? sole
               : NULL;
}

bool volume_may_have(const struct volume *volume, const struct stat *st)
{
    return volume->dev == st->st_dev && volume->owner == st->st_uid;
}

bool volume_all_idle(void)
{
    for (const struct volume *volume = volume_first(); volume; volume = volume->next)
        if (!volume_is_ready(volume) || volume_is_torn(volume) || !volume_has_none(volume))
            return false;
    return true;
}

bool volume_is_known(const struct stat *st)
{
    const struct volume *first = volume_first();
    if (__builtin_expect(first && volume_may_have(first, st) && find_sole(conf_get()) == first, 1))
        return true;
    const uint32_t dev_major = major(st->st_dev), dev_minor = minor(st->st_dev);
    if (!volume_root_is_on(dev_major, dev_minor))
        return true;
    return volume_has_one_root(dev_major, dev_minor, false) && find_only(dev_major, dev_minor, st->st_uid);
}

/* ---- fork and exit ---- */

static void unlock_all(void)
{
    for (struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_relaxed); volume;
         volume = volume->next)
        shlock_release(&volume->lock);
    shlock_release(&volume_state.lock);
}

void volume_before_fork(void)
{
    volume_private_lock(&volume_state.lock);
    for (struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_relaxed); volume;
         volume = volume->next)
        volume_private_lock(&volume->lock);
}

void volume_after_fork_parent(void)
{
    unlock_all();
}

void volume_after_fork_child(void)
{
    for (struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_relaxed); volume;
         volume = volume->next) {
        volume_pool_forget(volume);
        shlock_release(&volume->one_bucket); /* of a thread that is not here */
        /* The parent's entry lives by this description: without closing it the parent would never be dead. */
        if (volume->table_fd >= 0)
            highfd_close(volume->table_fd);
        volume->table_fd = -1;
        atomic_store_explicit(&volume->self, 0, memory_order_relaxed); /* the only thread */
    }
    unlock_all();
}

bool volume_drop_pool(void)
{
    bool any = false;
    for (struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_acquire); volume;
         volume = volume->next) {
        volume_private_lock(&volume->lock);
        any = any || volume->pool_count > 0;
        volume_pool_unlink(volume);
        shlock_release(&volume->lock);
    }
    return any;
}

void volume_exit(void)
{
    atomic_store_explicit(&volume_state.exiting, 1, memory_order_relaxed);
    for (struct volume *volume = atomic_load_explicit(&volume_state.first, memory_order_acquire); volume;
         volume = volume->next) {
        volume_private_lock(&volume->lock);
        volume_pool_unlink(volume);
        uint64_t self = atomic_load_explicit(&volume->self, memory_order_acquire);
        bool left = atomic_load_explicit(&volume->left, memory_order_relaxed);
        if (self && !left) /* nothing to scan for after us; our entry itself lives as long as the process */
            atomic_store_explicit(&volume->table->process[volume_index(self)].unclean, 0, memory_order_release);
        shlock_release(&volume->lock);
    }
}
