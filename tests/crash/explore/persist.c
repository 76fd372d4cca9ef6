/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * persist.c — what each event does to what is durable and what is pending.
 */
#include "crash/explore/persist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 8, LINE_WORDS = 8 };

static void *persist_memory(void *memory)
{
    if (!memory) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    return memory;
}

void persist_open(struct persist *persist, struct image *image, const struct trace *trace,
                  const struct explore_options *options)
{
    memset(persist, 0, sizeof *persist);
    persist->image = image;
    persist->kind = options->model;
    persist->bulk = options->bulk;
    persist->mutant_site = options->mutant_site;
    persist->mutant_swap = options->mutant_swap;
    persist->visible = persist_memory(calloc(image->files + 1, sizeof *persist->visible));
    for (uint32_t i = 0; i < image->files; i++)
        persist->visible[i] = image->file[i].size;
    for (size_t i = 0; i < trace->count; i++)
        if (trace->event[i].kind != TRACE_MARK)
            persist->last_of_process[trace->event[i].process] = i;
}

static void *copy_of(const void *from, size_t bytes)
{
    void *to = persist_memory(malloc(bytes ? bytes : 1));
    if (bytes)
        memcpy(to, from, bytes);
    return to;
}

void persist_copy(struct persist *persist, const struct persist *from)
{
    *persist = *from;
    persist->item = copy_of(from->item, from->items * sizeof *from->item);
    persist->call = copy_of(from->call, from->calls * sizeof *from->call);
    persist->visible = copy_of(from->visible, (from->image->files + 1) * sizeof *from->visible);
    persist->item_room = from->items;
    persist->call_room = from->calls;
    persist->unit = NULL;
    persist->index = NULL;
    persist->units = persist->unit_room = 0;
    persist->held = NULL;
    memset(persist->last_of_process, 0, sizeof persist->last_of_process);
}

void persist_close(struct persist *persist)
{
    free(persist->item);
    free(persist->call);
    free(persist->visible);
    free(persist->unit);
    free(persist->index);
    memset(persist, 0, sizeof *persist);
}

static uint8_t thread_of(struct persist *persist, const struct trace_event *event)
{
    uint32_t name = (uint32_t)event->process << 8 | event->thread;
    for (unsigned i = 0; i < persist->threads; i++)
        if (persist->thread[i] == name)
            return (uint8_t)i;
    if (persist->threads == PERSIST_THREADS) {
        fprintf(stderr, "explore: more than %u threads\n", PERSIST_THREADS);
        exit(2);
    }
    persist->thread[persist->threads] = name;
    return (uint8_t)persist->threads++;
}

static bool is_dead(const struct persist *persist, uint8_t thread, size_t at)
{
    return persist->last_of_process[persist->thread[thread] >> 8] < at;
}

/* ---- calls ---- */

static struct persist_call *add_call(struct persist *persist, size_t at, enum persist_call_kind kind, uint32_t target)
{
    if (persist->calls == persist->call_room) {
        persist->call_room = persist->call_room ? persist->call_room * 2 : 16;
        persist->call = persist_memory(realloc(persist->call, persist->call_room * sizeof *persist->call));
    }
    struct persist_call *call = &persist->call[persist->calls++];
    *call = (struct persist_call){
        .clock = persist->clock++, .event = at, .kind = (uint8_t)kind, .target = target, .file = target};
    return call;
}

void persist_apply_call(struct image *image, const struct persist_call *call)
{
    switch ((enum persist_call_kind)call->kind) {
    case PERSIST_SIZE:
        image_set_size(image, call->file, call->to);
        break;
    case PERSIST_ZERO:
        image_zero(image, call->file, call->from, call->to);
        break;
    case PERSIST_COLLAPSE:
        image_collapse(image, call->file, call->from, call->to - call->from);
        break;
    case PERSIST_INSERT:
        image_insert(image, call->file, call->from, call->to - call->from);
        break;
    case PERSIST_LINK:
        image_link(image, call->name, call->file);
        break;
    case PERSIST_UNLINK:
        image_link(image, call->name, IMAGE_NO_FILE);
        break;
    case PERSIST_RENAME:
        image_link(image, call->name, call->file);
        image_link(image, call->old_name, IMAGE_NO_FILE);
        break;
    }
}

