/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_map.c — mmap, nvmmap, munmap, mremap, msync, madvise(MADV_REMOVE). Layer file.
 *
 * A mapping of a managed file, by either, makes its mode IN_PLACE (uma_mapped.c). The application's own mmap demotes it
 * where that cannot be (uma_wants_kernel).
 */
#include "file/file_private.h"

#include "base/conf.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "base/region.h"

#include <errno.h>
#include <fnmatch.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#define MAP_PAGE ((uintptr_t)4096)
#define MAP_PATH_BYTES 512u /* of the path that a rule is held against; longer ones match none */

static inline uintptr_t page_up(uintptr_t n)
{
    return (n + MAP_PAGE - 1) & ~(MAP_PAGE - 1);
}

static inline bool page_aligned(const void *addr)
{
    return ((uintptr_t)addr & (MAP_PAGE - 1)) == 0;
}

/* No allocation and no lock on the way of mappings that are no managed file's: the program's allocator comes by here. */
static inline bool none_registered(void)
{
    /* set before the address is known to anyone; liburcu's memory is none of those either */
    return !atomic_load_explicit(&file_state.mapped, memory_order_relaxed) || rcu_registering;
}

static inline bool is_shared(int flags)
{
    int type = flags & MAP_TYPE;
    return (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) && !(flags & MAP_ANONYMOUS);
}

/* Whether the file's path is one of those that the configuration names. */
static bool matches_rule(int fd)
{
    const char *rule = conf_get()->atomic_map;
    char path[MAP_PATH_BYTES], pattern[sizeof conf_get()->atomic_map];
    if (!*rule)
        return false;
    ssize_t length = place_name(fd, path, sizeof path - 1);
    if (length < 0)
        return false;
    path[length] = 0;
    for (const char *at = rule, *end; at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, '|');
        memcpy(pattern, at, (size_t)(end - at));
        pattern[end - at] = 0;
        if (fnmatch(pattern, path, 0) == 0)
            return true;
    }
    return false;
}

/* Stores are failure-atomic by O_ATOMIC, by the configuration, and by nvmmap where they are asked for. */
static unsigned kind_of(const struct fd_handle *handle, int fd, int prot, int flags, bool plain)
{
    if (!is_shared(flags))
        return 0;
    bool atomic = handle->writable && (uma_is_atomic(handle->uma) ||
                                       (!plain && prot & PROT_WRITE && conf_get()->atomic_nvmmap) || matches_rule(fd));
    unsigned stores = !handle->writable ? 0 : atomic ? UMA_MAP_ATOMIC : UMA_MAP_STORES;
    return UMA_MAP_SHARED | (prot & PROT_WRITE ? UMA_MAP_WRITABLE : 0) | stores;
}

/* A mapping of no managed file: it may take the place of one. liburcu's lies where the library's own memory does. */
static void *map_other(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    if (rcu_registering && !addr)
        return region_map(length, prot, flags, fd, offset);
    if (!(flags & MAP_FIXED) || none_registered() || !page_aligned(addr))
        return sys_mmap(addr, length, prot, flags, fd, offset);
    return uma_map_over(addr, length, prot, flags, fd, offset);
}

/* Maps, and enters what was mapped; takes it away again where that fails. */
static void *map_managed(struct fd_handle *handle, void *addr, size_t length, int prot, int flags, int fd, off_t offset,
                         unsigned kind)
{
    if (flags & MAP_FIXED && !none_registered() && page_aligned(addr))
        uma_map_leaving(addr, length);
    if (kind & UMA_MAP_ATOMIC)
        prot =
            (prot & ~PROT_WRITE) | (prot & PROT_WRITE ? PROT_READ : 0); /* a page that may be stored to can be read */
    void *result = sys_mmap(addr, length, prot, flags, fd, offset);
    if (sys_is_error(result))
        return result;
    /* before the address is known to anyone */
    atomic_store_explicit(&file_state.mapped, true, memory_order_relaxed);
    int error;
    do
        error = uma_map(handle->uma, fd, result, page_up(length), (uint64_t)offset, kind);
    while (error == -UMA_AGAIN);
    if (!error || error == -EXDEV) /* in no root, as it turns out: a mapping like any other */
        return result;
    sys_munmap(result, length);
    return (void *)(intptr_t)error;
}

/* What is mapped by plain means is the kernel's where that is all there is: mode PASSTHROUGH. */
static int demote_for_map(struct fd_handle *handle, int fd, unsigned *kind)
{
    file_heed(handle, fd);
    if (!uma_wants_kernel(handle->uma))
        return 0;
    *kind |= UMA_MAP_KERNELS;
    return file_demote(fd, UMA_DEMOTE_MMAP);
}

static void *map_file(void *addr, size_t length, int prot, int flags, int fd, off_t offset, bool plain)
{
    struct fd_handle *handle = flags & MAP_ANONYMOUS || fd < 0 ? NULL : handle_borrow(fd);
    if (handle == FD_CLOSING)
        return (void *)(intptr_t)-EBADF;
    if (!handle)
        return map_other(addr, length, prot, flags, fd, offset);
    unsigned kind = kind_of(handle, fd, prot, flags, plain);
    int error = plain || !is_shared(flags) ? demote_for_map(handle, fd, &kind) : 0;
    void *result = error ? (void *)(intptr_t)error : map_managed(handle, addr, length, prot, flags, fd, offset, kind);
    handle_drop(handle, fd);
    return result;
}

