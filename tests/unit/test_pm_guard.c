/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_pm_guard.c — pm/pm_guard: faults inside a guard come back as a result, all others as if we were not there.
 *
 * All is played in child processes, each with other earlier actions, since CMocka has handlers of its own.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "pm/pm.h"
#include "pm/pm_guard.h"
#include "unit/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char *truncated; /* a mapping of an empty file: SIGBUS */
static char *forbidden; /* PROT_NONE: SIGSEGV */

static int set_up(void **state)
{
    (void)state;
    int fd = unit_file(0);
    truncated = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    forbidden = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    close(fd);
    return truncated == MAP_FAILED || forbidden == MAP_FAILED;
}

struct outcome {
    int faulted, signal;
    uintptr_t address;
};

/* A guarded copy as callers write it; `copied` shows that locals survive. */
__attribute__((noinline)) static struct outcome copy_guarded(char *to, const char *from, size_t n)
{
    struct pm_guard guard;
    struct outcome outcome = {0};
    volatile int copied = 41;
    if (!pm_guard_begin(&guard)) {
        copied = 42;
        memcpy(to, from, n);
        pm_guard_end();
    } else {
        outcome.faulted = copied;
        outcome.signal = guard.signal;
        outcome.address = guard.address;
    }
    return outcome;
}

__attribute__((noinline)) static struct outcome pm_copy_guarded(char *to, const char *from, size_t n)
{
    struct pm_guard guard;
    struct outcome outcome = {0};
    if (!pm_guard_begin(&guard)) {
        pm_copy(to, from, n);
        pm_guard_end();
    } else {
        outcome = (struct outcome){42, guard.signal, guard.address};
    }
    return outcome;
}

/* Loads and stores, through libc and libpmem, at bad addresses of every kind: told with signal and address. */
static void play_faults(void)
{
    static char good[8192];
    char *wild = (char *)(uintptr_t)UINT64_C(0x1234567890abcdef); /* not canonical: general protection */
    unit_check(!pm_guard_install());
    unit_check(!pm_guard_install());
    for (int i = 0; i < 1000; i++) {
        struct outcome o = copy_guarded(good, truncated + 4096, 4096);
        unit_check(o.faulted == 42 && o.signal == SIGBUS);
        unit_check(o.address >= (uintptr_t)truncated + 4096 && o.address < (uintptr_t)truncated + 8192);
        o = copy_guarded(forbidden, good, 100);
        unit_check(o.faulted == 42 && o.signal == SIGSEGV);
        unit_check(o.address >= (uintptr_t)forbidden && o.address < (uintptr_t)forbidden + 100);
        unit_check(pm_copy_guarded(truncated, good, 4096).signal == SIGBUS);
        unit_check(pm_copy_guarded(good, forbidden, 777).signal == SIGSEGV);
        unit_check(copy_guarded(good, wild, 8).signal == SIGSEGV);
        unit_check(copy_guarded(good, good + 4096, 4096).faulted == 0);
        unit_check(!pm_guard_armed);
    }
}

/* The signal mask does not change by leaving the handler with a jump. */
static void play_mask(void)
{
    static char good[64];
    sigset_t before, after;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    sigprocmask(SIG_BLOCK, &before, NULL);
    sigprocmask(SIG_BLOCK, NULL, &before);
    unit_check(!pm_guard_install());
    unit_check(copy_guarded(good, truncated, 64).faulted == 42);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int s = 1; s < NSIG; s++)
        unit_check(sigismember(&before, s) == sigismember(&after, s));
}

static void *fault_often(void *arg)
{
    static char good[4][64];
    for (int i = 0; i < 2000; i++) {
        int expected = i % 2 ? SIGBUS : SIGSEGV;
        unit_check(copy_guarded(good[(uintptr_t)arg], i % 2 ? truncated : forbidden, 64).signal == expected);
    }
    return NULL;
}

