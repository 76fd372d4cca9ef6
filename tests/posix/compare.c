/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * compare.c — runs the cases of a theme on the kernel and on nvmmio and fails where the two reports differ.
 *
 *   posix_compare [-p PRELOAD] [-r] [-d DIR] [-c CASE] [-s STATE] [-v] KERNEL_CASES OTHER_CASES THEME...
 *     -p  the other side runs with LD_PRELOAD=PRELOAD       -r  its directory is NVMMIO_ROOT, and must have been used
 *     -d  tmpfs to work on (/dev/shm)                       -c, -s  only this case, this state
 *     -v  print the reports
 * Each case runs in a process and an empty directory of its own. This process never loads the library: it also looks at
 * the files that the case leaves, before and after its exit.
 */
#include "look.h"
#include "protocol.h"
#include "support/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CASE_SECONDS = 20, PATH_SIZE = 512 };

struct side {
    const char *name;
    const char *program;
    const char *preload;  /* or NULL */
    bool managed;         /* `root` is given as NVMMIO_ROOT */
    char root[PATH_SIZE]; /* what this side works in */
};

struct options {
    const char *dir;
    const char *only_case;
    const char *only_state;
    bool verbose;
};

static void die(const char *what)
{
    fprintf(stderr, "posix_compare: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- one run of one case ---- */

static void exec_case(const struct side *side, const char *work, int control, const char *theme, const char *name,
                      const char *state)
{
    setpgid(0, 0);
    unsetenv("LD_PRELOAD");
    unsetenv("NVMMIO_ROOT");
    if (dup2(control, CASE_CONTROL) < 0 || chdir(work) != 0)
        die(work);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || close(null) != 0)
        die("/dev/null");
    /* Descriptor numbers are part of the report: the case starts with 0, 1, 2 and the socket. */
    close_range(3, CASE_CONTROL - 1, 0);
    close_range(CASE_CONTROL + 1, ~0U, 0);
    if (side->managed) {
        setenv("NVMMIO_ROOT", side->root, 1);
        setenv("NVMMIO_CONF", "pm:force", 0); /* a file is attached when PM needs it, whether it pays or not */
    }
    if (side->preload)
        setenv("LD_PRELOAD", side->preload, 1);
    execl(side->program, side->program, theme, name, state, (char *)NULL);
    die(side->program);
}

static long milliseconds_left(const struct timespec *end)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long left = (end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
    return left > 0 ? left : 0;
}

/* Serves the case until every process of it has closed the socket. False: it took too long. */
static bool serve(int control, const char *work, FILE *report)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += CASE_SECONDS;
    for (;;) {
        struct pollfd p = {.fd = control, .events = POLLIN};
        int ready = poll(&p, 1, (int)milliseconds_left(&end));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return false;
        char message[PROTOCOL_MAX + 1];
        ssize_t n = recv(control, message, PROTOCOL_MAX, 0);
        if (n <= 0)
            return true;
        message[n] = 0;
        if (message[0] == PROTOCOL_LINE) {
            fprintf(report, "%s\n", message + 1);
            continue;
        }
        look_at(work, message + 1, report);
        send(control, "", 1, MSG_NOSIGNAL);
    }
}

