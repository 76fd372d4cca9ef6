/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_worker.c — a process of the kill campaign: writes by the journal's mode until it is killed or told to stop, or
 * verifies a file after a kill. Started by kill_driver. Usage:
 *
 *     kill_worker write  JOURNAL_FD WRITER PATH
 *     kill_worker verify JOURNAL_FD SEED   PATH    exit 0: the content is one that the journal allows
 *     kill_worker beside JOURNAL_FD SEED   PATH    writes, reads and syncs a file of its own until told to stop
 *     kill_worker sweep  JOURNAL_FD SEED   PATH    opens, writes and closes another file of the same root
 *
 * Any result that the kernel would not give ends the process with status 3 and the reason in the journal.
 */
#include "crash/kill_journal.h"
#include "support/nvx.h"
#include "support/tool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH_MAX (128u << 10)
#define EXIT_WRONG 3

static struct kj *j;
static const char *path;

struct worker {
    struct kj_writer *w;
    uint32_t index;
    int fd;        /* O_RDWR */
    int append_fd; /* O_APPEND */
    int sync_fd;   /* O_SYNC */
    uint8_t *buf, *other;
    struct tool_rng rng;
};

static void __attribute__((noreturn, format(printf, 1, 2))) wrong(const char *format, ...)
{
    int saved = errno;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!j->error[0])
        snprintf(j->error, sizeof(j->error), "pid %d: %s (errno %d %s)", getpid(), text, saved, strerror(saved));
    _exit(EXIT_WRONG);
}

