/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_process.c — ways to make a process and ways to end one, beyond fork and exit.
 */
#include "cases.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* subject(), more than once. */
static int subject_again(void)
{
    unlink(SUBJECT);
    return subject();
}

/* ---- children that run no fork handlers ---- */

struct job {
    void (*body)(int fd);
    int fd;
};

static int job_run(void *arg)
{
    const struct job *job = arg;
    job->body(job->fd);
    end_child();
}

static pid_t made_by_fork(struct job *job)
{
    pid_t pid = fork();
    if (pid == 0)
        job_run(job);
    return pid;
}

static pid_t made_by__Fork(struct job *job)
{
    pid_t pid = _Fork();
    if (pid == 0)
        job_run(job);
    return pid;
}

static pid_t made_by_clone(struct job *job)
{
    static char stack[1 << 18] __attribute__((aligned(16)));
    return clone(job_run, stack + sizeof stack, SIGCHLD, job);
}

static pid_t made_by_syscall(struct job *job)
{
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        job_run(job);
    return pid;
}

static pid_t made_by_clone3(struct job *job)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        job_run(job);
    return pid;
}

/* By an instruction: no library sees it. */
static pid_t made_by_instruction(struct job *job)
{
    long pid;
    __asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_fork) : "rcx", "r11", "memory");
    if (pid == 0)
        job_run(job);
    return (pid_t)pid;
}

static pid_t (*const makers[])(struct job *) = {made_by_fork,    made_by__Fork,  made_by_clone,
                                                made_by_syscall, made_by_clone3, made_by_instruction};
#define MAKERS (sizeof makers / sizeof *makers)

static void await(pid_t pid)
{
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        say("no child: %s", strerrorname_np(errno));
    else if (WIFSIGNALED(status))
        say("child killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        say("child exit %d", WEXITSTATUS(status));
}

static void run_in(pid_t (*make)(struct job *), void (*body)(int fd), int fd)
{
    struct job job = {.body = body, .fd = fd};
    await(make(&job));
}

static void body_moves(int fd)
{
    CALL(nvx.read(fd, scratch, 50));
    SHOW_BYTES(scratch, 50);
    CALL(nvx.write(fd, bytes + 11, 3000));
    CALL(nvx.lseek(fd, 100, SEEK_CUR));
    CALL(nvx.pwrite(fd, bytes + 12, 700, 200));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes + 13, 30));
}

static void body_opens(int fd)
{
    int own = CALL(nvx.open(SUBJECT, O_RDWR));
    SHOW(own);
    CALL(nvx.write(own, bytes + 21, 2600));
    CALL(nvx.close(fd));
    CALL(nvx.ftruncate(own, 15000));
    SHOW(own);
    int copy = CALL(nvx.dup(own));
    CALL(nvx.close(own));
    CALL(nvx.pwrite(copy, bytes + 22, 100, 14900));
    CALL(nvx.close(copy));
}

static void body_forks(int fd)
{
    CALL(nvx.write(fd, bytes + 31, 100));
    in_child(body_moves, fd);
    CALL(nvx.write(fd, bytes + 32, 100));
}

/* What a forked child shares one that was made otherwise shares too. */
static void made(void)
{
    for (size_t i = 0; i < MAKERS; i++) {
        int fd = subject_again();
        say("maker %zu", i);
        CALL(nvx.write(fd, bytes + 1, 100));
        run_in(makers[i], body_moves, fd);
        SHOW(fd);
        CALL(nvx.write(fd, bytes + 2, 100));
        run_in(makers[i], body_opens, fd);
        SHOW(fd);
        run_in(makers[i], body_forks, fd);
        SHOW(fd);
        CALL(nvx.write(fd, bytes + 3, 100));
        CALL(nvx.fsync(fd));
        CALL(nvx.close(fd));
        look(SUBJECT);
    }
}

static int orphan_gate[2];

static void body_waits(int fd)
{
    char go;
    close(orphan_gate[1]);
    if (read(orphan_gate[0], &go, 1) == 0)
        body_moves(fd);
}

