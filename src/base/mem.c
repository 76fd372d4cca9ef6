/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mem.c — chooses where the library's memory comes from, once: jemalloc's *allocx family, or base/heap. Layer base.
 *
 * libjemalloc.so.2 cannot be a dependency of libnvmmio.so. It would replace the malloc of every program that uses the
 * API; and its 2.6 KiB of static thread-local storage are more than glibc keeps free for libraries that are loaded
 * late, so that the preload library could not load libnvmmio.so at all. It is therefore used where the program has it
 * loaded already, or where the user made room (GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096); to try in vain
 * costs a process 0.9 ms. The handle is asked for each function, as a program may define functions of the same names.
 */
#include "base/mem.h"

#include "base/heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* jemalloc's flags, from its manual page: lg(alignment), MALLOCX_ZERO, MALLOCX_TCACHE(tc) = (tc + 2) << 8 with -1 for
 * none, MALLOCX_ARENA(a) = (a + 1) << 20. */
enum mem_flags {
    MEM_ALIGN_64 = 6,
    MEM_ZERO = 0x40,
    MEM_TCACHE_NONE = 1 << 8,
};
#define MEM_ARENA_SHIFT 20

enum mem_state { MEM_UNKNOWN, MEM_HEAP, MEM_JEMALLOC };

static struct mem {
    _Atomic int state; /* release when jemalloc's functions below are set; acquire by each call */
    void *(*mallocx)(size_t size, int flags);
    void (*sdallocx)(void *ptr, size_t size, int flags);
    int arena_flags;
    _Atomic size_t allocated; /* relaxed: a counter, orders nothing */
    _Atomic long fail_after;  /* relaxed: a counter, orders nothing */
} mem = {.fail_after = -1};

static void *mem_open_jemalloc(void)
{
    static const char name[] = "libjemalloc.so.2";
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (handle)
        return handle;
    const char *tunables = secure_getenv("GLIBC_TUNABLES");
    if (!tunables || !strstr(tunables, "optional_static_tls"))
        return NULL;
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

/* Makes our arena; false where something is missing. */
static bool mem_use_jemalloc(void)
{
    void *handle = mem_open_jemalloc();
    if (!handle)
        return false;
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) = NULL;
    unsigned arena;
    size_t arena_bytes = sizeof arena;
    *(void **)&mallctl = dlsym(handle, "mallctl");
    *(void **)&mem.mallocx = dlsym(handle, "mallocx");
    *(void **)&mem.sdallocx = dlsym(handle, "sdallocx");
    if (!mallctl || !mem.mallocx || !mem.sdallocx || mallctl("arenas.create", &arena, &arena_bytes, NULL, 0)) {
        dlclose(handle);
        return false;
    }
    mem.arena_flags = MEM_ALIGN_64 | MEM_TCACHE_NONE | (int)((arena + 1) << MEM_ARENA_SHIFT);
    return true;
}

/* Runs in the constructor, before any other thread can call us; a constructor that allocates before it comes here too.
 */
static int mem_choose(void)
{
    int saved = errno;
    int state = mem_use_jemalloc() ? MEM_JEMALLOC : MEM_HEAP;
    atomic_store_explicit(&mem.state, state, memory_order_release);
    errno = saved;
    return state;
}

static int mem_state(void)
{
    int state = atomic_load_explicit(&mem.state, memory_order_acquire);
    return state == MEM_UNKNOWN ? mem_choose() : state;
}

__attribute__((constructor)) static void mem_init(void)
{
    mem_state();
}

static bool mem_must_fail(void)
{
    long left = atomic_load_explicit(&mem.fail_after, memory_order_relaxed);
    if (__builtin_expect(left < 0, 1))
        return false;
    return atomic_fetch_sub_explicit(&mem.fail_after, 1, memory_order_relaxed) == 0;
}

void *mem_alloc(size_t size)
{
    if (mem_must_fail() || size > PTRDIFF_MAX)
        return NULL;
    if (!size)
        size = 1;
    void *ptr = mem_state() == MEM_JEMALLOC ? mem.mallocx(size, mem.arena_flags | MEM_ZERO) : heap_alloc(size);
    if (ptr)
        atomic_fetch_add_explicit(&mem.allocated, size, memory_order_relaxed);
    return ptr;
}

void mem_free(void *ptr, size_t size)
{
    if (!ptr)
        return;
    if (!size)
        size = 1;
    atomic_fetch_sub_explicit(&mem.allocated, size, memory_order_relaxed);
    if (mem_state() == MEM_JEMALLOC)
        mem.sdallocx(ptr, size, mem.arena_flags);
    else
        heap_free(ptr, size);
}

size_t mem_allocated(void)
{
    return atomic_load_explicit(&mem.allocated, memory_order_relaxed);
}

void mem_fail_after(long countdown)
{
    atomic_store_explicit(&mem.fail_after, countdown, memory_order_relaxed);
}
