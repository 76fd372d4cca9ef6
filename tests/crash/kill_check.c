/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_check.c — judges a file's content by the journal of its writers. Used by the verifying process (through the
 * library) and by the driver (without it).
 */
#include "crash/kill_journal.h"
#include "support/tool.h"

#include <stdio.h>
#include <string.h>

#define RECORD_MAGIC 0x6b72u

struct record_head {
    uint16_t magic;
    uint16_t writer;
    uint32_t length;
    uint64_t seq;
};

const char *kj_mode_name(unsigned mode)
{
    static const char *const names[] = {"solo", "atomic", "regions", "append", "rewrite", "fork", "threads"};
    return mode < KJ_MODES ? names[mode] : "?";
}

const char *kj_op_name(unsigned op)
{
    static const char *const names[] = {"write", "truncate", "sync", "append", "rewrite"};
    return op < sizeof(names) / sizeof(names[0]) ? names[op] : "?";
}

void kj_apply(struct kj *j, struct kj_writer *w)
{
    const struct kj_flight *f = &w->flight;
    switch (f->op) {
    case KJ_OP_WRITE:
        tool_pattern(j->ref + f->offset, f->length, f->key, f->offset);
        break;
    case KJ_OP_TRUNCATE:
        memset(j->ref + f->new_size, 0, KJ_FILE_MAX - f->new_size);
        break;
    case KJ_OP_SYNC:
        if (j->mode != KJ_ATOMIC)
            return;
        memcpy(j->committed, j->ref, KJ_FILE_MAX);
        j->committed_size = j->size;
        return;
    case KJ_OP_REWRITE:
        w->mark[f->offset] = (struct kj_mark){.seq = f->seq, .start = f->key, .end = f->new_size};
        w->seq = f->seq + 1;
        return;
    case KJ_OP_APPEND:
        w->seq = f->seq + 1;
        return;
    default:
        return;
    }
    if (j->mode == KJ_SOLO || j->mode == KJ_ATOMIC)
        j->size = f->new_size;
}

void kj_settle(struct kj *j)
{
    for (uint32_t i = 0; i < j->writers; i++) {
        struct kj_writer *w = &j->writer[i];
        if (atomic_load(&w->flight.state) != KJ_DONE)
            continue;
        kj_apply(j, w);
        atomic_store(&w->flight.state, KJ_IDLE);
    }
}

static bool in_flight(const struct kj_writer *w, unsigned op)
{
    return atomic_load(&w->flight.state) == KJ_IN_FLIGHT && w->flight.op == op;
}

/* ---- a byte-exact reference ---- */

static int check_size(struct kj *j, uint64_t size, char *error, size_t error_len)
{
    if (size == j->size)
        return 0;
    const struct kj_flight *f = &j->writer[0].flight;
    bool write = in_flight(&j->writer[0], KJ_OP_WRITE);
    if (write || in_flight(&j->writer[0], KJ_OP_TRUNCATE)) {
        if (size == f->new_size)
            return 0;
        if (write && size > j->size && size < f->new_size) {
            j->partial++;
            if (!j->exact)
                return 0;
        }
        snprintf(error, error_len, "size is %llu: neither the old %llu nor the new %llu of the %s in flight",
                 (unsigned long long)size, (unsigned long long)j->size, (unsigned long long)f->new_size,
                 kj_op_name(f->op));
        return -1;
    }
    snprintf(error, error_len, "size is %llu, must be %llu", (unsigned long long)size, (unsigned long long)j->size);
    return -1;
}

static bool byte_allowed(const struct kj *j, uint64_t i, uint8_t byte)
{
    bool grown = i >= j->size;
    for (uint32_t n = 0; n < j->writers; n++) {
        const struct kj_flight *f = &j->writer[n].flight;
        if (!in_flight(&j->writer[n], KJ_OP_WRITE) || i < f->offset || i >= f->offset + f->length)
            continue;
        if (byte == tool_pattern_byte(f->key, i))
            return true;
        if (grown)
            return false; /* what the size covers has been written */
    }
    return byte == j->ref[i];
}

static int check_image(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len)
{
    if (check_size(j, size, error, error_len))
        return -1;
    for (uint64_t i = 0; i < size; i++) {
        if (byte_allowed(j, i, data[i]))
            continue;
        uint64_t bad = 0;
        for (uint64_t k = i; k < size; k++)
            bad += !byte_allowed(j, k, data[k]);
        snprintf(error, error_len,
                 "byte %llu (block %llu line %llu) is %02x, must be %02x; %llu bytes are wrong; size %llu",
                 (unsigned long long)i, (unsigned long long)(i >> 12), (unsigned long long)(i >> 6 & 63), data[i],
                 j->ref[i], (unsigned long long)bad, (unsigned long long)size);
        return -1;
    }
    return 0;
}

