/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * hostile.c — promise: in hostile surroundings a file in use keeps all its data, nothing hangs or dies, and no call fails
 * that would not fail on the kernel. Runs each scenario in a process of its own. What it leaves, logs and index objects, the
 * next process that opens a file in the root takes away.
 *
 *     hostile [SCENARIO...]
 *
 * Where what is tested:
 *
 *     chroot, pivot_root, mount namespaces, other or emptied /dev/shm       here, view.c
 *     setuid and its kin, capabilities, user namespaces, set-user-id        here, user.c
 *     ulimit -n -v -f, mlockall, own descriptor tables, pid namespaces      here, limit.c
 *     hundreds of processes, readers, advisory locks, lost processes        here, many.c
 *     table, log and index object cut under a live process, planted names here, limit.c
 *     a program's own mallocx, its own liburcu, MALLOC_CONF                 host.c
 *     a full, small or read-only /dev/shm; roots; full file systems         tests/faults
 *     damaged, cut, foreign, planted logs and index objects                 tests/faults, tests/fuzz (log_corrupt, log_live)
 *     bad NVMMIO_CONF and NVMMIO_ROOT                                       tests/faults
 *     ways to make a child, and to end                                      tests/posix/case_process.c, tests/preload/children.c
 *     kills, stopped processes                                              tests/crash
 *     SIGSEGV, SIGBUS, alternate stacks                                     tests/preload/signals.c
 */
#include "hostile.h"
#include "support/leak.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define EXIT_SKIP 77
#define PATIENCE_SECONDS 120
#define NEXT_NAME "next"
#define ROUND_NEXT 100u /* rounds of file_goes_on begin here, and grow */

char hostile_root[64];
static bool private_shm; /* nobody else has index objects here */
static unsigned next_round = ROUND_NEXT;
static unsigned rounds[BLOCKS]; /* of each block of the file under test */

void hostile_fail(const char *file, int line, const char *format, ...)
{
    int error = errno;
    va_list args;
    va_start(args, format);
    printf("FAIL %s:%d: ", file, line);
    vprintf(format, args);
    va_end(args);
    printf(" (errno is %s)\n", strerrorname_np(error));
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

void hostile_skip(const char *why)
{
    printf("skip: %s\n", why);
    fflush(stdout);
    _exit(EXIT_SKIP);
}

bool hostile_active(void)
{
    return !nvx_is_kernel || getenv("LD_PRELOAD");
}

/* ---- files ---- */

static void fill(uint32_t *words, unsigned block, unsigned round)
{
    for (unsigned i = 0; i < BLOCK / sizeof *words; i++)
        words[i] = round * 2654435761u + block * 40503u + i;
}

void file_put(int fd, unsigned block, unsigned round)
{
    uint32_t words[BLOCK / sizeof(uint32_t)];
    fill(words, block, round);
    ssize_t n = nvx.pwrite(fd, words, BLOCK, (off_t)(block * BLOCK));
    must(n == (ssize_t)BLOCK, "pwrite of block %u gave %zd", block, n);
    rounds[block] = round;
}

void file_check(int fd, unsigned block, unsigned round)
{
    uint32_t words[BLOCK / sizeof(uint32_t)], expected[BLOCK / sizeof(uint32_t)];
    fill(expected, block, round);
    ssize_t n = nvx.pread(fd, words, BLOCK, (off_t)(block * BLOCK));
    must(n == (ssize_t)BLOCK, "pread of block %u gave %zd", block, n);
    must(memcmp(words, expected, BLOCK) == 0, "block %u is not of round %u", block, round);
}

int file_begin(const char *name)
{
    int fd = nvx.open(name, O_RDWR | O_CREAT, 0644);
    must(fd >= 0, "open of %s", name);
    for (unsigned i = 0; i < BLOCKS; i++)
        file_put(fd, i, 1);
    must(nvx.fsync(fd) == 0, "fsync");
    for (unsigned i = 0; i < BLOCKS; i += 2)
        file_put(fd, i, 2);
    return fd;
}

void each_index(void (*visit)(const char *path, const char *name, long arg), long arg)
{
    char path[64], name[256];
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        snprintf(path, sizeof path, "/proc/self/fd/%.20s", entry->d_name);
        ssize_t n = readlink(path, name, sizeof name - 1);
        name[n > 0 ? n : 0] = 0;
        unsigned uid;
        if (sscanf(name, "/dev/shm/nvmmio-%u-", &uid) == 1 && !strchr(name + sizeof "/dev/shm", '/'))
            visit(path, name, arg);
    }
    if (folder)
        closedir(folder);
}

void await(pid_t pid)
{
    int status = 0;
    must(pid > 0 && waitpid(pid, &status, 0) == pid, "no child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
        _exit(EXIT_SKIP);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x", status);
}

void in_child(void (*run)(int fd), int fd)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run(fd);
        exit(EXIT_SUCCESS);
    }
    await(pid);
}

static void child_goes_on(int fd)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        file_check(fd, i, rounds[i]);
    file_put(fd, BLOCKS - 1, next_round);
    must(nvx.fsync(fd) == 0, "fsync in a child");
    file_put(fd, BLOCKS - 2, next_round);
    must(nvx.close(fd) == 0, "close in a child");
}

