/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_recover.c — brings a file to its committed state from a log that nobody uses. Layer log.
 *
 * Nothing but the file is changed until the file is durable; then one store to header.floor makes all entries void. Up
 * to that store every run, also one after a crash of this one, reads the same entries and does the same.
 */
#include "log/log_recover.h"

#include "base/grow.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "log/log_index.h"
#include "log/log_plan.h"
#include "log/log_private.h"
#include "pm/pm.h"
#include "pm/pm_guard.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { RECOVER_RUN_BYTES = 2 << 20 };

struct recover {
    struct log *log;
    int fd;                    /* of the file */
    struct log_header *header; /* private copy */
    struct log_plan plan;
    uint64_t durable; /* H */
    uint64_t size;    /* the file's size to be */
    struct log_recovery *result;
};

/* Bytes next to each other in the log and in the file. */
struct recover_run {
    uint64_t log_offset, offset, length;
};

/* ---- what there is ---- */

static int check_file(const struct recover *r)
{
    struct statx stx;
    struct log_identity identity;
    int flags = sys_fcntl(r->fd, F_GETFL, 0);
    if (flags < 0)
        return flags;
    if ((flags & O_ACCMODE) != O_RDWR || flags & O_APPEND) /* with O_APPEND pwrite appends, whatever the offset */
        return -EBADF;
    int result = log_identity_of(r->fd, &identity, &stx);
    if (result < 0)
        return result;
    if (!S_ISREG(stx.stx_mode) || !log_identity_equal(&identity, &r->header->identity)) {
        log_complain(r->log, "of another file");
        return -ESTALE;
    }
    if (stx.stx_uid != r->header->owner) {
        log_complain(r->log, "the file has another owner now");
        return -ESTALE;
    }
    return 0;
}

/* What is wrong with the commit line and the boot id; NULL: nothing. */
static const char *commit_flaw(const struct recover *r)
{
    const struct log_header *header = r->header; /* a private copy */
    if (!log_commit_intact(header))
        return "damaged commit line";
    /* While the last run gave the log to this boot the check was behind; all was settled then. */
    bool settled = r->plan.count == 0 && atomic_load_explicit(&header->newest_size, memory_order_relaxed) == r->size;
    return settled || header->boot_check == log_boot_check(header->boot_id) ? NULL : "damaged boot id";
}

static int read_log(struct recover *r)
{
    struct stat st;
    int result = sys_fstat(r->log->fd, &st);
    if (result == 0)
        result = log_check(r->log, st.st_uid, r->header);
    if (result == 0)
        result = check_file(r);
    if (result == 0)
        result = log_plan_read(&r->plan, r->log, r->header, (uint64_t)st.st_size);
    if (result < 0)
        return result;
    r->durable = atomic_load_explicit(&r->header->epoch, memory_order_relaxed); /* private copy */
    r->size = atomic_load_explicit(&r->header->size[r->durable & 1], memory_order_relaxed);
    r->result->entries = (uint32_t)r->plan.count;
    const char *flaw = commit_flaw(r);
    if (flaw) {
        log_complain(r->log, flaw);
        log_plan_free(&r->plan);
    }
    return flaw ? -EBADMSG : 0;
}

/* ---- promotion (rule 15) ---- */

/* Whether only processes died: the machine has not been booted since the log was issued. */
static bool is_same_boot(const struct log_header *header)
{
    uint64_t boot[2];
    return log_boot_id(boot) == 0 && memcmp(boot, header->boot_id, sizeof boot) == 0;
}

/* Nothing that the dead stored is known to be flushed, not even the last commit, which recovery is about to rely on. */
static int keep_stores(const struct recover *r)
{
    int result = sys_fsync(r->fd);
    return result == 0 ? sys_fsync(r->log->fd) : result;
}

