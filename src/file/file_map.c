/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_map.c — mmap, nvmmap, munmap, msync. Layer file.
 */
#include "file/file_private.h"

#include "base/rawsys.h"

#include <errno.h>
#include <sys/mman.h>

#define MAP_PAGE ((uintptr_t)4096)

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
    return !atomic_load_explicit(&file_state.mapped,
                                 memory_order_relaxed); /* set before the address is known to anyone */
}

void *file_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) || fd < 0 || !fd_table_get(fd))
        return sys_mmap(addr, length, prot, flags, fd, offset);
    int error = file_demote(fd, UMA_DEMOTE_MMAP);
    if (error)
        return (void *)(intptr_t)error;
    void *result = sys_mmap(addr, length, prot, flags, fd, offset);
    struct fd_handle *handle = sys_is_error(result) ? NULL : handle_borrow(fd);
    if (fd_is_handle(handle)) {
        /* without memory for it the mapping counts only as long as the descriptor */
        atomic_store_explicit(&file_state.mapped, true, memory_order_relaxed);
        (void)uma_hold_mapping(handle->uma, fd, result, page_up(length));
        handle_drop(handle, fd);
    }
    return result;
}

/* Registers a mapping that was just made; takes it away again where that fails. */
static void *map_register(struct fd_handle *handle, int fd, void *addr, size_t length, off_t offset, bool writable)
{
    int error;
    do
        error = uma_map(handle->uma, fd, addr, page_up(length), (uint64_t)offset, writable);
    while (error == -UMA_AGAIN);
    if (!error) {
        atomic_store_explicit(&file_state.mapped, true, memory_order_relaxed);
        return addr;
    }
    if (error == -EXDEV) /* in no root, as it turns out: a mapping like any other */
        return addr;
    sys_munmap(addr, length);
    return (void *)(intptr_t)error;
}

void *file_nvmmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    int type = flags & MAP_TYPE;
    bool shared = (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) && !(flags & MAP_ANONYMOUS);
    if ((flags & MAP_FIXED) && !none_registered() && page_aligned(addr))
        uma_unmap(addr, page_up(length)); /* the kernel unmaps what is there */
    if (!shared)
        return file_mmap(addr, length, prot, flags, fd, offset);
    struct fd_handle *handle = handle_borrow(fd);
    if (handle == FD_CLOSING)
        return (void *)(intptr_t)-EBADF;
    void *result = sys_mmap(addr, length, prot, flags, fd, offset);
    if (handle) {
        if (!sys_is_error(result))
            result = map_register(handle, fd, result, length, offset, prot & PROT_WRITE);
        handle_drop(handle, fd);
    }
    return result;
}

int file_nvmunmap(void *addr, size_t length)
{
    if (!none_registered() && page_aligned(addr) && length && page_up(length) >= length)
        uma_unmap(addr, page_up(length));
    return sys_munmap(addr, length);
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
};

static long sync_step(struct file_call *call, enum uma_path path)
{
    struct sync_range *range = (struct sync_range *)call;
    /* the kernel's first: it flushes what was stored by plain instructions, and knows what is mapped */
    int error = sys_msync(range->addr, range->length, range->flags);
    return !error && path == UMA_PATH_USER && range->flags & MS_SYNC ? uma_commit(call->uma) : error;
}

/* The part of [addr, addr + length) that is in one mapping or in none: done, its length in *done. */
static int sync_piece(char *addr, size_t length, int flags, size_t *done)
{
    struct sync_range range = {.call = {.fd = -1}, .addr = addr, .flags = flags};
    uint64_t offset;
    bool writable;
    int result;
    *done = length;
    rcu_enter();
    range.call.uma = uma_at(addr, &offset, done, &writable);
    if (*done > length || !*done)
        *done = length;
    range.length = *done;
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
