/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kernel.h — what the library's recovery runs on: the files of an image as descriptors and mappings, by replacing
 * rawsys_table.invoke, the hooks of layer pm and log_boot_id while it runs. Everything it does is recorded on a tape, for
 * crashes inside of it, and taken back afterwards.
 *
 * Descriptors of images answer with the identity that the trace's files had. What recovery asks of anything else but memory
 * and limits is refused, and noted as trouble: the real file system is never touched.
 */
#ifndef CRASH_EXPLORE_KERNEL_H
#define CRASH_EXPLORE_KERNEL_H

#include "crash/explore/image.h"

/* What a recovery did: a trace whose files are the image's. */
struct kernel_tape {
    struct trace trace;
};

/* From here to kernel_end the library works on the image. boot 0: that of the trace; others: 1, 2, ... */
void kernel_begin(struct image *image, unsigned boot, struct kernel_tape *tape);
/* The image keeps what was done: image_rewind to a mark from before takes it back. */
void kernel_end(void);

int kernel_fd(uint32_t file);
int kernel_directory_fd(uint32_t directory);

/* Stores and calls that changed something, or made it durable, since kernel_begin. */
uint64_t kernel_changes(void);
/* A call that recovery has no business to make; NULL: none. */
const char *kernel_trouble(void);

void kernel_tape_free(struct kernel_tape *tape);

#endif
