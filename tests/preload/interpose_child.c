/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_child.c — calls that make children, for interpose.c. Each child executes another program: how the core is told
 * says whose memory the library took it to be in.
 */
#include "interpose.h"

#include <sched.h>
#include <signal.h>

pid_t __vfork(void);
int __clone(int (*)(void *), void *, int, void *, ...);

#define CHILD_STACK 65536

static char child_stack[CHILD_STACK];

static int child_execute(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
    return 8;
}

/* Whether that child has executed the program. */
static bool child_executed(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

CALL(vfork, "demote_inheritable")
{
    pid_t child = vfork();
    if (child == 0)
        _exit(child_execute(NULL));
    return child_executed(child);
}

CALL(__vfork, "demote_inheritable")
{
    pid_t child = __vfork();
    if (child == 0)
        _exit(child_execute(NULL));
    return child_executed(child);
}

CALL(_Fork, "before_exec")
{
    pid_t child = _Fork();
    if (child == 0)
        _exit(child_execute(NULL));
    return child_executed(child);
}

CALL(clone, "demote_inheritable")
{
    return child_executed(clone(child_execute, child_stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

CALL(__clone, "before_exec")
{
    return child_executed(__clone(child_execute, child_stack + CHILD_STACK, SIGCHLD, NULL));
}
