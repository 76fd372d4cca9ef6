/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * thread.c — starts threads as thread.h says. Layer base.
 */
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* The creator's mask stays as it is: a signal that was put off while it is another one would be taken back to that. */
int thread_start(void *(*run)(void *arg), void *arg, size_t stack_bytes)
{
    sigset_t all;
    pthread_attr_t attr;
    pthread_t thread;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    int saved = errno;
    int error = pthread_attr_init(&attr);
    if (!error) {
        pthread_attr_setstacksize(&attr, stack_bytes);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        error = pthread_attr_setsigmask_np(&attr, &all);
        if (!error)
            error = pthread_create(&thread, &attr, run, arg);
        pthread_attr_destroy(&attr);
    }
    errno = saved; /* libc's, of a call of the application's that goes well */
    return -error;
}
