/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * signals.c — promise: a program's own handlers of SIGSEGV and SIGBUS, installed in whatever way after its first managed
 * file, get the faults that are the program's, with the manners that they were installed with; and a bad buffer is EFAULT
 * all the same, a file that another program cuts under us no signal.
 *
 * Run under the preload library and without it: what it checks is what the kernel does.
 */
#include "clean.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, ALTERNATE = 64 * 1024, FILE_SIZE = 64 * 1024 };

struct signals {
    char root[64];
    char path[128];
    int fd;                     /* of a file that the library serves in user space */
    char *bad;                  /* a page that nobody may touch */
    char *alternate;            /* stack of handlers */
    volatile int called;        /* signal of the handler that ran last */
    void *volatile address;     /* of its fault */
    volatile bool on_alternate; /* it ran there */
    volatile bool masked;       /* its own signal and SIGUSR1 were blocked meanwhile */
    volatile int written;       /* result of a write to the file in the handler */
    sigjmp_buf back;
    unsigned failures;
};
static struct signals signals;

static void check(bool right, const char *way, const char *promise)
{
    if (!right) {
        printf("FAIL: %s: %s (errno is %s)\n", way, promise, strerror(errno));
        signals.failures++;
    }
}

static void note(int signal)
{
    char here;
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    signals.called = signal;
    signals.on_alternate = &here >= signals.alternate && &here < signals.alternate + ALTERNATE;
    signals.masked = sigismember(&now, signal) && sigismember(&now, SIGUSR1);
    signals.written = (int)pwrite(signals.fd, "from the handler", 16, 8192);
}

static void plain(int signal)
{
    note(signal);
    siglongjmp(signals.back, 1);
}

static void with_info(int signal, siginfo_t *info, void *context)
{
    (void)context;
    signals.address = info->si_addr;
    plain(signal);
}

/* Mends the page and returns: the instruction is run again. */
static void mend(int signal, siginfo_t *info, void *context)
{
    (void)context;
    signals.address = info->si_addr;
    note(signal);
    mprotect(signals.bad, PAGE, PROT_READ | PROT_WRITE);
}

static bool faults(int signal)
{
    signals.called = 0;
    if (sigsetjmp(signals.back, 1) == 0)
        *(volatile char *)signals.bad = 1;
    return signals.called == signal;
}

/* What the library needs its own handlers for goes on, whatever the program has installed. */
static void check_guard(const char *way)
{
    signals.called = 0;
    errno = 0;
    check(pwrite(signals.fd, signals.bad, 100, 0) == -1 && errno == EFAULT, way, "a bad source is EFAULT");
    check(pread(signals.fd, signals.bad, 100, 0) == -1 && errno == EFAULT, way, "a bad target is EFAULT");
    check(signals.called == 0, way, "no handler is called for it");
    check(pwrite(signals.fd, "whole", 5, 0) == 5, way, "the file is served");
}

static struct sigaction action_of(void handler(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_flags = flags | SA_SIGINFO};
    action.sa_sigaction = handler;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    return action;
}

static void by_sigaction(void)
{
    struct sigaction new = action_of(with_info, SA_ONSTACK);
    struct sigaction old;
    check(sigaction(SIGSEGV, &new, &old) == 0 && old.sa_handler == SIG_DFL, "sigaction", "the old action");
    check_guard("sigaction");
    check(faults(SIGSEGV), "sigaction", "the handler is called");
    check(signals.address == signals.bad, "sigaction", "with the address");
    check(signals.on_alternate, "sigaction", "on the alternate stack");
    check(signals.masked, "sigaction", "with its mask");
    check(signals.written == 16, "sigaction", "and may use the file");
    check_guard("sigaction, after a fault");
    check(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == with_info && sigismember(&old.sa_mask, SIGUSR1) &&
              (old.sa_flags & (SA_ONSTACK | SA_SIGINFO | SA_NODEFER)) == (SA_ONSTACK | SA_SIGINFO),
          "sigaction", "is told as it was set");

    new = action_of(mend, 0);
    check(sigaction(SIGSEGV, &new, &old) == 0 && old.sa_sigaction == with_info, "return", "the old action");
    signals.called = 0;
    *(volatile char *)signals.bad = 7;
    check(signals.called == SIGSEGV && *signals.bad == 7 && !signals.on_alternate, "return", "the fault is repeated");
    mprotect(signals.bad, PAGE, PROT_NONE);
    check_guard("return");
}

static void by_signal(void)
{
    check(signal(SIGSEGV, plain) != SIG_ERR, "signal", "sets");
    check_guard("signal");
    check(faults(SIGSEGV) && faults(SIGSEGV), "signal", "the handler is called, and again");
    check(signal(SIGSEGV, SIG_DFL) == plain, "signal", "tells the old handler");
    check(signal(SIGSEGV, plain) == SIG_DFL, "signal", "tells the default");
    check_guard("signal, set again");
}

/* The kernel's struct sigaction. */
struct raw_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

