/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mem.h — the library's private heap. Layer base; called by all.
 *
 * A jemalloc arena of its own where libjemalloc.so.2 can be had (only the *allocx family, resolved from one handle: a
 * program that exports its own mallocx would capture ours otherwise), else base/heap; mem.c says when. libc's malloc is
 * never called, so that nothing recurses into a program's allocator. fork at any moment leaves the child a working
 * heap.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Returns zeroed memory, aligned to 64 bytes, or NULL. Thread-safe. */
void *mem_alloc(size_t size);

/* Frees memory of mem_alloc; `size` is the size asked for. NULL is ignored. */
void mem_free(void *ptr, size_t size);

/* Bytes now allocated by mem_alloc (for tests and statistics). */
size_t mem_allocated(void);

/* Test hook: after `countdown` more successful calls mem_alloc fails once. Negative: never. */
void mem_fail_after(long countdown);

#endif
