/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_nv_maps.c — promises about mapped files that the counters and the kernel's own view of the file tell: the mode is
 * IN_PLACE while any process has the file mapped and goes back with the last mapping, that of a killed process too, at once
 * but not over and over; the kernel's size is the file's; a forked child's mappings count; thousands of mappings are found
 * without a lock; a write leaves the neighbours in its line alone; the memory functions see what reads see.
 *
 * No CMocka: its handlers of SIGSEGV and SIGBUS would stand in the way.
 */
#include "unit/unit.h"

#include "api/init.h"
#include "base/rawsys.h"
#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64, SIZE = PAGES * PAGE, MANY = 5000, MANY_FILES = 10, WAIT_MS = 6000 };

static char root[UNIT_PATH_MAX], path[UNIT_PATH_MAX + 16];
static unsigned failures;

/* The child of a fork starts the library's thread. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

static void expect(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "FAIL: %s: %s\n", what, strerror(errno));
    failures++;
}

static uint64_t counter(const char *name)
{
    uint64_t value = 0;
    expect(nvstats_get(name, &value) == 0, name);
    return value;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A new file of SIZE bytes, served in user space: what is written stays in the log. */
static int subject(void)
{
    unlink(path);
    int fd = nvopen(path, O_RDWR | O_CREAT, 0600);
    char *bytes = malloc(SIZE);
    memset(bytes, 'k', SIZE);
    expect(fd >= 0 && nvpwrite(fd, bytes, SIZE, 0) == SIZE && nvfsync(fd) == 0, "a file");
    memset(bytes, 'l', SIZE);
    expect(nvpwrite(fd, bytes, SIZE, 0) == SIZE, "a write in user space");
    free(bytes);
    return fd;
}

/* What a program without the library sees. */
static char plain_byte(off_t offset)
{
    char byte = 0;
    int fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
    expect(sys_pread(fd, &byte, 1, offset) == 1, "a plain read");
    sys_close(fd);
    return byte;
}

static off_t plain_size(void)
{
    struct stat st = {0};
    expect(sys_fstatat(AT_FDCWD, path, &st, 0) == 0, "a plain stat");
    return st.st_size;
}

static char *map_all(int fd, int prot, int flags)
{
    char *map = nvmmap(NULL, SIZE, prot, flags, fd, 0);
    expect(map != MAP_FAILED, "nvmmap");
    return map;
}

/* Whether writes go to the file at once: where they are logged, every second one of different epochs goes to the log. Each call
 * writes, so that the sync thread has something to do. */
static bool is_in_place(int fd)
{
    static char next = 'a';
    bool seen = true;
    for (int i = 0; i < 2; i++) {
        next = next == 'z' ? 'a' : (char)(next + 1);
        expect(nvpwrite(fd, &next, 1, SIZE - 1) == 1, "a write");
        seen = plain_byte(SIZE - 1) == next && seen;
        expect(nvfsync(fd) == 0, "fsync");
    }
    return seen;
}

static bool goes_back(int fd)
{
    for (int ms = 0; ms < WAIT_MS; ms += 50) {
        if (!is_in_place(fd))
            return true;
        usleep(50000);
    }
    return false;
}

/* ---- the mode ---- */

static void test_mode(void)
{
    int fd = subject();
    uint64_t there = counter("uma.in_place"), back = counter("uma.logged");
    expect(plain_byte(5) == 'k' && !is_in_place(fd), "a file that is not mapped is logged");
    char *map = map_all(fd, PROT_READ, MAP_SHARED), *second = map_all(fd, PROT_READ, MAP_PRIVATE);
    expect(plain_byte(5) == 'l' && map[5] == 'l' && second[5] == 'l', "the newest bytes are in the file");
    expect(is_in_place(fd), "a mapped file is written in place");
    expect(nvmunmap(map, SIZE) == 0 && is_in_place(fd), "a private mapping counts as well");
    expect(nvmunmap(second, SIZE / 2) == 0 && is_in_place(fd), "half a mapping counts");
    expect(nvmunmap(second + SIZE / 2, SIZE / 2) == 0 && !is_in_place(fd), "the mode goes back with the last mapping");
    expect(counter("uma.in_place") == there + 1 && counter("uma.logged") == back + 1, "the counters say so");
    expect(nvclose(fd) == 0, "close");
}

