/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ground.c — promise: whatever memory a program passes, and whatever another program does to the file underneath, a call
 * ends in bytes or in an errno, never in a signal, and the process goes on. Bad buffers are EFAULT, or the count of what was
 * moved before the bad byte; a file that was cut or punched is read short, as zeros or with EIO.
 *
 *     ground DIRECTORY [CASE]
 *
 * On the kernel, under the preload library, and by the API. Another program's hands are bare system calls.
 */
#include "base/rawsys.h"
#include "support/nvx.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif

#ifndef UFFDIO_POISON /* of Linux 6.6 */
struct uffdio_poison {
    struct uffdio_range range;
    __u64 mode;
    __s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#define UFFD_FEATURE_POISON (1 << 14)
#endif

enum { PAGE = 4096, SIZE = 100000, PART = 1000, LONG = 3000, CUT = 5000 };

static struct {
    const char *directory, *name, *what;
    char path[200], other[200];
    int fd;
    size_t size;
    uint8_t bytes[4 * SIZE]; /* what the file holds */
    unsigned failures;
} test;

static void check(bool right, const char *promise)
{
    if (right)
        return;
    printf("FAIL: %s: %s: %s (errno is %s)\n", test.name, test.what ? test.what : "", promise, strerror(errno));
    test.failures++;
}

static void expect(size_t at, const void *data, size_t length)
{
    if (at > test.size)
        memset(test.bytes + test.size, 0, at - test.size);
    memcpy(test.bytes + at, data, length);
    test.size = at + length > test.size ? at + length : test.size;
}

static void fill(uint8_t *data, size_t length, unsigned key)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(1 + (i * 7 + key + i / 200) % 255);
}

static void put(size_t at, size_t length, unsigned key)
{
    static uint8_t data[SIZE];
    fill(data, length, key);
    check(nvx.pwrite(test.fd, data, length, (off_t)at) == (ssize_t)length, "a write");
    expect(at, data, length);
}

/* A file that the kernel has made. */
static void make(const char *path, size_t length)
{
    static uint8_t data[SIZE];
    fill(data, length, 1);
    unlink(path);
    int fd = sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(sys_pwrite(fd, data, length, 0) == (ssize_t)length && sys_close(fd) == 0, "the file is made");
}

/* One that is served in user space, its homes mapped, with lines in the log and in the file. */
static void begin(int flags)
{
    static uint8_t all[SIZE];
    make(test.path, SIZE);
    test.size = 0;
    fill(all, SIZE, 1);
    expect(0, all, SIZE);
    test.fd = nvx.open(test.path, O_RDWR | flags, 0600);
    check(test.fd >= 0, "open");
    if (flags & O_APPEND)
        return;
    for (unsigned i = 0; i < 4; i++) {
        put(2 * PAGE, 4 * PAGE, i);
        put(9 * PAGE + 100, 300, i + 9);
        check(!nvx.fsync(test.fd), "fsync");
        check(nvx.pread(test.fd, all, SIZE, 0) == SIZE, "read");
    }
    put(50000, 20000, 77);
}

static void check_whole(void)
{
    static uint8_t all[4 * SIZE];
    struct stat st;
    ssize_t n = nvx.pread(test.fd, all, sizeof all, 0);
    check(n == (ssize_t)test.size && !memcmp(all, test.bytes, test.size), "the file holds what was written");
    check(!nvx.fstat(test.fd, &st) && (size_t)st.st_size == test.size, "its size");
}

/* ---- buffers ---- */

struct buffer {
    uint8_t *at;
    size_t takes, gives; /* bytes that can be stored there, and read from there, from `at` on */
    void *map;
    size_t mapped;
    int fd;       /* of the file that is mapped, -1 */
    bool refused; /* by its address alone, before anything is moved */
};

static struct buffer pages(unsigned count)
{
    struct buffer b = {.mapped = count * (size_t)PAGE, .fd = -1};
    b.map = mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(b.map, 'b', b.mapped);
    b.at = b.map;
    b.takes = b.gives = b.mapped;
    return b;
}