/* A size that programs see now. A shrink that is not durable may have zeroed the tail of its last page already. */
static void add_size(struct persist *persist, size_t at, uint32_t file, uint64_t size)
{
    if (size < persist->visible[file] && size % IMAGE_PAGE) {
        struct persist_call *zero = add_call(persist, at, PERSIST_ZERO, file);
        zero->from = size;
        zero->to = image_page_up(size);
    }
    add_call(persist, at, PERSIST_SIZE, file)->to = size;
    persist->visible[file] = size;
}

static void add_range(struct persist *persist, size_t at, enum persist_call_kind kind, const struct trace_event *event)
{
    struct persist_call *call = add_call(persist, at, kind, event->file);
    call->from = event->offset;
    call->to = event->offset + event->length;
}

static void add_name_call(struct persist *persist, const struct trace *trace, size_t at, enum persist_call_kind kind)
{
    const struct trace_event *event = &trace->event[at];
    struct persist_call *call = add_call(persist, at, kind, event->directory);
    call->file = event->file;
    call->name = image_name_number(persist->image, event->directory, trace->data + event->name);
    if (kind == PERSIST_RENAME)
        call->old_name = image_name_number(persist->image, event->old_directory, trace->data + event->old_name);
}

/* ---- items ---- */

static struct persist_item *add_item(struct persist *persist)
{
    if (persist->items == persist->item_room) {
        persist->item_room = persist->item_room ? persist->item_room * 2 : 256;
        persist->item = persist_memory(realloc(persist->item, persist->item_room * sizeof *persist->item));
    }
    return &persist->item[persist->items++];
}

static bool is_data_line(const struct image *image, uint32_t file, uint64_t word)
{
    return !image->file[file].log || word * WORD_BYTES % LOG_GROUP_BYTES >= LOG_ENTRIES_BYTES;
}

/* The words of [offset, offset + length), each with the bytes that lie in it. */
static void add_words(struct persist *persist, const struct trace *trace, size_t at, enum persist_item_kind kind)
{
    const struct trace_event *event = &trace->event[at];
    const uint8_t *data = (const uint8_t *)trace->data + event->data;
    uint64_t end = event->offset + event->length;
    if (!event->length || end > IMAGE_ROOM || !persist->image->file[event->file].bytes)
        return;
    uint64_t first = event->offset / WORD_BYTES, last = (end - 1) / WORD_BYTES, clock = persist->clock++;
    uint8_t thread = thread_of(persist, event);
    for (uint64_t word = first; word <= last; word++) {
        struct persist_item *item = add_item(persist);
        *item = (struct persist_item){.clock = clock,
                                      .word = word,
                                      .event = at,
                                      .file = event->file,
                                      .place = (uint32_t)(word - first),
                                      .words = (uint32_t)(last - first + 1),
                                      .kind = (uint8_t)kind,
                                      .thread = thread};
        uint8_t bytes[WORD_BYTES] = {0};
        for (unsigned i = 0; i < WORD_BYTES; i++) {
            uint64_t offset = word * WORD_BYTES + i;
            if (offset >= event->offset && offset < end) {
                bytes[i] = data[offset - event->offset];
                item->mask |= (uint8_t)(1u << i);
            }
        }
        memcpy(&item->value, bytes, sizeof bytes);
        item->alone = kind != PERSIST_CACHED ||
                      (persist->kind == EXPLORE_TORN && is_data_line(persist->image, event->file, word));
        item->go = kind == PERSIST_CACHED && persist->kind == EXPLORE_EADR;
    }
}

static bool has_call_before(const struct persist *persist, const struct persist_item *item)
{
    for (size_t i = 0; i < persist->calls && persist->call[i].clock < item->clock; i++)
        if (persist->call[i].target == item->file && persist->call[i].kind < PERSIST_LINK)
            return true;
    return false;
}

