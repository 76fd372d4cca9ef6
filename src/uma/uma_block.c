/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_block.c — one block of a write: which home each line goes to, and the stores that make it so. Layer uma; called by
 * uma_write. This is where DESIGN's rules 1 to 6, 10 and 11 are.
 *
 * Order of the stores for one block, and why a crash or a death between any two is harmless
 *   1. data to homes where no committed copy lives (or past the committed end): invisible to recovery
 *   2. the entry line: base, flip, epoch in program order, 8 bytes each: a prefix shows the old record, or the new one
 *   3. one fence by the writer, before it leaves the guard: the commit of its epoch cannot be stored before
 * UNDO (rule 4): 1a saved lines, fence; 1b base with the saved lines, fence; 1c data to the file; 2 flip, 3.
 */
#include "uma/uma_block.h"

#include "base/rawsys.h"
#include "base/stats.h"
#include "pm/pm.h"

#include <errno.h>
#include <string.h>

/* ---- entries ---- */

void uma_entry_zero(struct log_entry *entry)
{
    unsigned newest = uma_entry_newest(entry).which;
    pm_store64(&entry->record[1 - newest].epoch, 0);
    pm_store64(&entry->record[newest].epoch, 0);
    pm_flush(entry, PM_LINE);
}

/* A void entry becomes that of `block`. Whatever prefix persists: its epochs are zero until the last store. */
static void entry_make(struct uma *uma, struct log_entry *entry, uint32_t number, uint64_t block, uint64_t base,
                       uint64_t flip, uint64_t epoch)
{
    uint64_t seq = atomic_fetch_add_explicit(&uma_shared(uma)->seq, 1, memory_order_relaxed) + 1;
    struct log_entry_words words = log_entry_seal(block, seq, number);
    pm_store64(&entry->record[1].epoch, 0);
    pm_store64(&entry->record[0].epoch, 0);
    pm_store64(&entry->block, words.block);
    pm_store64(&entry->seq, words.seq);
    pm_store64(&entry->record[0].base, base);
    pm_store64(&entry->record[0].flip, flip);
    pm_store64(&entry->record[0].epoch, epoch);
    pm_flush(entry, PM_LINE);
}

/* The block's entry says base and flip in `epoch`: in the record of that epoch, or in the other one. */
static void entry_update(const struct uma_change *change, struct uma_hold *hold, uint64_t base, uint64_t flip)
{
    struct log_entry *entry = hold->entry;
    if (hold->same_epoch) {
        struct log_record *record = &entry->record[hold->which];
        if (base != hold->base)
            pm_store64(&record->base, base);
        pm_store64(&record->flip, flip);
    } else {
        struct log_record *record = &entry->record[1 - hold->which];
        pm_store64(&record->base, base);
        pm_store64(&record->flip, flip);
        pm_store64(&record->epoch, change->epoch);
        hold->which = 1 - hold->which;
        hold->same_epoch = true;
    }
    hold->base = base;
    hold->flip = flip;
    pm_flush(entry, PM_LINE);
}

uint32_t uma_void_chain(struct uma *uma, uint32_t number, const struct log_entry *entry)
{
    _Atomic uint32_t *link = index_superseded(&uma->index, number);
    uint32_t first = atomic_load_explicit(link, memory_order_relaxed);
    uint64_t durable = atomic_load_explicit(&uma_shared(uma)->durable, memory_order_acquire);
    if (!uma_entry_committed(entry, durable))
        return 0;
    uint32_t most = LOG_BLOCKS_MAX; /* a damaged chain may have no end */
    for (uint32_t n = first; n && most-- && log_has_block(&uma->log, n);
         n = atomic_load_explicit(index_superseded(&uma->index, n), memory_order_relaxed)) {
        struct log_entry *older = log_entry(&uma->log, n);
        if (!older)
            return 0;
        uma_entry_zero(older);
    }
    atomic_store_explicit(link, 0, memory_order_relaxed);
    return first;
}

