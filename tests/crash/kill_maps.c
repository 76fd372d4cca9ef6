/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_maps.c — promise: what plain stores through failure-atomic mappings have left in a file after its processes were
 * killed is the state at a completed sync, of all threads and processes: nothing synced is missing, nothing later is there,
 * and no store is there without those that its thread made before it.
 *
 *   kill_maps [--rounds N] [--processes P] [--threads T] [--survivor] [--seed N]
 *
 * Each round starts processes that map one file, the first two by fork with the mapping, others by a mapping of their own.
 * Each thread counts: step k stores k to cells in five pages, in order, fills a page of its own with k, and writes k by
 * pwrite. Other threads sync now and then, and note on a board, in memory that outlives the processes, what was complete
 * before a sync began and what could have been there when it ended. Then all are killed, with --survivor one a little
 * earlier, and a new process looks at the file. Who maps the file when the earlier one was dead may have found it rolled
 * back: its syncs promise nothing of what that one stored.
 *
 * Without failure-atomic mappings it fails: stores that nobody has synced are there.
 */
#include "support/nvx.h"
#include "support/place.h"
#include "support/tool.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    CELLS = 5,         /* pages with a cell for each thread, stored in this order */
    WRITTEN = CELLS,   /* page of the cells that are written by pwrite */
    FILLS = CELLS + 1, /* first page of the pages that are filled */
    OWN_PAGES = 32,    /* of each thread */
    MOST = 16,         /* threads in all */
    FILE_BYTES = (FILLS + MOST * OWN_PAGES) * PAGE,
};

/* What a syncer says. */
struct syncer {
    _Atomic uint32_t in_flight;
    _Atomic uint64_t floor[MOST];   /* complete before its last completed sync began */
    _Atomic uint64_t ceiling[MOST]; /* begun when it ended */
    _Atomic uint64_t syncs;
};

/* Shared by driver and victims, and not on PM. */
static struct board {
    _Atomic uint64_t done[MOST];
    struct syncer syncer[MOST];
    _Atomic bool mapped[MOST]; /* by process */
    bool heard_of[MOST];       /* by process: it had mapped the file when the early victim was killed */
    unsigned early;            /* the process that is killed earlier; MOST: none */
} * board;

static struct {
    char root[200], path[230];
    unsigned rounds, processes, threads;
    uint64_t seed;
    bool survivor;
} run = {.rounds = 20, .processes = 2, .threads = 2, .seed = 1};

static void fail(const char *what)
{
    fprintf(stderr, "kill_maps: %s: %s\n", what, strerror(errno));
    _exit(2);
}

/* ---- a victim ---- */

static int fd;
static char *map;

static _Atomic uint64_t *cell(unsigned page, unsigned thread)
{
    return (_Atomic uint64_t *)(void *)(map + page * PAGE) + thread;
}

static char *own_page(unsigned thread, uint64_t k)
{
    return map + (FILLS + thread * OWN_PAGES + k % OWN_PAGES) * PAGE;
}

static void *count(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    /* from the step on that the last round may have left half done */
    uint64_t found = atomic_load(&board->done[thread]);
    for (uint64_t k = found ? found : 1;; k++) {
        for (unsigned i = 0; i < CELLS; i++)
            atomic_store(cell(i, thread), k);
        _Atomic uint64_t *own = (_Atomic uint64_t *)(void *)own_page(thread, k);
        for (unsigned i = 0; i < PAGE / sizeof *own; i++)
            atomic_store_explicit(own + i, k, memory_order_relaxed);
        if (nvx.pwrite(fd, &k, sizeof k, WRITTEN * PAGE + thread * (off_t)sizeof k) != sizeof k)
            fail("pwrite");
        atomic_store(&board->done[thread], k);
        if (k % 64 == 0)
            tool_sleep_us(50);
    }
    return NULL;
}

