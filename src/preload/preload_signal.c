/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_signal.c — handlers of signals are called by one of ours, which first lets the core put the signal off while the
 * thread is inside it. Layer preload.
 *
 * The kernel has one of four functions, the doors, with the application's mask and flags but for SA_SIGINFO (always) and
 * SA_RESETHAND (done here). Each door of a signal leads to a handler of its own, one word. A new action takes the next
 * door: the word is there before the kernel knows the door, and what the last doors lead to stays as it is, so that
 * neither a delivery under way nor a fork in the middle sees half an action, without a lock. Four, since a door is used
 * again only by the fourth action of that signal after it.
 *
 * What the application asks for is what it set. SIG_DFL, SIG_IGN and what vfork children set go to the kernel as they are.
 * SIGBUS and SIGSEGV are the core's business while it is there (pm/pm_guard.h); before, nobody is inside. libc's signal and
 * its kin are made from sigaction here, since libc's own call their sigaction unseen.
 */
#include "preload/preload.h"

#include <signal.h>
#include <string.h>

/* sigset's SIG_HOLD, which the headers show to X/Open programs alone. */
#define SIGNAL_HOLD ((void (*)(int))2)

/* What the word of a door says beside the address of the handler. */
#define SIGNAL_ADDRESS ((UINT64_C(1) << 56) - 1)
#define SIGNAL_INFO (UINT64_C(1) << 63)   /* SA_SIGINFO was set */
#define SIGNAL_ONCE (UINT64_C(1) << 62)   /* SA_RESETHAND was set */
#define SIGNAL_FAULTS (UINT64_C(1) << 61) /* SIGBUS or SIGSEGV is in sa_mask */

enum { SIGNAL_DOORS = 4 };

struct signal_door {
    _Atomic uint64_t word[SIGNAL_DOORS]; /* 0: SIG_DFL has taken the handler's place, by SA_RESETHAND */
    _Atomic unsigned next;
    _Atomic bool interrupts; /* siginterrupt: signal() leaves SA_RESTART away */
};
static struct signal_door signal_doors[NSIG];

typedef void signal_handler(int);
typedef void signal_action_handler(int, siginfo_t *, void *);

/* How an action is given to whoever has it: 0 or -errno. */
typedef int signal_set_call(int signal, const struct sigaction *new, struct sigaction *old);

/* ---- libc's structure and the kernel's ---- */

static struct sys_action signal_to_kernel(const struct sigaction *from)
{
    struct sys_action to = {.flags = (unsigned long)(unsigned)from->sa_flags, .restorer = from->sa_restorer};
    to.sigaction = from->sa_sigaction;
    memcpy(&to.mask, &from->sa_mask, sizeof to.mask);
    return to;
}

static struct sigaction signal_from_kernel(const struct sys_action *from)
{
    struct sigaction to = {.sa_flags = (int)from->flags, .sa_restorer = from->restorer};
    to.sa_sigaction = from->sigaction;
    memcpy(&to.sa_mask, &from->mask, sizeof from->mask);
    return to;
}

/* ---- delivery ---- */

static void signal_again(int signal, siginfo_t *info)
{
    rawsys(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), signal, (long)info, 0, 0);
}

/* SA_RESETHAND: the kernel's action becomes the default, unless a newer one is there. */
static void signal_reset(signal_action_handler *door, int signal, uint64_t word)
{
    struct sys_action action;
    if (sys_sigaction(signal, NULL, &action) != 0 || action.sigaction != door)
        return;
    action.handler = SIG_DFL;
    action.flags = (action.flags & ~(unsigned long)SA_SIGINFO) | SA_RESETHAND | (word & SIGNAL_INFO ? SA_SIGINFO : 0);
    sys_sigaction(signal, &action, NULL);
}

/* Takes the handler of a door that has it once; 0 if another thread was faster. A vfork child leaves its parent's alone. */
static uint64_t signal_take_once(_Atomic uint64_t *slot, uint64_t word, signal_action_handler *door, int signal)
{
    /* relaxed: the exchange decides who has it, nothing else is read by it */
    uint64_t taken = preload_foreign() ? word : atomic_exchange_explicit(slot, 0, memory_order_relaxed);
    signal_reset(door, signal, taken);
    return taken;
}

/* Whether the thread's own instruction raised it: it cannot go on before it is handled. */
static bool signal_is_fault(int signal, const siginfo_t *info)
{
    return (signal == SIGFPE || signal == SIGILL || signal == SIGTRAP || signal == SIGSYS) && info->si_code > 0;
}

