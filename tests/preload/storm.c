/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * storm.c — promise: a handler may use a managed file that the interrupted call is using (the same blocks, the same
 * description with its offset, the same file by another descriptor): nothing waits for itself, nobody sees half a write,
 * no record is lost.
 *
 * A timer interrupts the program 20 us after the last handler has returned. Run under the preload library and without it: what it checks is
 * what the kernel does.
 */
#include "child.h"
#include "clean.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { STORM_NS = 20000, STORM_MS = 1500, REGION_MOST = 2 * 1024 * 1024, RECORD = 512, RECORDS_MOST = 200000 };

struct storm {
    char root[64];
    char path[128];
    int fd;
    int second; /* another description of the file */
    size_t region;
    unsigned char *bytes; /* of the program */
    unsigned char *other; /* of the handler */
    volatile unsigned handled;
    volatile unsigned records; /* that the handler wrote */
    volatile bool quiet;       /* the handler does nothing any more */
    timer_t timer;
};
static struct storm storm;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Once: were it periodic, a handler that takes longer would leave the program no time. */
static void storm_arm(void)
{
    const struct itimerspec times = {.it_value = {.tv_nsec = STORM_NS}};
    if (!storm.quiet)
        timer_settime(storm.timer, 0, &times, NULL);
}

static void storm_begin(void handler(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGUSR1, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &storm.timer) != 0)
        exit(EXIT_FAILURE);
    storm_arm();
}

static void storm_end(void)
{
    storm.quiet = true;
    timer_delete(storm.timer);
    check(storm.handled > 100, "the handler ran often");
}

