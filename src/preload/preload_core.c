/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_core.c — finds and loads libnvmmio.so at the first open in a root. Layer preload.
 *
 * The library is looked for beside this one first. No lock is held while it is loaded: the loader has its own, which a
 * thread that runs a constructor holds already, and one of ours would then be taken in both orders. Whoever comes second
 * gets the same library from dlopen.
 *
 * A program that uses the API brings the core itself, and its descriptors and mappings concern this library from the first
 * nvopen on: that one tells it (nvmmio_preload_attend).
 */
#include "preload/preload.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

#define CORE_SONAME "libnvmmio.so.0"
#define CORE_PAGE 4096u

struct preload_state preload_state;

__thread struct preload_thread preload_thread __attribute__((tls_model("initial-exec")));

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

/* preload_foreign as a function with an address. */
static bool core_foreign(void)
{
    return preload_foreign();
}

static bool core_fits(const struct nvmmio_core *core)
{
    return core && core->version == NVMMIO_CORE_VERSION && core->size == sizeof *core;
}

static const struct nvmmio_core *core_find(void)
{
    static const char name[] = "nvmmio_core";
    const struct nvmmio_core *core = dlsym(RTLD_DEFAULT, name); /* the program is linked with it */
    if (core)
        return core_fits(core) ? core : NULL; /* never a second one */
    void *library = core_open_beside();
    if (!library)
        library = dlopen(CORE_SONAME, RTLD_NOW | RTLD_LOCAL);
    core = library ? dlsym(library, name) : NULL;
    return core_fits(core) ? core : NULL; /* the library stays: its threads and handlers may be there already */
}

static void core_use(const struct nvmmio_core *core)
{
    core->attend(core_foreign);
    /* release: the library's constructors have run; pairs with preload_core */
    atomic_store_explicit(&preload_state.core, core, memory_order_release);
    core->limit_changed(); /* from now on it is told */
}

void nvmmio_preload_attend(const struct nvmmio_core *core)
{
    if (!preload_core() && !preload_thread.loading && core_fits(core) && !preload_foreign())
        core_use(core);
}

const struct nvmmio_core *preload_core_load(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core || preload_thread.loading || !preload_hopeful() || preload_foreign())
        return core;
    int saved = errno;
    int cancel;
    /* A handler that ran inside the loader could not use the files that it is loaded for. */
    uint64_t mask = sys_block_signals();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    preload_thread.loading = true;
    core = core_find();
    if (core)
        core_use(core);
    else
        atomic_store_explicit(&preload_state.failed, true, memory_order_relaxed);
    preload_thread.loading = false;
    pthread_setcancelstate(cancel, &cancel);
    sys_unblock_signals(mask);
    errno = saved;
    return core;
}
