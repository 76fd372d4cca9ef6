/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * init.h — the fork table and the end of the process. Layer api; used by core.c.
 */
#ifndef API_INIT_H
#define API_INIT_H

/* Around fork, in the thread that forks. Counted: pthread_atfork's handlers and the preload library may both call. */
void api_before_fork(void);
void api_after_fork_parent(void);
void api_after_fork_child(void);

/* Orderly end: everything is committed and written back; from now on the kernel alone. Once. */
void api_exit(void);

#endif
