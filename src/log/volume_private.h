/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_private.h — what the files of a volume share: struct volume and the layout of the table. Not for other layers.
 *
 * Locks, in acquisition order: volume_state.lock (process-private: the list of volumes, opening one), the table's init lock
 * (an OFD lock between processes: reset and scan), volume.one_bucket (process-private), bucket locks (shared memory), volume.lock (process-private: pool, the
 * taking of an entry).
 */
#ifndef LOG_VOLUME_PRIVATE_H
#define LOG_VOLUME_PRIVATE_H

#include "base/conf.h"
#include "base/live.h"
#include "base/shlock.h"
#include "log/volume.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- the table ---- */

#define VOLUME_MAGIC UINT64_C(0x32424154564e0a4e)
#define VOLUME_VERSION 4u
#define VOLUME_INDEX_BITS 10u
#define VOLUME_PROCESSES (1u << VOLUME_INDEX_BITS)
#define VOLUME_SELF_BITS 30u
#define VOLUME_GENERATION_MASK ((UINT32_C(1) << (VOLUME_SELF_BITS - VOLUME_INDEX_BITS)) - 1)
#define VOLUME_SIGNED UINT32_C(0x80000000)
#define VOLUME_WORDS 7u
#define VOLUME_BUCKETS LIVE_BUCKETS
#define VOLUME_SLOTS LIVE_SLOTS /* this and the buckets are also the format of the list of live inodes */
#define VOLUME_LOCKING_BITS 13u /* of volume_table.locking: the bucket + 1 */
#define VOLUME_LOCKING_MASK ((UINT64_C(1) << VOLUME_LOCKING_BITS) - 1)
#define VOLUME_LOCKING_TURN (UINT64_C(1) << (VOLUME_LOCKING_BITS + VOLUME_SELF_BITS - VOLUME_INDEX_BITS))
#define VOLUME_INIT_BYTE (1 << 20) /* byte of the init lock; bytes below VOLUME_PROCESSES tell who lives */

/* A process. An entry is taken by locking its byte, then raising the generation. */
struct volume_process {
    _Atomic uint32_t generation;
    _Atomic uint32_t unclean; /* generation of a process that has not said good-bye, 0 none; a scan signs it */
    _Atomic uint64_t inflight[VOLUME_WORDS]; /* 0, or thread << 15 | writes << 14 | reads << 13 | bucket + 1 */
};

struct volume_slot {
    _Atomic uint64_t ino; /* 0: free; stored after id */
    _Atomic uint64_t id;
};

struct volume_bucket {
    struct shlock lock;       /* guards the stores to the slots; owner: volume_self */
    _Atomic uint32_t kernels; /* bit i: the kernel has the file of slot i for good; set without the lock */
    uint64_t reserved1;
    struct volume_slot slot[VOLUME_SLOTS];
};

struct volume_table {
    _Atomic uint64_t magic; /* stored last: the table is of this boot and knows all logs */
    uint32_t version;
    _Atomic uint32_t high; /* entries from here on were never taken */
    uint64_t boot_id[2];
    uint8_t reserved0[64 - 32];
    _Atomic uint64_t corrections; /* of what the kernel tells of files, see volume_corrections */
    /* Slots in use in all buckets. Counted up before the slot is seen, down after it is gone: never too low. Who dies in
     * between leaves it too high until the next boot, which costs time alone. */
    _Atomic uint64_t slots;
    _Atomic uint64_t cuts; /* see volume_cuts */
    uint8_t reserved[4096 - 88];
    struct volume_process process[VOLUME_PROCESSES];
    struct volume_bucket bucket[VOLUME_BUCKETS];
    /* What each process says once more, so that damage shows. In the low bits the bucket + 1 that it has locked, or is about to
     * lock, 0 for none: a bucket's lock that names a process which does not say so is damaged. Then its generation: who is
     * alive is known as long as one of the two is right. Above them a count of lockings, so that no value comes twice. */
    _Atomic uint64_t locking[VOLUME_PROCESSES];
};

_Static_assert(sizeof(struct volume_process) == 64, "a line, so that processes do not disturb each other");
_Static_assert(sizeof(struct volume_bucket) == 128, "two lines");
_Static_assert(offsetof(struct volume_table, process) == 4096, "header page");

/* ---- a volume ---- */

#define VOLUME_POOL_MAX 64u
#define VOLUME_TMPFS_MAGIC 0x01021994 /* f_type of tmpfs */

struct volume {
    struct volume *next; /* constant once in the list */
    uint32_t owner;
    uint32_t dev_major, dev_minor;
    uint64_t dev;     /* the same as one number */
    const char *root; /* its own copy */
    size_t root_length;

    _Atomic uint32_t ready;    /* 0: could not be opened; the rest below is not there then. Release when opened */
    _Atomic uint32_t failed;   /* the last try to open it */
    _Atomic uint32_t refusals; /* calls since: it is tried again now and then */
    _Atomic bool torn;         /* the table is not whole, see volume_rescue: nothing is attached any more */
    _Atomic bool left;         /* a log could not be removed: our entry stays unclean, so that the next process scans */
    enum pm_map_sync sync;
    int dirfd;
    struct volume_table *table; /* mapped through a description without locks: a forked child may keep it */
    struct live_list *live;     /* ROOT/.nvmmio/UID.live, for other users: mapped likewise, NULL: there is none */
    uint64_t table_ino;
    int table_fd;          /* own description, holds the byte of our entry; -1: none. Under lock */
    _Atomic uint64_t self; /* volume_self, 0 none. Release after table_fd */

