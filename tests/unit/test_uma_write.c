/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_write.c — where the bytes of a write go, and what that costs: flips between homes, first touches, partial lines,
 * appends, relocation, log pressure, sparse and far files. The counters of base/stats.h are the witness.
 */
#include "support/place.h"
#include "unit/managed.h"

#include "base/conf.h"
#include "base/rawsys.h"
#include "base/stats.h"

#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define K 1024
#define LINE 64u

static uint64_t pm_bytes, pm_meta, relocations;

static void count_from_here(void)
{
    pm_bytes = stats_sum(STATS_PM_BYTES);
    pm_meta = stats_sum(STATS_PM_META_BYTES);
    relocations = stats_sum(STATS_RELOCATIONS);
}

/* Bytes of data and of entries and header stored since then. */
static void expect_stored(uint64_t bytes, uint64_t meta)
{
    assert_int_equal(stats_sum(STATS_PM_BYTES) - pm_bytes, bytes);
    assert_int_equal(stats_sum(STATS_PM_META_BYTES) - pm_meta, meta);
}

/* A block that is rewritten for ever flips between its homes: one byte stored for each byte written, one line of entry a
 * block and epoch, one line for the commit; no relocation, and no more than one log block. */
static void test_flip(void **state)
{
    enum { ROUNDS = 100 };
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    assert_int_equal(managed_write(&m, 4 * K, 4 * K, 0), 4 * K);
    assert_int_equal(managed_commit(&m), 0);
    count_from_here();
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(managed_write(&m, 4 * K, 4 * K, 0), 4 * K);
        assert_int_equal(managed_commit(&m), 0);
        managed_check(&m);
    }
    expect_stored(ROUNDS * 4 * K, ROUNDS * 2 * LINE);
    assert_int_equal(stats_sum(STATS_RELOCATIONS), relocations);
    assert_int_equal(managed_log_blocks_used(&m), 1);
    managed_remove(&m);
}

/* In one epoch the entry is stored once: a second write of the same lines is data alone. */
static void test_same_epoch(void **state)
{
    enum { ROUNDS = 100 };
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    assert_int_equal(managed_write(&m, 4 * K, 4 * K, 0), 4 * K);
    count_from_here();
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(managed_write(&m, 4 * K, 4 * K, 0), 4 * K);
    expect_stored(ROUNDS * 4 * K, 0);
    managed_check(&m);
    managed_remove(&m);
}

/* The third block as the kernel's file has it. */
static void expect_in_file(const struct managed *m, const uint8_t *want)
{
    uint8_t file[4 * K];
    assert_int_equal(pread(m->fd, file, sizeof file, 8 * K), sizeof file);
    assert_memory_equal(file, want, sizeof file);
}

/* REDO: the first touch stores one copy, in the log; the file keeps what was committed until write-back. */
static void test_first_touch(void **state)
{
    struct managed m;
    uint8_t before[4 * K];
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    memcpy(before, m.want + 8 * K, sizeof before);
    count_from_here();
    assert_int_equal(managed_write(&m, 8 * K, 4 * K, 0), 4 * K);
    expect_stored(4 * K, 2 * LINE); /* the entry; and the header, once: the mtime is to move */
    expect_in_file(&m, before);
    managed_check(&m);
    assert_int_equal(managed_write_back(&m), 0); /* not committed: stays where it is */
    expect_in_file(&m, before);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write_back(&m), 0);
    managed_check_kernel(&m);
    assert_int_equal(managed_log_blocks_used(&m), 0);
    managed_remove(&m);
}

/* policy:undo. The first touch saves the block in the log and goes to the file: twice the bytes, and nothing is left for
 * write-back. From then on the block flips as any other. */
