/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * operation.h — workloads: lists of operations on up to two small files, as a short text that can be printed and replayed.
 *
 *     workload  = { word } ":" operation { ";" operation }      or ","
 *     word      = "atomic"          every open is with O_ATOMIC
 *                 "empty"           the files do not exist before: else each has OPERATION_INITIAL bytes, durable
 *                 "threads"         operations with an actor are done by threads of one process at once
 *                 "processes"       by two processes: the first is killed, then the second goes on
 *                 "heir"            ... which opens the files only then, and so recovers them
 *                 "kill=N"          the first process dies before its Nth event (processes)
 *                 "switch=N>T"      before step N of the run thread T takes over (threads); may be repeated
 *     operation = [ actor ] verb file [ number [ number ] ]      actor 1 .. 3; none: before all actors begin
 *
 *     verb                                          verb
 *     w  write offset length                        b  write-back of all that is committed, as by the sync thread
 *     W  the same through a second descriptor       l  from here on the log cannot grow
 *     y  the same through one that is O_SYNC        m  nvmmap the whole file and some more;  M  nvmunmap
 *     a  append length                              n  nvmemcpy offset length;  s  nvmsync
 *     t  ftruncate size                             p  punch a hole, offset length
 *     f  fsync                                      z  zero range, offset length
 *     x  close all descriptors, open again          e  fallocate, offset length (the file grows)
 *     u  unlink                                     c  unlink if need be, close, create anew: the same inode number, but
 *     v  rename                                        born later;  C  with nothing that tells them apart, the unlinked
 *     D  fsync of the directory                        one being gone durably before
 *     d  hand the file to the kernel                  i  store by plain instructions into the nvmmap'ed file, offset
 *     r  read offset length                            length: the whole words in it
 *     h  the other policy for first touches: redo, undo    q  the sync thread looks: what is idle is written back
 */
#ifndef CRASH_EXPLORE_OPERATION_H
#define CRASH_EXPLORE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPERATION_FILES 2u
#define OPERATION_ACTORS 4u     /* 0: before the others */
#define OPERATION_INITIAL 9192u /* bytes: two blocks and a part of the third, which ends within a line */
#define OPERATION_SIZE_MOST 32768u
#define WORKLOAD_MOST 32u
#define WORKLOAD_SWITCHES 4u
#define WORKLOAD_TEXT 1024u

struct operation {
    char verb;
    uint8_t file; /* 0: a, 1: b */
    uint8_t actor;
    uint32_t offset, length; /* a size is in length */
};

struct workload_switch {
    uint32_t step;
    uint8_t thread;
};

struct workload {
    bool atomic, empty, threads, processes, heir;
    uint32_t kill;
    unsigned switches;
    struct workload_switch at[WORKLOAD_SWITCHES];
    unsigned count;
    struct operation operation[WORKLOAD_MOST];
};

/* False with what is wrong in *error. */
bool workload_parse(const char *text, struct workload *workload, const char **error);
void workload_print(const struct workload *workload, char *text, size_t size);

/* How many numbers a verb takes, -1 if there is no such verb. */
int operation_numbers(char verb);
/* Whether the operation stores the bytes [offset, offset + length) or appends them. */
bool operation_writes(char verb);
/* Whether its return means that what was done before is durable. */
bool operation_syncs(char verb);

/* Byte at `offset` of the file that operation `number` writes; never zero. OPERATION_BEFORE: of the initial content. */
#define OPERATION_BEFORE 255u
uint8_t operation_byte(unsigned number, unsigned file, uint64_t offset);

#endif