static struct buffer buffer_good(void)
{
    return pages(2);
}
static struct buffer buffer_low(void)
{
    return (struct buffer){.at = (uint8_t *)8, .fd = -1};
}
static struct buffer buffer_kernel(void)
{
    return (struct buffer){.at = (uint8_t *)-(PAGE * 2L), .fd = -1, .refused = true};
}
static struct buffer buffer_none(void)
{
    struct buffer b = pages(2);
    mprotect(b.map, b.mapped, PROT_NONE);
    b.takes = b.gives = 0;
    return b;
}
static struct buffer buffer_read_only(void)
{
    struct buffer b = pages(2);
    mprotect(b.map, b.mapped, PROT_READ);
    b.takes = 0;
    return b;
}
/* The first page is good, what follows is not. */
static struct buffer buffer_ends(int prot)
{
    struct buffer b = pages(2);
    if (prot < 0)
        munmap((char *)b.map + PAGE, PAGE);
    else
        mprotect((char *)b.map + PAGE, PAGE, prot);
    b.mapped = prot < 0 ? PAGE : b.mapped;
    b.at = (uint8_t *)b.map + PAGE - PART;
    b.takes = PART;
    b.gives = prot > 0 ? PART + PAGE : PART;
    return b;
}
static struct buffer buffer_ends_unmapped(void)
{
    return buffer_ends(-1);
}
static struct buffer buffer_ends_none(void)
{
    return buffer_ends(PROT_NONE);
}
static struct buffer buffer_ends_read_only(void)
{
    return buffer_ends(PROT_READ);
}

/* A mapping of two pages of a managed file. */
static struct buffer map_of(const char *path, size_t length)
{
    struct buffer b = {.mapped = (size_t)2 * PAGE, .takes = (size_t)2 * PAGE, .gives = (size_t)2 * PAGE};
    if (length)
        make(path, length);
    b.fd = nvx.open(path, O_RDWR, 0600);
    b.map = nvx.mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
    check(b.map != MAP_FAILED, "a mapping");
    b.at = b.map;
    return b;
}
static struct buffer buffer_map(void)
{
    return map_of(test.other, (size_t)3 * PAGE);
}
static struct buffer buffer_map_past_end(void)
{
    struct buffer b = map_of(test.other, PAGE);
    b.at += PAGE - PART;
    b.takes = b.gives = PART;
    return b;
}
static struct buffer buffer_map_truncated(void)
{
    struct buffer b = map_of(test.other, (size_t)3 * PAGE);
    check(sys_truncate(test.other, 0) == 0, "another program cuts it");
    b.takes = b.gives = 0;
    return b;
}
static struct buffer buffer_map_same(void)
{
    struct buffer b = map_of(test.path, 0);
    b.at += 2000;
    b.takes = b.gives = b.mapped - 2000;
    return b;
}

static const struct {
    const char *name;
    struct buffer (*make)(void);
    bool same; /* of the file itself: what is read changes it */
} buffers[] = {
    {"good", buffer_good, false},
    {"address 8", buffer_low, false},
    {"the kernel's", buffer_kernel, false},
    {"PROT_NONE", buffer_none, false},
    {"PROT_READ", buffer_read_only, false},
    {"ends in nothing", buffer_ends_unmapped, false},
    {"ends in PROT_NONE", buffer_ends_none, false},
    {"ends in PROT_READ", buffer_ends_read_only, false},
    {"mapping of another file", buffer_map, false},
    {"mapping past another file's end", buffer_map_past_end, false},
    {"mapping of another file that was cut", buffer_map_truncated, false},
    {"mapping of the file itself", buffer_map_same, true},
};

static void drop(struct buffer *b)
{
    if (b->fd >= 0) {
        nvx.munmap(b->map, b->mapped);
        nvx.close(b->fd);
    } else if (b->map) {
        munmap(b->map, b->mapped);
    }
}

/* The result of a call of `length` bytes of which the first `good` can be moved. */
static void check_count(ssize_t n, size_t good, size_t length)
{
    if (good >= length)
        check(n == (ssize_t)length, "all of it");
    else if (!good)
        check(n == -1 && errno == EFAULT, "EFAULT");
    else
        check(n > 0 && n <= (ssize_t)good, "the bytes before the bad one");
}

/* The same behind PART good bytes. */
static void check_later(const struct buffer *b, ssize_t n, size_t good)
{
    if (b->refused)
        check(n == -1 && errno == EFAULT, "EFAULT for all buffers");
    else
        check(good < LONG ? n >= PART && n <= (ssize_t)(PART + good) : n == PART + LONG, "a good buffer before it");
}

