/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family_name.c — operations of stress_family on names and on the table of descriptors: open, create, O_TRUNC, close,
 * dup, dup2, unlink, rename, link, stat.
 */
#include "stress/family.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void family_path(char *path, size_t length, uint32_t name)
{
    snprintf(path, length, "%s/n%u", family.shared->root, name);
}

static ino_t ino_of_name(uint32_t name)
{
    char path[256];
    struct stat st;
    family_path(path, sizeof(path), name);
    return lstat(path, &st) ? 0 : st.st_ino;
}

/* ---- the model of names ---- */

/* A fresh file, of which nobody has a descriptor or a name: its model may be used again. FAMILY_NONE: all are in use. */
static uint32_t object_take(void)
{
    for (uint32_t i = 0; i < FAMILY_OBJECTS; i++) {
        struct family_object *o = &family.shared->object[i];
        bool used = o->used && o->links;
        for (unsigned p = 0; p < FAMILY_PROCESSES && !used; p++)
            used = atomic_load(&family.shared->process[p].pid) && family.shared->process[p].uses[i];
        if (used)
            continue;
        memset(o, 0, sizeof(*o));
        family_lock_make(&o->size_lock);
        for (unsigned r = 0; r < FAMILY_REGIONS; r++)
            family_lock_make(&o->region[r]);
        o->used = true;
        return i;
    }
    return FAMILY_NONE;
}

static void name_drop(uint32_t name)
{
    if (family.shared->name[name] != FAMILY_NONE)
        family.shared->object[family.shared->name[name]].links--;
    family.shared->name[name] = FAMILY_NONE;
}

static void name_set(uint32_t name, uint32_t object)
{
    name_drop(name);
    family.shared->name[name] = object;
    family.shared->object[object].links++;
}

static void apply(const struct family_intent *i)
{
    uint32_t from = i->name[0], to = i->name[1];
    switch (i->kind) {
    case FAMILY_CREATE:
        family.shared->object[i->object].ino = ino_of_name(from);
        name_set(from, i->object);
        break;
    case FAMILY_UNLINK:
        name_drop(from);
        break;
    case FAMILY_LINK:
        name_set(to, family.shared->name[from]);
        break;
    default:
        if (family.shared->name[to] != family.shared->name[from]) {
            name_set(to, family.shared->name[from]);
            name_drop(from);
        }
        break;
    }
}

/* Who held the names is dead: its change is there or not. The model is changed only behind a change, and by few stores;
 * links are counted anew, as the dead one may have been in the midst of them. */
static void settle_names(void)
{
    struct family_shared *s = family.shared;
    const struct family_intent *d = &s->intent[s->names_lock.doubt];
    bool active = atomic_load(&d->state) >= FAMILY_ACTIVE;
    for (uint32_t name = 0; name < FAMILY_NAMES; name++) {
        ino_t ino = ino_of_name(name);
        uint32_t found = FAMILY_NONE;
        for (uint32_t i = 0; ino && i < FAMILY_OBJECTS; i++)
            if (s->object[i].used && s->object[i].ino == ino && (found == FAMILY_NONE || s->object[i].links))
                found = i;
        bool touched = active && (name == d->name[0] || (name == d->name[1] && d->kind != FAMILY_CREATE));
        if (touched && d->kind == FAMILY_CREATE && ino) {
            s->object[d->object].ino = ino;
            found = d->object;
        }
        if (found != s->name[name] && !touched)
            family_fail(FAMILY_NONE, "after a kill in a call on names: n%u is another file", name);
        s->name[name] = found;
    }
    for (uint32_t i = 0; i < FAMILY_OBJECTS; i++) {
        s->object[i].links = 0;
        for (uint32_t name = 0; name < FAMILY_NAMES; name++)
            s->object[i].links += s->name[name] == i;
    }
    s->names_lock.doubt = 0;
}

void family_lock_names(struct family_thread *t)
{
    family_lock(&family.shared->names_lock);
    if (family.shared->names_lock.doubt)
        settle_names();
    family.shared->names_lock.intent = t->number;
}

static void unlock_names(void)
{
    family_unlock(&family.shared->names_lock);
}

/* ---- descriptors ---- */

static struct family_entry *free_entry(void)
{
    for (unsigned i = 0; i < FAMILY_TABLE; i++)
        if (!family.table[i].open)
            return &family.table[i];
    return NULL;
}

