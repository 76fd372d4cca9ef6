/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mapped.c — promise: however a file is mapped and unmapped, loads and stores through any mapping of any process and reads
 * and writes by any descriptor meet in the same bytes at once; so do a program's without the library, while it is mapped.
 * Nothing is lost when processes fork in the midst of it or are killed.
 *
 *   mapped [--processes M] [--threads N] [--seconds S] [--dir DIR] [--kills] [--plant]
 *
 * The file is an array of counters, eight to a line, so that owners share lines. Each has one owner, a thread, who adds one
 * by a store, a copy into a mapping or a write, and tells in shared memory what it is about to do and what is done. Who
 * reads a counter, in any way, must find a value between what was done before and what was begun by then. Threads map,
 * unmap, move, cover and sync at random, and fork children who go on with what they inherit; with --kills the parent
 * kills processes and starts others in their place. --plant lets an owner store an older value now and then: must be found.
 */
#include "base/rawsys.h"
#include "support/nvx.h"
#include "support/place.h"
#include "support/tool.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CELLS = 8192,
    BYTES = CELLS * 8,
    ROOM = 2 * BYTES,
    FORKS_EACH = 400,
    CHILD_STEPS = 60,
    KILL_MS = 60,
    PLANTED = 97
};

struct cell {
    _Atomic uint64_t begun, done;
};

/* Shared by all processes. */
static struct shared {
    struct cell cell[CELLS];
    _Atomic uint64_t steps, kills, forks, wrong, tells;
    _Atomic bool over;
} * shared;

static struct {
    char dir[200], path[230];
    unsigned processes, threads, seconds;
    bool kills, plant;
} run = {.processes = 3, .threads = 2, .seconds = 5};

/* A thread, and what it has mapped. */
struct worker {
    unsigned owner;
    uint64_t seed;
    int fd;
    char *map;   /* of the library: NULL, or ROOM bytes */
    bool stores; /* it is shared and writable */
    bool split;  /* its second half is not the file's any more */
    char *raw;   /* of the kernel alone; looked at only while there is `map` */
};

static unsigned below(struct worker *w, unsigned n)
{
    w->seed = tool_mix(w->seed + 1);
    return (unsigned)(w->seed >> 33) % n;
}

