/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace.c — the recorder: its buffers and the hooks of the primitives of layer pm.
 */
#include "crash/explore/trace_private.h"

#include "base/rawsys.h"
#include "pm/pm_trace.h"

#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EVENT_ROOM ((size_t)1 << 20)
#define DATA_ROOM ((size_t)1 << 28)
#define FILE_ROOM ((size_t)1 << 13)

struct recorder recorder;
void (*trace_before)(enum trace_kind kind, enum trace_call call);

/* A primitive of this thread between its two hooks. */
static __thread struct {
    uint8_t thread;
    bool pending;
    enum pm_trace_kind kind;
    const char *address;
    size_t length;
    uint64_t site;
    char *before; /* the bytes of a STREAM's destination, for the case that a fault ends it half way */
    size_t before_room;
} self;

/* ---- the buffers ---- */

static void *shared_memory(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("trace: mmap");
        exit(2);
    }
    return p;
}

/* In the child: mappings that it did not inherit, and the half-done primitives of others. */
static void after_fork(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < recorder.regions; i++)
        if (!recorder.region[i].dont_fork)
            recorder.region[kept++] = recorder.region[i];
    recorder.regions = kept;
    self.pending = false;
}

void trace_own(void)
{
    struct recorder_shared *shared = shared_memory(sizeof *shared);
    shared->trace.event = shared_memory(EVENT_ROOM * sizeof *shared->trace.event);
    shared->trace.room = EVENT_ROOM;
    shared->trace.data = shared_memory(DATA_ROOM);
    shared->trace.data_room = DATA_ROOM;
    shared->trace.file = shared_memory(FILE_ROOM * sizeof *shared->trace.file);
    shared->trace.file_room = FILE_ROOM;
    recorder.shared = shared;
}

__attribute__((constructor)) static void recorder_init(void)
{
    trace_own();
    rawsys_table.invoke = recorder_call;
    pthread_atfork(NULL, NULL, after_fork);
}

static void lock(void)
{
    int free = 0;
    while (!atomic_compare_exchange_weak(&recorder.shared->lock, &free, 1)) {
        free = 0;
        sched_yield();
    }
}

static void unlock(void)
{
    atomic_store(&recorder.shared->lock, 0);
}

bool recorder_is_on(void)
{
    return atomic_load_explicit(&recorder.shared->recording, memory_order_acquire);
}

static uint64_t keep_locked(const void *bytes, size_t n)
{
    struct trace *trace = &recorder.shared->trace;
    if (n > trace->data_room - trace->data_length) {
        trace->overflow = true;
        return 0;
    }
    uint64_t at = trace->data_length;
    memcpy(trace->data + at, bytes, n);
    trace->data_length += n;
    return at;
}

uint64_t recorder_keep(const void *bytes, size_t n)
{
    lock();
    uint64_t at = keep_locked(bytes, n);
    unlock();
    return at;
}

struct trace_event *recorder_add(enum trace_kind kind, uint32_t file, uint64_t site, uint64_t offset, uint64_t length,
                                 const void *bytes)
{
    struct trace *trace = &recorder.shared->trace;
    struct trace_event *event = NULL;
    lock();
    if (trace->count < trace->room) {
        event = &trace->event[trace->count++];
        *event = (struct trace_event){.kind = (uint8_t)kind,
                                      .thread = self.thread,
                                      .process = recorder.process,
                                      .file = file,
                                      .offset = offset,
                                      .length = length,
                                      .site = site,
                                      .directory = TRACE_NO_FILE,
                                      .old_directory = TRACE_NO_FILE};
        if (bytes)
            event->data = keep_locked(bytes, length);
    } else {
        trace->overflow = true;
    }
    unlock();
    return event;
}

bool recorder_wants(uint32_t file)
{
    return file != TRACE_NO_FILE && recorder.shared->trace.file[file].kind != TRACE_FILE_OTHER;
}

static int first_object(struct dl_phdr_info *info, size_t size, void *base)
{
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr;
    return 1; /* the program itself comes first */
}

uint64_t recorder_site(const void *address)
{
    static uintptr_t base;
    static bool known;
    if (!known)
        dl_iterate_phdr(first_object, &base);
    known = true;
    return (uintptr_t)address - base;
}

/* ---- the primitives ---- */

