/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * torn.c — promise: a write that makes a file on tmpfs longer is there wholly or not at all when its process is killed in it,
 * though the file has not earned being served, and another process has cut it since this one saw how long it was. The kernel
 * makes no such promise: there the same fails.
 *
 *     torn [ROUNDS]
 */
#include "clean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1 << 20, ROUNDS = 200, STEPS = 40, STEP_NS = 20000, NAP_NS = 50000 };
enum stage { BEGUN, SEEN, CUT, WRITTEN };

static _Atomic enum stage *stage; /* shared with the children */
static char root[] = "/dev/shm/nvmmio-torn.XXXXXX", path[64], bytes[SIZE];

static void nap(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void wait_for(enum stage wanted)
{
    while (atomic_load(stage) != wanted)
        nap(NAP_NS);
}

/* Sees how long the file is; writes all of it when it has been cut; is killed. */
static void writer(void)
{
    int fd = open(path, O_RDWR);
    if (pwrite(fd, bytes, 1, 0) == 1)
        atomic_store(stage, SEEN);
    wait_for(CUT);
    if (pwrite(fd, bytes, SIZE, 0) == SIZE)
        atomic_store(stage, WRITTEN);
    pause();
}

static void cutter(void)
{
    int fd = open(path, O_RDWR);
    _exit(ftruncate(fd, 0) == 0 && close(fd) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static pid_t child(void (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        run();
    return pid;
}

static void fail(void)
{
    clean_tree(root);
    exit(EXIT_FAILURE);
}

static off_t size_now(void)
{
    struct stat st;
    int fd = open(path, O_RDWR); /* repairs what the dead process left */
    if (fd < 0 || fstat(fd, &st) || close(fd))
        fail();
    return st.st_size;
}

static bool round_is_whole(long ns)
{
    int status, fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (write(fd, bytes, SIZE) != SIZE || fsync(fd) || close(fd))
        fail();
    atomic_store(stage, BEGUN);
    pid_t victim = child(writer);
    wait_for(SEEN);
    if (waitpid(child(cutter), &status, 0) < 0 || status)
        fail();
    atomic_store(stage, CUT);
    nap(ns);
    kill(victim, SIGKILL);
    waitpid(victim, &status, 0);
    off_t size = size_now();
    return size == 0 || size == SIZE;
}

int main(int argc, char **argv)
{
    int torn = 0, rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED || !mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    for (int i = 0; i < rounds; i++)
        torn += !round_is_whole((long)(i % STEPS) * STEP_NS);
    printf("%d of %d writes torn\n", torn, rounds);
    clean_tree(root);
    return torn ? EXIT_FAILURE : EXIT_SUCCESS;
}