static void read_into(const struct buffer *b, bool same)
{
    static uint8_t first[PART];
    struct iovec later[2] = {{first, PART}, {b->at, LONG}}, sooner[2] = {{b->at, LONG}, {first, PART}};
    const size_t at = (size_t)3 * PAGE - 500;
    check_count(nvx.pread(test.fd, b->at, LONG, (off_t)at), b->takes, LONG);
    check(!b->takes || same || !memcmp(b->at, test.bytes + at, b->takes < LONG ? b->takes : LONG), "the right bytes");
    check(nvx.lseek(test.fd, (off_t)at, SEEK_SET) == (off_t)at, "lseek");
    ssize_t n = nvx.read(test.fd, b->at, LONG);
    check_count(n, b->takes, LONG);
    check(nvx.lseek(test.fd, 0, SEEK_CUR) == (off_t)at + (n > 0 ? n : 0), "the offset says what was read");
    n = nvx.preadv(test.fd, later, 2, (off_t)at);
    check_later(b, n, b->takes);
    check(b->refused || !memcmp(first, test.bytes + at, PART) || same, "which has the right bytes");
    check_count(nvx.preadv(test.fd, sooner, 2, (off_t)at), b->takes < LONG ? b->takes : LONG + PART, LONG + PART);
    check(nvx.pread(test.fd, b->at, 0, (off_t)at) == (b->refused ? -1 : 0), "nothing is read anywhere");
}

static void expect_from(const struct buffer *b, size_t at, ssize_t n, const uint8_t *first, size_t before)
{
    if (n <= 0)
        return;
    size_t head = (size_t)n < before ? (size_t)n : before;
    expect(at, first, head);
    if ((size_t)n > head)
        expect(at + head, b->at, (size_t)n - head);
}

static void write_from(const struct buffer *b, bool same)
{
    static uint8_t first[PART];
    struct iovec later[2] = {{first, PART}, {b->at, LONG}}, sooner[2] = {{b->at, LONG}, {first, PART}};
    const size_t at = (size_t)5 * PAGE - 500, end = test.size;
    fill(first, PART, 33);
    ssize_t n = nvx.pwrite(test.fd, b->at, LONG, (off_t)at);
    check_count(n, b->gives, LONG);
    expect_from(b, at, n, NULL, 0);
    check(nvx.lseek(test.fd, (off_t)end, SEEK_SET) == (off_t)end, "lseek");
    n = nvx.write(test.fd, b->at, LONG); /* appends */
    check_count(n, b->gives, LONG);
    expect_from(b, end, n, NULL, 0);
    check(nvx.lseek(test.fd, 0, SEEK_CUR) == (off_t)end + (n > 0 ? n : 0), "the offset says what was written");
    n = nvx.pwritev(test.fd, later, 2, (off_t)at);
    check_later(b, n, b->gives);
    expect_from(b, at, n, first, PART);
    n = nvx.pwritev(test.fd, sooner, 2, (off_t)at);
    check_count(n, b->gives < LONG ? b->gives : LONG + PART, LONG + PART);
    if (n > LONG) {
        expect(at, b->at, LONG);
        expect(at + LONG, first, PART);
    } else {
        expect_from(b, at, n, NULL, 0);
    }
    check(nvx.pwrite(test.fd, b->at, 0, (off_t)at) == (b->refused ? -1 : 0), "nothing is written from anywhere");
    (void)same;
}

static void bad_buffers(void)
{
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        test.what = buffers[i].name;
        begin(0);
        struct buffer b = buffers[i].make();
        read_into(&b, buffers[i].same);
        drop(&b);
        check(!nvx.close(test.fd), "close");
        begin(0);
        b = buffers[i].make();
        write_from(&b, buffers[i].same);
        check_whole();
        drop(&b);
        check(!nvx.close(test.fd), "close");
    }
}

/* ---- another program changes the file ---- */

static void cut(off_t size)
{
    check(sys_truncate(test.path, size) == 0, "another program cuts the file");
}

/* What is read is what was written, zeros, or an error. Where `end`: behind it may be anything of these. */
static void read_what_is_left(void)
{
    uint8_t part[PART];
    for (size_t at = 0; at < test.size; at += PART) {
        ssize_t n = nvx.pread(test.fd, part, PART, (off_t)at);
        check(n >= 0 || errno == EIO, "a read gives bytes or EIO");
        for (ssize_t i = 0; i < n; i++)
            if (part[i] != test.bytes[at + (size_t)i] && part[i])
                check(false, "bytes that nobody wrote");
    }
}

