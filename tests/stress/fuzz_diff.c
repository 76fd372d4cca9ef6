/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fuzz_diff.c — differential fuzzer: random file calls through the library on one directory and the same calls on the
 * kernel on another. Results, errno, offsets, sizes and contents must be the same after each one.
 *
 *     fuzz_diff [--seconds S] [--seed N] [--ops N] [--dir DIR] [--only] [--verbose] [--plant]
 *
 * A run is `ops` operations that follow from its seed; each is made from the hash of seed and its number alone, so that
 * a failing run can be shrunk by leaving operations out. --only runs one seed; --plant makes one call in 500 go wrong on
 * purpose and expects to be told. NVMMIO_ROOT is set by the program itself: DIR/fuzz.PID/managed.
 */
#include "support/leak.h"
#include "support/nvx.h"
#include "support/place.h"
#include "support/tool.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 6
#define FILES 3
#define NEAR (700u << 10)   /* where most offsets lie */
#define WINDOW (256u << 10) /* compared around a far place */
#define BUFFER (1u << 20)
#define OPS_MAX 20000u
#define RUN_SECONDS 60u

/* Far places: the limits of 31, 32 and 33 bits, and a sparse distance. */
static const off_t far_place[] = {(INT64_C(1) << 31) - 5000, (INT64_C(1) << 32) - 3000, (INT64_C(1) << 33) + 17,
                                  (INT64_C(1) << 40) + 4095};
#define FAR_PLACES (sizeof(far_place) / sizeof(far_place[0]))

enum kind {
    K_OPEN,
    K_CLOSE,
    K_DUP,
    K_DUP2,
    K_PWRITE,
    K_WRITE,
    K_PREAD,
    K_READ,
    K_WRITEV,
    K_PWRITEV,
    K_READV,
    K_PREADV,
    K_LSEEK,
    K_TRUNCATE,
    K_SYNC,
    K_STAT,
    K_FALLOCATE,
    K_MMAP,
    K_MEMCPY,
    K_UNLINK,
    K_RENAME,
    K_LINK,
    K_HOLE,
    K_FORK,
    K_EXEC,
    K_IDLE,
    K_COMPARE,
    KINDS
};

static const struct {
    const char *name;
    unsigned weight;
} kinds[KINDS] = {
    [K_OPEN] = {"open", 60},
    [K_CLOSE] = {"close", 25},
    [K_DUP] = {"dup", 8},
    [K_DUP2] = {"dup2", 4},
    [K_PWRITE] = {"pwrite", 200},
    [K_WRITE] = {"write", 120},
    [K_PREAD] = {"pread", 120},
    [K_READ] = {"read", 80},
    [K_WRITEV] = {"writev", 30},
    [K_PWRITEV] = {"pwritev", 30},
    [K_READV] = {"readv", 25},
    [K_PREADV] = {"preadv", 25},
    [K_LSEEK] = {"lseek", 60},
    [K_TRUNCATE] = {"ftruncate", 40},
    [K_SYNC] = {"fsync", 60},
    [K_STAT] = {"fstat", 30},
    [K_FALLOCATE] = {"fallocate", 20},
    [K_MMAP] = {"mmap", 6},
    [K_MEMCPY] = {"memcpy", 5},
    [K_UNLINK] = {"unlink", 4},
    [K_RENAME] = {"rename", 3},
    [K_LINK] = {"link", 3},
    [K_HOLE] = {"seek data and hole", 20},
    [K_FORK] = {"fork", 1},
    [K_EXEC] = {"exec", 1},
    [K_IDLE] = {"idle", 1},
    [K_COMPARE] = {"compare", 15},
};

/* What the parent and the child that runs the operations share. */
struct report {
    uint64_t op;   /* number of the failing, or of the current, operation */
    uint64_t done; /* operations run */
    bool failed;
    char text[600];
};

struct side {
    const struct nvx *io;
    char dir[256];
    int fd[SLOTS];
};

static struct {
    char base[200];
    struct report *report;
    uint8_t *skip; /* by number: leave this operation out */
    bool verbose, plant, private_shm;
    struct side side[2]; /* 0: under test, 1: kernel */
    uint8_t *buf[2], *data;
    struct tool_rng rng;
    enum kind kind;
    bool nv_mmap; /* a mapping of the side under test is registered: nvmmap */
} run;

/* ---- telling ---- */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(run.report->text, sizeof(run.report->text), format, args);
    va_end(args);
    run.report->failed = true;
    _exit(1);
}

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    if (!run.verbose)
        return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

