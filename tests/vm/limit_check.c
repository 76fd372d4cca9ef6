/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * limit_check.c — a user whose quota, or file system, ends: the error comes at the write, what was acknowledged stays.
 *
 *     limit_check quota DEVICE UID MIB           (root) the user may have so much; DEVICE is mounted with user quotas
 *     limit_check run DIRECTORY UID ERROR [CASE] all cases as that user, or one; ERROR is EDQUOT or ENOSPC
 *
 * With NVMMIO_ROOT=DIRECTORY. The first step, plain_room, measures by the kernel alone how much there is. Each case works in a
 * child, which leaves what it was told in shared memory; then the file is read again, in the parent, through the library
 * and by plain calls. Exit status 0 if all was as it must, 1 if not, 2 if the test itself cannot work.
 */
#include "support/nvx.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/quota.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    UNIT = 512, /* what a write is made of */
    BLOCK = 4096,
    MIB = 1 << 20,
    UNITS = 64 * MIB / UNIT, /* of the file, at most */
    WRITES = 4000,           /* of one case over what is there already */
    ROOM_LOST = MIB / 2,     /* of what a user has, to pages of directories and the like */
    CASE_SECONDS = 240,
};

/* What the writer was told, in memory that outlives it. */
struct model {
    uint32_t write[UNITS]; /* number of the write that a unit is from; 0: zeros */
    uint64_t size;
    uint64_t synced; /* number of the last write before the last sync */
};

struct check {
    char directory[PATH_MAX], file[PATH_MAX], ballast[PATH_MAX];
    int error; /* of a user who is at the end */
    uint64_t room;
    struct model *model;
    const char *name; /* of the case */
    uint32_t writes;
    uint64_t random;
};

static struct check check;
static char buffer[MIB];

#define MUST(condition, ...)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("limit_check: %s: %s: ", check.name, #condition);                                                   \
            printf(__VA_ARGS__);                                                                                       \
            printf(" (%s)\n", strerror(errno));                                                                        \
            fflush(stdout);                                                                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static uint64_t random_below(uint64_t most)
{
    check.random = check.random * 6364136223846793005u + 1442695040888963407u;
    return (check.random >> 33) % most;
}

static void fill_unit(uint64_t *words, uint64_t unit, uint32_t write)
{
    for (uint64_t i = 0; i < UNIT / sizeof *words; i++)
        words[i] = write ? (unit * 64 + i) * 0x9e3779b97f4a7c15u + write : 0;
}

/* One write; what is acknowledged of it is noted. 0 if that is all, else the error that told the rest. */
static int put(int fd, uint64_t unit, uint64_t count)
{
    uint32_t number = ++check.writes;
    uint64_t done = 0;
    for (uint64_t i = 0; i < count; i++)
        fill_unit((uint64_t *)(buffer + i * UNIT), unit + i, number);
    while (done < count) {
        ssize_t n = nvx.pwrite(fd, buffer + done * UNIT, (count - done) * UNIT, (off_t)((unit + done) * UNIT));
        if (n < 0)
            return errno;
        MUST(n > 0 && n % UNIT == 0, "a write of %llu said %zd", (unsigned long long)((count - done) * UNIT), n);
        for (uint64_t i = 0; i < (uint64_t)n / UNIT; i++)
            check.model->write[unit + done + i] = number;
        done += (uint64_t)n / UNIT;
        if ((unit + done) * UNIT > check.model->size)
            check.model->size = (unit + done) * UNIT;
    }
    return 0;
}

static int open_file(int flags)
{
    int fd = nvx.open(check.file, O_RDWR | flags, 0600);
    MUST(fd >= 0, "open");
    return fd;
}

static void sync_file(int fd)
{
    MUST(nvx.fsync(fd) == 0, "fsync");
    check.model->synced = check.writes;
}

/* Syncs and closes: neither may tell now what the writes did not. */
static void finish(int fd)
{
    sync_file(fd);
    MUST(nvx.close(fd) == 0, "close");
}

/* Whole MiB from the start, as long as there are `mib`. */
static void lay(int fd, uint64_t bytes)
{
    for (uint64_t unit = 0; unit < bytes / UNIT; unit += MIB / UNIT)
        MUST(put(fd, unit, MIB / UNIT) == 0, "laying the file");
}

