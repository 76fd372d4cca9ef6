/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_move.c — the process changes its root, its namespaces or its user: chroot, unshare, setns, setuid and their kin.
 * Layer preload.
 *
 * The core is told before, while it still can open what it will need, and after. Roots that no file was opened in yet are
 * known by names, which mean something else afterwards: the core is loaded before a change of the view, and looks them up.
 */
#include "preload/preload.h"

#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <unistd.h>

#define MOVE_NO_ID ((uint32_t)-1) /* "leave it as it is" */

/* These may be called by children of fork in programs with threads, where nothing should be looked up. */
__attribute__((constructor)) static void move_start(void)
{
    static const enum preload_real names[] = {PRELOAD_REAL_setuid,    PRELOAD_REAL_seteuid,  PRELOAD_REAL_setreuid,
                                              PRELOAD_REAL_setresuid, PRELOAD_REAL_setfsuid, PRELOAD_REAL_capset};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        preload_real(names[i]);
}

/* ---- views and namespaces ---- */

/* The core that is to be told of it: NULL if it is not there, or this is a vfork child. */
static const struct nvmmio_core *move_begin(unsigned what, const char *target)
{
    if (!what)
        return NULL;
    if (what & UMA_MOVE_VIEW && !preload_core() && preload_hopeful() && preload_root_named())
        preload_core_load();
    const struct nvmmio_core *core = preload_owner();
    if (core)
        core->before_move(what, target);
    return core;
}

static int move_end(const struct nvmmio_core *core, unsigned what, long result)
{
    if (core)
        core->after_move(what, result >= 0);
    return (int)preload_result(result);
}

int preload_chroot(const char *path)
{
    const struct nvmmio_core *core = move_begin(UMA_MOVE_VIEW, path);
    return move_end(core, UMA_MOVE_VIEW, rawsys(SYS_chroot, (long)path, 0, 0, 0, 0, 0));
}

int preload_pivot_root(const char *new_root, const char *put_old)
{
    const struct nvmmio_core *core = move_begin(UMA_MOVE_VIEW, new_root);
    return move_end(core, UMA_MOVE_VIEW, rawsys(SYS_pivot_root, (long)new_root, (long)put_old, 0, 0, 0, 0));
}

/* What entering or leaving namespaces of those kinds (CLONE_NEW...) means. setns wants a process that shares its root
 * directory with nobody where unshare gives it one of its own. */
static unsigned move_of(unsigned long flags, bool enters)
{
    unsigned what = 0;
    if (flags & CLONE_NEWNS)
        what |= UMA_MOVE_VIEW | (enters ? UMA_MOVE_ALONE : 0);
    if (flags & CLONE_NEWUSER)
        what |= UMA_MOVE_USERS | UMA_MOVE_ALONE;
    if (!enters && flags & CLONE_FILES)
        what |= UMA_MOVE_FILES | UMA_MOVE_ALONE;
    if (!enters && flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM))
        what |= UMA_MOVE_ALONE;
    return what;
}

int preload_unshare(int flags)
{
    unsigned what = move_of((unsigned)flags, false);
    const struct nvmmio_core *core = move_begin(what, NULL);
    return move_end(core, what, rawsys(SYS_unshare, flags, 0, 0, 0, 0, 0));
}

int preload_setns(int fd, int kind)
{
    long flags = kind ? kind : sys_ioctl(fd, NS_GET_NSTYPE, NULL);
    unsigned what = flags > 0 ? move_of((unsigned long)flags, true) : 0;
    const struct nvmmio_core *core = move_begin(what, NULL);
    return move_end(core, what, rawsys(SYS_setns, fd, kind, 0, 0, 0, 0));
}

/* ---- users ---- */

void preload_before_user(uint32_t euid)
{
    const struct nvmmio_core *core = euid == MOVE_NO_ID ? NULL : preload_owner();
    if (core)
        core->before_user(euid, true);
}

int preload_setuid(uid_t uid)
{
    int (*real)(uid_t) = preload_real(PRELOAD_REAL_setuid);
    preload_before_user(uid);
    return real ? real(uid) : -1;
}

int preload_seteuid(uid_t euid)
{
    int (*real)(uid_t) = preload_real(PRELOAD_REAL_seteuid);
    preload_before_user(euid);
    return real ? real(euid) : -1;
}

int preload_setreuid(uid_t ruid, uid_t euid)
{
    int (*real)(uid_t, uid_t) = preload_real(PRELOAD_REAL_setreuid);
    preload_before_user(euid);
    return real ? real(ruid, euid) : -1;
}

int preload_setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
    int (*real)(uid_t, uid_t, uid_t) = preload_real(PRELOAD_REAL_setresuid);
    preload_before_user(euid);
    return real ? real(ruid, euid, suid) : -1;
}

int preload_setfsuid(uid_t fsuid)
{
    int (*real)(uid_t) = preload_real(PRELOAD_REAL_setfsuid);
    preload_before_user(fsuid);
    return real ? real(fsuid) : -1;
}

/* Root that may no longer pass over permissions is a user like others, but for its own files. */
void preload_before_capset(void)
{
    const struct nvmmio_core *core = preload_owner();
    if (core)
        core->before_user(sys_geteuid(), false);
}

int preload_capset(void *header, const void *data)
{
    int (*real)(void *, const void *) = preload_real(PRELOAD_REAL_capset);
    preload_before_capset();
    return real ? real(header, data) : -1;
}

#define PRELOAD_EXPORT_move PRELOAD_ALIAS
#include "preload/preload_export.h"
