/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_nv_threads.c — promise: threads that read, write, append, cut, sync, open, close, duplicate and fork at once, on the
 * same files, find every write whole, lose no record, and have no data race that the thread sanitizer knows.
 *
 * No CMocka: its handlers of SIGSEGV and SIGBUS would stand in the way. --plant: a race and a torn write, to be found.
 */
#include "unit/unit.h"

#include "api/init.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The sanitizer's build is the one that this is for. */
#if defined(__SANITIZE_THREAD__)
#define STRESS_SECONDS 40
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STRESS_SECONDS 40
#endif
#endif
#ifndef STRESS_SECONDS
#define STRESS_SECONDS 8
#endif

enum { THREADS = 6, CELL = 4096, CELLS = 64, RECORD = 64, RECORDS_MOST = 200000, CHAOS_MOST = 300000 };

static char stress_root[UNIT_PATH_MAX];

struct stress {
    char path[3][UNIT_PATH_MAX + 16];
    int cells;   /* each cell is always written as a whole, of one value */
    int records; /* O_APPEND; each record of one value */
    int chaos;   /* whatever happens */
    _Atomic uint32_t appended;
    _Atomic bool stop;
    _Atomic unsigned failures;
    bool plant;
    unsigned planted; /* on purpose not atomic */
};
static struct stress stress;

/* The child of a fork starts the library's thread. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

static void expect(bool right, const char *what)
{
    if (!right && atomic_fetch_add(&stress.failures, 1) < 10)
        fprintf(stderr, "FAIL: %s: %s\n", what, strerror(errno));
}

static uint64_t random_below(uint64_t *state, uint64_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % below;
}

static bool is_uniform(const char *bytes, size_t length)
{
    return memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* ---- steps ---- */

static void write_cells(uint64_t *state, char *buffer)
{
    uint64_t count = random_below(state, 8) ? 1 : 1 + random_below(state, 8);
    uint64_t first = random_below(state, CELLS - count);
    memset(buffer, (int)random_below(state, 256), count * CELL);
    if (stress.plant) {
        buffer[CELL / 2]++;
        stress.planted++;
    }
    expect(nvpwrite(stress.cells, buffer, count * CELL, (off_t)(first * CELL)) == (ssize_t)(count * CELL),
           "cells are written");
}

static void read_cells(uint64_t *state, char *buffer)
{
    uint64_t count = 1 + random_below(state, 4);
    uint64_t first = random_below(state, CELLS - count);
    expect(nvpread(stress.cells, buffer, count * CELL, (off_t)(first * CELL)) == (ssize_t)(count * CELL),
           "cells are read");
    for (uint64_t i = 0; i < count; i++)
        expect(is_uniform(buffer + i * CELL, CELL), "a cell is whole");
}

static void append_record(uint64_t *state, char *buffer)
{
    if (atomic_load(&stress.appended) >= RECORDS_MOST)
        return;
    memset(buffer, (int)random_below(state, 256), RECORD);
    expect(nvwrite(stress.records, buffer, RECORD) == RECORD, "a record is appended");
    atomic_fetch_add(&stress.appended, 1);
}

static void sync_some(uint64_t *state)
{
    const int files[3] = {stress.cells, stress.records, stress.chaos};
    expect(nvfsync(files[random_below(state, 3)]) == 0, "fsync");
}

static void chaos(uint64_t *state, char *buffer)
{
    struct stat st;
    off_t at = (off_t)random_below(state, CHAOS_MOST - 20000);
    size_t length = 1 + random_below(state, 20000);
    switch (random_below(state, 6)) {
    case 0:
        expect(nvftruncate(stress.chaos, at) == 0, "ftruncate");
        break;
    case 1:
        expect(nvpread(stress.chaos, buffer, length, at) >= 0, "a read of what may be cut");
        break;
    case 2:
        expect(nvfstat(stress.chaos, &st) == 0 && st.st_size <= CHAOS_MOST, "fstat");
        break;
    case 3:
        expect(nvlseek(stress.chaos, at, SEEK_SET) >= 0 && nvwrite(stress.chaos, buffer, 100) == 100,
               "a write at the position");
        break;
    case 4:
        expect(nvfallocate(stress.chaos, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)length) == 0,
               "a hole is punched");
        break;
    default:
        expect(nvpwrite(stress.chaos, buffer, length, at) == (ssize_t)length, "a write");
        break;
    }
}

