/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload.h — what the files of layer preload share. The thin interposer: libc's names for file I/O, served by the core
 * library where a managed descriptor is concerned and by the bare system call otherwise.
 *
 * Needs libc alone. Every function works before any initialisation. The functions that programs call have names of their
 * own here (preload_read, ...); symbols.def says by which names of libc each is known (preload_export.h).
 */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include "api/core.h"
#include "base/rawsys.h"
#include "nvmmio.h"
#include "uma/uma.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>

_Static_assert(sizeof(long) == 8 && sizeof(off_t) == 8, "the 32-bit and the 64-bit names of libc are one");

/* ---- the core (preload_core.c) ---- */

struct preload_state {
    /* NULL until the first file in a root is opened. Stored once, by release; acquire in preload_core. */
    const struct nvmmio_core *_Atomic core;
    _Atomic bool failed; /* it cannot be loaded: the kernel for good */
};
extern struct preload_state preload_state;

/* The core, NULL while it is not loaded. */
static inline const struct nvmmio_core *preload_core(void)
{
    return atomic_load_explicit(&preload_state.core, memory_order_acquire); /* pairs with preload_core_publish */
}

/* Whether it is still worth trying to load it. */
static inline bool preload_hopeful(void)
{
    /* relaxed: a late reader only tries in vain once more */
    return !atomic_load_explicit(&preload_state.failed, memory_order_relaxed);
}

/* Loads the core if it is not there yet. NULL: it cannot be, or this thread is just about it. errno is kept. */
const struct nvmmio_core *preload_core_load(void);

/* ---- children (preload_child.c) ---- */

struct preload_children {
    _Atomic pid_t pid; /* of the process whose memory this is */
    /* One page that a process with a copy of this memory finds zeroed. NULL: there is none. */
    _Atomic uint8_t *_Atomic page;
    _Atomic bool beside; /* a child may run in this memory that nothing but its process id tells apart */
};
extern struct preload_children preload_children;
/* Set while this thread waits in vfork, that is for its child alone, which runs on the same thread-local storage. */
extern __thread uint32_t preload_child_mark __attribute__((tls_model("initial-exec")));

/* Whether preload_foreign, by the process id. Makes a process that is new known to the library. */
bool preload_foreign_slow(void);

/* fork, clone or clone3 with those numbers, for a child with a copy of the memory: the result of the call. */
long preload_child_copy(const long call[6]);

/* In a child that ran no fork handlers, with memory of its own. */
void preload_child_born(void);

/* This is a vfork child, or the like: another process that runs in the memory of its parent. It must not change the
 * state of the parent's library: the descriptors are its own, the table of them is not. No system call where all is as
 * usual: then nobody but this process can be here. */
static inline bool preload_foreign(void)
{
    /* relaxed, all: a thread finds what its own process stored, before it made the child or in it */
    _Atomic uint8_t *page = atomic_load_explicit(&preload_children.page, memory_order_relaxed);
    if (__builtin_expect(page && !preload_child_mark, 1) &&
        !atomic_load_explicit(&preload_children.beside, memory_order_relaxed) &&
        atomic_load_explicit(page, memory_order_relaxed))
        return false;
    return preload_foreign_slow();
}

/* The core if it serves fd, else NULL. */
static inline const struct nvmmio_core *preload_serves(int fd)
{
    const struct nvmmio_core *core = preload_core();
    if (__builtin_expect(!core, 1) || fd < 0)
        return NULL;
    if (__builtin_expect((unsigned)fd < core->managed_count, 1))
        return core->managed[fd] ? core : NULL;
    return core->is_managed(fd) ? core : NULL;
}

/* The core if it is there and this process may change its descriptors, else NULL. */
static inline const struct nvmmio_core *preload_owner(void)
{
    const struct nvmmio_core *core = preload_core();
    return core && !preload_foreign() ? core : NULL;
}

/* ---- roots (preload_root.c) ---- */

