/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * leaving.c — promise: a process that ends, or becomes another program, or fails to, in one thread while others write loses no
 * write that had returned, and no thread reads what was before its own last write; also of a file that another process serves
 * all the time, whose log must not be written past.
 *
 *     leaving [ROUNDS]
 */
#include "clean.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 3, PLACE = 4096, SIZE = 16 * PLACE, EXECS = 10, ROUNDS = 20 };

/* Shared with the child. */
static struct board {
    _Atomic uint64_t done[WRITERS]; /* the newest number that was written */
    _Atomic bool stale, stop;
} * board;
static char root[] = "/dev/shm/nvmmio-leaving.XXXXXX", path[64], bytes[SIZE];
static int fd;

static void *writer(void *arg)
{
    size_t self = (size_t)((_Atomic uint64_t *)arg - board->done);
    for (uint64_t i = 1; !atomic_load(&board->stop); i++) {
        uint64_t back = 0;
        off_t place = (off_t)(self * PLACE);
        int file = self ? fd : open(path, O_RDWR | O_CLOEXEC); /* one opens it anew each time */
        if (pwrite(file, &i, sizeof i, place) != sizeof i)
            break;
        atomic_store(&board->done[self], i);
        if (pread(file, &back, sizeof back, place) != sizeof back || back != i)
            atomic_store(&board->stale, true);
        if (file != fd)
            close(file);
    }
    return NULL;
}

static void leave_by_exit(void)
{
    exit(EXIT_SUCCESS);
}

static void nap(unsigned us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void leave_at_once(void)
{
    _exit(EXIT_SUCCESS);
}

static void leave_by_exec(void)
{
    execl("/bin/true", "true", NULL);
    _exit(EXIT_FAILURE);
}

static pthread_t threads[WRITERS];

static void end_writers(void)
{
    atomic_store(&board->stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}

static void stay(void)
{
    for (int i = 0; i < EXECS; i++) {
        execl("/nowhere/at/all", "nothing", NULL);
        nap(200);
    }
    end_writers();
    _exit(EXIT_SUCCESS);
}

static void nap_long(void)
{
    nap(20 * 1000);
}

static ssize_t write_late(void *then, const char *from, size_t length)
{
    (void)from;
    (*(void (**)(void))then)();
    return (ssize_t)length;
}

/* libc writes its streams out behind all destructors. */
static void exit_with(void (*then)(void))
{
    static void (*late)(void);
    late = then;
    FILE *stream = fopencookie(&late, "w", (cookie_io_functions_t){.write = write_late});
    if (!stream || fputc('.', stream) == EOF)
        _exit(EXIT_FAILURE);
    exit(EXIT_SUCCESS);
}

static void leave_slowly(void)
{
    exit_with(nap_long);
}

/* The exit waits for threads that wait for its end: it must come all the same, some seconds later. */
static void leave_crosswise(void)
{
    alarm(20);
    exit_with(end_writers);
}

/* Whose handlers use files still, and wait for threads that do. */
static void leave_quickly(void)
{
    alarm(3);
    if (at_quick_exit(end_writers))
        _exit(EXIT_FAILURE);
    quick_exit(EXIT_SUCCESS);
}

static void child(void (*leave)(void), unsigned us)
{
    fd = open(path, O_RDWR | O_CLOEXEC);
    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&threads[i], NULL, writer, &board->done[i]))
            _exit(EXIT_FAILURE);
    nap(us);
    leave();
}

static bool has_all(int file)
{
    bool well = true;
    for (int i = 0; i < WRITERS; i++) {
        uint64_t found = 0;
        if (pread(file, &found, sizeof found, (off_t)i * PLACE) != sizeof found || found < atomic_load(&board->done[i]))
            well = false;
    }
    return well;
}

/* What is wrong is said: it happens once in many rounds. */
static bool must(bool well, const char *what, int how)
{
    if (!well)
        printf("%s: %d\n", what, how);
    return well;
}

static bool ends_well(pid_t pid)
{
    int status = -1;
    bool waited = waitpid(pid, &status, 0) == pid;
    return must(waited && status == 0, "the child's status", status);
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

/* served: this process has the file open, and writes to the same lines. */
static bool round_of(void (*leave)(void), bool served, unsigned us)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    *board = (struct board){0};
    bool well = write(file, bytes, SIZE) == SIZE && fsync(file) == 0;
    if (!served)
        well &= close(file) == 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (served)
            close(file);
        child(leave, us);
    }
    for (uint64_t i = 0; served && !has_ended(pid); i++)
        well &= pwrite(file, &i, sizeof i, (off_t)(i % WRITERS * PLACE + sizeof i)) == sizeof i && fsync(file) == 0;
    bool ended = ends_well(pid);
    well = must(well, "the file here", 0) && ended && must(!atomic_load(&board->stale), "a stale read", 0);
    if (served)
        well &= must(has_all(file), "lost, as its server reads", 0) && close(file) == 0;
    file = open(path, O_RDONLY);
    well &= must(has_all(file), "lost", 0);
    return close(file) == 0 && well;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*leave)(void);
        bool served;
        int most; /* rounds; 0: all */
    } ways[] = {{"exit", leave_by_exit, false, 0},
                {"_exit", leave_at_once, false, 0},
                {"exec", leave_by_exec, false, 0},
                {"exec that fails", stay, false, 0},
                {"exit that waits for the writers", leave_crosswise, false, 1},
                {"exit, served by another", leave_by_exit, true, 0},
                {"slow exit, served by another", leave_slowly, true, 0},
                {"quick_exit, served by another", leave_quickly, true, 0},
                {"_exit, served by another", leave_at_once, true, 0},
                {"exec, served by another", leave_by_exec, true, 0}};
    int failed = 0, rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || /* before the library is used */
        setenv("NVMMIO_CONF", "pm:force", 0))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int bad = 0, last = ways[i].most && ways[i].most < rounds ? ways[i].most : rounds;
        for (int round = 0; round < last; round++)
            bad += !round_of(ways[i].leave, ways[i].served, 2000 + (unsigned)round % 7 * 500);
        printf("%s: %d of %d rounds failed\n", ways[i].name, bad, last);
        fflush(stdout); /* before the next fork */
        failed += bad;
    }
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
