/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_open.c — names of libc that make descriptors.
 */
#include "case_symbol.h"

#include <dirent.h>
#include <mqueue.h>
#include <pty.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <utmp.h>
#include <wchar.h>

int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

/* `call` is the name with its arguments before the flags. */
#define OPEN_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_RDWR)));                                                           \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_RDONLY | O_CLOEXEC)));                                             \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_WRONLY | O_APPEND)));                                              \
        symbol_use(CALL(name(__VA_ARGS__ "new", O_RDWR | O_CREAT | O_EXCL, 0640)));                                    \
        symbol_use(CALL(name(__VA_ARGS__ "new", O_RDWR | O_CREAT | O_EXCL, 0640)));                                    \
        symbol_use(CALL(name(__VA_ARGS__ ".", O_RDWR | O_TMPFILE, 0600)));                                             \
        symbol_use(CALL(name(__VA_ARGS__ "missing", O_RDWR)));                                                         \
        SHOW(fd);                                                                                                      \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_RDWR | O_TRUNC)));                                                 \
    }
OPEN_CASE(open)
OPEN_CASE(open64)
OPEN_CASE(__open)
OPEN_CASE(__open64)
OPEN_CASE(openat, AT_FDCWD, )
OPEN_CASE(openat64, AT_FDCWD, )

/* The forms without a mode. */
#define OPEN_2_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_RDWR)));                                                           \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_WRONLY | O_APPEND)));                                              \
        symbol_use(CALL(name(__VA_ARGS__ "missing", O_RDWR)));                                                         \
        SHOW(fd);                                                                                                      \
        symbol_use(CALL(name(__VA_ARGS__ SUBJECT, O_RDWR | O_TRUNC)));                                                 \
    }
OPEN_2_CASE(__open_2)
OPEN_2_CASE(__open64_2)
OPEN_2_CASE(__openat_2, AT_FDCWD, )
OPEN_2_CASE(__openat64_2, AT_FDCWD, )

#define CREAT_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        symbol_use(CALL(name("new", 0600)));                                                                           \
        symbol_use(CALL(name(SUBJECT, 0644)));                                                                         \
        CALL(name("missing/new", 0644));                                                                               \
    }
CREAT_CASE(creat)
CREAT_CASE(creat64)

/* ---- names that libc chooses ---- */

#define TEMPORARY_CASE(name, end, ...)                                                                                 \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        char pattern[] = "t.XXXXXX" end;                                                                               \
        int made = CALL(name(pattern __VA_ARGS__));                                                                    \
        CALL(fsync(made));                                                                                             \
        CALL(write(made, bytes, 9000));                                                                                \
        CALL(fsync(made));                                                                                             \
        CALL(rename(pattern, "renamed"));                                                                              \
        symbol_use(made);                                                                                              \
        char wrong[] = "wrong" end;                                                                                    \
        CALL(name(wrong __VA_ARGS__));                                                                                 \
    }
TEMPORARY_CASE(mkstemp, "", )
TEMPORARY_CASE(mkstemp64, "", )
TEMPORARY_CASE(mkostemp, "", , O_APPEND)
TEMPORARY_CASE(mkostemp64, "", , O_APPEND)
TEMPORARY_CASE(mkstemps, ".end", , 4)
TEMPORARY_CASE(mkstemps64, ".end", , 4)
TEMPORARY_CASE(mkostemps, ".end", , 4, O_APPEND)
TEMPORARY_CASE(mkostemps64, ".end", , 4, O_APPEND)

#define TMPFILE_CASE(name)                                                                                             \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        FILE *stream;                                                                                                  \
        CALL_POINTER(stream = name());                                                                                 \
        CALL(fputs("text", stream));                                                                                   \
        CALL(fseek(stream, 0, SEEK_SET));                                                                              \
        CALL(fread(scratch, 1, 10, stream));                                                                           \
        CALL(fclose(stream));                                                                                          \
    }