static void test_first_touch_undo(void **state)
{
    struct managed m;
    uint8_t first[4 * K];
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    atomic_store(&m.uma->undo, true);
    count_from_here();
    assert_int_equal(managed_write(&m, 8 * K, 4 * K, 0), 4 * K);
    expect_stored(2 * 4 * K, 3 * LINE); /* the entry twice, the header once: the mtime is to move */
    memcpy(first, m.want + 8 * K, sizeof first);
    expect_in_file(&m, first);
    managed_check(&m);
    assert_int_equal(managed_commit(&m), 0);
    count_from_here();
    assert_int_equal(managed_write(&m, 8 * K, 4 * K, 0), 4 * K);
    expect_stored(4 * K, LINE);
    expect_in_file(&m, first); /* committed: the new bytes are in the log */
    managed_check(&m);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write(&m, 8 * K, 4 * K, 0), 4 * K);
    assert_int_equal(managed_write(&m, 10 * K + 7, 100, 0), 100); /* the same epoch */
    assert_int_equal(managed_write(&m, 14 * K + 7, 3 * K, 0), 3 * K);
    assert_int_equal(managed_commit(&m), 0);
    managed_check_kernel(&m); /* all of it is at home */
    count_from_here();
    assert_int_equal(managed_write_back(&m), 0);
    assert_int_equal(stats_sum(STATS_PM_BYTES), pm_bytes);
    assert_int_equal(managed_log_blocks_used(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* A partial line is filled from its newest copy: at most one line at each edge is stored beyond what was written. */
static void test_partial_lines(void **state)
{
    static const struct {
        unsigned offset, length, lines;
    } cases[] = {{0, 1, 1},  {63, 1, 1}, {63, 2, 2},         {10, 20, 1},       {1, 64, 2},
                 {0, 64, 1}, {60, 8, 2}, {1, 4 * K - 2, 64}, {4 * K - 1, 2, 2}, {100, 8 * K, 129}};
    struct managed m;
    (void)state;
    for (unsigned warm = 0; warm < 3; warm++) { /* in the file, in the log, back in the file */
        managed_open(&m, 64 * K, 64 * K, 0);
        managed_attach(&m);
        for (unsigned round = 0; round < warm; round++) {
            assert_int_equal(managed_write(&m, 0, 16 * K, 0), 16 * K);
            assert_int_equal(managed_commit(&m), 0);
        }
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            count_from_here();
            assert_int_equal(managed_write(&m, cases[i].offset, cases[i].length, 0), cases[i].length);
            assert_int_equal(stats_sum(STATS_PM_BYTES) - pm_bytes, cases[i].lines * LINE);
            managed_check(&m);
            assert_int_equal(managed_commit(&m), 0);
            managed_check(&m);
        }
        managed_remove(&m);
    }
}

/* Past the committed end, where the kernel's file already reaches, an append goes straight to the file: no log block, no
 * entry. (Here the file had been longer.) */
static void test_append_in_place(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 64 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(managed_resize(&m, 100), 0);
    assert_int_equal(managed_commit(&m), 0);
    count_from_here();
    assert_int_equal(managed_write(&m, 0, 156, UMA_WRITE_APPEND),
                     156); /* begins in line 1, the begin of which is committed */
    assert_int_equal(managed_write(&m, 0, 5000, UMA_WRITE_APPEND), 5000);
    assert_int_equal(managed_write(&m, 1000, 10, 0), 10); /* not committed yet, so again */
    assert_int_equal(stats_sum(STATS_PM_BYTES) - pm_bytes, 156 + 5000 + 10);
    assert_int_equal(managed_log_blocks_used(&m), 0);
    managed_check(&m);
    assert_int_equal(managed_commit(&m), 0);
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* A block behind the kernel's durable end has no file home: each epoch's append moves it to a fresh log block, copying
 * nothing that the write brings itself, and the superseded one is freed. */
static void test_relocation(void **state)
{
    enum { ROUNDS = 200 };
    struct managed m;
    (void)state;
    managed_open(&m, 4 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(managed_write(&m, 8 * K, 2 * K, 0), 2 * K);
    assert_int_equal(managed_commit(&m), 0);
    count_from_here();
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t offset =
            i % 2 ? 8 * K : m.size - 1 - managed_random(300); /* over the end: a write within it is below */
        uint64_t length = m.size + 1 + managed_random(9) - offset;
        assert_int_equal(managed_write(&m, offset, length, 0), length);
        assert_int_equal(managed_write(&m, 9 * K, 10, 0), 10);
        managed_check(&m);
        assert_int_equal(managed_commit(&m), 0);
        assert_in_range(managed_log_blocks_used(&m), 1, 2);
    }
    assert_int_equal(stats_sum(STATS_RELOCATIONS) - relocations, ROUNDS);
    assert_int_equal(managed_write_back(&m), 0);
    assert_int_equal(managed_log_blocks_used(&m), 0);
    managed_check_kernel(&m);
    count_from_here();
    for (int i = 0; i < 10; i++) { /* now it has a home */
        assert_int_equal(managed_write(&m, 8 * K, 4 * K, 0), 4 * K);
        assert_int_equal(managed_commit(&m), 0);
    }
    assert_int_equal(stats_sum(STATS_RELOCATIONS), relocations);
    managed_remove(&m);
}

/* What lay behind a shrunk end never comes back: not by growing, not by writing behind a gap, committed or not, trimmed or
 * not. */
static void test_gap_is_zero(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 32; how++) {
        struct managed m;
        managed_open(&m, 40 * K, 64 * K, 0);
        managed_attach(&m);
        if (how & 1) /* garbage in the log as well */
            assert_int_equal(managed_write(&m, 0, 40 * K, 0), 40 * K);
        if (how & 2)
            assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_resize(&m, 9000), 0);
        if (how & 4)
            assert_int_equal(managed_commit(&m), 0);
        if (how & 8)
            assert_int_equal(managed_write_back(&m), 0);
        managed_check(&m);
        if (how & 16)
            assert_int_equal(managed_write(&m, 50 * K, 10, 0), 10);
        else
            assert_int_equal(managed_resize(&m, 60 * K), 0);
        managed_check(&m);
        assert_int_equal(managed_commit(&m), 0);
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_reopen(&m, 0);
        managed_check(&m);
        managed_remove(&m);
    }
}

