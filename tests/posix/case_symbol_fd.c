/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_fd.c — names of libc that close, duplicate, lock, ask and wait for descriptors.
 */
#include "case_symbol.h"

#include <execinfo.h>
#include <linux/close_range.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>

int __close(int fd);
int __dup2(int fd, int newfd);
int __fcntl(int fd, int cmd, ...);
int __poll(struct pollfd *list, nfds_t count, int timeout);
int __poll_chk(struct pollfd *list, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *list, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __select(int count, fd_set *in, fd_set *out, fd_set *bad, struct timeval *timeout);
int __ttyname_r_chk(int fd, char *name, size_t size, size_t room);
void __backtrace_symbols_fd(void *const *list, int count, int fd);
int isfdtype(int fd, int type);
int gtty(int fd, void *parameters);
int stty(int fd, const void *parameters);

#define CLOSE_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 1, 5000));                                                                              \
        CALL(name(fd));                                                                                                \
        look(SUBJECT);                                                                                                 \
        CALL(name(fd));                                                                                                \
        CALL(write(fd, bytes + 1, 5000));                                                                              \
        CALL(name(-1));                                                                                                \
        symbol_use(CALL(open("next", O_RDWR | O_CREAT, 0600)));                                                        \
    }
CLOSE_CASE(close)
CLOSE_CASE(__close)
CLOSE_CASE(mq_close)

SYMBOL_CASE(close_range)
{
    int a = CALL(dup(fd));
    int b = CALL(open("b", O_RDWR | O_CREAT, 0600));
    CALL(write(b, bytes, 9000));
    CALL(close_range((unsigned)a, (unsigned)a, CLOSE_RANGE_CLOEXEC));
    CALL(fcntl(a, F_GETFD));
    CALL(write(a, bytes, 100));
    CALL(close_range((unsigned)b, (unsigned)b, CLOSE_RANGE_UNSHARE));
    look("b");
    CALL(write(b, bytes, 100));
    CALL(close_range((unsigned)a, (unsigned)a, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
    CALL(close_range(1, 0, 0));
    CALL(close_range((unsigned)a, (unsigned)a, 0));
    CALL(write(a, bytes, 100));
}

/* It closes the channel of the report, too. */
SYMBOL_CASE(closefrom)
{
    pid_t pid = fork();
    if (pid == 0) {
        closefrom(fd);
        int gone = fcntl(fd, F_GETFD) < 0 && write(fd, "x", 1) < 0;
        int next = open("next", O_RDWR | O_CREAT, 0600);
        _exit(gone && next == fd && write(next, "next", 4) == 4 && close(next) == 0 ? 7 : 8);
    }
    symbol_wait(pid);
    look("next");
}

SYMBOL_CASE(dup)
{
    int copy = CALL(dup(fd));
    CALL(write(copy, bytes + 2, 100));
    SHOW(fd);
    symbol_use(copy);
    CALL(dup(-1));
    CALL(dup(777));
}

#define DUP2_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        int other = CALL(open("other", O_RDWR | O_CREAT, 0600));                                                       \
        CALL(write(other, bytes, 9000));                                                                               \
        CALL(name(fd, other __VA_ARGS__));                                                                             \
        look("other");                                                                                                 \
        CALL(write(other, bytes + 2, 100));                                                                            \
        SHOW(fd);                                                                                                      \
        symbol_use(other);                                                                                             \
        CALL(name(fd, fd __VA_ARGS__));                                                                                \
        symbol_use(CALL(name(fd, 30 __VA_ARGS__)));                                                                    \
        CALL(name(777, 30 __VA_ARGS__));                                                                               \
        CALL(name(fd, -1 __VA_ARGS__));                                                                                \
    }
DUP2_CASE(dup2, )
DUP2_CASE(__dup2, )
DUP2_CASE(dup3, , O_CLOEXEC)

#define FCNTL_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        int copy = CALL(name(fd, F_DUPFD, 20));                                                                        \
        CALL(write(copy, bytes + 2, 100));                                                                             \
        SHOW(fd);                                                                                                      \
        symbol_use(copy);                                                                                              \
        CALL(name(fd, F_GETFL));                                                                                       \
        CALL(name(fd, F_SETFL, O_APPEND));                                                                             \
        CALL(write(fd, bytes + 2, 100));                                                                               \
        CALL(name(fd, F_GETFL));                                                                                       \
        CALL(name(fd, F_SETFL, 0));                                                                                    \
        CALL(name(fd, F_SETFD, FD_CLOEXEC));                                                                           \
        CALL(name(fd, F_GETFD));                                                                                       \
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 5};                     \
        CALL(name(fd, F_SETLK, &lock));                                                                                \
        CALL(name(fd, F_GETLK, &lock));                                                                                \
        CALL(name(fd, 7777, 0));                                                                                       \
        CALL(name(-1, F_GETFD));                                                                                       \
    }
