/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_header.c — the header page: issuing a log to a file, taking it back, checking what is found. Layer log.
 */
#include "base/rawsys.h"
#include "log/log.h"
#include "log/log_private.h"
#include "log/log_recover.h"
#include "pm/pm.h"

#include <errno.h>
#include <string.h>

int log_read_all(int fd, void *buf, size_t n, uint64_t offset)
{
    char *to = buf;
    while (n > 0) {
        ssize_t got = sys_pread(fd, to, n, (off_t)offset);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? (int)got : -EIO;
        to += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

uint64_t log_next_epoch(struct log *log)
{
    struct log_header *header = log_header(log);
    uint64_t epoch = atomic_load_explicit(&header->epoch, memory_order_relaxed); /* under the exclusive lock: no race */
    uint64_t floor = atomic_load_explicit(&header->floor, memory_order_relaxed);
    if (floor > epoch)
        epoch = floor;
    /* A record is at most one epoch above H; the one below the new epoch becomes the floor. */
    return epoch ? epoch + 2 : 1;
}

/* Lines 0 (without magic), 1, 2 and 3 with the path, not flushed. */
static void fill_header(struct log_header *header, const struct log_identity *identity, uint32_t owner, uint64_t size,
                        uint64_t flags, uint64_t epoch)
{
    header->version = LOG_VERSION;
    header->owner = owner;
    if (log_boot_id(header->boot_id) < 0)
        memset(header->boot_id, 0, sizeof header->boot_id); /* no boot has it: never promoted */
    header->flags = flags;
    memset(header->reserved0, 0, sizeof header->reserved0);
    header->identity = *identity;
    memset(header->reserved1, 0, sizeof header->reserved1);
    pm_store64(&header->size[0], size);
    pm_store64(&header->size[1], size);
    pm_store64(&header->floor, epoch - 1); /* before the epoch: whatever is stored in the entries is void at once */
    pm_store64(&header->epoch, epoch);
    pm_store64(&header->newest_size, size);
}

void log_issue(struct log *log, const struct log_identity *identity, uint32_t owner, uint64_t size, uint64_t flags,
               const char *path)
{
    struct log_header *header = log_header(log);
    size_t length = path ? strlen(path) : 0;
    if (length >= LOG_PATH_BYTES)
        length = 0;
    fill_header(header, identity, owner, size, flags, log_next_epoch(log));
    if (length)
        memcpy(header->path, path, length);
    header->path[length] = 0;
    pm_flush(header, offsetof(struct log_header, path) + length + 1);
    pm_fence();
    pm_store64(&header->magic, LOG_MAGIC);
    pm_flush(header, PM_LINE);
    pm_fence();
}

void log_retire(struct log *log)
{
    struct log_header *header = log_header(log);
    pm_store64(&header->magic, 0);
    pm_flush(header, PM_LINE);
    pm_fence();
}

/* What is wrong with a header whose magic and version are right; NULL: nothing. */
static const char *header_flaw(const struct log_header *copy, uint32_t owner)
{
    uint64_t epoch = atomic_load_explicit(&copy->epoch, memory_order_relaxed); /* a private copy */
    uint64_t floor = atomic_load_explicit(&copy->floor, memory_order_relaxed);
    if (copy->owner != owner)
        return "of another user";
    if (copy->flags & ~(uint64_t)(LOG_FLAG_ATOMIC | LOG_FLAG_PASSTHROUGH))
        return "unknown flags";
    if (epoch == 0 || epoch > LOG_EPOCH_MAX || floor > epoch + 1)
        return "impossible epoch";
    if (atomic_load_explicit(&copy->size[epoch & 1], memory_order_relaxed) > INT64_MAX)
        return "impossible size";
    if (!memchr(copy->path, 0, LOG_PATH_BYTES))
        return "path without end";
    return NULL;
}

int log_check(const struct log *log, uint32_t owner, struct log_header *copy)
{
    int result = log_read_all(log->fd, copy, sizeof *copy, 0);
    if (result == -EIO) { /* short, or a bad medium */
        struct stat st;
        if (sys_fstat(log->fd, &st) == 0 && st.st_size < (off_t)sizeof *copy) {
            log_complain(log, "shorter than its header");
            return -EBADMSG;
        }
    }
    if (result < 0)
        return result;
    uint64_t magic = atomic_load_explicit(&copy->magic, memory_order_relaxed);
    if (magic == 0)
        return -ENODATA;
    if (magic != LOG_MAGIC) {
        log_complain(log, "not a log");
        return -EBADMSG;
    }
    if (copy->version != LOG_VERSION) {
        log_complain(log, "made by another version of nvmmio");
        return -EPROTONOSUPPORT;
    }
    const char *flaw = header_flaw(copy, owner);
    if (flaw)
        log_complain(log, flaw);
    return flaw ? -EBADMSG : 0;
}
