/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mixed.c — promise: where the preload library is loaded, a program that opens by nvopen may mix libc's calls with the nv
 * ones, from the first on. Each part is a process of its own, in which libc has opened nothing in the root before.
 */
#include "clean.h"

#include <fcntl.h>
#include <nvmmio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 8192 };

static char root[] = "/dev/shm/nvmmio-mixed.XXXXXX", path[64], other[64];
static char bytes[SIZE], found[SIZE];

static bool is(const char *text)
{
    return memcmp(found, text, strlen(text)) == 0;
}

/* A file of SIZE bytes, served in user space, with NEW at 100. */
static int subject(int flags)
{
    int fd = nvopen(path, O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
    return nvwrite(fd, bytes, SIZE) == SIZE && nvfsync(fd) == 0 && nvpwrite(fd, "NEW", 3, 100) == 3 ? fd : -1;
}

static bool data(void)
{
    int fd = subject(0);
    return pread(fd, found, 3, 100) == 3 && is("NEW") && pwrite(fd, "LIB", 3, 200) == 3 &&
           nvpread(fd, found, 3, 200) == 3 && is("LIB") && nvlseek(fd, 77, SEEK_SET) == 77 &&
           lseek(fd, 0, SEEK_CUR) == 77 && close(fd) == 0;
}

/* The number of a descriptor that libc closed is another file's. */
static bool number(void)
{
    int fd = subject(0);
    if (close(fd) || open(other, O_RDWR | O_CREAT | O_TRUNC, 0600) != fd || nvpwrite(fd, "other", 5, 0) != 5 ||
        nvclose(fd))
        return false;
    fd = open(other, O_RDONLY);
    return pread(fd, found, 5, 0) == 5 && is("other") && close(fd) == 0;
}

static bool mapping(void)
{
    int fd = subject(0), plain = open("/dev/zero", O_RDONLY);
    char *map = nvmmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map != MAP_FAILED && map[0] == 'b' && read(plain, map, 10) == 10 && map[0] == 0 && map[10] == 'b' &&
           munmap(map, SIZE) == 0 && close(fd) == 0;
}

/* Left by _exit with what was not synced. */
static bool leave(void)
{
    int fd = subject(O_ATOMIC);
    if (fd >= 0)
        _exit(EXIT_SUCCESS);
    return false;
}

static bool left(void)
{
    int fd = open(path, O_RDONLY);
    return pread(fd, found, 3, 100) == 3 && is("NEW") && close(fd) == 0;
}

static bool in_child(const char *name, bool (*part)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        exit(part() ? EXIT_SUCCESS : EXIT_FAILURE);
    bool right = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    if (!right)
        fprintf(stderr, "%s is wrong\n", name);
    return right;
}

int main(void)
{
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || setenv("NVMMIO_CONF", "pm:force", 1))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    snprintf(other, sizeof other, "%s/other", root);
    memset(bytes, 'b', sizeof bytes);
    static const struct {
        const char *name;
        bool (*part)(void);
    } parts[] = {{"data", data}, {"number", number}, {"mapping", mapping}, {"leave", leave}, {"left", left}};
    bool right = true;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        right = in_child(parts[i].name, parts[i].part) && right;
    clean_tree(root);
    return access(root, F_OK) == 0 || !right ? EXIT_FAILURE : EXIT_SUCCESS;
}
