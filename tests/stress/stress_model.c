/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * stress_model.c — many threads of several processes on a few files against an exact model in shared memory.
 *
 *     stress_model [--processes M] [--threads N] [--seconds S] [--seed X] [--dir DIR] [--plant]
 *
 * The model holds each file's bytes and size. A range lock is one mutex for each STRIPE bytes; a stripe is no multiple of
 * a line, so neighbours who hold different locks meet in one block and one line. Appends take a lock of their own and run
 * beside the other writers; a truncate keeps everybody out. Syncs and reopens take no lock. Afterwards, when all have
 * closed, the files are read with the kernel's calls. --plant lets one write in 2000 skip a byte: must be found.
 */
#include "support/leak.h"
#include "support/nvx.h"
#include "support/place.h"
#include "support/tool.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 2
#define FILE_BYTES (2u << 20)
#define STRIPE 10007u
#define STRIPES (FILE_BYTES / STRIPE + 1)
#define LENGTH_MAX (2 * STRIPE)
#define THREADS_MAX 16

struct model {
    pthread_rwlock_t shape;   /* writers: truncate; readers: everything else */
    pthread_mutex_t appender; /* who may raise the size */
    pthread_mutex_t stripe[STRIPES];
    _Atomic uint64_t size;
    uint8_t data[FILE_BYTES];
};

struct shared {
    _Atomic uint64_t ops;
    _Atomic uint32_t failed;
    char text[400];
    struct model model[FILES];
};

static struct {
    struct shared *shared;
    char root[200];
    uint64_t seed, seconds, end;
    unsigned processes, threads;
    bool plant;
} run = {.seconds = 10, .processes = 2, .threads = 2};

struct thread {
    pthread_t id;
    struct tool_rng rng;
    int fd[FILES], append_fd[FILES];
    uint8_t buf[LENGTH_MAX];
};

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
    if (atomic_exchange(&run.shared->failed, 1))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(run.shared->text, sizeof(run.shared->text), format, args);
    va_end(args);
}

static void file_name(char *name, size_t length, unsigned file)
{
    snprintf(name, length, "%s/f%u", run.root, file);
}

static void open_file(struct thread *t, unsigned file)
{
    char name[256];
    file_name(name, sizeof(name), file);
    t->fd[file] = nvx.open(name, O_RDWR);
    t->append_fd[file] = nvx.open(name, O_WRONLY | O_APPEND);
    if (t->fd[file] < 0 || t->append_fd[file] < 0)
        fail("open: %s", strerror(errno));
}

static void close_file(struct thread *t, unsigned file)
{
    if (nvx.close(t->append_fd[file]) || nvx.close(t->fd[file]))
        fail("close: %s", strerror(errno));
}

static void lock_range(struct model *m, uint64_t offset, uint64_t length, bool lock)
{
    for (uint64_t i = offset / STRIPE; i <= (offset + length - 1) / STRIPE; i++)
        lock ? pthread_mutex_lock(&m->stripe[i]) : pthread_mutex_unlock(&m->stripe[i]);
}

static void check_bytes(const struct thread *t, const struct model *m, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++) {
        if (t->buf[i] == m->data[offset + i])
            continue;
        fail("byte %llu (block %llu, line %llu) of a read of %llu at %llu is %02x, must be %02x",
             (unsigned long long)(offset + i), (unsigned long long)(offset + i) >> 12,
             (unsigned long long)(offset + i) >> 6 & 63, (unsigned long long)length, (unsigned long long)offset,
             t->buf[i], m->data[offset + i]);
        return;
    }
}

/* A write or a read below the size, beside those of others. */
static void do_data(struct thread *t, unsigned file, bool write)
{
    struct model *m = &run.shared->model[file];
    pthread_rwlock_rdlock(&m->shape);
    uint64_t size = atomic_load(&m->size), length = tool_length(&t->rng, LENGTH_MAX);
    if (size) {
        uint64_t offset = tool_below(&t->rng, size);
        if (!tool_below(&t->rng, 3))
            offset &= ~UINT64_C(4095);
        if (length > size - offset)
            length = size - offset;
        lock_range(m, offset, length, true);
        ssize_t n;
        if (write) {
            tool_pattern(t->buf, length, tool_random(&t->rng), 0);
            uint64_t less = run.plant && !tool_below(&t->rng, 2000) ? 1 : 0;
            n = nvx.pwrite(t->fd[file], t->buf, length - less, (off_t)offset) + (ssize_t)less;
            memcpy(m->data + offset, t->buf, length);
        } else {
            n = nvx.pread(t->fd[file], t->buf, length, (off_t)offset);
            check_bytes(t, m, offset, length);
        }
        lock_range(m, offset, length, false);
        if (n != (ssize_t)length)
            fail("%s of %llu at %llu gave %lld: %s", write ? "pwrite" : "pread", (unsigned long long)length,
                 (unsigned long long)offset, (long long)n, strerror(errno));
    }
    pthread_rwlock_unlock(&m->shape);
}

