/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * execute.c — processes and directories of a run: makes the root, forks, waits, kills, cleans up.
 */
#include "crash/explore/execute.h"

#include "base/conf.h"
#include "crash/explore/perform.h"
#include "crash/explore/schedule.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_SECONDS 20u /* of a child: then it hangs */
#define PATH_BYTES 192

static struct {
    char base[PATH_BYTES - 64], root[PATH_BYTES - 32];
    struct perform_shared *shared;
    int to_second[2], from_child[2]; /* pipes: go on; ready */
} world;

uint64_t execute_hash(const uint8_t *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level ? remove(path) : 0;
}

static void empty_directory(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void name_base(pid_t pid, unsigned number)
{
    snprintf(world.base, sizeof world.base, "/dev/shm/nvmmio-explore-%d-%u", (int)pid, number);
}

bool execute_begin(unsigned number)
{
    name_base(getpid(), number);
    snprintf(world.root, sizeof world.root, "%s/root", world.base);
    if (mkdir(world.base, 0700) || mkdir(world.root, 0700))
        return false;
    setenv("NVMMIO_ROOT", world.root, 1);
    setenv("NVMMIO_CONF", "idle:1000s,commit_interval:1000s,pool:1,pm:force,atomic_nvmmap:0", 1);
    trace_own();
    conf_get(); /* now: recovery of images must not look at directories */
    world.shared = mmap(NULL, sizeof *world.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return world.shared != MAP_FAILED;
}

void execute_end(void)
{
    empty_directory(world.base);
    rmdir(world.base);
}

void execute_remove(pid_t pid, unsigned number)
{
    name_base(pid, number);
    execute_end();
}

const char *execute_root(void)
{
    return world.root;
}

static bool make_file(unsigned file)
{
    char path[PATH_BYTES];
    uint8_t bytes[OPERATION_INITIAL];
    snprintf(path, sizeof path, "%s/%c", world.root, 'a' + file);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = operation_byte(OPERATION_BEFORE, file, i);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
    if (fd >= 0)
        close(fd);
    return good;
}

/* Index objects outlive their processes. */
static void remove_objects(void)
{
    for (unsigned i = 0; i < world.shared->objects; i++)
        unlink(world.shared->object[i]);
    world.shared->objects = 0;
}

/* ---- children ---- */

static void trouble(const char *what, int number)
{
    struct execution *e = &world.shared->execution;
    if (!e->trouble[0])
        snprintf(e->trouble, sizeof e->trouble, "%s %d", what, number);
}

static pid_t start_child(void (*run)(const struct workload *, struct perform_shared *), const struct workload *workload)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE_SECONDS);
        run(workload, world.shared);
        _exit(0);
    }
    if (child < 0)
        trouble("fork failed:", errno);
    return child;
}

static void await_child(pid_t child, bool may_be_killed)
{
    int status;
    if (child < 0)
        return;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status) && !(may_be_killed && WTERMSIG(status) == SIGKILL))
        trouble(WTERMSIG(status) == SIGALRM ? "hangs; signal" : "the child died of signal", WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status))
        trouble("the child exits with", WEXITSTATUS(status));
}

static void run_two(const struct workload *workload)
{
    pid_t first = start_child(perform_first, workload);
    perform_await(world.shared, PERFORM_FIRST_READY, first);
    if (workload->heir) {
        perform_tell(world.shared, PERFORM_FIRST_GO);
        await_child(first, true);
        await_child(start_child(perform_second, workload), false);
        return;
    }
    pid_t second = start_child(perform_second, workload);
    perform_await(world.shared, PERFORM_SECOND_READY, second);
    perform_tell(world.shared, PERFORM_FIRST_GO);
    await_child(first, true);
    perform_tell(world.shared, PERFORM_SECOND_GO);
    await_child(second, false);
}

const struct execution *execute(const struct workload *workload)
{
    struct execution *e = &world.shared->execution;
    empty_directory(world.root);
    memset(world.shared, 0, sizeof *world.shared);
    for (unsigned file = 0; file < OPERATION_FILES && !workload->empty; file++)
        if (!make_file(file))
            trouble("cannot make the files:", errno);
    trace_begin(world.root);
    if (workload->processes)
        run_two(workload);
    else
        await_child(start_child(perform_alone, workload), workload->kill != 0);
    if (trace_end()->overflow)
        trouble("the trace overflows", 0);
    remove_objects();
    return e;
}
