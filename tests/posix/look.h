/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * look.h — reports on files as a process without the library sees them.
 */
#ifndef POSIX_LOOK_H
#define POSIX_LOOK_H

#include <stdio.h>

/* Reports type, mode, links, size and bytes of dir/path, and of all below it. */
void look_at(const char *dir, const char *path, FILE *report);

/* Removes path and all below it. */
void look_remove(const char *path);

#endif
