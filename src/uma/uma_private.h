/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_private.h — what the files of layer uma share: struct uma, operations, waiting. Not for other layers.
 *
 * Locks, in acquisition order; all but the registry's and the attach lock lie in shared memory:
 *
 *     map            process: the table of mapped ranges (held across the kernel's munmap, mremap)
 *     attach         process: attaching and detaching, one at a time
 *     registry       process: list of umas, holders, the sync thread's list
 *     inode bucket   volume: attaching and detaching between processes
 *     resize         whoever changes the size, appends, or allocates behind the end
 *     slots          ascending
 *     guard          not a lock: a record's epoch; commits wait for it
 *     commit         one commit at a time; a commit takes neither resize nor slots while it holds it
 *     gate           mode changes and kernel truncation; taken holding resize and commit; waits for all guards to be left,
 *                    then locks slots (whose holders do not wait for anything while the gate is closed)
 *     kernel         the file's size and allocation in the kernel
 *     grow, alloc, node, repair   leaves
 */
#ifndef UMA_UMA_PRIVATE_H
#define UMA_UMA_PRIVATE_H

#include "base/geometry.h"
#include "index/index.h"
#include "log/log.h"
#include "log/volume.h"
#include "pm/pm.h"
#include "pm/pm_guard.h"
#include "pm/pm_map.h"
#include "uma/uma.h"
#include "uma/uma_registry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define UMA_BLOCK LOG_BLOCK
#define UMA_BLOCK_SHIFT LOG_BLOCK_SHIFT
#define UMA_LINE 64u
#define UMA_PIECE_BLOCKS GEOMETRY_PIECE_BLOCKS /* blocks that one operation locks at most: 2 MiB */
#define UMA_PIECE (UMA_PIECE_BLOCKS * (uint64_t)UMA_BLOCK)
#define UMA_SIZE_MAX INT64_MAX
/* Beyond this offset a file is not mapped (segments would not fit the address space): its homes there are reached by
 * pread and, at write-back, pwrite; a line that changes is relocated in the log. */
#define UMA_MAPPED_MOST (UINT64_C(1) << 42)

enum uma_lease { UMA_LEASE_OFF, UMA_LEASE_WANTED, UMA_LEASE_HELD, UMA_LEASE_LENT };

enum uma_flags {
    UMA_FLAG_FRESH = 1,       /* empty when opened, not synced since: the kernel's path until then */
    UMA_FLAG_ATOMIC = 2,      /* opened O_ATOMIC by this process */
    UMA_FLAG_ALONE = 4,       /* attaching failed for good (no space, no permission): kernel's path */
    UMA_FLAG_UNPROVEN = 8,    /* it is not known yet whether the file is of the volume: uma_prove */
    UMA_FLAG_OUTSIDE = 16,    /* it is not: the kernel's path for good */
    UMA_FLAG_PROGRAM = 32,    /* may be executed: reads do not attach it, or nobody could meanwhile (ETXTBSY) */
    UMA_FLAG_UNATTENDED = 64, /* attached, and no thread sees to it: each call does (uma_unattended.c) */
    UMA_FLAG_LOCKABLE = 128,  /* uma_before_lock was called, and data_fd is open, or never will be (OUTSIDE) */
    UMA_FLAG_LOCKED = 256,    /* the application may hold locks that a close of any descriptor of the file drops */
};

/* Bytes of the next piece: all that is left if it can be one step, else up to a multiple of the greatest length. One that is
 * not aligned has a block more than UMA_PIECE_BLOCKS. */
static inline uint64_t uma_piece_length(uint64_t offset, uint64_t left)
{
    return left <= UMA_PIECE ? left : UMA_PIECE - offset % UMA_PIECE;
}

/* A page that was stored to, or may be. */
struct uma_exposed {
    uint64_t block; /* of the file */
    uintptr_t page; /* its address while it may be stored to, else 0 */
};

/* Failure-atomic mappings of a file in this process (uma_protect.c). */
struct uma_protect {
    struct shlock lock;       /* guards list, count, room, exposed; held across mprotect and flushes; innermost */
    _Atomic uint32_t settler; /* the thread's state (uma_settler.c); a futex word */
    struct uma_exposed *list;
    uint32_t count, room;
    uint32_t exposed;     /* entries with a page, at most */
    _Atomic uint32_t run; /* of stores in sequence, and where it goes on: guesses */
    _Atomic uint64_t next;
};

/* Which of its records a thread of this process uses. Not asked of the record itself, as others can store there. A line for
 * each, as threads must not share one. */
struct uma_claim {
    _Atomic uint32_t taken; /* 1: by a thread; made free at attach */
    char unused[UMA_LINE - sizeof(uint32_t)];
};

struct uma {
    struct uma *hash_next; /* registry: under registry lock, read under RCU */
    uint64_t dev, ino;
    struct volume *volume;
    bool durable;           /* volume_is_durable: what is committed is to survive a power cut */
    unsigned holders;       /* under registry lock */
    unsigned busy;          /* the sync thread is at it: under registry lock */
    _Atomic uint32_t state; /* enum uma_state; release at attach pairs with acquire in uma_begin */
    _Atomic uint32_t flags; /* enum uma_flags */
    struct uma_worth worth;
    _Atomic uint64_t bytes_copied; /* by write-back, through the kernel */
    _Atomic int nowait[2];         /* of reads and of writes, see uma_nowait: 0 not asked, NOWAIT_TAKEN, or an error */
    _Atomic uint64_t size_at_open;
    _Atomic uint32_t was_read;    /* in user space: the time of access is to be delivered */
    _Atomic uint64_t access_tick; /* of the kernel's clock of files, when it was delivered last */
    _Atomic uint64_t fresh_until; /* bytes moved, when a fresh file is looked at again */
    _Atomic bool undo;            /* rule 4 for first touches, else rule 3; may change at any moment */

    /* valid while attached */
    int data_fd;  /* own description of the file; -1: none. Opened before the application's first lock, or at attach */
    int spare_fd; /* one that data_fd has taken the place of; closed with it, see uma_data_replace */
    bool data_writable;
    bool borrowed; /* data_fd is a duplicate of the application's: one description for the kernel (uma_lease.c) */
    _Atomic bool
        stray; /* that one is the library's alone by now, though the application has others: no lease can be had */
    _Atomic uint32_t lease; /* enum uma_lease */
    uint64_t lent_at; /* when the lease was broken, ms of the monotonic clock; at attach, then the lease's thread */
    unsigned participant;
    _Atomic bool torn;  /* a page was missing, see uma_rescue.c; until the detach */
    _Atomic bool tight; /* the file system had no space for it once; a hint, see uma_space.c */
    bool out_of_reach;  /* its index object was waited for in vain; under the bucket lock */
    bool late;          /* joined in the place for those who find no other; for a moment, under the bucket lock */
    uint64_t process;   /* volume_self when joined */
    struct log log;
    struct index index;
    struct pm_map data;

    /* mappings of this process, attached or not: changed under ranges.lock, read by whoever attaches */
    _Atomic uint32_t maps, stored_maps, kernel_maps, atomic_maps; /* all; of kind STORES; KERNELS; ATOMIC */
    _Atomic uint32_t returns;                                     /* mode changes back to LOGGED, not long ago */
    _Atomic uint32_t review;    /* the last mapping is gone, and the sync thread is to see to the mode */
    _Atomic uint32_t inherited; /* the parent had it attached and mapped */

    struct uma_protect protect;

    /* for the sync thread */
    _Atomic uint32_t active;   /* written since the thread looked last */
    _Atomic uint32_t dirty;    /* there may be entries to write back */
    _Atomic uint32_t announce; /* a time was delivered, and fanotify not told yet */
    uint32_t quiet_ms, unsynced_ms, times_ms, mapped_ms;
    uint32_t walked; /* number of the walk that met it last: under registry lock */

    struct uma_scratch
        *scratch[INDEX_RECORDS]; /* of each record, made when first needed; used by who claimed the record */
    struct uma_claim claim[INDEX_RECORDS];
};

static inline bool uma_is_attached(const struct uma *uma)
{
    return atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_ATTACHED;
}
static inline struct index_shared *uma_shared(const struct uma *uma)
{
    return uma->index.shared;
}
static inline uint64_t uma_block_of(uint64_t offset)
{
    return offset >> UMA_BLOCK_SHIFT;
}
static inline uint64_t uma_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t uma_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
/* Sets of lines of a block: bit i for line i. */
#define UMA_ALL_LINES (~UINT64_C(0))
static inline uint64_t uma_lines(unsigned first, unsigned last)
{
    return (UMA_ALL_LINES << first) & (UMA_ALL_LINES >> (LOG_LINES - 1 - last));
}
/* Takes the lowest run of consecutive lines out of the set; false if it is empty. */
static inline bool uma_take_run(uint64_t *lines, unsigned *first, unsigned *last)
{
    if (!*lines)
        return false;
    *first = (unsigned)__builtin_ctzll(*lines);
    uint64_t rest = ~(*lines >> *first);
    *last = rest ? *first + (unsigned)__builtin_ctzll(rest) - 1 : LOG_LINES - 1;
    *lines &= ~uma_lines(*first, *last);
    return true;
}
static inline uint64_t uma_round_up(uint64_t offset)
{
    return (offset + UMA_BLOCK - 1) & ~(uint64_t)(UMA_BLOCK - 1);
}

/* ---- faults (uma_rescue.c) ---- */

/* The uma that this thread has claimed a record of, NULL: none. */
extern __thread struct uma *uma_working __attribute__((tls_model("initial-exec")));
/* From now on this thread works on that uma's files, NULL: on none that is known. What its stores must survive goes with it. */
static inline void uma_work_on(struct uma *uma)
{
    uma_working = uma;
    pm_domain = uma && !uma->durable ? PM_DOMAIN_CACHED : PM_DOMAIN_DURABLE;
}
/* Before the first store to mapped files. 0 or -errno. */
/* The uma whose index object lay at that address, its page replaced by one of zeros; NULL: none. In a handler of signals. */
struct uma *uma_of_index(uintptr_t address);
/* Whether the stores of an operation may have gone nowhere: asked behind them. */
static inline bool uma_is_failed(const struct uma *uma)
{
    return atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) == INDEX_MODE_FAILED;
}

