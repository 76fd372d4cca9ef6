/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_life.c — a managed file from its open to its last close: lazy attach, O_ATOMIC, modes and demotion, mapped ranges,
 * data and holes, fallocate, size, memory, and the absence of system calls.
 */
#include "unit/managed.h"

#include "base/mem.h"
#include "base/rcu.h"
#include "base/stats.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define K 1024
#define MIB (1024 * K)

static enum index_mode mode_of(const struct managed *m)
{
    return (enum index_mode)atomic_load(&uma_shared(m->uma)->mode);
}

/* The way a call goes. */
static int path_of(struct managed *m, enum uma_intent intent)
{
    struct uma_op op;
    struct uma_done done = {0};
    rcu_enter();
    int path = uma_begin(m->uma, m->fd, intent, &op);
    if (path >= 0)
        uma_end(m->uma, &op, &done);
    rcu_leave();
    return path;
}

/* ---- attaching ---- */

/* A file that is only opened, looked at and closed costs no descriptor, mapping, log or index object, and little memory. */
static void test_open_costs_nothing(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    assert_int_equal(managed_close(&m), 0);
    unsigned descriptors = managed_descriptors(), logs = managed_logs(), objects = managed_objects();
    size_t memory = mem_allocated();
    managed_reopen(&m, 0);
    assert_int_equal(path_of(&m, UMA_INTENT_LOOK), UMA_PATH_KERNEL);
    assert_int_equal(path_of(&m, UMA_INTENT_SYNC), UMA_PATH_KERNEL);
    managed_check(&m); /* read once: by the kernel */
    assert_false(uma_is_attached(m.uma));
    assert_int_equal(managed_descriptors(), descriptors + 1);
    assert_int_equal(managed_logs(), logs);
    assert_int_equal(managed_objects(), objects);
    assert_in_range(mem_allocated() - memory, 1, 4096);
    assert_int_equal(managed_close(&m), 0);
    assert_int_equal(mem_allocated(), memory);
    managed_remove(&m);
}

/* The first write attaches, as do reads once they have read what the file holds; a created file is the kernel's until it
 * was synced. */
static void test_attach_is_lazy(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_check(&m);
    assert_false(uma_is_attached(m.uma));
    managed_check(&m);
    assert_true(uma_is_attached(m.uma));
    managed_reopen(&m, 0);
    assert_int_equal(managed_write(&m, 5, 1, 0), 1);
    assert_true(uma_is_attached(m.uma));
    managed_remove(&m);

    managed_open(&m, 0, 64 * K, 0);
    assert_int_equal(managed_write(&m, 0, 10000, 0), 10000);
    assert_false(uma_is_attached(m.uma));
    assert_int_equal(managed_commit(&m), 0);
    assert_false(uma_is_attached(m.uma));
    assert_int_equal(managed_write(&m, 5000, 1, 0), 1);
    assert_true(uma_is_attached(m.uma));
    managed_check(&m);
    managed_remove(&m);
}

/* Several holders share one uma; only the last close detaches. What is committed lazily is in the file after it. */
static void test_holders(void **state)
{
    struct managed m;
    struct uma *again;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(uma_open(m.fd, O_RDWR, NULL, &again), 0);
    assert_ptr_equal(again, m.uma);
    uma_ref(m.uma);
    assert_int_equal(managed_write(&m, 100, 10000, 0), 10000);
    assert_int_equal(uma_close(again, m.fd), 0);
    assert_int_equal(uma_close(m.uma, m.fd), 0);
    assert_true(uma_is_attached(m.uma));
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* O_ATOMIC reaches the log's header before the first write, whoever brings it and when. */
static void test_atomic_flag(void **state)
{
    struct managed m;
    struct uma *again;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, O_ATOMIC);
    managed_attach(&m);
    assert_true(log_header(&m.uma->log)->flags & LOG_FLAG_ATOMIC);
    assert_int_equal(atomic_load(&uma_shared(m.uma)->atomic), 1);
    managed_reopen(&m, 0);
    managed_attach(&m);
    assert_false(log_header(&m.uma->log)->flags & LOG_FLAG_ATOMIC);
    assert_int_equal(uma_open(m.fd, O_RDWR | O_ATOMIC, NULL, &again), 0);
    assert_true(log_header(&m.uma->log)->flags & LOG_FLAG_ATOMIC);
    uma_close(again, m.fd);
    managed_remove(&m);
    managed_open(&m, 0, 64 * K, O_ATOMIC); /* never fresh: an empty one attaches at its first write */
    assert_int_equal(managed_write(&m, 0, 10, 0), 10);
    assert_true(uma_is_attached(m.uma));
    managed_remove(&m);
}

