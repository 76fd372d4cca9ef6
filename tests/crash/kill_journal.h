/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_journal.h — what the writers of the kill campaign tell the driver, in shared memory that outlives them: which
 * operations completed, which one was in flight, and what the file must therefore look like.
 *
 * A writer stores the operation and state IN_FLIGHT before the call, DONE after it, applies it to `ref`, stores IDLE.
 * One that is found DONE is applied again (idempotent), so a kill while applying is no loss.
 */
#ifndef CRASH_KILL_JOURNAL_H
#define CRASH_KILL_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KJ_WRITERS_MAX 4
#define KJ_FILE_MAX (1u << 20)    /* bytes of a file that has a byte-exact reference */
#define KJ_REGION 10007u          /* bytes of a region; prime, so that writers share blocks and lines */
#define KJ_SLOTS 48u              /* records of mode REWRITE */
#define KJ_SLOT_BYTES 5003u       /* no multiple of a line, a block and a half */
#define KJ_APPEND_MAX (24u << 20) /* bytes of mode APPEND's file */
#define KJ_UNSURE_MAX 1024
#define KJ_TRACE 32

enum kj_mode {
    KJ_SOLO,    /* one writer: writes, appends, truncates, syncs, reopens; byte-exact */
    KJ_ATOMIC,  /* the same with O_ATOMIC: exactly a synced state */
    KJ_REGIONS, /* two processes, each rewrites its own bytes of shared blocks; byte-exact */
    KJ_APPEND,  /* two processes append records with O_APPEND */
    KJ_REWRITE, /* two processes rewrite the same records */
    KJ_FORK,    /* as REGIONS, a process and its forked child on one descriptor */
    KJ_THREADS, /* as REGIONS, three threads of one process */
    KJ_MODES
};

enum kj_op { KJ_OP_WRITE, KJ_OP_TRUNCATE, KJ_OP_SYNC, KJ_OP_APPEND, KJ_OP_REWRITE };
enum kj_state { KJ_IDLE, KJ_IN_FLIGHT, KJ_DONE };

struct kj_flight {
    _Atomic uint32_t state; /* enum kj_state */
    uint32_t op;            /* enum kj_op */
    uint64_t offset;        /* REWRITE: the slot */
    uint64_t length;
    uint64_t key; /* names the data; REWRITE: the ticket at the start */
    uint64_t new_size;
    uint64_t seq; /* APPEND, REWRITE: number of the record */
};

struct kj_mark {
    uint64_t seq, start, end; /* the last completed rewrite of a slot, and its tickets */
};

struct kj_writer {
    _Atomic int pid;
    _Atomic uint64_t ops;  /* completed; random numbers follow from it */
    _Atomic uint32_t dead; /* set before the kill */
    _Atomic uint32_t respawn;
    uint64_t seq; /* of the next record */
    struct kj_flight flight;
    struct kj_mark mark[KJ_SLOTS];
    struct kj_flight trace[KJ_TRACE]; /* the last operations, for a report */
};

/* A record that was in flight when its writer died. */
struct kj_unsure {
    uint32_t writer;
    uint32_t slot;
    uint64_t seq;
    uint64_t start; /* ticket */
    uint64_t death; /* ticket when the death was seen; 0: not yet reaped */
};

struct kj {
    uint64_t seed;
    uint32_t mode; /* enum kj_mode */
    uint32_t writers;
    bool exact; /* the size after a kill is the old or the new one, nothing between */
    bool whole; /* a read never sees half a record */
    uint32_t unused;
    _Atomic uint32_t stop;
    _Atomic uint64_t ticket;
    uint64_t size;                 /* of ref */
    uint64_t committed_size;       /* ATOMIC */
    uint64_t seen_size, seen_hash; /* told by the verifying process */
    _Atomic uint32_t unsure_count;
    _Atomic uint32_t opening; /* a verifying process is in its open, where files are recovered */
    uint64_t open_ns;         /* how long the last open took */
    _Atomic uint64_t beside;  /* operations of the process that has another file of the root */
    uint32_t partial;         /* writes in flight that are there in part, size included */
    char error[512];
    struct kj_unsure unsure[KJ_UNSURE_MAX];
    struct kj_writer writer[KJ_WRITERS_MAX];
    uint8_t ref[KJ_FILE_MAX]; /* zero at and above size */
    uint8_t committed[KJ_FILE_MAX];
};

/* Names of enum kj_mode and enum kj_op. */
const char *kj_mode_name(unsigned mode);
const char *kj_op_name(unsigned op);

/* Takes operations found DONE into the reference. */
void kj_settle(struct kj *j);
void kj_apply(struct kj *j, struct kj_writer *w);

/* Whether the file's content is one that the journal allows: 0, or -1 with the reason in `error`. */
int kj_check(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len);

/* Makes the content the reference: what was in doubt is so no longer. */
void kj_adopt(struct kj *j, const uint8_t *data, uint64_t size);

/* Record number seq of a writer, as a whole, into buf (KJ_RECORD_MAX); its length, which for APPEND follows from seq.
 */
#define KJ_RECORD_MAX 8192u
uint32_t kj_record(const struct kj *j, uint32_t writer, uint64_t seq, uint8_t *buf);

/* Whether buf (KJ_SLOT_BYTES) is one whole record. */
bool kj_record_is_whole(const struct kj *j, const uint8_t *buf);

#endif
