/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * handlers.c — promise: handlers behave as without the library, though a signal that arrives inside it is put off: what
 * they are told, their mask, stack and flags, jumps out of them, what sigaction tells; and calls that wait are
 * interrupted.
 *
 * Run under the preload library and without it: what it checks is what the kernel does.
 */
#include "child.h"
#include "clean.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

enum { BYTES = 1024 * 1024, SENT = 400, ALTERNATE = 65536, JUMPS = 1500 };

struct handlers {
    char root[64];
    char path[128];
    int fd; /* of a file that is served in user space */
    char *bytes;
    char *alternate;
    pthread_t target;
    pid_t process;
    volatile int handled;
    volatile int last; /* value of the last real-time signal */
    volatile bool sending;
    volatile bool wrong_order;
    sigjmp_buf back;
    ucontext_t program;
    ucontext_t elsewhere;
};
static struct handlers handlers;

static void serve(void)
{
    handlers.fd = open(handlers.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    handlers.process = getpid();
    handlers.target = pthread_self();
    if (handlers.fd < 0 || pwrite(handlers.fd, handlers.bytes, BYTES, 0) != BYTES || fsync(handlers.fd) != 0 ||
        pwrite(handlers.fd, handlers.bytes, BYTES, 0) != BYTES)
        exit(EXIT_FAILURE);
}

static bool use_file(void)
{
    return pwrite(handlers.fd, handlers.bytes, BYTES, 0) == BYTES;
}

static void set(int signal, void handler(int, siginfo_t *, void *), int flags, int masked)
{
    struct sigaction action = {.sa_flags = flags | SA_SIGINFO};
    action.sa_sigaction = handler;
    sigemptyset(&action.sa_mask);
    if (masked)
        sigaddset(&action.sa_mask, masked);
    check(sigaction(signal, &action, NULL) == 0, "sigaction");
}

static void pause_us(unsigned us)
{
    const struct timespec pause = {.tv_nsec = (long)us * 1000};
    nanosleep(&pause, NULL);
}

/* ---- a thread that sends ---- */

static void *send_values(void *arg)
{
    (void)arg;
    for (int i = 1; i <= SENT; i++) {
        while (sigqueue(handlers.process, SIGRTMIN + 3, (union sigval){.sival_int = i}) != 0)
            pause_us(100);
        pause_us((unsigned)i * 7 % 300);
    }
    handlers.sending = false;
    return NULL;
}

static void *send_often(void *arg)
{
    while (handlers.sending) {
        pthread_kill(handlers.target, *(int *)arg);
        pause_us(150);
    }
    return NULL;
}

/* Starts a thread that handles no signals itself. */
static pthread_t start(void *run(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    handlers.sending = true;
    if (pthread_create(&thread, NULL, run, arg) != 0)
        exit(EXIT_FAILURE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}

/* ---- what a handler is told ---- */

static void told(int signal, siginfo_t *info, void *context)
{
    char here;
    sigset_t now;
    handlers.handled++;
    handlers.wrong_order |= info->si_value.sival_int != handlers.last + 1;
    handlers.last = info->si_value.sival_int;
    check(signal == SIGRTMIN + 3 && info->si_signo == signal && info->si_code == SI_QUEUE &&
              info->si_pid == handlers.process && info->si_uid == getuid(),
          "who sent the signal, and how");
    sigprocmask(SIG_BLOCK, NULL, &now);
    check(sigismember(&now, signal) && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGALRM) &&
              !sigismember(&now, SIGTERM),
          "the mask of the handler");
    check(&here >= handlers.alternate && &here < handlers.alternate + ALTERNATE, "the stack of the handler");
    check(!sigismember(&((ucontext_t *)context)->uc_sigmask, SIGTERM), "the mask that it returns to");
    check(pwrite(handlers.fd, handlers.bytes, 4096, 4096) == 4096, "it uses the file");
}

static void values(void)
{
    stack_t stack = {.ss_sp = handlers.alternate, .ss_size = ALTERNATE};
    sigset_t now;
    serve();
    check(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    set(SIGRTMIN + 3, told, SA_ONSTACK | SA_RESTART, SIGUSR2);
    pthread_t sender = start(send_values, NULL);
    while (handlers.sending) {
        check(use_file(), "the program writes");
        sigprocmask(SIG_BLOCK, NULL, &now);
        check(!sigismember(&now, SIGTERM) && !sigismember(&now, SIGRTMIN + 3), "the mask of the program");
    }
    pthread_join(sender, NULL);
    check(handlers.handled == SENT && !handlers.wrong_order,
          "each signal is handled once, in the order they were sent");
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handlers.handled++;
}

/* ---- once ---- */

static void once(void)
{
    int signal = SIGUSR1;
    int status;
    serve();
    pid_t child = fork();
    if (child == 0) {
        handlers.target = pthread_self();
        set(signal, count, (int)SA_RESETHAND, 0);
        start(send_often, &signal);
        while (handlers.handled < 2)
            use_file();
        _exit(EXIT_FAILURE);
    }
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1,
          "SA_RESETHAND: the second signal ends the program");

    set(signal, count, (int)SA_RESETHAND, 0);
    struct sigaction now;
    check(sigaction(signal, NULL, &now) == 0 && now.sa_sigaction == count && now.sa_flags & (int)SA_RESETHAND,
          "SA_RESETHAND is told before");
    raise(signal);
    check(handlers.handled == 1 && sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_DFL,
          "SA_RESETHAND: the handler runs, and the default is back");
}

/* ---- a handler that is not masked runs within itself ---- */

static void nest(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (++handlers.handled % 4)
        raise(signal);
    check(pwrite(handlers.fd, handlers.bytes, 8192, 0) == 8192, "a nested handler writes");
}

static void nested(void)
{
    int signal = SIGUSR1;
    serve();
    set(signal, nest, SA_NODEFER, 0);
    pthread_t sender = start(send_often, &signal);
    for (int i = 0; i < 1000 || handlers.handled < 8; i++)
        check(use_file(), "the program writes");
    handlers.sending = false;
    pthread_join(sender, NULL);
    check(handlers.handled >= 8, "handlers nest");
}

/* ---- out of a handler by a jump, by another context ---- */

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handlers.handled++;
    siglongjmp(handlers.back, 1);
}

static bool mask_is_empty(void)
{
    sigset_t now;
    return pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 && sigisemptyset(&now);
}

static void *use_beside(void *arg)
{
    for (int i = 0; i < 200; i++)
        if (pwrite(handlers.fd, handlers.bytes, 8192, (i % 16) * 4096) != 8192 || (i % 50 == 0 && fsync(handlers.fd)))
            return NULL;
    return arg;
}

/* Nothing is left locked: another thread, and this one, can use all of the file. */
static void check_free(void)
{
    void *done = NULL;
    int anything;
    check(pthread_join(start(use_beside, &anything), &done) == 0 && done, "another thread uses the file");
    check(use_file() && fsync(handlers.fd) == 0 && lseek(handlers.fd, 0, SEEK_SET) == 0, "so does this one");
}

static void jumps(void)
{
    int signal = SIGUSR1;
    serve();
    set(signal, jump, 0, 0);
    volatile pthread_t sender = 0;
    for (volatile int i = 0; handlers.handled < JUMPS && i < 100 * JUMPS; i++) {
        if (sigsetjmp(handlers.back, 1) == 0) {
            if (!sender) /* not before there is a place to jump to */
                sender = start(send_often, &signal);
            use_file();
            if (i % 8 == 0)
                fsync(handlers.fd);
            if (i % 16 == 0)
                (void)!write(handlers.fd, handlers.bytes, 4096);
        }
        check(mask_is_empty(), "the mask after a jump");
    }
    set(signal, count, 0, 0);
    handlers.sending = false;
    pthread_join(sender, NULL);
    check(handlers.handled >= JUMPS, "jumps happen");
    check_free();
}

static void leave_by_context(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    handlers.handled++;
    swapcontext(&handlers.program, &handlers.elsewhere);
}

static void elsewhere(void)
{
    for (;;) {
        check(pwrite(handlers.fd, handlers.bytes, 65536, 0) == 65536, "another context writes");
        swapcontext(&handlers.elsewhere, &handlers.program);
    }
}

static void contexts(void)
{
    int signal = SIGUSR1;
    serve();
    getcontext(&handlers.elsewhere);
    sigaddset(&handlers.elsewhere.uc_sigmask, signal);
    handlers.elsewhere.uc_stack = (stack_t){.ss_sp = handlers.alternate, .ss_size = ALTERNATE};
    makecontext(&handlers.elsewhere, elsewhere, 0);
    set(signal, leave_by_context, 0, 0);
    pthread_t sender = start(send_often, &signal);
    for (int i = 0; i < 1500 || handlers.handled <= 20; i++)
        check(use_file(), "the program writes");
    handlers.sending = false;
    pthread_join(sender, NULL);
    check(handlers.handled > 20, "contexts change");
    check_free();
}

/* ---- the end of a thread in a handler ---- */

static void end_thread(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    pthread_exit(NULL);
}

static void *use_until_end(void *arg)
{
    while (!arg) {
        use_file();
        (void)!write(handlers.fd, handlers.bytes, 4096);
        fsync(handlers.fd);
    }
    return NULL;
}

static void ends(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return; /* its runtime holds locks while a thread begins */
#endif
    serve();
    set(SIGUSR1, end_thread, 0, 0);
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, use_until_end, NULL) != 0)
            exit(EXIT_FAILURE);
        pause_us(200 + i * 13 % 500);
        pthread_kill(thread, SIGUSR1);
        check(pthread_join(thread, NULL) == 0, "a thread ends in a handler");
        lseek(handlers.fd, 0, SEEK_SET);
    }
    check_free();
}

