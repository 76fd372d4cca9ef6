/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_signal.c — actions of SIGBUS and SIGSEGV, whose handlers are the core's while it is there. Layer preload.
 *
 * The core keeps what the application wants and gives it the faults that are not its own; what the application asks for
 * is what it set. libc's signal and its kin are made from sigaction here, since libc's own call their sigaction
 * unseen. All other signals are libc's.
 */
#include "preload/preload.h"

#include <signal.h>
#include <string.h>

/* sigset's SIG_HOLD, which the headers show to X/Open programs alone. */
#define SIGNAL_HOLD ((void (*)(int))2)

struct signal_state {
    _Atomic bool interrupts[NSIG]; /* siginterrupt: signal() leaves SA_RESTART away. Of ours alone */
};
static struct signal_state signals;

/* sigaction and signal may be called by handlers and by vfork children, where nothing can be looked up. */
__attribute__((constructor)) static void signal_start(void)
{
    preload_real(PRELOAD_REAL_sigaction);
    preload_real(PRELOAD_REAL_signal);
}

/* The core if the action of that signal is its business, else NULL. */
static const struct nvmmio_core *signal_core(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS ? preload_core() : NULL;
}

static struct sys_action signal_to_kernel(const struct sigaction *from)
{
    struct sys_action to = {.flags = (unsigned long)(unsigned)from->sa_flags};
    to.sigaction = from->sa_sigaction;
    memcpy(&to.mask, &from->sa_mask, sizeof to.mask);
    return to;
}

static struct sigaction signal_from_kernel(const struct sys_action *from)
{
    struct sigaction to = {.sa_flags = (int)from->flags};
    to.sa_sigaction = from->sigaction;
    to.sa_restorer = from->restorer;
    memcpy(&to.sa_mask, &from->mask, sizeof from->mask);
    return to;
}

/* As the system call: 0 or -errno. */
int preload_signal_action(int signal, const struct sys_action *new, struct sys_action *old)
{
    const struct nvmmio_core *core = signal_core(signal);
    if (!core)
        return sys_sigaction(signal, new, old);
    if (!preload_foreign())
        return core->sigaction(signal, new, old);
    /* A vfork child has actions of its own in the kernel, and its parent's table, which it must leave alone. */
    int error = old ? core->sigaction(signal, NULL, old) : 0;
    return error || !new ? error : sys_sigaction(signal, new, NULL);
}

int preload_sigaction(int signal, const struct sigaction *new, struct sigaction *old)
{
    if (!signal_core(signal)) {
        int (*real)(int, const struct sigaction *, struct sigaction *) = preload_real(PRELOAD_REAL_sigaction);
        return real ? real(signal, new, old) : -1;
    }
    struct sys_action to = {.flags = 0};
    struct sys_action from;
    if (new)
        to = signal_to_kernel(new);
    int error = preload_signal_action(signal, new ? &to : NULL, old ? &from : NULL);
    if (!error && old)
        *old = signal_from_kernel(&from);
    return (int)preload_result(error);
}

typedef void signal_handler(int);

static signal_handler *signal_set(int signal, signal_handler *handler, int flags, bool masks_itself)
{
    struct sigaction new = {.sa_flags = flags};
    struct sigaction old;
    new.sa_handler = handler;
    sigemptyset(&new.sa_mask);
    if (masks_itself)
        sigaddset(&new.sa_mask, signal);
    return preload_sigaction(signal, &new, &old) == 0 ? old.sa_handler : SIG_ERR;
}

/* libc's function of that name, for the signals that are not ours. */
static signal_handler *signal_by_libc(enum preload_real which, int signal, signal_handler *handler)
{
    signal_handler *(*real)(int, signal_handler *) = preload_real(which);
    return real ? real(signal, handler) : SIG_ERR;
}

signal_handler *preload_signal(int signal, signal_handler *handler)
{
    if (!signal_core(signal) || handler == SIG_ERR)
        return signal_by_libc(PRELOAD_REAL_signal, signal, handler);
    /* relaxed: one thread sets what another has no order with */
    bool interrupts = atomic_load_explicit(&signals.interrupts[signal], memory_order_relaxed);
    return signal_set(signal, handler, interrupts ? 0 : SA_RESTART, true);
}

signal_handler *preload_sysv_signal(int signal, signal_handler *handler)
{
    if (!signal_core(signal) || handler == SIG_ERR)
        return signal_by_libc(PRELOAD_REAL_sysv_signal, signal, handler);
    return signal_set(signal, handler, SA_RESETHAND | SA_NODEFER, false);
}

signal_handler *preload_sigset(int signal, signal_handler *handler)
{
    if (!signal_core(signal) || handler == SIG_ERR)
        return signal_by_libc(PRELOAD_REAL_sigset, signal, handler);
    sigset_t one;
    sigset_t before;
    sigemptyset(&one);
    sigaddset(&one, signal);
    struct sigaction old;
    if (handler == SIGNAL_HOLD) {
        if (sigprocmask(SIG_BLOCK, &one, &before) != 0 || preload_sigaction(signal, NULL, &old) != 0)
            return SIG_ERR;
        return sigismember(&before, signal) ? SIGNAL_HOLD : old.sa_handler;
    }
    signal_handler *earlier = signal_set(signal, handler, 0, false);
    if (earlier == SIG_ERR || sigprocmask(SIG_UNBLOCK, &one, &before) != 0)
        return SIG_ERR;
    return sigismember(&before, signal) ? SIGNAL_HOLD : earlier;
}

int preload_sigignore(int signal)
{
    if (signal_core(signal))
        return signal_set(signal, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
    int (*real)(int) = preload_real(PRELOAD_REAL_sigignore);
    return real ? real(signal) : -1;
}

int preload_siginterrupt(int signal, int interrupts)
{
    struct sigaction action;
    int (*real)(int, int) = preload_real(PRELOAD_REAL_siginterrupt);
    if (!signal_core(signal))
        return real ? real(signal, interrupts) : -1;
    if (preload_sigaction(signal, NULL, &action) != 0)
        return -1;
    atomic_store_explicit(&signals.interrupts[signal], interrupts != 0, memory_order_relaxed);
    action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return preload_sigaction(signal, &action, NULL);
}

#define PRELOAD_EXPORT_signal PRELOAD_ALIAS
#include "preload/preload_export.h"
