/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cut_worker.c — a writer of the power-cut test: judges what the last cut has left of its file, then writes on until the
 * next one.
 *
 *     cut_worker --role ROLE --dir DIR --seed S --generation G --known STATES (--port P [--second-port P] | --events F)
 *                [--verify] [--epochs N] [--plant-early] [--plain]
 *     cut_worker --say TEXT --port P
 *
 * STATES are those that the file may be in, "G:LOW:HIGH,...": a state from LOW to HIGH of that generation; of a file with
 * two writers "G:LOW:HIGH:LOW2:HIGH2"; or "any". What is said:
 *     V G S   the file is in that state (after recovery)     B G   the base of a new generation is being written
 *     A S     that state is synced: acknowledged             S N   the mappings are MAP_SYNC ones (1) or not (0)
 *     F TEXT  the file is in none of the states, or a call failed
 * --verify ends after V. --plant-early acknowledges an epoch before it is written: the test must find it. --plain says that
 * mappings are not looked at.
 */
#include "support/nvx.h"
#include "vm/cut_event.h"
#include "vm/cut_plan.h"
#include "vm/smaps.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VECTORS = 3, WINDOW = 3, CHECKED_READS = 8 };

static struct {
    struct cut_plan plan;
    struct cut_event event;
    const char *dir, *known;
    char file[PATH_MAX], logs[PATH_MAX];
    int second_port;
    bool verify, early, plain;
    uint64_t epochs;
    int fd, other_fd;
    uint8_t *map;
    struct cut_file found, state; /* as read after the cut; as it should be */
    uint8_t scratch[CUT_BYTES];
} w = {.second_port = -1, .epochs = UINT64_MAX, .fd = -1, .other_fd = -1};

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cut_event_say(&w.event, "F %s: %s", cut_role_name(w.plan.role), text);
    printf("cut_worker: %s: %s\n", cut_role_name(w.plan.role), text);
    exit(1);
}

static void must(bool good, const char *what)
{
    if (!good)
        fail("%s: %s", what, strerror(errno));
}

static int open_flags(void)
{
    switch (w.plan.role) {
    case CUT_ATOMIC:
    case CUT_STORED:
        return O_RDWR | O_CREAT | O_ATOMIC;
    case CUT_OSYNC:
        return O_RDWR | O_CREAT | O_SYNC;
    default:
        return O_RDWR | O_CREAT;
    }
}

/* The kernel does not know O_ATOMIC, and would not mind. */
static int file_open(const char *path, int flags)
{
    int fd = nvx.open(path, flags, 0600);
    if (fd < 0)
        fail("open %s: %s", path, strerror(errno));
    return fd;
}

static void sync_directory(void)
{
    int fd = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd >= 0 && fsync(fd) == 0, "fsync of the directory");
    close(fd);
}

/* ---- judging ---- */

static bool read_all(const struct nvx *by, const char *path, struct cut_file *file)
{
    int fd = by->open(path, O_RDWR | (by == &nvx ? open_flags() & O_ATOMIC : 0));
    if (fd < 0 && errno == ENOENT) {
        file->size = 0;
        return false;
    }
    must(fd >= 0, "open after the cut");
    struct stat st;
    must(by->fstat(fd, &st) == 0, "fstat after the cut");
    if (st.st_size > CUT_BYTES)
        fail("the file has %lld bytes, more than it ever had", (long long)st.st_size);
    file->size = (uint64_t)st.st_size;
    must(by->pread(fd, file->data, CUT_BYTES, 0) == st.st_size, "read after the cut");
    must(by->close(fd) == 0, "close after the cut");
    return true;
}

/* Where the file differs, and which states have the bytes that it has there. */
static void explain(uint64_t generation, uint64_t low, uint64_t high)
{
    struct cut_plan plan = w.plan;
    plan.generation = generation;
    cut_base(&plan, &w.state);
    char list[160] = "";
    size_t used = 0;
    uint64_t at = 0;
    for (uint64_t s = 0; s <= high + WINDOW; s++) {
        if (s)
            cut_step(&plan, s, &w.state);
        if (s == low)
            at = cut_differ(&w.found, &w.state, plan.role);
    }
    cut_base(&plan, &w.state);
    for (uint64_t s = 0; s <= high + WINDOW && at < CUT_BYTES && used + 24 < sizeof(list); s++) {
        if (s)
            cut_step(&plan, s, &w.state);
        if (at < w.state.size && at < w.found.size && w.state.data[at] == w.found.data[at])
            used += (size_t)snprintf(list + used, sizeof(list) - used, " %llu", (unsigned long long)s);
        if (used > sizeof(list) - 24)
            used = (size_t)snprintf(list, sizeof(list), " ... %llu", (unsigned long long)s);
    }
    cut_event_say(&w.event, "# size %llu, differs from state %llu at %llu; that byte is as in states%s",
                  (unsigned long long)w.found.size, (unsigned long long)low, (unsigned long long)at, list);
}

