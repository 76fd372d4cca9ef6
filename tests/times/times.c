/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * times.c — promise: the times, the size and the blocks of a managed file are as programs expect them of the kernel: one
 * time for one write, a time that was set stays, a write moves it, reads move the time of access as the mount says, every
 * way of asking tells the same, in every process.
 *
 *     times DIRECTORY [CASE]
 *
 * Run under the preload library (DIRECTORY is NVMMIO_ROOT) and without: what it checks is what the kernel does. Looks
 * by bare system calls are those of a program without the library.
 */
#include "base/rawsys.h"

#include <dirent.h>
#include <errno.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

enum { SIZE = 50000, BLOCK = 4096, TICK_MS = 20, IDLE_MS = 400, DELIVERED_MS = 1300 };

static struct {
    char path[200];
    const char *directory, *name;
    int fd;
    unsigned failures;
} test;

static const struct timespec set_time = {.tv_sec = 1000000000, .tv_nsec = 123456789};
static char data[SIZE * 4];

static void check(bool right, const char *promise)
{
    if (right)
        return;
    printf("FAIL: %s: %s (errno is %s)\n", test.name, promise, strerror(errno));
    test.failures++;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static bool same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static struct timespec now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t;
}

/* As a program without the library sees the file. */
static struct stat plain(void)
{
    struct stat st = {0};
    check(sys_fstatat(AT_FDCWD, test.path, &st, 0) == 0, "a plain look");
    return st;
}

static struct stat look(void)
{
    struct stat st = {0};
    check(stat(test.path, &st) == 0, "stat");
    return st;
}

static void put(off_t at, size_t length)
{
    check(pwrite(test.fd, data, length, at) == (ssize_t)length, "write");
}

static void finish(void)
{
    check(close(test.fd) == 0, "close");
}

/* An existing file of an older time, opened and overwritten once with a sync, so that it is served in user space. */
static void begin(void)
{
    const struct timespec old[2] = {{.tv_sec = 900000000}, {.tv_sec = 900000000}};
    unlink(test.path);
    int fd = sys_openat(AT_FDCWD, test.path, O_WRONLY | O_CREAT, 0600);
    check(sys_pwrite(fd, data, SIZE, 0) == SIZE && sys_utimensat(fd, NULL, old, 0) == 0 && sys_close(fd) == 0, "made");
    test.fd = open(test.path, O_RDWR | O_CLOEXEC);
    put(0, 100);
    check(fsync(test.fd) == 0, "fsync");
}

static void set(void)
{
    const struct timespec times[2] = {set_time, set_time};
    check(futimens(test.fd, times) == 0, "futimens");
}

/* ---- one time for one write ---- */

static void one_time(void)
{
    for (int ms = 0; ms <= DELIVERED_MS; ms += DELIVERED_MS) {
        struct stat first, st;
        begin();
        struct timespec before = now();
        put(5000, 3000);
        pause_ms(ms);
        check(fstat(test.fd, &first) == 0 && !later(before, first.st_mtim), "the time is not before the write");
        pause_ms(TICK_MS);
        finish();
        st = plain();
        check(same(st.st_mtim, first.st_mtim), "close does not move the time that was told");
        pause_ms(DELIVERED_MS);
        st = plain();
        check(same(st.st_mtim, first.st_mtim), "nothing moves it afterwards");
    }
}

/* A file that is new is the kernel's: not even its time of change moves at the close. */
static void one_time_new(void)
{
    struct stat first, st;
    unlink(test.path);
    test.fd = open(test.path, O_RDWR | O_CREAT, 0600);
    put(0, SIZE);
    check(fstat(test.fd, &first) == 0, "fstat");
    pause_ms(TICK_MS);
    finish();
    st = plain();
    check(same(st.st_mtim, first.st_mtim) && same(st.st_ctim, first.st_ctim), "times of a new file");
}

static void write_moves(void)
{
    begin();
    set();
    pause_ms(TICK_MS);
    struct timespec before = now();
    put(7000, 10);
    check(!later(before, look().st_mtim), "a write moves a time that was set");
    set();
    put(7000, 10);
    pause_ms(DELIVERED_MS);
    check(!later(before, plain().st_mtim), "others see it within a second");
    set();
    put(7000, 10);
    finish();
    check(!later(before, plain().st_mtim), "at the close at the latest");
}