static void *buffer(void)
{
    void *p = mmap(NULL, KJ_FILE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        wrong("mmap of a buffer");
    return p;
}

static int must_open(int flags)
{
    if (j->mode == KJ_ATOMIC)
        flags |= O_ATOMIC;
    int fd = nvx.open(path, flags, 0600);
    if (fd < 0)
        wrong("open flags %#x", (unsigned)flags);
    return fd;
}

static void open_all(struct worker *k)
{
    k->fd = must_open(O_RDWR);
    k->append_fd = must_open(O_WRONLY | O_APPEND);
    k->sync_fd = must_open(O_RDWR | O_SYNC);
}

static void close_all(struct worker *k)
{
    if (nvx.close(k->sync_fd) || nvx.close(k->append_fd) || nvx.close(k->fd))
        wrong("close");
}

/* ---- the journal ---- */

static void begin(struct worker *k, struct kj_flight f)
{
    struct kj_flight *mine = &k->w->flight;
    mine->op = f.op, mine->offset = f.offset, mine->length = f.length;
    mine->key = f.key, mine->new_size = f.new_size, mine->seq = f.seq;
    struct kj_flight *trace = &k->w->trace[atomic_load(&k->w->ops) % KJ_TRACE];
    trace->op = f.op, trace->offset = f.offset, trace->length = f.length, trace->new_size = f.new_size;
    atomic_store(&mine->state, KJ_IN_FLIGHT);
}

static void end(struct worker *k)
{
    atomic_store(&k->w->flight.state, KJ_DONE);
    kj_apply(j, k->w);
    atomic_store(&k->w->flight.state, KJ_IDLE);
}

static void expect(ssize_t result, uint64_t length, const char *what)
{
    if (result != (ssize_t)length)
        wrong("%s of %llu gave %lld", what, (unsigned long long)length, (long long)result);
}

/* ---- single writer ---- */

static void write_vector(struct worker *k, uint64_t offset, uint64_t length)
{
    struct iovec iov[3];
    uint64_t a = length / 3, b = tool_below(&k->rng, length - a + 1);
    iov[0] = (struct iovec){k->buf, a};
    iov[1] = (struct iovec){k->buf + a, b};
    iov[2] = (struct iovec){k->buf + a + b, length - a - b};
    expect(nvx.pwritev(k->fd, iov, 3, (off_t)offset), length, "pwritev");
}

static void solo_write(struct worker *k, unsigned how)
{
    uint64_t offset = tool_below(&k->rng, j->size + 1), length = tool_length(&k->rng, LENGTH_MAX);
    unsigned place = (unsigned)tool_below(&k->rng, 10);
    if (place < 3)
        offset &= ~UINT64_C(4095);
    else if (place == 9)
        offset += tool_below(&k->rng, 20000);
    if (how == 1 || place == 8)
        offset = j->size;
    if (offset + length > KJ_FILE_MAX) {
        if (offset >= KJ_FILE_MAX || how == 1)
            return;
        length = KJ_FILE_MAX - offset;
    }
    uint64_t key = tool_random(&k->rng), new_size = offset + length > j->size ? offset + length : j->size;
    tool_pattern(k->buf, length, key, offset);
    begin(k,
          (struct kj_flight){.op = KJ_OP_WRITE, .offset = offset, .length = length, .key = key, .new_size = new_size});
    switch (how) {
    case 0:
        expect(nvx.pwrite(k->fd, k->buf, length, (off_t)offset), length, "pwrite");
        break;
    case 1:
        expect(nvx.write(k->append_fd, k->buf, length), length, "append");
        break;
    case 2:
        expect(nvx.pwrite(k->sync_fd, k->buf, length, (off_t)offset), length, "pwrite O_SYNC");
        break;
    case 3:
        write_vector(k, offset, length);
        break;
    default:
        if (nvx.lseek(k->fd, (off_t)offset, SEEK_SET) != (off_t)offset)
            wrong("lseek to %llu", (unsigned long long)offset);
        expect(nvx.write(k->fd, k->buf, length), length, "write");
        break;
    }
    end(k);
}

static void solo_truncate(struct worker *k)
{
    uint64_t size = tool_below(&k->rng, 3) ? tool_below(&k->rng, j->size + 30000) : tool_below(&k->rng, KJ_FILE_MAX);
    if (!tool_below(&k->rng, 12))
        size = 0;
    if (size > KJ_FILE_MAX)
        size = KJ_FILE_MAX;
    begin(k, (struct kj_flight){.op = KJ_OP_TRUNCATE, .new_size = size});
    if (nvx.ftruncate(k->fd, (off_t)size))
        wrong("ftruncate to %llu", (unsigned long long)size);
    end(k);
}

static void solo_sync(struct worker *k)
{
    begin(k, (struct kj_flight){.op = KJ_OP_SYNC});
    if (tool_below(&k->rng, 2) ? nvx.fsync(k->fd) : nvx.fdatasync(k->sync_fd))
        wrong("fsync");
    end(k);
}

static void solo_reopen(struct worker *k)
{
    begin(k, (struct kj_flight){.op = KJ_OP_SYNC});
    close_all(k);
    end(k);
    open_all(k);
}

static void solo_read(struct worker *k)
{
    uint64_t offset = tool_below(&k->rng, j->size + 1), length = tool_length(&k->rng, LENGTH_MAX);
    uint64_t there = offset + length > j->size ? j->size - offset : length;
    expect(nvx.pread(k->fd, k->other, length, (off_t)offset), there, "pread");
    if (memcmp(k->other, j->ref + offset, there))
        wrong("pread of %llu at %llu: not what was written", (unsigned long long)length, (unsigned long long)offset);
    struct stat st;
    if (nvx.fstat(k->fd, &st) || (uint64_t)st.st_size != j->size)
        wrong("fstat: size %lld, must be %llu", (long long)st.st_size, (unsigned long long)j->size);
}

/* An O_SYNC write is a sync of its own; in mode ATOMIC that would be two things in one, so it is left out there. */
static void solo_step(struct worker *k)
{
    unsigned kind = (unsigned)tool_below(&k->rng, 100);
    if (kind < 45)
        solo_write(k, 0);
    else if (kind < 58)
        solo_write(k, 1);
    else if (kind < 63)
        solo_write(k, j->mode == KJ_ATOMIC ? 0 : 2);
    else if (kind < 68)
        solo_write(k, 3);
    else if (kind < 73)
        solo_write(k, 4);
    else if (kind < 79)
        solo_truncate(k);
    else if (kind < 90)
        solo_sync(k);
    else if (kind < 98)
        solo_read(k);
    else
        solo_reopen(k);
}

/* ---- shared regions: writer w owns the bytes of each region whose number is w modulo the writers ---- */

static uint64_t region_pick(struct worker *k, uint64_t *length)
{
    uint64_t regions = j->size / KJ_REGION / j->writers;
    uint64_t start = (tool_below(&k->rng, regions) * j->writers + k->index) * KJ_REGION;
    *length = tool_length(&k->rng, KJ_REGION);
    unsigned place = (unsigned)tool_below(&k->rng, 4); /* the edges are shared lines */
    if (place == 0)
        return start;
    if (place == 1)
        return start + KJ_REGION - *length;
    return start + tool_below(&k->rng, KJ_REGION - *length + 1);
}

/* What a predecessor had in flight is taken as it is, once each byte is found to be old or new. */
static void region_resolve(struct worker *k)
{
    struct kj_flight *f = &k->w->flight;
    if (atomic_load(&f->state) == KJ_IN_FLIGHT && f->op == KJ_OP_WRITE) {
        expect(nvx.pread(k->fd, k->other, f->length, (off_t)f->offset), f->length, "pread");
        for (uint64_t i = 0; i < f->length; i++) {
            uint64_t at = f->offset + i;
            if (k->other[i] != j->ref[at] && k->other[i] != tool_pattern_byte(f->key, at))
                wrong("byte %llu of a write in flight at the kill is neither old nor new", (unsigned long long)at);
        }
        memcpy(j->ref + f->offset, k->other, f->length);
    }
    atomic_store(&f->state, KJ_IDLE);
}

static void region_step(struct worker *k)
{
    unsigned kind = (unsigned)tool_below(&k->rng, 100);
    uint64_t length, offset = region_pick(k, &length), key = tool_random(&k->rng);
    if (kind < 70) {
        tool_pattern(k->buf, length, key, offset);
        begin(k, (struct kj_flight){
                     .op = KJ_OP_WRITE, .offset = offset, .length = length, .key = key, .new_size = j->size});
        int fd = kind < 4 ? k->sync_fd : k->fd;
        expect(nvx.pwrite(fd, k->buf, length, (off_t)offset), length, "pwrite");
        end(k);
    } else if (kind < 76) {
        solo_sync(k);
    } else if (kind < 99 || j->mode == KJ_FORK) {
        expect(nvx.pread(k->fd, k->other, length, (off_t)offset), length, "pread");
        if (memcmp(k->other, j->ref + offset, length))
            wrong("pread of %llu at %llu: not what this writer wrote", (unsigned long long)length,
                  (unsigned long long)offset);
    } else {
        close_all(k);
        open_all(k);
    }
}

/* ---- records ---- */

static void append_step(struct worker *k)
{
    uint64_t seq = k->w->seq;
    uint32_t length = kj_record(j, k->index, seq, k->buf);
    begin(k, (struct kj_flight){.op = KJ_OP_APPEND, .length = length, .seq = seq});
    expect(nvx.write(k->append_fd, k->buf, length), length, "append");
    end(k);
    unsigned kind = (unsigned)tool_below(&k->rng, 64);
    if (kind < 3)
        solo_sync(k);
    if (kind >= 3 && kind < 16) { /* the offset of an appending descriptor is the end of its last write */
        off_t at = nvx.lseek(k->append_fd, 0, SEEK_CUR);
        if (at < (off_t)length)
            wrong("offset %lld after an append of %u", (long long)at, length);
        expect(nvx.pread(k->fd, k->other, length, at - (off_t)length), length, "pread");
        if (memcmp(k->other, k->buf, length))
            wrong("record %llu is not where it was appended (%lld)", (unsigned long long)seq, (long long)at - length);
    }
    if (kind == 63) {
        if (nvx.lseek(k->fd, 0, SEEK_END) > (off_t)KJ_APPEND_MAX / 2)
            tool_sleep_us(10000);
        close_all(k);
        open_all(k);
    }
    if (!tool_below(&k->rng, 32)) /* the file must not grow too fast */
        tool_sleep_us(tool_below(&k->rng, 200));
}

static bool doubtful(uint32_t slot)
{
    for (uint32_t i = 0; i < j->writers; i++)
        if (atomic_load(&j->writer[i].dead))
            return true;
    uint32_t count = atomic_load(&j->unsure_count);
    for (uint32_t i = 0; i < count; i++)
        if (j->unsure[i].slot == slot)
            return true;
    return false;
}

static void rewrite_step(struct worker *k)
{
    uint32_t slot = (uint32_t)tool_below(&k->rng, KJ_SLOTS);
    off_t offset = (off_t)slot * KJ_SLOT_BYTES;
    unsigned kind = (unsigned)tool_below(&k->rng, 100);
    if (kind < 60) {
        uint64_t seq = k->w->seq;
        kj_record(j, k->index, seq, k->buf);
        begin(k, (struct kj_flight){.op = KJ_OP_REWRITE,
                                    .offset = slot,
                                    .seq = seq,
                                    .length = KJ_SLOT_BYTES,
                                    .key = atomic_fetch_add(&j->ticket, 1)});
        expect(nvx.pwrite(k->fd, k->buf, KJ_SLOT_BYTES, offset), KJ_SLOT_BYTES, "pwrite");
        k->w->flight.new_size = atomic_fetch_add(&j->ticket, 1);
        end(k);
    } else if (kind < 64) {
        solo_sync(k);
    } else if (kind < 99) {
        expect(nvx.pread(k->fd, k->other, KJ_SLOT_BYTES, offset), KJ_SLOT_BYTES, "pread");
        if (j->whole && !kj_record_is_whole(j, k->other) && !doubtful(slot))
            wrong("a read of slot %u saw half a write", slot);
    } else {
        close_all(k);
        open_all(k);
    }
}

/* ---- processes and threads ---- */

static void step(struct worker *k)
{
    k->rng.state = tool_mix2(j->seed, (uint64_t)k->index << 48 | atomic_load(&k->w->ops));
    switch (j->mode) {
    case KJ_SOLO:
    case KJ_ATOMIC:
        solo_step(k);
        break;
    case KJ_APPEND:
        append_step(k);
        break;
    case KJ_REWRITE:
        rewrite_step(k);
        break;
    default:
        region_step(k);
        break;
    }
    atomic_fetch_add(&k->w->ops, 1);
}

static void worker_init(struct worker *k, uint32_t index)
{
    *k = (struct worker){.w = &j->writer[index], .index = index, .buf = buffer(), .other = buffer()};
}

static void enter(struct worker *k)
{
    if (j->mode == KJ_REGIONS || j->mode == KJ_FORK || j->mode == KJ_THREADS)
        region_resolve(k);
    atomic_store(&k->w->pid, getpid());
}

static void *thread_main(void *arg)
{
    struct worker *k = arg;
    region_resolve(k);
    atomic_store(&k->w->pid, getpid());
    while (!atomic_load(&j->stop))
        step(k);
    return NULL;
}

static void run_threads(struct worker *first)
{
    pthread_t thread[KJ_WRITERS_MAX];
    struct worker all[KJ_WRITERS_MAX];
    for (uint32_t i = 1; i < j->writers; i++) {
        worker_init(&all[i], i);
        open_all(&all[i]);
        if (pthread_create(&thread[i], NULL, thread_main, &all[i]))
            wrong("pthread_create");
    }
    thread_main(first);
    for (uint32_t i = 1; i < j->writers; i++) {
        pthread_join(thread[i], NULL);
        close_all(&all[i]);
    }
    close_all(first);
}

static void loop(struct worker *k)
{
    while (!atomic_load(&j->stop))
        step(k);
    begin(k, (struct kj_flight){.op = KJ_OP_SYNC}); /* for O_ATOMIC the last close is one */
    close_all(k);
    end(k);
}

/* The child writes as writer 1 on the descriptors it inherited. */
static pid_t fork_child(const struct worker *parent)
{
    pid_t pid = fork();
    if (pid < 0)
        wrong("fork");
    if (pid)
        return pid;
    struct worker child;
    worker_init(&child, 1);
    child.fd = parent->fd, child.append_fd = parent->append_fd, child.sync_fd = parent->sync_fd;
    enter(&child);
    loop(&child);
    exit(0);
}

static void run_fork(struct worker *k)
{
    pid_t child = fork_child(k);
    int status = 0;
    while (!atomic_load(&j->stop)) {
        step(k);
        if (!atomic_exchange(&j->writer[1].respawn, 0))
            continue;
        if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
            wrong("the child was not killed: status %#x", (unsigned)status);
        child = fork_child(k);
    }
    if (waitpid(child, &status, 0) != child || (status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)))
        wrong("child's status %#x", (unsigned)status);
    close_all(k);
}

