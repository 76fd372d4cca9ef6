/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma.h — one managed file in this process: the interface of layer uma; called by file and api.
 *
 * A uma (user mapped area) stands for one inode. It is made at the inode's first open and dropped at its last close in
 * this process. It is *detached* first: data calls go to the kernel, offsets are the kernel's, nothing is mapped. The
 * first operation that needs it attaches it: log, shared index, mapping of the file. What several processes share of it
 * is in the index; `struct uma` is process-private.
 *
 * How the file layer serves one data call
 *
 *     rcu_read_lock(); look the descriptor up;
 *     do {
 *         path = uma_begin(uma, fd, intent, &op);
 *         if (path == UMA_PATH_USER)   result = uma_read / uma_write / uma_resize / uma_commit with explicit offsets;
 *         if (path == UMA_PATH_KERNEL) result = the system call itself, with the kernel's own offset;
 *         uma_end(uma, &op);
 *     } while (result == -UMA_AGAIN);
 *     rcu_read_unlock();
 *
 * All functions return -errno on failure, and work in any thread. Lock order: OFD -> resize -> slots ascending -> guard.
 */
#ifndef UMA_UMA_H
#define UMA_UMA_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct uma;
struct volume;

/* Not an errno value: the uma changed its mode under the call; call uma_begin again. Never leaves the file layer. */
#define UMA_AGAIN 4094

enum uma_intent {
    UMA_INTENT_READ,  /* data are read */
    UMA_INTENT_WRITE, /* data are written, or the size changes */
    UMA_INTENT_SYNC,  /* fsync and the like */
    UMA_INTENT_LOOK,  /* the size is looked at: stat, SEEK_END. Never attaches an inode that nobody has attached */
};

enum uma_path { UMA_PATH_USER, UMA_PATH_KERNEL };

struct uma_op {
    _Atomic uint64_t *inflight; /* of the volume, while on the kernel's path */
};

/* ---- life ---- */

/* The uma of the open regular file `fd`, counted once more; NULL in *out with 0 if the file is not managed (no root, not
 * PM, ...). `flags` are the open flags, O_ATOMIC among them. `stx`: its statx, or NULL. -EBUSY if another user has it. */
int uma_open(int fd, int flags, const struct statx *stx, struct uma **out);
/* The same without a look whether others have attached it, or died with it: uma_begin will see. */
int uma_hold(int fd, int flags, const struct statx *stx, struct uma **out);
/* Whether this process has one of the inode, whatever becomes of it. */
bool uma_is_known(uint64_t dev, uint64_t ino);

/* Counts one more, one less holder (an open file description of this process: dup shares one, so the file layer calls
 * these per OFD handle). `fd` is still open and of that file. The last one commits, writes back and detaches first and
 * returns an error of that. Not within an RCU read-side section: waits for a grace period. */
void uma_ref(struct uma *uma);
int uma_close(struct uma *uma, int fd);

/* Whether nobody can execute the file, a program, for our sake, if the application itself could not write it any more. */
bool uma_bars_execution(const struct uma *uma);
/* Within the close (of fd, or -1) of the last description by which this process can write it: that it may be executed. Not
 * where other processes have it attached, nor at the last close, which does it anyway. What that would return. */
int uma_let_execute(struct uma *uma, int fd);

/* Within the close (of fd) of a description of the application's: if it is the one that the library uses (lease:1), and others are
 * left, the library lets it go, or its locks would stay, and nobody could have a lease. What the next call attaches with is one of
 * theirs. Errors of bringing the file up to date. */
int uma_let_lender_go(struct uma *uma, int fd);

/* Before the application takes a lock of any kind on the file through fd: the uma opens its own descriptor while closing
 * one cannot drop a POSIX lock yet. */
int uma_before_lock(struct uma *uma, int fd);
/* The application is about to look for a lock, to take one or to give it back: counted, and known to uma_keep_locks. */
enum uma_lock {
    UMA_LOCK_EARLY, /* nothing is done: uma_before_lock comes first */
    UMA_LOCK_HERE,  /* the kernel may not know where the file ends */
    UMA_LOCK_KERNEL /* it does: nobody serves the file */
};
enum uma_lock uma_note_lock(struct uma *uma);
/* What it is of. */
void uma_identity(const struct uma *uma, struct volume **volume, uint64_t *ino);
/* So many more. */
void uma_note_locks(struct uma *uma, uint32_t count);
/* Before exec, of a file that the new program inherits: what closes the uma's own descriptor would drop the locks that the
 * process keeps, so it is inherited as well; whole: the application's, which is, can read and write. When exec failed: all
 * is as before. */