static void signal_call(uint64_t word, int signal, siginfo_t *info, void *context)
{
    signal_action_handler *handler = (signal_action_handler *)(word & SIGNAL_ADDRESS);
    const struct nvmmio_core *core = preload_core();
    bool waiting = atomic_load_explicit(&preload_thread.waiting, memory_order_relaxed);
    int type = 0;
    if (waiting) {
        atomic_store_explicit(&preload_thread.waiting, false, memory_order_relaxed);
        type = preload_cancel_type(PTHREAD_CANCEL_DEFERRED);
    }
    if (core && word & SIGNAL_FAULTS)
        core->doubt();
    handler(signal, info, context); /* one that wants the number alone does not mind */
    if (core)
        core->doubt(); /* the mask that comes back now may be another one than the handler had */
    if (waiting) {
        atomic_store_explicit(&preload_thread.waiting, true, memory_order_relaxed);
        preload_cancel_type(type);
    }
}

static void signal_deliver(unsigned which, signal_action_handler *door, int signal, siginfo_t *info, void *context)
{
    const struct nvmmio_core *core = preload_core();
    _Atomic uint64_t *slot = &signal_doors[signal].word[which];
    if (core && !signal_is_fault(signal, info) && core->defer(signal, info, context))
        return;
    /* acquire: what the handler's installer did before; pairs with signal_through_door */
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    if (!word || word & SIGNAL_ONCE)
        word = signal_take_once(slot, word, door, signal);
    if (word)
        signal_call(word, signal, info, context);
    else
        signal_again(signal, info); /* for the default action */
}

static void signal_door_0(int signal, siginfo_t *info, void *context)
{
    signal_deliver(0, signal_door_0, signal, info, context);
}

static void signal_door_1(int signal, siginfo_t *info, void *context)
{
    signal_deliver(1, signal_door_1, signal, info, context);
}

static void signal_door_2(int signal, siginfo_t *info, void *context)
{
    signal_deliver(2, signal_door_2, signal, info, context);
}

static void signal_door_3(int signal, siginfo_t *info, void *context)
{
    signal_deliver(3, signal_door_3, signal, info, context);
}

static signal_action_handler *const signal_entries[SIGNAL_DOORS] = {signal_door_0, signal_door_1, signal_door_2,
                                                                    signal_door_3};

/* ---- setting and asking ---- */

static bool signal_is_valid(int signal)
{
    return signal > 0 && signal < NSIG;
}

/* Whether the action calls a function, at an address that fits the word. */
static bool signal_has_handler(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN && action->sa_handler != SIGNAL_HOLD &&
           !((uint64_t)action->sa_sigaction & ~SIGNAL_ADDRESS);
}

