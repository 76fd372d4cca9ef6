/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * buffers.c — promise: memory that is a failure-atomic mapping is a buffer like any other, for the calls that the kernel
 * fills one by, made by the program or by libc inside fread. Each page of it gets the right to be stored to by a fault, which
 * the kernel's own stores do not take: before each call a sync has taken that right away.
 */
#include "clean.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 16, SIZE = PAGES * PAGE, AT = PAGE / 2, LONG = 5 * PAGE + 100, SHORT = 300 };

static char *map, bytes[LONG];
static int source, ends[2];
static char *nowhere = (char *)1;
static unsigned failures;

static void check(bool right, const char *what)
{
    if (right)
        return;
    perror(what);
    failures++;
}

/* Filled with zeros, and nothing of it may be stored to. */
static char *fresh(void)
{
    memset(map, 0, SIZE);
    if (msync(map, SIZE, MS_SYNC))
        perror("msync");
    return map + AT;
}

static bool came(const char *at, size_t count)
{
    return memcmp(at, bytes, count) == 0 && at[count] == 0 && at[-1] == 0;
}

static void read_calls(void)
{
    char *to = fresh();
    check(lseek(source, 0, SEEK_SET) == 0 && read(source, to, LONG) == LONG && came(to, LONG), "read");
    to = fresh();
    check(pread(source, to, LONG, 0) == LONG && came(to, LONG), "pread");
    to = fresh();
    struct iovec parts[] = {{to, SHORT}, {to + SHORT, LONG - SHORT}};
    check(preadv(source, parts, 2, 0) == LONG && came(to, LONG), "preadv");
    to = fresh();
    check(getrandom(to, SHORT, 0) == SHORT, "getrandom");
}

static void sockets(void)
{
    char *to = fresh();
    check(send(ends[0], bytes, SHORT, 0) == SHORT && recv(ends[1], to, LONG, 0) == SHORT && came(to, SHORT), "recv");
    to = fresh();
    struct iovec part = {to, LONG};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    check(send(ends[0], bytes, SHORT, 0) == SHORT && recvmsg(ends[1], &message, 0) == SHORT && came(to, SHORT),
          "recvmsg");
}

/* Three datagrams, of which two are asked for: none is lost, whatever is in the mapping. */
static void many(bool headers)
{
    struct mmsghdr own[2], *messages = own;
    char *to = fresh();
    if (headers)
        messages = (void *)(map + SIZE - PAGE);
    struct iovec parts[] = {{to, SHORT}, {to + SHORT, SHORT}};
    memset(messages, 0, sizeof own);
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    check(msync(map, SIZE, MS_SYNC) == 0, "msync");
    for (int i = 0; i < 3; i++)
        check(send(ends[0], bytes + i * SHORT, SHORT, 0) == SHORT, "send");
    struct timespec limit = {5, 0};
    check(recvmmsg(ends[1], messages, 2, 0, &limit) == 2 && came(to, 2 * SHORT), "recvmmsg");
    check(messages[0].msg_len == SHORT && messages[1].msg_len == SHORT && limit.tv_sec < 5, "what it tells of them");
    check(recvmmsg(ends[1], messages, 2, MSG_WAITFORONE, NULL) == 1 && !memcmp(to, bytes + 2 * SHORT, SHORT),
          "the third datagram");
    check(recvmmsg(ends[1], messages, 2, MSG_DONTWAIT, NULL) < 0 && errno == EAGAIN, "no fourth");
}