void uma_keep_locks(struct uma *uma, bool whole);
void uma_exec_failed(void);
/* At the start of a program, for each descriptor before any file is opened: whether it is one that was kept so, which is the
 * library's again; and when the umas of the inherited files are there. */
bool uma_take_over(int fd);
void uma_take_over_end(void);

/* The thread that is letting all files of the process go, by its thread pointer; 0: none. Other threads' calls wait before they
 * begin, outside read sections: they would find files that are neither here nor whole in the kernel. At exit this never ends;
 * after `until` (ns; 0: none) they go on all the same. */
struct uma_parting {
    _Atomic uintptr_t thread;
    _Atomic int64_t until;
};
extern struct uma_parting uma_parting;
static inline bool uma_is_parting(void)
{
    /* relaxed: a read section that misses it is waited for */
    return __builtin_expect(atomic_load_explicit(&uma_parting.thread, memory_order_relaxed) != 0, 0);
}
/* Waits until there is none. False: it is this thread itself, or waiting has lasted too long. */
bool uma_parting_wait(void);
/* Whether uma_exit is done. */
bool uma_has_left(void);
/* Another thread calls uma_exit, or will at once: waits until it is done, or (to_the_end) until the process is gone, 5 s at most:
 * should the end of the process wait for this thread, it goes on. */
void uma_exit_wait(bool to_the_end);

/* Before the application sets O_APPEND or O_DIRECT on a description of the file: it may be the library's, too (lease:1). */
int uma_before_flags(struct uma *uma, int fd);

/* Whether the file's own file system takes RWF_NOWAIT, for a call that may be served in user space: 0, or its error. fd: the
 * application's. */
int uma_nowait(struct uma *uma, int fd, enum uma_intent intent);

/* An open by this process itself met the lease that the library has on the file (lease:1): it is given back, and not taken
 * until the uma, a reference, is closed. NULL if there is none. */
struct uma *uma_lease_yield(uint64_t dev, uint64_t ino);

/* ---- one call ---- */

/* enum uma_path, or -errno (-EIO when FAILED). Attaches where the intent demands it: WRITE unless the file was empty when
 * it was opened and has not been synced since, READ after as many bytes were read as the file holds; on tmpfs both only as
 * long as attaching pays (uma_worth.c). fd: an application's descriptor of the file. */
int uma_begin(struct uma *uma, int fd, enum uma_intent intent, struct uma_op *op);

/* What was done with a file on the kernel's path. Relaxed everywhere and without locked additions: guesses, which any thread
 * may move; two at once may lose one. */
struct uma_worth {
    _Atomic uint64_t calls;                     /* that moved data */
    _Atomic uint64_t others;                    /* locks */
    _Atomic uint64_t bytes_read, bytes_written; /* by those calls */
    _Atomic uint64_t size_floor; /* the file is not shorter, as long as volume_cuts is what it was then: */
    _Atomic uint64_t cuts;
    _Atomic bool torn; /* a write of the kernel would be torn: earned at once (uma_worth_tears) */
};
static inline void uma_worth_count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}
static inline void uma_worth_reach(struct uma_worth *worth, uint64_t end)
{
    if (end > atomic_load_explicit(&worth->size_floor, memory_order_relaxed))
        atomic_store_explicit(&worth->size_floor, end, memory_order_relaxed);
}
/* Whether a file on tmpfs that this was done with is to be attached. */
#define UMA_EARN_CALLS 32u               /* calls on the kernel's path that earn it, if locks do not outnumber them */
#define UMA_EARN_BYTES_CALL (8u * 1024u) /* so many bytes written count as one more */
static inline bool uma_worth_pays(const struct uma_worth *worth)
{
    uint64_t earned = atomic_load_explicit(&worth->calls, memory_order_relaxed) +
                      atomic_load_explicit(&worth->bytes_written, memory_order_relaxed) / UMA_EARN_BYTES_CALL;
    return earned >= UMA_EARN_CALLS && earned >= atomic_load_explicit(&worth->others, memory_order_relaxed);
}
static inline bool uma_worth_earned(const struct uma_worth *worth)
{
    return uma_worth_pays(worth) || atomic_load_explicit(&worth->torn, memory_order_relaxed);
}
#define UMA_KERNEL_PAGE 4096u /* what SIGKILL does not divide */
/* Whether a write of the kernel may end between two pages. A negative offset is not known. */
static inline bool uma_worth_is_across(int64_t offset, uint64_t length)
{
    return offset < 0 || (uint64_t)offset % UMA_KERNEL_PAGE + length > UMA_KERNEL_PAGE;
}
/* Whether a write of the kernel, at `offset` or at the end (-1), would make the file, one of the volume, longer over a block's
 * end: SIGKILL may end it between two pages, and the file would have a length that it was never given. */
