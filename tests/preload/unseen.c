/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * unseen.c — promise: what open has given behaves as what it is, also where the library has not looked at it yet: pipes and
 * terminals wait and are interrupted, directories and devices answer, files that others serve are met. Each part is a process of
 * its own, which has used a file of the root before; the same without the library, which tests the test.
 */
#include "clean.h"
#include "served.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SIZE = 20000,
    MINE = 65533,
    THEIRS = 65534, /* users */
    TICK_US = 20000,
};

static char root[] = "/dev/shm/nvmmio-unseen.XXXXXX", path[64], fifo[64], first[64];
static bool library; /* it is loaded */
static volatile sig_atomic_t rang;

static void ring(int signal)
{
    (void)signal;
    rang++;
}

/* SIGALRM comes soon, and again and again: the first may be too early. */
static bool alarm_soon(int flags)
{
    struct sigaction action = {.sa_handler = ring, .sa_flags = flags};
    struct itimerval soon = {.it_value.tv_usec = TICK_US, .it_interval.tv_usec = TICK_US};
    rang = 0;
    return sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0;
}

static bool alarm_off(void)
{
    struct itimerval never = {0};
    return setitimer(ITIMER_REAL, &never, NULL) == 0 && rang > 0;
}

static bool was_interrupted(ssize_t result)
{
    return result == -1 && errno == EINTR && alarm_off();
}

/* A file of SIZE bytes 'b', not opened since. */
static bool made(const char *name)
{
    static char bytes[SIZE];
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    memset(bytes, 'b', SIZE);
    return fd >= 0 && write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && close(fd) == 0;
}

/* ---- what waits ---- */

static bool pipes_are_interrupted(void)
{
    char byte[2];
    struct iovec one = {byte, 1};
    int fd = open(fifo, O_RDWR), again = open(fifo, O_RDWR), vector = open(fifo, O_RDWR);
    return alarm_soon(0) && was_interrupted(read(fd, byte, 1)) && alarm_soon(0) &&
           was_interrupted(readv(vector, &one, 1)) && write(again, "ab", 2) == 2 && read(fd, byte, 2) == 2;
}

/* A handler that restarts the call, and one that leaves it by what it writes. */
static int feed;
static void ring_and_feed(int signal)
{
    ring(signal);
    if (write(feed, "x", 1) != 1)
        _exit(EXIT_FAILURE);
}

static bool handlers_run_while_it_waits(void)
{
    char byte = 0;
    int fd = open(fifo, O_RDWR);
    feed = open(fifo, O_RDWR | O_NONBLOCK);
    struct sigaction action = {.sa_handler = ring_and_feed, .sa_flags = SA_RESTART};
    return alarm_soon(0) && sigaction(SIGALRM, &action, NULL) == 0 && read(fd, &byte, 1) == 1 && byte == 'x' &&
           alarm_off();
}

static bool full_pipes_are_interrupted(void)
{
    static char bytes[1 << 16];
    int fd = open(fifo, O_RDWR), other = open(fifo, O_RDWR | O_NONBLOCK);
    while (write(other, bytes, sizeof bytes) > 0)
        ;
    return errno == EAGAIN && alarm_soon(0) && was_interrupted(write(fd, bytes, 1));
}

static bool copies_are_interrupted(void)
{
    int fd = open(fifo, O_RDWR), ends[2];
    return pipe(ends) == 0 && alarm_soon(0) && was_interrupted(splice(fd, NULL, ends[1], NULL, 10, 0));
}

static void *read_for_ever(void *arg)
{
    char byte;
    (void)arg;
    int fd = open(fifo, O_RDWR);
    while (read(fd, &byte, 1) >= 0)
        ;
    return NULL;
}

static bool threads_are_cancelled(void)
{
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, read_for_ever, NULL))
        return false;
    usleep(TICK_US);
    return pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED;
}

/* ---- what is no regular file ---- */

