/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_format.h — the persistent format: all that nvmmio keeps on PM beside the files themselves. Layer log.
 *
 * A log belongs to one file. It is an ordinary file ROOT/.nvmmio/UID/<16 hex digits>.log, mode 0600, made of a header page,
 * entries and log blocks, in groups:
 *
 *     group g starts at g * LOG_GROUP_BYTES
 *       + 0                 LOG_GROUP_BLOCKS entries of 64 bytes (in group 0 the first 64 entries are the header page)
 *       + LOG_ENTRIES_BYTES LOG_GROUP_BLOCKS blocks of 4 KiB; block n of the log is described by entry n
 *
 * Block numbers below LOG_FIRST_BLOCK do not exist (their entries would lie in the header page), so 0 means "none". The
 * file's length says which blocks exist: n does if its last byte is inside the file; its entry is allocated as well.
 * All numbers are little-endian, sizes and offsets in bytes, `block` in units of 4 KiB of the managed file, epochs count
 * commits of this log and start at 1.
 *
 * Two homes. A file block that has an entry owns that entry's log block. Each of its 64 lines has two homes: the *file
 * home* (its place in the file) and the *log home* (the same place in the log block). With H = header.epoch:
 *
 *   An entry is in use iff (1) header.magic and identity are right, (2) its block number and log block exist, and (3) the
 *   epoch of at least one record is greater than header.floor. Its check is right then, see below.
 *   The record with the larger epoch counts. It is *committed* iff epoch < H; then a set bit of base ^ flip says that the
 *   line's committed home is the log. Otherwise (a sync was in flight, or never came) base alone says it.
 *   Of several entries of one block the one with the highest seq that has a committed state decides all 64 lines (a
 *   committed record, or two records above the floor: the older one was committed before the newer began). Entries of
 *   lower seq are void; those of higher seq add the lines of their base alone.
 *
 * What keeps this true in every crash state (DESIGN rules in brackets)
 *   - Data are stored before the record that shows them, and both are fenced by the writing thread before the commit of
 *     their epoch begins [1]. A line is never stored where its committed copy lives [1], except for bytes at or above the
 *     size committed with H, which belong to nobody [6].
 *   - A record is stored base, flip, epoch, in this order, into one line, by 8-byte stores: a power cut leaves a prefix.
 *     flip may grow later in the same epoch [2].
 *   - A commit stores size[(e + 1) & 1], then epoch = e + 1: one line, in order, so either both or the old pair [commit].
 *   - An entry is freed by zeroing the older record's epoch, then the newer's, after its log lines are durable in the
 *     file; superseded entries (lower seq) are freed durably before the deciding one [11, 12].
 *
 * Checks tell damage (a medium, a stray store) from a log. They cost no store of their own but for one in a commit:
 *   - An entry's block and seq carry 13 bits each of a check over both and the entry's number.
 *   - header.check covers what is constant while magic is set; each flag is two bits.
 *   - size_check[e & 1] covers size[e & 1] and e, and is stored between the two: it holds for the epoch in force in every
 *     prefix, since a new epoch always has the other parity. floor is right if floor_check[0] or [1] covers it: the one is
 *     stored before floor, the other is the old one's. The same with newest_size and newest_check.
 *   - boot_check is not yet right while recovery gives the log to a new boot; no entry is in use then.
 *   A log with a wrong check is refused as a whole, and kept. Base, flip and epochs of records have none: they change with
 *   every write. All versions have magic, version, owner, identity and path where they are here.
 */
#ifndef LOG_LOG_FORMAT_H
#define LOG_LOG_FORMAT_H

#include "base/geometry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MAGIC UINT64_C(0x31474f4c4d564e0a) /* "\nNVMLOG1" */
#define LOG_VERSION 2u

#define LOG_BLOCK_SHIFT 12
#define LOG_BLOCK 4096u
#define LOG_LINES 64u /* lines of a block */
#define LOG_ENTRY_BYTES 64u
#define LOG_HEADER_BYTES 4096u

#define LOG_GROUP_BLOCKS GEOMETRY_GROUP_BLOCKS /* 32768 */
#define LOG_ENTRIES_BYTES ((uint64_t)LOG_GROUP_BLOCKS * LOG_ENTRY_BYTES)
#define LOG_GROUP_BYTES (LOG_ENTRIES_BYTES + (uint64_t)LOG_GROUP_BLOCKS * LOG_BLOCK)
#define LOG_FIRST_BLOCK GEOMETRY_FIRST_BLOCK /* 64 */
#define LOG_BLOCKS_MAX GEOMETRY_BLOCKS_MAX   /* 4 Mi: 16 GiB of blocks in one log */

#define LOG_PATH_BYTES 3584u

struct log_identity {
    uint64_t fs[2];      /*  0 file-system id: its UUID folded to 64 bits; zero */
    uint64_t ino;        /* 16 inode number */
    uint64_t generation; /* 24 FS_IOC_GETVERSION, 0 where there is none */
    int64_t birth_sec;   /* 32 birth time, 0 where there is none */
    uint64_t birth_nsec; /* 40 */
};