/* ---- calls that wait ---- */

static void *signal_later(void *arg)
{
    while (handlers.sending) { /* it may come before the call waits */
        pause_us(50000);
        pthread_kill(handlers.target, *(int *)arg);
    }
    return NULL;
}

static void waits(void)
{
    int signal = SIGUSR1;
    int release[2];
    int ready[2];
    char byte;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    char fifo[160];
    serve();
    set(signal, count, 0, 0);
    check(pipe(release) == 0 && pipe(ready) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) { /* holds the lock until the parent has been interrupted */
        close(release[1]);
        bool held = fcntl(handlers.fd, F_SETLK, &lock) == 0 && write(ready[1], "x", 1) == 1;
        (void)!read(release[0], &byte, 1);
        _exit(held ? 0 : 1);
    }
    check(read(ready[0], &byte, 1) == 1, "the lock is taken");
    pthread_t sender = start(signal_later, &signal);
    errno = 0;
    check(fcntl(handlers.fd, F_SETLKW, &lock) == -1 && errno == EINTR && handlers.handled >= 1,
          "waiting for a lock is interrupted");
    handlers.sending = false;
    pthread_join(sender, NULL);
    check(write(release[1], "x", 1) == 1, "release");
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the lock was held");

    snprintf(fifo, sizeof fifo, "%s.fifo", handlers.path);
    check(mkfifo(fifo, 0600) == 0, "mkfifo");
    sender = start(signal_later, &signal);
    errno = 0;
    check(open(fifo, O_WRONLY | O_TRUNC) == -1 && errno == EINTR && handlers.handled >= 2,
          "waiting in open is interrupted");
    handlers.sending = false;
    pthread_join(sender, NULL);
    unlink(fifo);
}

