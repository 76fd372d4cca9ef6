/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * index.h — what the processes that use one file share in DRAM: the radix table of slots, locks, counters, records of
 * operations under way. Layer index; called by uma.
 *
 * The object is a sparse tmpfs file /dev/shm/nvmmio-UID-NONCE (0600), named by the log's header. Every page is allocated
 * (fallocate) before it is touched. Nothing in it survives the last process: recovery rebuilds from the log. References
 * inside it are page numbers, block numbers and ids, never pointers, and are bounds-checked where they become addresses.
 *
 *     page 0     struct index_shared
 *     page 1     process words of the participants
 *     page 2..   records, 16 a participant
 *     1 MiB      free map of the log: one bit a log block, set = in use
 *     16 MiB     superseded[]: for each log block the entry that its entry supersedes (rule 11), 0 = none
 *     32 MiB     radix nodes, one page each
 *
 * Radix table. A leaf is a page of 256 slots: 1 MiB of the file. An inner node is a page of 1024 page numbers. The root
 * word holds height and page; a tree of height h covers 256 * 1024^h blocks. Nodes are only added, never removed.
 *
 * Slot: { state, newest }. state = version (low half) and entry (high half). An even version is unlocked; locking makes it
 * odd and puts the owner's id in place of the entry, so that a dead owner's slots can be found; unlocking adds one more and
 * stores the entry. `newest` bit i says that line i's newest copy is in the log block of the entry; it changes only while
 * the slot is locked. A reader loads state, newest, copies, and loads state again: unchanged means what was copied is whole.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include "base/geometry.h"
#include "base/shlock.h"
#include "pm/pm_map.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_MAGIC UINT64_C(0x33584449564e0a4e)
#define INDEX_PAGE 4096u
#define INDEX_PARTICIPANTS 512u              /* a page of process words */
#define INDEX_LATE (INDEX_PARTICIPANTS - 1)  /* the place of one who finds all others taken, for a moment */
#define INDEX_RECORDS 16u                    /* operations of one process under way at once; further threads wait */
#define INDEX_LEAF_SHIFT GEOMETRY_LEAF_SHIFT /* 8 */
#define INDEX_LEAF_SLOTS (1u << INDEX_LEAF_SHIFT)
#define INDEX_NODE_SHIFT 10
#define INDEX_HEIGHT_MAX 5u

#define INDEX_PROCESSES_OFFSET INDEX_PAGE
#define INDEX_RECORDS_OFFSET (2 * INDEX_PAGE)
#define INDEX_FREEMAP_OFFSET (UINT64_C(1) << 20)
#define INDEX_SUPERSEDED_OFFSET (UINT64_C(1) << 24)
#define INDEX_NODES_OFFSET (UINT64_C(1) << 25)

/* High half of a slot's state: the entry, and whether the file has a block allocated at this place. */
#define INDEX_ENTRY_MASK UINT32_C(0x7fffffff)
#define INDEX_HOME_ALLOCATED UINT32_C(0x80000000)

struct index_slot {
    _Atomic uint64_t state;
    _Atomic uint64_t newest;
};

/* One operation under way. Its id (index_record_id) owns locks and slots. Written by its thread, read by committers and,
 * after its process died, by the repairer; fields are stored before what they describe happens. claimed and holds never have
 * a value twice, so that who finds one unchanged knows that it was so all the time between. */
struct index_record {
    _Atomic uint32_t claimed;     /* counts: odd while a thread uses it */
    _Atomic uint32_t blocks;      /* slots that may be locked: [first, first + blocks) */
    _Atomic uint64_t first;       /* block of the file */
    _Atomic uint64_t epoch;       /* the epoch whose guard the operation is in, 0 outside */
    _Atomic uint32_t alloc_first; /* log blocks taken from the free map and in no entry yet */
    _Atomic uint32_t alloc_count;
    _Atomic uint32_t keeping; /* how often it is counted in times_keepers */
    /* of a participant's first record, and about the whole process: */
    _Atomic uint32_t maps;     /* how many mappings of the file it has */
    _Atomic uint32_t protects; /* it has failure-atomic mappings of the file (uma_protect.c) */
    _Atomic uint32_t exposed;  /* pages of these may be stored to, or are not written back yet; set inside the guard */
    _Atomic uint64_t settled;  /* the last epoch whose stored pages it has protected and written back */
    /* of each record again: */
    _Atomic uint64_t
        holds; /* bit of each enum index_lock that it has, or is about to take; above them a count of takings */
};

#define INDEX_PROTECTS UINT32_C(0x5e771e5) /* what `protects` is beside 0: a bit or two do not make it */

