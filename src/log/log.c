/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log.c — one log file: making, opening, locking, growing and removing it. Layer log.
 */
#include "log/log.h"

#include "base/grow.h"
#include "base/highfd.h"
#include "base/msg.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/stats.h"
#include "log/log_private.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>

enum {
    LOG_MODE = 0600,
    LOG_ID_DIGITS = 16,
    LOG_ID_TRIES = 8,
    LOG_LOCK_BYTE = 0,
};
static const char log_suffix[] = ".log";

void log_name_format(uint64_t id, char *name)
{
    log_put_hex(name, id);
    memcpy(name + LOG_ID_DIGITS, log_suffix, sizeof log_suffix);
}

bool log_name_parse(const char *name, uint64_t *id)
{
    uint64_t value = 0;
    for (int i = 0; i < LOG_ID_DIGITS; i++) {
        char c = name[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a' + 10);
        else
            return false;
        value = value << 4 | digit;
    }
    if (strcmp(name + LOG_ID_DIGITS, log_suffix) != 0 || value == 0)
        return false;
    *id = value;
    return true;
}

void log_put_hex(char *out, uint64_t value)
{
    for (int i = LOG_ID_DIGITS - 1; i >= 0; i--, value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
    out[LOG_ID_DIGITS] = 0;
}

void log_clear(struct log *log, int dirfd)
{
    memset(log, 0, sizeof *log);
    log->dirfd = dirfd;
    log->fd = -1;
    log->map.fd = -1;
}

static int random_id(uint64_t *id)
{
    do {
        ssize_t n = sys_getrandom(id, sizeof *id, 0);
        if (n < 0 && n != -EINTR)
            return (int)n;
        if (n != (ssize_t)sizeof *id)
            *id = 0;
    } while (*id == 0);
    return 0;
}

/* The name of a log that is still being made, where O_TMPFILE is missing: log_name_parse refuses it. */
static void temporary_name(uint64_t id, char *name)
{
    log_put_hex(name, id);
    memcpy(name + LOG_ID_DIGITS, LOG_TEMPORARY_SUFFIX, sizeof LOG_TEMPORARY_SUFFIX);
}

/* Opens a new file without a log's name; *named says whether it has the temporary one. */
static int open_nameless(struct log *log, bool *named)
{
    *named = false;
    int fd = sys_openat(log->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, LOG_MODE);
    if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL) {
        char name[LOG_NAME_BYTES];
        temporary_name(log->id, name);
        *named = true;
        fd = sys_openat(log->dirfd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, LOG_MODE);
    }
    return fd;
}

/* Gives the file its name. -EEXIST: another id is needed. */
static int name_log(struct log *log, bool named)
{
    char name[LOG_NAME_BYTES], from[LOG_NAME_BYTES], link[PLACE_FD_PATH];
    const char *path = link;
    log_name_format(log->id, name);
    if (named) {
        temporary_name(log->id, from);
        return (int)rawsys(SYS_renameat2, log->dirfd, (long)from, log->dirfd, (long)name, RENAME_NOREPLACE, 0);
    }
    place_fd_path(log->fd, link);
    int at = place_at(&path);
    return sys_linkat(at, path, log->dirfd, name, AT_SYMLINK_FOLLOW);
}

static int prepare(struct log *log, uint32_t owner, uint32_t blocks, enum pm_map_sync sync)
{
    struct stat st;
    int result = log_lock(log, LOG_LOCK_EXCLUSIVE);
    if (result == 0)
        result = sys_fchmod(log->fd, LOG_MODE); /* the umask may have taken bits */
    if (result == 0)
        result = sys_fstat(log->fd, &st);
    if (result == 0 && st.st_uid != owner)
        result = sys_fchown(log->fd, owner, (gid_t)-1);
    if (result == 0)
        result = grow_allocate(log->fd, 0, 0, LOG_HEADER_BYTES);
    if (result == 0)
        result = log_grow(log, LOG_FIRST_BLOCK, blocks);
    if (result == 0)
        result = log_map(log, sync);
    return result;
}

int log_create(struct log *log, int dirfd, uint32_t owner, uint32_t blocks, enum pm_map_sync sync)
{
    log_clear(log, dirfd);
    bool named = false;
    int result = random_id(&log->id);
    if (result < 0)
        return result;
    log->fd = highfd_move(open_nameless(log, &named));
    if (log->fd < 0)
        return log->fd;
    result = prepare(log, owner, blocks, sync);
    if (result == 0) {
        result = name_log(log, named);
        for (int i = 0; result == -EEXIST && !named && i < LOG_ID_TRIES; i++) {
            result = random_id(&log->id);
            if (result == 0)
                result = name_log(log, named);
        }
        if (result == 0) {
            named = false;
            result = sys_fsync(dirfd); /* a commit into a log without a name would be lost */
            if (result < 0)
                log_unlink(log);
        }
    }
    if (result < 0) {
        if (named) {
            char name[LOG_NAME_BYTES];
            temporary_name(log->id, name);
            sys_unlinkat(dirfd, name, 0);
        }
        log_close(log);
        return result;
    }
    stats_add(STATS_LOGS_CREATED, 1);
    return 0;
}

int log_open(struct log *log, int dirfd, uint64_t id, uint32_t owner)
{
    char name[LOG_NAME_BYTES];
    log_clear(log, dirfd);
    log->id = id;
    log_name_format(id, name);
    /* O_NONBLOCK: a planted FIFO or device must not hold us up. */
    int fd = sys_openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    int result = fd < 0 ? fd : sys_fstat(fd, &st);
    if (result == -ELOOP || result == -EISDIR || result == -ENXIO)
        result = -ESTALE;
    if (result == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0)
        result = -ENOENT;
    else if (result == 0 &&
             (!S_ISREG(st.st_mode) || st.st_uid != owner || (st.st_mode & 07777) != LOG_MODE || st.st_nlink != 1))
        result = -ESTALE;
    if (result < 0) {
        if (fd >= 0)
            sys_close(fd);
        if (result == -ESTALE)
            msg(MSG_WARNING, "log %s: refused: not a regular file of uid %u with mode 0600 and one link", name, owner);
        return result;
    }
    log->fd = highfd_move(fd);
    return 0;
}

int log_map(struct log *log, enum pm_map_sync sync)
{
    struct stat st;
    int result = sys_fstat(log->fd, &st);
    if (result < 0)
        return result;
    if (st.st_size < (off_t)LOG_HEADER_BYTES) {
        log_complain(log, "shorter than its header");
        return -ESTALE;
    }
    return pm_map_open(&log->map, log->fd, true, true, sync);
}

int log_lock(struct log *log, enum log_lock lock)
{
    static const short types[] = {
        [LOG_LOCK_NONE] = F_UNLCK, [LOG_LOCK_SHARED] = F_RDLCK, [LOG_LOCK_EXCLUSIVE] = F_WRLCK};
    struct flock range = {.l_type = types[lock], .l_whence = SEEK_SET, .l_start = LOG_LOCK_BYTE, .l_len = 1};
    int result = sys_fcntl(log->fd, F_OFD_SETLK, (long)&range);
    return result == -EACCES ? -EAGAIN : result;
}

bool log_is_used(const struct log *log)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOG_LOCK_BYTE, .l_len = 1};
    return sys_fcntl(log->fd, F_OFD_GETLK, (long)&range) == 0 && range.l_type != F_UNLCK;
}

