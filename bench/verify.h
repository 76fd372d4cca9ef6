/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * verify.h — what --verify writes and checks.
 *
 * Files are divided into units (the smallest block size). A unit that is written carries a header and a payload that is
 * computed from the header, so that no two writes of a run store the same bytes:
 *
 *   crc       CRC-32C of all that follows in the unit
 *   magic     VERIFY_MAGIC
 *   offset    of the unit in the file
 *   sequence  of the write among the job's, from 1; 0: the unit is as the layout made it
 *   seed      of the run
 *   job       number of the job; VERIFY_LAYOUT
 *   unit      the unit's length
 *
 * A model remembers the sequence of the last write to each unit of a job's region. A unit of the file is right if it is
 * intact and is the last write of some job to it; if no job wrote it, it must be as laid out.
 */
#ifndef BENCH_VERIFY_H
#define BENCH_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERIFY_MAGIC = 0x4d766e62, VERIFY_UNIT_MIN = 48 };
#define VERIFY_LAYOUT UINT32_MAX

struct verify_header {
    uint32_t crc;
    uint32_t magic;
    uint64_t offset;
    uint64_t sequence;
    uint64_t seed;
    uint32_t job;
    uint32_t unit;
};
_Static_assert(sizeof(struct verify_header) == 40, "no padding: all bytes are covered by the checksum");

struct verify_model {
    uint64_t seed;
    uint64_t unit;
    uint64_t start; /* of the region in the file, a multiple of the unit */
    uint64_t units;
    uint64_t *sequence; /* of each unit; in memory that forked jobs share */
    uint32_t file;      /* jobs with the same number work on the same file */
    struct {            /* a write that was in flight when its process was killed; sequence 0: none */
        uint64_t sequence, offset, length;
    } flight;
    bool hole; /* units that were never written are holes: zeros, or behind the end of the file */
};

enum verify_fault {
    VERIFY_OK,
    VERIFY_ZERO,    /* nothing but zeros */
    VERIFY_NO_UNIT, /* no header of ours */
    VERIFY_CORRUPT, /* a header, but the bytes do not fit its checksum: torn or damaged */
    VERIFY_PLACE,   /* intact, but belongs to another offset, run or unit length */
    VERIFY_STALE,   /* intact, but an older write than the last */
    VERIFY_FUTURE   /* intact, but a write that the model does not know */
};

/* Fills `length` bytes, whole units, as write number `sequence` of `job` at `offset`. */
void verify_stamp(void *buf, uint64_t length, uint64_t unit, uint64_t offset, uint64_t seed, uint32_t job,
                  uint64_t sequence);

void verify_model_wrote(struct verify_model *model, uint64_t offset, uint64_t length, uint64_t sequence);
void verify_model_clear(struct verify_model *model);

/* A write that may be there in part: each byte of its units is as before or as of it. */
void verify_model_begun(struct verify_model *model, uint64_t offset, uint64_t length, uint64_t sequence);

/* Is the unit at `offset` whole and in its place, whoever wrote it and when? */
enum verify_fault verify_unit_intact(const void *buf, uint64_t unit, uint64_t offset);

/* Is it what the models, of all jobs of the run by their number, say was written last? `self` covers `offset`. */
enum verify_fault verify_unit_newest(const void *buf, uint64_t offset, const struct verify_model *models,
                                     uint32_t model_count, uint32_t self);

/* One line about a fault found by one of the above. */
void verify_describe(enum verify_fault fault, const void *buf, uint64_t offset, const struct verify_model *model,
                     uint32_t job, char *text, size_t text_size);

#endif