/* ---- modes ---- */

/* Demotion brings all that was written, synced or not, to the file and hands it to the kernel until the last close; then
 * it is managed again. Each reason has a counter. */
static void test_demotion(void **state)
{
    (void)state;
    for (int reason = UMA_DEMOTE_STDIO; reason <= UMA_DEMOTE_OTHER; reason++) {
        struct managed m;
        unsigned counter = STATS_DEMOTE_STDIO + (unsigned)reason;
        uint64_t before = stats_sum((enum stats_counter)counter);
        managed_open(&m, 64 * K, 80 * K, reason % 2 ? O_ATOMIC : 0);
        assert_int_equal(managed_write(&m, 3000, 20000, 0), 20000);
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_write(&m, 60 * K, 10 * K, 0), 10 * K);
        assert_int_equal(managed_resize(&m, 69 * K), 0);
        assert_int_equal(uma_demote(m.uma, m.fd, (enum uma_demotion)reason), 0);
        assert_int_equal(mode_of(&m), INDEX_MODE_PASSTHROUGH);
        managed_check_kernel(&m);
        assert_int_equal(path_of(&m, UMA_INTENT_WRITE), UMA_PATH_KERNEL);
        assert_int_equal(managed_write(&m, 100, 100, 0), 100);
        managed_check_kernel(&m);
        managed_check(&m);
        assert_int_equal(uma_demote(m.uma, m.fd, (enum uma_demotion)reason), 0); /* again */
        assert_int_equal(stats_sum((enum stats_counter)counter), before + 1);
        const struct iovec iov = {m.want, 1};
        uint64_t end;
        assert_int_equal(uma_write(m.uma, &iov, 1, 0, 1, 0, &end), -UMA_AGAIN);
        assert_int_equal(uma_commit(m.uma), -UMA_AGAIN);
        assert_int_equal(uma_resize(m.uma, 1), -UMA_AGAIN);
        managed_reopen(&m, 0);
        assert_int_equal(path_of(&m, UMA_INTENT_WRITE), UMA_PATH_USER);
        assert_int_equal(managed_write(&m, 1, 100, 0), 100);
        managed_check(&m);
        managed_remove(&m);
    }
}

/* After an I/O error in a commit the file fails, honestly and for every call, until its last close; another file does not.
 * What was committed before is there afterwards. */
static void test_failed_mode(void **state)
{
    struct managed m, other;
    uint8_t *before = malloc(64 * K);
    (void)state;
    managed_open(&m, 64 * K, 80 * K, O_ATOMIC);
    managed_open(&other, 64 * K, 64 * K, 0);
    assert_int_equal(managed_write(&m, 0, 64 * K, 0), 64 * K);
    assert_int_equal(managed_commit(&m), 0);
    memcpy(before, m.want, 64 * K);
    assert_int_equal(managed_write(&m, 62 * K, 10 * K, 0), 10 * K); /* allocates: the commit must fsync */
    for (unsigned nth = 1; mode_of(&m) != INDEX_MODE_FAILED; nth++) {
        managed_fault(nth, 0, false);
        int result = managed_commit(&m);
        assert_true(managed_fault_stop());
        assert_true(result == -EIO || mode_of(&m) != INDEX_MODE_FAILED);
    }
    uint8_t byte;
    assert_int_equal(managed_read(&m, &byte, 0, 1), -EIO);
    assert_int_equal(managed_write(&m, 0, 1, 0), -EIO);
    assert_int_equal(managed_commit(&m), -EIO);
    assert_int_equal(managed_resize(&m, 0), -EIO);
    assert_int_equal(managed_write(&other, 0, 10, 0), 10);
    assert_int_equal(managed_commit(&other), 0);
    managed_close(&m);
    memcpy(m.want, before, 64 * K);
    m.size = 64 * K;
    managed_reopen(&m, O_ATOMIC);
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
    managed_remove(&other);
    free(before);
}