struct outcome {
    int64_t value;
    int error;
};

static struct outcome outcome_of(int64_t value)
{
    return (struct outcome){.value = value, .error = value < 0 ? errno : 0};
}

static void same(const char *what, struct outcome a, struct outcome b)
{
    say(" = %" PRId64 " %s\n", b.value, b.error ? strerror(b.error) : "");
    if (a.value != b.value || a.error != b.error)
        fail("%s gave %" PRId64 " (%s), the kernel %" PRId64 " (%s)", what, a.value, a.error ? strerror(a.error) : "-",
             b.value, b.error ? strerror(b.error) : "-");
}

/* ---- comparing ---- */

static int64_t size_of(const struct side *s, int slot)
{
    struct stat st;
    return s->io->fstat(s->fd[slot], &st) ? -1 : st.st_size;
}

static void compare_range(int slot, off_t offset, size_t length)
{
    struct outcome o[2];
    if (offset < 0)
        length -= (size_t)-offset, offset = 0;
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->pread(run.side[n].fd[slot], run.buf[n], length, offset));
    if (o[0].value != o[1].value || o[0].error != o[1].error)
        fail("pread of %zu at %lld gave %" PRId64 " (errno %d), the kernel %" PRId64 " (errno %d)", length,
             (long long)offset, o[0].value, o[0].error, o[1].value, o[1].error);
    for (int64_t i = 0; i < o[1].value; i++) {
        if (run.buf[0][i] == run.buf[1][i])
            continue;
        int64_t wrong = 0;
        for (int64_t k = i; k < o[1].value; k++)
            wrong += run.buf[0][k] != run.buf[1][k];
        fail("content of slot %d differs at %lld (block %lld, line %lld): %02x, kernel %02x; %" PRId64
             " bytes differ; size %" PRId64,
             slot, (long long)offset + i, (long long)(offset + i) >> 12, (long long)(offset + i) >> 6 & 63,
             run.buf[0][i], run.buf[1][i], wrong, size_of(&run.side[1], slot));
    }
}

static void compare_size(int slot)
{
    int64_t a = size_of(&run.side[0], slot), b = size_of(&run.side[1], slot);
    if (a != b)
        fail("size of slot %d is %" PRId64 ", kernel %" PRId64, slot, a, b);
}

static void compare_offset(int slot)
{
    off_t at[2];
    for (int n = 0; n < 2; n++)
        at[n] = run.side[n].io->lseek(run.side[n].fd[slot], 0, SEEK_CUR);
    if (at[0] != at[1])
        fail("offset of slot %d is %lld, kernel %lld", slot, (long long)at[0], (long long)at[1]);
}

static bool readable(int slot)
{
    int fd = run.side[1].fd[slot];
    return fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

static void compare_slot(int slot)
{
    compare_size(slot);
    compare_offset(slot);
    if (!readable(slot))
        return;
    int64_t size = size_of(&run.side[1], slot);
    compare_range(slot, 0, BUFFER);
    for (size_t i = 0; i < FAR_PLACES; i++)
        if (size > far_place[i] - (off_t)WINDOW)
            compare_range(slot, far_place[i] - WINDOW / 2, WINDOW);
    if (size > (int64_t)BUFFER)
        compare_range(slot, size - 65536, 65536 + 10);
}

static bool is_open_elsewhere(ino_t ino)
{
    struct stat st;
    for (int slot = 0; slot < SLOTS; slot++)
        if (run.side[1].fd[slot] >= 0 && !fstat(run.side[1].fd[slot], &st) && st.st_ino == ino)
            return true;
    return false;
}

/* After a last close the file is an ordinary one: the kernel's calls must show it whole. */
static void compare_closed(int file)
{
    char name[2][300];
    int fd[2];
    struct stat st[2];
    for (int n = 0; n < 2; n++) {
        snprintf(name[n], sizeof(name[n]), "%s/f%d", run.side[n].dir, file);
        fd[n] = open(name[n], O_RDONLY);
    }
    if ((fd[0] < 0) != (fd[1] < 0))
        fail("file %d is there on one side only", file);
    if (fd[0] < 0)
        return;
    if (fstat(fd[0], &st[0]) || fstat(fd[1], &st[1]))
        fail("fstat of a closed file");
    if (!is_open_elsewhere(st[1].st_ino)) {
        if (st[0].st_size != st[1].st_size)
            fail("closed file %d: size %lld, kernel %lld", file, (long long)st[0].st_size, (long long)st[1].st_size);
        for (size_t i = 0; i <= FAR_PLACES; i++) {
            off_t at = i ? far_place[i - 1] - WINDOW / 2 : 0;
            size_t length = i ? WINDOW : BUFFER;
            ssize_t a = pread(fd[0], run.buf[0], length, at), b = pread(fd[1], run.buf[1], length, at);
            if (a != b || (b > 0 && memcmp(run.buf[0], run.buf[1], (size_t)b)))
                fail("closed file %d, read with the kernel's calls: differs within %zu bytes from %lld", file, length,
                     (long long)at);
        }
    }
    close(fd[0]);
    close(fd[1]);
}

/* ---- operations ---- */

static uint64_t below(uint64_t n)
{
    return tool_below(&run.rng, n);
}

static off_t pick_offset(int slot)
{
    uint64_t kind = below(100);
    off_t size = (off_t)size_of(&run.side[1], slot);
    if (size < 0)
        size = 0;
    if (kind < 3)
        return far_place[below(FAR_PLACES)] + (off_t)below(9000) - 4500;
    if (kind < 4)
        return -(off_t)below(5000);
    if (kind < 20)
        return size;
    if (kind < 50)
        return (off_t)(below(NEAR) & ~UINT64_C(4095));
    if (kind < 75 && size && size < (off_t)NEAR)
        return (off_t)below((uint64_t)size);
    return (off_t)below(NEAR);
}

static int pick_vector(struct iovec *iov, uint8_t *buf, size_t length)
{
    int count = (int)below(5);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        size_t part = i + 1 == count ? length - used : below(length - used + 1);
        iov[i] = (struct iovec){.iov_base = buf + used, .iov_len = part};
        used += part;
    }
    return count;
}

