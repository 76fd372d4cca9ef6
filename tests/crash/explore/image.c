/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * image.c — the medium in memory: words, sizes, names; hash and undo.
 */
#include "crash/explore/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { UNDO_WORD, UNDO_SIZE, UNDO_NAME, UNDO_BYTES };
enum { HASH_SIZE = 1, HASH_NAME = 2 }; /* kinds beside words */
#define HASH_KIND_SHIFT 60
#define HASH_FILE_SHIFT 40
#define WORD_BYTES 8u

static void *image_memory(void *memory)
{
    if (!memory) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    return memory;
}

/* ---- hash ---- */

/* Words of a log's header that have another value in every run: boot id, identity, their checks, index object, path. */
static bool is_accidental(uint64_t word)
{
    static const struct {
        uint32_t from, to;
    } accidental[] = {
        {offsetof(struct log_header, boot_id), offsetof(struct log_header, flags)},
        {offsetof(struct log_header, check), offsetof(struct log_header, check) + WORD_BYTES},
        {offsetof(struct log_header, boot_check), offsetof(struct log_header, boot_check) + WORD_BYTES},
        {offsetof(struct log_header, identity), offsetof(struct log_header, identity) + sizeof(struct log_identity)},
        {offsetof(struct log_header, index_nonce), LOG_HEADER_BYTES},
    };
    uint64_t offset = word * WORD_BYTES;
    for (size_t i = 0; offset < LOG_HEADER_BYTES && i < sizeof accidental / sizeof *accidental; i++)
        if (offset >= accidental[i].from && offset < accidental[i].to)
            return true;
    return false;
}

static struct seen_key hash_of(uint64_t position, uint64_t value)
{
    uint64_t at = seen_mix(position + UINT64_C(0xa0761d6478bd642f));
    return (struct seen_key){{seen_mix(value + at), seen_mix((value ^ at) * UINT64_C(0xe7037ed1a0b428db) + at)}};
}

static void hash_toggle(struct seen_key *hash, const struct seen_key *part)
{
    hash->half[0] ^= part->half[0];
    hash->half[1] ^= part->half[1];
}

/* Zero has no part in the hash. */
static void hash_change(struct image *image, uint64_t position, uint64_t before, uint64_t now, bool accidental)
{
    struct seen_key part = {{0, 0}};
    if (before)
        part = hash_of(position, before);
    if (now) {
        struct seen_key other = hash_of(position, now);
        hash_toggle(&part, &other);
    }
    hash_toggle(&image->hash, &part);
    if (!accidental)
        hash_toggle(&image->plain, &part);
}

static uint64_t word_position(uint32_t file, uint64_t word)
{
    return (uint64_t)file << HASH_FILE_SHIFT | word;
}

static uint64_t kind_position(uint64_t kind, uint32_t number)
{
    return kind << HASH_KIND_SHIFT | number;
}

/* ---- the three things that change ---- */

static void note_undo(struct image *image, uint8_t kind, uint32_t file, uint64_t place, uint64_t before)
{
    if (image->undo_count == image->undo_room) {
        image->undo_room = image->undo_room ? image->undo_room * 2 : 4096;
        image->undo = image_memory(realloc(image->undo, image->undo_room * sizeof *image->undo));
    }
    image->undo[image->undo_count++] =
        (struct image_undo){.kind = kind, .file = file, .place = place, .before = before};
}

static void set_word(struct image *image, uint32_t file, uint64_t word, uint64_t value)
{
    uint64_t before = image_word(image, file, word);
    hash_change(image, word_position(file, word), before, value, image->file[file].log && is_accidental(word));
    memcpy(image->file[file].bytes + word * WORD_BYTES, &value, WORD_BYTES);
    image_note_page(image, file, word * WORD_BYTES);
}

static void set_size(struct image *image, uint32_t file, uint64_t size)
{
    hash_change(image, kind_position(HASH_SIZE, file), image->file[file].size, size, false);
    image->file[file].size = size;
}

