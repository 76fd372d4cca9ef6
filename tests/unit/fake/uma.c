/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fake/uma.c — uma/uma.h over plain system calls, for tests of layer file.
 */
#include "unit/unit.h"

#include "unit/fake/uma.h"

#include "file/owner.h"
#include "pm/pm_guard.h"

#include "api/init.h"
#include "base/rawsys.h"
#include "base/rcu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FAKE_UMAS 4096
#define FAKE_RANGES 16

struct uma {
    bool used;
    _Atomic bool closed;
    int holders;
    int fd; /* own */
    bool passthrough;
    uint64_t dev, ino;
    pthread_mutex_t append;
};

static struct {
    struct uma uma[FAKE_UMAS]; /* used again late, so that a use after the end is seen */
    int count;                 /* of those ever used */
    int last;
    pthread_mutex_t lock;
    struct {
        char *addr;
        size_t length;
        uint64_t offset;
        struct uma *uma;
        unsigned kind;
    } range[FAKE_RANGES];
} umas = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct fake_uma fake_uma;

/* Brings the file with the fork handlers out of the library's archive. */
extern void (*const fake_fork_handler)(void);
void (*const fake_fork_handler)(void) = api_before_fork;

void fake_uma_begin(char *directory)
{
    memset(&fake_uma, 0, sizeof fake_uma);
    memset(umas.range, 0, sizeof umas.range);
    for (int i = 0; i < umas.count; i++) {
        umas.uma[i].used = false;
        umas.uma[i].closed = true;
    }
    unit_directory(directory);
    snprintf(fake_uma.root, sizeof fake_uma.root, "%s/in", directory);
    if (mkdir(fake_uma.root, 0700))
        abort();
    fake_uma.user = true;
}

static void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}

void fake_uma_finish(const char *directory)
{
    remove_directory(fake_uma.root);
    remove_directory(directory);
    assert_int_equal(fake_uma.open_umas, 0);
    assert_int_equal(fake_uma.inside, 0);
    assert_int_equal(fake_uma.used_after_close, 0);
}

static void check(struct uma *uma)
{
    if (uma->closed)
        fake_uma.used_after_close++;
}

static bool is_managed(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    size_t root = strlen(fake_uma.root);
    return n > 0 && root && (size_t)n > root && !strncmp(path, fake_uma.root, root);
}

static struct uma *find(uint64_t dev, uint64_t ino)
{
    for (int i = 0; i < umas.count; i++)
        if (umas.uma[i].used && umas.uma[i].dev == dev && umas.uma[i].ino == ino)
            return &umas.uma[i];
    return NULL;
}

static struct uma *make(int fd, uint64_t dev, uint64_t ino)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    do
        umas.last = (umas.last + 1) % FAKE_UMAS;
    while (umas.last < umas.count && !umas.uma[umas.last].closed);
    if (umas.count <= umas.last)
        umas.count = umas.last + 1;
    struct uma *uma = &umas.uma[umas.last];
    *uma = (struct uma){.used = true};
    uma->dev = dev;
    uma->ino = ino;
    int own = open(link, O_RDWR | O_CLOEXEC);
    if (own < 0)
        own = open(link, O_RDONLY | O_CLOEXEC);
    uma->fd = fcntl(own, F_DUPFD_CLOEXEC, 600);
    close(own);
    pthread_mutex_init(&uma->append, NULL);
    fake_uma.open_umas++;
    return uma;
}

int uma_open(int fd, int flags, const struct statx *stx, struct uma **out)
{
    (void)flags;
    *out = NULL;
    struct statx own;
    if (!stx) {
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &own))
            return -errno;
        stx = &own;
    }
    if (!S_ISREG(stx->stx_mode) || !is_managed(fd))
        return 0;
    if (fake_uma.open_error)
        return -fake_uma.open_error;
    uint64_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    pthread_mutex_lock(&umas.lock);
    struct uma *uma = find(dev, stx->stx_ino);
    if (!uma)
        uma = make(fd, dev, stx->stx_ino);
    uma->holders++;
    pthread_mutex_unlock(&umas.lock);
    fake_uma.opens++;
    *out = uma;
    return 0;
}

int uma_hold(int fd, int flags, const struct statx *stx, struct uma **out)
{
    return uma_open(fd, flags, stx, out);
}

struct uma_parting uma_parting;

bool uma_parting_wait(void)
{
    return true;
}

void uma_ref(struct uma *uma)
{
    pthread_mutex_lock(&umas.lock);
    uma->holders++;
    pthread_mutex_unlock(&umas.lock);
}

