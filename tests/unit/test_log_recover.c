/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_log_recover.c — recovery from hand-made and from random logs, against a second, naive reading of the rules in
 * log_format.h; promotion; interruption at every system call; every refusal.
 */
#include "unit/fault.h"
#include "unit/log_image.h"
#include "unit/unit.h"

#include "base/rawsys.h"
#include "log/log_plan.h"
#include "log/log_recover.h"
#include "pm/pm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOG_BLOCKS 64u
#define FILE_BLOCKS 8u
#define FILE_MOST (FILE_BLOCKS * LOG_BLOCK)
#define LINE 64u
#define FIRST LOG_FIRST_BLOCK
#define ALL (~UINT64_C(0))

/* A file and its log. */
struct world {
    char path[UNIT_PATH_MAX];
    int dirfd, fd;
    struct log log;
    uint8_t want[FILE_MOST]; /* what recovery must make of the file */
    uint64_t want_size;
    bool want_promoted;
};

static void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    unit_directory(w->path);
    w->dirfd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    w->fd = openat(w->dirfd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(w->dirfd >= 0 && w->fd >= 0);
    assert_int_equal(log_create(&w->log, w->dirfd, geteuid(), LOG_BLOCKS, PM_MAP_SYNC_NEVER), 0);
}

static void world_close(struct world *w)
{
    log_unlink(&w->log);
    log_close(&w->log);
    close(w->fd);
    unlinkat(w->dirfd, "file", 0);
    close(w->dirfd);
    assert_int_equal(rmdir(w->path), 0);
}

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_open(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static struct log_header *header(struct world *w)
{
    return log_header(&w->log);
}

/* Issues the log for the file, with H = `epoch` and a floor of 3. */
static void issue(struct world *w, uint64_t size, uint64_t epoch, uint64_t flags)
{
    struct log_identity identity;
    assert_int_equal(log_identity_of(w->fd, &identity, NULL), 0);
    log_issue(&w->log, &identity, geteuid(), size, flags, "/file");
    header(w)->epoch = epoch;
    header(w)->floor = 3;
    header(w)->size[epoch & 1] = size;
    header(w)->size[(epoch + 1) & 1] = size + 1000; /* of a commit that did not happen */
    image_seal_header(header(w));
}

/* As after a power cut: the log was issued in another boot. */
static void reboot(struct world *w)
{
    header(w)->boot_id[0] ^= 1;
    image_seal_header(header(w));
}

static void put_entry(struct world *w, uint32_t n, uint64_t block, uint64_t seq, uint64_t base, uint64_t flip,
                      uint64_t epoch)
{
    struct log_entry *entry = log_entry(&w->log, n);
    image_name_entry(entry, n, block, seq);
    entry->record[0].base = base;
    entry->record[0].flip = flip;
    entry->record[0].epoch = epoch;
    entry->record[1].epoch = 0;
}

static void put_second(struct world *w, uint32_t n, uint64_t base, uint64_t flip, uint64_t epoch)
{
    struct log_record *record = &log_entry(&w->log, n)->record[1];
    record->base = base;
    record->flip = flip;
    record->epoch = epoch;
}

/* Byte of the file at offset x; byte of log block n at offset x. */
static uint8_t file_byte(uint64_t x)
{
    return (uint8_t)(1 + x / LINE % 100);
}
static uint8_t log_byte(uint32_t n, uint64_t x)
{
    return (uint8_t)(101 + (n * 31 + x / LINE + x % LINE) % 150);
}

static void fill_file(struct world *w, uint64_t size)
{
    uint8_t *bytes = malloc(size + 1);
    for (uint64_t x = 0; x < size; x++)
        bytes[x] = file_byte(x);
    assert_int_equal(ftruncate(w->fd, 0), 0);
    assert_int_equal(pwrite(w->fd, bytes, size, 0), (ssize_t)size);
    free(bytes);
    /* Mapped stores behind the end, which no call of the kernel has seen. */
    if (size % LOG_BLOCK) {
        uint8_t *page =
            mmap(NULL, LOG_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, (off_t)(size / LOG_BLOCK * LOG_BLOCK));
        assert_true(page != MAP_FAILED);
        memset(page + size % LOG_BLOCK, 0xee, LOG_BLOCK - size % LOG_BLOCK);
        munmap(page, LOG_BLOCK);
    }
    memset(w->want, 0, sizeof w->want);
    for (uint64_t x = 0; x < size && x < FILE_MOST; x++)
        w->want[x] = file_byte(x);
    w->want_size = size;
}

static void fill_log(struct world *w)
{
    for (uint32_t n = FIRST; n < FIRST + LOG_BLOCKS; n++)
        for (uint64_t x = 0; x < LOG_BLOCK; x++)
            log_block(&w->log, n)[x] = (char)log_byte(n, x);
}

/* The lines of `mask` of a block are wanted from log block n. */
static void want_lines(struct world *w, uint64_t block, uint32_t n, uint64_t mask)
{
    for (uint64_t x = 0; x < LOG_BLOCK && block < FILE_BLOCKS; x++)
        if (mask >> x / LINE & 1)
            w->want[block * LOG_BLOCK + x] = log_byte(n, x);
}

/* The file is as wanted, also where it is extended now; the entries are void and the header is ready for use. */
static void check_world(struct world *w)
{
    static uint8_t got[FILE_MOST + LOG_BLOCK];
    struct stat st;
    assert_int_equal(fstat(w->fd, &st), 0);
    assert_int_equal(st.st_size, w->want_size);
    assert_int_equal(pread(w->fd, got, sizeof got, 0), (ssize_t)w->want_size);
    assert_memory_equal(got, w->want, w->want_size);
    uint64_t floor = header(w)->floor, epoch = header(w)->epoch;
    assert_true(epoch > floor);
    for (uint32_t n = FIRST; n < FIRST + LOG_BLOCKS; n++)
        for (unsigned r = 0; r < 2; r++)
            assert_true(log_entry(&w->log, n)->record[r].epoch <= floor);
    assert_true(header(w)->size[epoch & 1] == w->want_size && header(w)->newest_size == w->want_size);
    uint64_t boot[2];
    assert_int_equal(log_boot_id(boot), 0);
    assert_memory_equal(header(w)->boot_id, boot, sizeof boot);
    assert_true(header(w)->index_nonce == 0);

    assert_int_equal(ftruncate(w->fd, FILE_MOST + LOG_BLOCK), 0);
    assert_int_equal(pread(w->fd, got, sizeof got, 0), sizeof got);
    for (uint64_t x = w->want_size; x < sizeof got; x++)
        assert_int_equal(got[x], 0);
    assert_int_equal(ftruncate(w->fd, (off_t)w->want_size), 0);
}

static void recover(struct world *w, struct log_recovery *result)
{
    assert_int_equal(log_recover(&w->log, w->fd, result), 0);
    assert_true(result->size == w->want_size);
    assert_int_equal(result->promoted, w->want_promoted);
    check_world(w);
}

/* ---- hand-made entries, after a power cut ---- */

/* A committed record: base ^ flip says which lines are in the log; an uncommitted first one: base alone; void ones: none. */
static void test_records(void **state)
{
    struct world *w = *state;
    struct log_recovery result;
    fill_file(w, FILE_MOST);
    fill_log(w);
    issue(w, FILE_MOST, 10, 0);
    put_entry(w, FIRST + 0, 0, 1, 0xff, 0x0f0f, 9);  /* committed */
    put_entry(w, FIRST + 1, 1, 1, 0xff, 0x0f0f, 10); /* not: a sync was in flight */
    put_entry(w, FIRST + 2, 2, 1, 0x3, 0xc, 11);     /* not: of the epoch after it */
    put_entry(w, FIRST + 3, 3, 1, ALL, 0, 3);        /* void by the floor */
    put_entry(w, FIRST + 4, 4, 1, ALL, 0, 0);        /* unused */
    put_entry(w, FIRST + 5, 5, 1, 0xf0, 0xff, 8);    /* two records: the newer one counts */
    put_second(w, FIRST + 5, 0x0f, 0xf000, 9);       /*   committed */
    put_entry(w, FIRST + 6, 6, 1, 0x0f, 0xf000, 10); /*   uncommitted: its base is the older one's state */
    put_second(w, FIRST + 6, 0xf0, 0xff, 8);
    put_entry(w, FIRST + 7, 7, 1, 0x5, 0x0, 9); /* a void second record counts for nothing */
    put_second(w, FIRST + 7, ALL, 0, 3);
    reboot(w);
    want_lines(w, 0, FIRST + 0, 0xff ^ 0x0f0f);
    want_lines(w, 1, FIRST + 1, 0xff);
    want_lines(w, 2, FIRST + 2, 0x3);
    want_lines(w, 5, FIRST + 5, 0x0f ^ 0xf000);
    want_lines(w, 6, FIRST + 6, 0x0f);
    want_lines(w, 7, FIRST + 7, 0x5);
    recover(w, &result);
    assert_int_equal(result.entries, 6);
    assert_int_equal(result.lines, 8 + 8 + 2 + 8 + 4 + 2);
}

/* Several entries of one block: the highest with a committed state decides, lower ones are void, higher ones add base. */
static void test_orders(void **state)
{
    struct world *w = *state;
    struct log_recovery result;
    fill_file(w, FILE_MOST);
    fill_log(w);
    issue(w, FILE_MOST, 10, 0);
    put_entry(w, FIRST + 0, 0, 5, 0x0, 0x0f, 9);    /* decides: its other lines are in the file */
    put_entry(w, FIRST + 1, 0, 4, 0x0, 0xffff, 9);  /* superseded */
    put_entry(w, FIRST + 2, 1, 1, 0x0, 0xff, 8);    /* decides */
    put_entry(w, FIRST + 3, 1, 2, 0x0, 0xffff, 10); /* uncommitted relocation: nothing */
    put_entry(w, FIRST + 4, 2, 1, 0x0, 0xff, 8);    /* decides */
    put_entry(w, FIRST + 5, 2, 2, 0x3, 0x1, 10);    /* uncommitted with base lines: they are added */
    put_entry(w, FIRST + 6, 3, 1, ALL, 0, 8);       /* superseded by ... */
    put_entry(w, FIRST + 7, 3, 2, 0x70, 0xff, 10);  /* ... an uncommitted record whose older one was committed */
    put_second(w, FIRST + 7, 0x0, 0x70, 9);
    put_entry(w, FIRST + 8, 4, 1, 0xf, 0, 10); /* nothing committed at all: base lines of both, the higher last */
    put_entry(w, FIRST + 9, 4, 2, 0x3c, 0, 10);
    reboot(w);
    want_lines(w, 0, FIRST + 0, 0x0f);
    want_lines(w, 1, FIRST + 2, 0xff);
    want_lines(w, 2, FIRST + 4, 0xff);
    want_lines(w, 2, FIRST + 5, 0x3);
    want_lines(w, 3, FIRST + 7, 0x70);
    want_lines(w, 4, FIRST + 8, 0xf);
    want_lines(w, 4, FIRST + 9, 0x3c);
    recover(w, &result);
    assert_int_equal(result.entries, 10);
    assert_int_equal(result.void_entries, 3);
}

/* The size is the committed one, whichever the kernel's is, and a line at the end is cut. */
static void test_sizes(void **state)
{
    struct world *w = *state;
    static const uint64_t sizes[] = {0, 1, 100, LOG_BLOCK, LOG_BLOCK + 100, 2 * LOG_BLOCK - 1, 3 * LOG_BLOCK};
    const unsigned count = sizeof sizes / sizeof sizes[0];
    fill_log(w);
    for (unsigned kernel = 0; kernel < count; kernel++)
        for (unsigned committed = 0; committed < count; committed++) {
            struct log_recovery result;
            fill_file(w, sizes[kernel]);
            log_retire(&w->log);
            issue(w, sizes[committed], 10, 0);
            put_entry(w, FIRST, 1, 1, 0, 0x6, 9);     /* bytes 64 .. 191 of block 1 */
            put_entry(w, FIRST + 1, 5, 1, 0, ALL, 9); /* behind every size */
            reboot(w);
            want_lines(w, 1, FIRST, 0x6);
            w->want_size = sizes[committed];
            recover(w, &result);
        }
}

/* Blocks in a row, in the file and in the log, across segments of the mapping: all bytes come over. */
static void test_long_runs(void **state)
{
    struct world *w = *state;
    struct log_recovery result;
    const uint32_t count = 20000; /* 78 MiB: beyond the first segment */
    assert_int_equal(log_grow(&w->log, FIRST, count), 0);
    assert_int_equal(ftruncate(w->fd, 0), 0);
    issue(w, (uint64_t)count * LOG_BLOCK, 10, 0);
    for (uint32_t i = 0; i < count; i++) {
        put_entry(w, FIRST + i, i, 1, 0, ALL, 9);
        if (i % 7 == 0 || i > count - 20 || (i > 15800 && i < 15900)) /* the rest stays zero: time */
            for (unsigned x = 0; x < LOG_BLOCK; x += 8)
                memcpy(log_block(&w->log, FIRST + i) + x, &(uint64_t){(uint64_t)i << 32 | x}, 8);
    }
    reboot(w);
    /* Something else behind the first segment, so that a run across its end is noticed. */
    void *behind = (char *)header(w) + PM_MAP_FIRST;
    void *other = mmap(behind, LOG_BLOCK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
    assert_int_equal(log_recover(&w->log, w->fd, &result), 0);
    if (other != MAP_FAILED)
        munmap(other, LOG_BLOCK);
    assert_int_equal(result.lines, count * LOG_LINES);
    char *block = malloc(LOG_BLOCK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pread(w->fd, block, LOG_BLOCK, (off_t)i * LOG_BLOCK), LOG_BLOCK);
        assert_memory_equal(block, log_block(&w->log, FIRST + i), LOG_BLOCK);
    }
    free(block);
}

/* A sparse file stays sparse: only the blocks that are written are allocated. */
static void test_sparse(void **state)
{
    struct world *w = *state;
    struct log_recovery result;
    struct stat st;
    char byte;
    uint64_t size = UINT64_C(5) << 30;
    fill_log(w);
    issue(w, size, 10, 0);
    put_entry(w, FIRST, size / LOG_BLOCK - 1, 1, 0, UINT64_C(1) << 63, 9);
    reboot(w);
    assert_int_equal(log_recover(&w->log, w->fd, &result), 0);
    assert_true(result.size == size);
    assert_int_equal(fstat(w->fd, &st), 0);
    assert_true((uint64_t)st.st_size == size && st.st_blocks * 512 <= 2 * (off_t)LOG_BLOCK);
    assert_int_equal(pread(w->fd, &byte, 1, (off_t)size - 1), 1);
    assert_int_equal((uint8_t)byte, log_byte(FIRST, LOG_BLOCK - 1));
}

/* ---- promotion ---- */

/* The same boot: what was not synced is committed, with the newest size; not so for an O_ATOMIC file. */
static void test_promotion(void **state)
{
    struct world *w = *state;
    for (unsigned atomic = 0; atomic < 2; atomic++)
        for (uint64_t epoch = 10; epoch < 12; epoch++) {
            struct log_recovery result;
            fill_file(w, 2 * LOG_BLOCK);
            fill_log(w);
            log_retire(&w->log);
            issue(w, LOG_BLOCK, epoch, atomic ? LOG_FLAG_ATOMIC : 0);
            log_store_newest_size(header(w), 2 * LOG_BLOCK - 7);
            put_entry(w, FIRST, 0, 1, 0xf, 0xff, epoch);
            put_second(w, FIRST, 0, 0xf, epoch - 1);
            put_entry(w, FIRST + 1, 1, 1, 0, ALL, epoch + 1);
            w->want_promoted = !atomic;
            w->want_size = atomic ? LOG_BLOCK : 2 * LOG_BLOCK - 7;
            if (atomic) {
                want_lines(w, 0, FIRST, 0xf);
            } else {
                want_lines(w, 0, FIRST, 0xf ^ 0xff);
                want_lines(w, 1, FIRST + 1, ALL);
            }
            recover(w, &result);
        }
}

/* Interrupted between the two stores of a promotion, and between it and the rest: the next run comes to the same end, and
 * so does one after a power cut, from the one state or the other. */
static void test_promotion_interrupted(void **state)
{
    struct world *w = *state;
    for (unsigned stage = 0; stage < 3; stage++)
        for (unsigned cut = 0; cut < 2; cut++) {
            struct log_recovery result;
            fill_file(w, LOG_BLOCK);
            fill_log(w);
            log_retire(&w->log);
            issue(w, LOG_BLOCK, 10, 0);
            log_store_newest_size(header(w), 100);
            put_entry(w, FIRST, 0, 1, 0, 1, 11);
            if (stage > 0)
                header(w)->size[13 & 1] = 100; /* H' = 13: above 11, odd */
            if (stage > 1)
                header(w)->epoch = 13;
            image_seal_header(header(w));
            if (cut)
                reboot(w);
            bool committed = stage > 1 || !cut;
            w->want_promoted = !cut;
            w->want_size = committed ? 100 : LOG_BLOCK;
            if (committed)
                want_lines(w, 0, FIRST, 1);
            recover(w, &result);
        }
}

/* The promotion's size goes to the word that the durable epoch does not use, whatever the epochs are. */
static void test_promotion_parity(void **state)
{
    struct world *w = *state;
    for (uint64_t newest = 9; newest < 12; newest++) {
        fill_file(w, LOG_BLOCK);
        log_retire(&w->log);
        issue(w, LOG_BLOCK, 10, 0);
        log_store_newest_size(header(w), 100);
        put_entry(w, FIRST, 0, 1, 0, 1, newest);
        fault_start();
        fault_set(SYS_fallocate, 1, EIO, true);
        assert_int_equal(log_recover(&w->log, w->fd, NULL), -EIO);
        fault_stop();
        assert_true(header(w)->epoch > newest && header(w)->epoch % 2 == 1);
        assert_true(header(w)->size[0] == LOG_BLOCK && header(w)->size[1] == 100);
    }
}

/* Interrupted between the last stores, in their order: nothing is undone by the next run. */
static void test_end_interrupted(void **state)
{
    struct world *w = *state;
    for (unsigned stage = 0; stage < 3; stage++) {
        struct log_recovery result;
        fill_file(w, 100);
        fill_log(w);
        log_retire(&w->log);
        issue(w, 100, 10, 0);
        header(w)->newest_size = 4000; /* of the old boot: must not count */
        put_entry(w, FIRST, 0, 1, 0, 1, 9);
        put_entry(w, FIRST + 1, 0, 2, 0, 1, 11);
        header(w)->size[1] = 100;
        header(w)->floor = 11; /* the file has its lines already and has gone on: entries must not touch it */
        if (stage > 0)
            header(w)->epoch = 12;
        if (stage > 1)
            log_store_newest_size(header(w), 100);
        reboot(w); /* and new checks */
        recover(w, &result);
        assert_int_equal(result.entries, 0);
    }
}

/* ---- random logs against a naive reading of the rules ---- */

static uint64_t rnd(uint64_t *seed, uint64_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*seed >> 33) % below;
}

