/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * startup_cost.c — promise: the preload library adds less than a millisecond to a short program.
 *
 *     startup_cost LIBRARY PROGRAM [ARGUMENT...]
 *
 * Starts the program with and without the library in turn, and compares the lower quartiles of the processor time that it
 * took: on a machine that does nothing else that is the time that passes, and elsewhere it depends least on the others.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTS 300
#define LIMIT_NS 1000000

extern char **environ;

static int by_value(const void *a, const void *b)
{
    const long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static long nanoseconds(struct timeval t)
{
    return t.tv_sec * 1000000000 + t.tv_usec * 1000;
}

static long start(char **argv)
{
    pid_t pid;
    int status = 0;
    struct rusage used;
    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) || wait4(pid, &status, 0, &used) != pid || status) {
        printf("FAIL: %s did not run: status %#x\n", argv[0], (unsigned)status);
        exit(1);
    }
    return nanoseconds(used.ru_utime) + nanoseconds(used.ru_stime);
}

int main(int argc, char **argv)
{
    static long with[STARTS], without[STARTS];
    if (argc < 3 || !freopen("/dev/null", "r", stdin))
        return 2;
    int out = dup(STDOUT_FILENO); /* what the program says is of no interest */
    if (out < 0 || !freopen("/dev/null", "w", stdout))
        return 2;
    for (int i = 0; i < STARTS; i++) {
        unsetenv("LD_PRELOAD");
        without[i] = start(argv + 2);
        setenv("LD_PRELOAD", argv[1], 1);
        with[i] = start(argv + 2);
    }
    unsetenv("LD_PRELOAD");
    qsort(with, STARTS, sizeof(*with), by_value);
    qsort(without, STARTS, sizeof(*without), by_value);
    long cost = with[STARTS / 4] - without[STARTS / 4];
    dprintf(out, "%s: %ld us without, %ld us with, medians %ld and %ld: the library costs %ld us\n", argv[2],
            without[STARTS / 4] / 1000, with[STARTS / 4] / 1000, without[STARTS / 2] / 1000, with[STARTS / 2] / 1000,
            cost / 1000);
    if (cost >= LIMIT_NS)
        dprintf(out, "FAIL: more than %d us\n", LIMIT_NS / 1000);
    return cost >= LIMIT_NS;
}
