/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family_lock.c — the locks of the model, and the settling of what a dead process left in doubt.
 */
#include "stress/family.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first failure counts. */
void family_fail(uint32_t object, const char *format, ...)
{
    if (atomic_exchange(&family.shared->failed, 1))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(family.shared->text, sizeof(family.shared->text), format, args);
    va_end(args);
    family.shared->failed_pid = getpid();
    family.shared->failed_object = object;
}

void family_note(uint32_t object, const char *what, uint64_t offset, uint64_t length)
{
    struct family_object *o = &family.shared->object[object];
    struct family_event *e = &o->event[atomic_fetch_add(&o->events, 1) % FAMILY_EVENTS];
    e->pid = getpid();
    snprintf(e->what, sizeof(e->what), "%s", what);
    e->offset = offset;
    e->length = length;
}

/* ---- plain locking ---- */

void family_lock_make(struct family_lock *lock)
{
    pthread_mutexattr_t attributes;
    memset(lock, 0, sizeof(*lock));
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* Locks; what a dead owner was about to do is in doubt from now on. */
void family_lock(struct family_lock *lock)
{
    int result = pthread_mutex_lock(&lock->mutex);
    if (result == EOWNERDEAD) {
        pthread_mutex_consistent(&lock->mutex);
        if (lock->intent)
            lock->doubt = lock->intent;
        lock->intent = 0;
    } else if (result) {
        family_fail(FAMILY_NONE, "lock: %s", strerror(result));
    }
}

void family_unlock(struct family_lock *lock)
{
    lock->intent = 0;
    pthread_mutex_unlock(&lock->mutex);
}

/* ---- intents ---- */

void family_thread_start(struct family_thread *t, uint64_t seed)
{
    t->rng.state = seed;
    t->number = 1 + atomic_fetch_add(&family.shared->intents, 1);
    if (t->number >= FAMILY_INTENTS) {
        family_fail(FAMILY_NONE, "no intents left");
        t->number = FAMILY_INTENTS - 1;
    }
    t->intent = &family.shared->intent[t->number];
}

void family_prepare(struct family_thread *t, enum family_kind kind, uint32_t object)
{
    *t->intent = (struct family_intent){.state = FAMILY_PREPARED, .kind = kind, .object = object};
}

/* ---- settling ---- */

static uint64_t region_of(uint64_t offset)
{
    return offset / FAMILY_REGION;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Reads a part of the file; what is not there is zero. */
static uint64_t file_read(int fd, uint8_t *buf, uint64_t from, uint64_t to, uint32_t object)
{
    if (to <= from)
        return 0;
    ssize_t n = nvx.pread(fd, buf, to - from, (off_t)from);
    if (n < 0)
        family_fail(object, "pread of %llu at %llu: %s", (unsigned long long)(to - from), (unsigned long long)from,
                    strerror(errno));
    uint64_t got = n < 0 ? 0 : (uint64_t)n;
    memset(buf + got, 0, to - from - got);
    return got;
}

/* The range is locked, and the file reaches so far: it must show the model. */
void family_check(struct family_thread *t, int fd, uint32_t object, uint64_t from, uint64_t to, const char *when)
{
    const struct family_object *o = &family.shared->object[object];
    uint64_t got = file_read(fd, t->other, from, to, object);
    if (to > from && got < to - from)
        family_fail(object, "%s: %llu bytes at %llu, must be %llu", when, (unsigned long long)got,
                    (unsigned long long)from, (unsigned long long)(to - from));
    for (uint64_t i = from; i < to; i++) {
        if (t->other[i - from] == o->data[i])
            continue;
        family_fail(object, "%s: byte %llu (block %llu, line %llu) of %llu at %llu is %02x, must be %02x; size %llu",
                    when, (unsigned long long)i, (unsigned long long)i >> 12, (unsigned long long)i >> 6 & 63,
                    (unsigned long long)(to - from), (unsigned long long)from, t->other[i - from], o->data[i],
                    (unsigned long long)atomic_load(&o->size));
        return;
    }
}

/* One byte of a write by a dead process. Returns whether it is as it must be; it is the model's from now on. */
static bool settle_byte(const struct family_intent *d, uint8_t *model, uint8_t found, uint64_t at, bool fresh)
{
    uint8_t new = d->zero ? 0 : tool_pattern_byte(d->key, at), old = *model;
    uint32_t state = atomic_load(&d->state);
    *model = found;
    if (state == FAMILY_DONE || (state == FAMILY_ACTIVE && fresh))
        return found == new;
    return found == old || (state == FAMILY_ACTIVE && found == new);
}

/* A region, locked, of a write below the size. */
static void settle_data(struct family_thread *t, int fd, uint32_t object, uint64_t region)
{
    struct family_object *o = &family.shared->object[object];
    const struct family_intent *d = &family.shared->intent[o->region[region].doubt];
    uint64_t from = max(d->offset, region * FAMILY_REGION);
    uint64_t to = min(d->offset + d->length, (region + 1) * FAMILY_REGION);
    if (to > from)
        file_read(fd, t->other, from, to, object);
    for (uint64_t i = from; i < to; i++) {
        uint8_t old = o->data[i], found = t->other[i - from];
        if (settle_byte(d, &o->data[i], found, i, false))
            continue;
        family_fail(object, "after a kill in a write of %llu at %llu (%s): byte %llu is %02x, was %02x, new is %02x",
                    (unsigned long long)d->length, (unsigned long long)d->offset,
                    d->state == FAMILY_ACTIVE ? "under way" : "done", (unsigned long long)i, found, old,
                    d->zero ? 0 : tool_pattern_byte(d->key, i));
        break;
    }
    o->region[region].doubt = 0;
    atomic_fetch_add(&family.shared->doubts, 1);
}

static bool changes_size(uint32_t number)
{
    uint32_t kind = family.shared->intent[number].kind;
    return kind == FAMILY_CUT || kind == FAMILY_EXTEND;
}

/* The size that the file has now is one of those that it may have. */
static void settle_length(const struct family_intent *d, uint64_t found, uint32_t object)
{
    uint32_t state = atomic_load(&d->state);
    bool old = found == atomic_load(&family.shared->object[object].size), new = found == d->new_size, right = old;
    if (!d->settled && state == FAMILY_DONE)
        right = new;
    else if (!d->settled && state == FAMILY_ACTIVE) /* the kernel may have written a part */
        right = old || new || (d->kind == FAMILY_EXTEND && found > d->old_size && found < d->new_size);
    if (!right)
        family_fail(object, "after a kill in %s from %llu to %llu (state %u): size %llu",
                    d->kind == FAMILY_CUT ? "a resize" : "an extending write", (unsigned long long)d->old_size,
                    (unsigned long long)d->new_size, state, (unsigned long long)found);
}

static void settle_extension(struct family_thread *t, int fd, const struct family_intent *d, uint64_t size)
{
    struct family_object *o = &family.shared->object[d->object];
    uint64_t from = min(d->offset, d->old_size), to = min(size, d->new_size);
    file_read(fd, t->other, from, to, d->object);
    for (uint64_t i = from; i < to; i++) {
        uint8_t found = t->other[i - from];
        bool right = i < d->offset ? found == 0 : settle_byte(d, &o->data[i], found, i, i >= d->old_size);
        if (right)
            continue;
        family_fail(d->object,
                    "after a kill in an extending write of %llu at %llu, old size %llu, size %llu: byte %llu is "
                    "%02x",
                    (unsigned long long)d->length, (unsigned long long)d->offset, (unsigned long long)d->old_size,
                    (unsigned long long)size, (unsigned long long)i, found);
        return;
    }
}

/* The size is locked and in doubt. Takes all regions that the dead one had, too. */
static void settle_size(struct family_thread *t, int fd, uint32_t object)
{
    struct family_object *o = &family.shared->object[object];
    uint32_t number = o->size_lock.doubt;
    struct family_intent *d = &family.shared->intent[number];
    uint64_t first = changes_size(number) ? region_of(min(min(d->offset, d->old_size), d->new_size)) : FAMILY_REGIONS;
    struct stat st;
    for (uint64_t i = first; i < FAMILY_REGIONS; i++) {
        family_lock(&o->region[i]);
        if (o->region[i].doubt && !changes_size(o->region[i].doubt))
            settle_data(t, fd, object, i);
    }
    if (nvx.fstat(fd, &st))
        family_fail(object, "fstat: %s", strerror(errno));
    uint64_t size = min((uint64_t)st.st_size, FAMILY_BYTES);
    if (changes_size(number) && d->object == object) {
        settle_length(d, (uint64_t)st.st_size, object);
        uint32_t state = atomic_load(&d->state); /* once it was applied others may have written below the new end */
        if (!d->settled && d->kind == FAMILY_EXTEND && (state == FAMILY_ACTIVE || state == FAMILY_DONE))
            settle_extension(t, fd, d, size);
        memset(o->data + size, 0, FAMILY_BYTES - size);
        atomic_store(&o->size, size);
        d->settled = true;
        family_check(t, fd, object, min(min(d->old_size, d->new_size), size), size, "after a kill in a resize");
    }
    for (uint64_t i = first; i < FAMILY_REGIONS; i++) {
        o->region[i].doubt = 0;
        family_unlock(&o->region[i]);
    }
    o->size_lock.doubt = 0;
    atomic_fetch_add(&family.shared->doubts, 1);
}

/* ---- locks that settle ---- */

void family_lock_size(struct family_thread *t, int fd, uint32_t object, bool change)
{
    struct family_object *o = &family.shared->object[object];
    family_lock(&o->size_lock);
    if (o->size_lock.doubt)
        settle_size(t, fd, object);
    o->size_lock.intent = change ? t->number : 0;
}

/* The regions of [from, to), from < to. Who meets the doubt of a change of size without holding the size settles that
 * first. */
void family_lock_regions(struct family_thread *t, int fd, uint32_t object, uint64_t from, uint64_t to, bool change)
{
    struct family_object *o = &family.shared->object[object];
    for (uint64_t i = region_of(from); i <= region_of(to - 1); i++) {
        struct family_lock *lock = &o->region[i];
        family_lock(lock);
        if (lock->doubt && changes_size(lock->doubt)) {
            pthread_mutex_unlock(&lock->mutex);
            if (i > region_of(from))
                family_unlock_regions(object, from, i * FAMILY_REGION);
            family_lock_size(t, fd, object, false);
            family_unlock(&o->size_lock);
            i = region_of(from) - 1;
            continue;
        }
        if (lock->doubt)
            settle_data(t, fd, object, i);
        lock->intent = change ? t->number : 0;
    }
}

void family_unlock_regions(uint32_t object, uint64_t from, uint64_t to)
{
    for (uint64_t i = region_of(from); i <= region_of(to - 1); i++)
        family_unlock(&family.shared->object[object].region[i]);
}

/* The description's lock. A dead process's call has moved the offset wholly, in part (an append: from where the end was)
 * or not. */
void family_lock_offset(struct family_thread *t, const struct family_entry *e, bool change)
{
    struct family_description *description = &family.shared->description[e->description];
    family_lock(&description->lock);
    if (description->lock.doubt) {
        const struct family_intent *d = &family.shared->intent[description->lock.doubt];
        uint32_t state = atomic_load(&d->state);
        off_t at = nvx.lseek(e->fd, 0, SEEK_CUR);
        bool old = at == (off_t)description->offset, new = at == (off_t)(d->offset + d->length);
        bool part = at > (off_t)d->offset && at < (off_t)(d->offset + d->length);
        if (!(state == FAMILY_DONE ? new : state == FAMILY_ACTIVE ? old || new || part : old))
            family_fail(e->object,
                        "after a kill in a call at offset %llu, length %llu (state %u): offset %lld, was %llu",
                        (unsigned long long)d->offset, (unsigned long long)d->length, state, (long long)at,
                        (unsigned long long)description->offset);
        description->offset = (uint64_t)at;
        description->lock.doubt = 0;
        atomic_fetch_add(&family.shared->doubts, 1);
    }
    description->lock.intent = change ? t->number : 0;
}