/* Takes what is left of the user's room, by the kernel. */
static uint64_t take_the_rest(void)
{
    int fd = nvx_plain.open(check.ballast, O_RDWR | O_CREAT, 0600);
    MUST(fd >= 0, "open of the ballast");
    uint64_t at = 0;
    for (size_t part = MIB; part >= BLOCK;) {
        ssize_t n = nvx_plain.pwrite(fd, buffer, part, (off_t)at);
        MUST(n > 0 || errno == check.error, "the ballast");
        if (n > 0)
            at += (uint64_t)n;
        else
            part /= 2;
    }
    MUST(nvx_plain.close(fd) == 0, "close of the ballast");
    return at;
}

static void verify_by(const struct nvx *by, const char *whose)
{
    static char expected[UNIT], found[MIB];
    int fd = by->open(check.file, O_RDONLY);
    MUST(fd >= 0, "open, %s", whose);
    struct stat st;
    MUST(by->fstat(fd, &st) == 0 && (uint64_t)st.st_size == check.model->size, "%s size is %lld, acknowledged %llu",
         whose, (long long)st.st_size, (unsigned long long)check.model->size);
    for (uint64_t at = 0; at < check.model->size; at += MIB) {
        ssize_t n = by->pread(fd, found, MIB, (off_t)at);
        MUST(n == MIB || at + (uint64_t)n == check.model->size, "%s read at %llu: %zd", whose, (unsigned long long)at,
             n);
        for (uint64_t unit = at / UNIT; unit * UNIT < at + (uint64_t)n; unit++) {
            fill_unit((uint64_t *)expected, unit, check.model->write[unit]);
            MUST(!memcmp(found + (unit * UNIT - at), expected, UNIT), "%s unit %llu is not that of write %u", whose,
                 (unsigned long long)unit, check.model->write[unit]);
        }
    }
    MUST(by->close(fd) == 0, "close, %s", whose);
}

/* ---- the cases: in a child ---- */

/* The file grows until the end, by writes of many sizes; then the same again with the space given back. */
static void grow(int flags)
{
    for (int round = 0; round < 2; round++) {
        int fd = open_file(O_CREAT | flags);
        memset(check.model, 0, sizeof *check.model);
        MUST(put(fd, 0, BLOCK / UNIT) == 0, "the first block");
        sync_file(fd);
        int error = 0;
        for (uint64_t count = MIB / UNIT; count; count = count == 1 ? 0 : count / 5 + 1) {
            do
                error = put(fd, check.model->size / UNIT, count);
            while (!error);
            MUST(error == check.error, "growing ended with %s", strerror(error));
            if (count == 2)
                count = 1; /* one unit alone, too */
        }
        MUST(check.model->size + ROOM_LOST > check.room, "round %d: no more than %llu of %llu bytes", round,
             (unsigned long long)check.model->size, (unsigned long long)check.room);
        finish(fd);
        if (!round)
            MUST(unlink(check.file) == 0, "unlink");
    }
}

static void case_grow(void)
{
    grow(0);
}

static void case_grow_synced(void)
{
    grow(O_DSYNC);
}

/* Random writes over what is there: the kernel never fails there. */
static void overwrite(int fd, uint64_t units)
{
    for (int i = 0; i < WRITES; i++) {
        uint64_t count = i % 16 ? 1 + random_below(24) : 1 + random_below(400);
        int error = put(fd, random_below(units - count), count);
        MUST(!error, "an overwrite said %s", strerror(error));
        if (random_below(64) == 0)
            sync_file(fd);
    }
}

/* A file that has most of the room: its changes cannot all be logged. */
static void case_overwrite(void)
{
    int fd = open_file(O_CREAT);
    uint64_t bytes = check.room / 4 * 3 / MIB * MIB;
    lay(fd, bytes);
    finish(fd);
    fd = open_file(0);
    overwrite(fd, bytes / UNIT);
    finish(fd);
}

/* Nothing is left before anybody attaches the file. */
static void case_full(void)
{
    int fd = open_file(O_CREAT);
    lay(fd, 2 * MIB);
    finish(fd);
    take_the_rest();
    fd = open_file(0);
    overwrite(fd, 2 * MIB / UNIT);
    int error = put(fd, 2 * MIB / UNIT, BLOCK / UNIT);
    MUST(error == check.error, "a block more said %s", strerror(error));
    finish(fd);
}