/* A file that is mapped and unmapped over and over does not change its mode each time; in the end it does. */
static void test_flapping(void)
{
    int fd = subject();
    uint64_t there = counter("uma.in_place");
    for (int i = 0; i < 50; i++)
        expect(nvmunmap(map_all(fd, PROT_READ, MAP_SHARED), SIZE) == 0, "unmap");
    expect(counter("uma.in_place") <= there + 6, "the mode does not flap");
    expect(goes_back(fd), "and goes back when it is over");
    expect(nvclose(fd) == 0, "close");
}

static void test_size(void)
{
    int fd = subject();
    char *map = nvmmap(NULL, (size_t)2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    expect(map != MAP_FAILED && plain_size() == SIZE, "the size at the beginning");
    expect(nvpwrite(fd, "x", 1, SIZE + 9000) == 1 && plain_size() == SIZE + 9001, "it grows at once by a write");
    expect(nvftruncate(fd, SIZE + 20000) == 0 && plain_size() == SIZE + 20000, "and by ftruncate");
    expect(nvftruncate(fd, 5000) == 0 && plain_size() == 5000, "it is cut at once");
    map[5001] = 'g'; /* behind the end, in its page */
    expect(nvftruncate(fd, 6000) == 0 && map[5001] == 0, "what is stored behind the end is gone when the file grows");
    map[6001] = 'g';
    expect(nvmunmap(map, (size_t)2 * SIZE) == 0, "unmap");
    char byte = 1;
    expect(nvftruncate(fd, 7000) == 0 && nvpread(fd, &byte, 1, 6001) == 1 && byte == 0, "also without the mapping");
    expect(nvclose(fd) == 0 && plain_size() == 7000, "close");
}

/* ---- other processes ---- */

/* Waits for the parent's word, answers when it is done. */
struct channel {
    int there[2], back[2];
};

static void channel_open(struct channel *channel)
{
    expect(pipe(channel->there) == 0 && pipe(channel->back) == 0, "pipes");
}

static bool ask(struct channel *channel)
{
    char word = 'w';
    return write(channel->there[1], &word, 1) == 1 && read(channel->back[0], &word, 1) == 1 && word == 'w';
}

static void answer(struct channel *channel)
{
    char word;
    if (read(channel->there[0], &word, 1) != 1 || write(channel->back[1], &word, 1) != 1)
        _exit(1);
}

/* A child has inherited the mapping; the parent unmaps at once. It is killed in the end. */
static void test_fork(void)
{
    struct channel channel;
    int fd = subject();
    char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    channel_open(&channel);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0;; i++) {
            answer(&channel);
            map[i] = 'c';
        }
    }
    expect(nvmunmap(map, SIZE) == 0, "the parent unmaps");
    for (int i = 0; i < 40; i++) { /* longer than the sync thread waits */
        expect(is_in_place(fd), "the child's mapping keeps the mode");
        usleep(100000);
    }
    char bytes[3] = "";
    expect(ask(&channel) && ask(&channel) && ask(&channel) && nvpread(fd, bytes, 2, 0) == 2 && !memcmp(bytes, "cc", 2),
           "its stores are seen");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    expect(goes_back(fd), "the mode goes back when the child is dead");
    expect(nvpread(fd, bytes, 2, 0) == 2 && !memcmp(bytes, "cc", 2), "what it stored stays");
    expect(nvclose(fd) == 0, "close");
}

/* The descriptor is closed before the fork: the mapping alone holds the file, in both. */
static void test_fork_without_descriptor(void)
{
    struct channel channel;
    int fd = subject();
    char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    expect(nvclose(fd) == 0, "close");
    channel_open(&channel);
    pid_t child = fork();
    if (child == 0) {
        answer(&channel);
        bool right = map[7] == 'p' && nvmsync(map, SIZE, MS_SYNC) == 0;
        map[8] = right ? 'r' : 'w';
        answer(&channel);
        exit(0);
    }
    fd = nvopen(path, O_RDWR);
    expect(nvmunmap(map, SIZE) == 0 && nvpwrite(fd, "p", 1, 7) == 1, "a write by another descriptor");
    char byte = 0;
    expect(ask(&channel) && ask(&channel) && nvpread(fd, &byte, 1, 8) == 1 && byte == 'r', "the child saw it");
    waitpid(child, NULL, 0);
    expect(goes_back(fd) && nvclose(fd) == 0, "the mode goes back when the child has ended");
}

/* ---- many ---- */

