/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_seek.c — lseek with every whence.
 */
#include "cases.h"

static void whences(void)
{
    int fd = subject();
    CALL(nvx.lseek(fd, 0, SEEK_END));
    CALL(nvx.lseek(fd, -10, SEEK_END));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 100)));
    CALL(nvx.lseek(fd, 100000000, SEEK_END));
    CALL(nvx.read(fd, scratch, 100));
    CALL(nvx.lseek(fd, 7, SEEK_SET));
    CALL(nvx.lseek(fd, -8, SEEK_CUR));
    CALL(nvx.lseek(fd, -7, SEEK_CUR));
    CALL(nvx.lseek(fd, 13, SEEK_CUR));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 100)));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.lseek(fd, -subject_size, SEEK_END));
    CALL(nvx.lseek(fd, -subject_size - 1, SEEK_END));
    CALL(nvx.lseek(fd, INT64_MAX, SEEK_SET));
    CALL(nvx.lseek(fd, 1, SEEK_CUR));
    CALL(nvx.lseek(fd, INT64_MAX, SEEK_END));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.lseek(fd, 0, 5));
    CALL(nvx.lseek(fd, 0, -1));
    CALL(nvx.lseek(fd, 0, SEEK_SET));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* SEEK_END follows writes that nobody has synced. */
static void end_moves(void)
{
    int fd = subject();
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.pwrite(other, bytes, 10, subject_size + 90));
    CALL(nvx.lseek(fd, 0, SEEK_END));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.lseek(other, 0, SEEK_END));
    CALL(nvx.ftruncate(fd, 500));
    CALL(nvx.lseek(other, 0, SEEK_END));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.fsync(fd));
    CALL(nvx.lseek(fd, -1, SEEK_END));
    CALL(nvx.close(other));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void errors_of_data_and_hole(void)
{
    int fd = subject();
    CALL(nvx.lseek(fd, 77, SEEK_SET));
    CALL(nvx.lseek(fd, subject_size, SEEK_DATA));
    CALL(nvx.lseek(fd, subject_size, SEEK_HOLE));
    CALL(nvx.lseek(fd, subject_size + 1, SEEK_DATA));
    CALL(nvx.lseek(fd, -1, SEEK_DATA));
    CALL(nvx.lseek(fd, -1, SEEK_HOLE));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.lseek(fd, subject_size - 1, SEEK_HOLE));
    CALL(nvx.lseek(fd, 0, SEEK_DATA));
    CALL(nvx.lseek(fd, 0, SEEK_HOLE));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.close(fd));
}

static const off_t islands[] = {0, 1000000, 1100000, 3000000, 9000001};

static int sparse(int fd)
{
    for (size_t i = 0; i < sizeof islands / sizeof islands[0]; i++)
        CALL(nvx.pwrite(fd, bytes, 5000, islands[i]));
    CALL(nvx.ftruncate(fd, 20000000));
    return fd;
}

/* Extents exactly as the kernel has them, of a file that was never cut: what was cut off and grown over again may be told
 * as data, being zeros. */
static void extents(void)
{
    int fd = sparse(CALL(nvx.open("sparse", O_CREAT | O_RDWR, 0644)));
    for (int synced = 0; synced < 2; synced++) {
        off_t at = 0;
        for (int i = 0; i < 20 && at >= 0; i++) {
            at = CALL(nvx.lseek(fd, at, SEEK_DATA));
            if (at >= 0)
                at = CALL(nvx.lseek(fd, at, SEEK_HOLE));
        }
        CALL(nvx.fsync(fd));
        CALL(nvx.pwrite(fd, bytes + 1, 5000, 15000000));
    }
    CALL(nvx.close(fd));
}

/* What any answer must satisfy: no written byte in a hole, a hole at the end. */
static void no_data_in_holes(void)
{
    int fd = subject();
    CALL(nvx.ftruncate(fd, 0));
    sparse(fd);
    for (size_t i = 0; i < sizeof islands / sizeof islands[0]; i++) {
        off_t data = nvx.lseek(fd, islands[i] + 10, SEEK_DATA);
        off_t hole = nvx.lseek(fd, islands[i] + 10, SEEK_HOLE);
        say("island %zu: in data %d, whole %d", i, data == islands[i] + 10, hole >= islands[i] + 5000);
    }
    off_t at = 9100000, hole = nvx.lseek(fd, at, SEEK_HOLE);
    say("hole at the end: %d", hole == at || hole == 20000000);
    CALL(nvx.close(fd));
}

const struct posix_case cases_seek[] = {
    {"whences", whences, CASE_NV},
    {"end_moves", end_moves, CASE_NV},
    {"errors_of_data_and_hole", errors_of_data_and_hole, CASE_NV},
    {"extents", extents, CASE_NV},
    {"no_data_in_holes", no_data_in_holes, CASE_NV},
    {0},
};
