/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_child.c — children that fork's handlers do not tell of: vfork, clone, and both by syscall(). Layer preload.
 *
 * A child that shares its parent's memory must not change the state of the parent's library: the descriptors are its own,
 * the table of them is not. It is told apart without a system call: while a thread is suspended in vfork its child runs
 * in its place, on its thread-local storage, so a mark there that the parent takes back when it goes on is the child's
 * alone. A child that runs beside its parent (CLONE_VM without CLONE_VFORK, or with thread-local storage of its own)
 * cannot be told so: from then on every call that may change the table asks for the process id.
 *
 * A child with memory of its own finds a page wiped (MADV_WIPEONFORK) that every process fills. What makes children by
 * its own instructions is seen by that page, or, where memory is shared, not at all.
 */
#include "preload/preload.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHILD_PAGE 4096u

struct preload_children preload_children;
__thread uint32_t preload_child_mark __attribute__((tls_model("initial-exec")));

/* A value of the first thread alone, for its end. */
static pthread_key_t main_key;
static bool main_key_made;

/* ---- whose memory is this ---- */

/* This process is new, and its memory its own: it has one thread. */
static void child_begin(void)
{
    preload_child_mark = 0;
    if (main_key_made)
        (void)pthread_setspecific(main_key, &main_key);
    /* relaxed, all: there is one thread */
    atomic_store_explicit(&preload_children.pid, sys_getpid(), memory_order_relaxed);
    atomic_store_explicit(&preload_children.beside, false, memory_order_relaxed);
    _Atomic uint8_t *page = atomic_load_explicit(&preload_children.page, memory_order_relaxed);
    if (page)
        atomic_store_explicit(page, 1, memory_order_relaxed);
    preload_root_forked();
}

/* ---- fork ---- */

/* Registered before all others but the allocator's, so that these run inside all others: last before the fork, first after
 * it. What handlers of the application do with files comes before the core is ready to fork, and after it is itself again.
 * The core waits for locks whose holders may allocate: an allocator's handler, which takes its locks, must come behind. */
static void child_before_fork(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->before_fork();
}

static void child_after_fork_parent(void)
{
    const struct nvmmio_core *core = preload_core();
    if (core) /* one that another thread has loaded meanwhile knows that it was not prepared */
        core->after_fork_parent();
}

static void child_after_fork(void)
{
    const struct nvmmio_core *core = preload_core();
    child_begin();
    if (core)
        core->after_fork_child();
}

/* ---- children that run no handlers ---- */

/* Before one with memory of its own is made: all signals are blocked until the same thread, there and here, calls
 * child_after_bare. */
static uint64_t child_before_bare(void)
{
    const struct nvmmio_core *core = preload_core();
    uint64_t mask = sys_block_signals();
    if (core)
        core->before_bare();
    return mask;
}

/* child: the result of the call. */
static void child_after_bare(long child, uint64_t mask)
{
    const struct nvmmio_core *core = preload_core();
    if (core)
        core->after_bare();
    if (child == 0)
        preload_child_born();
    sys_unblock_signals(mask);
}

void preload_child_born(void)
{
    const struct nvmmio_core *core = preload_core();
    child_begin();
    if (core)
        core->born();
}

long preload_child_copy(const long a[6])
{
    uint64_t mask = child_before_bare();
    long child = rawsys(a[0], a[1], a[2], a[3], a[4], a[5], 0);
    child_after_bare(child, mask);
    return child;
}

bool preload_foreign_slow(void)
{
    pid_t pid = sys_getpid();
    /* relaxed, all: a process finds its own number or another one, its page filled or wiped; nothing is ordered by it */
    if (pid == atomic_load_explicit(&preload_children.pid, memory_order_relaxed))
        return false;
    _Atomic uint8_t *page = atomic_load_explicit(&preload_children.page, memory_order_relaxed);
    if (!page || atomic_load_explicit(page, memory_order_relaxed))
        return true;
    preload_child_born();
    return false;
}

/* The first thread ends by pthread_exit, and not the process: the core has a thread, which must not be the last one. */
static void child_main_ends(void *value)
{
    (void)value;
    const struct nvmmio_core *core = preload_owner();
    if (core)
        core->main_ended();
}

/* Runs before all other constructors, even before libc has set `environ`: there is one thread. Without the page the process
 * id is asked for each time. */
__attribute__((constructor)) static void child_start(int argc, char **argv, char **envp)
{
    const struct preload_start start = {.argc = argc, .argv = argv, .envp = envp};
    if (!environ)
        environ = envp;
    main_key_made = pthread_key_create(&main_key, child_main_ends) == 0;
    _Atomic uint8_t *page = sys_mmap(NULL, CHILD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sys_is_error((void *)page) && sys_madvise((void *)page, CHILD_PAGE, MADV_WIPEONFORK) == 0)
        atomic_store_explicit(&preload_children.page, page, memory_order_relaxed);
    child_begin();
    void *volatile first =
        malloc(1); /* an allocator (jemalloc) registers its handlers when it is first used: before us */
    free(first);
    pthread_atfork(child_before_fork, child_after_fork_parent, child_after_fork);
    preload_real(PRELOAD_REAL_clone); /* may be called where nothing can be looked up */
    preload_real(PRELOAD_REAL__Fork);
    preload_inherit(&start, preload_root_begin(envp)); /* last: may load the core */
}

