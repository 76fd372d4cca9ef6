/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * live.c — damage under a running process: random words of the log's header and entries, and of the index object's slots,
 * nodes, free map and chains, change while it writes, reads, syncs, cuts and closes. Data may be wrong and calls may fail;
 * no process may crash or hang, and no other file may change. Locks and counters are damaged by words.c.
 *
 *   live [--sessions N] [--seed S] [--only S]
 */
#include "log/log_index.h"
#include "uma/uma_private.h"

#include "nvmmio.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES (4u << 20)
#define BYSTANDER_BYTES 8192u
#define STEPS 60u
#define CHILD_SECONDS 30
#define ROOT_BYTES 64

static struct {
    char root[ROOT_BYTES];
    char path[ROOT_BYTES + 8], bystander[ROOT_BYTES + 16];
    uint64_t random;
    struct board {
        uint64_t nonce; /* of the index object that the child has */
        unsigned damages;
    } * board; /* shared with the child */
    char buffer[256u << 10];
} live;

static uint64_t rnd(uint64_t below)
{
    live.random ^= live.random << 13;
    live.random ^= live.random >> 7;
    live.random ^= live.random << 17;
    return (live.random >> 11) % below;
}

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "live.c: not so: %s\n", what);
    exit(1);
}

/* ---- damage ---- */

/* A number as damage makes it: small, one bit off, or anything. */
static uint64_t odd_number(uint64_t now)
{
    switch (rnd(4)) {
    case 0:
        return now ^ UINT64_C(1) << rnd(64);
    case 1:
        return rnd(2000);
    case 2:
        return ~rnd(3);
    default:
        return rnd(UINT64_MAX);
    }
}

static void damage_word(_Atomic uint64_t *word)
{
    atomic_store(word, odd_number(atomic_load(word)));
}

static void damage_half(_Atomic uint32_t *word)
{
    atomic_store(word, (uint32_t)odd_number(atomic_load(word)));
}

static void damage_header(struct uma *uma)
{
    damage_word((_Atomic uint64_t *)log_header(&uma->log) + rnd(32));
}

static void damage_entry(struct uma *uma)
{
    uint32_t n = LOG_FIRST_BLOCK + (uint32_t)rnd(64);
    damage_word((_Atomic uint64_t *)log_entry(&uma->log, n) + rnd(8));
}

/* Entry or newest of a slot that is not locked; its version stays. */
static void damage_slot(struct uma *uma)
{
    struct index_slot *slot = index_find(&uma->index, rnd(FILE_BYTES / UMA_BLOCK));
    if (!slot || index_state_locked(atomic_load(&slot->state)))
        return;
    if (rnd(2))
        damage_word(&slot->newest);
    else
        damage_half((_Atomic uint32_t *)&slot->state + 1);
}

/* A page number in an inner node, or the root's: one that does not exist. A number of another node that does would make
 * one slot of two, and who waits for its lock may be its owner. */
static void damage_node(struct uma *uma)
{
    _Atomic uint64_t *root = &uma_shared(uma)->root;
    uint32_t page = (uint32_t)atomic_load(root), none = (uint32_t)rnd(UINT32_MAX) | 1u << 20;
    if (rnd(2) || !page || !index_has_node(&uma->index, page))
        atomic_store(root, rnd(8) << 32 | none);
    else if (atomic_load(root) >> 32) /* has inner nodes */
        atomic_store((_Atomic uint32_t *)((char *)uma->index.shared + INDEX_NODES_OFFSET + (page - 1) * INDEX_PAGE) +
                         rnd(INDEX_LEAF_SLOTS),
                     none);
}

static void damage_free_map(struct uma *uma)
{
    damage_word((_Atomic uint64_t *)((char *)uma->index.shared + INDEX_FREEMAP_OFFSET) + rnd(8));
}

static void damage_chain(struct uma *uma)
{
    damage_half(index_superseded(&uma->index, LOG_FIRST_BLOCK + (uint32_t)rnd(64)));
}

/* Numbers of blocks and pages that exist. */
static void damage_ends(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    _Atomic uint32_t *const ends[] = {&shared->log_blocks, &shared->alloc_hint, &shared->node_reserved,
                                      &shared->reserved_blocks};
    damage_half(ends[rnd(sizeof ends / sizeof *ends)]);
}

static void damage(struct uma *uma)
{
    static void (*const ways[])(struct uma *) = {damage_header,   damage_entry, damage_slot, damage_node,
                                                 damage_free_map, damage_chain, damage_ends};
    ways[rnd(sizeof ways / sizeof *ways)](uma);
}

