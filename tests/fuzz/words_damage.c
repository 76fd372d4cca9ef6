/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * words_damage.c — random words of a live index and of a volume's table become others. Called by words.c.
 */
#include "words.h"

#include "log/log_index.h"
#include "log/volume_private.h"
#include "uma/uma_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOTES 8u

static struct {
    struct note {
        const char *target;
        size_t offset;
        uint64_t before, after;
    } note[NOTES];
    unsigned noted;
    const char *what, *base; /* what is damaged now, and where it lies */
} damage;

/* A number as damage makes it: one bit off, small, one that somebody else has, or anything. */
static uint64_t odd_number(uint64_t now)
{
    switch (words_random(6)) {
    case 0:
    case 1:
        return now ^ UINT64_C(1) << words_random(64);
    case 2:
        return 1 + words_random(WORDS_WORKERS * INDEX_RECORDS);
    case 3:
        return now + words_random(9) - 4;
    case 4:
        return ~words_random(3);
    default:
        return words_random(UINT64_MAX);
    }
}

/* For who looks at a session that failed. */
static void damage_note(const void *at, uint64_t before, uint64_t after)
{
    if (damage.noted < NOTES)
        damage.note[damage.noted++] =
            (struct note){damage.what, (size_t)((const char *)at - damage.base), before, after};
}

static void damage_word(void *at)
{
    _Atomic uint64_t *word = at;
    uint64_t now = atomic_load(word), odd = odd_number(now);
    atomic_store(word, odd);
    damage_note(at, now, odd);
}

static void damage_half(void *at)
{
    _Atomic uint32_t *word = at;
    uint32_t now = atomic_load(word), odd = (uint32_t)odd_number(now | (words_random(2) ? UINT64_C(1) << 32 : 0));
    atomic_store(word, odd);
    damage_note(at, now, odd);
}

static void damage_any(char *start, size_t bytes)
{
    if (words_random(2))
        damage_word(start + words_random(bytes / 8) * 8);
    else
        damage_half(start + words_random(bytes / 4) * 4);
}

/* Locks above all: half of what hits the shared page hits one. */
static void damage_lock(struct index_shared *shared)
{
    struct shlock *const locks[] = {&shared->gate,       &shared->resize_lock, &shared->commit_lock,
                                    &shared->times_lock, &shared->alloc_lock,  &shared->grow_lock,
                                    &shared->node_lock,  &shared->kernel_lock, &shared->repair_lock};
    damage_half(&locks[words_random(sizeof locks / sizeof *locks)]->word);
}

static void damage_index(struct index *index)
{
    char *base = (char *)index->shared;
    struct index_slot *slot;
    damage.what = "index";
    damage.base = base;
    switch (words_random(8)) {
    case 0:
    case 1:
        damage_lock(index->shared);
        break;
    case 2:
        damage_any(base + 64, sizeof *index->shared - 64); /* behind magic and nonce, which only joining looks at */
        break;
    case 3:
        damage_any(base + INDEX_PROCESSES_OFFSET, (size_t)(WORDS_WORKERS + 2) * 8);
        break;
    case 4:
    case 5:
        damage_any(base + INDEX_RECORDS_OFFSET, (size_t)WORDS_WORKERS * INDEX_RECORDS * sizeof(struct index_record));
        break;
    case 6:
        slot = index_find(index, words_random(WORDS_FILE_BYTES / UMA_BLOCK));
        if (slot)
            damage_any((char *)slot, sizeof *slot);
        break;
    default:
        damage_any(base + (words_random(2) ? INDEX_NODES_OFFSET : INDEX_SUPERSEDED_OFFSET), (size_t)INDEX_PAGE);
    }
}

static void damage_table(struct volume_table *table, const struct words_target *target)
{
    struct volume_bucket *bucket = &table->bucket[live_bucket(target->file)];
    damage.what = "table";
    damage.base = (const char *)table;
    switch (words_random(5)) {
    case 0:
        damage_any((char *)&table->high, offsetof(struct volume_table, reserved) - offsetof(struct volume_table, high));
        break;
    case 1:
        damage_any((char *)table->process, (WORDS_WORKERS + 1) * sizeof *table->process);
        break;
    case 2: { /* as if a call were under way */
        _Atomic uint64_t *word = &table->process[words_random(WORDS_WORKERS)].inflight[words_random(VOLUME_WORDS)];
        uint64_t odd =
            live_bucket(words_random(2) ? target->file : target->other) + 1 + (words_random(2) ? UINT64_C(1) << 13 : 0);
        damage_note(word, atomic_exchange(word, odd), odd);
        break;
    }
    case 3:
        damage_half(&table->bucket[live_bucket(words_random(2) ? target->file : target->other)].lock.word);
        break;
    default:
        if (live_bucket(target->file) != live_bucket(target->other))
            damage_any((char *)bucket, sizeof *bucket);
    }
}

/* The index object of now, mapped here as it is by those who use it. */
static bool open_index(struct index *index, uint64_t nonce)
{
    char path[LOG_INDEX_PATH_BYTES];
    memset(index, 0, sizeof *index);
    if (!nonce)
        return false;
    log_index_path(geteuid(), nonce, path);
    index->fd = open(path, O_RDWR | O_CLOEXEC);
    if (index->fd < 0)
        return false;
    if (pm_map_open(&index->map, index->fd, true, true, PM_MAP_SYNC_NEVER)) {
        close(index->fd);
        return false;
    }
    index->shared = pm_map_at(&index->map, 0);
    return true;
}

static struct volume_table *open_table(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    words_must(fd >= 0, "open the table");
    void *map = mmap(NULL, sizeof(struct volume_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    words_must(map != MAP_FAILED, "map the table");
    close(fd);
    return map;
}

void words_damage(const struct words_target *target)
{
    struct index index;
    if (words_random(4) == 0) {
        struct volume_table *table = open_table(target->table);
        damage_table(table, target);
        munmap(table, sizeof *table);
    } else if (open_index(&index, target->nonce())) {
        damage_index(&index);
        pm_map_close(&index.map);
        close(index.fd);
    }
}

void words_tell(void)
{
    for (unsigned i = 0; i < damage.noted; i++)
        fprintf(stderr, "    %s + 0x%zx: %llx -> %llx\n", damage.note[i].target, damage.note[i].offset,
                (unsigned long long)damage.note[i].before, (unsigned long long)damage.note[i].after);
}

void words_forget(void)
{
    damage.noted = 0;
}
