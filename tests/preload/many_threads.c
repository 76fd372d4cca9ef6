/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * many_threads.c — promise: a program may have many threads that all use managed files. liburcu makes room for them by
 * mremap, which is the preload library's name, while it holds its lock: a call that looked for a mapped file then waited for
 * itself, at the 33rd thread.
 */
#include "clean.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 300, SECONDS = 30, PAGE = 4096 };

static char path[64];
static pthread_barrier_t all;

static void *use(void *arg)
{
    struct stat st;
    long *right = arg;
    *right = stat(path, &st) == 0 && st.st_size == PAGE;
    pthread_barrier_wait(&all); /* none ends before the last one has begun */
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];
    long right[THREADS], sum = 0;
    char root[] = "/dev/shm/nvmmio-threads.XXXXXX";
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, PAGE) || fsync(fd) || pwrite(fd, "x", 1, 0) != 1 ||
        mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
        return EXIT_FAILURE;
    alarm(SECONDS);
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, use, &right[i]))
            return EXIT_FAILURE;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        sum += right[i];
    }
    clean_tree(root);
    if (access(root, F_OK) == 0)
        return EXIT_FAILURE;
    printf("%ld of %d threads saw the file\n", sum, THREADS);
    return sum == THREADS ? EXIT_SUCCESS : EXIT_FAILURE;
}
