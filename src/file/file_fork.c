/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_fork.c — the layer in fork and at exit.
 *
 * A child shares its parent's OFD records. The table itself needs no lock: its entries are single words, and marks of
 * threads that the child does not have are removed there.
 */
#include "file/file_private.h"

#include "base/birth.h"
#include "base/rawsys.h"

#include <pthread.h>

/* Guards the marks of handle_before_fork, from before to after: two threads may fork at once. Rank: first of all. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;

void file_before_fork(void)
{
    pthread_mutex_lock(&fork_lock);
    handle_before_fork();
}

void file_after_fork_parent(void)
{
    handle_after_fork_parent();
    pthread_mutex_unlock(&fork_lock);
}

/* counted: handle_before_fork was called. */
static void file_begin_child(bool counted)
{
    uint32_t pid = (uint32_t)sys_getpid();
    atomic_store_explicit(&file_state.pid, pid, memory_order_relaxed); /* the only thread */
    fd_table_clear_marks();
    handle_after_fork_child(counted);
}

void file_after_fork_child(void)
{
    pthread_mutex_init(&fork_lock, NULL); /* the thread that holds it has another id here */
    if (!atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return;
    file_begin_child(true);
    birth_note();
    uma_map_inherited();
}

void file_born(void)
{
    pthread_mutex_init(&fork_lock, NULL); /* whoever holds it is not here */
    if (atomic_load_explicit(&file_state.pid, memory_order_relaxed)) {
        file_begin_child(false);
        uma_map_inherited();
    }
}

void file_exit(void)
{
    if (!atomic_load_explicit(&file_state.pid, memory_order_relaxed) || !file_owns_table() ||
        atomic_exchange_explicit(&file_state.gone, true, memory_order_acq_rel)) /* one caller goes on */
        return;
    handle_end_late();
    uma_exit();
    handle_exit();
}

void file_main_ended(void)
{
    if (file_owns_table())
        uma_main_ended();
}

void file_allow_thread(void)
{
    uma_sync_after_fork_child();
}
