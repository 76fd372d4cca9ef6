/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_move.c — the process changes its root, its namespaces or its user. Layer file.
 *
 * What is attached goes on whatever happens, as it needs no path and no permission. To attach it anew, which a forked child
 * must, needs /proc, /dev/shm and the volume: the first two are held by descriptors from before a change of the view; a
 * file whose volume is out of reach afterwards is the kernel's before.
 */
#include "file/file_candidate.h"
#include "file/file_private.h"

#include "base/place.h"
#include "base/rawsys.h"
#include "log/volume.h"

#include <limits.h>

#define MOVE_TASK_LINKS 2u /* of /proc/self/task, beside one for each thread */

/* Who will want to attach files. */
struct move_user {
    uint32_t euid;
    bool privileged;
};

/* arg: who, NULL for nobody. */
static void move_demote(int fd, struct fd_handle *handle, void *arg)
{
    const struct move_user *user = arg;
    if (!user || !uma_is_reachable(handle->uma, user->euid, user->privileged))
        file_demote(fd, UMA_DEMOTE_OTHER); /* what fails is served as it was, by this process */
}

/* Whether the application has threads besides this one. Without /proc it has, for all we know. */
static bool move_has_threads(void)
{
    struct stat st;
    const char *path = "/proc/self/task";
    int at = place_at(&path);
    return sys_fstatat(at, path, &st, 0) != 0 || st.st_nlink > MOVE_TASK_LINKS + 1;
}

/* A thread that alone gets a new table of descriptors: ours is of numbers, whichever table they are in. The kernel looks
 * them up in the caller's own. */
static void move_divide(void)
{
    if (!move_has_threads())
        return;
    atomic_store_explicit(&file_state.divided, true, memory_order_relaxed); /* an open that misses it was before */
    candidate_adopt_all();
    fd_table_each(0, UINT_MAX, move_demote, NULL);
}

void file_before_move(unsigned what, const char *target)
{
    if (!file_owns_table())
        return;
    candidate_adopt_all();
    if (what & (UMA_MOVE_VIEW | UMA_MOVE_USERS))
        place_hold();
    if (what & UMA_MOVE_VIEW)
        volume_before_view(target);
    if (what & UMA_MOVE_USERS) {
        candidate_user_changed();
        fd_table_each(0, UINT_MAX, move_demote, NULL);
    }
    if (what & UMA_MOVE_ALONE)
        atomic_store_explicit(&file_state.paused, uma_sync_pause(), memory_order_relaxed); /* read by this thread */
    if (what & UMA_MOVE_FILES)
        move_divide();
}

void file_after_move(unsigned what, bool moved)
{
    if (!file_owns_table())
        return;
    if (what & UMA_MOVE_VIEW)
        volume_after_view(moved);
    if (what & UMA_MOVE_USERS && moved)
        volume_users_changed();
    if (what & UMA_MOVE_ALONE && atomic_exchange_explicit(&file_state.paused, false, memory_order_relaxed))
        uma_sync_resume();
}

void file_before_user(uint32_t euid, bool privileged)
{
    struct move_user user = {.euid = euid, .privileged = privileged};
    candidate_user_changed();
    if (!file_owns_table())
        return;
    candidate_adopt_all();
    fd_table_each(0, UINT_MAX, move_demote, &user);
}