/* ---- operations (uma_op.c) ---- */

/* Claims a record of this process for the calling thread; waits while all are taken. */
struct index_record *uma_claim(struct uma *uma);
void uma_unclaim(struct uma *uma, struct index_record *record);
/* The record's scratch memory, made when first needed. NULL: there is none. */
struct uma_scratch *uma_scratch(struct uma *uma, const struct index_record *record);
void uma_scratch_free(struct uma *uma); /* of all records */
/* Whether another process is attached; dead ones count until they are repaired. */
bool uma_is_shared(const struct uma *uma);
static inline uint32_t uma_id(const struct uma *uma, const struct index_record *record)
{
    return index_record_id(&uma->index, record);
}

/* Waiting for somebody in shared memory: spins, yields, sleeps; looks after dead processes every few milliseconds. */
struct uma_wait {
    unsigned rounds;
};
/* True every few milliseconds: then the caller looks whether what it waits for is there at all (uma_heal.c). */
bool uma_wait_step(struct uma *uma, struct index_record *record, struct uma_wait *wait);

/* Acquires a lock in shared memory for the record, taking it over from a dead owner after repair; releases it. Acquired
 * outside the guard alone. */
void uma_lock(struct uma *uma, struct index_record *record, enum index_lock which);
void uma_unlock(struct uma *uma, struct index_record *record, enum index_lock which);
/* The lock could not be had for long: looks after those who are dead or never held it. Outside the guard. */
void uma_look_after(struct uma *uma, struct index_record *record, enum index_lock which);

