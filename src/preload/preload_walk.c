/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_walk.c — walks through directories (ftw, nftw, fts), which look at each file inside libc. Layer preload.
 *
 * The kernel knows a size that is not yet, or no longer, the file's: what libc has found of a regular file is put right by
 * the core's answer. Times of the file come with it.
 */
#include "preload/preload.h"

#include <fts.h>
#include <ftw.h>
#include <string.h>

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one function serves both names");

/* The core's answer about what libc has found at that path, if it is still there. */
static bool walk_ask(int dirfd, const char *path, const struct stat *found, int flags, struct stat *st)
{
    return S_ISREG(found->st_mode) && preload_core() && preload_core()->fstatat(dirfd, path, st, flags) == 0 &&
           st->st_ino == found->st_ino && st->st_dev == found->st_dev;
}

/* ---- ftw: libc calls the program's function through one of ours ---- */

typedef int walk_function(const char *, const struct stat *, int, struct FTW *);

/* The walk of this thread. A program's function may walk as well, so each walk remembers the one around it. */
struct walk {
    int (*visit)(const char *, const struct stat *, int);
    walk_function *visit_more;
    int flags; /* of nftw */
};
static __thread const struct walk *walk __attribute__((tls_model("initial-exec")));

/* With FTW_CHDIR the working directory is the file's own. */
static bool walk_correct(const char *path, const struct stat *found, int type, const struct FTW *ftw, struct stat *st)
{
    if (type != FTW_F && type != FTW_SL)
        return false;
    const char *name = ftw && walk->flags & FTW_CHDIR ? path + ftw->base : path;
    return walk_ask(AT_FDCWD, name, found, ftw && walk->flags & FTW_PHYS ? AT_SYMLINK_NOFOLLOW : 0, st);
}

static int walk_visit(const char *path, const struct stat *found, int type)
{
    struct stat st;
    const struct walk *own = walk;
    int result = own->visit(path, walk_correct(path, found, type, NULL, &st) ? &st : found, type);
    walk = own;
    return result;
}

static int walk_visit_more(const char *path, const struct stat *found, int type, struct FTW *ftw)
{
    struct stat st;
    const struct walk *own = walk;
    int result = own->visit_more(path, walk_correct(path, found, type, ftw, &st) ? &st : found, type, ftw);
    walk = own;
    return result;
}

static int walk_ftw(enum preload_real which, const char *path, int (*visit)(const char *, const struct stat *, int),
                    int descriptors)
{
    int (*real)(const char *, int (*)(const char *, const struct stat *, int), int) = preload_real(which);
    const struct walk own = {.visit = visit}, *outer = walk;
    if (!real)
        return -1;
    walk = &own;
    int result = real(path, walk_visit, descriptors);
    walk = outer;
    return result;
}

static int walk_nftw(enum preload_real which, const char *path, walk_function *visit, int descriptors, int flags)
{
    int (*real)(const char *, walk_function *, int, int) = preload_real(which);
    const struct walk own = {.visit_more = visit, .flags = flags}, *outer = walk;
    if (!real)
        return -1;
    walk = &own;
    int result = real(path, walk_visit_more, descriptors, flags);
    walk = outer;
    return result;
}

int preload_ftw(const char *path, int (*visit)(const char *, const struct stat *, int), int descriptors)
{
    return walk_ftw(PRELOAD_REAL_ftw, path, visit, descriptors);
}

int preload_ftw64(const char *path, int (*visit)(const char *, const struct stat *, int), int descriptors)
{
    return walk_ftw(PRELOAD_REAL_ftw64, path, visit, descriptors);
}

int preload_nftw(const char *path, walk_function *visit, int descriptors, int flags)
{
    return walk_nftw(PRELOAD_REAL_nftw, path, visit, descriptors, flags);
}

int preload_nftw64(const char *path, walk_function *visit, int descriptors, int flags)
{
    return walk_nftw(PRELOAD_REAL_nftw64, path, visit, descriptors, flags);
}

/* ---- fts: entries with a stat of their own. FTSENT and FTSENT64 are one on 64-bit machines ---- */

_Static_assert(sizeof(FTSENT) == sizeof(FTSENT64), "one function serves both names");

static void walk_correct_entry(int dirfd, FTSENT *entry, const char *path)
{
    struct stat st;
    if (entry->fts_info == FTS_F && entry->fts_statp &&
        walk_ask(dirfd, path, entry->fts_statp, AT_SYMLINK_NOFOLLOW, &st))
        *entry->fts_statp = st;
}

static FTSENT *walk_read(enum preload_real which, FTS *fts)
{
    FTSENT *(*real)(FTS *) = preload_real(which);
    FTSENT *entry = real ? real(fts) : NULL;
    if (entry)
        walk_correct_entry(AT_FDCWD, entry, entry->fts_accpath);
    return entry;
}

/* Children are told before the walk goes to their directory, whose entry is their parent. */
static FTSENT *walk_children(enum preload_real which, FTS *fts, int instructions)
{
    FTSENT *(*real)(FTS *, int) = preload_real(which);
    FTSENT *first = real ? real(fts, instructions) : NULL;
    if (!first || !preload_core() || instructions & FTS_NAMEONLY)
        return first;
    bool by_name = !(fts->fts_options & FTS_NOCHDIR) && first->fts_parent->fts_level >= FTS_ROOTLEVEL;
    int dirfd = AT_FDCWD;
    if (by_name)
        dirfd = sys_openat(AT_FDCWD, first->fts_parent->fts_accpath, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    for (FTSENT *entry = first; entry && (!by_name || dirfd >= 0); entry = entry->fts_link)
        walk_correct_entry(dirfd, entry, by_name ? entry->fts_name : entry->fts_accpath);
    if (by_name && dirfd >= 0)
        sys_close(dirfd);
    return first;
}

FTSENT *preload_fts_read(FTS *fts)
{
    return walk_read(PRELOAD_REAL_fts_read, fts);
}

FTSENT *preload_fts64_read(FTS *fts)
{
    return walk_read(PRELOAD_REAL_fts64_read, fts);
}

FTSENT *preload_fts_children(FTS *fts, int instructions)
{
    return walk_children(PRELOAD_REAL_fts_children, fts, instructions);
}

FTSENT *preload_fts64_children(FTS *fts, int instructions)
{
    return walk_children(PRELOAD_REAL_fts64_children, fts, instructions);
}

#define PRELOAD_EXPORT_walk PRELOAD_ALIAS
#include "preload/preload_export.h"