TMPFILE_CASE(tmpfile)
TMPFILE_CASE(tmpfile64)

SYMBOL_CASE(mktemp)
{
    watch_errno = false;
    char pattern[] = "t.XXXXXX";
    CALL_POINTER(mktemp(pattern));
    int made = CALL(open(pattern, O_RDWR | O_CREAT | O_EXCL, 0600));
    CALL(unlink(pattern));
    symbol_use(made);
}

#define TMPNAM_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        char room[L_tmpnam];                                                                                           \
        CALL(write(fd, bytes, 5000));                                                                                  \
        CALL_POINTER(name(room));                                                                                      \
    }
TMPNAM_CASE(tmpnam)
TMPNAM_CASE(tmpnam_r)

SYMBOL_CASE(tempnam)
{
    watch_errno = false;
    char *name = tempnam(".", "t");
    int made = CALL(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    CALL(unlink(name));
    symbol_use(made);
    free(name);
}

/* ---- handles, memory ---- */

/* A name for what all processes of the machine see. */
static const char *ipc_name(void)
{
    static char name[40];
    snprintf(name, sizeof name, "/nvmmio-case-%d", getpid());
    return name;
}

union handle {
    struct file_handle handle;
    char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

SYMBOL_CASE(name_to_handle_at)
{
    union handle u = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount;
    CALL(name_to_handle_at(AT_FDCWD, SUBJECT, &u.handle, &mount, 0));
    CALL(name_to_handle_at(fd, "", &u.handle, &mount, AT_EMPTY_PATH));
    CALL(name_to_handle_at(AT_FDCWD, "missing", &u.handle, &mount, 0));
}

SYMBOL_CASE(open_by_handle_at)
{
    union handle u = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount;
    CALL(name_to_handle_at(AT_FDCWD, SUBJECT, &u.handle, &mount, 0));
    int directory = CALL(open(".", O_RDONLY | O_DIRECTORY));
    symbol_use(CALL(open_by_handle_at(directory, &u.handle, O_RDWR)));
    symbol_use(CALL(open_by_handle_at(directory, &u.handle, O_RDWR | O_TRUNC)));
    CALL(open_by_handle_at(-1, &u.handle, O_RDWR));
    CALL(close(directory));
}

SYMBOL_CASE(memfd_create)
{
    symbol_use(CALL(memfd_create("name", MFD_CLOEXEC)));
    CALL(memfd_create("name", 0xff00));
    symbol_use(CALL(open(SUBJECT, O_RDWR)));
}

SYMBOL_CASE(shm_open)
{
    watch_errno = false;
    symbol_use(CALL(shm_open(ipc_name(), O_RDWR | O_CREAT | O_TRUNC, 0600)));
    CALL(shm_unlink(ipc_name()));
    CALL(shm_open(ipc_name(), O_RDWR, 0));
}

SYMBOL_CASE(shm_unlink)
{
    watch_errno = false;
    CALL(shm_unlink(ipc_name()));
    symbol_use(CALL(shm_open(ipc_name(), O_RDWR | O_CREAT | O_EXCL, 0600)));
    CALL(shm_unlink(ipc_name()));
}

/* Queues and semaphores have names of their own; a descriptor of a file is none of theirs. */
int __mq_open_2(const char *name, int flags);

static mqd_t queue_open(void)
{
    struct mq_attr shape = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mq_unlink(ipc_name());
    return mq_open(ipc_name(), O_RDWR | O_CREAT | O_NONBLOCK, 0600, &shape);
}

#define QUEUE_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct mq_attr shape __attribute__((unused)) = {0};                                                            \
        struct timespec now __attribute__((unused)) = {0};                                                             \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes, 5000));                                                                                  \
        mqd_t queue = queue_open();                                                                                    \
        CALL(mq_send(queue, "message", 7, 0));                                                                         \
        CALL(__VA_ARGS__);                                                                                             \
        CALL(mq_close(queue));                                                                                         \
        CALL(mq_unlink(ipc_name()));                                                                                   \
    }