void *file_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return map_file(addr, length, prot, flags, fd, offset, true);
}

void *file_nvmmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return map_file(addr, length, prot, flags, fd, offset, false);
}

int file_nvmunmap(void *addr, size_t length)
{
    if (none_registered() || !page_aligned(addr) || !length || page_up(length) < length)
        return sys_munmap(addr, length);
    return uma_unmap(addr, page_up(length));
}

bool file_touch(const void *addr, size_t length)
{
    return !none_registered() && uma_protect_touch(addr, length);
}

int file_mprotect(void *addr, size_t length, int prot)
{
    if (none_registered() || !page_aligned(addr) || !length || page_up(length) < length ||
        prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
        return sys_mprotect(addr, length, prot);
    return uma_map_protect(addr, page_up(length), prot);
}

void *file_mremap(void *old, size_t old_length, size_t length, int flags, void *new)
{
    if (none_registered() || !page_aligned(old))
        return sys_mremap(old, old_length, length, flags, new);
    return uma_remap(old, page_up(old_length), page_up(length), flags, new);
}

/* ---- msync ---- */

struct sync_range {
    struct file_call call;
    void *addr;
    size_t length;
    int flags;
    bool atomic; /* the mapping is failure-atomic */
};

static long sync_step(struct file_call *call, enum uma_path path)
{
    struct sync_range *range = (struct sync_range *)call;
    /* The kernel's first: it flushes what was stored by plain instructions, and knows what is mapped. Of a failure-atomic
     * mapping the commit does. */
    bool flushed = range->atomic && path == UMA_PATH_USER;
    int error = flushed ? 0 : sys_msync(range->addr, range->length, range->flags);
    return !error && path == UMA_PATH_USER && range->flags & MS_SYNC ? uma_commit_written(call->uma) : error;
}

static inline size_t place_length(const struct uma_place *place, size_t length)
{
    return place->length && place->length < length ? place->length : length;
}

/* The part of [addr, addr + length) that is in one mapping or in none: done, its length in *done. */
static int sync_piece(char *addr, size_t length, int flags, size_t *done)
{
    struct sync_range range = {.call = {.fd = -1}, .addr = addr, .flags = flags};
    struct uma_place place;
    int result;
    rcu_enter();
    range.call.uma = uma_at(addr, &place);
    *done = range.length = place_length(&place, length);
    range.atomic = range.call.uma && place.kind & UMA_MAP_ATOMIC;
    result =
        range.call.uma ? (int)file_call_run(&range.call, UMA_INTENT_SYNC, sync_step) : sys_msync(addr, *done, flags);
    rcu_leave();
    return result;
}

int file_nvmsync(void *addr, size_t length, int flags)
{
    uintptr_t start = (uintptr_t)addr;
    size_t left = page_up(length);
    bool wrong = !page_aligned(addr) || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
                 (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC) || start + left < start || left < length;
    if (wrong || none_registered())
        return sys_msync(addr, length, flags); /* EINVAL and ENOMEM as the kernel has them */
    int result = 0;
    for (char *at = addr; left;) {
        size_t done;
        int error = sync_piece(at, left, flags, &done);
        if (error &&
            (!result || result == -ENOMEM)) /* as the kernel: holes are told at the end, errors of files first */
            result = error;
        at += done;
        left -= done;
    }
    return result;
}

/* ---- madvise(MADV_REMOVE) ---- */

struct remove_range {
    struct file_call call;
    void *addr;
    size_t length;
    uint64_t offset;
};

static long remove_step(struct file_call *call, enum uma_path path)
{
    struct remove_range *range = (struct remove_range *)call;
    if (path == UMA_PATH_KERNEL)
        return sys_madvise(range->addr, range->length, MADV_REMOVE);
    return uma_allocate(call->uma, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range->offset, range->length);
}

int file_remove(void *addr, size_t length)
{
    size_t left = page_up(length);
    int error = 0;
    if (none_registered() || !page_aligned(addr) || left < length || (uintptr_t)addr + left < (uintptr_t)addr)
        return sys_madvise(addr, length, MADV_REMOVE);
    for (char *at = addr; left && !error;) {
        struct remove_range range = {.call = {.fd = -1}, .addr = at};
        struct uma_place place;
        rcu_enter();
        range.call.uma = uma_at(at, &place);
        range.length = place_length(&place, left);
        range.offset = place.offset;
        error = range.call.uma && place.kind & UMA_MAP_STORES
                    ? (int)file_call_run(&range.call, UMA_INTENT_WRITE, remove_step)
                    : sys_madvise(at, range.length, MADV_REMOVE); /* EACCES, EINVAL */
        rcu_leave();
        at += range.length;
        left -= range.length;
    }
    return error;
}
