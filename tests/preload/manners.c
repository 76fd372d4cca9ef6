/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * manners.c — promise: under the preload library the calls keep libc's manners: cancellation points, errno, abort on
 * overflow, the search for a program.
 *
 * "manners core": with a fake core beside the library. "manners kernel": with none, with the real
 * one, or without the library.
 */
#include "clean.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct manners {
    char root[64];
    char path[128]; /* of a file in the root */
    long (*calls)(const char *);
    int (*reason)(void);
    unsigned failures;
};
static struct manners manners;

static void check(bool right, const char *promise)
{
    if (!right) {
        printf("FAIL: %s (errno is %s)\n", promise, strerror(errno));
        manners.failures++;
    }
}

static long count(const char *function)
{
    return manners.calls ? manners.calls(function) : 0;
}

static int manners_open(void)
{
    return open(manners.path, O_RDWR | O_CREAT, 0600);
}

/* ---- cancellation ---- */

static void *wait_in_read(void *arg)
{
    char byte;
    (void)!read(*(int *)arg, &byte, 1);
    return NULL;
}

static void *wait_in_lock(void *arg)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    fcntl(*(int *)arg, F_OFD_SETLKW, &lock);
    return NULL;
}

static void *wait_in_open(void *arg)
{
    open(arg, O_RDONLY);
    return NULL;
}

static bool is_cancelled(void *wait(void *), void *arg)
{
    static const struct timespec a_while = {.tv_nsec = 20000000};
    pthread_t thread;
    void *result = NULL;
    struct timespec limit;
    if (pthread_create(&thread, NULL, wait, arg) != 0)
        return false;
    nanosleep(&a_while, NULL);
    pthread_cancel(thread);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 5;
    return pthread_timedjoin_np(thread, &result, &limit) == 0 && result == PTHREAD_CANCELED;
}

static void test_cancellation(void)
{
    int ends[2];
    int fd = open("/dev/null", O_RDWR);
    int other = -1;
    char path[] = "/dev/shm/nvmmio-manners-lock.XXXXXX";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    check(pipe(ends) == 0 && is_cancelled(wait_in_read, &ends[0]), "a thread that waits in read can be cancelled");
    close(fd);
    fd = mkstemp(path);
    other = open(path, O_RDWR);
    check(fcntl(fd, F_OFD_SETLK, &lock) == 0 && is_cancelled(wait_in_lock, &other),
          "a thread that waits for a lock can be cancelled");
    unlink(path);
    close(fd);
    close(other);
    check(mkfifo(path, 0600) == 0 && is_cancelled(wait_in_open, path), "a thread that waits in open can be cancelled");
    unlink(path);
    close(ends[0]);
    close(ends[1]);
}

/* ---- errors ---- */

static void test_errors(void)
{
    char byte;
    struct stat st;
    errno = 0;
    check(read(-1, &byte, 1) == -1 && errno == EBADF, "read of a bad descriptor");
    check(fstat(-1, &st) == -1 && errno == EBADF, "fstat of a bad descriptor");
    check(open("/nonexistent/file", O_RDONLY) == -1 && errno == ENOENT, "open of nothing");
    check(dup2(-1, -1) == -1 && errno == EBADF, "dup2 of a bad descriptor on itself");
    check(dup2(0, -1) == -1 && errno == EBADF, "dup2 on a bad number");
    char *const argv[] = {"x", NULL};
    check(execvp("", argv) == -1 && errno == ENOENT, "execvp of an empty name");
    check(execvp("no-such-program-anywhere", argv) == -1 && errno == ENOENT, "execvp of a missing program");
    errno = 42;
    int fd = manners_open();
    check(fd >= 0 && errno == 42, "open in a root leaves errno alone");
    check(write(fd, "abc", 3) == 3 && errno == 42, "write leaves errno alone");
    check(close(fd) == 0 && errno == 42, "close leaves errno alone");
    FILE *stream = fopen(manners.path, "r");
    check(stream && errno == 42 && fclose(stream) == 0 && errno == 42, "fopen and fclose leave errno alone");
}

/* Owners of a group are told as negative numbers, which the system call cannot. */
static void test_owner(void)
{
    int ends[2];
    check(pipe(ends) == 0 && fcntl(ends[0], F_SETOWN, -getpgrp()) == 0, "a group becomes owner");
    errno = 0;
    check(fcntl(ends[0], F_GETOWN) == -getpgrp() && errno == 0, "F_GETOWN of a group");
    close(ends[0]);
    close(ends[1]);
}

ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
int __open_2(const char *, int);

