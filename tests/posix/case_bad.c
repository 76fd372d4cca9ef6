/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_bad.c — arguments that must fail: descriptors, access modes, negative numbers, addresses.
 */
#include "cases.h"

#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void every_call(int fd)
{
    struct stat st;
    struct iovec iov = {scratch, 10};
    CALL(nvx.read(fd, scratch, 10));
    CALL(nvx.read(fd, scratch, 0));
    CALL(nvx.pread(fd, scratch, 10, 0));
    CALL(nvx.pread(fd, scratch, 10, -1));
    CALL(nvx.readv(fd, &iov, 1));
    CALL(nvx.preadv(fd, &iov, 1, 0));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.write(fd, bytes, 0));
    CALL(nvx.pwrite(fd, bytes, 10, 0));
    CALL(nvx.pwrite(fd, bytes, 10, -1));
    CALL(nvx.writev(fd, &iov, 1));
    CALL(nvx.pwritev(fd, &iov, 1, 0));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.lseek(fd, 0, 99));
    CALL(nvx.ftruncate(fd, 10));
    CALL(nvx.ftruncate(fd, -1));
    CALL(nvx.fallocate(fd, 0, 0, 10));
    CALL(nvx.fallocate(fd, 0, -1, 10));
    CALL(nvx.fstat(fd, &st));
    CALL(nvx.fsync(fd));
    CALL(nvx.fdatasync(fd));
    CALL_POINTER(nvx.mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
}

static void bad_descriptors(void)
{
    static const int numbers[] = {-1, -2, INT_MIN, INT_MAX, 899, 1000000};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        say("-- %d", numbers[i]);
        every_call(numbers[i]);
        CALL(nvx.close(numbers[i]));
        CALL(nvx.dup(numbers[i]));
        CALL(nvx.dup2(numbers[i], 7));
        CALL(nvx.dup2(numbers[i], numbers[i]));
    }
}

static void closed_descriptor(void)
{
    int fd = subject();
    CALL(nvx.close(fd));
    every_call(fd);
    CALL(nvx.close(fd));
    CALL(nvx.dup(fd));
}

/* Another file gets the number of a closed one. */
static void number_reused(void)
{
    int fd = subject();
    CALL(nvx.close(fd));
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes + 5, 50));
    SHOW(other);
    CALL(nvx.close(other));
    int ends[2];
    CALL(pipe(ends));
    CALL(nvx.write(ends[1], bytes, 10));
    CALL(nvx.pread(ends[0], scratch, 10, 0));
    CALL(nvx.lseek(ends[0], 0, SEEK_CUR));
    SHOW_BYTES(scratch, CALL(nvx.read(ends[0], scratch, 100)));
    CALL(nvx.close(ends[0]));
    CALL(nvx.close(ends[1]));
    look(SUBJECT);
}

