/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_guard.c — the handler of SIGBUS and SIGSEGV. Layer pm; its guards are used by log and uma.
 *
 * The handler runs with an empty mask and SA_NODEFER, so that leaving it by a jump leaves the thread's signal mask as
 * it was. A fault that no guard waits for gets what the application's action would have given it: a handler
 * called with its mask, SA_NODEFER and SA_RESETHAND applied as the kernel does; SA_ONSTACK and SA_RESTART are those of
 * our own installation, taken over from what the application wants. One that somebody sent waits until the thread is out
 * of the library (base/inside.h). SIG_DFL is restored: a fault comes back when we
 * return and then kills, a sent signal is sent again. SIG_IGN: a sent signal is ignored, a fault kills: the kernel does
 * not let synchronous faults be ignored.
 *
 * What the application sets later comes by pm_guard_action from the preload library. Signal actions are set by the system
 * call, never by libc's sigaction, which a preload library may interpose.
 */
#include "pm/pm_guard.h"
#include "pm/pm_probe.h"

#include "base/inside.h"
#include "base/rawsys.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

__thread struct pm_guard *pm_guard_armed __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) void pm_guard_arm(struct pm_guard *guard)
{
    pm_guard_armed = guard;
    __asm__ volatile("" ::: "memory"); /* the handler runs in this thread: program order is enough */
}

__attribute__((noinline)) void pm_guard_end(void)
{
    __asm__ volatile("" ::: "memory");
    pm_guard_armed = NULL;
}

__attribute__((noinline)) bool pm_guard_copy(void *to, const void *from, size_t length)
{
    struct pm_guard guard;
    if (pm_guard_begin(&guard))
        return false;
    memcpy(to, from, length);
    pm_guard_end();
    return true;
}

enum guard_state { GUARD_ABSENT, GUARD_INSTALLING, GUARD_INSTALLED };
enum guard_signal { GUARD_SIGBUS, GUARD_SIGSEGV, GUARD_SIGNALS };

static const int guard_signals[GUARD_SIGNALS] = {SIGBUS, SIGSEGV};

static struct guard_table {
    _Atomic int state;                                 /* enum guard_state */
    _Atomic bool locked;                               /* guards `wanted`; held with all signals blocked */
    bool (*_Atomic rescue)(uintptr_t);                 /* relaxed: a function that is there all the time */
    enum pm_guard_verdict (*_Atomic store)(uintptr_t); /* the same */
    struct sys_action wanted[GUARD_SIGNALS]; /* by the application; complete before our handler is installed */
} guard_table;

static enum guard_signal guard_which(int signal)
{
    return signal == SIGBUS ? GUARD_SIGBUS : GUARD_SIGSEGV;
}

static void guard_lock_blocked(void)
{
    /* acquire: what the last holder stored; pairs with guard_unlock_blocked */
    while (atomic_exchange_explicit(&guard_table.locked, true, memory_order_acquire))
        sys_sched_yield();
}

static void guard_unlock_blocked(void)
{
    atomic_store_explicit(&guard_table.locked, false, memory_order_release);
}

/* A handler of this thread that came between lock and unlock would wait for itself. */
static uint64_t guard_lock(void)
{
    uint64_t mask = sys_block_signals();
    guard_lock_blocked();
    return mask;
}

static void guard_unlock(uint64_t mask)
{
    guard_unlock_blocked();
    sys_unblock_signals(mask);
}

void pm_guard_before_fork(void)
{
    guard_lock_blocked();
}

void pm_guard_after_fork(void)
{
    guard_unlock_blocked();
}

#if defined(__x86_64__)
#define GUARD_SA_RESTORER 0x04000000ul
/* The kernel wants user space to bring the return from a handler; debuggers know it by these very instructions. */
void pm_guard_restorer(void);
__asm__(".text\n"
        ".balign 16\n"
        ".type pm_guard_restorer, @function\n"
        ".hidden pm_guard_restorer\n"
        ".globl pm_guard_restorer\n"
        "pm_guard_restorer:\n"
        "    mov $15, %rax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size pm_guard_restorer, . - pm_guard_restorer\n");
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GUARD_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARD_ASAN 1
#endif
#endif
#if defined(GUARD_ASAN)
void __asan_handle_no_return(void);
#endif

/* Never inlined: __builtin_longjmp must not be in the function of its __builtin_setjmp, and wants a frame of its own.
 */
