/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * reference.h — a second reader of logs, written from the text of src/log/log_format.h alone: it knows offsets and rules,
 * none of the library's structures and functions. Slow and simple. For small files and logs of one group.
 */
#ifndef FUZZ_REFERENCE_H
#define FUZZ_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#define REFERENCE_FILE_MOST (64u << 10) /* bytes of a file that are looked at */

/* What recovery has before it. */
struct reference_case {
    const uint8_t *log; /* header page and entries: at least `length` bytes or all that is read of it */
    uint64_t length;    /* of the log file */
    uint32_t owner;     /* of the log file and of the managed file */
    uint64_t identity[6];
    uint64_t boot[2];
    const uint8_t *file; /* REFERENCE_FILE_MOST bytes, zero behind file_size */
    uint64_t file_size;
    const uint8_t *(*block)(uint32_t n); /* the 4096 bytes of log block n */
};

/* What must come of it. */
struct reference {
    int error;        /* 0, or what the log is refused with; the rest counts only without an error */
    bool other;       /* the log is surely of another file */
    bool passthrough; /* the header is right and says so; also with an error behind it */
    bool promoted;
    uint64_t size;
    uint32_t entries, lines;
    uint8_t file[REFERENCE_FILE_MOST]; /* the file's first bytes */
};

void reference_read(const struct reference_case *given, struct reference *want);

/* Whether an entry of a log without magic is in use, or cannot be. */
bool reference_is_void(const struct reference_case *given);

#endif
