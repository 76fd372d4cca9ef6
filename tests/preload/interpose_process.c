/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_process.c — calls about streams, asynchronous requests and processes, for interpose.c.
 */
#include "interpose.h"

#include <aio.h>
#include <execinfo.h>
#include <mntent.h>
#include <pty.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <utmp.h>
#include <utmpx.h>
#include <wordexp.h>

extern char **environ;
int __dprintf_chk(int, int, const char *, ...);
int __vdprintf_chk(int, int, const char *, va_list);
FILE *_IO_fopen(const char *, const char *);
FILE *_IO_fdopen(int, const char *);
int _IO_fclose(FILE *);
FILE *_IO_popen(const char *, const char *);
FILE *__setmntent(const char *, const char *);
int __endmntent(FILE *);
void __backtrace_symbols_fd(void *const *, int, int);

/* ---- streams ---- */

/* Whether a stream of the file reads what is there, and takes the file over. */
static bool process_stream(FILE *stream)
{
    char word[7] = "";
    return stream && fread(word, 1, 6, stream) == 6 && strcmp(word, "nvmmio") == 0 && fclose(stream) == 0;
}

CALL(fopen, "demote")
{
    FILE *stream = fopen(interpose.path, "we");
    if (!stream || fputs("nvmmio", stream) < 0 || ftell(stream) != 6 || fclose(stream) != 0)
        return false;
    return lseek(interpose.fd, 0, SEEK_END) == 6 && process_stream(fopen(interpose.path, "r")) &&
           !fopen(interpose.path, "wx") && errno == EEXIST;
}

CALL(_IO_fopen, "demote")
{
    return process_stream(_IO_fopen(interpose.path, "r"));
}
CALL(fopen64, "demote")
{
    return process_stream(fopen64(interpose.path, "r"));
}
CALL(fdopen, "demote")
{
    return process_stream(fdopen(dup(interpose.fd), "r"));
}
CALL(_IO_fdopen, "demote")
{
    return process_stream(_IO_fdopen(dup(interpose.fd), "r"));
}

CALL(freopen, "release")
{
    FILE *stream = fopen(interpose.path, "r");
    return stream && process_stream(freopen(interpose.path, "r", stream));
}

CALL(freopen64, "release")
{
    FILE *stream = fopen(interpose.path, "r");
    stream = stream ? freopen64(interpose.path, "w", stream) : NULL;
    return stream && lseek(interpose.fd, 0, SEEK_END) == 0 && fclose(stream) == 0;
}

/* A number that fclose has freed is another file's next: it must not be taken for the old one. */
CALL(fclose, "release")
{
    char byte;
    FILE *stream = fopen(interpose.path, "r");
    int fd = stream ? fileno(stream) : -1;
    if (fd < 0 || fclose(stream) != 0)
        return false;
    int other = open("/dev/null", O_RDONLY);
    return other == fd && read(other, &byte, 1) == 0 && interpose_opened(other);
}

CALL(_IO_fclose, "release")
{
    FILE *stream = fopen(interpose.path, "r");
    return stream && _IO_fclose(stream) == 0;
}

CALL(setmntent, "demote")
{
    return process_stream(setmntent(interpose.path, "r"));
}
CALL(__setmntent, "demote")
{
    return process_stream(__setmntent(interpose.path, "r"));
}
CALL(endmntent, "release")
{
    return endmntent(setmntent(interpose.path, "r")) == 1;
}
CALL(__endmntent, "release")
{
    return __endmntent(setmntent(interpose.path, "r")) == 1;
}

static bool process_logged(void)
{
    return lseek(interpose.fd, 0, SEEK_END) > INTERPOSE_SIZE;
}

CALL(updwtmp, "demote")
{
    updwtmp(interpose.path, &(struct utmp){.ut_pid = 1});
    return process_logged();
}
CALL(updwtmpx, "demote")
{
    updwtmpx(interpose.path, &(struct utmpx){.ut_pid = 1});
    return process_logged();
}

static void *const process_trace[1] = {(void *)1};
CALL(backtrace_symbols_fd, "demote")
{
    backtrace_symbols_fd(process_trace, 1, interpose.fd);
    return lseek(interpose.fd, 0, SEEK_CUR) > 0;
}
CALL(__backtrace_symbols_fd, "demote")
{
    __backtrace_symbols_fd(process_trace, 1, interpose.fd);
    return lseek(interpose.fd, 0, SEEK_CUR) > 0;
}

static bool process_printed(int length)
{
    return length == 9 && lseek(interpose.fd, 0, SEEK_CUR) == 9;
}