/* Each thread has a guard of its own. */
static void play_threads(void)
{
    pthread_t thread[4];
    unit_check(!pm_guard_install());
    for (uintptr_t i = 0; i < 4; i++)
        unit_check(!pthread_create(&thread[i], NULL, fault_often, (void *)i));
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
}

static void test_inside(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_faults), 0);
    unit_expect_exit(unit_in_child(play_mask), 0);
    unit_expect_exit(unit_in_child(play_threads), 0);
}

static void install_over(int signal, int flags, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    if (sigaction(signal, &action, NULL) || pm_guard_install())
        _exit(98);
}

static char read_byte(const char *p)
{
    return *(const volatile char *)p;
}

static void play_default_segv(void)
{
    if (pm_guard_install())
        return;
    read_byte(forbidden);
}

static void play_default_bus(void)
{
    if (pm_guard_install())
        return;
    read_byte(truncated);
}

static void play_default_sent(void)
{
    if (pm_guard_install())
        return;
    raise(SIGBUS);
}

/* A signal that somebody sends while a guard is armed is not a fault of the copy. */
static void play_sent_in_guard(void)
{
    struct pm_guard guard;
    if (pm_guard_install())
        return;
    if (!pm_guard_begin(&guard)) {
        raise(SIGSEGV);
        pm_guard_end();
    }
}

static void test_default(void **state)
{
    (void)state;
    unit_expect_signal(unit_in_child(play_default_segv), SIGSEGV);
    unit_expect_signal(unit_in_child(play_default_bus), SIGBUS);
    unit_expect_signal(unit_in_child(play_default_sent), SIGBUS);
    unit_expect_signal(unit_in_child(play_sent_in_guard), SIGSEGV);
}

static void play_ignored_fault(void)
{
    signal(SIGSEGV, SIG_IGN);
    if (pm_guard_install())
        return;
    read_byte(forbidden);
}

static void play_ignored_sent(void)
{
    signal(SIGSEGV, SIG_IGN);
    if (pm_guard_install())
        return;
    raise(SIGSEGV);
    raise(SIGSEGV);
    _exit(7);
}

static void test_ignored(void **state)
{
    (void)state;
    unit_expect_signal(unit_in_child(play_ignored_fault), SIGSEGV);
    unit_expect_exit(unit_in_child(play_ignored_sent), 7);
}

static sigjmp_buf back;
static volatile sig_atomic_t calls;

/* What the application's handler must find: number, info, context, its mask, its own signal blocked. */
static void handler_info(int signal, siginfo_t *info, void *context)
{
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (signal != SIGSEGV || info->si_signo != SIGSEGV || info->si_addr != forbidden + 17 || !context)
        _exit(2);
    if (!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGSEGV) || sigismember(&mask, SIGUSR2))
        _exit(3);
    if (pm_guard_armed)
        _exit(4);
    calls++;
    siglongjmp(back, 1);
}

static void play_handler(void)
{
    install_over(SIGSEGV, SA_SIGINFO, handler_info);
    for (volatile int i = 0; i < 3; i++) {
        if (!sigsetjmp(back, 1))
            read_byte(forbidden + 17);
        static char good[64];
        if (copy_guarded(good, forbidden, 64).signal != SIGSEGV) /* the guard goes on working */
            _exit(5);
    }
    _exit(calls == 3 ? 0 : 6);
}

static void handler_repair(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    if (sigismember(&mask, SIGSEGV)) /* SA_NODEFER */
        _exit(2);
    mprotect(forbidden, 4096, PROT_READ | PROT_WRITE);
    calls++;
}

static void play_repair(void)
{
    install_over(SIGSEGV, SA_SIGINFO | SA_NODEFER, handler_repair);
    if (read_byte(forbidden) || calls != 1)
        _exit(3);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    _exit(sigismember(&mask, SIGUSR1) ? 4 : 0); /* the mask of the handler ended with it */
}

static void play_reset(void)
{
    install_over(SIGSEGV, SA_SIGINFO | SA_RESETHAND, handler_repair);
    read_byte(forbidden); /* once to the handler (RESETHAND alone does not imply NODEFER) */
    mprotect(forbidden, 4096, PROT_NONE);
    read_byte(forbidden); /* then the default */
}