/* The same where there is one thread, so that the core opens. */
static void waits_alone(void)
{
    char fifo[160];
    const struct itimerval soon = {.it_interval = {.tv_usec = 50000}, .it_value = {.tv_usec = 50000}};
    const struct itimerval never = {.it_value = {.tv_usec = 0}};
    serve();
    set(SIGALRM, count, 0, 0);
    snprintf(fifo, sizeof fifo, "%s.fifo", handlers.path);
    check(mkfifo(fifo, 0600) == 0, "mkfifo");
    setitimer(ITIMER_REAL, &soon, NULL);
    errno = 0;
    check(open(fifo, O_WRONLY) == -1 && errno == EINTR && handlers.handled >= 1, "waiting in open is interrupted");
    setitimer(ITIMER_REAL, &never, NULL);
    unlink(fifo);
    check(use_file(), "the file is served");
}

/* ---- what sigaction tells ---- */

static void other(int signal)
{
    (void)signal;
}

static void told_as_set(void)
{
    static const int flags[] = {0, SA_RESTART, SA_NODEFER | SA_ONSTACK, SA_NOCLDSTOP | SA_NOCLDWAIT, (int)SA_RESETHAND};
    struct sigaction old;
    serve();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        set(SIGCHLD, count, flags[i], SIGHUP);
        check(sigaction(SIGCHLD, NULL, &old) == 0 && old.sa_sigaction == count && sigismember(&old.sa_mask, SIGHUP) &&
                  (old.sa_flags & ~0x04000000) == (flags[i] | SA_SIGINFO),
              "an action is told as it was set");
        check(signal(SIGCHLD, other) == (void (*)(int))(uintptr_t)count, "signal tells the handler before");
        check(sigaction(SIGCHLD, NULL, &old) == 0 && old.sa_handler == other && !(old.sa_flags & SA_SIGINFO),
              "signal sets no SA_SIGINFO");
    }
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } raw;
    check(syscall(SYS_rt_sigaction, SIGCHLD, NULL, &raw, 8) == 0 && raw.handler == other, "syscall tells it");
    check(syscall(SYS_rt_sigaction, SIGUSR2, &raw, NULL, 8) == 0 && sigaction(SIGUSR2, NULL, &old) == 0 &&
              old.sa_handler == other,
          "syscall sets it");
    check(signal(SIGKILL, other) == SIG_ERR && errno == EINVAL, "SIGKILL");
    check(signal(SIGUSR2, SIG_IGN) == other && signal(SIGUSR2, SIG_DFL) == SIG_IGN, "SIG_IGN");
}