QUEUE_CASE(mq_open, mq_open("/nvmmio-no-such-name", O_RDWR))
QUEUE_CASE(__mq_open_2, __mq_open_2("/nvmmio-no-such-name", O_RDWR))
QUEUE_CASE(mq_send, mq_send(fd, "message", 7, 0))
QUEUE_CASE(mq_receive, mq_receive(fd, (char *)scratch, 64, NULL))
QUEUE_CASE(mq_timedsend, mq_timedsend(fd, "message", 7, 0, &now))
QUEUE_CASE(mq_timedreceive, mq_timedreceive(fd, (char *)scratch, 64, NULL, &now))
QUEUE_CASE(mq_getattr, mq_getattr(fd, &shape))
QUEUE_CASE(mq_setattr, mq_setattr(fd, &shape, NULL))
QUEUE_CASE(mq_notify, mq_notify(fd, NULL))
QUEUE_CASE(mq_unlink, mq_unlink("/nvmmio-no-such-name"))

#define SEMAPHORE_CASE(name)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes, 5000));                                                                                  \
        sem_t *semaphore = sem_open(ipc_name(), O_RDWR | O_CREAT, 0600, 1);                                            \
        CALL_POINTER(semaphore);                                                                                       \
        CALL(sem_close(semaphore));                                                                                    \
        CALL(sem_unlink(ipc_name()));                                                                                  \
        CALL(sem_unlink(ipc_name()));                                                                                  \
    }
SEMAPHORE_CASE(sem_open)
SEMAPHORE_CASE(sem_close)
SEMAPHORE_CASE(sem_unlink)

SYMBOL_CASE(open_tree)
{
    int tree = CALL(open_tree(AT_FDCWD, SUBJECT, 0));
    CALL(read(tree, scratch, 10));
    struct stat st;
    CALL(fstat(tree, &st));
    say("size %lld", (long long)st.st_size);
    CALL(close(tree));
}

SYMBOL_CASE(fspick)
{
    int picked = CALL(fspick(AT_FDCWD, "missing", 0));
    CALL(close(picked));
}

SYMBOL_CASE(pidfd_getfd)
{
    int own = CALL(pidfd_open(getpid(), 0));
    int got = CALL(pidfd_getfd(own, fd, 0));
    CALL(write(fd, bytes + 9, 900)); /* one offset */
    symbol_use(got);
    CALL(pidfd_getfd(own, 777, 0));
    CALL(pidfd_getfd(fd, 0, 0));
    CALL(close(own));
}

/* ---- descriptors that come by message ---- */

static void send_descriptor(int to, int fd)
{
    char space[CMSG_SPACE(sizeof fd)] = "";
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CALL(sendmsg(to, &message, 0));
}

static int descriptor_of(struct msghdr *message)
{
    int fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* The descriptor that comes, and the one that was sent, are one description. */
static void use_received(int fd, int received)
{
    say("received %d", received);
    CALL(write(fd, bytes + 3, 1000));
    SHOW(received);
    CALL(write(received, bytes + 4, 1000));
    SHOW(fd);
    symbol_use(received);
}

SYMBOL_CASE(sendmsg)
{
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    send_descriptor(ends[0], fd);
    CALL(write(fd, bytes + 3, 1000));
    SHOW(fd);
    CALL(sendmsg(fd, &(struct msghdr){0}, 0));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

SYMBOL_CASE(sendmmsg)
{
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    struct iovec iov = {"y", 1};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}}};
    CALL(sendmmsg(ends[0], messages, 2, 0));
    CALL(sendmmsg(fd, messages, 2, 0));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

/* What comes is stored to a buffer, or the descriptor is none that can be received from. */
static void letter_send(int ends[2], int type)
{
    CALL(socketpair(AF_UNIX, type, 0, ends));
    CALL(write(ends[0], "letter", 6));
}