static bool is_state(const uint8_t *data, uint64_t size, const uint8_t *state, uint64_t state_size)
{
    return size == state_size && !memcmp(data, state, size);
}

static uint64_t first_difference(const uint8_t *data, uint64_t size, const uint8_t *state)
{
    uint64_t i = 0;
    while (i < size && data[i] == state[i])
        i++;
    return i;
}

static int check_atomic(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len)
{
    if (is_state(data, size, j->committed, j->committed_size))
        return 0;
    bool syncing = in_flight(&j->writer[0], KJ_OP_SYNC);
    if (syncing && is_state(data, size, j->ref, j->size))
        return 0;
    snprintf(error, error_len,
             "size %llu: not the last synced state (size %llu, first difference at %llu)%s; the unsynced state: size "
             "%llu, first difference at %llu",
             (unsigned long long)size, (unsigned long long)j->committed_size,
             (unsigned long long)first_difference(data, size, j->committed),
             syncing ? " and not the one in flight" : "", (unsigned long long)j->size,
             (unsigned long long)first_difference(data, size, j->ref));
    return -1;
}

/* ---- records ---- */

uint32_t kj_record(const struct kj *j, uint32_t writer, uint64_t seq, uint8_t *buf)
{
    uint64_t key = tool_mix2(j->seed ^ writer, seq);
    struct record_head head = {.magic = RECORD_MAGIC, .writer = (uint16_t)writer, .length = KJ_SLOT_BYTES, .seq = seq};
    if (j->mode == KJ_APPEND)
        head.length = (uint32_t)(sizeof(head) + (key & 1 ? key >> 8 & 63 : key >> 8 & 4095));
    memcpy(buf, &head, sizeof(head));
    tool_pattern(buf + sizeof(head), head.length - sizeof(head), key, sizeof(head));
    return head.length;
}

/* The record that begins at data, if it is whole: its length, else 0. */
static uint32_t whole_record(const struct kj *j, const uint8_t *data, uint64_t rest, struct record_head *head)
{
    uint8_t record[KJ_RECORD_MAX];
    if (rest < sizeof(*head))
        return 0;
    memcpy(head, data, sizeof(*head));
    if (head->magic != RECORD_MAGIC || head->writer >= KJ_WRITERS_MAX)
        return 0;
    uint32_t length = kj_record(j, head->writer, head->seq, record);
    return length <= rest && !memcmp(record, data, length) ? length : 0;
}

bool kj_record_is_whole(const struct kj *j, const uint8_t *buf)
{
    struct record_head head;
    return whole_record(j, buf, KJ_SLOT_BYTES, &head) == KJ_SLOT_BYTES;
}

static bool is_unsure(const struct kj *j, uint32_t writer, uint64_t seq)
{
    uint32_t count = atomic_load(&j->unsure_count);
    for (uint32_t i = 0; i < count; i++)
        if (j->unsure[i].writer == writer && j->unsure[i].seq == seq)
            return true;
    return false;
}

/* Bytes at data that are the beginning of a record in doubt, followed by a whole record or the end of the file. */
static uint64_t torn_record(const struct kj *j, const uint8_t *data, uint64_t rest)
{
    uint8_t record[KJ_RECORD_MAX];
    struct record_head head;
    uint32_t count = atomic_load(&j->unsure_count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = kj_record(j, j->unsure[i].writer, j->unsure[i].seq, record), n = 0;
        while (n < length && n < rest && data[n] == record[n])
            n++;
        if (n && (n == rest || whole_record(j, data + n, rest - n, &head)))
            return n;
    }
    return 0;
}

