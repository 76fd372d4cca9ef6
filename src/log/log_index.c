/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_index.c — name and end of the index object that a log's header names. Layer log.
 */
#include "log/log_index.h"

#include "base/place.h"
#include "base/rawsys.h"
#include "log/log_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define INDEX_DIRECTORY "/dev/shm"
#define INDEX_PREFIX "nvmmio-"
#define INDEX_NONCE_DIGITS 16u
#define INDEX_LOCK_BYTE 0
#define RECLAIM_MOST 4096u /* names that are looked at in one go: others may have put any number there */

static char *put_text(char *out, const char *text)
{
    while (*text)
        *out++ = *text++;
    return out;
}

void log_index_path(uint32_t owner, uint64_t nonce, char path[LOG_INDEX_PATH_BYTES])
{
    char digits[10];
    unsigned n = 0;
    path = put_text(path, INDEX_DIRECTORY "/" INDEX_PREFIX);
    do {
        digits[n++] = (char)('0' + owner % 10);
        owner /= 10;
    } while (owner);
    while (n)
        *path++ = digits[--n];
    *path++ = '-';
    for (int shift = 60; shift >= 0; shift -= 4)
        *path++ = "0123456789abcdef"[nonce >> shift & 15];
    *path = 0;
}

void log_index_remove(uint32_t owner, uint64_t nonce)
{
    char path[LOG_INDEX_PATH_BYTES];
    if (!nonce)
        return;
    const char *name = path;
    log_index_path(owner, nonce, path);
    int at = place_at(&name);
    sys_unlinkat(at, name, 0);
}

/* ---- whose is it ---- */

static int lock(int fd, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = INDEX_LOCK_BYTE, .l_len = 1};
    int result = sys_fcntl(fd, F_OFD_SETLK, (long)&range);
    return result == -EACCES ? -EAGAIN : result;
}

int log_index_hold(int fd)
{
    struct stat st;
    int result = lock(fd, F_RDLCK);
    if (result == 0)
        result = sys_fstat(fd, &st);
    return result == 0 && st.st_nlink == 0 ? -EAGAIN : result;
}

bool log_index_hold_alone(int fd)
{
    return lock(fd, F_WRLCK) == 0;
}

/* The owner in the name of an object. */
static bool parse_name(const char *name, uint32_t *owner)
{
    uint64_t value = 0;
    size_t digits = strlen(INDEX_PREFIX);
    if (strncmp(name, INDEX_PREFIX, digits) != 0)
        return false;
    for (name += digits, digits = 0; *name >= '0' && *name <= '9' && value <= UINT32_MAX; name++, digits++)
        value = value * 10 + (uint64_t)(*name - '0');
    *owner = (uint32_t)value;
    return digits && value <= UINT32_MAX && *name == '-' && strlen(name + 1) == INDEX_NONCE_DIGITS &&
           strspn(name + 1, "0123456789abcdef") == INDEX_NONCE_DIGITS;
}

struct reclaim {
    uint32_t owner;
    bool all;
    unsigned looked;
};

static void reclaim_name(void *arg, int dirfd, const char *name)
{
    struct reclaim *reclaim = arg;
    struct stat st;
    uint32_t owner;
    if (!parse_name(name, &owner) || (owner != reclaim->owner && !reclaim->all) || reclaim->looked++ >= RECLAIM_MOST)
        return;
    int fd = sys_openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return;
    /* One that root has just made and not given to its owner yet is left alone; one that its maker has not locked yet is
     * taken from it, and it makes another. */
    if (sys_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == owner && log_index_hold_alone(fd))
        sys_unlinkat(dirfd, name, 0);
    sys_close(fd);
}

void log_index_reclaim(uint32_t owner)
{
    struct reclaim reclaim = {.owner = owner, .all = sys_geteuid() == 0};
    const char *directory = INDEX_DIRECTORY "/.";
    int at = place_at(&directory);
    log_list(at, directory, reclaim_name, &reclaim);
}