/* Is the file (or this role's part of it) in a state from low to high? Of two writers on one file any operation may be the
 * last one, as either's sync takes along what the other has written by then. */
static bool find_state(enum cut_role role, uint64_t generation, uint64_t low, uint64_t high, uint64_t *is)
{
    struct cut_plan plan = w.plan;
    plan.generation = generation;
    plan.role = role;
    cut_base(&plan, &w.state);
    for (uint64_t s = 1; s <= low; s++)
        cut_step(&plan, s, &w.state);
    for (*is = low;; ++*is) {
        if (cut_differ(&w.found, &w.state, role) == UINT64_MAX)
            return true;
        if (*is == high)
            return false;
        struct cut_epoch epoch;
        cut_plan_epoch(&plan, *is + 1, &w.state, &epoch);
        for (unsigned i = 0; i < epoch.count; i++) {
            cut_apply(&w.state, &epoch.op[i]);
            bool part = role == CUT_FIRST || role == CUT_SECOND;
            if (part && cut_differ(&w.found, &w.state, role) == UINT64_MAX)
                return true;
        }
    }
}

static bool find_version(uint64_t low, uint64_t high, uint64_t *is)
{
    for (*is = low; *is <= high; ++*is) {
        cut_version(&w.plan, *is, &w.state);
        if (cut_differ(&w.found, &w.state, CUT_RENAME) == UINT64_MAX)
            return true;
    }
    return false;
}

/* One of STATES: true if the file is in it. */
static bool try_known(const char *text, uint64_t *generation, uint64_t *is)
{
    unsigned long long g, low, high, low2, high2;
    uint64_t is2;
    int n = sscanf(text, "%llu:%llu:%llu:%llu:%llu", &g, &low, &high, &low2, &high2);
    if (n < 3)
        fail("STATES: %s", text);
    *generation = g;
    if (w.plan.role == CUT_RENAME)
        return find_version(low, high, is);
    if (n == 5)
        return find_state(CUT_FIRST, g, low, high, is) && find_state(CUT_SECOND, g, low2, high2, &is2);
    return find_state(w.plan.role, g, low, high, is);
}

