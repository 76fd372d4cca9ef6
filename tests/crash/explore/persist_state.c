/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * persist_state.c — the units of a moment, and the image of one choice for each.
 */
#include "crash/explore/persist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 8, LINE_WORDS = 8, PAGE_WORDS = IMAGE_PAGE / 8 };

/* ---- units ---- */

/* A hash table of what was met while units are made: key to number. */
struct persist_index {
    struct index_slot {
        uint64_t key, place;
        uint32_t kind, number;
        uint32_t round; /* of another round: free */
    } * slot;
    size_t room, used;
    uint32_t round;
};

enum { INDEX_TOUCHED = 100 }; /* beside the kinds of units: how many items are on a word */

static void *state_memory(void *memory)
{
    if (!memory) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    return memory;
}

static struct index_slot *index_at(struct persist_index *index, uint32_t kind, uint32_t file, uint64_t place,
                                   bool *is_new)
{
    uint64_t key = (uint64_t)file << 8 | kind;
    size_t at = (size_t)seen_mix(key * UINT64_C(0x9e3779b97f4a7c15) + place) & (index->room - 1);
    for (;; at = (at + 1) & (index->room - 1)) {
        struct index_slot *slot = &index->slot[at];
        if (slot->round != index->round) {
            *slot = (struct index_slot){.key = key, .place = place, .kind = kind, .round = index->round};
            *is_new = true;
            return slot;
        }
        if (slot->key == key && slot->place == place) {
            *is_new = false;
            return slot;
        }
    }
}

/* Room for all that the pending items and calls can need. The slots lie behind the structure. */
static void index_prepare(struct persist *persist)
{
    size_t need = (persist->items + persist->calls) * 4 + 16, room = 64;
    while (room < need)
        room *= 2;
    struct persist_index *index = persist->index;
    if (!index || index->room < room) {
        free(index);
        index = state_memory(calloc(1, sizeof *index + room * sizeof *index->slot));
        index->slot = (struct index_slot *)(index + 1);
        index->room = room;
        persist->index = index;
    }
    index->round++;
}

static uint32_t unit_of(struct persist *persist, enum persist_unit_kind kind, uint32_t file, uint64_t place,
                        size_t event)
{
    bool is_new;
    struct index_slot *slot = index_at(persist->index, kind, file, place, &is_new);
    if (!is_new)
        return slot->number;
    if (persist->units == persist->unit_room) {
        persist->unit_room = persist->unit_room ? persist->unit_room * 2 : 64;
        persist->unit = state_memory(realloc(persist->unit, persist->unit_room * sizeof *persist->unit));
    }
    persist->unit[persist->units] =
        (struct persist_unit){.kind = (uint8_t)kind, .file = file, .place = place, .event = event};
    return slot->number = (uint32_t)persist->units++;
}

/* A word that alone is pending there and has that value already: in every state the same. */
static bool changes_nothing(struct persist *persist, const struct persist_item *item)
{
    bool is_new;
    if (index_at(persist->index, INDEX_TOUCHED, item->file, item->word, &is_new)->number != 1)
        return false;
    uint64_t bits = image_mask_bits(item->mask);
    return ((item->value ^ image_word(persist->image, item->file, item->word)) & bits) == 0;
}

static bool is_long(const struct persist *persist, const struct persist_item *item)
{
    return item->kind != PERSIST_CACHED && item->words > persist->bulk;
}

static void place_item(struct persist *persist, struct persist_item *item)
{
    item->unit = PERSIST_NO_UNIT;
    item->step = 0;
    if (item->pinned || (item->alone && !is_long(persist, item) && changes_nothing(persist, item)))
        return;
    if (is_long(persist, item)) {
        item->unit = unit_of(persist, PERSIST_UNIT_LONG, item->file, item->clock, item->event);
        persist->unit[item->unit].most = PERSIST_LONG_ALL;
        persist->unit[item->unit].words = item->words;
        item->step = item->place;
        return;
    }
    item->unit = item->alone ? unit_of(persist, PERSIST_UNIT_WORD, item->file, item->word, item->event)
                             : unit_of(persist, PERSIST_UNIT_LINE, item->file, item->word / LINE_WORDS, item->event);
    item->step = ++persist->unit[item->unit].most;
}

