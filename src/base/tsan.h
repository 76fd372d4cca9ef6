/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * tsan.h — what the thread sanitizer cannot see by itself. Layer base; called by pm and uma. Nothing in other builds.
 *
 * It does not see libpmem's stores: pm tells it of them, and so of all that is read and written on PM. And it takes the
 * copies of optimistic readers for races. They are: what they copied is looked at only if no slot has changed meanwhile.
 */
#ifndef BASE_TSAN_H
#define BASE_TSAN_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN_ON 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define TSAN_ON 1
#endif

#ifdef TSAN_ON

void __tsan_read_range(void *addr, long size);
void __tsan_write_range(void *addr, long size);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);

/* [src, src + n) was copied to [dst, dst + n) by code that is not instrumented; src may be NULL. */
static inline void tsan_copied(void *dst, const void *src, size_t n)
{
    if (src)
        __tsan_read_range((void *)src, (long)n);
    __tsan_write_range(dst, (long)n);
}
/* Between the two the calling thread's accesses are nobody's race. */
static inline void tsan_optimistic_begin(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
}
static inline void tsan_optimistic_end(void)
{
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

#else

static inline void tsan_copied(void *dst, const void *src, size_t n)
{
    (void)dst;
    (void)src;
    (void)n;
}
static inline void tsan_optimistic_begin(void)
{
}
static inline void tsan_optimistic_end(void)
{
}

#endif

#endif
