/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_plan.c — which line of a file is to be taken from which log block. Layer log.
 */
#include "log/log_plan.h"

#include "base/mem.h"
#include "base/rawsys.h"
#include "log/log_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PLAN_BATCH_BYTES = 65536,
    PLAN_BATCH = PLAN_BATCH_BYTES / LOG_ENTRY_BYTES,
    PLAN_FIRST_ROOM = 64,
};
_Static_assert(LOG_NUMBER_BITS == 63 - LOG_BLOCK_SHIFT, "the last block whose bytes all have an off_t");

/* What an entry is checked against. */
struct plan_limits {
    const struct log *log;
    uint64_t durable, floor;
    uint32_t blocks; /* of the log that exist */
};

static int plan_grow(struct log_plan *plan)
{
    size_t room = plan->room ? plan->room * 2 : PLAN_FIRST_ROOM;
    struct log_plan_entry *entry = mem_alloc(room * sizeof *entry);
    if (!entry)
        return -ENOMEM;
    if (plan->count)
        memcpy(entry, plan->entry, plan->count * sizeof *entry);
    mem_free(plan->entry, plan->room * sizeof *entry);
    plan->entry = entry;
    plan->room = room;
    return 0;
}

static uint64_t plain(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* of a private copy */
}

/* What is wrong with an entry in use; NULL: nothing. */
static const char *entry_flaw(const struct log_plan_entry *entry, uint64_t older, const struct plan_limits *limits)
{
    if (entry->n < LOG_FIRST_BLOCK || entry->n >= limits->blocks)
        return "shorter than its entries claim";
    if (entry->seq == 0)
        return "entry without order";
    if (entry->epoch > limits->durable + 1)
        return "entry of an impossible epoch";
    if (entry->chained && (older == entry->epoch || older >= limits->durable))
        return "entry with impossible records";
    return NULL;
}

/* Takes entry n, read into *raw, into the plan if it is in use. */
static int plan_take(struct log_plan *plan, const struct log_entry *raw, uint32_t n, const struct plan_limits *limits)
{
    uint64_t epoch[2] = {plain(&raw->record[0].epoch), plain(&raw->record[1].epoch)};
    unsigned newer = epoch[1] > epoch[0];
    if (epoch[newer] <= limits->floor)
        return 0;
    if (plan->count == plan->room) {
        int result = plan_grow(plan);
        if (result < 0)
            return result;
    }
    struct log_plan_entry *entry = &plan->entry[plan->count];
    *entry = (struct log_plan_entry){.block = log_entry_number(plain(&raw->block)),
                                     .seq = log_entry_number(plain(&raw->seq)),
                                     .base = plain(&raw->record[newer].base),
                                     .flip = plain(&raw->record[newer].flip),
                                     .epoch = epoch[newer],
                                     .n = n,
                                     .chained = epoch[!newer] > limits->floor};
    const char *flaw = entry_flaw(entry, epoch[!newer], limits);
    if (!log_entry_intact(plain(&raw->block), plain(&raw->seq), n))
        flaw = "damaged entry";
    if (flaw) {
        log_complain(limits->log, flaw);
        return -EBADMSG;
    }
    plan->count++;
    if (entry->epoch > plan->newest_epoch)
        plan->newest_epoch = entry->epoch;
    return 0;
}

/* The next offset at or after `offset` that may hold something; `end` if there is none. Only for the entries of blocks
 * that do not exist: they are a hole unless the file was cut. */
static uint64_t skip_hole(const struct log *log, uint64_t offset, uint64_t end)
{
    off_t data = sys_lseek(log->fd, (off_t)offset, SEEK_DATA);
    if (data == -ENXIO)
        return end;
    if (data < (off_t)offset)
        return offset;
    uint64_t aligned = (uint64_t)data & ~(uint64_t)(LOG_HEADER_BYTES - 1);
    return aligned < end ? aligned : end;
}

/* Reads the entries of one group, of which `length` bytes of the file are left from its start. */
static int plan_read_group(struct log_plan *plan, uint32_t group, uint64_t length, struct log_entry *batch,
                           const struct plan_limits *limits)
{
    uint64_t start = group * LOG_GROUP_BYTES;
    uint64_t end = start + (length < LOG_ENTRIES_BYTES ? length : LOG_ENTRIES_BYTES);
    uint64_t offset = group ? start : LOG_HEADER_BYTES;
    while (offset < end) {
        uint32_t n = group * LOG_GROUP_BLOCKS + (uint32_t)((offset - start) / LOG_ENTRY_BYTES);
        if (n >= limits->blocks) {
            uint64_t next = skip_hole(limits->log, offset, end);
            n += (uint32_t)((next - offset) / LOG_ENTRY_BYTES);
            offset = next;
            if (offset >= end)
                break;
        }
        uint64_t bytes = end - offset < PLAN_BATCH_BYTES ? end - offset : PLAN_BATCH_BYTES;
        int result = log_read_all(limits->log->fd, batch, bytes, offset);
        if (result < 0)
            return result;
        for (uint32_t i = 0; i < bytes / LOG_ENTRY_BYTES; i++) {
            result = plan_take(plan, &batch[i], n + i, limits);
            if (result < 0)
                return result;
        }
        offset += bytes;
    }
    return 0;
}

