/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * stress_family.c — processes that come and go: forked in the midst of other threads' writes, executed with inherited
 * descriptors, killed at any moment while others go on, on files that are created, linked, renamed and unlinked under
 * them, against an exact model (family.h).
 *
 *     stress_family [--seconds S] [--seed X] [--only] [--no-kills] [--dir DIR] [--plant]
 *
 * A round of one to three seconds follows from its seed but for the turns of threads and the moments of kills; --only runs
 * one. After a round, when all are gone, its files are read through the library and then by a program without it.
 * --plant lets one write in 300 be wrong in a byte: must be found.
 */
#include "stress/family_process.h"
#include "support/leak.h"
#include "support/place.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_NS UINT64_C(40000000000)

static struct {
    char base[200], path[240], root[240];
    uint64_t seed, seconds;
    bool only, no_kills, plant, private_shm;
    uint64_t ops, kills, forks, execs, doubts, rounds;
} run = {.seconds = 10};

char *family_shared_path(void)
{
    static char path[300];
    snprintf(path, sizeof(path), "%.200s/../shared", family.shared->root);
    return path;
}

void family_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct family_shared)))
        _exit(2);
    family.shared = mmap(NULL, sizeof(struct family_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (family.shared == MAP_FAILED)
        _exit(2);
}

/* ---- judging, when all are gone ---- */

/* Through the library, which also recovers what the killed left. */
static void verify_managed(void)
{
    struct family_thread t = {.buf = malloc(FAMILY_BYTES), .other = malloc(FAMILY_BYTES)};
    if (!t.buf || !t.other)
        _exit(2);
    family_thread_start(&t, 1);
    family_lock_names(&t);
    for (uint32_t name = 0; name < FAMILY_NAMES; name++) {
        uint32_t object = family.shared->name[name];
        char path[256];
        family_path(path, sizeof(path), name);
        if (object == FAMILY_NONE)
            continue;
        int fd = nvx.open(path, O_RDWR);
        if (fd < 0) {
            family_fail(object, "open of n%u at the end: %s", name, strerror(errno));
            continue;
        }
        family_lock_size(&t, fd, object, false);
        family_lock_regions(&t, fd, object, 0, FAMILY_BYTES, false);
        uint64_t size = atomic_load(&family.shared->object[object].size);
        struct stat st;
        if (nvx.fstat(fd, &st) || (uint64_t)st.st_size != size)
            family_fail(object, "at the end: size %lld, must be %llu", (long long)st.st_size, (unsigned long long)size);
        family_check(&t, fd, object, 0, size, "at the end");
        family_unlock_regions(object, 0, FAMILY_BYTES);
        family_unlock(&family.shared->object[object].size_lock);
        if (nvx.close(fd))
            family_fail(object, "close at the end: %s", strerror(errno));
    }
    family_unlock(&family.shared->names_lock);
}

/* In a program without the library: the files are ordinary ones. */
static void verify_plain(const char *path)
{
    static uint8_t data[FAMILY_BYTES + 1];
    family_map(path);
    for (uint32_t name = 0; name < FAMILY_NAMES; name++) {
        uint32_t object = family.shared->name[name];
        char file[256];
        family_path(file, sizeof(file), name);
        if (object == FAMILY_NONE)
            continue;
        const struct family_object *o = &family.shared->object[object];
        int fd = open(file, O_RDONLY);
        ssize_t n = read(fd, data, sizeof(data));
        if (n < 0 || (uint64_t)n != atomic_load(&o->size) || memcmp(data, o->data, (size_t)n))
            family_fail(object, "n%u without the library: %zd bytes, must be %llu, or others", name, n,
                        (unsigned long long)atomic_load(&o->size));
        close(fd);
    }
}

static void in_child(void (*work)(void), const char *what)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        work();
        exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        family_fail(FAMILY_NONE, "%s ended with status %#x", what, (unsigned)status);
}

static void exec_plain(void)
{
    unsetenv("LD_PRELOAD");
    execl("/proc/self/exe", "stress_family", "--look", run.path, NULL);
    _exit(2);
}

static void clean(bool whole)
{
    char command[700];
    if (whole)
        snprintf(command, sizeof(command), "rm -rf '%s' && mkdir '%s'%s", run.root, run.root,
                 run.private_shm ? " && rm -f /dev/shm/nvmmio-*" : "");
    else
        snprintf(command, sizeof(command), "rm -f '%s'/n?", run.root);
    if (system(command))
        exit(2);
}

