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

/* Lines 0 (without magic), 1, 2 and 3, not flushed. */
static void fill_header(struct log_header *header, const struct log_identity *identity, uint32_t owner, uint64_t size,
                        uint64_t flags, uint64_t epoch)
{
    static const uint64_t zeros[2];
    const uint32_t version_owner[2] = {LOG_VERSION, owner};
    uint64_t boot[2];
    _Static_assert(offsetof(struct log_header, owner) == offsetof(struct log_header, version) + 4, "one word");
    _Static_assert(sizeof zeros >= sizeof header->reserved0 && sizeof zeros == sizeof boot, "zeros");
    pm_store_words(&header->version, version_owner, sizeof version_owner);
    if (log_boot_id(boot) < 0)
        memset(boot, 0, sizeof boot); /* no boot has it: never promoted */
    const uint64_t boot_check = log_boot_check(boot), check = log_header_check(LOG_VERSION, owner, identity);
    pm_store_words(header->boot_id, boot, sizeof boot);
    pm_store_words(&header->boot_check, &boot_check, sizeof boot_check);
    pm_store64(&header->flags, flags);
    pm_store_words(header->reserved0, zeros, sizeof header->reserved0);
    pm_store_words(&header->identity, identity, sizeof *identity);
    pm_store_words(&header->check, &check, sizeof check);
    pm_store_words(&header->reserved1, zeros, sizeof header->reserved1);
    for (unsigned i = 0; i < 2; i++) {
        pm_store64(&header->size[i], size);
        pm_store64(&header->size_check[i], log_size_check(size, epoch));
        pm_store64(&header->floor_check[i], log_number_check(epoch - 1));
        pm_store64(&header->newest_check[i], log_number_check(size));
    }
    pm_store64(&header->floor, epoch - 1); /* before the epoch: whatever is stored in the entries is void at once */
    pm_store64(&header->epoch, epoch);
    pm_store64(&header->newest_size, size);
    pm_store64(&header->times_pending, 0);
    pm_store64(&header->past_end, 0);
}

void log_issue(struct log *log, const struct log_identity *identity, uint32_t owner, uint64_t size, uint64_t flags,
               const char *path)
{
    struct log_header *header = log_header(log);
    size_t length = path ? strlen(path) : 0;
    if (length >= LOG_PATH_BYTES)
        length = 0;
    fill_header(header, identity, owner, size, flags, log_next_epoch(log));
    pm_copy(header->path, length ? path : "", length + 1);
    pm_flush(header, offsetof(struct log_header, path));
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

bool log_identity_is_intact(const struct log_header *copy)
{
    return copy->check == log_header_check(copy->version, copy->owner, &copy->identity);
}

static bool flag_is_whole(uint64_t flags, uint64_t flag)
{
    return (flags & flag) == flag || !(flags & flag);
}

/* What is wrong with a header whose magic and version are right; NULL: nothing. */
static const char *header_flaw(const struct log_header *copy, uint32_t owner)
{
    uint64_t epoch = atomic_load_explicit(&copy->epoch, memory_order_relaxed); /* a private copy */
    uint64_t floor = atomic_load_explicit(&copy->floor, memory_order_relaxed);
    uint64_t flags = atomic_load_explicit(&copy->flags, memory_order_relaxed);
    if (!log_identity_is_intact(copy))
        return "damaged header";
    if (copy->owner != owner)
        return "of another user";
    if (flags & ~(uint64_t)(LOG_FLAG_ATOMIC | LOG_FLAG_PASSTHROUGH) || !flag_is_whole(flags, LOG_FLAG_ATOMIC) ||
        !flag_is_whole(flags, LOG_FLAG_PASSTHROUGH))
        return "impossible flags";
    if (epoch == 0 || epoch > LOG_EPOCH_MAX || floor > epoch + 1)
        return "impossible epoch";
    if (atomic_load_explicit(&copy->size[epoch & 1], memory_order_relaxed) > INT64_MAX)
        return "impossible size";
    if (!memchr(copy->path, 0, LOG_PATH_BYTES))
        return "path without end";
    return NULL;
}

bool log_newest_size_intact(const struct log_header *copy)
{
    uint64_t check = log_number_check(atomic_load_explicit(&copy->newest_size, memory_order_relaxed));
    return atomic_load_explicit(&copy->newest_check[0], memory_order_relaxed) == check ||
           atomic_load_explicit(&copy->newest_check[1], memory_order_relaxed) == check;
}

void log_store_newest_size(struct log_header *header, uint64_t size)
{
    /* relaxed: under the resize lock, or exclusively. The check of the size in force stays until the new size is stored. */
    uint64_t now = log_number_check(atomic_load_explicit(&header->newest_size, memory_order_relaxed));
    unsigned spare = atomic_load_explicit(&header->newest_check[0], memory_order_relaxed) == now ? 1 : 0;
    pm_store64(&header->newest_check[spare], log_number_check(size));
    pm_store64(&header->newest_size, size);
}

void log_note_past_end(struct log *log)
{
    struct log_header *header = log_header(log);
    if (!atomic_load_explicit(&header->past_end, memory_order_relaxed)) /* all store the same */
        pm_store64(&header->past_end, 1);
}

void log_note_times(struct log *log, bool pending)
{
    struct log_header *header = log_header(log);
    pm_store64(&header->times_pending, pending);
    pm_flush(&header->newest_size, PM_LINE);
}

bool log_commit_intact(const struct log_header *copy)
{
    uint64_t epoch = atomic_load_explicit(&copy->epoch, memory_order_relaxed); /* a private copy */
    uint64_t size = atomic_load_explicit(&copy->size[epoch & 1], memory_order_relaxed);
    uint64_t floor = log_number_check(atomic_load_explicit(&copy->floor, memory_order_relaxed));
    return atomic_load_explicit(&copy->size_check[epoch & 1], memory_order_relaxed) == log_size_check(size, epoch) &&
           (atomic_load_explicit(&copy->floor_check[0], memory_order_relaxed) == floor ||
            atomic_load_explicit(&copy->floor_check[1], memory_order_relaxed) == floor);
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