static size_t pick_length(void)
{
    return below(50) ? tool_length(&run.rng, 200000) : 0;
}

static void compare_all_closed(void)
{
    for (int file = 0; file < FILES; file++)
        compare_closed(file);
}

static void do_open(int slot)
{
    static const int modes[] = {O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_WRONLY, O_RDONLY, O_RDWR};
    int flags = modes[below(10)] | (below(10) ? O_CREAT : 0) | (below(7) ? 0 : O_APPEND) | (below(20) ? 0 : O_TRUNC);
    flags |= below(30) ? 0 : O_SYNC;
    flags |= below(30) ? 0 : O_DSYNC;
    flags |= below(40) ? 0 : O_EXCL;
    int file = (int)below(FILES);
    struct outcome o[2];
    say(" slot %d file %d flags %#x", slot, file, (unsigned)flags);
    for (int n = 0; n < 2; n++) {
        char name[300];
        struct side *s = &run.side[n];
        snprintf(name, sizeof(name), "%s/f%d", s->dir, file);
        if (s->fd[slot] >= 0)
            s->io->close(s->fd[slot]);
        s->fd[slot] = s->io->open(name, flags, 0640);
        o[n] = outcome_of(s->fd[slot] < 0 ? -1 : 0);
    }
    same("open", o[0], o[1]);
    if (run.side[1].fd[slot] >= 0)
        compare_slot(slot);
}

static void do_close(int slot)
{
    struct outcome o[2];
    say(" slot %d", slot);
    for (int n = 0; n < 2; n++) {
        o[n] = outcome_of(run.side[n].io->close(run.side[n].fd[slot]));
        run.side[n].fd[slot] = -1;
    }
    same("close", o[0], o[1]);
    compare_all_closed();
}

static void do_dup(int slot)
{
    int to = (int)below(SLOTS);
    bool two = run.kind == K_DUP2 && run.side[1].fd[to] >= 0;
    say(" slot %d to %d", slot, to);
    struct outcome o[2];
    if (!two && to == slot)
        return;
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        if (two) {
            o[n] = outcome_of(s->io->dup2(s->fd[slot], s->fd[to]) == s->fd[to] ? 0 : -1);
        } else {
            if (s->fd[to] >= 0)
                s->io->close(s->fd[to]);
            s->fd[to] = s->io->dup(s->fd[slot]);
            o[n] = outcome_of(s->fd[to] < 0 ? -1 : 0);
        }
    }
    same("dup", o[0], o[1]);
    compare_all_closed();
}

