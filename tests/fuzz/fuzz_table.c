/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fuzz_table.c — a volume whose table and list of inodes hold the input's bytes, opened in the same boot or another, then
 * used as an open and a call on the kernel's path use it. Whatever is there, it ends, and nothing else is changed: the log
 * of the world is recovered or kept, its file is whole.
 */
#include "fuzz/world.h"

#include "base/rawsys.h"
#include "log/log_recover.h"
#include "log/volume_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum table_flags {
    TABLE_OTHER_BOOT = 1,
    TABLE_RAW_HEADER = 2, /* magic, version and boot are the input's as well */
    TABLE_CUT = 4,
    TABLE_LIVE = 8, /* UID.live is there, with garbage */
    TABLE_LOG = 16, /* the world's log is there */
};

static struct {
    struct volume volume;
    int fd; /* of the table */
} state;

static void make_volume(struct world *w)
{
    struct stat st;
    memset(&state.volume, 0, sizeof state.volume);
    world_check(fstat(w->fd, &st) == 0);
    state.volume.owner = geteuid();
    state.volume.root = w->root;
    state.volume.root_length = strlen(w->root);
    state.volume.dev_major = major(st.st_dev);
    state.volume.dev_minor = minor(st.st_dev);
    state.volume.dirfd = w->dirfd;
    state.volume.table_fd = -1;
}

/* Where the next bytes of the input go: the header, the first processes, the file's bucket, or any place. */
static uint64_t patch_offset(const struct world *w, uint64_t choice, bool raw_header)
{
    uint64_t rest = choice >> 2;
    switch (choice & 3) {
    case 0:
        return raw_header ? rest % 32 : offsetof(struct volume_table, high) + rest % 4;
    case 1:
        return offsetof(struct volume_table, process) + rest % (4 * sizeof(struct volume_process));
    case 2:
        return offsetof(struct volume_table, bucket) + live_bucket(w->ino) * sizeof(struct volume_bucket) +
               rest % sizeof(struct volume_bucket);
    default:
        return sizeof(struct volume_table) * rest >> 14;
    }
}

static void plant_table(const struct world *w, const uint8_t *bytes, size_t size, unsigned flags)
{
    const uint64_t magic = VOLUME_MAGIC, boot[2] = {w->boot[0] ^ (flags & TABLE_OTHER_BOOT), w->boot[1]};
    const uint32_t version = VOLUME_VERSION;
    world_check(ftruncate(state.fd, 0) == 0 && ftruncate(state.fd, sizeof(struct volume_table)) == 0);
    pwrite(state.fd, &magic, sizeof magic, offsetof(struct volume_table, magic));
    pwrite(state.fd, &version, sizeof version, offsetof(struct volume_table, version));
    pwrite(state.fd, boot, sizeof boot, offsetof(struct volume_table, boot_id));
    while (size >= 3) {
        uint64_t offset = patch_offset(w, bytes[0] | bytes[1] << 8, flags & TABLE_RAW_HEADER);
        size_t length = bytes[2] % 24u + 1;
        bytes += 3;
        size -= 3;
        length = length < size ? length : size;
        pwrite(state.fd, bytes, length, (off_t)offset);
        bytes += length;
        size -= length;
        if (flags & TABLE_CUT && size < 3)
            world_check(ftruncate(state.fd, (off_t)offset) == 0);
    }
    struct stat st;
    world_check(fstat(state.fd, &st) == 0);
    if (st.st_size > (off_t)sizeof(struct volume_table))
        world_check(ftruncate(state.fd, sizeof(struct volume_table)) == 0);
}

static void plant_live(const struct world *w, const uint8_t *bytes, size_t size, bool there)
{
    char path[WORLD_PATH + 64];
    snprintf(path, sizeof path, "%s/.nvmmio/%u.live", w->root, (unsigned)geteuid());
    unlink(path);
    if (!there)
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    world_check(fd >= 0 && ftruncate(fd, sizeof(struct live_list)) == 0);
    pwrite(fd, bytes, size, (off_t)(live_bucket(w->ino) * VOLUME_SLOTS * sizeof(uint64_t)));
    close(fd);
}

static void use(struct world *w, struct volume *volume)
{
    struct volume_inflight inflight;
    uint64_t self = volume_self(volume);
    world_check(self && self <= SHLOCK_OWNER_MAX);
    if (volume_enter_kernel(volume, w->ino, true, &inflight))
        volume_leave_kernel(&inflight);
    if (volume_enter_kernel(volume, w->ino + 1, false, &inflight))
        volume_leave_kernel(&inflight);
    world_check(volume_lock_inode(volume, w->ino) == 0);
    uint64_t id = volume_find_log(volume, w->ino);
    struct log log;
    if (id && log_open(&log, volume->dirfd, id, volume->owner) == 0)
        log_close(&log);
    if (volume_register_log(volume, w->ino, w->id) == 0) {
        world_check(volume_find_log(volume, w->ino) == w->id && volume_is_attached(volume, w->ino));
        volume_note_passthrough(volume, w->ino);
        volume_unregister_log(volume, w->ino);
        world_check(volume_find_log(volume, w->ino) != w->id || id == w->id);
    }
    volume_unlock_inode(volume, w->ino);
    for (uint32_t i = 0; i < 4; i++)
        volume_is_dead(volume, (uint64_t)volume->table->process[i].generation << VOLUME_INDEX_BITS | i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct world *w = world_get();
    if (size < 1)
        return 0;
    unsigned flags = bytes[0];
    if (!state.fd) {
        state.fd = openat(w->dirfd, "table", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        world_check(state.fd > 0);
        setenv("NVMMIO_CONF", "pool:0,pm:force", 1);
        setenv("NVMMIO_ROOT", w->root, 1);
    }
    world_begin(w, 5000);
    world_plant(w);
    if (!(flags & TABLE_LOG))
        world_remove_log(w);
    make_volume(w);
    plant_table(w, bytes + 1, size - 1, flags);
    plant_live(w, bytes + 1, size - 1, flags & TABLE_LIVE);
    int error = volume_table_open(&state.volume);
    world_check(error == 0);
    use(w, &state.volume);
    volume_table_close(&state.volume);
    world_check_untouched(w); /* recovered or not: there is nothing in the log */
    world_check_bystanders(w);
    return 0;
}