static void open_close(uint64_t *state, char *buffer)
{
    int fd = nvopen(stress.path[random_below(state, 3)], O_RDWR);
    int copy = nvdup(fd);
    expect(fd >= 0 && copy >= 0, "open and dup");
    expect(nvpread(copy, buffer, CELL, 0) >= 0, "a read by the duplicate");
    expect(random_below(state, 2) || nvdup2(fd, copy) == copy, "dup2");
    expect(nvclose(fd) == 0 && nvclose(copy) == 0, "close");
}

static void map_some(uint64_t *state, char *buffer)
{
    uint64_t cell = random_below(state, CELLS);
    char *map = nvmmap(NULL, CELLS * CELL, PROT_READ | PROT_WRITE, MAP_SHARED, stress.cells, 0);
    expect(map != MAP_FAILED, "nvmmap");
    if (map == MAP_FAILED)
        return;
    memset(buffer, (int)random_below(state, 256), CELL);
    expect(nvmemcpy(map + cell * CELL, buffer, CELL) && nvmunmap(map, CELLS * CELL) == 0, "nvmemcpy");
}

static void fork_some(uint64_t *state, char *buffer)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&stress.failures, 0);
        write_cells(state, buffer);
        read_cells(state, buffer);
        sync_some(state);
        _exit(atomic_load(&stress.failures) ? 1 : 0);
    }
    expect(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
           "a child uses the files");
}

static void *run(void *arg)
{
    uint64_t state = (uintptr_t)arg * UINT64_C(0x9e3779b97f4a7c15);
    char *buffer = malloc(16 * CELL);
    while (buffer && !atomic_load_explicit(&stress.stop, memory_order_relaxed)) {
        uint64_t what = random_below(&state, 1000);
        if (what < 350)
            write_cells(&state, buffer);
        else if (what < 650)
            read_cells(&state, buffer);
        else if (what < 750)
            append_record(&state, buffer);
        else if (what < 900)
            chaos(&state, buffer);
        else if (what < 950)
            sync_some(&state);
        else if (what < 996)
            open_close(&state, buffer);
        else if (what < 998)
            map_some(&state, buffer);
        else
            fork_some(&state, buffer);
    }
    free(buffer);
    return NULL;
}

/* ---- begin and end ---- */

static int make_file(unsigned number, size_t size, int flags)
{
    static char block[CELLS * CELL];
    snprintf(stress.path[number], sizeof stress.path[number], "%s/file%u", stress_root, number);
    int fd = nvopen(stress.path[number], O_RDWR | O_CREAT | flags, 0600);
    expect(fd >= 0 && nvwrite(fd, block, size) == (ssize_t)size && nvfsync(fd) == 0, "a file is made");
    return fd;
}

static void check_records(void)
{
    char record[RECORD];
    struct stat st;
    uint32_t count = atomic_load(&stress.appended);
    expect(nvfstat(stress.records, &st) == 0 && st.st_size == (off_t)count * RECORD, "no record is lost");
    for (uint32_t i = 0; i < count; i++)
        expect(nvpread(stress.records, record, RECORD, (off_t)i * RECORD) == RECORD && is_uniform(record, RECORD),
               "a record is whole");
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    char command[UNIT_PATH_MAX + 16];
    stress.plant = argc > 1 && strcmp(argv[1], "--plant") == 0;
    unit_directory(stress_root);
    setenv("NVMMIO_ROOT", stress_root, 1);
    setenv("NVMMIO_CONF", "idle:20ms", 1);
    stress.cells = make_file(0, CELLS * CELL, 0);
    stress.records = make_file(1, 0, O_APPEND);
    stress.chaos = make_file(2, CELL, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, run, (void *)(i + 1)) != 0)
            return EXIT_FAILURE;
    sleep(stress.plant ? 2 : STRESS_SECONDS);
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    check_records();
    expect(nvclose(stress.cells) == 0 && nvclose(stress.records) == 0 && nvclose(stress.chaos) == 0, "close");
    api_exit(); /* linked from an archive, the fork table is there only if it is asked for */
    snprintf(command, sizeof command, "rm -rf %s", stress_root);
    expect(system(command) == 0, "clean");
    unsigned failures = atomic_load(&stress.failures);
    printf("%u records, %u failures\n", atomic_load(&stress.appended), failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