void file_goes_on(int fd)
{
    next_round++;
    for (unsigned i = 0; i < BLOCKS; i += 3)
        file_put(fd, i, next_round);
    must(nvx.fsync(fd) == 0, "fsync");
    for (unsigned i = 0; i < BLOCKS; i += 5)
        file_put(fd, i, next_round);
    in_child(child_goes_on, fd);
    rounds[BLOCKS - 1] = rounds[BLOCKS - 2] = next_round;
    for (unsigned i = 0; i < BLOCKS; i++)
        file_check(fd, i, rounds[i]);
}

void file_opens(const char *name, int fd)
{
    next_round++;
    int other = nvx.open(name, O_RDWR);
    must(other >= 0, "second open of %s", name);
    file_put(other, 7, next_round);
    file_check(fd, 7, next_round);
    file_put(fd, 8, next_round);
    file_check(other, 8, next_round);
    must(nvx.close(other) == 0, "second close");
    int fresh = nvx.open("new", O_RDWR | O_CREAT, 0600);
    must(fresh >= 0, "open of a new file");
    must(nvx.write(fresh, "12345", 5) == 5 && nvx.fsync(fresh) == 0 && nvx.pwrite(fresh, "x", 1, 2) == 1, "a new file");
    must(nvx.close(fresh) == 0, "close of a new file");
    char text[8] = "";
    fresh = nvx_plain.open("new", O_RDONLY);
    must(fresh >= 0 && nvx_plain.read(fresh, text, sizeof text) == 5 && strcmp(text, "12x45") == 0,
         "a new file holds '%s'", text);
    nvx_plain.close(fresh);
}

void file_end(int fd, const char *path)
{
    must(nvx.close(fd) == 0, "close");
    fd = nvx.open(path, O_RDONLY);
    must(fd >= 0, "open at the end");
    for (unsigned i = 0; i < BLOCKS; i++)
        file_check(fd, i, rounds[i]);
    must(nvx.close(fd) == 0, "last close");
}

/* ---- running ---- */

static const struct scenario *const lists[] = {scenarios_view, scenarios_user, scenarios_limit, scenarios_many};

/* The next process, after a scenario. */
static void next_one(void)
{
    int fd = file_begin("the next");
    file_end(fd, "the next");
    must(unlink("the next") == 0, "unlink");
}

static const struct scenario next = {NEXT_NAME, next_one, false, false};

static const struct scenario *find(const char *name)
{
    if (strcmp(name, NEXT_NAME) == 0)
        return &next;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const struct scenario *s = lists[l]; s->name; s++)
            if (strcmp(s->name, name) == 0)
                return s;
    return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

/* The status of this program, run for one scenario, so that it finds everything as at a program's start. */
static int run_program(const char *self, const char *root, const char *scenario)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("NVMMIO_ROOT", root, 1);
        execl(self, self, "--run", scenario, (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    waitpid(pid, &status, 0);
    return status;
}

/* Whether anything of the library is there that no process uses, behind the next one that opened a file. */
static bool leaves(const char *self, const char *root, const struct scenario *scenario)
{
    char found[600], directory[64];
    snprintf(directory, sizeof directory, "%s/.nvmmio/%u", root, geteuid());
    if (!hostile_active())
        return false;
    if (run_program(self, root, NEXT_NAME) != 0) {
        printf("the next process failed\n");
        return true;
    }
    bool left = (!scenario->keeps && leak_find(directory, "", "table", found, sizeof found)) ||
                (private_shm && leak_find("/dev/shm", "nvmmio-", strrchr(root, '/') + 1, found, sizeof found));
    if (left)
        printf("left over: %s\n", found);
    return left;
}

static int run_scenario(const char *self, const struct scenario *scenario)
{
    char root[] = "/dev/shm/nvmmio-hostile.XXXXXX";
    if (scenario->root && geteuid() != 0) {
        printf("skip %s: needs root\n", scenario->name);
        return 0;
    }
    if (!mkdtemp(root) || chmod(root, 0777) != 0)
        return 1;
    int status = run_program(self, root, scenario->name);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP;
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && !leaves(self, root, scenario);
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    printf("%s %s", good ? "ok  " : skipped ? "skip" : "FAIL", scenario->name);
    if (WIFSIGNALED(status))
        printf(": killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    printf("\n");
    return !good && !skipped;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--run") == 0) {
        const struct scenario *scenario = find(argv[2]);
        snprintf(hostile_root, sizeof hostile_root, "%s", getenv("NVMMIO_ROOT"));
        must(scenario && chdir(hostile_root) == 0, "no such scenario");
        alarm(PATIENCE_SECONDS);
        scenario->run();
        return EXIT_SUCCESS;
    }
    int failures = 0;
    private_shm = leak_private_shm();
    for (size_t l = 0; l < sizeof lists / sizeof *lists && argc == 1; l++)
        for (const struct scenario *s = lists[l]; s->name; s++)
            failures += run_scenario("/proc/self/exe", s);
    for (int i = 1; i < argc; i++) {
        const struct scenario *s = find(argv[i]);
        failures += s ? run_scenario("/proc/self/exe", s) : 1;
    }
    printf("hostile: %d failures\n", failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
