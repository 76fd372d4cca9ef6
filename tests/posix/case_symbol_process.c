/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_process.c — names of libc that make, change and end processes, and those of signals and limits.
 */
#include "case_symbol.h"

#include <dlfcn.h>
#include <grp.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <wordexp.h>

extern char **environ;

pid_t __fork(void);
pid_t __vfork(void);
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
int __sigaction(int signal, const struct sigaction *new, struct sigaction *old);
sighandler_t bsd_signal(int signal, sighandler_t handler);
sighandler_t sysv_signal(int signal, sighandler_t handler);
sighandler_t __sysv_signal(int signal, sighandler_t handler);
FILE *_IO_popen(const char *command, const char *mode);
locale_t __duplocale(locale_t locale);
int pivot_root(const char *new, const char *old);
int capset(void *header, const void *data);
long symbol_create_module_old(const char *name, size_t size);
SYMBOL_OLD(symbol_create_module_old, create_module, "GLIBC_2.2.5");

/* ---- children that go on with this program ---- */

#define FORK_CASE(name)                                                                                                \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 1, 3000));                                                                              \
        pid_t pid = name();                                                                                            \
        if (pid == 0) {                                                                                                \
            CALL(write(fd, bytes + 2, 3000));                                                                          \
            CALL(pwrite(fd, bytes + 3, 300, 10));                                                                      \
            SHOW(fd);                                                                                                  \
            _exit(5);                                                                                                  \
        }                                                                                                              \
        symbol_wait(pid);                                                                                              \
    }
FORK_CASE(fork)
FORK_CASE(__fork)

/* What these may do with the file is nothing: they end at once. */
SYMBOL_CASE(_Fork)
{
    CALL(write(fd, bytes + 1, 3000));
    pid_t pid = _Fork();
    if (pid == 0)
        syscall(SYS_exit, 5);
    symbol_wait(pid);
}

#define VFORK_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 1, 3000));                                                                              \
        pid_t pid = name();                                                                                            \
        if (pid == 0)                                                                                                  \
            _exit(5);                                                                                                  \
        symbol_wait(pid);                                                                                              \
    }
VFORK_CASE(vfork)
VFORK_CASE(__vfork)

static int child_returns(void *arg)
{
    return arg ? 5 : 6;
}

#define CLONE_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        static char stack[1 << 16] __attribute__((aligned(16)));                                                       \
        CALL(write(fd, bytes + 1, 3000));                                                                              \
        symbol_wait(name(child_returns, stack + sizeof stack, SIGCHLD | CLONE_VM | CLONE_VFORK, stack));               \
    }
CLONE_CASE(clone)
CLONE_CASE(__clone)

/* The first process ends at once; its child has the channel to itself. */
static void become_daemon(int fd)
{
    CALL(daemon(1, 1));
    CALL(write(fd, bytes + 3, 3000));
    SHOW(fd);
}

SYMBOL_CASE(daemon)
{
    watch_errno = false;
    int ends[2];
    CALL(pipe(ends));
    CALL(write(fd, bytes + 1, 3000));
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become_daemon(fd);
        _exit(0);
    }
    close(ends[1]);
    char end;
    CALL(read(ends[0], &end, 1)); /* until the daemon has ended */
    CALL(close(ends[0]));
    symbol_wait(pid);
}

/* ---- programs ---- */

static char command[80]; /* writes to the descriptor */
static char *arguments[] = {(char *)"sh", (char *)"-c", command, NULL};

static void prepare_command(int fd)
{
    snprintf(command, sizeof command, "echo program >&%d", fd);
    CALL(write(fd, bytes + 4, 3000));
    CALL(fsync(fd));
    CALL(write(fd, bytes + 4, 300));
}

#define EXEC_CASE(name, ...)                                                                                           \
    static void exec_##name(int fd)                                                                                    \
    {                                                                                                                  \
        int shell __attribute__((unused)) = open("/bin/sh", O_RDONLY | O_CLOEXEC);                                     \
        prepare_command(fd);                                                                                           \
        CALL(name(__VA_ARGS__));                                                                                       \
    }                                                                                                                  \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        in_child(exec_##name, fd);                                                                                     \
        SHOW(fd);                                                                                                      \
    }