/* Whether fd, or what is at that path, is a regular file in a root. */
bool preload_root_holds(int fd);
bool preload_root_holds_path(int dirfd, const char *path, int at_flags);
/* Whether it is a regular file that the kernel maps from PM. */
bool preload_root_is_dax(int dirfd, const char *path, int at_flags);
/* At start-up: reads NVMMIO_ROOT. False: not set, maybe not yet. */
bool preload_root_begin(char *const envp[]);
/* What the loader gives to a constructor. */
struct preload_start {
    int argc;
    char **argv, **envp;
};
/* At start-up, then: descriptors of files in a root that this program inherits. `named`: roots are known by name. */
void preload_inherit(const struct preload_start *start, bool named);
/* Whether a process serves the regular file in a root that the kernel has said this of: the kernel's size may be wrong. */
bool preload_root_is_served(const struct stat *st);
/* Whether NVMMIO_ROOT names any. */
bool preload_root_named(void);
/* In a forked child: what another thread of the parent was in the middle of is as if not begun. */
void preload_root_forked(void);

/* Makes a descriptor that the kernel has just opened known to the core, if it is in a root: 0 or -errno. flags: those it
 * was opened with, or PRELOAD_ASK_FLAGS. */
#define PRELOAD_ASK_FLAGS (-1) /* FILE_ASK_FLAGS of file/file.h */
int preload_adopt(int fd, int flags);
/* The same for the result of a system call that opens: the descriptor, or -errno with nothing left open. */
long preload_adopt_result(long fd, int flags);
/* A descriptor that came from another process, or that this program was started with: the description is shared with
 * others, who know nothing of an offset that is kept here. Its file is adopted and the kernel's. Keeps errno. */
void preload_adopt_shared(int fd);
/* Hands the file of fd to the kernel if it is managed: 0 or -errno. */
static inline int preload_demote(int fd, enum uma_demotion reason)
{
    const struct nvmmio_core *core = preload_serves(fd);
    return core ? core->demote(fd, (int)reason) : 0;
}

/* "/proc/self/fd/N" */
#define PRELOAD_FD_NAME 32u
void preload_fd_name(int fd, char name[PRELOAD_FD_NAME]);

/* Copies from the caller's memory, which may be anything: false for a bad address, which is for the kernel to refuse. */
bool preload_peek(void *to, const void *from, size_t length);

/* ---- libc's manners ---- */

