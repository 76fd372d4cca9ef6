/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_run.c — see kill_run.h.
 */
#include "crash/kill_run.h"

#include "support/leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECOVERY_KILLS_MAX 5 /* one after the other */

struct kill_options kill_option = {.modes = "all", .kills = 100, .session = UINT64_MAX};
struct kill_run kill_run;

/* ---- failing ---- */

static void print_trace(void)
{
    for (uint32_t i = 0; i < kill_run.j->writers; i++) {
        const struct kj_writer *w = &kill_run.j->writer[i];
        uint64_t ops = atomic_load(&w->ops);
        printf("  writer %u: %llu operations, state %u, the last ones:\n", i, (unsigned long long)ops,
               atomic_load(&w->flight.state));
        uint64_t begun = ops + (atomic_load(&w->flight.state) != KJ_IDLE);
        for (uint64_t n = ops > 12 ? ops - 12 : 0; n < begun; n++) {
            const struct kj_flight *t = &w->trace[n % KJ_TRACE];
            printf("    %s offset %llu length %llu new size %llu\n", kj_op_name(t->op), (unsigned long long)t->offset,
                   (unsigned long long)t->length, (unsigned long long)t->new_size);
        }
    }
}

static void keep_remains(void)
{
    const char *to = getenv("NVMMIO_TEST_KEEP");
    char command[3 * KILL_PATH_BYTES];
    if (!to)
        return;
    snprintf(command, sizeof(command), "mkdir -p '%s' && cp -a '%s' '%s/' && cp /proc/%d/fd/%d '%s/journal'", to,
             kill_run.root, to, getpid(), kill_run.journal_fd, to);
    if (system(command))
        printf("  (could not keep the remains in %s)\n", to);
}

void kill_fail(const char *format, ...)
{
    if (kill_run.failed)
        return;
    kill_run.failed = true;
    va_list args;
    va_start(args, format);
    printf("FAIL %s session %llu: ", kj_mode_name(kill_run.j->mode), (unsigned long long)kill_run.sessions);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (kill_run.j->error[0])
        printf("  a worker said: %s\n", kill_run.j->error);
    print_trace();
    printf("  again: --mode %s --seed %llu --session %llu\n", kj_mode_name(kill_run.j->mode),
           (unsigned long long)kill_option.seed, (unsigned long long)kill_run.sessions);
    keep_remains();
    fflush(stdout);
}

static void print_proc(pid_t pid, const char *what)
{
    char command[128];
    snprintf(command, sizeof(command), "for t in /proc/%d/task/*; do echo $t; cat $t/%s 2>/dev/null; echo; done", pid,
             what);
    fflush(stdout);
    if (system(command))
        printf("  (no %s)\n", what);
}

void kill_report_hang(pid_t pid)
{
    print_proc(pid, "wchan");
    print_proc(pid, "syscall");
    print_proc(pid, "stack");
    if (getenv("NVMMIO_TEST_GDB")) {
        char command[128];
        snprintf(command, sizeof(command), "gdb -p %d -batch -ex 'thread apply all bt' 2>&1 | tail -60", pid);
        fflush(stdout);
        if (system(command))
            printf("  (no gdb)\n");
    }
}

/* ---- processes ---- */

pid_t kill_spawn(const char *role, uint64_t number, const char *file)
{
    char fd[16], text[32];
    snprintf(fd, sizeof(fd), "%d", kill_run.journal_fd);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("NVMMIO_ROOT", kill_run.root, 1);
    setenv("NVMMIO_CONF", "pm:force,atomic_nvmmap:0", 0); /* attach when PM needs it, whether it pays or not */
    if (kill_option.preload)
        setenv("LD_PRELOAD", kill_option.preload, 1);
    execl(kill_option.worker, kill_option.worker, role, fd, text, file, (char *)NULL);
    _exit(127);
}