/* The file after the cut, through the library, which recovers it, and then by the kernel, which must see the same. */
static uint64_t judge(void)
{
    uint64_t generation = 0, is = 0;
    cut_event_say(&w.event, "R");
    read_all(&nvx, w.file, &w.found);
    bool good = !strcmp(w.known, "any");
    for (const char *at = w.known; !good && at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        good = try_known(at, &generation, &is);
    if (!good) {
        unsigned long long g = 0, low = 0, high = 0;
        sscanf(w.known, "%llu:%llu:%llu", &g, &low, &high);
        if (w.plan.role != CUT_RENAME)
            explain(g, low, high);
        fail("in none of the states %s", w.known);
    }
    read_all(&nvx_plain, w.file, &w.state);
    if (cut_differ(&w.found, &w.state, CUT_ROLES) != UINT64_MAX)
        fail("recovered, but the kernel sees another file from %llu on",
             (unsigned long long)cut_differ(&w.found, &w.state, CUT_ROLES));
    cut_event_say(&w.event, "V %llu %llu", (unsigned long long)generation, (unsigned long long)is);
    return is;
}

/* ---- writing ---- */

static void open_file(void)
{
    w.fd = file_open(w.file, open_flags());
    w.other_fd = file_open(w.file, open_flags());
    if (cut_role_maps(w.plan.role)) {
        w.map = nvx.mmap(NULL, CUT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w.fd, 0);
        must(w.map != MAP_FAILED, "nvmmap");
    }
}

static void close_file(void)
{
    if (w.map)
        must(nvx.munmap(w.map, CUT_BYTES) == 0, "nvmunmap");
    w.map = NULL;
    must(nvx.close(w.other_fd) == 0 && nvx.close(w.fd) == 0, "close");
}

static void write_vector(const struct cut_op *op)
{
    struct iovec part[VECTORS];
    size_t each = op->length / VECTORS, from = 0;
    for (int i = 0; i < VECTORS; i++) {
        part[i].iov_base = w.scratch + from;
        part[i].iov_len = i + 1 < VECTORS ? each : op->length - from;
        from += each;
    }
    must(nvx.pwritev(w.fd, part, VECTORS, (off_t)op->offset) == (ssize_t)op->length, "pwritev");
}

static void do_op(const struct cut_op *op)
{
    if (op->kind == CUT_TRUNCATE) {
        must(nvx.ftruncate(w.fd, (off_t)op->offset) == 0, "ftruncate");
        return;
    }
    tool_pattern(w.scratch, op->length, op->key, op->offset);
    if (w.plan.role == CUT_STORED)
        memcpy(w.map + op->offset, w.scratch, op->length);
    else if (w.map)
        must(nvx.memcpy(w.map + op->offset, w.scratch, op->length) != NULL, "nvmemcpy");
    else if (op->kind == CUT_VECTOR)
        write_vector(op);
    else
        must(nvx.pwrite(op->kind == CUT_OTHER_FD ? w.other_fd : w.fd, w.scratch, op->length, (off_t)op->offset) ==
                 (ssize_t)op->length,
             "pwrite");
}

static void sync_file(enum cut_end end)
{
    if (w.plan.role == CUT_OSYNC)
        return;
    if (w.map && end != CUT_REOPEN) {
        must(nvx.msync(w.map, CUT_BYTES, MS_SYNC) == 0, "nvmsync");
        return;
    }
    if (end == CUT_REOPEN && w.plan.role != CUT_FIRST && w.plan.role != CUT_SECOND) {
        close_file(); /* which commits: the same state, before it is acknowledged */
        open_file();
    }
    must((end == CUT_FDATASYNC ? nvx.fdatasync(w.fd) : nvx.fsync(w.fd)) == 0, "fsync");
}

/* Is all that was written readable at once? */
static void check_read(void)
{
    ssize_t n = nvx.pread(w.fd, w.scratch, CUT_BYTES, 0);
    if (n != (ssize_t)w.state.size || memcmp(w.scratch, w.state.data, w.state.size) != 0)
        fail("what was just written reads as something else");
}

static void check_mappings(void)
{
    struct smaps_count log, data;
    must(smaps_look(w.logs, w.file, &log, &data), "smaps");
    unsigned ours = w.map ? 1 : 0; /* what nvmmap gives is as the program has asked for it */
    if (log.sync + log.plain)
        cut_event_say(&w.event, "S %d", !log.plain && data.plain <= ours);
}

static void write_base(void)
{
    bool was_early = w.early;
    open_file();
    w.early = false;
    cut_base(&w.plan, &w.state);
    cut_event_say(&w.event, "B %llu", (unsigned long long)w.plan.generation);
    int fd = w.plan.role == CUT_OSYNC ? file_open(w.file, O_RDWR) : w.fd; /* in one sync, not by each write */
    must(nvx.pwrite(fd, w.state.data, w.state.size, 0) == (ssize_t)w.state.size, "pwrite of the base");
    must(nvx.ftruncate(fd, (off_t)w.state.size) == 0, "ftruncate to the base");
    must(nvx.fsync(fd) == 0, "fsync of the base");
    if (!strcmp(w.known, "any"))
        sync_directory(); /* the file may be new */
    if (fd != w.fd)
        must(nvx.close(fd) == 0, "close");
    cut_event_say(&w.event, "A 0");
    w.early = was_early;
}

static void write_epochs(void)
{
    static struct cut_epoch epoch;
    for (uint64_t s = 1; s <= w.epochs; s++) {
        cut_plan_epoch(&w.plan, s, &w.state, &epoch);
        if (w.early)
            cut_event_say(&w.event, "A %llu", (unsigned long long)s);
        for (unsigned i = 0; i < epoch.count; i++) {
            cut_apply(&w.state, &epoch.op[i]);
            do_op(&epoch.op[i]);
        }
        sync_file((enum cut_end)epoch.end);
        if (!w.early)
            cut_event_say(&w.event, "A %llu", (unsigned long long)s);
        if (s % CHECKED_READS == 0 && w.plan.role != CUT_FIRST && w.plan.role != CUT_SECOND)
            check_read();
        if (s == CHECKED_READS && !w.plain)
            check_mappings();
    }
}

/* A second process for the same file; both write from here on. */
static void write_pair(void)
{
    if (w.second_port >= 0 || w.event.port < 0) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child) {
            w.plan.role = CUT_SECOND;
            if (w.second_port >= 0)
                must(cut_event_open(&w.event, w.second_port, NULL), "ioperm");
            close_file(); /* the descriptors that it inherited; its own are of descriptions of its own */
            open_file();
            write_epochs();
            exit(0);
        }
    }
    write_epochs();
    while (wait(NULL) > 0)
        ;
}

