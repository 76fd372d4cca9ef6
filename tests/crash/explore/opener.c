/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * opener.c — an application after a boot: opens the files named on its command line through the library (NVMMIO_ROOT is set),
 * reads them and writes each to its output: size (8 bytes, native), then the bytes. For explore_full.c.
 */
#include "nvmmio.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int fail_with(const char *what, const char *path)
{
    fprintf(stderr, "opener: %s of %s: %m\n", what, path);
    return 1;
}

static int show(const char *path)
{
    struct stat st;
    int fd = nvopen(path, O_RDWR);
    if (fd < 0 || nvfstat(fd, &st) < 0)
        return fail_with("open", path);
    uint64_t size = (uint64_t)st.st_size;
    char *bytes = calloc(1, size + 1);
    if (!bytes || nvpread(fd, bytes, size + 1, 0) != (ssize_t)size)
        return fail_with("read", path);
    fwrite(&size, sizeof size, 1, stdout);
    fwrite(bytes, 1, size, stdout);
    free(bytes);
    return nvclose(fd) < 0 ? fail_with("close", path) : 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (show(argv[i]) != 0)
            return 1;
    return fflush(stdout) != 0;
}