/* ---- mapped ranges ---- */

enum { STORES = UMA_MAP_SHARED | UMA_MAP_WRITABLE | UMA_MAP_STORES };

/* Addresses are found in the ranges they were mapped as, also when a part was unmapped; the file leaves IN_PLACE with its
 * last range, and is held open by it. */
static void test_map_ranges(void **state)
{
    struct managed m;
    struct uma_place place = {0};
    (void)state;
    managed_open(&m, 256 * K, 256 * K, 0);
    char *base = mmap(NULL, 64 * K, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 16 * K);
    assert_true(base != MAP_FAILED);
    assert_int_equal(uma_map(m.uma, m.fd, base, 64 * K, 16 * K, STORES), 0);
    assert_int_equal(mode_of(&m), INDEX_MODE_IN_PLACE);
    rcu_enter();
    assert_ptr_equal(uma_at(base + 5, &place), m.uma);
    assert_int_equal(place.offset, 16 * K + 5);
    assert_int_equal(place.length, 64 * K - 5);
    assert_int_equal(place.kind, STORES);
    assert_null(uma_at(base - 10, &place));
    assert_true(place.length == 10 || place.length < 64 * K);
    assert_null(uma_at(base + 64 * K, &place));
    rcu_leave();
    uma_unmap(base + 16 * K, 4096); /* a hole in the middle */
    assert_int_equal(mode_of(&m), INDEX_MODE_IN_PLACE);
    rcu_enter();
    assert_ptr_equal(uma_at(base + 16 * K - 1, &place), m.uma);
    assert_int_equal(place.length, 1);
    assert_null(uma_at(base + 16 * K, &place));
    assert_int_equal(place.length, 4096);
    assert_ptr_equal(uma_at(base + 20 * K, &place), m.uma);
    assert_int_equal(place.offset, 36 * K);
    assert_int_equal(place.length, 44 * K);
    rcu_leave();
    assert_int_equal(managed_write(&m, 0, 100 * K, 0), 100 * K);
    struct uma *uma = m.uma;
    int fd = m.fd;
    assert_int_equal(uma_close(uma, fd), 0); /* the ranges hold it */
    managed_check(&m);
    uma_ref(uma);
    uma_unmap(base, 64 * K);
    assert_int_equal(mode_of(&m), INDEX_MODE_LOGGED);
    munmap(base, 64 * K);
    managed_check(&m);
    managed_remove(&m);
}

/* The file, the offset and the length that are known of an address. */
static void check_range(struct managed *m, const char *address, uint64_t offset, size_t length)
{
    struct uma_place place = {0};
    rcu_enter();
    assert_ptr_equal(uma_at(address, &place), m->uma);
    rcu_leave();
    assert_int_equal(place.offset, offset);
    assert_int_equal(place.length, length);
    assert_int_equal(place.kind, STORES);
}

static void check_no_range(const char *address)
{
    struct uma_place place;
    rcu_enter();
    assert_null(uma_at(address, &place));
    rcu_leave();
}

/* What is known of a mapping goes where mremap takes it, grows and shrinks with it, and stays where mremap fails; a plain
 * mapping holds the file wherever it is. */
