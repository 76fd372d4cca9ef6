/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family_data.c — operations of stress_family on one descriptor: bytes, sizes, holes, offsets, syncs, mappings. Each has
 * the same steps: an intent, the locks, the call, its result, the model, the locks again.
 */
#include "stress/family.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* What an operation has locked: the size or not, and the regions of [from, to). */
struct span {
    uint64_t from, to;
    bool sized;
};

static struct family_object *object_of(const struct family_entry *e)
{
    return &family.shared->object[e->object];
}

static void span_unlock(const struct family_entry *e, const struct span *s)
{
    if (s->to > s->from)
        family_unlock_regions(e->object, s->from, s->to);
    if (s->sized)
        family_unlock(&object_of(e)->size_lock);
}

/* Locks what a change of [offset, offset + length) needs, which may extend the file. */
static struct span span_for_write(struct family_thread *t, const struct family_entry *e, uint64_t offset,
                                  uint64_t length)
{
    struct family_object *o = object_of(e);
    struct family_intent *i = t->intent;
    i->offset = offset;
    i->length = length;
    if (offset + length <= atomic_load(&o->size)) {
        i->kind = FAMILY_DATA;
        family_lock_regions(t, e->fd, e->object, offset, offset + length, true);
        if (offset + length <= atomic_load(&o->size)) /* and it stays so: who cuts needs our regions */
            return (struct span){.from = offset, .to = offset + length};
        family_unlock_regions(e->object, offset, offset + length);
    }
    i->kind = FAMILY_EXTEND;
    family_lock_size(t, e->fd, e->object, true);
    i->old_size = atomic_load(&o->size);
    i->new_size = i->old_size > offset + length ? i->old_size : offset + length;
    struct span s = {.from = offset < i->old_size ? offset : i->old_size, .to = FAMILY_BYTES, .sized = true};
    family_lock_regions(t, e->fd, e->object, s.from, s.to, true);
    return s;
}

/* Locks what a read needs to know what it will give: `*count` bytes. */
static struct span span_for_read(struct family_thread *t, const struct family_entry *e, uint64_t offset,
                                 uint64_t length, uint64_t *count)
{
    struct family_object *o = object_of(e);
    struct span s = {.from = offset, .to = offset + length};
    *count = length;
    if (s.to <= atomic_load(&o->size)) {
        family_lock_regions(t, e->fd, e->object, s.from, s.to, false);
        if (s.to <= atomic_load(&o->size))
            return s;
        family_unlock_regions(e->object, s.from, s.to);
    }
    s.sized = true;
    family_lock_size(t, e->fd, e->object, false);
    uint64_t size = atomic_load(&o->size);
    s.to = size < s.to ? size : s.to;
    *count = s.to > s.from ? s.to - s.from : 0;
    if (*count)
        family_lock_regions(t, e->fd, e->object, s.from, s.to, false);
    return s;
}

static void set_state(struct family_thread *t, enum family_state state)
{
    atomic_store(&t->intent->state, state);
}

/* The call is done: the model follows. */
static void apply(struct family_thread *t, const struct family_entry *e, struct family_description *description)
{
    struct family_object *o = object_of(e);
    const struct family_intent *i = t->intent;
    set_state(t, FAMILY_DONE);
    if (i->zero)
        memset(o->data + i->offset, 0, i->length);
    else
        tool_pattern(o->data + i->offset, i->length, i->key, i->offset);
    if (i->kind == FAMILY_EXTEND)
        atomic_store(&o->size, i->new_size);
    if (description)
        description->offset = i->offset + i->length;
    set_state(t, FAMILY_APPLIED);
}

static int split(struct family_thread *t, struct iovec *iov, uint8_t *buf, uint64_t length)
{
    int count = 1 + (int)tool_below(&t->rng, 4);
    uint64_t used = 0;
    for (int i = 0; i < count; i++) {
        uint64_t part = i + 1 == count ? length - used : tool_below(&t->rng, length - used + 1);
        iov[i] = (struct iovec){.iov_base = buf + used, .iov_len = part};
        used += part;
    }
    return count;
}

static void must(const struct family_entry *e, const char *what, int64_t result, uint64_t wanted, uint64_t offset)
{
    if (result != (int64_t)wanted)
        family_fail(e->object, "%s of %llu at %llu gave %lld (%s)", what, (unsigned long long)wanted,
                    (unsigned long long)offset, (long long)result, result < 0 ? strerror(errno) : "short");
}