/* Appends an event for each mapping that [address, address + length) lies in. */
static void add_range(enum trace_kind kind, const char *address, size_t length, uint64_t site)
{
    while (length) {
        const struct recorder_region *region = recorder_region_at(address);
        if (!region)
            return;
        size_t within = (uintptr_t)address - region->start;
        size_t n = region->length - within < length ? region->length - within : length;
        if (recorder_wants(region->file))
            recorder_add(kind, region->file, site, region->offset + within, n, kind == TRACE_FLUSH ? NULL : address);
        address += n;
        length -= n;
    }
}

static enum trace_kind event_kind(enum pm_trace_kind kind)
{
    static const enum trace_kind kinds[] = {[PM_TRACE_STORE] = TRACE_STORE,
                                            [PM_TRACE_STREAM] = TRACE_STREAM,
                                            [PM_TRACE_FLUSH] = TRACE_FLUSH,
                                            [PM_TRACE_FENCE] = TRACE_FENCE};
    return kinds[kind];
}

static void keep_destination(const char *address, size_t n)
{
    if (n > self.before_room) {
        self.before = realloc(self.before, n);
        self.before_room = n;
    }
    memcpy(self.before, address, n);
}

void recorder_close_pending(void)
{
    if (!self.pending)
        return;
    self.pending = false;
    if (self.kind != PM_TRACE_STREAM || !recorder_is_on())
        return;
    for (size_t from = 0, to; from < self.length; from = to) {
        to = from + 1;
        if (self.address[from] == self.before[from])
            continue;
        while (to < self.length && self.address[to] != self.before[to])
            to++;
        add_range(TRACE_STREAM, self.address + from, to - from, self.site);
    }
}

void pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller)
{
    if (!caller)
        caller = PM_TRACE_CALLER;
    recorder_close_pending();
    if (!recorder_is_on())
        return;
    if (kind != PM_TRACE_FENCE) {
        const struct recorder_region *region = recorder_region_at(addr);
        if (!region || !recorder_wants(region->file))
            return;
    }
    if (trace_before)
        trace_before(event_kind(kind), TRACE_CALL_SYNC);
    if (kind == PM_TRACE_STREAM)
        keep_destination(addr, n);
    self.kind = kind;
    self.address = addr;
    self.length = n;
    self.site = recorder_site(caller);
    self.pending = true;
}

void pm_trace_after(void)
{
    if (!self.pending)
        return;
    self.pending = false;
    if (!recorder_is_on())
        return;
    if (self.kind == PM_TRACE_FENCE)
        recorder_add(TRACE_FENCE, TRACE_NO_FILE, self.site, 0, 0, NULL);
    else
        add_range(event_kind(self.kind), self.address, self.length, self.site);
}

/* ---- the interface ---- */

void trace_begin(const char *root)
{
    struct recorder_shared *shared = recorder.shared;
    struct trace *trace = &shared->trace;
    char path[4096];
    atomic_store(&shared->recording, 0);
    if (!realpath(root, path) || strlen(path) >= sizeof shared->root) {
        fprintf(stderr, "trace: %s is no root\n", root);
        exit(2);
    }
    shared->root_length = strlen(path);
    memcpy(shared->root, path, shared->root_length + 1);
    trace->count = trace->data_length = 0;
    trace->file_count = 0;
    trace->overflow = false;
    shared->generation++;
    self.pending = false;
    recorder_walk();
    atomic_store(&shared->recording, 1);
}

const struct trace *trace_end(void)
{
    recorder_close_pending();
    atomic_store(&recorder.shared->recording, 0);
    return &recorder.shared->trace;
}

const struct trace *trace_now(void)
{
    return &recorder.shared->trace;
}

void trace_set_thread(uint8_t thread)
{
    self.thread = thread;
}

void trace_set_process(uint8_t process)
{
    recorder.process = process;
}

void trace_mark(uint32_t mark, uint64_t a, uint64_t b)
{
    recorder_close_pending();
    if (!recorder_is_on())
        return;
    if (trace_before)
        trace_before(TRACE_MARK, TRACE_CALL_SYNC);
    struct trace_event *event = recorder_add(TRACE_MARK, TRACE_NO_FILE, 0, 0, 0, NULL);
    if (event) {
        event->mark = mark;
        event->argument[0] = a;
        event->argument[1] = b;
    }
}
