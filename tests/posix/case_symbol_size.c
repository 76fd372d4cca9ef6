/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_size.c — names of libc about mappings, sizes, status and times.
 */
#include "case_symbol.h"

#include <fts.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <utime.h>

enum { PAGE = 4096 };

int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);
int __statfs(const char *path, struct statfs *st);

/* ---- mappings ---- */

#define MMAP_CASE(name)                                                                                                \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        uint8_t *map;                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL_POINTER(map = name(NULL, (size_t)4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));                   \
        memcpy(map + 4000, bytes + 9, 1000);                                                                           \
        SHOW(fd);                                                                                                      \
        CALL(pwrite(fd, bytes + 8, 1000, 8000));                                                                       \
        SHOW_BYTES(map, 4 * PAGE);                                                                                     \
        CALL_POINTER(map = name(map, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE));                             \
        SHOW_BYTES(map, PAGE);                                                                                         \
        CALL(munmap(map, (size_t)4 * PAGE));                                                                           \
        CALL_POINTER(name(NULL, PAGE, PROT_READ, MAP_SHARED, -1, 0));                                                  \
        CALL_POINTER(name(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 77));                                                 \
    }
MMAP_CASE(mmap)
MMAP_CASE(mmap64)

static uint8_t *mapped(int fd)
{
    uint8_t *map;
    CALL(write(fd, bytes + 3, 5000));
    CALL_POINTER(map = mmap(NULL, (size_t)4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    map[100] = 'x';
    return map;
}

static void unmapped(int fd, uint8_t *map)
{
    SHOW(fd);
    CALL(pwrite(fd, bytes + 8, 1000, 8000));
    SHOW_BYTES(map, 3 * PAGE);
    CALL(munmap(map, (size_t)4 * PAGE));
}

#define MAPPED_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        uint8_t *map = mapped(fd);                                                                                     \
        CALL(__VA_ARGS__);                                                                                             \
        unmapped(fd, map);                                                                                             \
    }
MAPPED_CASE(msync, msync(map, (size_t)4 * PAGE, MS_SYNC))
MAPPED_CASE(mprotect, mprotect(map, PAGE, PROT_READ))
MAPPED_CASE(pkey_mprotect, pkey_mprotect(map, PAGE, PROT_READ, -1))
MAPPED_CASE(madvise, madvise(map, (size_t)4 * PAGE, MADV_DONTNEED) + madvise(map, PAGE, MADV_REMOVE))
MAPPED_CASE(posix_madvise, posix_madvise(map, (size_t)4 * PAGE, POSIX_MADV_WILLNEED))
MAPPED_CASE(mlock, mlock(map, PAGE))
MAPPED_CASE(mlock2, mlock2(map, PAGE, MLOCK_ONFAULT))
MAPPED_CASE(munlock, munlock(map, PAGE))
MAPPED_CASE(munlockall, munlockall())
MAPPED_CASE(mincore, mincore(map, PAGE, scratch))
MAPPED_CASE(remap_file_pages, remap_file_pages(map, PAGE, 0, 1, 0))

SYMBOL_CASE(mlockall)
{
    CALL(mlockall(77));
    uint8_t *map = mapped(fd);
    unmapped(fd, map);
}

SYMBOL_CASE(munmap)
{
    uint8_t *map = mapped(fd);
    CALL(munmap(map + PAGE, PAGE));
    CALL(munmap(map + 1, PAGE));
    CALL(munmap(map, 0));
    map[200] = 'y';
    SHOW(fd);
    CALL(munmap(map, (size_t)4 * PAGE));
}

/* The mapping moves; it goes on to be one of the file after the last close. */
SYMBOL_CASE(mremap)
{
    uint8_t *map = mapped(fd), *room, *other;
    CALL_POINTER(room = mmap(NULL, (size_t)8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CALL_POINTER(mremap(map, (size_t)4 * PAGE, (size_t)8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room));
    CALL_POINTER(other = mmap(map, (size_t)4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    CALL(close(fd));
    CALL(munmap(other, (size_t)4 * PAGE));
    int again = CALL(open(SUBJECT, O_RDWR));
    CALL(fsync(again));
    CALL(pwrite(again, bytes + 1, 5000, 500));
    CALL(fsync(again));
    SHOW_BYTES(room, 4 * PAGE);
    memcpy(room + 700, bytes + 2, 5000);
    SHOW(again);
    CALL(pwrite(again, bytes + 3, 5000, 900));
    CALL(munmap(room, (size_t)8 * PAGE));
    symbol_use(again);
    CALL_POINTER(mremap(bytes, 0, PAGE, 77));
}

/* ---- sizes ---- */

#define FTRUNCATE_CASE(name)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(fd, 3333));                                                                                          \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, 77777));                                                                                         \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, -1));                                                                                            \
        CALL(name(-1, 5));                                                                                             \
    }
FTRUNCATE_CASE(ftruncate)
FTRUNCATE_CASE(ftruncate64)

#define TRUNCATE_CASE(name)                                                                                            \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(SUBJECT, 3333));                                                                                     \
        SHOW(fd);                                                                                                      \
        CALL(name(SUBJECT, 77777));                                                                                    \
        SHOW(fd);                                                                                                      \
        CALL(name(SUBJECT, -1));                                                                                       \
        CALL(name("missing", 5));                                                                                      \
        CALL(name(".", 5));                                                                                            \
    }
TRUNCATE_CASE(truncate)
TRUNCATE_CASE(truncate64)

#define FALLOCATE_CASE(name)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(fd, 0, subject_size, 7777));                                                                         \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, FALLOC_FL_KEEP_SIZE, subject_size, 99999));                                                      \
        CALL(name(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 6000));                                         \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, 0, -1, 7777));                                                                                   \
        CALL(name(-1, 0, 0, 7777));                                                                                    \
    }