bool uma_worth_tears_across(struct uma_worth *worth, const struct volume *volume, int fd, int64_t offset,
                            uint64_t length);
static inline bool uma_worth_tears(struct uma_worth *worth, const struct volume *volume, int fd, int64_t offset,
                                   uint64_t length)
{
    return uma_worth_is_across(offset, length) && uma_worth_tears_across(worth, volume, fd, offset, length);
}

/* Ends the call. Says what a call on the kernel's path did. */
struct uma_done {
    uint64_t bytes_read, bytes_written;
    uint64_t end; /* of what was written, where it is known; else 0 */
    bool synced;
};
void uma_end(struct uma *uma, struct uma_op *op, const struct uma_done *done);

/* ---- in user space (after UMA_PATH_USER) ---- */

/* Reads at `offset` at most `length` bytes into the buffers: bytes read, 0 at or past the end. -EFAULT for bad buffers if
 * nothing was read before them. */
ssize_t uma_read(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length);

enum uma_write_flags {
    UMA_WRITE_APPEND = 1, /* at the end of the file, whatever offset says; atomically */
    UMA_WRITE_SYNC = 2,   /* commit before returning */
};
/* Writes `length` bytes; *end receives the offset after the last byte. Bytes written (short only after ENOSPC, EFAULT,
 * EIO behind the first piece), or -errno. The file grows where needed. */
ssize_t uma_write(struct uma *uma, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length,
                  unsigned flags, uint64_t *end);

/* Makes everything written before durable, as one. */
int uma_commit(struct uma *uma);

/* The logical size now. */
uint64_t uma_size(struct uma *uma);

/* lseek with SEEK_DATA, SEEK_HOLE: the offset or -ENXIO. */
int64_t uma_seek_data(struct uma *uma, uint64_t offset);
int64_t uma_seek_hole(struct uma *uma, uint64_t offset);

/* Files may be so long on every file system whose blocks are pages. */
#define UMA_SIZE_SURE (UINT64_C(1) << 42)

/* `end`, or the size where files of this file system must stop if that is less: ext4's stop at 16 TiB. Attached umas. */
uint64_t uma_size_most(struct uma *uma, uint64_t end);

/* ftruncate. */
int uma_resize(struct uma *uma, uint64_t size);

/* fallocate(2), all modes: those that only allocate or extend happen around the log; punch, zero, collapse, insert and
 * unshare commit and write back first. posix_fallocate is mode 0. */
int uma_allocate(struct uma *uma, int mode, uint64_t offset, uint64_t length);

/* Delivers a pending mtime (a write in user space does not move it), so that the kernel's stat is right in all but
 * st_size. Whether there was one. */
bool uma_deliver_times(struct uma *uma);
/* Who changes the file on the library's behalf puts its mtime back afterwards; meanwhile the kernel tells another. Whether
 * somebody is about it now, and the time that it will be; and a number that moves whenever one begins. */
bool uma_times_kept(struct uma *uma, struct timespec *mtime);
uint32_t uma_times_keeps(struct uma *uma);
/* Whether the kernel tells its mtime, and has told it at any moment since the last of volume_corrections. */
bool uma_times_are_told(struct uma *uma);
/* utimensat (path NULL: of dirfd itself) on the uma's file: what was written before has its time first. 0 or -errno. */
int uma_set_times(struct uma *uma, int dirfd, const char *path, const struct timespec times[2], int flags);
/* A read in user space: it moves the time of access, later. */
void uma_note_read(struct uma *uma);

/* Makes the file in the kernel as long as it is here, where it is longer here. Best effort. Before RLIMIT_FSIZE changes. */
void uma_reach(struct uma *uma);