void uma_give_chain(struct uma *uma, uint32_t number)
{
    while (number && log_has_block(&uma->log, number)) {
        _Atomic uint32_t *link = index_superseded(&uma->index, number);
        uint32_t next = atomic_load_explicit(link, memory_order_relaxed);
        atomic_store_explicit(link, 0, memory_order_relaxed);
        index_give_block(&uma->index, number);
        number = next;
    }
}

/* ---- planning ---- */

/* Lines of a block that begin at or above `limit` (bytes of the block). */
static inline uint64_t lines_from(uint64_t limit)
{
    uint64_t line = (limit + UMA_LINE - 1) / UMA_LINE;
    return line < LOG_LINES ? UMA_ALL_LINES << line : 0;
}

/* How far the file can be a home. In place it need not be durable yet: it is before the commit of what is written there. */
static inline uint64_t home_reach(struct uma *uma, const struct uma_change *change)
{
    struct index_shared *shared = uma_shared(uma);
    return atomic_load_explicit(change->mapped ? &shared->kernel_size : &shared->kernel_durable, memory_order_acquire);
}

/* Lines that can be stored where they are, in the log block or in the file as far as it reaches: those past the committed
 * end, and all where no commit is to be kept. */
static uint64_t plan_in_place(struct uma *uma, const struct uma_change *change, uint64_t start, unsigned from,
                              unsigned to, uint64_t range, const struct uma_hold *hold)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t end = 0;
    if (uma_keeps_commits(uma)) {
        if (atomic_load_explicit(&shared->durable, memory_order_acquire) != change->epoch)
            return 0; /* a commit is in flight: nothing is past the end */
        end = atomic_load_explicit(&shared->committed_size, memory_order_acquire);
    }
    if (start + to <= end)
        return 0;
    uint64_t past = range;
    if (start + from < end)
        past &= end > start ? lines_from(end - start) : UMA_ALL_LINES;
    uint64_t reach = home_reach(uma, change);
    uint64_t file = 0;
    if (uma_is_frozen(uma))
        ;
    else if (hold->reached && start + to <= reach)
        file = UMA_ALL_LINES;
    else if (hold->reached && reach > start)
        file = ~lines_from(reach - start) & ~(UINT64_C(1) << ((reach - start) / UMA_LINE & (LOG_LINES - 1)));
    return past & (hold->newest | file);
}

/* Whether the file is a possible home for these lines: allocated, and durable as far as anybody reads them. */
static bool home_usable(struct uma *uma, const struct uma_change *change, uint64_t start, const struct uma_hold *hold,
                        uint64_t lines)
{
    unsigned last = 63 - (unsigned)__builtin_clzll(lines);
    uint64_t end = uma_min(start + (last + 1) * UMA_LINE, change->size_after);
    return hold->reached && end <= home_reach(uma, change) && !uma_is_frozen(uma);
}

/* A line of the file that is not mapped, with zeros behind the file's end. */
static int line_from_kernel(struct uma *uma, uint64_t at, char *line)
{
    uint64_t reach = atomic_load_explicit(&uma_shared(uma)->kernel_size, memory_order_acquire);
    size_t n = reach > at ? (size_t)uma_min(reach - at, UMA_LINE) : 0;
    memset(line, 0, UMA_LINE);
    ssize_t got = 0;
    if (n)
        do
            got = sys_pread(uma->data_fd, line, n, (off_t)at);
        while (got == -EINTR);
    return got < 0 ? (int)got : 0;
}

/* Which edge of a whole write the first line of a block is, if it is covered in part: its end, unless it begins in it. */
static inline unsigned first_edge(unsigned from)
{
    return from % UMA_LINE ? 0 : 1;
}

/* Reads the lines that the write covers in part, where that takes a system call: it may fail, and nothing is stored yet. */
static int plan_edges(struct uma *uma, struct uma_change *change, uint64_t start, unsigned from, unsigned to,
                      const struct uma_hold *hold)
{
    unsigned first = from / UMA_LINE, last = (to - 1) / UMA_LINE;
    uint64_t lines = hold->home ? 0 : hold->set & ~hold->newest;
    int error = 0;
    if ((from % UMA_LINE || (first == last && to % UMA_LINE)) && lines >> first & 1)
        error = line_from_kernel(uma, start + first * UMA_LINE, change->edge[first_edge(from)]);
    if (!error && first != last && to % UMA_LINE && lines >> last & 1)
        error = line_from_kernel(uma, start + last * UMA_LINE, change->edge[1]);
    return error;
}