static void read_only(void)
{
    int held = subject();
    int fd = CALL(nvx.open(SUBJECT, O_RDONLY));
    every_call(fd);
    CALL_POINTER(nvx.mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    SHOW(fd);
    CALL(nvx.close(fd));
    SHOW(held);
    CALL(nvx.close(held));
}

static void write_only(void)
{
    int held = subject();
    int fd = CALL(nvx.open(SUBJECT, O_WRONLY));
    every_call(fd);
    SHOW(fd);
    CALL(nvx.close(fd));
    SHOW(held);
    CALL(nvx.close(held));
}

static void path_only(void)
{
    int held = subject();
    int fd = CALL(nvx.open(SUBJECT, O_PATH));
    every_call(fd);
    CALL(nvx.close(fd));
    SHOW(held);
    CALL(nvx.close(held));
}

static void negative_numbers(void)
{
    int fd = subject();
    CALL(nvx.pread(fd, scratch, 10, -1));
    CALL(nvx.pread(fd, scratch, 0, -1));
    CALL(nvx.pread(fd, scratch, 10, INT64_MIN));
    CALL(nvx.pwrite(fd, bytes, 10, -1));
    CALL(nvx.pwrite(fd, bytes, 0, -1));
    CALL(nvx.pwrite(fd, bytes, 10, INT64_MIN));
    CALL(nvx.lseek(fd, -1, SEEK_SET));
    CALL(nvx.lseek(fd, -1, SEEK_CUR));
    CALL(nvx.lseek(fd, INT64_MIN, SEEK_END));
    CALL(nvx.ftruncate(fd, -1));
    CALL(nvx.ftruncate(fd, INT64_MIN));
    CALL(nvx.fallocate(fd, 0, -1, 10));
    CALL(nvx.fallocate(fd, 0, 0, -1));
    CALL(nvx.fallocate(fd, 0, 0, 0));
    CALL(nvx.fallocate(fd, -1, 0, 10));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void bad_buffers(void)
{
    int fd = subject();
    uint8_t *bad = bad_address();
    struct iovec iov = {bad, 10};
    CALL(nvx.read(fd, bad, 10));
    CALL(nvx.read(fd, bad, 0));
    CALL(nvx.read(fd, (void *)8, 10));
    CALL(nvx.read(fd, (void *)-4096L, 10));
    CALL(nvx.read(fd, (void *)(INT64_MIN + 5), 10));
    CALL(nvx.pread(fd, bad, 5000, 10));
    CALL(nvx.pread(fd, bad, 5000, subject_size));
    CALL(nvx.write(fd, bad, 10));
    CALL(nvx.write(fd, bad, 0));
    CALL(nvx.write(fd, (void *)8, 5000));
    CALL(nvx.write(fd, (void *)-4096L, 10));
    CALL(nvx.pwrite(fd, bad, 10000, 5));
    CALL(nvx.pwrite(fd, bad, 10, subject_size + 5));
    CALL(nvx.ftruncate(fd, subject_size)); /* tmpfs extends the file even so */
    CALL(nvx.readv(fd, &iov, 1));
    CALL(nvx.writev(fd, &iov, 1));
    CALL(nvx.readv(fd, (struct iovec *)bad, 1));
    CALL(nvx.writev(fd, (struct iovec *)bad, 1));
    CALL(nvx.fstat(fd, (struct stat *)bad));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* A buffer whose first part is good: what is moved before the fault is told, or EFAULT when nothing was. The number of
 * bytes is the kernel's affair, so only what must hold is reported. */
static void half_bad_buffers(void)
{
    int fd = subject();
    enum { PAGE = 4096 };
    uint8_t *two = mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(two, 7, PAGE);
    munmap(two + PAGE, PAGE);
    ssize_t n = nvx.pread(fd, two, 2 * PAGE, 0);
    say("pread in bounds: %d", n == -1 ? errno == EFAULT : n > 0 && n <= PAGE);
    off_t end = subject_size + 10;
    n = nvx.pwrite(fd, two, 2 * PAGE, end);
    struct stat st;
    nvx.fstat(fd, &st);
    say("pwrite in bounds: %d", n == -1 ? errno == EFAULT : n > 0 && n <= PAGE);
    say("size as told: %d", n == -1 ? st.st_size == subject_size : st.st_size == end + n);
    CALL(nvx.lseek(fd, 0, SEEK_SET));
    n = nvx.read(fd, two, 2 * PAGE);
    say("offset as told: %d", nvx.lseek(fd, 0, SEEK_CUR) == (n < 0 ? 0 : n));
    CALL(nvx.lseek(fd, 0, SEEK_SET));
    CALL(nvx.ftruncate(fd, subject_size));
    SHOW(fd);
    CALL(nvx.close(fd));
    munmap(two, PAGE);
}

/* A read-only page cannot take what is read, but can be written from. */
static void read_only_buffer(void)
{
    int fd = subject();
    enum { PAGE = 4096 };
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CALL(nvx.pread(fd, page, 100, 0));
    CALL(nvx.pwrite(fd, page, 100, 50));
    SHOW(fd);
    CALL(nvx.close(fd));
    munmap(page, PAGE);
}

/* What is not data but tells the call what to do. */
static void bad_requests(void)
{
    int fd = subject();
    void *bad = bad_address();
    enum { PAGE = 4096 };
    uint8_t *page = mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + PAGE, PAGE);
    struct file_dedupe_range *dedupe = (struct file_dedupe_range *)(page + PAGE - sizeof *dedupe);
    dedupe->src_length = 10;
    CALL(ioctl(fd, FIDEDUPERANGE, dedupe));
    for (unsigned shift = 0; shift < 16; shift += 5) { /* the last asks for more than the kernel looks at */
        dedupe->dest_count = (uint16_t)(1U << shift);
        CALL(ioctl(fd, FIDEDUPERANGE, dedupe));
    }
    CALL(ioctl(fd, FIDEDUPERANGE, bad));
    CALL(ioctl(fd, FICLONERANGE, bad));
    CALL(ioctl(fd, FICLONERANGE, page + PAGE - 8));
    CALL(ioctl(fd, FICLONE, bad));
    CALL(ioctl(fd, FIONREAD, bad));
    CALL(fcntl(fd, F_SETLK, bad));
    CALL(fcntl(fd, F_SETLKW, bad));
    CALL(fcntl(fd, F_GETLK, bad));
    CALL(fcntl(fd, F_OFD_SETLK, bad));
    CALL(fcntl(fd, F_OFD_GETLK, bad));
    CALL(futimens(fd, bad));
    CALL(utimensat(AT_FDCWD, SUBJECT, bad, 0));
    CALL(stat(SUBJECT, bad));
    CALL(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, bad));
    CALL(statx(AT_FDCWD, bad, 0, STATX_ALL, (void *)scratch));
    CALL(open(bad, O_RDWR | O_CREAT, 0600));
    CALL(truncate(bad, 10));
    CALL(sendfile(fd, fd, bad, 10));
    CALL(copy_file_range(fd, bad, fd, NULL, 10, 0));
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_control = bad, .msg_controllen = 100}},
                                  {.msg_hdr = {.msg_control = page + PAGE - 8, .msg_controllen = 100}}};
    CALL(sendmsg(ends[0], bad, 0));
    CALL(sendmsg(ends[0], &messages[0].msg_hdr, 0));
    CALL(sendmsg(ends[0], &messages[1].msg_hdr, 0));
    CALL(sendmmsg(ends[0], bad, 2, 0));
    CALL(sendmmsg(ends[0], messages, 2, 0));
    CALL(recvmsg(ends[1], bad, 0));
    CALL(recvmmsg(ends[1], bad, 2, 0, NULL));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
    munmap(page, PAGE);
    SHOW(fd);
    CALL(close(fd));
}

const struct posix_case cases_bad[] = {
    {"bad_descriptors", bad_descriptors, CASE_NV | CASE_ONCE},
    {"closed_descriptor", closed_descriptor, CASE_NV},
    {"number_reused", number_reused, CASE_NV},
    {"read_only", read_only, CASE_NV},
    {"write_only", write_only, CASE_NV},
    {"path_only", path_only, CASE_NV},
    {"negative_numbers", negative_numbers, CASE_NV},
    {"bad_buffers", bad_buffers, CASE_NV},
    {"half_bad_buffers", half_bad_buffers, CASE_NV},
    {"read_only_buffer", read_only_buffer, CASE_NV},
    {"bad_requests", bad_requests, 0},
    {0},
};
