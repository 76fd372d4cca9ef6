/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_syscall.c — file calls by number, as programs make them that go round libc's names; and numbers that nobody knows.
 */
#include "cases.h"

#include <linux/aio_abi.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <utime.h>

#define NUMBER(name, ...) CALL(syscall(SYS_##name, ##__VA_ARGS__))

static void look_at_end(int fd)
{
    SHOW(fd);
    CALL(write(fd, bytes + 40, 333));
    CALL(fsync(fd));
    CALL(pwrite(fd, bytes + 41, 5000, 4000));
    SHOW(fd);
    CALL(close(fd));
    look(SUBJECT);
}

static void by_number_data(void)
{
    int fd = subject();
    struct iovec in[2] = {{scratch, 100}, {scratch + 100, 5000}}, out[2] = {{bytes + 1, 70}, {bytes + 2, 4096}};
    NUMBER(write, fd, bytes + 9, 1000L);
    SHOW_BYTES(scratch, NUMBER(read, fd, scratch, 1000L));
    NUMBER(pwrite64, fd, bytes + 8, 1000L, 5000L);
    SHOW_BYTES(scratch, NUMBER(pread64, fd, scratch, 3000L, 4000L));
    NUMBER(writev, fd, out, 2L);
    SHOW_BYTES(scratch, NUMBER(readv, fd, in, 2L));
    NUMBER(pwritev, fd, out, 2L, 9000L, 0L);
    SHOW_BYTES(scratch, NUMBER(preadv, fd, in, 2L, 8000L, 0L));
    NUMBER(pwritev2, fd, out, 2L, 100L, 0L, (long)RWF_APPEND);
    NUMBER(pwritev2, fd, out, 2L, -1L, 0L, 0L);
    SHOW_BYTES(scratch, NUMBER(preadv2, fd, in, 2L, -1L, 0L, 0L));
    NUMBER(pwritev, fd, out, 2L, -1L, -1L);
    NUMBER(lseek, fd, 10L, (long)SEEK_CUR);
    NUMBER(lseek, fd, 0L, (long)SEEK_HOLE);
    NUMBER(read, fd, bad_address(), 10L);
    NUMBER(write, -1L, bytes, 10L);
    CALL(syscall(SYS_write | 1L << 40, fd, bytes + 3, 2000L)); /* the kernel takes an int */
    look_at_end(fd);
}

static void by_number_durable(void)
{
    int fd = subject();
    NUMBER(write, fd, bytes + 9, 1000L);
    NUMBER(fsync, fd);
    NUMBER(write, fd, bytes + 9, 1000L);
    NUMBER(fdatasync, fd);
    NUMBER(write, fd, bytes + 9, 1000L);
    NUMBER(syncfs, fd);
    NUMBER(sync);
    NUMBER(sync_file_range, fd, 0L, 4096L, 7L);
    NUMBER(fadvise64, fd, 0L, 0L, (long)POSIX_FADV_DONTNEED);
    NUMBER(readahead, fd, 0L, 4096L);
    look_at_end(fd);
}

static void by_number_descriptors(void)
{
    int fd = subject();
    NUMBER(open, SUBJECT, O_RDWR);
    NUMBER(openat, AT_FDCWD, SUBJECT, O_RDONLY);
    int made = (int)NUMBER(creat, "made", 0600L);
    NUMBER(write, made, bytes, 9000L);
    NUMBER(fsync, made);
    NUMBER(write, made, bytes, 900L);
    int copy = (int)NUMBER(dup, fd);
    NUMBER(write, copy, bytes + 3, 50L);
    NUMBER(dup2, fd, copy);
    NUMBER(dup3, fd, 30L, (long)O_CLOEXEC);
    NUMBER(write, 30L, bytes + 4, 50L);
    NUMBER(fcntl, fd, (long)F_DUPFD, 40L);
    NUMBER(write, 40L, bytes + 5, 50L);
    SHOW(fd);
    NUMBER(close, made);
    look("made");
    NUMBER(close, made);
    NUMBER(close_range, 4L, 60L, (long)CLOSE_RANGE_CLOEXEC);
    NUMBER(write, 40L, bytes + 6, 50L);
    NUMBER(close_range, 4L, 60L, 0L);
    NUMBER(write, 40L, bytes + 6, 50L);
    look_at_end(fd);
}

