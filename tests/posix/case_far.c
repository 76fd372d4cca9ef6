/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_far.c — sparse files, offsets beyond 2^32 and near the limit of the file system.
 */
#include "cases.h"

#include <string.h>

#define FAR_LIMIT INT64_MAX

static void sparse(void)
{
    int fd = subject();
    static const off_t offsets[] = {100000, 5000000, 5001000, 70000000, 69999999, 30000001, 4095, 4096};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        CALL(nvx.pwrite(fd, bytes + 100 * i, 1 + 900 * i, offsets[i]));
        SHOW_RANGE(fd, offsets[i] - 3000, 9000);
    }
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.lseek(fd, 200000000, SEEK_SET));
    CALL(nvx.write(fd, bytes, 10));
    SHOW_RANGE(fd, 199999000, 5000);
    SHOW_RANGE(fd, 150000000, 5000);
    CALL(nvx.pwrite(fd, bytes + 1, 50, 150000000));
    SHOW_RANGE(fd, 149999000, 5000);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void gap_after_seek(void)
{
    int fd = subject();
    CALL(nvx.lseek(fd, subject_size + 12345, SEEK_SET));
    CALL(nvx.write(fd, bytes, 1));
    SHOW(fd);
    CALL(nvx.lseek(fd, 3, SEEK_CUR));
    CALL(nvx.write(fd, bytes, 1));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes, 1, subject_size + 50000));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void write_around(int fd, off_t at)
{
    CALL(nvx.pwrite(fd, bytes + 1, 5000, at - 100));
    SHOW_RANGE(fd, at - 200, 6000);
    CALL(nvx.pwrite(fd, bytes + 2, 5000, at));
    SHOW_RANGE(fd, at - 200, 6000);
    CALL(nvx.lseek(fd, at - 1, SEEK_SET));
    CALL(nvx.write(fd, bytes + 3, 3));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 3)));
    SHOW(fd);
}

static void beyond_32_bits(void)
{
    int fd = subject();
    write_around(fd, INT64_C(1) << 31);
    write_around(fd, INT64_C(1) << 32);
    write_around(fd, (INT64_C(1) << 32) + 77);
    CALL(nvx.fsync(fd));
    write_around(fd, INT64_C(1) << 33);
    write_around(fd, (INT64_C(1) << 40) + 4095);
    CALL(nvx.pwrite(fd, bytes, 10, INT64_C(1) << 32));
    SHOW_RANGE(fd, (INT64_C(1) << 32) - 200, 6000);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void at_the_limit(void)
{
    int fd = subject();
    static const off_t offsets[] = {INT64_C(1) << 44, INT64_C(1) << 62, FAR_LIMIT - 100000, FAR_LIMIT - 1, FAR_LIMIT};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        say("-- %lld", (long long)offsets[i]);
        CALL(nvx.pwrite(fd, bytes + i, 10, offsets[i]));
        CALL(nvx.pwrite(fd, bytes + i, 1000, offsets[i]));
        SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, 2000, offsets[i])));
        CALL(nvx.lseek(fd, offsets[i], SEEK_SET));
        CALL(nvx.write(fd, bytes + i, 20));
        SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 20)));
        CALL(nvx.write(fd, bytes, 0));
        SHOW(fd);
    }
    CALL(nvx.fsync(fd));
    CALL(nvx.ftruncate(fd, 5000));
    CALL(nvx.pwrite(fd, bytes, 10, 6000));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The last pages below 2^63 cannot be mapped: a write there succeeds as the kernel's does or is EFBIG, never lost. */
static void last_pages(void)
{
    int fd = subject();
    enum { TRIES = 22, STEP = 900, FIRST = 20000 };
    for (int i = 0; i < TRIES; i++) {
        off_t at = FAR_LIMIT - FIRST + i * STEP;
        ssize_t n = nvx.pwrite(fd, bytes, 50, at);
        struct stat st;
        nvx.fstat(fd, &st);
        bool there =
            n == 50 && st.st_size == at + 50 && nvx.pread(fd, scratch, 50, at) == 50 && memcmp(scratch, bytes, 50) == 0;
        bool refused = n == -1 && errno == EFBIG && st.st_size < at;
        say("at %lld: %d", (long long)at, there || refused);
    }
    CALL(nvx.ftruncate(fd, subject_size));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void resize_at_the_limit(void)
{
    int fd = subject();
    static const off_t sizes[] = {INT64_C(1) << 32, INT64_C(1) << 43, INT64_C(1) << 62, FAR_LIMIT - 100000, FAR_LIMIT};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        say("-- %lld", (long long)sizes[i]);
        CALL(nvx.ftruncate(fd, sizes[i]));
        SHOW(fd);
        SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, 10, sizes[i] - 5)));
        CALL(nvx.lseek(fd, 0, SEEK_END));
        CALL(nvx.write(fd, bytes, 1));
    }
    CALL(nvx.fallocate(fd, 0, FAR_LIMIT - 4096, 4096));
    CALL(nvx.fallocate(fd, 0, FAR_LIMIT - 4096, 8192));
    CALL(nvx.fallocate(fd, 0, FAR_LIMIT, FAR_LIMIT));
    CALL(nvx.ftruncate(fd, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void append_at_the_limit(void)
{
    CALL(nvx.close(subject()));
    int fd = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    CALL(nvx.ftruncate(fd, FAR_LIMIT - 100000));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.write(fd, bytes + 1, 10));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes + 2, 10));
    SHOW_RANGE(fd, FAR_LIMIT - 100020, 60);
    CALL(nvx.ftruncate(fd, FAR_LIMIT));
    CALL(nvx.write(fd, bytes + 2, 10));
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_far[] = {
    {"sparse", sparse, CASE_NV},
    {"gap_after_seek", gap_after_seek, CASE_NV},
    {"beyond_32_bits", beyond_32_bits, CASE_NV},
    {"at_the_limit", at_the_limit, CASE_NV},
    {"last_pages", last_pages, CASE_NV},
    {"resize_at_the_limit", resize_at_the_limit, CASE_NV},
    {"append_at_the_limit", append_at_the_limit, CASE_NV},
    {0},
};
