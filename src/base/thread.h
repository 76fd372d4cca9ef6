/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * thread.h — threads of the library's own. Layer base; called by uma.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <stddef.h>

/* Starts a thread that nobody joins. It has all signals blocked, so that none of the application's handlers runs in it, but
 * SIGSEGV and SIGBUS: a file that is cut under it is a fault that the library can do with. 0 or -errno. */
int thread_start(void *(*run)(void *arg), void *arg, size_t stack_bytes);

#endif
