/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_guard.c — the handler of SIGBUS and SIGSEGV. Layer pm; its guards are used by log and uma.
 *
 * The handler runs with an empty mask and SA_NODEFER, so that leaving it by a jump leaves the thread's signal mask as
 * it was. A fault that no guard waits for gets what the application's earlier action would have given it: a handler
 * called with its mask, SA_NODEFER and SA_RESETHAND applied as the kernel does; SA_ONSTACK and SA_RESTART are those of
 * our own installation, taken over from the earlier action SIG_DFL     restored; a fault comes back when we return and
 * then kills, a sent signal is sent again SIG_IGN     a sent signal is ignored, a fault kills: the kernel does not let
 * synchronous faults be ignored
 *
 * Signal actions are set by the system call, never by libc's sigaction, which a preload library may interpose.
 */
#include "pm/pm_guard.h"
#include "pm/pm_probe.h"

#include "base/rawsys.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
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

/* The kernel's struct sigaction on 64-bit machines. */
struct guard_action {
    union {
        void (*handler)(int);
        void (*sigaction)(int, siginfo_t *, void *);
    };
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

enum guard_state { GUARD_ABSENT, GUARD_INSTALLING, GUARD_INSTALLED };
enum guard_signal { GUARD_SIGBUS, GUARD_SIGSEGV, GUARD_SIGNALS };

static const int guard_signals[GUARD_SIGNALS] = {SIGBUS, SIGSEGV};

static struct guard_table {
    _Atomic int state;                          /* enum guard_state */
    struct guard_action earlier[GUARD_SIGNALS]; /* complete before our handler is installed */
} guard_table;

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

static int guard_action_set(int signal, const struct guard_action *new, struct guard_action *old)
{
    return (int)rawsys(SYS_rt_sigaction, signal, (long)new, (long)old, sizeof new->mask, 0, 0);
}

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

static void guard_default(int signal, siginfo_t *info)
{
    struct guard_action action = {.handler = SIG_DFL};
    guard_action_set(signal, &action, NULL);
    if (!guard_is_fault(signal, info))
        rawsys(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), signal, (long)info, 0, 0);
}

static void guard_call(struct guard_action *earlier, int signal, siginfo_t *info, void *context)
{
    struct guard_action action = *earlier;
    if (action.flags & SA_RESETHAND)
        earlier->handler = SIG_DFL;
    uint64_t mask = action.mask;
    if (!(action.flags & SA_NODEFER))
        mask |= UINT64_C(1) << (signal - 1);
    sys_sigprocmask(SIG_BLOCK, &mask, NULL); /* undone by the return from our handler */
    if (action.flags & SA_SIGINFO)
        action.sigaction(signal, info, context);
    else
        action.handler(signal);
}

static void guard_chain(int signal, siginfo_t *info, void *context)
{
    struct guard_action *earlier = &guard_table.earlier[signal == SIGBUS ? GUARD_SIGBUS : GUARD_SIGSEGV];
    if (earlier->handler == SIG_DFL)
        guard_default(signal, info);
    else if (earlier->handler != SIG_IGN)
        guard_call(earlier, signal, info, context);
    else if (guard_is_fault(signal, info))
        guard_default(signal, info);
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

static void guard_handler(int signal, siginfo_t *info, void *context)
{
    struct pm_guard *guard = pm_guard_armed;
    if (guard_is_fault(signal, info) && guard_resume_probe(context))
        return;
    if (guard && guard_is_fault(signal, info)) {
        pm_guard_armed = NULL;
        guard->address = (uintptr_t)info->si_addr;
        guard->signal = signal;
        guard_rearm_stack(context);
        guard_jump(guard);
    }
    /* the application's handler may use guards of its own (by calling us), or leave by a jump */
    pm_guard_armed = NULL;
    guard_chain(signal, info, context);
    pm_guard_armed = guard;
}

static int guard_install_one(enum guard_signal which)
{
    struct guard_action *earlier = &guard_table.earlier[which];
    int error = guard_action_set(guard_signals[which], NULL, earlier);
    if (error)
        return error;
    struct guard_action action = {.sigaction = guard_handler, .flags = SA_SIGINFO | SA_NODEFER};
    bool has_handler = earlier->handler != SIG_DFL && earlier->handler != SIG_IGN;
    action.flags |= has_handler ? earlier->flags & (SA_ONSTACK | SA_RESTART) : SA_ONSTACK | SA_RESTART;
#if defined(GUARD_SA_RESTORER)
    action.flags |= GUARD_SA_RESTORER;
    action.restorer = pm_guard_restorer;
#endif
    return guard_action_set(guard_signals[which], &action, NULL);
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
    int error = guard_install_one(GUARD_SIGBUS);
    if (!error) {
        error = guard_install_one(GUARD_SIGSEGV);
        if (error)
            guard_action_set(SIGBUS, &guard_table.earlier[GUARD_SIGBUS], NULL);
    }
    atomic_store_explicit(&guard_table.state, error ? GUARD_ABSENT : GUARD_INSTALLED, memory_order_release);
    return error;
}
