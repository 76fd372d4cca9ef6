/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * words.c — damage to what several processes wait for: random words of the shared page of a live index (locks, epochs, sizes,
 * modes, counters), of its process words, records, slots, nodes and chains, and of the volume's table (entries, in-flight
 * words, bucket locks) change while processes read, write, sync, cut, map, open and close the file. The file may fail. No
 * process may crash, or wait for ever; another file of the same root is served all the time and is whole in the end.
 *
 *   words [--sessions N] [--seed S] [--only S] [--stack 1] [--healthy 1]
 *
 * A session that hangs says which process and at what; with --stack gdb tells where. --healthy: nothing is damaged, processes
 * are stopped for a while instead, and killed; then no call may fail: nobody is taken for one who holds nothing.
 */
#include "log/log_index.h"
#include "log/volume_private.h"
#include "uma/uma_private.h"

#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 3u
#define FILE_BYTES (4u << 20)
#define REGION 16384u /* of the other file, for each worker */
#define BEGIN_STEPS 12u
#define SESSION_MS 120
#define HANG_MS 10000
#define ROOT_BYTES 64
#define NS_PER_MS 1000000L
#define NOTES 8u
#define STOPS 4u
#define STOP_MS 40 /* others look several times meanwhile */

static struct {
    char root[ROOT_BYTES], path[ROOT_BYTES + 8], other[ROOT_BYTES + 8], table[ROOT_BYTES + 40];
    uint64_t random;
    bool stack, healthy;
    ino_t ino, other_ino;
    struct board { /* shared with the workers */
        _Atomic uint64_t nonce;
        _Atomic unsigned stop, errors, failed;
        struct {
            _Atomic unsigned steps, at;
            _Atomic unsigned char byte; /* of its region */
        } worker[WORKERS];
    } * board;
    struct note {
        const char *target;
        size_t offset;
        uint64_t before, after;
    } note[NOTES];
    unsigned noted;
    const char *target, *base; /* what is damaged now, and where it lies */
    char buffer[256u << 10];
} words;

static uint64_t rnd(uint64_t below)
{
    words.random ^= words.random << 13;
    words.random ^= words.random >> 7;
    words.random ^= words.random << 17;
    return (words.random >> 11) % below;
}

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "words.c: not so: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS}, NULL);
}

/* ---- damage ---- */

/* A number as damage makes it: one bit off, small, one that somebody else has, or anything. */
static uint64_t odd_number(uint64_t now)
{
    switch (rnd(6)) {
    case 0:
    case 1:
        return now ^ UINT64_C(1) << rnd(64);
    case 2:
        return 1 + rnd(WORKERS * INDEX_RECORDS);
    case 3:
        return now + rnd(9) - 4;
    case 4:
        return ~rnd(3);
    default:
        return rnd(UINT64_MAX);
    }
}

/* For who looks at a session that failed. */
static void note(const void *at, uint64_t before, uint64_t after)
{
    if (words.noted < NOTES)
        words.note[words.noted++] = (struct note){words.target, (size_t)((const char *)at - words.base), before, after};
}

static void damage_word(void *at)
{
    _Atomic uint64_t *word = at;
    uint64_t now = atomic_load(word), odd = odd_number(now);
    atomic_store(word, odd);
    note(at, now, odd);
}

static void damage_half(void *at)
{
    _Atomic uint32_t *word = at;
    uint32_t now = atomic_load(word), odd = (uint32_t)odd_number(now | (rnd(2) ? UINT64_C(1) << 32 : 0));
    atomic_store(word, odd);
    note(at, now, odd);
}

static void damage_any(char *start, size_t bytes)
{
    if (rnd(2))
        damage_word(start + rnd(bytes / 8) * 8);
    else
        damage_half(start + rnd(bytes / 4) * 4);
}

