/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_resize.c — ftruncate, truncate, fallocate in all modes, posix_fallocate.
 */
#include "cases.h"

#include <linux/falloc.h>

static void down_and_up(void)
{
    int fd = subject();
    static const off_t sizes[] = {10000, 9999, 30000, 4096, 4097, 8192, 1, 0, 5000, 3000000, 2999999, 100, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CALL(nvx.ftruncate(fd, sizes[i]));
        SHOW(fd);
        if (i % 3 == 2)
            CALL(nvx.fsync(fd));
        if (i % 4 == 3)
            CALL(nvx.pwrite(fd, bytes + i, 2000, sizes[i] / 2));
    }
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* What was cut off never comes back, by whatever way the file grows again. */
static void gap_is_zero(void)
{
    int fd = subject();
    for (int way = 0; way < 4; way++) {
        CALL(nvx.pwrite(fd, bytes + way, 20000, 0));
        if (way % 2)
            CALL(nvx.fsync(fd));
        CALL(nvx.pwrite(fd, bytes + 5 * way, 3000, 9000));
        CALL(nvx.ftruncate(fd, 7001));
        if (way == 0)
            CALL(nvx.ftruncate(fd, 20000));
        else if (way == 1)
            CALL(nvx.pwrite(fd, bytes, 10, 19990));
        else if (way == 2)
            CALL(nvx.fallocate(fd, 0, 0, 20000));
        else
            CALL(nvx.pwrite(fd, bytes, 1, 11003));
        SHOW(fd);
        SHOW_RANGE(fd, 7000, 5000);
    }
    CALL(nvx.close(fd));
}

static void offset_stays(void)
{
    int fd = subject();
    CALL(nvx.lseek(fd, 15000, SEEK_SET));
    CALL(nvx.ftruncate(fd, 100));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.read(fd, scratch, 10));
    CALL(nvx.write(fd, bytes, 10));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void by_path(void)
{
    int fd = subject();
    CALL(truncate(SUBJECT, 6000));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 1, 3000, 5500));
    CALL(truncate(SUBJECT, 25000));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 2, 3000, 15500));
    CALL(truncate64(SUBJECT, 16000));
    SHOW(fd);
    CALL(symlink(SUBJECT, "link"));
    CALL(truncate("link", 300));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
    CALL(truncate(SUBJECT, 200));
    look(SUBJECT);
    CALL(truncate(SUBJECT, -1));
    CALL(truncate("missing", 0));
    CALL(truncate(".", 0));
    CALL(truncate("", 0));
    CALL(truncate(bad_address(), 0));
}

static const struct {
    off_t offset, len;
} ranges[] = {{0, 4096}, {4096, 8192}, {5000, 100}, {4000, 10000}, {19000, 5000}, {8192, 4096}, {100000, 4096}, {0, 1}};

static void allocate(int fd, int mode)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        CALL(nvx.pwrite(fd, bytes + 7 * i, 3000, 4000));
        say("mode %#x at %lld, %lld", mode, (long long)ranges[i].offset, (long long)ranges[i].len);
        CALL(nvx.fallocate(fd, mode, ranges[i].offset, ranges[i].len));
        SHOW(fd);
        if (i % 3 == 1)
            CALL(nvx.fsync(fd));
    }
    CALL(nvx.lseek(fd, 0, SEEK_END));
    CALL(nvx.write(fd, bytes, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void allocate_plain(void)
{
    allocate(subject(), 0);
}

static void allocate_keep_size(void)
{
    allocate(subject(), FALLOC_FL_KEEP_SIZE);
}

static void punch_hole(void)
{
    allocate(subject(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static void zero_range(void)
{
    allocate(subject(), FALLOC_FL_ZERO_RANGE);
}

static void zero_range_keep_size(void)
{
    allocate(subject(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

static void collapse_range(void)
{
    allocate(subject(), FALLOC_FL_COLLAPSE_RANGE);
}

static void insert_range(void)
{
    allocate(subject(), FALLOC_FL_INSERT_RANGE);
}

static void bad_modes(void)
{
    int fd = subject();
    CALL(nvx.fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
    CALL(nvx.fallocate(fd, 0x4000, 0, 4096));
    CALL(nvx.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    CALL(nvx.fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, 4096));
    CALL(nvx.fallocate(fd, 0, 0, 0));
    CALL(nvx.fallocate(fd, 0, 0, INT64_MAX));
    CALL(nvx.fallocate(fd, 0, INT64_MAX, 1));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* Fails by its result, not by errno. */
static void posix_allocate(void)
{
    int fd = subject();
    CALL(posix_fallocate(fd, 0, 5000));
    SHOW(fd);
    CALL(posix_fallocate(fd, subject_size - 10, 50000));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes, 4000, subject_size + 3000));
    CALL(posix_fallocate64(fd, subject_size, 60000));
    SHOW(fd);
    CALL(posix_fallocate(fd, -1, 10));
    CALL(posix_fallocate(fd, 0, 0));
    CALL(posix_fallocate(fd, 0, -1));
    CALL(posix_fallocate(-1, 0, 10));
    CALL(posix_fallocate(fd, INT64_MAX, 10));
    CALL(nvx.close(fd));
    fd = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL(posix_fallocate(fd, 0, 10));
    CALL(nvx.close(fd));
}

static void same_size(void)
{
    int fd = subject();
    CALL(nvx.ftruncate(fd, subject_size));
    SHOW(fd);
    CALL(nvx.fallocate(fd, 0, 0, subject_size));
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_resize[] = {
    {"down_and_up", down_and_up, CASE_NV},
    {"gap_is_zero", gap_is_zero, CASE_NV},
    {"offset_stays", offset_stays, CASE_NV},
    {"by_path", by_path, 0},
    {"allocate_plain", allocate_plain, CASE_NV},
    {"allocate_keep_size", allocate_keep_size, CASE_NV},
    {"punch_hole", punch_hole, CASE_NV},
    {"zero_range", zero_range, CASE_NV},
    {"zero_range_keep_size", zero_range_keep_size, CASE_NV},
    {"collapse_range", collapse_range, CASE_NV},
    {"insert_range", insert_range, CASE_NV},
    {"bad_modes", bad_modes, CASE_NV},
    {"posix_allocate", posix_allocate, 0},
    {"same_size", same_size, CASE_NV},
    {0},
};
