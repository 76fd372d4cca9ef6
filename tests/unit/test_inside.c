/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_inside.c — promises of base/inside.h: a signal that arrives inside comes again, once and whole, when the thread is
 * out; masks and cancellation types are then the application's; a window lets signals through.
 *
 * In children: CMocka has handlers of its own.
 */
#include "unit/unit.h"

#include "base/inside.h"
#include "base/tsan.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { VALUE = 4711 };

static volatile int handled;      /* by the application's part of the handler */
static volatile int put_off;      /* by inside_defer */
static volatile int value;        /* of the last signal handled */
static volatile int nested;       /* signal that comes when a handler has just begun */
static volatile bool masked_term; /* SIGTERM was blocked meanwhile */

static bool is_blocked(int signal)
{
    sigset_t now;
    unit_check(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    return sigismember(&now, signal);
}

/* As a door of the preload library, or pm_guard. */
static void door(int signal, siginfo_t *info, void *context)
{
    if (nested) {
        int next = nested;
        nested = 0;
        raise(next);
    }
    if (inside_defer(signal, info, context)) {
        put_off++;
        return;
    }
    handled++;
    value = info->si_value.sival_int;
    masked_term = is_blocked(SIGTERM);
    inside_enter(); /* a handler calls the library, too */
    inside_leave();
}

static void set(int signal)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = door;
    sigemptyset(&action.sa_mask);
    unit_check(sigaction(signal, &action, NULL) == 0);
}

static void send_value(int signal)
{
    unit_check(sigqueue(getpid(), signal, (union sigval){.sival_int = VALUE}) == 0);
}

static void play_deferred(int signal)
{
    set(signal);
    send_value(signal);
    unit_check(handled == 1 && put_off == 0 && value == VALUE); /* outside: at once */
    value = 0;
    inside_enter();
    inside_enter();
    send_value(signal);
    unit_check(handled == 1 && put_off == 1 && is_blocked(SIGTERM) && !is_blocked(SIGSEGV) && !is_blocked(SIGBUS));
    inside_leave();
    unit_check(handled == 1); /* still inside */
    inside_leave();
    unit_check(handled == 2 && put_off == 1 && value == VALUE && !masked_term);
    unit_check(!is_blocked(SIGTERM) && !is_blocked(signal));
}

__attribute__((unused)) static void play_usual(void)
{
    play_deferred(SIGUSR1);
}

__attribute__((unused)) static void play_real_time(void)
{
    play_deferred(SIGRTMIN + 1);
}

__attribute__((unused)) static void play_fault_signal(void)
{
    play_deferred(SIGSEGV);
}

/* Between the moment that the thread is out and the moment that its mask is its own, a fault's signal may still come: it
 * must not take away what is due. */
__attribute__((unused)) static void play_leaving(void)
{
    set(SIGUSR1);
    set(SIGSEGV);
    inside_enter();
    send_value(SIGUSR1);
    inside_set_depth(0);
    send_value(SIGSEGV);
    unit_check(handled == 0 && put_off == 2);
    inside_finish();
    unit_check(handled == 2 && put_off == 2 && value == VALUE && !is_blocked(SIGTERM) && !is_blocked(SIGSEGV));
}

/* A signal that interrupts the handler of another one, before that has been put off: neither's mask stays. */
__attribute__((unused)) static void play_nested(void)
{
    static const int pairs[][2] = {{SIGUSR1, SIGUSR2}, {SIGUSR1, SIGSEGV}, {SIGSEGV, SIGUSR1}, {SIGBUS, SIGSEGV}};
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        set(pairs[i][0]);
        set(pairs[i][1]);
        inside_enter();
        nested = pairs[i][1];
        raise(pairs[i][0]);
        inside_leave();
        unit_check(handled == 2 * (int)i + 2 && put_off == handled && !is_blocked(SIGTERM));
        unit_check(!is_blocked(pairs[i][0]) && !is_blocked(pairs[i][1]));
    }
}

/* A thread that blocks everything: not the signals of faults while it is inside. One that is sent waits. */
static void play_blocked(void)
{
    sigset_t all;
    sigset_t pending;
    sigfillset(&all);
    set(SIGSEGV);
    for (int i = 0; i < 3; i++) {
        unit_check(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
        inside_doubt(); /* as the preload library does */
        for (int k = 0; k < 3; k++) {
            inside_enter();
            unit_check(!is_blocked(SIGSEGV) && !is_blocked(SIGBUS) && is_blocked(SIGTERM));
            inside_leave();
            unit_check(is_blocked(SIGSEGV) && is_blocked(SIGBUS) && is_blocked(SIGTERM));
        }
        raise(SIGSEGV);
        inside_enter();
        inside_leave();
        sigpending(&pending);
        unit_check(handled == i && sigismember(&pending, SIGSEGV));
        sigemptyset(&all);
        unit_check(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
        unit_check(handled == i + 1);
        inside_enter();
        inside_leave();
        unit_check(!is_blocked(SIGSEGV) && !is_blocked(SIGTERM));
        sigfillset(&all);
    }
}

static int cancel_type(void)
{
    int type;
    int same;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    pthread_setcanceltype(type, &same);
    return type;
}

static void play_cancel_type(void)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (int i = 0; i < 3; i++) {
        inside_enter();
        unit_check(cancel_type() == PTHREAD_CANCEL_DEFERRED);
        inside_leave();
        unit_check(cancel_type() == PTHREAD_CANCEL_ASYNCHRONOUS);
    }
}

__attribute__((unused)) static void play_window(void)
{
    set(SIGUSR1);
    inside_enter();
    send_value(SIGUSR1);
    unit_check(handled == 0);
    struct inside_window window = inside_open();
    unit_check(handled == 1 && !is_blocked(SIGTERM)); /* what waited came */
    send_value(SIGUSR1);
    unit_check(handled == 2);
    inside_shut(window);
    send_value(SIGUSR1);
    unit_check(handled == 2 && put_off == 2);
    inside_leave();
    unit_check(handled == 3);
    window = inside_open(); /* outside: nothing happens */
    inside_shut(window);
    unit_check(inside_depth() == 0);
}

#define TEST_OF(name)                                                                                                  \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        unit_expect_exit(unit_in_child(play_##name), 0);                                                               \
    }
#ifndef TSAN_ON
TEST_OF(usual)
TEST_OF(real_time)
TEST_OF(fault_signal)
TEST_OF(leaving)
TEST_OF(nested)
TEST_OF(window)
#endif
TEST_OF(blocked)
TEST_OF(cancel_type)

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef TSAN_ON /* the thread sanitizer puts signals off by itself */
        cmocka_unit_test(test_usual),   cmocka_unit_test(test_real_time),   cmocka_unit_test(test_fault_signal),
        cmocka_unit_test(test_leaving), cmocka_unit_test(test_window),      cmocka_unit_test(test_nested),
#endif
        cmocka_unit_test(test_blocked), cmocka_unit_test(test_cancel_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