/* Locks above all: half of what hits the shared page hits one. */
static void damage_lock(struct index_shared *shared)
{
    struct shlock *const locks[] = {&shared->gate,       &shared->resize_lock, &shared->commit_lock,
                                    &shared->times_lock, &shared->alloc_lock,  &shared->grow_lock,
                                    &shared->node_lock,  &shared->kernel_lock, &shared->repair_lock};
    damage_half(&locks[rnd(sizeof locks / sizeof *locks)]->word);
}

static void damage_index(struct index *index)
{
    char *base = (char *)index->shared;
    struct index_slot *slot;
    words.target = "index";
    words.base = base;
    switch (rnd(8)) {
    case 0:
    case 1:
        damage_lock(index->shared);
        break;
    case 2:
        damage_any(base + 64, sizeof *index->shared - 64); /* behind magic and nonce, which only joining looks at */
        break;
    case 3:
        damage_any(base + INDEX_PROCESSES_OFFSET, (size_t)(WORKERS + 2) * 8);
        break;
    case 4:
    case 5:
        damage_any(base + INDEX_RECORDS_OFFSET, (size_t)WORKERS * INDEX_RECORDS * sizeof(struct index_record));
        break;
    case 6:
        slot = index_find(index, rnd(FILE_BYTES / UMA_BLOCK));
        if (slot)
            damage_any((char *)slot, sizeof *slot);
        break;
    default:
        damage_any(base + (rnd(2) ? INDEX_NODES_OFFSET : INDEX_SUPERSEDED_OFFSET), (size_t)INDEX_PAGE);
    }
}

static void damage_table(struct volume_table *table)
{
    struct volume_bucket *bucket = &table->bucket[live_bucket(words.ino)];
    words.target = "table";
    words.base = (const char *)table;
    switch (rnd(5)) {
    case 0:
        damage_any((char *)&table->high, offsetof(struct volume_table, reserved) - offsetof(struct volume_table, high));
        break;
    case 1:
        damage_any((char *)table->process, (WORKERS + 1) * sizeof *table->process);
        break;
    case 2: { /* as if a call were under way */
        _Atomic uint64_t *word = &table->process[rnd(WORKERS)].inflight[rnd(VOLUME_WORDS)];
        uint64_t odd = live_bucket(rnd(2) ? words.ino : words.other_ino) + 1 + (rnd(2) ? UINT64_C(1) << 13 : 0);
        note(word, atomic_exchange(word, odd), odd);
        break;
    }
    case 3:
        damage_half(&table->bucket[live_bucket(rnd(2) ? words.ino : words.other_ino)].lock.word);
        break;
    default:
        if (live_bucket(words.ino) != live_bucket(words.other_ino))
            damage_any((char *)bucket, sizeof *bucket);
    }
}

/* The index object of now, mapped here as it is by those who use it. */
static bool open_index(struct index *index)
{
    char path[LOG_INDEX_PATH_BYTES];
    uint64_t nonce = atomic_load(&words.board->nonce);
    memset(index, 0, sizeof *index);
    if (!nonce)
        return false;
    log_index_path(geteuid(), nonce, path);
    index->fd = open(path, O_RDWR | O_CLOEXEC);
    if (index->fd < 0)
        return false;
    if (pm_map_open(&index->map, index->fd, true, true, PM_MAP_SYNC_NEVER)) {
        close(index->fd);
        return false;
    }
    index->shared = pm_map_at(&index->map, 0);
    return true;
}

