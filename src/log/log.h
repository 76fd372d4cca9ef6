/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log.h — one log file: its descriptor, lock, mapping and growth. Layer log; called by volume, recovery and uma.
 *
 * The lock. A description of the log file holds an OFD lock on its byte 0 (F_OFD_SETLK): shared while the log is in use by
 * a process, exclusive to issue, recover or retire it. The kernel drops it when the process dies, so "nobody is attached"
 * is a fact. Each process has its own description (a forked child closes the inherited ones and opens anew).
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "log/log_format.h"
#include "pm/pm_map.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Process-private. Shared state (which blocks are free) is the index's. */
struct log {
    uint64_t id; /* names the file: <16 hex digits>.log */
    int dirfd;   /* of its directory; borrowed from the volume */
    int fd;      /* own description, high-numbered, O_CLOEXEC; holds the lock */
    struct pm_map map;
    _Atomic uint32_t blocks; /* blocks below are known to exist, by the file's length */
};

enum log_lock { LOG_LOCK_NONE, LOG_LOCK_SHARED, LOG_LOCK_EXCLUSIVE };

/* Makes a log file with a random id and `blocks` blocks allocated and zero, header magic 0, owned by `owner`, holding the
 * exclusive lock before it has a name (O_TMPFILE and linkat; where the file system has no O_TMPFILE: a name that
 * log_name_parse does not accept, then rename). 0 or -errno (ENOSPC, EFBIG where RLIMIT_FSIZE would be hit, ...). */
int log_create(struct log *log, int dirfd, uint32_t owner, uint32_t blocks, enum pm_map_sync sync);

/* Opens an existing log by id, unlocked and not mapped. Refuses (-ESTALE) what is not a regular file of `owner`, mode
 * 0600, with one link. -ENOENT (also where the name went away meanwhile) and other errno values as open(2). Whoever locks
 * it afterwards calls log_check again: it may have been retired in between. */
int log_open(struct log *log, int dirfd, uint64_t id, uint32_t owner);

/* Maps an open log (MADV_DONTFORK). Refuses (-ESTALE) one that is shorter than a header page. */
int log_map(struct log *log, enum pm_map_sync sync);

/* Sets this description's lock, without waiting. 0, or -EAGAIN if another description's lock stands against it. */
int log_lock(struct log *log, enum log_lock lock);

/* Whether another description's lock stands: somebody uses the log. Takes no lock itself. */
bool log_is_used(const struct log *log);

/* Unmaps and closes; the lock goes with it. */
void log_close(struct log *log);

/* In a forked child instead: closes the inherited descriptor and leaves the mapping alone, which was not inherited. */
void log_forget(struct log *log);

/* Removes the name. Under the exclusive lock. */
int log_unlink(struct log *log);

/* Allocates blocks [from, from + count) and their entries, zeroed where they are new, and makes the allocation durable.
 * 0 or -errno (ENOSPC, EDQUOT, EFBIG). May be repeated over a range that exists. */
int log_grow(struct log *log, uint32_t from, uint32_t count);

/* Gives the space of all blocks back: the log is PASSTHROUGH or retired, so nobody stores to them, and what is read there
 * counts for nothing. Its length stays, as others have it mapped. Such a log is not whole any more: not for another file. */
void log_release_blocks(struct log *log);

/* Whether a log file has space for all of its blocks. */
bool log_is_whole(const struct stat *st);

/* Whether block n exists, and its entry. What shared memory says of blocks is believed only so far. */
bool log_has_block_slow(struct log *log, uint32_t n);
static inline bool log_has_block(struct log *log, uint32_t n)
{
    /* relaxed: a log in use never becomes shorter */
    return n >= LOG_FIRST_BLOCK && (__builtin_expect(n < atomic_load_explicit(&log->blocks, memory_order_relaxed), 1) ||
                                    log_has_block_slow(log, n));
}

/* The epoch that the next issue of this log begins with: above every epoch that a record of it can hold. */
uint64_t log_next_epoch(struct log *log);

/* Issues a log (exclusive lock held, magic 0, all entries void) to a file: everything of the header but the index words,
 * in the order that log_format.h demands. epoch (H) becomes log_next_epoch, which the first records carry, floor the one
 * below it, size[] and newest_size `size`. `path` may be NULL; one that does not fit is left out. Register the log with
 * the volume before it is issued, so that nobody works on the file without knowing of it. */
void log_issue(struct log *log, const struct log_identity *identity, uint32_t owner, uint64_t size, uint64_t flags,
               const char *path);

/* Stores the logical size for survivors of a process, not flushed. Under the lock of those who change it. */
void log_store_newest_size(struct log_header *header, uint64_t size);

/* Bytes are about to be stored behind the end of the file: there may be garbage after a death. Not flushed. */
void log_note_past_end(struct log *log);

/* Tells recovery whether what was written still has to move the file's mtime; flushed, and fenced by whoever fences next. */
void log_note_times(struct log *log, bool pending);

/* Before log_issue, which makes it durable: the handle of the file, which fd is of, where there is one. */
void log_note_handle(struct log *log, const struct log_identity *identity, int fd);

/* Takes the log from its file: magic = 0, durable. Unregister it from the volume afterwards. All entries are void (every record's epoch zero or <= floor), durably.
 * The epoch is kept, so that a log that is issued again goes on above all epochs ever stored in it. */
void log_retire(struct log *log);

/* Checks magic, version, owner and the sanity of size and epoch on a private copy of the header, which it fills (a page:
 * not for the stack). Reads the file, not the mapping. 0; -ENODATA for a pooled log (magic 0); -EPROTONOSUPPORT for
 * another version; -EBADMSG for anything else; -EIO and the like if it cannot be read. */
int log_check(const struct log *log, uint32_t owner, struct log_header *copy);

/* Header, entry n, block n in the mapping. n must exist; NULL only if the segment cannot be mapped (ENOMEM). */
static inline struct log_header *log_header(struct log *log)
{
    return pm_map_at(&log->map, 0);
}
static inline struct log_entry *log_entry(struct log *log, uint32_t n)
{
    return pm_map_at(&log->map, log_entry_offset(n));
}
static inline char *log_block(struct log *log, uint32_t n)
{
    return pm_map_at(&log->map, log_block_offset(n));
}

/* <id>.log in `name` (at least LOG_NAME_BYTES), and back: false if `name` is not a log's name. */
#define LOG_NAME_BYTES 32
void log_name_format(uint64_t id, char *name);
bool log_name_parse(const char *name, uint64_t *id);

#endif
