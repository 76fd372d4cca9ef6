/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_map.c — nv* entry points for mapped files. Layer api.
 */
#include "api/nv_ret.h"
#include "base/rawsys.h"
#include "file/file.h"
#include "nvmmio.h"

#include <sys/mman.h>

void *nvmmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    nv_enter();
    void *result = file_nvmmap(addr, length, prot, flags, fd, offset);
    return nv_leave(sys_is_error(result) ? (long)result : 0) ? MAP_FAILED : result;
}

int nvmunmap(void *addr, size_t length)
{
    nv_enter();
    return (int)nv_leave(file_nvmunmap(addr, length));
}

int nvmsync(void *addr, size_t length, int flags)
{
    nv_enter();
    return (int)nv_leave(file_nvmsync(addr, length, flags));
}

void *nvmemcpy(void *dst, const void *src, size_t n)
{
    nv_enter();
    return nv_leave(file_nvmemcpy(dst, src, n)) ? NULL : dst;
}

void *nvmemset(void *dst, int c, size_t n)
{
    nv_enter();
    return nv_leave(file_nvmemset(dst, c, n)) ? NULL : dst;
}
