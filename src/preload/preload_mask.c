/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_mask.c — a thread changes its signal mask or its cancellation type: the core is told if a fault may be blocked
 * from now on, or cancellation strike at any moment, and asks the kernel at the thread's next call. Layer preload.
 *
 * What a handler's sa_mask blocks is told by preload_signal.c. A mask that a jump or another context brings back is not
 * seen.
 */
#include "preload/preload.h"

#include <signal.h>

/* Handlers and vfork children change masks, where nothing can be looked up. */
__attribute__((constructor)) static void mask_start(void)
{
    preload_real(PRELOAD_REAL_pthread_sigmask);
    preload_real(PRELOAD_REAL_pthread_setcanceltype);
}

static void mask_doubt(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->doubt();
}

int preload_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    int (*real)(int, const sigset_t *, sigset_t *) = preload_real(PRELOAD_REAL_pthread_sigmask);
    /* asked first: old may be the same memory */
    bool faults = set && how != SIG_UNBLOCK && (sigismember(set, SIGSEGV) || sigismember(set, SIGBUS));
    int error = real ? real(how, set, old) : ENOSYS;
    if (!error && faults)
        mask_doubt();
    return error;
}

int preload_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    return (int)preload_result(-preload_pthread_sigmask(how, set, old));
}

/* As the system call: 0 or -errno. */
int preload_signal_mask(int how, const uint64_t *set, uint64_t *old)
{
    int error = sys_sigprocmask(how, set, old);
    if (!error && set)
        mask_doubt();
    return error;
}

/* ---- masks of BSD, in one int ---- */

static sigset_t mask_of_bits(int bits)
{
    sigset_t set;
    sigemptyset(&set);
    set.__val[0] = (unsigned)bits;
    return set;
}

static int mask_change(int how, int bits)
{
    sigset_t set = mask_of_bits(bits);
    sigset_t old;
    return preload_sigprocmask(how, &set, &old) == 0 ? (int)old.__val[0] : -1;
}

int preload_sigblock(int bits)
{
    return mask_change(SIG_BLOCK, bits);
}

int preload_sigsetmask(int bits)
{
    return mask_change(SIG_SETMASK, bits);
}

int preload_sighold(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    return sigaddset(&set, signal) == 0 ? preload_sigprocmask(SIG_BLOCK, &set, NULL) : -1;
}

/* ---- cancellation ---- */

int preload_cancel_type(int type)
{
    int (*real)(int, int *) = preload_real(PRELOAD_REAL_pthread_setcanceltype);
    int old = PTHREAD_CANCEL_DEFERRED;
    if (real)
        real(type, &old);
    return old;
}

int preload_pthread_setcanceltype(int type, int *old)
{
    int (*real)(int, int *) = preload_real(PRELOAD_REAL_pthread_setcanceltype);
    if (type == PTHREAD_CANCEL_ASYNCHRONOUS)
        mask_doubt(); /* before: what waits strikes in there */
    return real ? real(type, old) : ENOSYS;
}

#define PRELOAD_EXPORT_mask PRELOAD_ALIAS
#include "preload/preload_export.h"