/* Commits what the dead processes had written. */
static int promote(struct recover *r)
{
    uint64_t newest_size = atomic_load_explicit(&r->header->newest_size, memory_order_relaxed); /* private copy */
    if (newest_size > INT64_MAX || !log_newest_size_intact(r->header)) {
        log_complain(r->log, "damaged newest size");
        return -EBADMSG;
    }
    if (newest_size > grow_limit())
        return -EFBIG;
    uint64_t epoch = r->plan.newest_epoch > r->durable ? r->plan.newest_epoch : r->durable;
    do
        epoch++;
    while ((epoch & 1) == (r->durable & 1)); /* the other size word: the committed one stays right until the epoch is */
    struct log_header *header = log_header(r->log);
    pm_store64(&header->size[epoch & 1], newest_size);
    pm_store64(&header->size_check[epoch & 1], log_size_check(newest_size, epoch));
    pm_store64(&header->epoch, epoch); /* one line, in this order */
    pm_flush(&header->size, PM_LINE);
    pm_fence();
    r->durable = epoch;
    r->size = newest_size;
    r->result->promoted = true;
    return 0;
}

/* ---- the file ---- */

/* The lines of an entry that lie in the file, as its first bytes: how many bytes of block `block` are below the size.
 */
static uint64_t bytes_in_block(const struct recover *r, uint64_t block)
{
    uint64_t start = block << LOG_BLOCK_SHIFT;
    uint64_t left = start < r->size ? r->size - start : 0;
    return left < LOG_BLOCK ? left : LOG_BLOCK;
}

/* Whether recovery stores something into the entry's block. */
static bool stores_block(const struct recover *r, const struct log_plan_entry *entry)
{
    uint64_t lines = (bytes_in_block(r, entry->block) + PM_LINE - 1) / PM_LINE;
    uint64_t mask = lines == LOG_LINES ? ~UINT64_C(0) : (UINT64_C(1) << lines) - 1;
    return (entry->lines & mask) != 0;
}

/* Allocates what will be stored into, so that a lack of space is told before anything is. */
static int reserve_blocks(const struct recover *r)
{
    uint64_t from = 0, to = 0;
    for (size_t i = 0; i <= r->plan.count; i++) {
        const struct log_plan_entry *entry = i < r->plan.count ? &r->plan.entry[i] : NULL;
        if (entry && !stores_block(r, entry))
            continue;
        uint64_t start = entry ? entry->block << LOG_BLOCK_SHIFT : UINT64_MAX;
        if (start > to || !entry) {
            int result = to > from ? grow_allocate(r->fd, FALLOC_FL_KEEP_SIZE, from, to - from) : 0;
            if (result < 0 && result != -EOPNOTSUPP)
                return result;
            from = start;
        }
        if (entry)
            to = start + bytes_in_block(r, entry->block);
    }
    return 0;
}

/* Stores zeros through a mapping, durable with the next fsync; 0 or -EIO where the page is bad. Not inlined: it has a
 * landing place of a guard. */
static __attribute__((noinline)) int zero_mapped(char *at, size_t n)
{
    struct pm_guard guard;
    if (pm_guard_begin(&guard))
        return -EIO;
    pm_zero(at, n);
    pm_guard_end();
    return 0;
}

/* Zeroes what is in the last block behind the end at `size`, which is the file's: mapped stores may have left it there.
 * Through a mapping, since growing the file for a moment would show it as data to a recovery after a crash. */
static int zero_tail(const struct recover *r, uint64_t size)
{
    uint64_t in_block = size % LOG_BLOCK, start = size - in_block;
    if (in_block == 0)
        return 0;
    int result = pm_guard_install();
    if (result == 0)
        result = grow_allocate(r->fd, FALLOC_FL_KEEP_SIZE, start, in_block);
    if (result < 0 && result != -EOPNOTSUPP)
        return result;
    char *block = sys_mmap(NULL, LOG_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)start);
    if (sys_is_error(block))
        return (int)(intptr_t)block;
    result = zero_mapped(block + in_block, LOG_BLOCK - in_block);
    sys_munmap(block, LOG_BLOCK);
    return result;
}

static int kernel_size(const struct recover *r, uint64_t *size)
{
    struct stat st;
    int result = sys_fstat(r->fd, &st);
    *size = result == 0 ? (uint64_t)st.st_size : 0;
    return result;
}

/* The file is at least as long as it will be. */
static int extend_file(const struct recover *r)
{
    uint64_t now;
    int result = kernel_size(r, &now);
    if (result == 0 && now < r->size) {
        result = zero_tail(r, now);
        if (result == 0)
            result = sys_fsync(r->fd); /* the zeros before the size that shows them */
        if (result == 0)
            result = grow_truncate(r->fd, r->size, now);
    }
    return result;
}