static uint64_t rnd_lines(uint64_t *seed)
{
    uint64_t a = rnd(seed, UINT64_C(1) << 31), b = rnd(seed, UINT64_C(1) << 31), shape = rnd(seed, 4);
    uint64_t lines = a << 33 ^ b << 5 ^ a;
    return shape == 0 ? 0 : shape == 1 ? ALL : lines;
}

struct naive {
    uint64_t block, seq, base, flip, epoch;
    bool two;
    uint32_t n;
};

static int naive_order(const void *a, const void *b)
{
    const struct naive *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* What the entries of one block make of it with H = `durable`. */
static void naive_block(struct world *w, struct naive *entry, unsigned count, uint64_t durable)
{
    qsort(entry, count, sizeof *entry, naive_order);
    unsigned top = 0;
    for (unsigned i = 0; i < count; i++)
        if (entry[i].epoch < durable || entry[i].two)
            top = i;
    for (unsigned i = top; i < count; i++)
        want_lines(w, entry[i].block, entry[i].n,
                   entry[i].epoch < durable ? entry[i].base ^ entry[i].flip : entry[i].base);
}

/* A random log of the world's file, and what recovery must make of it. */
static void make_random(struct world *w, uint64_t seed)
{
    const uint64_t durable = 10 + rnd(&seed, 2);
    uint32_t n = FIRST;
    struct naive entry[FILE_BLOCKS][4];
    unsigned counts[FILE_BLOCKS];
    uint64_t newest = durable;
    memset(log_entry(&w->log, FIRST), 0, LOG_BLOCKS * LOG_ENTRY_BYTES);
    fill_file(w, rnd(&seed, FILE_MOST));
    fill_log(w);
    log_retire(&w->log);
    bool atomic = rnd(&seed, 4) == 0;
    issue(w, rnd(&seed, FILE_MOST), durable, atomic ? LOG_FLAG_ATOMIC : 0);
    log_store_newest_size(header(w), rnd(&seed, FILE_MOST));
    for (uint64_t b = 0; b < FILE_BLOCKS; b++) {
        counts[b] = (unsigned)rnd(&seed, 4);
        for (unsigned i = 0; i < counts[b]; i++) {
            struct naive *e = &entry[b][i];
            n += 1 + (uint32_t)rnd(&seed, 2);
            *e = (struct naive){.block = b,
                                .seq = 1 + (i * 3 + b) % 4,
                                .base = rnd_lines(&seed),
                                .flip = rnd_lines(&seed),
                                .epoch = 5 + rnd(&seed, durable - 3),
                                .n = n};
            uint64_t older = rnd(&seed, (e->epoch < durable ? e->epoch : durable));
            put_entry(w, n, b, e->seq, e->base, e->flip, e->epoch);
            put_second(w, n, rnd_lines(&seed), rnd_lines(&seed), older);
            e->two = older > 3;
            newest = e->epoch > newest ? e->epoch : newest;
        }
    }
    bool rebooted = rnd(&seed, 2);
    if (rebooted)
        reboot(w);
    w->want_promoted = !rebooted && !atomic;
    w->want_size = w->want_promoted ? header(w)->newest_size : header(w)->size[durable & 1];
    for (unsigned b = 0; b < FILE_BLOCKS; b++)
        naive_block(w, entry[b], counts[b], w->want_promoted ? newest + 1 : durable);
}

static void test_random(void **state)
{
    struct world *w = *state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct log_recovery result;
        make_random(w, seed);
        recover(w, &result);
        w->want_promoted = true; /* a second run finds nothing to do, and does nothing */
        if (header(w)->flags & LOG_FLAG_ATOMIC)
            w->want_promoted = false;
        recover(w, &result);
        assert_int_equal(result.entries, 0);
    }
}

