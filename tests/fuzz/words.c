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
#include "words.h"

#include "log/log_index.h"
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

#define WORKERS WORDS_WORKERS
#define FILE_BYTES WORDS_FILE_BYTES
#define REGION 16384u /* of the other file, for each worker */
#define BEGIN_STEPS 12u
#define SESSION_MS 120
#define HANG_MS 10000
#define ROOT_BYTES 64
#define NS_PER_MS 1000000L
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
    char buffer[256u << 10];
} words;

uint64_t words_random(uint64_t below)
{
    words.random ^= words.random << 13;
    words.random ^= words.random >> 7;
    words.random ^= words.random << 17;
    return (words.random >> 11) % below;
}

void words_must(bool condition, const char *what)
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
    if (worker->map || words_random(4))
        return worker_unmap(worker);
    say(worker->me, AT_MAP);
    if (fstat(worker->fd, &st) || st.st_size < FILE_BYTES / 2)
        return;
    char *map = nvmmap(NULL, FILE_BYTES / 2, PROT_READ | PROT_WRITE, MAP_SHARED, worker->fd, 0);
    worker->map = map == MAP_FAILED ? NULL : map;
}

static void work_file(struct worker *worker)
{
    off_t at = (off_t)words_random(FILE_BYTES);
    size_t length = words_random(words_random(8) ? 9000 : sizeof words.buffer) + 1;
    unsigned me = worker->me;
    if (worker->fd < 0)
        return worker_open(worker);
    switch (words_random(16)) {
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
    if (words_random(4) == 0)
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
    words_must(worker.other >= 0, "open the other file");
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
    words_must(child >= 0, "fork");
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

static uint64_t nonce_now(void)
{
    return atomic_load(&words.board->nonce);
}

/* Worker 0 dies in every fourth session, behind the damage. */
static bool run(uint64_t seed, unsigned *damages)
{
    pid_t pids[WORKERS];
    memset(words.board, 0, sizeof *words.board);
    words_forget();
    words.random = (seed + 7) * UINT64_C(0x9e3779b97f4a7c15);
    setenv("NVMMIO_CONF", words_random(2) ? "pm:force" : "idle:20ms", 1);
    unsigned killed = words_random(4) ? WORKERS : 0;
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = start_worker(i, seed);
    for (long ms = 0; !all_begun() && ms < HANG_MS; ms++)
        pause_ms(1);
    words_must(all_begun(), "the workers begin");
    const struct words_target target = {words.table, words.ino, words.other_ino, nonce_now};
    for (unsigned n = words.healthy ? 0 : 1 + (unsigned)words_random(4); n; n--) {
        words_damage(&target);
        ++*damages;
        pause_ms((long)words_random(12));
    }
    for (unsigned n = words.healthy ? STOPS : 0; n; n--) {
        pid_t stopped = pids[words_random(WORKERS)];
        kill(stopped, SIGSTOP);
        pause_ms(STOP_MS);
        kill(stopped, SIGCONT);
        pause_ms((long)words_random(5));
    }
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
    if (!good)
        words_tell();
    return good;
}

static ino_t make_file(const char *path, size_t size, int byte)
{
    static char bytes[FILE_BYTES];
    struct stat st;
    memset(bytes, byte, size);
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    words_must(write(fd, bytes, size) == (ssize_t)size && fstat(fd, &st) == 0, "make a file");
    close(fd);
    return st.st_ino;
}

/* What sessions leave: logs that are refused, objects of indices whose logs are gone. */
static void remove_logs(void)
{
    char command[ROOT_BYTES * 2];
    snprintf(command, sizeof command, "rm -rf %s/.nvmmio", words.root);
    words_must(system(command) == 0, "rm");
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
    words_must(mkdtemp(words.root) != NULL, "mkdtemp");
    snprintf(words.path, sizeof words.path, "%s/file", words.root);
    snprintf(words.other, sizeof words.other, "%s/other", words.root);
    snprintf(words.table, sizeof words.table, "%s/.nvmmio/%u/table", words.root, geteuid());
    setenv("NVMMIO_ROOT", words.root, 1);
    memset(words.buffer, 'x', sizeof words.buffer);
    words.board = mmap(NULL, sizeof *words.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    words_must(words.board != MAP_FAILED, "mmap");
    unsigned bad = 0, damages = 0;
    for (uint64_t i = 0; i < sessions; i++) {
        words.ino = make_file(words.path, FILE_BYTES, 'f');
        words.other_ino = make_file(words.other, WORKERS * REGION, 0);
        bad += !run(seed + i, &damages);
        remove_logs();
    }
    unlink(words.path);
    unlink(words.other);
    words_must(rmdir(words.root) == 0, "rmdir");
    printf("%llu sessions, %u damages, %u sessions crashed, hung or harmed the other file\n",
           (unsigned long long)sessions, damages, bad);
    return bad || (damages < sessions && !words.healthy);
}