static void test_map_moves(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 256 * K, 256 * K, 0);
    char *room = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *base = mmap(NULL, 64 * K, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 16 * K);
    assert_int_equal(uma_map(m.uma, m.fd, base, 64 * K, 16 * K, STORES), 0);
    assert_ptr_equal(uma_remap(base, 64 * K, 64 * K, MREMAP_MAYMOVE | MREMAP_FIXED, room), room);
    check_no_range(base);
    check_range(&m, room + 5, 16 * K + 5, 64 * K - 5);
    assert_ptr_equal(uma_remap(room, 64 * K, 16 * K, 0, NULL), room);
    check_range(&m, room, 16 * K, 16 * K);
    check_no_range(room + 16 * K);
    assert_true((intptr_t)uma_remap(room, 16 * K, 32 * K, 0x7000, NULL) == -EINVAL);
    check_range(&m, room, 16 * K, 16 * K);
    /* a part of it goes away, the rest stays */
    assert_ptr_equal(uma_remap(room + 4 * K, 4 * K, 8 * K, MREMAP_MAYMOVE | MREMAP_FIXED, room + 512 * K),
                     room + 512 * K);
    check_range(&m, room, 16 * K, 4 * K);
    check_no_range(room + 4 * K);
    check_range(&m, room + 8 * K, 24 * K, 8 * K);
    check_range(&m, room + 512 * K, 20 * K, 8 * K);
    assert_int_equal(mode_of(&m), INDEX_MODE_IN_PLACE);
    assert_int_equal(managed_write(&m, 0, 100 * K, 0), 100 * K);
    assert_memory_equal(room + 512 * K, m.want + 20 * K, 8 * K);
    uma_unmap(room, MIB);
    assert_int_equal(mode_of(&m), INDEX_MODE_LOGGED);

    char *plain = mmap(NULL, 64 * K, PROT_READ, MAP_SHARED, m.fd, 0);
    assert_int_equal(uma_demote(m.uma, m.fd, UMA_DEMOTE_MMAP), 0);
    assert_int_equal(uma_map(m.uma, m.fd, plain, 64 * K, 0, UMA_MAP_SHARED | UMA_MAP_KERNELS), 0);
    assert_ptr_equal(uma_remap(plain, 64 * K, 128 * K, MREMAP_MAYMOVE | MREMAP_FIXED, room), room);
    uma_unmap(plain, 64 * K); /* what is there by now is none of the file's */
    struct uma *uma = m.uma;
    assert_int_equal(uma_close(uma, m.fd), 0);
    assert_int_equal(mode_of(&m), INDEX_MODE_PASSTHROUGH); /* the moved mapping holds it */
    uma_ref(uma);
    uma_unmap(room, MIB);
    munmap(room, MIB);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* While a file is mapped by nvmmap, loads from it see each write at once, and reads see each store; commits and new sizes
 * change nothing in that. A mapping made in the middle of a life begins with the newest bytes. */
static void test_map_is_coherent(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct managed m;
        managed_open(&m, 100 * K, 256 * K, how & 2 ? O_ATOMIC : 0);
        assert_int_equal(managed_write(&m, 1000, 50 * K, 0), 50 * K);
        if (how & 1)
            assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_write(&m, 7, 30 * K, 0), 30 * K);
        char *base = mmap(NULL, 256 * K, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
        assert_true(base != MAP_FAILED);
        assert_int_equal(uma_map(m.uma, m.fd, base, 256 * K, 0, STORES), 0);
        assert_memory_equal(base, m.want, m.size);
        for (int i = 0; i < 200; i++) {
            uint64_t offset = managed_random(200 * K), length = 1 + managed_random(9000);
            assert_int_equal(managed_write(&m, offset, length, 0), length);
            assert_memory_equal(base + offset, m.want + offset, length);
            uint64_t place = managed_random(m.size);
            base[place] ^= 0x55; /* the application stores */
            m.want[place] ^= 0x55;
            managed_check_part(&m, place & ~UINT64_C(63), 200);
            if (i % 10 == 0)
                assert_int_equal(managed_commit(&m), 0);
            if (i % 50 == 0)
                assert_int_equal(managed_resize(&m, 50 * K + managed_random(150 * K)), 0);
            if (i % 50 == 25)
                assert_int_equal(managed_write_back(&m), 0);
        }
        assert_memory_equal(base, m.want, m.size);
        managed_check(&m);
        uma_unmap(base, 256 * K);
        munmap(base, 256 * K);
        assert_int_equal(managed_write(&m, 1000, 20 * K, 0), 20 * K);
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_remove(&m);
    }
}

