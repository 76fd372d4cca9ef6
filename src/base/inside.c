/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * inside.c — what is seldom needed of inside.h: signals that arrive inside, threads with an unusual mask, windows. Layer
 * base.
 *
 * A signal is put off by raising it again in its handler, blocked, and by blocking all asynchronous signals in the mask
 * that the handler returns to. The kernel so delivers it as the application asked for, when inside_finish has given the
 * mask back. Two more of the same number that the kernel kept apart may become one, as always while a signal is
 * blocked; of real-time signals that were sent to this very thread the first comes last.
 */
#include "base/inside.h"

#include "base/rawsys.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <ucontext.h>

__thread struct inside inside_thread __attribute__((tls_model("initial-exec")));

#define INSIDE_BIT(signal) (UINT64_C(1) << ((signal)-1))

/* Signals of faults that guards wait for: never blocked inside. */
static const uint64_t inside_faults = INSIDE_BIT(SIGSEGV) | INSIDE_BIT(SIGBUS);
/* What is blocked there once a signal was put off: all others but for those of debuggers and sandboxes, and libc's own
 * two (cancellation; setuid in all threads), for which libc waits; and the two that the kernel leaves out of each mask. */
static const uint64_t inside_others =
    ~(INSIDE_BIT(SIGSEGV) | INSIDE_BIT(SIGBUS) | INSIDE_BIT(SIGTRAP) | INSIDE_BIT(SIGSYS) | INSIDE_BIT(__SIGRTMIN) |
      INSIDE_BIT(__SIGRTMIN + 1) | INSIDE_BIT(SIGKILL) | INSIDE_BIT(SIGSTOP));

static void inside_set_due(uint8_t due)
{
    /* The fences order the compiler alone, as in inside_set_depth. */
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&inside_thread.due, due, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static void inside_due(enum inside_due what)
{
    inside_set_due(atomic_load_explicit(&inside_thread.due, memory_order_relaxed) | (uint8_t)what);
}

/* Gives a thread that blocks faults a mask that does not. What is due is set first: a fault's signal that somebody sent
 * may be pending, and its handler is to find the application's mask saved. */
static void inside_take_mask(uint64_t mask)
{
    uint64_t now;
    bool first = !(atomic_load_explicit(&inside_thread.due, memory_order_relaxed) & INSIDE_DUE_MASK);
    if (first) {
        inside_thread.mask = mask;
        inside_due(INSIDE_DUE_MASK);
    }
    sys_sigprocmask(SIG_SETMASK, &inside_others, &now);
    if (first &&
        (now & inside_others) != inside_others) /* else it may be ours, of a signal that was put off just now */
        inside_thread.mask = now;
}

static bool inside_blocks_faults(uint64_t mask)
{
    return mask & inside_faults;
}

void inside_prepare(void)
{
    uint64_t mask = inside_thread.mask;
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    if (type != PTHREAD_CANCEL_DEFERRED)
        inside_due(INSIDE_DUE_CANCEL);
    if (atomic_load_explicit(&inside_thread.state, memory_order_relaxed) != INSIDE_BLOCKED)
        sys_sigprocmask(SIG_BLOCK, NULL, &mask);
    enum inside_state state = type == PTHREAD_CANCEL_DEFERRED ? INSIDE_SURE : INSIDE_UNSURE;
    if (inside_blocks_faults(mask)) {
        inside_take_mask(mask);
        state = inside_blocks_faults(inside_thread.mask) ? INSIDE_BLOCKED : INSIDE_UNSURE;
    }
    atomic_store_explicit(&inside_thread.state, (uint8_t)state, memory_order_relaxed);
}

static void inside_send(int signal, siginfo_t *info)
{
    rawsys(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), signal, (long)info, 0, 0);
}

/* ---- SIGSEGV and SIGBUS that somebody sent ---- */

/* Where the union begins that each code fills as it likes: two words cover all but a fault's. */
static const size_t inside_words = offsetof(siginfo_t, si_pid);

static void inside_hold(int signal, const siginfo_t *info)
{
    struct inside_held *held = &inside_thread.held[signal == SIGSEGV];
    held->signal = signal;
    held->code = info->si_code;
    memcpy(held->word, (const char *)info + inside_words, sizeof held->word);
}

