/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_exec.c — the exec family, by the system call: a child of fork in a program with threads, or a vfork child, must
 * not look anything up in the loader. Layer preload.
 */
#include "preload/preload.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXEC_SHELL "/bin/sh"
#define EXEC_PATH "/bin:/usr/bin" /* where PATH is not set */

/* Only errors return. */
static int exec_result(long error)
{
    preload_exec_failed();
    return (int)preload_result(error);
}

int preload_execve(const char *path, char *const argv[], char *const envp[])
{
    preload_before_exec();
    return exec_result(rawsys(SYS_execve, (long)path, (long)argv, (long)envp, 0, 0, 0));
}

int preload_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    preload_before_exec();
    return exec_result(rawsys(SYS_execveat, dirfd, (long)path, (long)argv, (long)envp, flags, 0));
}

int preload_fexecve(int fd, char *const argv[], char *const envp[])
{
    if (fd < 0 || !argv || !envp)
        return (int)preload_result(-EINVAL);
    return preload_execveat(fd, "", argv, envp, AT_EMPTY_PATH);
}

int preload_execv(const char *path, char *const argv[])
{
    return preload_execve(path, argv, environ);
}

/* ---- search in PATH ---- */

/* A file that is not a program is a script for the shell. */
static long exec_script(const char *path, char *const argv[], char *const envp[])
{
    size_t count = 0;
    while (argv[count])
        count++;
    const char *shell_argv[count + 3];
    size_t kept = count > 1 ? count - 1 : 0;
    shell_argv[0] = EXEC_SHELL;
    shell_argv[1] = path;
    memcpy(shell_argv + 2, argv + 1, kept * sizeof *shell_argv);
    shell_argv[2 + kept] = NULL;
    return rawsys(SYS_execve, (long)EXEC_SHELL, (long)shell_argv, (long)envp, 0, 0, 0);
}

static long exec_try(const char *path, char *const argv[], char *const envp[])
{
    long error = rawsys(SYS_execve, (long)path, (long)argv, (long)envp, 0, 0, 0);
    return error == -ENOEXEC ? exec_script(path, argv, envp) : error;
}

/* Whether the search goes on after that error. */
static bool exec_goes_on(long error)
{
    return error == -EACCES || error == -ENOENT || error == -ESTALE || error == -ENOTDIR || error == -ENODEV ||
           error == -ETIMEDOUT;
}

static long exec_search(const char *file, char *const argv[], char *const envp[])
{
    const char *path = getenv("PATH");
    size_t length = strlen(file);
    long result = -ENOENT;
    bool denied = false;
    if (!length || length > NAME_MAX)
        return length ? -ENAMETOOLONG : -ENOENT;
    if (!path)
        path = EXEC_PATH;
    char candidate[strlen(path) + 1 + length + 1];
    for (const char *end; path; path = *end ? end + 1 : NULL) {
        end = strchrnul(path, ':');
        size_t folder = (size_t)(end - path);
        if (folder >= PATH_MAX)
            continue;
        memcpy(candidate, path, folder);
        candidate[folder] = '/';
        memcpy(candidate + folder + (folder > 0), file, length + 1); /* an empty entry is the current directory */
        result = exec_try(candidate, argv, envp);
        denied |= result == -EACCES;
        if (!exec_goes_on(result))
            return result;
    }
    return denied ? -EACCES : result;
}

int preload_execvpe(const char *file, char *const argv[], char *const envp[])
{
    preload_before_exec();
    return exec_result(strchr(file, '/') ? exec_try(file, argv, envp) : exec_search(file, argv, envp));
}

int preload_execvp(const char *file, char *const argv[])
{
    return preload_execvpe(file, argv, environ);
}

/* ---- arguments in a list ---- */

/* How many arguments there are, without the NULL at their end. */
static size_t exec_count(const char *first, va_list *args)
{
    size_t count = 0;
    for (const char *arg = first; arg; arg = va_arg(*args, const char *))
        count++;
    return count;
}

/* The list, and the NULL at its end: what follows that comes next. */
static void exec_collect(char **argv, size_t count, const char *first, va_list *args)
{
    argv[0] = (char *)first;
    for (size_t i = 1; i <= count; i++)
        argv[i] = va_arg(*args, char *);
}

int preload_execl(const char *path, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    size_t count = exec_count(first, &args);
    va_end(args);
    char *argv[count + 1];
    va_start(args, first);
    exec_collect(argv, count, first, &args);
    va_end(args);
    return preload_execve(path, argv, environ);
}

int preload_execle(const char *path, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    size_t count = exec_count(first, &args);
    va_end(args);
    char *argv[count + 1];
    va_start(args, first);
    exec_collect(argv, count, first, &args);
    char **envp = va_arg(args, char **);
    va_end(args);
    return preload_execve(path, argv, envp);
}

int preload_execlp(const char *file, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    size_t count = exec_count(first, &args);
    va_end(args);
    char *argv[count + 1];
    va_start(args, first);
    exec_collect(argv, count, first, &args);
    va_end(args);
    return preload_execvpe(file, argv, environ);
}

#define PRELOAD_EXPORT_exec PRELOAD_ALIAS
#include "preload/preload_export.h"