void log_close(struct log *log)
{
    if (log->map.fd >= 0)
        pm_map_close(&log->map);
    if (log->fd >= 0)
        highfd_close(log->fd);
    log_clear(log, log->dirfd);
}

void log_forget(struct log *log)
{
    if (log->fd >= 0)
        highfd_close(log->fd);
    log_clear(log, log->dirfd);
}

int log_unlink(struct log *log)
{
    char name[LOG_NAME_BYTES];
    log_name_format(log->id, name);
    return sys_unlinkat(log->dirfd, name, 0);
}

int log_grow(struct log *log, uint32_t from, uint32_t count)
{
    if (from < LOG_FIRST_BLOCK || count > LOG_BLOCKS_MAX || from > LOG_BLOCKS_MAX - count)
        return -EFBIG;
    while (count > 0) {
        uint32_t left = LOG_GROUP_BLOCKS - from % LOG_GROUP_BLOCKS;
        uint32_t here = count < left ? count : left;
        /* Entries first: blocks that exist (the file's length says it) always have theirs. */
        int result = grow_allocate(log->fd, 0, log_entry_offset(from), (uint64_t)here * LOG_ENTRY_BYTES);
        if (result == 0)
            result = grow_allocate(log->fd, 0, log_block_offset(from), (uint64_t)here * LOG_BLOCK);
        if (result < 0)
            return result;
        from += here;
        count -= here;
    }
    return sys_fsync(log->fd);
}

void log_release_blocks(struct log *log)
{
    struct stat st;
    if (sys_fstat(log->fd, &st) == 0 && st.st_size > (off_t)LOG_ENTRIES_BYTES) /* entries of later groups too: void */
        sys_fallocate(log->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)LOG_ENTRIES_BYTES,
                      st.st_size - (off_t)LOG_ENTRIES_BYTES); /* failing, they only stay */
}

bool log_is_whole(const struct stat *st)
{
    const uint64_t unit = 512; /* of st_blocks, whatever the file system's blocks are */
    uint32_t blocks = log_blocks_in((uint64_t)st->st_size);
    return blocks <= LOG_FIRST_BLOCK ||
           (uint64_t)st->st_blocks * unit >= (uint64_t)(blocks - LOG_FIRST_BLOCK) * LOG_BLOCK;
}

bool log_has_block_slow(struct log *log, uint32_t n)
{
    struct stat st;
    if (sys_fstat(log->fd, &st) < 0)
        return false;
    uint32_t blocks = log_blocks_in((uint64_t)st.st_size);
    atomic_store_explicit(&log->blocks, blocks, memory_order_relaxed);
    return n < blocks;
}

void log_complain(const struct log *log, const char *what)
{
    char name[LOG_NAME_BYTES];
    log_name_format(log->id, name);
    msg(MSG_WARNING, "log %s: refused: %s", name, what);
}
