/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_probe.h — whether a byte of the user's can be read. Layer pm; called by uma before a write takes its locks.
 *
 * One load at a known address of the program: the fault handler knows it and resumes behind it. Nothing is set up and
 * nothing stored, unlike with a guard (pm_guard.h), which is what the hot path needs.
 */
#ifndef PM_PM_PROBE_H
#define PM_PM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Loads the byte at addr: false if that faults. pm_guard_install was called before. */
bool pm_probe(const void *addr);

/* For the handler: the address at which to resume after a fault at `pc`, 0 if pc is not the probe's. */
uintptr_t pm_probe_resume(uintptr_t pc);

#endif