/* Locks the slot of a block, which the record says that it may hold; returns its state before. */
uint64_t uma_lock_slot(struct uma *uma, struct index_record *record, struct index_slot *slot, uint64_t block);

/* Enters the epoch guard: 0 with *epoch, or -EAGAIN (outside again) if the gate is closed. */
int uma_guard_enter(struct uma *uma, struct index_record *record, uint64_t *epoch);
/* Leaves it. The caller has fenced what it stored to PM. Release: when a committer (acquire) sees us outside, all that we
 * have written is persistent. */
static inline void uma_guard_leave(struct index_record *record)
{
    atomic_store_explicit(&record->epoch, 0, memory_order_release);
}
/* Waits, outside, until the gate is open. */
void uma_gate_wait(struct uma *uma, struct index_record *record);

/* Waits until nobody is in the guard of an epoch <= `epoch`. */
void uma_guard_drain(struct uma *uma, struct index_record *record, uint64_t epoch);

/* Whether what was committed must be kept when it is written over. Nobody asks for it where nothing survives a power cut and
 * everybody wants what was written last: what is in the file or the log survives the death of processes as it is. Becomes
 * true for an attached file, with the gate closed, when somebody opens it O_ATOMIC; asked inside the guard, it holds until the
 * guard is left. */
static inline bool uma_keeps_commits(const struct uma *uma)
{
    return uma->durable || atomic_load_explicit(&uma_shared(uma)->atomic, memory_order_acquire);
}