static void children(void)
{
    int status;
    struct sigaction old;
    serve();
    set(SIGUSR1, count, 0, 0);
    pid_t child = vfork();
    if (child == 0) {
        for (int i = 0; i < 10; i++)
            signal(SIGUSR1, other);
        _exit(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == other ? 0 : 1);
    }
    check(waitpid(child, &status, 0) == child && status == 0, "a vfork child sets a handler");
    check(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == count, "which its parent does not see");
    raise(SIGUSR1);
    check(handlers.handled == 1, "the parent's handler is called");
    child = fork();
    if (child == 0) {
        raise(SIGUSR1);
        bool inherited = handlers.handled == 2;
        signal(SIGUSR1, other);
        raise(SIGUSR1);
        _exit(inherited && handlers.handled == 2 ? 0 : 1);
    }
    check(waitpid(child, &status, 0) == child && status == 0, "a forked child inherits it and sets its own");
    raise(SIGUSR1);
    check(handlers.handled == 2, "the parent's is still there");
}

/* ---- SIGSEGV that somebody sends ---- */

static void sent(int signal, siginfo_t *info, void *context)
{
    (void)context;
    handlers.handled++;
    check(signal == SIGSEGV && info->si_code == SI_TKILL && info->si_pid == handlers.process, "who sent SIGSEGV");
    check(pwrite(handlers.fd, handlers.bytes, BYTES, 0) == BYTES, "a handler of SIGSEGV uses the file");
}

static void sent_segv(void)
{
    int signal = SIGSEGV;
    serve();
    set(signal, sent, 0, 0);
    pthread_t sender = start(send_often, &signal);
    for (int i = 0; i < 1500 || handlers.handled <= 20; i++) {
        check(use_file(), "the program writes");
        check(mask_is_empty(), "the mask of the program");
    }
    handlers.sending = false;
    pthread_join(sender, NULL);
    check(handlers.handled > 20, "SIGSEGV is handled");
}

/* ---- programs that live by faults ---- */

static char *volatile nowhere = (char *)16;
static char *page; /* nobody may touch it, until a handler says so */

static struct sigaction behind; /* the action that the second library found */
static volatile int first_called;

