/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace_private.h — what the files of the recorder share.
 */
#ifndef CRASH_EXPLORE_TRACE_PRIVATE_H
#define CRASH_EXPLORE_TRACE_PRIVATE_H

#include "crash/explore/trace.h"

#include <sys/stat.h>

#define RECORDER_REGIONS 256u
#define RECORDER_PAGE 4096u

/* A shared mapping of a file. */
struct recorder_region {
    uintptr_t start;
    size_t length;
    uint64_t offset; /* of its first byte in the file */
    uint64_t dev, ino;
    uint32_t file; /* its number, as of trace `generation` */
    uint32_t generation;
    bool dont_fork; /* a child does not inherit it */
};

/* In memory that forked children share. */
struct recorder_shared {
    struct trace trace;
    _Atomic int lock; /* appending: threads that the scheduler does not know (the library's own) may run beside */
    _Atomic int recording;
    uint32_t generation; /* of the trace */
    char root[256];      /* without links */
    size_t root_length;
};

struct recorder {
    struct recorder_shared *shared;
    struct recorder_region region[RECORDER_REGIONS]; /* of this process */
    unsigned regions;
    uint8_t process;
};
extern struct recorder recorder;

bool recorder_is_on(void);

/* ---- trace.c ---- */

/* Whether events of the file are recorded. */
bool recorder_wants(uint32_t file);

/* Appends an event and its bytes (NULL: none). Returns NULL, and the trace is worth nothing, if there is no room. */
struct trace_event *recorder_add(enum trace_kind kind, uint32_t file, uint64_t site, uint64_t offset, uint64_t length,
                                 const void *bytes);
/* Appends bytes to the data: their offset. */
uint64_t recorder_keep(const void *bytes, size_t n);

/* A fault has ended a primitive of this thread before its second hook: what it stored is recorded. */
void recorder_close_pending(void);

/* An address of the program as a site. */
uint64_t recorder_site(const void *address);

/* ---- trace_file.c: files and mappings ---- */

uint32_t recorder_find(uint64_t dev, uint64_t ino);
/* A file that was just made, without contents. fd: open, or -1. */
uint32_t recorder_new_file(int fd, const struct stat *st, const char *path, enum trace_file_kind kind);
/* DATA, LOG, DIRECTORY or OTHER by path (below the root) and mode. */
enum trace_file_kind recorder_kind(const char *path, mode_t mode);
/* The path of a descriptor, as the kernel shows it: false if it is not below the root. */
bool recorder_path_of(int fd, char path[256]);
void recorder_walk(void);

void recorder_map(void *start, size_t length, int fd, uint64_t offset);
void recorder_unmap(const void *start, size_t length);
void recorder_dont_fork(const void *start, size_t length);
/* The mapping that has the address, NULL if none; its file's number is valid. */
struct recorder_region *recorder_region_at(const void *address);

/* ---- trace_call.c: rawsys_table.invoke ---- */

long recorder_call(long number, long a, long b, long c, long d, long e, long f);

#endif
