/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * leaving.c — promise: a process that ends, or becomes another program, or fails to, in one thread while others write loses no
 * write that had returned, and no thread reads what was before its own last write.
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
        if (pwrite(fd, &i, sizeof i, place) != sizeof i)
            break;
        atomic_store(&board->done[self], i);
        if (pread(fd, &back, sizeof back, place) != sizeof back || back != i)
            atomic_store(&board->stale, true);
    }
    return NULL;
}

static void leave_by_exit(void)
{
    exit(EXIT_SUCCESS);
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

static void nap(unsigned us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static pthread_t threads[WRITERS];

static void stay(void)
{
    for (int i = 0; i < EXECS; i++) {
        execl("/nowhere/at/all", "nothing", NULL);
        nap(200);
    }
    atomic_store(&board->stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    _exit(EXIT_SUCCESS);
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

static bool round_of(void (*leave)(void), unsigned us)
{
    int status, file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    *board = (struct board){0};
    if (write(file, bytes, SIZE) != SIZE || fsync(file) || close(file))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        child(leave, us);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        return false;
    file = open(path, O_RDONLY);
    bool well = !atomic_load(&board->stale);
    for (int i = 0; i < WRITERS; i++) {
        uint64_t found = 0;
        if (pread(file, &found, sizeof found, (off_t)i * PLACE) != sizeof found || found < atomic_load(&board->done[i]))
            well = false;
    }
    return close(file) == 0 && well;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*leave)(void);
    } ways[] = {{"exit", leave_by_exit}, {"_exit", leave_at_once}, {"exec", leave_by_exec}, {"exec that fails", stay}};
    int failed = 0, rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || !mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || /* before the library is used */
        setenv("NVMMIO_CONF", "pm:force", 0))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int bad = 0;
        for (int round = 0; round < rounds; round++)
            bad += !round_of(ways[i].leave, 2000 + (unsigned)round % 7 * 500);
        printf("%s: %d of %d rounds failed\n", ways[i].name, bad, rounds);
        fflush(stdout); /* before the next fork */
        failed += bad;
    }
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