static _Noreturn void wrong(const struct worker *w, unsigned cell, uint64_t value, uint64_t low, uint64_t high,
                            const char *way)
{
    uint64_t again = 0;
    atomic_fetch_add(&shared->wrong, 1);
    fprintf(stderr, "mapped: owner %u reads cell %u by %s: %llu, but %llu was done and %llu begun\n", w->owner, cell,
            way, (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
    if (nvx.pread(w->fd, &again, sizeof again, (off_t)(cell * sizeof again)) == sizeof again)
        fprintf(stderr, "mapped: a read behind it: %llu; the kernel's own mapping: %llu; %smapped\n",
                (unsigned long long)again, (unsigned long long)*((volatile uint64_t *)w->raw + cell),
                w->map ? "" : "not ");
    _exit(3);
}

static void need(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "mapped: %s: %s\n", what, strerror(errno));
    atomic_fetch_add(&shared->wrong, 1);
    _exit(3);
}

/* ---- one step ---- */

static volatile uint64_t *cell_in(char *map, unsigned cell)
{
    return (volatile uint64_t *)map + cell;
}

static void add_one(struct worker *w)
{
    unsigned owners = run.processes * run.threads;
    unsigned cell = below(w, CELLS / owners) * owners + w->owner;
    struct cell *c = &shared->cell[cell];
    uint64_t value = atomic_load(&c->done) + 1;
    atomic_store(&c->begun, value);
    uint64_t put = run.plant && value % PLANTED == 0 ? value - 2 : value;
    unsigned way = w->map && w->stores ? below(w, 3) : 0;
    if (way == 0)
        need(nvx.pwrite(w->fd, &put, sizeof put, (off_t)(cell * sizeof put)) == sizeof put, "pwrite");
    else if (way == 1)
        *cell_in(w->map, cell) = put;
    else
        need(nvx.memcpy(w->map + cell * sizeof put, &put, sizeof put) != NULL, "memcpy");
    atomic_store(&c->done, value);
}

static void look(struct worker *w)
{
    unsigned cell = below(w, CELLS), way = below(w, 3);
    struct cell *c = &shared->cell[cell];
    const char *name = "pread";
    uint64_t low = atomic_load(&c->done), value = 0;
    if (way == 0 || !w->map) {
        need(nvx.pread(w->fd, &value, sizeof value, (off_t)(cell * sizeof value)) == sizeof value, "pread");
    } else if (way == 1) {
        value = *cell_in(w->map, cell);
        name = "a load";
    } else {
        value = *cell_in(w->raw, cell);
        name = "a load of the kernel's own mapping";
    }
    uint64_t high = atomic_load(&c->begun);
    if (value < low || value > high)
        wrong(w, cell, value, low, high, name);
}

static void unmap(struct worker *w)
{
    if (w->map)
        need(nvx.munmap(w->map, ROOM) == 0, "munmap");
    w->map = NULL;
}

static void change_mapping(struct worker *w)
{
    static const struct {
        int prot, flags;
    } kinds[] = {{PROT_READ | PROT_WRITE, MAP_SHARED}, {PROT_READ, MAP_SHARED}, {PROT_READ, MAP_PRIVATE}};
    unsigned what = below(w, 8), kind = below(w, 3);
    if (!w->map || what < 2) {
        int flags = kinds[kind].flags | (w->map ? MAP_FIXED : 0); /* a new one in the old one's place */
        char *map = nvx.mmap(w->map, ROOM, kinds[kind].prot, flags, w->fd, 0);
        need(map != MAP_FAILED, "mmap");
        w->map = map;
        w->stores = kind == 0;
        w->split = false;
    } else if (what < 4 && !w->split) {
        char *map = nvx.mremap(w->map, ROOM, ROOM / 2 * 3, MREMAP_MAYMOVE);
        need(map != MAP_FAILED, "mremap");
        w->map = nvx.mremap(map, ROOM / 2 * 3, ROOM, 0);
        need(w->map == map, "mremap back");
    } else if (what == 4) {
        /* in one step: another thread might map something into a hole */
        need(nvx.mmap(w->map + BYTES, ROOM - BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                 w->map + BYTES,
             "mmap of memory");
        w->split = true;
    } else {
        unmap(w);
    }
}

static void step(struct worker *w)
{
    unsigned what = below(w, 200);
    if (what < 90)
        add_one(w);
    else if (what < 190)
        look(w);
    else if (what < 195)
        change_mapping(w);
    else if (what < 197 && w->map)
        need(nvx.msync(w->map, BYTES, MS_SYNC) == 0, "msync");
    else
        need(nvx.fsync(w->fd) == 0, "fsync");
    atomic_fetch_add_explicit(&shared->steps, 1, memory_order_relaxed);
}

/* A child goes on in the thread's place, with its mapping, while the thread waits; or its parent loses the mapping first. */
static void fork_once(struct worker *w)
{
    bool loses = below(w, 2);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < CHILD_STEPS && !atomic_load(&shared->over); i++)
            step(w);
        if (below(w, 2))
            _exit(0);
        kill(getpid(), SIGKILL);
    }
    need(child > 0, "fork");
    if (loses)
        unmap(w);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    need(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "a child");
    atomic_fetch_add(&shared->forks, 1);
}

/* ---- processes ---- */

/* What a dead one has begun is done or not: what the file says. */
static void take_over(struct worker *w)
{
    unsigned owners = run.processes * run.threads;
    for (unsigned cell = w->owner; cell < CELLS; cell += owners) {
        struct cell *c = &shared->cell[cell];
        uint64_t value = 0, done = atomic_load(&c->done), begun = atomic_load(&c->begun);
        if (done == begun)
            continue;
        need(nvx.pread(w->fd, &value, sizeof value, (off_t)(cell * sizeof value)) == sizeof value, "pread");
        if (value < done || value > begun)
            wrong(w, cell, value, done, begun, "its new owner");
        atomic_store(&c->done, value); /* first: begun is never less */
        atomic_store(&c->begun, value);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    w->fd = nvx.open(run.path, O_RDWR | O_CLOEXEC);
    need(w->fd >= 0, "open");
    int plain = sys_openat(AT_FDCWD, run.path, O_RDONLY | O_CLOEXEC, 0);
    w->raw = sys_mmap(NULL, BYTES, PROT_READ, MAP_SHARED, plain, 0);
    need(!sys_is_error(w->raw), "a mapping of the kernel's own");
    sys_close(plain);
    take_over(w);
    for (unsigned i = 1; !atomic_load(&shared->over); i++) {
        step(w);
        if (i % FORKS_EACH == 0 && w->owner % run.threads == 0)
            fork_once(w);
    }
    if (w->owner % 2)
        unmap(w);
    nvx.close(w->fd);
    return NULL;
}

static pid_t start(unsigned process, uint64_t seed)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    setpgid(0, 0);
    static struct worker worker[16];
    pthread_t thread[16];
    for (unsigned t = 0; t < run.threads; t++) {
        worker[t] = (struct worker){.owner = process * run.threads + t, .seed = tool_mix2(seed, t)};
        need(pthread_create(&thread[t], NULL, work, &worker[t]) == 0, "pthread_create");
    }
    for (unsigned t = 0; t < run.threads; t++)
        pthread_join(thread[t], NULL);
    exit(0);
}

