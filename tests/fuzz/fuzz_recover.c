/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fuzz_recover.c — a log made of the input, recovered in one of three ways: log_recover alone, volume_scan over a table
 * made of the input too, and an application's open. Each is compared with a second reader of the format (reference.h): the
 * same verdict, the same bytes; a refused log and its file stay as they were; a second recovery finds nothing to do; nothing
 * else is changed; the number of system calls is bounded.
 *
 * Most inputs get past the header: identity and checks are those of the file unless the input says otherwise.
 */
#include "fuzz/world.h"

#include "base/rawsys.h"
#include "log/log_recover.h"
#include "log/volume_private.h"
#include "uma/uma_private.h"
#include "unit/log_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* ---- the input ---- */

struct input {
    const uint8_t *at, *end;
};

static uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && in->at < in->end; i++)
        value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

enum input_flags {
    INPUT_SCAN = 1,
    INPUT_ATTACH = 2, /* and not INPUT_SCAN */
    INPUT_OTHER_BOOT = 4,
    INPUT_RAW_CHECKS = 8, /* checks of entries and header are not made right after they were changed */
    INPUT_ATOMIC = 16,
    INPUT_PASSTHROUGH = 32,
    INPUT_CUT = 64,
    INPUT_PATCH = 128, /* bytes are changed at the end, behind the checks' back */
};

/* A size: mostly small. */
static uint64_t take_size(struct input *in)
{
    uint64_t value = take(in, 2);
    return value == UINT16_MAX ? take(in, 8) : value % (3 * WORLD_FILE_MOST / 2);
}

static uint64_t take_epoch(struct input *in)
{
    uint64_t value = take(in, 1);
    return value == UINT8_MAX ? take(in, 8) : value % 16;
}

static uint64_t take_lines(struct input *in)
{
    uint64_t shape = take(in, 1);
    return shape == 0 ? 0 : shape == 1 ? ~UINT64_C(0) : shape < 128 ? UINT64_C(1) << shape % 64 : take(in, 8);
}

static void take_entry(struct input *in, struct world *w, uint32_t i, bool seal)
{
    struct log_entry *entry = &w->entry[i];
    uint64_t block = take(in, 1), seq = take(in, 1);
    block = block == UINT8_MAX ? take(in, 8) : block % 12;
    seq = seq == UINT8_MAX ? take(in, 8) : seq % 8;
    entry->block = block;
    entry->seq = seq;
    if (seal)
        image_name_entry(entry, LOG_FIRST_BLOCK + i, block, seq);
    for (unsigned r = 0; r < 2; r++) {
        entry->record[r].epoch = take_epoch(in);
        if (!entry->record[r].epoch)
            continue;
        entry->record[r].base = take_lines(in);
        entry->record[r].flip = take_lines(in);
    }
}

static void take_header(struct input *in, struct world *w, unsigned flags)
{
    struct log_header *h = &w->header;
    uint64_t set = take(in, 1);
    if (set & 1)
        h->epoch = take_epoch(in);
    if (set & 2)
        h->floor = take_epoch(in);
    if (set & 4)
        h->size[0] = take_size(in);
    if (set & 8)
        h->size[1] = take_size(in);
    if (set & 16)
        h->newest_size = take_size(in);
    if (set & 32)
        h->identity.generation ^= take(in, 1);
    if (set & 64)
        h->version = (uint32_t)take(in, 1);
    if (set & 128)
        h->owner += (uint32_t)take(in, 1);
    h->flags = (flags & INPUT_ATOMIC ? LOG_FLAG_ATOMIC : 0) | (flags & INPUT_PASSTHROUGH ? LOG_FLAG_PASSTHROUGH : 0);
    if (flags & INPUT_OTHER_BOOT)
        h->boot_id[0] ^= 1;
    if (!(flags & INPUT_RAW_CHECKS))
        image_seal_header(h);
}