static struct volume_table *open_table(void)
{
    int fd = open(words.table, O_RDWR | O_CLOEXEC);
    must(fd >= 0, "open the table");
    void *map = mmap(NULL, sizeof(struct volume_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(map != MAP_FAILED, "map the table");
    close(fd);
    return map;
}

static void damage(struct volume_table *table)
{
    struct index index;
    if (rnd(4) == 0) {
        damage_table(table);
    } else if (open_index(&index)) {
        damage_index(&index);
        pm_map_close(&index.map);
        close(index.fd);
    }
}

/* ---- work ---- */

enum at { AT_OPEN, AT_WRITE, AT_READ, AT_SYNC, AT_CUT, AT_MAP, AT_CLOSE, AT_OTHER, AT_END };
static const char *const at_names[] = {"open", "write", "read", "sync", "cut", "map", "close", "other", "end"};

static void say(unsigned me, enum at at)
{
    atomic_store(&words.board->worker[me].at, (unsigned)at);
}

struct worker {
    unsigned me;
    int fd, other;
    char *map;
};

/* What a call on the file gave: it may fail, unless nothing is damaged. */
static void result(struct worker *worker, long result)
{
    if (result >= 0 || !words.healthy || atomic_fetch_add(&words.board->failed, 1))
        return;
    fprintf(stderr, "worker %u: %s: %s\n", worker->me, at_names[atomic_load(&words.board->worker[worker->me].at)],
            strerror(errno));
}

static void worker_open(struct worker *worker)
{
    say(worker->me, AT_OPEN);
    worker->fd = nvopen(words.path, O_RDWR, 0600);
    result(worker, worker->fd);
}

static void worker_unmap(struct worker *worker)
{
    say(worker->me, AT_MAP);
    if (worker->map)
        nvmunmap(worker->map, FILE_BYTES / 2);
    worker->map = NULL;
}

static void worker_close(struct worker *worker)
{
    worker_unmap(worker);
    say(worker->me, AT_CLOSE);
    if (worker->fd >= 0)
        result(worker, nvclose(worker->fd));
    worker->fd = -1;
}

/* A store through a mapping may find that the file has become shorter, or has failed. */
static void worker_map(struct worker *worker)
{
    struct stat st;
    if (worker->map || rnd(4))
        return worker_unmap(worker);
    say(worker->me, AT_MAP);
    if (fstat(worker->fd, &st) || st.st_size < FILE_BYTES / 2)
        return;
    char *map = nvmmap(NULL, FILE_BYTES / 2, PROT_READ | PROT_WRITE, MAP_SHARED, worker->fd, 0);
    worker->map = map == MAP_FAILED ? NULL : map;
}

static void work_file(struct worker *worker)
{
    off_t at = (off_t)rnd(FILE_BYTES);
    size_t length = rnd(rnd(8) ? 9000 : sizeof words.buffer) + 1;
    unsigned me = worker->me;
    if (worker->fd < 0)
        return worker_open(worker);
    switch (rnd(16)) {
    case 0:
        return worker_close(worker);
    case 1:
        say(me, AT_CUT);
        result(worker, nvftruncate(worker->fd, FILE_BYTES / 2 + at));
        break;
    case 2:
        worker_map(worker);
        break;
    case 3:
    case 4:
        say(me, AT_SYNC);
        result(worker, nvfsync(worker->fd));
        break;
    case 5:
    case 6:
    case 7:
        say(me, AT_READ);
        result(worker, nvpread(worker->fd, words.buffer, length, at));
        break;
    default:
        say(me, AT_WRITE);
        result(worker, nvpwrite(worker->fd, words.buffer, length, at));
    }
}

/* Its region of the other file, all bytes alike. */
static void work_other(struct worker *worker)
{
    char bytes[REGION], got[REGION];
    _Atomic unsigned char *byte = &words.board->worker[worker->me].byte;
    off_t at = (off_t)worker->me * REGION;
    say(worker->me, AT_OTHER);
    errno = 0;
    bool good = nvpread(worker->other, got, REGION, at) == REGION;
    memset(bytes, atomic_load(byte), REGION);
    good = good && !memcmp(got, bytes, REGION);
    memset(bytes, atomic_load(byte) + 1, REGION);
    good = good && nvpwrite(worker->other, bytes, REGION, at) == REGION;
    atomic_fetch_add(byte, 1);
    if (rnd(4) == 0)
        good = !nvfsync(worker->other) && good;
    if (!good && atomic_fetch_add(&words.board->errors, 1) == 0)
        fprintf(stderr, "worker %u: the other file: %s\n", worker->me, strerror(errno));
}

static void work(unsigned me, uint64_t seed)
{
    struct worker worker = {.me = me};
    words.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + me;
    worker_open(&worker);
    worker.other = nvopen(words.other, O_RDWR, 0600);
    must(worker.other >= 0, "open the other file");
    while (!atomic_load(&words.board->stop)) {
        work_file(&worker);
        struct uma *uma;
        struct stat st;
        if (stat(words.path, &st) == 0 && (uma = uma_find(st.st_dev, st.st_ino)) && uma_is_attached(uma))
            atomic_store(&words.board->nonce, uma->index.nonce);
        work_other(&worker);
        atomic_fetch_add(&words.board->worker[me].steps, 1);
    }
    worker_close(&worker);
    say(me, AT_OTHER);
    nvclose(worker.other);
    say(me, AT_END);
}

/* ---- sessions ---- */

/* All that have not ended: the one that hangs may wait for another. */
static void show_stacks(const pid_t pids[WORKERS])
{
    char command[160];
    for (unsigned i = 0; words.stack && i < WORKERS; i++) {
        snprintf(command, sizeof command, "gdb -p %d -batch -ex 'thread apply all bt 14' 2>/dev/null | grep '^[#T]'",
                 (int)pids[i]);
        fprintf(stderr, "worker %u\n", i);
        if (system(command) != 0)
            fprintf(stderr, "no stack\n");
    }
}

static bool all_begun(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (atomic_load(&words.board->worker[i].steps) < BEGIN_STEPS)
            return false;
    return true;
}

static pid_t start_worker(unsigned me, uint64_t seed)
{
    pid_t child = fork();
    must(child >= 0, "fork");
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        work(me, seed);
        exit(0);
    }
    return child;
}

/* Waits until it has ended; kills it if it hangs. Whether it ended well. */
static bool end_worker(unsigned me, const pid_t pids[WORKERS], uint64_t seed, bool killed)
{
    pid_t pid = pids[me];
    int status = 0;
    long waited = 0;
    for (; waitpid(pid, &status, WNOHANG) == 0; waited++) {
        if (waited == HANG_MS) {
            fprintf(stderr, "seed %llu: worker %u hangs at %s\n", (unsigned long long)seed, me,
                    at_names[atomic_load(&words.board->worker[me].at)]);
            show_stacks(pids);
            kill(pid, SIGKILL);
        }
        pause_ms(1);
    }
    bool good = waited < HANG_MS && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (waited < HANG_MS && !good && !killed)
        fprintf(stderr, "seed %llu: worker %u: %s %d at %s\n", (unsigned long long)seed, me,
                WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                at_names[atomic_load(&words.board->worker[me].at)]);
    return good || (killed && waited < HANG_MS);
}

static bool other_is_whole(unsigned killed)
{
    char got[REGION];
    int fd = open(words.other, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        good = good && pread(fd, got, REGION, (off_t)i * REGION) == REGION;
        for (unsigned k = 0; good && i != killed && k < REGION; k++)
            good = (unsigned char)got[k] == atomic_load(&words.board->worker[i].byte);
    }
    close(fd);
    return good;
}

/* Worker 0 dies in every fourth session, behind the damage. */
static bool run(uint64_t seed, unsigned *damages)
{
    pid_t pids[WORKERS];
    memset(words.board, 0, sizeof *words.board);
    words.noted = 0;
    words.random = (seed + 7) * UINT64_C(0x9e3779b97f4a7c15);
    setenv("NVMMIO_CONF", rnd(2) ? "pm:force" : "idle:20ms", 1);
    unsigned killed = rnd(4) ? WORKERS : 0;
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = start_worker(i, seed);
    for (long ms = 0; !all_begun() && ms < HANG_MS; ms++)
        pause_ms(1);
    must(all_begun(), "the workers begin");
    struct volume_table *table = open_table();
    for (unsigned n = words.healthy ? 0 : 1 + (unsigned)rnd(4); n; n--) {
        damage(table);
        ++*damages;
        pause_ms((long)rnd(12));
    }
    for (unsigned n = words.healthy ? STOPS : 0; n; n--) {
        pid_t stopped = pids[rnd(WORKERS)];
        kill(stopped, SIGSTOP);
        pause_ms(STOP_MS);
        kill(stopped, SIGCONT);
        pause_ms((long)rnd(5));
    }
    munmap(table, sizeof *table);
    if (killed < WORKERS)
        kill(pids[killed], SIGKILL);
    pause_ms(SESSION_MS);
    atomic_store(&words.board->stop, 1);
    bool good = true;
    for (unsigned i = 0; i < WORKERS; i++)
        good = end_worker(i, pids, seed, i == killed) && good;
    if (atomic_load(&words.board->failed))
        fprintf(stderr, "seed %llu: %u calls failed\n", (unsigned long long)seed, atomic_load(&words.board->failed));
    good = good && !atomic_load(&words.board->failed);
    if (atomic_load(&words.board->errors) || (good && !other_is_whole(killed))) {
        fprintf(stderr, "seed %llu: the other file: %u errors\n", (unsigned long long)seed,
                atomic_load(&words.board->errors));
        good = false;
    }
    for (unsigned i = 0; !good && i < words.noted; i++)
        fprintf(stderr, "    %s + 0x%zx: %llx -> %llx\n", words.note[i].target, words.note[i].offset,
                (unsigned long long)words.note[i].before, (unsigned long long)words.note[i].after);
    return good;
}

static ino_t make_file(const char *path, size_t size, int byte)
{
    static char bytes[FILE_BYTES];
    struct stat st;
    memset(bytes, byte, size);
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(write(fd, bytes, size) == (ssize_t)size && fstat(fd, &st) == 0, "make a file");
    close(fd);
    return st.st_ino;
}

/* What sessions leave: logs that are refused, objects of indices whose logs are gone. */
static void remove_logs(void)
{
    char command[ROOT_BYTES * 2];
    snprintf(command, sizeof command, "rm -rf %s/.nvmmio", words.root);
    must(system(command) == 0, "rm");
    log_index_reclaim(geteuid());
}

int main(int argc, char **argv)
{
    uint64_t sessions = 60, seed = 1;
    for (int i = 1; i < argc - 1; i += 2) {
        if (!strcmp(argv[i], "--sessions"))
            sessions = strtoull(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--stack"))
            words.stack = true;
        else if (!strcmp(argv[i], "--healthy"))
            words.healthy = true;
        else
            seed = strtoull(argv[i + 1], NULL, 0);
        if (!strcmp(argv[i], "--only"))
            sessions = 1;
    }
    strcpy(words.root, "/dev/shm/nvmmio-words-XXXXXX");
    must(mkdtemp(words.root) != NULL, "mkdtemp");
    snprintf(words.path, sizeof words.path, "%s/file", words.root);
    snprintf(words.other, sizeof words.other, "%s/other", words.root);
    snprintf(words.table, sizeof words.table, "%s/.nvmmio/%u/table", words.root, geteuid());
    setenv("NVMMIO_ROOT", words.root, 1);
    memset(words.buffer, 'x', sizeof words.buffer);
    words.board = mmap(NULL, sizeof *words.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(words.board != MAP_FAILED, "mmap");
    unsigned bad = 0, damages = 0;
    for (uint64_t i = 0; i < sessions; i++) {
        words.ino = make_file(words.path, FILE_BYTES, 'f');
        words.other_ino = make_file(words.other, WORKERS * REGION, 0);
        bad += !run(seed + i, &damages);
        remove_logs();
    }
    unlink(words.path);
    unlink(words.other);
    must(rmdir(words.root) == 0, "rmdir");
    printf("%llu sessions, %u damages, %u sessions crashed, hung or harmed the other file\n",
           (unsigned long long)sessions, damages, bad);
    return bad || (damages < sessions && !words.healthy);
}