EXEC_CASE(execve, "/bin/sh", arguments, environ)
EXEC_CASE(execveat, AT_FDCWD, "/bin/sh", arguments, environ, 0)
EXEC_CASE(fexecve, shell, arguments, environ)
EXEC_CASE(execv, "/bin/sh", arguments)
EXEC_CASE(execvp, "sh", arguments)
EXEC_CASE(execvpe, "sh", arguments, environ)
EXEC_CASE(execl, "/bin/sh", "sh", "-c", command, (char *)NULL)
EXEC_CASE(execle, "/bin/sh", "sh", "-c", command, (char *)NULL, environ)
EXEC_CASE(execlp, "sh", "sh", "-c", command, (char *)NULL)

#define SPAWN_CASE(name, program)                                                                                      \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        pid_t pid = -1;                                                                                                \
        watch_errno = false;                                                                                           \
        prepare_command(fd);                                                                                           \
        CALL(name(&pid, program, NULL, NULL, arguments, environ));                                                     \
        symbol_wait(pid);                                                                                              \
        SHOW(fd);                                                                                                      \
        CALL(name(&pid, "/missing", NULL, NULL, arguments, environ));                                                  \
    }
SPAWN_CASE(posix_spawn, "/bin/sh")
SPAWN_CASE(posix_spawnp, "sh")

/* The shell writes to its standard output, wherever that leads. */
#define ACTION_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        pid_t pid = -1;                                                                                                \
        posix_spawn_file_actions_t actions;                                                                            \
        watch_errno = false;                                                                                           \
        prepare_command(fd);                                                                                           \
        int directory __attribute__((unused)) = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);                         \
        CALL(write(fd, bytes, 300));                                                                                   \
        CALL(posix_spawn_file_actions_init(&actions));                                                                 \
        CALL(name(&actions __VA_ARGS__));                                                                              \
        CALL(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ));                                      \
        symbol_wait(pid);                                                                                              \
        SHOW(fd);                                                                                                      \
        CALL(close(directory));                                                                                        \
        CALL(posix_spawn_file_actions_destroy(&actions));                                                              \
    }
ACTION_CASE(posix_spawn_file_actions_addclose, , fd)
ACTION_CASE(posix_spawn_file_actions_addclosefrom_np, , fd)
ACTION_CASE(posix_spawn_file_actions_addchdir_np, , "/")
ACTION_CASE(posix_spawn_file_actions_addfchdir_np, , directory)
ACTION_CASE(posix_spawn_file_actions_addtcsetpgrp_np, , 777)
ACTION_CASE(posix_spawn_file_actions_init, )

static void spawn_writer(int fd, posix_spawn_file_actions_t *actions)
{
    pid_t pid = -1;
    CALL(posix_spawn(&pid, "/bin/sh", actions, NULL, arguments, environ));
    symbol_wait(pid);
    SHOW(fd);
}

SYMBOL_CASE(posix_spawn_file_actions_adddup2)
{
    posix_spawn_file_actions_t actions;
    watch_errno = false;
    prepare_command(fd);
    snprintf(command, sizeof command, "echo program");
    posix_spawn_file_actions_init(&actions);
    CALL(posix_spawn_file_actions_adddup2(&actions, fd, 1));
    spawn_writer(fd, &actions);
    CALL(posix_spawn_file_actions_adddup2(&actions, -1, 1));
    posix_spawn_file_actions_destroy(&actions);
}

SYMBOL_CASE(posix_spawn_file_actions_addopen)
{
    posix_spawn_file_actions_t actions;
    watch_errno = false;
    prepare_command(fd);
    snprintf(command, sizeof command, "echo program");
    posix_spawn_file_actions_init(&actions);
    CALL(posix_spawn_file_actions_addopen(&actions, 1, SUBJECT, O_WRONLY | O_APPEND, 0));
    spawn_writer(fd, &actions);
    posix_spawn_file_actions_destroy(&actions);
}

SYMBOL_CASE(posix_spawn_file_actions_destroy)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    CALL(posix_spawn_file_actions_destroy(&actions));
}

#define ATTRIBUTE_CASE(name, ...)                                                                                      \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        pid_t pid = -1;                                                                                                \
        posix_spawnattr_t attributes;                                                                                  \
        short flags __attribute__((unused)) = 0;                                                                       \
        int number __attribute__((unused)) = 0;                                                                        \
        sigset_t set __attribute__((unused));                                                                          \
        struct sched_param parameters __attribute__((unused)) = {0};                                                   \
        watch_errno = false;                                                                                           \
        sigemptyset(&set);                                                                                             \
        prepare_command(fd);                                                                                           \
        posix_spawnattr_init(&attributes);                                                                             \
        CALL(name(&attributes __VA_ARGS__));                                                                           \
        CALL(posix_spawn(&pid, "/bin/sh", NULL, &attributes, arguments, environ));                                     \
        symbol_wait(pid);                                                                                              \
        CALL(posix_spawnattr_destroy(&attributes));                                                                    \
    }