void persist_units(struct persist *persist)
{
    bool is_new;
    persist->units = 0;
    index_prepare(persist);
    for (size_t i = 0; i < persist->items; i++)
        index_at(persist->index, INDEX_TOUCHED, persist->item[i].file, persist->item[i].word, &is_new)->number++;
    for (size_t i = 0; i < persist->calls; i++) {
        struct persist_call *call = &persist->call[i];
        call->unit = unit_of(persist, PERSIST_UNIT_CALLS, call->target, 0, call->event);
        call->step = ++persist->unit[call->unit].most;
    }
    for (size_t i = 0; i < persist->items; i++)
        place_item(persist, &persist->item[i]);
}

/* ---- states ---- */

static bool has_long(const struct persist_unit *unit, const struct persist_item *item, unsigned choice)
{
    /* In lines of the file: a stream need not begin at one. */
    uint64_t line = item->word / LINE_WORDS, first = (item->word - item->place) / LINE_WORDS;
    uint64_t last = (item->word - item->place + unit->words - 1) / LINE_WORDS;
    bool head = unit->place & 1;
    switch ((enum persist_long)choice) {
    case PERSIST_LONG_NONE:
        return false;
    case PERSIST_LONG_NO_HEAD:
        return line != first;
    case PERSIST_LONG_NO_TAIL:
        return line != last;
    case PERSIST_LONG_NO_MIDDLE:
        return line != first + (last - first + 1) / 2;
    case PERSIST_LONG_TORN:
        return item->place != (head ? 0 : unit->words - 1);
    case PERSIST_LONG_ALL:
        break;
    }
    return true;
}

bool persist_has_item(const struct persist *persist, const struct persist_item *item, const uint16_t *choice)
{
    if (item->unit == PERSIST_NO_UNIT)
        return true; /* pinned, or without effect */
    const struct persist_unit *unit = &persist->unit[item->unit];
    if (unit->kind == PERSIST_UNIT_LONG)
        return has_long(unit, item, choice[item->unit]);
    return item->step <= choice[item->unit];
}

bool persist_has_call(const struct persist_call *call, const uint16_t *choice)
{
    return call->step <= choice[call->unit];
}

/* Whether the call gave the page of that word other contents, or removed it. */
static bool replaces_page(const struct persist_call *call, uint64_t word)
{
    uint64_t page = word / PAGE_WORDS * IMAGE_PAGE;
    switch ((enum persist_call_kind)call->kind) {
    case PERSIST_SIZE:
        return page >= call->to; /* a shrink; of a growth, nothing lies there before it */
    case PERSIST_ZERO:
        return call->from <= page && page + IMAGE_PAGE <= call->to;
    case PERSIST_COLLAPSE:
    case PERSIST_INSERT:
        return page >= call->from;
    default:
        return false;
    }
}

/* Whether the page that the item was stored into is the file's in this state. */
static bool has_page(const struct persist *persist, const struct persist_item *item, const uint16_t *choice)
{
    for (size_t i = 0; i < persist->calls && persist->call[i].clock < item->clock; i++) {
        const struct persist_call *call = &persist->call[i];
        if (call->target == item->file && call->kind < PERSIST_LINK && !persist_has_call(call, choice) &&
            replaces_page(call, item->word))
            return false;
    }
    return item->word * WORD_BYTES < image_page_up(persist->image->file[item->file].size);
}

void persist_apply(const struct persist *persist, const uint16_t *choice)
{
    size_t next = 0;
    for (size_t i = 0; i < persist->items; i++) {
        const struct persist_item *item = &persist->item[i];
        for (; next < persist->calls && persist->call[next].clock < item->clock; next++)
            if (persist_has_call(&persist->call[next], choice))
                persist_apply_call(persist->image, &persist->call[next]);
        if (persist_has_item(persist, item, choice) && (!persist->calls || has_page(persist, item, choice)))
            image_put_word(persist->image, item->file, item->word, item->value, item->mask);
    }
    for (; next < persist->calls; next++)
        if (persist_has_call(&persist->call[next], choice))
            persist_apply_call(persist->image, &persist->call[next]);
}
