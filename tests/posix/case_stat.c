/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_stat.c — what the stat family tells of a written file: size, kind, times.
 */
#include "cases.h"

#include <sys/time.h>
#include <time.h>

static void sizes(int line, int fd)
{
    struct stat st;
    struct stat64 st64;
    struct statx stx;
    int r = fstat(fd, &st);
    say("%d: fstat %d %lld mode %o links %u blksize %ld", line, r, (long long)st.st_size, st.st_mode,
        (unsigned)st.st_nlink, (long)st.st_blksize);
    r = stat(SUBJECT, &st);
    say("%d: stat %d %lld", line, r, (long long)st.st_size);
    r = lstat(SUBJECT, &st);
    say("%d: lstat %d %lld", line, r, (long long)st.st_size);
    r = stat64(SUBJECT, &st64);
    say("%d: stat64 %d %lld", line, r, (long long)st64.st_size);
    r = fstatat(AT_FDCWD, SUBJECT, &st, AT_SYMLINK_NOFOLLOW);
    say("%d: fstatat %d %lld", line, r, (long long)st.st_size);
    r = fstatat(fd, "", &st, AT_EMPTY_PATH);
    say("%d: fstatat empty %d %lld", line, r, (long long)st.st_size);
    r = statx(AT_FDCWD, SUBJECT, 0, STATX_BASIC_STATS, &stx);
    say("%d: statx %d %llu", line, r, (unsigned long long)stx.stx_size);
    r = statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx);
    say("%d: statx empty %d %llu", line, r, (unsigned long long)stx.stx_size);
}

static void all_sizes(void)
{
    int fd = subject();
    sizes(__LINE__, fd);
    CALL(nvx.pwrite(fd, bytes, 100, subject_size));
    sizes(__LINE__, fd);
    CALL(nvx.pwrite(fd, bytes, 100, subject_size + 10000));
    sizes(__LINE__, fd);
    CALL(nvx.fsync(fd));
    sizes(__LINE__, fd);
    CALL(nvx.ftruncate(fd, 777));
    sizes(__LINE__, fd);
    CALL(nvx.close(fd));
    fd = CALL(nvx.open(SUBJECT, O_RDONLY));
    sizes(__LINE__, fd);
    CALL(nvx.close(fd));
}

static void sizes_by_fstat(void)
{
    int fd = subject();
    struct stat st;
    for (int i = 0; i < 10; i++) {
        CALL(nvx.lseek(fd, 0, SEEK_END));
        CALL(nvx.write(fd, bytes, 1000 * (size_t)i));
        CALL(nvx.fstat(fd, &st));
        say("size %lld mode %o links %u", (long long)st.st_size, st.st_mode, (unsigned)st.st_nlink);
    }
    CALL(nvx.close(fd));
    CALL(nvx.fstat(fd, &st));
}

/* The file is one: the same device and inode by every way. */
static void one_identity(void)
{
    int fd = subject();
    struct stat a, b, c;
    CALL(nvx.write(fd, bytes, 5000));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes, 5000));
    CALL(nvx.fstat(fd, &a));
    CALL(stat(SUBJECT, &b));
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.fstat(other, &c));
    say("same %d %d", a.st_dev == b.st_dev && a.st_ino == b.st_ino, a.st_dev == c.st_dev && a.st_ino == c.st_ino);
    CALL(nvx.close(other));
    CALL(nvx.close(fd));
}

