/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family.h — the exact model of stress_family, in memory that all its processes share: files, names, offsets, and what
 * each thread is about to do.
 *
 * Everything is guarded by robust mutexes, so a process may be killed at any moment. A thread writes its *intent* before
 * it locks and stores the intent's number in each lock that it holds to change something. Who gets such a lock after its
 * owner's death finds the number there (a *doubt*) and settles it: what the file shows must be old or new, byte by byte,
 * and all of it new if the call had returned. What it shows is then the model.
 *
 * Locks, in order: names, offset of a description, size of a file, regions ascending. A region is no multiple of a line,
 * so holders of different regions meet in one block and one line. Below the size, writers hold their regions alone; what
 * changes the size holds the size and all regions from the lower of both sizes on.
 */
#ifndef STRESS_FAMILY_H
#define STRESS_FAMILY_H

#include "support/nvx.h"
#include "support/tool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#define FAMILY_OBJECTS 12u
#define FAMILY_NAMES 5u
#define FAMILY_BYTES (640u << 10)
#define FAMILY_REGION 9973u
#define FAMILY_REGIONS (FAMILY_BYTES / FAMILY_REGION + 1)
#define FAMILY_LENGTH (3 * FAMILY_REGION)
#define FAMILY_PROCESSES 48u
#define FAMILY_DESCRIPTIONS (1u << 16)
#define FAMILY_INTENTS (1u << 16)
#define FAMILY_TABLE 10u
#define FAMILY_EVENTS 24u
#define FAMILY_NONE UINT32_MAX

enum family_kind {
    FAMILY_DATA,
    FAMILY_CUT,
    FAMILY_EXTEND,
    FAMILY_SEEK,
    FAMILY_CREATE,
    FAMILY_UNLINK,
    FAMILY_RENAME,
    FAMILY_LINK
};

/* How far a thread is with its intent. */
enum family_state {
    FAMILY_IDLE,
    FAMILY_PREPARED, /* nothing has happened */
    FAMILY_ACTIVE,   /* the call may be under way */
    FAMILY_DONE,     /* it has returned, and all was done; the model is being changed */
    FAMILY_APPLIED,  /* the model is right */
};

struct family_intent {
    _Atomic uint32_t state;
    uint32_t kind, object, name[2];
    bool zero;    /* the new bytes are zero, not the pattern of `key` */
    bool settled; /* whoever settled it died before all doubts were gone: the model is right */
    uint64_t offset, length, key, old_size, new_size;
};

struct family_lock {
    pthread_mutex_t mutex;
    uint32_t intent, doubt; /* numbers; 0: none */
};

struct family_event {
    int pid;
    char what[16];
    uint64_t offset, length;
};

struct family_object {
    struct family_lock size_lock;
    _Atomic uint64_t size; /* bytes at and above it are 0 in `data` */
    ino_t ino;
    uint32_t links;
    bool used;
    struct family_lock region[FAMILY_REGIONS];
    _Atomic uint32_t events;
    struct family_event event[FAMILY_EVENTS];
    uint8_t data[FAMILY_BYTES];
};

/* An open file description. */
struct family_description {
    struct family_lock lock;
    uint64_t offset;
};

struct family_process {
    _Atomic int pid;               /* 0: free; -1: being made */
    uint32_t uses[FAMILY_OBJECTS]; /* descriptors of each file */
};

struct family_shared {
    _Atomic uint32_t failed, descriptions, intents;
    _Atomic uint64_t ops, kills, forks, execs, doubts;
    uint64_t seed, end; /* of this round */
    uint32_t threads;
    bool kills_wanted, plant;
    char root[200];
    char text[500];
    uint32_t failed_object;
    int failed_pid;
    struct family_lock names_lock;
    uint32_t name[FAMILY_NAMES]; /* object; FAMILY_NONE: no such file */
    struct family_process process[FAMILY_PROCESSES];
    struct family_intent intent[FAMILY_INTENTS];
    struct family_description description[FAMILY_DESCRIPTIONS];
    struct family_object object[FAMILY_OBJECTS];
};

/* A descriptor of this process. */
struct family_entry {
    int fd;
    uint32_t description, object;
    int flags;
    bool open;
};

/* What the threads of this process share. `lock`: writers change the table; all others hold it for a whole operation. */
extern struct family {
    struct family_shared *shared;
    struct family_process *self;
    pthread_rwlock_t lock;
    pthread_mutex_t children; /* held from a fork to the note of its pid, and while waiting for children */
    struct family_entry table[FAMILY_TABLE];
} family;

struct family_thread {
    struct tool_rng rng;
    uint32_t number; /* of its intent */
    struct family_intent *intent;
    uint8_t *buf, *other;
};

/* family_lock.c */
void family_fail(uint32_t object, const char *format, ...) __attribute__((format(printf, 2, 3)));
void family_note(uint32_t object, const char *what, uint64_t offset, uint64_t length);
void family_lock_make(struct family_lock *lock);
void family_lock(struct family_lock *lock);
void family_unlock(struct family_lock *lock);
void family_thread_start(struct family_thread *t, uint64_t seed);
void family_prepare(struct family_thread *t, enum family_kind kind, uint32_t object);
void family_lock_size(struct family_thread *t, int fd, uint32_t object, bool change);
void family_lock_regions(struct family_thread *t, int fd, uint32_t object, uint64_t from, uint64_t to, bool change);
void family_unlock_regions(uint32_t object, uint64_t from, uint64_t to);
void family_lock_offset(struct family_thread *t, const struct family_entry *e, bool change);
void family_check(struct family_thread *t, int fd, uint32_t object, uint64_t from, uint64_t to, const char *when);

/* family_name.c: operations on names, opening and closing */
void family_open(struct family_thread *t);
void family_close(struct family_thread *t);
void family_dup(struct family_thread *t);
void family_names(struct family_thread *t);
void family_stat_path(struct family_thread *t);
void family_lock_names(struct family_thread *t);
void family_path(char *path, size_t length, uint32_t name);

/* family_data.c: operations on one descriptor */
void family_data(struct family_thread *t, const struct family_entry *e);

#endif