    struct shlock one_bucket; /* of this process's threads one locks a bucket at a time, see volume_table.locking */
    struct shlock lock;
    struct log pool[VOLUME_POOL_MAX];
    unsigned pool_count;
};

/* Process-private locks: owner 1 stands for whichever thread. */
static inline void volume_private_lock(struct shlock *lock)
{
    while (shlock_acquire(lock, 1) != 0)
        ;
}

static inline bool volume_is_ready(const struct volume *volume)
{
    return atomic_load_explicit(&volume->ready, memory_order_acquire); /* pairs with open_volume */
}

static inline bool volume_is_torn(const struct volume *volume)
{
    return __builtin_expect(atomic_load_explicit(&volume->torn, memory_order_relaxed), 0);
}

/* Whether no file of it is attached. seq_cst: a slot is counted before it is stored, so that this stands for all slots in
 * the hand-over (volume_bucket.c). */
static inline bool volume_has_none(const struct volume *volume)
{
    return atomic_load_explicit(&volume->table->slots, memory_order_seq_cst) == 0;
}

static inline struct volume_bucket *volume_bucket(struct volume *volume, uint64_t ino)
{
    return &volume->table->bucket[live_bucket(ino)];
}

/* ---- volume.c ---- */

/* Whether user ids mean here something else than in the first user namespace: a container of an unprivileged user. The name
 * of a volume is the owner's number, which then is another one's: nothing may be managed. */
bool volume_users_mapped(void);

/* The newest of this process's volumes, which are chained by `next`. */
struct volume *volume_first(void);

/* ---- volume_root.c: where a file lies ---- */

/* The root of a file and its place in `path` (CONF_PATH_MAX bytes), which receives the file's path: the root's length, 0
 * if the file is in none, -errno if the kernel does not tell. */
ssize_t volume_root_of(int fd, const struct statx *stx, char *path);

/* Whether, as far as it is known, all roots on that device are one; then the path of a file there need not be asked for yet.
 * dax: whether the file is mapped from PM. */
bool volume_has_one_root(uint32_t dev_major, uint32_t dev_minor, bool dax);

/* A descriptor of the configured root, if the view has ever changed; else -1. */
int volume_root_fd(const char *root);

/* Whether the file at `path`, below a root of that length, belongs to nvmmio itself. */
bool volume_is_internal(const char *path, size_t root_length);

/* Whether a root is on the file system with that device number. */
bool volume_root_is_on(uint32_t dev_major, uint32_t dev_minor);

/* ---- volume_dir.c: directories ---- */

/* Opens, and makes where it is missing, ROOT/.nvmmio/UID for `owner`: a descriptor or -errno; -ESTALE for a planted one. */
int volume_dir_open(int root_fd, uint32_t owner);

/* A number as text, for a name, with a zero byte: at most VOLUME_NUMBER_BYTES. Returns the zero byte's place. */
#define VOLUME_NUMBER_BYTES 11
char *volume_put_number(char *out, uint32_t value);

/* ---- volume_live.c: what other users may know ---- */

/* Whether the owner's list in ROOT has the inode; ROOT are the first bytes of `path` (CONF_PATH_MAX bytes; it is changed). */
bool volume_is_listed(char *path, size_t root_length, uint32_t owner, uint64_t ino);

/* "UID.live". */
#define VOLUME_LIVE_NAME_BYTES (VOLUME_NUMBER_BYTES + 5)
void volume_live_name(char name[VOLUME_LIVE_NAME_BYTES], uint32_t owner);

/* With a valid table: maps the file if there is a right one. */
void volume_live_open(struct volume *volume);

/* With a new table, under the init lock: maps a new file; after the scan: gives it its name. */
void volume_live_make(struct volume *volume);
void volume_live_publish(struct volume *volume);
void volume_live_close(struct volume *volume);

/* After a change of the bucket, under its lock: all its slots, so that a number that somebody could not take out goes. */
void volume_live_note(struct volume *volume, const struct volume_bucket *bucket);

/* Without the lock, by one who is attached, after the slot's bit in `kernels` was set: the slot is not listed any more. */
void volume_live_drop(struct volume *volume, const struct volume_bucket *bucket, const struct volume_slot *slot);

/* ---- volume_table.c: the table and its processes ---- */

/* Opens and maps the table, takes an entry, resets the table in a new boot; logs are scanned where needed. */
int volume_table_open(struct volume *volume);
void volume_table_close(struct volume *volume);
static inline uint32_t volume_index(uint64_t process)
{
    return (uint32_t)(process & (VOLUME_PROCESSES - 1));
}
/* Whether nobody holds the entry's byte (false for our own). */
bool volume_index_is_free(struct volume *volume, uint32_t index);

/* ---- volume_scan.c ---- */

/* Looks through all logs: registers, recovers, removes. Under the init lock. 0 or -errno if the directory cannot be read. */
int volume_scan(struct volume *volume);

/* ---- volume_pool.c ---- */

/* Under volume->lock: removes the pooled logs; in a forked child: forgets those of the parent. */
void volume_pool_unlink(struct volume *volume);
void volume_pool_forget(struct volume *volume);

/* True from volume_exit on. */
bool volume_is_exiting(void);

#endif