static bool terminals_answer(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), left = 0;
    if (master < 0 || grantpt(master) || unlockpt(master))
        return false;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct pollfd comes = {.fd = slave, .events = POLLIN};
    return write(master, "line\n", 5) == 5 && poll(&comes, 1, -1) == 1 && ioctl(slave, FIONREAD, &left) == 0 &&
           left == 5 && isatty(slave);
}

static bool pipes_tell_what_is_left(void)
{
    int fd = open(fifo, O_RDWR), left = 0;
    return write(open(fifo, O_RDWR), "abc", 3) == 3 && ioctl(fd, FIONREAD, &left) == 0 && left == 3 &&
           lseek(fd, 0, SEEK_SET) == -1 && errno == ESPIPE;
}

static bool others_answer(void)
{
    char bytes[4] = "abc";
    struct stat st;
    int folder = open(root, O_RDONLY), null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY),
        text = open("/proc/self/status", O_RDONLY), read_only = open(path, O_RDONLY);
    return fsync(folder) == 0 && fstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && read(folder, bytes, 1) == -1 &&
           errno == EISDIR && pwrite(null, bytes, 3, 0) == 3 && fstat(null, &st) == 0 && S_ISCHR(st.st_mode) &&
           pread(zero, bytes, 3, 7) == 3 && !bytes[0] && read(text, bytes, 3) == 3 && bytes[0] == 'N' &&
           pread(text, bytes, 1, -1) == -1 && errno == EINVAL && write(read_only, "x", 1) == -1 && errno == EBADF;
}

/* ---- files that others serve meanwhile ---- */

static int said[2], heard[2];

static bool tell(int fd)
{
    return write(fd, "x", 1) == 1;
}

