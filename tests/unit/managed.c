/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * managed.c — files and their models. For unit tests.
 */
#include "unit/managed.h"

#include "base/rawsys.h"
#include "base/rcu.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char root[UNIT_PATH_MAX];
    unsigned files;
    unsigned descriptors;
    uint64_t random;
} world;

/* ---- random numbers ---- */

void managed_seed(uint64_t seed)
{
    world.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

uint64_t managed_random(uint64_t below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return (world.random >> 11) % below;
}

static void fill_random(uint8_t *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(1 + managed_random(255)); /* never what a hole reads as */
}

/* ---- system calls ---- */

#define OBJECTS_MOST 4096u
#define OBJECT_PREFIX "/dev/shm/nvmmio-"

static struct {
    char *object[OBJECTS_MOST];
    unsigned objects;
} seen; /* by the hook, under no lock: objects are made under the attach lock */

static _Thread_local struct {
    unsigned calls;
    unsigned nth, variant;
    bool armed, sticky, hit;
    long number;
    int error;
} watch;

/* The ways in which a call can fail here; none: it cannot, or nobody could do anything about it. EINTR counts as one. */
struct failing {
    long number;
    int error[MANAGED_VARIANTS];
};
static const struct failing failings[] = {
    {SYS_openat, {EMFILE, EACCES, ENOMEM}},  {SYS_fallocate, {ENOSPC, EINTR, EIO}},
    {SYS_ftruncate, {EIO, EINTR, ENOSPC}},   {SYS_fsync, {EIO, ENOSPC, EIO}},
    {SYS_mmap, {ENOMEM, EAGAIN, ENOMEM}},    {SYS_madvise, {ENOMEM, EAGAIN, ENOMEM}},
    {SYS_fstat, {ENOMEM, EIO, EACCES}},      {SYS_statx, {ENOMEM, EIO, EACCES}},
    {SYS_newfstatat, {ENOMEM, EIO, EACCES}}, {SYS_fcntl, {EMFILE, ENOLCK, ENOMEM}},
    {SYS_linkat, {ENOSPC, EACCES, EIO}},     {SYS_renameat2, {ENOSPC, EACCES, EIO}},
    {SYS_fchmod, {EPERM, EIO, EPERM}},       {SYS_fchown, {EPERM, EIO, EPERM}},
    {SYS_getrandom, {EINTR, ENOMEM, EIO}},   {SYS_readlinkat, {ENOMEM, EACCES, EIO}},
    {SYS_utimensat, {EPERM, EIO, EACCES}},   {SYS_pread64, {EIO, EINTR, ENOMEM}},
    {SYS_pwrite64, {EIO, EINTR, ENOSPC}},    {SYS_ioctl, {EIO, ENOTTY, ENOMEM}},
    {SYS_fstatfs, {EIO, ENOMEM, EIO}},       {SYS_mkdirat, {ENOSPC, EACCES, EIO}},
    {SYS_prlimit64, {EPERM, EIO, EPERM}},    {SYS_rt_sigaction, {ENOMEM, EINVAL, ENOMEM}},
    {SYS_lseek, {EIO, EINVAL, EIO}},         {SYS_getdents64, {EIO, ENOMEM, EIO}},
};

static const struct failing *failing_of(long number)
{
    for (size_t i = 0; i < sizeof failings / sizeof *failings; i++)
        if (failings[i].number == number)
            return &failings[i];
    return NULL;
}

static void note_object(long path, long flags)
{
    const char *name = (const char *)path;
    if ((flags & O_CREAT) && strncmp(name, OBJECT_PREFIX, strlen(OBJECT_PREFIX)) == 0 && seen.objects < OBJECTS_MOST)
        seen.object[seen.objects++] = strdup(name);
}

static long watch_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    watch.calls++;
    const struct failing *failing = watch.armed ? failing_of(number) : NULL;
    if (failing && (watch.nth <= 1 ? watch.nth == 1 || watch.sticky : false)) {
        int error = failing->error[watch.variant];
        if (error == EINTR && watch.sticky)
            error = EIO; /* who repeats after EINTR would do so for ever */
        if (!watch.hit) {
            watch.number = number;
            watch.error = error;
        }
        watch.hit = true;
        watch.nth = 0;
        return -error;
    }
    if (failing && watch.nth)
        watch.nth--;
    long result = rawsys_invoke_kernel(number, a, b, c, d, e, f);
    if (number == SYS_openat && result >= 0)
        note_object(b, c);
    return result;
}

void managed_watch(void)
{
    watch.calls = 0;
}

unsigned managed_calls(void)
{
    return watch.calls;
}

void managed_fault(unsigned nth, unsigned variant, bool sticky)
{
    watch.nth = nth;
    watch.variant = variant;
    watch.sticky = sticky;
    watch.hit = false;
    watch.armed = true;
}

bool managed_fault_stop(void)
{
    watch.armed = false;
    return watch.hit;
}

long managed_fault_number(void)
{
    return watch.number;
}

int managed_fault_error(void)
{
    return watch.error;
}

/* ---- what is left behind ---- */

