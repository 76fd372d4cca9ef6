/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_inherit.c — descriptors that a program is started with. Layer preload.
 *
 * Whoever started it has handed the files to the kernel (preload_before_exec), but only until its own last close: others
 * that open such a file later must find it in use. So a file of a root is adopted at the start, which loads the core;
 * it stays the kernel's, for the description may be shared with programs that know nothing of the core.
 */
#include "preload/preload.h"

#include <dirent.h>
#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <unistd.h>

#define INHERIT_ROOM 512 /* bytes for names of descriptors at a time */

typedef void inherit_constructor(int argc, char **argv, char **envp);

/* libc's constructors come after ours. Loading the core would have them run with what dlopen passes on, which they have
 * yet to be told, and then never again: the program would have no name (program_invocation_name), and the constructors of
 * all that it loads no arguments. So they run now; that dlopen repeats them does no harm. */
static void inherit_begin_libc(const struct preload_start *start)
{
    void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    struct link_map *map;
    if (!libc)
        return;
    if (dlinfo(libc, RTLD_DI_LINKMAP, &map) == 0) {
        inherit_constructor *const *array = NULL;
        size_t bytes = 0;
        for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_INIT_ARRAY)
                array = (inherit_constructor *const *)(map->l_addr + entry->d_un.d_ptr);
            else if (entry->d_tag == DT_INIT_ARRAYSZ)
                bytes = entry->d_un.d_val;
        }
        for (size_t i = 0; array && i < bytes / sizeof *array; i++)
            array[i](start->argc, start->argv, start->envp);
    }
    dlclose(libc);
}

static bool inherit_is_in_root(int fd, bool named)
{
    return named ? preload_root_holds(fd) : preload_root_is_dax(fd, "", AT_EMPTY_PATH);
}

struct inherit {
    const struct preload_start *start;
    bool named; /* roots are */
    bool (*visit)(int fd, const struct inherit *inherit);
};

/* Until the first file of a root is met, for which the core is loaded. */
static bool inherit_load(int fd, const struct inherit *inherit)
{
    if (!inherit_is_in_root(fd, inherit->named))
        return true;
    if (!preload_core() && preload_hopeful())
        inherit_begin_libc(inherit->start);
    preload_core_load();
    return false;
}

/* Before a file is adopted: then the core has its descriptor of it, and opens none, which it would close. */
static bool inherit_take_over(int fd, const struct inherit *inherit)
{
    (void)inherit;
    preload_core()->take_over(fd);
    return true;
}

static bool inherit_adopt(int fd, const struct inherit *inherit)
{
    if (!preload_core()->is_own(fd) && inherit_is_in_root(fd, inherit->named))
        preload_adopt_shared(fd);
    return true;
}

/* The number that a name stands for; -1: none. */
static int inherit_number(const char *name)
{
    int number = 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        number = number * 10 + (*name - '0');
    }
    return number;
}

/* Every descriptor of the process, but `list`, the folder of their names, to the visitor; as long as it wants more. */
static void inherit_each(int list, const struct inherit *inherit)
{
    _Alignas(struct dirent64) char room[INHERIT_ROOM];
    long bytes;
    if (list < 0) { /* no /proc: the standard ones at least */
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && inherit->visit(fd, inherit); fd++)
            continue;
        return;
    }
    sys_lseek(list, 0, SEEK_SET);
    while ((bytes = rawsys(SYS_getdents64, list, (long)room, sizeof room, 0, 0, 0)) > 0) {
        for (long at = 0; at < bytes;) {
            const struct dirent64 *entry = (const struct dirent64 *)(room + at);
            int fd = inherit_number(entry->d_name);
            at += entry->d_reclen;
            if (fd >= 0 && fd != list && !inherit->visit(fd, inherit))
                return;
        }
    }
}

void preload_inherit(const struct preload_start *start, bool named)
{
    int list = sys_openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct inherit inherit = {.start = start, .named = named, .visit = inherit_load};
    inherit_each(list, &inherit);
    const struct nvmmio_core *core = preload_core();
    if (core) {
        inherit.visit = inherit_take_over;
        inherit_each(list, &inherit);
        inherit.visit = inherit_adopt;
        inherit_each(list, &inherit);
        core->take_over_end();
    }
    if (list >= 0)
        sys_close(list);
}