/* Changes bytes of the used lines of the header, of the path's beginning or of the entries. */
static void take_patches(struct input *in, struct world *w)
{
    const unsigned used = 256, path = 16;
    while (in->at < in->end) {
        uint64_t at = take(in, 2) % (used + path + sizeof w->entry);
        uint8_t change = (uint8_t)take(in, 1);
        if (at < used)
            ((uint8_t *)&w->header)[at] ^= change;
        else if (at < used + path)
            w->header.path[at - used] ^= (char)change;
        else
            ((uint8_t *)w->entry)[at - used - path] ^= change;
    }
}

static unsigned take_all(struct input *in, struct world *w)
{
    unsigned flags = (unsigned)take(in, 1);
    world_begin(w, take_size(in));
    take_header(in, w, flags);
    uint64_t count = take(in, 1) % (WORLD_ENTRIES + 1);
    for (uint32_t i = 0; i < count; i++)
        take_entry(in, w, i, !(flags & INPUT_RAW_CHECKS));
    if (flags & INPUT_CUT) {
        uint64_t step = take(in, 2);
        w->length = step & 1 ? w->length - step / 2 * LOG_ENTRY_BYTES % w->length
                             : step / 2 * LOG_ENTRY_BYTES % (WORLD_IMAGE + LOG_BLOCK);
    }
    if (flags & INPUT_PATCH)
        take_patches(in, w);
    return flags;
}

/* ---- recovery alone ---- */

static void check_recovered(const struct world *w, const struct reference *want, const struct log_recovery *got)
{
    world_check(got->size == want->size && got->entries == want->entries && got->lines == want->lines);
    world_check(got->promoted == want->promoted);
    world_check_file(w, want);
}

/* Header and entries as they are on the file system now, for the reference: nothing is left to do. */
static void check_settled(struct world *w, struct log *log, const struct reference *want)
{
    static struct reference again;
    world_check(pread(w->log_fd, &w->header, sizeof w->header, 0) == sizeof w->header);
    world_check(pread(w->log_fd, w->entry, sizeof w->entry, (off_t)log_entry_offset(LOG_FIRST_BLOCK)) ==
                sizeof w->entry);
    world_check(w->header.epoch > w->header.floor);
    world_expect(w, &again);
    world_check(again.error == 0 && again.entries == 0 && again.size == want->size);
    world_check(memcmp(w->header.boot_id, w->boot, sizeof w->boot) == 0);
    struct log_recovery second;
    world_watch(want->size);
    world_check(log_recover(log, w->fd, &second) == 0);
    world_watch_end();
    world_check(second.entries == 0 && second.lines == 0 && second.size == want->size);
    world_check_file(w, want);
}

static void run_recovery(struct world *w, const struct reference *want)
{
    struct log log;
    struct log_recovery got;
    if (world_recover(w, want, &log, &got) == 0) {
        check_recovered(w, want, &got);
        check_settled(w, &log, want);
    }
    log_close(&log);
    if (want->error) {
        world_check_untouched(w);
        world_check_log_kept(w);
    }
}

/* ---- a scan ---- */