static void do_append(struct thread *t, unsigned file)
{
    struct model *m = &run.shared->model[file];
    pthread_rwlock_rdlock(&m->shape);
    pthread_mutex_lock(&m->appender);
    uint64_t size = atomic_load(&m->size), length = tool_length(&t->rng, LENGTH_MAX);
    if (length <= FILE_BYTES - size) {
        struct stat st;
        if (nvx.fstat(t->fd[file], &st) || (uint64_t)st.st_size != size)
            fail("fstat: size %lld, must be %llu", (long long)st.st_size, (unsigned long long)size);
        tool_pattern(t->buf, length, tool_random(&t->rng), 0);
        ssize_t n = nvx.write(t->append_fd[file], t->buf, length);
        memcpy(m->data + size, t->buf, length);
        atomic_store(&m->size, size + length);
        if (n != (ssize_t)length)
            fail("append of %llu gave %lld: %s", (unsigned long long)length, (long long)n, strerror(errno));
    }
    pthread_mutex_unlock(&m->appender);
    pthread_rwlock_unlock(&m->shape);
}

static void do_truncate(struct thread *t, unsigned file)
{
    struct model *m = &run.shared->model[file];
    pthread_rwlock_wrlock(&m->shape);
    uint64_t old = atomic_load(&m->size), size = tool_below(&t->rng, 4) ? old : FILE_BYTES;
    size = tool_below(&t->rng, size + 1);
    if (nvx.ftruncate(t->fd[file], (off_t)size))
        fail("ftruncate to %llu: %s", (unsigned long long)size, strerror(errno));
    if (size < old)
        memset(m->data + size, 0, old - size);
    atomic_store(&m->size, size);
    pthread_rwlock_unlock(&m->shape);
}

static void do_op(struct thread *t)
{
    unsigned file = (unsigned)tool_below(&t->rng, FILES), kind = (unsigned)tool_below(&t->rng, 1000);
    if (kind < 480) {
        do_data(t, file, true);
    } else if (kind < 880) {
        do_data(t, file, false);
    } else if (kind < 960) {
        do_append(t, file);
    } else if (kind < 970) {
        do_truncate(t, file);
    } else if (kind < 998) {
        if (tool_below(&t->rng, 2) ? nvx.fsync(t->fd[file]) : nvx.fdatasync(t->append_fd[file]))
            fail("fsync: %s", strerror(errno));
    } else {
        close_file(t, file);
        open_file(t, file);
    }
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    uint64_t ops = 0;
    for (unsigned file = 0; file < FILES; file++)
        open_file(t, file);
    while (!atomic_load(&run.shared->failed)) {
        do_op(t);
        if (++ops % 16 == 0 && tool_now_ns() > run.end)
            break;
    }
    for (unsigned file = 0; file < FILES; file++)
        close_file(t, file);
    atomic_fetch_add(&run.shared->ops, ops);
    return NULL;
}

static void process_main(unsigned number)
{
    struct thread *all = calloc(run.threads, sizeof(*all));
    if (!all)
        exit(2);
    for (unsigned i = 0; i < run.threads; i++) {
        all[i].rng.state = tool_mix2(run.seed, number * 1000 + i);
        if (pthread_create(&all[i].id, NULL, thread_main, &all[i]))
            exit(2);
    }
    for (unsigned i = 0; i < run.threads; i++)
        pthread_join(all[i].id, NULL);
    exit(0);
}

static void init_model(void)
{
    pthread_mutexattr_t mutex;
    pthread_rwlockattr_t rwlock;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
    pthread_rwlockattr_setkind_np(&rwlock, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (unsigned file = 0; file < FILES; file++) {
        struct model *m = &run.shared->model[file];
        pthread_rwlock_init(&m->shape, &rwlock);
        pthread_mutex_init(&m->appender, &mutex);
        for (unsigned i = 0; i < STRIPES; i++)
            pthread_mutex_init(&m->stripe[i], &mutex);
        char name[256];
        file_name(name, sizeof(name), file);
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || close(fd))
            exit(2);
    }
}