static void letter_end(const int ends[2])
{
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

SYMBOL_CASE(recv)
{
    int ends[2];
    char text[8] = "";
    letter_send(ends, SOCK_STREAM);
    CALL(recv(ends[1], text, sizeof text, 0));
    say("%s", text);
    CALL(recv(ends[1], text, sizeof text, MSG_DONTWAIT));
    CALL(recv(fd, text, sizeof text, 0));
    letter_end(ends);
}

SYMBOL_CASE(recvfrom)
{
    int ends[2];
    char text[8] = "";
    letter_send(ends, SOCK_DGRAM);
    CALL(recvfrom(ends[1], text, 3, MSG_TRUNC, NULL, NULL));
    say("%s", text);
    CALL(recvfrom(fd, text, sizeof text, 0, NULL, NULL));
    letter_end(ends);
}

ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);

SYMBOL_CASE(__recv_chk)
{
    int ends[2];
    char text[8] = "";
    letter_send(ends, SOCK_STREAM);
    CALL(__recv_chk(ends[1], text, 4, sizeof text, 0));
    say("%s", text);
    CALL(__recv_chk(fd, text, sizeof text, sizeof text, 0));
    letter_end(ends);
}

SYMBOL_CASE(__recvfrom_chk)
{
    int ends[2];
    char text[8] = "";
    letter_send(ends, SOCK_DGRAM);
    CALL(__recvfrom_chk(ends[1], text, 3, sizeof text, MSG_TRUNC, NULL, NULL));
    say("%s", text);
    CALL(__recvfrom_chk(fd, text, sizeof text, sizeof text, 0, NULL, NULL));
    letter_end(ends);
}

SYMBOL_CASE(getrandom)
{
    char random[16];
    (void)fd;
    CALL(getrandom(random, sizeof random, 0));
    CALL(getrandom(random, sizeof random, 1000));
    CALL(getrandom((void *)1, sizeof random, 0));
}

SYMBOL_CASE(getcwd)
{
    char room[4096];
    char *made = getcwd(NULL, 0);
    say("%s", made && getcwd(room, sizeof room) && !strcmp(made, room) ? "the same" : "another");
    free(made);
    CALL_POINTER(getcwd(room, 1));
    CALL_POINTER(getcwd(room, 0));
}

SYMBOL_CASE(uname)
{
    struct utsname name;
    CALL(uname(&name));
    say("%s", name.sysname);
    CALL(uname((void *)1));
}

SYMBOL_CASE(sysinfo)
{
    struct sysinfo info = {.mem_unit = 0};
    CALL(sysinfo(&info));
    say("%s", info.mem_unit ? "filled" : "empty");
}

SYMBOL_CASE(getrusage)
{
    struct rusage usage = {.ru_maxrss = 0};
    CALL(getrusage(RUSAGE_SELF, &usage));
    say("%s", usage.ru_maxrss ? "filled" : "empty");
    CALL(getrusage(1000, &usage));
}

SYMBOL_CASE(getitimer)
{
    struct itimerval value = {{1, 1}, {1, 1}};
    CALL(getitimer(ITIMER_VIRTUAL, &value));
    say("%ld %ld", (long)value.it_value.tv_sec, (long)value.it_interval.tv_usec);
    CALL(getitimer(1000, &value));
}

static void say_name(int (*name)(int, struct sockaddr *, socklen_t *), int fd)
{
    int ends[2];
    struct sockaddr_un at = {.sun_family = 0};
    socklen_t length = sizeof at;
    CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    CALL(name(ends[0], (struct sockaddr *)&at, &length));
    say("family %d, %u bytes", at.sun_family, (unsigned)length);
    CALL(name(ends[0], (struct sockaddr *)&at, (void *)1));
    CALL(name(fd, (struct sockaddr *)&at, &length));
    close(ends[0]);
    close(ends[1]);
}
SYMBOL_CASE(getsockname)
{
    say_name(getsockname, fd);
}
SYMBOL_CASE(getpeername)
{
    say_name(getpeername, fd);
}

