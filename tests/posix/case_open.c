/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_open.c — open: flags, O_CREAT, O_EXCL, O_TRUNC, O_TMPFILE, errors, openat, creat.
 */
#include "cases.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* Uses a descriptor in both directions, wherever it allows it. */
static void use(int fd)
{
    if (fd < 0)
        return;
    CALL(nvx.write(fd, bytes + 100, 10));
    CALL(nvx.pwrite(fd, bytes + 200, 10, 4090));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 10)));
    SHOW_BYTES(scratch, CALL(nvx.pread(fd, scratch, 10, 4085)));
    SHOW(fd);
    CALL(nvx.ftruncate(fd, 15000));
    CALL(nvx.fsync(fd));
    CALL(nvx.close(fd));
}

static const struct {
    int flag;
    const char *name;
} extras[] = {
    {0, "0"},
    {O_CREAT, "O_CREAT"},
    {O_CREAT | O_EXCL, "O_CREAT|O_EXCL"},
    {O_EXCL, "O_EXCL"},
    {O_TRUNC, "O_TRUNC"},
    {O_APPEND, "O_APPEND"},
    {O_CREAT | O_TRUNC, "O_CREAT|O_TRUNC"},
    {O_APPEND | O_TRUNC, "O_APPEND|O_TRUNC"},
    {O_DIRECTORY, "O_DIRECTORY"},
    {O_NOFOLLOW, "O_NOFOLLOW"},
    {O_CLOEXEC, "O_CLOEXEC"},
    {O_NONBLOCK, "O_NONBLOCK"},
    {O_SYNC, "O_SYNC"},
    {O_DSYNC, "O_DSYNC"},
    {O_NOATIME, "O_NOATIME"},
    {O_NOCTTY, "O_NOCTTY"},
    {O_PATH, "O_PATH"},
    {O_PATH | O_CREAT, "O_PATH|O_CREAT"},
    {O_SYNC | O_APPEND | O_TRUNC, "O_SYNC|O_APPEND|O_TRUNC"},
};

static void flags(int access)
{
    static const char *const names[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
    int held = subject();
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        say("-- %s|%s", names[access], extras[i].name);
        use(CALL(nvx.open(SUBJECT, access | extras[i].flag, 0644)));
        SHOW(held);
        CALL(nvx.pwrite(held, bytes + 1000 * i, 9000, 100));
    }
    CALL(nvx.close(held));
}

static void flags_read(void)
{
    flags(O_RDONLY);
}

static void flags_write(void)
{
    flags(O_WRONLY);
}

static void flags_both(void)
{
    flags(O_RDWR);
}

static void flags_neither(void)
{
    flags(O_ACCMODE);
}

static void status_flags(void)
{
    CALL(nvx.close(subject()));
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        say("-- %s", extras[i].name);
        int fd = CALL(nvx.open(SUBJECT, O_RDWR | extras[i].flag, 0644));
        if (fd < 0)
            continue;
        CALL(fcntl(fd, F_GETFL));
        CALL(fcntl(fd, F_GETFD));
        CALL(nvx.pwrite(fd, bytes, 50, 0));
        CALL(fcntl(fd, F_GETFL));
        CALL(nvx.close(fd));
    }
}

static void exclusive(void)
{
    CALL(nvx.close(subject()));
    CALL(symlink("nowhere", "dangling"));
    CALL(nvx.open(SUBJECT, O_CREAT | O_EXCL | O_RDWR, 0600));
    CALL(nvx.open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600));
    int fd = CALL(nvx.open("new", O_CREAT | O_EXCL | O_RDONLY, 0));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.close(fd));
    fd = CALL(nvx.open("dangling", O_CREAT | O_RDWR, 0600));
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.close(fd));
}

static void truncate_elsewhere(void)
{
    int fd = subject();
    CALL(nvx.lseek(fd, 12345, SEEK_SET));
    int other = CALL(nvx.open(SUBJECT, O_WRONLY | O_TRUNC));
    SHOW(fd);
    CALL(nvx.read(fd, scratch, 10));
    CALL(nvx.write(fd, bytes, 10));
    SHOW(fd);
    CALL(nvx.write(other, bytes + 5000, 5000));
    SHOW(fd);
    CALL(nvx.fsync(other));
    CALL(nvx.pwrite(fd, bytes + 1, 3000, 2000));
    int third = CALL(nvx.open(SUBJECT, O_RDONLY | O_TRUNC));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 1, 1, 70000));
    SHOW(third);
    CALL(nvx.close(other));
    CALL(nvx.close(fd));
    SHOW(third);
    CALL(nvx.close(third));
}