/* Interrupted at its k-th system call, whichever it is, and run again: the same end, also when the second run is
 * interrupted, too. A power cut may come in between. */
static void test_interrupted(void **state)
{
    struct world *w = *state;
    unsigned interruptions = 0;
    for (uint64_t seed = 1000; seed < 1012; seed++)
        for (unsigned nth = 1;; nth++) {
            struct log_recovery result;
            make_random(w, seed);
            bool hit = true;
            for (unsigned again = 0; again < 3 && hit; again++) {
                fault_start();
                fault_set(FAULT_ANY, nth + again, EIO, true);
                int error = log_recover(&w->log, w->fd, &result);
                hit = fault_hits() > 0;
                fault_stop();
                assert_true(error == 0 || hit);
                interruptions += error != 0;
            }
            w->want_promoted = !(header(w)->flags & LOG_FLAG_ATOMIC) && (hit ? w->want_promoted : true);
            recover(w, &result);
            if (!hit)
                break;
        }
    assert_true(interruptions > 200);
}

/* ---- refusals ---- */

static struct log_header *saved;
static uint8_t *saved_entries;

static void make_plain(struct world *w)
{
    fill_file(w, FILE_MOST);
    fill_log(w);
    log_retire(&w->log);
    issue(w, FILE_MOST, 10, 0);
    for (uint32_t n = FIRST; n < FIRST + 4; n++)
        put_entry(w, n, n - FIRST, 1, 0, ALL, 9);
    reboot(w);
}