static void by_syscall(void)
{
    struct raw_action action;
    check(syscall(SYS_rt_sigaction, SIGSEGV, NULL, &action, 8) == 0 && action.handler == plain, "syscall", "asks");
    action.mask = 1ul << (SIGUSR1 - 1);
    check(syscall(SYS_rt_sigaction, SIGSEGV, &action, NULL, 8) == 0, "syscall", "sets");
    check(faults(SIGSEGV) && signals.masked, "syscall", "the handler is called");
    check_guard("syscall");
    check(syscall(SYS_rt_sigaction, SIGSEGV, NULL, NULL, 4) == -1 && errno == EINVAL, "syscall", "a wrong size");
}

static void once(void)
{
    struct sigaction action = action_of(with_info, (int)SA_RESETHAND);
    sigaction(SIGSEGV, &action, NULL);
    check(faults(SIGSEGV), "SA_RESETHAND", "the handler is called");
    check(sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_handler == SIG_DFL, "SA_RESETHAND", "once");
    check_guard("SA_RESETHAND");
}

static int status_of(void run(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        run();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return status;
}

static void fault(void)
{
    *(volatile char *)signals.bad = 1;
}

static void send_to_self(void)
{
    raise(SIGSEGV);
}

static void vfork_resets(void)
{
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "vfork", "the child's default ends the child");
}

static void by_default(void)
{
    signal(SIGSEGV, SIG_DFL);
    int status = status_of(fault);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "SIG_DFL", "a fault ends the process");
    status = status_of(send_to_self);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "SIG_DFL", "a sent signal ends the process");
    signal(SIGSEGV, SIG_IGN);
    status = status_of(fault);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "SIG_IGN", "a fault ends the process");
    check(status_of(send_to_self) == 0, "SIG_IGN", "a sent signal does nothing");
    signal(SIGSEGV, plain);
    vfork_resets();
    check(faults(SIGSEGV), "vfork", "the parent's handler is still there");
    check_guard("vfork");
}

/* Another program, without the library, cuts the file while we have it mapped. What is read is old, short or EIO. */
static void cut_by_another(void)
{
    char command[256];
    char buffer[FILE_SIZE];
    struct sigaction action = action_of(with_info, 0);
    check(sigaction(SIGBUS, &action, NULL) == 0, "SIGBUS", "sets");
    snprintf(command, sizeof command, "env -u LD_PRELOAD truncate -s 0 %s", signals.path);
    check(system(command) == 0, "SIGBUS", "truncate runs");
    signals.called = 0;
    (void)!pread(signals.fd, buffer, sizeof buffer, 0);
    (void)!pwrite(signals.fd, buffer, sizeof buffer, 0);
    check(signals.called == 0, "SIGBUS", "no handler is called for the library's own faults");

    int fd = memfd_create("signals", 0);
    if (fd < 0 || ftruncate(fd, PAGE) != 0)
        exit(EXIT_FAILURE);
    signals.bad = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(ftruncate(fd, 0) == 0 && faults(SIGBUS), "SIGBUS", "the program's own fault calls its handler");
    munmap(signals.bad, PAGE);
    close(fd);
}

static void *set_and_fault(void *arg)
{
    struct sigaction action = action_of(with_info, 0);
    for (int i = 0; i < 2000; i++) {
        sigaction(SIGSEGV, &action, NULL);
        if (pwrite(signals.fd, signals.bad, 100, 0) != -1 || errno != EFAULT)
            *(bool *)arg = false;
    }
    return NULL;
}

/* Threads install handlers while others fault, and the process forks. */
static void many_threads(void)
{
    pthread_t threads[2];
    bool right[2] = {true, true};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, set_and_fault, &right[i]) != 0)
            exit(EXIT_FAILURE);
    bool children = true;
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGSEGV, plain);
            _exit(faults(SIGSEGV) ? 0 : 1);
        }
        int status = 1;
        waitpid(child, &status, 0);
        children = children && status == 0;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    check(right[0] && right[1], "threads", "EFAULT whatever others install");
    check(children, "threads", "children install handlers, too");
}

int main(void)
{
    snprintf(signals.root, sizeof signals.root, "/dev/shm/nvmmio-signals.XXXXXX");
    if (!mkdtemp(signals.root))
        return EXIT_FAILURE;
    snprintf(signals.path, sizeof signals.path, "%s/file", signals.root);
    setenv("NVMMIO_ROOT", signals.root, 1);
    signals.bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signals.alternate = mmap(NULL, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = signals.alternate, .ss_size = ALTERNATE};
    signals.fd = open(signals.path, O_RDWR | O_CREAT, 0600);
    char block[FILE_SIZE] = "";
    if (signals.fd < 0 || sigaltstack(&stack, NULL) != 0 || write(signals.fd, block, sizeof block) != sizeof block ||
        fsync(signals.fd) != 0 || pwrite(signals.fd, block, PAGE, 0) != PAGE) /* from here on it is served */
        return EXIT_FAILURE;
    check_guard("no handler");
    by_sigaction();
    by_signal();
    by_syscall();
    once();
    by_default();
    many_threads();
    cut_by_another();
    close(signals.fd);
    clean_tree(signals.root);
    printf("signals: %u failures\n", signals.failures);
    return signals.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