/* A name's hash value is the file's number + 1. */
static void set_name(struct image *image, uint32_t name, uint32_t file)
{
    uint32_t before = image->name[name].file;
    hash_change(image, kind_position(HASH_NAME, name), before == IMAGE_NO_FILE ? 0 : before + 1,
                file == IMAGE_NO_FILE ? 0 : file + 1, false);
    if (before != IMAGE_NO_FILE)
        image->file[before].links--;
    if (file != IMAGE_NO_FILE)
        image->file[file].links++;
    image->name[name].file = file;
}

/* Takes back what image_save_bytes has kept. */
static void restore_bytes(struct image *image, const struct image_undo *undo)
{
    image->saved.count -= undo->before;
    memcpy(image->file[undo->file].bytes + undo->place, image->saved.bytes + image->saved.count, undo->before);
}

void image_save_bytes(struct image *image, uint32_t file, uint64_t offset, uint64_t length)
{
    struct image_saved *saved = &image->saved;
    if (saved->count + length > saved->room) {
        saved->room = (saved->count + length) * 2;
        saved->bytes = image_memory(realloc(saved->bytes, saved->room));
    }
    memcpy(saved->bytes + saved->count, image->file[file].bytes + offset, length);
    saved->count += length;
    note_undo(image, UNDO_BYTES, file, offset, length);
    for (uint64_t page = offset / IMAGE_PAGE; page * IMAGE_PAGE < offset + length; page++)
        image_note_page(image, file, page * IMAGE_PAGE);
}

struct image_point image_mark(const struct image *image)
{
    return (struct image_point){.undo_count = image->undo_count, .hash = image->hash, .plain = image->plain};
}

static void undo_name(struct image *image, const struct image_undo *undo)
{
    struct image_name *name = &image->name[undo->file];
    if (name->file != IMAGE_NO_FILE)
        image->file[name->file].links--;
    name->file = (uint32_t)undo->before;
    if (name->file != IMAGE_NO_FILE)
        image->file[name->file].links++;
}

void image_rewind(struct image *image, struct image_point mark)
{
    while (image->undo_count > mark.undo_count) {
        const struct image_undo *undo = &image->undo[--image->undo_count];
        if (undo->kind == UNDO_WORD)
            memcpy(image->file[undo->file].bytes + undo->place * WORD_BYTES, &undo->before, WORD_BYTES);
        else if (undo->kind == UNDO_SIZE)
            image->file[undo->file].size = undo->before;
        else if (undo->kind == UNDO_BYTES)
            restore_bytes(image, undo);
        else
            undo_name(image, undo);
    }
    image->hash = mark.hash;
    image->plain = mark.plain;
}

/* ---- changes ---- */

uint64_t image_word(const struct image *image, uint32_t file, uint64_t word)
{
    uint64_t value;
    memcpy(&value, image->file[file].bytes + word * WORD_BYTES, WORD_BYTES);
    return value;
}

uint64_t image_mask_bits(uint8_t mask)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < WORD_BYTES; i++)
        if (mask >> i & 1)
            bits |= UINT64_C(0xff) << i * 8;
    return bits;
}

void image_put_word(struct image *image, uint32_t file, uint64_t word, uint64_t value, uint8_t mask)
{
    uint64_t before = image_word(image, file, word);
    if (mask != UINT8_MAX) {
        uint64_t bits = image_mask_bits(mask);
        value = (before & ~bits) | (value & bits);
    }
    if (value == before)
        return;
    note_undo(image, UNDO_WORD, file, word, before);
    set_word(image, file, word, value);
}

uint64_t image_next_page(const struct image *image, uint32_t file, uint64_t page)
{
    const uint64_t *bits = image->file[file].page;
    while (page < IMAGE_PAGES) {
        uint64_t rest = bits[page / 64] >> page % 64;
        if (rest)
            return page + (uint64_t)__builtin_ctzll(rest);
        page = (page / 64 + 1) * 64;
    }
    return IMAGE_PAGES;
}