/* The parent has moved the offset and closed before the child begins. */
static void made_and_left(void)
{
    for (size_t i = 0; i < MAKERS; i++) {
        int fd = subject_again();
        say("maker %zu", i);
        CALL(nvx.write(fd, bytes + 1, 5000));
        CALL(pipe(orphan_gate));
        struct job job = {.body = body_waits, .fd = fd};
        pid_t pid = makers[i](&job);
        CALL(nvx.write(fd, bytes + 2, 500));
        CALL(nvx.close(fd));
        /* another file takes the places of the first one */
        int other = CALL(nvx.open("other", O_RDWR | O_CREAT | O_TRUNC, 0600));
        CALL(nvx.write(other, bytes + 3, 77));
        CALL(nvx.fsync(other));
        CALL(nvx.write(other, bytes + 4, 77));
        close(orphan_gate[0]);
        close(orphan_gate[1]);
        await(pid);
        SHOW(other);
        CALL(nvx.close(other));
        look(SUBJECT);
    }
}

/* ---- children, made while other threads are at it ---- */

enum { WRITERS = 3, ROUNDS = 12, WRITER_BYTES = 1 << 16 };

struct writer {
    int fd;
    unsigned number;
    _Atomic bool *stop;
};

/* Opens and closes as well as it writes, so that all locks are taken all the time. */
static void *writer_run(void *arg)
{
    struct writer *w = arg;
    for (unsigned i = 0; !*w->stop || i == 0; i++) {
        off_t base = (off_t)w->number * WRITER_BYTES;
        if (nvx.pwrite(w->fd, bytes + w->number, WRITER_BYTES, base) != WRITER_BYTES)
            say("writer %u: %s", w->number, strerrorname_np(errno));
        char name[16];
        snprintf(name, sizeof name, "w%u", w->number);
        int own = nvx.open(name, O_RDWR | O_CREAT, 0600);
        if (nvx.pwrite(own, bytes, 5000, 0) != 5000 || nvx.fsync(own) || nvx.pwrite(own, bytes, 100, 50) != 100 ||
            nvx.close(own))
            say("writer %u: own file: %s", w->number, strerrorname_np(errno));
    }
    return NULL;
}

static void body_region(int fd)
{
    off_t at = (off_t)WRITERS * WRITER_BYTES;
    if (nvx.pwrite(fd, bytes + 50, 9000, at) != 9000 || nvx.fsync(fd) || nvx.pread(fd, scratch, 9000, at) != 9000 ||
        memcmp(scratch, bytes + 50, 9000) != 0)
        say("child: wrong bytes or %s", strerrorname_np(errno));
    int own = nvx.open("c", O_RDWR | O_CREAT, 0600);
    if (nvx.write(own, bytes, 5000) != 5000 || nvx.fsync(own) || nvx.write(own, bytes, 5000) != 5000 || nvx.close(own))
        say("child: own file: %s", strerrorname_np(errno));
}

static void made_among_threads(void)
{
    for (size_t i = 0; i < MAKERS; i++) {
        int fd = subject_again();
        say("maker %zu", i);
        _Atomic bool stop = false;
        pthread_t thread[WRITERS];
        struct writer writer[WRITERS];
        for (unsigned w = 0; w < WRITERS; w++) {
            writer[w] = (struct writer){.fd = fd, .number = w, .stop = &stop};
            pthread_create(&thread[w], NULL, writer_run, &writer[w]);
        }
        for (unsigned round = 0; round < ROUNDS; round++)
            run_in(makers[i], body_region, fd);
        stop = true;
        for (unsigned w = 0; w < WRITERS; w++)
            pthread_join(thread[w], NULL);
        SHOW(fd);
        CALL(nvx.close(fd));
        look(SUBJECT);
    }
}

/* ---- ways to end ---- */

static int last_fd;

static void handler_writes(void)
{
    CALL(nvx.write(last_fd, bytes + 61, 1234));
}

static void quick_handler_writes(void)
{
    CALL(nvx.write(last_fd, bytes + 62, 1234));
}

__attribute__((destructor)) static void destructor_writes(void)
{
    if (last_fd && nvx.write(last_fd, bytes + 63, 1234) != 1234)
        _exit(99);
}

static void ends_by(int way)
{
    static char *const argv[] = {"true", NULL};
    atexit(handler_writes);
    at_quick_exit(quick_handler_writes);
    CALL(nvx.write(last_fd, bytes + 64, 5000));
    switch (way) {
    case 0:
        exit(3);
    case 1:
        _exit(3);
    case 2:
        _Exit(3);
    case 3:
        quick_exit(3);
    case 4:
        signal(SIGABRT, SIG_DFL);
        abort();
    case 5:
        execv("/bin/true", argv);
        break;
    case 6:
        raise(SIGKILL);
        break;
    case 7:
        syscall(SYS_exit_group, 3);
        break;
    case 8:
        pthread_exit(NULL);
    default:
        break;
    }
}

