/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * holes.c — promise: what a program unmaps is its own again, to map over or to unmap once more: nothing of the library lies
 * there, whatever it needed meanwhile. On the kernel too, which tests the test.
 */
#include "clean.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 1024, FILES = 300, SIZE = 20000, HOLE = 256 << 20 };

static char root[] = "/dev/shm/nvmmio-holes.XXXXXX";
static char bytes[SIZE], found[SIZE];

static int file(unsigned number, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "%s/file%u", root, number);
    return open(path, O_RDWR | flags, 0600);
}

/* A file that is served in user space from its second write on. */
static int subject(unsigned number)
{
    int fd = file(number, O_CREAT | O_TRUNC);
    bool right = write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && pwrite(fd, "NEW", 3, 100) == 3;
    return right ? fd : -1;
}

static bool holds(int fd)
{
    return pread(fd, found, SIZE, 0) == SIZE && memcmp(found + 100, "NEW", 3) == 0 && found[SIZE - 1] == 'b' &&
           pwrite(fd, "MORE", 4, 9000) == 4 && fsync(fd) == 0 && pread(fd, found, 4, 9000) == 4 &&
           memcmp(found, "MORE", 4) == 0;
}

/* What the program does with its hole; true if it could. */
static bool fill(char *hole)
{
    char *map =
        mmap(hole, HOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    for (size_t i = 0; map == hole && i < HOLE; i += PAGE)
        memset(map + i, 0xa5, 64);
    return map == hole;
}

static bool unmap(char *hole)
{
    return munmap(hole, HOLE) == 0;
}

static bool claim(char *hole)
{
    return mmap(hole, HOLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) ==
           hole;
}

/* Files are opened, served and mapped while there is a hole. */
static bool files_meanwhile(bool (*use)(char *hole))
{
    static int fd[FILES];
    int first = subject(FILES);
    char *hole = mmap(NULL, HOLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool right = first >= 0 && hole != MAP_FAILED && munmap(hole, HOLE) == 0;
    for (unsigned i = 0; i < FILES; i++)
        right = (fd[i] = subject(i)) >= 0 && right;
    right = use(hole) && right;
    for (unsigned i = 0; i < FILES; i++)
        right = holds(fd[i]) && right;
    return holds(first) && right;
}

static bool files_and_fill(void)
{
    return files_meanwhile(fill);
}

static bool files_and_unmap(void)
{
    return files_meanwhile(unmap);
}

static bool files_and_claim(void)
{
    return files_meanwhile(claim);
}

/* All pages of one mapping, in some order. */
static void shuffle(size_t order[PAGES])
{
    for (size_t i = 0; i < PAGES; i++) {
        size_t other = (size_t)rand() % (i + 1);
        order[i] = order[other];
        order[other] = i;
    }
}

/* The pages of one mapping go in any order, and come back in another. */
static bool pages(void)
{
    static size_t order[PAGES];
    int fd = file(0, O_CREAT);
    bool right = ftruncate(fd, (off_t)PAGES * PAGE) == 0;
    char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    right = right && map != MAP_FAILED;
    shuffle(order);
    for (size_t i = 0; right && i < PAGES; i++)
        right = munmap(map + order[i] * PAGE, PAGE) == 0;
    shuffle(order);
    for (size_t i = 0; right && i < PAGES; i++) {
        char *at = map + order[i] * PAGE;
        right = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)(order[i] * PAGE)) == at;
        memset(at, (int)order[i], 64);
    }
    for (size_t page = 0; right && page < PAGES; page++)
        right = pread(fd, found, 64, (off_t)(page * PAGE)) == 64 && found[63] == (char)page;
    return right && munmap(map, PAGES * PAGE) == 0 && close(fd) == 0;
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
    memset(bytes, 'b', sizeof bytes);
    bool right = in_child("pages", pages);
    right = in_child("files, and the hole is filled", files_and_fill) && right;
    right = in_child("files, and the hole is unmapped again", files_and_unmap) && right;
    right = in_child("files, and the hole is claimed", files_and_claim) && right;
    clean_tree(root);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
