/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cases.h — what the cases of the POSIX comparison are written with.
 *
 * A case is a function that makes file calls in its working directory and reports each result. compare.c runs it twice,
 * on the plain kernel and on nvmmio, and wants the same report. So a case reports nothing that may differ between two
 * runs on the same kernel: no times, inode numbers, addresses or process ids. Calls that nv* has go through `nvx`; a
 * case that needs any other call on a descriptor has no CASE_NV.
 */
#ifndef POSIX_CASES_H
#define POSIX_CASES_H

#include "support/nvx.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

enum case_flag {
    CASE_NV = 1,   /* uses nothing but nv* calls on the descriptors of managed files */
    CASE_ONCE = 2, /* does not use subject(): one state is enough */
};

struct posix_case {
    const char *name; /* NULL ends a list */
    void (*run)(void);
    unsigned flags;
};

extern const struct posix_case cases_append[], cases_bad[], cases_child[], cases_descriptor[], cases_dup[], cases_far[],
    cases_limit[], cases_lock[], cases_map[], cases_mapping[], cases_name[], cases_open[], cases_pass[],
    cases_process[], cases_read[], cases_resize[], cases_seek[], cases_stat[], cases_stdio[], cases_symbol[],
    cases_syscall[], cases_vector[];

/* Patterned bytes to write, and room to read into. */
#define BYTES_SIZE ((size_t)4 << 20)
extern uint8_t *bytes;
extern uint8_t *scratch;

#define SUBJECT "f" /* the file that subject() makes */
extern off_t subject_size;

/* Makes the file SUBJECT in the state that the case is run for, and returns it open O_RDWR, its offset 0. */
int subject(void);

/* One line of the report. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reports a call, its result, its errno when it failed and whether it touched errno when it did not. */
long report_call(int line, const char *text, long result);
#define CALL(call) report_call(__LINE__, #call, (errno = CASE_ERRNO, (long)(call)))
/* The same for a call that returns an address: 0, or -1 for NULL and MAP_FAILED. */
#define CALL_POINTER(call) report_call(__LINE__, #call, (errno = CASE_ERRNO, report_pointer(call)))
long report_pointer(const void *address);
#define CASE_ERRNO 4095  /* no errno value */
extern bool watch_errno; /* false: a successful call may touch errno (stdio) */

/* Reports offset, size and a hash of all bytes, as the descriptor tells them. */
void show_file(int line, int fd);
#define SHOW(fd) show_file(__LINE__, fd)
/* Reports a hash of `len` bytes at `offset`. */
void show_range(int line, int fd, off_t offset, size_t len);
#define SHOW_RANGE(fd, offset, len) show_range(__LINE__, fd, offset, len)
/* Reports a hash of bytes in memory; a negative `len` (a failed read) reports nothing. */
void show_bytes(int line, const void *address, long len);
#define SHOW_BYTES(address, len) show_bytes(__LINE__, address, len)
/* Reports size and bytes of a file as a process without the library sees them. Only when it is closed everywhere. */
void look(const char *path);

/* Ends a forked child in an orderly way. */
_Noreturn void end_child(void);
/* Forks, runs `body` in the child, waits and reports how the child ended. */
void in_child(void (*body)(int fd), int fd);

/* An address that no call may use. */
void *bad_address(void);

/* nv* functions that are not in nvx. */
int case_openat(int dirfd, const char *path, int flags, mode_t mode);
int case_creat(const char *path, mode_t mode);

#endif
