/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_root.c — which files may be managed: a cheap test that needs no core. Layer preload.
 *
 * NVMMIO_ROOT is read at the start, or, for a program that sets it itself, at the first open. A root that does not exist
 * yet is looked for again at each open. Without NVMMIO_ROOT every regular file on a DAX mount counts. The core decides in
 * the end.
 */
#include "base/live.h"
#include "preload/preload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#define ROOT_MAX 16u    /* as in base/conf.h */
#define ROOT_PATH 4096u /* longest path, and a page */
#define ROOT_SHORT 384u /* most are shorter: no page is mapped for them, which takes some microseconds */

enum root_state { ROOT_UNREAD, ROOT_READING, ROOT_READ };
enum root_known { ROOT_KNOWN_NO, ROOT_KNOWN_BUSY, ROOT_KNOWN_YES };

struct root {
    char name[ROOT_PATH];   /* as in NVMMIO_ROOT; written before ROOT_READ */
    _Atomic uint32_t known; /* enum root_known: guards what follows */
    dev_t dev;
    size_t length; /* of real, without a slash at its end */
    char real[ROOT_PATH];
};

struct root_list {
    _Atomic int state; /* enum root_state; release when the names are there */
    unsigned count;    /* 0: files on DAX mounts */
    struct root root[ROOT_MAX];
};
static struct root_list roots; /* never touched, so without memory, in a program that opens nothing */

void preload_root_forked(void)
{
    /* relaxed, all: there is one thread. What another thread of the parent was about to write, nobody will. */
    if (atomic_load_explicit(&roots.state, memory_order_relaxed) == ROOT_READING) {
        roots.count = 0;
        atomic_store_explicit(&roots.state, ROOT_UNREAD, memory_order_relaxed);
    }
    for (unsigned i = 0; i < roots.count; i++)
        if (atomic_load_explicit(&roots.root[i].known, memory_order_relaxed) == ROOT_KNOWN_BUSY)
            atomic_store_explicit(&roots.root[i].known, ROOT_KNOWN_NO, memory_order_relaxed);
}

static void root_read_names(const char *text)
{
    while (text && *text && roots.count < ROOT_MAX) {
        const char *end = strchrnul(text, ':');
        size_t length = (size_t)(end - text);
        if (length && length < ROOT_PATH) {
            memcpy(roots.root[roots.count].name, text, length);
            roots.count++;
        }
        text = *end ? end + 1 : end;
    }
}

/* How many roots are named. While this thread reads the names, or looks a root up, none of its handlers runs, which could
 * not wait for it; other threads do wait. What they were told otherwise, that a file is in no root, would hold as long as
 * their descriptor: they would write past everybody else. */
static unsigned root_count(void)
{
    /* acquire: pairs with the release below */
    int state = atomic_load_explicit(&roots.state, memory_order_acquire);
    if (__builtin_expect(state == ROOT_READ, 1))
        return roots.count;
    uint64_t mask = sys_block_signals();
    state = ROOT_UNREAD;
    /* relaxed: only the winner goes on, and it reads nothing of others */
    if (atomic_compare_exchange_strong_explicit(&roots.state, &state, ROOT_READING, memory_order_relaxed,
                                                memory_order_relaxed)) {
        root_read_names(secure_getenv("NVMMIO_ROOT"));
        atomic_store_explicit(&roots.state, ROOT_READ, memory_order_release);
    }
    sys_unblock_signals(mask);
    while (atomic_load_explicit(&roots.state, memory_order_acquire) != ROOT_READ)
        sys_sched_yield();
    return roots.count;
}

void preload_fd_name(int fd, char name[PRELOAD_FD_NAME])
{
    static const char folder[] = "/proc/self/fd/";
    char digits[PRELOAD_FD_NAME];
    size_t count = 0;
    unsigned number = (unsigned)fd;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(name, folder, sizeof folder - 1);
    for (size_t i = 0; i < count; i++)
        name[sizeof folder - 1 + i] = digits[count - 1 - i];
    name[sizeof folder - 1 + count] = 0;
}

