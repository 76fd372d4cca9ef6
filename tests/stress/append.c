/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * append.c — promise: records that many threads of many processes append to one file are all there, each whole, and those
 * of one thread in its order; whatever others do below the end meanwhile.
 *
 *   append [--processes M] [--threads N] [--records R] [--dir DIR] [--plant]
 *
 * Each process is of one of four kinds: it opens the file itself; it inherits the parent's description; it is a program of
 * its own; it has O_APPEND set by fcntl. Threads write by write and writev, through the process's descriptor or one of
 * their own, and sync now and then. One thread of each process also overwrites its place in the file's first page through
 * a descriptor without O_APPEND. --plant lets one writer append at an offset that it has asked for: must be found.
 */
#include "support/nvx.h"
#include "support/place.h"
#include "support/tool.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, HEAD = 4096, BODY_MOST = 220, MAGIC = 0x5ec0ad, SYNC_EACH = 97 };

struct record {
    uint32_t magic, length; /* of the body behind it */
    uint32_t process, thread, number, check;
};

static struct {
    char dir[200], path[230];
    unsigned processes, threads, records, self;
    bool plant;
    int inherited;
} run = {.processes = 8, .threads = 4, .records = 4000, .self = MOST};

static void fail(const char *what)
{
    fprintf(stderr, "append: process %u: %s: %s\n", run.self, what, strerror(errno));
    exit(1);
}

static uint32_t body_of(const struct record *r, uint8_t *body)
{
    uint64_t key = tool_mix2(tool_mix2(r->process, r->thread), r->number);
    tool_pattern(body, r->length, key, 0);
    return (uint32_t)tool_hash(body, r->length);
}

/* ---- a writer ---- */

struct writer {
    unsigned thread;
    int fd, below; /* without O_APPEND, or -1 */
};

static void append_one(const struct writer *w, struct record *r, uint8_t *text)
{
    size_t length = sizeof *r + r->length;
    ssize_t done;
    if (run.plant && r->process == 1 && r->number % 8 == 3) {
        off_t end = nvx.lseek(w->below, 0, SEEK_END);
        tool_sleep_us(100); /* others append meanwhile */
        done = nvx.pwrite(w->below, text, length, end);
    } else if (r->number % 3 == 1) {
        size_t half = length / 2;
        struct iovec iov[3] = {{text, half}, {text, 0}, {text + half, length - half}};
        done = nvx.writev(w->fd, iov, 3);
    } else {
        done = nvx.write(w->fd, text, length);
    }
    if (done != (ssize_t)length)
        fail("write");
}

static void *write_all(void *arg)
{
    const struct writer *w = arg;
    uint8_t text[sizeof(struct record) + BODY_MOST];
    struct tool_rng rng = {tool_mix2(run.self, w->thread)};
    for (unsigned i = 0; i < run.records; i++) {
        struct record r = {.magic = MAGIC, .process = run.self, .thread = w->thread, .number = i};
        r.length = (uint32_t)tool_below(&rng, BODY_MOST);
        r.check = body_of(&r, text + sizeof r);
        memcpy(text, &r, sizeof r);
        append_one(w, &r, text);
        uint64_t place = tool_mix2(run.self, i);
        if (w->thread == 0 && nvx.pwrite(w->below, &place, sizeof place, (off_t)(run.self * sizeof place)) != 8)
            fail("pwrite");
        if (i % SYNC_EACH == w->thread && nvx.fsync(w->fd) != 0)
            fail("fsync");
    }
    return NULL;
}

static int open_of_kind(void)
{
    if (run.self % 4 == 1)
        return run.inherited;
    int fd = nvx.open(run.path, run.self % 4 == 3 && nvx_is_kernel ? O_RDWR : O_RDWR | O_APPEND);
    if (fd < 0 || (run.self % 4 == 3 && nvx_is_kernel && fcntl(fd, F_SETFL, O_APPEND) != 0))
        fail("open");
    return fd;
}

static int run_process(void)
{
    pthread_t threads[MOST];
    struct writer writers[MOST];
    int fd = open_of_kind(), below = nvx.open(run.path, O_RDWR);
    for (unsigned i = 0; i < run.threads; i++) {
        int own = i % 3 == 0 ? fd : i % 3 == 1 ? nvx.dup(fd) : nvx.open(run.path, O_WRONLY | O_APPEND);
        writers[i] = (struct writer){.thread = i, .fd = own, .below = below};
        if (own < 0 || below < 0 || pthread_create(&threads[i], NULL, write_all, &writers[i]) != 0)
            fail("thread");
    }
    for (unsigned i = 0; i < run.threads; i++) {
        pthread_join(threads[i], NULL);
        if (writers[i].fd != fd && nvx.close(writers[i].fd) != 0)
            fail("close");
    }
    if (nvx.close(below) != 0 || nvx.close(fd) != 0)
        fail("close");
    return 0;
}

