/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * threads.c — promise: threads may be cancelled at any moment in calls on managed files, deferred and asynchronously, and
 * nothing stays locked; a bad buffer is EFAULT in a thread that blocks SIGSEGV and SIGBUS, whose mask stays as it is; every
 * call fits a small stack.
 *
 * Run under the preload library and without it: what it checks is what the kernel does.
 */
#include "child.h"
#include "clean.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { BYTES = 256 * 1024, PAGE = 4096, CANCELLED = 400 };

struct threads {
    char root[64];
    char path[128];
    int fd; /* of a file that is served in user space */
    char *bytes;
    char *bad; /* a page that nobody may touch */
    volatile int handled;
    volatile bool right;
    sigjmp_buf back;
};
static struct threads threads;

static void serve(void)
{
    threads.fd = open(threads.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (threads.fd < 0 || pwrite(threads.fd, threads.bytes, BYTES, 0) != BYTES || fsync(threads.fd) != 0 ||
        pwrite(threads.fd, threads.bytes, BYTES, 0) != BYTES)
        exit(EXIT_FAILURE);
}

static void pause_us(unsigned us)
{
    const struct timespec pause = {.tv_nsec = (long)us * 1000};
    nanosleep(&pause, NULL);
}

/* ---- cancellation ---- */

static void *use_for_ever(void *arg)
{
    int type = *(int *)arg;
    char buffer[PAGE];
    struct stat st;
    pthread_setcanceltype(type, NULL);
    for (unsigned i = 0;; i++) {
        off_t at = (off_t)(i % 32) * PAGE;
        (void)!pwrite(threads.fd, threads.bytes, 8 * PAGE, at);
        (void)!pread(threads.fd, buffer, sizeof buffer, at);
        if (i % 4 == 0)
            (void)!write(threads.fd, threads.bytes, PAGE);
        if (i % 8 == 0)
            fsync(threads.fd);
        if (i % 16 == 0) {
            lseek(threads.fd, 0, SEEK_SET);
            fstat(threads.fd, &st);
        }
    }
    return NULL;
}

static void cancel_all(int type)
{
    serve();
    for (unsigned i = 0; i < CANCELLED; i++) {
        pthread_t thread;
        void *result = NULL;
        struct timespec limit;
        if (pthread_create(&thread, NULL, use_for_ever, &type) != 0)
            exit(EXIT_FAILURE);
        pause_us(100 + i * 17 % 700);
        pthread_cancel(thread);
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += 10;
        check(pthread_timedjoin_np(thread, &result, &limit) == 0 && result == PTHREAD_CANCELED,
              "a thread is cancelled");
        check(pwrite(threads.fd, threads.bytes, BYTES, 0) == BYTES && lseek(threads.fd, 0, SEEK_SET) == 0 &&
                  write(threads.fd, threads.bytes, PAGE) == PAGE,
              "it leaves nothing locked");
    }
    check(fsync(threads.fd) == 0 && close(threads.fd) == 0, "fsync and close");
}

static void deferred(void)
{
    cancel_all(PTHREAD_CANCEL_DEFERRED);
}

static void asynchronous(void)
{
    cancel_all(PTHREAD_CANCEL_ASYNCHRONOUS);
}

/* The type that a thread set is there again behind a call. */
static void type_stays(void)
{
    int type = -1;
    serve();
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (int i = 0; i < 3; i++)
        check(pwrite(threads.fd, threads.bytes, BYTES, 0) == BYTES, "the program writes");
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    check(type == PTHREAD_CANCEL_ASYNCHRONOUS, "cancellation is asynchronous still");
    check(pwrite(threads.fd, threads.bytes, BYTES, 0) == BYTES, "the program writes");
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    check(type == PTHREAD_CANCEL_DEFERRED, "cancellation is deferred still");
}

/* ---- masks ---- */

static bool mask_is(const sigset_t *want)
{
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    return memcmp(&now, want, sizeof(uint64_t)) == 0; /* the kernel's part */
}

/* A bad buffer is EFAULT, a good one is served, and the mask is what it was. */
static void use_bad(const char *where)
{
    char text[160];
    sigset_t before;
    struct iovec parts[2] = {{threads.bytes, 100}, {threads.bad, 100}};
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    snprintf(text, sizeof text, "%s: a bad buffer", where);
    errno = 0;
    check(pwrite(threads.fd, threads.bad, 100, 0) == -1 && errno == EFAULT, text);
    check(pread(threads.fd, threads.bad, 100, 0) == -1 && errno == EFAULT, text);
    check(pwritev(threads.fd, parts, 2, 0) == 100, text);
    check(pwrite(threads.fd, threads.bad - 50, 100, PAGE) == 50, text);
    check(pwrite(threads.fd, threads.bytes, BYTES, 0) == BYTES, "a good buffer");
    check(mask_is(&before), "the mask after it");
}

static sigset_t full_set(void)
{
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGKILL);
    sigdelset(&set, SIGSTOP);
    return set;
}