static bool aborts(int which)
{
    char buffer[4];
    int status;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        if (which == 0)
            (void)!__read_chk(STDIN_FILENO, buffer, 5, sizeof buffer);
        else if (which == 1)
            (void)!__pread64_chk(STDIN_FILENO, buffer, 5, 0, sizeof buffer);
        else if (which == 2)
            (void)!__recv_chk(STDIN_FILENO, buffer, 5, sizeof buffer, 0);
        else if (which == 3)
            (void)!__recvfrom_chk(STDIN_FILENO, buffer, 5, sizeof buffer, 0, NULL, NULL);
        else
            (void)!__open_2("/dev/null", O_CREAT | O_RDWR);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_checked(void)
{
    check(aborts(0), "__read_chk of more than the buffer holds aborts");
    check(aborts(1), "__pread64_chk of more than the buffer holds aborts");
    check(aborts(2), "__recv_chk of more than the buffer holds aborts");
    check(aborts(3), "__recvfrom_chk of more than the buffer holds aborts");
    check(aborts(4), "__open_2 with O_CREAT aborts");
}

/* ---- requests that the kernel works off ---- */

static int ring_setup(void)
{
    char parameters[256] = "";
    return (int)syscall(SYS_io_uring_setup, 4, parameters);
}

/* A ring that was made before the first managed file would serve managed files later, unseen. */
static void test_no_ring(void)
{
    int (*init)(unsigned, void *, unsigned) =
        (int (*)(unsigned, void *, unsigned))dlsym(RTLD_DEFAULT, "io_uring_queue_init");
    if (!init) /* no preload library */
        return;
    char ring[1024] = "";
    check(ring_setup() == -1 && errno == ENOSYS, "there are no rings");
    check(init(4, ring, 0) == -ENOSYS, "nor by liburing");
}

static bool submit(unsigned long context, int fd, const char *text, long long offset)
{
    struct iocb request = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_fildes = (unsigned)fd,
                           .aio_buf = (uint64_t)text,
                           .aio_nbytes = strlen(text),
                           .aio_offset = offset};
    struct iocb *list[] = {&request};
    struct io_event event;
    return syscall(SYS_io_submit, context, 1L, list) == 1 &&
           syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) == 1 && event.res == (long long)strlen(text);
}

static void test_queue(void)
{
    unsigned long context = 0;
    char read_back[16] = "";
    int fd = manners_open();
    check(fd >= 0 && write(fd, "0123456789", 10) == 10 && fsync(fd) == 0 && pwrite(fd, "AB", 2, 0) == 2,
          "a file to serve");
    if (syscall(SYS_io_setup, 4, &context) != 0) {
        check(errno == ENOSYS, "a kernel without queues");
        close(fd);
        return;
    }
    long before = count("demote");
    check(submit(context, fd, "queued", 4), "io_submit writes");
    check(!manners.calls || count("demote") == before + 1, "io_submit demotes");
    check(pread(fd, read_back, 10, 0) == 10 && memcmp(read_back, "AB23queued", 10) == 0, "all writes are there");
    check(pwrite(fd, "-", 1, 4) == 1 && submit(context, fd, "+", 5) && pread(fd, read_back, 10, 0) == 10 &&
              memcmp(read_back, "AB23-+eued", 10) == 0,
          "and further ones");
    struct iocb *nowhere[] = {(struct iocb *)8};
    check(syscall(SYS_io_submit, context, 1L, nowhere) == -1 && errno == EFAULT, "a bad request is EFAULT");
    check(syscall(SYS_io_submit, context, 1L, (void *)8) == -1 && errno == EFAULT, "a bad list is EFAULT");
    check(syscall(SYS_io_destroy, context) == 0, "the queue ends");
    close(fd);
    unlink(manners.path);
}

/* ---- opening ---- */

static void test_open(void)
{
    const int atomic = 01000000000; /* O_ATOMIC: not the kernel's to see */
    struct stat st;
    int fd = open(manners.path, O_RDWR | O_CREAT | atomic, 0640);
    check(fd >= 0 && fstat(fd, &st) == 0, "open with O_ATOMIC");
    check(write(fd, "abc", 3) == 3 && close(fd) == 0, "a file is filled");
    mode_t mask = umask(0);
    umask(mask);
    fd = open(manners.path, O_RDWR | O_TRUNC);
    check(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0, "O_TRUNC empties the file");
    close(fd);
    unlink(manners.path);
    fd = open(manners.path, O_RDWR | O_CREAT, 0604);
    check(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == (0604 & ~mask), "open takes the mode");
    close(fd);
    fd = open(manners.root, O_TMPFILE | O_RDWR, 0602);
    check(fd < 0 || (fstat(fd, &st) == 0 && (st.st_mode & 0777) == (0602 & ~mask)), "O_TMPFILE takes the mode");
    close(fd);
}

/* A sub-folder's neighbour whose name begins as the root's is outside. */
static void test_neighbour(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s.neighbour", manners.root);
    long adopted = count("adopt");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    check(fd >= 0 && count("adopt") <= adopted + 1, "a file beside the root opens");
    unlink(path);
    close(fd);
}

int main(int argc, char **argv)
{
    bool with_core = argc == 2 && strcmp(argv[1], "core") == 0;
    snprintf(manners.root, sizeof manners.root, "/dev/shm/nvmmio-manners.XXXXXX");
    if (!mkdtemp(manners.root))
        return EXIT_FAILURE;
    snprintf(manners.path, sizeof manners.path, "%s/file", manners.root);
    setenv("NVMMIO_ROOT", manners.root, 1);

    test_no_ring();
    test_neighbour();
    void *core = dlopen("libnvmmio.so.0", RTLD_NOW | RTLD_NOLOAD);
    check(!core, "nothing is loaded for a file outside the root");
    test_open();
    core = dlopen("libnvmmio.so.0", RTLD_NOW | RTLD_NOLOAD);
    if (core) {
        manners.calls = (long (*)(const char *))dlsym(core, "fake_core_calls");
    }
    check(with_core == (manners.calls != NULL), "the core is there if and only if it should be");
    test_cancellation();
    test_errors();
    test_owner();
    test_checked();
    test_queue();
    clean_tree(manners.root);
    printf("manners: %u failures\n", manners.failures);
    return manners.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