static bool comes_before(const struct log_plan_entry *a, const struct log_plan_entry *b)
{
    return a->block != b->block ? a->block < b->block : a->seq < b->seq;
}

static void sift_down(struct log_plan_entry *entry, size_t root, size_t count)
{
    struct log_plan_entry moving = entry[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && comes_before(&entry[child], &entry[child + 1]))
            child++;
        if (!comes_before(&moving, &entry[child]))
            break;
        entry[root] = entry[child];
    }
    entry[root] = moving;
}

/* Heap sort: in place, and libc's qsort may call malloc. */
static void sort_entries(struct log_plan_entry *entry, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(entry, i, count);
    for (size_t end = count; end > 1;) {
        end--;
        struct log_plan_entry last = entry[end];
        entry[end] = entry[0];
        entry[0] = last;
        sift_down(entry, 0, end);
    }
}

static int plan_read_all(struct log_plan *plan, uint64_t length, const struct plan_limits *limits)
{
    struct log_entry *batch = mem_alloc(PLAN_BATCH_BYTES);
    if (!batch)
        return -ENOMEM;
    int result = 0;
    uint32_t groups = (LOG_BLOCKS_MAX + LOG_GROUP_BLOCKS - 1) / LOG_GROUP_BLOCKS;
    for (uint32_t group = 0; result == 0 && group < groups && group * LOG_GROUP_BYTES < length; group++)
        result = plan_read_group(plan, group, length - group * LOG_GROUP_BYTES, batch, limits);
    mem_free(batch, PLAN_BATCH_BYTES);
    return result;
}

/* Whether no growth, complete or not, ends at this length. Entries of a new group may be there without blocks. */
static bool is_cut(uint64_t length)
{
    uint64_t in_group = length % LOG_GROUP_BYTES;
    return in_group % (in_group > LOG_ENTRIES_BYTES ? LOG_BLOCK : LOG_ENTRY_BYTES) != 0;
}

int log_plan_read(struct log_plan *plan, const struct log *log, const struct log_header *header, uint64_t length)
{
    memset(plan, 0, sizeof *plan);
    struct plan_limits limits = {
        .log = log, .durable = plain(&header->epoch), .floor = plain(&header->floor), .blocks = log_blocks_in(length)};
    if (is_cut(length) || limits.blocks <= LOG_FIRST_BLOCK) {
        log_complain(log, "cut off");
        return -EBADMSG;
    }
    int result = plan_read_all(plan, length, &limits);
    if (result == 0) {
        sort_entries(plan->entry, plan->count);
        for (size_t i = 1; i < plan->count; i++)
            if (!comes_before(&plan->entry[i - 1], &plan->entry[i])) {
                log_complain(log, "two entries of one block and order");
                result = -EBADMSG;
                break;
            }
    }
    if (result < 0)
        log_plan_free(plan);
    return result;
}

/* Decides the entries [first, end) of one block (rule 11). */
static uint32_t decide_block(struct log_plan_entry *entry, size_t count, uint64_t durable)
{
    uint64_t taken = 0; /* lines that an entry of higher seq has claimed */
    uint32_t idle = 0;
    bool decided = false;
    for (size_t i = count; i-- > 0;) {
        struct log_plan_entry *e = &entry[i];
        bool committed = e->epoch < durable;
        uint64_t in_log = committed ? e->base ^ e->flip : e->base;
        e->decides = !decided && (committed || e->chained);
        e->lines = decided ? 0 : in_log & ~taken;
        idle += !e->decides && e->lines == 0;
        taken |= e->lines;
        decided |= e->decides;
    }
    return idle;
}

uint32_t log_plan_decide(struct log_plan *plan, uint64_t durable)
{
    uint32_t idle = 0;
    for (size_t first = 0, end; first < plan->count; first = end) {
        for (end = first + 1; end < plan->count && plan->entry[end].block == plan->entry[first].block;)
            end++;
        idle += decide_block(&plan->entry[first], end - first, durable);
    }
    return idle;
}

void log_plan_free(struct log_plan *plan)
{
    mem_free(plan->entry, plan->room * sizeof *plan->entry);
    memset(plan, 0, sizeof *plan);
}