int uma_close(struct uma *uma, int fd)
{
    fake_uma.closes++;
    fake_uma.last_close_fd = fd;
    while (fake_uma.hold_close)
        sched_yield();
    pthread_mutex_lock(&umas.lock);
    bool last = --uma->holders == 0;
    if (last)
        uma->used = false;
    pthread_mutex_unlock(&umas.lock);
    if (last) {
        rcu_wait();
        uma->closed = true;
        close(uma->fd);
        fake_uma.open_umas--;
    }
    return last && fake_uma.close_error ? -fake_uma.close_error : 0;
}

void uma_keep_locks(struct uma *uma, bool whole)
{
    (void)uma;
    (void)whole;
}

void uma_exec_failed(void)
{
}

bool uma_take_over(int fd)
{
    (void)fd;
    return false;
}

void uma_take_over_end(void)
{
}

bool uma_bars_execution(const struct uma *uma)
{
    (void)uma;
    return false;
}

int uma_let_lender_go(struct uma *uma, int fd)
{
    (void)uma;
    (void)fd;
    return 0;
}

int uma_let_execute(struct uma *uma, int fd)
{
    (void)uma;
    (void)fd;
    return 0;
}

int uma_before_lock(struct uma *uma, int fd)
{
    (void)fd;
    check(uma);
    fake_uma.locks++;
    return 0;
}

void uma_identity(const struct uma *uma, struct volume **volume, uint64_t *ino)
{
    (void)uma;
    *volume = NULL;
    *ino = 0;
}

void uma_note_locks(struct uma *uma, uint32_t count)
{
    check(uma);
    (void)count;
}

enum uma_lock uma_note_lock(struct uma *uma)
{
    check(uma);
    return uma_is_served(uma) ? UMA_LOCK_HERE : UMA_LOCK_EARLY;
}

/* No file here has to earn anything. */
bool uma_worth_tears_across(struct uma_worth *worth, const struct volume *volume, int fd, int64_t offset,
                            uint64_t length)
{
    (void)volume;
    (void)worth;
    (void)fd;
    (void)offset;
    (void)length;
    return false;
}

bool uma_earn_whole(struct uma *uma, int fd, int64_t offset, uint64_t length)
{
    (void)uma;
    (void)fd;
    (void)offset;
    (void)length;
    return false;
}

void uma_note_cut(struct uma *uma)
{
    (void)uma;
}

void uma_note_worth(struct uma *uma, const struct uma_worth *worth)
{
    (void)uma;
    (void)worth;
}

bool uma_is_known(uint64_t dev, uint64_t ino)
{
    return uma_find(dev, ino) != NULL;
}

bool uma_is_volatile(const struct uma *uma)
{
    (void)uma;
    return false;
}

bool uma_sync_is_void(struct uma *uma)
{
    check(uma);
    return false;
}

int uma_begin(struct uma *uma, int fd, enum uma_intent intent, struct uma_op *op)
{
    (void)fd;
    (void)intent;
    check(uma);
    op->inflight = NULL;
    if (fake_uma.begin_error)
        return -fake_uma.begin_error;
    fake_uma.inside++;
    return fake_uma.user && !uma->passthrough ? UMA_PATH_USER : UMA_PATH_KERNEL;
}

void uma_end(struct uma *uma, struct uma_op *op, const struct uma_done *done)
{
    (void)op;
    (void)done;
    check(uma);
    fake_uma.inside--;
}

int uma_nowait(struct uma *uma, int fd, enum uma_intent intent)
{
    (void)uma;
    (void)fd;
    (void)intent;
    return 0;
}

struct uma *uma_lease_yield(uint64_t dev, uint64_t ino)
{
    (void)dev;
    (void)ino;
    return NULL;
}

long uma_out_of_room(long result)
{
    return result;
}

static bool again(void)
{
    if (fake_uma.again <= 0)
        return false;
    fake_uma.again--;
    fake_uma.user = !fake_uma.user;
    return true;
}

/* The first `length` bytes of the buffers, one system call for each. */
static ssize_t each_buffer(int fd, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length, bool write)
{
    ssize_t sum = 0;
    for (int i = 0; i < iovcnt && length; i++) {
        size_t n = iov[i].iov_len < length ? iov[i].iov_len : length;
        ssize_t done =
            write ? pwrite(fd, iov[i].iov_base, n, (off_t)offset) : pread(fd, iov[i].iov_base, n, (off_t)offset);
        if (done < 0)
            return sum ? sum : -errno;
        sum += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
        if ((size_t)done < n)
            break;
    }
    return sum;
}