/* The locks of index_shared, in no order. */
enum index_lock {
    INDEX_LOCK_GATE,
    INDEX_LOCK_RESIZE,
    INDEX_LOCK_COMMIT,
    INDEX_LOCK_TIMES,
    INDEX_LOCK_ALLOC,
    INDEX_LOCK_GROW,
    INDEX_LOCK_NODE,
    INDEX_LOCK_KERNEL,
    INDEX_LOCK_REPAIR,
    INDEX_LOCKS
};

/* Of index_shared.times_pending. */
enum index_times {
    INDEX_TIMES_SETTLED,
    INDEX_TIMES_PENDING,    /* written to: the kernel's mtime is to move */
    INDEX_TIMES_DELIVERING, /* it is moving; if nobody holds times_lock its deliverer died, and it is pending */
};

enum index_mode {
    INDEX_MODE_LOGGED,      /* served here */
    INDEX_MODE_IN_PLACE,    /* served here, newest copies always in the file, which is mapped */
    INDEX_MODE_PASSTHROUGH, /* served by the kernel until the last close */
    INDEX_MODE_FAILED,      /* EIO until the last close */
};

/* Page 0. Lines are laid out by who writes them. */
struct index_shared {
    /* line 0: constant after creation */
    uint64_t magic;
    uint64_t nonce;
    uint64_t reserved0[6];

    /* line 1: read by every operation, written by commits and mode changes */
    _Atomic uint64_t epoch;          /* of new writes: durable or durable + 1 */
    _Atomic uint64_t durable;        /* H, as in the log's header */
    struct shlock gate;              /* held: writers leave the guard and wait (mode changes, kernel truncate) */
    _Atomic uint32_t mode;           /* enum index_mode; changed under gate */
    _Atomic uint64_t committed_size; /* size committed with `durable` */
    _Atomic uint64_t kernel_size;    /* of the file in the kernel; under kernel_lock */
    _Atomic uint64_t kernel_durable; /* bytes of it that survive a power cut */
    _Atomic uint64_t dense_blocks;   /* blocks below this are allocated in the file; under kernel_lock */
    _Atomic uint64_t root;           /* height << 32 | page, 0 = empty */

    /* line 2: size (rule 8); under resize_lock */
    _Atomic uint64_t size;
    _Atomic uint64_t prev_size;
    _Atomic uint64_t size_epoch;
    _Atomic uint64_t garbage_end; /* bytes at or above are zero in both homes (rule 7) */
    struct shlock resize_lock;
    uint32_t reserved2;
    _Atomic uint64_t zeros_end; /* while the size is about to grow over what is being zeroed: its end, else 0 */
    _Atomic int64_t kept_seconds, kept_nanoseconds; /* the mtime to go back to; under times_lock, with times_keepers */

    /* line 3: commits */
    struct shlock commit_lock;
    _Atomic uint32_t kernel_changes; /* counts what went through the kernel: allocation, size */
    _Atomic uint64_t dirty_epoch;    /* the last epoch in which something changed */
    _Atomic uint32_t times_pending;  /* enum index_times; anybody may make it PENDING, else under times_lock */
    _Atomic uint32_t synced;         /* the application has synced the file */
    _Atomic uint32_t atomic;         /* somebody opened it O_ATOMIC */
    _Atomic uint32_t stored;         /* a mapping takes stores: a sync asks the kernel, too; cleared under gate */
    _Atomic uint32_t kernel_synced;  /* kernel_changes that the last fsync of a commit covered; under commit_lock */
    _Atomic uint32_t frozen;         /* the kernel's file is not to change (uma_lease.c); set with the gate closed */
    struct shlock times_lock;
    _Atomic uint32_t times_keepers; /* who changes the file and wants its mtime back; raised under times_lock */
    _Atomic uint64_t
        times_tick; /* of the kernel's clock of files, when the mtime was delivered last; under times_lock */
    _Atomic uint32_t protected;   /* somebody has failure-atomic mappings, or had */
    _Atomic uint32_t times_keeps; /* how often somebody began to keep the mtime; under times_lock */

    /* line 4: allocation of log blocks; under alloc_lock */
    struct shlock alloc_lock;
    struct shlock grow_lock;     /* growing the log file */
    _Atomic uint32_t log_blocks; /* blocks that exist: [LOG_FIRST_BLOCK, log_blocks) */
    _Atomic uint32_t free_blocks;
    _Atomic uint32_t alloc_hint;
    uint32_t reserved5;
    _Atomic uint64_t seq; /* of the last entry made */
    uint64_t reserved6[3];

    /* line 5: nodes, kernel size */
    struct shlock node_lock;
    _Atomic uint32_t node_next;     /* first page of the nodes' area that is not used */
    _Atomic uint32_t node_reserved; /* first one that is not allocated */
    struct shlock kernel_lock;
    struct shlock repair_lock;
    _Atomic uint32_t record_pages; /* pages of records that are allocated */
    _Atomic uint32_t participants; /* high-water mark of used process words */
    _Atomic uint64_t writeback_cursor;
    _Atomic uint32_t reserved_blocks; /* log blocks that free map and superseded[] have pages for */
    uint32_t reserved7[5];