/* Nothing is left when the file has a log. Then space comes back, and can be used. */
static void case_squeezed(void)
{
    int fd = open_file(O_CREAT);
    lay(fd, 2 * MIB);
    finish(fd);
    fd = open_file(0);
    MUST(put(fd, 5, 3) == 0, "attaching");
    sync_file(fd);
    take_the_rest();
    overwrite(fd, 2 * MIB / UNIT);
    int error = put(fd, 3 * MIB / UNIT, BLOCK / UNIT);
    while (!error) /* the last of what was reserved ahead */
        error = put(fd, check.model->size / UNIT, BLOCK / UNIT);
    MUST(error == check.error, "a block more said %s", strerror(error));
    MUST(unlink(check.ballast) == 0, "unlink");
    error = put(fd, check.model->size / UNIT, MIB / UNIT);
    MUST(!error, "with space again a write said %s", strerror(error));
    overwrite(fd, check.model->size / UNIT);
    finish(fd);
}

/* Holes are filled until the end. */
static void case_holes(void)
{
    int fd = open_file(O_CREAT);
    MUST(nvx.ftruncate(fd, UNITS * (off_t)UNIT) == 0, "ftruncate");
    check.model->size = UNITS * (uint64_t)UNIT;
    sync_file(fd);
    int error = 0, errors = 0;
    for (int i = 0; i < 4 * WRITES && errors < 20; i++) {
        error = put(fd, random_below(UNITS - 16), 1 + random_below(16));
        errors += error != 0;
        MUST(!error || error == check.error, "a hole said %s", strerror(error));
        if (random_below(200) == 0)
            sync_file(fd);
    }
    MUST(errors, "all holes could be filled");
    finish(fd);
}

/* Space that is reserved, and all else taken: to write there needs extents to be split. */
static void case_reserved(void)
{
    int fd = open_file(O_CREAT);
    uint64_t bytes = check.room / 2 / MIB * MIB;
    MUST(nvx.fallocate(fd, 0, 0, (off_t)bytes) == 0, "fallocate");
    check.model->size = bytes;
    finish(fd);
    fd = open_file(0);
    MUST(put(fd, 8, 8) == 0, "attaching");
    sync_file(fd);
    take_the_rest();
    for (uint64_t unit = 8 * BLOCK / UNIT; unit + 16 < bytes / UNIT; unit += 2 * BLOCK / UNIT) { /* each other block */
        int error = put(fd, unit, BLOCK / UNIT);
        MUST(!error, "what was reserved said %s", strerror(error));
    }
    sync_file(fd);
    overwrite(fd, bytes / UNIT);
    finish(fd);
}

/* As squeezed, and killed in between: what was acknowledged is recovered without any space. */
static void case_killed(void)
{
    int fd = open_file(O_CREAT);
    lay(fd, 2 * MIB);
    finish(fd);
    fd = open_file(0);
    for (uint64_t i = 0; i < 300; i++) {
        MUST(put(fd, random_below(2 * MIB / UNIT - 8), 8) == 0, "before the end");
        MUST(put(fd, check.model->size / UNIT, 5) == 0, "before the end");
    }
    sync_file(fd);
    take_the_rest();
    for (uint64_t i = 0; i < 300; i++) {
        int error = put(fd, random_below(2 * MIB / UNIT - 8), 8);
        MUST(!error, "an overwrite said %s", strerror(error));
        error = put(fd, check.model->size / UNIT, 5);
        MUST(!error || error == check.error, "an append said %s", strerror(error));
    }
    kill(getpid(), SIGKILL);
}

/* Stores through a shared mapping of what is there: the kernel never fails there. (One by nvmmap may end in SIGBUS, as its
 * manual says.) */
static void case_mapped(void)
{
    int fd = open_file(O_CREAT);
    lay(fd, 2 * MIB);
    finish(fd);
    fd = open_file(0);
    char *at = nvx.mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(at != MAP_FAILED, "mmap");
    take_the_rest();
    for (int round = 0; round < 2; round++) {
        uint32_t number = ++check.writes;
        for (uint64_t unit = 0; unit < 2 * MIB / UNIT; unit++) {
            fill_unit((uint64_t *)(at + unit * UNIT), unit, number);
            check.model->write[unit] = number;
        }
        MUST(nvx.msync(at, 2 * MIB, MS_SYNC) == 0, "msync");
        overwrite(fd, 2 * MIB / UNIT);
    }
    MUST(nvx.munmap(at, 2 * MIB) == 0, "munmap");
    finish(fd);
}

