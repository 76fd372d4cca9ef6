/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * look.c — reports on files as a process without the library sees them.
 */
#include "look.h"

#include "hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_PATH = 1024, LOOK_PIECE = 1 << 20 };

/* A file may be 2^63 bytes long: holes are skipped. */
static uint64_t hash_file(int fd)
{
    static uint8_t piece[LOOK_PIECE];
    uint64_t hash = 0;
    off_t at = 0;
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        at -= at % HASH_BLOCK;
        ssize_t n = pread(fd, piece, sizeof piece, at);
        if (n <= 0)
            break;
        hash = hash_add(hash, piece, (size_t)n, (uint64_t)at);
        if (__builtin_add_overflow(at, (off_t)n, &at))
            break;
    }
    return hash;
}

static void look_regular(const char *path, const struct stat *st, FILE *report)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(report, " open: %s", strerrorname_np(errno));
        return;
    }
    fprintf(report, " links %lu size %lld hash %016llx", (unsigned long)st->st_nlink, (long long)st->st_size,
            (unsigned long long)hash_file(fd));
    close(fd);
}

static void look_directory(const char *dir, const char *path, FILE *report)
{
    char full[LOOK_PATH], below[LOOK_PATH];
    struct dirent **entries;
    snprintf(full, sizeof full, "%s/%s", dir, path);
    int count = scandir(full, &entries, NULL, alphasort);
    fprintf(report, "\n");
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            snprintf(below, sizeof below, "%s/%s", path, name);
            look_at(dir, below, report);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

void look_at(const char *dir, const char *path, FILE *report)
{
    char full[LOOK_PATH], target[LOOK_PATH];
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", dir, path);
    if (lstat(full, &st) != 0) {
        fprintf(report, "outside: %s: %s\n", path, strerrorname_np(errno));
        return;
    }
    fprintf(report, "outside: %s mode %06o", path, (unsigned)st.st_mode);
    if (S_ISDIR(st.st_mode)) {
        look_directory(dir, path, report);
        return;
    }
    if (S_ISREG(st.st_mode)) {
        look_regular(full, &st, report);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(full, target, sizeof target - 1);
        fprintf(report, " to %.*s", n < 0 ? 0 : (int)n, target);
    }
    fprintf(report, "\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    remove(path);
    return 0;
}

void look_remove(const char *path)
{
    enum { DESCRIPTORS = 16 };
    nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}
