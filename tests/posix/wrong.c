/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * wrong.c — a preload library with one small fault, told by POSIX_WRONG: proves that the comparison finds such a fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static bool wrong(const char *fault)
{
    const char *chosen = getenv("POSIX_WRONG");
    return chosen && strcmp(chosen, fault) == 0;
}

/* One byte in a far write is lost. */
ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    if (wrong("data") && count > 1 && offset == 3000)
        return syscall(SYS_pwrite64, fd, buf, count - 1, offset) + 1;
    return syscall(SYS_pwrite64, fd, buf, count, offset);
}

/* The offset moves with a pread. */
ssize_t pread(int fd, void *buf, size_t count, off_t offset)
{
    if (wrong("offset") && count == 10)
        syscall(SYS_lseek, fd, 1, SEEK_CUR);
    return syscall(SYS_pread64, fd, buf, count, offset);
}

/* Another errno, or errno touched by success. */
ssize_t read(int fd, void *buf, size_t count)
{
    ssize_t n = syscall(SYS_read, fd, buf, count);
    if (wrong("errno") && n < 0 && errno == EFAULT)
        errno = EIO;
    if (wrong("touched") && n > 0)
        errno = ENOENT;
    return n;
}

/* The size that fstat tells lags behind. */
int fstat(int fd, struct stat *st)
{
    int r = (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
    if (wrong("size") && r == 0 && st->st_size == 500)
        st->st_size = 501;
    return r;
}

/* A descriptor that the library leaves in the way. */
int fsync(int fd)
{
    static bool done;
    if (wrong("number") && !done)
        done = syscall(SYS_dup, fd) >= 0;
    return (int)syscall(SYS_fsync, fd);
}

/* A close inside the library loses the POSIX locks. */
int fdatasync(int fd)
{
    if (wrong("lock"))
        syscall(SYS_close, syscall(SYS_dup, fd));
    return (int)syscall(SYS_fdatasync, fd);
}

/* The last bytes come after the close only, which a look from outside sees. */
static int held = -1;

int close(int fd)
{
    if (wrong("late") && held < 0) {
        struct stat st;
        if (syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) && st.st_size > 100) {
            held = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 950);
            syscall(SYS_fchmod, held, st.st_mode ^ 010);
        }
    }
    return (int)syscall(SYS_close, fd);
}

__attribute__((destructor)) static void finish(void)
{
    struct stat st;
    if (held >= 0 && syscall(SYS_newfstatat, held, "", &st, AT_EMPTY_PATH) == 0)
        syscall(SYS_fchmod, held, st.st_mode ^ 010);
}

/* A crash and a hang. */
int ftruncate(int fd, off_t length)
{
    if (wrong("crash") && length == 10000)
        abort();
    while (wrong("hang") && length == 10000)
        pause();
    return (int)syscall(SYS_ftruncate, fd, length);
}