static struct many {
    char *map[MANY];
    _Atomic bool stop;
    _Atomic uint64_t looked;
} many;

static void *look(void *arg)
{
    (void)arg;
    char bytes[8];
    for (unsigned i = 1; !atomic_load(&many.stop); i++) {
        unsigned n = i * 7919u % MANY & ~1u; /* the odd ones come and go */
        if (!nvmemcpy(bytes, many.map[n] + 16, 8) || memcmp(bytes, many.map[n] + 16, 8))
            atomic_store(&many.stop, true);
        atomic_fetch_add(&many.looked, 1);
    }
    return NULL;
}

static void test_many(void)
{
    int fd[MANY_FILES];
    char name[UNIT_PATH_MAX + 32];
    for (int f = 0; f < MANY_FILES; f++) {
        snprintf(name, sizeof name, "%s/many%d", root, f);
        fd[f] = nvopen(name, O_RDWR | O_CREAT, 0600);
        expect(nvftruncate(fd[f], SIZE) == 0, "ftruncate");
    }
    double begin = now_s();
    for (int i = 0; i < MANY; i++) {
        many.map[i] = nvmmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd[i % MANY_FILES], i % PAGES * PAGE);
        expect(many.map[i] != MAP_FAILED, "nvmmap");
        expect(nvmemcpy(many.map[i], &i, sizeof i) != NULL, "nvmemcpy");
    }
    double mapped = now_s();
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < MANY; i += 50)
            expect(nvmemset(many.map[i] + 8, round, 4) != NULL, "nvmemset");
    double copied = now_s();
    printf("%d mappings: %.1f us to map and copy, %.0f ns for a nvmemset of 4 bytes\n", MANY,
           1e6 * (mapped - begin) / MANY, 1e9 * (copied - mapped) / (200.0 * MANY / 50));
    pthread_t thread;
    pthread_create(&thread, NULL, look, NULL);
    while (!atomic_load(&many.looked))
        usleep(100);
    copied = now_s();
    for (int i = 1; i < MANY; i += 2)
        expect(nvmunmap(many.map[i], PAGE) == 0, "nvmunmap");
    double unmapped = now_s();
    atomic_store(&many.stop, true);
    pthread_join(thread, NULL);
    expect(atomic_load(&many.looked) > 0, "lookups go on meanwhile");
    printf("%.1f us to unmap one, while %llu were looked up\n", 1e6 * (unmapped - copied) / (MANY / 2),
           (unsigned long long)atomic_load(&many.looked));
    for (int i = 0; i < MANY; i += 2)
        expect(nvmunmap(many.map[i], PAGE) == 0, "nvmunmap");
    for (int f = 0; f < MANY_FILES; f++)
        expect(nvclose(fd[f]) == 0, "close");
}

/* ---- neighbours ---- */

static struct neighbours {
    int fd;
    _Atomic bool stop;
} neighbours;

static void *write_beside(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; !atomic_load(&neighbours.stop); i++) {
        expect(nvpwrite(neighbours.fd, &i, sizeof i, 8) == sizeof i, "a write");
        if (i % 64 == 0)
            expect(nvfsync(neighbours.fd) == 0, "fsync");
    }
    return NULL;
}

