/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_map.c — mappings. Layer preload.
 *
 * Allocators come here with their locks held: nothing is looked up or allocated for a mapping that is not of a managed
 * file.
 */
#include "preload/preload.h"

#include <sys/mman.h>

static void *map_result(void *address)
{
    if (!sys_is_error(address))
        return address;
    errno = (int)-(long)address;
    return MAP_FAILED;
}

void *preload_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    const struct nvmmio_core *core = flags & MAP_ANONYMOUS ? NULL : preload_serves(fd);
    if (!core && flags & MAP_FIXED) /* it may take the place of a mapping that the core knows */
        core = preload_core();
    return map_result(core ? core->mmap(addr, length, prot, flags, fd, offset)
                           : sys_mmap(addr, length, prot, flags, fd, offset));
}

int preload_munmap(void *addr, size_t length)
{
    const struct nvmmio_core *core = preload_core();
    return (int)preload_result(core ? core->munmap(addr, length) : sys_munmap(addr, length));
}

int preload_mprotect(void *addr, size_t length, int prot)
{
    const struct nvmmio_core *core = preload_core();
    return (int)preload_result(core ? core->mprotect(addr, length, prot) : sys_mprotect(addr, length, prot));
}

int preload_madvise(void *addr, size_t length, int advice)
{
    const struct nvmmio_core *core = advice == MADV_REMOVE ? preload_core() : NULL;
    return (int)preload_result(core ? core->remove(addr, length) : sys_madvise(addr, length, advice));
}

int preload_msync(void *addr, size_t length, int flags)
{
    const struct nvmmio_core *core = preload_core();
    if (!core)
        return (int)preload_result(preload_wait(SYS_msync, (long)addr, (long)length, flags, 0, 0, 0));
    preload_cancel_point();
    return (int)preload_result(core->msync(addr, length, flags));
}

void *preload_mremap_to(void *old, size_t old_length, size_t length, int flags, void *new)
{
    const struct nvmmio_core *core = preload_core();
    return map_result(core ? core->mremap(old, old_length, length, flags, new)
                           : sys_mremap(old, old_length, length, flags, new));
}

/* The last argument is there only with flags that need it: taken as a word, as libc does. */
void *preload_mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *new = va_arg(args, void *);
    va_end(args);
    return preload_mremap_to(old, old_length, length, flags, new);
}

#define PRELOAD_EXPORT_map PRELOAD_ALIAS
#include "preload/preload_export.h"
