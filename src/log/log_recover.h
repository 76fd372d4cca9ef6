/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_recover.h — brings a file to its committed state from a log that nobody uses. Layer log; called by volume and uma.
 */
#ifndef LOG_LOG_RECOVER_H
#define LOG_LOG_RECOVER_H

#include "log/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct log_recovery {
    uint64_t size;         /* of the file afterwards */
    uint32_t entries;      /* entries in use */
    uint32_t lines;        /* lines copied to the file */
    uint32_t void_entries; /* uncommitted or superseded */
    bool promoted;         /* process death alone: what was not synced was committed first (rule 15) */
};

/* The file's identity, from a descriptor of it. 0 or -errno. `stx` may be NULL, else receives what statx told. */
int log_identity_of(int fd, struct log_identity *identity, struct statx *stx);
bool log_identity_equal(const struct log_identity *a, const struct log_identity *b);

/* Whether the inode of `then` is gone for sure, as its number is that of another file `now`. */
bool log_identity_replaced(const struct log_identity *then, const struct log_identity *now);

/* The file of a header that log_check has accepted, by its handle, with O_PATH: a descriptor; -ENOENT: it is gone for sure; other
 * errors: not known. dirfd: a directory on its file system. */
int log_open_handle(const struct log_header *header, int dirfd);

/* This kernel's boot id, 16 bytes of /proc/sys/kernel/random/boot_id; read once. 0 or -errno. */
int log_boot_id(uint64_t id[2]);

/* Whether a header that log_check has refused still tells for sure whose log it is. */
bool log_identity_is_intact(const struct log_header *copy);

/* Whether a log with magic 0, exclusively locked, has no entry in use: one that is pooled or was never issued. One that has is
 * damaged, and worth keeping. `header` is the copy of log_check. */
bool log_is_void(const struct log *log, const struct log_header *header);

/* Whether a log with its magic, exclusively locked, has been told nothing since it was issued, under this boot: no entry, no
 * commit, no size, no time, nothing behind the end. Its file was only read, and is what the kernel says, wherever it is.
 * `header` is the copy of log_check. */
bool log_is_untouched(const struct log *log, const struct log_header *header);

/* Recovers. `log` is open, mapped and exclusively locked; data_fd is open for reading and writing on the file whose
 * identity is in the header (checked again here: -ESTALE if it is another file's, nothing is touched then). Afterwards the
 * file (bytes and size) is durable and all entries are void by header.floor; magic still stands, and the header is as if
 * issued now (epoch above floor, both sizes and newest_size, this boot, no index): the caller may go on with the log or
 * retire it. It may be interrupted at any point and run again (DESIGN rules 14 and 15). Entries are read into private
 * copies and bounds-checked; an entry that cannot be (block beyond any file, a record with an epoch above H + 1, ...)
 * makes it return -EBADMSG with file and log untouched, and so does a log that lacks blocks of entries in use. -EBADF if
 * data_fd is not open for both, or O_APPEND; -EFBIG where RLIMIT_FSIZE forbids the file's size; other errors as of the
 * calls that failed (EIO, ENOSPC): nothing is freed then. `result` may be NULL. */
int log_recover(struct log *log, int data_fd, struct log_recovery *result);

#endif