/* Longer than the grain of the kernel's clock. */
static void pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static int compare_times(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

static struct timespec mtime_of(int fd)
{
    struct stat st;
    nvx.fstat(fd, &st);
    return st.st_mtim;
}

static void report_mtime(int line, int fd, struct timespec *last, const char *what)
{
    struct timespec now = mtime_of(fd);
    say("%d: %s: mtime %s", line, what, compare_times(now, *last) > 0 ? "moved" : "stayed");
    *last = now;
    pause_shortly();
}
#define MTIME(fd, last, what) report_mtime(__LINE__, fd, last, what)

static void mtime(void)
{
    int fd = subject();
    struct timespec last = mtime_of(fd);
    pause_shortly();
    MTIME(fd, &last, "nothing");
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    MTIME(fd, &last, "pwrite");
    CALL(nvx.write(fd, bytes, 10));
    MTIME(fd, &last, "write");
    CALL(nvx.pread(fd, scratch, 10, 0));
    MTIME(fd, &last, "pread");
    CALL(nvx.fsync(fd));
    MTIME(fd, &last, "fsync");
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    MTIME(fd, &last, "pwrite after fsync");
    CALL(nvx.pwrite(fd, bytes, 0, 50));
    MTIME(fd, &last, "pwrite of nothing");
    CALL(nvx.pwrite(fd, bytes, 10, subject_size));
    MTIME(fd, &last, "extending pwrite");
    CALL(nvx.ftruncate(fd, 500));
    MTIME(fd, &last, "ftruncate");
    CALL(nvx.ftruncate(fd, 500));
    MTIME(fd, &last, "ftruncate to the same size");
    CALL(nvx.fallocate(fd, 0, 0, 1000));
    MTIME(fd, &last, "fallocate");
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    CALL(nvx.fsync(fd));
    MTIME(fd, &last, "pwrite and fsync");
    CALL(nvx.close(fd));
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    MTIME(fd, &last, "close and open");
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    CALL(nvx.close(fd));
    pause_shortly();
    fd = CALL(nvx.open(SUBJECT, O_RDONLY));
    MTIME(fd, &last, "pwrite and close");
    CALL(nvx.close(fd));
}

static void mtime_by_path(void)
{
    int fd = subject();
    struct stat st;
    struct statx stx;
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    CALL(stat(SUBJECT, &st));
    struct timespec last = st.st_mtim;
    pause_shortly();
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    CALL(stat(SUBJECT, &st));
    say("moved %d", compare_times(st.st_mtim, last) > 0);
    say("both say the same %d", compare_times(st.st_mtim, mtime_of(fd)) == 0);
    last = st.st_mtim;
    pause_shortly();
    CALL(nvx.pwrite(fd, bytes, 10, 50));
    CALL(statx(AT_FDCWD, SUBJECT, 0, STATX_MTIME, &stx));
    struct timespec now = {stx.stx_mtime.tv_sec, stx.stx_mtime.tv_nsec};
    say("moved %d", compare_times(now, last) > 0);
    CALL(nvx.close(fd));
}

static void say_times(int line, const char *path)
{
    struct stat st;
    stat(path, &st);
    say("%d: mtime %lld.%09ld", line, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* A time that was set stays, also over sync, write-back and close. */
static void mtime_set(void)
{
    int fd = subject();
    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 1}, {.tv_sec = 2000, .tv_nsec = 2}};
    CALL(nvx.pwrite(fd, bytes, 9000, 50));
    CALL(utimensat(AT_FDCWD, SUBJECT, times, 0));
    say_times(__LINE__, SUBJECT);
    CALL(nvx.fsync(fd));
    say_times(__LINE__, SUBJECT);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); /* long enough for an idle write-back */
    say_times(__LINE__, SUBJECT);
    CALL(nvx.close(fd));
    say_times(__LINE__, SUBJECT);
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    say_times(__LINE__, SUBJECT);
    CALL(nvx.write(fd, bytes, 10));
    times[1].tv_sec = 3000;
    CALL(futimens(fd, times));
    say_times(__LINE__, SUBJECT);
    CALL(nvx.close(fd));
    say_times(__LINE__, SUBJECT);
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.write(fd, bytes, 10));
    times[1].tv_nsec = UTIME_OMIT;
    CALL(futimens(fd, times));
    struct stat st;
    CALL(stat(SUBJECT, &st));
    say("moved %d", st.st_mtim.tv_sec > 3000);
    struct timeval old[2] = {{4000, 0}, {4000, 5}};
    CALL(utimes(SUBJECT, old));
    CALL(nvx.close(fd));
    say_times(__LINE__, SUBJECT);
    CALL(utimensat(AT_FDCWD, SUBJECT, NULL, 0));
    CALL(utimensat(AT_FDCWD, "missing", NULL, 0));
}

static void bad_stat(void)
{
    int fd = subject();
    struct stat st;
    struct statx stx;
    CALL(stat("missing", &st));
    CALL(stat("", &st));
    CALL(stat(bad_address(), &st));
    CALL(stat(SUBJECT, bad_address()));
    CALL(lstat(SUBJECT "/", &st));
    CALL(fstatat(AT_FDCWD, "", &st, 0));
    CALL(fstatat(-1, SUBJECT, &st, 0));
    CALL(fstatat(fd, SUBJECT, &st, 0));
    CALL(fstatat(AT_FDCWD, SUBJECT, &st, 0x8000));
    CALL(statx(AT_FDCWD, SUBJECT, 0, 0x80000000, &stx));
    CALL(statx(AT_FDCWD, SUBJECT, AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &stx));
    CALL(nvx.close(fd));
}

static void access_and_owner(void)
{
    int fd = subject();
    struct stat st;
    CALL(access(SUBJECT, R_OK | W_OK));
    CALL(access(SUBJECT, X_OK));
    CALL(fchmod(fd, 0600));
    CALL(nvx.fstat(fd, &st));
    say("mode %o", st.st_mode);
    CALL(chmod(SUBJECT, 0));
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes, 100));
    CALL(fchown(fd, (uid_t)-1, (gid_t)-1));
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_stat[] = {
    {"all_sizes", all_sizes, 0}, {"sizes_by_fstat", sizes_by_fstat, CASE_NV}, {"one_identity", one_identity, 0},
    {"mtime", mtime, CASE_NV},   {"mtime_by_path", mtime_by_path, 0},         {"mtime_set", mtime_set, 0},
    {"bad_stat", bad_stat, 0},   {"access_and_owner", access_and_owner, 0},   {0},
};