__attribute__((noinline, noreturn)) static void guard_jump(struct pm_guard *guard)
{
#if defined(GUARD_ASAN)
    __asan_handle_no_return();
#endif
    __builtin_longjmp(guard->context, 1);
}

/* An alternate stack with SS_AUTODISARM is off while its handler runs; the return that we skip would turn it on. */
static void guard_rearm_stack(const ucontext_t *context)
{
    const unsigned autodisarm = 1u << 31;
    if ((unsigned)context->uc_stack.ss_flags & autodisarm)
        rawsys(SYS_sigaltstack, (long)&context->uc_stack, 0, 0, 0, 0, 0);
}

/* Raised by an instruction of this thread, not sent by somebody or reported at leisure. */
static bool guard_is_fault(int signal, const siginfo_t *info)
{
    return info->si_code > 0 && !(signal == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

/* `comes_back`: the instruction raises this very signal once more. */
static void guard_default(int signal, siginfo_t *info, bool comes_back)
{
    struct sys_action action = {.handler = SIG_DFL};
    sys_sigaction(signal, &action, NULL);
    if (!comes_back)
        rawsys(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), signal, (long)info, 0, 0);
}

static void guard_call(const struct sys_action *wanted, int signal, siginfo_t *info, void *context)
{
    uint64_t mask = wanted->mask;
    if (!(wanted->flags & SA_NODEFER))
        mask |= UINT64_C(1) << (signal - 1);
    sys_sigprocmask(SIG_BLOCK, &mask, NULL); /* undone by the return from our handler */
    inside_doubt();                          /* which blocks the signal that runs */
    if (wanted->flags & SA_SIGINFO)
        wanted->sigaction(signal, info, context);
    else
        wanted->handler(signal);
    inside_doubt();
}

static bool guard_has_handler(const struct sys_action *wanted)
{
    return wanted->handler != SIG_DFL && wanted->handler != SIG_IGN;
}

/* What the application wants to happen now. */
static struct sys_action guard_deliver(int signal)
{
    struct sys_action *wanted = &guard_table.wanted[guard_which(signal)];
    uint64_t mask = guard_lock();
    struct sys_action now = *wanted;
    if (now.flags & SA_RESETHAND && guard_has_handler(&now))
        wanted->handler = SIG_DFL;
    guard_unlock(mask);
    return now;
}

static void guard_chain(int signal, siginfo_t *info, void *context, bool comes_back)
{
    struct sys_action wanted = guard_deliver(signal);
    if (guard_has_handler(&wanted))
        guard_call(&wanted, signal, info, context);
    else if (wanted.handler == SIG_DFL || guard_is_fault(signal, info))
        guard_default(signal, info, comes_back);
}

/* Whether the fault was in pm_probe; the return from the handler then goes on behind it. */
static bool guard_resume_probe(ucontext_t *context)
{
#if defined(__x86_64__)
    uintptr_t resume = pm_probe_resume((uintptr_t)context->uc_mcontext.gregs[REG_RIP]);
    if (resume)
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
    return resume != 0;
#else
    (void)context;
    return false;
#endif
}

/* A store to memory that is there and may not be stored to: true if it can be made now. Else what the application is to
 * hear is in *signal and *info. */
static bool guard_store(int *signal, siginfo_t *info)
{
    enum pm_guard_verdict (*store)(uintptr_t) = atomic_load_explicit(&guard_table.store, memory_order_relaxed);
    if (*signal != SIGSEGV || info->si_code != SEGV_ACCERR || !store)
        return false;
    enum pm_guard_verdict verdict = store((uintptr_t)info->si_addr);
    if (verdict == PM_GUARD_BUS) {
        *signal = info->si_signo = SIGBUS;
        info->si_code = BUS_ADRERR;
    }
    return verdict == PM_GUARD_RESUME;
}

static void guard_handler(int signal, siginfo_t *info, void *context)
{
    struct pm_guard *guard = pm_guard_armed;
    const int raised = signal;
    if (guard_is_fault(signal, info) && guard_resume_probe(context)) {
        inside_keep(context);
        return;
    }
    if (!guard_is_fault(signal, info) && inside_defer(signal, info, context))
        return;
    if (guard && guard_is_fault(signal, info)) {
        pm_guard_armed = NULL;
        guard->address = (uintptr_t)info->si_addr;
        guard->signal = signal;
        guard_rearm_stack(context);
        guard_jump(guard);
    }
    bool (*rescue)(uintptr_t) = atomic_load_explicit(&guard_table.rescue, memory_order_relaxed);
    if (signal == SIGBUS && guard_is_fault(signal, info) && rescue && rescue((uintptr_t)info->si_addr)) {
        inside_keep(context);
        return;
    }
    if (guard_store(&signal, info))
        return;
    /* the application's handler may use guards of its own (by calling us), or leave by a jump */
    pm_guard_armed = NULL;
    guard_chain(signal, info, context, signal == raised && guard_is_fault(signal, info));
    pm_guard_armed = guard;
}

/* Our action in place of the one that the application wants. */
static int guard_install_over(int signal, const struct sys_action *wanted)
{
    struct sys_action action = {.sigaction = guard_handler, .flags = SA_SIGINFO | SA_NODEFER};
    action.flags |= guard_has_handler(wanted) ? wanted->flags & (SA_ONSTACK | SA_RESTART) : SA_ONSTACK | SA_RESTART;
#if defined(GUARD_SA_RESTORER)
    action.flags |= GUARD_SA_RESTORER;
    action.restorer = pm_guard_restorer;
#endif
    return sys_sigaction(signal, &action, NULL);
}

static int guard_install_one(enum guard_signal which)
{
    struct sys_action *wanted = &guard_table.wanted[which];
    int error = sys_sigaction(guard_signals[which], NULL, wanted);
    return error ? error : guard_install_over(guard_signals[which], wanted);
}

static int guard_install_both(void)
{
    int error = guard_install_one(GUARD_SIGBUS);
    if (error)
        return error;
    error = guard_install_one(GUARD_SIGSEGV);
    if (error)
        sys_sigaction(SIGBUS, &guard_table.wanted[GUARD_SIGBUS], NULL);
    return error;
}

void pm_guard_rescue(bool (*rescue)(uintptr_t address))
{
    atomic_store_explicit(&guard_table.rescue, rescue, memory_order_relaxed);
}

void pm_guard_watch(enum pm_guard_verdict (*store)(uintptr_t address))
{
    atomic_store_explicit(&guard_table.store, store, memory_order_relaxed);
}

int pm_guard_install(void)
{
    int expected = GUARD_ABSENT;
    /* acquire: an installer that finds INSTALLED may rely on the handlers; pairs with the stores below */
    while (!atomic_compare_exchange_weak_explicit(&guard_table.state, &expected, GUARD_INSTALLING, memory_order_acquire,
                                                  memory_order_acquire)) {
        if (expected == GUARD_INSTALLED)
            return 0;
        if (expected == GUARD_INSTALLING)
            sys_sched_yield();
        expected = GUARD_ABSENT;
    }
    uint64_t mask = guard_lock();
    int error = guard_install_both();
    atomic_store_explicit(&guard_table.state, error ? GUARD_ABSENT : GUARD_INSTALLED, memory_order_release);
    guard_unlock(mask);
    return error;
}

/* Replaces what the application wants; our action stays, with the flags that the kernel must know. */
static int guard_replace(int signal, const struct sys_action *new)
{
    struct sys_action *wanted = &guard_table.wanted[guard_which(signal)];
    struct sys_action before = *wanted;
    *wanted = *new; /* before our action, which may be called at once by another thread */
    int error = guard_install_over(signal, new);
    if (error)
        *wanted = before;
    return error;
}

int pm_guard_action(int signal, const struct sys_action *new, struct sys_action *old)
{
    struct sys_action action;
    if (new) { /* the caller's memory may be anything: it faults here, not under the lock */
        action = *new;
        action.mask &= ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
    }
#if defined(GUARD_SA_RESTORER)
    if (new && !action.restorer) {
        action.flags |= GUARD_SA_RESTORER;
        action.restorer = pm_guard_restorer;
    }
#endif
    struct sys_action before;
    uint64_t mask = guard_lock();
    bool ours = atomic_load_explicit(&guard_table.state, memory_order_relaxed) == GUARD_INSTALLED;
    before = guard_table.wanted[guard_which(signal)];
    int error = !ours ? sys_sigaction(signal, new ? &action : NULL, &before) : new ? guard_replace(signal, &action) : 0;
    guard_unlock(mask);
    if (!error && old)
        *old = before;
    return error;
}
