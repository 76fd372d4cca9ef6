/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * region.h — where the library's own lasting memory lies. Layer base; called by base, pm, log, file.
 *
 * Left to itself the kernel puts a mapping where the program has just unmapped something. But a program may map over its
 * hole (MAP_FIXED), or unmap it again with what lies around it; it need not reckon with others in its process. So what
 * the library keeps lies far from the mappings of programs, and an address is not used again soon.
 */
#ifndef BASE_REGION_H
#define BASE_REGION_H

#include <stddef.h>
#include <sys/types.h>

/* As sys_mmap without an address or MAP_FIXED: an address, or -errno as a pointer. */
void *region_map(size_t length, int prot, int flags, int fd, off_t offset);

#endif
