/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * recover.h — recovery of an image by the library's code, log by log as volume_scan does it, and its outcome.
 *
 * Of volume_scan's steps the opening and mapping of the log are left out (the image's bytes are the mapping), and so is the
 * table: log_check, the search of the file by identity, log_recover, log_retire and log_unlink are the library's. Opening,
 * mapping, table and scan are in the full path (full.h).
 */
#ifndef CRASH_EXPLORE_RECOVER_H
#define CRASH_EXPLORE_RECOVER_H

#include "crash/explore/explore.h"
#include "crash/explore/kernel.h"

/* Recovers everything in the image under that boot (kernel_begin). Afterwards the image is what recovery has made of it,
 * until it is rewound to a mark from before. 0 or -errno of the first log that could not be recovered; -EPROTO if recovery
 * made a call that it must not: kernel_trouble. `changes` (may be NULL): how many stores and changing calls it made. */
int recover_image(struct image *image, unsigned boot, struct kernel_tape *tape, uint64_t *changes);

/* The data files of the image as it is now. file: room for image->files. Returns their number. */
uint32_t recover_files(const struct image *image, struct explore_file *file);

/* A copy of an outcome's files, to compare others with. */
struct recover_copy {
    struct explore_file *file;
    uint32_t files;
    uint8_t *bytes;
    size_t room;
};
void recover_copy_take(struct recover_copy *copy, const struct image *image);
/* Whether the image's data files are equal to the copy; else *file is the first that differs and *offset the first byte
 * (the size, if that differs: UINT64_MAX). */
bool recover_copy_equal(const struct recover_copy *copy, const struct image *image, uint32_t *file, uint64_t *offset);
struct seen_key recover_copy_hash(const struct recover_copy *copy);
void recover_copy_free(struct recover_copy *copy);

#endif