ATTRIBUTE_CASE(posix_spawnattr_init, )
ATTRIBUTE_CASE(posix_spawnattr_getflags, , &flags)
ATTRIBUTE_CASE(posix_spawnattr_setflags, , POSIX_SPAWN_SETSIGMASK)
ATTRIBUTE_CASE(posix_spawnattr_getpgroup, , &pid)
ATTRIBUTE_CASE(posix_spawnattr_setpgroup, , 0)
ATTRIBUTE_CASE(posix_spawnattr_getschedparam, , &parameters)
ATTRIBUTE_CASE(posix_spawnattr_setschedparam, , &parameters)
ATTRIBUTE_CASE(posix_spawnattr_getschedpolicy, , &number)
ATTRIBUTE_CASE(posix_spawnattr_setschedpolicy, , SCHED_OTHER)
ATTRIBUTE_CASE(posix_spawnattr_getsigdefault, , &set)
ATTRIBUTE_CASE(posix_spawnattr_setsigdefault, , &set)
ATTRIBUTE_CASE(posix_spawnattr_getsigmask, , &set)
ATTRIBUTE_CASE(posix_spawnattr_setsigmask, , &set)

SYMBOL_CASE(posix_spawnattr_destroy)
{
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    CALL(posix_spawnattr_destroy(&attributes));
}

SYMBOL_CASE(system)
{
    watch_errno = false;
    prepare_command(fd);
    CALL(system(command));
    CALL(system(NULL));
    SHOW(fd);
}

#define POPEN_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        char line[100] = "";                                                                                           \
        watch_errno = false;                                                                                           \
        prepare_command(fd);                                                                                           \
        FILE *from;                                                                                                    \
        CALL_POINTER(from = name("cksum <" SUBJECT, "r"));                                                             \
        CALL_POINTER(fgets(line, sizeof line, from));                                                                  \
        say("%s", line);                                                                                               \
        CALL(pclose(from));                                                                                            \
        FILE *to;                                                                                                      \
        CALL_POINTER(to = name(command, "w"));                                                                         \
        CALL(pclose(to));                                                                                              \
        SHOW(fd);                                                                                                      \
    }
POPEN_CASE(popen)
POPEN_CASE(_IO_popen)

SYMBOL_CASE(pclose)
{
    watch_errno = false;
    CALL(write(fd, bytes, 300));
    CALL(pclose(popen("exit 3", "r")));
}

SYMBOL_CASE(wordexp)
{
    wordexp_t words;
    watch_errno = false;
    prepare_command(fd);
    snprintf(command, sizeof command, "$(echo program >&%d; echo word)", fd);
    CALL(wordexp(command, &words, 0));
    say("%zu: %s", (size_t)words.we_wordc, words.we_wordv[0]);
    wordfree(&words);
    CALL(wordexp("$(echo x)", &words, WRDE_NOCMD));
}

/* ---- the end ---- */

#define EXIT_CASE(name, ...)                                                                                           \
    static void exit_##name(int fd)                                                                                    \
    {                                                                                                                  \
        int own = open("own", O_RDWR | O_CREAT, 0600);                                                                 \
        CALL(write(own, bytes, 9000));                                                                                 \
        CALL(fsync(own));                                                                                              \
        CALL(write(own, bytes, 900));                                                                                  \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        signal(SIGABRT, SIG_DFL);                                                                                      \
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});                                                                   \
        name(__VA_ARGS__);                                                                                             \
    }                                                                                                                  \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        in_child(exit_##name, fd);                                                                                     \
        SHOW(fd);                                                                                                      \
        symbol_use(CALL(open("own", O_RDWR)));                                                                         \
    }
EXIT_CASE(exit, 3)
EXIT_CASE(_exit, 3)
EXIT_CASE(_Exit, 3)
EXIT_CASE(quick_exit, 3)
EXIT_CASE(abort, )

/* ---- signals ---- */

static void handler(int number)
{
    (void)number;
}

#define SIGNAL_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        say("default %d", name(SIGBUS, handler) == SIG_DFL);                                                           \
        say("handler %d", name(SIGBUS, SIG_IGN) == handler);                                                           \
        CALL(write(fd, bad_address(), 4000));                                                                          \
        say("ignored %d", name(SIGBUS, SIG_DFL) == SIG_IGN);                                                           \
        say("wrong %d", name(777, SIG_DFL) == SIG_ERR);                                                                \
    }
