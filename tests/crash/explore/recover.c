/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * recover.c — volume_scan's way through the logs of an image.
 */
#include "crash/explore/recover.h"

#include "log/log.h"
#include "log/log_recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The log of that name, as if opened, mapped and locked. */
static struct log open_log(const struct image *image, const struct image_name *name, uint64_t id)
{
    struct log log;
    memset(&log, 0, sizeof log);
    log.id = id;
    log.dirfd = kernel_directory_fd(name->directory);
    log.fd = kernel_fd(name->file);
    pm_map_prepare(&log.map, log.fd, true, true, PM_MAP_SYNC_NEVER);
    atomic_store(&log.map.segment[0], (char *)image->file[name->file].bytes);
    return log;
}

/* The file that the header means, if it has a name. */
static bool find_file(const struct image *image, const struct log_header *header, uint32_t *file)
{
    for (uint32_t i = 0; i < image->files; i++)
        if (image->trace->file[i].kind == TRACE_FILE_DATA && image_exists(image, i) &&
            log_identity_equal(&image->trace->file[i].identity, &header->identity)) {
            *file = i;
            return true;
        }
    return false;
}

static int recover_log(struct image *image, const struct image_name *name, uint64_t id)
{
    static struct log_header header; /* a page: not for the stack; one recovery runs at a time */
    struct log log = open_log(image, name, id);
    uint32_t file;
    int result = log_check(&log, image->trace->file[name->file].owner, &header);
    if (result == -ENODATA) /* pooled; one with entries in use would be taken for damaged, and kept for ever */
        return log_is_void(&log, &header) ? 0 : -EBADMSG;
    if (result < 0)
        return result;
    if (!(header.flags & LOG_FLAG_PASSTHROUGH)) {
        if (!find_file(image, &header, &file))
            return 0; /* it waits for its file */
        result = log_recover(&log, kernel_fd(file), NULL);
        if (result < 0)
            return result;
    }
    log_retire(&log);
    log_unlink(&log);
    return 0;
}

int recover_image(struct image *image, unsigned boot, struct kernel_tape *tape, uint64_t *changes)
{
    int result = 0;
    uint64_t id;
    kernel_begin(image, boot, tape);
    for (uint32_t i = 0; i < image->names; i++) {
        const struct image_name *name = &image->name[i];
        if (name->file == IMAGE_NO_FILE || !image->file[name->file].log || !log_name_parse(name->text, &id))
            continue;
        int error = recover_log(image, name, id);
        if (error < 0 && result == 0)
            result = error;
    }
    if (changes)
        *changes = kernel_changes();
    kernel_end();
    return kernel_trouble() ? -EPROTO : result;
}

uint32_t recover_files(const struct image *image, struct explore_file *file)
{
    uint32_t files = 0;
    for (uint32_t i = 0; i < image->files; i++)
        if (image->trace->file[i].kind == TRACE_FILE_DATA)
            file[files++] = (struct explore_file){.file = i,
                                                  .exists = image_exists(image, i),
                                                  .size = image->file[i].size,
                                                  .bytes = image->file[i].bytes};
    return files;
}

void recover_copy_take(struct recover_copy *copy, const struct image *image)
{
    if (!copy->file)
        copy->file = calloc(image->files + 1, sizeof *copy->file);
    if (!copy->file)
        abort();
    copy->files = recover_files(image, copy->file);
    size_t need = 0;
    for (uint32_t i = 0; i < copy->files; i++)
        need += copy->file[i].exists ? copy->file[i].size : 0;
    if (need > copy->room) {
        free(copy->bytes);
        copy->room = need * 2;
        copy->bytes = malloc(copy->room);
        if (!copy->bytes)
            abort();
    }
    size_t at = 0;
    for (uint32_t i = 0; i < copy->files; i++) {
        struct explore_file *file = &copy->file[i];
        if (!file->exists)
            continue;
        memcpy(copy->bytes + at, file->bytes, file->size);
        file->bytes = copy->bytes + at;
        at += file->size;
    }
}

bool recover_copy_equal(const struct recover_copy *copy, const struct image *image, uint32_t *file, uint64_t *offset)
{
    for (uint32_t i = 0; i < copy->files; i++) {
        const struct explore_file *wanted = &copy->file[i];
        const struct image_file *found = &image->file[wanted->file];
        *file = wanted->file;
        *offset = UINT64_MAX;
        if (wanted->exists != image_exists(image, wanted->file))
            return false;
        if (!wanted->exists)
            continue;
        if (wanted->size != found->size)
            return false;
        if (memcmp(wanted->bytes, found->bytes, found->size) == 0)
            continue;
        *offset = 0;
        while (wanted->bytes[*offset] == found->bytes[*offset])
            ++*offset;
        return false;
    }
    return true;
}

struct seen_key recover_copy_hash(const struct recover_copy *copy)
{
    struct seen_key key = {{copy->files, 0}};
    for (uint32_t i = 0; i < copy->files; i++) {
        const struct explore_file *file = &copy->file[i];
        key = seen_under(key, file->exists ? file->size + 1 : 0);
        for (uint64_t at = 0; file->exists && at < file->size; at += sizeof(uint64_t)) {
            uint64_t word = 0;
            memcpy(&word, file->bytes + at, file->size - at < sizeof word ? file->size - at : sizeof word);
            key.half[0] = (key.half[0] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            key.half[0] ^= key.half[0] >> 29;
            key.half[1] = (key.half[1] + word) * UINT64_C(0xc2b2ae3d27d4eb4f);
            key.half[1] ^= key.half[1] >> 31;
        }
    }
    return key;
}

void recover_copy_free(struct recover_copy *copy)
{
    free(copy->file);
    free(copy->bytes);
    memset(copy, 0, sizeof *copy);
}