/* The run is refused with `error`; file, header and entries are what they were. */
static void refused(struct world *w, int fd, int error)
{
    struct stat st;
    static uint8_t got[FILE_MOST + 1];
    bool whole = fstat(w->log.fd, &st) == 0 && (uint64_t)st.st_size >= log_entry_offset(FIRST + LOG_BLOCKS);
    if (whole) {
        memcpy(saved, header(w), sizeof *saved);
        memcpy(saved_entries, log_entry(&w->log, FIRST), LOG_BLOCKS * LOG_ENTRY_BYTES);
    }
    assert_int_equal(log_recover(&w->log, fd, NULL), error);
    if (whole) {
        assert_memory_equal(saved, header(w), sizeof *saved);
        assert_memory_equal(saved_entries, log_entry(&w->log, FIRST), LOG_BLOCKS * LOG_ENTRY_BYTES);
    }
    assert_int_equal(pread(w->fd, got, sizeof got, 0), FILE_MOST);
    assert_memory_equal(got, w->want, FILE_MOST);
}

static void test_refusals(void **state)
{
    struct world *w = *state;
    saved = malloc(sizeof *saved);
    saved_entries = malloc(LOG_BLOCKS * LOG_ENTRY_BYTES);
    struct log_entry *entry = log_entry(&w->log, FIRST + 2);
#define REFUSED(change, error)                                                                                         \
    do {                                                                                                               \
        make_plain(w);                                                                                                 \
        change;                                                                                                        \
        refused(w, w->fd, error);                                                                                      \
    } while (0)
    REFUSED(header(w)->magic = 0, -ENODATA);
    REFUSED(header(w)->magic = 1, -EBADMSG);
    REFUSED(header(w)->version = 7, -EPROTONOSUPPORT);
    REFUSED(header(w)->owner++, -EBADMSG);
    REFUSED(header(w)->epoch = 0, -EBADMSG);
    REFUSED(header(w)->size[0] = UINT64_C(1) << 63, -EBADMSG);
    REFUSED(header(w)->identity.ino++, -EBADMSG); /* with the check of another: damage */
    REFUSED(header(w)->identity.ino++; image_seal_header(header(w)), -ESTALE);
    REFUSED(header(w)->identity.fs[0]++; image_seal_header(header(w)), -ESTALE);
    REFUSED(header(w)->identity.birth_nsec++; image_seal_header(header(w)), -ESTALE);
    REFUSED(header(w)->identity.generation++; image_seal_header(header(w)), -ESTALE);
    REFUSED(entry->block += 1, -EBADMSG);
    REFUSED(image_name_entry(entry, FIRST + 2, 2, 0), -EBADMSG);
    REFUSED(entry->record[0].epoch = 12, -EBADMSG);
    REFUSED(entry->record[1].epoch = 9, -EBADMSG);                                  /* both of one epoch */
    REFUSED(entry->record[0].epoch = 11; entry->record[1].epoch = 10, -EBADMSG);    /* the older not committed */
    REFUSED(image_name_entry(entry, FIRST + 2, 1, 1), -EBADMSG);                    /* two of one block and order */
    REFUSED(log_entry(&w->log, FIRST + LOG_BLOCKS)->record[0].epoch = 9, -EBADMSG); /* its block does not exist */
    log_entry(&w->log, FIRST + LOG_BLOCKS)->record[0].epoch = 0;
    /* promotion, with a size that cannot be */
    REFUSED(reboot(w); log_store_newest_size(header(w), UINT64_MAX), -EBADMSG);
    REFUSED(reboot(w); header(w)->newest_size++, -EBADMSG);

    /* another file, a wrong descriptor */
    make_plain(w);
    int other = openat(w->dirfd, "other", O_RDWR | O_CREAT, 0600);
    refused(w, other, -ESTALE);
    refused(w, w->dirfd, -EBADF);
    int reader = openat(w->dirfd, "file", O_RDONLY), append = openat(w->dirfd, "file", O_RDWR | O_APPEND);
    refused(w, reader, -EBADF);
    refused(w, append, -EBADF);
    refused(w, -1, -EBADF);
    close(reader);
    close(append);
    close(other);
    unlinkat(w->dirfd, "other", 0);
#undef REFUSED
    free(saved);
    free(saved_entries);
}