SIGNAL_CASE(signal)
SIGNAL_CASE(bsd_signal)
SIGNAL_CASE(ssignal)
SIGNAL_CASE(sysv_signal)
SIGNAL_CASE(__sysv_signal)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
SIGNAL_CASE(sigset)

SYMBOL_CASE(sigignore)
{
    CALL(write(fd, bytes + 5, 4000));
    CALL(sigignore(SIGSEGV));
    CALL(write(fd, bad_address(), 4000));
    say("ignored %d", signal(SIGSEGV, SIG_DFL) == SIG_IGN);
}

SYMBOL_CASE(siginterrupt)
{
    CALL(write(fd, bytes + 5, 4000));
    CALL(siginterrupt(SIGBUS, 1));
    CALL(siginterrupt(SIGBUS, 0));
    CALL(siginterrupt(777, 0));
}

#define FAULTS (1 << (SIGSEGV - 1) | 1 << (SIGBUS - 1))

/* With both signals of faults blocked a bad buffer is told all the same, and the mask is as it was set. */
static void blocked(int fd)
{
    sigset_t now;
    CALL(write(fd, bad_address(), 4000));
    CALL(read(fd, bad_address(), 4000));
    CALL(write(fd, bytes + 5, 4000));
    sigprocmask(SIG_BLOCK, NULL, &now);
    say("blocked %d %d %d", sigismember(&now, SIGSEGV), sigismember(&now, SIGBUS), sigismember(&now, SIGUSR1));
}

#define MASK_CASE(name)                                                                                                \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        sigset_t set;                                                                                                  \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        sigfillset(&set);                                                                                              \
        CALL(name(SIG_SETMASK, &set, NULL));                                                                           \
        blocked(fd);                                                                                                   \
        CALL(name(777, &set, NULL));                                                                                   \
        sigemptyset(&set);                                                                                             \
        CALL(name(SIG_SETMASK, &set, NULL));                                                                           \
        blocked(fd);                                                                                                   \
    }
MASK_CASE(sigprocmask)
MASK_CASE(pthread_sigmask)

SYMBOL_CASE(sigblock)
{
    CALL(write(fd, bytes + 5, 4000));
    CALL(sigblock(FAULTS));
    blocked(fd);
}

SYMBOL_CASE(sigsetmask)
{
    CALL(write(fd, bytes + 5, 4000));
    CALL(sigsetmask(FAULTS));
    blocked(fd);
    CALL(sigsetmask(0));
    blocked(fd);
}

SYMBOL_CASE(sighold)
{
    CALL(write(fd, bytes + 5, 4000));
    CALL(sighold(SIGSEGV));
    blocked(fd);
    CALL(sighold(777));
}
#pragma GCC diagnostic pop

SYMBOL_CASE(pthread_setcanceltype)
{
    int old;
    CALL(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    CALL(write(fd, bytes + 5, 4000));
    CALL(pthread_setcanceltype(777, NULL));
    CALL(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old));
    say("asynchronous %d", old == PTHREAD_CANCEL_ASYNCHRONOUS);
}

#define SIGACTION_CASE(name)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;                                   \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        CALL(name(SIGSEGV, &new, NULL));                                                                               \
        CALL(write(fd, bad_address(), 4000));                                                                          \
        CALL(name(SIGSEGV, NULL, &old));                                                                               \
        say("%d %#x", old.sa_handler == handler, old.sa_flags & ~0x04000000);                                          \
        CALL(name(SIGKILL, &new, NULL));                                                                               \
        signal(SIGSEGV, SIG_DFL);                                                                                      \
    }
SIGACTION_CASE(sigaction)
SIGACTION_CASE(__sigaction)

SYMBOL_CASE(signalfd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CALL(signalfd(fd, &set, 0));
    int made = CALL(signalfd(-1, &set, SFD_CLOEXEC));
    CALL(close(made));
}

/* ---- limits, places ---- */

#define LIMIT_CASE(name, type, ...)                                                                                    \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        signal(SIGXFSZ, SIG_IGN);                                                                                      \
        struct type limit = {.rlim_cur = (unsigned long)subject_size + 1000, .rlim_max = RLIM_INFINITY};               \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        CALL(name(__VA_ARGS__));                                                                                       \
        CALL(pwrite(fd, bytes + 5, 4000, subject_size - 1000));                                                        \
        CALL(pwrite(fd, bytes + 5, 4000, subject_size + 1000));                                                        \
        SHOW(fd);                                                                                                      \
        limit.rlim_cur = RLIM_INFINITY;                                                                                \
        CALL(name(__VA_ARGS__));                                                                                       \
    }
