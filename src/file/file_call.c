/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_call.c — the state of layer file, and one call on a uma.
 */
#include "file/file_private.h"

#include "base/birth.h"
#include "base/rawsys.h"
#include "pm/pm_guard.h"

#include <limits.h>

struct file_state file_state;

void file_begin_process(void)
{
    if (atomic_load_explicit(&file_state.pid, memory_order_relaxed))
        return;
    uint32_t pid = (uint32_t)sys_getpid();
    uma_rescue_install();
    birth_note();
    atomic_store_explicit(&file_state.pid, pid, memory_order_relaxed); /* two threads at once store the same */
}

bool file_peek(void *to, const void *from, size_t length)
{
    /* before the first file is managed there is no handler of faults */
    return atomic_load_explicit(&file_state.pid, memory_order_relaxed) && pm_guard_copy(to, from, length);
}

bool file_may_change(void)
{
    if (atomic_load_explicit(&file_state.gone, memory_order_relaxed))
        return false;
    uint32_t pid = atomic_load_explicit(&file_state.pid, memory_order_relaxed);
    if (!pid)
        return true;
    /* acquire: the function's library is there */
    bool (*foreign)(void) = atomic_load_explicit(&file_state.foreign, memory_order_acquire);
    if (foreign ? foreign() : false)
        return false;
    birth_check(); /* behind foreign: a vfork child must not set its parent up */
    return foreign || atomic_load_explicit(&file_state.pid, memory_order_relaxed) == (uint32_t)sys_getpid();
}

bool file_owns_table(void)
{
    uintptr_t gone = atomic_load_explicit(&file_state.gone, memory_order_relaxed);
    if (__builtin_expect(gone && gone != (uintptr_t)__builtin_thread_pointer(), 0))
        uma_exit_wait(true);
    return file_may_change();
}

void file_ask_foreign(bool (*foreign)(void))
{
    atomic_store_explicit(&file_state.foreign, foreign, memory_order_release);
}

static void match_uma(int fd, struct fd_handle *handle, void *arg)
{
    struct file_call *call = arg;
    if (handle->uma == call->uma)
        call->fd = fd;
}

/* uma_begin; a call that knows no descriptor finds one only where it is missed: when the uma must be attached first. */
static int call_begin(struct file_call *call, enum uma_intent intent, struct uma_op *op)
{
    int path = uma_begin(call->uma, call->fd, intent, op);
    if (path >= 0 || call->fd >= 0 || path == -UMA_AGAIN)
        return path;
    fd_table_each(0, UINT_MAX, match_uma, call);
    return call->fd < 0 ? path : uma_begin(call->uma, call->fd, intent, op);
}

long file_call_run(struct file_call *call, enum uma_intent intent, file_step step)
{
    struct uma_op op;
    long result;
    handle_enter_section(); /* uma.h asks for it; sections nest */
    do {
        call->done = (struct uma_done){0};
        int path = call_begin(call, intent, &op);
        if (path < 0) {
            result = path;
            continue;
        }
        result = step(call, (enum uma_path)path);
        if (path == UMA_PATH_KERNEL)
            result = uma_after_kernel(result);
        uma_end(call->uma, &op, &call->done);
    } while (result == -UMA_AGAIN);
    rcu_leave();
    return result;
}