static void run_case(const struct side *side, const char *theme, const char *name, const char *state, FILE *report)
{
    char work[PATH_SIZE + 16];
    snprintf(work, sizeof work, "%s/work", side->root);
    if (mkdir(work, 0755) != 0)
        die(work);
    int control[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        die("socketpair");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        exec_case(side, work, control[1], theme, name, state);
    setpgid(pid, pid);
    close(control[1]);
    bool timely = serve(control[0], work, report);
    if (!timely) {
        fprintf(report, "TIMEOUT\n");
        kill(-pid, SIGKILL);
    }
    close(control[0]);
    int status;
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    if (WIFSIGNALED(status))
        fprintf(report, "killed by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
    else
        fprintf(report, "exit %d\n", WEXITSTATUS(status));
    look_at(work, ".", report); /* after the exit */
    look_remove(work);
}

/* ---- the comparison ---- */

static char *report_of(const struct side *side, const char *theme, const char *name, const char *state)
{
    char *text;
    size_t len;
    FILE *report = open_memstream(&text, &len);
    if (!report)
        die("open_memstream");
    run_case(side, theme, name, state, report);
    fclose(report);
    return text;
}

static void save(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        die(path);
}

static void show_difference(const struct options *options, const struct side *sides, char *const report[2])
{
    char path[2][PATH_SIZE + 16];
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s.txt", options->dir, sides[i].name);
        save(path[i], report[i]);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("diff", "diff", "-U3", "--label", sides[0].name, path[0], "--label", sides[1].name, path[1],
               (char *)NULL);
        _exit(2);
    }
    waitpid(pid, NULL, 0);
}

static bool same(const struct options *options, const struct side *sides, const char *theme, const char *name,
                 const char *state)
{
    char *report[2];
    for (int i = 0; i < 2; i++)
        report[i] = report_of(&sides[i], theme, name, state);
    bool equal = strcmp(report[0], report[1]) == 0;
    /* A case that could not be prepared, or that the kernel side did not end, has compared nothing. */
    bool good = equal && !strstr(report[0], "PREPARATION FAILED") && !strstr(report[0], "TIMEOUT\n");
    if (!good) {
        printf("DIFFERENT %s %s %s\n", theme, name, state);
        if (equal)
            fputs(report[0], stdout);
        else
            show_difference(options, sides, report);
    } else if (options->verbose) {
        printf("same %s %s %s\n%s", theme, name, state, report[0]);
    }
    for (int i = 0; i < 2; i++)
        free(report[i]);
    return good;
}

static int compare_theme(const struct options *options, const struct side *sides, const char *theme, int *count)
{
    /* The side under test tells what it can run. */
    char command[2 * PATH_SIZE];
    snprintf(command, sizeof command, "'%s' -l '%s'", sides[1].program, theme);
    FILE *list = popen(command, "r");
    if (!list)
        die("popen");
    int different = 0;
    char name[128], state[32];
    while (fscanf(list, "%127s %31s", name, state) == 2) {
        if (options->only_case && strcmp(options->only_case, name) != 0)
            continue;
        if (options->only_state && strcmp(options->only_state, state) != 0)
            continue;
        ++*count;
        if (!same(options, sides, theme, name, state))
            different++;
    }
    if (pclose(list) != 0)
        die("posix_cases -l");
    return different;
}

static void make_side(struct side *side, const char *name, const char *program, const char *dir)
{
    side->name = name;
    side->program = realpath(program, NULL);
    if (!side->program)
        die(program);
    snprintf(side->root, sizeof side->root, "%s/%s", dir, name);
    if (mkdir(side->root, 0755) != 0)
        die(side->root);
}

/* A library that was not there compares the kernel with itself: the managed side must have left its own folder. */
static bool was_managed(const struct side *side)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/.nvmmio", side->root);
    return access(path, F_OK) == 0;
}

int main(int argc, char **argv)
{
    struct options options = {.dir = place_directory()};
    struct side sides[2] = {{.preload = NULL}, {.preload = NULL}};
    for (int option; (option = getopt(argc, argv, "p:rd:c:s:v")) != -1;) {
        switch (option) {
        case 'p':
            sides[1].preload = optarg;
            break;
        case 'r':
            sides[1].managed = true;
            break;
        case 'd':
            options.dir = optarg;
            break;
        case 'c':
            options.only_case = optarg;
            break;
        case 's':
            options.only_state = optarg;
            break;
        case 'v':
            options.verbose = true;
            break;
        default:
            return 2;
        }
    }
    if (argc - optind < 3) {
        fprintf(stderr, "usage: posix_compare [options] KERNEL_CASES OTHER_CASES THEME...\n");
        return 2;
    }
    char dir[PATH_SIZE / 2];
    snprintf(dir, sizeof dir, "%s/nvmmio-posix.XXXXXX", options.dir);
    if (!mkdtemp(dir))
        die(dir);
    options.dir = dir;
    make_side(&sides[0], "kernel", argv[optind], dir);
    make_side(&sides[1], "nvmmio", argv[optind + 1], dir);

    int count = 0, different = 0;
    for (int i = optind + 2; i < argc; i++)
        different += compare_theme(&options, sides, argv[i], &count);
    bool unused = sides[1].managed && !was_managed(&sides[1]);
    look_remove(dir);
    if (unused)
        printf("the library was not at work: no .nvmmio in its root\n");
    printf("%d of %d runs differ\n", different, count);
    return different || unused || count == 0 ? 1 : 0;
}