int uma_block_plan(struct uma *uma, struct index_record *record, struct uma_change *change, uint64_t block,
                   unsigned from, unsigned to, struct uma_hold *hold)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t start = block * UMA_BLOCK;
    uint64_t range = uma_lines(from / UMA_LINE, (to - 1) / UMA_LINE);
    hold->number = index_state_entry(hold->old);
    hold->entry = NULL;
    hold->log = NULL;
    hold->reached = start < UMA_MAPPED_MOST && start < atomic_load_explicit(&shared->kernel_size, memory_order_acquire);
    hold->home = hold->reached ? pm_map_peek(&uma->data, start) : NULL;
    hold->superseded = 0;
    hold->base = hold->flip = 0;
    hold->same_epoch = hold->relocate = false;
    if (hold->number) {
        if (!log_has_block(&uma->log, hold->number))
            return -EIO;
        hold->entry = log_entry(&uma->log, hold->number);
        hold->log = log_block(&uma->log, hold->number);
        if (!hold->entry || !hold->log)
            return -ENOMEM;
        struct uma_newest newest = uma_entry_newest(hold->entry);
        if (newest.epoch < change->epoch &&
            newest.epoch >= atomic_load_explicit(&shared->durable, memory_order_acquire)) {
            uma_wait_durable(uma, record, newest.epoch);
            if (newest.epoch >= atomic_load_explicit(&shared->durable, memory_order_acquire))
                return -EIO; /* its commit failed: what was committed before it must stay */
        }
        hold->which = (uint8_t)newest.which;
        hold->same_epoch = newest.epoch >= change->epoch;
        hold->base = hold->same_epoch ? newest.base : newest.base ^ newest.flip;
        hold->flip = hold->same_epoch ? newest.flip : 0;
    } else if (hold->newest) {
        return -EIO; /* lines in the log without a block there: the index is damaged */
    }
    hold->in_place = plan_in_place(uma, change, start, from, to, range, hold);
    hold->set = range & ~hold->in_place;
    hold->save = change->mapped || (change->undo && !hold->number) ? hold->set & ~hold->base & ~hold->flip : 0;
    uint64_t to_file = change->mapped ? hold->set : hold->save | (hold->set & hold->base);
    if (to_file && !home_usable(uma, change, start, hold, to_file)) {
        if (change->mapped)
            return -EIO;
        hold->save = 0;
        to_file = hold->set & hold->base;
        hold->relocate = to_file && !home_usable(uma, change, start, hold, to_file);
        if (hold->relocate)
            to_file = 0;
    }
    if ((to_file || hold->in_place & ~hold->newest) && !hold->home) {
        hold->home = pm_map_at(&uma->data, start);
        if (!hold->home)
            return -ENOMEM;
    }
    int error = plan_edges(uma, change, start, from, to, hold);
    return error ? error : hold->set && (!hold->number || hold->relocate);
}

/* ---- storing ---- */

/* The bytes of a write within one block; partial lines at its edges are completed from their newest copies. */
struct block_source {
    unsigned from, to;
    const char *bytes;      /* of [from, to) */
    char edge[2][UMA_LINE]; /* whole first and last line, where they are partial */
    bool partial[2];
};

static void line_newest(struct uma *uma, uint64_t start, const struct uma_hold *hold, unsigned line, const char *edge,
                        char *out)
{
    if (hold->newest >> line & 1 || !hold->home) {
        memcpy(out, hold->newest >> line & 1 ? hold->log + line * UMA_LINE : edge, UMA_LINE);
        return;
    }
    uint64_t reach = atomic_load_explicit(&uma_shared(uma)->kernel_size, memory_order_acquire);
    uint64_t at = start + line * UMA_LINE;
    size_t n = reach > at ? (size_t)uma_min(reach - at, UMA_LINE) : 0;
    memcpy(out, hold->home + line * UMA_LINE, n);
    memset(out + n, 0, UMA_LINE - n);
}