void image_zero(struct image *image, uint32_t file, uint64_t from, uint64_t to)
{
    if (to > IMAGE_ROOM)
        to = IMAGE_ROOM;
    for (uint64_t page = image_next_page(image, file, from / IMAGE_PAGE); page * IMAGE_PAGE < to && page < IMAGE_PAGES;
         page = image_next_page(image, file, page + 1)) {
        uint64_t start = page * IMAGE_PAGE, end = start + IMAGE_PAGE;
        if (start < from)
            start = from;
        if (end > to)
            end = to;
        for (uint64_t word = start / WORD_BYTES; word * WORD_BYTES < end; word++) {
            uint8_t mask = 0;
            for (unsigned i = 0; i < WORD_BYTES; i++)
                if (word * WORD_BYTES + i >= start && word * WORD_BYTES + i < end)
                    mask |= (uint8_t)(1u << i);
            image_put_word(image, file, word, 0, mask);
        }
    }
}

void image_set_size(struct image *image, uint32_t file, uint64_t size)
{
    uint64_t before = image->file[file].size;
    if (size == before)
        return;
    if (size < before)
        image_zero(image, file, image_page_up(size), IMAGE_ROOM);
    note_undo(image, UNDO_SIZE, file, 0, before);
    set_size(image, file, size);
}

/* Words [from, from + count) become those at `source`; what has no source word becomes zero. */
static void move_words(struct image *image, uint32_t file, uint64_t to, uint64_t source, uint64_t count, bool upwards)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = upwards ? i : count - 1 - i;
        image_put_word(image, file, to + at, image_word(image, file, source + at), UINT8_MAX);
    }
}

void image_collapse(struct image *image, uint32_t file, uint64_t offset, uint64_t length)
{
    uint64_t size = image->file[file].size, end = image_page_up(size);
    if (offset + length > size)
        return;
    move_words(image, file, offset / WORD_BYTES, (offset + length) / WORD_BYTES, (end - offset - length) / WORD_BYTES,
               true);
    image_zero(image, file, end - length, end);
    image_set_size(image, file, size - length);
}

void image_insert(struct image *image, uint32_t file, uint64_t offset, uint64_t length)
{
    uint64_t size = image->file[file].size, end = image_page_up(size);
    if (end + length > IMAGE_ROOM)
        return;
    image_set_size(image, file, size + length);
    move_words(image, file, (offset + length) / WORD_BYTES, offset / WORD_BYTES, (end - offset) / WORD_BYTES, false);
    image_zero(image, file, offset, offset + length);
}

void image_link(struct image *image, uint32_t name, uint32_t file)
{
    if (image->name[name].file == file)
        return;
    note_undo(image, UNDO_NAME, name, 0, image->name[name].file);
    set_name(image, name, file);
}

/* ---- open and close ---- */

uint32_t image_name_number(struct image *image, uint32_t directory, const char *text)
{
    for (uint32_t i = 0; i < image->names; i++)
        if (image->name[i].directory == directory && strcmp(image->name[i].text, text) == 0)
            return i;
    if (image->names == image->name_room) {
        image->name_room = image->name_room ? image->name_room * 2 : 64;
        image->name = image_memory(realloc(image->name, image->name_room * sizeof *image->name));
    }
    image->name[image->names] = (struct image_name){.directory = directory, .text = text, .file = IMAGE_NO_FILE};
    return image->names++;
}

/* The directory that a path lies in, by the paths of the trace's directories; *text: the rest. */
static uint32_t directory_of(const struct trace *trace, const char *path, const char **text)
{
    const char *slash = strrchr(path, '/');
    *text = slash ? slash + 1 : path;
    size_t length = slash ? (size_t)(slash - path) : 0;
    for (uint32_t i = 0; i < trace->file_count; i++)
        if (trace->file[i].kind == TRACE_FILE_DIRECTORY && strlen(trace->file[i].path) == length &&
            strncmp(trace->file[i].path, path, length) == 0)
            return i;
    return TRACE_NO_FILE;
}