static void *blocked_from_start(void *arg)
{
    sigset_t all = full_set();
    (void)arg;
    check(mask_is(&all), "the mask is inherited");
    use_bad("blocked from the start");
    use_bad("blocked from the start, again");
    return NULL;
}

static void *blocked_later(void *arg)
{
    sigset_t all = full_set();
    sigset_t none;
    sigset_t before;
    (void)arg;
    sigemptyset(&none);
    for (int i = 0; i < 3; i++) {
        use_bad("not blocked");
        pthread_sigmask(SIG_SETMASK, &all, &before);
        check(sigisemptyset(&before), "the mask before");
        use_bad("blocked later");
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
    return NULL;
}

static void run_thread(void *run(void *), const pthread_attr_t *attributes)
{
    pthread_t thread;
    if (pthread_create(&thread, attributes, run, NULL) != 0)
        exit(EXIT_FAILURE);
    pthread_join(thread, NULL);
}

static void in_handler(int signal)
{
    (void)signal;
    threads.handled++;
    use_bad("in a handler that masks all");
}

static void from_handler(int signal)
{
    in_handler(signal);
    siglongjmp(threads.back, 1);
}

static void handle(int signal, void handler(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

static void masks(void)
{
    sigset_t all = full_set();
    sigset_t none;
    serve();
    sigemptyset(&none);
    run_thread(blocked_later, NULL);
    handle(SIGUSR1, in_handler, 0);
    handle(SIGUSR2, from_handler, 0);
    handle(SIGSEGV, in_handler, 0);
    use_bad("before");
    raise(SIGUSR1);
    use_bad("after a handler");
    if (sigsetjmp(threads.back, 1) == 0)
        raise(SIGUSR2);
    use_bad("after a jump");
    raise(SIGSEGV);
    use_bad("after a handler of SIGSEGV");
    check(threads.handled == 3, "handlers run");

    pthread_sigmask(SIG_SETMASK, &all, NULL);
    run_thread(blocked_from_start, NULL);
    use_bad("all blocked");
    raise(SIGUSR1);
    raise(SIGSEGV);
    use_bad("with signals that wait");
    check(threads.handled == 3, "blocked signals wait, SIGSEGV too");
    while (threads.handled < 5) /* else waits for ever */
        sigsuspend(&none);
    use_bad("after sigsuspend");
    sigset_t pending;
    sigpending(&pending);
    check(sigisemptyset(&pending), "none is left");
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    use_bad("unblocked again");
}

/* ---- stacks ---- */

/* All that a program does with a file, in one thread: whatever lies below the end of its stack is a fault. */
static void *use_all(void *arg)
{
    struct stat st;
    struct iovec parts[3] = {{threads.bytes, 1000}, {threads.bytes, 9000}, {threads.bytes, 1}};
    (void)arg;
    int fd = open(threads.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int round = 0; round < 3; round++) {
        check(pwrite(fd, threads.bytes, BYTES, 0) == BYTES && fsync(fd) == 0, "pwrite, fsync");
        check(pwritev(fd, parts, 3, 77) == 10001 && writev(fd, parts, 3) == 10001, "vectors");
        check(pwrite(fd, threads.bytes, 100, BYTES + 12345) == 100, "a hole");
        check(pread(fd, threads.bytes, BYTES, 0) == BYTES && preadv(fd, parts, 3, 5) == 10001, "pread");
        check(pwrite(fd, threads.bad, 100, 0) == -1 && pread(fd, threads.bad, 100, 0) == -1, "a bad buffer");
        check(fstat(fd, &st) == 0 && stat(threads.path, &st) == 0, "stat");
        check(ftruncate(fd, BYTES / 2) == 0 && ftruncate(fd, BYTES) == 0 && truncate(threads.path, BYTES / 3) == 0,
              "truncate");
        check(posix_fallocate(fd, 0, BYTES) == 0 &&
                  fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE) == 0,
              "fallocate");
        check(lseek(fd, 0, SEEK_DATA) >= 0 && lseek(fd, 0, SEEK_HOLE) >= 0 && lseek(fd, 0, SEEK_SET) == 0, "lseek");
        int copy = dup(fd);
        check(copy >= 0 && dup2(fd, copy) == copy && close(copy) == 0, "dup");
        check(close(fd) == 0, "close");
        fd = open(threads.path, O_RDWR);
    }
    void *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED && msync(map, BYTES, MS_SYNC) == 0 && munmap(map, BYTES) == 0, "mmap");
    check(close(fd) == 0 && unlink(threads.path) == 0, "unlink");
    threads.right = true;
    return NULL;
}

static void *first_use(void *arg)
{
    return use_all(arg);
}

/* A stack of that size, with a page below it that nobody may touch. */
static void stack_of(size_t size, void *run(void *))
{
    pthread_attr_t attributes;
    char *stack = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(stack, PAGE, PROT_NONE);
    memset(stack + PAGE, 0x5a, size);
    pthread_attr_init(&attributes);
    check(pthread_attr_setstack(&attributes, stack + PAGE, size) == 0, "a stack");
    threads.right = false;
    run_thread(run, &attributes);
    check(threads.right, "the thread comes to its end");
    size_t free_bytes = 0;
    while (free_bytes < size && stack[PAGE + free_bytes] == 0x5a)
        free_bytes++;
    printf("stack of %zu bytes: %zu were never used\n", size, free_bytes);
}

static void small_stack(void)
{
    serve();
    close(threads.fd);
    stack_of(64 * 1024, use_all);
}

static void smallest_stack(void)
{
    serve();
    close(threads.fd);
    stack_of((size_t)PTHREAD_STACK_MIN, use_all);
}

/* The first managed file of the process: the core is loaded on this stack. */
static void first_on_stack(void)
{
    stack_of(64 * 1024, first_use);
}

static void on_alternate(int signal)
{
    (void)signal;
    use_all(NULL);
    threads.handled++;
}

/* A handler on an alternate stack. The kernel puts all registers there, up to 12 KiB of them. */
static void alternate_stack(void)
{
    size_t size = 16384;
    char *stack = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t alternate = {.ss_sp = stack + PAGE, .ss_size = size};
    mprotect(stack, PAGE, PROT_NONE);
    memset(stack + PAGE, 0x5a, size);
    serve();
    close(threads.fd);
    check(sigaltstack(&alternate, NULL) == 0, "sigaltstack");
    handle(SIGUSR1, on_alternate, SA_ONSTACK);
    raise(SIGUSR1);
    check(threads.handled == 1, "a handler uses files on an alternate stack");
    size_t free_bytes = 0;
    while (free_bytes < size && stack[PAGE + free_bytes] == 0x5a)
        free_bytes++;
    printf("alternate stack of %zu bytes: %zu were never used\n", size, free_bytes);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*part)(void);
    } parts[] = {{"deferred cancellation", deferred},
                 {"asynchronous cancellation", asynchronous},
                 {"the type of cancellation", type_stays},
                 {"masks", masks},
                 {"a stack of 64 KiB", small_stack},
                 {"the smallest stack", smallest_stack},
                 {"the first file on a small stack", first_on_stack},
                 {"an alternate stack", alternate_stack}};
    snprintf(threads.root, sizeof threads.root, "/dev/shm/nvmmio-threads.XXXXXX");
    if (!mkdtemp(threads.root))
        return EXIT_FAILURE;
    snprintf(threads.path, sizeof threads.path, "%s/file", threads.root);
    setenv("NVMMIO_ROOT", threads.root, 1);
    threads.bytes = calloc(1, BYTES);
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    threads.bad = pages + PAGE;
    bool right = threads.bytes && mprotect(threads.bad, PAGE, PROT_NONE) == 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        right = child_runs(parts[i].name, parts[i].part) && right;
    clean_tree(threads.root);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