/* The file was given to another user since: his file is not touched by the old owner's log. */
static void test_other_owner(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0)
        skip();
    make_plain(w);
    assert_int_equal(fchown(w->fd, 12345, (gid_t)-1), 0);
    assert_int_equal(log_recover(&w->log, w->fd, NULL), -ESTALE);
}

/* A log that was cut off anywhere is refused or recovers nothing wrong, and never raises a signal. */
static void test_truncated(void **state)
{
    struct world *w = *state;
    static uint8_t got[FILE_MOST];
    struct stat st;
    make_plain(w);
    assert_int_equal(fstat(w->log.fd, &st), 0);
    static const uint64_t lengths[] = {0, 1, 100, 4095, 4096, 4100, 8192, 1 << 20, (2 << 20) - 1, 2 << 20};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0] + 4; i++) {
        /* the last ones: within the blocks in use */
        uint64_t length = i < sizeof lengths / sizeof lengths[0]
                              ? lengths[i]
                              : log_block_offset(FIRST + (uint32_t)(i - sizeof lengths / sizeof lengths[0])) + 1;
        make_plain(w);
        assert_int_equal(ftruncate(w->log.fd, (off_t)length), 0);
        assert_int_equal(log_recover(&w->log, w->fd, NULL), -EBADMSG);
        assert_int_equal(pread(w->fd, got, sizeof got, 0), FILE_MOST);
        assert_memory_equal(got, w->want, FILE_MOST);
        assert_int_equal(log_grow(&w->log, FIRST, LOG_BLOCKS), 0);
        assert_int_equal(fallocate(w->log.fd, 0, 0, LOG_HEADER_BYTES), 0);
    }
}