static void recreate(void)
{
    CALL(nvx.close(subject()));
    for (int i = 0; i < 4; i++) {
        int fd = CALL(nvx.open(SUBJECT, O_RDWR | O_CREAT | O_TRUNC, 0644));
        CALL(nvx.write(fd, bytes + i, 1000 + 5000 * i));
        CALL(nvx.fsync(fd));
        CALL(nvx.pwrite(fd, bytes + 9 * i, 700, 500));
        SHOW(fd);
        CALL(nvx.close(fd));
        look(SUBJECT);
    }
}

static void temporary(void)
{
    int fd = CALL(nvx.open(".", O_TMPFILE | O_RDWR, 0640));
    CALL(nvx.write(fd, bytes, 10000));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 5, 8000, 6000));
    SHOW(fd);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CALL(linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
    CALL(nvx.pwrite(fd, bytes + 9, 100, 100));
    CALL(nvx.close(fd));
    look("linked");
    fd = CALL(nvx.open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.close(fd));
    CALL(nvx.open(".", O_TMPFILE | O_RDONLY, 0600));
    CALL(nvx.open("linked", O_TMPFILE | O_RDWR, 0600));
}

static void modes(void)
{
    static const mode_t wanted[] = {0, 0400, 0222, 0644, 0777, 04755, 01777, 0100644, 0170000};
    char name[32];
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        snprintf(name, sizeof name, "mode%zu", i);
        umask(i % 2 ? 027 : 0);
        use(CALL(nvx.open(name, O_RDWR | O_CREAT, wanted[i])));
        snprintf(name, sizeof name, "creat%zu", i);
        use(CALL(case_creat(name, wanted[i])));
    }
}

static void errors(void)
{
    CALL(nvx.close(subject()));
    CALL(mkdir("directory", 0755));
    CALL(symlink("loop", "loop"));
    CALL(symlink(SUBJECT, "link"));
    char name[300], path[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = 0;
    CALL(nvx.open("missing", O_RDWR));
    CALL(nvx.open("missing/below", O_RDWR | O_CREAT, 0600));
    CALL(nvx.open(SUBJECT "/below", O_RDWR | O_CREAT, 0600));
    CALL(nvx.open(SUBJECT "/", O_RDWR));
    CALL(nvx.open("new/", O_RDWR | O_CREAT, 0600));
    CALL(nvx.open("", O_RDWR));
    CALL(nvx.open("", O_RDWR | O_CREAT, 0600));
    CALL(nvx.open("directory", O_RDWR));
    CALL(nvx.open("directory", O_RDONLY | O_CREAT, 0600));
    CALL(nvx.open("directory", O_RDONLY | O_TRUNC));
    CALL(nvx.open("loop", O_RDONLY));
    CALL(nvx.open("link", O_RDONLY | O_NOFOLLOW));
    CALL(nvx.open(name, O_RDWR | O_CREAT, 0600));
    CALL(nvx.open(path, O_RDWR | O_CREAT, 0600));
    CALL(nvx.open(bad_address(), O_RDWR));
    CALL(nvx.open(SUBJECT, O_RDWR | O_DIRECT | O_DIRECTORY));
    CALL(case_openat(-1, SUBJECT, O_RDWR, 0));
    CALL(case_openat(899, SUBJECT, O_RDWR, 0));
}

static void paths(void)
{
    CALL(nvx.close(subject()));
    char here[1024], path[1100];
    CALL_POINTER(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/./../%s/" SUBJECT, here, strrchr(here, '/') + 1);
    use(CALL(nvx.open(path, O_RDWR)));
    CALL(mkdir("directory", 0755));
    CALL(symlink("../" SUBJECT, "directory/link"));
    CALL(symlink("directory", "way"));
    use(CALL(nvx.open("way/link", O_RDWR)));
    use(CALL(nvx.open("way/new", O_RDWR | O_CREAT, 0600)));
    use(CALL(nvx.open("./directory//../" SUBJECT, O_RDWR)));
    CALL(link(SUBJECT, "hard"));
    int fd = CALL(nvx.open("hard", O_RDWR));
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.pwrite(fd, bytes + 77, 7777, 777));
    SHOW(other);
    CALL(nvx.pwrite(other, bytes + 78, 777, 7777));
    SHOW(fd);
    CALL(nvx.close(fd));
    CALL(nvx.close(other));
    CALL(chdir("directory"));
    use(CALL(nvx.open("relative", O_RDWR | O_CREAT, 0600)));
    use(CALL(nvx.open("../" SUBJECT, O_RDWR)));
    CALL(chdir(".."));
}

static void at_directory(void)
{
    CALL(nvx.close(subject()));
    CALL(mkdir("directory", 0755));
    int directory = CALL(nvx.open("directory", O_RDONLY | O_DIRECTORY));
    use(CALL(case_openat(directory, "new", O_RDWR | O_CREAT, 0600)));
    use(CALL(case_openat(directory, "../" SUBJECT, O_RDWR, 0)));
    use(CALL(case_openat(AT_FDCWD, SUBJECT, O_RDWR, 0)));
    CALL(case_openat(directory, SUBJECT, O_RDWR, 0));
    int fd = CALL(case_openat(directory, "new", O_RDWR, 0));
    CALL(case_openat(fd, SUBJECT, O_RDWR, 0));
    CALL(nvx.close(fd));
    CALL(nvx.close(directory));
    CALL(case_openat(directory, "new", O_RDWR, 0));
}

static void through_proc(void)
{
    int fd = subject();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CALL(nvx.lseek(fd, 100, SEEK_SET));
    int other = CALL(nvx.open(path, O_RDWR));
    SHOW(other);
    CALL(nvx.write(other, bytes + 50, 5000));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 60, 500));
    SHOW(other);
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
}