/* The kernel's handle of the file (name_to_handle_at). */
#define LOG_HANDLE_BYTES 128u
struct log_handle {
    uint64_t check;                 /*  0 of identity and the rest; a wrong one: there is none */
    uint32_t bytes;                 /*  8 */
    int32_t type;                   /* 12 */
    uint8_t data[LOG_HANDLE_BYTES]; /* 16 zero behind `bytes` */
};

/* Two bits each, so that one of them alone is known to be damage. */
enum log_flags {
    /* The file was opened O_ATOMIC: no promotion after process death. */
    LOG_FLAG_ATOMIC = 0x10001,
    /* The kernel serves the file: entries are void, sizes mean nothing, there is nothing to recover. Stored when the log is
     * empty and the file whole, before the first write goes to the kernel. */
    LOG_FLAG_PASSTHROUGH = 0x20002,
};

/* The header page. It is issued (made the log of a file) with magic 0 and all entries void: lines 0 (without magic), 1, 2
 * and 3 are stored, flushed, fenced; then magic is stored, flushed, fenced. It is retired (back to a pool) with all
 * entries void: magic = 0, flushed, fenced. */
struct log_header {
    /* line 0: what this is. Constant while magic is set. */
    _Atomic uint64_t magic; /*  0 LOG_MAGIC, 0 in a pooled log */
    uint32_t version;       /*  8 LOG_VERSION */
    uint32_t owner;         /* 12 uid of the managed file's owner, who owns this log as well */
    uint64_t boot_id[2];    /* 16 of the kernel under which the log was issued: whether DRAM state may still exist */
    _Atomic uint64_t
        flags;             /* 32 enum log_flags; only ever gains bits: stored, flushed, fenced before the first write */
    uint64_t boot_check;   /* 40 of boot_id */
    uint64_t reserved0[2]; /* 48 zero */
    /* line 1: whose log this is. Constant while magic is set. */
    struct log_identity identity; /* 64 */
    uint64_t check;               /* 112 of version, owner and identity */
    uint64_t reserved1;           /* 120 zero */
    /* line 2: the commit line. size[epoch & 1] is the committed size; stored before epoch, with its check between. */
    _Atomic uint64_t size[2];        /* 128 bytes */
    _Atomic uint64_t epoch;          /* 144 H: records of smaller epochs are committed */
    _Atomic uint64_t floor;          /* 152 records of epochs <= floor are void; set by recovery, one store frees all */
    _Atomic uint64_t size_check[2];  /* 160 of size[epoch & 1] and epoch */
    _Atomic uint64_t floor_check[2]; /* 176 of floor; one of them, see above */
    /* line 3: for survivors of a process, under the same boot only. Plain stores, never flushed on purpose, but for
     * times_pending, which counts after a power cut too; it has no check: what a wrong one does is a wrong mtime. */
    _Atomic uint64_t newest_size;     /* 192 logical size, uncommitted changes included */
    _Atomic uint64_t index_nonce;     /* 200 names the index object; stored under the exclusive lock of the log */
    _Atomic uint64_t index_dev;       /* 208 and identifies it: st_dev, st_ino */
    _Atomic uint64_t index_ino;       /* 216 */
    _Atomic uint64_t newest_check[2]; /* 224 of newest_size; one of them, see above */
    _Atomic uint64_t
        times_pending; /* 240 not 0: what was written has not moved the file's mtime yet. Flushed, unfenced */
    _Atomic uint64_t
        past_end; /* 248 not 0: bytes were stored behind the end; counts under the same boot. No check either */
    struct log_handle handle;  /* 256 stored, if it can be had, before the log is issued: the check tells */
    uint8_t reserved4[112];    /* 400 zero */
    char path[LOG_PATH_BYTES]; /* 512 the file's path when it was attached: a hint, terminated, may be empty */
};

struct log_record {
    _Atomic uint64_t base;  /* bit i: the committed home of line i is the log */
    _Atomic uint64_t flip;  /* bit i: line i was changed in `epoch`; its newest home is the other one */
    _Atomic uint64_t epoch; /* 0: unused */
};

/* An entry is in one line. block and seq are stored before the first record; constant while the entry is in use. Both
 * have the number in the low LOG_NUMBER_BITS, a part of the check above (log_entry_seal). */
struct log_entry {
    _Atomic uint64_t block;      /*  0 block of the file */
    _Atomic uint64_t seq;        /*  8 order among entries of one block, 1 .. */
    struct log_record record[2]; /* 16, 40 */
};

