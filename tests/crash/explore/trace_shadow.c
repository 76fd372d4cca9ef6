/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace_shadow.c — trace_verify: each file as the recorded events say that it should be, compared with what it is.
 */
#include "crash/explore/trace_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file by its events. Bytes between the size and the end of its page are kept: mapped stores reach them. */
struct shadow {
    uint8_t *bytes;
    uint64_t room, size;
};

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* As much as the file ever had, in whole pages. */
static uint64_t room_of(const struct trace *trace, uint32_t file)
{
    uint64_t room = trace->file[file].size;
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        if (event->file != file)
            continue;
        room = greater(room, event->offset + event->length);
        if (event->kind == TRACE_CALL && event->call == TRACE_CALL_INSERT)
            room += event->length;
    }
    return (room + 2 * RECORDER_PAGE - 1) / RECORDER_PAGE * RECORDER_PAGE;
}

static void set_size(struct shadow *shadow, uint64_t size)
{
    if (size <= shadow->size)
        memset(shadow->bytes + size, 0, shadow->room - size);
    shadow->size = size;
}

static void apply_call(struct shadow *shadow, const struct trace *trace, const struct trace_event *event)
{
    uint64_t end = event->offset + event->length;
    switch (event->call) {
    case TRACE_CALL_WRITE:
        memcpy(shadow->bytes + event->offset, trace->data + event->data, event->length);
        shadow->size = greater(shadow->size, end);
        break;
    case TRACE_CALL_RESIZE:
        set_size(shadow, event->length);
        break;
    case TRACE_CALL_PUNCH:
        memset(shadow->bytes + event->offset, 0, event->length);
        break;
    case TRACE_CALL_COLLAPSE:
        memmove(shadow->bytes + event->offset, shadow->bytes + end, shadow->size - end);
        set_size(shadow, shadow->size - event->length);
        break;
    case TRACE_CALL_INSERT:
        memmove(shadow->bytes + end, shadow->bytes + event->offset, shadow->size - event->offset);
        memset(shadow->bytes + event->offset, 0, event->length);
        shadow->size += event->length;
        break;
    default:
        break;
    }
}

static struct shadow shadow_make(const struct trace *trace, uint32_t number)
{
    const struct trace_file *file = &trace->file[number];
    struct shadow shadow = {.room = room_of(trace, number), .size = file->size};
    shadow.bytes = calloc(1, shadow.room);
    memcpy(shadow.bytes, trace->data + file->data, file->size);
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        if (event->file != number)
            continue;
        if (event->kind == TRACE_STORE || event->kind == TRACE_STREAM)
            memcpy(shadow.bytes + event->offset, trace->data + event->data, event->length);
        else if (event->kind == TRACE_CALL)
            apply_call(&shadow, trace, event);
    }
    return shadow;
}

/* The bytes of the file from `offset` on: from a mapping of it, else by its name. -1: there is no way to them. */
static ssize_t read_actual(const struct trace *trace, uint32_t number, void *to, size_t n, uint64_t offset)
{
    const struct trace_file *file = &trace->file[number];
    for (unsigned i = 0; i < recorder.regions; i++) {
        const struct recorder_region *region = recorder_region_at((void *)recorder.region[i].start);
        if (!region || region->file != number || offset < region->offset || offset - region->offset >= region->length)
            continue;
        int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC); /* no signal where the file ends */
        size_t most = region->length - (offset - region->offset);
        ssize_t got = pread(memory, to, n < most ? n : most, (off_t)(region->start + (offset - region->offset)));
        close(memory);
        return got < 0 ? 0 : got;
    }
    struct stat st;
    int fd = file->path[0] ? open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ssize_t got = -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        got = pread(fd, to, n, (off_t)offset);
    if (fd >= 0)
        close(fd);
    return got;
}

/* The last event that says what byte `offset` is, for the message. */
static const char *last_site(const struct trace *trace, uint32_t number, uint64_t offset)
{
    for (size_t i = trace->count; i-- > 0;) {
        const struct trace_event *event = &trace->event[i];
        bool stores = event->kind == TRACE_STORE || event->kind == TRACE_STREAM ||
                      (event->kind == TRACE_CALL && event->call == TRACE_CALL_WRITE);
        if (stores && event->file == number && event->offset <= offset && offset - event->offset < event->length)
            return trace_site_name(event->site);
    }
    return "never";
}

static bool verify_file(const struct trace *trace, uint32_t number, char *text, size_t size)
{
    struct shadow shadow = shadow_make(trace, number);
    bool same = true;
    for (uint64_t at = 0; same && at < shadow.size;) {
        uint8_t actual[RECORDER_PAGE];
        size_t most = shadow.size - at < sizeof actual ? shadow.size - at : sizeof actual;
        ssize_t got = read_actual(trace, number, actual, most, at);
        if (got < 0)
            break;
        size_t n = (size_t)got, i = 0;
        while (i < n && actual[i] == shadow.bytes[at + i])
            i++;
        if (i == most) {
            at += most;
            continue;
        }
        same = false;
        const char *path = trace->file[number].path, *slash = strrchr(path, '/');
        if (i < n)
            snprintf(text, size, "%s (file %u): byte %llu is %02x, recorded %02x (%s)", slash ? slash + 1 : path,
                     number, (unsigned long long)(at + i), actual[i], shadow.bytes[at + i],
                     last_site(trace, number, at + i));
        else
            snprintf(text, size, "%s (file %u): ends at byte %llu, recorded %llu", slash ? slash + 1 : path, number,
                     (unsigned long long)(at + n), (unsigned long long)shadow.size);
    }
    free(shadow.bytes);
    return same;
}

bool trace_verify(char *text, size_t size)
{
    const struct trace *trace = trace_now();
    if (trace->overflow) {
        snprintf(text, size, "a buffer was too small");
        return false;
    }
    recorder_close_pending();
    for (uint32_t i = 0; i < trace->file_count; i++)
        if ((trace->file[i].kind == TRACE_FILE_DATA || trace->file[i].kind == TRACE_FILE_LOG) &&
            !verify_file(trace, i, text, size))
            return false;
    return true;
}
