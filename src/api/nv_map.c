/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_map.c — nv* entry points for mapped files. Layer api.
 */
#include "api/nv_ret.h"
#include "base/rawsys.h"
#include "file/file.h"
#include "nvmmio.h"

#include <stdarg.h>
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

/* The last argument is there only with flags that need it: taken as a word, as libc does. */
void *nvmremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *new = va_arg(args, void *);
    va_end(args);
    nv_enter();
    void *result = file_mremap(old, old_length, length, flags, new);
    return nv_leave(sys_is_error(result) ? (long)result : 0) ? MAP_FAILED : result;
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

void *nvmemmove(void *dst, const void *src, size_t n)
{
    nv_enter();
    return nv_leave(file_nvmemmove(dst, src, n)) ? NULL : dst;
}

int nvmemcmp(const void *a, const void *b, size_t n)
{
    nv_enter();
    int result = file_nvmemcmp(a, b, n);
    nv_leave(0);
    return result;
}

int nvstrcmp(const char *a, const char *b)
{
    nv_enter();
    int result = file_nvstrcmp(a, b);
    nv_leave(0);
    return result;
}

size_t nvstrlen(const char *s)
{
    nv_enter();
    size_t result = file_nvstrlen(s);
    nv_leave(0);
    return result;
}