/* ends[1] has something, ends[0] has not. */
static void waiting(void)
{
    struct pollfd *fds = (void *)(fresh());
    const struct pollfd both[] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
    check(send(ends[0], bytes, SHORT, 0) == SHORT, "send");
    for (int call = 0; call < 3; call++) {
        struct timespec brief = {0, 1000000};
        memcpy(fds, both, sizeof both);
        check(msync(map, SIZE, MS_SYNC) == 0, "msync");
        int ready = call == 0   ? poll(fds, 2, -1)
                    : call == 1 ? ppoll(fds, 2, &brief, NULL)
                                : (int)syscall(SYS_poll, fds, 2, 1);
        check(ready == 1 && !fds[0].revents && fds[1].revents == POLLIN, "poll");
        check(msync(map, SIZE, MS_SYNC) == 0 && poll(fds, 1, 1) == 0 && !fds[0].revents, "poll for nothing");
    }
    fd_set *in = (void *)map, *out = (void *)(map + 2 * PAGE), ordinary;
    for (int call = 0; call < 3; call++) {
        FD_ZERO(in);
        FD_SET(ends[0], in);
        FD_SET(ends[1], in);
        *out = ordinary = *in;
        check(msync(map, SIZE, MS_SYNC) == 0, "msync");
        struct timeval soon = {1, 0};
        struct timespec brief = {1, 0};
        int ready = call == 0   ? select(ends[1] + 1, &ordinary, out, in, &soon)
                    : call == 1 ? pselect(ends[1] + 1, &ordinary, out, in, &brief, NULL)
                                : (int)syscall(SYS_pselect6, ends[1] + 1, &ordinary, out, in, &brief, NULL);
        check(ready == 3 && !FD_ISSET(ends[0], &ordinary) && FD_ISSET(ends[1], &ordinary), "select");
        check(FD_ISSET(ends[0], out) && FD_ISSET(ends[1], out) && !FD_ISSET(ends[1], in), "its other sets");
    }
    struct epoll_event *events = (void *)fresh(), event = {.events = EPOLLIN, .data.u64 = 7};
    int epoll = epoll_create1(0);
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event) == 0, "epoll_ctl");
    check(epoll_wait(epoll, events, 2, -1) == 1 && events->data.u64 == 7, "epoll_wait");
    events = (void *)fresh();
    check(epoll_pwait2(epoll, events, 2, NULL, NULL) == 1 && events->data.u64 == 7, "epoll_pwait2");
    close(epoll);
    check(recv(ends[1], fresh(), SHORT, 0) == SHORT, "recv");
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    check(getdents64(directory, fresh(), PAGE) > 0 && map[AT + 16], "getdents64");
    check(lseek(directory, 0, SEEK_SET) == 0 && syscall(SYS_getdents64, directory, fresh(), PAGE) > 0, "by syscall()");
    close(directory);
}

static void streams(FILE *stream)
{
    char *to = fresh();
    check(fread(to, 1, LONG, stream) == LONG && came(to, LONG), "fread");
    rewind(stream);
    to = fresh();
    check(fread_unlocked(to, LONG / 4, 4, stream) == 4 && came(to, LONG), "fread_unlocked of members");
    to = fresh();
    check(fread(to, 1, 1, stream) == 0 && feof(stream) && !ferror(stream), "fread at the end");
    rewind(stream);
    to = fresh();
    check(fread(to, LONG / 2 * 2, 2, stream) == 1 && came(to, LONG) && feof(stream), "fread of members, the last cut");
    rewind(stream);
    check(fread(nowhere, 1, LONG, stream) == 0 && ferror(stream), "fread to nowhere");
}

static void stats(const char *path)
{
    struct stat *st = (void *)(fresh());
    check(fstat(source, st) == 0 && st->st_size == LONG, "fstat");
    st = (void *)fresh();
    check(stat(path, st) == 0 && st->st_size == LONG, "stat");
    struct statx *stx = (void *)fresh();
    check(statx(AT_FDCWD, path, 0, STATX_SIZE, stx) == 0 && stx->stx_size == LONG, "statx");
    check(stat(nowhere, st) < 0, "stat of nowhere");
}