static void inside_send_held(void)
{
    for (int i = 0; i < INSIDE_HELD; i++) {
        struct inside_held *held = &inside_thread.held[i];
        if (!held->signal)
            continue;
        siginfo_t info = {.si_signo = held->signal, .si_code = held->code};
        memcpy((char *)&info + inside_words, held->word, sizeof held->word);
        held->signal = 0;
        inside_send(info.si_signo, &info);
    }
}

/* ---- signals ---- */

static uint64_t *inside_context_mask(void *context)
{
    return (uint64_t *)(void *)&((ucontext_t *)context)->uc_sigmask; /* the kernel's is one word */
}

bool inside_defer(int signal, siginfo_t *info, void *context)
{
    bool leaving = atomic_load_explicit(&inside_thread.due, memory_order_relaxed) & INSIDE_DUE_MASK;
    if ((!inside_depth() && !leaving) || signal == SIGTRAP || signal == SIGSYS)
        return false;
    uint64_t *mask = inside_context_mask(context);
    sys_sigprocmask(SIG_BLOCK, &inside_others, NULL);
    if (INSIDE_BIT(signal) & inside_faults)
        inside_hold(signal, info);
    else
        inside_send(signal, info);
    /* While the mask is due the library runs with all others blocked: who finds them unblocked has interrupted it before,
     * and knows better than a handler that came in between and took this one's mask for the application's. */
    if (!(atomic_load_explicit(&inside_thread.due, memory_order_relaxed) & INSIDE_DUE_MASK) ||
        (*mask & inside_others) != inside_others) {
        inside_thread.mask = *mask;
        inside_due(INSIDE_DUE_MASK);
    }
    inside_keep(context);
    return true;
}

void inside_keep(void *context)
{
    if (atomic_load_explicit(&inside_thread.due, memory_order_relaxed) & INSIDE_DUE_MASK)
        *inside_context_mask(context) |= inside_others;
}

void inside_finish(void)
{
    uint8_t due = atomic_load_explicit(&inside_thread.due, memory_order_relaxed);
    uint64_t mask = inside_thread.mask;
    /* Before handlers run, which call us again and may leave by a jump. A fault's signal that somebody sends is held until
     * here, and handled at once from here on: none is left in `held`. */
    inside_set_due(0);
    if (inside_thread.held[0].signal || inside_thread.held[1].signal) {
        sys_sigprocmask(SIG_BLOCK, &inside_faults, NULL); /* to be handled with the application's mask */
        inside_send_held();
    }
    if (due & INSIDE_DUE_MASK)
        sys_sigprocmask(SIG_SETMASK, &mask, NULL); /* handlers run in here */
    if (due & INSIDE_DUE_CANCEL) {
        inside_doubt();
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); /* a cancellation that waits strikes in here */
    }
}

/* ---- windows ---- */

void inside_open_threaded(struct inside_window *window)
{
    if (!window->depth)
        return;
    uint8_t state = atomic_load_explicit(&inside_thread.state, memory_order_relaxed);
    /* handlers run from here on, and leave a doubt; a call of theirs finds cancellation asynchronous */
    atomic_store_explicit(&inside_thread.state, state == INSIDE_SURE ? INSIDE_WINDOW : INSIDE_UNSURE,
                          memory_order_relaxed);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &window->cancel_type);
}

void inside_shut_threaded(const struct inside_window *window)
{
    pthread_setcanceltype(window->cancel_type, NULL);
}

void inside_shut_unsure(void)
{
    uint8_t state = atomic_load_explicit(&inside_thread.state, memory_order_relaxed);
    if (state == INSIDE_WINDOW) /* no handler ran: inside again, none can now */
        atomic_store_explicit(&inside_thread.state, INSIDE_SURE, memory_order_relaxed);
    else if (state != INSIDE_SURE)
        inside_prepare();
}

void inside_block(uint64_t *mask)
{
    sys_sigprocmask(SIG_BLOCK, &inside_others, mask);
}

void inside_unblock(const uint64_t *mask)
{
    sys_sigprocmask(SIG_SETMASK, mask, NULL);
}
