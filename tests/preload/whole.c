/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * whole.c — promise: a read never sees half a write of up to 2 MiB, however little the log may take (log_max), and however many
 * threads write at once. On tmpfs the kernel makes no such promise: there the same fails.
 *
 *     whole [MILLISECONDS]
 */
#include "clean.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 2 << 20, MOST = 6, MILLISECONDS = 500, SYNC_EACH = 3 };

static char root[] = "/dev/shm/nvmmio-whole.XXXXXX", path[64];
static _Atomic bool stop;
static _Atomic unsigned reads, halves, failures;
static int fd;
static size_t writers;

/* Fills its place with one number after the other. */
static void *writer(void *arg)
{
    off_t place = (off_t)(uintptr_t)arg * SIZE;
    char *bytes = malloc(SIZE);
    for (unsigned i = 0; bytes && !atomic_load(&stop); i++) {
        memset(bytes, (int)i, SIZE);
        if (pwrite(fd, bytes, SIZE, place) != SIZE || (i % SYNC_EACH == 0 && fsync(fd)))
            atomic_fetch_add(&failures, 1);
    }
    free(bytes);
    return NULL;
}

static void *reader(void *arg)
{
    char *bytes = malloc(SIZE);
    for (size_t i = 0; bytes && !atomic_load(&stop); i++) {
        if (pread(fd, bytes, SIZE, (off_t)(i % writers) * SIZE) != SIZE)
            atomic_fetch_add(&failures, 1);
        atomic_fetch_add(&reads, 1);
        if (memcmp(bytes, bytes + 1, SIZE - 1) != 0)
            atomic_fetch_add(&halves, 1);
    }
    free(bytes);
    return arg;
}

static bool start(void)
{
    char *zeros = calloc(1, SIZE);
    bool well = zeros != NULL;
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; well && i < writers; i++)
        well = write(fd, zeros, SIZE) == SIZE;
    free(zeros);
    return well && fsync(fd) == 0;
}

static bool is_whole(size_t count, long ms)
{
    pthread_t threads[MOST + 1];
    writers = count;
    if (!start() || pthread_create(&threads[count], NULL, reader, NULL))
        return false;
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, writer, (void *)(uintptr_t)i))
            return false;
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i <= count; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, false);
    printf("%zu writers: %u reads, %u of halves, %u failures\n", count, atomic_load(&reads), atomic_load(&halves),
           atomic_load(&failures));
    return close(fd) == 0 && !atomic_exchange(&halves, 0) && !atomic_exchange(&failures, 0) &&
           atomic_exchange(&reads, 0);
}

int main(int argc, char **argv)
{
    bool well = true;
    long ms = argc > 1 ? atol(argv[1]) : MILLISECONDS;
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || setenv("NVMMIO_CONF", "pm:force,log_max:1M", 0))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    for (size_t count = 1; count <= MOST; count += count < 2 ? 1 : 2)
        well = is_whole(count, ms) && well;
    clean_tree(root);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}
