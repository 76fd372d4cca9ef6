/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_block.h — one block of a managed file: its entry, and what a write plans, stores and publishes there (uma_block.c).
 * Layer uma; for those of its files that look at entries or change blocks.
 */
#ifndef UMA_UMA_BLOCK_H
#define UMA_UMA_BLOCK_H

#include "uma/uma_private.h"

/* ---- entries ---- */

/* The record of an entry that counts, read once. */
struct uma_newest {
    unsigned which; /* 0 or 1 */
    uint64_t base, flip, epoch;
};
static inline struct uma_newest uma_entry_newest(const struct log_entry *entry)
{
    /* relaxed: the slot's lock orders us after the writer; the repairer reads a dead process's stores */
    uint64_t first = atomic_load_explicit(&entry->record[0].epoch, memory_order_relaxed);
    uint64_t second = atomic_load_explicit(&entry->record[1].epoch, memory_order_relaxed);
    unsigned which = first >= second ? 0 : 1;
    return (struct uma_newest){
        .which = which,
        .base = atomic_load_explicit(&entry->record[which].base, memory_order_relaxed),
        .flip = atomic_load_explicit(&entry->record[which].flip, memory_order_relaxed),
        .epoch = which ? second : first,
    };
}
/* Whether some record of the entry is committed at `durable`. */
static inline bool uma_entry_committed(const struct log_entry *entry, uint64_t durable)
{
    uint64_t first = atomic_load_explicit(&entry->record[0].epoch, memory_order_relaxed);
    uint64_t second = atomic_load_explicit(&entry->record[1].epoch, memory_order_relaxed);
    return (first && first < durable) || (second && second < durable);
}
/* Zeroes the epochs, the older first, and flushes; the caller fences. */
void uma_entry_zero(struct log_entry *entry);
/* Whether the file has an allocated block at this place (`old` is the slot's state). */
static inline bool uma_home_allocated(struct uma *uma, uint64_t block, uint64_t old)
{
    return block < atomic_load_explicit(&uma_shared(uma)->dense_blocks, memory_order_acquire) ||
           (uint32_t)(old >> 32) & INDEX_HOME_ALLOCATED;
}

/* ---- a write ---- */

/* What an operation knows of one block whose slot it has locked (uma_block.c). */
struct uma_hold {
    struct index_slot *slot;
    uint64_t old;            /* the slot's state before */
    uint64_t newest;         /* lines whose newest copy is in the log: before; after uma_block_store: to be published */
    struct log_entry *entry; /* the block's entry, NULL if it has none */
    char *log;               /* its log block */
    char *home;              /* the block in the mapped file, NULL while it is not mapped */
    bool reached;            /* the kernel's file has the block, or begins it, where it can be mapped */
    uint64_t set;            /* lines that change homes */
    uint64_t in_place;       /* lines past the committed end, stored where they are (rule 6) */
    uint64_t base, flip;     /* of the record that this write makes or extends, before the write */
    uint32_t number;         /* of the entry, 0: none */
    uint32_t superseded;     /* entries made void by this write's fence: to be given back */
    uint8_t which;           /* record that counts */
    bool same_epoch;         /* that record is of this write's epoch */
    bool relocate;           /* a fresh entry takes the block's newest lines (rule 10) */
    uint64_t save;           /* lines that the log takes from the file before they are stored there (rule 4) */
};

/* Room for an operation on many blocks, kept for the next one. */
struct uma_scratch {
    struct uma_hold hold[UMA_PIECE_BLOCKS + 1];
    uint32_t fresh[UMA_PIECE_BLOCKS + 1];
    char bounce[UMA_BLOCK];
};

/* One write, in the guard of `epoch`: what uma_block_plan and uma_block_store need to know of it. */
struct uma_change {
    uint64_t epoch;
    uint64_t size_after; /* logical size when the write is done */
    bool mapped;         /* the uma is IN_PLACE: all goes to the file, and no byte more than is written */
    bool undo;           /* first touches by rule 4, else by rule 3 */
    char edge[2]
             [UMA_LINE]; /* set by the plan: newest copies of the first and last line, where the kernel must be asked */
};

/* Decides which home each line of the bytes [from, to) of the block goes to; fills *hold, whose slot, old and newest are
 * set. Stores nothing. Returns how many fresh log blocks are needed (0 or 1), or -ENOMEM, -EIO. */
int uma_block_plan(struct uma *uma, struct index_record *record, struct uma_change *change, uint64_t block,
                   unsigned from, unsigned to, struct uma_hold *hold);

/* Stores the bytes at `source` and the entry that shows them; flushed, to be fenced by the caller. `fresh`: a log block if
 * the plan asked for one. */
void uma_block_store(struct uma *uma, const struct uma_change *change, uint64_t block, unsigned from, unsigned to,
                     const char *source, uint32_t fresh, struct uma_hold *hold);

/* Saves what the block holds, all lines that are not saved in this epoch yet, and shows them as changed in it. */
void uma_block_save(struct uma *uma, const struct uma_change *change, uint64_t block, uint32_t fresh,
                    struct uma_hold *hold);

/* After the fence: gives superseded log blocks back and unlocks the slot with its new state. */
void uma_block_publish(struct uma *uma, struct uma_hold *hold);

/* Makes void the entries that entry `number` supersedes, if it has a committed record: returns the first of them, else 0.
 * Flushed; the caller fences and then gives them back with uma_give_chain. */
uint32_t uma_void_chain(struct uma *uma, uint32_t number, const struct log_entry *entry);
static inline uint32_t uma_void_superseded(struct uma *uma, uint32_t number, const struct log_entry *entry)
{
    /* seldom any; relaxed: under the slot's lock */
    return atomic_load_explicit(index_superseded(&uma->index, number), memory_order_relaxed)
               ? uma_void_chain(uma, number, entry)
               : 0;
}
void uma_give_chain(struct uma *uma, uint32_t number);

#endif
