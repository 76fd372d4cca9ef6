/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_signal.c — one call of each intercepted name about the actions of signals: SIGSEGV's is set, asked for, set
 * back.
 */
#include "interpose.h"

#include <signal.h>

extern int __sigaction(int signal, const struct sigaction *new, struct sigaction *old);
extern __sighandler_t bsd_signal(int signal, __sighandler_t handler);
extern __sighandler_t sysv_signal(int signal, __sighandler_t handler);
extern __sighandler_t __sysv_signal(int signal, __sighandler_t handler);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* programs that are older than the advice */

static void signal_handler(int signal)
{
    (void)signal;
}

static bool signal_is(__sighandler_t handler, int flags, bool masked)
{
    static const int visible = SA_RESTART | SA_RESETHAND | SA_NODEFER | SA_SIGINFO | SA_ONSTACK;
    struct sigaction now;
    return sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == handler && (now.sa_flags & visible) == flags &&
           sigismember(&now.sa_mask, SIGSEGV) == masked;
}

static bool signal_reset(void)
{
    struct sigaction action = {.sa_flags = 0};
    action.sa_handler = SIG_DFL;
    return sigaction(SIGSEGV, &action, NULL) == 0 && signal_is(SIG_DFL, 0, false);
}

#define CALL_ACTION(name)                                                                                              \
    CALL(name, "sigaction")                                                                                            \
    {                                                                                                                  \
        struct sigaction action = {.sa_flags = SA_ONSTACK | SA_NODEFER};                                               \
        struct sigaction old;                                                                                          \
        action.sa_handler = signal_handler;                                                                            \
        sigaddset(&action.sa_mask, SIGSEGV);                                                                           \
        return name(SIGSEGV, &action, &old) == 0 && old.sa_handler == SIG_DFL &&                                       \
               signal_is(signal_handler, SA_ONSTACK | SA_NODEFER, true) && signal_reset();                             \
    }
CALL_ACTION(sigaction)
CALL_ACTION(__sigaction)

#define CALL_SIGNAL(name, flags, masked)                                                                               \
    CALL(name, "sigaction")                                                                                            \
    {                                                                                                                  \
        return name(SIGSEGV, signal_handler) == SIG_DFL && signal_is(signal_handler, flags, masked) &&                 \
               name(SIGSEGV, SIG_IGN) == signal_handler && signal_is(SIG_IGN, flags, masked) && signal_reset();        \
    }
CALL_SIGNAL(signal, SA_RESTART, true)
CALL_SIGNAL(bsd_signal, SA_RESTART, true)
CALL_SIGNAL(ssignal, SA_RESTART, true)
CALL_SIGNAL(sysv_signal, SA_RESETHAND | SA_NODEFER, false)
CALL_SIGNAL(__sysv_signal, SA_RESETHAND | SA_NODEFER, false)

CALL(sigset, "sigaction")
{
    static const __sighandler_t hold = (__sighandler_t)2;
    return sigset(SIGSEGV, signal_handler) == SIG_DFL && signal_is(signal_handler, 0, false) &&
           sigset(SIGSEGV, hold) == signal_handler && sigset(SIGSEGV, SIG_DFL) == hold && signal_reset();
}

CALL(sigignore, "sigaction")
{
    return sigignore(SIGSEGV) == 0 && signal_is(SIG_IGN, 0, false) && signal_reset();
}

CALL(siginterrupt, "sigaction")
{
    return signal(SIGSEGV, signal_handler) == SIG_DFL && siginterrupt(SIGSEGV, 1) == 0 &&
           signal_is(signal_handler, 0, true) && signal(SIGSEGV, signal_handler) == signal_handler &&
           signal_is(signal_handler, 0, true) && siginterrupt(SIGSEGV, 0) == 0 &&
           signal_is(signal_handler, SA_RESTART, true) && signal_reset();
}