/* A volume of the world with a table of its own. */
static struct volume *get_volume(struct world *w)
{
    static struct volume volume;
    struct stat st;
    if (!volume.table) {
        volume.table = mmap(NULL, sizeof *volume.table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        world_check(volume.table != MAP_FAILED && fstat(w->fd, &st) == 0);
        volume.owner = geteuid();
        volume.dirfd = w->dirfd;
        volume.dev_major = (uint32_t)(st.st_dev >> 8 & 0xfff);
        volume.dev_minor = (uint32_t)((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00));
        volume.sync = PM_MAP_SYNC_NEVER;
        volume.table_fd = openat(w->dirfd, "locks", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        volume.self = 1u << VOLUME_INDEX_BITS; /* the process of entry 0 */
        unlinkat(w->dirfd, "locks", 0);
    }
    return &volume;
}

/* The bucket of the file, and a word of a process, made of what is left of the input. */
static struct volume_bucket *take_table(struct input *in, struct volume *volume, uint64_t ino)
{
    struct volume_table *table = volume->table;
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    memset(bucket, 0, sizeof *bucket);
    memset(table->process, 0, 2 * sizeof *table->process);
    table->high = 1;
    table->process[0].generation = 1;
    if (in->at == in->end)
        return bucket;
    uint8_t *raw = (uint8_t *)bucket;
    for (size_t i = 0; i < sizeof *bucket && in->at < in->end; i++)
        raw[i] = (uint8_t)take(in, 1);
    if ((shlock_owner(&bucket->lock) & (VOLUME_PROCESSES - 1)) == 0)
        memset(&bucket->lock, 0, sizeof bucket->lock); /* held by ourselves for ever: nobody can tell */
    if (in->at < in->end) {
        table->high = (uint32_t)take(in, 4);
        table->process[1].generation = (uint32_t)take(in, 4);
        table->process[1].inflight[0] = take(in, 8);
    }
    return bucket;
}

static void run_scan(struct input *in, struct world *w, const struct reference *want)
{
    struct volume *volume = get_volume(w);
    struct volume_bucket *bucket = take_table(in, volume, w->ino);
    (void)bucket;
    world_watch(want->size);
    world_check(volume_scan(volume) == 0);
    world_watch_end();
    bool path_is_right = strncmp(w->header.path, w->path, LOG_PATH_BYTES) == 0;
    if (want->error == -ENODATA) {
        world_check_untouched(w);
        if (world_log_is_void(w))
            world_check(!world_log_exists(w));
        else
            world_check_log_kept(w);
    } else if (want->passthrough && w->header.identity.ino) { /* nothing to recover, whatever is in it */
        world_check_untouched(w);
        world_check(!world_log_exists(w));
    } else if (want->error || !path_is_right) {
        world_check_untouched(w);
        world_check_log_kept(w);
    } else {
        world_check_file(w, want);
        world_check(!world_log_exists(w));
    }
}

/* ---- an open ---- */

/* Registers the log for the file's inode, as the process that used it had done. */
static struct volume *register_log(struct world *w)
{
    struct statx stx;
    world_check(sys_statx(w->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    struct volume *volume = volume_of(w->fd, &stx);
    world_check(volume && volume_lock_inode(volume, w->ino) == 0);
    world_check(volume_register_log(volume, w->ino, w->id) == 0);
    volume_unlock_inode(volume, w->ino);
    return volume;
}

static void run_attach(struct world *w, const struct reference *want)
{
    struct uma *uma = NULL;
    struct volume *volume = register_log(w);
    int fd = open(w->path, O_RDWR | O_CLOEXEC);
    int error = uma_open(fd, O_RDWR, NULL, &uma);
    bool is_void = want->error == -ENODATA && world_log_is_void(w);
    bool passthrough = want->passthrough && !want->other;
    bool refused = want->error && !want->other && !is_void && !passthrough;
    world_check(error == (refused ? -EIO : 0));
    if (!error)
        world_check(uma_close(uma, fd) == 0);
    close(fd);
    if (want->error || passthrough)
        world_check_untouched(w);
    else
        world_check_file(w, want);
    if (want->error && !passthrough)
        world_check_log_kept(w);
    else
        world_check(!world_log_exists(w));
    world_check(volume_is_attached(volume, w->ino) == refused);
    world_check(volume_lock_inode(volume, w->ino) == 0);
    volume_unregister_log(volume, w->ino);
    volume_unlock_inode(volume, w->ino);
}

/* Sizes that the kernel itself refuses, or the memory of the machine, prove nothing about the library. */
static bool is_possible(const struct reference *want)
{
    return want->error || want->size <= UINT64_C(1) << 44;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct reference want;
    struct input in = {bytes, bytes + size};
    setenv("NVMMIO_CONF", "pool:0,pm:force", 1);
    struct world *w = world_get();
    setenv("NVMMIO_ROOT", w->root, 1);
    unsigned flags = take_all(&in, w);
    world_plant(w);
    world_expect(w, &want);
    if (!is_possible(&want))
        return 0;
    if (flags & INPUT_SCAN)
        run_scan(&in, w, &want);
    else if (flags & INPUT_ATTACH)
        run_attach(w, &want);
    else
        run_recovery(w, &want);
    world_check_bystanders(w);
    return 0;
}