static uint64_t pick_length(struct family_thread *t)
{
    return tool_length(&t->rng, FAMILY_LENGTH);
}

static uint64_t pick_offset(struct family_thread *t, const struct family_entry *e)
{
    uint64_t size = atomic_load(&object_of(e)->size), kind = tool_below(&t->rng, 20);
    if (kind == 0)
        return tool_below(&t->rng, FAMILY_BYTES);
    if (kind < 3)
        return size;
    uint64_t offset = size ? tool_below(&t->rng, size) : 0;
    return kind < 9 ? offset & ~UINT64_C(4095) : offset;
}

static void do_pwrite(struct family_thread *t, const struct family_entry *e)
{
    uint64_t offset = pick_offset(t, e), length = pick_length(t);
    struct iovec iov[4];
    if (e->flags & O_APPEND || offset + length > FAMILY_BYTES)
        return;
    family_prepare(t, FAMILY_DATA, e->object);
    t->intent->key = tool_random(&t->rng);
    struct span s = span_for_write(t, e, offset, length);
    tool_pattern(t->buf, length, t->intent->key, offset);
    if (family.shared->plant && !tool_below(&t->rng, 300))
        t->buf[length / 2] ^= 1;
    family_note(e->object, s.sized ? "pwrite to end" : "pwrite", offset, length);
    set_state(t, FAMILY_ACTIVE);
    ssize_t n = tool_below(&t->rng, 3) ? nvx.pwrite(e->fd, t->buf, length, (off_t)offset)
                                       : nvx.pwritev(e->fd, iov, split(t, iov, t->buf, length), (off_t)offset);
    must(e, "pwrite", n, length, offset);
    apply(t, e, NULL);
    span_unlock(e, &s);
}

static void compare(const struct family_entry *e, const uint8_t *got, uint64_t offset, uint64_t count, const char *what)
{
    const uint8_t *model = object_of(e)->data + offset;
    for (uint64_t i = 0; i < count; i++) {
        if (got[i] == model[i])
            continue;
        family_fail(e->object, "%s of %llu at %llu: byte %llu (block %llu, line %llu) is %02x, must be %02x; size %llu",
                    what, (unsigned long long)count, (unsigned long long)offset, (unsigned long long)(offset + i),
                    (unsigned long long)(offset + i) >> 12, (unsigned long long)(offset + i) >> 6 & 63, got[i],
                    model[i], (unsigned long long)atomic_load(&object_of(e)->size));
        return;
    }
}

static void do_pread(struct family_thread *t, const struct family_entry *e)
{
    uint64_t offset = pick_offset(t, e), length = pick_length(t), count;
    struct iovec iov[4];
    if (offset + length > FAMILY_BYTES)
        return;
    struct span s = span_for_read(t, e, offset, length, &count);
    ssize_t n = tool_below(&t->rng, 3) ? nvx.pread(e->fd, t->buf, length, (off_t)offset)
                                       : nvx.preadv(e->fd, iov, split(t, iov, t->buf, length), (off_t)offset);
    must(e, "pread", n, count, offset);
    compare(e, t->buf, offset, count, "pread");
    span_unlock(e, &s);
}

/* write() at the description's offset, or at the end; others who share the description wait. */
static void do_write(struct family_thread *t, const struct family_entry *e)
{
    struct family_description *description = &family.shared->description[e->description];
    uint64_t length = pick_length(t);
    struct iovec iov[4];
    family_prepare(t, FAMILY_DATA, e->object);
    t->intent->key = tool_random(&t->rng);
    family_lock_offset(t, e, true);
    struct span s = {0};
    if (e->flags & O_APPEND) {
        family_lock_size(t, e->fd, e->object, true);
        s = (struct span){.from = atomic_load(&object_of(e)->size), .to = FAMILY_BYTES, .sized = true};
        t->intent->kind = FAMILY_EXTEND;
        t->intent->offset = t->intent->old_size = s.from;
        t->intent->length = length;
        t->intent->new_size = s.from + length;
        if (s.from + length <= FAMILY_BYTES)
            family_lock_regions(t, e->fd, e->object, s.from, s.to, true);
    } else if (description->offset + length <= FAMILY_BYTES) {
        s = span_for_write(t, e, description->offset, length);
    }
    if (s.to > s.from && t->intent->offset + length <= FAMILY_BYTES) {
        uint64_t offset = t->intent->offset;
        tool_pattern(t->buf, length, t->intent->key, offset);
        family_note(e->object, e->flags & O_APPEND ? "append" : "write", offset, length);
        set_state(t, FAMILY_ACTIVE);
        ssize_t n = tool_below(&t->rng, 3) ? nvx.write(e->fd, t->buf, length)
                                           : nvx.writev(e->fd, iov, split(t, iov, t->buf, length));
        must(e, "write", n, length, offset);
        apply(t, e, description);
        span_unlock(e, &s);
    } else if (s.sized) { /* no room for an append: only the size is locked */
        family_unlock(&object_of(e)->size_lock);
    }
    family_unlock(&description->lock);
}

