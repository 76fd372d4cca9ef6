/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_name.c — rename, unlink and link while open; directories, FIFOs, devices, symlinks among the files.
 */
#include "cases.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void unlink_open(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 500));
    CALL(unlink(SUBJECT));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 2, 500));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 3, 5000, subject_size));
    SHOW(fd);
    struct stat st;
    CALL(nvx.fstat(fd, &st));
    say("links %u", (unsigned)st.st_nlink);
    CALL(nvx.close(fd));
}

/* The old file and a new one of the same name. */
static void unlink_and_create(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 500));
    CALL(unlink(SUBJECT));
    int other = CALL(nvx.open(SUBJECT, O_RDWR | O_CREAT, 0600));
    SHOW(other);
    CALL(nvx.write(other, bytes + 2, 700));
    CALL(nvx.fsync(other));
    CALL(nvx.write(other, bytes + 3, 700));
    CALL(nvx.write(fd, bytes + 4, 900));
    SHOW(fd);
    SHOW(other);
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
}

/* Inode numbers come back: no bytes of the dead may. */
static void create_and_unlink(void)
{
    CALL(nvx.close(subject()));
    for (int i = 0; i < 10; i++) {
        int fd = CALL(nvx.open("temporary", O_RDWR | O_CREAT | O_EXCL, 0600));
        SHOW(fd);
        CALL(nvx.write(fd, bytes + i, 3000 + 1000 * (size_t)i));
        CALL(nvx.fsync(fd));
        CALL(nvx.pwrite(fd, bytes + 2 * i, 3000, 500));
        SHOW(fd);
        if (i % 2)
            CALL(unlink("temporary"));
        CALL(nvx.close(fd));
        if (!(i % 2))
            CALL(unlink("temporary"));
    }
}

static void rename_open(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 500));
    CALL(rename(SUBJECT, "renamed"));
    CALL(nvx.write(fd, bytes + 2, 500));
    int other = CALL(nvx.open("renamed", O_RDWR));
    SHOW(other);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(other, bytes + 3, 500, 700));
    SHOW(fd);
    CALL(mkdir("directory", 0755));
    CALL(rename("renamed", "directory/again"));
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
    CALL(nvx.open(SUBJECT, O_RDWR));
}

/* As editors save. */
static void rename_over(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 500));
    int fresh = CALL(nvx.open("fresh", O_RDWR | O_CREAT | O_EXCL, 0600));
    CALL(nvx.write(fresh, bytes + 7, 7000));
    CALL(nvx.fsync(fresh));
    CALL(nvx.pwrite(fresh, bytes + 8, 700, 100));
    CALL(rename("fresh", SUBJECT));
    SHOW(fd);
    SHOW(fresh);
    CALL(nvx.write(fd, bytes + 2, 500));
    CALL(nvx.close(fresh));
    look(SUBJECT);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void linked(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 500));
    CALL(link(SUBJECT, "second"));
    CALL(unlink(SUBJECT));
    CALL(nvx.write(fd, bytes + 2, 500));
    int other = CALL(nvx.open("second", O_RDWR));
    SHOW(other);
    CALL(nvx.close(fd));
    CALL(nvx.write(other, bytes + 3, 50));
    CALL(nvx.close(other));
}

static void directories(void)
{
    CALL(nvx.close(subject()));
    CALL(mkdir("directory", 0755));
    int fd = CALL(nvx.open("directory", O_RDONLY));
    struct stat st;
    CALL(nvx.read(fd, scratch, 10));
    CALL(nvx.pread(fd, scratch, 10, 0));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.ftruncate(fd, 0));
    CALL(nvx.fallocate(fd, 0, 0, 10));
    CALL(nvx.fsync(fd));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.fstat(fd, &st));
    say("mode %o", st.st_mode);
    int inside = CALL(case_openat(fd, "inside", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(inside, bytes, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.close(inside));
    int copy = CALL(nvx.dup(fd));
    CALL(nvx.close(copy));
    CALL(nvx.close(fd));
    CALL(rmdir("directory"));
}

static void fifo(void)
{
    CALL(mkfifo("fifo", 0600));
    CALL(nvx.open("fifo", O_WRONLY | O_NONBLOCK));
    int fd = CALL(nvx.open("fifo", O_RDWR | O_NONBLOCK));
    CALL(nvx.read(fd, scratch, 10));
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.pread(fd, scratch, 10, 0));
    CALL(nvx.pwrite(fd, bytes, 10, 0));
    CALL(nvx.lseek(fd, 0, SEEK_CUR));
    CALL(nvx.ftruncate(fd, 0));
    CALL(nvx.fsync(fd));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 1000)));
    CALL(nvx.close(fd));
}