/* Waits for the process, but not for ever: its status, or -1 after a hang (then it is killed). */
static int wait_for(pid_t pid)
{
    uint64_t end = tool_now_ns() + KILL_WATCHDOG_MS * UINT64_C(1000000);
    for (uint64_t pause = 50;; pause = pause < 2000 ? pause * 2 : pause) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (got < 0)
            return 0;
        if (tool_now_ns() > end)
            break;
        tool_sleep_us(pause);
    }
    printf("pid %d hangs:\n", pid);
    kill_report_hang(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

void kill_must_exit_well(pid_t pid, const char *what)
{
    int status = wait_for(pid);
    if (status)
        kill_fail("%s ended with status %#x%s", what, (unsigned)status, status == -1 ? " (hang)" : "");
}

void kill_start_writer(uint32_t index)
{
    kill_run.pid[index] = kill_spawn("write", index, kill_run.file);
}

/* Waits until the writer has done `more` operations beyond `base`. */
bool kill_wait_ops(uint32_t index, uint64_t base, uint64_t more, bool spin)
{
    const struct kj_writer *w = &kill_run.j->writer[index];
    uint64_t end = tool_now_ns() + KILL_WATCHDOG_MS * UINT64_C(1000000);
    for (;;) {
        for (unsigned n = 0; n < 10000; n++)
            if (atomic_load(&w->ops) >= base + more)
                return true;
        if (kill_run.j->error[0]) {
            kill_fail("writer %u", index);
            return false;
        }
        int status;
        pid_t pid = kill_run.pid[index];
        if (pid && waitpid(pid, &status, WNOHANG) == pid) {
            kill_run.pid[index] = 0;
            kill_fail("writer %u ended with status %#x", index, (unsigned)status);
            return false;
        }
        if (tool_now_ns() > end) {
            pid = atomic_load(&w->pid);
            printf("writer %u makes no progress:\n", index);
            if (pid)
                kill_report_hang(pid);
            kill_fail("writer %u hangs", index);
            return false;
        }
        if (!spin)
            tool_sleep_us(100);
    }
}

/* A dead writer's journal is put in order: what was in flight is noted where records need it. */
void kill_bury(uint32_t index)
{
    struct kj *j = kill_run.j;
    struct kj_writer *w = &j->writer[index];
    uint32_t state = atomic_load(&w->flight.state);
    if (state == KJ_DONE) {
        kj_apply(j, w);
        atomic_store(&w->flight.state, KJ_IDLE);
    } else if (state == KJ_IN_FLIGHT && (w->flight.op == KJ_OP_APPEND || w->flight.op == KJ_OP_REWRITE)) {
        uint32_t n = atomic_load(&j->unsure_count);
        j->unsure[n % KJ_UNSURE_MAX] = (struct kj_unsure){.writer = index,
                                                          .slot = (uint32_t)w->flight.offset,
                                                          .seq = w->flight.seq,
                                                          .start = w->flight.key,
                                                          .death = atomic_fetch_add(&j->ticket, 1)};
        atomic_store(&j->unsure_count, n + 1);
        w->seq = w->flight.seq + 1;
        atomic_store(&w->flight.state, KJ_IDLE);
    }
    kill_run.in_flight += state == KJ_IN_FLIGHT;
    atomic_store(&w->dead, 0);
}

bool kill_is_gone(pid_t pid)
{
    char name[64], text[256], *after;
    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return true;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return true;
    text[n] = 0;
    after = strrchr(text, ')');
    return after && (after[2] == 'Z' || after[2] == 'X');
}

/* Kills a writer that is not this process's child, or is: dead when it returns. */
void kill_writer(uint32_t index)
{
    struct kj_writer *w = &kill_run.j->writer[index];
    pid_t pid = kill_run.pid[index] ? kill_run.pid[index] : atomic_load(&w->pid);
    atomic_store(&w->dead, 1);
    kill(pid, SIGKILL);
    kill_run.kills++;
    if (kill_run.pid[index]) {
        int status = 0;
        waitpid(pid, &status, 0);
        kill_run.pid[index] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status))
            kill_fail("writer %u ended with status %#x before the kill", index, (unsigned)status);
    } else {
        while (!kill_is_gone(pid))
            tool_sleep_us(50);
    }
    kill_bury(index);
}

void kill_all(void)
{
    for (uint32_t i = 0; i < KJ_WRITERS_MAX; i++) {
        pid_t pid = kill_run.pid[i] ? kill_run.pid[i] : atomic_load(&kill_run.j->writer[i].pid);
        if (pid > 1 && (kill_run.pid[i] || kill_run.failed))
            kill(pid, SIGKILL);
        if (kill_run.pid[i])
            waitpid(kill_run.pid[i], NULL, 0);
        kill_run.pid[i] = 0;
    }
}