/* A grower comes while the file is made longer for a write-back: its zeros are still to be stored. */
static struct {
    long (*invoke)(long number, long a, long b, long c, long d, long e, long f);
    struct index_shared *shared;
    uint64_t zeros_end;
} grower;

static long grower_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_ftruncate)
        atomic_store(&grower.shared->zeros_end, grower.zeros_end);
    return grower.invoke(number, a, b, c, d, e, f);
}

/* Blocks behind the end that are still in the log are not copied behind the end of the kernel's file, whoever is about to make
 * the file longer meanwhile. */
static void test_write_back_beside_growth(void **state)
{
    (void)state;
    if (MANAGED_SAMPLE) /* the table of calls is changed while the thread of an earlier test lingers */
        skip();
    for (int mapped = 0; mapped < 2; mapped++) {
        struct managed m;
        managed_open(&m, 4 * K, 256 * K, 0);
        managed_attach(&m);
        if (mapped)
            assert_non_null(pm_map_at(&m.uma->data, 0));
        assert_int_equal(managed_write(&m, 4 * K, 56 * K, 0), 56 * K); /* one batch */
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_resize(&m, 20 * K), 0);
        assert_int_equal(managed_commit(&m), 0);
        grower.shared = uma_shared(m.uma);
        grower.zeros_end = 200 * K;
        uma_sync_pause(); /* it makes system calls, too */
        grower.invoke = rawsys_table.invoke;
        rawsys_table.invoke = grower_invoke;
        struct index_record *record = uma_claim(m.uma);
        int64_t freed = uma_writeback_quietly(m.uma, record, UINT64_MAX, true);
        uma_unclaim(m.uma, record);
        rawsys_table.invoke = grower.invoke;
        uma_sync_resume();
        atomic_store(&grower.shared->zeros_end, 0);
        assert_true(freed > 0);
        managed_check_kernel(&m);
        managed_check(&m);
        assert_int_equal(managed_write(&m, 60 * K, 10, 0), 10);
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_remove(&m);
    }
}