/* ---- vfork ---- */

/* A child that returns into its caller's frame overwrites what lies below it, so nothing that the parent needs may be on
 * the stack: the return address is kept in a register, as in libc, and so is the mark's old value (a child of a vfork
 * child finds one). The kernel keeps all registers but rax, rcx and r11. */
void preload_vfork(void);
__asm__(".text\n"
        "\t.p2align 4\n"
        "\t.globl preload_vfork\n"
        "\t.hidden preload_vfork\n"
        "\t.type preload_vfork, @function\n"
        "preload_vfork:\n"
        "\t.cfi_startproc\n"
        "\tendbr64\n"
        "\tsubq $8, %rsp\n"
        "\t.cfi_adjust_cfa_offset 8\n"
        "\tcall preload_child_ready\n"
        "\taddq $8, %rsp\n"
        "\t.cfi_adjust_cfa_offset -8\n"
        "\tpopq %r9\n"
        "\t.cfi_adjust_cfa_offset -8\n"
        "\t.cfi_register %rip, %r9\n"
        "\tmovq preload_child_mark@gottpoff(%rip), %rcx\n"
        "\tmovl %fs:(%rcx), %r8d\n"
        "\tmovl $1, %fs:(%rcx)\n"
        "\tmovl $58, %eax\n" /* SYS_vfork */
        "\tjmp .Lchild_call\n"
        "\t.cfi_endproc\n"
        "\t.size preload_vfork, . - preload_vfork\n"

        /* The call in rax; r9: where to return; r8: the old mark. Shared with preload_syscall_entry. */
        "\t.type child_call, @function\n"
        "child_call:\n"
        ".Lchild_call:\n"
        "\t.cfi_startproc\n"
        "\t.cfi_adjust_cfa_offset -8\n"
        "\t.cfi_register %rip, %r9\n"
        "\tsyscall\n"
        "\tpushq %r9\n"
        "\t.cfi_adjust_cfa_offset 8\n"
        "\t.cfi_offset %rip, -8\n"
        "\ttestq %rax, %rax\n"
        "\tjz 1f\n" /* the child: the mark stays */
        "\tmovq preload_child_mark@gottpoff(%rip), %rcx\n"
        "\tmovl %r8d, %fs:(%rcx)\n"
        "\tcmpq $-4095, %rax\n"
        "\tjae 2f\n"
        "1:\tret\n"
        "2:\tmovq %rax, %rdi\n"
        "\tjmp preload_child_error\n"
        "\t.cfi_endproc\n"
        "\t.size child_call, . - child_call\n");

/* For the assembler: before a child is made this process is known to the library, or the child would be taken for it. */
void preload_child_ready(void);
__attribute__((used)) void preload_child_ready(void)
{
    (void)preload_foreign();
}

/* For the assembler: a negative errno value, to libc's convention. */
long preload_child_error(long result);
__attribute__((used)) long preload_child_error(long result)
{
    return preload_result(result);
}

/* ---- clone ---- */

/* Before a clone with those flags: whether its child is one that runs while this thread waits, on this thread's
 * thread-local storage. Notes what cannot be told apart later. */
static bool child_runs_in_place(unsigned long flags)
{
    if (!(flags & CLONE_VM) || flags & CLONE_THREAD)
        return false;
    if (flags & CLONE_VFORK && !(flags & CLONE_SETTLS))
        return true;
    /* relaxed: the child is made by this thread, after this store */
    atomic_store_explicit(&preload_children.beside, true, memory_order_relaxed);
    return false;
}

struct child_start {
    int (*run)(void *);
    void *arg;
    uint64_t mask; /* child_before_bare's */
};

/* The first function of a child with memory of its own, in which the parent's frame is there too. */
static int child_run(void *arg)
{
    const struct child_start *start = arg;
    child_after_bare(0, start->mask);
    int result = start->run(start->arg);
    const struct nvmmio_core *core = preload_owner();
    if (core) /* libc ends this thread, unseen; threads that go on are the kernel's from now on */
        core->exit();
    return result;
}

/* As in libc the child runs on a stack of its own, never in this frame. */
int preload_clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
    int (*real)(int (*)(void *), void *, int, void *, ...) = preload_real(PRELOAD_REAL_clone);
    va_list args;
    va_start(args, arg);
    void *parent_tid = va_arg(args, void *); /* more than were passed: whatever is there, as in libc */
    void *tls = va_arg(args, void *);
    void *child_tid = va_arg(args, void *);
    va_end(args);
    if (!real)
        return -1;
    preload_child_ready();
    struct child_start start = {.run = run, .arg = arg};
    if (run && !(flags & CLONE_VM)) {
        start.mask = child_before_bare();
        int copy = real(child_run, stack, flags, &start, parent_tid, tls, child_tid);
        child_after_bare(copy, start.mask);
        return copy;
    }
    uint32_t mark = preload_child_mark;
    if (child_runs_in_place((unsigned long)flags))
        preload_child_mark = 1;
    int child = real(run, stack, flags, arg, parent_tid, tls, child_tid);
    preload_child_mark = mark;
    return child;
}

