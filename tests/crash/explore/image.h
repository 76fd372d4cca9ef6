/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * image.h — what is on the medium: bytes, sizes and names of the files of a trace, in memory, with a hash that follows
 * every change and an undo list. The recovery code maps these very bytes (kernel.h).
 *
 * Each file has IMAGE_ROOM bytes of address space, zero where nothing was stored. Bytes at and behind the size are kept (the
 * tail of the last page may hold something), as far as a page of the size reaches.
 */
#ifndef CRASH_EXPLORE_IMAGE_H
#define CRASH_EXPLORE_IMAGE_H

#include "crash/explore/seen.h"
#include "crash/explore/trace.h"

#define IMAGE_ROOM_SHIFT 26 /* one segment of a pm_map */
#define IMAGE_ROOM (UINT64_C(1) << IMAGE_ROOM_SHIFT)
#define IMAGE_PAGE 4096u
#define IMAGE_PAGES (IMAGE_ROOM / IMAGE_PAGE)
#define IMAGE_NO_FILE UINT32_MAX
#define IMAGE_NO_NAME UINT32_MAX

struct image_file {
    uint8_t *bytes;
    uint64_t size;
    uint64_t page[IMAGE_PAGES / 64]; /* a bit: something was stored there at some time */
    uint32_t links;                  /* names */
    bool log;
};

struct image_name {
    uint32_t directory; /* trace number */
    const char *text;   /* within the directory */
    uint32_t file;      /* IMAGE_NO_FILE: there is no such name */
};

struct image_undo {
    uint8_t kind;
    uint32_t file; /* or name */
    uint64_t place, before;
};

/* Bytes as they were before somebody stored into them directly. */
struct image_saved {
    uint8_t *bytes;
    size_t count, room;
};

struct image {
    const struct trace *trace; /* its files */
    struct image_file *file;
    uint32_t files;
    struct image_name *name;
    uint32_t names, name_room;
    struct seen_key hash;  /* of everything */
    struct seen_key plain; /* without what differs from run to run: identities, boot ids, hints */
    struct image_undo *undo;
    size_t undo_count, undo_room;
    struct image_saved saved;
};

/* The files as they were when the trace began; names from the trace's whole course, those of initial files linked. False
 * if a file is longer than IMAGE_ROOM. */
bool image_open(struct image *image, const struct trace *trace);
void image_close(struct image *image);

/* The name's number; added, without a file, if it is not known. */
uint32_t image_name_number(struct image *image, uint32_t directory, const char *text);

/* Stores the bytes of word `word` whose bit is set in mask. */
void image_put_word(struct image *image, uint32_t file, uint64_t word, uint64_t value, uint8_t mask);
uint64_t image_word(const struct image *image, uint32_t file, uint64_t word);
/* Zeroes [from, to). */
void image_zero(struct image *image, uint32_t file, uint64_t from, uint64_t to);
/* As ftruncate: pages behind the end go, the tail of the last page stays as it is. */
void image_set_size(struct image *image, uint32_t file, uint64_t size);
/* As fallocate COLLAPSE_RANGE and INSERT_RANGE. */
void image_collapse(struct image *image, uint32_t file, uint64_t offset, uint64_t length);
void image_insert(struct image *image, uint32_t file, uint64_t offset, uint64_t length);
void image_link(struct image *image, uint32_t name, uint32_t file);

/* Bytes [offset, offset + length) are going to be stored into, not through this interface: the hash does not follow, but
 * image_rewind brings them back, and it with them. */
void image_save_bytes(struct image *image, uint32_t file, uint64_t offset, uint64_t length);

/* Everything done since the mark is undone. */
struct image_point {
    size_t undo_count;
    struct seen_key hash, plain;
};
struct image_point image_mark(const struct image *image);
void image_rewind(struct image *image, struct image_point mark);

/* Whether the hash is what the contents say: for tests, and now and then. Slow. */
bool image_check(const struct image *image);

/* Bytes of a word whose bit is set in mask, as a mask of its bits. */
uint64_t image_mask_bits(uint8_t mask);

static inline bool image_exists(const struct image *image, uint32_t file)
{
    return image->file[file].links > 0;
}
static inline uint64_t image_page_up(uint64_t offset)
{
    return (offset + IMAGE_PAGE - 1) & ~(uint64_t)(IMAGE_PAGE - 1);
}
static inline void image_note_page(struct image *image, uint32_t file, uint64_t offset)
{
    uint64_t page = offset / IMAGE_PAGE;
    image->file[file].page[page / 64] |= UINT64_C(1) << page % 64;
}
/* The first page from `page` on that may hold something, IMAGE_PAGES if there is none. */
uint64_t image_next_page(const struct image *image, uint32_t file, uint64_t page);

#endif