static unsigned count_entries(const char *path, const char *suffix)
{
    DIR *dir = opendir(path);
    unsigned n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name), tail = strlen(suffix);
        n += entry->d_name[0] != '.' && length >= tail && strcmp(entry->d_name + length - tail, suffix) == 0;
    }
    if (dir)
        closedir(dir);
    return n;
}

unsigned managed_logs(void)
{
    char path[MANAGED_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/.nvmmio/%u", world.root, (unsigned)geteuid());
    return count_entries(path, ".log");
}

unsigned managed_objects(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < seen.objects; i++) {
        if (access(seen.object[i], F_OK) == 0)
            seen.object[kept++] = seen.object[i];
        else
            free(seen.object[i]);
    }
    seen.objects = kept;
    return kept;
}

unsigned managed_descriptors(void)
{
    return count_entries("/proc/self/fd", "");
}

uint64_t managed_index_bytes(const struct managed *m)
{
    struct stat st;
    assert_int_equal(fstat(m->uma->index.fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

uint32_t managed_log_blocks_used(const struct managed *m)
{
    struct index_shared *shared = uma_shared(m->uma);
    return atomic_load(&shared->log_blocks) - LOG_FIRST_BLOCK - atomic_load(&shared->free_blocks);
}

/* ---- root ---- */

void managed_begin(const char *conf)
{
    unit_directory(world.root);
    setenv("NVMMIO_ROOT", world.root, 1);
    setenv("NVMMIO_CONF", conf, 1);
    rawsys_table.invoke = watch_invoke;
    world.descriptors = managed_descriptors();
    managed_seed(1);
}

void managed_end(void)
{
    char command[UNIT_PATH_MAX + 16];
    uma_exit();
    unsigned logs = managed_logs(), objects = managed_objects();
    snprintf(command, sizeof command, "rm -rf %s", world.root);
    if (system(command) || logs || objects) {
        fprintf(stderr, "left behind: %u logs, %u index objects\n", logs, objects);
        exit(1);
    }
}

int managed_group_end(void **state)
{
    (void)state;
    managed_end();
    return 0;
}

/* ---- files ---- */

static void open_with_library(struct managed *m, int flags)
{
    m->fd = open(m->path, O_RDWR | O_CLOEXEC);
    assert_true(m->fd >= 0);
    assert_int_equal(uma_open(m->fd, O_RDWR | flags, NULL, &m->uma), 0);
    assert_non_null(m->uma);
}

static void name_next(struct managed *m, uint64_t most)
{
    memset(m, 0, sizeof *m);
    snprintf(m->path, sizeof m->path, "%s/file%u", world.root, world.files++);
    m->most = most;
    m->want = calloc(1, most + 1);
    assert_non_null(m->want);
}

void managed_inherit(struct managed *m, uint64_t most)
{
    name_next(m, most);
    open_with_library(m, 0);
}

void managed_open(struct managed *m, uint64_t size, uint64_t most, int flags)
{
    name_next(m, most);
    m->size = size;
    fill_random(m->want, size);
    int fd = open(m->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->want, size), (ssize_t)size);
    close(fd);
    open_with_library(m, flags);
}

int managed_close(struct managed *m)
{
    int result = uma_close(m->uma, m->fd);
    close(m->fd);
    m->uma = NULL;
    return result;
}

void managed_reopen(struct managed *m, int flags)
{
    if (m->uma)
        assert_int_equal(managed_close(m), 0);
    open_with_library(m, flags);
}

void managed_remove(struct managed *m)
{
    if (m->uma)
        managed_close(m);
    unlink(m->path);
    free(m->want);
}

void managed_attach(struct managed *m)
{
    assert_int_equal(uma_attach(m->uma, m->fd, UMA_TO_SERVE), 0);
}

/* ---- operations ---- */

typedef ssize_t step_function(struct managed *m, const struct iovec *iov, uint64_t offset, unsigned flags, bool user);

static ssize_t run(struct managed *m, enum uma_intent intent, step_function *step, const struct iovec *iov,
                   uint64_t offset, unsigned flags)
{
    struct uma_op op;
    ssize_t result;
    rcu_enter();
    do {
        struct uma_done done = {0};
        int path = uma_begin(m->uma, m->fd, intent, &op);
        if (path < 0) {
            result = path;
            continue;
        }
        result = step(m, iov, offset, flags, path == UMA_PATH_USER);
        if (path == UMA_PATH_KERNEL && result > 0 && intent == UMA_INTENT_READ)
            done.bytes_read = (uint64_t)result;
        if (path == UMA_PATH_KERNEL && result > 0 && intent == UMA_INTENT_WRITE)
            done.bytes_written = (uint64_t)result;
        done.synced = intent == UMA_INTENT_SYNC;
        uma_end(m->uma, &op, &done);
    } while (result == -UMA_AGAIN);
    rcu_leave();
    return result;
}

static ssize_t or_errno(ssize_t result)
{
    return result < 0 ? -errno : result;
}

static ssize_t step_write(struct managed *m, const struct iovec *iov, uint64_t offset, unsigned flags, bool user)
{
    uint64_t end = offset;
    /* cut in two, so that pieces are gathered now and then */
    size_t cut = iov->iov_len > 100 ? (size_t)(offset % iov->iov_len) : 0;
    const struct iovec parts[2] = {{iov->iov_base, cut}, {(char *)iov->iov_base + cut, iov->iov_len - cut}};
    if (user)
        return cut ? uma_write(m->uma, parts, 2, offset, iov->iov_len, flags, &end)
                   : uma_write(m->uma, iov, 1, offset, iov->iov_len, flags, &end);
    ssize_t result = or_errno(pwrite(m->fd, iov->iov_base, iov->iov_len, (off_t)offset));
    if (result > 0 && flags & UMA_WRITE_SYNC)
        fsync(m->fd);
    return result;
}

ssize_t managed_write_bytes(struct managed *m, const void *bytes, uint64_t offset, uint64_t length, unsigned flags)
{
    if (flags & UMA_WRITE_APPEND)
        offset = m->size;
    assert_true(offset + length <= m->most);
    const struct iovec iov = {(void *)bytes, length};
    ssize_t result = run(m, UMA_INTENT_WRITE, step_write, &iov, offset, flags);
    if (result > 0) {
        memcpy(m->want + offset, bytes, (size_t)result);
        m->size = uma_max(m->size, offset + (uint64_t)result);
    }
    return result;
}

ssize_t managed_write(struct managed *m, uint64_t offset, uint64_t length, unsigned flags)
{
    uint8_t *bytes = malloc(length + 1);
    fill_random(bytes, length);
    ssize_t result = managed_write_bytes(m, bytes, offset, length, flags);
    free(bytes);
    return result;
}

static ssize_t step_read(struct managed *m, const struct iovec *iov, uint64_t offset, unsigned flags, bool user)
{
    (void)flags;
    return user ? uma_read(m->uma, iov, 1, offset, iov->iov_len)
                : or_errno(pread(m->fd, iov->iov_base, iov->iov_len, (off_t)offset));
}

ssize_t managed_read(struct managed *m, void *out, uint64_t offset, uint64_t length)
{
    const struct iovec iov = {out, length};
    return run(m, UMA_INTENT_READ, step_read, &iov, offset, 0);
}

static ssize_t step_resize(struct managed *m, const struct iovec *iov, uint64_t size, unsigned flags, bool user)
{
    (void)iov;
    (void)flags;
    return user ? uma_resize(m->uma, size) : or_errno(ftruncate(m->fd, (off_t)size));
}

int managed_resize(struct managed *m, uint64_t size)
{
    assert_true(size <= m->most);
    ssize_t result = run(m, UMA_INTENT_WRITE, step_resize, NULL, size, 0);
    if (result == 0 && size < m->size)
        memset(m->want + size, 0, m->size - size);
    if (result == 0)
        m->size = size;
    return (int)result;
}

static ssize_t step_commit(struct managed *m, const struct iovec *iov, uint64_t offset, unsigned flags, bool user)
{
    (void)iov;
    (void)offset;
    (void)flags;
    return user ? uma_commit(m->uma) : or_errno(fsync(m->fd));
}

int managed_commit(struct managed *m)
{
    return (int)run(m, UMA_INTENT_SYNC, step_commit, NULL, 0, 0);
}

static ssize_t step_write_back(struct managed *m, const struct iovec *iov, uint64_t offset, unsigned flags, bool user)
{
    (void)iov;
    (void)offset;
    (void)flags;
    return user ? uma_write_back(m->uma) : 0;
}

int managed_write_back(struct managed *m)
{
    return (int)run(m, UMA_INTENT_LOOK, step_write_back, NULL, 0, 0);
}

/* ---- comparing ---- */

static void expect_equal(const struct managed *m, const uint8_t *got, uint64_t offset, uint64_t length, const char *how)
{
    for (uint64_t i = 0; i < length; i++)
        if (got[i] != m->want[offset + i])
            fail_msg("%s: byte %llu is %u, not %u (size %llu)", how, (unsigned long long)(offset + i), got[i],
                     m->want[offset + i], (unsigned long long)m->size);
}

void managed_check_part(struct managed *m, uint64_t offset, uint64_t length)
{
    uint8_t *got = malloc(length + 1);
    uint64_t want = offset < m->size ? uma_min(length, m->size - offset) : 0;
    assert_int_equal(managed_read(m, got, offset, length), want);
    expect_equal(m, got, offset, want, "read");
    free(got);
}

void managed_check(struct managed *m)
{
    if (uma_is_attached(m->uma) && atomic_load(&uma_shared(m->uma)->mode) != INDEX_MODE_PASSTHROUGH)
        assert_int_equal(uma_size(m->uma), m->size);
    managed_check_part(m, 0, m->most + 1);
}

void managed_check_kernel(struct managed *m)
{
    struct stat st;
    uint8_t *got = malloc(m->most + 1);
    int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, m->size);
    assert_int_equal(pread(fd, got, m->most + 1, 0), m->size);
    expect_equal(m, got, 0, m->size, "the kernel");
    close(fd);
    free(got);
}