static void do_write(int slot)
{
    size_t length = pick_length();
    off_t offset = pick_offset(slot);
    struct iovec iov[2][5];
    struct outcome o[2];
    /* Past the end tmpfs lets a write that fails with EFAULT raise the size: nothing to imitate. */
    bool at_offset = run.kind != K_WRITE && run.kind != K_WRITEV;
    bool bad = !below(300) && at_offset && offset + (off_t)length <= (off_t)size_of(&run.side[1], slot);
    bool planted = run.plant && !below(500);
    uint64_t key = tool_random(&run.rng);
    tool_pattern(run.data, length, key, 0);
    uint8_t *from = bad ? (uint8_t *)8 : run.data;
    struct tool_rng again = run.rng;
    say(" slot %d length %zu offset %lld%s", slot, length, (long long)offset, bad ? " from a bad address" : "");
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        int fd = s->fd[slot];
        run.rng = again;
        int count = pick_vector(iov[n], from, length);
        if (n == 0 && planted && length > 1)
            run.data[length / 2] ^= 1;
        switch (run.kind) {
        case K_PWRITE:
            o[n] = outcome_of(s->io->pwrite(fd, from, length, offset));
            break;
        case K_WRITE:
            o[n] = outcome_of(s->io->write(fd, from, length));
            break;
        case K_WRITEV:
            o[n] = outcome_of(s->io->writev(fd, iov[n], count));
            break;
        default:
            o[n] = outcome_of(s->io->pwritev(fd, iov[n], count, offset));
            break;
        }
        if (n == 0 && planted && length > 1)
            run.data[length / 2] ^= 1;
    }
    same(kinds[run.kind].name, o[0], o[1]);
    compare_size(slot);
    compare_offset(slot);
    if (!readable(slot) || o[1].value <= 0)
        return;
    if (run.kind == K_WRITE || run.kind == K_WRITEV)
        offset = lseek(run.side[1].fd[slot], 0, SEEK_CUR) - (off_t)o[1].value;
    if (fcntl(run.side[1].fd[slot], F_GETFL) & O_APPEND)
        offset = (off_t)(size_of(&run.side[1], slot) - o[1].value);
    compare_range(slot, offset - 4200, (size_t)o[1].value + 8400);
}

static void do_read(int slot)
{
    size_t length = pick_length();
    off_t offset = pick_offset(slot);
    struct iovec iov[5];
    struct outcome o[2];
    struct tool_rng again = run.rng;
    say(" slot %d length %zu offset %lld", slot, length, (long long)offset);
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        int fd = s->fd[slot];
        run.rng = again;
        memset(run.buf[n], 0xee, length);
        int count = pick_vector(iov, run.buf[n], length);
        switch (run.kind) {
        case K_PREAD:
            o[n] = outcome_of(s->io->pread(fd, run.buf[n], length, offset));
            break;
        case K_READ:
            o[n] = outcome_of(s->io->read(fd, run.buf[n], length));
            break;
        case K_READV:
            o[n] = outcome_of(s->io->readv(fd, iov, count));
            break;
        default:
            o[n] = outcome_of(s->io->preadv(fd, iov, count, offset));
            break;
        }
    }
    same(kinds[run.kind].name, o[0], o[1]);
    if (memcmp(run.buf[0], run.buf[1], length))
        fail("%s of %zu at %lld: other bytes than the kernel's", kinds[run.kind].name, length, (long long)offset);
    compare_offset(slot);
}

static void do_lseek(int slot)
{
    static const int whences[] = {SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, 77};
    int whence = whences[below(below(20) ? 4 : 5)];
    off_t offset = whence == SEEK_SET ? pick_offset(slot) : (off_t)below(20000) - 12000;
    struct outcome o[2];
    say(" slot %d offset %lld whence %d", slot, (long long)offset, whence);
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->lseek(run.side[n].fd[slot], offset, whence));
    same("lseek", o[0], o[1]);
}

static void do_truncate(int slot)
{
    off_t length = below(10) ? (off_t)below(NEAR) : pick_offset(slot);
    struct outcome o[2];
    if (!below(15))
        length = 0;
    say(" slot %d to %lld", slot, (long long)length);
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->ftruncate(run.side[n].fd[slot], length));
    same("ftruncate", o[0], o[1]);
    compare_size(slot);
    if (readable(slot) && length >= 0)
        compare_range(slot, length - 5000, 10000);
}

static void do_sync(int slot)
{
    struct outcome o[2];
    bool data = below(2);
    say(" slot %d", slot);
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        o[n] = outcome_of(data ? s->io->fdatasync(s->fd[slot]) : s->io->fsync(s->fd[slot]));
    }
    same("fsync", o[0], o[1]);
}

