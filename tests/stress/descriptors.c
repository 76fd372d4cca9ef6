/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * descriptors.c — promise: as many descriptors as the process may have, each with the number that the kernel would give it
 * (where the library keeps its own, from half the limit or 8192 on, numbers are left out), the last one opened in about
 * the time of the first, and for little memory.
 *
 *   descriptors [COUNT]    so many (150,000), or as many as the limit allows
 *
 * One file in four is opened anew, one is a duplicate, the other two are files of their own; some are written and synced,
 * so that the library attaches them.
 */
#include "support/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { WANTED = 150000, SPARE = 200, PARTS = 10, EACH_ATTACHED = 1000, PIECE = 4096, LIBRARY_FROM = 8192 };
enum { BYTES_MOST = 4000 }; /* resident for each */

static char place[200];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long resident_kilobytes(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static long raise_limit(void)
{
    struct rlimit limit = {WANTED + SPARE, WANTED + SPARE};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) { /* who may not raise the hard limit takes what there is */
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return (long)limit.rlim_cur - SPARE;
}

static int open_one(long i, int last)
{
    char path[512];
    if (i % 4 == 1)
        return dup(last);
    snprintf(path, sizeof path, "%s/%ld", place, i % 4 == 0 ? 0 : i);
    return open(path, O_RDWR | O_CREAT, 0600);
}

/* Makes a managed file one that is served in user space. */
static int use(int fd)
{
    static const char bytes[PIECE] = "bytes";
    char back[PIECE];
    for (int i = 0; i < 3; i++)
        if (pwrite(fd, bytes, PIECE, 0) != PIECE || fsync(fd) != 0)
            return -1;
    return pread(fd, back, PIECE, 0) == PIECE && memcmp(back, bytes, PIECE) == 0 ? 0 : -1;
}

static int clean(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

int main(int argc, char **argv)
{
    snprintf(place, sizeof place, "%s/nvmmio-descriptors.XXXXXX", place_directory());
    if (!mkdtemp(place))
        return 2;
    setenv("NVMMIO_ROOT", place, 1);
    setenv("NVMMIO_CONF", "pm:force", 0); /* what is synced is attached, whether it pays or not */
    close_range(STDERR_FILENO + 1, ~0U, 0);
    long count = argc > 1 ? atol(argv[1]) : WANTED, most = raise_limit(), jumps = 0, before = resident_kilobytes();
    count = count < most ? count : most;
    long exact = (most + SPARE) / 2 < LIBRARY_FROM ? (most + SPARE) / 2 : LIBRARY_FROM;
    double times[PARTS] = {0};
    int last = open_one(0, -1), first = last, bad = last < 0;
    for (long i = 1; i < count && !bad; i++) {
        double start = now();
        int fd = open_one(i, last);
        times[i * PARTS / count] += now() - start;
        if (fd < 0)
            printf("%ld: %s\n", i, strerror(errno));
        if (fd != last + 1 && last + 1 < exact && ++jumps < 5)
            printf("number %d after %d\n", fd, last);
        bad = fd < 0 || (i % EACH_ATTACHED == 0 && use(fd) != 0);
        last = fd;
    }
    long after = resident_kilobytes();
    double part = (double)count / PARTS;
    printf("%ld descriptors, %d to %d, %ld jumps; an open took %.2f us at first, %.2f in the middle, %.2f at the end; "
           "%.0f bytes each\n",
           count, first, last, jumps, times[0] / part * 1e6, times[PARTS / 2] / part * 1e6,
           times[PARTS - 1] / part * 1e6, (double)(after - before) * 1024 / (double)count);
    double start = now();
    for (int fd = last; fd >= first; fd--)
        close(fd); /* numbers that were left out are none */
    printf("a close took %.2f us\n", (now() - start) / (double)count * 1e6);
    bad |= clean() != 0;
    bad |= jumps != 0 || times[PARTS - 1] > 3 * times[0] + 0.1 || after - before > count * BYTES_MOST / 1024;
    printf(bad ? "wrong\n" : "right\n");
    return bad;
}