_Static_assert(sizeof(struct log_identity) == 48, "identity is part of line 1");
_Static_assert(offsetof(struct log_header, identity) == 64, "line 1");
_Static_assert(offsetof(struct log_header, size) == 128, "line 2");
_Static_assert(offsetof(struct log_header, check) == 112, "line 1");
_Static_assert(offsetof(struct log_header, size_check) == 160, "line 2");
_Static_assert(offsetof(struct log_header, newest_size) == 192, "line 3");
_Static_assert(offsetof(struct log_header, handle) == 256 && sizeof(struct log_handle) == 144, "line 4");
_Static_assert(offsetof(struct log_header, path) == 512, "path hint");
_Static_assert(sizeof(struct log_header) == LOG_HEADER_BYTES, "one page");
_Static_assert(sizeof(struct log_entry) == LOG_ENTRY_BYTES, "one line");
_Static_assert(LOG_ENTRIES_BYTES % LOG_BLOCK == 0, "blocks lie on pages");
_Static_assert(LOG_FIRST_BLOCK >= LOG_HEADER_BYTES / LOG_ENTRY_BYTES, "no entry lies in the header page");

/* ---- checks ---- */

#define LOG_NUMBER_BITS 51u /* a block whose bytes all have an off_t; entries enough for decades */
#define LOG_NUMBER_MASK ((UINT64_C(1) << LOG_NUMBER_BITS) - 1)
#define LOG_CHECK_BITS (64u - LOG_NUMBER_BITS)
#define LOG_CHECK_SEED UINT64_C(0x6b63656863474f4c)

/* Takes one more word into a check. A bijection of either argument: a change of one word always changes the result. */
static inline uint64_t log_check_word(uint64_t check, uint64_t word)
{
    check = (check ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return check ^ check >> 32;
}

/* The words that stand for block and seq in entry n. */
struct log_entry_words {
    uint64_t block, seq;
};
static inline struct log_entry_words log_entry_seal(uint64_t block, uint64_t seq, uint32_t n)
{
    block &= LOG_NUMBER_MASK;
    seq &= LOG_NUMBER_MASK;
    uint64_t check = log_check_word(log_check_word(log_check_word(LOG_CHECK_SEED, block), seq), n);
    return (struct log_entry_words){.block = block | check >> LOG_NUMBER_BITS << LOG_NUMBER_BITS,
                                    .seq = seq | check << LOG_CHECK_BITS >> LOG_NUMBER_BITS << LOG_NUMBER_BITS};
}
/* Whether the two words of entry n are as they were stored there. */
static inline bool log_entry_intact(uint64_t block, uint64_t seq, uint32_t n)
{
    struct log_entry_words words = log_entry_seal(block, seq, n);
    return words.block == block && words.seq == seq;
}
/* The number in a word of an entry. */
static inline uint64_t log_entry_number(uint64_t word)
{
    return word & LOG_NUMBER_MASK;
}

/* Of what is constant while magic is set. */
static inline uint64_t log_header_check(uint32_t version, uint32_t owner, const struct log_identity *identity)
{
    const uint64_t words[] = {
        identity->fs[0],      identity->fs[1], identity->ino, identity->generation, (uint64_t)identity->birth_sec,
        identity->birth_nsec,
    };
    _Static_assert(sizeof words == sizeof *identity, "all of it");
    uint64_t check = log_check_word(LOG_CHECK_SEED, (uint64_t)owner << 32 | version);
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        check = log_check_word(check, words[i]);
    return check;
}
static inline uint64_t log_size_check(uint64_t size, uint64_t epoch)
{
    return log_check_word(log_check_word(LOG_CHECK_SEED, size), epoch);
}
static inline uint64_t log_number_check(uint64_t number)
{
    return log_check_word(LOG_CHECK_SEED, number);
}
static inline uint64_t log_boot_check(const uint64_t boot[2])
{
    return log_check_word(log_check_word(LOG_CHECK_SEED, boot[0]), boot[1]);
}

/* ---- places ---- */

/* Offset in the log file of entry n and of log block n. */
static inline uint64_t log_entry_offset(uint32_t n)
{
    return n / LOG_GROUP_BLOCKS * LOG_GROUP_BYTES + (uint64_t)(n % LOG_GROUP_BLOCKS) * LOG_ENTRY_BYTES;
}
static inline uint64_t log_block_offset(uint32_t n)
{
    return n / LOG_GROUP_BLOCKS * LOG_GROUP_BYTES + LOG_ENTRIES_BYTES + (uint64_t)(n % LOG_GROUP_BLOCKS) * LOG_BLOCK;
}

/* Number of the first block that does not exist in a log file of `length` bytes. */
static inline uint32_t log_blocks_in(uint64_t length)
{
    uint64_t groups = length / LOG_GROUP_BYTES, rest = length % LOG_GROUP_BYTES;
    uint64_t n = groups * LOG_GROUP_BLOCKS;
    if (rest > LOG_ENTRIES_BYTES)
        n += (rest - LOG_ENTRIES_BYTES) / LOG_BLOCK;
    return n > LOG_BLOCKS_MAX ? LOG_BLOCKS_MAX : (uint32_t)n;
}

#endif
