/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace.h — what a run of the library did to persistent memory, in order: every store, flush and fence of layer pm and
 * every system call that changes a file of the root. Recorded by trace.c in the traced build of the library (pm/pm_trace.h,
 * rawsys_table), read by the explorer.
 *
 * The buffers are in shared memory, so that processes forked while a trace runs append to the same one: a killed child's
 * events stay. One thread runs at a time (schedule.h), so the order of events is the order of execution.
 */
#ifndef CRASH_EXPLORE_TRACE_H
#define CRASH_EXPLORE_TRACE_H

#include "log/log_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_STORE,  /* 8 bytes or fewer, regular, within one 8-byte word: pm_store64, header words */
    TRACE_STREAM, /* pm_copy, pm_zero: any bytes; each 8-byte word of it persists on its own */
    TRACE_FLUSH,  /* the lines of [offset, offset + length) */
    TRACE_FENCE,  /* of this thread: no file */
    TRACE_CALL,   /* a system call that succeeded and changes a file or its names, or makes such a change durable */
    TRACE_MARK,   /* of the workload: trace_mark */
};

/* What a TRACE_CALL did. */
enum trace_call {
    TRACE_CALL_SYNC,  /* fsync, fdatasync, msync: all earlier events of `file` are durable; of a directory: its names */
    TRACE_CALL_WRITE, /* the kernel stored `length` bytes of data at offset (write, pwrite and their kin); the file is at
                         least offset + length long now. Followed by a SYNC if the descriptor was O_SYNC or O_DSYNC */
    TRACE_CALL_RESIZE, /* ftruncate, fallocate without KEEP_SIZE: the size is `length` */
    TRACE_CALL_PUNCH,  /* fallocate PUNCH_HOLE or ZERO_RANGE with KEEP_SIZE: [offset, offset + length) reads as zeros */
    TRACE_CALL_COLLAPSE, /* fallocate COLLAPSE_RANGE */
    TRACE_CALL_INSERT,   /* fallocate INSERT_RANGE */
    TRACE_CALL_LINK,     /* the name `name` of directory `directory` is `file` now: O_CREAT, linkat */
    TRACE_CALL_UNLINK,   /* the name is gone */
    TRACE_CALL_RENAME,   /* name, directory: new; old_name, old_directory; a file that had the new name loses it */
};

struct trace_event {
    uint8_t kind;    /* enum trace_kind */
    uint8_t call;    /* enum trace_call of a TRACE_CALL */
    uint8_t thread;  /* who did it: trace_thread; each fence is of one thread */
    uint8_t process; /* generation of the process: 0, and 1.. for forked children */
    uint32_t file;   /* number of the file, TRACE_NO_FILE for a fence or mark */
    uint64_t offset; /* bytes of the file */
    uint64_t length; /* bytes */
    uint64_t data;   /* offset in trace.data of `length` stored bytes (STORE, STREAM, CALL_WRITE) */
    uint64_t site;   /* where in the library: return address, relative to the program's load address */
    uint32_t directory, old_directory; /* file numbers */
    uint64_t name, old_name;           /* offsets of terminated strings in trace.data */
    uint32_t mark;                     /* enum of the workload */
    uint64_t argument[2];              /* of a mark */
};

#define TRACE_NO_FILE UINT32_MAX

enum trace_file_kind {
    TRACE_FILE_DATA, /* a managed file */
    TRACE_FILE_LOG,
    TRACE_FILE_DIRECTORY,
    TRACE_FILE_OTHER, /* volume table, live list, index objects: their contents do not outlive a boot and are not recorded */
};

struct trace_file {
    uint8_t kind;
    bool initial;      /* had the name `path` when the trace began; others get theirs by events */
    uint64_t dev, ino; /* a number may be used again: another file then */
    char path[256];    /* when it was first seen; its first name if that was O_TMPFILE */
    /* Its contents and size when it was first seen, offset in trace.data and bytes: the initial image. */
    uint64_t data, size;
    /* What a descriptor of it said of itself (log_identity_of) when it was first seen: the explorer's images answer with it,
     * since log headers name files by it. */
    struct log_identity identity;
    uint32_t owner; /* uid */
};

struct trace {
    struct trace_event *event;
    size_t count, room;
    char *data;
    size_t data_length, data_room;
    struct trace_file *file;
    uint32_t file_count, file_room;
    bool overflow; /* a buffer was too small: the trace is worth nothing */
};

/* Called before each event that is about to happen, in the thread that does it: the place to switch threads (schedule.h)
 * or to die (kill after `count` events). NULL: nothing. */
extern void (*trace_before)(enum trace_kind kind, enum trace_call call);

/* What makes every system call of the library, recorded or not: rawsys_invoke_kernel. A scheduler that must see the calls that
 * wait (futex, sched_yield) replaces it, and leaves rawsys_table alone, which is the recorder's. */
extern long (*trace_invoke)(long number, long a, long b, long c, long d, long e, long f);

/* A forked child has a recorder of its own from here on, which its children share. */
void trace_own(void);

/* Empties the buffers, registers all files of the directory tree `root` with their contents, begins to record. */
void trace_begin(const char *root);
/* Ends it. The trace is valid until the next trace_begin. */
const struct trace *trace_end(void);
const struct trace *trace_now(void); /* while it runs */

/* The number by which this thread's events are known, and this process's. */
void trace_set_thread(uint8_t thread);
void trace_set_process(uint8_t process);

void trace_mark(uint32_t mark, uint64_t a, uint64_t b);

/* The number of an open file, TRACE_NO_FILE if it is not known. */
uint32_t trace_file_of(int fd);

/* Takes the identity of an open file again: for a workload that lets it claim another. */
void trace_identify(int fd);

/* Compares all mapped files of kind DATA and LOG with the stores that were recorded: the first byte that was changed behind
 * the recorder's back (a plain store that does not go through layer pm) is described in `text`; false then. No other
 * thread may be storing meanwhile. */
bool trace_verify(char *text, size_t size);

/* "uma_write.c:243 piece_store": source place of an event's site, by addr2line; cached. Static storage. A place that was
 * inlined several times has several sites and one name: the same pointer. */
const char *trace_site_name(uint64_t site);

#endif