static void *sync_all(void *arg)
{
    struct syncer *syncer = &board->syncer[(uintptr_t)arg];
    for (;;) {
        uint64_t floor[MOST];
        for (unsigned i = 0; i < MOST; i++)
            floor[i] = atomic_load(&board->done[i]);
        atomic_store(&syncer->in_flight, 1);
        if (atomic_load(&syncer->syncs) % 3 == 1 ? nvx.fsync(fd) : nvx.msync(map, FILE_BYTES, MS_SYNC))
            fail("sync");
        for (unsigned i = 0; i < MOST; i++) {
            atomic_store(&syncer->ceiling[i], atomic_load(&board->done[i]) + 1);
            atomic_store(&syncer->floor[i], floor[i]);
        }
        atomic_store(&syncer->in_flight, 0);
        atomic_fetch_add(&syncer->syncs, 1);
        tool_sleep_us(500);
    }
    return NULL;
}

static void open_and_map(void)
{
    fd = nvx.open(run.path, O_RDWR);
    map = fd < 0 ? MAP_FAILED : nvx.mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fail("map");
}

static void be_victim(unsigned process)
{
    pthread_t thread;
    atomic_store(&board->mapped[process], true);
    for (unsigned i = 0; i < run.threads; i++)
        if (pthread_create(&thread, NULL, count, (void *)(uintptr_t)(process * run.threads + i)))
            fail("thread");
    sync_all((void *)(uintptr_t)process);
}

/* The first victim makes the mapping, the second inherits it, the others make their own. */
static pid_t start_victims(pid_t *victims)
{
    for (unsigned i = 0; i < run.processes; i++) {
        if (i == 1) /* started by the first */
            continue;
        victims[i] = fork();
        if (victims[i] == 0) {
            if (i == 0)
                setpgid(0, 0);
            else
                setpgid(0, victims[0]);
            open_and_map();
            if (i == 0 && run.processes > 1 && fork() == 0)
                be_victim(1);
            be_victim(i);
        }
        setpgid(victims[i], victims[0]);
    }
    return victims[0];
}

/* ---- the judge ---- */

static void judge_thread(const char *bytes, unsigned thread, uint64_t *floor, uint64_t *ceiling, unsigned *wrong)
{
    uint64_t value[CELLS + 1];
    for (unsigned i = 0; i <= CELLS; i++)
        memcpy(&value[i], bytes + i * PAGE + thread * sizeof *value, sizeof *value);
    uint64_t first = value[0];
    for (unsigned i = 1; i <= CELLS; i++) {
        if (value[i] > value[i - 1] || value[i] + 1 < first) {
            printf("thread %u: cell %u is %llu, the one before %llu, the first %llu\n", thread, i,
                   (unsigned long long)value[i], (unsigned long long)value[i - 1], (unsigned long long)first);
            ++*wrong;
        }
    }
    if (first < *floor || first > *ceiling) {
        printf("thread %u: %llu is not between %llu (synced) and %llu\n", thread, (unsigned long long)first,
               (unsigned long long)*floor, (unsigned long long)*ceiling);
        ++*wrong;
    }
    for (unsigned page = 0; page < OWN_PAGES; page++) {
        const char *own = bytes + (FILLS + thread * OWN_PAGES + page) * PAGE;
        uint64_t head, word;
        memcpy(&head, own, sizeof head);
        bool filling = false;
        for (unsigned at = 0; at < PAGE; at += sizeof word) {
            memcpy(&word, own + at, sizeof word);
            filling = filling || word != head;
            /* only the step of now may be in the middle of its page, over what was there a round of pages before */
            if (word > first || (filling && (head != first || (word && word + OWN_PAGES != head)))) {
                printf("thread %u: page %u has %llu at %u, begins with %llu, the cells say %llu\n", thread, page,
                       (unsigned long long)word, at, (unsigned long long)head, (unsigned long long)first);
                ++*wrong;
                break;
            }
        }
        if (head != first && first >= OWN_PAGES && head % OWN_PAGES == page && head + OWN_PAGES < first) {
            printf("thread %u: page %u is of step %llu, the cells say %llu\n", thread, page, (unsigned long long)head,
                   (unsigned long long)first);
            ++*wrong;
        }
    }
    atomic_store(&board->done[thread], first);
}