static void do_stat(int slot)
{
    struct stat st[2];
    struct outcome o[2];
    say(" slot %d", slot);
    memset(st, 0, sizeof(st));
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->fstat(run.side[n].fd[slot], &st[n]));
    same("fstat", o[0], o[1]);
    if (st[0].st_size != st[1].st_size || st[0].st_mode != st[1].st_mode || st[0].st_nlink != st[1].st_nlink)
        fail("fstat: size %lld mode %o links %u, kernel %lld %o %u", (long long)st[0].st_size, st[0].st_mode,
             (unsigned)st[0].st_nlink, (long long)st[1].st_size, st[1].st_mode, (unsigned)st[1].st_nlink);
}

static void do_fallocate(int slot)
{
    static const int modes[] = {0,
                                0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                                FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_COLLAPSE_RANGE,
                                FALLOC_FL_PUNCH_HOLE};
    int mode = modes[below(8)];
    off_t offset = (off_t)below(NEAR) - (below(50) ? 0 : 100), length = (off_t)below(60000) - (below(50) ? 0 : 100);
    struct outcome o[2];
    say(" slot %d mode %#x offset %lld length %lld", slot, (unsigned)mode, (long long)offset, (long long)length);
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->fallocate(run.side[n].fd[slot], mode, offset, length));
    same("fallocate", o[0], o[1]);
    compare_size(slot);
    if (readable(slot))
        compare_range(slot, offset - 5000, 80000);
}

/* Maps, compares what is to be seen, and with K_MEMCPY changes some of it. */
static void do_map(int slot)
{
    int64_t size = size_of(&run.side[1], slot);
    off_t offset = (off_t)(below(NEAR) & ~UINT64_C(4095));
    size_t length = 1 + below(100000);
    int flags = run.kind == K_MEMCPY || below(2) ? MAP_SHARED : MAP_PRIVATE;
    bool write = run.kind == K_MEMCPY;
    uint8_t *p[2];
    struct outcome o[2];
    say(" slot %d offset %lld length %zu flags %#x", slot, (long long)offset, length, (unsigned)flags);
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        p[n] = s->io->mmap(NULL, length, PROT_READ | (write ? PROT_WRITE : 0), flags, s->fd[slot], offset);
        o[n] = outcome_of(p[n] == MAP_FAILED ? -1 : 0);
    }
    same("mmap", o[0], o[1]);
    if (o[1].value)
        return;
    size_t there = offset >= size ? 0 : size - offset < (int64_t)length ? (size_t)(size - offset) : length;
    if (memcmp(p[0], p[1], there))
        fail("mmap at %lld: other bytes than the kernel's", (long long)offset);
    if (write && there) {
        size_t at = below(there), n = 1 + below(there - at);
        tool_pattern(run.data, n, tool_random(&run.rng), 0);
        for (int i = 0; i < 2; i++)
            if (run.side[i].io->memcpy(p[i] + at, run.data, n) != p[i] + at)
                fail("memcpy of %zu into a mapping failed: %s", n, strerror(errno));
        if (memcmp(p[0], p[1], there))
            fail("after memcpy into a mapping: other bytes than the kernel's");
    }
    struct outcome sync[2];
    for (int n = 0; n < 2 && write; n++)
        sync[n] = outcome_of(run.side[n].io->msync(p[n], length, MS_SYNC));
    if (write)
        same("msync", sync[0], sync[1]);
    for (int n = 0; n < 2; n++)
        if (run.side[n].io->munmap(p[n], length))
            fail("munmap: %s", strerror(errno));
    compare_slot(slot);
}

static void do_names(void)
{
    char name[300], to[300];
    int file = (int)below(FILES), other = (int)below(FILES);
    struct outcome o[2];
    say(" file %d to %d", file, other);
    for (int n = 0; n < 2; n++) {
        snprintf(name, sizeof(name), "%s/f%d", run.side[n].dir, file);
        snprintf(to, sizeof(to), "%s/f%d", run.side[n].dir, other);
        o[n] = outcome_of(run.kind == K_UNLINK ? unlink(name) : run.kind == K_LINK ? link(name, to) : rename(name, to));
    }
    same(kinds[run.kind].name, o[0], o[1]);
}

