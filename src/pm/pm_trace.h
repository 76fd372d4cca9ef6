/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_trace.h — where a recorder of all that is done to PM takes part. Layer pm; called by the primitives of pm.h. Nothing
 * in release builds: with NVMMIO_TRACE every primitive calls the two functions, which the recorder defines
 * (tests/crash/explore/trace.c).
 */
#ifndef PM_PM_TRACE_H
#define PM_PM_TRACE_H

#include <stddef.h>

enum pm_trace_kind {
    PM_TRACE_STORE,  /* one aligned 8-byte word, regular */
    PM_TRACE_STREAM, /* any bytes: each word of them persists on its own */
    PM_TRACE_FLUSH,
    PM_TRACE_FENCE, /* without an address */
};

/* The address that the calling function returns to: with the line table it tells who called the primitive. Where that is
 * inlined, the place of the two calls themselves does, so that no such address is needed (NULL). */
#define PM_TRACE_CALLER __builtin_extract_return_addr(__builtin_return_address(0))

#ifdef NVMMIO_TRACE

/* Around the act, in the thread that does it. A fault in between leaves out the second call. */
void pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller);
void pm_trace_after(void);

#else

static inline void pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller)
{
    (void)kind;
    (void)addr;
    (void)n;
    (void)caller;
}
static inline void pm_trace_after(void)
{
}

#endif

#endif
