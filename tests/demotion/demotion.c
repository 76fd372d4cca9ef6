/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * demotion.c — promise: what the library cannot serve it hands to the kernel, whole. After each way of demotion, from each
 * state of the file, the kernel alone knows the right bytes, size, time and offset, what is written then is the kernel's
 * at once, the counter of the reason says so; and after the last close the file is an ordinary one: the same bytes, no log
 * left, the time stays, and the next open is managed again. A mapping is no such way but for O_ATOMIC files: the kernel
 * knows the right bytes as well, and what is written then is served as before.
 *
 *     demotion DIRECTORY kernel|managed [WAY]
 *
 * `managed`: under the preload library, DIRECTORY is NVMMIO_ROOT. `kernel`: the test itself, without library.
 */
#include "demotion.h"

#include "base/rawsys.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef O_ATOMIC
#define O_ATOMIC 01000000000
#endif

enum { SIZE = 100003, OFFSET = 20000, OTHER = 4096 };

/* How the file comes to the demotion. */
enum state {
    STATE_SERVED,    /* written in user space, synced, written again */
    STATE_UNTOUCHED, /* opened only */
    STATE_FRESH,     /* new: the kernel's still */
    STATE_ATOMIC,    /* served, opened with O_ATOMIC */
    STATE_SHARED,    /* served by another process as well, which goes on */
    STATES
};
static const char *const state_names[STATES] = {"served", "untouched", "fresh", "atomic", "shared"};

static struct demotion {
    const char *directory;
    bool managed;
    unsigned failures, runs;
    char where[128];
    struct timespec written;                                   /* before the last write */
    int (*stats)(const char *name, unsigned long long *value); /* nvstats_get */
    int to_peer, from_peer;
    pid_t peer;
} test;

static struct subject *subject; /* shared with the peer */

static void check(bool right, const char *promise)
{
    if (right)
        return;
    printf("FAIL: %s: %s (errno is %s)\n", test.where, promise, strerror(errno));
    test.failures++;
}

void subject_expect(struct subject *s, size_t at, const void *data, size_t length)
{
    if (at > s->size)
        memset(s->bytes + s->size, 0, at - s->size);
    memcpy(s->bytes + at, data, length);
    if (at + length > s->size)
        s->size = at + length;
}

static unsigned long long counter(const char *name)
{
    unsigned long long value = 0;
    if (!test.managed)
        return 0;
    if (!test.stats) {
        void *core = dlopen("libnvmmio.so.0", RTLD_LAZY | RTLD_NOLOAD);
        test.stats = core ? (int (*)(const char *, unsigned long long *))dlsym(core, "nvstats_get") : NULL;
        if (!test.stats) {
            printf("FAIL: the library is not there\n");
            exit(1);
        }
    }
    test.stats(name, &value);
    return value;
}

static void fill(uint8_t *data, size_t length, unsigned key)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 7 + key + i / 251);
}

static void put(int fd, size_t at, size_t length, unsigned key)
{
    static uint8_t data[SIZE];
    fill(data, length, key);
    clock_gettime(CLOCK_REALTIME_COARSE, &test.written);
    check(pwrite(fd, data, length, (off_t)at) == (ssize_t)length, "a write");
    subject_expect(subject, at, data, length);
}

/* ---- what a program without the library sees ---- */

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static struct stat check_plain(const char *when)
{
    static uint8_t data[DEMOTION_ROOM];
    char promise[100];
    struct stat st = {0}, told = {0}, after = {0};
    int fd = sys_openat(AT_FDCWD, subject->path, O_RDONLY, 0);
    ssize_t n = sys_pread(fd, data, sizeof data, 0);
    sys_fstat(fd, &st);
    int error = stat(subject->path, &told);
    sys_fstat(fd, &after); /* a mapped file's time may move at any moment */
    sys_close(fd);
    size_t differs = 0;
    while (differs < (size_t)(n > 0 ? n : 0) && differs < subject->size && data[differs] == subject->bytes[differs])
        differs++;
    snprintf(promise, sizeof promise, "%s: %zd bytes, not %zu, or wrong from byte %zu on", when, n, subject->size,
             differs);
    check(n == (ssize_t)subject->size && differs == subject->size, promise);
    check((size_t)st.st_size == subject->size, "the kernel's size");
    check(!later(&test.written, &st.st_mtim), "the kernel's time is not before the last write");
    check(!error && told.st_size == st.st_size && told.st_blocks == st.st_blocks &&
              !later(&st.st_mtim, &told.st_mtim) && !later(&told.st_mtim, &after.st_mtim),
          "stat tells what the kernel tells");
    return st;
}