/* ---- all of them ---- */

static pid_t start(unsigned self, char **argv)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    run.self = self;
    if (self % 4 == 2) { /* a program of its own */
        char number[16], threads[16], records[16];
        snprintf(number, sizeof number, "%u", self);
        snprintf(threads, sizeof threads, "%u", run.threads);
        snprintf(records, sizeof records, "%u", run.records);
        execl("/proc/self/exe", argv[0], "--self", number, "--threads", threads, "--records", records, "--dir", run.dir,
              (char *)NULL);
        fail("exec");
    }
    exit(run_process());
}

/* Reads the file with the kernel's calls when all is closed. */
static int check(void)
{
    static uint32_t next[MOST][MOST];
    uint8_t body[BODY_MOST];
    struct stat st;
    int fd = nvx_plain.open(run.path, O_RDONLY);
    if (fd < 0 || nvx_plain.fstat(fd, &st) != 0)
        fail("open");
    uint8_t *text = malloc((size_t)st.st_size + 1);
    if (nvx_plain.pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
        fail("read");
    close(fd);
    size_t at = HEAD, count = 0;
    while (at + sizeof(struct record) <= (size_t)st.st_size) {
        struct record r;
        memcpy(&r, text + at, sizeof r);
        bool good = r.magic == MAGIC && r.length < BODY_MOST && r.process < run.processes && r.thread < run.threads &&
                    at + sizeof r + r.length <= (size_t)st.st_size && r.number == next[r.process][r.thread];
        if (!good || body_of(&r, body) != r.check || memcmp(body, text + at + sizeof r, r.length) != 0) {
            printf("wrong: at %zu of %lld: magic %#x, record %u of thread %u of process %u\n", at,
                   (long long)st.st_size, r.magic, r.number, r.thread, r.process);
            return 1;
        }
        next[r.process][r.thread]++;
        at += sizeof r + r.length;
        count++;
    }
    for (unsigned p = 0; p < run.processes; p++) {
        uint64_t place;
        memcpy(&place, text + p * sizeof place, sizeof place);
        if (place != tool_mix2(p, run.records - 1)) {
            printf("wrong: process %u's place in the first page\n", p);
            return 1;
        }
    }
    if (at != (size_t)st.st_size || count != (size_t)run.processes * run.threads * run.records) {
        printf("wrong: %zu records, wanted %u; %lld bytes, read %zu\n", count,
               run.processes * run.threads * run.records, (long long)st.st_size, at);
        return 1;
    }
    free(text);
    printf("right: %zu records of %u processes with %u threads\n", count, run.processes, run.threads);
    return 0;
}

static int run_all(char **argv)
{
    pid_t pids[MOST];
    static uint8_t head[HEAD];
    snprintf(run.dir + strlen(run.dir), sizeof run.dir - strlen(run.dir), "/nvmmio-append.XXXXXX");
    if (!mkdtemp(run.dir))
        fail("mkdtemp");
    setenv("NVMMIO_ROOT", run.dir, 1);
    setenv("NVMMIO_CONF", "pm:force", 0); /* the file is attached, whether it pays or not */
    snprintf(run.path, sizeof run.path, "%s/log", run.dir);
    int fd = nvx.open(run.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600); /* an exec would demote the file */
    if (fd < 0 || nvx.write(fd, head, HEAD) != HEAD || nvx.fsync(fd) != 0)
        fail("open");
    run.inherited = fd;
    for (unsigned i = 0; i < run.processes; i++)
        pids[i] = start(i, argv);
    int bad = nvx.close(fd) != 0;
    for (unsigned i = 0; i < run.processes; i++) {
        int status;
        bad |= waitpid(pids[i], &status, 0) != pids[i] || status != 0;
    }
    bad = bad || check();
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", run.dir);
    return system(command) != 0 || bad;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"processes", 1, NULL, 'p'},
                                            {"threads", 1, NULL, 't'},
                                            {"records", 1, NULL, 'r'},
                                            {"dir", 1, NULL, 'd'},
                                            {"self", 1, NULL, 's'},
                                            {"plant", 0, NULL, 'x'},
                                            {0}};
    snprintf(run.dir, sizeof run.dir - 30, "%s", place_directory());
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned number = optarg ? (unsigned)atoi(optarg) : 0;
        switch (option) {
        case 'p':
            run.processes = number < MOST ? number : MOST;
            break;
        case 't':
            run.threads = number < MOST ? number : MOST;
            break;
        case 'r':
            run.records = number;
            break;
        case 'd':
            snprintf(run.dir, sizeof run.dir - 30, "%s", optarg);
            break;
        case 's':
            run.self = number;
            break;
        case 'x':
            run.plant = true;
            break;
        default:
            return 2;
        }
    }
    if (run.self == MOST)
        return run_all(argv);
    snprintf(run.path, sizeof run.path, "%s/log", run.dir);
    return run_process();
}