static void nothing_moves(void)
{
    char byte;
    begin();
    set();
    check(pread(test.fd, &byte, 1, 3) == 1 && write(test.fd, data, 0) == 0 && fsync(test.fd) == 0 &&
              lseek(test.fd, 0, SEEK_END) == SIZE,
          "calls that change nothing");
    check(same(look().st_mtim, set_time), "reads, empty writes and syncs do not move the time");
    finish();
    check(same(plain().st_mtim, set_time), "and not at the close");
}

static void sizes_move(void)
{
    struct timespec before;
    begin();
    for (int way = 0; way < 5; way++) {
        set();
        pause_ms(TICK_MS);
        before = now();
        int result = way == 0   ? ftruncate(test.fd, SIZE / 2)
                     : way == 1 ? ftruncate(test.fd, SIZE)
                     : way == 2 ? ftruncate(test.fd, SIZE)
                     : way == 3 ? fallocate(test.fd, 0, SIZE, 100)
                                : fallocate(test.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK);
        check(result == 0, "a change of the size");
        check(!later(before, look().st_mtim) && !later(before, look().st_ctim),
              way == 0   ? "ftruncate moves the times"
              : way == 1 ? "ftruncate that extends moves the times"
              : way == 2 ? "ftruncate to the same size moves the times"
              : way == 3 ? "fallocate moves the times"
                         : "a hole moves the times");
    }
    finish();
}

/* ---- a time that was set stays ---- */

static void set_utimensat(void)
{
    const struct timespec times[2] = {set_time, set_time};
    check(utimensat(AT_FDCWD, test.path, times, 0) == 0, "utimensat");
}
static void set_utimes(void)
{
    const struct timeval times[2] = {{.tv_sec = set_time.tv_sec}, {.tv_sec = set_time.tv_sec}};
    check(utimes(test.path, times) == 0, "utimes");
}
static void set_utime(void)
{
    const struct utimbuf times = {.actime = set_time.tv_sec, .modtime = set_time.tv_sec};
    check(utime(test.path, &times) == 0, "utime");
}

/* By a process that never opened the file. */
static void set_by_child(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        set_utimensat();
        _exit(test.failures != 0);
    }
    check(waitpid(child, &status, 0) == child && status == 0, "a child sets the time");
}

static void set_stays(void)
{
    void (*const ways[])(void) = {set, set_utimensat, set_utimes, set_utime, set_by_child};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int waits = 0; waits < 3; waits++) {
            begin();
            put(100, 20000);
            if (waits == 1)
                check(fsync(test.fd) == 0, "fsync");
            ways[i]();
            time_t told = look().st_mtim.tv_sec;
            check(told == set_time.tv_sec, "the time is told as set");
            if (waits)
                pause_ms(waits == 1 ? IDLE_MS : DELIVERED_MS);
            check(plain().st_mtim.tv_sec == set_time.tv_sec, "it stays through write-back");
            finish();
            check(plain().st_mtim.tv_sec == set_time.tv_sec, "it stays at the close");
            pause_ms(waits ? TICK_MS : DELIVERED_MS);
            check(plain().st_mtim.tv_sec == set_time.tv_sec, "it stays");
        }
}

/* Only one of the two times. */
static void set_one(void)
{
    const struct timespec modified[2] = {{.tv_nsec = UTIME_OMIT}, set_time};
    const struct timespec accessed[2] = {set_time, {.tv_nsec = UTIME_OMIT}};
    begin();
    struct timespec before = now();
    put(100, 10);
    check(futimens(test.fd, accessed) == 0, "futimens");
    check(same(look().st_atim, set_time) && !later(before, look().st_mtim), "the time of access alone");
    put(200, 10);
    check(futimens(test.fd, modified) == 0, "futimens");
    check(same(look().st_mtim, set_time), "the time of modification alone");
    finish();
    check(same(plain().st_mtim, set_time), "at the close");
}