/* A store through a mapping is not lost to a write of other bytes of its line. */
static void test_neighbours(void)
{
    pthread_t thread;
    neighbours.fd = subject();
    char *map = map_all(neighbours.fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    volatile uint64_t *first = (volatile uint64_t *)map, *third = (volatile uint64_t *)map + 2;
    pthread_create(&thread, NULL, write_beside, NULL);
    bool kept = true;
    for (uint64_t i = 1; i < 2000000 && kept; i++) {
        *first = i;
        *third = ~i;
        kept = *first == i && *third == ~i;
        for (int wait = 0; wait < 20 && kept; wait++)
            kept = *first == i;
    }
    expect(kept, "a write leaves its neighbours alone");
    atomic_store(&neighbours.stop, true);
    pthread_join(thread, NULL);
    expect(nvmunmap(map, SIZE) == 0 && nvclose(neighbours.fd) == 0, "close");
}

/* ---- memory functions ---- */

/* What comes from elsewhere is stored to a failure-atomic mapping by the nv calls; each page is protected again by a sync. */
static void test_read_into(void)
{
    int fd = subject(), ends[2], plain = sys_openat(AT_FDCWD, "/dev/zero", O_RDONLY, 0);
    char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    expect(nvmsync(map, SIZE, MS_SYNC) == 0 && nvpread(plain, map + 100, 3 * PAGE, 7) == 3 * PAGE, "nvpread");
    expect(map[99] == 'l' && map[100] == 0 && map[99 + 3 * PAGE] == 0 && map[100 + 3 * PAGE] == 'l', "its bytes");
    expect(nvpread(plain, map, 10, -1) < 0 && errno == EINVAL, "an impossible offset");
    expect(pipe(ends) == 0 && sys_write(ends[1], "piped", 5) == 5, "a pipe");
    expect(nvmsync(map, SIZE, MS_SYNC) == 0 && nvread(ends[0], map + 4094, 10) == 5 && !memcmp(map + 4094, "piped", 5),
           "nvread");
    expect(nvread(plain, (void *)1, 10) < 0 && errno == EFAULT, "a bad address");
    sys_close(ends[0]);
    sys_close(ends[1]);
    sys_close(plain);
    expect(nvmunmap(map, SIZE) == 0 && nvclose(fd) == 0, "close");
}

static void test_memory(void)
{
    int fd = subject();
    char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *again = map_all(fd, PROT_READ, MAP_SHARED);
    char *model = malloc(SIZE), *room = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        model[i] = (char)(i * 31 + i / 253 + 1);
    expect(nvmemcpy(map, model, SIZE) == map && nvmemcmp(map, model, SIZE) == 0, "memcpy and memcmp");
    static const struct {
        size_t to, from, n;
    } moves[] = {{0, 10, 100},        {10, 0, 100},     {100, 5000, 30000}, {5000, 100, 30000}, {4096, 4095, 70000},
                 {4095, 4096, 70000}, {1, 0, SIZE - 1}, {0, 1, SIZE - 1},   {300, 300, 50},     {7, 90000, 64}};
    for (unsigned i = 0; i < sizeof moves / sizeof *moves; i++) {
        memmove(model + moves[i].to, model + moves[i].from, moves[i].n);
        expect(nvmemmove(map + moves[i].to, map + moves[i].from, moves[i].n) == map + moves[i].to, "memmove");
        expect(nvmemcmp(again, model, SIZE) == 0 && nvpread(fd, room, SIZE, 0) == SIZE && !memcmp(room, model, SIZE),
               "as memmove has it");
    }
    memcpy(room, model, SIZE);
    memmove(room + 77, room + 5, 9000);
    expect(nvmemmove(model + 77, model + 5, 9000) == model + 77 && !memcmp(room, model, SIZE), "in plain memory, too");
    expect(nvmemcpy(map, model, SIZE) == map, "memcpy");
    model[70000]++;
    expect(nvmemcmp(map, model, SIZE) < 0 && nvmemcmp(model, map, SIZE) > 0 && nvmemcmp(map, model, 70000) == 0,
           "memcmp tells which is greater");
    memset(model, 's', SIZE);
    model[12345] = 0;
    expect(nvmemcpy(map, model, 20000) == map && nvstrlen(map + 3) == 12342 && nvstrlen(model + 3) == 12342, "strlen");
    expect(nvstrcmp(map, model) == 0 && nvstrcmp(map + 1, model) < 0 && nvstrcmp(model, map + 1) > 0, "strcmp");
    expect(nvstrcmp(again + 12345, "") == 0 && nvstrlen("") == 0 && nvstrcmp("a", "b") < 0, "short ones");
    expect(nvmemmove(again, map, 10) == NULL && errno == EACCES, "a mapping for reading alone");
    expect(nvmunmap(map, SIZE) == 0 && nvmunmap(again, SIZE) == 0 && nvclose(fd) == 0, "close");
    free(model);
    free(room);
}

int main(void)
{
    char command[UNIT_PATH_MAX + 16];
    unit_directory(root);
    snprintf(path, sizeof path, "%s/f", root);
    setenv("NVMMIO_ROOT", root, 1);
    setenv("NVMMIO_CONF", "pm:force,idle:20s", 1);
    test_mode();
    test_flapping();
    test_size();
    test_read_into();
    test_memory();
    test_many();
    test_neighbours();
    test_fork();
    test_fork_without_descriptor();
    api_exit(); /* linked from an archive, the fork table is there only if it is asked for */
    snprintf(command, sizeof command, "rm -rf %s", root);
    expect(system(command) == 0, "clean");
    printf("%u failures\n", failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