/* ---- a round ---- */

static void describe_hang(void)
{
    char *text = family.shared->text;
    size_t used = 0, length = sizeof(family.shared->text);
    family_fail(FAMILY_NONE, "%s", "");
    used += (size_t)snprintf(text, length, "hang; under way:");
    for (unsigned i = 0; i < FAMILY_PROCESSES && used < length; i++)
        if (atomic_load(&family.shared->process[i].pid))
            used += (size_t)snprintf(text + used, length - used, " process %d",
                                     atomic_load(&family.shared->process[i].pid));
    for (unsigned i = 0; i < FAMILY_INTENTS && used < length; i++) {
        const struct family_intent *d = &family.shared->intent[i];
        if (atomic_load(&d->state) == FAMILY_ACTIVE)
            used += (size_t)snprintf(text + used, length - used, "; kind %u of %llu at %llu on file %u", d->kind,
                                     (unsigned long long)d->length, (unsigned long long)d->offset, d->object);
    }
}

static void kill_all(void)
{
    for (unsigned i = 0; i < FAMILY_PROCESSES; i++) {
        int pid = atomic_load(&family.shared->process[i].pid);
        if (pid > 0)
            kill(pid, SIGKILL);
    }
}

/* Kills a child of this process; others' children are theirs to kill. */
static void kill_one(struct tool_rng *rng)
{
    for (unsigned tries = 0; tries < FAMILY_PROCESSES; tries++) {
        int pid = atomic_load(&family.shared->process[tool_below(rng, FAMILY_PROCESSES)].pid);
        siginfo_t info = {0};
        if (pid > 0 && !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid) {
            kill(pid, SIGKILL);
            return;
        }
    }
}

static void begin_round(uint64_t seed, struct tool_rng *rng)
{
    struct family_shared *s = family.shared;
    if (truncate(run.path, 0) || truncate(run.path, sizeof(struct family_shared)))
        exit(2);
    snprintf(s->root, sizeof(s->root), "%.199s", run.root);
    s->seed = seed;
    s->threads = 1 + (uint32_t)tool_below(rng, 3);
    s->kills_wanted = tool_below(rng, 3) && !run.no_kills;
    s->plant = run.plant;
    s->end = tool_now_ns() + (1000 + tool_below(rng, 2000)) * UINT64_C(1000000);
    family_lock_make(&s->names_lock);
    for (unsigned i = 0; i < FAMILY_NAMES; i++)
        s->name[i] = FAMILY_NONE;
}

static void count_round(void)
{
    run.ops += atomic_load(&family.shared->ops);
    run.kills += atomic_load(&family.shared->kills);
    run.forks += atomic_load(&family.shared->forks);
    run.execs += atomic_load(&family.shared->execs);
    run.doubts += atomic_load(&family.shared->doubts);
    run.rounds++;
}

/* Whether all went well. */
static bool do_round(uint64_t seed)
{
    struct tool_rng rng = {.state = tool_mix(seed)};
    begin_round(seed, &rng);
    uint64_t hang = family.shared->end + HANG_NS, next_kill = 0;
    bool left = true;
    while (left) {
        uint64_t now = tool_now_ns();
        bool over = now > family.shared->end || atomic_load(&family.shared->failed);
        if (!over && family_alive() < 3 && family_fork(tool_random(&rng)) < 0)
            family_fail(FAMILY_NONE, "fork failed");
        if (!over && family.shared->kills_wanted && now > next_kill) {
            kill_one(&rng);
            next_kill = now + tool_below(&rng, 40) * UINT64_C(1000000);
        }
        if (now > hang) {
            describe_hang();
            kill_all();
            hang = now + HANG_NS;
        }
        left = family_reap(false) || !over;
        tool_sleep_us(2000);
    }
    bool killed = atomic_load(&family.shared->kills);
    if (!atomic_load(&family.shared->failed))
        in_child(verify_managed, "the reader at the end");
    if (!atomic_load(&family.shared->failed))
        in_child(exec_plain, "the reader without the library");
    clean(false);
    char found[600];
    /* The log of a file that was unlinked while open and whose last process was killed stays; with the API alone _exit and
     * exec are as a kill. */
    if (!atomic_load(&family.shared->failed) && !killed && nvx_is_kernel &&
        leak_any(run.root, run.private_shm, found, sizeof(found)))
        family_fail(FAMILY_NONE, "left over: %.300s", found);
    if (killed || !nvx_is_kernel)
        clean(true);
    count_round();
    return !atomic_load(&family.shared->failed);
}