static void by_number_opened_anew(void)
{
    int fd = subject();
    struct open_how how = {.flags = O_RDWR, .resolve = RESOLVE_BENEATH};
    int second = (int)NUMBER(openat2, AT_FDCWD, SUBJECT, &how, sizeof how);
    NUMBER(write, second, bytes + 3, 5000L);
    SHOW(fd);
    how.flags = O_RDWR | O_TRUNC;
    int third = (int)NUMBER(openat2, AT_FDCWD, SUBJECT, &how, sizeof how);
    SHOW(fd);
    NUMBER(write, third, bytes + 3, 5000L);
    SHOW(second);
    how.flags = O_RDONLY | O_TRUNC;
    int fourth = (int)NUMBER(openat2, AT_FDCWD, SUBJECT, &how, sizeof how);
    SHOW(fourth);
    how.flags = O_RDWR | O_CREAT | O_EXCL;
    how.mode = 0600;
    NUMBER(openat2, AT_FDCWD, SUBJECT, &how, sizeof how);
    NUMBER(openat2, AT_FDCWD, SUBJECT, &how, 3L);
    NUMBER(openat2, AT_FDCWD, SUBJECT, bad_address(), sizeof how);
    int memory = (int)NUMBER(memfd_create, "name", 0L);
    NUMBER(write, memory, bytes, 100L);
    int process = (int)NUMBER(pidfd_open, (long)getpid(), 0L);
    int fetched = (int)NUMBER(pidfd_getfd, process, second, 0L);
    NUMBER(write, second, bytes + 5, 60L);
    NUMBER(write, fetched, bytes + 6, 600L);
    SHOW(second);
    for (int i = fetched; i > fd; i--)
        CALL(close(i));
    look_at_end(fd);
}

static void by_number_size(void)
{
    int fd = subject();
    struct stat st = {0};
    struct statx stx = {0};
    NUMBER(ftruncate, fd, 12345L);
    NUMBER(fstat, fd, &st);
    say("size %lld", (long long)st.st_size);
    NUMBER(truncate, SUBJECT, 23456L);
    NUMBER(stat, SUBJECT, &st);
    say("size %lld", (long long)st.st_size);
    NUMBER(fallocate, fd, 0L, 30000L, 4567L);
    NUMBER(lstat, SUBJECT, &st);
    say("size %lld", (long long)st.st_size);
    NUMBER(pwrite64, fd, bytes, 100L, 40000L);
    NUMBER(newfstatat, AT_FDCWD, SUBJECT, &st, 0L);
    say("size %lld", (long long)st.st_size);
    NUMBER(pwrite64, fd, bytes, 100L, 50000L);
    NUMBER(statx, AT_FDCWD, SUBJECT, 0L, (long)STATX_SIZE, &stx);
    say("size %lld", (long long)stx.stx_size);
    struct timespec spec[2] = {{1000, 1}, {2000, 2}};
    struct timeval val[2] = {{3000, 1}, {4000, 2}};
    struct utimbuf buf = {5000, 6000};
    NUMBER(utimensat, fd, NULL, spec, 0L);
    NUMBER(stat, SUBJECT, &st);
    say("mtime %lld", (long long)st.st_mtim.tv_sec);
    NUMBER(utimes, SUBJECT, val);
    NUMBER(stat, SUBJECT, &st);
    say("mtime %lld", (long long)st.st_mtim.tv_sec);
    NUMBER(utime, SUBJECT, &buf);
    NUMBER(futimesat, AT_FDCWD, SUBJECT, val);
    NUMBER(stat, SUBJECT, &st);
    say("mtime %lld", (long long)st.st_mtim.tv_sec);
    look_at_end(fd);
}

static void by_number_mappings(void)
{
    enum { PAGE = 4096 };
    int fd = subject();
    NUMBER(write, fd, bytes + 5, 3000L);
    long map = syscall(SYS_mmap, 0L, 4L * PAGE, (long)(PROT_READ | PROT_WRITE), (long)MAP_SHARED, fd, 0L);
    say("mapped %d", map > 0);
    memcpy((void *)map, bytes + 7, 5000);
    SHOW(fd);
    NUMBER(msync, map, 4L * PAGE, (long)MS_SYNC);
    long moved = syscall(SYS_mremap, map, 4L * PAGE, 8L * PAGE, (long)MREMAP_MAYMOVE, 0L);
    say("moved %d", moved > 0);
    NUMBER(pwrite64, fd, bytes + 8, 5000L, 300L);
    SHOW_BYTES((void *)moved, 4 * PAGE);
    NUMBER(munmap, moved, 8L * PAGE);
    look_at_end(fd);
}

static void by_number_copies(void)
{
    int fd = subject(), other = CALL(open("other", O_RDWR | O_CREAT, 0600)), ends[2];
    CALL(pipe(ends));
    NUMBER(write, fd, bytes + 5, 3000L);
    NUMBER(copy_file_range, fd, NULL, other, NULL, 5000L, 0L);
    NUMBER(sendfile, other, fd, NULL, 5000L);
    NUMBER(splice, fd, NULL, ends[1], NULL, 1000L, 0L);
    NUMBER(splice, ends[0], NULL, other, NULL, 1000L, 0L);
    int left = 0;
    NUMBER(ioctl, fd, (long)FIONREAD, &left);
    say("%d left", left);
    NUMBER(flock, fd, (long)LOCK_EX);
    SHOW(other);
    CALL(close(other));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
    look_at_end(fd);
}

