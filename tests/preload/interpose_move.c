/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_move.c — calls that change root, namespaces or user, for interpose.c. In children, and so that they succeed, or
 * fail in the same way, for root and for others.
 */
#include "interpose.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

int pivot_root(const char *, const char *);
int capset(cap_user_header_t, const cap_user_data_t);

#define MOVE_NOBODY 65534

static uid_t move_user(void)
{
    return getuid() ? getuid() : MOVE_NOBODY;
}

CALL(chroot, "before_move")
{
    return chroot("/nonexistent/root") < 0 && (errno == ENOENT || errno == EPERM);
}

CALL(pivot_root, "before_move")
{
    return pivot_root("/nonexistent/root", "/nonexistent/root") < 0;
}

CALL(unshare, "after_move")
{
    return unshare(CLONE_FILES) == 0 && pwrite(interpose.fd, "x", 1, 0) == 1;
}

/* Nobody may enter the user namespace that he is in. */
CALL(setns, "after_move")
{
    int fd = open("/proc/self/ns/user", O_RDONLY);
    bool refused = setns(fd, 0) < 0 && errno == EINVAL;
    return interpose_opened(fd) && refused;
}

static void run_setuid(void)
{
    _exit(setuid(move_user()) == 0 && geteuid() == move_user() ? 7 : 1);
}
static void run_seteuid(void)
{
    _exit(seteuid(move_user()) == 0 && geteuid() == move_user() ? 7 : 1);
}
static void run_setreuid(void)
{
    _exit(setreuid((uid_t)-1, move_user()) == 0 && geteuid() == move_user() ? 7 : 1);
}
static void run_setresuid(void)
{
    _exit(setresuid((uid_t)-1, move_user(), (uid_t)-1) == 0 && geteuid() == move_user() ? 7 : 1);
}
static void run_setfsuid(void)
{
    setfsuid(move_user());
    _exit((uid_t)setfsuid((uid_t)-1) == move_user() ? 7 : 1);
}

CALL(setuid, "before_user")
{
    return interpose_in_child(run_setuid) == 7;
}
CALL(seteuid, "before_user")
{
    return interpose_in_child(run_seteuid) == 7;
}
CALL(setreuid, "before_user")
{
    return interpose_in_child(run_setreuid) == 7;
}
CALL(setresuid, "before_user")
{
    return interpose_in_child(run_setresuid) == 7;
}
CALL(setfsuid, "before_user")
{
    return interpose_in_child(run_setfsuid) == 7;
}

CALL(capset, "before_user")
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    return syscall(SYS_capget, &header, data) == 0 && capset(&header, data) == 0;
}