/* ---- work ---- */

static void work(int fd)
{
    off_t at = (off_t)rnd(FILE_BYTES);
    size_t length = rnd(rnd(4) ? 9000 : sizeof live.buffer) + 1;
    switch (rnd(8)) {
    case 0:
        nvfsync(fd);
        break;
    case 1:
    case 2:
        nvpread(fd, live.buffer, length, at);
        break;
    case 3:
        nvftruncate(fd, at + (off_t)length);
        break;
    default:
        nvpwrite(fd, live.buffer, length, at);
    }
}

static void session(uint64_t seed)
{
    struct stat st;
    live.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    int fd = nvopen(live.path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return; /* the damage of the session before: its log is refused */
    for (unsigned i = 0; i < 4; i++)
        nvpwrite(fd, live.buffer, FILE_BYTES / 64, (off_t)(i * (FILE_BYTES / 8)));
    nvfsync(fd);
    for (unsigned i = 0; i < 8; i++)
        nvpwrite(fd, live.buffer, 6000, (off_t)rnd(FILE_BYTES));
    must(fstat(fd, &st) == 0, "fstat");
    for (unsigned i = 0; i < STEPS; i++) {
        struct uma *uma = uma_find(st.st_dev, st.st_ino);
        if (uma && uma_is_attached(uma) && i > 5) {
            live.board->nonce = uma->index.nonce;
            if (rnd(3) == 0) {
                damage(uma);
                live.board->damages++;
            }
        }
        work(fd);
    }
    if (rnd(4) == 0)
        raise(SIGKILL);
    nvclose(fd);
}

/* ---- sessions ---- */

static bool run(uint64_t seed)
{
    int status;
    pid_t child = fork();
    must(child >= 0, "fork");
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(CHILD_SECONDS);
        session(seed);
        exit(0);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    bool good = (WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    if (!good)
        fprintf(stderr, "seed %llu: %s %d\n", (unsigned long long)seed, WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return good;
}

static void make_file(const char *path, size_t size, int byte)
{
    static char bytes[FILE_BYTES];
    memset(bytes, byte, size);
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(write(fd, bytes, size) == (ssize_t)size, "write");
    close(fd);
}

static void check_bystander(void)
{
    char got[BYSTANDER_BYTES + 1];
    int fd = open(live.bystander, O_RDONLY | O_CLOEXEC);
    must(read(fd, got, sizeof got) == BYSTANDER_BYTES, "the bystander's size");
    close(fd);
    for (unsigned i = 0; i < BYSTANDER_BYTES; i++)
        must(got[i] == 'b', "the bystander's bytes");
}

/* What sessions leave: logs that are refused. */
static void remove_logs(void)
{
    char command[ROOT_BYTES * 2];
    snprintf(command, sizeof command, "rm -rf %s/.nvmmio", live.root);
    must(system(command) == 0, "rm");
}

static void remove_all(void)
{
    remove_logs();
    unlink(live.path);
    unlink(live.bystander);
    must(rmdir(live.root) == 0, "rmdir");
}

int main(int argc, char **argv)
{
    uint64_t sessions = 150, seed = 1;
    for (int i = 1; i < argc - 1; i += 2) {
        if (!strcmp(argv[i], "--sessions"))
            sessions = strtoull(argv[i + 1], NULL, 0);
        else
            seed = strtoull(argv[i + 1], NULL, 0);
        if (!strcmp(argv[i], "--only"))
            sessions = 1;
    }
    strcpy(live.root, "/dev/shm/nvmmio-live-XXXXXX");
    must(mkdtemp(live.root) != NULL, "mkdtemp");
    snprintf(live.path, sizeof live.path, "%s/file", live.root);
    snprintf(live.bystander, sizeof live.bystander, "%s/bystander", live.root);
    setenv("NVMMIO_ROOT", live.root, 1);
    memset(live.buffer, 'x', sizeof live.buffer);
    live.board = mmap(NULL, sizeof *live.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(live.board != MAP_FAILED, "mmap");
    make_file(live.bystander, BYSTANDER_BYTES, 'b');
    unsigned bad = 0;
    for (uint64_t i = 0; i < sessions; i++) {
        make_file(live.path, FILE_BYTES, 'f');
        bad += !run(seed + i);
        check_bystander();
        remove_logs();
        log_index_remove(geteuid(), live.board->nonce); /* its header may not name it any more */
    }
    remove_all();
    printf("%llu sessions, %u damages, %u sessions crashed or hung\n", (unsigned long long)sessions,
           live.board->damages, bad);
    return bad || live.board->damages < sessions;
}
