/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * reference.c — the rules of log_format.h, line by line.
 */
#include "fuzz/reference.h"

#include <errno.h>
#include <string.h>

/* Offsets in the header page and in an entry, and other numbers of the format. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_OWNER = 12,
    AT_BOOT = 16,
    AT_FLAGS = 32,
    AT_BOOT_CHECK = 40,
    AT_IDENTITY = 64,
    AT_CHECK = 112,
    AT_SIZE = 128,
    AT_EPOCH = 144,
    AT_FLOOR = 152,
    AT_SIZE_CHECK = 160,
    AT_FLOOR_CHECK = 176,
    AT_NEWEST_SIZE = 192,
    AT_NEWEST_CHECK = 224,
    AT_PATH = 512,
    HEADER = 4096,
    ENTRY = 64,
    FIRST = 64,
    BLOCK = 4096,
    LINE = 64,
    LINES = 64,
    ENTRIES_AREA = 2 << 20,
    NUMBER_BITS = 51,
    MOST_ENTRIES = 256,
    ATOMIC = 0x10001,
    PASSTHROUGH = 0x20002,
    VERSION = 2,
};
static const char magic[8] = "\nNVMLOG1";
#define EPOCH_MOST (UINT64_C(1) << 62)

struct entry {
    uint32_t n;
    uint64_t block, seq;
    uint64_t base, flip, epoch; /* of the record that counts */
    uint64_t other;             /* the other record's epoch */
};