    /* line 6: commits and failure-atomic mappings (uma_protect.c) */
    _Atomic uint64_t settle_epoch; /* whose mapped stores are to be settled: its guard is drained; under commit_lock */
    _Atomic uint32_t settle_bell;  /* rung for it: a futex word */
    _Atomic uint32_t strays;       /* a process with such mappings died: what it stored is not written back */
    uint64_t reserved8[6];
};

_Static_assert(offsetof(struct index_shared, epoch) == 64, "line 1");
_Static_assert(offsetof(struct index_shared, commit_lock) % 64 == 0, "line of commits");
_Static_assert(sizeof(struct index_shared) <= INDEX_PAGE, "one page");
_Static_assert(sizeof(struct index_record) == 64, "one line");
_Static_assert(sizeof(struct index_slot) == 16, "16 bytes for each 4 KiB");

/* Process-private handle. */
struct index {
    int fd;
    uint32_t owner; /* uid */
    uint64_t nonce;
    uint64_t dev, ino;
    struct pm_map map;
    struct index_shared *shared;
    _Atomic uint32_t nodes; /* pages of nodes that are known to exist, by the object's length */
};

/* A random number for a new object. */
int index_new_nonce(uint64_t *nonce);

/* Whether this process's pool has the object. */
bool index_is_pooled(uint64_t nonce);

/* Makes the object `nonce` for a log of owner `owner` with `log_blocks` blocks, all free: from this process's pool if it
 * has it, else new, and then there was never another of that nonce. The log's header names it already. 0 or -errno (ENOSPC:
 * /dev/shm is full, EACCES, ENOENT: no such; EAGAIN: another process took it for a dead one's, try another nonce). */
int index_create(struct index *index, uint32_t owner, uint64_t nonce, uint32_t log_blocks);

/* Opens the object `nonce`, which must be a regular file of `owner`, mode 0600, with that device and inode number.
 * -ESTALE if it is not. */
int index_open(struct index *index, uint32_t owner, uint64_t nonce, uint64_t dev, uint64_t ino);

/* Unmaps and closes. */
void index_close(struct index *index);

/* The same, when the log stays: removed as well if nobody else has it, as nobody comes to it. Under the bucket lock. */
void index_abandon(struct index *index);

/* The last user is gone: with `keep` back to the pool (true: its log's header goes on naming it), else removed. */
bool index_destroy(struct index *index, bool keep);

/* The pooled object `nonce`, if there is one, is not needed any more: its log is gone. */
void index_discard(uint64_t nonce);

/* At exit, and in a forked child (which only closes). */
void index_pool_drain(bool remove);

/* Participants. Claims a process word: its number, or -errno (EUSERS: all taken). Caller holds the inode's bucket lock. */
int index_join(struct index *index, uint64_t process);
/* After -EUSERS: the place INDEX_LATE, to be left before the lock is. */
int index_join_late(struct index *index, uint64_t process);
void index_leave(struct index *index, unsigned participant);

static inline _Atomic uint64_t *index_process(const struct index *index, unsigned participant)
{
    return (_Atomic uint64_t *)((char *)index->shared + INDEX_PROCESSES_OFFSET) + participant;
}

static inline struct index_record *index_records(const struct index *index, unsigned participant)
{
    return (struct index_record *)((char *)index->shared + INDEX_RECORDS_OFFSET) + participant * INDEX_RECORDS;
}

/* Id of a record as an owner of locks and slots; never 0. */
static inline uint32_t index_record_id(const struct index *index, const struct index_record *record)
{
    return (uint32_t)(record - index_records(index, 0)) + 1;
}
static inline unsigned index_participant_of(uint32_t id)
{
    return (id - 1) / INDEX_RECORDS;
}
/* The record of an id, NULL if there is none such. */
static inline struct index_record *index_record_of(const struct index *index, uint32_t id)
{
    return id && id <= INDEX_PARTICIPANTS * INDEX_RECORDS ? index_records(index, 0) + (id - 1) : NULL;
}
static inline bool index_is_claimed(const struct index_record *record)
{
    return atomic_load_explicit(&record->claimed, memory_order_acquire) & 1;
}

/* ---- locks (index_locks.c) ---- */