static void load_bytes(struct image *image, uint32_t file)
{
    const struct trace_file *from = &image->trace->file[file];
    const char *data = image->trace->data + from->data;
    for (uint64_t at = 0; at < from->size; at += WORD_BYTES) {
        uint64_t value = 0;
        memcpy(&value, data + at, from->size - at < WORD_BYTES ? from->size - at : WORD_BYTES);
        if (value)
            set_word(image, file, at / WORD_BYTES, value);
    }
    set_size(image, file, from->size);
}

static void load_names(struct image *image)
{
    const struct trace *trace = image->trace;
    const char *text;
    for (uint32_t i = 0; i < trace->file_count; i++)
        if (trace->file[i].initial && trace->file[i].path[0] && trace->file[i].kind != TRACE_FILE_DIRECTORY) {
            uint32_t directory = directory_of(trace, trace->file[i].path, &text);
            set_name(image, image_name_number(image, directory, text), i);
        }
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->event[i];
        if (event->kind != TRACE_CALL || event->call < TRACE_CALL_LINK)
            continue;
        image_name_number(image, event->directory, trace->data + event->name);
        if (event->call == TRACE_CALL_RENAME)
            image_name_number(image, event->old_directory, trace->data + event->old_name);
    }
}

bool image_open(struct image *image, const struct trace *trace)
{
    memset(image, 0, sizeof *image);
    image->trace = trace;
    image->files = trace->file_count;
    image->file = image_memory(calloc(image->files + 1, sizeof *image->file));
    for (uint32_t i = 0; i < image->files; i++) {
        const struct trace_file *file = &trace->file[i];
        if (file->kind != TRACE_FILE_DATA && file->kind != TRACE_FILE_LOG)
            continue;
        void *bytes =
            mmap(NULL, IMAGE_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes == MAP_FAILED || file->size > IMAGE_ROOM) {
            image_close(image);
            return false;
        }
        image->file[i].bytes = bytes;
        image->file[i].log = file->kind == TRACE_FILE_LOG;
        load_bytes(image, i);
    }
    load_names(image);
    return true;
}

void image_close(struct image *image)
{
    for (uint32_t i = 0; i < image->files; i++)
        if (image->file[i].bytes)
            munmap(image->file[i].bytes, IMAGE_ROOM);
    free(image->file);
    free(image->name);
    free(image->undo);
    free(image->saved.bytes);
    memset(image, 0, sizeof *image);
}

static void hash_add(struct seen_key *hash, uint64_t position, uint64_t value)
{
    struct seen_key part = hash_of(position, value);
    hash_toggle(hash, &part);
}

bool image_check(const struct image *image)
{
    struct seen_key hash = {{0, 0}};
    for (uint32_t i = 0; i < image->files; i++) {
        if (!image->file[i].bytes)
            continue;
        for (uint64_t page = image_next_page(image, i, 0); page < IMAGE_PAGES;
             page = image_next_page(image, i, page + 1))
            for (uint64_t word = page * IMAGE_PAGE / WORD_BYTES; word < (page + 1) * IMAGE_PAGE / WORD_BYTES; word++) {
                uint64_t value = image_word(image, i, word);
                if (value)
                    hash_add(&hash, word_position(i, word), value);
            }
        if (image->file[i].size)
            hash_add(&hash, kind_position(HASH_SIZE, i), image->file[i].size);
    }
    for (uint32_t i = 0; i < image->names; i++)
        if (image->name[i].file != IMAGE_NO_FILE)
            hash_add(&hash, kind_position(HASH_NAME, i), image->name[i].file + 1);
    return memcmp(&hash, &image->hash, sizeof hash) == 0;
}