/* A change in `epoch` is under way (inside the guard): a commit is needed, times are to be delivered. */
void uma_mark_changed(struct uma *uma, uint64_t epoch);

/* ---- repair (uma_repair.c) ---- */

/* Repairs what dead processes left behind in this uma; true if there were any. */
bool uma_repair(struct uma *uma, struct index_record *record);
/* The slot of a block, locked (`state`) by nobody alive or by the caller: what PM tells becomes its state, unlocked. */
void uma_repair_slot(struct uma *uma, uint64_t block, struct index_slot *slot, uint64_t state);

/* ---- damage (uma_heal.c) ---- */

/* The index is damaged: `what`. The file fails until its last close. */
void uma_damaged(struct uma *uma, const char *what);
/* From now on the file is in that mode, unless it has failed. */
void uma_mode_store(struct uma *uma, enum index_mode mode);
/* Whether the epochs, the log's header and our place are what they can be; else the file has failed. Under the commit lock. */
bool uma_epochs_hold(struct uma *uma);
/* The lock, the slot, another's record in the guard, ours that is outside: if only damage makes them look taken they are freed,
 * and the file fails. */
void uma_heal_lock(struct uma *uma, struct index_record *record, enum index_lock which);
void uma_heal_slot(struct uma *uma, struct index_record *record, struct index_slot *slot, uint64_t block);
void uma_heal_guard(struct uma *uma, struct index_record *other);
void uma_heal_outside(struct uma *uma, struct index_record *record);
/* One leaf more of a walk through all; false if there cannot be so many. */
bool uma_walk_on(struct uma *uma, uint64_t *leaves);
/* In the guard of an epoch above `epoch`, whose commit is waited for. */
void uma_heal_inside(struct uma *uma, struct index_record *record, uint64_t epoch);

/* ---- sizes (uma_size.c) ---- */

/* The size that commits with `epoch`. */
uint64_t uma_size_of_epoch(struct uma *uma, uint64_t epoch);
/* Up to where there may be garbage behind the end (rule 7): what mappings stored in the last page, too. Resize lock held. */
uint64_t uma_garbage_end(struct uma *uma, uint64_t size);
/* Sets the logical size in `epoch`, inside its guard and under the resize lock. */
void uma_size_set(struct uma *uma, uint64_t epoch, uint64_t size);

/* ---- writing (uma_write.c) ---- */

/* Writes zeros to [from, to) without moving the size; under the resize lock. */
int uma_write_zeros(struct uma *uma, struct index_record *record, uint64_t from, uint64_t to);

/* ---- space (uma_space.c) ---- */

/* Takes `count` log blocks into `list` for the record, growing the log or writing back where needed. 0, -ENOSPC, ... Called
 * outside guard and slots. */
int uma_take_blocks(struct uma *uma, struct index_record *record, uint32_t count, uint32_t *list);
/* Makes sure the file system has space for the blocks [first, first + count) of the file. Outside guard and slots. */
int uma_reserve_home(struct uma *uma, struct index_record *record, uint64_t first, uint64_t count);
/* The file is about to grow to `to` over a hole: what was reserved behind its end is not to become part of it. Under the
 * resize lock. */
void uma_drop_reserve(struct uma *uma, struct index_record *record, uint64_t to);
/* Makes the file reach `size` in the kernel, durably, if it does not. -ENOSPC also where it does, but a store there could
 * find no space. */
int uma_extend_kernel(struct uma *uma, struct index_record *record, uint64_t size);
/* The same for who has slots locked. -EAGAIN: somebody has the kernel lock, who may be about to lock slots (uma_forget_homes).
 * Then the slots are unlocked before it is waited for. */