static inline struct shlock *index_lock(const struct index *index, enum index_lock which)
{
    struct index_shared *shared = index->shared;
    switch (which) {
    case INDEX_LOCK_GATE:
        return &shared->gate;
    case INDEX_LOCK_RESIZE:
        return &shared->resize_lock;
    case INDEX_LOCK_COMMIT:
        return &shared->commit_lock;
    case INDEX_LOCK_TIMES:
        return &shared->times_lock;
    case INDEX_LOCK_ALLOC:
        return &shared->alloc_lock;
    case INDEX_LOCK_GROW:
        return &shared->grow_lock;
    case INDEX_LOCK_NODE:
        return &shared->node_lock;
    case INDEX_LOCK_KERNEL:
        return &shared->kernel_lock;
    default:
        return &shared->repair_lock;
    }
}

/* Acquires for the record: 0 or -ETIMEDOUT, as shlock_acquire. */
int index_lock_acquire(struct index *index, struct index_record *record, enum index_lock which);
int index_lock_try(struct index *index, struct index_record *record, enum index_lock which);
void index_lock_release(struct index *index, struct index_record *record, enum index_lock which);

/* Takes the lock over from a holder that is dead, or none (shlock_take_over). */
int index_lock_take_over(struct index *index, struct index_record *record, enum index_lock which, uint32_t owner);

/* Whether the lock's word names an owner that does not hold it, though it may live: the word is damaged. `record` does not
 * hold it. True only if that is sure; what a live or stopped owner holds, or a dead one not yet repaired, it never is. */
bool index_lock_is_nobodys(struct index *index, const struct index_record *record, enum index_lock which,
                           uint32_t *owner);

/* The same of a locked slot, that of `block`, whose state is `state`. */
bool index_slot_is_nobodys(struct index *index, const struct index_record *record, const struct index_slot *slot,
                           uint64_t block, uint64_t state);

/* The epoch of a record that nobody uses, which is in no guard: not 0 by damage alone. 0: it is in use, or right. */
uint64_t index_stray_epoch(const struct index_record *record);

/* A dead participant's record is free. */
void index_record_free(struct index_record *record);

/* The slot of a block, NULL if nothing near it was ever written. */
struct index_slot *index_find(struct index *index, uint64_t block);

/* The same, making nodes as needed. NULL with *error = -ENOSPC or -ETIMEDOUT: the node lock is held by somebody else for long;
 * look whether they are alive. */
struct index_slot *index_make(struct index *index, struct index_record *record, uint64_t block, int *error);

/* The first block >= `block` that has a slot, UINT64_MAX if none. */
uint64_t index_next(struct index *index, uint64_t block);

/* Whether a walk that has met so many leaves has met some twice: page numbers are damaged. Never while the tree is right. */
bool index_is_endless(struct index *index, uint64_t leaves);

/* Whether the object is long enough for nodes up to that page, whatever the shared memory says. */
bool index_has_node(struct index *index, uint32_t page);

/* Allocates the object's pages of [offset, offset + length). */
int index_reserve(struct index *index, uint64_t offset, uint64_t length);

/* ---- slots ---- */

static inline uint32_t index_state_entry(uint64_t state)
{
    return (uint32_t)(state >> 32) & INDEX_ENTRY_MASK;
}
static inline bool index_state_locked(uint64_t state)
{
    return state & 1;
}

/* Locks if unlocked; *old receives the state before. Acquire: pairs with the unlocker's release. */
static inline bool index_slot_try_lock(struct index_slot *slot, uint32_t owner, uint64_t *old)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    if (index_state_locked(state))
        return false;
    *old = state;
    return atomic_compare_exchange_strong_explicit(&slot->state, &state, (uint64_t)owner << 32 | (uint32_t)(state + 1),
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Unlocks. Release: the owner's stores come before the new state. Non-temporal ones do so only behind a fence: an owner that
 * has stored to PM calls pm_fence before. `high` is entry | INDEX_HOME_ALLOCATED. */
static inline void index_slot_unlock(struct index_slot *slot, uint64_t old, uint32_t high)
{
    atomic_store_explicit(&slot->state, (uint64_t)high << 32 | (uint32_t)(old + 2), memory_order_release);
}

/* ---- free map ---- */

/* Takes up to `count` consecutive free blocks for `record`, which is told of them (alloc_first, alloc_count). Returns how
 * many (0: none free), or -ETIMEDOUT as index_make. */
int index_take_blocks(struct index *index, struct index_record *record, uint32_t count, uint32_t *first);

/* Gives one block back. Its entry is void, durably. */
void index_give_block(struct index *index, uint32_t block);

/* Tells the map of blocks [from, to) that the log has gained; under grow_lock. */
int index_add_blocks(struct index *index, uint32_t from, uint32_t to);

/* The entry superseded by that of log block n. */
static inline _Atomic uint32_t *index_superseded(struct index *index, uint32_t n)
{
    return (_Atomic uint32_t *)((char *)index->shared + INDEX_SUPERSEDED_OFFSET) + n;
}

#endif