LIMIT_CASE(setrlimit, rlimit, RLIMIT_FSIZE, &limit)
LIMIT_CASE(setrlimit64, rlimit64, RLIMIT_FSIZE, &limit)
LIMIT_CASE(prlimit, rlimit, 0, RLIMIT_FSIZE, &limit, NULL)
LIMIT_CASE(prlimit64, rlimit64, 0, RLIMIT_FSIZE, &limit, NULL)

#define PLACE_CASE(name, ...)                                                                                          \
    static void place_##name(int fd)                                                                                   \
    {                                                                                                                  \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        CALL(__VA_ARGS__);                                                                                             \
        CALL(write(fd, bytes + 6, 4000));                                                                              \
        SHOW(fd);                                                                                                      \
        CALL(fsync(fd));                                                                                               \
    }                                                                                                                  \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        in_child(place_##name, fd);                                                                                    \
    }
PLACE_CASE(unshare, unshare(CLONE_FS | CLONE_FILES))
PLACE_CASE(setns, setns(fd, 0))
PLACE_CASE(chroot, chroot("."))
PLACE_CASE(pivot_root, pivot_root("missing", "missing"))
PLACE_CASE(setuid, setuid(geteuid()))
PLACE_CASE(seteuid, seteuid(geteuid()))
PLACE_CASE(setreuid, setreuid((uid_t)-1, geteuid()))
PLACE_CASE(setresuid, setresuid((uid_t)-1, geteuid(), (uid_t)-1))
PLACE_CASE(setfsuid, setfsuid(geteuid()) == (int)geteuid())
PLACE_CASE(capset, capset(NULL, NULL))
PLACE_CASE(setgid, setgid(getegid()))
PLACE_CASE(setegid, setegid(getegid()))
PLACE_CASE(setregid, setregid((gid_t)-1, getegid()))
PLACE_CASE(setresgid, setresgid((gid_t)-1, getegid(), (gid_t)-1))
PLACE_CASE(setfsgid, setfsgid(getegid()) == (int)getegid())
PLACE_CASE(setgroups, setgroups(1, (gid_t[]){getegid()}))
PLACE_CASE(initgroups, initgroups("root", getegid()))

/* ---- others that look like these ---- */

#define LOAD_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        void *self = dlopen(NULL, RTLD_NOW);                                                                           \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 5, 4000));                                                                              \
        CALL_POINTER(__VA_ARGS__);                                                                                     \
        CALL(dlclose(self));                                                                                           \
    }
LOAD_CASE(dlopen, dlopen("./" SUBJECT, RTLD_NOW))
LOAD_CASE(dlmopen, dlmopen(LM_ID_BASE, "./" SUBJECT, RTLD_NOW))
LOAD_CASE(dlsym, dlsym(self, "missing"))
LOAD_CASE(dlclose, self)

#define LOCALE_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        locale_t copy = name(LC_GLOBAL_LOCALE);                                                                        \
        say("%d", copy != NULL);                                                                                       \
        freelocale(copy);                                                                                              \
    }
LOCALE_CASE(duplocale)
LOCALE_CASE(__duplocale)

SYMBOL_CASE(create_module)
{
    CALL(symbol_create_module_old("name", 0));
}

SYMBOL_CASE(syscall)
{
    CALL(syscall(SYS_write, fd, bytes + 9, 1000L));
    CALL(syscall(SYS_pwrite64, fd, bytes + 8, 1000L, 5000L));
    SHOW_BYTES(scratch, CALL(syscall(SYS_pread64, fd, scratch, 3000L, 4000L)));
    CALL(syscall(SYS_ftruncate, fd, 12345L));
    CALL(syscall(9999L, fd));
}

/* There are no rings under the library, and no liburing in most programs: the file must be as before. */
static void no_ring(int fd)
{
    CALL(write(fd, bytes + 9, 1000));
}
SYMBOL_CASE(io_uring_setup)
{
    no_ring(fd);
}
SYMBOL_CASE(io_uring_queue_init)
{
    no_ring(fd);
}
SYMBOL_CASE(io_uring_queue_init_params)
{
    no_ring(fd);
}
SYMBOL_CASE(io_uring_queue_init_mem)
{
    no_ring(fd);
}