static void source_edges(struct uma *uma, const struct uma_change *change, uint64_t start, const struct uma_hold *hold,
                         struct block_source *source)
{
    unsigned first = source->from / UMA_LINE, last = (source->to - 1) / UMA_LINE;
    source->partial[0] = source->from % UMA_LINE || (first == last && source->to % UMA_LINE);
    source->partial[1] = first != last && source->to % UMA_LINE;
    if (source->partial[0] && hold->set >> first & 1) {
        unsigned skip = source->from % UMA_LINE;
        unsigned n = (unsigned)uma_min(UMA_LINE - skip, source->to - source->from);
        line_newest(uma, start, hold, first, change->edge[first_edge(source->from)], source->edge[0]);
        memcpy(source->edge[0] + skip, source->bytes, n);
    }
    if (source->partial[1] && hold->set >> last & 1) {
        line_newest(uma, start, hold, last, change->edge[1], source->edge[1]);
        memcpy(source->edge[1], source->bytes + (last * UMA_LINE - source->from), source->to % UMA_LINE);
    }
}

/* Whole lines of the write to the block at `home`. */
static void store_lines(char *home, uint64_t lines, const struct block_source *source)
{
    unsigned first, last;
    while (uma_take_run(&lines, &first, &last)) {
        unsigned a = first, b = last + 1;
        if (source->partial[0] && a == source->from / UMA_LINE)
            pm_copy(home + a++ * UMA_LINE, source->edge[0], UMA_LINE);
        if (source->partial[1] && last == (source->to - 1) / UMA_LINE)
            pm_copy(home + --b * UMA_LINE, source->edge[1], UMA_LINE);
        if (a < b)
            pm_copy(home + a * UMA_LINE, source->bytes + (a * UMA_LINE - source->from), (b - a) * UMA_LINE);
    }
}

/* Exactly the bytes of the write: what shares a line with them belongs to others. */
static void store_bytes(char *home, uint64_t lines, const struct block_source *source)
{
    unsigned first, last;
    while (uma_take_run(&lines, &first, &last)) {
        unsigned a = first * UMA_LINE, b = (last + 1) * UMA_LINE;
        a = a < source->from ? source->from : a;
        b = b > source->to ? source->to : b;
        pm_copy(home + a, source->bytes + (a - source->from), b - a);
    }
}

static void copy_lines(char *to, const char *from, uint64_t lines)
{
    unsigned first, last;
    while (uma_take_run(&lines, &first, &last))
        pm_copy(to + first * UMA_LINE, from + first * UMA_LINE, (last - first + 1) * UMA_LINE);
}

/* Rule 3, and rule 10 when an older entry is superseded: everything goes to a fresh log block. */
static void store_fresh(struct uma *uma, const struct uma_change *change, uint64_t block, uint32_t fresh,
                        const struct block_source *source, struct uma_hold *hold)
{
    char *log = log_block(&uma->log, fresh);
    struct log_entry *entry = log_entry(&uma->log, fresh);
    uint64_t lines = hold->set;
    if (hold->relocate) {
        lines |= hold->newest;
        copy_lines(log, hold->log, hold->newest & ~hold->set);
        stats_add(STATS_RELOCATIONS, 1);
    }
    store_lines(log, hold->set, source);
    atomic_store_explicit(index_superseded(&uma->index, fresh), hold->number, memory_order_relaxed);
    entry_make(uma, entry, fresh, block, 0, lines, change->epoch);
    hold->number = fresh;
    hold->newest = lines;
}

/* Rule 4: committed lines of the file are saved in the log before they are stored to. Their base is the log then, so that
 * what follows is a write to their other home. `changed`: lines that count as changed already. The caller fences. */