static int judge(void)
{
    unsigned wrong = 0;
    int file = nvx.open(run.path, O_RDWR);
    char *bytes = malloc(FILE_BYTES);
    if (file < 0 || !bytes || nvx.pread(file, bytes, FILE_BYTES, 0) != FILE_BYTES)
        fail("look at the file");
    for (unsigned t = 0; t < run.processes * run.threads; t++) {
        uint64_t floor = 0, ceiling = 0, done = atomic_load(&board->done[t]);
        bool in_flight = false, early = t / run.threads == board->early;
        for (unsigned s = 0; s < run.processes; s++) {
            struct syncer *syncer = &board->syncer[s];
            uint64_t f = atomic_load(&syncer->floor[t]), c = atomic_load(&syncer->ceiling[t]);
            if (!early || s == board->early || board->heard_of[s])
                floor = f > floor ? f : floor;
            ceiling = c > ceiling ? c : ceiling;
            in_flight = in_flight || atomic_load(&syncer->in_flight);
        }
        ceiling = in_flight ? done + 1 : ceiling;
        judge_thread(bytes, t, &floor, &ceiling, &wrong);
    }
    if (nvx.close(file))
        fail("close");
    fflush(stdout);
    return wrong != 0;
}

/* ---- the driver ---- */

static void begin_round(void)
{
    for (unsigned s = 0; s < MOST; s++) {
        atomic_store(&board->syncer[s].in_flight, 0);
        for (unsigned t = 0; t < MOST; t++) {
            uint64_t done = atomic_load(&board->done[t]);
            atomic_store(&board->syncer[s].floor[t], done);
            atomic_store(&board->syncer[s].ceiling[t], done);
        }
        atomic_store(&board->mapped[s], false);
    }
    board->early = MOST;
}

static bool round_fails(struct tool_rng *random)
{
    pid_t victims[MOST];
    int status;
    begin_round();
    pid_t group = start_victims(victims);
    tool_sleep_us((unsigned)(2000 + tool_random(random) % 40000));
    if (run.survivor) { /* the one whose mapping the second has inherited, or the last */
        board->early = run.processes > 2 && tool_random(random) % 2 ? run.processes - 1 : 0;
        for (unsigned i = 0; i < run.processes; i++)
            board->heard_of[i] = atomic_load(&board->mapped[i]);
        kill(victims[board->early], SIGKILL);
        tool_sleep_us((unsigned)(2000 + tool_random(random) % 20000));
    }
    kill(-group, SIGKILL);
    for (unsigned i = 0; i < run.processes; i++)
        if (i != 1)
            waitpid(victims[i], &status, 0);
    while (kill(-group, 0) == 0) /* the inherited one is init's child */
        tool_sleep_us(200);
    pid_t child = fork();
    if (child == 0)
        _exit(judge());
    return waitpid(child, &status, 0) != child || status != 0;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", 1, NULL, 'r'},   {"processes", 1, NULL, 'p'}, {"threads", 1, NULL, 't'},
        {"survivor", 0, NULL, 's'}, {"seed", 1, NULL, 'x'},      {0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            run.survivor = true;
        else if (c == 'x')
            run.seed = strtoull(optarg, NULL, 0);
        else if (c == 'r' || c == 'p' || c == 't')
            *(c == 'r' ? &run.rounds : c == 'p' ? &run.processes : &run.threads) = (unsigned)atoi(optarg);
        else
            exit(2);
    }
    if (run.processes * run.threads > MOST || !run.processes)
        exit(2);
    const char *scale = getenv("NVMMIO_TEST_SCALE");
    run.rounds *= scale && atoi(scale) > 0 ? (unsigned)atoi(scale) : 1;
}

int main(int argc, char **argv)
{
    char command[256];
    parse(argc, argv);
    snprintf(run.root, sizeof run.root, "%s/nvmmio-maps.XXXXXX", place_directory());
    if (!mkdtemp(run.root))
        fail("mkdtemp");
    setenv("NVMMIO_ROOT", run.root, 1);
    snprintf(run.path, sizeof run.path, "%s/file", run.root);
    int file = open(run.path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, FILE_BYTES) || close(file))
        fail("make the file");
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned failed = 0;
    struct tool_rng random = {run.seed};
    uint64_t syncs = 0;
    for (unsigned i = 0; i < run.rounds; i++)
        failed += round_fails(&random);
    for (unsigned i = 0; i < run.processes; i++)
        syncs += atomic_load(&board->syncer[i].syncs);
    printf("%u rounds, %u failed, %llu syncs\n", run.rounds, failed, (unsigned long long)syncs);
    snprintf(command, sizeof command, "rm -rf %s", run.root);
    return system(command) || failed ? 1 : 0;
}
