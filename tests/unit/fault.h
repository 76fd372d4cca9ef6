/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fault.h — lets system calls of the library fail, and counts them. For unit tests.
 *
 * fault_start replaces rawsys_table.invoke; from then on every call is counted by its number. A rule makes the n-th call
 * of one number, counted from when the rule is set, return an error without reaching the kernel. The usual way to try
 * every failure of an operation:
 *
 *     for (unsigned nth = 1;; nth++) {
 *         fault_start();
 *         fault_set(SYS_openat, nth, ENOSPC, false);
 *         int result = operation();
 *         bool hit = fault_hits() > 0;
 *         fault_stop();
 *         if (!hit)
 *             break;            // the operation has fewer calls than nth
 *         ...check result and that nothing leaked...
 *     }
 */
#ifndef UNIT_FAULT_H
#define UNIT_FAULT_H

#include <stdbool.h>

/* Forgets rules and counts and begins to watch. */
void fault_start(void);

/* Back to the kernel, without rules; the counts can still be read. */
void fault_stop(void);

/* The nth call (1 is the next) of `number` fails with `error` (positive errno); a sticky rule fails all after it too. At
 * most FAULT_RULES_MAX rules. fault_set with FAULT_ANY as the number counts all system calls together. */
#define FAULT_ANY (-1)
#define FAULT_RULES_MAX 8
void fault_set(long number, unsigned nth, int error, bool sticky);

/* Calls of `number` (or FAULT_ANY) since fault_start, failed ones included. */
unsigned fault_calls(long number);

/* Calls that a rule let fail since fault_start. */
unsigned fault_hits(void);

#endif
