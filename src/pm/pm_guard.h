/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_guard.h — copies that survive a fault. Layer pm; called by log (recovery) and uma.
 *
 * A load from a mapped file raises SIGBUS where the file was truncated or the medium is poisoned; a user's buffer may be
 * any address. Between pm_guard_begin and pm_guard_end a SIGBUS or SIGSEGV of this thread that lies at any address
 * resumes at pm_guard_begin, which then returns 1. Guards do not nest. Faults outside a guard go to the
 * handler that the application has installed, before or, under the preload library, afterwards.
 *
 * Use:  if (!pm_guard_begin(&guard)) { ...copy...; pm_guard_end(); } else { ...fault at guard.address... }
 */
#ifndef PM_PM_GUARD_H
#define PM_PM_GUARD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pm_guard {
    void *context[5];  /* of __builtin_setjmp: frame, resume address, stack pointer */
    uintptr_t address; /* of the fault */
    int signal;        /* SIGBUS or SIGSEGV */
};

/* The guard of this thread that a fault resumes at, NULL outside. Written by its own thread and its signal handler. */
extern __thread struct pm_guard *pm_guard_armed __attribute__((tls_model("initial-exec")));

/* Installs the signal handlers, once per process. 0 or -errno. */
int pm_guard_install(void);

/* What is asked about a SIGBUS at an address that no guard waits for: true if the instruction can be run again. Called in
 * the handler. */
void pm_guard_rescue(bool (*rescue)(uintptr_t address));

/* What is to be done about a SIGSEGV that no guard waits for. */
enum pm_guard_verdict {
    PM_GUARD_NOT_OURS, /* it is the application's */
    PM_GUARD_RESUME,   /* the instruction can be run again */
    PM_GUARD_BUS,      /* it is the application's, as the SIGBUS of a mapped file that fails */
};
/* Who is asked about stores to memory that may not be stored to. Called in the handler, in the thread that stores. */
void pm_guard_watch(enum pm_guard_verdict (*store)(uintptr_t address));

/* The application's sigaction for SIGBUS and SIGSEGV: what it sets gets the faults that are not ours, and what it asks for
 * is what it set. 0 or -errno. */
struct sys_action;
int pm_guard_action(int signal, const struct sys_action *new, struct sys_action *old);

/* Rows of the fork table. All signals are blocked. */
void pm_guard_before_fork(void);
void pm_guard_after_fork(void);

/* Arm and disarm. Never inlined, for gcc's sake: it believes that only calls can lead back to __builtin_setjmp, and
 * removes the way back if there is none; and what lies between two calls that might, it keeps in the frame. */
void pm_guard_arm(struct pm_guard *guard);
void pm_guard_end(void);

/* A macro, since the frame that calls __builtin_setjmp must live as long as the guard. 0 first, 1 after a fault (the
 * guard is disarmed then). clang does not know that the way back begins inside the guarded part, and reuses there the
 * stack slots of what only the branch after a fault reads: the function that contains the guard must be noinline, and all
 * that its branch after a fault reads, parameters too, must be volatile or lie in the guard. */
#define pm_guard_begin(guard) (__builtin_setjmp((guard)->context) ? 1 : (pm_guard_arm(guard), 0))

/* Copies a few bytes of the user's: false if they cannot be read. pm_guard_install was called before. */
bool pm_guard_copy(void *to, const void *from, size_t length);

#endif