int uma_extend_with_slots(struct uma *uma, struct index_record *record, uint64_t size);
/* The same for who cuts off at once what is reserved behind: then every store finds space. */
int uma_extend_to_cut(struct uma *uma, struct index_record *record, uint64_t size);
/* Makes it reach `size`; durable with the next commit. For mapped files, whose writes are in place and whose size is told at
 * once. */
int uma_lengthen_kernel(struct uma *uma, struct index_record *record, uint64_t size);
/* Cuts the kernel's file from `now` bytes (UINT64_MAX: any number) to `size`, durably. Gate, commit and kernel lock held. */
int uma_cut_kernel(struct uma *uma, struct index_record *record, uint64_t size, uint64_t now);

/* ---- data and holes (uma_seek.c) ---- */

/* The first offset >= `offset` where the file or the log has data, UINT64_MAX if there is none; and the first one that is in
 * a hole. Neither looks at the logical size. */
uint64_t uma_next_data(struct uma *uma, uint64_t offset);
uint64_t uma_next_hole(struct uma *uma, uint64_t offset);

/* ---- commit (uma_commit.c) ---- */
int uma_commit_record(struct uma *uma, struct index_record *record);
/* The same, but not of an O_ATOMIC file, which it may have become since the caller looked. */
int uma_commit_unasked(struct uma *uma, struct index_record *record);
/* A commit by a caller that holds the commit lock. */
int uma_commit_locked(struct uma *uma, struct index_record *record);
/* Waits until an epoch is durable, finishing the commit if the committer died. */
void uma_wait_durable(struct uma *uma, struct index_record *record, uint64_t epoch);
void uma_fail(struct uma *uma, int error);

/* ---- write-back (uma_writeback.c) ---- */

/* Brings committed blocks to the file and frees their entries, at most `most` blocks; returns how many entries it freed, or
 * -errno. With `all` it waits for locked slots, else it passes them over. */
int64_t uma_writeback(struct uma *uma, struct index_record *record, uint64_t most, bool all);
/* The file has no allocated blocks from block `first` on any more, as far as slots and dense_blocks say. Gate closed. */
void uma_forget_homes(struct uma *uma, struct index_record *record, uint64_t first);
/* The same, and the file's times stay as they are. */
int64_t uma_writeback_quietly(struct uma *uma, struct index_record *record, uint64_t most, bool all);
/* Cuts what lies behind the committed size off the file, if nothing is uncommitted. */
int uma_trim(struct uma *uma, struct index_record *record);
/* The same for one who holds the resize lock, with the gate closed. */
int uma_trim_locked(struct uma *uma, struct index_record *record);

/* ---- modes (uma_mode.c) ---- */

/* Closes the gate (takes the commit lock first) and waits for all writers to leave; opens it again. */
void uma_gate_close(struct uma *uma, struct index_record *record);
void uma_gate_open(struct uma *uma, struct index_record *record);
/* Resize lock held, gate closed: commits, brings everything to the file, frees the log, makes the kernel's size exact. */
int uma_settle(struct uma *uma, struct index_record *record);
int uma_set_mode(struct uma *uma, struct index_record *record, enum index_mode mode);
/* From now on the kernel serves the file, which is complete. Gate closed, or nobody else has attached it yet. */
void uma_mark_passthrough(struct uma *uma);

/* ---- attach (uma_attach.c) ---- */
enum uma_purpose {
    UMA_TO_SERVE,
    UMA_TO_JOIN,  /* others have it: as they do */
    UMA_TO_DEMOTE /* it is to be the kernel's */
};
int uma_attach(struct uma *uma, int fd, enum uma_purpose purpose);
/* Whether the application has so many descriptors that it can do without those of an attachment that nobody needs but to be
 * served faster, or in one piece. */
bool uma_has_room(void);
int uma_detach(struct uma *uma);
/* Tells log and index when this process opened the file O_ATOMIC. */
void uma_note_atomic(struct uma *uma);
/* Sets a flag in the log's header, durably. */
void uma_set_log_flag(struct uma *uma, enum log_flags flag);

/* ---- the data file's descriptor (uma_data.c); under the attach lock ---- */
/* A file with a right to execute: a descriptor of it that can write keeps it from being executed. */
static inline bool uma_is_program(const struct uma *uma)
{
    return atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_PROGRAM;
}
/* Opens data_fd from an application's descriptor if there is none yet: a program's for reading alone, if that may do. */
int uma_data_open(struct uma *uma, int fd, enum uma_purpose purpose);
/* Where it was opened for reading alone, and that does no longer. Failing, the file is one that this process may only read. */
void uma_data_open_to_write(struct uma *uma);
/* `fd`, which can write, takes its place. The old one stays until the last close: closing it now would drop the process's POSIX
 * locks. */
