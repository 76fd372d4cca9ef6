/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * init.h — the fork table and the end of the process. Layer api; used by core.c.
 */
#ifndef API_INIT_H
#define API_INIT_H

#include <stdbool.h>

/* Around fork, in the thread that forks. pthread_atfork's handlers and the preload library may both call: the first call
 * before and the first one after count. */
void api_before_fork(void);
void api_after_fork_parent(void);
void api_after_fork_child(void);

/* From now on the caller calls the three above, innermost of all handlers, and `foreign` tells vfork children. */
void api_attend(bool (*foreign)(void));

/* Orderly end: everything is committed and written back; from now on the kernel alone. Once. */
void api_exit(void);

/* In a child that ran no fork handlers: sets it up now, not at its next call. */
void api_born(void);

#endif