/* The same functions under their other names. */
ssize_t __read_chk(int fd, void *buf, size_t count, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t count, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t count, off64_t offset, size_t room);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
ssize_t __write(int fd, const void *buf, size_t count);
ssize_t __read(int fd, void *buf, size_t count);
off_t __lseek(int fd, off_t offset, int whence);
int __close(int fd);

static void aliases(void)
{
    CALL(close(subject()));
    int fd = CALL(open64(SUBJECT, O_RDWR));
    CALL(pwrite64(fd, bytes + 1, 100, 200));
    SHOW_BYTES(scratch, CALL(pread64(fd, scratch, 300, 100)));
    CALL(lseek64(fd, 150, SEEK_SET));
    SHOW_BYTES(scratch, CALL(__read_chk(fd, scratch, 300, BYTES_SIZE)));
    SHOW_BYTES(scratch, CALL(__pread_chk(fd, scratch, 300, 10, BYTES_SIZE)));
    SHOW_BYTES(scratch, CALL(__pread64_chk(fd, scratch, 300, 20, BYTES_SIZE)));
    CALL(__write(fd, bytes + 2, 123));
    SHOW_BYTES(scratch, CALL(__read(fd, scratch, 77)));
    CALL(__lseek(fd, 5, SEEK_CUR));
    SHOW(fd);
    CALL(ftruncate64(fd, 9000));
    CALL(fallocate64(fd, 0, 8000, 4000));
    struct stat64 st;
    CALL(fstat64(fd, &st));
    say("size %lld", (long long)st.st_size);
    CALL(__close(fd));
    look(SUBJECT);
    use(CALL(__open_2(SUBJECT, O_RDWR)));
    use(CALL(__open64_2(SUBJECT, O_RDWR)));
    use(CALL(__openat_2(AT_FDCWD, SUBJECT, O_RDWR)));
    use(CALL(openat64(AT_FDCWD, SUBJECT, O_RDWR)));
    use(CALL(creat64("new", 0600)));
}

/* Programs that call the kernel through syscall(). */
static void system_calls(void)
{
    int fd = subject();
    CALL(syscall(SYS_write, fd, bytes + 9, 1000L));
    CALL(syscall(SYS_pwrite64, fd, bytes + 8, 1000L, 5000L));
    SHOW(fd);
    SHOW_BYTES(scratch, CALL(syscall(SYS_read, fd, scratch, 1000L)));
    SHOW_BYTES(scratch, CALL(syscall(SYS_pread64, fd, scratch, 3000L, 4000L)));
    CALL(syscall(SYS_lseek, fd, 10L, SEEK_CUR));
    CALL(syscall(SYS_ftruncate, fd, 12345L));
    SHOW(fd);
    CALL(syscall(SYS_fsync, fd));
    CALL(syscall(SYS_close, fd));
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes, 100));
    SHOW(other);
    CALL(nvx.close(other));
}

const struct posix_case cases_open[] = {
    {"flags_read", flags_read, CASE_NV},
    {"flags_write", flags_write, CASE_NV},
    {"flags_both", flags_both, CASE_NV},
    {"flags_neither", flags_neither, CASE_NV},
    {"status_flags", status_flags, 0},
    {"exclusive", exclusive, CASE_NV},
    {"truncate_elsewhere", truncate_elsewhere, CASE_NV},
    {"recreate", recreate, CASE_NV},
    {"temporary", temporary, CASE_NV | CASE_ONCE},
    {"modes", modes, CASE_NV | CASE_ONCE},
    {"errors", errors, CASE_NV},
    {"paths", paths, CASE_NV},
    {"at_directory", at_directory, CASE_NV},
    {"through_proc", through_proc, CASE_NV},
    {"aliases", aliases, 0},
    {"system_calls", system_calls, 0},
    {0},
};
