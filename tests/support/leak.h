/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * leak.h — finds what the library leaves over: logs in a root, index objects in /dev/shm. For the test programs.
 */
#ifndef SUPPORT_LEAK_H
#define SUPPORT_LEAK_H

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Gives this process, if it is root, a /dev/shm of its own: what is left in it is ours, and goes away with us. Not with
 * NVMMIO_TEST_SHM=shared in the environment: for looking into it from outside. */
static inline bool leak_private_shm(void)
{
    return !getenv("NVMMIO_TEST_SHM") && !geteuid() && !unshare(CLONE_NEWNS) &&
           !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
}

/* The first name in the directory that begins with `prefix` and is neither hidden nor `except`: true, and in `found`. */
static inline bool leak_find(const char *directory, const char *prefix, const char *except, char *found, size_t length)
{
    DIR *dir = opendir(directory);
    bool any = false;
    for (struct dirent *e; dir && !any && (e = readdir(dir));) {
        any = e->d_name[0] != '.' && !strncmp(e->d_name, prefix, strlen(prefix)) && strcmp(e->d_name, except);
        if (any)
            snprintf(found, length, "%.255s/%.255s", directory, e->d_name);
    }
    if (dir)
        closedir(dir);
    return any;
}

/* A log or a ready log in the root, an index object in a private /dev/shm. When nobody uses the root. */
static inline bool leak_any(const char *root, bool private_shm, char *found, size_t length)
{
    char directory[600];
    snprintf(directory, sizeof(directory), "%.500s/.nvmmio/%u", root, geteuid());
    return leak_find(directory, "", "table", found, length) ||
           (private_shm && leak_find("/dev/shm", "nvmmio-", "", found, length));
}

#endif
