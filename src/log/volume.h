/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume.h — a root directory, seen by one owner of files: its logs, and the table of who is doing what. Layer log;
 * called by uma.
 *
 * ROOT/.nvmmio/UID/ (0700, owned by UID) holds the logs of all files below ROOT that UID owns, and `table`, a small file
 * that is mapped shared by every process that uses them. The table lives as long as a boot (a boot id in it tells) and is
 * never flushed: it says which inodes are attached, with which log, which processes are alive, and who is inside a
 * system call on a file that nobody has attached. Other users cannot see it: ROOT/.nvmmio/UID.live (0644) tells them which
 * inodes are in it, and is never believed by UID's own processes.
 *
 * Liveness. A process owns one entry of the table by an OFD write lock on byte `index` of the table file, held by its own
 * description (a forked child closes the inherited one and takes an entry of its own). An entry is dead when nobody holds
 * its byte; a generation tells later owners of the same entry apart.
 *
 * Hand-over between the kernel's path and user space, for an inode nobody has attached: before a data call goes to the
 * kernel the process publishes the inode's bucket in an in-flight word (locked store), then looks for an attachment; an
 * attacher first makes its attachment visible (locked store), then waits for the in-flight words of that bucket. So
 * either the call sees the attachment or the attacher waits for the call.
 */
#ifndef LOG_VOLUME_H
#define LOG_VOLUME_H

#include "base/geometry.h"
#include "log/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct volume;

/* What is asked of a file's statx here. Not its times: a kernel with multigrain timestamps (6.13) gives a file whose times were
 * asked for a finer one at its next change, which took 200 ns more of a first write of 1500. */
#define VOLUME_STATX (STATX_TYPE | STATX_MODE | STATX_INO | STATX_UID | STATX_SIZE)

/* The volume of the open regular file fd, NULL if the file is in no root or cannot be managed here (no permission to make
 * the directory, not PM, owner is neither the effective uid nor reachable as root, a file of .nvmmio itself).
 * `stx` is the file's statx (VOLUME_STATX). Cheap when st_dev is no root's. Volumes live until the process ends.
 * The first call for a volume maps the table, resets it in a new boot, and looks through the logs that nobody uses: it
 * recovers those whose file still has the path of the header's hint and enters the others under their inode. */
struct volume *volume_of(int fd, const struct statx *stx);

/* Around a call that changes how this process sees the file system. target: what becomes "/", NULL if nothing does. */
void volume_before_view(const char *target);
void volume_after_view(bool changed);

/* The user ids of this process may mean something else from now on. */
void volume_users_changed(void);

uint32_t volume_owner(const struct volume *volume);
enum pm_map_sync volume_sync(const struct volume *volume);

/* The volume that the file may be of, found without asking the kernel for its path: the only one of the file's device and
 * owner, as long as there is one root on the device. NULL if volume_of must be asked. Whether the file is of it in truth,
 * volume_holds tells: to be asked before anything relies on it but calls on the kernel's path. */
struct volume *volume_candidate(const struct statx *stx);

/* Whether files of that device may be in a root. */
bool volume_is_near(uint32_t dev_major, uint32_t dev_minor);

/* The volume of a process that has one, below its only root, if nobody has attached any file of it and none need be: it is not
 * durable, and this process has a place in its table. NULL: look closer. A file that is its owner's is of it, if it is in a root
 * at all. */
struct volume *volume_unserved(void);
/* Whether device and owner are the volume's. */
bool volume_may_have(const struct volume *volume, const struct stat *st);

/* Whether nobody has attached any file of the volumes that this process has opened, and none waits for recovery. What the kernel
 * tells of a file of theirs, asked after that, is so. */
bool volume_all_idle(void);
/* Whether the file that the kernel has said this of could only be of one of them, or is in no root. */
bool volume_is_known(const struct stat *st);

/* Whether what is acknowledged outlives a power cut, or is to be treated as if it did (pm:force): not on tmpfs. */
bool volume_is_durable(const struct volume *volume);

/* 1 if the file is of the volume, as volume_of would find; 0 if it is not; or -errno. */
int volume_holds(const struct volume *volume, int fd, const struct statx *stx);

/* Where volume_of gave NULL: -EBUSY if the file is another user's, below a root, and attached or waiting for recovery by its
 * owner's side, and not PASSTHROUGH: the kernel would show a stale file. Else 0, also for the owner and root, and where the
 * owner's side could not make the list that tells. For open, and looked at only there: a process that has the file open
 * already when its owner attaches stays on the kernel's path, and sees what was written back. */
int volume_foreign(int fd, const struct statx *stx);

/* ---- the kernel's path ---- */

struct volume_inflight {
    _Atomic uint64_t *word; /* NULL: nothing published */
};

/* Publishes a call on `ino`: true if nobody has attached it, or for the kernel's sake alone, and the call may go to the kernel
 * until volume_leave_kernel. False (nothing published) if somebody has: attach, or fail. A call that reads and one that writes are never in the kernel
 * at once (its reads are not atomic against its writes); waits for the others' calls, which end. */
bool volume_enter_kernel(struct volume *volume, uint64_t ino, bool writes, struct volume_inflight *inflight);
static inline void volume_leave_kernel(struct volume_inflight *inflight)
{
    if (inflight->word) /* release: the call's effects come before; pairs with the load in wait_for_word */
        atomic_store_explicit(inflight->word, 0, memory_order_release);
    inflight->word = NULL;
}
/* The same where it is not known which inode it is, or whether it is one of the volume at all: false if any is attached. Such
 * calls keep off attachers alone. False also without a place in the table (volume_self). */