/* A forked child writes on the inherited descriptors. */
static void do_fork(int slot)
{
    size_t length = tool_length(&run.rng, 20000);
    off_t offset = (off_t)below(NEAR);
    bool orderly = below(2);
    say(" slot %d length %zu offset %lld\n", slot, length, (long long)offset);
    tool_pattern(run.data, length, tool_random(&run.rng), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int bad = 0;
        for (int n = 0; n < 2; n++) {
            struct side *s = &run.side[n];
            bad |= s->io->pwrite(s->fd[slot], run.data, length, offset) != (ssize_t)length && n == 0;
            bad |= s->io->write(s->fd[slot], run.data, 100) != 100 && n == 0;
            bad |= s->io->fsync(s->fd[slot]) && n == 0;
        }
        bad = bad && (fcntl(run.side[1].fd[slot], F_GETFL) & O_ACCMODE) != O_RDONLY;
        if (orderly)
            exit(bad);
        _exit(bad);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        fail("a forked child that wrote ended with status %#x", (unsigned)status);
    compare_slot(slot);
}

static void must_be_zero(int slot, off_t from, off_t to, const char *what)
{
    size_t length = to - from < (off_t)BUFFER ? (size_t)(to - from) : BUFFER;
    ssize_t n = run.side[1].io->pread(run.side[1].fd[slot], run.buf[1], length, from);
    for (ssize_t i = 0; i < n; i++)
        if (run.buf[1][i])
            fail("%s: no data from %lld to %lld, but byte %lld is %02x", what, (long long)from, (long long)to,
                 (long long)(from + i), run.buf[1][i]);
}

/* Where data and holes are the two sides may see differently, but what is told to be a hole is zero. */
static void do_hole(int slot)
{
    const struct side *s = &run.side[0];
    off_t from = (off_t)below(NEAR), size = (off_t)size_of(&run.side[1], slot);
    struct outcome o[2];
    say(" slot %d from %lld\n", slot, (long long)from);
    struct outcome data = outcome_of(s->io->lseek(s->fd[slot], from, SEEK_DATA));
    struct outcome hole = outcome_of(s->io->lseek(s->fd[slot], from, SEEK_HOLE));
    if (data.value < 0 && data.error != ENXIO)
        fail("SEEK_DATA: %s", strerror(data.error));
    if (from >= size && (data.value >= 0 || hole.value >= 0 || hole.error != ENXIO))
        fail("SEEK_DATA and SEEK_HOLE from behind the end gave %" PRId64 ", %" PRId64, data.value, hole.value);
    if (from < size && (hole.value < from || hole.value > size || (data.value >= 0 && data.value < from)))
        fail("SEEK_DATA and SEEK_HOLE from %lld gave %" PRId64 ", %" PRId64, (long long)from, data.value, hole.value);
    if (from < size && readable(slot)) {
        must_be_zero(slot, from, data.value < 0 ? size : data.value, "SEEK_DATA");
        off_t next = s->io->lseek(s->fd[slot], hole.value, SEEK_DATA);
        must_be_zero(slot, hole.value, next < 0 ? size : next, "SEEK_HOLE");
    }
    for (int n = 0; n < 2; n++)
        o[n] = outcome_of(run.side[n].io->lseek(run.side[n].fd[slot], from, SEEK_SET));
    same("lseek", o[0], o[1]);
}

/* Another program gets the descriptor, reads and writes by it. Only where it can know what it has. */
static void do_exec(int slot)
{
    static const char script[] =
        "exec 2>/dev/null; dd bs=100 count=2 status=none <&9 | cksum; echo from another program >&9; "
        "cat /proc/self/fdinfo/9 | grep pos";
    char output[2][200];
    say(" slot %d\n", slot);
    if (!nvx_is_kernel || size_of(&run.side[1], slot) > (int64_t)BUFFER)
        return;
    for (int n = 0; n < 2; n++) {
        int pipes[2], status = 0;
        if (pipe(pipes))
            fail("pipe: %s", strerror(errno));
        pid_t pid = fork();
        if (pid == 0) {
            if (dup2(pipes[1], 1) == 1 && run.side[n].io->dup2(run.side[n].fd[slot], 9) == 9)
                execl("/bin/sh", "sh", "-c", script, NULL);
            _exit(127);
        }
        close(pipes[1]);
        size_t used = 0;
        for (ssize_t got; (got = read(pipes[0], output[n] + used, sizeof(output[n]) - 1 - used)) > 0;)
            used += (size_t)got;
        output[n][used] = 0;
        close(pipes[0]);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) == 127)
            fail("the other program ended with status %#x", (unsigned)status);
    }
    if (strcmp(output[0], output[1]))
        fail("another program with the descriptor says '%s', on the kernel '%s'", output[0], output[1]);
    compare_slot(slot);
}

