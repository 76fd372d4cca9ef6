/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * pm_probe.c — whether a byte of the user's can be read. Layer pm.
 */
#include "pm/pm_probe.h"

#if defined(__x86_64__)

extern const char pm_probe_load[] __attribute__((visibility("hidden")));
extern const char pm_probe_fault[] __attribute__((visibility("hidden")));

__asm__(".text\n"
        ".globl pm_probe\n"
        ".hidden pm_probe, pm_probe_load, pm_probe_fault\n"
        ".globl pm_probe_load, pm_probe_fault\n"
        ".type pm_probe, @function\n"
        "pm_probe:\n"
        "pm_probe_load:\n"
        "    movb (%rdi), %al\n"
        "    movl $1, %eax\n"
        "    ret\n"
        "pm_probe_fault:\n"
        "    xorl %eax, %eax\n"
        "    ret\n"
        ".size pm_probe, . - pm_probe\n");

uintptr_t pm_probe_resume(uintptr_t pc)
{
    return pc == (uintptr_t)pm_probe_load ? (uintptr_t)pm_probe_fault : 0;
}

#else

#include "pm/pm_guard.h"

bool pm_probe(const void *addr)
{
    struct pm_guard guard;
    if (pm_guard_begin(&guard))
        return false;
    (void)*(const volatile char *)addr;
    pm_guard_end();
    return true;
}

uintptr_t pm_probe_resume(uintptr_t pc)
{
    (void)pc;
    return 0;
}

#endif