FALLOCATE_CASE(fallocate)
FALLOCATE_CASE(fallocate64)

#define POSIX_FALLOCATE_CASE(name)                                                                                     \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(fd, subject_size, 7777));                                                                            \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, 0, 0));                                                                                          \
        CALL(name(-1, 0, 7777));                                                                                       \
    }
POSIX_FALLOCATE_CASE(posix_fallocate)
POSIX_FALLOCATE_CASE(posix_fallocate64)

#define ADVICE_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(fd, 0, 0, POSIX_FADV_DONTNEED));                                                                     \
        CALL(name(fd, 0, 0, 77));                                                                                      \
        CALL(name(-1, 0, 0, POSIX_FADV_NORMAL));                                                                       \
    }
ADVICE_CASE(posix_fadvise)
ADVICE_CASE(posix_fadvise64)

SYMBOL_CASE(readahead)
{
    CALL(readahead(fd, 0, 10000));
    CALL(readahead(-1, 0, 10000));
}

/* ---- status ---- */

#define STAT_CASE(name, type, ...)                                                                                     \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct type st = {0};                                                                                          \
        CALL(pwrite(fd, bytes + 3, 5000, subject_size));                                                               \
        CALL(name(__VA_ARGS__));                                                                                       \
        say("size %lld mode %o links %u", (long long)st.st_size, st.st_mode, (unsigned)st.st_nlink);                   \
        CALL(ftruncate(fd, 1234));                                                                                     \
        CALL(name(__VA_ARGS__));                                                                                       \
        say("size %lld", (long long)st.st_size);                                                                       \
    }
STAT_CASE(fstat, stat, fd, &st)
STAT_CASE(fstat64, stat64, fd, &st)
STAT_CASE(stat, stat, SUBJECT, &st)
STAT_CASE(stat64, stat64, SUBJECT, &st)
STAT_CASE(lstat, stat, SUBJECT, &st)
STAT_CASE(lstat64, stat64, SUBJECT, &st)
STAT_CASE(fstatat, stat, AT_FDCWD, SUBJECT, &st, 0)
STAT_CASE(fstatat64, stat64, fd, "", &st, AT_EMPTY_PATH)
STAT_CASE(__fxstat, stat, 1, fd, &st)
STAT_CASE(__fxstat64, stat64, 1, fd, &st)
STAT_CASE(__xstat, stat, 1, SUBJECT, &st)
STAT_CASE(__xstat64, stat64, 1, SUBJECT, &st)
STAT_CASE(__lxstat, stat, 1, SUBJECT, &st)
STAT_CASE(__lxstat64, stat64, 1, SUBJECT, &st)
STAT_CASE(__fxstatat, stat, 1, AT_FDCWD, SUBJECT, &st, 0)
STAT_CASE(__fxstatat64, stat64, 1, AT_FDCWD, SUBJECT, &st, 0)

SYMBOL_CASE(statx)
{
    struct statx stx;
    CALL(pwrite(fd, bytes + 3, 5000, subject_size));
    CALL(statx(AT_FDCWD, SUBJECT, 0, STATX_SIZE, &stx));
    say("size %lld", (long long)stx.stx_size);
    CALL(ftruncate(fd, 1234));
    CALL(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx));
    say("size %lld", (long long)stx.stx_size);
    CALL(statx(AT_FDCWD, "missing", 0, STATX_SIZE, &stx));
}

#define STATFS_CASE(name, type, ...)                                                                                   \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct type st;                                                                                                \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(__VA_ARGS__, &st));                                                                                  \
        say("blocks of %lu", (unsigned long)st.f_bsize);                                                               \
    }
STATFS_CASE(statfs, statfs, SUBJECT)
STATFS_CASE(statfs64, statfs64, SUBJECT)
STATFS_CASE(__statfs, statfs, SUBJECT)
STATFS_CASE(fstatfs, statfs, fd)
STATFS_CASE(fstatfs64, statfs64, fd)
STATFS_CASE(statvfs, statvfs, SUBJECT)
STATFS_CASE(statvfs64, statvfs64, SUBJECT)
STATFS_CASE(fstatvfs, statvfs, fd)
STATFS_CASE(fstatvfs64, statvfs64, fd)