/* Earlier items of the same bytes are void. */
static void void_older(struct persist *persist, size_t kept, const struct persist_item *item)
{
    for (size_t i = 0; i < kept; i++) {
        struct persist_item *older = &persist->item[i];
        if (older->word == item->word && older->file == item->file)
            older->mask &= (uint8_t)~item->mask;
    }
}

/* Items with `go` become durable. */
static void settle(struct persist *persist)
{
    size_t kept = 0;
    for (size_t i = 0; i < persist->items; i++) {
        struct persist_item item = persist->item[i];
        if (item.go && has_call_before(persist, &item)) {
            item.go = false;
            item.pinned = true;
        }
        if (item.go) {
            image_put_word(persist->image, item.file, item.word, item.value, item.mask);
            void_older(persist, kept, &item);
        } else {
            persist->item[kept++] = item;
        }
    }
    persist->items = kept;
    for (size_t i = kept = 0; i < persist->items; i++)
        if (persist->item[i].mask)
            persist->item[kept++] = persist->item[i];
    persist->items = kept;
}

static void flush(struct persist *persist, const struct trace_event *event, size_t at)
{
    uint64_t first = event->offset / WORD_BYTES / LINE_WORDS;
    uint64_t last = (event->offset + event->length - 1) / WORD_BYTES / LINE_WORDS;
    uint64_t bit = UINT64_C(1) << thread_of(persist, event);
    for (size_t i = 0; i < persist->items; i++) {
        struct persist_item *item = &persist->item[i];
        uint64_t line = item->word / LINE_WORDS;
        if (item->file != event->file || line < first || line > last)
            continue;
        if (item->kind == PERSIST_CACHED || (item->kind == PERSIST_STREAM && is_dead(persist, item->thread, at)))
            item->flushed |= bit;
    }
}

static void fence(struct persist *persist, const struct trace_event *event)
{
    uint8_t thread = thread_of(persist, event);
    for (size_t i = 0; i < persist->items; i++) {
        struct persist_item *item = &persist->item[i];
        item->go =
            !item->pinned && (item->flushed >> thread & 1 || (item->kind == PERSIST_STREAM && item->thread == thread));
    }
    settle(persist);
}

/* All of the file, or directory, is durable: calls and items in their order. */
static void synchronise(struct persist *persist, uint32_t file)
{
    size_t kept = 0, kept_calls = 0, at = 0;
    for (size_t c = 0; c <= persist->calls; c++) {
        struct persist_call call = {0};
        if (c < persist->calls)
            call = persist->call[c];
        for (; at < persist->items && (c == persist->calls || persist->item[at].clock < call.clock); at++) {
            struct persist_item item = persist->item[at];
            if (item.file == file)
                image_put_word(persist->image, file, item.word, item.value, item.mask);
            else
                persist->item[kept++] = item;
        }
        if (c == persist->calls)
            break;
        if (call.target == file)
            persist_apply_call(persist->image, &call);
        else
            persist->call[kept_calls++] = call;
    }
    persist->items = kept;
    persist->calls = kept_calls;
}

/* ---- events ---- */

static void feed_write(struct persist *persist, const struct trace *trace, size_t at)
{
    const struct trace_event *event = &trace->event[at];
    uint64_t end = event->offset + event->length;
    if (end > persist->visible[event->file])
        add_size(persist, at, event->file, end);
    add_words(persist, trace, at, PERSIST_KERNEL);
}

