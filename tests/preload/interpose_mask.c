/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_mask.c — one call of each intercepted name about masks of signals and about cancellation: SIGSEGV is blocked and
 * unblocked again.
 */
#include "interpose.h"

#include <pthread.h>
#include <signal.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* programs that are older than the advice */

enum { MASK_SEGV = 1 << (SIGSEGV - 1) };

static bool mask_has(bool blocked)
{
    sigset_t now;
    return pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSEGV) == blocked &&
           !sigismember(&now, SIGBUS);
}

static bool mask_unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    return mask_has(true) && sigprocmask(SIG_SETMASK, &none, NULL) == 0 && mask_has(false);
}

#define CALL_MASK(name)                                                                                                \
    CALL(name, "doubt")                                                                                                \
    {                                                                                                                  \
        sigset_t set;                                                                                                  \
        sigset_t old;                                                                                                  \
        sigemptyset(&set);                                                                                             \
        sigaddset(&set, SIGSEGV);                                                                                      \
        return name(SIG_BLOCK, &set, &old) == 0 && !sigismember(&old, SIGSEGV) && mask_unblock() &&                    \
               name(-1, &set, NULL) != 0;                                                                              \
    }
CALL_MASK(pthread_sigmask)
CALL_MASK(sigprocmask)

CALL(sigblock, "doubt")
{
    return sigblock(MASK_SEGV) == 0 && sigblock(0) == MASK_SEGV && mask_unblock();
}

CALL(sigsetmask, "doubt")
{
    return sigsetmask(MASK_SEGV) == 0 && mask_unblock();
}

CALL(sighold, "doubt")
{
    return sighold(SIGSEGV) == 0 && mask_unblock() && sighold(-1) == -1 && errno == EINVAL;
}

CALL(pthread_setcanceltype, "doubt")
{
    int type;
    return pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type) == 0 && type == PTHREAD_CANCEL_DEFERRED &&
           pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0 && type == PTHREAD_CANCEL_ASYNCHRONOUS &&
           pthread_setcanceltype(7, NULL) == EINVAL;
}