static void report(uint64_t seed)
{
    struct family_shared *s = family.shared;
    printf("FAIL seed %llu: process %d: %s\n", (unsigned long long)seed, s->failed_pid, s->text);
    if (s->failed_object < FAMILY_OBJECTS) {
        const struct family_object *o = &s->object[s->failed_object];
        printf("the file's last changes, size %llu:\n", (unsigned long long)atomic_load(&o->size));
        uint32_t last = atomic_load(&o->events);
        for (uint32_t i = last > FAMILY_EVENTS ? last - FAMILY_EVENTS : 0; i < last; i++) {
            const struct family_event *e = &o->event[i % FAMILY_EVENTS];
            printf("  %6d %-15s %llu %llu\n", e->pid, e->what, (unsigned long long)e->offset,
                   (unsigned long long)e->length);
        }
    }
    printf("again: --seed %llu --only (and repeat: threads and kills do not follow from the seed)\n",
           (unsigned long long)seed);
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"seconds", 1, NULL, 't'},  {"seed", 1, NULL, 's'}, {"only", 0, NULL, '1'},
                                          {"no-kills", 0, NULL, 'k'}, {"dir", 1, NULL, 'd'},  {"plant", 0, NULL, 'P'},
                                          {NULL, 0, NULL, 0}};
    const char *dir = place_directory(), *scale = getenv("NVMMIO_TEST_SCALE");
    run.seed = tool_now_ns() % 1000000;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 't')
            run.seconds = strtoull(optarg, NULL, 0);
        else if (c == 's')
            run.seed = strtoull(optarg, NULL, 0);
        else if (c == '1')
            run.only = true;
        else if (c == 'k')
            run.no_kills = true;
        else if (c == 'd')
            dir = optarg;
        else if (c == 'P')
            run.plant = true;
        else
            exit(2);
    }
    if (scale && atoi(scale) > 1)
        run.seconds *= (uint64_t)atoi(scale);
    snprintf(run.base, sizeof(run.base), "%.150s/family.%d", dir, getpid());
    snprintf(run.path, sizeof(run.path), "%s/shared", run.base);
    snprintf(run.root, sizeof(run.root), "%s/root", run.base);
}

/* The library reads NVMMIO_ROOT before main: the program starts itself again once that is known. */
static void restart(char **argv)
{
    if (getenv("NVMMIO_ROOT") && !strcmp(getenv("NVMMIO_ROOT"), run.root))
        return;
    if (leak_private_shm())
        setenv("FAMILY_PRIVATE_SHM", "1", 1);
    if (mkdir(run.base, 0700) || mkdir(run.root, 0700))
        exit(2);
    setenv("NVMMIO_ROOT", run.root, 1);
    setenv("NVMMIO_CONF", "atomic_nvmmap:0", 0); /* what is complete must outlive its process */
    execv("/proc/self/exe", argv);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc > 4 && !strcmp(argv[1], "--join"))
        family_join(argv);
    if (argc > 2 && !strcmp(argv[1], "--look")) {
        verify_plain(argv[2]);
        return 0;
    }
    parse_options(argc, argv);
    restart(argv);
    run.private_shm = getenv("FAMILY_PRIVATE_SHM");
    if (!getenv("NVMMIO_TEST_CORES"))
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    family_map(run.path);
    printf("family stress on %s: seed %llu\n", nvx.name, (unsigned long long)run.seed);
    fflush(stdout);
    bool failed = false;
    uint64_t start = tool_now_ns(), end = start + run.seconds * UINT64_C(1000000000), seed = run.seed;
    do {
        failed = !do_round(seed);
        if (failed)
            report(seed);
        seed++;
    } while (!failed && !run.only && tool_now_ns() < end);
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", run.base);
    if (system(command))
        printf("cannot remove %s\n", run.base);
    printf("%s: %llu rounds, %llu operations, %llu forks, %llu execs, %llu kills, %llu doubts settled\n",
           failed ? "FAILED" : "ok", (unsigned long long)run.rounds, (unsigned long long)run.ops,
           (unsigned long long)run.forks, (unsigned long long)run.execs, (unsigned long long)run.kills,
           (unsigned long long)run.doubts);
    if (run.plant)
        printf("%s\n", failed ? "ok: failed as it must" : "FAILED: this must fail");
    return failed != run.plant;
}
