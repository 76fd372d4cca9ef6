/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_process.c — processes are made by libc, and end without destructors. Layer preload.
 *
 * fork is the core's business (pthread_atfork). vfork and clone are not wrapped: the child would return through a frame
 * of ours; what it does is told apart by its number (preload_foreign).
 */
#include "preload/preload.h"

#include <pty.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <wordexp.h>

void preload_before_child(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->demote_inheritable(!preload_foreign());
}

void preload_before_exec(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core && !preload_foreign())
        core->before_exec();
    else if (core)
        core->demote_inheritable(false);
}

void preload_exec_failed(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core && !preload_foreign())
        core->exec_failed();
}

/* ---- children with another program ---- */

typedef int process_spawn_call(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                               char *const[], char *const[]);

int preload_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    process_spawn_call *real = preload_real(PRELOAD_REAL_posix_spawn);
    preload_before_child();
    return real ? real(pid, path, actions, attributes, argv, envp) : ENOSYS;
}

int preload_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    process_spawn_call *real = preload_real(PRELOAD_REAL_posix_spawnp);
    preload_before_child();
    return real ? real(pid, file, actions, attributes, argv, envp) : ENOSYS;
}

/* The child will find the file under a number that exec keeps, even if fd itself is closed by it. */
int preload_spawn_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)
{
    int (*real)(posix_spawn_file_actions_t *, int, int) = preload_real(PRELOAD_REAL_posix_spawn_file_actions_adddup2);
    int error = preload_demote(fd, UMA_DEMOTE_EXEC);
    if (error)
        return -error;
    return real ? real(actions, fd, newfd) : ENOSYS;
}

int preload_system(const char *command)
{
    int (*real)(const char *) = preload_real(PRELOAD_REAL_system);
    if (command)
        preload_before_child();
    return real ? real(command) : -1;
}

FILE *preload_popen(const char *command, const char *mode)
{
    FILE *(*real)(const char *, const char *) = preload_real(PRELOAD_REAL_popen);
    preload_before_child();
    return real ? real(command, mode) : NULL;
}

int preload_wordexp(const char *words, wordexp_t *result, int flags)
{
    int (*real)(const char *, wordexp_t *, int) = preload_real(PRELOAD_REAL_wordexp);
    if (!(flags & WRDE_NOCMD))
        preload_before_child();
    return real ? real(words, result, flags) : WRDE_NOSPACE;
}

/* ---- limits: the core need not ask for RLIMIT_FSIZE at each write ---- */

int preload_prlimit(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *old)
{
    const struct nvmmio_core *core = limit ? preload_owner() : NULL;
    if (core) /* what was written under the old limit gets its place before the new one forbids it */
        core->limit_changed();
    long result = rawsys(SYS_prlimit64, pid, resource, (long)limit, (long)old, 0, 0);
    if (core && result == 0)
        core->limit_changed();
    return (int)preload_result(result);
}

int preload_setrlimit(int resource, const struct rlimit *limit)
{
    return preload_prlimit(0, resource, limit, NULL);
}

/* ---- the end ---- */

void preload_exit_group(int status)
{
    const struct nvmmio_core *core = preload_owner();
    if (core)
        core->exit();
    for (;;)
        rawsys(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static void process_exit_quickly(void)
{
    const struct nvmmio_core *core = preload_owner();
    if (core)
        core->exit();
}

/* Handlers of quick_exit are called from the last to the first: this one when those of the application have used its files. */
__attribute__((constructor)) static void process_start(void)
{
    (void)at_quick_exit(process_exit_quickly); /* without memory, as a kill */
}

/* ---- daemon: libc's ends the parent and closes descriptors unseen ---- */

static int process_detach_streams(void)
{
    static const unsigned null_major = 1;
    static const unsigned null_minor = 3;
    struct stat st;
    int fd = preload_openat_mode(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (fd < 0)
        return -1;
    if (sys_fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(null_major, null_minor)) {
        preload_close(fd);
        errno = ENODEV;
        return -1;
    }
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        preload_dup2(fd, i);
    if (fd > STDERR_FILENO)
        preload_close(fd);
    return 0;
}

int preload_daemon(int keep_directory, int keep_streams)
{
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child > 0)
        preload_exit_group(EXIT_SUCCESS);
    if (setsid() < 0)
        return -1;
    if (!keep_directory && chdir("/") != 0) {
        /* as in libc: stays where it is */
    }
    return keep_streams ? 0 : process_detach_streams();
}

/* ---- terminals: libc's replace the standard descriptors unseen ---- */

int preload_login_tty(int fd)
{
    setsid();
    long result = sys_ioctl(fd, TIOCSCTTY, NULL);
    if (result < 0)
        return (int)preload_result(result);
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        preload_dup2(fd, i);
    if (fd > STDERR_FILENO)
        preload_close(fd);
    return 0;
}

int preload_forkpty(int *master, char *name, const struct termios *modes, const struct winsize *size)
{
    int (*pair)(int *, int *, char *, const struct termios *, const struct winsize *) =
        preload_real(PRELOAD_REAL_openpty);
    int ours, theirs;
    if (!pair || pair(&ours, &theirs, name, modes, size) < 0)
        return -1;
    pid_t child = fork();
    if (child != 0) {
        int saved = errno;
        preload_close(theirs);
        if (child < 0)
            preload_close(ours);
        else
            *master = ours;
        errno = saved;
        return child;
    }
    preload_close(ours);
    if (preload_login_tty(theirs) != 0)
        preload_exit_group(EXIT_FAILURE);
    return 0;
}

#define PRELOAD_EXPORT_process PRELOAD_ALIAS
#include "preload/preload_export.h"
