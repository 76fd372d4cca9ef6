/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_vector.c — readv, writev, preadv, pwritev, preadv2, pwritev2: parts, flags, bad vectors.
 */
#include "cases.h"

#include <limits.h>
#include <string.h>

static void vectors(void)
{
    int fd = subject();
    struct iovec out[5] = {{bytes + 1, 10}, {bytes + 500, 0}, {bytes + 1000, 5000}, {NULL, 0}, {bytes + 9, 63}};
    struct iovec in[4] = {{scratch, 7}, {scratch + 7, 5000}, {scratch + 5007, 0}, {scratch + 5007, 3000}};
    CALL(nvx.writev(fd, out, 5));
    SHOW(fd);
    CALL(nvx.lseek(fd, 3, SEEK_SET));
    SHOW_BYTES(scratch, CALL(nvx.readv(fd, in, 4)));
    SHOW(fd);
    CALL(nvx.pwritev(fd, out, 5, 4000));
    SHOW_BYTES(scratch, CALL(nvx.preadv(fd, in, 4, 3900)));
    CALL(nvx.pwritev(fd, out, 5, subject_size + 1000));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwritev(fd, out, 5, 12288));
    SHOW_BYTES(scratch, CALL(nvx.preadv(fd, in, 4, subject_size - 100)));
    SHOW_BYTES(scratch, CALL(nvx.preadv(fd, in, 4, subject_size + 100000)));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The same memory in several parts: later parts win. */