/* ---- a second process ---- */

static void peer_main(int in, int out)
{
    char word;
    int fd = open(subject->path, O_RDWR);
    while (read(in, &word, 1) == 1) {
        if (word == 'w')
            put(fd, 300, 20, 9);
        if (word == 'r') {
            static uint8_t data[DEMOTION_ROOM];
            ssize_t n = pread(fd, data, sizeof data, 0);
            if (n != (ssize_t)subject->size || memcmp(data, subject->bytes, subject->size))
                word = 'x';
        }
        if (write(out, &word, 1) != 1)
            break;
    }
    close(fd);
    _exit(0);
}

static bool peer_ask(char word)
{
    char answer = 0;
    if (write(test.to_peer, &word, 1) != 1)
        return false;
    return read(test.from_peer, &answer, 1) == 1 && answer == word;
}

static void peer_start(void)
{
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
        exit(1);
    test.peer = fork();
    if (test.peer == 0) {
        close(subject->fd);
        close(there[1]);
        close(back[0]);
        peer_main(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    test.to_peer = there[1];
    test.from_peer = back[0];
    check(peer_ask('w'), "another process writes");
}

static void peer_end(void)
{
    int status;
    close(test.to_peer);
    close(test.from_peer);
    waitpid(test.peer, &status, 0);
    test.peer = 0;
}

/* ---- one run ---- */

static void subject_make(enum state state)
{
    subject->size = 0;
    subject->offset = OFFSET;
    if (state != STATE_FRESH) { /* an ordinary file, made by the kernel */
        static uint8_t data[SIZE];
        int fd = sys_openat(AT_FDCWD, subject->path, O_WRONLY | O_CREAT, 0600);
        fill(data, SIZE, 1);
        clock_gettime(CLOCK_REALTIME_COARSE, &test.written);
        check(sys_pwrite(fd, data, SIZE, 0) == SIZE, "the file is made");
        sys_close(fd);
        subject_expect(subject, 0, data, SIZE);
    }
    subject->fd = open(subject->path, O_RDWR | O_CREAT | (state == STATE_ATOMIC && test.managed ? O_ATOMIC : 0), 0600);
    check(subject->fd >= 0, "open");
    if (state == STATE_FRESH)
        put(subject->fd, 0, SIZE, 1);
    else if (state != STATE_UNTOUCHED) {
        put(subject->fd, 5000, 9000, 2);
        check(!fsync(subject->fd), "fsync");
        put(subject->fd, 7000, 100, 3);
        put(subject->fd, 1000, 70, 4);
        put(subject->fd, SIZE - 3, 9, 5); /* grows */
        struct stat st;
        check(!test.managed || (sys_fstat(subject->fd, &st) == 0 && st.st_size == SIZE),
              "the file is served in user space");
    }
    if (state == STATE_SHARED)
        peer_start();
    check(lseek(subject->fd, OFFSET, SEEK_SET) == OFFSET, "lseek");
}

/* After the demotion: what is written goes to the kernel. */
static void check_handed_over(void)
{
    unsigned long long kernel = counter("kernel.writes"), user = counter("uma.writes");
    char data[64];
    put(subject->fd, 40, sizeof data, 6);
    check(!test.managed || (counter("kernel.writes") == kernel + 1 && counter("uma.writes") == user),
          "a later write is the kernel's");
    check_plain("a later write");
    check(sys_lseek(subject->fd, 0, SEEK_CUR) == (off_t)subject->offset &&
              lseek(subject->fd, 0, SEEK_CUR) == (off_t)subject->offset,
          "the offset is the kernel's");
    if (test.peer)
        check(peer_ask('r'), "another process reads the same");
}

/* After a call that was the kernel's alone: the file is served as if it had not been. */
static void check_as_before(bool fresh)
{
    unsigned long long kernel = counter("kernel.writes"), user = counter("uma.writes");
    put(subject->fd, 40, 64, 6);
    check(!test.managed || (counter("kernel.writes") == kernel + fresh && counter("uma.writes") == user + !fresh),
          "a later write is served as before");
    check(lseek(subject->fd, 0, SEEK_CUR) == (off_t)subject->offset, "the offset stays");
}

/* Whether a log in the root has a magic: it belongs to a file. */
static bool log_in_use(void)
{
    char path[300];
    bool any = false;
    snprintf(path, sizeof path, "%s/.nvmmio/%u", test.directory, geteuid());
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        uint64_t magic = 0;
        if (!strstr(e->d_name, ".log"))
            continue;
        int fd = openat(dirfd(dir), e->d_name, O_RDONLY);
        any = any || (read(fd, &magic, sizeof magic) == sizeof magic && magic);
        close(fd);
    }
    if (dir)
        closedir(dir);
    return any;
}

static void check_next_open(bool ring)
{
    unsigned long long attaches = counter("uma.attaches"), user = counter("uma.writes");
    subject->fd = open(subject->path, O_RDWR);
    check(ring || counter("uma.attaches") == attaches, "no log is left registered");
    put(subject->fd, 10, 100, 8);
    check(!test.managed || counter("uma.writes") == user + !ring,
          "the next open is managed again, unless there is a ring");
    check(!close(subject->fd), "close");
    check_plain("after the next close");
}

static void check_after_close(const struct stat *before)
{
    struct stat st = check_plain("after the last close");
    check(!memcmp(&st.st_mtim, &before->st_mtim, sizeof st.st_mtim), "the time stays at the last close");
    check(!log_in_use(), "no log is left in use");
}

static void run(const struct way *way, enum state state)
{
    unlink(subject->path);
    subject_make(state);
    bool in_place = way->flags & WAY_MAPS;
    unsigned long long before = counter(way->counter), demoted = counter("demote.mmap");
    errno = 0;
    check(way->go(subject), "does what the kernel does");
    bool unserved = state == STATE_FRESH || state == STATE_UNTOUCHED;
    bool passing = way->flags & WAY_PASSING && unserved;
    bool counted = test.managed && !(way->flags & WAY_IN_CHILD) && !(way->flags & WAY_UNSERVED && unserved) && !passing;
    check(counter(way->counter) == before + counted, "the counter of the reason");
    check(!in_place || counter("demote.mmap") == demoted, "a mapping demotes nothing");
    struct stat st = check_plain("after the demotion");
    if (!(way->flags & WAY_CLOSES)) {
        if (passing || in_place) /* a fresh file that was mapped is attached */
            check_as_before(passing && state == STATE_FRESH);
        else
            check_handed_over();
        check(!close(subject->fd), "close");
    }
    if (test.peer)
        peer_end();
    sys_fstatat(AT_FDCWD, subject->path, &st, 0);
    check_after_close(&st);
    check_next_open(way->flags & WAY_RING);
}

/* Whether this kernel, or who rules it, has rings at all. */
static bool rings_are_there(void)
{
    struct io_uring_params params = {0};
    long fd = rawsys(SYS_io_uring_setup, 1, (long)&params, 0, 0, 0, 0);
    sys_close((int)fd);
    return fd >= 0;
}

static void run_apart(const struct way *way, enum state state)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        test.failures = 0;
        run(way, state);
        _exit(test.failures ? 1 : 0);
    }
    waitpid(child, &status, 0);
    check(status == 0, "a run in a child");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    test.directory = argv[1];
    test.managed = !strcmp(argv[2], "managed");
    unsetenv("LD_PRELOAD"); /* programs that are started are plain ones */
    setvbuf(stdout, NULL, _IONBF, 0);
    subject = mmap(NULL, sizeof *subject, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (subject == MAP_FAILED)
        return 2;
    snprintf(subject->path, sizeof subject->path, "%s/subject", test.directory);
    snprintf(subject->outside, sizeof subject->outside, "%s/../outside", test.directory);
    subject->other = open(subject->outside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (subject->other < 0 || ftruncate(subject->other, OTHER))
        return 2;
    uint8_t data[OTHER];
    fill(data, OTHER, 11);
    if (pwrite(subject->other, data, OTHER, 0) != OTHER)
        return 2;
    int loads = open(subject->path, O_RDWR | O_CREAT, 0600); /* the library, so that it can be asked */
    close(loads);
    for (const struct way *way = demotion_ways; way->name; way++)
        for (enum state state = 0; state < STATES; state++) {
            if (argc > 3 && strcmp(argv[3], way->name))
                continue;
            snprintf(test.where, sizeof test.where, "%s, %s", way->name, state_names[state]);
            test.runs++;
            if (!(way->flags & WAY_RING))
                run(way, state);
            else if (rings_are_there())
                run_apart(way, state);
        }
    printf("%u runs, %u failures\n", test.runs, test.failures);
    return test.failures || !test.runs;
}