static void do_op(uint64_t number, uint64_t seed)
{
    unsigned sum = 0, at = 0;
    run.rng.state = tool_mix2(seed, number);
    for (unsigned i = 0; i < KINDS; i++)
        sum += kinds[i].weight;
    uint64_t pick = below(sum);
    while (pick >= kinds[at].weight)
        pick -= kinds[at++].weight;
    run.kind = (enum kind)at;
    int slot = (int)below(SLOTS);
    for (int i = 0; i < SLOTS && run.side[1].fd[slot] < 0; i++)
        slot = (slot + 1) % SLOTS; /* an open one, if there is any */
    if (run.side[1].fd[slot] < 0 && run.kind != K_IDLE)
        run.kind = K_OPEN;
    else if (run.kind == K_OPEN)
        slot = (int)below(SLOTS);
    say("%llu %s", (unsigned long long)number, kinds[run.kind].name);
    switch (run.kind) {
    case K_OPEN:
        do_open(slot);
        break;
    case K_CLOSE:
        do_close(slot);
        break;
    case K_DUP:
    case K_DUP2:
        do_dup(slot);
        break;
    case K_PWRITE:
    case K_WRITE:
    case K_WRITEV:
    case K_PWRITEV:
        do_write(slot);
        break;
    case K_PREAD:
    case K_READ:
    case K_READV:
    case K_PREADV:
        do_read(slot);
        break;
    case K_LSEEK:
        do_lseek(slot);
        break;
    case K_TRUNCATE:
        do_truncate(slot);
        break;
    case K_SYNC:
        do_sync(slot);
        break;
    case K_STAT:
        do_stat(slot);
        break;
    case K_FALLOCATE:
        do_fallocate(slot);
        break;
    case K_MMAP:
    case K_MEMCPY:
        do_map(slot);
        break;
    case K_UNLINK:
    case K_RENAME:
    case K_LINK:
        do_names();
        break;
    case K_HOLE:
        do_hole(slot);
        break;
    case K_EXEC:
        do_exec(slot);
        break;
    case K_FORK:
        do_fork(slot);
        break;
    case K_IDLE:
        say("\n");
        tool_sleep_us(130000); /* idle write-back */
        break;
    default:
        say(" slot %d\n", slot);
        compare_slot(slot);
        break;
    }
}

static void run_ops(uint64_t seed, uint64_t ops)
{
    static const char *const names[2] = {"managed", "kernel"};
    alarm(RUN_SECONDS);
    for (int n = 0; n < 2; n++) {
        struct side *s = &run.side[n];
        s->io = n == 0 ? &nvx : &nvx_plain;
        snprintf(s->dir, sizeof(s->dir), "%s/%s", run.base, names[n]);
        for (int i = 0; i < SLOTS; i++)
            s->fd[i] = -1;
    }
    for (uint64_t i = 0; i < ops; i++) {
        if (run.skip[i])
            continue;
        run.report->op = i;
        do_op(i, seed);
        run.report->done++;
    }
    run.report->op = ops;
    for (int slot = 0; slot < SLOTS; slot++) {
        if (run.side[1].fd[slot] < 0)
            continue;
        compare_slot(slot);
        do_close(slot);
    }
}

/* ---- runs and shrinking, in the parent ---- */

static void clean(void)
{
    char command[1024];
    snprintf(command, sizeof(command), "rm -rf %s/kernel %s/managed && mkdir -p %s/kernel %s/managed", run.base,
             run.base, run.base, run.base);
    if (system(command) || (run.private_shm && system("rm -f /dev/shm/nvmmio-*")))
        exit(2);
}