/* Structures, asked for by libc's names and by syscall(). */
static void structures(const char *path)
{
    struct utsname *name = (void *)fresh();
    check(uname(name) == 0 && !strcmp(name->sysname, "Linux"), "uname");
    name = (void *)fresh();
    check(syscall(SYS_uname, name) == 0 && !strcmp(name->sysname, "Linux"), "uname by syscall()");
    struct sysinfo *info = (void *)fresh();
    check(sysinfo(info) == 0 && info->mem_unit, "sysinfo");
    struct rusage *usage = (void *)fresh();
    check(getrusage(RUSAGE_SELF, usage) == 0 && usage->ru_maxrss, "getrusage");
    struct tms *used = (void *)fresh();
    used->tms_cstime = -1;
    check(msync(map, SIZE, MS_SYNC) == 0 && syscall(SYS_times, used) != -1 && used->tms_cstime != -1,
          "times by syscall()");
    struct itimerval *timer = (void *)fresh();
    timer->it_value.tv_sec = 7;
    check(msync(map, SIZE, MS_SYNC) == 0 && getitimer(ITIMER_VIRTUAL, timer) == 0 && !timer->it_value.tv_sec,
          "getitimer");
    struct statfs *fs = (void *)fresh();
    check(statfs(path, fs) == 0 && fs->f_bsize, "statfs");
    fs = (void *)fresh();
    check(fstatfs(source, fs) == 0 && fs->f_bsize, "fstatfs");
    struct statvfs *vfs = (void *)fresh();
    check(statvfs(path, vfs) == 0 && vfs->f_bsize, "statvfs");
    char *to = fresh();
    check(readlink("/proc/self/exe", to, SHORT) > 0 && *to == '/', "readlink");
    to = fresh();
    check(readlinkat(AT_FDCWD, "/proc/self/exe", to, SHORT) > 0 && *to == '/', "readlinkat");
    to = fresh();
    check(getcwd(to, LONG) == to && *to == '/', "getcwd");
    struct sockaddr_un *at = (void *)fresh();
    socklen_t *length = (void *)(at + 1);
    *length = sizeof *at;
    check(msync(map, SIZE, MS_SYNC) == 0 && getsockname(ends[0], (void *)at, length) == 0 && at->sun_family == AF_UNIX,
          "getsockname");
    fresh();
    *length = sizeof *at;
    check(msync(map, SIZE, MS_SYNC) == 0 && getpeername(ends[0], (void *)at, length) == 0 && *length == 2,
          "getpeername");
    int *option = (void *)fresh();
    *length = sizeof *option;
    check(msync(map, SIZE, MS_SYNC) == 0 &&
              syscall(SYS_getsockopt, ends[0], SOL_SOCKET, SO_TYPE, option, length) == 0 && *option == SOCK_DGRAM,
          "getsockopt by syscall()");
    /* by libc in user space, or from its own stack */
    struct timespec *now = (void *)fresh();
    check(clock_gettime(CLOCK_REALTIME, now) == 0 && now->tv_sec, "clock_gettime");
    struct timeval *today = (void *)fresh();
    check(gettimeofday(today, NULL) == 0 && today->tv_sec, "gettimeofday");
    to = fresh();
    check(gethostname(to, SHORT) == 0 && *to, "gethostname");
}

/* A file that grows by what the kernel writes may be stored to there, through a mapping that reaches so far. */
static void grown(const char *path, const char *from)
{
    loff_t in = 0, out = PAGE;
    int fd = open(path, O_RDWR | O_CREAT, 0600), other = open(from, O_RDWR | O_CREAT, 0600);
    char *longer = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(pwrite(fd, bytes, PAGE, 0) == PAGE && ftruncate(other, SIZE) == 0 && longer != MAP_FAILED, "a short file");
    longer[1] = 1;
    check(copy_file_range(other, &in, fd, &out, SIZE - PAGE, 0) == SIZE - PAGE, "copy_file_range");
    longer[SIZE - 1] = 2;
    check(pread(fd, bytes, 1, SIZE - 1) == 1 && bytes[0] == 2, "a store behind the old end");
    munmap(longer, SIZE);
    close(fd);
    close(other);
    unlink(from);
}

/* `path`: of the source, in the root or beside it. */
static void all(const char *path)
{
    source = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(source >= 0 && pwrite(source, bytes, LONG, 0) == LONG, path);
    read_calls();
    sockets();
    many(false);
    many(true);
    waiting();
    stats(path);
    structures(path);
    FILE *stream = fopen(path, "r");
    check(stream != NULL, "fopen");
    if (stream) {
        streams(stream);
        fclose(stream);
    }
    close(source);
    unlink(path);
}

int main(void)
{
    char root[] = "/dev/shm/nvmmio-buffers.XXXXXX", path[64], beside[64];
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || setenv("NVMMIO_CONF", "pm:force,atomic_map:*/mapped", 1))
        return EXIT_FAILURE; /* before the library is used */
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(1 + i % 251);
    snprintf(path, sizeof path, "%s/mapped", root);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, SIZE) || socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
        return EXIT_FAILURE;
    map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/source", root);
    snprintf(beside, sizeof beside, "%s.source", root);
    all(path);
    all(beside);
    snprintf(path, sizeof path, "%s/more", root);
    check(mkdir(path, 0700) == 0, "mkdir");
    snprintf(path, sizeof path, "%s/more/mapped", root);
    grown(path, beside);
    if (munmap(map, SIZE) || close(fd))
        return EXIT_FAILURE;
    clean_tree(root);
    return failures || access(root, F_OK) == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
