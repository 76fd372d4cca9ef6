/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * first_open.c — promise: when several threads make a process's first open in a root at once, all their descriptors are
 * managed. One that is not writes past all others, and what it writes is lost.
 *
 * A write to a file that has been synced goes to the log first, so the kernel's file does not show it: where it does, the
 * descriptor is the kernel's. Without the library all are, and the test fails.
 */
#include "base/rawsys.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 300, THREADS = 4, PAGE = 4096 };

static char path[64];
static _Atomic int ready, passed_by;
static const char *shown; /* the kernel's own mapping */

static void *open_and_write(void *arg)
{
    long number = (long)arg;
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < THREADS)
        ;
    int fd = open(path, O_RDWR);
    if (fd < 0 || pwrite(fd, "x", 1, number * PAGE) != 1 || shown[number * PAGE] == 'x')
        atomic_fetch_add(&passed_by, 1);
    return NULL;
}

static void round_of_child(void)
{
    pthread_t thread[THREADS];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, open_and_write, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    _exit(atomic_load(&passed_by) != 0);
}

int main(void)
{
    char root[] = "/dev/shm/nvmmio-first.XXXXXX", bytes[THREADS * PAGE] = {0}, command[64];
    int wrong = 0;
    if (!mkdtemp(root))
        return 2;
    snprintf(path, sizeof path, "%s/f", root);
    for (int i = 0; i < ROUNDS; i++) { /* by the system call: this process is not to open anything in the root */
        unlink(path);                  /* each round has a file of its own */
        int fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT, 0600), status;
        if (sys_pwrite(fd, bytes, sizeof bytes, 0) != sizeof bytes)
            return 2;
        shown = sys_mmap(NULL, sizeof bytes, PROT_READ, MAP_SHARED, fd, 0);
        sys_close(fd);
        pid_t child = fork();
        if (child == 0) {
            setenv("NVMMIO_ROOT", root, 1);
            setenv("NVMMIO_CONF", "pm:force,idle:1000s", 1);
            round_of_child();
        }
        waitpid(child, &status, 0);
        wrong += status != 0;
        sys_munmap((void *)shown, sizeof bytes);
    }
    snprintf(command, sizeof command, "rm -rf %s", root);
    printf("%d of %d rounds had a descriptor that is the kernel's\n", wrong, ROUNDS);
    return system(command) || wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