bool preload_root_begin(char *const envp[])
{
    static const char name[] = "NVMMIO_ROOT=";
    for (; *envp && !getauxval(AT_SECURE); envp++) {
        if (strncmp(*envp, name, sizeof name - 1) != 0)
            continue;
        root_read_names(*envp + sizeof name - 1);
        /* relaxed: there is one thread */
        atomic_store_explicit(&roots.state, ROOT_READ, memory_order_relaxed);
        return true;
    }
    return false;
}

bool preload_root_named(void)
{
    return root_count() > 0;
}

/* Room for a path. The stacks of foreign threads may be small: what is long gets a page of its own. */
struct root_room {
    char small[ROOT_SHORT];
    char *path; /* NULL: no memory */
    size_t bytes;
};

static void room_make(struct root_room *room, size_t bytes)
{
    room->path = room->small;
    room->bytes = sizeof room->small;
    if (bytes <= room->bytes)
        return;
    room->bytes = ROOT_PATH;
    room->path = sys_mmap(NULL, ROOT_PATH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error(room->path))
        room->path = NULL;
}

static void room_free(struct root_room *room)
{
    if (room->path && room->path != room->small)
        sys_munmap(room->path, ROOT_PATH);
}

/* The beginning of the path of an open file, as the kernel knows it: its length, or -errno. */
static ssize_t root_fd_path(int fd, char *path, size_t bytes)
{
    char name[PRELOAD_FD_NAME];
    preload_fd_name(fd, name);
    ssize_t length = sys_readlinkat(AT_FDCWD, name, path, bytes - 1);
    if (length >= 0)
        path[length] = 0;
    return length;
}

/* Looks the root up, once it exists. */
static void root_look(struct root *root)
{
    struct stat st;
    int fd = sys_openat(AT_FDCWD, root->name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    uint32_t known = ROOT_KNOWN_NO;
    uint64_t mask = sys_block_signals();
    /* acquire: the fields are ours now; whoever loses waits for them in root_is_known */
    if (sys_fstat(fd, &st) == 0 &&
        atomic_compare_exchange_strong_explicit(&root->known, &known, ROOT_KNOWN_BUSY, memory_order_acquire,
                                                memory_order_relaxed)) {
        ssize_t length = root_fd_path(fd, root->real, sizeof root->real);
        root->dev = st.st_dev;
        root->length = length > 1 ? (size_t)length : 0; /* "/": every absolute path begins with nothing and a slash */
        /* release: pairs with the acquire in root_is_known */
        atomic_store_explicit(&root->known, length > 0 ? ROOT_KNOWN_YES : ROOT_KNOWN_NO, memory_order_release);
    }
    sys_unblock_signals(mask);
    sys_close(fd);
}

static bool root_is_known(struct root *root)
{
    if (atomic_load_explicit(&root->known, memory_order_acquire) == ROOT_KNOWN_YES)
        return true;
    root_look(root);
    uint32_t known;
    while ((known = atomic_load_explicit(&root->known, memory_order_acquire)) == ROOT_KNOWN_BUSY)
        sys_sched_yield();
    return known == ROOT_KNOWN_YES;
}

static bool root_is_on(struct root *root, dev_t dev)
{
    return root_is_known(root) && root->dev == dev;
}

/* The length of the longest root on that device, -1: there is none. */
static ssize_t root_longest_on(dev_t dev)
{
    ssize_t longest = -1;
    for (unsigned i = 0; i < roots.count; i++)
        if (root_is_on(&roots.root[i], dev) && (ssize_t)roots.root[i].length > longest)
            longest = (ssize_t)roots.root[i].length;
    return longest;
}

static bool root_above(dev_t dev, const char *path)
{
    for (unsigned i = 0; i < roots.count; i++) {
        struct root *root = &roots.root[i];
        if (root_is_on(root, dev) && strncmp(path, root->real, root->length) == 0 && path[root->length] == '/')
            return true;
    }
    return false;
}

bool preload_root_is_dax(int dirfd, const char *path, int at_flags)
{
    struct statx stx;
    return sys_statx(dirfd, path, at_flags, STATX_TYPE, &stx) == 0 && S_ISREG(stx.stx_mode) &&
           (stx.stx_attributes & STATX_ATTR_DAX);
}

bool preload_root_holds(int fd)
{
    struct statx stx;
    if (!root_count())
        return preload_root_is_dax(fd, "", AT_EMPTY_PATH);
    /* the type alone: asking for times makes the file's next change slower, see VOLUME_STATX of log/volume.h */
    if (sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) != 0 || !S_ISREG(stx.stx_mode))
        return false;
    const dev_t dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    ssize_t longest = root_longest_on(dev);
    if (longest < 0)
        return false;
    struct root_room room;
    room_make(&room, (size_t)longest + sizeof "/"); /* no more of the path counts */
    bool inside = room.path && root_fd_path(fd, room.path, room.bytes) > 0 && root_above(dev, room.path);
    room_free(&room);
    return inside;
}

