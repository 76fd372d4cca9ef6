/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_root.c — which files may be managed: a cheap test that needs no core. Layer preload.
 *
 * NVMMIO_ROOT is read at the start, or, for a program that sets it itself, at the first open. A root that does not exist yet is looked for again at each open. Without
 * NVMMIO_ROOT every regular file on a DAX mount counts. The core decides in the end.
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

enum root_state { ROOT_UNREAD, ROOT_READING, ROOT_READ };
enum root_known { ROOT_KNOWN_NO, ROOT_KNOWN_BUSY, ROOT_KNOWN_YES };

struct root {
    char name[ROOT_PATH];   /* as in NVMMIO_ROOT; written before ROOT_READ */
    _Atomic uint32_t known; /* enum root_known: guards the two below */
    dev_t dev;
    char real[ROOT_PATH]; /* without a slash at its end */
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

/* How many roots are named. While this thread reads the names, or looks a root up, none of its handlers runs, which could not wait for it; other threads
 * do wait. What they were told otherwise, that a file is in no root, would hold as long as their descriptor: they would write
 * past everybody else. */
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

/* The path of an open file, as the kernel knows it, into a page: its length, or -errno. */
static ssize_t root_fd_path(int fd, char *path)
{
    char name[PRELOAD_FD_NAME];
    preload_fd_name(fd, name);
    ssize_t length = sys_readlinkat(AT_FDCWD, name, path, ROOT_PATH - 1);
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
        ssize_t length = root_fd_path(fd, root->real);
        root->dev = st.st_dev;
        if (length == 1)
            root->real[0] = 0; /* "/": every absolute path begins with nothing and a slash */
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

/* Whether a root is on that device. */
static bool root_on_device(dev_t dev)
{
    for (unsigned i = 0; i < roots.count; i++)
        if (root_is_known(&roots.root[i]) && roots.root[i].dev == dev)
            return true;
    return false;
}

static bool root_above(dev_t dev, const char *path)
{
    for (unsigned i = 0; i < roots.count; i++) {
        struct root *root = &roots.root[i];
        if (!root_is_known(root) || root->dev != dev)
            continue;
        size_t length = strlen(root->real);
        if (strncmp(path, root->real, length) == 0 && path[length] == '/')
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
    struct stat st;
    if (!root_count())
        return preload_root_is_dax(fd, "", AT_EMPTY_PATH);
    if (sys_fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !root_on_device(st.st_dev))
        return false;
    /* A page of its own: the stacks of foreign threads may be small, and this is done seldom. */
    char *path = sys_mmap(NULL, ROOT_PATH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error(path))
        return false;
    bool inside = root_fd_path(fd, path) > 0 && root_above(st.st_dev, path);
    sys_munmap(path, ROOT_PATH);
    return inside;
}

bool preload_root_holds_path(int dirfd, const char *path, int at_flags)
{
    struct stat st;
    if (!root_count())
        return preload_root_is_dax(dirfd, path, at_flags);
    if (sys_fstatat(dirfd, path, &st, at_flags) != 0 || !S_ISREG(st.st_mode) || !root_on_device(st.st_dev))
        return false;
    int nofollow = at_flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int fd = sys_openat(dirfd, path, O_PATH | O_CLOEXEC | nofollow, 0); /* its close drops no locks */
    if (fd < 0)
        return false;
    bool inside = preload_root_holds(fd);
    sys_close(fd);
    return inside;
}

/* ROOT/.nvmmio/UID.live, into a page: false where that does not fit. */
static bool root_list_name(const struct root *root, uid_t owner, char *path)
{
    static const char folder[] = "/.nvmmio/", suffix[] = ".live";
    char digits[PRELOAD_FD_NAME];
    size_t count = 0, length = strlen(root->real);
    do
        digits[count++] = (char)('0' + owner % 10);
    while ((owner /= 10) != 0);
    if (length + sizeof folder + count + sizeof suffix > ROOT_PATH)
        return false;
    memcpy(path, root->real, length);
    memcpy(path + length, folder, sizeof folder - 1);
    path += length + sizeof folder - 1;
    while (count)
        *path++ = digits[--count];
    memcpy(path, suffix, sizeof suffix);
    return true;
}

static bool root_lists(const struct root *root, const struct stat *st, char *path)
{
    uint64_t bucket[LIVE_SLOTS];
    bool listed = false;
    int fd = root_list_name(root, st->st_uid, path)
                 ? sys_openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)
                 : -1;
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
    if (!S_ISREG(st->st_mode) || !preload_hopeful() || !root_count() || !root_on_device(st->st_dev))
        return false;
    char *path = sys_mmap(NULL, ROOT_PATH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; !sys_is_error(path) && i < roots.count && !served; i++)
        served =
            root_is_known(&roots.root[i]) && roots.root[i].dev == st->st_dev && root_lists(&roots.root[i], st, path);
    if (!sys_is_error(path))
        sys_munmap(path, ROOT_PATH);
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
