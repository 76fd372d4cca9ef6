/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_read.c — reads: past the end, short, of what was just written, of lengths from 0 to far too much.
 */
#include "cases.h"

#include <limits.h>
#include <string.h>

static void past_the_end(void)
{
    int fd = subject();
    static const off_t from_end[] = {-5000, -1, 0, 1, 4096, 100000};
    for (size_t i = 0; i < sizeof from_end / sizeof from_end[0]; i++) {
        off_t at = subject_size + from_end[i];
        say("-- end %+lld", (long long)from_end[i]);
        SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, 10000, at)));
        CALL(nvx.pread(fd, scratch, 0, at));
        CALL(nvx.lseek(fd, at, SEEK_SET));
        SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 3000)));
        SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 3000)));
        CALL(nvx.read(fd, scratch, 3000));
        CALL(nvx.lseek(fd, 0, SEEK_CUR));
    }
    CALL(nvx.close(fd));
}

static void read_all(void)
{
    int fd = subject();
    static const size_t lengths[] = {1, 63, 64, 65, 511, 4095, 4096, 4097, 65536, 1000003};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (subject_size / (off_t)lengths[i] > 30000)
            continue;
        CALL(nvx.lseek(fd, 0, SEEK_SET));
        size_t have = 0;
        ssize_t n;
        while ((n = nvx.read(fd, scratch + have, lengths[i])) > 0)
            have += (size_t)n;
        say("pieces of %zu: last %zd", lengths[i], n);
        SHOW_BYTES(scratch, (long)have);
    }
    CALL(nvx.close(fd));
}

/* What is in the buffer behind a short read stays. */
static void short_reads(void)
{
    int fd = subject();
    memset(scratch, 0x5a, 20000);
    CALL(nvx.pread(fd, scratch, 20000, subject_size - 100));
    SHOW_BYTES(scratch, 20000);
    memset(scratch, 0x5a, 20000);
    CALL(nvx.pread(fd, scratch, 20000, subject_size));
    SHOW_BYTES(scratch, 20000);
    CALL(nvx.close(fd));
}

static void read_after_write(void)
{
    int fd = subject();
    static const struct {
        off_t offset;
        size_t len;
    } writes[] = {{0, 1},         {1, 62},       {63, 2},       {64, 64},          {100, 4096},    {4096, 4096},
                  {8191, 2},      {8192, 12288}, {5000, 10000}, {19999, 100},      {30000, 70000}, {65535, 1},
                  {131072, 4096}, {0, 200000},   {2097151, 2},  {1000000, 1500000}};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        CALL(nvx.pwrite(fd, bytes + 31 * i, writes[i].len, writes[i].offset));
        off_t from = writes[i].offset > 70 ? writes[i].offset - 70 : 0;
        SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, writes[i].len + 140, from)));
        if (i % 3 == 0)
            CALL(nvx.fdatasync(fd));
        SHOW(fd);
    }
    CALL(nvx.close(fd));
}

/* Overwrites of one block in many epochs, whole and in part. */
static void rewrite_and_sync(void)
{
    int fd = subject();
    for (int i = 0; i < 24; i++) {
        size_t len = i % 4 == 3 ? 4096 : 100 + 37 * (size_t)i;
        off_t at = i % 4 == 3 ? 4096 : 4096 + 150 * i;
        if (nvx.pwrite(fd, bytes + i, len, at) != (ssize_t)len)
            say("short write");
        if (i % 2)
            CALL(nvx.fsync(fd));
        SHOW_RANGE(fd, 4000, 10000);
    }
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void huge_counts(void)
{
    int fd = subject();
    /* The kernel moves at most 0x7ffff000 bytes, here far less: the file ends. */
    CALL(nvx.lseek(fd, subject_size - 10, SEEK_SET));
    CALL(nvx.read(fd, scratch, 0x7ffff000));
    CALL(nvx.lseek(fd, subject_size - 10, SEEK_SET));
    CALL(nvx.read(fd, scratch, 0x80000000));
    CALL(nvx.pread(fd, scratch, SSIZE_MAX, subject_size - 10));
    CALL(nvx.pread(fd, scratch, (size_t)SSIZE_MAX + 1, subject_size - 10));
    CALL(nvx.pread(fd, scratch, SIZE_MAX, subject_size - 10));
    CALL(nvx.write(fd, bytes, SIZE_MAX));
    CALL(nvx.pwrite(fd, bytes, (size_t)SSIZE_MAX + 1, 0));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void large_write(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, BYTES_SIZE));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 1, BYTES_SIZE - 1, 12345));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 5, BYTES_SIZE - 5, 4096));
    SHOW(fd);
    SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, BYTES_SIZE, 77)));
    CALL(nvx.close(fd));
}

/* Source and destination in the same file. */
static void copy_within(void)
{
    int fd = subject();
    for (int i = 0; i < 8; i++) {
        ssize_t n = CALL(nvx.pread(fd, scratch, 6000, 1000 * i));
        CALL(nvx.pwrite(fd, scratch, (size_t)n, subject_size - 3000 + 5000 * i));
    }
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_read[] = {
    {"past_the_end", past_the_end, CASE_NV},
    {"read_all", read_all, CASE_NV},
    {"short_reads", short_reads, CASE_NV},
    {"read_after_write", read_after_write, CASE_NV},
    {"rewrite_and_sync", rewrite_and_sync, CASE_NV},
    {"huge_counts", huge_counts, CASE_NV},
    {"large_write", large_write, CASE_NV},
    {"copy_within", copy_within, CASE_NV},
    {0},
};