bool preload_root_holds_path(int dirfd, const char *path, int at_flags)
{
    struct stat st;
    if (!root_count())
        return preload_root_is_dax(dirfd, path, at_flags);
    if (sys_fstatat(dirfd, path, &st, at_flags) != 0 || !S_ISREG(st.st_mode) || root_longest_on(st.st_dev) < 0)
        return false;
    int nofollow = at_flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int fd = sys_openat(dirfd, path, O_PATH | O_CLOEXEC | nofollow, 0); /* its close drops no locks */
    if (fd < 0)
        return false;
    bool inside = preload_root_holds(fd);
    sys_close(fd);
    return inside;
}

static const char list_folder[] = "/.nvmmio/", list_suffix[] = ".live";
enum { LIST_MORE = sizeof list_folder + sizeof "4294967295" + sizeof list_suffix }; /* the largest UID */

/* ROOT/.nvmmio/UID.live: false where that does not fit. */
static bool root_list_name(const struct root *root, uid_t owner, const struct root_room *room)
{
    char digits[PRELOAD_FD_NAME];
    char *path = room->path;
    size_t count = 0;
    if (!path || root->length + LIST_MORE > room->bytes)
        return false;
    do
        digits[count++] = (char)('0' + owner % 10);
    while ((owner /= 10) != 0);
    memcpy(path, root->real, root->length);
    path += root->length;
    memcpy(path, list_folder, sizeof list_folder - 1);
    path += sizeof list_folder - 1;
    while (count)
        *path++ = digits[--count];
    memcpy(path, list_suffix, sizeof list_suffix);
    return true;
}

static bool root_lists(const struct root *root, const struct stat *st)
{
    uint64_t bucket[LIVE_SLOTS];
    bool listed = false;
    struct root_room room;
    room_make(&room, root->length + LIST_MORE);
    int fd = root_list_name(root, st->st_uid, &room)
                 ? sys_openat(AT_FDCWD, room.path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)
                 : -1;
    room_free(&room);
    if (fd < 0)
        return false;
    if (sys_pread(fd, bucket, sizeof bucket, (off_t)(live_bucket(st->st_ino) * sizeof bucket)) == sizeof bucket)
        for (unsigned i = 0; i < LIVE_SLOTS; i++)
            listed |= bucket[i] == st->st_ino;
    sys_close(fd);
    return listed;
}

bool preload_root_is_served(const struct stat *st)
{
    bool served = false;
    if (!S_ISREG(st->st_mode) || !preload_hopeful())
        return false;
    for (unsigned i = 0, count = root_count(); i < count && !served; i++)
        served = root_is_on(&roots.root[i], st->st_dev) && root_lists(&roots.root[i], st);
    return served;
}

int preload_adopt(int fd, int flags)
{
    const struct nvmmio_core *core = preload_core();
    if (!core && preload_hopeful() && preload_root_holds(fd))
        core = preload_core_load();
    return core && !preload_foreign() ? core->adopt(fd, flags) : 0;
}

void preload_adopt_shared(int fd)
{
    int saved = errno;
    if (preload_adopt(fd, PRELOAD_ASK_FLAGS) == 0)
        preload_demote(fd, UMA_DEMOTE_FDPASS);
    errno = saved;
}

long preload_adopt_result(long fd, int flags)
{
    if (fd < 0)
        return fd;
    int error = preload_adopt((int)fd, flags);
    if (!error)
        return fd;
    sys_close((int)fd);
    return error;
}