/* From a result or a negative errno value to libc's convention. */
static inline long preload_result(long result)
{
    if (__builtin_expect((unsigned long)result > -4096UL, 0)) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

/* Whether threads exist, so that cancellation can happen. */
static inline bool preload_threaded(void)
{
    return !__libc_single_threaded;
}

/* Before a call into the core that libc has as a cancellation point: inside, nothing may be cancelled. */
static inline void preload_cancel_point(void)
{
    if (preload_threaded())
        pthread_testcancel();
}

/* What the library knows of a thread; touched by the thread and by handlers that run in it. */
struct preload_thread {
    bool loading;         /* inside preload_core_load: what constructors open is not ours */
    _Atomic bool waiting; /* inside preload_wait: cancellation is asynchronous, and a handler must make it deferred */
};
extern __thread struct preload_thread preload_thread __attribute__((tls_model("initial-exec")));

/* libc's pthread_setcanceltype. Returns the type before. */
int preload_cancel_type(int type);

/* A system call that is a cancellation point while it waits, once. */
static inline long preload_wait_once(long number, long a, long b, long c, long d, long e, long f)
{
    if (__builtin_expect(!preload_threaded(), 1))
        return rawsys(number, a, b, c, d, e, f);
    /* relaxed: for handlers of this very thread. A jump out of one leaves it set, which does no harm. */
    atomic_store_explicit(&preload_thread.waiting, true, memory_order_relaxed);
    int type = preload_cancel_type(PTHREAD_CANCEL_ASYNCHRONOUS);
    long result = rawsys(number, a, b, c, d, e, f);
    preload_cancel_type(type);
    atomic_store_explicit(&preload_thread.waiting, false, memory_order_relaxed);
    return result;
}

enum { PRELOAD_TOUCHES = 16 }; /* of one call: what then still faults has another bad address */
/* After EFAULT: whether the system call can be made again (preload_fill.c). It goes into the core: not while cancellation is
 * asynchronous. */
bool preload_touch(long number, const long a[6]);

/* The system call recvmsg, for buffers that may be failure-atomic mappings. */
long preload_receive(int fd, struct msghdr *message, int flags);
/* recvmmsg, the same. */
long preload_receive_many(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);

/* A system call that is a cancellation point while it waits. */
static inline long preload_wait(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    unsigned touches = 0;
    do
        result = preload_wait_once(number, a, b, c, d, e, f);
    while (__builtin_expect(result == -EFAULT, 0) && touches++ < PRELOAD_TOUCHES &&
           preload_touch(number, (const long[6]){a, b, c, d, e, f}));
    return result;
}

/* One that is none. */
static inline long preload_plain(long number, const long a[6])
{
    long result;
    unsigned touches = 0;
    do
        result = rawsys(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    while (__builtin_expect(result == -EFAULT, 0) && touches++ < PRELOAD_TOUCHES && preload_touch(number, a));
    return result;
}

/* The same to libc's convention; not inlined, so that calls on managed descriptors need no room for it. */
long preload_wait_result(long number, long a, long b, long c, long d);

/* ---- libc's own functions (preload_real.c), only where there is no system call to make instead ---- */

/* clang-format off */
#define PRELOAD_REALS(X)                                                                                               \
    X(fopen) X(fopen64) X(freopen) X(freopen64) X(fdopen) X(fclose) X(vdprintf) X(__vdprintf_chk) X(mkstemp)           \
    X(mkstemps) X(mkostemp) X(mkostemps) X(posix_fallocate) X(closefrom) X(aio_read) X(aio_write) X(aio_fsync)         \
    X(lio_listio) X(posix_spawn) X(posix_spawnp) X(posix_spawn_file_actions_adddup2) X(system) X(popen)                \
    X(__open_2) X(__read_chk) X(__pread_chk) X(__recv_chk) X(__recvfrom_chk) X(__poll_chk) X(__ppoll_chk) X(getcwd) X(fread) X(fread_unlocked) X(__fread_chk) X(__fread_unlocked_chk) \
    X(io_uring_queue_init) X(io_uring_queue_init_params)                                                               \
    X(io_uring_queue_init_mem) X(clone) X(_Fork) X(sigaction) X(pthread_sigmask) X(pthread_setcanceltype)                              \
    X(shm_open) X(setmntent) X(endmntent) X(updwtmp) X(backtrace_symbols_fd) X(wordexp) X(openpty)     \
    X(setuid) X(seteuid) X(setreuid) X(setresuid) X(setfsuid) X(capset) X(ftw) X(ftw64) X(nftw) X(nftw64) X(fts_read) X(fts64_read) X(fts_children) X(fts64_children)
/* clang-format on */

enum preload_real {
#define PRELOAD_REAL_ENUM(name) PRELOAD_REAL_##name,
    PRELOAD_REALS(PRELOAD_REAL_ENUM)
#undef PRELOAD_REAL_ENUM
        PRELOAD_REAL_COUNT
};

/* The function of that name behind this library. NULL, with errno ENOSYS, if there is none. */
void *preload_real(enum preload_real which);

/* ---- handlers that others call: syscall(), aliases with other arguments ---- */

int preload_openat_mode(int dirfd, const char *path, int flags, mode_t mode);
int preload_creat(const char *path, mode_t mode);
int preload_open_by_handle_at(int mount_fd, void *handle, int flags);
struct open_how;
int preload_openat2(int dirfd, const char *path, const struct open_how *how, size_t size);
int preload_memfd_create(const char *name, unsigned flags);
int preload_pidfd_getfd(int pidfd, int target, unsigned flags);
ssize_t preload_read(int fd, void *buf, size_t count);
ssize_t preload_write(int fd, const void *buf, size_t count);
ssize_t preload_pread(int fd, void *buf, size_t count, off_t offset);
ssize_t preload_pwrite(int fd, const void *buf, size_t count, off_t offset);
ssize_t preload_readv(int fd, const struct iovec *iov, int count);
ssize_t preload_writev(int fd, const struct iovec *iov, int count);
ssize_t preload_preadv(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t preload_pwritev(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t preload_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t preload_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
off_t preload_lseek(int fd, off_t offset, int whence);
int preload_fsync(int fd);
int preload_fdatasync(int fd);
void preload_sync(void);
int preload_syncfs(int fd);
int preload_close(int fd);
int preload_dup(int fd);
int preload_dup2(int fd, int newfd);
int preload_dup3(int fd, int newfd, int flags);
int preload_close_range(unsigned first, unsigned last, int flags);
int preload_fcntl_arg(int fd, int cmd, long arg);
int preload_ioctl_arg(int fd, unsigned long request, void *arg);
int preload_ftruncate(int fd, off_t length);
int preload_truncate(const char *path, off_t length);
int preload_fallocate(int fd, int mode, off_t offset, off_t length);
int preload_fchown(int fd, uid_t uid, gid_t gid);
int preload_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags);
int preload_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int preload_fstat(int fd, struct stat *st);
int preload_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int preload_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx);
int preload_utimens(int dirfd, const char *path, const struct timespec times[2], int flags);
int preload_futimesat(int dirfd, const char *path, const struct timeval times[2]);
struct utimbuf;
int preload_utime(const char *path, const struct utimbuf *times);
void *preload_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int preload_munmap(void *addr, size_t length);
int preload_mprotect(void *addr, size_t length, int prot);
int preload_madvise(void *addr, size_t length, int advice);
int preload_msync(void *addr, size_t length, int flags);
void *preload_mremap_to(void *old, size_t old_length, size_t length, int flags, void *new);
ssize_t preload_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags);
ssize_t preload_sendfile(int out, int in, off_t *offset, size_t count);
ssize_t preload_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags);
struct msghdr;
struct mmsghdr;
ssize_t preload_sendmsg(int fd, const struct msghdr *message, int flags);
int preload_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
ssize_t preload_recv(int fd, void *buf, size_t count, int flags);
ssize_t preload_recvfrom(int fd, void *buf, size_t count, int flags, struct sockaddr *from, socklen_t *length);
ssize_t preload_recv_chk(int fd, void *buf, size_t count, size_t size, int flags);
ssize_t preload_recvfrom_chk(int fd, void *buf, size_t count, size_t size, int flags, struct sockaddr *from,
                             socklen_t *length);