static void check_file(void)
{
    static uint64_t values[CELLS];
    int fd = sys_openat(AT_FDCWD, run.path, O_RDONLY, 0);
    need(sys_pread(fd, values, BYTES, 0) == BYTES, "the last look");
    sys_close(fd);
    for (unsigned cell = 0; cell < CELLS; cell++) {
        uint64_t low = atomic_load(&shared->cell[cell].done), high = atomic_load(&shared->cell[cell].begun);
        if (values[cell] < low || values[cell] > high) {
            fprintf(stderr, "mapped: at the end cell %u is %llu, not %llu\n", cell, (unsigned long long)values[cell],
                    (unsigned long long)low);
            atomic_fetch_add(&shared->wrong, 1);
            return;
        }
    }
}

/* With its children, who are this process's when it is dead. */
static void kill_all_of(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(-pid, NULL, 0) > 0 || kill(-pid, SIGKILL) == 0)
        ;
}

static void run_all(uint64_t seed)
{
    pid_t pid[16];
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    uint64_t end = tool_now_ns() + (uint64_t)run.seconds * 1000000000;
    for (unsigned p = 0; p < run.processes; p++)
        pid[p] = start(p, tool_mix2(seed, p));
    for (uint64_t n = 0; tool_now_ns() < end && !atomic_load(&shared->wrong); n++) {
        tool_sleep_us(KILL_MS * 1000);
        unsigned p = (unsigned)(tool_mix2(seed, n) % run.processes);
        if (run.kills && n % 3 == 0) {
            kill_all_of(pid[p]);
            atomic_fetch_add(&shared->kills, 1);
            pid[p] = start(p, tool_mix2(seed, 1000 + n));
        }
    }
    atomic_store(&shared->over, true);
    for (unsigned p = 0; p < run.processes; p++) {
        int status = 0;
        waitpid(pid[p], &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            fprintf(stderr, "mapped: process %u ended with status %x\n", p, (unsigned)status);
            atomic_fetch_add(&shared->wrong, 1);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"processes", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 't'},
        {"seconds", required_argument, NULL, 's'},
        {"dir", required_argument, NULL, 'd'},
        {"kills", no_argument, NULL, 'k'},
        {"plant", no_argument, NULL, 'x'},
        {0},
    };
    const char *base = place_directory();
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'p')
            run.processes = (unsigned)atoi(optarg);
        else if (c == 't')
            run.threads = (unsigned)atoi(optarg);
        else if (c == 's')
            run.seconds = (unsigned)atoi(optarg);
        else if (c == 'd')
            base = optarg;
        else if (c == 'k')
            run.kills = true;
        else if (c == 'x')
            run.plant = true;
        else
            return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(run.dir, sizeof run.dir, "%s/nvmmio-mapped-XXXXXX", base);
    if (shared == MAP_FAILED || !mkdtemp(run.dir))
        return 2;
    snprintf(run.path, sizeof run.path, "%s/f", run.dir);
    setenv("NVMMIO_ROOT", run.dir, 1);
    setenv("NVMMIO_CONF", "pm:force,atomic_nvmmap:0", 0);
    int fd = sys_openat(AT_FDCWD, run.path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || sys_ftruncate(fd, ROOM))
        return 2;
    sys_close(fd);
    run_all(tool_now_ns());
    check_file();
    printf("%llu steps, %llu forks, %llu kills, %llu wrong\n", (unsigned long long)shared->steps,
           (unsigned long long)shared->forks, (unsigned long long)shared->kills, (unsigned long long)shared->wrong);
    char remove[240];
    snprintf(remove, sizeof remove, "rm -rf '%s'", run.dir);
    if (system(remove)) /* NOLINT: our own directory */
        return 2;
    if (run.plant)
        return shared->wrong ? 0 : 1;
    return shared->wrong || !shared->steps;
}