/* An O_ATOMIC file that cannot be logged any more says so at the write, and keeps its last sync. */
static void case_atomic(void)
{
    int fd = open_file(O_CREAT); /* by the kernel: a log of that size would be kept */
    lay(fd, 4 * MIB);
    finish(fd);
    fd = open_file(O_ATOMIC);
    MUST(put(fd, 5, 3) == 0 && put(fd, check.model->size / UNIT, 3) == 0, "attaching");
    sync_file(fd);
    take_the_rest();
    ssize_t n = 0;
    for (off_t at = 0; n >= 0 && at < 4 * MIB; at += BLOCK) /* not noted: never synced */
        n = nvx.pwrite(fd, buffer, BLOCK, at);
    MUST(n < 0 && errno == check.error, "all could be logged");
    kill(getpid(), SIGKILL);
}

static const struct {
    const char *name;
    void (*work)(void);
} cases[] = {
    {"grow", case_grow},         {"grow_synced", case_grow_synced}, {"overwrite", case_overwrite},
    {"full", case_full},         {"squeezed", case_squeezed},       {"holes", case_holes},
    {"reserved", case_reserved}, {"killed", case_killed},           {"mapped", case_mapped},
    {"atomic", case_atomic},
};

/* ---- all of them ---- */

static int run_child(void (*work)(void))
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        alarm(CASE_SECONDS);
        work();
        exit(0);
    }
    MUST(child > 0 && waitpid(child, &status, 0) == child, "fork");
    return status;
}

static void nothing(void)
{
    int fd = open_file(O_CREAT);
    MUST(put(fd, 0, 8) == 0, "a block");
    finish(fd);
    fd = open_file(0);
    MUST(put(fd, 0, 8) == 0, "a block");
    finish(fd);
}

static void plain_room(void)
{
    check.model->size = take_the_rest();
}

/* In children: the parent itself must hold nothing of the user's. */
static uint64_t measure(void)
{
    MUST(run_child(plain_room) == 0, "measuring");
    MUST(unlink(check.ballast) == 0, "unlink of the ballast");
    return check.model->size;
}

static void verify(void)
{
    verify_by(&nvx, "through the library:");
    verify_by(&nvx_plain, "by plain calls:");
}

static bool is_wanted(size_t number, const char *only)
{
    if (only)
        return !strcmp(cases[number].name, only);
    return cases[number].work != (nvx_is_kernel ? case_atomic : case_mapped);
}

static int run_all(const char *only)
{
    check.name = "start";
    MUST(run_child(nothing) == 0 && unlink(check.file) == 0, "the library's own files");
    check.room = measure();
    int failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!is_wanted(i, only))
            continue;
        check.name = cases[i].name;
        check.writes = 0;
        check.random = i;
        memset(check.model, 0, sizeof *check.model);
        int status = run_child(cases[i].work);
        bool kills = cases[i].work == case_killed || cases[i].work == case_atomic;
        bool killed = kills && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (WIFSIGNALED(status) && !killed)
            printf("limit_check: %s: died of signal %d\n", check.name, WTERMSIG(status));
        bool good = (status == 0 || killed) && run_child(verify) == 0;
        unlink(check.ballast);
        unlink(check.file);
        uint64_t room = measure();
        if (room + ROOM_LOST < check.room) {
            printf("limit_check: %s: %llu of %llu bytes are there afterwards\n", check.name, (unsigned long long)room,
                   (unsigned long long)check.room);
            good = false;
        }
        printf("limit_check: %s %s\n", check.name, good ? "passed" : "FAILED");
        failures += !good;
    }
    return failures != 0;
}

static int set_quota(const char *device, unsigned user, uint64_t mib)
{
    struct dqblk limits = {.dqb_bhardlimit = mib * MIB / 1024, .dqb_valid = QIF_BLIMITS};
    if (quotactl(QCMD(Q_SETQUOTA, USRQUOTA), device, (int)user, (caddr_t)&limits) == 0)
        return 0;
    perror("limit_check: quotactl");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "quota"))
        return set_quota(argv[2], (unsigned)atoi(argv[3]), (uint64_t)atoi(argv[4]));
    if (argc < 5 || argc > 6 || strcmp(argv[1], "run") || !realpath(argv[2], check.directory)) {
        fprintf(stderr, "limit_check: see the head of limit_check.c\n");
        return 2;
    }
    check.error = strcmp(argv[4], "EDQUOT") ? ENOSPC : EDQUOT;
    snprintf(check.file, sizeof check.file, "%.4000s/limit.file", check.directory);
    snprintf(check.ballast, sizeof check.ballast, "%.4000s/limit.ballast", check.directory);
    unsigned user = (unsigned)atoi(argv[3]);
    check.model = mmap(NULL, sizeof *check.model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check.model == MAP_FAILED || (user && (setgid(user) || setuid(user)))) {
        perror("limit_check");
        return 2;
    }
    return run_all(argv[5]);
}