static void by_number_messages(void)
{
    int fd = subject(), ends[2], got = -1;
    CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    char space[CMSG_SPACE(sizeof fd)] = "", text[2];
    struct iovec iov = {text, 1};
    struct mmsghdr m = {
        .msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space}};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m.msg_hdr);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    for (int i = 0; i < 2; i++) {
        if (i)
            NUMBER(sendmmsg, ends[0], &m, 1L, 0L);
        else
            NUMBER(sendmsg, ends[0], &m.msg_hdr, 0L);
        NUMBER(write, fd, bytes + 5, 3000L);
        if (i)
            NUMBER(recvmmsg, ends[1], &m, 1L, 0L, NULL);
        else
            NUMBER(recvmsg, ends[1], &m.msg_hdr, 0L);
        memcpy(&got, CMSG_DATA(c), sizeof got);
        NUMBER(write, got, bytes + 6, 3000L);
        SHOW(fd);
        CALL(close(got));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    CALL(close(ends[0]));
    CALL(close(ends[1]));
    look_at_end(fd);
}

static void by_number_queue(void)
{
    int fd = subject();
    aio_context_t context = 0;
    NUMBER(io_setup, 4L, &context);
    struct iocb request = {.aio_fildes = (unsigned)fd,
                           .aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_buf = (uintptr_t)bytes,
                           .aio_nbytes = 5000,
                           .aio_offset = 700};
    struct iocb *list[1] = {&request};
    struct io_event event = {0};
    NUMBER(write, fd, bytes + 5, 3000L);
    NUMBER(io_submit, context, 1L, list);
    NUMBER(io_getevents, context, 1L, 1L, &event, NULL);
    say("result %lld", (long long)event.res);
    NUMBER(io_destroy, context);
    look_at_end(fd);
}

static void by_number_process(void)
{
    int fd = subject();
    struct rlimit limit = {.rlim_cur = (rlim_t)subject_size + 100, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    NUMBER(write, fd, bytes + 5, 3000L);
    NUMBER(setrlimit, (long)RLIMIT_FSIZE, &limit);
    NUMBER(pwrite64, fd, bytes, 1000L, (long)subject_size);
    limit.rlim_cur = RLIM_INFINITY;
    NUMBER(prlimit64, 0L, (long)RLIMIT_FSIZE, &limit, NULL);
    NUMBER(pwrite64, fd, bytes, 1000L, (long)subject_size);
    char command[64];
    snprintf(command, sizeof command, "echo by number >&%d", fd);
    char *const arguments[] = {(char *)"sh", (char *)"-c", command, NULL};
    extern char **environ;
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            syscall(SYS_write, fd, bytes + 6, 300L);
            if (i == 0)
                syscall(SYS_execve, "/bin/sh", arguments, environ);
            else if (i == 1)
                syscall(SYS_execveat, AT_FDCWD, "/bin/sh", arguments, environ, 0L);
            syscall(SYS_exit_group, 3L);
        }
        int status = -1;
        CALL(waitpid(pid, &status, 0) == pid ? 0 : -1);
        say("status %#x", (unsigned)status);
        SHOW(fd);
    }
    look_at_end(fd);
}

/* Whatever the call would do, and wherever it has the descriptor: the kernel has all of the file before. */
static void unknown_numbers(void)
{
    int fd = subject();
    int other = CALL(open("other", O_RDWR | O_CREAT, 0600));
    CALL(write(other, bytes, 9000));
    CALL(fsync(other));
    CALL(write(other, bytes + 9, 900));
    for (long number = 900; number < 904; number++) {
        NUMBER(write, fd, bytes + number, 500L);
        CALL(syscall(number, fd, 0L, other, bytes, 5L, -1L));
        SHOW(fd);
        CALL(syscall(number, 0L, 0L, 0L, 0L, 0L, fd));
    }
    CALL(syscall(-1L, fd));
    look("other");
    SHOW(other);
    CALL(close(other));
    look_at_end(fd);
}

const struct posix_case cases_syscall[] = {
    {"by_number_data", by_number_data, 0},
    {"by_number_durable", by_number_durable, 0},
    {"by_number_descriptors", by_number_descriptors, 0},
    {"by_number_opened_anew", by_number_opened_anew, 0},
    {"by_number_size", by_number_size, 0},
    {"by_number_mappings", by_number_mappings, 0},
    {"by_number_copies", by_number_copies, 0},
    {"by_number_messages", by_number_messages, 0},
    {"by_number_queue", by_number_queue, 0},
    {"by_number_process", by_number_process, 0},
    {"unknown_numbers", unknown_numbers, 0},
    {0},
};