/* The action with a door of ours in the place of its handler. */
static struct sigaction signal_through_door(int signal, const struct sigaction *action)
{
    struct sigaction through = *action;
    uint64_t word = (uint64_t)action->sa_sigaction;
    if (action->sa_flags & SA_SIGINFO)
        word |= SIGNAL_INFO;
    if (action->sa_flags & (int)SA_RESETHAND)
        word |= SIGNAL_ONCE;
    if (sigismember(&action->sa_mask, SIGSEGV) || sigismember(&action->sa_mask, SIGBUS))
        word |= SIGNAL_FAULTS;
    /* relaxed: each caller gets a number of its own */
    unsigned which = atomic_fetch_add_explicit(&signal_doors[signal].next, 1, memory_order_relaxed) % SIGNAL_DOORS;
    /* release: pairs with signal_deliver; the system call that follows lets the kernel use the door */
    atomic_store_explicit(&signal_doors[signal].word[which], word, memory_order_release);
    through.sa_sigaction = signal_entries[which];
    through.sa_flags = (action->sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
    return through;
}

/* What the application had set, from what the kernel has. */
static void signal_behind_door(int signal, struct sigaction *action)
{
    unsigned which = 0;
    while (which < SIGNAL_DOORS && action->sa_sigaction != signal_entries[which])
        which++;
    if (which == SIGNAL_DOORS)
        return;
    uint64_t word = atomic_load_explicit(&signal_doors[signal].word[which], memory_order_acquire);
    action->sa_sigaction = (signal_action_handler *)(word & SIGNAL_ADDRESS);
    action->sa_flags &= ~SA_SIGINFO;
    if (word & SIGNAL_INFO)
        action->sa_flags |= SA_SIGINFO;
    if (word & SIGNAL_ONCE)
        action->sa_flags |= (int)SA_RESETHAND;
}

static int signal_set_by_libc(int signal, const struct sigaction *new, struct sigaction *old)
{
    signal_set_call *real = preload_real(PRELOAD_REAL_sigaction);
    int saved = errno;
    if (!real)
        return -ENOSYS;
    if (real(signal, new, old) == 0)
        return 0;
    int error = -errno;
    errno = saved;
    return error;
}

static int signal_set_by_kernel(int signal, const struct sigaction *new, struct sigaction *old)
{
    struct sys_action to;
    struct sys_action from;
    if (new)
        to = signal_to_kernel(new);
    int error = sys_sigaction(signal, new ? &to : NULL, old ? &from : NULL);
    if (!error && old)
        *old = signal_from_kernel(&from);
    return error;
}

static int signal_set_by_core(const struct nvmmio_core *core, int signal, const struct sigaction *new,
                              struct sigaction *old)
{
    struct sys_action to;
    struct sys_action from;
    if (new)
        to = signal_to_kernel(new);
    bool foreign = preload_foreign();
    int error = core->sigaction(signal, new && !foreign ? &to : NULL, old ? &from : NULL);
    if (!error && old)
        *old = signal_from_kernel(&from);
    /* A vfork child has actions of its own in the kernel, and its parent's table, which it must leave alone. */
    return error || !new || !foreign ? error : sys_sigaction(signal, &to, NULL);
}

/* The application's sigaction: 0 or -errno. */
static int signal_set(int signal, const struct sigaction *new, struct sigaction *old, signal_set_call *set)
{
    const struct nvmmio_core *core = preload_core();
    struct sigaction through;
    if (signal == SIGSEGV || signal == SIGBUS)
        return core ? signal_set_by_core(core, signal, new, old) : set(signal, new, old);
    if (new &&signal_is_valid(signal) && signal_has_handler(new) && !preload_foreign()) {
        through = signal_through_door(signal, new);
        new = &through;
    }
    int error = set(signal, new, old);
    if (!error && old)
        signal_behind_door(signal, old);
    return error;
}

/* ---- the calls ---- */

/* sigaction may be called by handlers and by vfork children, where nothing can be looked up. */
__attribute__((constructor)) static void signal_start(void)
{
    preload_real(PRELOAD_REAL_sigaction);
}

int preload_signal_action(int signal, const struct sys_action *new, struct sys_action *old)
{
    struct sigaction to;
    struct sigaction from;
    if (new)
        to = signal_from_kernel(new);
    int error = signal_set(signal, new ? &to : NULL, old ? &from : NULL, signal_set_by_kernel);
    if (!error && old)
        *old = signal_to_kernel(&from);
    return error;
}

int preload_sigaction(int signal, const struct sigaction *new, struct sigaction *old)
{
    return (int)preload_result(signal_set(signal, new, old, signal_set_by_libc));
}

static signal_handler *signal_replace(int signal, signal_handler *handler, int flags, bool masks_itself)
{
    struct sigaction new = {.sa_flags = flags};
    struct sigaction old;
    if (handler == SIG_ERR || !signal_is_valid(signal)) {
        errno = EINVAL;
        return SIG_ERR;
    }
    new.sa_handler = handler;
    sigemptyset(&new.sa_mask);
    if (masks_itself)
        sigaddset(&new.sa_mask, signal);
    return preload_sigaction(signal, &new, &old) == 0 ? old.sa_handler : SIG_ERR;
}

signal_handler *preload_signal(int signal, signal_handler *handler)
{
    /* relaxed: one thread sets what another has no order with */
    bool interrupts =
        signal_is_valid(signal) && atomic_load_explicit(&signal_doors[signal].interrupts, memory_order_relaxed);
    return signal_replace(signal, handler, interrupts ? 0 : SA_RESTART, true);
}

signal_handler *preload_sysv_signal(int signal, signal_handler *handler)
{
    return signal_replace(signal, handler, (int)SA_RESETHAND | SA_NODEFER, false);
}

signal_handler *preload_sigset(int signal, signal_handler *handler)
{
    sigset_t one;
    sigset_t before;
    struct sigaction old;
    sigemptyset(&one);
    if (handler == SIG_ERR || sigaddset(&one, signal) != 0) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (handler == SIGNAL_HOLD) {
        if (sigprocmask(SIG_BLOCK, &one, &before) != 0 || preload_sigaction(signal, NULL, &old) != 0)
            return SIG_ERR;
        return sigismember(&before, signal) ? SIGNAL_HOLD : old.sa_handler;
    }
    signal_handler *earlier = signal_replace(signal, handler, 0, false);
    if (earlier == SIG_ERR || sigprocmask(SIG_UNBLOCK, &one, &before) != 0)
        return SIG_ERR;
    return sigismember(&before, signal) ? SIGNAL_HOLD : earlier;
}

int preload_sigignore(int signal)
{
    return signal_replace(signal, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

int preload_siginterrupt(int signal, int interrupts)
{
    struct sigaction action;
    if (preload_sigaction(signal, NULL, &action) != 0)
        return -1;
    atomic_store_explicit(&signal_doors[signal].interrupts, interrupts != 0, memory_order_relaxed);
    action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return preload_sigaction(signal, &action, NULL);
}

#define PRELOAD_EXPORT_signal PRELOAD_ALIAS
#include "preload/preload_export.h"
