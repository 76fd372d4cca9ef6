/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * perform_hook.c — what stands between the library under test and the kernel, beside the recorder: waiting threads hand
 * over, logs may be kept from growing, new inodes may claim the number of old ones, and the process may die.
 */
#include "crash/explore/perform_private.h"
#include "crash/explore/schedule.h"

#include "base/rawsys.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OBJECT_PREFIX "/dev/shm/nvmmio-"
#define ALIASES 4u

struct alias {
    uint64_t ino;
    struct perform_identity like;
};

static struct {
    struct perform_shared *shared;
    long (*next)(long number, long a, long b, long c, long d, long e, long f);
    bool full;
    unsigned aliases;
    struct alias alias[ALIASES];
    uint32_t events, last;
} hook;

/* ---- events ---- */

static void before_event(enum trace_kind kind, enum trace_call call)
{
    (void)call;
    if (kind == TRACE_MARK)
        return;
    if (hook.events++ == hook.last)
        syscall(SYS_kill, getpid(), SIGKILL);
    schedule_step();
}

void perform_die_at(uint32_t event)
{
    hook.events = 0;
    hook.last = event;
}

uint32_t perform_events(void)
{
    return hook.events;
}

/* ---- identity ---- */

void perform_identity_of(int fd, struct perform_identity *identity)
{
    struct statx stx;
    memset(identity, 0, sizeof *identity);
    if (sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) == 0)
        *identity = (struct perform_identity){stx.stx_ino, stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};
}

void perform_impersonate(int fd, const struct perform_identity *like)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && hook.aliases < ALIASES)
        hook.alias[hook.aliases++] = (struct alias){st.st_ino, *like};
}

static const struct perform_identity *alias_of(uint64_t ino)
{
    for (unsigned i = 0; i < hook.aliases; i++)
        if (hook.alias[i].ino == ino)
            return &hook.alias[i].like;
    return NULL;
}

static void alter_stat(struct stat *st)
{
    const struct perform_identity *like = alias_of(st->st_ino);
    if (like)
        st->st_ino = like->ino;
}

static void alter_statx(struct statx *stx)
{
    const struct perform_identity *like = alias_of(stx->stx_ino);
    if (!like)
        return;
    stx->stx_ino = like->ino;
    stx->stx_btime.tv_sec = like->birth_sec;
    stx->stx_btime.tv_nsec = like->birth_nsec;
}

/* ---- the hook ---- */

static void note_object(const char *name)
{
    uint32_t i = atomic_load(&hook.shared->objects);
    if (strncmp(name, OBJECT_PREFIX, strlen(OBJECT_PREFIX)) == 0 && i < PERFORM_OBJECTS) {
        snprintf(hook.shared->object[i], PERFORM_NAME, "%s", name);
        atomic_store(&hook.shared->objects, i + 1);
    }
}

static bool is_log(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    return n > 4 && memcmp(path + n - 4, ".log", 4) == 0;
}

static bool is_wait(long number, long b)
{
    return number == SYS_sched_yield || number == SYS_nanosleep ||
           (number == SYS_futex && (b & FUTEX_CMD_MASK) == FUTEX_WAIT);
}

static long hook_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    if (is_wait(number, b) && schedule_wait())
        return 0;
    if (hook.full && (number == SYS_fallocate || number == SYS_ftruncate) && is_log((int)a))
        return -ENOSPC;
    /* noted first: the process may die at any moment behind the call */
    if (number == SYS_openat && c & O_CREAT)
        note_object((const char *)b);
    long result = hook.next(number, a, b, c, d, e, f);
    if (result == 0 && hook.aliases) {
        if (number == SYS_fstat)
            alter_stat((struct stat *)b);
        else if (number == SYS_newfstatat)
            alter_stat((struct stat *)c);
        else if (number == SYS_statx)
            alter_statx((struct statx *)e);
    }
    return result;
}

void perform_hook(struct perform_shared *shared)
{
    hook.shared = shared;
    hook.last = UINT32_MAX;
    hook.next = trace_invoke;
    trace_invoke = hook_invoke;
    trace_before = before_event;
}

void perform_fill(void)
{
    hook.full = true;
}