/* The file is exactly as long as it will be, and nothing lies behind. */
static int cut_file(const struct recover *r)
{
    uint64_t now;
    int result = kernel_size(r, &now);
    if (result < 0)
        return result;
    return now == r->size ? zero_tail(r, r->size) : grow_truncate(r->fd, r->size, now);
}

static int store_run(const struct recover *r, const struct recover_run *run)
{
    if (!run->length)
        return 0;
    const char *from = pm_map_at(&r->log->map, run->log_offset); /* to its end in one segment: add_to_run */
    if (!from)
        return -ENOMEM;
    /* The kernel reads the log: a poisoned page is an error here, not a signal. */
    int error = sys_pwrite_all(r->fd, from, run->length, (off_t)run->offset);
    return error == -EFAULT ? -EIO : error;
}

/* Adds a piece to the run, or stores the run and begins another with the piece. */
static int add_to_run(const struct recover *r, struct recover_run *run, uint64_t log_offset, uint64_t offset,
                      uint64_t length)
{
    if (run->length && run->log_offset + run->length == log_offset && run->offset + run->length == offset &&
        run->length + length <= RECOVER_RUN_BYTES &&
        pm_map_segment(run->log_offset) == pm_map_segment(log_offset + length - 1)) {
        run->length += length;
        return 0;
    }
    int result = store_run(r, run);
    *run = (struct recover_run){.log_offset = log_offset, .offset = offset, .length = length};
    return result;
}

/* The decided lines of one entry. */
static int add_entry(const struct recover *r, struct recover_run *run, const struct log_plan_entry *entry)
{
    uint64_t bytes = bytes_in_block(r, entry->block);
    for (uint64_t line = 0; line * PM_LINE < bytes; line++) {
        if (!(entry->lines >> line & 1))
            continue;
        uint64_t at = line * PM_LINE;
        uint64_t length = bytes - at < PM_LINE ? bytes - at : PM_LINE;
        int result =
            add_to_run(r, run, log_block_offset(entry->n) + at, (entry->block << LOG_BLOCK_SHIFT) + at, length);
        if (result < 0)
            return result;
        r->result->lines++;
    }
    return 0;
}

static int store_lines(const struct recover *r)
{
    struct recover_run run = {0};
    for (size_t i = 0; i < r->plan.count; i++) {
        int result = add_entry(r, &run, &r->plan.entry[i]);
        if (result < 0)
            return result;
    }
    return store_run(r, &run);
}

/* ---- the end ---- */

/* All records are void, and the log may be used for the file again: as if issued now, but for its index. */
static void free_entries(const struct recover *r)
{
    uint64_t boot[2], floor = r->plan.newest_epoch > r->durable ? r->plan.newest_epoch : r->durable;
    struct log_header *header = log_header(r->log);
    uint64_t before = atomic_load_explicit(&header->floor, memory_order_relaxed); /* exclusive lock: no race */
    if (before > floor)
        floor = before;
    uint64_t epoch = floor + 1;
    if ((epoch & 1) == (r->durable & 1))
        epoch++; /* the other words, as in promote */
    /* One line, in this order: with the floor alone the old epoch and its size are still right. */
    pm_store64(&header->size[epoch & 1], r->size);
    pm_store64(&header->size_check[epoch & 1], log_size_check(r->size, epoch));
    pm_store64(&header->floor_check[epoch & 1], log_number_check(floor));
    pm_store64(&header->floor, floor);
    pm_store64(&header->epoch, epoch);
    pm_flush(&header->size, PM_LINE);
    pm_fence();
    /* newest_size before the boot id that makes it count. */
    log_index_remove(r->header->owner, r->header->index_nonce); /* before its name is forgotten */
    pm_store64(&header->index_nonce, 0);
    pm_store64(&header->index_dev, 0);
    pm_store64(&header->index_ino, 0);
    log_store_newest_size(header, r->size);
    pm_flush(&header->newest_size, PM_LINE);
    pm_fence();
    if (log_boot_id(boot) == 0 && memcmp(boot, r->header->boot_id, sizeof boot) != 0) {
        const uint64_t boot_check = log_boot_check(boot);
        pm_store_words(header->boot_id, boot, sizeof boot);
        pm_store_words(&header->boot_check, &boot_check, sizeof boot_check);
        pm_flush(header, PM_LINE);
        pm_fence();
    }
}