static void devices(void)
{
    CALL(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
    CALL(mknod("zero", S_IFCHR | 0600, makedev(1, 5)));
    int fd = CALL(nvx.open("null", O_RDWR | O_TRUNC));
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.read(fd, scratch, 100));
    CALL(nvx.lseek(fd, 100, SEEK_SET));
    CALL(nvx.fsync(fd));
    CALL(nvx.ftruncate(fd, 0));
    CALL(nvx.close(fd));
    fd = CALL(nvx.open("zero", O_RDONLY));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 100)));
    CALL(nvx.close(fd));
}

static void unix_socket(void)
{
    int fd = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    CALL(bind(fd, (struct sockaddr *)&name, sizeof name));
    CALL(nvx.open("socket", O_RDWR));
    CALL(nvx.close(fd));
}

static void symlinks(void)
{
    int fd = subject();
    CALL(symlink(SUBJECT, "link"));
    int other = CALL(nvx.open("link", O_RDWR));
    CALL(nvx.write(other, bytes + 5, 5000));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 6, 50));
    SHOW(other);
    CALL(unlink("link"));
    CALL(symlink("/dev/null", "link"));
    int null = CALL(nvx.open("link", O_RDWR));
    CALL(nvx.write(null, bytes, 10));
    CALL(nvx.close(null));
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
}

/* Copies that the kernel makes from one descriptor to another. */
static void kernel_copies(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes + 5, 5000, 100));
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes, 100));
    off_t from = 50, to = 30;
    CALL(copy_file_range(fd, &from, other, &to, 7000, 0));
    SHOW(other);
    CALL(nvx.pwrite(fd, bytes + 6, 5000, 200));
    CALL(sendfile(other, fd, NULL, 3000));
    SHOW(fd);
    SHOW(other);
    int ends[2];
    CALL(pipe(ends));
    CALL(splice(fd, NULL, ends[1], NULL, 4000, 0));
    CALL(splice(ends[0], NULL, other, NULL, 4000, 0));
    SHOW(fd);
    SHOW(other);
    int waiting = 0;
    CALL(ioctl(fd, FIONREAD, &waiting));
    say("FIONREAD %d", waiting);
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    CALL(poll(&p, 1, 0));
    say("revents %d", p.revents);
    CALL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    CALL(readahead(fd, 0, 4096));
    CALL(syncfs(fd));
    CALL(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
    CALL(nvx.close(fd));
    CALL(nvx.close(other));
}

/* A descriptor sent to oneself is one more of the same description. */
static void sent_over_socket(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 100));
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    char byte = 0;
    struct iovec iov = {&byte, 1};
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    *(int *)(void *)CMSG_DATA(c) = fd;
    CALL(sendmsg(ends[0], &message, 0));
    CALL(nvx.write(fd, bytes + 2, 100));
    CALL(recvmsg(ends[1], &message, 0));
    int got = *(int *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
    say("got %d", got);
    SHOW(got);
    CALL(nvx.write(got, bytes + 3, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
    SHOW(got);
    CALL(nvx.close(got));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

/* The names in the directory are the application's alone. */
static void listing(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes, 100));
    struct dirent **entries;
    int count = scandir(".", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++)
        say("entry %s", entries[i]->d_name);
    CALL(nvx.close(fd));
}

const struct posix_case cases_name[] = {
    {"unlink_open", unlink_open, CASE_NV},
    {"unlink_and_create", unlink_and_create, CASE_NV},
    {"create_and_unlink", create_and_unlink, CASE_NV},
    {"rename_open", rename_open, CASE_NV},
    {"rename_over", rename_over, CASE_NV},
    {"linked", linked, CASE_NV},
    {"directories", directories, CASE_NV},
    {"fifo", fifo, CASE_NV | CASE_ONCE},
    {"devices", devices, CASE_NV | CASE_ONCE},
    {"unix_socket", unix_socket, CASE_NV | CASE_ONCE},
    {"symlinks", symlinks, CASE_NV},
    {"kernel_copies", kernel_copies, 0},
    {"sent_over_socket", sent_over_socket, 0},
    {"listing", listing, CASE_NV},
    {0},
};