static void save_lines(struct uma *uma, const struct uma_change *change, uint64_t block, uint32_t fresh,
                       uint64_t changed, struct uma_hold *hold)
{
    if (hold->number) {
        copy_lines(hold->log, hold->home, hold->save);
        pm_fence();
        entry_update(change, hold, hold->base | hold->save, hold->flip | changed);
        return;
    }
    hold->number = fresh;
    hold->entry = log_entry(&uma->log, fresh);
    hold->log = log_block(&uma->log, fresh);
    copy_lines(hold->log, hold->home, hold->save);
    pm_fence();
    atomic_store_explicit(index_superseded(&uma->index, fresh), 0, memory_order_relaxed);
    entry_make(uma, hold->entry, fresh, block, hold->save, changed, change->epoch);
    hold->which = 0;
    hold->same_epoch = true;
    hold->base = hold->save;
    hold->flip = changed;
}

/* In a mapped file the bytes of the write alone: somebody may be storing to the rest of its lines, through a mapping. */
static void store_mapped(const struct uma_change *change, const struct block_source *source, struct uma_hold *hold)
{
    store_bytes(hold->home, hold->set, source);
    entry_update(change, hold, hold->base, hold->flip | hold->set);
    hold->newest &= ~hold->set;
}

/* Rule 4 without its last store, which the application will make: all lines count as changed in this epoch. */
void uma_block_save(struct uma *uma, const struct uma_change *change, uint64_t block, uint32_t fresh,
                    struct uma_hold *hold)
{
    if (!hold->set) /* past the committed end: nothing to save, and no log block for it */
        return;
    if (hold->number)
        hold->superseded = uma_void_superseded(uma, hold->number, hold->entry);
    if (hold->save)
        save_lines(uma, change, block, fresh, hold->set, hold);
    else if (!hold->same_epoch || (hold->flip & hold->set) != hold->set)
        entry_update(change, hold, hold->base, hold->flip | hold->set);
    hold->newest &= ~hold->set;
}

void uma_block_store(struct uma *uma, const struct uma_change *change, uint64_t block, unsigned from, unsigned to,
                     const char *bytes, uint32_t fresh, struct uma_hold *hold)
{
    struct block_source source; /* the edges are not worth clearing */
    source.from = from;
    source.to = to;
    source.bytes = bytes;
    source.partial[0] = source.partial[1] = false;
    if (hold->in_place) {
        if (hold->in_place & hold->newest)
            store_bytes(hold->log, hold->in_place & hold->newest, &source);
        if (hold->in_place & ~hold->newest)
            store_bytes(hold->home, hold->in_place & ~hold->newest, &source);
    }
    if (!hold->set)
        return;
    if (!change->mapped)
        source_edges(uma, change, block * UMA_BLOCK, hold, &source);
    if (hold->number)
        hold->superseded = uma_void_superseded(uma, hold->number, hold->entry);
    if (hold->save) {
        save_lines(uma, change, block, fresh, 0, hold);
        pm_fence();
    }
    if (change->mapped) {
        store_mapped(change, &source, hold);
    } else if (!hold->number || hold->relocate) {
        store_fresh(uma, change, block, fresh, &source, hold);
    } else {
        uint64_t to_file = hold->set & hold->base;
        if (to_file)
            store_lines(hold->home, to_file, &source);
        if (hold->set & ~hold->base)
            store_lines(hold->log, hold->set & ~hold->base, &source);
        /* rule 2: a record of this epoch that shows these lines already needs no store */
        if (!hold->same_epoch || (hold->flip & hold->set) != hold->set)
            entry_update(change, hold, hold->base, hold->flip | hold->set);
        hold->newest = hold->base ^ hold->flip;
    }
}

void uma_block_publish(struct uma *uma, struct uma_hold *hold)
{
    if (hold->superseded)
        uma_give_chain(uma, hold->superseded);
    /* relaxed: the release of the state publishes it */
    atomic_store_explicit(&hold->slot->newest, hold->newest, memory_order_relaxed);
    index_slot_unlock(hold->slot, hold->old, hold->number | INDEX_HOME_ALLOCATED);
}