/* Killed: what was written is recovered by the next opener, and the time is that of the last write or as it was set. */
static void killed(bool sets, long ms)
{
    struct stat before = {0};
    int status;
    int told[2];
    check(pipe(told) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        begin();
        put(3000, 9000);
        if (sets)
            set();
        pause_ms(ms);
        before = look();
        if (write(told[1], &before, sizeof before) != sizeof before)
            _exit(1);
        raise(SIGKILL);
    }
    check(read(told[0], &before, sizeof before) == sizeof before && waitpid(child, &status, 0) == child,
          "a child dies");
    close(told[0]);
    close(told[1]);
    pause_ms(TICK_MS);
    test.fd = open(test.path, O_RDWR);
    check(pread(test.fd, data + SIZE, SIZE, 0) == SIZE && !memcmp(data + SIZE + 3000, data, 9000), "recovered");
    check(same(look().st_mtim, before.st_mtim), "the time is as before the death");
    finish();
    check(same(plain().st_mtim, before.st_mtim), "and after the close");
}

static void recovered(void)
{
    killed(true, 0);
    killed(true, DELIVERED_MS);
    killed(false, 0);
    killed(false, DELIVERED_MS);
}

/* ---- time of access ---- */

static void access_time(void)
{
    static char all[SIZE];
    begin();
    for (int i = 0; i < 3; i++)
        check(pread(test.fd, all, SIZE, 0) == SIZE, "read");
    put(0, 10);
    struct stat st = look();
    const struct timespec old[2] = {{.tv_sec = 900000000}, {.tv_nsec = UTIME_OMIT}};
    check(futimens(test.fd, old) == 0, "futimens");
    pause_ms(TICK_MS);
    struct timespec before = now();
    check(pread(test.fd, all, 10, 0) == 10, "read");
    st = look();
    bool moves = !later(before, st.st_atim);
    /* Does this mount move the time of access at all? Asked of the kernel, in the same state. */
    check(futimens(test.fd, old) == 0, "futimens");
    int fd = sys_openat(AT_FDCWD, test.path, O_RDONLY, 0);
    sys_pread(fd, all, 10, 0);
    sys_close(fd);
    check(moves == !later(before, plain().st_atim), "a read moves the time of access as the kernel's does");
    check(futimens(test.fd, old) == 0, "futimens");
    check(pread(test.fd, all, 10, 0) == 10, "read");
    finish();
    check(moves == !later(before, plain().st_atim), "at the close at the latest");
    check(same(plain().st_mtim, st.st_mtim), "and no other time");
    test.fd = open(test.path, O_RDWR | O_NOATIME);
    put(0, 10);
    check(futimens(test.fd, old) == 0 && pread(test.fd, all, 10, 0) == 10, "a read with O_NOATIME");
    finish();
    check(plain().st_atim.tv_sec == old[0].tv_sec, "moves nothing");
}

/* ---- every way of asking tells the same ---- */

static void child_compares(const struct stat *wanted)
{
    struct stat st;
    struct statx stx;
    check(stat(test.path, &st) == 0 && st.st_size == wanted->st_size && same(st.st_mtim, wanted->st_mtim),
          "stat in another process");
    check(statx(AT_FDCWD, test.path, 0, STATX_BASIC_STATS, &stx) == 0 && (off_t)stx.stx_size == wanted->st_size &&
              stx.stx_mtime.tv_sec == wanted->st_mtim.tv_sec && stx.stx_mtime.tv_nsec == wanted->st_mtim.tv_nsec,
          "statx in another process");
    DIR *dir = opendir(test.directory);
    bool found = false;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_ino == wanted->st_ino)
            found = fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && st.st_size == wanted->st_size &&
                    same(st.st_mtim, wanted->st_mtim);
    closedir(dir);
    check(found, "readdir and fstatat in another process");
}

