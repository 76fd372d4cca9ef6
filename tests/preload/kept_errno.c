/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kept_errno.c — promise: a call that succeeds leaves errno alone, whatever the library had to do for it, in each of many
 * threads. Programs look at it without a failure (squid). On the kernel too, which tests the test.
 */
#include "clean.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 100, SIZE = 20000, STRANGE = 4711 };

static char root[] = "/dev/shm/nvmmio-errno.XXXXXX";
static pthread_barrier_t all;
static _Atomic bool wrong;

static void check(bool succeeded, const char *name, unsigned thread)
{
    if (succeeded && errno == STRANGE)
        return;
    fprintf(stderr, "thread %u: %s: %s, errno %d\n", thread, name, succeeded ? "succeeded" : "failed", errno);
    wrong = true;
    errno = STRANGE;
}

static void *work(void *arg)
{
    static char bytes[SIZE];
    char path[64], found[SIZE];
    unsigned thread = (unsigned)(size_t)arg;
    struct stat st;
    snprintf(path, sizeof path, "%s/file%u", root, thread);
    errno = STRANGE;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    check(fd >= 0, "open", thread);
    check(write(fd, bytes, SIZE) == SIZE, "write", thread);
    check(fsync(fd) == 0, "fsync", thread);
    check(pwrite(fd, bytes, 100, 5000) == 100, "pwrite", thread);
    check(pread(fd, found, SIZE, 0) == SIZE, "pread", thread);
    for (int i = 0; i < 50; i++)
        check(pwrite(fd, bytes, 100, i) == 100, "a small pwrite", thread);
    check(fstat(fd, &st) == 0, "fstat", thread);
    check(stat(path, &st) == 0, "stat", thread);
    check(lseek(fd, 5, SEEK_END) > SIZE, "lseek", thread);
    check((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR, "fcntl", thread);
    void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED, "mmap", thread);
    check(pwrite(fd, bytes, 100, 5000) == 100, "pwrite to what is mapped", thread);
    check(munmap(map, SIZE) == 0, "munmap", thread);
    check(ftruncate(fd, SIZE / 2) == 0, "ftruncate", thread);
    int other = dup(fd);
    check(other >= 0, "dup", thread);
    check(close(fd) == 0, "close", thread);
    check(close(other) == 0, "the last close", thread);
    check(unlink(path) == 0, "unlink", thread);
    pthread_barrier_wait(&all); /* all threads live at once: each has a place of its own in what the library keeps */
    return NULL;
}

int main(int argc, char **argv)
{
    static pthread_t thread[THREADS];
    if (argc != 2 || !mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || setenv("NVMMIO_CONF", argv[1], 1))
        return EXIT_FAILURE;
    pthread_barrier_init(&all, NULL, THREADS);
    for (size_t i = 1; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)i))
            return EXIT_FAILURE;
    work(NULL);
    for (size_t i = 1; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    clean_tree(root);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
