/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * persist.h — from events to what is durable and what is in flight: the rules of explore.h.
 *
 * The image holds what is surely durable. Everything else is pending, in the order it was done: items (a word or a part of
 * one) and calls (changes of a file's size and holes, of a directory's names). A unit is what persists as one sequence: the
 * cached items of a line, the stream items of a word, a long stream, the calls of a file or directory. A state chooses a
 * number for each unit, 0 for none of it up to `most` for all of it.
 *
 *   - An item that is durable while an earlier call of its file is not stays pending, but is in every state that has that
 *     call's effect on its page (pinned).
 *   - An item that becomes durable makes earlier ones of the same bytes void: one address keeps its order.
 *   - TORN differs from ADR only where layer pm stores data through the cache; pm_copy's edges are streams to the recorder, which
 *     tear already.
 *   - A thread of a process that makes no event any more is dead: its streams have left the write-combining buffers, so that
 *     somebody else's flush and fence pin them as they do cached stores (rule 16 relies on it).
 */
#ifndef CRASH_EXPLORE_PERSIST_H
#define CRASH_EXPLORE_PERSIST_H

#include "crash/explore/explore.h"
#include "crash/explore/image.h"

enum persist_item_kind {
    PERSIST_CACHED, /* a regular store */
    PERSIST_STREAM, /* a non-temporal one */
    PERSIST_KERNEL, /* a system call's */
};

struct persist_item {
    uint64_t clock; /* order of all items and calls */
    uint64_t word;  /* of the file */
    uint64_t value;
    uint64_t flushed; /* bit of each thread that has flushed it, and not fenced since */
    size_t event;     /* in its trace */
    uint32_t file;
    uint32_t place, words; /* place in a stream of that many words */
    uint8_t kind, mask, thread;
    bool alone;    /* a word of its own, not bound to the order within its line */
    bool pinned;   /* durable, but for the calls before it */
    bool go;       /* becomes durable right now */
    uint32_t unit; /* persist_units: its unit, PERSIST_NO_UNIT, ... */
    uint32_t step; /* ... and the smallest choice that contains it (of a long stream: place) */
};

struct persist_call {
    uint64_t clock;
    size_t event;
    uint32_t target; /* file or directory whose sequence it is in */
    uint8_t kind;    /* enum persist_call_kind */
    uint64_t from, to;
    uint32_t file, name, old_name;
    uint32_t unit, step;
};

enum persist_call_kind {
    PERSIST_SIZE, /* to `to` */
    PERSIST_ZERO, /* [from, to) */
    PERSIST_COLLAPSE,
    PERSIST_INSERT,
    PERSIST_LINK,
    PERSIST_UNLINK,
    PERSIST_RENAME,
};

enum persist_unit_kind { PERSIST_UNIT_LINE, PERSIST_UNIT_WORD, PERSIST_UNIT_LONG, PERSIST_UNIT_CALLS };

#define PERSIST_NO_UNIT UINT32_MAX

struct persist_unit {
    uint8_t kind;
    uint16_t most;  /* choices are 0 .. most */
    uint32_t file;  /* or directory */
    uint64_t place; /* word; line; words of a long stream: clock */
    uint32_t words; /* of a long stream */
    size_t event;   /* the first */
};

#define PERSIST_THREADS 64u

struct persist {
    struct image *image; /* what is durable */
    enum explore_model kind;
    unsigned bulk;
    uint64_t mutant_site;
    bool mutant_swap;
    uint64_t clock;
    uint64_t version; /* rises with every event but marks */
    struct persist_item *item;
    size_t items, item_room;
    struct persist_call *call;
    size_t calls, call_room;
    uint64_t *visible;                /* size of each file as programs see it */
    uint32_t thread[PERSIST_THREADS]; /* process << 8 | thread */
    unsigned threads;
    size_t last_of_process[UINT8_MAX + 1]; /* last event of each */
    const struct trace_event *held;        /* the store that a mutant delays */
    size_t held_at;
    struct persist_unit *unit;
    size_t units, unit_room;
    struct persist_index *index; /* of units and words, while they are made */
};

/* Nothing is pending, the image is what there is. last_of_process is taken from `trace`. */
void persist_open(struct persist *persist, struct image *image, const struct trace *trace,
                  const struct explore_options *options);
/* As `from`, which stays as it is; all its threads are dead for the copy. Another image must not be used. */
void persist_copy(struct persist *persist, const struct persist *from);
void persist_close(struct persist *persist);

/* Event number `at` happens. */
void persist_feed(struct persist *persist, const struct trace *trace, size_t at);

/* The units of now: persist->unit. */
void persist_units(struct persist *persist);

/* The image becomes that state (undo by image_rewind). persist_units was called since the last event. */
void persist_apply(const struct persist *persist, const uint16_t *choice);

/* One call takes effect. */
void persist_apply_call(struct image *image, const struct persist_call *call);

/* Whether the item, call is in the state. */
bool persist_has_item(const struct persist *persist, const struct persist_item *item, const uint16_t *choice);
bool persist_has_call(const struct persist_call *call, const uint16_t *choice);

/* What the long stream of that many words has in a state: choices between none and all. */
enum persist_long {
    PERSIST_LONG_NONE,
    PERSIST_LONG_NO_HEAD, /* without the first line */
    PERSIST_LONG_NO_TAIL, /* without the last */
    PERSIST_LONG_NO_MIDDLE,
    PERSIST_LONG_TORN, /* without one word, of the first or the last line */
    PERSIST_LONG_ALL,
};

#endif