/* ---- data, holes, allocation ---- */

/* Data and holes are where the kernel would have them, had it made the writes itself. */
static void test_seek(void **state)
{
    enum { SIZE = 4 * MIB, PIECES = 20 };
    (void)state;
    for (int round = 0; round < 6; round++) {
        struct managed m;
        char plain[MANAGED_PATH_MAX + 8];
        managed_open(&m, 0, SIZE, 0);
        snprintf(plain, sizeof plain, "%s.plain", m.path);
        int fd = open(plain, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, SIZE - 4096 * 10), 0);
        assert_int_equal(truncate(m.path, SIZE - 4096 * 10), 0);
        m.size = SIZE - 4096 * 10;
        managed_reopen(&m, 0);
        managed_attach(&m);
        for (int i = 0; i < PIECES; i++) {
            uint64_t offset = managed_random(SIZE - 20000), length = 1 + managed_random(20000);
            assert_int_equal(managed_write(&m, offset, length, 0), length);
            assert_int_equal(pwrite(fd, m.want + offset, length, (off_t)offset), length);
        }
        if (round & 1)
            assert_int_equal(managed_commit(&m), 0);
        if (round & 2)
            assert_int_equal(managed_write_back(&m), 0);
        if (round >= 4) {
            assert_int_equal(managed_resize(&m, SIZE - 1), 0);
            assert_int_equal(ftruncate(fd, SIZE - 1), 0);
        }
        for (int i = 0; i < 200; i++) {
            off_t from = (off_t)(i ? managed_random(SIZE + 1) : 0);
            off_t data = lseek(fd, from, SEEK_DATA), hole;
            assert_int_equal(uma_seek_data(m.uma, (uint64_t)from), data < 0 ? -errno : data);
            hole = lseek(fd, from, SEEK_HOLE);
            assert_int_equal(uma_seek_hole(m.uma, (uint64_t)from), hole < 0 ? -errno : hole);
        }
        close(fd);
        unlink(plain);
        managed_remove(&m);
    }
}

/* Every mode of fallocate gives what the kernel gives for the same file: result, size and bytes. */
static void test_allocate(void **state)
{
    static const int modes[] = {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_COLLAPSE_RANGE,
        FALLOC_FL_INSERT_RANGE,
        FALLOC_FL_UNSHARE_RANGE,
    };
    static const uint64_t ranges[][2] = {{0, 4096}, {100, 10000}, {60 * K, 8 * K}, {68 * K, 5}, {100 * K, 4096}};
    (void)state;
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        for (unsigned j = 0; j < sizeof ranges / sizeof *ranges; j++) {
            struct managed m;
            struct stat st;
            char plain[MANAGED_PATH_MAX + 8];
            managed_open(&m, 64 * K, 256 * K, j % 2 ? O_ATOMIC : 0);
            assert_int_equal(managed_write(&m, 50, 20 * K, 0), 20 * K);
            assert_int_equal(managed_commit(&m), 0);
            assert_int_equal(managed_write(&m, 10 * K, 55 * K, 0), 55 * K);
            snprintf(plain, sizeof plain, "%s.plain", m.path);
            int fd = open(plain, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            assert_int_equal(write(fd, m.want, m.size), m.size);
            int want = fallocate(fd, modes[i], (off_t)ranges[j][0], (off_t)ranges[j][1]) ? -errno : 0;
            assert_int_equal(uma_allocate(m.uma, modes[i], ranges[j][0], ranges[j][1]), want);
            assert_int_equal(fstat(fd, &st), 0);
            m.size = (uint64_t)st.st_size;
            memset(m.want, 0, m.most);
            assert_int_equal(pread(fd, m.want, m.most, 0), m.size);
            close(fd);
            unlink(plain);
            managed_check(&m);
            assert_int_equal(managed_write(&m, 5000, 3000, 0), 3000);
            managed_check(&m);
            assert_int_equal(managed_close(&m), 0);
            managed_check_kernel(&m);
            managed_remove(&m);
        }
    }
}