FCNTL_CASE(fcntl)
FCNTL_CASE(fcntl64)
FCNTL_CASE(__fcntl)

/* ---- locks ---- */

#define LOCKF_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(name(fd, F_LOCK, 100));                                                                                   \
        CALL(name(fd, F_TLOCK, 50));                                                                                   \
        CALL(name(fd, F_TEST, 10));                                                                                    \
        CALL(write(fd, bytes, 5000));                                                                                  \
        CALL(name(fd, F_ULOCK, 0));                                                                                    \
        CALL(name(fd, 77, 0));                                                                                         \
        CALL(name(-1, F_TLOCK, 0));                                                                                    \
    }
LOCKF_CASE(lockf)
LOCKF_CASE(lockf64)

SYMBOL_CASE(flock)
{
    int other = CALL(open(SUBJECT, O_RDWR));
    CALL(flock(fd, LOCK_EX));
    CALL(flock(other, LOCK_SH | LOCK_NB));
    CALL(write(fd, bytes, 5000));
    CALL(flock(fd, LOCK_UN));
    CALL(flock(other, LOCK_EX | LOCK_NB));
    CALL(flock(fd, 77));
    CALL(flock(-1, LOCK_SH));
    symbol_use(other);
}

/* ---- ioctl ---- */

SYMBOL_CASE(ioctl)
{
    int number = -1;
    CALL(write(fd, bytes, 2000));
    CALL(ioctl(fd, FIONREAD, &number));
    say("%d to read", number);
    CALL(lseek(fd, 1, SEEK_END));
    CALL(ioctl(fd, FIONREAD, &number));
    say("%d to read", number);
    CALL(ioctl(fd, FIONREAD, bad_address()));
    CALL(lseek(fd, 50, SEEK_SET));
    long long size = -1;
    CALL(ioctl(fd, FIOQSIZE, &size));
    say("size %lld", size);
    CALL(ioctl(fd, FIOCLEX));
    CALL(fcntl(fd, F_GETFD));
    CALL(ioctl(fd, FIONCLEX));
    number = 1;
    CALL(ioctl(fd, FIONBIO, &number));
    CALL(fcntl(fd, F_GETFL));
    number = 0;
    CALL(ioctl(fd, FIONBIO, &number));
    CALL(ioctl(fd, TCGETS, scratch));
    CALL(ioctl(fd, 0x7777, 0));
    CALL(ioctl(-1, FIOCLEX));
}

/* ---- waiting: a regular file is always ready, and epoll does not take it ---- */

#define POLL_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN | POLLOUT}, {.fd = 777, .events = POLLIN}};                  \
        CALL(name(p, 2, __VA_ARGS__));                                                                                 \
        say("%#x %#x", p[0].revents, p[1].revents);                                                                    \
    }
POLL_CASE(poll, 0)
POLL_CASE(__poll, 0)
POLL_CASE(__poll_chk, 0, sizeof p)
POLL_CASE(ppoll, &(struct timespec){0}, NULL)
POLL_CASE(__ppoll_chk, &(struct timespec){0}, NULL, sizeof p)

#define SELECT_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        fd_set in, out;                                                                                                \
        FD_ZERO(&in);                                                                                                  \
        FD_SET(fd, &in);                                                                                               \
        out = in;                                                                                                      \
        CALL(name(fd + 1, &in, &out, NULL, __VA_ARGS__));                                                              \
        say("%d %d", FD_ISSET(fd, &in) != 0, FD_ISSET(fd, &out) != 0);                                                 \
    }
SELECT_CASE(select, &(struct timeval){0})
SELECT_CASE(__select, &(struct timeval){0})
SELECT_CASE(pselect, &(struct timespec){0}, NULL)

#define EPOLL_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        int ends[2];                                                                                                   \
        int epoll = CALL(epoll_create1(EPOLL_CLOEXEC));                                                                \
        struct epoll_event event = {.events = EPOLLIN};                                                                \
        CALL(pipe(ends));                                                                                              \
        CALL(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));                                                        \
        CALL(name(epoll, &event, 1, __VA_ARGS__));                                                                     \
        CALL(write(ends[1], "x", 1));                                                                                  \
        CALL(name(epoll, &event, 1, __VA_ARGS__));                                                                     \
        CALL(name(epoll, &event, 0, __VA_ARGS__));                                                                     \
        CALL(name(epoll, (void *)1, 1, __VA_ARGS__));                                                                  \
        CALL(name(fd, &event, 1, __VA_ARGS__));                                                                        \
        CALL(close(ends[0]));                                                                                          \
        CALL(close(ends[1]));                                                                                          \
        CALL(close(epoll));                                                                                            \
    }