ssize_t preload_getrandom(void *buf, size_t count, unsigned flags);
int preload_select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout);
/* The system call pselect6, of three sets and its two last arguments. */
long preload_select_sets(int count, fd_set *const sets[3], struct timespec *left, long mask);
int preload_getentropy(void *buf, size_t count);
ssize_t preload_recvmsg(int fd, struct msghdr *message, int flags);
int preload_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);
int preload_execve(const char *path, char *const argv[], char *const envp[]);
int preload_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags);
int preload_io_uring_setup(unsigned entries, void *parameters);
int preload_signal_mask(int how, const uint64_t *set, uint64_t *old);
int preload_signal_action(int signal, const struct sys_action *new, struct sys_action *old);
long preload_io_submit(unsigned long context, long count, void *requests);
struct rlimit;
int preload_prlimit(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *old);
void preload_exit_group(int status) __attribute__((noreturn));

int preload_chroot(const char *path);
int preload_pivot_root(const char *new_root, const char *put_old);
int preload_unshare(int flags);
int preload_setns(int fd, int kind);
/* Before the effective user of a thread or the process changes, or what it is allowed. */
void preload_before_user(uint32_t euid);
void preload_before_capset(void);

/* Before a new program takes the place of this one, or of a child: what it inherits is the kernel's. */
void preload_before_exec(void);
void preload_exec_failed(void); /* behind it, if the call returns */
/* The same before a child is made that becomes another program: this process goes on. */
void preload_before_child(void);

#endif
