/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_scan.c — looks through the logs of a volume after a boot or a death: every log with a magic is registered under
 * its inode; one that nobody uses is recovered at once if its file is still where the header says, and then removed;
 * pooled logs of the dead are removed. What is damaged or foreign stays as it is; a damaged log is registered under the
 * inode that it seems to be of, so that an open of that file fails rather than shows what was never committed. Layer log.
 */
#include "base/mem.h"
#include "base/msg.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "log/log_index.h"
#include "log/log_private.h"
#include "log/log_recover.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

enum {
    SCAN_ID_DIGITS = 16,
};

struct scan {
    struct volume *volume;
    struct log_header *header; /* private copy of the log at hand */
};

/* What an O_PATH descriptor (or an error) is of, opened for recovery if it may be the header's file: a descriptor or -errno. */
static int reopen_target(const struct log_header *header, int path_fd)
{
    struct stat st;
    if (path_fd < 0)
        return path_fd;
    int result = sys_fstat(path_fd, &st);
    if (result == 0 && (!S_ISREG(st.st_mode) || st.st_ino != header->identity.ino || st.st_uid != header->owner))
        result = -ESTALE;
    if (result == 0)
        result = place_reopen(path_fd, O_RDWR | O_CLOEXEC | O_NOCTTY);
    sys_close(path_fd);
    return result;
}

/* The file of the header's path, if it is still there. By O_PATH first, so that a device or a FIFO that has taken the name is
 * not touched. */