static int role_write(uint32_t index)
{
    struct worker k;
    worker_init(&k, index);
    open_all(&k);
    enter(&k);
    if (j->mode == KJ_THREADS)
        run_threads(&k);
    else if (j->mode == KJ_FORK && index == 0)
        run_fork(&k);
    else
        loop(&k);
    return 0;
}

static int role_verify(uint64_t seed)
{
    struct tool_rng rng = {seed};
    int flags = tool_below(&rng, 2) ? O_RDONLY : O_RDWR;
    uint64_t start = tool_now_ns();
    atomic_store(&j->opening, 1);
    int fd = nvx.open(path, flags);
    atomic_store(&j->opening, 0);
    j->open_ns = tool_now_ns() - start;
    struct stat st;
    if (fd < 0 || nvx.fstat(fd, &st))
        wrong("verify: open or fstat");
    uint64_t size = (uint64_t)st.st_size, max = j->mode == KJ_APPEND ? KJ_APPEND_MAX : KJ_FILE_MAX;
    if (size > max)
        wrong("verify: size %llu", (unsigned long long)size);
    uint8_t *data = mmap(NULL, max + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        wrong("verify: mmap");
    for (uint64_t done = 0; done < size;) {
        uint64_t length = 1 + tool_below(&rng, 200000);
        uint64_t there = length < size - done ? length : size - done;
        expect(nvx.pread(fd, data + done, there, (off_t)done), there, "verify: pread");
        done += there;
    }
    expect(nvx.pread(fd, data + size, 1, (off_t)size), 0, "verify: pread at the end");
    char reason[300];
    if (kj_check(j, data, size, reason, sizeof(reason)))
        wrong("through %s: %s", nvx.name, reason);
    j->seen_size = size;
    j->seen_hash = tool_hash(data, size);
    if (nvx.close(fd))
        wrong("verify: close");
    return 0;
}

static int role_beside(uint64_t seed)
{
    uint8_t *buf = buffer(), *other = buffer();
    struct tool_rng rng = {seed};
    int fd = nvx.open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        wrong("beside: open");
    while (!atomic_load(&j->stop)) {
        uint64_t length = tool_length(&rng, KJ_REGION), offset = tool_below(&rng, KJ_FILE_MAX - length);
        tool_pattern(buf, length, tool_random(&rng), offset);
        expect(nvx.pwrite(fd, buf, length, (off_t)offset), length, "beside: pwrite");
        if (!tool_below(&rng, 8) && nvx.fsync(fd))
            wrong("beside: fsync");
        expect(nvx.pread(fd, other, length, (off_t)offset), length, "beside: pread");
        if (memcmp(buf, other, length))
            wrong("beside: not what was written");
        atomic_fetch_add(&j->beside, 1);
    }
    if (nvx.close(fd))
        wrong("beside: close");
    return 0;
}

static int role_sweep(void)
{
    int fd = nvx.open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        wrong("sweep: open");
    expect(nvx.pwrite(fd, "sweep", 5, 0), 5, "sweep: pwrite");
    if (nvx.fsync(fd))
        wrong("sweep: fsync");
    expect(nvx.pwrite(fd, "SWEEP", 5, 3), 5, "sweep: pwrite");
    if (nvx.close(fd))
        wrong("sweep: close");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: see the head of kill_worker.c; started by kill_driver\n");
        return 2;
    }
    j = mmap(NULL, sizeof(*j), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
    if (j == MAP_FAILED)
        return 2;
    path = argv[4];
    uint64_t number = strtoull(argv[3], NULL, 0);
    if (!strcmp(argv[1], "write"))
        return role_write((uint32_t)number);
    if (!strcmp(argv[1], "verify"))
        return role_verify(number);
    if (!strcmp(argv[1], "beside"))
        return role_beside(number);
    return role_sweep();
}