static void do_read(struct family_thread *t, const struct family_entry *e)
{
    struct family_description *description = &family.shared->description[e->description];
    uint64_t length = pick_length(t), count;
    struct iovec iov[4];
    family_prepare(t, FAMILY_SEEK, e->object);
    family_lock_offset(t, e, true);
    uint64_t offset = description->offset;
    if (offset + length <= FAMILY_BYTES) {
        struct span s = span_for_read(t, e, offset, length, &count);
        t->intent->offset = offset;
        t->intent->length = count;
        set_state(t, FAMILY_ACTIVE);
        ssize_t n = tool_below(&t->rng, 3) ? nvx.read(e->fd, t->buf, length)
                                           : nvx.readv(e->fd, iov, split(t, iov, t->buf, length));
        must(e, "read", n, count, offset);
        set_state(t, FAMILY_DONE);
        description->offset = offset + count;
        set_state(t, FAMILY_APPLIED);
        compare(e, t->buf, offset, count, "read");
        span_unlock(e, &s);
    }
    family_unlock(&description->lock);
}

static void do_lseek(struct family_thread *t, const struct family_entry *e)
{
    struct family_description *description = &family.shared->description[e->description];
    family_prepare(t, FAMILY_SEEK, e->object);
    family_lock_offset(t, e, true);
    uint64_t kind = tool_below(&t->rng, 4), target = description->offset;
    off_t at;
    if (kind == 0) {
        at = nvx.lseek(e->fd, 0, SEEK_CUR);
    } else if (kind == 1) {
        family_lock_size(t, e->fd, e->object, false);
        target = t->intent->offset = atomic_load(&object_of(e)->size);
        set_state(t, FAMILY_ACTIVE);
        at = nvx.lseek(e->fd, 0, SEEK_END);
        set_state(t, FAMILY_DONE);
        family_unlock(&object_of(e)->size_lock);
    } else {
        target = t->intent->offset = pick_offset(t, e);
        set_state(t, FAMILY_ACTIVE);
        at = kind == 2 ? nvx.lseek(e->fd, (off_t)target, SEEK_SET)
                       : nvx.lseek(e->fd, (off_t)target - (off_t)description->offset, SEEK_CUR);
        set_state(t, FAMILY_DONE);
    }
    if (at != (off_t)target)
        family_fail(e->object, "lseek gave %lld, must be %llu", (long long)at, (unsigned long long)target);
    description->offset = target;
    set_state(t, FAMILY_APPLIED);
    family_unlock(&description->lock);
}

/* ftruncate, or fallocate that lengthens. */
static void do_resize(struct family_thread *t, const struct family_entry *e)
{
    struct family_object *o = object_of(e);
    struct family_intent *i = t->intent;
    family_prepare(t, FAMILY_CUT, e->object);
    family_lock_size(t, e->fd, e->object, true);
    i->old_size = atomic_load(&o->size);
    uint64_t most = tool_below(&t->rng, 3) ? i->old_size : FAMILY_BYTES;
    i->new_size = tool_below(&t->rng, most + 1);
    i->offset = i->old_size < i->new_size ? i->old_size : i->new_size;
    family_lock_regions(t, e->fd, e->object, i->offset, FAMILY_BYTES, true);
    family_note(e->object, "resize", i->old_size, i->new_size);
    bool allocate = i->new_size > i->old_size && tool_below(&t->rng, 2);
    set_state(t, FAMILY_ACTIVE);
    if (allocate ? nvx.fallocate(e->fd, 0, (off_t)i->old_size, (off_t)(i->new_size - i->old_size))
                 : nvx.ftruncate(e->fd, (off_t)i->new_size))
        family_fail(e->object, "resize from %llu to %llu: %s", (unsigned long long)i->old_size,
                    (unsigned long long)i->new_size, strerror(errno));
    set_state(t, FAMILY_DONE);
    memset(o->data + i->new_size, 0, FAMILY_BYTES - i->new_size);
    atomic_store(&o->size, i->new_size);
    set_state(t, FAMILY_APPLIED);
    family_unlock_regions(e->object, i->offset, FAMILY_BYTES);
    family_unlock(&o->size_lock);
}