static int check_append(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len)
{
    uint64_t next[KJ_WRITERS_MAX] = {0};
    struct record_head head;
    for (uint64_t pos = 0; pos < size;) {
        uint32_t length = whole_record(j, data + pos, size - pos, &head);
        if (!length) {
            uint64_t torn = torn_record(j, data + pos, size - pos);
            if (torn)
                j->partial++;
            if (!torn || j->exact) {
                snprintf(error, error_len, "no whole record at %llu of %llu%s", (unsigned long long)pos,
                         (unsigned long long)size, torn ? ": a part of the append in flight" : "");
                return -1;
            }
            pos += torn;
            continue;
        }
        uint64_t *expected = &next[head.writer];
        while (*expected < head.seq && is_unsure(j, head.writer, *expected))
            ++*expected;
        if (*expected != head.seq) {
            snprintf(error, error_len, "writer %u: record %llu at %llu, must be %llu", head.writer,
                     (unsigned long long)head.seq, (unsigned long long)pos, (unsigned long long)*expected);
            return -1;
        }
        ++*expected;
        pos += length;
    }
    for (uint32_t i = 0; i < j->writers; i++) {
        while (is_unsure(j, i, next[i]))
            next[i]++;
        uint64_t done = j->writer[i].seq;
        if (next[i] != done) {
            snprintf(error, error_len, "writer %u: %llu records there, %llu were written", i,
                     (unsigned long long)next[i], (unsigned long long)done);
            return -1;
        }
    }
    return 0;
}

/* Whether a completed rewrite of the slot began after ticket `after`. */
static bool overwritten(const struct kj *j, uint32_t slot, uint64_t after)
{
    for (uint32_t i = 0; i < j->writers; i++)
        if (j->writer[i].mark[slot].start > after)
            return true;
    return false;
}

static int check_slot(struct kj *j, uint32_t slot, const uint8_t *data, char *error, size_t error_len)
{
    uint8_t record[KJ_RECORD_MAX];
    bool mixed = false;
    uint8_t from_any[KJ_SLOT_BYTES] = {0};
    for (uint32_t i = 0; i < j->writers; i++) {
        const struct kj_mark *mark = &j->writer[i].mark[slot];
        if (overwritten(j, slot, mark->end))
            continue;
        kj_record(j, i, mark->seq, record);
        if (!memcmp(record, data, KJ_SLOT_BYTES))
            return 0;
        for (uint32_t k = 0; k < KJ_SLOT_BYTES; k++)
            from_any[k] |= data[k] == record[k];
    }
    uint32_t count = atomic_load(&j->unsure_count);
    for (uint32_t n = 0; n < count; n++) {
        const struct kj_unsure *u = &j->unsure[n];
        if (u->slot != slot || (u->death && overwritten(j, slot, u->death)))
            continue;
        mixed = true;
        kj_record(j, u->writer, u->seq, record);
        for (uint32_t k = 0; k < KJ_SLOT_BYTES; k++)
            from_any[k] |= data[k] == record[k];
    }
    uint32_t bad = 0;
    for (uint32_t k = 0; k < KJ_SLOT_BYTES; k++)
        bad += !from_any[k];
    if (mixed && !bad)
        return 0;
    struct record_head head;
    memcpy(&head, data, sizeof(head));
    snprintf(error, error_len, "slot %u: %u bytes belong to no allowed record%s; found writer %u record %llu, %s", slot,
             bad, mixed ? " (one was in flight)" : "", head.writer, (unsigned long long)head.seq,
             kj_record_is_whole(j, data) ? "whole but old" : "torn");
    return -1;
}

static int check_rewrite(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len)
{
    if (size != KJ_SLOTS * (uint64_t)KJ_SLOT_BYTES) {
        snprintf(error, error_len, "size is %llu, must be %llu", (unsigned long long)size,
                 (unsigned long long)KJ_SLOTS * KJ_SLOT_BYTES);
        return -1;
    }
    for (uint32_t slot = 0; slot < KJ_SLOTS; slot++)
        if (check_slot(j, slot, data + (size_t)slot * KJ_SLOT_BYTES, error, error_len))
            return -1;
    return 0;
}

int kj_check(struct kj *j, const uint8_t *data, uint64_t size, char *error, size_t error_len)
{
    kj_settle(j);
    switch (j->mode) {
    case KJ_ATOMIC:
        return check_atomic(j, data, size, error, error_len);
    case KJ_APPEND:
        return check_append(j, data, size, error, error_len);
    case KJ_REWRITE:
        return check_rewrite(j, data, size, error, error_len);
    default:
        return check_image(j, data, size, error, error_len);
    }
}

void kj_adopt(struct kj *j, const uint8_t *data, uint64_t size)
{
    for (uint32_t i = 0; i < j->writers; i++)
        atomic_store(&j->writer[i].flight.state, KJ_IDLE);
    if (j->mode == KJ_APPEND || j->mode == KJ_REWRITE)
        return;
    memset(j->ref, 0, sizeof(j->ref));
    memcpy(j->ref, data, size);
    j->size = size;
    memcpy(j->committed, j->ref, sizeof(j->ref));
    j->committed_size = size;
}