/* Write-back takes a block out of the log while somebody looks for data: it is found in one of the two. */
static struct {
    long (*invoke)(long number, long a, long b, long c, long d, long e, long f);
    struct uma *uma;
    int64_t freed;
} mover;

static long mover_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    long result = mover.invoke(number, a, b, c, d, e, f);
    if (number == SYS_lseek && !mover.freed) {
        mover.freed = 1;
        struct index_record *record = uma_claim(mover.uma);
        mover.freed = uma_writeback_quietly(mover.uma, record, UINT64_MAX, true);
        uma_unclaim(mover.uma, record);
    }
    return result;
}

static void test_next_data_beside_write_back(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 4 * K, 64 * K, 0);
    managed_attach(&m);
    assert_int_equal(managed_write(&m, 40 * K, 4 * K, 0), 4 * K);
    assert_int_equal(managed_commit(&m), 0);
    mover.uma = m.uma;
    mover.freed = 0;
    uma_sync_pause(); /* it makes system calls, too */
    mover.invoke = rawsys_table.invoke;
    rawsys_table.invoke = mover_invoke;
    uint64_t found = uma_next_data(m.uma, 4 * K);
    rawsys_table.invoke = mover.invoke;
    uma_sync_resume();
    assert_int_equal(mover.freed, 1);
    assert_int_equal(found, 40 * K);
    managed_check(&m);
    managed_remove(&m);
}

/* A log that may not grow is reclaimed: committed blocks go back to the file; without committed ones an early commit is
 * made and counted. Nothing fails, and nothing is lost. An O_ATOMIC file gets ENOSPC instead, and keeps what it has. */
static void test_log_pressure(void **state)
{
    struct conf *conf = (struct conf *)conf_get();
    uint64_t log_max = conf->log_max;
    (void)state;
    conf->log_max = 1024 * K; /* 5 MiB all the same: 1280 numbers, 64 of which do not exist */
    for (int atomic = 0; atomic < 2; atomic++) {
        struct managed m;
        managed_open(&m, 8192 * K, 8192 * K, atomic ? O_ATOMIC : 0);
        uint64_t early = stats_sum(STATS_EARLY_COMMITS);
        for (uint64_t i = 0; i < 3000; i++) {
            assert_int_equal(managed_write(&m, managed_random(2048) * 4 * K, 4 * K, 0), 4 * K);
            if (i % 100 == 99)
                assert_int_equal(managed_commit(&m), 0);
        }
        managed_check(&m);
        assert_int_equal(stats_sum(STATS_EARLY_COMMITS), early);
        assert_int_equal(managed_commit(&m), 0);
        ssize_t result = 4 * K;
        for (uint64_t i = 0; i < 2048 && result > 0; i++) {
            result = managed_write(&m, i * 4 * K, 4 * K, 0);
            assert_true(result == 4 * K || (atomic && result == -ENOSPC && i > 900));
        }
        managed_check(&m);
        assert_int_equal(result, atomic ? -ENOSPC : 4 * K);
        assert_int_equal(stats_sum(STATS_EARLY_COMMITS) > early, !atomic);
        assert_int_equal(managed_commit(&m), 0);
        assert_int_equal(managed_write(&m, 0, 2048 * K, 0), 2048 * K); /* there is room again */
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_remove(&m);
    }
    conf->log_max = log_max;
}

/* Zeros over the garbage of a file that was long once fill the log several times before the size covers them: what is
 * written back meanwhile takes them along. By a write behind the end, and by ftruncate. */
