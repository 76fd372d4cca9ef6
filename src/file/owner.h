/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * owner.h — whether a process is gone, by its id. Layer file; used by handle.c for processes that have no place in a volume's
 * table.
 *
 * An id may be used again after its process died: such a process is taken to live. In another process-id namespace, or
 * without /proc, it may be misjudged.
 */
#ifndef FILE_OWNER_H
#define FILE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the process `pid` is gone or a zombie. False when in doubt. */
bool owner_is_gone(uint32_t pid);

#endif