static void feed_call(struct persist *persist, const struct trace *trace, size_t at)
{
    const struct trace_event *event = &trace->event[at];
    switch ((enum trace_call)event->call) {
    case TRACE_CALL_SYNC:
        synchronise(persist, event->file);
        break;
    case TRACE_CALL_WRITE:
        feed_write(persist, trace, at);
        break;
    case TRACE_CALL_RESIZE:
        add_size(persist, at, event->file, event->length);
        break;
    case TRACE_CALL_PUNCH:
        add_range(persist, at, PERSIST_ZERO, event);
        break;
    case TRACE_CALL_COLLAPSE:
        add_range(persist, at, PERSIST_COLLAPSE, event);
        persist->visible[event->file] -= event->length;
        break;
    case TRACE_CALL_INSERT:
        add_range(persist, at, PERSIST_INSERT, event);
        persist->visible[event->file] += event->length;
        break;
    case TRACE_CALL_LINK:
        add_name_call(persist, trace, at, PERSIST_LINK);
        break;
    case TRACE_CALL_UNLINK:
        add_name_call(persist, trace, at, PERSIST_UNLINK);
        break;
    case TRACE_CALL_RENAME:
        add_name_call(persist, trace, at, PERSIST_RENAME);
        break;
    }
}

static void feed_event(struct persist *persist, const struct trace *trace, size_t at)
{
    const struct trace_event *event = &trace->event[at];
    persist->version += event->kind != TRACE_MARK;
    switch ((enum trace_kind)event->kind) {
    case TRACE_STORE:
        add_words(persist, trace, at, PERSIST_CACHED);
        if (persist->kind == EXPLORE_EADR)
            settle(persist);
        break;
    case TRACE_STREAM:
        add_words(persist, trace, at, PERSIST_STREAM);
        break;
    case TRACE_FLUSH:
        flush(persist, event, at);
        break;
    case TRACE_FENCE:
        fence(persist, event);
        break;
    case TRACE_CALL:
        if (event->file < persist->image->files || event->call >= TRACE_CALL_LINK)
            feed_call(persist, trace, at);
        break;
    case TRACE_MARK:
        break;
    }
}

/* ---- mutants ---- */

static bool is_same_line(const struct trace_event *a, const struct trace_event *b)
{
    uint64_t line = a->offset / (WORD_BYTES * LINE_WORDS);
    return a->file == b->file && line >= b->offset / (WORD_BYTES * LINE_WORDS) &&
           line * WORD_BYTES * LINE_WORDS < b->offset + (b->length ? b->length : 1);
}

static bool is_same_thread(const struct trace_event *a, const struct trace_event *b)
{
    return a->thread == b->thread && a->process == b->process;
}

/* Whether the event is one behind which a held store cannot be delayed. */
static bool ends_delay(const struct trace_event *held, const struct trace_event *event)
{
    return (event->kind == TRACE_FLUSH && is_same_line(held, event)) ||
           (event->kind == TRACE_FENCE && is_same_thread(held, event)) ||
           (event->kind == TRACE_CALL && event->call == TRACE_CALL_SYNC);
}

static void release_held(struct persist *persist, const struct trace *trace)
{
    if (persist->held) {
        persist->held = NULL;
        feed_event(persist, trace, persist->held_at);
    }
}

static void feed_swapped(struct persist *persist, const struct trace *trace, size_t at)
{
    const struct trace_event *event = &trace->event[at];
    const struct trace_event *held = persist->held;
    if (held && event->kind == TRACE_STORE && is_same_thread(held, event) && is_same_line(held, event)) {
        feed_event(persist, trace, at);
        release_held(persist, trace);
        return;
    }
    if (held && ends_delay(held, event))
        release_held(persist, trace);
    if (event->kind == TRACE_STORE && event->site == persist->mutant_site) {
        release_held(persist, trace);
        persist->held = event;
        persist->held_at = at;
        return;
    }
    feed_event(persist, trace, at);
}

void persist_feed(struct persist *persist, const struct trace *trace, size_t at)
{
    const struct trace_event *event = &trace->event[at];
    if (!persist->mutant_site) {
        feed_event(persist, trace, at);
    } else if (persist->mutant_swap) {
        feed_swapped(persist, trace, at);
    } else if (event->site == persist->mutant_site && (event->kind == TRACE_FLUSH || event->kind == TRACE_FENCE ||
                                                       (event->kind == TRACE_CALL && event->call == TRACE_CALL_SYNC))) {
        return;
    } else {
        feed_event(persist, trace, at);
    }
}
