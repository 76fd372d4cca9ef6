/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * inside.h — what it means for a thread to be inside the library: no handler of the application runs, no cancellation
 * strikes, and a fault of ours is not blocked. Layer base; called by api around every call, by pm and file.
 *
 * Between inside_enter and inside_leave a signal that has a handler of the application is put off by inside_defer: it
 * is raised again, with all that it carries, and every asynchronous signal is blocked from there to inside_leave, which
 * gives the thread its mask back. So a handler never finds locks of its own thread. Threads that block SIGSEGV or
 * SIGBUS, which would make a bad buffer deadly, get them unblocked meanwhile.
 *
 * Who calls the handlers must ask inside_defer first: pm_guard does for SIGSEGV and SIGBUS, the preload library for all
 * others. With the API alone nobody does for those.
 */
#ifndef BASE_INSIDE_H
#define BASE_INSIDE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

/* A SIGSEGV or SIGBUS that somebody sent: it cannot wait blocked, as the others do. */
struct inside_held {
    int signal; /* 0: none */
    int code;
    uint64_t word[2]; /* of siginfo's union, enough for each code that is not a fault's */
};

/* What is known of the thread's signal mask and cancellation type. */
enum inside_state {
    INSIDE_UNSURE,  /* nothing: the next call asks */
    INSIDE_SURE,    /* neither SIGSEGV nor SIGBUS is blocked, and cancellation is not asynchronous */
    INSIDE_BLOCKED, /* one of the two was blocked when we asked last, with the mask `mask` */
    INSIDE_WINDOW,  /* sure when a window was opened, and nothing has happened since: a call in it asks */
};

enum inside_due {
    INSIDE_DUE_MASK = 1,   /* the signal mask is not the application's: `mask` is */
    INSIDE_DUE_CANCEL = 2, /* the application's cancellation type is asynchronous */
};

enum { INSIDE_HELD = 2 }; /* SIGBUS, SIGSEGV */

/* Written by its own thread and by handlers that run in it, so that program order is enough; atomic for what the handler
 * and the code that it interrupts both touch. */
struct inside {
    _Atomic unsigned depth; /* calls that the thread is in */
    _Atomic uint8_t state;  /* enum inside_state */
    _Atomic uint8_t due;    /* enum inside_due, for the outermost inside_leave */
    uint64_t mask;
    struct inside_held held[INSIDE_HELD];
};
extern __thread struct inside inside_thread __attribute__((tls_model("initial-exec")));

/* The slow parts of the two below. */
void inside_prepare(void);
void inside_finish(void);

static inline void inside_set_depth(unsigned depth)
{
    /* The fences order the compiler alone: a handler of this thread sees what program order says. */
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&inside_thread.depth, depth, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline unsigned inside_depth(void)
{
    return atomic_load_explicit(&inside_thread.depth, memory_order_relaxed);
}

/* Calls nest. Before the first lock. */
static inline void inside_enter(void)
{
    unsigned depth = inside_depth();
    inside_set_depth(depth + 1);
    if (__builtin_expect(atomic_load_explicit(&inside_thread.state, memory_order_relaxed) != INSIDE_SURE, 0) && !depth)
        inside_prepare();
}

/* Behind the last unlock. Handlers that were put off run in here; they may leave by a jump, or end the thread. */
static inline void inside_leave(void)
{
    unsigned depth = inside_depth() - 1;
    inside_set_depth(depth);
    /* While the mask is due all asynchronous signals are blocked, and inside_defer holds those of faults: no handler runs
     * between these two. */
    if (__builtin_expect(atomic_load_explicit(&inside_thread.due, memory_order_relaxed), 0) && !depth)
        inside_finish();
}

/* In a handler, before the application's: true if the thread is inside; the signal then comes again when it has left. */
bool inside_defer(int signal, siginfo_t *info, void *context);
/* In a handler that is about to return into the library: a signal that was put off meanwhile stays put off. */
void inside_keep(void *context);

/* The application may have changed this thread's mask or cancellation type. */
static inline void inside_doubt(void)
{
    atomic_store_explicit(&inside_thread.state, INSIDE_UNSURE, memory_order_relaxed);
}

/* Around a system call of the application's that may wait for long and that a signal must interrupt: handlers run and
 * cancellation strikes, so nothing may be held. */
struct inside_window {
    unsigned depth;
    int cancel_type; /* or INSIDE_UNCHANGED */
};
enum { INSIDE_UNCHANGED = -1 };
void inside_open_threaded(struct inside_window *window);
void inside_shut_threaded(const struct inside_window *window);
void inside_shut_unsure(void);

static inline struct inside_window inside_open(void)
{
    struct inside_window window = {.depth = inside_depth(), .cancel_type = INSIDE_UNCHANGED};
    inside_set_depth(0); /* first: what is put off before it is due now, what comes behind it runs */
    if (__builtin_expect(atomic_load_explicit(&inside_thread.due, memory_order_relaxed), 0))
        inside_finish();
    if (__builtin_expect(!__libc_single_threaded, 0))
        inside_open_threaded(&window);
    return window;
}

static inline void inside_shut(struct inside_window window)
{
    if (!window.depth)
        return;
    if (__builtin_expect(window.cancel_type != INSIDE_UNCHANGED, 0))
        inside_shut_threaded(&window);
    inside_set_depth(window.depth); /* no handler runs behind it, which could leave a doubt */
    if (__builtin_expect(atomic_load_explicit(&inside_thread.state, memory_order_relaxed) != INSIDE_SURE, 0))
        inside_shut_unsure();
}

/* Blocks all that inside_defer blocks, for paths that are not entered by a call: *mask is for the second. */
void inside_block(uint64_t *mask);
void inside_unblock(const uint64_t *mask);

#endif