static struct family_entry *random_entry(struct family_thread *t)
{
    unsigned first = (unsigned)tool_below(&t->rng, FAMILY_TABLE);
    for (unsigned i = 0; i < FAMILY_TABLE; i++)
        if (family.table[(first + i) % FAMILY_TABLE].open)
            return &family.table[(first + i) % FAMILY_TABLE];
    return NULL;
}

static void entry_close(struct family_entry *e)
{
    e->open = false;
    if (nvx.close(e->fd))
        family_fail(e->object, "close: %s", strerror(errno));
    family.self->uses[e->object]--;
}

static void entry_fill(struct family_entry *e, int fd, uint32_t object, int flags)
{
    uint32_t number = atomic_fetch_add(&family.shared->descriptions, 1);
    if (number >= FAMILY_DESCRIPTIONS) {
        family_fail(object, "no descriptions left");
        number = 0;
    }
    family_lock_make(&family.shared->description[number].lock);
    family.shared->description[number].offset = 0;
    *e = (struct family_entry){.fd = fd, .description = number, .object = object, .flags = flags, .open = true};
    family.self->uses[object]++;
}

/* O_TRUNC: the size goes to 0 in the open. The names are locked. */
static int open_cutting(struct family_thread *t, const char *path, uint32_t object, int flags)
{
    struct family_object *o = &family.shared->object[object];
    int look = nvx.open(path, O_RDWR | O_CLOEXEC);
    if (look < 0)
        return -1;
    family_prepare(t, FAMILY_CUT, object);
    family_lock_size(t, look, object, true);
    t->intent->old_size = atomic_load(&o->size);
    family_lock_regions(t, look, object, 0, FAMILY_BYTES, true);
    family_note(object, "open, O_TRUNC", t->intent->old_size, 0);
    atomic_store(&t->intent->state, FAMILY_ACTIVE);
    int fd = nvx.open(path, flags | O_TRUNC);
    if (fd >= 0) {
        atomic_store(&t->intent->state, FAMILY_DONE);
        memset(o->data, 0, FAMILY_BYTES);
        atomic_store(&o->size, 0);
        atomic_store(&t->intent->state, FAMILY_APPLIED);
    }
    family_unlock_regions(object, 0, FAMILY_BYTES);
    family_unlock(&o->size_lock);
    if (nvx.close(look))
        family_fail(object, "close: %s", strerror(errno));
    return fd;
}