/* A call on a file that changed underneath: done, or EIO. */
static void may_fail(long result, const char *promise)
{
    check(result >= 0 || errno == EIO, promise);
}

/* The process goes on, and after the last close the file can be used again. */
static void go_on(void)
{
    char byte;
    may_fail(nvx.close(test.fd), "close");
    test.what = "afterwards";
    test.fd = nvx.open(test.path, O_RDWR, 0600);
    check(test.fd >= 0, "the file can be opened");
    check(nvx.pwrite(test.fd, "again", 5, 10) == 5 && !nvx.fsync(test.fd), "and written");
    check(nvx.pread(test.fd, &byte, 1, 10) == 1 && byte == 'a', "and read");
    check(!nvx.close(test.fd), "and closed");
    begin(0);
    put(100, 5000, 3);
    check_whole();
    check(!nvx.close(test.fd), "another one is served as ever");
}

static void cut_and_read(void)
{
    static const off_t sizes[] = {0, CUT, 8 * PAGE};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        test.what = "read";
        begin(0);
        cut(sizes[i]);
        read_what_is_left();
        go_on();
    }
}

static void cut_and_write(void)
{
    static const struct {
        off_t size;
        size_t at, length;
    } cases[] = {{0, 2 * PAGE, 4 * PAGE}, {0, 2 * PAGE + 10, 20}, {CUT, 3 * PAGE, 8 * PAGE},
                 {CUT, 60000, 30},        {0, SIZE - 10, 5000},   {CUT, 100, 50},
                 {0, 80000, 10}};
    static uint8_t data[SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned syncs = 0; syncs < 2; syncs++) {
            test.what = syncs ? "write after a sync" : "write";
            begin(0);
            if (syncs)
                check(!nvx.fsync(test.fd), "fsync");
            cut(cases[i].size);
            may_fail(nvx.pwrite(test.fd, data, cases[i].length, (off_t)cases[i].at), "a write");
            may_fail(nvx.pwrite(test.fd, data, cases[i].length, (off_t)cases[i].at), "a second write");
            may_fail(nvx.fsync(test.fd), "fsync");
            may_fail(nvx.pwrite(test.fd, data, cases[i].length, (off_t)cases[i].at), "a third write");
            may_fail(nvx.ftruncate(test.fd, SIZE + 5000), "ftruncate");
            may_fail(nvx.fsync(test.fd), "a second fsync");
            go_on();
        }
}

static void cut_and_close(void)
{
    test.what = "close";
    begin(0);
    check(!nvx.fsync(test.fd), "fsync");
    cut(0);
    go_on();
    test.what = "idle";
    begin(0);
    check(!nvx.fsync(test.fd), "fsync");
    cut(CUT);
    usleep(400000); /* the background writes back */
    go_on();
}

/* While a child writes, reads and syncs all the time. */
static void cut_under_load(void)
{
    test.what = "load";
    for (unsigned round = 0; round < 6; round++) {
        int status = -1;
        begin(0);
        pid_t child = fork();
        if (child == 0) {
            static uint8_t data[SIZE];
            for (unsigned i = 0; i < 20000; i++) {
                nvx.pwrite(test.fd, data, 1 + i * 7919 % 20000, i * 104729 % SIZE);
                nvx.pread(test.fd, data, 1 + i * 7919 % 20000, i * 15485863 % SIZE);
                if (i % 16 == 0)
                    nvx.fsync(test.fd);
            }
            nvx.close(test.fd);
            _exit(0);
        }
        for (unsigned i = 0; i < 40; i++) {
            usleep(2000);
            sys_truncate(test.path, (off_t)((i + round) % 3 * PAGE * 3));
        }
        check(waitpid(child, &status, 0) == child && WIFEXITED(status), "a process that works on it goes on");
        go_on();
    }
}

static void punched(void)
{
    test.what = "punch";
    for (unsigned syncs = 0; syncs < 2; syncs++) {
        begin(0);
        if (syncs)
            check(!nvx.fsync(test.fd), "fsync");
        int fd = sys_openat(AT_FDCWD, test.path, O_RDWR, 0);
        int error = sys_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 20 * PAGE);
        sys_close(fd);
        if (error == -EOPNOTSUPP)
            continue;
        read_what_is_left();
        put(3 * PAGE, 5 * PAGE, 8);
        check(!nvx.fsync(test.fd), "fsync");
        static uint8_t part[5 * PAGE];
        check(nvx.pread(test.fd, part, sizeof part, 3 * PAGE) == sizeof part &&
                  !memcmp(part, test.bytes + (size_t)3 * PAGE, sizeof part),
              "what is written into a hole is there");
        read_what_is_left();
        go_on();
    }
}