static void endings(void)
{
    for (int way = 0; way <= 8; way++) {
        int fd = subject_again();
        say("way %d", way);
        CALL(nvx.write(fd, bytes, 100));
        CALL(nvx.fsync(fd));
        pid_t pid = fork();
        if (pid == 0) {
            last_fd = fd;
            ends_by(way);
            _exit(98);
        }
        await(pid);
        SHOW(fd);
        CALL(nvx.close(fd));
    }
}

/* The one process that has the file ends so: what it wrote is there for the next one that opens it. */
static void last_endings(void)
{
    for (int way = 0; way <= 8; way++) {
        int fd = subject_again();
        say("way %d", way);
        CALL(nvx.close(fd));
        pid_t pid = fork();
        if (pid == 0) {
            last_fd = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
            CALL(nvx.write(last_fd, bytes + 7, 300));
            ends_by(way);
            _exit(98);
        }
        await(pid);
        fd = CALL(nvx.open(SUBJECT, O_RDWR));
        SHOW(fd);
        CALL(nvx.close(fd));
    }
}

static void grandchild_writes(int fd)
{
    if (fork() == 0) {
        if (setsid() < 0)
            _exit(1);
        if (fork() == 0)
            (void)!nvx.write(fd, bytes + 71,
                             4321); /* reported by what is in the file: the order of lines is not fixed */
        end_child();
    }
    wait(NULL);
}

/* The classic daemon: the parent and its child are gone when the grandchild writes. */
static void double_fork(void)
{
    int ends[2];
    char nothing;
    int fd = subject();
    CALL(pipe(ends));
    in_child(grandchild_writes, fd);
    close(ends[1]);
    CALL(read(ends[0], &nothing, 1)); /* the end of the last that has the pipe */
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void body_daemon(int fd)
{
    if (daemon(1, 0) == 0)
        (void)!nvx.write(fd, bytes + 81, 4321);
}

static void by_daemon(void)
{
    int ends[2];
    char nothing;
    int fd = subject();
    CALL(nvx.write(fd, bytes, 10));
    CALL(pipe(ends));
    in_child(body_daemon, fd);
    close(ends[1]);
    CALL(read(ends[0], &nothing, 1));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* ---- programs ---- */

static void exec_fails(void)
{
    int fd = subject();
    char *const argv[] = {"none", NULL};
    CALL(nvx.write(fd, bytes, 100));
    CALL(execv("/nonexistent", argv));
    CALL(nvx.write(fd, bytes + 1, 5000));
    CALL(execve("/", argv, argv));
    CALL(nvx.read(fd, scratch, 10));
    CALL(execlp("/nonexistent/none", "none", (char *)NULL));
    CALL(execvp("no-such-program", argv));
    CALL(nvx.fsync(fd));
    CALL(fexecve(fd, argv, argv));
    CALL(nvx.write(fd, bytes + 2, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* Written through the library, then executed: the kernel reads what follows "#!". */
static void script(void)
{
    static const char text[] = "#!/bin/sh\necho script >>s.out\nexit 5\n";
    int fd = CALL(nvx.open("s", O_RDWR | O_CREAT | O_TRUNC, 0700));
    CALL(nvx.write(fd, text, sizeof text - 1));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, "7", 1, (off_t)(sizeof text - 3)));
    CALL(nvx.close(fd));
    for (int i = 0; i < 2; i++) {
        pid_t pid = i ? vfork() : fork();
        if (pid == 0) {
            execl("./s", "s", (char *)NULL);
            _exit(127);
        }
        await(pid);
    }
    look("s.out");
}

const struct posix_case cases_process[] = {
    {"made", made, CASE_NV},
    {"made_and_left", made_and_left, CASE_NV},
    {"made_among_threads", made_among_threads, CASE_NV},
    {"endings", endings, 0},
    {"last_endings", last_endings, 0},
    {"double_fork", double_fork, CASE_NV},
    {"by_daemon", by_daemon, 0},
    {"exec_fails", exec_fails, 0},
    {"script", script, CASE_NV | CASE_ONCE},
    {0},
};