pid_t preload_Fork(void)
{
    pid_t (*real)(void) = preload_real(PRELOAD_REAL__Fork);
    if (!real)
        return -1;
    uint64_t mask = child_before_bare();
    pid_t child = real();
    child_after_bare(child, mask);
    return child;
}

/* ---- by syscall() ---- */

/* How a call that makes a child is to be made. */
enum child_way {
    CHILD_COPY,     /* by C: the child has a copy of the stack */
    CHILD_IN_PLACE, /* as vfork */
    CHILD_BARE,     /* by the assembler, which leaves the stack alone: the child runs on another one */
};

/* For the assembler. `first`, `second`: arguments of fork, vfork, clone or clone3. */
int preload_child_way(long number, long first, long second);
__attribute__((used)) int preload_child_way(long number, long first, long second)
{
    unsigned long flags = 0;
    bool moves = false;
    preload_child_ready();
    if (number == SYS_vfork)
        return CHILD_IN_PLACE;
    if (number == SYS_clone) {
        flags = (unsigned long)first;
        moves = second != 0;
    } else if (number == SYS_clone3 && first && (size_t)second >= CLONE_ARGS_SIZE_VER0) {
        const struct clone_args *args = (const struct clone_args *)first;
        flags = args->flags;
        moves = args->stack != 0;
    }
    if (child_runs_in_place(flags) && !moves)
        return CHILD_IN_PLACE;
    if (flags & CLONE_VM && !(flags & CLONE_THREAD)) /* on another stack: where it returns to is the program's secret */
        atomic_store_explicit(&preload_children.beside, true, memory_order_relaxed);
    return moves || flags & CLONE_VM ? CHILD_BARE : CHILD_COPY;
}

/* syscall(): calls that make children are told from others here, since C has a frame. Arguments of the call move down by
 * one register, as in libc. */
__asm__(".text\n"
        "\t.p2align 4\n"
        "\t.globl preload_syscall_entry\n"
        "\t.hidden preload_syscall_entry\n"
        "\t.type preload_syscall_entry, @function\n"
        "preload_syscall_entry:\n"
        "\t.cfi_startproc\n"
        "\tendbr64\n"
        "\tcmpq $435, %rdi\n" /* SYS_clone3 */
        "\tje 1f\n"
        "\tleaq -56(%rdi), %rax\n" /* SYS_clone, SYS_fork, SYS_vfork */
        "\tcmpq $2, %rax\n"
        "\tmovl $0, %eax\n" /* no vector registers */
        "\tja preload_syscall\n"
        "1:\tpushq %rdi\n"
        "\tpushq %rsi\n"
        "\tpushq %rdx\n"
        "\tpushq %rcx\n"
        "\tpushq %r8\n"
        "\tpushq %r9\n"
        "\tsubq $8, %rsp\n"
        "\t.cfi_adjust_cfa_offset 56\n"
        "\tcall preload_child_way\n"
        "\taddq $8, %rsp\n"
        "\tpopq %r9\n"
        "\tpopq %r8\n"
        "\tpopq %rcx\n"
        "\tpopq %rdx\n"
        "\tpopq %rsi\n"
        "\tpopq %rdi\n"
        "\t.cfi_adjust_cfa_offset -56\n"
        "\ttestl %eax, %eax\n" /* CHILD_COPY */
        "\tjz preload_syscall\n"
        "\tcmpl $1, %eax\n" /* CHILD_IN_PLACE */
        "\tmovq %rdi, %rax\n"
        "\tmovq %rsi, %rdi\n"
        "\tmovq %rdx, %rsi\n"
        "\tmovq %rcx, %rdx\n"
        "\tmovq %r8, %r10\n"
        "\tmovq %r9, %r8\n"
        "\tje 2f\n"
        "\tmovq 8(%rsp), %r9\n"
        "\tsyscall\n"
        "\tcmpq $-4095, %rax\n"
        "\tjae 3f\n"
        "\tret\n"
        "3:\tmovq %rax, %rdi\n"
        "\tjmp preload_child_error\n"
        /* in place: without CLONE_SETTLS the fifth argument means nothing, and there is no sixth */
        "2:\tpopq %r9\n"
        "\t.cfi_adjust_cfa_offset -8\n"
        "\t.cfi_register %rip, %r9\n"
        "\tmovq preload_child_mark@gottpoff(%rip), %rcx\n"
        "\tmovl %fs:(%rcx), %r8d\n"
        "\tmovl $1, %fs:(%rcx)\n"
        "\tjmp .Lchild_call\n"
        "\t.cfi_endproc\n"
        "\t.size preload_syscall_entry, . - preload_syscall_entry\n");

_Static_assert(SYS_clone == 56 && SYS_fork == 57 && SYS_vfork == 58 && SYS_clone3 == 435, "as in the assembler text");

#define PRELOAD_EXPORT_child PRELOAD_ALIAS
#include "preload/preload_export.h"