/* What recovery does moves the mtime: back to what the application has seen or set, or to now where a write has not moved it
 * yet. Best effort. */
static void put_time(const struct recover *r, const struct timespec *before)
{
    bool pending = atomic_load_explicit(&r->header->times_pending, memory_order_relaxed); /* private copy */
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      pending ? (struct timespec){.tv_nsec = UTIME_NOW} : *before};
    struct stat st;
    if (pending ||
        (sys_fstat(r->fd, &st) == 0 && (st.st_mtim.tv_sec != before->tv_sec || st.st_mtim.tv_nsec != before->tv_nsec)))
        sys_utimensat(r->fd, NULL, times, 0);
    log_note_times(r->log, false);
}

static int recover_file(struct recover *r)
{
    struct stat before;
    if (r->size > grow_limit())
        return -EFBIG;
    bool same_boot = is_same_boot(r->header);
    int result = sys_fstat(r->fd, &before);
    if (result == 0 && same_boot)
        result = keep_stores(r);
    if (result == 0 && same_boot && !(r->header->flags & LOG_FLAG_ATOMIC))
        result = promote(r);
    if (result < 0)
        return result;
    r->result->void_entries = log_plan_decide(&r->plan, r->durable);
    result = reserve_blocks(r);
    if (result == 0)
        result = extend_file(r);
    if (result == 0)
        result = store_lines(r);
    if (result == 0)
        result = cut_file(r);
    if (result < 0)
        return result;
    put_time(r, &before.st_mtim);
    result = sys_fsync(r->fd);
    if (result < 0)
        return result;
    free_entries(r);
    r->result->size = r->size;
    return 0;
}

bool log_is_void(const struct log *log, const struct log_header *header)
{
    struct log_plan plan;
    struct stat st;
    if (sys_fstat(log->fd, &st) < 0 || log_plan_read(&plan, log, header, (uint64_t)st.st_size) < 0)
        return false;
    bool is_void = plan.count == 0;
    log_plan_free(&plan);
    if (!is_void)
        log_complain(log, "it lost its header");
    return is_void;
}

bool log_is_untouched(const struct log *log, const struct log_header *header)
{
    struct log_plan plan;
    struct stat st;
    /* relaxed: a private copy */
    uint64_t epoch = atomic_load_explicit(&header->epoch, memory_order_relaxed);
    uint64_t size = atomic_load_explicit(&header->size[epoch & 1], memory_order_relaxed);
    /* of another boot: what was stored without a flush may be lost */
    if (!is_same_boot(header) || header->boot_check != log_boot_check(header->boot_id) || !log_commit_intact(header) ||
        !log_newest_size_intact(header) || epoch != atomic_load_explicit(&header->floor, memory_order_relaxed) + 1 ||
        size != atomic_load_explicit(&header->newest_size, memory_order_relaxed) ||
        atomic_load_explicit(&header->times_pending, memory_order_relaxed) ||
        atomic_load_explicit(&header->past_end, memory_order_relaxed))
        return false;
    if (sys_fstat(log->fd, &st) < 0 || log_plan_read(&plan, log, header, (uint64_t)st.st_size) < 0)
        return false;
    bool untouched = plan.count == 0;
    log_plan_free(&plan);
    return untouched;
}

int log_recover(struct log *log, int data_fd, struct log_recovery *result)
{
    struct log_recovery unwanted = {0};
    struct recover r = {.log = log, .fd = data_fd, .result = result ? result : &unwanted};
    memset(r.result, 0, sizeof *r.result);
    r.header = mem_alloc(sizeof *r.header);
    if (!r.header)
        return -ENOMEM;
    int error = read_log(&r);
    if (error == 0) {
        error = recover_file(&r);
        log_plan_free(&r.plan);
    }
    mem_free(r.header, sizeof *r.header);
    char name[LOG_NAME_BYTES];
    log_name_format(log->id, name);
    if (error == 0) {
        stats_add(STATS_RECOVERIES, 1);
        msg(MSG_NOTICE, "log %s: recovered %u entries, %u lines%s", name, r.result->entries, r.result->lines,
            r.result->promoted ? ", after the death of a process" : "");
    } else {
        msg(MSG_WARNING, "log %s: not recovered: error %d", name, -error);
    }
    return error;
}
