/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_fork.c — the layer in fork and at exit.
 *
 * A child shares its parent's OFD records. The table itself needs no lock: its entries are single words, and marks of
 * threads that the child does not have are removed there.
 */
#include "file/file_candidate.h"
#include "file/file_lock.h"
#include "file/file_private.h"

#include "base/birth.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/rcu.h"

#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>

#define FORK_STATM 128u /* bytes of /proc/self/statm are enough */
#define FORK_PAGE 4096u

/* Guards the marks of handle_before_fork, from before to after: two threads may fork at once. Rank: first of all. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;

static void fork_demote(int fd, struct fd_handle *handle, void *arg)
{
    (void)arg;
    if (uma_is_served(handle->uma))
        file_demote(fd, UMA_DEMOTE_OTHER); /* failing, it is served as it was, by this process */
}

/* Whether this process has more mapped than RLIMIT_AS allows, which may have been lowered since. */
static bool fork_is_cramped(void)
{
    struct rlimit limit;
    char text[FORK_STATM] = "";
    const char *path = "/proc/self/statm";
    if (rawsys(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0) || limit.rlim_cur == RLIM_INFINITY)
        return false;
    int at = place_at(&path);
    int fd = sys_openat(at, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    sys_read(fd, text, sizeof text - 1);
    sys_close(fd);
    uint64_t pages = 0; /* of all that is mapped: the first number */
    for (const char *digit = text; *digit >= '0' && *digit <= '9'; digit++)
        pages = pages * 10 + (uint64_t)(*digit - '0');
    return pages > limit.rlim_cur / FORK_PAGE;
}

/* A child attaches the files anew, and maps for it what we have mapped. Where it could not it would be told EBUSY: they are
 * the kernel's before. */
void file_before_fork(void)
{
    candidate_adopt_all();
    file_lock_forget();
    if (atomic_load_explicit(&file_state.pid, memory_order_relaxed) && file_owns_table() && !rcu_inside() &&
        fork_is_cramped())
        fd_table_each(0, UINT_MAX, fork_demote, NULL);
    pthread_mutex_lock(&fork_lock);
    handle_before_fork();
}

void file_before_bare(void)
{
    candidate_adopt_all();
    file_lock_forget();
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
    file_lock_forget();
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
    uintptr_t none = 0, self = (uintptr_t)__builtin_thread_pointer();
    if (!atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return;
    if (!file_may_change() ||
        !atomic_compare_exchange_strong_explicit(&file_state.gone, &none, self, memory_order_acq_rel,
                                                 memory_order_relaxed)) { /* one caller goes on */
        none = atomic_load_explicit(&file_state.gone, memory_order_relaxed);
        if (none && none != self) /* who ends the process at once must not end the other one in the middle of it */
            uma_exit_wait(false);
        return;
    }
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