static void handler_reset(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    mprotect(forbidden, 4096, PROT_READ | PROT_WRITE);
}

static void play_reset_once(void)
{
    install_over(SIGSEGV, SA_SIGINFO | SA_RESETHAND, handler_reset);
    read_byte(forbidden);
    mprotect(forbidden, 4096, PROT_NONE);
    read_byte(forbidden);
}

static char *alternate;
static const size_t alternate_size = 65536;

static bool on_alternate(const void *local)
{
    return (const char *)local >= alternate && (const char *)local < alternate + alternate_size;
}

static void handler_on_alternate(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    char here;
    _exit(on_alternate(&here) ? 11 : 12);
}

static void use_alternate(int flags)
{
    alternate = malloc(alternate_size);
    stack_t stack = {.ss_sp = alternate, .ss_size = alternate_size, .ss_flags = flags};
    if (sigaltstack(&stack, NULL))
        _exit(97);
}

static void play_onstack(void)
{
    use_alternate(0);
    install_over(SIGSEGV, SA_SIGINFO | SA_ONSTACK, handler_on_alternate);
    read_byte(forbidden);
}

static void play_not_onstack(void)
{
    use_alternate(0);
    install_over(SIGSEGV, SA_SIGINFO, handler_on_alternate);
    read_byte(forbidden);
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

/* After a guarded fault the alternate stack is there as before. */
static void play_autodisarm(void)
{
    static char good[64];
    use_alternate((int)SS_AUTODISARM);
    if (pm_guard_install())
        return;
    for (int i = 0; i < 3; i++) {
        stack_t now;
        if (copy_guarded(good, forbidden, 64).signal != SIGSEGV || sigaltstack(NULL, &now))
            _exit(2);
        if (now.ss_sp != alternate || now.ss_flags & SS_DISABLE)
            _exit(3);
    }
    _exit(0);
}

/* TSan puts handlers and masks of its own between the kernel and the program. */
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN true
#endif
#endif
#ifndef WITH_TSAN
#define WITH_TSAN false
#endif

static void test_handlers(void **state)
{
    (void)state;
    if (WITH_TSAN)
        skip();
    unit_expect_exit(unit_in_child(play_handler), 0);
    unit_expect_exit(unit_in_child(play_repair), 0);
    unit_expect_exit(unit_in_child(play_reset), 2);
    unit_expect_signal(unit_in_child(play_reset_once), SIGSEGV);
    unit_expect_exit(unit_in_child(play_onstack), 11);
    unit_expect_exit(unit_in_child(play_not_onstack), 12);
    unit_expect_exit(unit_in_child(play_autodisarm), 0);
}

static void handler_old_style(int signal)
{
    _exit(signal == SIGBUS ? 21 : 22);
}

static void play_old_style(void)
{
    signal(SIGBUS, handler_old_style);
    if (pm_guard_install())
        return;
    raise(SIGBUS);
}

/* An installation that fails halfway leaves the earlier actions and can be repeated. */
static void play_install_fails(void)
{
    for (unsigned nth = 1; nth <= 4; nth++) {
        fault_start();
        fault_set(SYS_rt_sigaction, nth, EPERM, false);
        int result = pm_guard_install();
        fault_stop();
        struct sigaction bus, segv;
        if (result != -EPERM || sigaction(SIGBUS, NULL, &bus) || sigaction(SIGSEGV, NULL, &segv))
            _exit(2);
        if (bus.sa_handler != SIG_DFL || segv.sa_handler != SIG_DFL)
            _exit(3);
    }
    static char good[64];
    if (pm_guard_install() || copy_guarded(good, truncated, 64).signal != SIGBUS)
        _exit(4);
    _exit(0);
}

static void test_more(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_old_style), 21);
    unit_expect_exit(unit_in_child(play_install_fails), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside),   cmocka_unit_test(test_default), cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_handlers), cmocka_unit_test(test_more),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