static void test_log_pressure_gap(void **state)
{
    struct conf *conf = (struct conf *)conf_get();
    uint64_t log_max = conf->log_max;
    (void)state;
    conf->log_max = 4096 * K; /* no less than a piece needs */
    for (int by_size = 0; by_size < 2; by_size++) {
        struct managed m;
        managed_open(&m, 8192 * K, 8192 * K, 0);
        managed_attach(&m);
        assert_int_equal(managed_resize(&m, 1000), 0);
        if (by_size)
            assert_int_equal(managed_resize(&m, 8192 * K), 0);
        else
            assert_int_equal(managed_write(&m, 8000 * K, 100, 0), 100);
        managed_check(&m);
        assert_int_equal(managed_commit(&m), 0);
        managed_check(&m);
        assert_int_equal(managed_close(&m), 0);
        managed_check_kernel(&m);
        managed_remove(&m);
    }
    conf->log_max = log_max;
}

/* ---- sparse and far files ---- */

static uint64_t allocated(const struct managed *m)
{
    struct stat st;
    assert_int_equal(stat(m->path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* Reading holes allocates nothing, however often it is done and however the file is read; writing allocates what it
 * writes. */
static void test_sparse(void **state)
{
    enum { SIZE = 8 << 20 };
    struct managed m;
    (void)state;
    managed_open(&m, 0, SIZE, 0);
    assert_int_equal(truncate(m.path, SIZE), 0);
    m.size = SIZE;
    managed_reopen(&m, 0);
    managed_attach(&m);
    for (int round = 0; round < 4; round++)
        managed_check(&m);
    assert_int_equal(allocated(&m), 0);
    for (uint64_t at = 0; at < SIZE; at += 2 << 20)
        assert_int_equal(managed_write(&m, at + 5000, 100, 0), 100);
    for (int round = 0; round < 4; round++)
        managed_check(&m);
    assert_int_equal(allocated(&m), 4 * 4 * K);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_write_back(&m), 0);
    for (int round = 0; round < 4; round++)
        managed_check(&m);
    assert_int_equal(allocated(&m), 4 * 4 * K);
    assert_int_equal(managed_close(&m), 0);
    assert_int_equal(allocated(&m), 4 * 4 * K);
    managed_check_kernel(&m);
    managed_remove(&m);
}

/* A file that grew by appends ends with the blocks it needs: what was reserved ahead is given back at the last close. */
static void test_no_blocks_left_ahead(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, 1, 1024 * K, 0);
    managed_attach(&m);
    for (int i = 0; i < 100; i++)
        assert_int_equal(managed_write(&m, 0, 5000, UMA_WRITE_APPEND), 5000);
    assert_int_equal(managed_commit(&m), 0);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    uint64_t needed = (500001 + 4095) / 4096 * 4096, more = allocated(&m) - needed;
    assert_true(more == 0 || (place_is_pm() && more == 4 * K)); /* ext4 counts a block of its own for many extents */
    managed_remove(&m);
}

/* A place in a file that is too far for the model. */
struct far {
    uint64_t offset;
    uint8_t bytes[10000];
};

static ssize_t far_write(struct managed *m, const struct far *far, uint64_t length)
{
    uint64_t end;
    const struct iovec iov = {(void *)far->bytes, length};
    ssize_t result = uma_write(m->uma, &iov, 1, far->offset, length, 0, &end);
    if (result != -UMA_AGAIN)
        return result;
    result = pwrite(m->fd, far->bytes, length, (off_t)far->offset); /* the file was handed to the kernel */
    return result < 0 ? -errno : result;
}

static int far_resize(struct managed *m, uint64_t size)
{
    int result = uma_resize(m->uma, size);
    if (result != -UMA_AGAIN)
        return result;
    return ftruncate(m->fd, (off_t)size) ? -errno : 0;
}

static void far_check(struct managed *m, const struct far *far, uint64_t length)
{
    uint8_t got[sizeof far->bytes];
    const struct iovec iov = {got, length};
    if (m->uma)
        assert_int_equal(uma_read(m->uma, &iov, 1, far->offset, length), length);
    else {
        int fd = open(m->path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, got, length, (off_t)far->offset), length);
        close(fd);
    }
    assert_memory_equal(got, far->bytes, length);
}