bool volume_enter_unknown(struct volume *volume, struct volume_inflight *inflight);
/* Whether nobody has attached any file of the volume, and none waits for recovery. */
bool volume_is_idle(const struct volume *volume);

/* ---- attachments ---- */

/* Locks the inode's bucket against other attachers and detachers; takes over from dead owners. 0 or -errno. */
int volume_lock_inode(struct volume *volume, uint64_t ino);
void volume_unlock_inode(struct volume *volume, uint64_t ino);

/* Under the bucket lock: the id of the log registered for ino, 0 if none; registers one and waits for the calls of other
 * threads and processes that are in the kernel on it (-ENOSPC if the bucket is full; -EDEADLK, and not registered, if this
 * thread itself is, under a signal handler: the handler's call goes to the kernel, too); removes it.
 * A log is registered before it is issued and unregistered after it was retired, so that every log with a magic is
 * registered. A registered log that log_open does not find, or that has no magic, was given up by a process that died:
 * register another one in its place (which replaces it). */
uint64_t volume_find_log(struct volume *volume, uint64_t ino);
int volume_register_log(struct volume *volume, uint64_t ino, uint64_t id);
void volume_unregister_log(struct volume *volume, uint64_t ino);

/* By one who is attached, with or without the lock: the kernel serves the file from now on, until the log is unregistered,
 * so that other users may open it (volume_foreign). */
void volume_note_passthrough(struct volume *volume, uint64_t ino);

/* Changes whenever what the kernel tells of a file of one of this process's volumes has been put right: it goes back to the
 * kernel, which knows its size now; its mtime was delivered, or put back. Behind that moment and before the one at which the
 * file looks so: who finds it so, and the number as it was before he asked the kernel, has been told the truth. */
uint64_t volume_corrections(void);
/* A file is about to look so. */
void volume_note_correction(struct volume *volume);

/* Moves when a file that nobody serves may become shorter, by whichever process: told before the kernel is asked and after. Who
 * looks here, then at a size, and finds the number again later knows that the file is not shorter, but for a cut that is under
 * way. */
uint64_t volume_cuts(const struct volume *volume);
void volume_note_cut(struct volume *volume);

/* Without a lock: whether the inode is attached and not the kernel's, or has a log to recover. For open. */
bool volume_is_attached(struct volume *volume, uint64_t ino);

/* As early as libraries can be loaded, under the preload library. */
void volume_attend(void);

/* The same for who only asks the kernel about the file; false also where nothing can be known (volume_rescue). */
bool volume_may_look(struct volume *volume, uint64_t ino);

/* Whether a process of that effective user can open the volume. */
bool volume_reachable(const struct volume *volume, uint32_t euid);

/* For a stat by path: the volume of this process that has the inode attached, or waiting for recovery; NULL if there is none.
 * Looks at memory alone. */
struct volume *volume_elsewhere(uint32_t owner, uint32_t dev_major, uint32_t dev_minor, uint64_t ino);

/* Where that gave NULL, for a path: looks whether the file's owner lists it as in use, and makes its volume known to this
 * process if so. Nothing is made or opened otherwise. */
void volume_look(int dirfd, const char *path, int flags, const struct stat *st);

/* The size of such a file, from its log, as the next opener will find it; `stx` is its statx with STATX_BTIME. -ENOENT if the
 * kernel's size is right, or -errno. */
int volume_size_elsewhere(struct volume *volume, const struct statx *stx, uint64_t *size);

/* ---- logs ---- */

/* A log to issue: mapped, exclusively locked, magic 0, all entries void, with at least VOLUME_READY_BLOCKS blocks; from
 * this process's pool or created. 0 or -errno. */
#define VOLUME_READY_BLOCKS GEOMETRY_READY_BLOCKS /* 64 */
int volume_take_log(struct volume *volume, struct log *log);

/* Gives a retired, exclusively locked log back. True: it is kept for the pool (at most conf.pool logs; one of more than
 * 4096 blocks is shrunk to VOLUME_READY_BLOCKS). False: it was unlinked and closed. */
bool volume_give_log(struct volume *volume, struct log *log);

/* Opens the log of that id: neither locked nor mapped. */
int volume_open_log(struct volume *volume, uint64_t id, struct log *log);

/* ---- processes ---- */

/* This process in the table: index and generation in 30 bits, below SHLOCK_OWNER_MAX, so that it also serves as the owner
 * of a shlock. 0 if no entry could be had. Another value in a forked child. */
uint64_t volume_self(struct volume *volume);

/* Whether the process of that word is gone. False for this process. */
bool volume_is_dead(struct volume *volume, uint64_t process);

/* In a handler: replaces a missing page of a volume's table by zeros, and gives the volume up. False: it is none's. */
bool volume_rescue(uintptr_t address);

/* Around fork, for all volumes of the process. The child drops what it inherited (descriptors, pool, table entry) and
 * takes a new entry at its next use. */
void volume_before_fork(void);
void volume_after_fork_parent(void);
void volume_after_fork_child(void);

/* Removes this process's pooled logs; others may be pooled later. Whether there was one. */
bool volume_drop_pool(void);

/* At process exit, after the last detach: unlinks this process's pooled logs. */
void volume_exit(void);

#endif