/* ---- walks, which look at files inside libc ---- */

static int walk_visit(const char *path, const struct stat *st, int type)
{
    if (type == FTW_F)
        say("%s size %lld", path, (long long)st->st_size);
    return 0;
}

static int walk_visit64(const char *path, const struct stat64 *st, int type)
{
    return walk_visit(path, (const struct stat *)st, type);
}

static int walk_visit_more(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    say("base %d level %d", ftw->base, ftw->level);
    return walk_visit(path, st, type);
}

static int walk_visit_more64(const char *path, const struct stat64 *st, int type, struct FTW *ftw)
{
    return walk_visit_more(path, (const struct stat *)st, type, ftw);
}

#define WALK_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(pwrite(fd, bytes + 3, 5000, subject_size));                                                               \
        CALL(name(".", __VA_ARGS__));                                                                                  \
        CALL(name(SUBJECT, __VA_ARGS__));                                                                              \
        CALL(name("missing", __VA_ARGS__));                                                                            \
    }
WALK_CASE(ftw, walk_visit, 4)
WALK_CASE(ftw64, walk_visit64, 4)
WALK_CASE(nftw, walk_visit_more, 4, FTW_PHYS | FTW_CHDIR)
WALK_CASE(nftw64, walk_visit_more64, 4, 0)

#define FTS_CASE(name, prefix, type, entry_type)                                                                       \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        char here[] = ".";                                                                                             \
        char *const list[] = {here, NULL};                                                                             \
        CALL(pwrite(fd, bytes + 3, 5000, subject_size));                                                               \
        CALL(mkdir("below", 0755));                                                                                    \
        CALL(link(SUBJECT, "below/hard"));                                                                             \
        type *walk;                                                                                                    \
        CALL_POINTER(walk = prefix##_open(list, FTS_PHYSICAL, NULL));                                                  \
        for (entry_type * e; (e = prefix##_read(walk));) {                                                             \
            if (e->fts_info == FTS_F && strcmp(e->fts_name, "hard") == 0)                                              \
                say("%s size %lld", e->fts_path, (long long)e->fts_statp->st_size);                                    \
            if (e->fts_info == FTS_D)                                                                                  \
                for (entry_type *c = prefix##_children(walk, 0); c; c = c->fts_link)                                   \
                    if (c->fts_info == FTS_F && strcmp(c->fts_name, "hard") == 0)                                      \
                        say("child size %lld", (long long)c->fts_statp->st_size);                                      \
            CALL(prefix##_set(walk, e, 0));                                                                            \
        }                                                                                                              \
        CALL(prefix##_close(walk));                                                                                    \
    }
#define FTS_CASES(suffix, prefix, type, entry_type) FTS_CASE(prefix##suffix, prefix, type, entry_type)
FTS_CASES(_open, fts, FTS, FTSENT)
FTS_CASES(_read, fts, FTS, FTSENT)
FTS_CASES(_children, fts, FTS, FTSENT)
FTS_CASES(_set, fts, FTS, FTSENT)
FTS_CASES(_close, fts, FTS, FTSENT)
FTS_CASES(_open, fts64, FTS64, FTSENT64)
FTS_CASES(_read, fts64, FTS64, FTSENT64)
FTS_CASES(_children, fts64, FTS64, FTSENT64)
FTS_CASES(_set, fts64, FTS64, FTSENT64)
FTS_CASES(_close, fts64, FTS64, FTSENT64)

/* ---- times ---- */

#define TIMES_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        const struct timespec spec[2] __attribute__((unused)) = {{1000, 1}, {2000, 2}};                                \
        const struct timeval val[2] __attribute__((unused)) = {{1000, 1}, {2000, 2}};                                  \
        const struct utimbuf buf __attribute__((unused)) = {1000, 2000};                                               \
        struct stat st;                                                                                                \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        CALL(name(__VA_ARGS__));                                                                                       \
        CALL(stat(SUBJECT, &st));                                                                                      \
        say("mtime %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);                                     \
        CALL(fsync(fd));                                                                                               \
        CALL(stat(SUBJECT, &st));                                                                                      \
        say("mtime %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);                                     \
    }
TIMES_CASE(futimens, fd, spec)
TIMES_CASE(utimensat, AT_FDCWD, SUBJECT, spec, 0)
TIMES_CASE(utimes, SUBJECT, val)
TIMES_CASE(lutimes, SUBJECT, val)
TIMES_CASE(futimes, fd, val)
TIMES_CASE(futimesat, AT_FDCWD, SUBJECT, val)
TIMES_CASE(utime, SUBJECT, &buf)
