/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * init.c — what happens at load, fork and exit. Layer api.
 *
 * Nothing is set up at load: each part makes itself at its first use. Only fork and exit must be known of from the start.
 */
#include "api/init.h"

#include "base/birth.h"
#include "base/conf.h"
#include "base/inside.h"
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "base/stats.h"
#include "file/file.h"
#include "log/volume.h"
#include "pm/pm_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The one place to look for what fork does. Locks are taken from the first row to the last and released backwards.
 * liburcu comes behind what is held while one waits for a grace period, and before what a read section may wait for: its
 * lock is held by who waits for all sections. It blocks all signals, as the last row needs. A second urcu_bp_before_fork in
 * one fork would deadlock. `born` is for a child of something that ran no `before` (_Fork, clone):
 * locks are as some thread of the parent left them, and are made free, whoever held them. */
static const struct fork_row {
    void (*before)(void);
    void (*parent)(void);
    void (*child)(void);
    void (*born)(void);
} fork_table[] = {
    {file_before_fork, file_after_fork_parent, file_after_fork_child, file_born},
    {uma_map_before_fork, uma_map_after_fork, uma_map_after_fork, uma_map_after_fork},
    {rcu_before_fork, rcu_after_fork_parent, rcu_after_fork_child, rcu_born},
    {uma_before_fork, uma_after_fork_parent, uma_after_fork_child, uma_born},
    {pm_guard_before_fork, pm_guard_after_fork, pm_guard_after_fork, pm_guard_after_fork},
};
#define FORK_LIBC_CANCEL 32 /* signals that libc uses among its threads */
#define FORK_LIBC_SETXID 33
#define FORK_ROWS (sizeof fork_table / sizeof *fork_table)

static __thread bool fork_begun;    /* by this thread; the child's thread goes on with it */
static _Atomic bool fork_told;      /* the preload library tells of forks: its handlers stand inside all others */
static __thread bool fork_held;     /* the application may hold liburcu's locks: none of ours is taken, as for _Fork */
static __thread uint64_t fork_mask; /* its signal mask: a handler between the rows would wait for its own locks */

/* Whether all signals were blocked before. So does urcu_bp_before_fork, which a program that uses liburcu calls around its
 * forks: it then holds locks that ours would wait for, or that who holds ours waits for. */
static bool fork_mask_is_full(uint64_t mask)
{
    enum { FORK_NEVER_COUNT = 4 };
    /* the kernel blocks neither of the first two, libc keeps the others for itself */
    static const int free_signals[FORK_NEVER_COUNT] = {SIGKILL, SIGSTOP, FORK_LIBC_CANCEL, FORK_LIBC_SETXID};
    for (int i = 0; i < FORK_NEVER_COUNT; i++)
        mask |= UINT64_C(1) << (free_signals[i] - 1);
    return mask == ~UINT64_C(0);
}

void api_before_fork(void)
{
    if (fork_begun)
        return;
    fork_begun = true;
    inside_block(&fork_mask);
    fork_held = fork_mask_is_full(fork_mask);
    for (size_t i = 0; i < FORK_ROWS && !fork_held; i++)
        fork_table[i].before();
}

/* Whether this is the first of the handlers called after one fork. */
static bool fork_is_over(void)
{
    bool begun = fork_begun;
    fork_begun = false;
    return begun;
}

/* pthread_atfork's: may run with handlers of the application still to come, which use files. */
static void fork_prepare(void)
{
    /* relaxed: a fork that misses it is told of twice, which api_before_fork notices */
    if (!atomic_load_explicit(&fork_told, memory_order_relaxed))
        api_before_fork();
}

void api_attend(bool (*foreign)(void))
{
    file_ask_foreign(foreign);
    volume_attend();
    atomic_store_explicit(&fork_told, true, memory_order_relaxed);
}

void api_after_fork_parent(void)
{
    if (!fork_is_over())
        return;
    for (size_t i = FORK_ROWS; i-- > 0 && !fork_held;)
        fork_table[i].parent();
    inside_unblock(&fork_mask);
}

/* For the end of the first thread, by pthread_exit: the process does not end with it. Set in that thread alone. */
static pthread_key_t main_key;
static bool main_key_made;

static void note_main(void)
{
    if (main_key_made)
        (void)pthread_setspecific(main_key, &main_key);
}

static void main_ends(void *value)
{
    (void)value;
    file_main_ended();
}

void api_after_fork_child(void)
{
    if (!fork_is_over())
        return;
    note_main();
    stats_after_fork_child(); /* first: the rows may count */
    for (size_t i = FORK_ROWS; i-- > 0;)
        fork_held ? fork_table[i].born() : fork_table[i].child();
    if (fork_held) {
        birth_note();
        file_allow_thread(); /* libc has made its own locks anew */
    }
    inside_unblock(&fork_mask);
}

/* Called by birth_meet: there is one thread, or the others wait. */
static void api_set_up_born(uint64_t *mask)
{
    if (fork_begun) { /* a fork with handlers, and a handler of the application came before ours */
        api_after_fork_child();
        sys_sigprocmask(SIG_SETMASK, NULL, mask);
        return;
    }
    note_main();
    stats_after_fork_child();
    for (size_t i = FORK_ROWS; i-- > 0;)
        fork_table[i].born();
}

void api_born(void)
{
    birth_check();
}

static void write_statistics(void)
{
    for (int i = 0; i < STATS_COUNT; i++)
        msg_statistic(stats_name((enum stats_counter)i), stats_sum((enum stats_counter)i));
}

void api_exit(void)
{
    uint64_t mask;
    inside_block(&mask);
    file_exit();
    inside_unblock(&mask);
    if (conf_get()->stats)
        write_statistics();
}

__attribute__((constructor)) static void api_load(void)
{
    main_key_made = pthread_key_create(&main_key, main_ends) == 0;
    if (sys_gettid() == sys_getpid())
        note_main();
    birth_handler(api_set_up_born);
    /* Where there is no memory for it forked children must not use managed files; nobody can be told. */
    (void)pthread_atfork(fork_prepare, api_after_fork_parent, api_after_fork_child);
}

__attribute__((destructor)) static void api_unload(void)
{
    api_exit();
}