/* A hole, zeros, or room, below the size. */
static void do_fallocate(struct family_thread *t, const struct family_entry *e)
{
    static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_KEEP_SIZE};
    int mode = modes[tool_below(&t->rng, 3)];
    uint64_t offset = pick_offset(t, e), length = pick_length(t);
    if (mode == FALLOC_FL_KEEP_SIZE) {
        if (nvx.fallocate(e->fd, mode, (off_t)offset, (off_t)length))
            family_fail(e->object, "fallocate, keeping the size: %s", strerror(errno));
        return;
    }
    if (offset + length > atomic_load(&object_of(e)->size))
        return;
    family_prepare(t, FAMILY_DATA, e->object);
    t->intent->zero = true;
    struct span s = span_for_write(t, e, offset, length);
    if (!s.sized) {
        family_note(e->object, "punch", offset, length);
        set_state(t, FAMILY_ACTIVE);
        if (nvx.fallocate(e->fd, mode, (off_t)offset, (off_t)length))
            family_fail(e->object, "fallocate, punching: %s", strerror(errno));
        apply(t, e, NULL);
    }
    span_unlock(e, &s);
}

static void do_stat(struct family_thread *t, const struct family_entry *e)
{
    struct stat st;
    family_lock_size(t, e->fd, e->object, false);
    uint64_t size = atomic_load(&object_of(e)->size);
    if (nvx.fstat(e->fd, &st) || (uint64_t)st.st_size != size || st.st_ino != object_of(e)->ino)
        family_fail(e->object, "fstat: size %lld of inode %llu, must be %llu of %llu", (long long)st.st_size,
                    (unsigned long long)st.st_ino, (unsigned long long)size, (unsigned long long)object_of(e)->ino);
    family_unlock(&object_of(e)->size_lock);
}

static void do_sync(struct family_thread *t, const struct family_entry *e)
{
    if (tool_below(&t->rng, 2) ? nvx.fsync(e->fd) : nvx.fdatasync(e->fd))
        family_fail(e->object, "fsync: %s", strerror(errno));
}

/* A mapping shows the model, and takes stores by memcpy where the library knows them. */
static void do_map(struct family_thread *t, const struct family_entry *e)
{
    uint64_t offset = pick_offset(t, e) & ~UINT64_C(4095), length = pick_length(t);
    bool write = tool_below(&t->rng, 2) && (e->flags & O_ACCMODE) == O_RDWR;
    if (offset + length > atomic_load(&object_of(e)->size))
        return;
    family_prepare(t, FAMILY_DATA, e->object);
    t->intent->key = tool_random(&t->rng);
    struct span s = span_for_write(t, e, offset, length);
    if (!s.sized) {
        family_note(e->object, write ? "map, write" : "map", offset, length);
        uint8_t *p = nvx.mmap(NULL, length, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, e->fd, (off_t)offset);
        if (p == MAP_FAILED) {
            family_fail(e->object, "mmap: %s", strerror(errno));
        } else {
            compare(e, p, offset, length, "mapping");
            tool_pattern(t->buf, length, t->intent->key, offset);
            if (write) {
                set_state(t, FAMILY_ACTIVE);
                nvx.memcpy(p, t->buf, length);
                apply(t, e, NULL);
                compare(e, p, offset, length, "mapping after memcpy");
            }
            nvx.munmap(p, length);
        }
    }
    span_unlock(e, &s);
}

void family_data(struct family_thread *t, const struct family_entry *e)
{
    uint64_t kind = tool_below(&t->rng, 1000);
    bool change = (e->flags & O_ACCMODE) == O_RDWR;
    if (kind < 270 && change)
        do_pwrite(t, e);
    else if (kind < 430 && change)
        do_write(t, e);
    else if (kind < 650)
        do_pread(t, e);
    else if (kind < 780)
        do_read(t, e);
    else if (kind < 850)
        do_lseek(t, e);
    else if (kind < 870 && change)
        do_resize(t, e);
    else if (kind < 890 && change)
        do_fallocate(t, e);
    else if (kind < 930)
        do_stat(t, e);
    else if (kind < (nvx_is_kernel ? 932u : 940u))
        do_map(t, e);
    else
        do_sync(t, e);
}