static uint64_t word(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* A check over words, begun with the seed "LOGcheck" as a number. */
static uint64_t check_words(const uint64_t *words, int count)
{
    uint64_t check = word((const uint8_t *)"LOGcheck");
    for (int i = 0; i < count; i++) {
        check = (check ^ words[i]) * UINT64_C(11400714819323198485);
        check ^= check >> 32;
    }
    return check;
}

static uint64_t low(uint64_t value, int bits)
{
    return value & ((UINT64_C(1) << bits) - 1);
}

static bool entry_is_intact(const uint8_t *at, uint32_t n)
{
    uint64_t block = word(at), seq = word(at + 8);
    uint64_t check = check_words((const uint64_t[]){low(block, NUMBER_BITS), low(seq, NUMBER_BITS), n}, 3);
    return block >> NUMBER_BITS == check >> 51 && seq >> NUMBER_BITS == low(check >> 38, 13);
}

/* Whether version, owner and identity are as they were stored. */
static bool identity_is_intact(const uint8_t *h)
{
    uint64_t constant[7] = {word(h + AT_VERSION)};
    for (int i = 0; i < 6; i++)
        constant[1 + i] = word(h + AT_IDENTITY + 8 * i);
    return word(h + AT_CHECK) == check_words(constant, 7);
}

static int check_header(const struct reference_case *given)
{
    const uint8_t *h = given->log;
    if (given->length < HEADER)
        return -EBADMSG;
    if (word(h + AT_MAGIC) == 0)
        return -ENODATA;
    if (memcmp(h, magic, sizeof magic) != 0)
        return -EBADMSG;
    uint32_t version = (uint32_t)low(word(h + AT_VERSION), 32), owner = (uint32_t)(word(h + AT_VERSION) >> 32);
    if (version != VERSION)
        return -EPROTONOSUPPORT;
    uint64_t flags = word(h + AT_FLAGS), epoch = word(h + AT_EPOCH);
    if (!identity_is_intact(h) || owner != given->owner)
        return -EBADMSG;
    if (flags != 0 && flags != ATOMIC && flags != PASSTHROUGH && flags != (ATOMIC | PASSTHROUGH))
        return -EBADMSG;
    if (epoch == 0 || epoch > EPOCH_MOST || word(h + AT_FLOOR) > epoch + 1)
        return -EBADMSG;
    if (word(h + AT_SIZE + 8 * (epoch & 1)) >> 63)
        return -EBADMSG;
    return memchr(h + AT_PATH, 0, HEADER - AT_PATH) ? 0 : -EBADMSG;
}

/* The entries in use: how many, -EBADMSG if one of them cannot be. */
static int read_entries(const struct reference_case *given, struct entry *entries)
{
    uint64_t epoch = word(given->log + AT_EPOCH), floor = word(given->log + AT_FLOOR);
    uint64_t tail = given->length < ENTRIES_AREA ? 0 : given->length - ENTRIES_AREA;
    if (tail % BLOCK || tail / BLOCK <= FIRST)
        return -EBADMSG; /* cut */
    uint64_t end = tail / BLOCK;
    int count = 0;
    for (uint32_t n = FIRST; n < FIRST + MOST_ENTRIES; n++) {
        const uint8_t *at = given->log + (uint64_t)n * ENTRY;
        uint64_t one = word(at + 32), two = word(at + 56);
        const uint8_t *record = two > one ? at + 40 : at + 16;
        struct entry e = {.n = n,
                          .block = low(word(at), NUMBER_BITS),
                          .seq = low(word(at + 8), NUMBER_BITS),
                          .base = word(record),
                          .flip = word(record + 8),
                          .epoch = word(record + 16),
                          .other = two > one ? one : two};
        if (e.epoch <= floor)
            continue;
        if (!entry_is_intact(at, n) || n >= end || e.seq == 0 || e.epoch > epoch + 1)
            return -EBADMSG;
        if (e.other > floor && (e.other == e.epoch || e.other >= epoch))
            return -EBADMSG;
        for (int i = 0; i < count; i++)
            if (entries[i].block == e.block && entries[i].seq == e.seq)
                return -EBADMSG;
        entries[count++] = e;
    }
    return count;
}

/* The log block in which the committed copy of a line is; 0: in the file. */
static uint32_t home_of(const struct entry *entries, int count, uint64_t block, unsigned line, uint64_t epoch,
                        uint64_t floor)
{
    uint64_t below = UINT64_MAX;
    for (;;) {
        const struct entry *top = NULL; /* of the highest seq not looked at */
        for (int i = 0; i < count; i++)
            if (entries[i].block == block && entries[i].seq < below && (!top || entries[i].seq > top->seq))
                top = &entries[i];
        if (!top)
            return 0;
        bool committed = top->epoch < epoch;
        uint64_t in_log = committed ? top->base ^ top->flip : top->base;
        if (in_log >> line & 1)
            return top->n;
        if (committed || top->other > floor)
            return 0;
        below = top->seq;
    }
}

static void place_lines(const struct reference_case *given, const struct entry *entries, int count, uint64_t epoch,
                        struct reference *want)
{
    uint64_t floor = word(given->log + AT_FLOOR);
    for (int i = 0; i < count; i++) {
        uint64_t block = entries[i].block;
        for (unsigned line = 0; line < LINES; line++) {
            uint64_t at = block * BLOCK + line * LINE;
            if (at >= want->size || home_of(entries, count, block, line, epoch, floor) != entries[i].n)
                continue;
            uint64_t bytes = want->size - at < LINE ? want->size - at : LINE;
            want->lines++;
            if (at < REFERENCE_FILE_MOST)
                memcpy(want->file + at, given->block(entries[i].n) + line * LINE, bytes);
        }
    }
}

static bool boot_is_damaged(const uint8_t *h, int count, uint64_t size)
{
    uint64_t boot[2] = {word(h + AT_BOOT), word(h + AT_BOOT + 8)};
    return word(h + AT_BOOT_CHECK) != check_words(boot, 2) && (count != 0 || word(h + AT_NEWEST_SIZE) != size);
}

void reference_read(const struct reference_case *given, struct reference *want)
{
    static struct entry entries[MOST_ENTRIES];
    const uint8_t *h = given->log;
    memset(want, 0, sizeof *want);
    want->error = check_header(given);
    bool same = memcmp(h + AT_IDENTITY, given->identity, sizeof given->identity) == 0;
    /* of a log that is cut behind its identity that is still known */
    bool readable = given->length >= HEADER ? word(h + AT_MAGIC) != 0 : given->length >= AT_CHECK + 8;
    want->other = readable && identity_is_intact(h) && !same;
    if (want->error)
        return;
    want->passthrough = (word(h + AT_FLAGS) & PASSTHROUGH) != 0;
    if (!same) {
        want->error = -ESTALE;
        return;
    }
    int count = read_entries(given, entries);
    uint64_t epoch = word(h + AT_EPOCH), floor[1] = {word(h + AT_FLOOR)};
    uint64_t size = word(h + AT_SIZE + 8 * (epoch & 1)), newest_size = word(h + AT_NEWEST_SIZE);
    bool commit_line =
        word(h + AT_SIZE_CHECK + 8 * (epoch & 1)) == check_words((const uint64_t[]){size, epoch}, 2) &&
        (word(h + AT_FLOOR_CHECK) == check_words(floor, 1) || word(h + AT_FLOOR_CHECK + 8) == check_words(floor, 1));
    if (count < 0 || !commit_line || boot_is_damaged(h, count, size)) {
        want->error = -EBADMSG;
        return;
    }
    if (word(h + AT_BOOT) == given->boot[0] && word(h + AT_BOOT + 8) == given->boot[1] &&
        !(word(h + AT_FLAGS) & ATOMIC)) { /* processes died, not the machine: what they wrote counts */
        uint64_t check = check_words(&newest_size, 1);
        if (newest_size >> 63 || (word(h + AT_NEWEST_CHECK) != check && word(h + AT_NEWEST_CHECK + 8) != check)) {
            want->error = -EBADMSG;
            return;
        }
        want->promoted = true;
        size = newest_size;
        epoch = UINT64_MAX;
    }
    want->size = size;
    want->entries = (uint32_t)count;
    uint64_t kept = given->file_size < size ? given->file_size : size;
    memcpy(want->file, given->file, kept < REFERENCE_FILE_MOST ? kept : REFERENCE_FILE_MOST);
    place_lines(given, entries, count, epoch, want);
}

bool reference_is_void(const struct reference_case *given)
{
    static struct entry entries[MOST_ENTRIES];
    return read_entries(given, entries) == 0;
}