/* ---- whole files, written beside and renamed over ---- */

static void write_version(uint64_t s)
{
    char beside[PATH_MAX + 8];
    snprintf(beside, sizeof(beside), "%s.%llu", w.file, (unsigned long long)(s % 2));
    unlink(beside);
    cut_version(&w.plan, s, &w.state);
    int fd = nvx.open(beside, O_RDWR | O_CREAT | O_TRUNC | (s % 5 == 0 ? O_ATOMIC : 0), 0600);
    must(fd >= 0, "open beside");
    if (s % 3) { /* a synced file is then overwritten: by the library, no longer the kernel */
        memset(w.scratch, 'x', w.state.size);
        must(nvx.pwrite(fd, w.scratch, w.state.size, 0) == (ssize_t)w.state.size && nvx.fsync(fd) == 0, "first write");
    }
    uint64_t half = w.state.size / 2;
    must(nvx.pwrite(fd, w.state.data + half, w.state.size - half, (off_t)half) == (ssize_t)(w.state.size - half) &&
             nvx.pwrite(fd, w.state.data, half, 0) == (ssize_t)half,
         "write");
    must(nvx.fsync(fd) == 0, "fsync beside");
    if (s % 2)
        must(nvx.close(fd) == 0, "close beside");
    if (w.early)
        cut_event_say(&w.event, "A %llu", (unsigned long long)s);
    must(rename(beside, w.file) == 0, "rename");
    sync_directory();
    if (!w.early)
        cut_event_say(&w.event, "A %llu", (unsigned long long)s);
    if (s % 2 == 0)
        must(nvx.close(fd) == 0, "close");
}

static void write_versions(uint64_t from)
{
    for (uint64_t s = from; s - from < w.epochs; s++)
        write_version(s);
}

/* ---- ---- */

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"role", 1, 0, 'r'},   {"dir", 1, 0, 'd'},    {"seed", 1, 0, 's'},   {"generation", 1, 0, 'g'},
        {"known", 1, 0, 'k'},  {"port", 1, 0, 'p'},   {"events", 1, 0, 'e'}, {"second-port", 1, 0, '2'},
        {"verify", 0, 0, 'v'}, {"epochs", 1, 0, 'n'}, {"say", 1, 0, 'y'},    {"plant-early", 0, 0, 'E'},
        {"plain", 0, 0, 'P'},  {0, 0, 0, 0},
    };
    const char *events = "/dev/null", *say = NULL;
    int port = -1, c;
    bool bad = false;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;
        switch (c) {
        case 'r':
            bad |= !cut_role_parse(optarg, &w.plan.role);
            break;
        case 'd':
            w.dir = optarg;
            break;
        case 's':
            w.plan.seed = value;
            break;
        case 'g':
            w.plan.generation = value;
            break;
        case 'k':
            w.known = optarg;
            break;
        case 'p':
            port = (int)value;
            break;
        case 'e':
            events = optarg;
            break;
        case '2':
            w.second_port = (int)value;
            break;
        case 'v':
            w.verify = true;
            break;
        case 'n':
            w.epochs = value;
            break;
        case 'y':
            say = optarg;
            break;
        case 'E':
            w.early = true;
            break;
        case 'P':
            w.plain = true;
            break;
        default:
            bad = true;
        }
    }
    if (bad || (!say && (!w.dir || !w.known)) || !cut_event_open(&w.event, port, events)) {
        printf("cut_worker: bad arguments, or no such port\n");
        exit(2);
    }
    if (say) {
        cut_event_say(&w.event, "%s", say);
        exit(0);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    snprintf(w.file, sizeof(w.file), "%.4000s/%s", w.dir, cut_role_name(w.plan.role));
    snprintf(w.logs, sizeof(w.logs), "%.4000s/.nvmmio/%u/", w.dir, geteuid());
    uint64_t is = judge();
    if (w.verify)
        return 0;
    if (w.plan.role == CUT_RENAME) {
        write_versions(is + 1);
        return 0;
    }
    write_base();
    if (w.plan.role == CUT_FIRST)
        write_pair();
    else
        write_epochs();
    return 0;
}