void uma_data_replace(struct uma *uma, int fd);
/* In a forked child: a description of its own in the place of one that is borrowed. False: it cannot be opened. */
bool uma_data_own(struct uma *uma);
/* Within an application's close of that inode. Detached. */
void uma_data_close(struct uma *uma);

/* ---- POSIX locks of the application (uma_locks.c) ---- */
/* Whether this process may have any; fd: any descriptor of the file. A guess where another thread takes the first one now. */
bool uma_holds_locks(const struct uma *uma, int fd);
/* Gives the uma the descriptors that were kept over exec for it, if there are any. Under the attach lock. */
bool uma_take_kept(struct uma *uma);

/* ---- what attaching is worth (uma_worth.c) ---- */
void uma_worth_begin(struct uma *uma, uint64_t size);
bool uma_wants_attach(struct uma *uma, int fd, enum uma_intent intent);
/* Touching a mapping costs a fault for a page or some pages, the kernel a call each time: it pays when a good part of the
 * file (`size` bytes) went through the kernel. */
#define UMA_MAP_SHARE 16u
static inline bool uma_home_worth_mapping(const struct uma *uma, uint64_t size)
{
    uint64_t moved = atomic_load_explicit(&uma->worth.bytes_read, memory_order_relaxed) +
                     atomic_load_explicit(&uma->bytes_copied, memory_order_relaxed);
    return moved >= size / UMA_MAP_SHARE;
}
/* 0 if the file of fd is of the uma's volume; -EXDEV if it is in no root; -EBADF where fd is -1 and must be asked. */
int uma_prove(struct uma *uma, int fd);

/* ---- mapped files (uma_mapped.c) ---- */

/* This process has one mapping more, or less: the mode follows. Under ranges.lock. The first may fail: -EIO, -ENOSPC. */
int uma_mapped_more(struct uma *uma, unsigned kind);
void uma_mapped_less(struct uma *uma, unsigned kind);
/* The uma is being attached: its mappings, inherited or made before, count from now on. */
int uma_mapped_attached(struct uma *uma);
/* Behind the attachment: one that was made at the same moment. */
void uma_mapped_look_again(struct uma *uma);
/* Whether any live process has the file mapped. */
bool uma_is_mapped(struct uma *uma);
/* Called by the sync thread, `ms` after the last time, while the mode is IN_PLACE; whether it is to come again. */
bool uma_mapped_review(struct uma *uma, uint32_t ms);
/* This process has forked, or is the child. */
void uma_mapped_forked(void);

/* ---- failure-atomic mappings (uma_protect.c, uma_settler.c) ---- */

/* Saves blocks of the file, which is mapped at `page`, and exposes them there. 0 or -errno; -UMA_AGAIN: in no mode for it. */
int uma_write_save(struct uma *uma, struct index_record *record, uint64_t block, uint32_t blocks, uintptr_t page);
/* Its last step, behind the entries, inside the guard. */
int uma_protect_expose(struct uma *uma, uint64_t first, uint32_t blocks, uintptr_t page);
/* A store faulted: see pm_guard_watch. */
enum pm_guard_verdict uma_protect_fault(uintptr_t address);
/* In a commit of `epoch`, when its guard is drained: what was stored through mappings of any process is written back. */
void uma_protect_settle(struct uma *uma, struct index_record *record, uint64_t epoch);
void uma_protect_settle_own(struct uma *uma);
/* Before the first such mapping of an attached file is made, and when it is detached. 0 or -errno. */
int uma_protect_begin(struct uma *uma);
void uma_protect_end(struct uma *uma);
/* The mapping [start, end) is about to go or to move. */
void uma_protect_forget(struct uma *uma, uintptr_t start, uintptr_t end);
int uma_settler_start(struct uma *uma);
void uma_settler_stop(struct uma *uma);
/* Waits until all other processes have settled the epoch. */
void uma_settler_ring(struct uma *uma, struct index_record *record, uint64_t epoch);

#include "uma/uma_background.h"

#endif