static void first_library(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    first_called++;
    check(info->si_addr == page, "the address of the fault");
    check(pwrite(handlers.fd, handlers.bytes, 4096, 0) == 4096, "a handler of a fault uses the file");
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void second_library(int signal, siginfo_t *info, void *context)
{
    handlers.handled++;
    behind.sa_sigaction(signal, info, context);
}

static void fault_and_use(int first, int second)
{
    int before = first_called + handlers.handled;
    mprotect(page, 4096, PROT_NONE);
    errno = 0;
    check(pwrite(handlers.fd, page, 100, 0) == -1 && errno == EFAULT, "a bad buffer");
    check(first_called + handlers.handled == before, "no handler is called for it");
    *(volatile char *)page = 1;
    check(first_called == first && handlers.handled == second, "the handlers are called for a fault of the program");
    check(use_file(), "the file is served");
}

/* Handlers that are there before the first managed file, and ones that come later and call those. */
static void chained(void)
{
    struct sigaction second = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set(SIGSEGV, first_library, 0, 0);
    serve();
    fault_and_use(1, 0);
    fault_and_use(2, 0);
    second.sa_sigaction = second_library;
    check(sigaction(SIGSEGV, &second, &behind) == 0 && behind.sa_sigaction == first_library,
          "the second finds the first");
    fault_and_use(3, 1);
    fault_and_use(4, 2);
    check(sigaction(SIGSEGV, &behind, NULL) == 0, "and goes again");
    fault_and_use(5, 2);
}

/* As a virtual machine's threads: they look at a page all the time, and stop in the handler when it is taken away. */
static volatile int went_on;

static void stop_at_page(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    check(info->si_addr == page, "the address of the page");
    handlers.handled++;
    while (!handlers.last)
        pause_us(10);
    mprotect(page, 4096, PROT_READ);
    went_on++;
}

static void *look_and_use(void *arg)
{
    for (int i = 0; handlers.sending; i++) {
        if (pwrite(handlers.fd, handlers.bytes, 8192, (i % 64) * 4096) != 8192 ||
            pread(handlers.fd, nowhere, 100, 0) != -1 || errno != EFAULT)
            return NULL;
        (void)*(volatile char *)page;
    }
    return arg;
}

static void safepoints(void)
{
    void *done = NULL;
    int anything;
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    serve();
    set(SIGSEGV, stop_at_page, SA_RESTART | SA_ONSTACK, 0);
    handlers.sending = true;
    pthread_t thread;
    if (pthread_create(&thread, NULL, look_and_use, &anything) != 0)
        exit(EXIT_FAILURE);
    for (int i = 1; i <= 300; i++) {
        handlers.last = 0;
        mprotect(page, 4096, PROT_NONE);
        while (handlers.handled < i)
            pause_us(10);
        check(use_file(), "the program writes while another thread is stopped");
        handlers.last = 1;
        while (went_on < i)
            pause_us(10);
    }
    handlers.sending = false;
    handlers.last = 1;
    mprotect(page, 4096, PROT_READ);
    check(pthread_join(thread, &done) == 0 && done, "the thread uses the file and gets EFAULT for a bad buffer");
}

int main(void)
{
    static const struct {
        const char *name;
        void (*part)(void);
    } parts[] = {{"values", values},
                 {"once", once},
                 {"nested", nested},
                 {"jumps", jumps},
                 {"contexts", contexts},
                 {"ends of threads", ends},
                 {"waits", waits},
                 {"waits alone", waits_alone},
                 {"told as set", told_as_set},
                 {"children", children},
                 {"sent SIGSEGV", sent_segv},
                 {"chained handlers", chained},
                 {"safepoints", safepoints}};
    snprintf(handlers.root, sizeof handlers.root, "/dev/shm/nvmmio-handlers.XXXXXX");
    if (!mkdtemp(handlers.root))
        return EXIT_FAILURE;
    snprintf(handlers.path, sizeof handlers.path, "%s/file", handlers.root);
    setenv("NVMMIO_ROOT", handlers.root, 1);
    handlers.bytes = calloc(1, BYTES);
    handlers.alternate = mmap(NULL, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool right = handlers.bytes != NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        right = child_runs(parts[i].name, parts[i].part) && right;
    clean_tree(handlers.root);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
