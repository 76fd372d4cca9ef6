/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_live.c — ROOT/.nvmmio/UID.live: which inodes are attached or wait for recovery, for users who may not see the
 * table; the side of the owner and root. Layer log.
 *
 * A copy of the table's inode numbers, made anew with the table. This side stores there and reads only to spare stores:
 * whatever happens to the file, nothing of the owner's goes wrong. Without one (no space, no permission, something planted
 * in its place) others are not told, that is all. It is not flushed: a power cut may take entries until the next opening
 * of the volume. Not sparse: a store through a mapping must not find the file system full.
 */
#include "base/grow.h"
#include "base/rawsys.h"
#include "base/region.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const char new_name[] = "live.new"; /* in ROOT/.nvmmio/UID, where nobody else can touch it */
static const char parent[] = "../";
enum {
    LIVE_PREFIX = sizeof parent - 1,
    LIVE_MODE = 0644,
    LIVE_OTHERS_WRITE = 022,
};

void volume_live_name(char name[VOLUME_LIVE_NAME_BYTES], uint32_t owner)
{
    static const char suffix[] = ".live";
    memcpy(volume_put_number(name, owner), suffix, sizeof suffix);
}

/* The name as seen from ROOT/.nvmmio/UID. */
static void name_from_inside(const struct volume *volume, char path[LIVE_PREFIX + VOLUME_LIVE_NAME_BYTES])
{
    memcpy(path, parent, LIVE_PREFIX);
    volume_live_name(path + LIVE_PREFIX, volume->owner);
}

static int map_live(struct volume *volume, int fd)
{
    void *map = region_map(sizeof *volume->live, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_is_error(map))
        return (int)(intptr_t)map;
    volume->live = map;
    return 0;
}

void volume_live_open(struct volume *volume)
{
    char path[LIVE_PREFIX + VOLUME_LIVE_NAME_BYTES];
    struct stat st;
    name_from_inside(volume, path);
    int fd = sys_openat(volume->dirfd, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return;
    if (sys_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == volume->owner && st.st_nlink == 1 &&
        !(st.st_mode & LIVE_OTHERS_WRITE) && st.st_size == (off_t)sizeof *volume->live)
        map_live(volume, fd);
    sys_close(fd);
}

void volume_live_make(struct volume *volume)
{
    sys_unlinkat(volume->dirfd, new_name, 0); /* of one who died at it */
    int fd = sys_openat(volume->dirfd, new_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, LIVE_MODE);
    if (fd < 0)
        return;
    int result = grow_allocate(fd, 0, 0, sizeof *volume->live);
    if (result == 0 && sys_geteuid() != volume->owner)
        result = sys_fchown(fd, volume->owner, (gid_t)-1);
    if (result == 0)
        result = sys_fchmod(fd, LIVE_MODE); /* whatever the umask */
    if (result == 0)
        result = map_live(volume, fd);
    if (result < 0)
        sys_unlinkat(volume->dirfd, new_name, 0);
    sys_close(fd);
}

void volume_live_publish(struct volume *volume)
{
    char path[LIVE_PREFIX + VOLUME_LIVE_NAME_BYTES];
    name_from_inside(volume, path);
    if (volume->live && sys_renameat2(volume->dirfd, new_name, volume->dirfd, path, 0) == 0)
        return;
    volume_live_close(volume);
    sys_unlinkat(volume->dirfd, new_name, 0);
    sys_unlinkat(volume->dirfd, path, 0); /* of an earlier boot: better none than a wrong one */
}

void volume_live_close(struct volume *volume)
{
    if (volume->live)
        sys_munmap(volume->live, sizeof *volume->live);
    volume->live = NULL;
}

/* What the list says of a slot. A file that the kernel has for good may be opened by all. */
static uint64_t listed_ino(const struct volume_bucket *bucket, unsigned slot)
{
    if (atomic_load_explicit(&bucket->kernels, memory_order_seq_cst) >> slot &
        1) /* pairs with volume_note_passthrough */
        return 0;
    return atomic_load_explicit(&bucket->slot[slot].ino, memory_order_relaxed); /* under the lock */
}

void volume_live_note(struct volume *volume, const struct volume_bucket *bucket)
{
    if (!volume->live)
        return;
    _Atomic uint64_t *copy = volume->live->ino[bucket - volume->table->bucket];
    for (unsigned i = 0; i < VOLUME_SLOTS; i++) {
        uint64_t ino = listed_ino(bucket, i);
        if (atomic_load_explicit(&copy[i], memory_order_relaxed) == ino) /* only we store numbers, under the lock */
            continue;
        /* seq_cst, and a second look: of a volume_live_drop meanwhile either its store comes later or we see its bit */
        atomic_store_explicit(&copy[i], ino, memory_order_seq_cst);
        if (ino && listed_ino(bucket, i) == 0)
            atomic_store_explicit(&copy[i], 0, memory_order_relaxed);
    }
}

void volume_live_drop(struct volume *volume, const struct volume_bucket *bucket, const struct volume_slot *slot)
{
    if (volume->live) /* seq_cst: after the bit */
        atomic_store_explicit(&volume->live->ino[bucket - volume->table->bucket][slot - bucket->slot], 0,
                              memory_order_seq_cst);
}