/* A file of `size` bytes that is served in user space from here on. */
static int storm_file(size_t size, int flags)
{
    int fd = open(storm.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(storm.bytes, 1, REGION_MOST);
    if (fd < 0 || pwrite(fd, storm.bytes, size, 0) != (ssize_t)size || fsync(fd) != 0 ||
        pwrite(fd, storm.bytes, size, 0) != (ssize_t)size || fcntl(fd, F_SETFL, flags) != 0)
        exit(EXIT_FAILURE);
    return fd;
}

/* ---- one region, always of one value ---- */

static bool is_uniform(const unsigned char *bytes, size_t length)
{
    return memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void region_read(int fd)
{
    check(pread(fd, storm.other, storm.region, 0) == (ssize_t)storm.region, "a handler reads");
    check(is_uniform(storm.other, storm.region), "a handler sees no half of a write");
}

static void region_write(int fd)
{
    memset(storm.other, (int)(storm.handled | 1) & 0xff, storm.region);
    struct iovec parts[2] = {{storm.other, 100}, {storm.other + 100, storm.region - 100}};
    ssize_t written = storm.handled % 2 ? pwrite(fd, storm.other, storm.region, 0) : pwritev(fd, parts, 2, 0);
    check(written == (ssize_t)storm.region, "a handler writes");
    unsigned char want = storm.other[0];
    check(pread(fd, storm.other, storm.region, 0) == (ssize_t)storm.region && is_uniform(storm.other, storm.region) &&
              storm.other[0] == want,
          "a handler reads what it wrote");
}

static void region_handler(int signal)
{
    int saved = errno;
    struct stat st;
    (void)signal;
    if (storm.quiet)
        return;
    switch (storm.handled++ % 8) {
    case 0:
    case 1:
        region_write(storm.fd);
        break;
    case 2:
        region_write(storm.second);
        break;
    case 3:
        region_read(storm.second);
        break;
    case 4:
        check(fsync(storm.fd) == 0, "a handler syncs");
        break;
    case 5:
        check(fstat(storm.fd, &st) == 0 && st.st_size == (off_t)storm.region, "a handler asks for the size");
        break;
    case 6: {
        int fd = open(storm.path, O_RDWR);
        region_write(fd);
        check(fd >= 0 && close(fd) == 0, "a handler opens and closes");
        break;
    }
    default:
        region_read(storm.fd);
        check(ftruncate(storm.fd, (off_t)storm.region) == 0, "a handler sets the size");
        break;
    }
    storm_arm();
    errno = saved;
}

static void region_step(unsigned round)
{
    memset(storm.bytes, (int)(round & 0x7f) * 2, storm.region);
    errno = 77;
    check(pwrite(storm.fd, storm.bytes, storm.region, 0) == (ssize_t)storm.region, "the program writes");
    check(errno == 77, "errno is the program's");
    check(pread(storm.fd, storm.bytes, storm.region, 0) == (ssize_t)storm.region &&
              is_uniform(storm.bytes, storm.region),
          "the program sees no half of a write");
    if (round % 4 == 0)
        check(fsync(storm.fd) == 0, "the program syncs");
    if (round % 8 == 0) {
        struct stat st;
        int fd = dup(storm.fd);
        check(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)storm.region && close(fd) == 0,
              "the program asks for the size and closes");
    }
}

static void region_of(size_t region)
{
    storm.region = region;
    storm.fd = storm_file(region, 0);
    storm.second = open(storm.path, O_RDWR);
    storm_begin(region_handler, SA_RESTART);
    uint64_t end = now_ns() + (uint64_t)STORM_MS * 1000000;
    for (unsigned round = 0; now_ns() < end || storm.handled <= 100; round++)
        region_step(round);
    storm_end();
    check(close(storm.second) == 0 && close(storm.fd) == 0, "close");
}

static void region_4k(void)
{
    region_of(4096);
}

static void region_64k(void)
{
    region_of(65536);
}

static void region_2m(void)
{
    region_of(REGION_MOST);
}

/* ---- records, at the offset of one description or at the end ---- */

static void record_write(unsigned char who)
{
    unsigned char record[RECORD];
    memset(record, who, sizeof record);
    check(write(storm.fd, record, sizeof record) == RECORD, "a record is written");
}

static void record_handler(int signal)
{
    int saved = errno;
    (void)signal;
    if (storm.quiet)
        return;
    storm.handled++;
    if (storm.handled % 16 == 0) {
        check(fsync(storm.fd) == 0, "a handler syncs");
    } else {
        record_write(2);
        storm.records++;
    }
    storm_arm();
    errno = saved;
}

static void records(int flags)
{
    unsigned mine = 0;
    unsigned seen[3] = {0};
    unsigned char record[RECORD];
    storm.fd = storm_file(0, flags);
    storm_begin(record_handler, 0);
    uint64_t end = now_ns() + (uint64_t)STORM_MS * 1000000;
    while ((now_ns() < end || storm.handled <= 100) && mine + storm.records < RECORDS_MOST) {
        record_write(1);
        mine++;
        if (mine % 64 == 0)
            check(lseek(storm.fd, 0, SEEK_CUR) % RECORD == 0, "the offset is between records");
    }
    storm_end();
    unsigned all = mine + storm.records;
    check(lseek(storm.fd, 0, SEEK_CUR) == (off_t)all * RECORD, "the offset is behind all records");
    for (unsigned i = 0; i < all; i++) {
        check(pread(storm.fd, record, RECORD, (off_t)i * RECORD) == RECORD && is_uniform(record, RECORD),
              "a record is whole");
        seen[record[0] <= 2 ? record[0] : 0]++;
    }
    check(seen[1] == mine && seen[2] == storm.records, "no record is lost");
    close(storm.fd);
}

static void records_at_offset(void)
{
    records(0);
}

static void records_appended(void)
{
    records(O_APPEND);
}

/* ---- what takes locks of the whole process: attach, detach, fork, exit ---- */

static void life_handler(int signal)
{
    int saved = errno;
    (void)signal;
    if (storm.quiet)
        return;
    storm.handled++;
    int fd = open(storm.path, O_RDWR);
    check(fd >= 0 && pwrite(fd, storm.other, 4096, 4096) == 4096 && fsync(fd) == 0 && close(fd) == 0,
          "a handler opens, writes, syncs, closes");
    storm_arm();
    errno = saved;
}

static void life(void)
{
    close(storm_file(65536, 0));
    storm_begin(life_handler, SA_RESTART);
    uint64_t end = now_ns() + (uint64_t)STORM_MS * 1000000;
    for (unsigned round = 0; now_ns() < end || storm.handled <= 100; round++) {
        int fd = open(storm.path, O_RDWR);
        check(fd >= 0 && pwrite(fd, storm.bytes, 4096, 4096) == 4096, "the program opens and writes");
        pid_t child = round % 8 ? 0 : fork();
        if (child == 0 && round % 8 == 0) {
            check(pwrite(fd, storm.bytes, 4096, 8192) == 4096, "a child writes");
            exit(child_failures ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        int status = 0;
        check(child == 0 || (waitpid(child, &status, 0) == child && status == 0), "a child ends");
        check(close(fd) == 0, "the program closes");
    }
    storm_end();
}

int main(void)
{
    snprintf(storm.root, sizeof storm.root, "/dev/shm/nvmmio-storm.XXXXXX");
    if (!mkdtemp(storm.root))
        return EXIT_FAILURE;
    snprintf(storm.path, sizeof storm.path, "%s/file", storm.root);
    setenv("NVMMIO_ROOT", storm.root, 1);
    storm.bytes = malloc(REGION_MOST);
    storm.other = malloc(REGION_MOST);
    if (!storm.bytes || !storm.other)
        return EXIT_FAILURE;
    bool right = child_runs("4 KiB", region_4k);
    right = child_runs("64 KiB", region_64k) && right;
    right = child_runs("2 MiB", region_2m) && right;
    right = child_runs("records at an offset", records_at_offset) && right;
    right = child_runs("records appended", records_appended) && right;
    right = child_runs("open, fork, close", life) && right;
    clean_tree(storm.root);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