SYMBOL_CASE(getentropy)
{
    char random[300];
    (void)fd;
    CALL(getentropy(random, 256));
    CALL(getentropy(random, 257));
}

SYMBOL_CASE(recvmsg)
{
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    send_descriptor(ends[0], fd);
    char space[CMSG_SPACE(sizeof fd)], text[4];
    struct iovec iov = {text, sizeof text};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    CALL(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC));
    int received = descriptor_of(&message);
    CALL(fcntl(received, F_GETFD));
    use_received(fd, received);
    CALL(recvmsg(fd, &message, 0));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

SYMBOL_CASE(recvmmsg)
{
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    send_descriptor(ends[0], fd);
    char space[CMSG_SPACE(sizeof fd)], text[4];
    struct iovec iov = {text, sizeof text};
    struct mmsghdr message = {
        .msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space}};
    CALL(recvmmsg(ends[1], &message, 1, 0, NULL));
    use_received(fd, descriptor_of(&message.msg_hdr));
    CALL(recvmmsg(fd, &message, 1, 0, NULL));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

/* ---- what makes other kinds of descriptors ---- */

SYMBOL_CASE(openpty)
{
    watch_errno = false;
    int master = -1, slave = -1;
    CALL(openpty(&master, &slave, NULL, NULL, NULL));
    say("%d %d", master, slave);
    CALL(close(master));
    CALL(close(slave));
}

SYMBOL_CASE(forkpty)
{
    watch_errno = false;
    int master = -1;
    dup2(fd, 0); /* the child's 0, 1 and 2 become the terminal's */
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0)
        _exit(isatty(0) && write(fd, bytes, 50) == 50 && write(0, "x", 1) == 1 ? 7 : 8);
    symbol_wait(pid);
    CALL(close(master));
    SHOW(0);
    dup2(fd, 0);
}

static void becomes_terminal(int fd)
{
    int master = -1, slave = -1;
    dup2(fd, 0);
    CALL(openpty(&master, &slave, NULL, NULL, NULL));
    CALL(login_tty(slave));
    CALL(isatty(0));
    CALL(lseek(0, 0, SEEK_CUR));
    CALL(write(0, "x", 1));
    CALL(write(fd, bytes, 50));
}

SYMBOL_CASE(login_tty)
{
    watch_errno = false;
    in_child(becomes_terminal, fd);
    SHOW(fd);
    CALL(login_tty(fd));
}

SYMBOL_CASE(opendir)
{
    watch_errno = false;
    DIR *directory;
    CALL_POINTER(directory = opendir("."));
    CALL(closedir(directory));
    CALL_POINTER(opendir(SUBJECT));
}

SYMBOL_CASE(fdopendir)
{
    watch_errno = false;
    CALL_POINTER(fdopendir(fd));
    SHOW(fd);
    DIR *directory;
    CALL_POINTER(directory = fdopendir(open(".", O_RDONLY)));
    CALL(closedir(directory));
}

SYMBOL_CASE(openlog)
{
    watch_errno = false;
    openlog("case", LOG_NDELAY, LOG_USER);
    SHOW(fd);
    closelog();
}

SYMBOL_CASE(closelog)
{
    closelog();
}

SYMBOL_CASE(open_memstream)
{
    watch_errno = false;
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    CALL(fileno(stream));
    CALL(fputs("text", stream));
    CALL(fclose(stream));
    free(text);
}

SYMBOL_CASE(open_wmemstream)
{
    watch_errno = false;
    wchar_t *text;
    size_t size;
    FILE *stream = open_wmemstream(&text, &size);
    CALL(fileno(stream));
    CALL(fclose(stream));
    free(text);
}
