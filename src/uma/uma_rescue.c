/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_rescue.c — the file, its log, the index object or the volume's table goes away under a load or store: another program
 * has cut it, or the medium is poisoned.
 * Layer uma; called by the handler of SIGBUS.
 *
 * Reads run under a guard (uma_read.c). Stores, and the loads that go with them, happen with slots locked, in the guard of
 * an epoch, in many places: for them the missing page is replaced by one of zeros that nobody else sees, and the operation
 * goes on to its end, where the mode says that it failed. Nothing is committed or freed from then on, so the log still has
 * all that was committed; the last close fails and leaves it to recovery. Of the index object everything may be used at any
 * time, also while it is being attached: `torn` makes a file fail whose shared page was itself missing.
 */
#include "pm/pm_guard.h"
#include "uma/uma_private.h"

__thread struct uma *uma_working __attribute__((tls_model("initial-exec")));

static bool uma_rescue(uintptr_t address)
{
    struct uma *uma = uma_working;
    if (!uma || !(pm_map_patch(&uma->data, address) || pm_map_patch(&uma->log.map, address) ||
                  pm_map_patch(&uma->index.map, address)))
        uma = uma_of_index(address);
    if (!uma)
        return volume_rescue(address);
    atomic_store_explicit(&uma->torn, true, memory_order_relaxed); /* read by this thread, or behind a lock */
    /* release, as in uma_fail: seen at the latest when the operation ends, by the same thread */
    if (uma->index.shared)
        atomic_store_explicit(&uma_shared(uma)->mode, INDEX_MODE_FAILED, memory_order_release);
    return true;
}

int uma_rescue_install(void)
{
    pm_guard_rescue(uma_rescue);
    pm_guard_watch(uma_protect_fault);
    return pm_guard_install();
}