/* `fresh`: by a new program, which has opened nothing yet; else by a forked child. */
static void all_ways(bool fresh)
{
    begin();
    put(SIZE - 10, 5000); /* grows */
    pause_ms(TICK_MS);
    struct stat st, other;
    check(fstat(test.fd, &st) == 0 && st.st_size == SIZE + 4990, "fstat");
    check(stat(test.path, &other) == 0 && !memcmp(&st, &other, sizeof st), "stat");
    check(lstat(test.path, &other) == 0 && !memcmp(&st, &other, sizeof st), "lstat");
    check(fstatat(test.fd, "", &other, AT_EMPTY_PATH) == 0 && !memcmp(&st, &other, sizeof st), "fstatat");
    int path = open(test.path, O_PATH);
    check(fstat(path, &other) == 0 && !memcmp(&st, &other, sizeof st), "fstat of O_PATH");
    close(path);
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        char size[30], time[30];
        snprintf(size, sizeof size, "%lld", (long long)st.st_size);
        snprintf(time, sizeof time, "%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        if (fresh) {
            test.name = NULL;
            execl("/bin/sh", "sh", "-c", "test \"$(stat -c '%s %.9Y' \"$1\")\" = \"$2 $3\"", "sh", test.path, size,
                  time, (char *)NULL);
            _exit(99);
        }
        child_compares(&st);
        _exit(test.failures != 0);
    }
    check(waitpid(child, &status, 0) == child && status == 0,
          fresh ? "a new program is told the same" : "a child is told the same");
    finish();
    check(plain().st_size == SIZE + 4990 && same(plain().st_mtim, st.st_mtim), "after the close too");
}

static void all_ways_child(void)
{
    all_ways(false);
}
static void all_ways_program(void)
{
    all_ways(true);
}

/* ---- blocks ---- */

/* Blocks after the close are as the kernel's for the same calls: told one a line, to be compared between two runs. Not
 * among the calls, since blocks differ there: a shrink that is followed by growth over a hole before the close, and
 * FALLOC_FL_KEEP_SIZE behind the end (README.md, Limits). */
static void blocks_round(unsigned *seed)
{
    off_t size = 3 * BLOCK;
    put(0, (size_t)size);
    check(fsync(test.fd) == 0, "fsync");
    for (int i = 0; i < 12; i++) {
        off_t at = rand_r(seed) % (1 << 20);
        size_t length = 1 + (size_t)rand_r(seed) % (rand_r(seed) % 4 ? BLOCK : sizeof data - 1);
        bool keep = at + (off_t)length <= size, grows = true;
        switch (rand_r(seed) % 8) {
        case 0:
            grows = false;
            size = at > size ? at : size;
            check(ftruncate(test.fd, size) == 0, "ftruncate");
            break;
        case 1:
            grows = false;
            check(fallocate(test.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)length) == 0, "punch");
            break;
        case 2:
            grows = false;
            check(fsync(test.fd) == 0, "fsync");
            break;
        case 3:
            check(fallocate(test.fd, keep ? FALLOC_FL_KEEP_SIZE : 0, at, (off_t)length) == 0, "fallocate");
            break;
        default:
            put(at, length);
        }
        if (grows && at + (off_t)length > size)
            size = at + (off_t)length;
    }
    if (rand_r(seed) % 2)
        check(ftruncate(test.fd, rand_r(seed) % size) == 0, "shrink");
}

static void blocks(void)
{
    unsigned seed = 1;
    for (int round = 0; round < 60; round++) {
        unlink(test.path);
        test.fd = open(test.path, O_RDWR | O_CREAT, 0600);
        blocks_round(&seed);
        finish();
        struct stat st = plain();
        printf("blocks %d: size %lld blocks %lld\n", round, (long long)st.st_size, (long long)st.st_blocks);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"one_time", one_time},
    {"one_time_new", one_time_new},
    {"write_moves", write_moves},
    {"nothing_moves", nothing_moves},
    {"sizes_move", sizes_move},
    {"set_stays", set_stays},
    {"set_one", set_one},
    {"recovered", recovered},
    {"access_time", access_time},
    {"all_ways_child", all_ways_child},
    {"all_ways_program", all_ways_program},
    {"blocks", blocks},
};

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IONBF, 0);
    test.directory = argv[1];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 + i / 255);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc > 2 && strcmp(argv[2], cases[i].name))
            continue;
        test.name = cases[i].name;
        snprintf(test.path, sizeof test.path, "%s/%s", test.directory, test.name);
        cases[i].run();
        unlink(test.path);
    }
    printf("%u failures\n", test.failures);
    return test.failures != 0;
}