/* Any offset that the kernel takes is good: beyond what is mapped, across that border, and up to the last byte. */
static void test_far(void **state)
{
    static struct far far[] = {
        {.offset = UMA_MAPPED_MOST - 5000},      {.offset = UMA_MAPPED_MOST + 12345},
        {.offset = (UINT64_C(1) << 51) - 100},   {.offset = (UINT64_C(1) << 62) + 1},
        {.offset = (uint64_t)INT64_MAX - 20000},
    };
    enum { PLACES = sizeof far / sizeof *far };
    struct managed m;
    (void)state;
    managed_open(&m, 4 * K, 4 * K, 0);
    managed_attach(&m);
    int places = 0; /* the kernel's, of this file system: ext4 ends at 16 TiB */
    while (places < PLACES && lseek(m.fd, (off_t)(far[places].offset + sizeof far->bytes), SEEK_SET) >= 0)
        places++;
    assert_true(places >= 2);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < places; i++) {
            uint64_t length = round ? sizeof far[i].bytes : 5000;
            for (unsigned j = 0; j < length; j++)
                far[i].bytes[j] = (uint8_t)managed_random(256);
            assert_int_equal(far_write(&m, &far[i], length), length);
        }
        for (int i = 0; i < places; i++)
            far_check(&m, &far[i], round ? sizeof far[i].bytes : 5000);
        if (round & 1)
            assert_int_equal(managed_commit(&m), 0);
        if (round == 1)
            assert_int_equal(managed_write_back(&m), 0);
        for (int i = 0; i < places; i++)
            far_check(&m, &far[i], round ? sizeof far[i].bytes : 5000);
    }
    assert_int_equal(uma_size(m.uma), far[places - 1].offset + sizeof far->bytes);
    assert_int_equal(managed_close(&m), 0);
    for (int i = 0; i < places; i++)
        far_check(&m, &far[i], sizeof far->bytes);
    struct stat st;
    assert_int_equal(stat(m.path, &st), 0);
    assert_int_equal(st.st_size, far[places - 1].offset + sizeof far->bytes);
    assert_true(st.st_blocks * 512 < 40 * 4 * K);
    managed_remove(&m);
}

/* The largest file ends where the kernel's does: the same writes and sizes work there, and the same fail with EFBIG. (tmpfs
 * cannot allocate the very last page ahead of a write; the kernel serves the file from then on.) */
static void test_largest(void **state)
{
    static struct far far = {.bytes = "the end"};
    struct managed m;
    (void)state;
    managed_open(&m, 4 * K, 4 * K, 0);
    managed_attach(&m);
    for (uint64_t back = 1; back <= 6000; back += 1999) {
        char plain[MANAGED_PATH_MAX + 8];
        snprintf(plain, sizeof plain, "%s.plain", m.path);
        int fd = open(plain, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        far.offset = (uint64_t)INT64_MAX - back;
        ssize_t want = pwrite(fd, far.bytes, 1, (off_t)far.offset);
        assert_int_equal(far_write(&m, &far, 1), want < 0 ? -errno : want);
        want = ftruncate(fd, (off_t)far.offset);
        assert_int_equal(far_resize(&m, far.offset), want < 0 ? -errno : want);
        close(fd);
        unlink(plain);
    }
    far.offset = INT64_MAX;
    assert_int_equal(far_write(&m, &far, 1), -EFBIG);
    assert_int_equal(managed_resize(&m, 100), 0);
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_same_epoch),
        cmocka_unit_test(test_first_touch),
        cmocka_unit_test(test_first_touch_undo),
        cmocka_unit_test(test_partial_lines),
        cmocka_unit_test(test_append_in_place),
        cmocka_unit_test(test_relocation),
        cmocka_unit_test(test_gap_is_zero),
        cmocka_unit_test(test_write_back_beside_growth),
        cmocka_unit_test(test_next_data_beside_write_back),
        cmocka_unit_test(test_log_pressure),
        cmocka_unit_test(test_log_pressure_gap),
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_no_blocks_left_ahead),
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_largest),
    };
    managed_begin("pm:force,idle:1000s,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