static void overlapping_parts(void)
{
    int fd = subject();
    struct iovec in[3] = {{scratch, 100}, {scratch + 50, 100}, {scratch, 10}};
    struct iovec out[3] = {{bytes, 100}, {bytes + 50, 100}, {bytes, 10}};
    SHOW_BYTES(scratch, CALL(nvx.readv(fd, in, 3)));
    CALL(nvx.writev(fd, out, 3));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void many_parts(void)
{
    int fd = subject();
    static struct iovec iov[IOV_MAX + 1];
    for (int i = 0; i <= IOV_MAX; i++)
        iov[i] = (struct iovec){bytes + 3 * i, (size_t)(i % 7)};
    CALL(nvx.writev(fd, iov, IOV_MAX));
    CALL(nvx.writev(fd, iov, IOV_MAX + 1));
    CALL(nvx.pwritev(fd, iov, IOV_MAX, 9000));
    CALL(nvx.pwritev(fd, iov, IOV_MAX + 1, 9000));
    SHOW(fd);
    for (int i = 0; i <= IOV_MAX; i++)
        iov[i].iov_base = scratch + 7 * i;
    memset(scratch, 0, BYTES_SIZE);
    CALL(nvx.readv(fd, iov, IOV_MAX));
    SHOW_BYTES(scratch, 7 * IOV_MAX);
    CALL(nvx.readv(fd, iov, IOV_MAX + 1));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void bad_vectors(void)
{
    int fd = subject();
    uint8_t *bad = bad_address();
    struct iovec good = {scratch, 10};
    struct iovec negative = {scratch, (size_t)-1};
    struct iovec first_bad[2] = {{bad, 10}, {scratch, 10}};
    struct iovec overflow[2] = {{scratch, SSIZE_MAX}, {scratch, SSIZE_MAX}};
    struct iovec empty = {bad, 0};
    CALL(nvx.readv(fd, &good, 0));
    CALL(nvx.writev(fd, &good, 0));
    CALL(nvx.readv(fd, &good, -1));
    CALL(nvx.writev(fd, &good, -1));
    CALL(nvx.readv(fd, NULL, 0));
    CALL(nvx.writev(fd, NULL, 0));
    CALL(nvx.readv(fd, (struct iovec *)bad, 1));
    CALL(nvx.writev(fd, (struct iovec *)bad, 1));
    CALL(nvx.readv(fd, &negative, 1));
    CALL(nvx.writev(fd, &negative, 1));
    CALL(nvx.readv(fd, first_bad, 2));
    CALL(nvx.writev(fd, first_bad, 2));
    CALL(nvx.writev(fd, overflow, 2));
    CALL(nvx.readv(fd, &empty, 1));
    CALL(nvx.writev(fd, &empty, 1));
    CALL(nvx.preadv(fd, &good, 1, -1));
    CALL(nvx.pwritev(fd, &good, 1, -1));
    CALL(nvx.preadv(fd, &good, 1, INT64_MIN));
    CALL(nvx.pwritev(fd, &good, 0, 0));
    CALL(nvx.preadv(fd, &good, IOV_MAX + 1, 0));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The second part is bad: the first may be moved, as the result tells. */
static void second_part_bad(void)
{
    int fd = subject();
    struct iovec iov[2] = {{scratch, 10}, {bad_address(), 10}};
    SHOW_BYTES(scratch, CALL(nvx.readv(fd, iov, 2)));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    memcpy(scratch, "0123456789", 10);
    CALL(nvx.writev(fd, iov, 2));
    SHOW(fd);
    CALL(nvx.pwritev(fd, iov, 2, subject_size + 77));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void with_flags(void)
{
    int fd = subject();
    struct iovec out[2] = {{bytes + 1, 100}, {bytes + 1000, 5000}};
    struct iovec in[2] = {{scratch, 70}, {scratch + 70, 6000}};
    CALL(pwritev2(fd, out, 2, 100, 0));
    CALL(pwritev2(fd, out, 2, 200, RWF_SYNC));
    CALL(pwritev2(fd, out, 2, 300, RWF_DSYNC));
    CALL(pwritev2(fd, out, 2, 400, RWF_HIPRI));
    CALL(pwritev2(fd, out, 2, -1, 0));
    SHOW(fd);
    CALL(pwritev2(fd, out, 2, -1, RWF_APPEND));
    SHOW(fd);
    CALL(pwritev2(fd, out, 2, 5, RWF_APPEND));
    SHOW(fd);
    SHOW_BYTES(scratch, CALL(preadv2(fd, in, 2, 50, 0)));
    SHOW_BYTES(scratch, CALL(preadv2(fd, in, 2, -1, 0)));
    SHOW_BYTES(scratch, CALL(preadv2(fd, in, 2, 70, RWF_HIPRI)));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void bad_flags(void)
{
    int fd = subject();
    struct iovec iov = {scratch, 100};
    CALL(pwritev2(fd, &iov, 1, 0, 0x40000000));
    CALL(preadv2(fd, &iov, 1, 0, 0x40000000));
    CALL(preadv2(fd, &iov, 1, 0, -1));
    CALL(preadv2(fd, &iov, 1, -2, 0));
    CALL(pwritev2(fd, &iov, 1, -2, 0));
    CALL(preadv2(fd, &iov, 1, 0, RWF_APPEND));
    SHOW(fd);
    CALL(nvx.close(fd));
    fd = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL(pwritev2(fd, &iov, 1, 0, 0));
    CALL(pwritev2(fd, &iov, 1, -1, RWF_APPEND));
    CALL(nvx.close(fd));
}

/* Whether calls that must not wait are taken at all is up to the file system; then all or nothing is there. */
static const char *not_waited(ssize_t n)
{
    return n == 100 || (n == -1 && errno == EAGAIN) ? "taken" : n == -1 ? strerror(errno) : "in part";
}

static void without_waiting(void)
{
    int fd = subject();
    struct iovec iov = {scratch, 100};
    for (int i = 0; i < 2; i++) {
        say("preadv2 %s", not_waited(preadv2(fd, &iov, 1, 0, RWF_NOWAIT)));
        say("pwritev2 %s", not_waited(pwritev2(fd, &iov, 1, 0, RWF_NOWAIT)));
        CALL(nvx.pwrite(fd, "x", 1, 0)); /* attached then */
    }
    CALL(nvx.close(fd));
}

static void vectors_64(void)
{
    int fd = subject();
    struct iovec iov = {bytes + 3, 3000};
    CALL(pwritev64(fd, &iov, 1, 1000));
    CALL(pwritev64v2(fd, &iov, 1, INT64_C(5000000000), 0));
    iov.iov_base = scratch;
    SHOW_BYTES(scratch, CALL(preadv64(fd, &iov, 1, 500)));
    SHOW_BYTES(scratch, CALL(preadv64v2(fd, &iov, 1, INT64_C(5000000000), 0)));
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_vector[] = {
    {"vectors", vectors, CASE_NV},
    {"overlapping_parts", overlapping_parts, CASE_NV},
    {"many_parts", many_parts, CASE_NV},
    {"bad_vectors", bad_vectors, CASE_NV},
    {"second_part_bad", second_part_bad, CASE_NV},
    {"with_flags", with_flags, 0},
    {"bad_flags", bad_flags, 0},
    {"without_waiting", without_waiting, 0},
    {"vectors_64", vectors_64, 0},
    {0},
};