/* ---- a page goes bad, as a medium's does ---- */

#define BAD_PAGE 20u

/* By the kernel's own means, where it has them: the page of the file is bad for everybody. */
static bool poison_file(void)
{
    int fd = sys_openat(AT_FDCWD, test.path, O_RDWR, 0);
    char *map = sys_mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sys_close(fd);
    *(volatile char *)(map + BAD_PAGE * PAGE);
    bool done = sys_madvise(map + BAD_PAGE * PAGE, PAGE, MADV_HWPOISON) == 0;
    sys_munmap(map, SIZE);
    return done;
}

/* Else for the mappings alone that this process has of it, the library's: a load there is SIGBUS, however long the file. */
static bool poison_address(int handler, uintptr_t address)
{
    struct uffdio_register range = {.range = {address, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    struct uffdio_poison poison = {.range = {address, PAGE}};
    return ioctl(handler, UFFDIO_REGISTER, &range) == 0 && madvise((void *)address, PAGE, MADV_DONTNEED) == 0 &&
           ioctl(handler, UFFDIO_POISON, &poison) == 0;
}

static unsigned poison_mappings(int handler)
{
    char line[512];
    unsigned count = 0;
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_POISON};
    FILE *maps = handler >= 0 && ioctl(handler, UFFDIO_API, &api) == 0 ? fopen("/proc/self/maps", "r") : NULL;
    while (maps && fgets(line, sizeof line, maps)) {
        uintptr_t start, end, offset;
        if (strstr(line, test.path) && sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && offset == 0 &&
            end - start > BAD_PAGE * PAGE)
            count += poison_address(handler, start + BAD_PAGE * PAGE);
    }
    if (maps)
        fclose(maps);
    return count;
}

/* Reads give what was written, or EIO; how many gave that. */
static unsigned read_around_poison(void)
{
    uint8_t part[PART];
    unsigned bad = 0;
    for (size_t at = 0; at < test.size; at += PART) {
        ssize_t n = nvx.pread(test.fd, part, PART, (off_t)at);
        check(n >= 0 || errno == EIO, "a read gives bytes or EIO");
        check(n < 0 || !memcmp(part, test.bytes + at, (size_t)n), "the bytes are right");
        bad += n < 0;
    }
    return bad;
}

static void poisoned(void)
{
    static uint8_t data[PAGE];
    test.what = "poison";
    begin(0);
    int handler = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    bool everywhere = poison_file();
    unsigned mappings = everywhere ? 0 : poison_mappings(handler);
    if (everywhere || mappings) {
        unsigned bad = read_around_poison();
        check(bad > 0, "who reads the bad page is told so");
        printf("poisoned: %s, %u reads told\n", everywhere ? "the file" : "the library's mapping", bad);
        may_fail(nvx.pwrite(test.fd, data, 100, BAD_PAGE * PAGE + 10), "a write of a part of the page");
        may_fail(nvx.fsync(test.fd), "fsync");
        may_fail(nvx.pwrite(test.fd, data, PAGE, BAD_PAGE * PAGE), "a write of the page");
    } else {
        printf("poisoned: nothing is mapped, or not on this kernel\n");
    }
    may_fail(nvx.close(test.fd), "close");
    close(handler);
    begin(0);
    check_whole();
    check(!nvx.close(test.fd), "another file is served as ever");
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"bad_buffers", bad_buffers},       {"cut_and_read", cut_and_read}, {"cut_and_write", cut_and_write},
    {"cut_and_close", cut_and_close},   {"punched", punched},           {"poisoned", poisoned},
    {"cut_under_load", cut_under_load},
};

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IONBF, 0);
    test.directory = argv[1];
    snprintf(test.path, sizeof test.path, "%s/file", test.directory);
    snprintf(test.other, sizeof test.other, "%s/other", test.directory);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc > 2 && strcmp(argv[2], cases[i].name))
            continue;
        test.name = cases[i].name;
        cases[i].run();
    }
    printf("%u failures\n", test.failures);
    return test.failures != 0;
}