ssize_t uma_read(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length)
{
    if (again())
        return -UMA_AGAIN;
    fake_uma.inside_read++;
    while (fake_uma.hold_reads)
        sched_yield();
    check(uma);
    ssize_t result = each_buffer(uma->fd, iov, iovcnt, offset, length, false);
    fake_uma.inside_read--;
    return result;
}

ssize_t uma_write(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length,
                  unsigned flags, uint64_t *end)
{
    if (again())
        return -UMA_AGAIN;
    check(uma);
    fake_uma.last_write_flags = flags;
    pthread_mutex_lock(&uma->append);
    if (flags & UMA_WRITE_APPEND)
        offset = uma_size(uma);
    ssize_t result = -EFBIG;
    if (!fake_uma.size_max || offset < (uint64_t)fake_uma.size_max)
        result = each_buffer(uma->fd, iov, iovcnt, offset, length, true);
    pthread_mutex_unlock(&uma->append);
    *end = offset + (uint64_t)(result > 0 ? result : 0);
    return result;
}

int uma_commit(struct uma *uma)
{
    check(uma);
    fake_uma.commits++;
    return 0;
}

uint64_t uma_size(struct uma *uma)
{
    struct stat st;
    check(uma);
    return fstat(uma->fd, &st) ? 0 : (uint64_t)(st.st_size + fake_uma.size_bias);
}

uint64_t uma_size_most(struct uma *uma, uint64_t end)
{
    (void)uma;
    return end;
}

int uma_resize(struct uma *uma, uint64_t size)
{
    if (again())
        return -UMA_AGAIN;
    check(uma);
    fake_uma.resizes++;
    return ftruncate(uma->fd, (off_t)size) ? -errno : 0;
}

int uma_allocate(struct uma *uma, int mode, uint64_t offset, uint64_t length)
{
    check(uma);
    return fallocate(uma->fd, mode, (off_t)offset, (off_t)length) ? -errno : 0;
}

int uma_before_flags(struct uma *uma, int fd)
{
    (void)uma;
    (void)fd;
    return 0;
}

void uma_note_read(struct uma *uma)
{
    (void)uma;
}

bool uma_deliver_times(struct uma *uma)
{
    check(uma);
    fake_uma.delivered++;
    return false;
}

bool uma_times_kept(struct uma *uma, struct timespec *mtime)
{
    check(uma);
    (void)mtime;
    return false;
}

bool uma_times_are_told(struct uma *uma)
{
    check(uma);
    return false;
}

uint32_t uma_times_keeps(struct uma *uma)
{
    check(uma);
    return 0;
}

void uma_reach(struct uma *uma)
{
    check(uma);
    fake_uma.reached++;
}

bool uma_is_detached(struct uma *uma)
{
    return !uma_is_served(uma);
}

bool uma_begin_kernel(struct uma *uma, struct uma_op *op)
{
    op->inflight = NULL;
    if (uma_is_served(uma))
        return false;
    fake_uma.inside++;
    return true;
}

bool uma_is_served(const struct uma *uma)
{
    return fake_uma.user || uma->passthrough;
}

int uma_set_times(struct uma *uma, int dirfd, const char *path, const struct timespec times[2], int flags)
{
    check(uma);
    fake_uma.set_times++;
    return sys_utimensat(dirfd, path, times, flags);
}

int64_t uma_seek_data(struct uma *uma, uint64_t offset)
{
    check(uma);
    off_t result = lseek(uma->fd, (off_t)offset, SEEK_DATA);
    return result < 0 ? -errno : result;
}

int64_t uma_seek_hole(struct uma *uma, uint64_t offset)
{
    check(uma);
    off_t result = lseek(uma->fd, (off_t)offset, SEEK_HOLE);
    return result < 0 ? -errno : result;
}

int uma_write_back(struct uma *uma)
{
    check(uma);
    fake_uma.written_back++;
    return 0;
}

int uma_demote_beside(struct uma *uma, int fd, enum uma_demotion reason)
{
    return uma_demote(uma, fd, reason);
}

int uma_demote(struct uma *uma, int fd, enum uma_demotion reason)
{
    (void)fd;
    (void)reason;
    check(uma);
    if (fake_uma.demote_error)
        return -fake_uma.demote_error;
    fake_uma.demotions++;
    uma->passthrough = true;
    return 0;
}

struct uma *uma_find(uint64_t dev, uint64_t ino)
{
    pthread_mutex_lock(&umas.lock);
    struct uma *uma = find(dev, ino);
    pthread_mutex_unlock(&umas.lock);
    return uma;
}

void uma_each(void (*visit)(struct uma *uma, void *arg), void *arg)
{
    for (int i = 0; i < umas.count; i++)
        if (umas.uma[i].used)
            visit(&umas.uma[i], arg);
}

