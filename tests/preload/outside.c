/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * outside.c — promise: looking at files beside a root, on its device, costs some short system calls and no memory. A page
 * mapped for each path took 12 microseconds, where the kernel's stat takes 0.4.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOKS = 500, FAULTS_MOST = LOOKS / 5 };

static long faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_minflt;
}

int main(void)
{
    char root[] = "/dev/shm/nvmmio-outside.XXXXXX", path[64];
    struct stat st;
    snprintf(path, sizeof path, "/dev/shm/nvmmio-beside.%d", (int)getpid());
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    int failed = close(open(path, O_WRONLY | O_CREAT, 0600));
    long before = faults();
    for (int i = 0; i < LOOKS && !failed; i++)
        failed = stat(path, &st) || close(open(path, O_RDONLY));
    long more = faults() - before;
    if (unlink(path) || rmdir(root) || failed)
        return EXIT_FAILURE;
    printf("%ld pages for %d looks\n", more, 2 * LOOKS);
    return more < FAULTS_MOST ? EXIT_SUCCESS : EXIT_FAILURE;
}
