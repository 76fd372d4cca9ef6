/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * heap.h — memory straight from the kernel, for where jemalloc cannot be had. Layer base; called by mem.c alone.
 *
 * Sizes up to HEAP_CLASS_MAX come from lock-free lists, one for each power of two, so that a fork in the middle of an
 * allocation of another thread leaves the child a working heap; larger ones are mappings of their own.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

#define HEAP_CLASS_MIN_SHIFT 6  /* 64 bytes, also the alignment */
#define HEAP_CLASS_MAX_SHIFT 15 /* 32 KiB */

/* Zeroed memory, aligned to 64 bytes, or NULL. Thread-safe, lock-free. */
void *heap_alloc(size_t size);

/* `size` is the size asked for. */
void heap_free(void *ptr, size_t size);

#endif
