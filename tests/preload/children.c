/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * children.c — promise: a child that runs in its parent's memory leaves its parent's descriptors alone, a child with memory
 * of its own is served, however they were made; and to tell them apart costs no system call.
 *
 * "children core": with a fake core beside the library. "children kernel": with none, with the real one, or without the
 * library.
 */
#include "clean.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 65536
#define CHILD_GOOD 7

struct children {
    char root[64];
    char path[128]; /* of a file in the root */
    int fd;         /* of that file */
    long (*calls)(const char *);
    bool (*own_memory)(void);
    bool (*foreign)(void);
    unsigned failures;
};
static struct children children;

static char stack[STACK_BYTES] __attribute__((aligned(16)));

static void check(bool right, const char *who, const char *promise)
{
    if (!right) {
        printf("FAIL: %s: %s (errno is %s)\n", who, promise, strerror(errno));
        children.failures++;
    }
}

static long count(const char *function)
{
    return children.calls ? children.calls(function) : 0;
}

/* ---- ways to make a child that runs `run` and ends with its result ---- */

typedef int child_run(void *);

static pid_t by_vfork(child_run *run)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_syscall_vfork(child_run *run)
{
    pid_t child = (pid_t)syscall(SYS_vfork);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_syscall_clone_vfork(child_run *run)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_clone3_vfork(child_run *run)
{
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_clone_vfork(child_run *run)
{
    return clone(run, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
}

/* Runs beside its parent, on the same thread-local storage. */
static pid_t by_clone_beside(child_run *run)
{
    return clone(run, stack + STACK_BYTES, CLONE_VM | SIGCHLD, NULL);
}

static pid_t by_fork(child_run *run)
{
    pid_t child = fork();
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by__Fork(child_run *run)
{
    pid_t child = _Fork();
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_syscall_fork(child_run *run)
{
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_syscall_clone(child_run *run)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_clone3(child_run *run)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0)
        _exit(run(NULL));
    return child;
}

static pid_t by_clone(child_run *run)
{
    return clone(run, stack + STACK_BYTES, SIGCHLD, NULL);
}

/* By an instruction that no library sees. */
static pid_t by_instruction(child_run *run)
{
    long child;
    __asm__ volatile("syscall" : "=a"(child) : "a"(SYS_fork) : "rcx", "r11", "memory");
    if (child == 0)
        _exit(run(NULL));
    return (pid_t)child;
}

struct way {
    const char *name;
    bool shares; /* the parent's memory */
    bool ours;   /* works with the library alone: in libc's syscall() the child destroys the return address */
    pid_t (*make)(child_run *run);
};

static const struct way ways[] = {
    {"vfork", true, false, by_vfork},
    {"syscall(SYS_vfork)", true, true, by_syscall_vfork},
    {"syscall(SYS_clone), as vfork", true, true, by_syscall_clone_vfork},
    {"syscall(SYS_clone3), as vfork", true, true, by_clone3_vfork},
    {"clone, as vfork", true, false, by_clone_vfork},
    {"fork", false, false, by_fork},
    {"_Fork", false, false, by__Fork},
    {"syscall(SYS_fork)", false, false, by_syscall_fork},
    {"syscall(SYS_clone)", false, false, by_syscall_clone},
    {"syscall(SYS_clone3)", false, false, by_clone3},
    {"clone", false, false, by_clone},
    {"an instruction", false, false, by_instruction},
    {"clone, beside its parent", true, false, by_clone_beside}, /* last: from then on all is asked */
};
#define WAYS (sizeof ways / sizeof *ways)

static bool ended(pid_t child, int expected)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == expected;
}

/* ---- what a child may change ---- */

static int child_close(void *arg)
{
    (void)arg;
    return close(children.fd) == 0 ? CHILD_GOOD : 1;
}

static int child_execute(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
    return 1;
}

static int child_vfork(void *arg)
{
    (void)arg;
    return ended(by_vfork(child_close), CHILD_GOOD) && close(children.fd) == 0 ? CHILD_GOOD : 1;
}

static void test_way(const struct way *way)
{
    children.fd = open(children.path, O_RDWR | O_CREAT, 0600);
    long closes = count("close");
    long exits = count("exit");
    check(ended(way->make(child_close), CHILD_GOOD), way->name, "the child closes its descriptor and ends");
    long expected = children.calls && !way->shares ? closes + 1 : closes;
    check(count("close") == expected, way->name, "the core hears of what its process does, and of nothing else");
    check(way->shares ? count("exit") == exits : !children.calls || count("exit") > exits, way->name,
          "the core hears of its process's end");
    check(pwrite(children.fd, "x", 1, 0) == 1, way->name, "the parent's descriptor is still open");
    check(ended(way->make(child_execute), CHILD_GOOD), way->name, "the child executes a program");
    check(!way->shares || !children.own_memory || !children.own_memory(), way->name,
          "exec in a child without memory of its own tells so");
    closes = count("close");
    if (!way->shares) {
        check(ended(way->make(child_vfork), CHILD_GOOD), way->name, "the child makes a child by vfork");
        check(count("close") == (children.calls ? closes + 1 : 0), way->name,
              "the core hears of the child, not of the grandchild");
        closes = count("close");
    }
    check(!children.foreign || !children.foreign(), way->name, "afterwards the parent is what it was");
    check(close(children.fd) == 0, way->name, "the parent closes");
    check(count("close") == (children.calls ? closes + 1 : 0), way->name, "the core hears of the parent again");
}

static int child_duplicate(void *arg)
{
    int copy = *(int *)arg;
    return dup2(children.fd, copy) == copy && close(children.fd) == 0 ? CHILD_GOOD : 1;
}

/* What a vfork child duplicates a program to be executed may find. */
static void test_duplicate(void)
{
    struct stat file;
    struct stat duplicate;
    int copy = dup(STDOUT_FILENO);
    children.fd = open(children.path, O_RDWR | O_CREAT, 0600);
    long demotions = count("demote");
    pid_t child = vfork();
    if (child == 0)
        _exit(child_duplicate(&copy));
    check(ended(child, CHILD_GOOD), "vfork", "the child duplicates");
    check(!children.calls || count("demote") > demotions, "vfork", "a file that the child duplicates is demoted");
    check(fstat(children.fd, &file) == 0 && fstat(copy, &duplicate) == 0 && file.st_ino != duplicate.st_ino, "vfork",
          "the parent's own duplicate is untouched");
    close(copy);
    close(children.fd);
}

/* ---- no system call ---- */

/* From now on this process dies of getpid. */
static bool forbid_getpid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int child_works(void *arg)
{
    (void)arg;
    if (!forbid_getpid())
        return CHILD_GOOD; /* not to be found out here */
    for (int i = 0; i < 3; i++) {
        int fd = open(children.path, O_RDWR | O_CREAT, 0600);
        int copy = dup(fd);
        if (fd < 0 || copy < 0 || pwrite(fd, "abc", 3, 0) != 3 || fsync(copy) || close(copy) || close(fd))
            return 1;
    }
    return CHILD_GOOD;
}

static void test_no_getpid(void)
{
    check(ended(by_fork(child_works), CHILD_GOOD), "fork", "open, dup and close ask for no process id");
}

int main(int argc, char **argv)
{
    bool with_core = argc == 2 && strcmp(argv[1], "core") == 0;
    snprintf(children.root, sizeof children.root, "/dev/shm/nvmmio-children.XXXXXX");
    if (!mkdtemp(children.root))
        return EXIT_FAILURE;
    snprintf(children.path, sizeof children.path, "%s/file", children.root);
    setenv("NVMMIO_ROOT", children.root, 1);
    close(open(children.path, O_RDWR | O_CREAT, 0600));
    void *core = dlopen("libnvmmio.so.0", RTLD_NOW | RTLD_NOLOAD);
    if (core) {
        children.calls = (long (*)(const char *))dlsym(core, "fake_core_calls");
        children.own_memory = (bool (*)(void))dlsym(core, "fake_core_own_memory");
        children.foreign = (bool (*)(void))dlsym(core, "fake_core_foreign");
    }
    check(with_core == (children.calls != NULL), "the core", "is there if and only if it should be");
    test_duplicate();
    test_no_getpid();
    for (size_t i = 0; i < WAYS; i++)
        if (!ways[i].ours || getenv("LD_PRELOAD"))
            test_way(&ways[i]);
    clean_tree(children.root);
    printf("%zu ways to make children, %u failures\n", WAYS, children.failures);
    return children.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