bool uma_wants_kernel(struct uma *uma)
{
    check(uma);
    return fake_uma.wants_kernel;
}

static void forget_ranges(const char *addr, size_t length);

int uma_map(struct uma *uma, int fd, void *addr, size_t length, uint64_t offset, unsigned kind)
{
    (void)fd;
    if (kind & UMA_MAP_ATOMIC && kind & UMA_MAP_WRITABLE) /* all pages at once */
        sys_mprotect(addr, length, PROT_READ | PROT_WRITE);
    forget_ranges(addr, length);
    for (int i = 0; i < FAKE_RANGES; i++) {
        if (umas.range[i].uma)
            continue;
        umas.range[i].addr = addr;
        umas.range[i].length = length;
        umas.range[i].offset = offset;
        umas.range[i].kind = kind;
        umas.range[i].uma = uma;
        uma_ref(uma);
        fake_uma.maps++;
        if (kind & UMA_MAP_KERNELS)
            fake_uma.held++;
        return 0;
    }
    return -ENOMEM;
}

bool uma_is_atomic(struct uma *uma)
{
    (void)uma;
    return false;
}

int uma_map_protect(void *addr, size_t length, int prot)
{
    return sys_mprotect(addr, length, prot);
}

void uma_map_leaving(void *addr, size_t length)
{
    (void)addr;
    (void)length;
}

bool uma_protect_touch(const void *addr, size_t length)
{
    (void)addr;
    (void)length;
    return false;
}

void *uma_remap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    return sys_mremap(old, old_length, length, flags, new);
}

/* Whole mappings only. */
static void forget_ranges(const char *addr, size_t length)
{
    for (int i = 0; i < FAKE_RANGES; i++) {
        struct uma *uma = umas.range[i].uma;
        if (!uma || umas.range[i].addr < addr || umas.range[i].addr >= addr + length)
            continue;
        umas.range[i].uma = NULL;
        uma_close(uma, -1);
        fake_uma.unmaps++;
    }
}

int uma_unmap(void *addr, size_t length)
{
    forget_ranges(addr, length);
    return sys_munmap(addr, length);
}

void *uma_map_over(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    forget_ranges(addr, length);
    return sys_mmap(addr, length, prot, flags, fd, offset);
}

void uma_map_inherited(void)
{
}

int uma_commit_written(struct uma *uma)
{
    return uma_commit(uma);
}

struct uma *uma_at(const void *addr, struct uma_place *place)
{
    const char *at = addr;
    place->length = SIZE_MAX;
    for (int i = 0; i < FAKE_RANGES; i++) {
        if (!umas.range[i].uma)
            continue;
        if (at >= umas.range[i].addr && at < umas.range[i].addr + umas.range[i].length) {
            size_t into = (size_t)(at - umas.range[i].addr);
            place->offset = umas.range[i].offset + into;
            place->length = umas.range[i].length - into;
            place->kind = umas.range[i].kind;
            return umas.range[i].kind & UMA_MAP_SHARED ? umas.range[i].uma : NULL;
        }
        if (umas.range[i].addr > at && (size_t)(umas.range[i].addr - at) < place->length)
            place->length = (size_t)(umas.range[i].addr - at);
    }
    return NULL;
}

void uma_map_before_fork(void)
{
}
void uma_map_after_fork(void)
{
}
void uma_before_fork(void)
{
    pthread_mutex_lock(&umas.lock);
}
void uma_after_fork_parent(void)
{
    pthread_mutex_unlock(&umas.lock);
}
void uma_after_fork_child(void)
{
    pthread_mutex_unlock(&umas.lock);
}
void uma_born(void)
{
    pthread_mutex_init(&umas.lock, NULL);
}
int uma_rescue_install(void)
{
    return pm_guard_install();
}
void uma_before_exec(void)
{
    fake_uma.execs++;
}
bool uma_relieve(void)
{
    return false;
}
uint32_t uma_process(const struct uma *uma)
{
    return uma ? (uint32_t)getpid() : 0;
}
bool uma_process_is_dead(const struct uma *uma, uint32_t process)
{
    return uma && owner_is_gone(process);
}
bool uma_is_reachable(const struct uma *uma, uint32_t euid, bool privileged)
{
    return uma && (euid || privileged);
}
void uma_sync_after_fork_child(void)
{
}
bool uma_sync_pause(void)
{
    return false;
}
void uma_sync_resume(void)
{
}
void uma_main_ended(void)
{
}
void uma_exit(void)
{
}
bool uma_has_left(void)
{
    return false;
}
void uma_exit_wait(bool to_the_end)
{
    (void)to_the_end;
}