/* True if the run went well. */
static bool run_seed(uint64_t seed, uint64_t ops)
{
    clean();
    memset(run.report, 0, sizeof(*run.report));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_ops(seed, ops);
        exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(2);
    char root[300], found[600];
    snprintf(root, sizeof(root), "%s/managed", run.base);
    if (status == 0 && !leak_any(root, run.private_shm, found, sizeof(found)))
        return true;
    if (status == 0)
        snprintf(run.report->text, sizeof(run.report->text), "left over: %.500s", found);
    run.report->failed |= status == 0;
    if (!run.report->failed)
        snprintf(run.report->text, sizeof(run.report->text), "the process ended with status %#x%s", (unsigned)status,
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (hang)" : "");
    return false;
}

/* Leaves out all that is not needed to fail. */
static void shrink(uint64_t seed, uint64_t *ops)
{
    uint64_t end = tool_now_ns() + UINT64_C(60000000000);
    if (run.report->op < *ops)
        *ops = run.report->op + 1;
    for (uint64_t chunk = *ops / 2; chunk >= 1 && tool_now_ns() < end; chunk /= 2) {
        for (uint64_t at = 0; at < *ops && tool_now_ns() < end; at += chunk) {
            uint64_t length = chunk < *ops - at ? chunk : *ops - at;
            uint8_t before[OPS_MAX];
            memcpy(before, run.skip, *ops);
            memset(run.skip + at, 1, length);
            if (run_seed(seed, *ops))
                memcpy(run.skip, before, *ops);
        }
    }
}

static void report_failure(uint64_t seed, uint64_t ops)
{
    char text[sizeof(run.report->text)];
    printf("FAIL seed %llu op %llu: %s\n", (unsigned long long)seed, (unsigned long long)run.report->op,
           run.report->text);
    snprintf(text, sizeof(text), "%s", run.report->text);
    fflush(stdout);
    shrink(seed, &ops);
    printf("shrunk to:\n");
    run.verbose = true;
    run_seed(seed, ops);
    printf("\n%s\nagain: --seed %llu --only\n", run.report->text, (unsigned long long)seed);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"seconds", 1, NULL, 't'}, {"seed", 1, NULL, 's'}, {"ops", 1, NULL, 'o'},
                                          {"dir", 1, NULL, 'd'},     {"only", 0, NULL, '1'}, {"verbose", 0, NULL, 'v'},
                                          {"plant", 0, NULL, 'P'},   {NULL, 0, NULL, 0}};
    uint64_t seed = tool_now_ns() % 1000000, seconds = 10, ops = 3000, done = 0, runs = 0;
    const char *dir = place_directory();
    bool only = false, failed = false;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 't')
            seconds = strtoull(optarg, NULL, 0);
        else if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'o')
            ops = strtoull(optarg, NULL, 0);
        else if (c == 'd')
            dir = optarg;
        else if (c == '1')
            only = true;
        else if (c == 'v')
            run.verbose = true;
        else if (c == 'P')
            run.plant = true;
        else
            return 2;
    }
    const char *scale = getenv("NVMMIO_TEST_SCALE");
    if (scale && atoi(scale) > 1)
        seconds *= (uint64_t)atoi(scale);
    if (ops > OPS_MAX)
        ops = OPS_MAX;
    snprintf(run.base, sizeof(run.base), "%s/fuzz.%d", dir, getpid());
    /* The library reads its configuration before main, so the program starts itself again once NVMMIO_ROOT is known;
     * the process id, and with it the directory, stays the same. */
    char root[300];
    snprintf(root, sizeof(root), "%s/managed", run.base);
    if (!getenv("NVMMIO_ROOT") || strcmp(getenv("NVMMIO_ROOT"), root)) {
        if (leak_private_shm())
            setenv("FUZZ_PRIVATE_SHM", "1", 1);
        if (mkdir(run.base, 0700) || mkdir(root, 0700))
            return 2;
        setenv("NVMMIO_ROOT", root, 1);
        setenv("NVMMIO_CONF", "pm:force", 0); /* attach when PM needs it, whether it pays or not */
        execv("/proc/self/exe", argv);
        return 2;
    }
    run.private_shm = getenv("FUZZ_PRIVATE_SHM");
    int shared = PROT_READ | PROT_WRITE;
    run.report = mmap(NULL, sizeof(*run.report), shared, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run.skip = calloc(1, OPS_MAX);
    run.data = calloc(1, 2 * BUFFER);
    run.buf[0] = calloc(1, 2 * BUFFER);
    run.buf[1] = calloc(1, 2 * BUFFER);
    printf("differential fuzzer: %s against the kernel, seed %llu\n", nvx.name, (unsigned long long)seed);
    uint64_t start = tool_now_ns(), end = start + seconds * UINT64_C(1000000000);
    do {
        failed = !run_seed(seed, ops);
        done += run.report->done;
        runs++;
        if (failed)
            report_failure(seed, ops);
        seed++;
    } while (!failed && !only && tool_now_ns() < end);
    char command[1024];
    snprintf(command, sizeof(command), "rm -rf %s", run.base);
    if (system(command))
        printf("cannot remove %s\n", run.base);
    double time = (double)(tool_now_ns() - start) * 1e-9;
    printf("%s: %llu runs, %llu operations, %.0f per second\n", failed ? "FAILED" : "ok", (unsigned long long)runs,
           (unsigned long long)done, (double)done / time);
    if (run.plant)
        printf("%s\n", failed ? "ok: failed as it must" : "FAILED: this must fail");
    return failed != run.plant;
}
