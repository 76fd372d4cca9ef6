/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_core.c — finds and loads libnvmmio.so at the first open in a root; knows whose memory this is. Layer preload.
 *
 * The library is looked for beside this one first. No lock is held while it is loaded: the loader has its own, which a
 * thread that runs a constructor holds already, and one of ours would then be taken in both orders. Whoever comes second
 * gets the same library from dlopen.
 */
#include "preload/preload.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

#define CORE_SONAME "libnvmmio.so.0"
#define CORE_PAGE 4096u

struct preload_state preload_state;

struct preload_thread {
    bool loading; /* this thread is inside preload_core_load: what constructors open is not ours */
};
static __thread struct preload_thread thread __attribute__((tls_model("initial-exec")));

/* A forked child (by fork: its memory is its own). */
static void core_forked(void)
{
    /* relaxed: there is one thread */
    atomic_store_explicit(&preload_state.pid, sys_getpid(), memory_order_relaxed);
    /* The kernel has wiped the mark: a vfork child of this process must find it set. */
    _Atomic uint8_t *mark = atomic_load_explicit(&preload_state.fork_mark, memory_order_relaxed);
    if (mark)
        atomic_store_explicit(mark, 1, memory_order_relaxed);
    preload_root_forked();
}

/* All that happens at start-up. */
__attribute__((constructor)) static void core_start(void)
{
    atomic_store_explicit(&preload_state.pid, sys_getpid(), memory_order_relaxed); /* there is one thread */
    pthread_atfork(NULL, NULL, core_forked);
}

bool preload_foreign(void)
{
    pid_t pid = sys_getpid();
    /* relaxed, here and below: a process finds its own number or another one, it orders nothing */
    pid_t known = atomic_load_explicit(&preload_state.pid, memory_order_relaxed);
    if (__builtin_expect(pid == known, 1))
        return false;
    /* Another number: our memory if the kernel wiped the mark (a fork that ran no handlers), our parent's if not. */
    _Atomic uint8_t *mark = atomic_load_explicit(&preload_state.fork_mark, memory_order_acquire);
    if (known && (!mark || atomic_load_explicit(mark, memory_order_relaxed)))
        return true;
    if (mark)
        atomic_store_explicit(mark, 1, memory_order_relaxed);
    atomic_store_explicit(&preload_state.pid, pid, memory_order_relaxed);
    return false;
}

/* Makes the page that tells a fork from a vfork. */
static bool core_make_mark(void)
{
    if (atomic_load_explicit(&preload_state.fork_mark, memory_order_acquire))
        return true;
    _Atomic uint8_t *page = sys_mmap(NULL, CORE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error((void *)page))
        return false;
    _Atomic uint8_t *none = NULL;
    atomic_store_explicit(page, 1, memory_order_relaxed);
    /* release: the page is filled; pairs with the acquire in preload_foreign */
    if (sys_madvise((void *)page, CORE_PAGE, MADV_WIPEONFORK) == 0 &&
        atomic_compare_exchange_strong_explicit(&preload_state.fork_mark, &none, page, memory_order_release,
                                                memory_order_relaxed))
        return true;
    sys_munmap((void *)page, CORE_PAGE);
    return none != NULL;
}

/* Opens the core that lies beside this library. */
static void *core_open_beside(void)
{
    Dl_info info;
    if (!dladdr((void *)&preload_core_load, &info) || !info.dli_fname)
        return NULL;
    const char *slash = strrchr(info.dli_fname, '/');
    size_t folder = slash ? (size_t)(slash - info.dli_fname) + 1 : 0;
    if (!folder || folder + sizeof CORE_SONAME > CORE_PAGE)
        return NULL;
    char *path = sys_mmap(NULL, CORE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error(path))
        return NULL;
    memcpy(path, info.dli_fname, folder);
    memcpy(path + folder, CORE_SONAME, sizeof CORE_SONAME);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    sys_munmap(path, CORE_PAGE);
    return library;
}

static const struct nvmmio_core *core_find(void)
{
    if (!core_make_mark())
        return NULL;
    void *library = core_open_beside();
    if (!library)
        library = dlopen(CORE_SONAME, RTLD_NOW | RTLD_LOCAL);
    const struct nvmmio_core *core = library ? dlsym(library, "nvmmio_core") : NULL;
    if (!core || core->version != NVMMIO_CORE_VERSION || core->size != sizeof *core)
        return NULL; /* the library stays: its threads and handlers may be there already */
    return core;
}

const struct nvmmio_core *preload_core_load(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core || thread.loading || !preload_hopeful() || preload_foreign())
        return core;
    int saved = errno;
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    thread.loading = true;
    core = core_find();
    if (core) { /* release: the library's constructors have run; pairs with preload_core */
        atomic_store_explicit(&preload_state.core, core, memory_order_release);
        core->limit_changed(); /* from now on it is told */
    } else {
        atomic_store_explicit(&preload_state.failed, true, memory_order_relaxed);
    }
    thread.loading = false;
    pthread_setcancelstate(cancel, &cancel);
    errno = saved;
    return core;
}