static int open_target(const struct log_header *header)
{
    if (header->path[0] != '/')
        return -ENOENT;
    return reopen_target(header, sys_openat(AT_FDCWD, header->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
}

/* Whether the unlink of a file that is gone is durable, too: else a power cut might bring it back, and it would need its log. */
static bool is_gone_for_good(const struct scan *scan)
{
    return !volume_is_durable(scan->volume) || sys_syncfs(scan->volume->dirfd) == 0;
}

/* Recovers the file `fd` (or an error), which is closed, by its exclusively locked log: 0 if the log is not needed any more. */
static int recover_target(struct scan *scan, struct log *log, int fd)
{
    if (fd < 0)
        return fd;
    struct log_identity identity;
    int result = log_identity_of(fd, &identity, NULL);
    if (result == 0 && log_identity_replaced(&scan->header->identity, &identity) && is_gone_for_good(scan)) {
        sys_close(fd);
        return 0; /* the log's file is no more: its number is another one's */
    }
    if (result == 0 && !log_identity_equal(&identity, &scan->header->identity))
        result = -ESTALE;
    if (result == 0)
        result = log_map(log, scan->volume->sync);
    if (result == 0)
        log_index_remove(scan->volume->owner, scan->header->index_nonce); /* without users: the log is ours alone */
    if (result == 0)
        result = log_recover(log, fd, NULL);
    sys_close(fd);
    return result;
}

/* Whether an exclusively locked log is not needed any more: its file is recovered, or cannot be found and needs nothing. */
static bool is_needless(struct scan *scan, struct log *log)
{
    int result = recover_target(scan, log, open_target(scan->header));
    if (result != -ENOENT && result != -ENOTDIR && result != -ESTALE)
        return result == 0;
    if (log_is_untouched(log, scan->header))
        return true;
    int fd = log_open_handle(scan->header, scan->volume->dirfd); /* it may have another name */
    if (fd == -ENOENT)
        return is_gone_for_good(scan);
    return recover_target(scan, log, reopen_target(scan->header, fd)) == 0;
}

/* A log with a magic, under the lock of its inode. It may have been retired, or issued to another file, since it was looked
 * at without the lock: only what it says now counts. */
static void scan_used(struct scan *scan, struct log *log, uint64_t ino)
{
    struct volume *volume = scan->volume;
    int result = log_check(log, volume->owner, scan->header);
    if (result != 0 || scan->header->identity.ino != ino)
        return;
    uint64_t known = volume_find_log(volume, ino);
    if (!known && volume_register_log(volume, ino, log->id) == 0)
        known = log->id;
    if (log_lock(log, LOG_LOCK_EXCLUSIVE) < 0 || log_check(log, volume->owner, scan->header) != 0)
        return; /* in use, or was until now: only from here on nobody changes it */
    if (!(scan->header->flags & LOG_FLAG_PASSTHROUGH) && !is_needless(scan, log))
        return; /* it waits for its file to be opened */
    if (!pm_map_peek(&log->map, 0) && log_map(log, volume->sync) != 0)
        return;
    log_retire(log);
    if (known == log->id)
        volume_unregister_log(volume, ino);
    log_index_remove(volume->owner, scan->header->index_nonce);
    log_unlink(log);
}

static void remove_pooled(struct scan *scan, struct log *log)
{
    log_index_remove(scan->volume->owner, scan->header->index_nonce);
    log_unlink(log);
}

/* A log without one: nobody's, if it can be locked. */
static void scan_pooled(struct scan *scan, struct log *log)
{
    if (log_lock(log, LOG_LOCK_EXCLUSIVE) == 0 && log_check(log, scan->volume->owner, scan->header) == -ENODATA &&
        log_is_void(log, scan->header))
        remove_pooled(scan, log);
}

/* A damaged log keeps the inode, unless it has another log. */
static void keep_inode(struct scan *scan, uint64_t ino, uint64_t id)
{
    struct volume *volume = scan->volume;
    if (!ino || volume_lock_inode(volume, ino) != 0)
        return;
    if (!volume_find_log(volume, ino))
        volume_register_log(volume, ino, id);
    volume_unlock_inode(volume, ino);
}

/* A log that cannot be read, or of another version. Its identity may still be right; if it is not, the path. */
static void scan_damaged(struct scan *scan, const struct log *log)
{
    struct stat st;
    const struct log_header *header = scan->header;
    keep_inode(scan, header->identity.ino, log->id);
    if (!log_identity_is_intact(header) && header->path[0] == '/' && memchr(header->path, 0, LOG_PATH_BYTES) &&
        sys_fstatat(AT_FDCWD, header->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        st.st_uid == scan->volume->owner && major(st.st_dev) == scan->volume->dev_major &&
        minor(st.st_dev) == scan->volume->dev_minor)
        keep_inode(scan, st.st_ino, log->id);
}

static void scan_log(struct scan *scan, uint64_t id)
{
    struct log log;
    if (log_open(&log, scan->volume->dirfd, id, scan->volume->owner) < 0)
        return;
    memset(scan->header, 0, sizeof *scan->header); /* nothing of the last log behind the end of a short one */
    int result = log_check(&log, scan->volume->owner, scan->header);
    if (result == -EBADMSG || result == -EPROTONOSUPPORT) {
        scan_damaged(scan, &log);
    } else if (result == -ENODATA) {
        scan_pooled(scan, &log);
    } else if (result == 0) {
        uint64_t ino = scan->header->identity.ino;
        if (ino && volume_lock_inode(scan->volume, ino) == 0) {
            scan_used(scan, &log, ino);
            volume_unlock_inode(scan->volume, ino);
        }
    }
    log_close(&log);
}

/* The name of a log that was still being made: removed if its maker has died. */
static bool is_temporary(const char *name)
{
    return strlen(name) == SCAN_ID_DIGITS + sizeof LOG_TEMPORARY_SUFFIX - 1 &&
           strcmp(name + SCAN_ID_DIGITS, LOG_TEMPORARY_SUFFIX) == 0;
}

static void scan_temporary(struct scan *scan, const char *name)
{
    struct log log;
    log_clear(&log, scan->volume->dirfd);
    log.fd = sys_openat(log.dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (log.fd >= 0 && log_lock(&log, LOG_LOCK_EXCLUSIVE) == 0)
        sys_unlinkat(log.dirfd, name, 0);
    log_close(&log);
}

static void scan_name(void *arg, int fd, const char *name)
{
    struct scan *scan = arg;
    uint64_t id;
    (void)fd;
    if (log_name_parse(name, &id))
        scan_log(scan, id);
    else if (is_temporary(name))
        scan_temporary(scan, name);
}

int volume_scan(struct volume *volume)
{
    struct scan scan = {.volume = volume, .header = mem_alloc(sizeof(struct log_header))};
    int result = scan.header ? log_list(volume->dirfd, ".", scan_name, &scan) : -ENOMEM;
    mem_free(scan.header, sizeof *scan.header);
    return result;
}
