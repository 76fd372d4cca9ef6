/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_index.c — the shared object: radix table, slots, free map, participants, pool, refusal of what is not ours, a full
 * /dev/shm.
 */
#include "support/leak.h"
#include "unit/fault.h"
#include "unit/unit.h"

#include "base/rawsys.h"
#include "index/index.h"
#include "log/log_format.h"
#include "log/log_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWNER 7u /* some record's id */
#define OTHER 8u
#define BLOCK_MOST (UINT64_C(1) << 51) /* of a file of 2^63 bytes */
#define LOG_BLOCKS (LOG_FIRST_BLOCK + 256u)

static uint64_t random_state = 88172645463325252u;
static uint64_t random_below(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static int setup(void **state)
{
    struct index *index = calloc(1, sizeof *index);
    uint64_t nonce;
    assert_int_equal(index_new_nonce(&nonce), 0);
    assert_int_equal(index_create(index, geteuid(), nonce, LOG_BLOCKS), 0);
    *state = index;
    return 0;
}

static int teardown(void **state)
{
    assert_false(index_destroy(*state, false));
    free(*state);
    return 0;
}

static bool exists(uint64_t nonce)
{
    char name[LOG_INDEX_PATH_BYTES];
    log_index_path(geteuid(), nonce, name);
    return access(name, F_OK) == 0;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static uint64_t object_bytes(const struct index *index)
{
    struct stat st;
    assert_int_equal(fstat(index->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* ---- radix table ---- */

static struct index_slot *make(struct index *index, uint64_t block)
{
    int error = 0;
    struct index_slot *slot = index_make(index, index_record_of(index, OWNER), block, &error);
    assert_non_null(slot);
    return slot;
}

/* Blocks at the edges of each height, up to the last one of the largest file. */
static const uint64_t edge_blocks[] = {
    0,
    INDEX_LEAF_SLOTS - 1,
    INDEX_LEAF_SLOTS,
    (UINT64_C(1) << 18) - 1,
    UINT64_C(1) << 18,
    (UINT64_C(1) << 28) - 1,
    UINT64_C(1) << 28,
    (UINT64_C(1) << 38) - 1,
    UINT64_C(1) << 38,
    (UINT64_C(1) << 48) - 1,
    UINT64_C(1) << 48,
    BLOCK_MOST - 1,
    BLOCK_MOST,
};
#define EDGES (sizeof edge_blocks / sizeof *edge_blocks)

/* A slot that was made is found, at the same address however the tree grows, and is nobody else's; neighbours in a leaf
 * lie side by side; what was not made is not there. */
static void test_tree_heights(void **state)
{
    struct index *index = *state;
    struct index_slot *slot[EDGES];
    assert_null(index_find(index, 0));
    for (size_t i = 0; i < EDGES; i++) {
        assert_true(i % 2 == 0 || i < 3 || !index_find(index, edge_blocks[i]));
        slot[i] = make(index, edge_blocks[i]);
        assert_int_equal(slot[i]->state, 0);
        slot[i]->newest = edge_blocks[i] + 1;
    }
    for (size_t i = 0; i < EDGES; i++) {
        assert_ptr_equal(index_find(index, edge_blocks[i]), slot[i]);
        assert_ptr_equal(make(index, edge_blocks[i]), slot[i]);
        assert_int_equal(slot[i]->newest, edge_blocks[i] + 1);
        if (edge_blocks[i] % INDEX_LEAF_SLOTS == 0)
            assert_ptr_equal(index_find(index, edge_blocks[i] + 1), slot[i] + 1);
    }
    assert_null(index_find(index, UINT64_C(1) << 30));
    assert_null(index_find(index, BLOCK_MOST + INDEX_LEAF_SLOTS));
    assert_null(index_find(index, UINT64_MAX));
}

/* The first block made may be anywhere: the tree begins with the height it needs and still takes low blocks. */
static void test_tree_from_above(void **state)
{
    struct index *index = *state;
    for (size_t i = EDGES; i-- > 0;)
        make(index, edge_blocks[i])->newest = i + 1;
    for (size_t i = 0; i < EDGES; i++)
        assert_int_equal(index_find(index, edge_blocks[i])->newest, i + 1);
}

static int compare_blocks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* index_next gives the first block at or above its argument that has a slot: against a sorted list. */
static void test_tree_next(void **state)
{
    enum { LEAVES = 200, QUERIES = 4000 };
    struct index *index = *state;
    uint64_t leaf[LEAVES];
    assert_int_equal(index_next(index, 0), UINT64_MAX);
    for (int i = 0; i < LEAVES; i++) {
        uint64_t block = random_below(UINT64_C(1) << (9 + random_below(43)));
        make(index, block);
        leaf[i] = block & ~(uint64_t)(INDEX_LEAF_SLOTS - 1);
    }
    qsort(leaf, LEAVES, sizeof *leaf, compare_blocks);
    for (int i = 0; i < QUERIES; i++) {
        uint64_t from = random_below(2) ? random_below(UINT64_C(1) << (9 + random_below(43)))
                                        : leaf[random_below(LEAVES)] + random_below(3 * INDEX_LEAF_SLOTS);
        uint64_t want = UINT64_MAX;
        for (int j = 0; j < LEAVES && want == UINT64_MAX; j++)
            if (leaf[j] + INDEX_LEAF_SLOTS > from)
                want = leaf[j] > from ? leaf[j] : from;
        assert_int_equal(index_next(index, from), want);
    }
    assert_int_equal(index_next(index, UINT64_MAX), UINT64_MAX);
}

static uint64_t walk(struct index *index)
{
    uint64_t leaves = 0;
    for (uint64_t block = 0; (block = index_next(index, block)) != UINT64_MAX; block += INDEX_LEAF_SLOTS)
        if (index_is_endless(index, ++leaves))
            break;
    return leaves;
}

/* A walk ends though page numbers are damaged, and is not ended where they are right. */
static void test_tree_endless(void **state)
{
    struct index *index = *state;
    for (uint64_t i = 0; i < 20; i++)
        make(index, i * INDEX_LEAF_SLOTS);
    assert_int_equal(walk(index), 20);
    uint32_t root = (uint32_t)index->shared->root; /* an inner node: each way of it becomes itself */
    _Atomic uint32_t *node =
        (_Atomic uint32_t *)((char *)index->shared + INDEX_NODES_OFFSET + (uint64_t)(root - 1) * INDEX_PAGE);
    for (unsigned way = 0; way < 1u << INDEX_NODE_SHIFT; way++)
        node[way] = root;
    index->shared->root = UINT64_C(4) << 32 | root;
    assert_true(walk(index) < 200);
}

/* A dense file costs one page for each 256 blocks, and little else; a sparse one a page for each MiB touched. */
static void test_tree_memory(void **state)
{
    const uint64_t leaves = 1024;
    struct index *index = *state;
    uint64_t before = object_bytes(index);
    for (uint64_t i = 0; i < leaves; i++)
        make(index, i * INDEX_LEAF_SLOTS);
    uint64_t pages = (object_bytes(index) - before) / INDEX_PAGE;
    assert_in_range(pages, leaves, leaves + 80);
}

/* ---- slots ---- */

/* Locking is exclusive and shows the owner in the place of the entry; unlocking moves the version on by two and shows the
 * new entry; the version wraps around without touching the entry. */
static void test_slot_lock(void **state)
{
    struct index_slot *slot = make(*state, 5);
    uint64_t old = 0, again;
    for (int round = 0; round < 3; round++) {
        if (round == 2)
            slot->state = (uint64_t)77 << 32 | 0xfffffffe;
        uint64_t before = slot->state;
        assert_true(index_slot_try_lock(slot, OWNER, &old));
        assert_int_equal(old, before);
        assert_true(index_state_locked(slot->state));
        assert_int_equal(slot->state >> 32, OWNER);
        assert_false(index_slot_try_lock(slot, OTHER, &again));
        index_slot_unlock(slot, old, 1234 | INDEX_HOME_ALLOCATED);
        assert_false(index_state_locked(slot->state));
        assert_int_equal(index_state_entry(slot->state), 1234);
        assert_true((slot->state >> 32) & INDEX_HOME_ALLOCATED);
        assert_int_equal((uint32_t)slot->state, (uint32_t)(before + 2));
    }
}

/* ---- free map ---- */

static int take(struct index *index, uint32_t count, uint32_t *first)
{
    struct index_record *record = index_records(index, 0);
    int n = index_take_blocks(index, record, count, first);
    if (n > 0) { /* a repairer would know of them */
        assert_int_equal(record->alloc_first, *first);
        assert_int_equal(record->alloc_count, n);
    }
    return n;
}

/* Any sequence of taking and giving: no block is handed out twice, runs lie within the log and are consecutive, the count
 * of free blocks is right, and as long as a block is free one is handed out. */
static void test_free_map_model(void **state)
{
    enum { STEPS = 20000 };
    struct index *index = *state;
    uint32_t end = LOG_BLOCKS;
    uint8_t used[2 * LOG_BLOCKS] = {0};
    uint32_t used_count = 0;
    for (int i = 0; i < STEPS; i++) {
        uint32_t total = end - LOG_FIRST_BLOCK;
        if ((int)random_below(100) < 50 + 30 * (i / 1000 % 2)) {
            uint32_t count = (uint32_t)(1 + random_below(random_below(4) ? 4 : 200)), first = 0;
            int n = take(index, count, &first);
            assert_true(n >= 0 && n <= (int)count);
            assert_true(n > 0 || used_count == total);
            assert_true(!n || (first >= LOG_FIRST_BLOCK && first + (uint32_t)n <= end));
            for (int j = 0; j < n; j++)
                assert_int_equal(used[first + (uint32_t)j]++, 0);
            used_count += (uint32_t)n;
        } else if (used_count) {
            uint32_t n = LOG_FIRST_BLOCK + (uint32_t)random_below(total);
            for (unsigned run = (unsigned)random_below(100); run && n < end; run--, n++) {
                used_count -= used[n];
                used[n] = 0;
                index_give_block(index, n); /* one that is free already changes nothing */
            }
        }
        assert_int_equal(index->shared->free_blocks, total - used_count);
        if (i == STEPS / 2) {
            assert_int_equal(index_add_blocks(index, end, end + 100), 0);
            end += 100;
        }
    }
}

/* A fresh map gives runs of the asked length, one behind the other, until nothing is left; then what is given back. */
static void test_free_map_runs(void **state)
{
    struct index *index = *state;
    uint32_t first, next = LOG_FIRST_BLOCK;
    for (int i = 0; i < 5; i++, next += 50) {
        assert_int_equal(take(index, 50, &first), 50);
        assert_int_equal(first, next);
    }
    assert_int_equal(take(index, 50, &first), 6);
    assert_int_equal(take(index, 1, &first), 0);
    for (uint32_t n = LOG_FIRST_BLOCK + 10; n < LOG_FIRST_BLOCK + 20; n += 2)
        index_give_block(index, n);
    for (uint32_t n = LOG_FIRST_BLOCK + 10; n < LOG_FIRST_BLOCK + 20; n += 2) {
        assert_int_equal(take(index, 3, &first), 1); /* fragments */
        assert_int_equal(first, n);
    }
    assert_int_equal(take(index, 1, &first), 0);
}

/* Somebody who holds a lock for long is not waited for without end: the caller hears of it and can look for the dead. */
static void test_locks_time_out(void **state)
{
    struct index *index = *state;
    uint32_t first;
    int error = 0;
    make(index, 0);
    assert_int_equal(shlock_try(&index->shared->alloc_lock, OTHER), 0);
    assert_int_equal(shlock_try(&index->shared->node_lock, OTHER), 0);
    assert_int_equal(take(index, 1, &first), -ETIMEDOUT);
    assert_null(index_make(index, index_record_of(index, OWNER), INDEX_LEAF_SLOTS, &error));
    assert_int_equal(error, -ETIMEDOUT);
    assert_non_null(index_make(index, index_record_of(index, OWNER), 1, &error)); /* what exists needs no lock */
    shlock_release(&index->shared->alloc_lock);
    shlock_release(&index->shared->node_lock);
    assert_int_equal(take(index, 1, &first), 1);
    make(index, INDEX_LEAF_SLOTS);
}

/* ---- participants ---- */

/* All places can be taken, each with records of its own, then only the one for late comers; a place that was left is taken
 * again, with clean records. */
static void test_participants(void **state)
{
    struct index *index = *state;
    for (unsigned i = 0; i < INDEX_LATE; i++) {
        assert_int_equal(index_join(index, 1000 + i), i);
        assert_int_equal(*index_process(index, i), 1000 + i);
        for (unsigned j = 0; j < INDEX_RECORDS; j++) {
            struct index_record *record = index_records(index, i) + j;
            uint32_t id = index_record_id(index, record);
            assert_int_equal(id, i * INDEX_RECORDS + j + 1);
            assert_int_equal(index_participant_of(id), i);
            assert_false(index_is_claimed(record));
            record->claimed++;
            record->epoch = 9;
        }
    }
    assert_int_equal(index_join(index, 1), -EUSERS);
    assert_int_equal(index_join_late(index, 7), INDEX_LATE);
    assert_int_equal(index->shared->participants, INDEX_PARTICIPANTS);
    assert_int_equal(index_participant_of(index_record_id(index, index_records(index, INDEX_LATE))), INDEX_LATE);
    assert_true(INDEX_RECORDS_OFFSET + INDEX_PARTICIPANTS * INDEX_RECORDS * sizeof(struct index_record) <=
                INDEX_FREEMAP_OFFSET);
    index_leave(index, INDEX_LATE);
    assert_int_equal(index_join(index, 1), -EUSERS);
    index_leave(index, 100);
    assert_int_equal(index_join(index, 5), 100);
    for (unsigned j = 0; j < INDEX_RECORDS; j++) {
        assert_false(index_is_claimed(&index_records(index, 100)[j]));
        assert_int_equal(index_records(index, 100)[j].epoch, 0);
    }
}

/* ---- pool ---- */

static uint64_t new_object(struct index *index, uint32_t blocks)
{
    uint64_t nonce;
    assert_int_equal(index_new_nonce(&nonce), 0);
    assert_int_equal(index_create(index, geteuid(), nonce, blocks), 0);
    return nonce;
}

/* Leaves traces everywhere. */
static void soil(struct index *index, uint32_t blocks)
{
    uint32_t first;
    assert_int_equal(index_join(index, 42), 0);
    assert_int_equal(index_add_blocks(index, LOG_BLOCKS, blocks), 0);
    for (uint64_t i = 0; i < 6; i++)
        memset(make(index, i * INDEX_LEAF_SLOTS + i * 40), 0xff, sizeof(struct index_slot));
    assert_true(take(index, 300, &first) > 0);
    for (uint32_t n = LOG_FIRST_BLOCK; n < blocks; n++)
        *index_superseded(index, n) = n;
    char *base = (char *)index->shared;
    memset(base + sizeof(struct index_shared), 0xff, 3 * INDEX_PAGE - sizeof(struct index_shared));
}

static void expect_zero(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], 0);
}

/* An object that is used again is as a new one. */
static void test_pool_gives_clean_object(void **state)
{
    (void)state;
    struct index index, fresh;
    uint64_t nonce = new_object(&index, LOG_BLOCKS);
    uint32_t blocks = LOG_BLOCKS + 600;
    soil(&index, blocks);
    uint32_t nodes = index.shared->node_next;
    assert_true(index_destroy(&index, true));
    assert_true(exists(nonce));
    unsigned before = descriptors();
    assert_int_equal(index_create(&index, geteuid(), nonce, LOG_BLOCKS), 0);
    assert_int_equal(descriptors(), before); /* the same one */
    uint64_t other = new_object(&fresh, LOG_BLOCKS);
    fresh.shared->nonce = nonce; /* what may differ: these, and what is allocated already */
    fresh.shared->node_reserved = index.shared->node_reserved;
    fresh.shared->reserved_blocks = index.shared->reserved_blocks;
    assert_memory_equal(index.shared, fresh.shared, 3 * INDEX_PAGE);
    assert_int_equal(index.shared->free_blocks, LOG_BLOCKS - LOG_FIRST_BLOCK);
    char *base = (char *)index.shared;
    expect_zero(base + INDEX_NODES_OFFSET, nodes * INDEX_PAGE);
    expect_zero(base + INDEX_FREEMAP_OFFSET, blocks / 8);
    expect_zero(base + INDEX_SUPERSEDED_OFFSET, blocks * sizeof(uint32_t));
    assert_null(index_find(&index, 0));
    assert_int_equal(index_next(&index, 0), UINT64_MAX);
    soil(&index, blocks);
    assert_false(index_destroy(&index, false));
    assert_false(index_destroy(&fresh, false));
    assert_false(exists(nonce));
    assert_false(exists(other));
}

/* What grew large is not kept, nor is more than the pool holds; what is kept goes when its log does, or at exit. */
static void test_pool_limits(void **state)
{
    enum { OBJECTS = 8 };
    (void)state;
    struct index index[OBJECTS];
    uint64_t nonce[OBJECTS];
    unsigned before = descriptors(), kept = 0;
    new_object(&index[0], LOG_BLOCKS);
    for (uint64_t i = 0; i < 100; i++)
        make(&index[0], i * INDEX_LEAF_SLOTS);
    assert_false(index_destroy(&index[0], true));
    for (int i = 0; i < OBJECTS; i++)
        nonce[i] = new_object(&index[i], LOG_BLOCKS);
    for (int i = 0; i < OBJECTS; i++)
        kept += index_destroy(&index[i], true);
    assert_in_range(kept, 1, OBJECTS - 1);
    for (int i = 0; i < OBJECTS; i++)
        assert_int_equal(exists(nonce[i]), (unsigned)i < kept);
    index_discard(nonce[0]);
    assert_false(exists(nonce[0]));
    index_pool_drain(true);
    for (int i = 0; i < OBJECTS; i++)
        assert_false(exists(nonce[i]));
    assert_int_equal(descriptors(), before);
}

/* ---- refusal ---- */

static int reopen(const struct index *index)
{
    struct index other;
    int error = index_open(&other, geteuid(), index->nonce, index->dev, index->ino);
    if (!error) {
        assert_memory_equal(other.shared, index->shared, sizeof *index->shared);
        index_close(&other);
    }
    return error;
}

/* What lies by an object's name is used only if it is that very object: a regular file of the owner, closed to others, with
 * the device, inode number and nonce that the log names. Refusing leaks nothing. */
static void test_open_refuses(void **state)
{
    struct index *index = *state, other;
    char name[LOG_INDEX_PATH_BYTES], aside[LOG_INDEX_PATH_BYTES + 8];
    unsigned before = descriptors();
    uint32_t uid = geteuid();
    log_index_path(uid, index->nonce, name);
    snprintf(aside, sizeof aside, "%s.aside", name);
    assert_int_equal(reopen(index), 0);
    assert_int_equal(index_open(&other, uid, index->nonce + 1, index->dev, index->ino), -ESTALE);
    assert_int_equal(index_open(&other, uid, index->nonce, index->dev + 1, index->ino), -ESTALE);
    assert_int_equal(index_open(&other, uid, index->nonce, index->dev, index->ino + 1), -ESTALE);
    fchmod(index->fd, 0644);
    assert_int_equal(reopen(index), -ESTALE);
    fchmod(index->fd, 04600);
    assert_int_equal(reopen(index), -ESTALE);
    fchmod(index->fd, 0600);
    if (uid == 0) {
        assert_int_equal(fchown(index->fd, 12345, (gid_t)-1), 0);
        assert_int_equal(reopen(index), -ESTALE);
        assert_int_equal(fchown(index->fd, 0, (gid_t)-1), 0);
    }
    index->shared->magic++;
    assert_int_equal(reopen(index), -ESTALE);
    index->shared->magic--;
    index->shared->nonce++;
    assert_int_equal(reopen(index), -ESTALE);
    index->shared->nonce--;
    assert_int_equal(rename(name, aside), 0);
    assert_int_equal(reopen(index), -ESTALE); /* gone */
    assert_int_equal(symlink(aside, name), 0);
    assert_int_equal(reopen(index), -ESTALE);
    unlink(name);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(reopen(index), -ESTALE);
    unlink(name);
    assert_int_equal(mkdir(name, 0600), 0);
    assert_true(reopen(index) < 0);
    rmdir(name);
    int empty = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* an impostor: other inode, then too short */
    assert_int_equal(reopen(index), -ESTALE);
    struct stat st;
    assert_int_equal(fstat(empty, &st), 0);
    assert_int_equal(index_open(&other, uid, index->nonce, st.st_dev, st.st_ino), -ESTALE);
    close(empty);
    unlink(name);
    assert_int_equal(rename(aside, name), 0);
    assert_int_equal(reopen(index), 0);
    assert_int_equal(descriptors(), before);
}

/* ---- objects of the dead ---- */

/* Makes an object in a child, which then dies; its nonce. */
static uint64_t orphan(void)
{
    uint64_t nonce;
    assert_int_equal(index_new_nonce(&nonce), 0);
    pid_t child = fork();
    if (child == 0) {
        struct index index;
        index_create(&index, geteuid(), nonce, LOG_BLOCKS);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    return nonce;
}

/* Reclaiming removes what nobody has open and nothing else: not what is used, here or by another process alone, not what is
 * pooled, not what merely has such a name. */
static void test_reclaim(void **state)
{
    struct index *index = *state, pooled;
    char name[LOG_INDEX_PATH_BYTES], other[2][LOG_INDEX_PATH_BYTES];
    int gate[2];
    char word;
    unsigned before = descriptors();
    uint64_t kept = new_object(&pooled, LOG_BLOCKS), dead = orphan(), shared;
    assert_true(index_destroy(&pooled, true));
    /* one that its maker has left to another process */
    struct index left;
    shared = new_object(&left, LOG_BLOCKS);
    assert_int_equal(pipe(gate), 0);
    pid_t child = fork();
    if (child == 0) {
        struct index mine;
        bool good = index_open(&mine, geteuid(), shared, left.dev, left.ino) == 0;
        close(left.fd);
        good = good && write(gate[1], "x", 1) == 1;
        pause();
        _exit(!good);
    }
    assert_int_equal(read(gate[0], &word, 1), 1);
    index_close(&left);
    snprintf(other[0], sizeof other[0], "/dev/shm/nvmmio-%u-0123456789abcde", geteuid());  /* a digit is missing */
    snprintf(other[1], sizeof other[1], "/dev/shm/nvmmio-%u-0123456789abcdef", geteuid()); /* no file */
    close(open(other[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    mkfifo(other[1], 0600);
    log_index_reclaim(geteuid());
    assert_true(exists(index->nonce));
    assert_true(exists(kept));
    assert_true(exists(shared));
    assert_false(exists(dead));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(access(other[i], F_OK), 0);
        unlink(other[i]);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(gate[0]);
    close(gate[1]);
    log_index_path(geteuid() + 1, 1, name); /* another owner's name on our file: not what it says */
    close(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    log_index_reclaim(geteuid());
    assert_false(exists(shared));
    assert_int_equal(access(name, F_OK), 0);
    unlink(name);
    index_discard(kept);
    assert_false(exists(kept));
    assert_int_equal(descriptors(), before);
}

/* Who leaves an object to nobody takes its name along, whatever becomes of the log. */
static void test_abandon(void **state)
{
    (void)state;
    struct index index, other;
    uint64_t nonce = new_object(&index, LOG_BLOCKS);
    assert_int_equal(index_open(&other, geteuid(), nonce, index.dev, index.ino), 0);
    index_abandon(&other);
    assert_true(exists(nonce));
    index_abandon(&index);
    assert_false(exists(nonce));
}

/* While others reclaim all the time, one that is made stays, or its maker is told to make another. */
static void test_reclaim_race(void **state)
{
    enum { ROUNDS = 3000 };
    (void)state;
    unsigned made = 0;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            log_index_reclaim(geteuid());
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct index index;
        uint64_t nonce;
        assert_int_equal(index_new_nonce(&nonce), 0);
        int error = index_create(&index, geteuid(), nonce, LOG_BLOCKS);
        assert_true(error == 0 || error == -EAGAIN);
        if (error) {
            assert_false(exists(nonce));
            continue;
        }
        made++;
        if (i % 64 == 0)
            sched_yield();
        assert_true(exists(nonce));
        assert_false(index_destroy(&index, false));
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_in_range(made, ROUNDS / 4, ROUNDS);
}

/* ---- a full /dev/shm, and every other failure ---- */

/* Makes an object while the nth call of that number fails; whether there was such a call. */
static bool create_failing(long number, unsigned nth, int errno_value)
{
    struct index index;
    uint64_t nonce;
    unsigned before = descriptors();
    assert_int_equal(index_new_nonce(&nonce), 0);
    fault_start();
    fault_set(number, nth, errno_value, false);
    int error = index_create(&index, geteuid(), nonce, LOG_BLOCKS);
    bool hit = fault_hits() > 0;
    fault_stop();
    assert_true(error == 0 || (hit && error == -errno_value));
    assert_int_equal(exists(nonce), !error);
    if (!error)
        index_destroy(&index, false);
    assert_int_equal(descriptors(), before);
    return hit;
}

/* Making an object fails as a whole or not at all, whichever call fails: no name, no descriptor is left. */
static void test_create_fails_whole(void **state)
{
    static const struct {
        long number;
        int error;
    } failures[] = {{SYS_openat, EMFILE}, {SYS_openat, EACCES}, {SYS_fallocate, ENOSPC}, {SYS_fstat, EIO},
                    {SYS_mmap, ENOMEM},   {SYS_madvise, EIO},   {SYS_fcntl, EMFILE}};
    (void)state;
    for (unsigned i = 0; i < sizeof failures / sizeof *failures; i++) {
        unsigned nth = 1;
        while (create_failing(failures[i].number, nth, failures[i].error))
            nth++;
        assert_in_range(nth, 2, 50); /* it was hit at least once */
    }
}

/* A full /dev/shm shows as ENOSPC, never as a signal, and what was there stays good; it goes on when there is room. */
static void test_full(void **state)
{
    struct index *index = *state;
    int error = 0;
    struct index_slot *slot = make(index, 0);
    uint32_t blocks = index->shared->log_blocks, free_blocks = index->shared->free_blocks;
    slot->newest = 5;
    fault_start();
    fault_set(SYS_fallocate, 1, ENOSPC, true);
    uint64_t block = INDEX_LEAF_SLOTS; /* the pages allocated ahead are used up first */
    while (block < 1000 * INDEX_LEAF_SLOTS && index_make(index, index_record_of(index, OWNER), block, &error))
        block += INDEX_LEAF_SLOTS;
    assert_int_equal(error, -ENOSPC);
    assert_true(block < 100 * INDEX_LEAF_SLOTS);
    assert_null(index_make(index, index_record_of(index, OWNER), UINT64_C(1) << 40, &error));
    assert_int_equal(error, -ENOSPC);
    assert_null(index_find(index, UINT64_C(1) << 40));
    assert_int_equal(index_add_blocks(index, blocks, blocks + 100000), -ENOSPC);
    unsigned joined = 0;
    int result;
    while ((result = index_join(index, 1)) >= 0)
        joined++;
    assert_int_equal(result, -ENOSPC);
    assert_int_equal(joined, INDEX_PAGE / sizeof(struct index_record) / INDEX_RECORDS);
    fault_stop();
    assert_int_equal(index->shared->log_blocks, blocks);
    assert_int_equal(index->shared->free_blocks, free_blocks);
    assert_ptr_equal(index_find(index, 0), slot);
    assert_int_equal(slot->newest, 5);
    make(index, block)->newest = 6;
    make(index, UINT64_C(1) << 40);
    assert_int_equal(index_find(index, block)->newest, 6);
    assert_int_equal(index_add_blocks(index, blocks, blocks + 100000), 0);
    assert_int_equal(index_join(index, 1), joined);
}

/* Every failure on the way to a deep leaf leaves a tree in which all that was made is found. */
static void test_make_fails_cleanly(void **state)
{
    struct index *index = *state;
    for (unsigned nth = 1; nth < 12; nth++) {
        int error = 0;
        uint64_t block = edge_blocks[nth] ^ (UINT64_C(1) << 20);
        fault_start();
        fault_set(SYS_fallocate, 1 + nth % 3, ENOSPC, true);
        struct index_slot *slot = index_make(index, index_record_of(index, OWNER), block, &error);
        fault_stop();
        if (!slot)
            assert_int_equal(error, -ENOSPC);
        make(index, block)->newest = nth;
        for (unsigned i = 1; i <= nth; i++)
            assert_int_equal(index_find(index, edge_blocks[i] ^ (UINT64_C(1) << 20))->newest, i);
    }
}

int main(void)
{
    leak_private_shm(); /* others reclaim, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tree_heights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree_from_above, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree_endless, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_map_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_map_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locks_time_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_participants, setup, teardown),
        cmocka_unit_test(test_pool_gives_clean_object),
        cmocka_unit_test(test_pool_limits),
        cmocka_unit_test_setup_teardown(test_open_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reclaim, setup, teardown),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_reclaim_race),
        cmocka_unit_test(test_create_fails_whole),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_make_fails_cleanly, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
