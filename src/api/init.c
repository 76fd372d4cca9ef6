/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * init.c — what happens at load, fork and exit. Layer api.
 *
 * Nothing is set up at load: each part makes itself at its first use. Only fork and exit must be known of from the start.
 */
#include "api/init.h"

#include "base/conf.h"
#include "base/msg.h"
#include "base/rcu.h"
#include "base/stats.h"
#include "file/file.h"
#include "pm/pm_guard.h"

#include <pthread.h>
#include <stddef.h>

/* The one place to look for what fork does. Locks are taken from the first row to the last and released backwards.
 * liburcu comes behind all that may wait for grace periods, and blocks all signals, as the row behind it needs. A second
 * urcu_bp_before_fork in one fork would deadlock. */
static const struct fork_row {
    void (*before)(void);
    void (*parent)(void);
    void (*child)(void);
} fork_table[] = {
    {file_before_fork, file_after_fork_parent, file_after_fork_child},
    {uma_before_fork, uma_after_fork_parent, uma_after_fork_child},
    {urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child},
    {pm_guard_before_fork, pm_guard_after_fork, pm_guard_after_fork},
};
#define FORK_ROWS (sizeof fork_table / sizeof *fork_table)

static __thread unsigned fork_depth; /* of this thread's fork; the child's thread goes on with it */

void api_before_fork(void)
{
    if (fork_depth++)
        return;
    for (size_t i = 0; i < FORK_ROWS; i++)
        fork_table[i].before();
}

/* Whether this is the outermost of the handlers called for one fork. */
static int fork_is_over(void)
{
    return fork_depth && --fork_depth == 0;
}

void api_after_fork_parent(void)
{
    if (fork_is_over())
        for (size_t i = FORK_ROWS; i-- > 0;)
            fork_table[i].parent();
}

void api_after_fork_child(void)
{
    if (!fork_is_over())
        return;
    stats_after_fork_child(); /* first: the rows may count */
    for (size_t i = FORK_ROWS; i-- > 0;)
        fork_table[i].child();
}

static void write_statistics(void)
{
    for (int i = 0; i < STATS_COUNT; i++)
        msg_statistic(stats_name((enum stats_counter)i), stats_sum((enum stats_counter)i));
}

void api_exit(void)
{
    file_exit();
    if (conf_get()->stats)
        write_statistics();
}

__attribute__((constructor)) static void api_load(void)
{
    /* Where there is no memory for it forked children must not use managed files; nobody can be told. */
    (void)pthread_atfork(api_before_fork, api_after_fork_parent, api_after_fork_child);
}

__attribute__((destructor)) static void api_unload(void)
{
    api_exit();
}