/* Of a file that is written on the kernel's path: whether that write would be torn (uma_worth_tears); the next uma_begin attaches
 * the file then. offset: -1 for the end, UMA_OFFSET_KERNELS for fd's own. */
#define UMA_OFFSET_KERNELS INT64_MIN
bool uma_earn_whole(struct uma *uma, int fd, int64_t offset, uint64_t length);
/* On the kernel's path the file may be cut: to be said before and after. */
void uma_note_cut(struct uma *uma);
/* This process did that with the file before it had the uma. */
void uma_note_worth(struct uma *uma, const struct uma_worth *worth);

/* For a call that the kernel makes by itself on a file that nobody has attached: true if that is so and stays so until
 * uma_end. The caller's count keeps the uma. */
bool uma_begin_kernel(struct uma *uma, struct uma_op *op);
/* Whether nobody has the file attached, at this moment. */
bool uma_is_detached(struct uma *uma);

/* Whether the kernel's sync of the file has nothing to do: on tmpfs, unless that is to be as if it were PM. */
bool uma_is_volatile(const struct uma *uma);
/* Such a file, which nobody serves at this moment, is synced: true. False: by uma_begin. */
bool uma_sync_is_void(struct uma *uma);

/* Brings all committed lines to the file. (In-kernel readers.) */
int uma_write_back(struct uma *uma);

/* Whether the uma is attached: calls on it are served here (or it is PASSTHROUGH already). */
bool uma_is_served(const struct uma *uma);

/* This process as the uma's volume knows it, 1 .. UMA_PROCESS_END - 1; 0: it does not. And whether another one is dead. */
#define UMA_PROCESS_END (UINT32_C(1) << 30)
uint32_t uma_process(const struct uma *uma);
bool uma_process_is_dead(const struct uma *uma, uint32_t process);

/* Whether a process of that effective user could attach it; privileged: 0 could attach all. */
bool uma_is_reachable(const struct uma *uma, uint32_t euid, bool privileged);

/* ---- leaving user space ---- */

/* What a call changes of the whole process; a set. */
enum uma_move {
    UMA_MOVE_VIEW = 1,  /* paths: chroot, another mount namespace */
    UMA_MOVE_USERS = 2, /* what user ids mean: another user namespace */
    UMA_MOVE_ALONE = 4, /* nothing, but the kernel wants a process of one thread */
    UMA_MOVE_FILES = 8, /* the calling thread gets a table of descriptors of its own */
};

enum uma_demotion { /* order as in enum stats_counter from STATS_DEMOTE_STDIO on */
                    UMA_DEMOTE_STDIO,
                    UMA_DEMOTE_MMAP,
                    UMA_DEMOTE_EXEC,
                    UMA_DEMOTE_FDPASS,
                    UMA_DEMOTE_AIO,
                    UMA_DEMOTE_KERNEL_COPY,
                    UMA_DEMOTE_IOCTL,
                    UMA_DEMOTE_NOSPACE,
                    UMA_DEMOTE_OTHER,
};
/* Commits, writes back and hands the inode to the kernel in all processes until its last close (mode PASSTHROUGH);
 * afterwards uma_begin says UMA_PATH_KERNEL for good. 0, also when it was demoted before; -EIO, -ENOSPC where the data
 * cannot be brought to the file: the mode is unchanged then. */
int uma_demote(struct uma *uma, int fd, enum uma_demotion reason);
/* The same in a vfork child, which works in its parent's memory on descriptors of its own, and must not attach: 0, -errno; 1:
 * it is left as it is, since fd is of another file there, or the library's descriptors are the parent's alone, another
 * thread of which attached the file meanwhile. */
int uma_demote_beside(struct uma *uma, int fd, enum uma_demotion reason);

/* The result of a call that the kernel made: -UMA_AGAIN if there was no room for it and there is more now, because this
 * process has removed logs that it kept ready. */
long uma_out_of_room(long result);
static inline long uma_after_kernel(long result)
{
    return __builtin_expect(result == -ENOSPC || result == -EDQUOT, 0) ? uma_out_of_room(result) : result;
}

/* ---- lookup ---- */

/* The uma of an inode that this process has open, NULL if none. Within an RCU read-side section. For stat by path. */
struct uma *uma_find(uint64_t dev, uint64_t ino);

/* Calls visit(uma, arg) for each uma of this process, under the list's lock: sync, syncfs, demotion before exec. */
void uma_each(void (*visit)(struct uma *uma, void *arg), void *arg);