static int create(struct family_thread *t, const char *path, uint32_t name, int flags, uint32_t *object)
{
    *object = object_take();
    if (*object == FAMILY_NONE)
        return -1;
    family_prepare(t, FAMILY_CREATE, *object);
    t->intent->name[0] = t->intent->name[1] = name;
    family_note(*object, "create", name, 0);
    atomic_store(&t->intent->state, FAMILY_ACTIVE);
    int fd = nvx.open(path, flags | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        apply(t->intent);
    return fd;
}

void family_open(struct family_thread *t)
{
    uint32_t name = (uint32_t)tool_below(&t->rng, FAMILY_NAMES), object;
    int flags = O_CLOEXEC, fd;
    char path[256];
    family_path(path, sizeof(path), name);
    flags |= tool_below(&t->rng, 8) ? O_RDWR : O_RDONLY;
    flags |= tool_below(&t->rng, 4) ? 0 : O_APPEND;
    flags |= tool_below(&t->rng, 30) ? 0 : O_DSYNC;
    pthread_rwlock_wrlock(&family.lock);
    struct family_entry *e = free_entry();
    if (!e) {
        pthread_rwlock_unlock(&family.lock);
        return;
    }
    family_prepare(t, FAMILY_LINK, 0);
    family_lock_names(t);
    object = family.shared->name[name];
    if (object == FAMILY_NONE) {
        fd = create(t, path, name, (flags & ~O_ACCMODE) | O_RDWR, &object);
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    } else if ((flags & O_ACCMODE) == O_RDWR && !tool_below(&t->rng, 25)) {
        family.shared->names_lock.intent = 0; /* the intent is the cut's; nothing happens to names */
        fd = open_cutting(t, path, object, flags);
    } else {
        fd = nvx.open(path, flags);
    }
    if (fd >= 0)
        entry_fill(e, fd, object, flags);
    else if (object != FAMILY_NONE)
        family_fail(object, "open of n%u: %s", name, strerror(errno));
    unlock_names();
    pthread_rwlock_unlock(&family.lock);
}

void family_close(struct family_thread *t)
{
    pthread_rwlock_wrlock(&family.lock);
    struct family_entry *e = random_entry(t);
    if (e)
        entry_close(e);
    pthread_rwlock_unlock(&family.lock);
}

/* dup into a free place, or dup2 over another descriptor, which closes that one. */
void family_dup(struct family_thread *t)
{
    pthread_rwlock_wrlock(&family.lock);
    struct family_entry *from = random_entry(t), *to = free_entry();
    if (from && to && tool_below(&t->rng, 2)) {
        int fd = nvx.dup(from->fd);
        if (fd < 0)
            family_fail(from->object, "dup: %s", strerror(errno));
        *to = *from;
        to->fd = fd;
        family.self->uses[to->object]++;
    } else if (from && (to = random_entry(t)) != from) {
        uint32_t closed = to->object;
        int fd = to->fd;
        family.self->uses[from->object]++;
        if (nvx.dup2(from->fd, fd) != fd)
            family_fail(from->object, "dup2: %s", strerror(errno));
        *to = *from;
        to->fd = fd;
        family.self->uses[closed]--;
    }
    pthread_rwlock_unlock(&family.lock);
}

/* ---- names ---- */

void family_names(struct family_thread *t)
{
    static const enum family_kind kinds[] = {FAMILY_UNLINK, FAMILY_UNLINK, FAMILY_RENAME, FAMILY_LINK};
    char from[256], to[256];
    struct family_intent *i = t->intent;
    family_prepare(t, kinds[tool_below(&t->rng, 4)], 0);
    i->name[0] = (uint32_t)tool_below(&t->rng, FAMILY_NAMES);
    i->name[1] = i->kind == FAMILY_UNLINK ? i->name[0] : (uint32_t)tool_below(&t->rng, FAMILY_NAMES);
    family_path(from, sizeof(from), i->name[0]);
    family_path(to, sizeof(to), i->name[1]);
    family_lock_names(t);
    uint32_t object = family.shared->name[i->name[0]], other = family.shared->name[i->name[1]];
    int wanted = object == FAMILY_NONE ? ENOENT : i->kind == FAMILY_LINK && other != FAMILY_NONE ? EEXIST : 0;
    if (object != FAMILY_NONE)
        family_note(object,
                    i->kind == FAMILY_UNLINK ? "unlink"
                    : i->kind == FAMILY_LINK ? "link"
                                             : "rename",
                    i->name[0], i->name[1]);
    atomic_store(&i->state, FAMILY_ACTIVE);
    int result = i->kind == FAMILY_UNLINK ? unlink(from) : i->kind == FAMILY_LINK ? link(from, to) : rename(from, to);
    if ((result ? errno : 0) != wanted)
        family_fail(object, "call %u on n%u, n%u: %s, must be %s", i->kind, i->name[0], i->name[1], strerror(errno),
                    strerror(wanted));
    if (!result)
        apply(i);
    unlock_names();
}

/* By its path: what a program sees without a descriptor. Only where that call is the library's, and only in a process
 * that has opened a managed file. */
void family_stat_path(struct family_thread *t)
{
    char path[256];
    struct stat st;
    uint32_t name = (uint32_t)tool_below(&t->rng, FAMILY_NAMES);
    family_path(path, sizeof(path), name);
    struct family_entry *e = random_entry(t);
    if (!nvx_is_kernel || !e)
        return;
    family_prepare(t, FAMILY_LINK, 0);
    family_lock_names(t);
    uint32_t object = family.shared->name[name];
    if (object == FAMILY_NONE) {
        if (!stat(path, &st) || errno != ENOENT)
            family_fail(object, "stat of a name that is not there");
    } else if (e->object == object) { /* a doubt about the size is settled by a descriptor */
        struct family_object *o = &family.shared->object[object];
        family_lock_size(t, e->fd, object, false);
        if (stat(path, &st) || (uint64_t)st.st_size != atomic_load(&o->size) || st.st_nlink != o->links ||
            st.st_ino != o->ino)
            family_fail(object, "stat: size %lld, %u links, must be %llu, %u", (long long)st.st_size,
                        (unsigned)st.st_nlink, (unsigned long long)atomic_load(&o->size), o->links);
        family_unlock(&o->size_lock);
    }
    unlock_names();
}