static void check_files(void)
{
    static uint8_t data[FILE_BYTES + 1];
    for (unsigned file = 0; file < FILES; file++) {
        struct model *m = &run.shared->model[file];
        char name[256];
        file_name(name, sizeof(name), file);
        int fd = open(name, O_RDONLY);
        ssize_t n = pread(fd, data, sizeof(data), 0);
        close(fd);
        if (n < 0 || (uint64_t)n != atomic_load(&m->size))
            fail("file %u without the library: size %zd, must be %llu", file, n,
                 (unsigned long long)atomic_load(&m->size));
        else if (memcmp(data, m->data, (size_t)n))
            fail("file %u without the library: wrong bytes", file);
    }
}

static void wait_processes(const pid_t *pid)
{
    uint64_t hang = run.end + UINT64_C(30000000000);
    for (unsigned left = run.processes; left;) {
        int status = 0;
        pid_t got = waitpid(-1, &status, WNOHANG);
        if (got > 0) {
            left--;
            if (status)
                fail("a process ended with status %#x", (unsigned)status);
        } else if (tool_now_ns() > hang) {
            fail("hang");
            for (unsigned i = 0; i < run.processes; i++)
                kill(pid[i], SIGKILL);
            return;
        } else {
            tool_sleep_us(10000);
        }
    }
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"processes", 1, NULL, 'm'}, {"threads", 1, NULL, 'n'}, {"seconds", 1, NULL, 't'}, {"seed", 1, NULL, 's'},
        {"dir", 1, NULL, 'd'},       {"plant", 0, NULL, 'P'},   {NULL, 0, NULL, 0}};
    const char *dir = place_directory(), *scale = getenv("NVMMIO_TEST_SCALE");
    run.seed = tool_now_ns() % 1000000;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'm')
            run.processes = (unsigned)atoi(optarg);
        else if (c == 'n')
            run.threads = (unsigned)atoi(optarg);
        else if (c == 't')
            run.seconds = strtoull(optarg, NULL, 0);
        else if (c == 's')
            run.seed = strtoull(optarg, NULL, 0);
        else if (c == 'd')
            dir = optarg;
        else if (c == 'P')
            run.plant = true;
        else
            exit(2);
    }
    if (scale && atoi(scale) > 1)
        run.seconds *= (uint64_t)atoi(scale);
    if (run.threads > THREADS_MAX || run.processes > THREADS_MAX)
        exit(2);
    snprintf(run.root, sizeof(run.root), "%s/stress.%d", dir, getpid());
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    if (!getenv("NVMMIO_ROOT") || strcmp(getenv("NVMMIO_ROOT"), run.root)) {
        if (leak_private_shm())
            setenv("STRESS_PRIVATE_SHM", "1", 1);
        if (mkdir(run.root, 0700)) /* the library reads the variable at its first use: start again with it set */
            return 2;
        setenv("NVMMIO_ROOT", run.root, 1);
        setenv("NVMMIO_CONF", "pm:force,atomic_nvmmap:0", 0); /* attach when PM needs it, whether it pays or not */
        execv("/proc/self/exe", argv);
        return 2;
    }
    pid_t pid[THREADS_MAX];
    run.shared = mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run.shared == MAP_FAILED)
        return 2;
    init_model();
    printf("model stress on %s: %u processes of %u threads, %llu s, seed %llu\n", nvx.name, run.processes, run.threads,
           (unsigned long long)run.seconds, (unsigned long long)run.seed);
    fflush(stdout);
    run.end = tool_now_ns() + run.seconds * UINT64_C(1000000000);
    for (unsigned i = 0; i < run.processes; i++)
        if (!(pid[i] = fork()))
            process_main(i);
    wait_processes(pid);
    check_files();
    char found[600];
    if (leak_any(run.root, getenv("STRESS_PRIVATE_SHM"), found, sizeof(found)))
        fail("left over: %.300s", found);
    bool failed = atomic_load(&run.shared->failed);
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", run.root);
    if (system(command))
        printf("cannot remove %s\n", run.root);
    printf("%s: %llu operations%s%s\n", failed ? "FAILED" : "ok", (unsigned long long)atomic_load(&run.shared->ops),
           failed ? ": " : "", run.shared->text);
    if (run.plant)
        printf("%s\n", failed ? "ok: failed as it must" : "FAILED: this must fail");
    return failed != run.plant;
}
