/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_identity.c — which file is this, which boot is this. Layer log.
 */
#include "base/place.h"
#include "base/rawsys.h"
#include "log/log_recover.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

/* XFS_IOC_FSGEOMETRY_V1, which every XFS has answered; its headers are seldom installed. */
struct identity_xfs {
    uint32_t before[8];
    uint64_t counts[4];
    uint64_t uuid[2];
    uint64_t behind[4];
};
_Static_assert(sizeof(struct identity_xfs) == 112, "the size is part of the ioctl's number");
#define IDENTITY_XFS_GEOMETRY _IOR('X', 100, struct identity_xfs)
#define IDENTITY_XFS_MAGIC 0x58465342

/* The UUID folded to 64 bits, which is what ext4 and tmpfs have in f_fsid. Of XFS that is the device's number, which another
 * disk can change from boot to boot. FS_IOC_GETFSUUID is not asked: a log must be known again under an older kernel, or
 * one that is new enough to have it. */
static int file_system_id(int fd, uint64_t fs[2])
{
    struct statfs st;
    struct identity_xfs xfs;
    int result = sys_fstatfs(fd, &st);
    if (result < 0)
        return result;
    _Static_assert(sizeof st.f_fsid == sizeof fs[0], "f_fsid is two ints");
    memcpy(&fs[0], &st.f_fsid, sizeof fs[0]);
    fs[1] = 0;
    if (st.f_type == IDENTITY_XFS_MAGIC) {
        result = sys_ioctl(fd, IDENTITY_XFS_GEOMETRY, &xfs);
        if (result == 0)
            fs[0] = xfs.uuid[0] ^ xfs.uuid[1];
    }
    return result;
}

int log_identity_of(int fd, struct log_identity *identity, struct statx *stx)
{
    struct statx own;
    if (!stx)
        stx = &own;
    memset(identity, 0, sizeof *identity);
    int result = sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, stx);
    if (result < 0)
        return result;
    result = file_system_id(fd, identity->fs);
    if (result < 0)
        return result;
    identity->ino = stx->stx_ino;
    if (stx->stx_mask & STATX_BTIME) {
        identity->birth_sec = stx->stx_btime.tv_sec;
        identity->birth_nsec = stx->stx_btime.tv_nsec;
    }
    /* Declared with a long, but file systems store an int. */
    union {
        long wide;
        uint32_t narrow;
    } generation = {.wide = 0};
    if (sys_ioctl(fd, FS_IOC_GETVERSION, &generation) == 0)
        identity->generation = generation.narrow;
    return 0;
}

bool log_identity_equal(const struct log_identity *a, const struct log_identity *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* no padding: the format's static assertion */
}

/* A generation may be changed, and be unknown to one of two kernels; a birth time is the inode's for good. */
bool log_identity_replaced(const struct log_identity *then, const struct log_identity *now)
{
    bool born = (then->birth_sec || then->birth_nsec) && (now->birth_sec || now->birth_nsec);
    bool other = then->birth_sec != now->birth_sec || then->birth_nsec != now->birth_nsec;
    return then->fs[0] == now->fs[0] && then->fs[1] == now->fs[1] && then->ino == now->ino && born && other;
}

/* The boot id of this kernel, once read. Racing readers store the same value. */
static struct {
    _Atomic uint64_t half[2];
    _Atomic int known;
} identity_boot;

/* 32 hex digits with dashes between: 0, or -EBADMSG. */
static int parse_uuid(const char *text, size_t length, uint64_t id[2])
{
    unsigned digits = 0;
    id[0] = id[1] = 0;
    for (size_t i = 0; i < length && digits < 32; i++) {
        char c = text[i];
        unsigned value;
        if (c >= '0' && c <= '9')
            value = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = (unsigned)(c - 'a' + 10);
        else if (c == '-')
            continue;
        else
            break;
        id[digits / 16] = id[digits / 16] << 4 | value;
        digits++;
    }
    return digits == 32 && (id[0] | id[1]) ? 0 : -EBADMSG;
}

int log_boot_id(uint64_t id[2])
{
    if (atomic_load_explicit(&identity_boot.known, memory_order_acquire)) { /* pairs with the release below */
        id[0] = atomic_load_explicit(&identity_boot.half[0], memory_order_relaxed);
        id[1] = atomic_load_explicit(&identity_boot.half[1], memory_order_relaxed);
        return 0;
    }
    const char *path = "/proc/sys/kernel/random/boot_id";
    int at = place_at(&path);
    int fd = sys_openat(at, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    char text[64];
    ssize_t n = sys_read(fd, text, sizeof text);
    sys_close(fd);
    if (n < 0)
        return (int)n;
    int result = parse_uuid(text, (size_t)n, id);
    if (result < 0)
        return result;
    atomic_store_explicit(&identity_boot.half[0], id[0], memory_order_relaxed);
    atomic_store_explicit(&identity_boot.half[1], id[1], memory_order_relaxed);
    atomic_store_explicit(&identity_boot.known, 1, memory_order_release);
    return 0;
}
