/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace_file.c — which files the recorder knows, and where they are mapped.
 */
#include "crash/explore/trace_private.h"

#include "log/log_recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP "/.nvmmio"
#define NAMELESS " (deleted)" /* how the kernel shows it */

/* ---- files ---- */

uint32_t recorder_find(uint64_t dev, uint64_t ino)
{
    const struct trace *trace = &recorder.shared->trace;
    for (uint32_t i = trace->file_count; i-- > 0;) /* the newest: numbers are used again */
        if (trace->file[i].ino == ino && trace->file[i].dev == dev)
            return i;
    return TRACE_NO_FILE;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

enum trace_file_kind recorder_kind(const char *path, mode_t mode)
{
    size_t root = recorder.shared->root_length;
    if (S_ISDIR(mode))
        return TRACE_FILE_DIRECTORY;
    if (!S_ISREG(mode))
        return TRACE_FILE_OTHER;
    if (strncmp(path + root, TOP "/", sizeof TOP) != 0)
        return TRACE_FILE_DATA;
    bool is_log = ends_with(path, ".log") || ends_with(path, ".tmp") || ends_with(path, NAMELESS);
    return is_log ? TRACE_FILE_LOG : TRACE_FILE_OTHER;
}

uint32_t recorder_new_file(int fd, const struct stat *st, const char *path, enum trace_file_kind kind)
{
    struct trace *trace = &recorder.shared->trace;
    if (trace->file_count == trace->file_room) {
        trace->overflow = true;
        return TRACE_NO_FILE;
    }
    struct trace_file *file = &trace->file[trace->file_count];
    memset(file, 0, sizeof *file);
    file->kind = (uint8_t)kind;
    file->dev = st->st_dev;
    file->ino = st->st_ino;
    file->owner = st->st_uid;
    if (fd >= 0)
        log_identity_of(fd, &file->identity, NULL);
    snprintf(file->path, sizeof file->path, "%s", path);
    return trace->file_count++;
}

/* Takes the contents of an open file as its first image. */
static void take_image(struct trace_file *file, int fd, uint64_t size)
{
    struct trace *trace = &recorder.shared->trace;
    if (size > trace->data_room - trace->data_length) {
        trace->overflow = true;
        return;
    }
    char *to = trace->data + trace->data_length;
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pread(fd, to + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            memset(to + done, 0, size - done);
            break;
        }
        done += (uint64_t)n;
    }
    file->data = trace->data_length;
    file->size = size;
    trace->data_length += size;
}

/* A file that was there before the recorder saw it. */
static uint32_t old_file(const struct stat *st, const char *path)
{
    struct trace *trace = &recorder.shared->trace;
    enum trace_file_kind kind = recorder_kind(path, st->st_mode);
    bool has_image = kind == TRACE_FILE_DATA || kind == TRACE_FILE_LOG;
    int fd = has_image ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    uint32_t number = recorder_new_file(fd, st, path, kind);
    if (number != TRACE_NO_FILE) {
        trace->file[number].initial = true;
        if (fd >= 0)
            take_image(&trace->file[number], fd, (uint64_t)st->st_size);
    }
    if (fd >= 0)
        close(fd);
    return number;
}

static void walk(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (recorder_find(st.st_dev, st.st_ino) == TRACE_NO_FILE) /* else another link */
        old_file(&st, path);
    DIR *directory = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    if (!directory)
        return;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char below[256];
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below)
            walk(below);
    }
    closedir(directory);
}

void recorder_walk(void)
{
    walk(recorder.shared->root);
}

bool recorder_path_of(int fd, char path[256])
{
    char link[64];
    size_t root = recorder.shared->root_length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 255);
    if (n < 0)
        return false;
    path[n] = 0;
    return strncmp(path, recorder.shared->root, root) == 0 && (path[root] == '/' || path[root] == 0);
}

uint32_t trace_file_of(int fd)
{
    struct stat st;
    char path[256];
    if (!recorder_is_on() || fstat(fd, &st) != 0)
        return TRACE_NO_FILE;
    uint32_t number = recorder_find(st.st_dev, st.st_ino);
    if (number == TRACE_NO_FILE && recorder_path_of(fd, path) && !ends_with(path, NAMELESS))
        number = old_file(&st, path); /* made by somebody who is not recorded */
    return number;
}

void trace_identify(int fd)
{
    uint32_t number = trace_file_of(fd);
    if (number != TRACE_NO_FILE)
        log_identity_of(fd, &recorder.shared->trace.file[number].identity, NULL);
}

/* ---- mappings ---- */

void recorder_map(void *start, size_t length, int fd, uint64_t offset)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    if (recorder.regions == RECORDER_REGIONS) {
        recorder.shared->trace.overflow = true;
        return;
    }
    recorder.region[recorder.regions++] = (struct recorder_region){.start = (uintptr_t)start,
                                                                   .length = length,
                                                                   .offset = offset,
                                                                   .dev = st.st_dev,
                                                                   .ino = st.st_ino,
                                                                   .file = trace_file_of(fd),
                                                                   .generation = recorder.shared->generation};
}

void recorder_unmap(const void *start, size_t length)
{
    uintptr_t from = (uintptr_t)start, to = from + length;
    for (unsigned i = 0; i < recorder.regions;) {
        struct recorder_region *region = &recorder.region[i];
        uintptr_t end = region->start + region->length;
        if (end <= from || region->start >= to) {
            i++;
            continue;
        }
        struct recorder_region behind = *region;
        bool has_head = region->start<from, has_tail = end> to;
        region->length = from - region->start;
        behind.start = to;
        behind.offset += to - region->start;
        behind.length = end - to;
        if (!has_head)
            *region = has_tail ? behind : recorder.region[--recorder.regions];
        else if (has_tail && recorder.regions < RECORDER_REGIONS)
            recorder.region[recorder.regions++] = behind;
        if (has_head || has_tail)
            i++;
    }
}

void recorder_dont_fork(const void *start, size_t length)
{
    for (unsigned i = 0; i < recorder.regions; i++) {
        struct recorder_region *region = &recorder.region[i];
        if (region->start >= (uintptr_t)start && region->start - (uintptr_t)start < length)
            region->dont_fork = true;
    }
}

struct recorder_region *recorder_region_at(const void *address)
{
    for (unsigned i = 0; i < recorder.regions; i++) {
        struct recorder_region *region = &recorder.region[i];
        if ((uintptr_t)address - region->start >= region->length)
            continue;
        if (region->generation != recorder.shared->generation) {
            region->file = recorder_find(region->dev, region->ino);
            region->generation = recorder.shared->generation;
        }
        return region;
    }
    return NULL;
}