EPOLL_CASE(epoll_wait, 0)
EPOLL_CASE(epoll_pwait, 0, NULL)
EPOLL_CASE(epoll_pwait2, &(struct timespec){0}, NULL)

SYMBOL_CASE(epoll_ctl)
{
    int epoll = CALL(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN};
    CALL(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CALL(epoll_ctl(fd, EPOLL_CTL_ADD, epoll, &event));
    CALL(close(epoll));
}

/* ---- of other kinds of descriptors ---- */

SYMBOL_CASE(eventfd_read)
{
    eventfd_t value = 0;
    CALL(eventfd_read(fd, &value));
    say("%llx", (unsigned long long)value);
    CALL(lseek(fd, -4, SEEK_END));
    CALL(eventfd_read(fd, &value));
    int event = CALL(eventfd(5, 0));
    CALL(eventfd_read(event, &value));
    say("%llx", (unsigned long long)value);
    CALL(close(event));
}

SYMBOL_CASE(eventfd_write)
{
    CALL(eventfd_write(fd, 0x123456789));
    SHOW(fd);
    int event = CALL(eventfd(5, 0));
    CALL(eventfd_write(event, 7));
    CALL(close(event));
    CALL(eventfd_write(-1, 7));
}

#define BACKTRACE_CASE(name)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        void *list[2] = {(void *)1, (void *)2}; /* addresses in no object: the text is the same in each run */         \
        watch_errno = false;                                                                                           \
        name(list, 2, fd);                                                                                             \
        SHOW(fd);                                                                                                      \
        name(list, 2, fd);                                                                                             \
    }
BACKTRACE_CASE(backtrace_symbols_fd)
BACKTRACE_CASE(__backtrace_symbols_fd)

SYMBOL_CASE(isatty)
{
    CALL(isatty(fd));
}
SYMBOL_CASE(ttyname)
{
    CALL_POINTER(ttyname(fd));
}
SYMBOL_CASE(ttyname_r)
{
    CALL(ttyname_r(fd, (char *)scratch, 100));
}
SYMBOL_CASE(__ttyname_r_chk)
{
    CALL(__ttyname_r_chk(fd, (char *)scratch, 100, 100));
}
SYMBOL_CASE(tcgetattr)
{
    CALL(tcgetattr(fd, (struct termios *)scratch));
}
SYMBOL_CASE(tcsetattr)
{
    CALL(tcsetattr(fd, TCSANOW, (struct termios *)scratch));
}
SYMBOL_CASE(tcdrain)
{
    CALL(tcdrain(fd));
}
SYMBOL_CASE(tcflow)
{
    CALL(tcflow(fd, TCOON));
}
SYMBOL_CASE(tcflush)
{
    CALL(tcflush(fd, TCIFLUSH));
}
SYMBOL_CASE(tcsendbreak)
{
    CALL(tcsendbreak(fd, 0));
}
SYMBOL_CASE(tcgetpgrp)
{
    CALL(tcgetpgrp(fd));
}
SYMBOL_CASE(tcsetpgrp)
{
    CALL(tcsetpgrp(fd, getpgrp()));
}
SYMBOL_CASE(tcgetsid)
{
    CALL(tcgetsid(fd));
}
SYMBOL_CASE(gtty)
{
    CALL(gtty(fd, scratch));
}
SYMBOL_CASE(stty)
{
    CALL(stty(fd, scratch));
}
SYMBOL_CASE(isfdtype)
{
    CALL(isfdtype(fd, S_IFREG));
    CALL(isfdtype(fd, S_IFSOCK));
    CALL(isfdtype(-1, S_IFSOCK));
}
SYMBOL_CASE(fchdir)
{
    CALL(fchdir(fd));
}
SYMBOL_CASE(fpathconf)
{
    CALL(fpathconf(fd, _PC_LINK_MAX));
    CALL(fpathconf(fd, _PC_NAME_MAX));
    CALL(fpathconf(fd, _PC_PIPE_BUF));
    CALL(fpathconf(fd, _PC_FILESIZEBITS));
    CALL(fpathconf(-1, _PC_NAME_MAX));
}