static int process_vprint(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vdprintf(interpose.fd, format, args);
    va_end(args);
    return length;
}

static int process_vprint_chk(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = __vdprintf_chk(interpose.fd, 1, format, args);
    va_end(args);
    return length;
}

CALL(dprintf, "write")
{
    return process_printed(dprintf(interpose.fd, "%s %d", "nvmmio", 42));
}
CALL(vdprintf, "write")
{
    return process_printed(process_vprint("%s %d", "nvmmio", 42));
}
CALL(__dprintf_chk, "write")
{
    return process_printed(__dprintf_chk(interpose.fd, 1, "%s %d", "nvmmio", 42));
}
CALL(__vdprintf_chk, "write")
{
    return process_printed(process_vprint_chk("%s %d", "nvmmio", 42));
}

/* ---- asynchronous requests ---- */

static char process_buffer[16];

static bool process_wait(struct aiocb *block, int started, ssize_t expected)
{
    const struct aiocb *list[1] = {block};
    while (started == 0 && aio_error(block) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    return started == 0 && aio_return(block) == expected;
}

#define CALL_AIO(name, type, expected, ...)                                                                            \
    CALL(name, "demote")                                                                                               \
    {                                                                                                                  \
        struct type block = {.aio_fildes = interpose.fd, .aio_buf = process_buffer, .aio_nbytes = 8};                  \
        int started = name(__VA_ARGS__);                                                                               \
        return process_wait((struct aiocb *)&block, started, expected);                                                \
    }
CALL_AIO(aio_read, aiocb, 8, &block)
CALL_AIO(aio_read64, aiocb64, 8, &block)
CALL_AIO(aio_write, aiocb, 8, &block)
CALL_AIO(aio_write64, aiocb64, 8, &block)
CALL_AIO(aio_fsync, aiocb, 0, O_SYNC, &block)
CALL_AIO(aio_fsync64, aiocb64, 0, O_SYNC, &block)

#define CALL_LIO(name, type)                                                                                           \
    CALL(name, "demote")                                                                                               \
    {                                                                                                                  \
        struct type block = {.aio_fildes = interpose.fd, .aio_buf = process_buffer, .aio_nbytes = 8};                  \
        struct type *list[2] = {&block, NULL};                                                                         \
        block.aio_lio_opcode = LIO_READ;                                                                               \
        return name(LIO_WAIT, list, 2, NULL) == 0;                                                                     \
    }
CALL_LIO(lio_listio, aiocb)
CALL_LIO(lio_listio64, aiocb64)

/* ---- other programs ---- */

#define SEVEN "exit 7"

static char *const shell_argv[] = {"sh", "-c", SEVEN, NULL};

static void run_execve(void)
{
    execve("/bin/sh", shell_argv, environ);
}
static void run_execveat(void)
{
    execveat(AT_FDCWD, "/bin/sh", shell_argv, environ, 0);
}
static void run_fexecve(void)
{
    fexecve(open("/bin/sh", O_RDONLY), shell_argv, environ);
}
static void run_execv(void)
{
    execv("/bin/sh", shell_argv);
}
static void run_execvp(void)
{
    execvp("sh", shell_argv);
}
static void run_execvpe(void)
{
    execvpe("sh", shell_argv, environ);
}
static void run_execl(void)
{
    execl("/bin/sh", "sh", "-c", SEVEN, (char *)NULL);
}
static void run_execlp(void)
{
    execlp("sh", "sh", "-c", SEVEN, (char *)NULL);
}

static void run_execle(void)
{
    char *const envp[] = {"N=7", NULL};
    execle("/bin/sh", "sh", "-c", "exit $N", (char *)NULL, envp);
}

CALL(execve, "before_exec")
{
    return interpose_in_child(run_execve) == 7;
}
CALL(execveat, "before_exec")
{
    return interpose_in_child(run_execveat) == 7;
}
CALL(fexecve, "before_exec")
{
    return interpose_in_child(run_fexecve) == 7;
}
CALL(execv, "before_exec")
{
    return interpose_in_child(run_execv) == 7;
}
CALL(execvp, "before_exec")
{
    return interpose_in_child(run_execvp) == 7;
}
CALL(execvpe, "before_exec")
{
    return interpose_in_child(run_execvpe) == 7;
}
CALL(execl, "before_exec")
{
    return interpose_in_child(run_execl) == 7;
}
CALL(execle, "before_exec")
{
    return interpose_in_child(run_execle) == 7;
}
CALL(execlp, "before_exec")
{
    return interpose_in_child(run_execlp) == 7;
}

static bool process_ended(pid_t child, int started)
{
    int status;
    return started == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

CALL(posix_spawn, "demote_inheritable")
{
    pid_t child;
    int started = posix_spawn(&child, "/bin/sh", NULL, NULL, shell_argv, environ);
    return process_ended(child, started);
}

CALL(posix_spawnp, "demote_inheritable")
{
    pid_t child;
    int started = posix_spawnp(&child, "sh", NULL, NULL, shell_argv, environ);
    return process_ended(child, started);
}

CALL(posix_spawn_file_actions_adddup2, "demote")
{
    posix_spawn_file_actions_t actions;
    return posix_spawn_file_actions_init(&actions) == 0 &&
           posix_spawn_file_actions_adddup2(&actions, interpose.fd, 50) == 0 &&
           posix_spawn_file_actions_destroy(&actions) == 0;
}

CALL(system, "demote_inheritable")
{
    int status = system(SEVEN);
    return WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

static bool process_piped(FILE *stream)
{
    char word[16] = "";
    return stream && fgets(word, sizeof word, stream) && strcmp(word, "seven\n") == 0 && pclose(stream) == 0;
}

CALL(popen, "demote_inheritable")
{
    return process_piped(popen("echo seven", "r"));
}
CALL(_IO_popen, "demote_inheritable")
{
    return process_piped(_IO_popen("echo seven", "r"));
}

CALL(wordexp, "demote_inheritable")
{
    wordexp_t words;
    if (wordexp("$(echo seven)", &words, 0) != 0)
        return false;
    bool right = words.we_wordc == 1 && strcmp(words.we_wordv[0], "seven") == 0;
    wordfree(&words);
    return right;
}

/* ---- terminals ---- */

static void process_login(void)
{
    int master, slave;
    _exit(openpty(&master, &slave, NULL, NULL, NULL) == 0 && login_tty(slave) == 0 && isatty(0) ? 7 : 8);
}

CALL(login_tty, "dup2")
{
    return interpose_in_child(process_login) == 7 && login_tty(interpose.fd) < 0 && errno == ENOTTY;
}

CALL(forkpty, "dup2")
{
    int master, status;
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0)
        _exit(isatty(0) && isatty(2) ? 7 : 8);
    return child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7 && interpose_opened(master);
}

/* ---- limits ---- */

#define CALL_LIMIT(name, type, get, ...)                                                                               \
    CALL(name, "limit_changed")                                                                                        \
    {                                                                                                                  \
        struct type limit;                                                                                             \
        struct type after;                                                                                             \
        return get(RLIMIT_CORE, &limit) == 0 && (limit.rlim_cur = 0, name(__VA_ARGS__) == 0) &&                        \
               get(RLIMIT_CORE, &after) == 0 && after.rlim_cur == 0 && after.rlim_max == limit.rlim_max;               \
    }
CALL_LIMIT(setrlimit, rlimit, getrlimit, RLIMIT_CORE, &limit)
CALL_LIMIT(setrlimit64, rlimit64, getrlimit64, RLIMIT_CORE, &limit)
CALL_LIMIT(prlimit, rlimit, getrlimit, 0, RLIMIT_CORE, &limit, NULL)
CALL_LIMIT(prlimit64, rlimit64, getrlimit64, 0, RLIMIT_CORE, &limit, NULL)

/* ---- the end ---- */

static void run__exit(void)
{
    _exit(7);
}
static void run__Exit(void)
{
    _Exit(7);
}
static void run_quick_exit(void)
{
    quick_exit(7);
}

CALL(_exit, "exit")
{
    return interpose_in_child(run__exit) == 7;
}
CALL(_Exit, "exit")
{
    return interpose_in_child(run__Exit) == 7;
}
CALL(quick_exit, "exit")
{
    return interpose_in_child(run_quick_exit) == 7;
}

/* The child ends at once with 0, the daemon writes from the root directory into the pipe. */
static int process_pipe[2];

static void run_daemon(void)
{
    char where[2] = "";
    int result = daemon(0, 0);
    if (!getcwd(where, sizeof where))
        where[0] = '?';
    char answer = result == 0 && where[0] == '/' && getsid(0) != 0 ? 'y' : 'n';
    if (write(process_pipe[1], &answer, 1) != 1)
        _exit(1);
    _exit(0);
}

CALL(daemon, "exit")
{
    char answer = 0;
    if (pipe(process_pipe) != 0)
        return false;
    bool right = interpose_in_child(run_daemon) == 0;
    close(process_pipe[1]);
    right = read(process_pipe[0], &answer, 1) == 1 && answer == 'y' && right;
    close(process_pipe[0]);
    return right;
}
