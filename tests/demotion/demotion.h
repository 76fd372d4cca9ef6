/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * demotion.h — what the two files of the demotion test share: the file that is handed to the kernel, and the ways.
 */
#ifndef DEMOTION_DEMOTION_H
#define DEMOTION_DEMOTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DEMOTION_ROOM (1u << 20) /* most bytes of the file */

/* The file, and what it must hold. */
struct subject {
    char path[128];
    char outside[128]; /* name of `other` */
    int fd;
    int other; /* an unmanaged file of 4096 bytes, open for reading and writing */
    size_t size, offset;
    uint8_t bytes[DEMOTION_ROOM];
};

enum way_flags {
    WAY_IN_CHILD = 1, /* a child is the one who demotes: nothing is counted here */
    WAY_CLOSES = 2,   /* the file has no descriptor afterwards */
    WAY_RING = 4,     /* a ring is there from then on: nothing is managed any more in the process; run in a child */
    WAY_UNSERVED = 8, /* a file that nobody has attached is left to the kernel, uncounted */
    WAY_MAPS = 32, /* the file is mapped and served on, in place: no demotion, but of an O_ATOMIC file (demote.mmap) */
    WAY_PASSING = 16, /* on a file that nobody has attached the call is made, and is over: the file is as before */
};

/* One way in which a file comes to be the kernel's. */
struct way {
    const char *name;
    const char *counter; /* "demote.stdio" */
    bool (*go)(
        struct subject *subject); /* false: it did not do what the kernel does. May change `bytes`, size, offset */
    unsigned flags;
};
extern const struct way demotion_ways[];

/* The subject's file holds `length` bytes of `data` at `at` from now on. */
void subject_expect(struct subject *subject, size_t at, const void *data, size_t length);

#endif