/* ---- memory and system calls ---- */

/* The index costs at most 32 bytes of DRAM for each dirty 4 KiB of a dense file. */
static void test_memory_dense(void **state)
{
    enum { SIZE = 32 * MIB };
    struct managed m;
    (void)state;
    managed_open(&m, SIZE, SIZE, 0);
    managed_attach(&m);
    for (uint64_t at = 0; at < SIZE; at += MIB)
        assert_int_equal(managed_write(&m, at, MIB, 0), MIB);
    assert_in_range(managed_index_bytes(&m), 1, SIZE / 4096 * 32);
    managed_remove(&m);
}

/* An attached file with a little written costs at most 64 KiB of DRAM, a sparse one a page more for each MiB touched. */
static void test_memory_sparse(void **state)
{
    enum { TOUCHED = 300 };
    struct managed m;
    (void)state;
    index_pool_drain(true); /* what is used again may be larger */
    size_t memory = mem_allocated();
    managed_open(&m, 4 * K, 4 * K, 0);
    assert_int_equal(truncate(m.path, (off_t)1 << 40), 0);
    managed_reopen(&m, 0);
    managed_attach(&m);
    const struct iovec iov = {(void *)"x", 1};
    uint64_t end;
    assert_int_equal(uma_write(m.uma, &iov, 1, 5, 1, 0, &end), 1);
    uint64_t first = managed_index_bytes(&m);
    assert_in_range(first + mem_allocated() - memory, 1, 64 * K);
    for (uint64_t i = 1; i <= TOUCHED; i++)
        assert_int_equal(uma_write(m.uma, &iov, 1, i * 3 * MIB, 1, 0, &end), 1);
    assert_in_range(managed_index_bytes(&m) - first, 1, (TOUCHED + 80) * 4096);
    managed_remove(&m);
}

/* Overwriting, reading and syncing what is mapped and has homes makes no system call. */
static void test_no_system_calls(void **state)
{
    enum { ROUNDS = 1000 };
    struct managed m;
    char buf[16 * K];
    uint64_t end;
    const struct iovec iov = {buf, sizeof buf};
    (void)state;
    managed_open(&m, MIB, MIB, 0);
    managed_attach(&m);
    bool paused = uma_sync_pause(); /* a write that meets the thread between two looks wakes it: it has just begun */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(managed_write(&m, 0, MIB, 0), MIB);
        assert_int_equal(managed_commit(&m), 0);
        managed_check(&m);
    }
    memset(buf, 7, sizeof buf);
    managed_watch();
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t offset = managed_random(MIB - 16 * K), length = 1 + managed_random(16 * K);
        assert_int_equal(uma_write(m.uma, &iov, 1, offset, length, i % 100 ? 0 : UMA_WRITE_SYNC, &end), length);
        assert_int_equal(uma_read(m.uma, &iov, 1, managed_random(MIB - 16 * K), length), length);
        if (i % 10 == 0)
            assert_int_equal(uma_commit(m.uma), 0);
        assert_int_equal(uma_size(m.uma), MIB);
    }
    assert_int_equal(managed_calls(), 0);
    if (paused)
        uma_sync_resume();
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_costs_nothing),
        cmocka_unit_test(test_attach_is_lazy),
        cmocka_unit_test(test_holders),
        cmocka_unit_test(test_atomic_flag),
        cmocka_unit_test(test_demotion),
        cmocka_unit_test(test_failed_mode),
        cmocka_unit_test(test_map_ranges),
        cmocka_unit_test(test_map_moves),
        cmocka_unit_test(test_map_is_coherent),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_allocate),
        cmocka_unit_test(test_memory_dense),
        cmocka_unit_test(test_memory_sparse),
        cmocka_unit_test(test_no_system_calls),
    };
    managed_begin("pm:force,idle:1000s,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
