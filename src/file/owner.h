/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * owner.h — whether the process that owns a lock of the OFD arena is gone. Layer file; used by ofd.c.
 *
 * The owner of such a lock is a process id. An id may be used again after its process died, so each process notes when
 * it joined the arena; a process that started later under the same id is not the owner.
 */
#ifndef FILE_OWNER_H
#define FILE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* Centiseconds since boot, as /proc/PID/stat counts. */
uint64_t owner_now(void);

/* Whether the process `pid`, which lived at time `joined` (0: not known), is gone or a zombie. False when in doubt. */
bool owner_is_gone(uint32_t pid, uint64_t joined);

#endif