/* Random bytes in place of entries, or single flipped bits: recovered or refused, the file one or the other, no signal. */
static void test_garbage(void **state)
{
    struct world *w = *state;
    uint64_t seed = 99;
    unsigned refusals = 0;
    for (unsigned i = 0; i < 300; i++) {
        make_plain(w);
        if (i % 2) {
            uint8_t *at = (uint8_t *)log_entry(&w->log, FIRST) + rnd(&seed, 4 * LOG_ENTRY_BYTES);
            *at ^= (uint8_t)(1 << rnd(&seed, 8));
        } else {
            sys_getrandom(log_entry(&w->log, FIRST), LOG_ENTRY_BYTES * (1 + rnd(&seed, LOG_BLOCKS)), 0);
        }
        struct stat st;
        int error = log_recover(&w->log, w->fd, NULL);
        assert_true(error == 0 || error == -EBADMSG);
        refusals += error != 0;
        assert_int_equal(fstat(w->fd, &st), 0);
        assert_int_equal(st.st_size, FILE_MOST);
        memset(log_entry(&w->log, FIRST), 0, LOG_BLOCKS * LOG_ENTRY_BYTES);
    }
    assert_true(refusals > 100);
}

/* No space in the file system, or a limit on the size of files: told, nothing freed, no SIGXFSZ; later it works. */
static void test_no_space(void **state)
{
    struct world *w = *state;
    struct log_recovery result;
    struct rlimit old, low;
    make_plain(w);
    for (uint64_t b = 0; b < 4; b++)
        want_lines(w, b, FIRST + (uint32_t)b, ALL);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = LOG_BLOCK;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int limited = log_recover(&w->log, w->fd, &result);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(limited, -EFBIG);
    fault_start();
    fault_set(SYS_fallocate, 1, ENOSPC, false);
    int full = log_recover(&w->log, w->fd, &result);
    fault_stop();
    assert_int_equal(full, -ENOSPC);
    fault_start();
    fault_set(SYS_pwrite64, 1, EFAULT, false); /* a poisoned page of the log */
    int poisoned = log_recover(&w->log, w->fd, &result);
    fault_stop();
    assert_int_equal(poisoned, -EIO);
    assert_true(header(w)->floor == 3);
    recover(w, &result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promotion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promotion_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promotion_parity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
