/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore_sites.c — the places of the library that a mutant may leave out or swap.
 */
#include "crash/explore/explore_private.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 64, LOOK_AHEAD = 64 };

/* Of the recoveries that were crashed. */
static struct {
    struct explore_site *site;
    size_t count;
    size_t tapes;
} recovered;

static void add_site(struct explore_site **sites, size_t *count, uint64_t site, uint8_t kind, uint64_t times)
{
    for (size_t i = 0; i < *count; i++)
        if ((*sites)[i].site == site && (*sites)[i].kind == kind) {
            (*sites)[i].count += times;
            return;
        }
    struct explore_site *grown = realloc(*sites, (*count + 1) * sizeof *grown);
    if (!grown)
        abort();
    *sites = grown;
    grown[(*count)++] = (struct explore_site){.site = site, .kind = kind, .count = times};
}

static bool is_line_of(const struct trace_event *event, uint32_t file, uint64_t line)
{
    uint64_t end = event->offset + (event->length ? event->length : 1);
    return event->file == file && event->offset / LINE_BYTES <= line && line <= (end - 1) / LINE_BYTES;
}

/* Whether the store has a next one of its thread in its line, with nothing between that orders them by more than the line
 * does. */
static bool has_next_store(const struct trace *trace, size_t at)
{
    const struct trace_event *store = &trace->event[at];
    uint64_t line = store->offset / LINE_BYTES;
    for (size_t i = at + 1; i < trace->count && i < at + LOOK_AHEAD; i++) {
        const struct trace_event *event = &trace->event[i];
        bool same_thread = event->thread == store->thread && event->process == store->process;
        if (event->kind == TRACE_STORE && same_thread && is_line_of(event, store->file, line))
            return true;
        if ((event->kind == TRACE_FLUSH && is_line_of(event, store->file, line)) ||
            (event->kind == TRACE_FENCE && same_thread) ||
            (event->kind == TRACE_CALL && event->call == TRACE_CALL_SYNC))
            return false;
    }
    return false;
}

void explore_sites(const struct trace *trace, struct explore_site **sites, size_t *count)
{
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        if (event->kind == TRACE_FLUSH || event->kind == TRACE_FENCE ||
            (event->kind == TRACE_CALL && event->call == TRACE_CALL_SYNC) ||
            (event->kind == TRACE_STORE && has_next_store(trace, i)))
            add_site(sites, count, event->site, event->kind, 1);
    }
}

void explore_sites_note(const struct trace *tape)
{
    if (recovered.tapes++ % LOOK_AHEAD == 0) /* they are much alike */
        explore_sites(tape, &recovered.site, &recovered.count);
}

void explore_recovery_sites(struct explore_site **sites, size_t *count)
{
    for (size_t i = 0; i < recovered.count; i++)
        add_site(sites, count, recovered.site[i].site, recovered.site[i].kind, recovered.site[i].count);
}