static bool wait_for(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* A process that serves the file and makes it longer by one byte, as soon as it is told to, and ends when it is told so. */
static pid_t serve(uid_t user)
{
    if (pipe(said) || pipe(heard))
        return -1;
    pid_t pid = fork();
    if (pid)
        return pid;
    if (user && setuid(user))
        _exit(EXIT_FAILURE);
    int fd = open(path, O_RDWR);
    bool good = wait_for(said[0]) && write_many(fd, 300) && pwrite(fd, "e", 1, SIZE) == 1 && tell(heard[1]) &&
                wait_for(said[0]);
    _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool is_served_now(void)
{
    return tell(said[1]) && wait_for(heard[0]);
}

/* Each of these is the first call on its descriptor. */
static bool served_files_are_met(void)
{
    pid_t pid = serve(0);
    struct stat st;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_len = 1};
    int by_read = open(path, O_RDWR), by_stat = open(path, O_RDWR), by_seek = open(path, O_RDWR),
        by_write = open(path, O_RDWR | O_APPEND), by_lock = open(path, O_RDWR), by_map = open(path, O_RDWR),
        by_copy = dup(open(path, O_RDWR)), by_child = open(path, O_RDWR), out = open("/dev/null", O_WRONLY);
    if (!is_served_now())
        return false;
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, by_map, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(byte_is(by_child, 300, '.') ? EXIT_SUCCESS : EXIT_FAILURE);
    return ended_well(child) && map != MAP_FAILED && map[300] == '.' && byte_is(by_read, 300, '.') &&
           fstat(by_stat, &st) == 0 && st.st_size == SIZE + 1 && lseek(by_seek, 0, SEEK_END) == SIZE + 1 &&
           fcntl(by_lock, F_SETLK, &lock) == 0 && write(by_write, "a", 1) == 1 && byte_is(by_read, SIZE + 1, 'a') &&
           sendfile(out, by_copy, NULL, SIZE) == SIZE && byte_is(by_copy, 300, '.') && tell(said[1]) && ended_well(pid);
}

static bool inherited_files_are_met(void)
{
    char name[48];
    int fd = open(path, O_RDWR);
    snprintf(name, sizeof name, "printf XYZ >&%d", fd);
    return system(name) == 0 && lseek(fd, 0, SEEK_CUR) == 3 && byte_is(fd, 1, 'Y') && write_many(fd, 300) &&
           byte_is(fd, 300, '.') && byte_is(fd, 2, 'Z');
}

static void *read_one(void *arg)
{
    return byte_is(*(int *)arg, 5, 'b') ? arg : NULL;
}

static bool threads_meet_it_together(void)
{
    enum { ROUNDS = 200 };
    bool good = true;
    for (int i = 0; i < ROUNDS && good; i++) {
        pthread_t thread;
        void *result;
        int fd = open(path, O_RDONLY);
        good = !pthread_create(&thread, NULL, read_one, &fd) && read_one(&fd) && !pthread_join(thread, &result) &&
               result && close(fd) == 0;
    }
    return good;
}

/* ---- files of other users ---- */

static bool users_ready(void)
{
    return chmod(root, 0777) == 0 && chmod(path, 0666) == 0 && chown(path, THEIRS, (gid_t)-1) == 0;
}

static bool root_meets_all(void)
{
    if (geteuid())
        return true;
    pid_t pid = users_ready() ? serve(THEIRS) : -1;
    int fd = open(path, O_RDWR);
    return is_served_now() && byte_is(fd, 300, '.') && pwrite(fd, "r", 1, 400) == 1 && byte_is(fd, 400, 'r') &&
           tell(said[1]) && ended_well(pid);
}

/* What cannot be joined is refused, by the first call if not by open, and never shown as it was. */
static bool others_are_refused(void)
{
    if (geteuid())
        return true;
    pid_t pid = users_ready() ? serve(THEIRS) : -1;
    if (!is_served_now())
        return false;
    pid_t mine = fork();
    if (mine == 0) {
        char name[80];
        struct stat st;
        snprintf(name, sizeof name, "%s/mine", root);
        if (setuid(MINE) || !made(name))
            _exit(EXIT_FAILURE);
        int fd = open(path, O_RDWR), again = open(path, O_RDWR);
        bool by_stat = fd < 0 || (fstat(fd, &st) == -1 && errno == EBUSY);
        bool by_read = again < 0 || (!byte_is(again, 300, 'b') && errno == EBUSY);
        bool plain = fd >= 0 && fstat(fd, &st) == 0 && byte_is(again, 300, '.');
        _exit((library ? by_stat && by_read : plain) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    return ended_well(mine) && tell(said[1]) && ended_well(pid);
}

/* ---- */

static const struct part {
    const char *name;
    bool (*run)(void);
} parts[] = {
    {"pipes_are_interrupted", pipes_are_interrupted},
    {"handlers_run_while_it_waits", handlers_run_while_it_waits},
    {"full_pipes_are_interrupted", full_pipes_are_interrupted},
    {"copies_are_interrupted", copies_are_interrupted},
    {"threads_are_cancelled", threads_are_cancelled},
    {"terminals_answer", terminals_answer},
    {"pipes_tell_what_is_left", pipes_tell_what_is_left},
    {"others_answer", others_answer},
    {"served_files_are_met", served_files_are_met},
    {"inherited_files_are_met", inherited_files_are_met},
    {"threads_meet_it_together", threads_meet_it_together},
    {"root_meets_all", root_meets_all},
    {"others_are_refused", others_are_refused},
};

static bool run(const struct part *part)
{
    bool good = made(path) && mkfifo(fifo, 0600) == 0;
    pid_t pid = good ? fork() : -1;
    if (pid == 0) {
        alarm(60);
        _exit(made(first) && part->run() ? EXIT_SUCCESS : EXIT_FAILURE); /* the volume is there, and idle */
    }
    good = ended_well(pid);
    printf("%s: %s\n", part->name, good ? "ok" : "FAILED");
    unlink(path);
    unlink(fifo);
    unlink(first);
    return good;
}

int main(int argc, char **argv)
{
    int failed = 0;
    library = getenv("LD_PRELOAD") != NULL;
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    snprintf(fifo, sizeof fifo, "%s/fifo", root);
    snprintf(first, sizeof first, "%s/first", root);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (argc < 2 || strcmp(argv[1], parts[i].name) == 0)
            failed += !run(&parts[i]);
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
