/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * fault.c — the fault injector of the unit tests. Counters are atomic, so that threads may run while it watches; rules
 * are set while no other thread makes system calls of the library.
 */
#include "unit/fault.h"

#include "base/rawsys.h"

#include <stdatomic.h>

#define FAULT_NUMBERS 512

struct fault_rule {
    long number;
    unsigned nth;
    int error;
    bool sticky;
    _Atomic unsigned seen; /* calls since the rule was set */
};

static struct fault {
    struct fault_rule rule[FAULT_RULES_MAX];
    unsigned rules;
    _Atomic unsigned calls[FAULT_NUMBERS];
    _Atomic unsigned all_calls;
    _Atomic unsigned hits;
} fault;

static bool fault_rule_applies(struct fault_rule *rule, long number)
{
    if (rule->number != FAULT_ANY && rule->number != number)
        return false;
    unsigned seen = atomic_fetch_add(&rule->seen, 1) + 1;
    return seen == rule->nth || (rule->sticky && seen > rule->nth);
}

static long fault_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    atomic_fetch_add(&fault.all_calls, 1);
    if (number >= 0 && number < FAULT_NUMBERS)
        atomic_fetch_add(&fault.calls[number], 1);
    int error = 0;
    for (unsigned i = 0; i < fault.rules; i++)
        if (fault_rule_applies(&fault.rule[i], number) && !error)
            error = fault.rule[i].error;
    if (error) {
        atomic_fetch_add(&fault.hits, 1);
        return -error;
    }
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

void fault_start(void)
{
    fault.rules = 0;
    for (int i = 0; i < FAULT_NUMBERS; i++)
        atomic_store(&fault.calls[i], 0);
    atomic_store(&fault.all_calls, 0);
    atomic_store(&fault.hits, 0);
    rawsys_table.invoke = fault_invoke;
}

void fault_stop(void)
{
    rawsys_table.invoke = rawsys_invoke_kernel;
    fault.rules = 0;
}

void fault_set(long number, unsigned nth, int error, bool sticky)
{
    if (fault.rules == FAULT_RULES_MAX)
        __builtin_trap(); /* a test that wants more raises the limit */
    struct fault_rule *rule = &fault.rule[fault.rules];
    rule->number = number;
    rule->nth = nth;
    rule->error = error;
    rule->sticky = sticky;
    atomic_store(&rule->seen, 0);
    fault.rules++;
}

unsigned fault_calls(long number)
{
    return atomic_load(number == FAULT_ANY ? &fault.all_calls : &fault.calls[number]);
}

unsigned fault_hits(void)
{
    return atomic_load(&fault.hits);
}
