/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose_data.c — calls that move data, set sizes and times, and map, for interpose.c.
 */
#include "interpose.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fts.h>
#include <ftw.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <utime.h>

#define DATA_PIECE 100

ssize_t __read(int, void *, size_t);
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
ssize_t __write(int, const void *, size_t);
ssize_t __pread64(int, void *, size_t, off_t);
ssize_t __pwrite64(int, const void *, size_t, off_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
off_t __lseek(int, off_t, int);
int __fxstat(int, int, struct stat *);
int __fxstat64(int, int, struct stat64 *);
int __xstat(int, const char *, struct stat *);
int __xstat64(int, const char *, struct stat64 *);
int __lxstat(int, const char *, struct stat *);
int __lxstat64(int, const char *, struct stat64 *);
int __fxstatat(int, int, const char *, struct stat *, int);
int __fxstatat64(int, int, const char *, struct stat64 *, int);

static char buffer[DATA_PIECE];
static const struct iovec vector[2] = {{buffer, DATA_PIECE / 2}, {buffer + DATA_PIECE / 2, DATA_PIECE / 2}};

static bool data_moved(ssize_t result)
{
    return result == DATA_PIECE;
}

/* ---- read, write ---- */

CALL(read, "read")
{
    return data_moved(read(interpose.fd, buffer, DATA_PIECE)) && memcmp(buffer, "nvmmio", 6) == 0;
}
CALL(__read, "read")
{
    return data_moved(__read(interpose.fd, buffer, DATA_PIECE));
}
CALL(__read_chk, "read")
{
    return data_moved(__read_chk(interpose.fd, buffer, DATA_PIECE, sizeof buffer));
}
CALL(write, "write")
{
    return data_moved(write(interpose.fd, buffer, DATA_PIECE));
}
CALL(__write, "write")
{
    return data_moved(__write(interpose.fd, buffer, DATA_PIECE));
}
CALL(pread, "pread")
{
    return data_moved(pread(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(pread64, "pread")
{
    return data_moved(pread64(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(__pread64, "pread")
{
    return data_moved(__pread64(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(__pread_chk, "pread")
{
    return data_moved(__pread_chk(interpose.fd, buffer, DATA_PIECE, 1, sizeof buffer));
}
CALL(__pread64_chk, "pread")
{
    return data_moved(__pread64_chk(interpose.fd, buffer, DATA_PIECE, 1, sizeof buffer));
}
CALL(pwrite, "pwrite")
{
    return data_moved(pwrite(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(pwrite64, "pwrite")
{
    return data_moved(pwrite64(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(__pwrite64, "pwrite")
{
    return data_moved(__pwrite64(interpose.fd, buffer, DATA_PIECE, 1));
}
CALL(readv, "readv")
{
    return data_moved(readv(interpose.fd, vector, 2));
}
CALL(writev, "writev")
{
    return data_moved(writev(interpose.fd, vector, 2));
}

CALL(preadv, "preadv2")
{
    return data_moved(preadv(interpose.fd, vector, 2, 1)) && preadv(interpose.fd, vector, 2, -1) < 0 && errno == EINVAL;
}

CALL(preadv64, "preadv2")
{
    return data_moved(preadv64(interpose.fd, vector, 2, 1));
}

CALL(pwritev, "pwritev2")
{
    return data_moved(pwritev(interpose.fd, vector, 2, 1)) && pwritev(interpose.fd, vector, 2, -1) < 0 &&
           errno == EINVAL;
}

CALL(pwritev64, "pwritev2")
{
    return data_moved(pwritev64(interpose.fd, vector, 2, 1));
}

/* An offset of -1 is the file's own position. */
CALL(preadv2, "preadv2")
{
    return data_moved(preadv2(interpose.fd, vector, 2, -1, 0)) && lseek(interpose.fd, 0, SEEK_CUR) == DATA_PIECE;
}

CALL(preadv64v2, "preadv2")
{
    return data_moved(preadv64v2(interpose.fd, vector, 2, 1, 0));
}

CALL(pwritev2, "pwritev2")
{
    return data_moved(pwritev2(interpose.fd, vector, 2, -1, 0)) && lseek(interpose.fd, 0, SEEK_CUR) == DATA_PIECE &&
           data_moved(pwritev2(interpose.fd, vector, 2, 1, RWF_DSYNC));
}

CALL(pwritev64v2, "pwritev2")
{
    return data_moved(pwritev64v2(interpose.fd, vector, 2, 1, 0));
}
CALL(lseek, "lseek")
{
    return lseek(interpose.fd, 0, SEEK_END) == INTERPOSE_SIZE;
}
CALL(lseek64, "lseek")
{
    return lseek64(interpose.fd, 0, SEEK_END) == INTERPOSE_SIZE;
}
CALL(__lseek, "lseek")
{
    return __lseek(interpose.fd, 0, SEEK_END) == INTERPOSE_SIZE;
}

/* Old programs alone have this name: libc does not offer it to the linker any more. */
CALL(llseek, "lseek")
{
    off_t (*old)(int, off_t, int) = dlsym(RTLD_DEFAULT, "llseek");
    return (old ? old : lseek)(interpose.fd, 0, SEEK_END) == INTERPOSE_SIZE;
}

/* ---- durability ---- */

CALL(fsync, "fsync")
{
    return fsync(interpose.fd) == 0;
}
CALL(fdatasync, "fdatasync")
{
    return fdatasync(interpose.fd) == 0;
}

CALL(sync, "sync_all")
{
    sync();
    return true;
}

CALL(syncfs, "sync_all")
{
    return syncfs(interpose.fd) == 0;
}

/* ---- copies inside the kernel ---- */

static int data_other(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s.other", interpose.path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink(path);
    return fd;
}

/* Not every pair of file systems can do it. */
CALL(copy_file_range, "by_kernel")
{
    int other = data_other();
    ssize_t moved = copy_file_range(interpose.fd, NULL, other, NULL, DATA_PIECE, 0);
    return (data_moved(moved) || errno == EXDEV || errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP) &&
           interpose_opened(other);
}

CALL(sendfile, "by_kernel")
{
    int other = data_other();
    return data_moved(sendfile(other, interpose.fd, NULL, DATA_PIECE)) && interpose_opened(other);
}

CALL(sendfile64, "by_kernel")
{
    int other = data_other();
    return data_moved(sendfile64(other, interpose.fd, NULL, DATA_PIECE)) && interpose_opened(other);
}

CALL(splice, "demote")
{
    int ends[2];
    return pipe(ends) == 0 && data_moved(splice(interpose.fd, NULL, ends[1], NULL, DATA_PIECE, 0)) &&
           interpose_opened(ends[0]) && interpose_opened(ends[1]);
}

CALL(ioctl, "by_kernel")
{
    int other = data_other();
    int waiting = 0;
    int cloned = ioctl(other, FICLONE, interpose.fd);
    bool known = cloned == 0 || errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == EINVAL;
    return known && ioctl(interpose.fd, FIONREAD, &waiting) == 0 && waiting == INTERPOSE_SIZE &&
           interpose_opened(other);
}

/* ---- mappings ---- */

static bool data_map(void *map(void *, size_t, int, int, int, off_t))
{
    char *address = map(NULL, INTERPOSE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, interpose.fd, 0);
    return address != MAP_FAILED && memcmp(address, "nvmmio", 6) == 0 && msync(address, INTERPOSE_SIZE, MS_SYNC) == 0 &&
           munmap(address, INTERPOSE_SIZE) == 0;
}

CALL(mmap, "mmap")
{
    return data_map(mmap) && mmap(NULL, 0, PROT_READ, MAP_SHARED, interpose.fd, 0) == MAP_FAILED && errno == EINVAL;
}

CALL(mmap64, "mmap")
{
    return data_map(mmap64);
}
CALL(munmap, "munmap")
{
    return data_map(mmap) && munmap((void *)1, INTERPOSE_SIZE) < 0 && errno == EINVAL;
}
CALL(msync, "msync")
{
    return data_map(mmap) && msync((void *)1, INTERPOSE_SIZE, MS_SYNC) < 0 && errno == EINVAL;
}

CALL(madvise, "remove")
{
    return madvise((void *)4096, INTERPOSE_SIZE, MADV_REMOVE) < 0 && errno == ENOMEM;
}

CALL(mprotect, "mprotect")
{
    return mprotect((void *)1, INTERPOSE_SIZE, PROT_READ) < 0 && errno == EINVAL;
}

/* Calls that fill a buffer ask the core for it when the kernel cannot store there, or before. */
CALL(recv, "touch")
{
    char byte;
    return recv(-1, &byte, 1, 0) < 0 && errno == EBADF;
}
CALL(recvfrom, "touch")
{
    char byte;
    return recvfrom(-1, &byte, 1, 0, NULL, NULL) < 0 && errno == EBADF;
}
CALL(__recv_chk, "touch")
{
    char byte;
    return __recv_chk(-1, &byte, 1, 1, 0) < 0 && errno == EBADF;
}
CALL(__recvfrom_chk, "touch")
{
    char byte;
    return __recvfrom_chk(-1, &byte, 1, 1, 0, NULL, NULL) < 0 && errno == EBADF;
}
static void *volatile nowhere = (void *)1;
int __poll(struct pollfd *list, nfds_t count, int timeout);
int __poll_chk(struct pollfd *list, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *list, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout);

#define POLL_CALL(name, ...)                                                                                           \
    CALL(name, "touch")                                                                                                \
    {                                                                                                                  \
        return name(nowhere, 1, __VA_ARGS__) < 0 && errno == EFAULT;                                                   \
    }
POLL_CALL(poll, 0)
POLL_CALL(__poll, 0)
POLL_CALL(__poll_chk, 0, sizeof(struct pollfd))
POLL_CALL(ppoll, NULL, NULL)
POLL_CALL(__ppoll_chk, NULL, NULL, sizeof(struct pollfd))

#define SELECT_CALL(name, ...)                                                                                         \
    CALL(name, "touch")                                                                                                \
    {                                                                                                                  \
        return name(1, nowhere, NULL, NULL, __VA_ARGS__) < 0 && errno == EFAULT;                                       \
    }
SELECT_CALL(select, NULL)
SELECT_CALL(__select, NULL)
SELECT_CALL(pselect, NULL, NULL)

/* With one descriptor that is ready. */
#define EPOLL_CALL(name, ...)                                                                                          \
    CALL(name, "touch")                                                                                                \
    {                                                                                                                  \
        int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);                                                             \
        struct epoll_event event = {.events = EPOLLOUT};                                                               \
        bool ready = pipe(ends) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event) == 0;                         \
        bool faults = name(epoll, nowhere, 1, __VA_ARGS__) < 0 && errno == EFAULT;                                     \
        return ready && faults && interpose_opened(epoll) && interpose_opened(ends[0]) && interpose_opened(ends[1]);   \
    }
EPOLL_CALL(epoll_wait, 0)
EPOLL_CALL(epoll_pwait, 0, NULL)
EPOLL_CALL(epoll_pwait2, NULL, NULL)

CALL(getdents64, "touch")
{
    int directory = open(interpose.root, O_RDONLY | O_DIRECTORY);
    return getdents64(directory, nowhere, INTERPOSE_SIZE) < 0 && errno == EFAULT && interpose_opened(directory);
}
CALL(getrandom, "touch")
{
    return getrandom(nowhere, 1, 0) < 0 && errno == EFAULT;
}
CALL(getentropy, "touch")
{
    return getentropy(nowhere, 1) < 0 && errno == EFAULT;
}

/* Small structures, which have no room there. */
CALL(readlink, "touch")
{
    return readlink("/proc/self/exe", nowhere, 100) < 0 && errno == EFAULT;
}
CALL(readlinkat, "touch")
{
    return readlinkat(AT_FDCWD, "/proc/self/exe", nowhere, 100) < 0 && errno == EFAULT;
}
CALL(getcwd, "touch")
{
    return !getcwd(nowhere, 4096) && errno == EFAULT;
}
CALL(uname, "touch")
{
    return uname((void *)nowhere) < 0 && errno == EFAULT;
}
CALL(sysinfo, "touch")
{
    return sysinfo((void *)nowhere) < 0 && errno == EFAULT;
}
CALL(getrusage, "touch")
{
    return getrusage(RUSAGE_SELF, (void *)nowhere) < 0 && errno == EFAULT;
}
CALL(getitimer, "touch")
{
    return getitimer(ITIMER_REAL, (void *)nowhere) < 0 && errno == EFAULT;
}

extern int __statfs(const char *path, struct statfs *st);
CALL(statfs, "touch")
{
    return statfs(interpose.path, (void *)nowhere) < 0 && errno == EFAULT;
}
CALL(statfs64, "touch")
{
    return statfs64(interpose.path, (void *)nowhere) < 0 && errno == EFAULT;
}
CALL(__statfs, "touch")
{
    return __statfs(interpose.path, (void *)nowhere) < 0 && errno == EFAULT;
}
CALL(fstatfs, "touch")
{
    return fstatfs(interpose.fd, (void *)nowhere) < 0 && errno == EFAULT;
}
CALL(fstatfs64, "touch")
{
    return fstatfs64(interpose.fd, (void *)nowhere) < 0 && errno == EFAULT;
}

static bool name_nowhere(int (*name)(int, struct sockaddr *, socklen_t *))
{
    int ends[2];
    socklen_t length = 100;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
        return false;
    bool right = name(ends[0], (void *)nowhere, &length) < 0 && errno == EFAULT;
    return interpose_opened(ends[0]) && interpose_opened(ends[1]) && right;
}
CALL(getsockname, "touch")
{
    return name_nowhere(getsockname);
}
CALL(getpeername, "touch")
{
    return name_nowhere(getpeername);
}

typedef size_t plain_fread(void *, size_t, size_t, FILE *);
typedef size_t checked_fread(void *, size_t, size_t, size_t, FILE *);
extern plain_fread _IO_fread;
extern checked_fread __fread_chk, __fread_unlocked_chk;

/* More than libc's buffer, so that the kernel stores it itself. */
static bool read_nowhere(plain_fread *plain, checked_fread *checked)
{
    const size_t count = 65536;
    FILE *stream = fopen("/dev/zero", "r");
    if (!stream)
        return false;
    size_t came = plain ? plain(nowhere, 1, count, stream) : checked(nowhere, count, 1, count, stream);
    bool right = came == 0 && errno == EFAULT && ferror(stream);
    return fclose(stream) == 0 && right;
}
CALL(fread, "touch")
{
    return read_nowhere(fread, NULL);
}
CALL(fread_unlocked, "touch")
{
    return read_nowhere(fread_unlocked, NULL);
}
CALL(_IO_fread, "touch")
{
    return read_nowhere(_IO_fread, NULL);
}
CALL(__fread_chk, "touch")
{
    return read_nowhere(NULL, __fread_chk);
}
CALL(__fread_unlocked_chk, "touch")
{
    return read_nowhere(NULL, __fread_unlocked_chk);
}

CALL(eventfd_read, "read")
{
    eventfd_t value = 0;
    return eventfd_read(interpose.fd, &value) == 0 && memcmp(&value, "nvmmio", 6) == 0;
}

CALL(eventfd_write, "write")
{
    return eventfd_write(interpose.fd, 5) == 0 && lseek(interpose.fd, 0, SEEK_CUR) == 8;
}

CALL(mremap, "mremap")
{
    char *map = mmap(NULL, INTERPOSE_SIZE, PROT_READ, MAP_SHARED, interpose.fd, 0);
    map = map == MAP_FAILED ? map : mremap(map, INTERPOSE_SIZE, INTERPOSE_SIZE / 2, 0);
    return map != MAP_FAILED && memcmp(map, "nvmmio", 6) == 0 && munmap(map, INTERPOSE_SIZE / 2) == 0;
}

/* ---- walks ---- */

static bool data_found;

static int data_visit(const char *path, const struct stat *st, int type)
{
    data_found |= type == FTW_F && strcmp(path, interpose.path) == 0 && st->st_size == INTERPOSE_SIZE;
    return 0;
}

static int data_visit64(const char *path, const struct stat64 *st, int type)
{
    return data_visit(path, (const struct stat *)st, type);
}

static int data_visit_more(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return ftw->level == 1 ? data_visit(path, st, type) : 0;
}

static int data_visit_more64(const char *path, const struct stat64 *st, int type, struct FTW *ftw)
{
    return data_visit_more(path, (const struct stat *)st, type, ftw);
}

#define CALL_WALK(name, ...)                                                                                           \
    CALL(name, "fstatat")                                                                                              \
    {                                                                                                                  \
        data_found = false;                                                                                            \
        return name(interpose.root, __VA_ARGS__) == 0 && data_found;                                                   \
    }
CALL_WALK(ftw, data_visit, 4)
CALL_WALK(ftw64, data_visit64, 4)
CALL_WALK(nftw, data_visit_more, 4, FTW_PHYS)
CALL_WALK(nftw64, data_visit_more64, 4, FTW_CHDIR)

#define CALL_FTS(name, prefix, type, entry_type, find)                                                                 \
    CALL(name, "fstatat")                                                                                              \
    {                                                                                                                  \
        char *const list[] = {interpose.root, NULL};                                                                   \
        bool found = false;                                                                                            \
        type *walk = prefix##_open(list, FTS_PHYSICAL, NULL);                                                          \
        for (entry_type * e; walk && (e = prefix##_read(walk));)                                                       \
            for (entry_type *f = find; f; f = f == e ? NULL : f->fts_link)                                             \
                found |= f->fts_info == FTS_F && f->fts_statp->st_size == INTERPOSE_SIZE;                              \
        return walk && prefix##_close(walk) == 0 && found;                                                             \
    }
CALL_FTS(fts_read, fts, FTS, FTSENT, e)
CALL_FTS(fts64_read, fts64, FTS64, FTSENT64, e)
CALL_FTS(fts_children, fts, FTS, FTSENT, e->fts_info == FTS_D ? fts_children(walk, 0) : NULL)
CALL_FTS(fts64_children, fts64, FTS64, FTSENT64, e->fts_info == FTS_D ? fts64_children(walk, 0) : NULL)

/* ---- size ---- */

static bool data_size_is(off_t size)
{
    return lseek(interpose.fd, 0, SEEK_END) == size;
}

CALL(ftruncate, "ftruncate")
{
    return ftruncate(interpose.fd, 10) == 0 && data_size_is(10);
}
CALL(ftruncate64, "ftruncate")
{
    return ftruncate64(interpose.fd, 10) == 0 && data_size_is(10);
}
CALL(truncate, "truncate")
{
    return truncate(interpose.path, 10) == 0 && data_size_is(10);
}
CALL(truncate64, "truncate")
{
    return truncate64(interpose.path, 10) == 0 && data_size_is(10);
}
CALL(fallocate, "fallocate")
{
    return fallocate(interpose.fd, 0, 0, 10000) == 0 && data_size_is(10000);
}
CALL(fallocate64, "fallocate")
{
    return fallocate64(interpose.fd, 0, 0, 10000) == 0 && data_size_is(10000);
}
CALL(fchown, "chown")
{
    return fchown(interpose.fd, geteuid(), (gid_t)-1) == 0;
}
CALL(chown, "chown")
{
    return chown(interpose.path, geteuid(), (gid_t)-1) == 0;
}
CALL(lchown, "chown")
{
    return lchown(interpose.path, geteuid(), (gid_t)-1) == 0;
}
CALL(fchownat, "chown")
{
    return fchownat(interpose.fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH) == 0;
}
CALL(rename, "rename")
{
    return rename(interpose.path, interpose.path) == 0;
}
CALL(renameat, "rename")
{
    return renameat(AT_FDCWD, interpose.path, AT_FDCWD, interpose.path) == 0;
}
CALL(renameat2, "rename")
{
    return renameat2(AT_FDCWD, interpose.path, AT_FDCWD, interpose.path, 0) == 0;
}

CALL(posix_fallocate, "fallocate")
{
    return posix_fallocate(interpose.fd, 0, 10000) == 0 && data_size_is(10000) &&
           posix_fallocate(interpose.fd, -1, 1) == EINVAL && posix_fallocate(-1, 0, 1) == EBADF;
}

CALL(posix_fallocate64, "fallocate")
{
    return posix_fallocate64(interpose.fd, 0, 10000) == 0 && data_size_is(10000);
}

/* ---- status ---- */

#define CALL_STAT(name, expected, type, ...)                                                                           \
    CALL(name, expected)                                                                                               \
    {                                                                                                                  \
        struct type st;                                                                                                \
        return name(__VA_ARGS__) == 0 && st.st_size == INTERPOSE_SIZE;                                                 \
    }
CALL_STAT(fstat, "fstat", stat, interpose.fd, &st)
CALL_STAT(fstat64, "fstat", stat64, interpose.fd, &st)
CALL_STAT(stat, "fstatat", stat, interpose.path, &st)
CALL_STAT(stat64, "fstatat", stat64, interpose.path, &st)
CALL_STAT(lstat, "fstatat", stat, interpose.path, &st)
CALL_STAT(lstat64, "fstatat", stat64, interpose.path, &st)
CALL_STAT(fstatat, "fstatat", stat, AT_FDCWD, interpose.path, &st, 0)
CALL_STAT(fstatat64, "fstatat", stat64, AT_FDCWD, interpose.path, &st, 0)
CALL_STAT(__fxstat, "fstat", stat, 1, interpose.fd, &st)
CALL_STAT(__fxstat64, "fstat", stat64, 1, interpose.fd, &st)
CALL_STAT(__xstat, "fstatat", stat, 1, interpose.path, &st)
CALL_STAT(__xstat64, "fstatat", stat64, 1, interpose.path, &st)
CALL_STAT(__lxstat, "fstatat", stat, 1, interpose.path, &st)
CALL_STAT(__lxstat64, "fstatat", stat64, 1, interpose.path, &st)
CALL_STAT(__fxstatat, "fstatat", stat, 1, AT_FDCWD, interpose.path, &st, 0)
CALL_STAT(__fxstatat64, "fstatat", stat64, 1, AT_FDCWD, interpose.path, &st, 0)

CALL(statx, "statx")
{
    struct statx stx;
    return statx(AT_FDCWD, interpose.path, 0, STATX_SIZE, &stx) == 0 && stx.stx_size == INTERPOSE_SIZE;
}

/* ---- times ---- */

#define DATA_TIME 1000000000

static bool data_time_is_set(int result)
{
    struct stat st;
    return result == 0 && fstat(interpose.fd, &st) == 0 && st.st_mtim.tv_sec == DATA_TIME;
}

static const struct timespec data_times[2] = {{.tv_sec = DATA_TIME}, {.tv_sec = DATA_TIME}};
static const struct timeval data_timevals[2] = {{.tv_sec = DATA_TIME}, {.tv_sec = DATA_TIME}};

CALL(futimens, "futimens")
{
    return data_time_is_set(futimens(interpose.fd, data_times));
}
CALL(utimensat, "utimensat")
{
    return data_time_is_set(utimensat(AT_FDCWD, interpose.path, data_times, 0));
}

CALL(utimes, "utimensat")
{
    const struct timeval wrong[2] = {{.tv_usec = 1000000}, {.tv_usec = 0}};
    return data_time_is_set(utimes(interpose.path, data_timevals)) && utimes(interpose.path, NULL) == 0 &&
           utimes(interpose.path, wrong) < 0 && errno == EINVAL;
}

CALL(lutimes, "utimensat")
{
    return data_time_is_set(lutimes(interpose.path, data_timevals));
}
CALL(futimes, "futimens")
{
    return data_time_is_set(futimes(interpose.fd, data_timevals));
}
CALL(futimesat, "utimensat")
{
    return data_time_is_set(futimesat(AT_FDCWD, interpose.path, data_timevals));
}

CALL(utime, "utimensat")
{
    const struct utimbuf times = {.actime = DATA_TIME, .modtime = DATA_TIME};
    return data_time_is_set(utime(interpose.path, &times)) && utime(interpose.path, NULL) == 0;
}

/* ---- by number ---- */

CALL(syscall, "pread")
{
    struct stat st;
    return data_moved(syscall(SYS_pread64, interpose.fd, buffer, (size_t)DATA_PIECE, 1L)) &&
           syscall(SYS_fstat, interpose.fd, &st) == 0 && st.st_size == INTERPOSE_SIZE &&
           syscall(SYS_getpid) == getpid() && syscall(SYS_close, -1) < 0 && errno == EBADF;
}