/* ---- mappings ---- */

enum uma_map_kind {
    UMA_MAP_SHARED = 1,   /* MAP_SHARED: stores are the file's. Others show the file, and are not known by address */
    UMA_MAP_WRITABLE = 2, /* made with PROT_WRITE */
    UMA_MAP_STORES = 4,   /* shared, by a descriptor that may write: mprotect(2) may let stores through at any time */
    UMA_MAP_ATOMIC =
        16, /* shared, and what is stored counts from the next sync on, which is atomic: made without the right
                          * to store, which uma_protect.c gives page by page */
    UMA_MAP_KERNELS = 8, /* while it is there the file stays with the kernel (PASSTHROUGH), also after its last close */
};
/* Enters a mapping [addr, addr + length) of the file from `offset`, which the kernel has just made: from now on until it is
 * unmapped, loads and stores through it and calls on the file meet in the same bytes; the file is attached for it and its
 * mode IN_PLACE, where that can be. The uma is referenced by it. What was known of these addresses is forgotten. -EXDEV if
 * the file is in no root after all; -UMA_AGAIN. */
int uma_map(struct uma *uma, int fd, void *addr, size_t length, uint64_t offset, unsigned kind);

/* Whether the application's own mappings of the file leave it to the kernel: it is larger than what can be mapped here. */
bool uma_wants_kernel(struct uma *uma);

/* Whether plain stores to mappings of the file are failure-atomic, since it was opened O_ATOMIC. */
bool uma_is_atomic(struct uma *uma);

/* mprotect(2): mappings of kind ATOMIC get no right to store by it, only the mark. 0 or -errno. */
int uma_map_protect(void *addr, size_t length, int prot);

/* Before the kernel is asked to put something in the place of [addr, addr + length). */
void uma_map_leaving(void *addr, size_t length);

/* The caller's memory may be such a mapping: makes sure that a system call can store to it, for the moment. True if it may be
 * tried again. */
bool uma_protect_touch(const void *addr, size_t length);

/* munmap(2); and mmap(2) with MAP_FIXED of what is no managed file; mremap(2). What is known of the mappings that go is
 * forgotten; with mremap it moves along. 0 or the address, or -errno. */
int uma_unmap(void *addr, size_t length);
void *uma_map_over(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *uma_remap(void *old, size_t old_length, size_t length, int flags, void *new);

/* The shared mapping at `addr`: its uma. Within an RCU read-side section. NULL if there is none; then only `length` counts:
 * so many bytes from addr on are in none, at most. */
struct uma_place {
    uint64_t offset; /* of addr in the file */
    size_t length;   /* so many bytes from addr on are in the mapping */
    unsigned kind;
};
struct uma *uma_at(const void *addr, struct uma_place *place);

/* In a forked child, behind all locks: says what was inherited. */
void uma_map_inherited(void);

/* Makes durable what calls have written, but not what was stored through mappings: for msync, which asks the kernel for that
 * itself. */
int uma_commit_written(struct uma *uma);

/* ---- process ---- */

/* Fork table of the layer and those below; to be called around fork in this order, depth-counted by the caller. */
void uma_map_before_fork(void); /* the table of mapped ranges; may wait for a grace period */
void uma_map_after_fork(void);  /* in parent and child */
void uma_before_fork(void);     /* holds what read sections may wait for */
void uma_after_fork_parent(void);
void uma_after_fork_child(void);
void uma_born(void); /* in a child that ran no fork handlers */

/* Before exec: all is committed, written back and detached, as at exit, and ready logs are removed. Files attach again if
 * the process goes on. */
/* From now on pages that go away under us are no death. 0 or -errno. */
int uma_rescue_install(void);

void uma_before_exec(void);

/* The application has no descriptor left: detaches all, for good, which closes log and index of each. False: there were
 * none. Not within a read section. */
bool uma_relieve(void);

/* Orderly exit: commits, writes back and detaches everything; afterwards calls of this thread go to the kernel, those of others
 * wait. */
void uma_exit(void);

/* The first thread of this process ends, and not the process. */
void uma_main_ended(void);

/* Ends the sync thread, wholly, for calls that want a process of one thread; false: there is none, or it does not end. */
bool uma_sync_pause(void);
void uma_sync_after_fork_child(void); /* there is none, and it may be made */
void uma_sync_resume(void);           /* after it was paused */

#endif