/* ---- judging ---- */

static void check_no_leak(void)
{
    char name[KILL_PATH_BYTES + 16], found[600];
    snprintf(name, sizeof(name), "%s/.nvmmio", kill_run.root);
    if ((kill_option.library || kill_option.preload) && access(name, F_OK))
        kill_fail("%s: %s: the library was not active", name, strerror(errno));
    if (leak_any(kill_run.root, kill_option.private_shm, found, sizeof(found)))
        kill_fail("left over: %s", found);
}

/* The file as an ordinary program reads it. */
static void check_plain(bool seen)
{
    static uint8_t *data;
    if (!data)
        data = mmap(NULL, KJ_APPEND_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(kill_run.file, O_RDONLY);
    uint64_t size = 0;
    for (ssize_t n; fd >= 0 && size < KJ_APPEND_MAX && (n = read(fd, data + size, KJ_APPEND_MAX - size)) > 0;)
        size += (uint64_t)n;
    if (fd < 0) {
        kill_fail("%s: %s", kill_run.file, strerror(errno));
        return;
    }
    close(fd);
    char reason[300];
    if (kill_run.j->mode != KJ_APPEND && size > KJ_FILE_MAX)
        kill_fail("without the library: size %llu", (unsigned long long)size);
    else if (kj_check(kill_run.j, data, size, reason, sizeof(reason)))
        kill_fail("without the library: %s", reason);
    else if (seen && (size != kill_run.j->seen_size || tool_hash(data, size) != kill_run.j->seen_hash))
        kill_fail("the file without the library is not what the library showed");
    else
        kj_adopt(kill_run.j, data, size);
}

/* The planted fault: one byte of the file becomes another one. */
static void damage_file(void)
{
    struct stat st;
    uint8_t byte;
    int fd = open(kill_run.file, O_RDWR);
    if (fd < 0 || fstat(fd, &st))
        return;
    off_t at = st.st_size ? (off_t)tool_below(&kill_run.rng, (uint64_t)st.st_size) : 0;
    if (pread(fd, &byte, 1, at) != 1)
        byte = 0;
    byte ^= 0x5a;
    if (pwrite(fd, &byte, 1, at) != 1)
        printf("cannot damage the file\n");
    close(fd);
}

/* A recovery that dies, too: somewhere in the open, where it is done, or a little later. */
static void kill_recovery(void)
{
    struct kj *j = kill_run.j;
    uint64_t end = tool_now_ns() + KILL_WATCHDOG_MS * UINT64_C(1000000);
    int status = 0;
    atomic_store(&j->opening, 0);
    pid_t pid = kill_spawn("verify", tool_random(&kill_run.rng), kill_run.file), got = 0;
    while (!atomic_load(&j->opening) && !got && tool_now_ns() < end)
        got = waitpid(pid, &status, WNOHANG);
    uint64_t moment = tool_now_ns() + tool_below(&kill_run.rng, j->open_ns + 1);
    while (tool_now_ns() < moment) /* a sleep would be longer than the open */
        ;
    if (!got) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status))
        kill_fail("verify ended with status %#x", (unsigned)status);
    kill_run.recoveries_cut += WIFSIGNALED(status) && atomic_load(&j->opening);
    kill_run.recovery_kills++;
}

void kill_judge(void)
{
    char other[KILL_PATH_BYTES + 32];
    if (kill_option.damage)
        damage_file();
    snprintf(other, sizeof(other), "%s/other", kill_run.root);
    uint64_t recoveries = tool_below(&kill_run.rng, 4) ? 0 : 1 + tool_below(&kill_run.rng, RECOVERY_KILLS_MAX);
    while (recoveries-- && !kill_run.failed)
        kill_recovery();
    bool sweep = !tool_below(&kill_run.rng, 5);
    if (sweep)
        kill_must_exit_well(kill_spawn("sweep", 0, other), "sweep");
    else
        kill_must_exit_well(kill_spawn("verify", tool_random(&kill_run.rng), kill_run.file), "verify");
    if (kill_run.failed)
        return;
    kill_run.partial += kill_run.j->partial > 0;
    kill_run.j->partial = 0;
    check_plain(!sweep);
    check_no_leak();
}
