/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_registry.h — all umas of this process: their locks, walks over them, and what becomes of them together. Not for other
 * layers; the locks' places in the order: uma_private.h.
 */
#ifndef UMA_UMA_REGISTRY_H
#define UMA_UMA_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

struct uma;

enum uma_state {
    UMA_DETACHED,
    UMA_ATTACHED,
    UMA_LEAVING, /* the process ends: no new call, mappings still there */
};

/* ---- uma.c ---- */

void uma_registry_lock(void);
void uma_registry_unlock(void);
void uma_attach_lock(void);
void uma_attach_unlock(void);

/* Visits those in that state. Under the registry lock. */
void uma_each_in_state(enum uma_state state, void (*visit)(struct uma *uma));

/* A walk of the sync thread over all attached umas: each is met once and cannot go away while it is busy with it. */
struct uma_walk {
    unsigned bucket;
    uint32_t number; /* of the walk; umas remember it */
};
/* The next one, marked busy; NULL at the end. Unmarks `previous`. */
struct uma *uma_registry_next(struct uma *previous, struct uma_walk *walk);

/* Whether the process ends; and it does from now on, false: somebody was first. */
bool uma_exiting(void);
bool uma_begin_exit(void);

/* ---- uma_leave.c ---- */

/* What uma_before_exec has begun is over. In a forked child: so is what another thread of the parent was about. */
void uma_parting_end(void);
void uma_parting_after_fork_child(void);

#endif
