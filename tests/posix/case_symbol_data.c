/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_data.c — names of libc that move data, make them durable, or do so asynchronously.
 */
#include "case_symbol.h"

#include <aio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

ssize_t __read(int fd, void *buf, size_t count);
ssize_t __write(int fd, const void *buf, size_t count);
ssize_t __pread64(int fd, void *buf, size_t count, off64_t offset);
ssize_t __pwrite64(int fd, const void *buf, size_t count, off64_t offset);
ssize_t __read_chk(int fd, void *buf, size_t count, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t count, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t count, off64_t offset, size_t room);
off_t __lseek(int fd, off_t offset, int whence);
off_t symbol_llseek_old(int fd, off_t offset, int whence);
SYMBOL_OLD(symbol_llseek_old, llseek, "GLIBC_2.2.5");
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list args);

/* ---- one buffer ---- */

#define READ_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        SHOW_BYTES(scratch, CALL(name(fd, scratch, 9000 __VA_ARGS__)));                                                \
        CALL(pwrite(fd, bytes + 3, 7000, 5000));                                                                       \
        SHOW_BYTES(scratch, CALL(name(fd, scratch, BYTES_SIZE __VA_ARGS__)));                                          \
        SHOW_BYTES(scratch, CALL(name(fd, scratch, 10 __VA_ARGS__)));                                                  \
        CALL(name(fd, bad_address(), 100 __VA_ARGS__));                                                                \
        CALL(name(fd, scratch, 0 __VA_ARGS__));                                                                        \
        CALL(name(-1, scratch, 100 __VA_ARGS__));                                                                      \
        SHOW(fd);                                                                                                      \
    }
READ_CASE(read, )
READ_CASE(__read, )
READ_CASE(__read_chk, , BYTES_SIZE)
READ_CASE(pread, , 4321)
READ_CASE(pread64, , 4321)
READ_CASE(__pread64, , 4321)
READ_CASE(__pread_chk, , 4321, BYTES_SIZE)
READ_CASE(__pread64_chk, , 4321, BYTES_SIZE)

#define WRITE_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(name(fd, bytes + 3, 9000 __VA_ARGS__));                                                                   \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, bytes + 4, 70000 __VA_ARGS__));                                                                  \
        CALL(name(fd, bytes + 5, 7 __VA_ARGS__));                                                                      \
        CALL(name(fd, bad_address(), 100 __VA_ARGS__));                                                                \
        CALL(name(fd, bytes, 0 __VA_ARGS__));                                                                          \
        CALL(name(-1, bytes, 100 __VA_ARGS__));                                                                        \
        SHOW(fd);                                                                                                      \
    }
WRITE_CASE(write, )
WRITE_CASE(__write, )
WRITE_CASE(pwrite, , 4321)
WRITE_CASE(pwrite64, , 4321)
WRITE_CASE(__pwrite64, , 4321)

/* ---- vectors ---- */

#define READV_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct iovec iov[3] = {{scratch, 100}, {scratch + 100, 0}, {scratch + 100, 9000}};                             \
        SHOW_BYTES(scratch, CALL(name(fd, iov, 3 __VA_ARGS__)));                                                       \
        CALL(pwrite(fd, bytes + 3, 7000, 5000));                                                                       \
        SHOW_BYTES(scratch, CALL(name(fd, iov, 3 __VA_ARGS__)));                                                       \
        CALL(name(fd, iov, -1 __VA_ARGS__));                                                                           \
        CALL(name(fd, bad_address(), 1 __VA_ARGS__));                                                                  \
        CALL(name(-1, iov, 3 __VA_ARGS__));                                                                            \
        SHOW(fd);                                                                                                      \
    }
READV_CASE(readv, )
READV_CASE(preadv, , 4321)
READV_CASE(preadv64, , 4321)
READV_CASE(preadv2, , 4321, RWF_HIPRI)
READV_CASE(preadv64v2, , -1, 0)

#define WRITEV_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct iovec iov[3] = {{bytes + 1, 100}, {bytes, 0}, {bytes + 2, 9000}};                                       \
        CALL(name(fd, iov, 3 __VA_ARGS__));                                                                            \
        SHOW(fd);                                                                                                      \
        CALL(name(fd, iov, 3 __VA_ARGS__));                                                                            \
        CALL(name(fd, iov, -1 __VA_ARGS__));                                                                           \
        CALL(name(fd, bad_address(), 1 __VA_ARGS__));                                                                  \
        CALL(name(-1, iov, 3 __VA_ARGS__));                                                                            \
        SHOW(fd);                                                                                                      \
    }
WRITEV_CASE(writev, )
WRITEV_CASE(pwritev, , 4321)
WRITEV_CASE(pwritev64, , 4321)
WRITEV_CASE(pwritev2, , 4321, RWF_APPEND)
WRITEV_CASE(pwritev64v2, , -1, RWF_DSYNC)

/* ---- the offset ---- */

#define LSEEK_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 333));                                                                               \
        CALL(name(fd, 0, SEEK_CUR));                                                                                   \
        CALL(name(fd, -5, SEEK_CUR));                                                                                  \
        CALL(name(fd, -7, SEEK_END));                                                                                  \
        CALL(name(fd, 1 << 20, SEEK_END));                                                                             \
        CALL(write(fd, bytes + 3, 333));                                                                               \
        CALL(name(fd, 0, SEEK_HOLE));                                                                                  \
        CALL(name(fd, 1, SEEK_DATA));                                                                                  \
        CALL(name(fd, -1, SEEK_SET));                                                                                  \
        CALL(name(fd, 0, 77));                                                                                         \
        CALL(name(-1, 0, SEEK_SET));                                                                                   \
        CALL(name(fd, 700, SEEK_SET));                                                                                 \
    }
LSEEK_CASE(lseek)
LSEEK_CASE(lseek64)
LSEEK_CASE(__lseek)
SYMBOL_CASE(llseek)
{
    CALL(write(fd, bytes + 3, 333));
    CALL(symbol_llseek_old(fd, 0, SEEK_CUR));
    CALL(symbol_llseek_old(fd, -7, SEEK_END));
    CALL(symbol_llseek_old(-1, 0, SEEK_SET));
}

/* ---- copies inside the kernel ---- */

static int other_file(void)
{
    int other = CALL(open("other", O_RDWR | O_CREAT | O_TRUNC, 0600));
    CALL(write(other, bytes + 77, 9000));
    CALL(fsync(other));
    CALL(pwrite(other, bytes + 78, 3000, 3000));
    CALL(lseek(other, 1000, SEEK_SET));
    return other;
}

SYMBOL_CASE(copy_file_range)
{
    int other = other_file();
    off_t from = 50, to = 8000;
    CALL(write(fd, bytes + 5, 300));
    CALL(copy_file_range(fd, NULL, other, NULL, 5000, 0));
    SHOW(other);
    CALL(copy_file_range(other, &from, fd, &to, 700, 0));
    say("%lld %lld", (long long)from, (long long)to);
    CALL(copy_file_range(fd, NULL, other, NULL, 1, 77));
    symbol_use(other);
}

#define SENDFILE_CASE(name)                                                                                            \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        int other = other_file();                                                                                      \
        off64_t from = 50;                                                                                             \
        CALL(write(fd, bytes + 5, 300));                                                                               \
        CALL(name(other, fd, NULL, 5000));                                                                             \
        SHOW(other);                                                                                                   \
        CALL(name(fd, other, &from, 700));                                                                             \
        say("%lld", (long long)from);                                                                                  \
        CALL(name(-1, fd, NULL, 10));                                                                                  \
        symbol_use(other);                                                                                             \
    }
SENDFILE_CASE(sendfile)
SENDFILE_CASE(sendfile64)

SYMBOL_CASE(splice)
{
    int ends[2];
    off64_t at = 9000;
    CALL(pipe(ends));
    CALL(write(fd, bytes + 5, 300));
    CALL(splice(fd, NULL, ends[1], NULL, 3000, 0));
    SHOW(fd);
    CALL(splice(ends[0], NULL, fd, &at, 3000, 0));
    say("%lld", (long long)at);
    CALL(splice(fd, NULL, fd, NULL, 100, 0));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

SYMBOL_CASE(tee)
{
    int a[2], b[2];
    CALL(pipe(a));
    CALL(pipe(b));
    CALL(write(a[1], "abc", 3));
    CALL(tee(a[0], b[1], 3, 0));
    CALL(tee(fd, b[1], 3, 0));
    CALL(tee(a[0], fd, 3, 0));
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

SYMBOL_CASE(vmsplice)
{
    int ends[2];
    struct iovec iov = {bytes, 300};
    CALL(pipe(ends));
    CALL(vmsplice(ends[1], &iov, 1, 0));
    CALL(vmsplice(fd, &iov, 1, 0));
    CALL(close(ends[0]));
    CALL(close(ends[1]));
}

SYMBOL_CASE(process_vm_readv)
{
    struct iovec here = {scratch, 100}, there = {bytes, 100};
    SHOW_BYTES(scratch, CALL(process_vm_readv(getpid(), &here, 1, &there, 1, 0)));
}

SYMBOL_CASE(process_vm_writev)
{
    struct iovec here = {bytes, 100}, there = {scratch, 100};
    CALL(process_vm_writev(getpid(), &here, 1, &there, 1, 0));
    SHOW_BYTES(scratch, 100);
}

/* ---- formatted ---- */

static int print_list(int (*print)(int fd, const char *format, va_list args), int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = print(fd, format, args);
    va_end(args);
    return result;
}

static int checked_print(int fd, const char *format, va_list args)
{
    return __vdprintf_chk(fd, 1, format, args);
}

#define PRINT_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(__VA_ARGS__(fd, "number %d\n", 5));                                                                       \
        SHOW(fd);                                                                                                      \
        CALL(__VA_ARGS__(fd, "%0*d\n", 9000, 6));                                                                      \
        CALL(__VA_ARGS__(-1, "number %d\n", 5));                                                                       \
        CALL(__VA_ARGS__(fd, "%s", ""));                                                                               \
    }
PRINT_CASE(dprintf, dprintf)
#define checked(fd, ...) __dprintf_chk(fd, 1, __VA_ARGS__)
PRINT_CASE(__dprintf_chk, checked)
#define listed(...) print_list(vdprintf, __VA_ARGS__)
PRINT_CASE(vdprintf, listed)
#define checked_list(...) print_list(checked_print, __VA_ARGS__)
PRINT_CASE(__vdprintf_chk, checked_list)

/* ---- durable ---- */

#define SYNC_CASE(name)                                                                                                \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 3, 3000));                                                                              \
        CALL(name(fd));                                                                                                \
        CALL(pwrite(fd, bytes + 4, 3000, 2000));                                                                       \
        CALL(name(fd));                                                                                                \
        CALL(name(fd));                                                                                                \
        CALL(name(-1));                                                                                                \
        SHOW(fd);                                                                                                      \
    }
SYNC_CASE(fsync)
SYNC_CASE(fdatasync)
SYNC_CASE(syncfs)

SYMBOL_CASE(sync)
{
    CALL(write(fd, bytes + 3, 3000));
    CALL((sync(), 0));
}

SYMBOL_CASE(sync_file_range)
{
    CALL(write(fd, bytes + 3, 3000));
    CALL(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
    CALL(sync_file_range(fd, 0, 0, 7));
    CALL(sync_file_range(fd, -1, 4096, 7));
    CALL(sync_file_range(fd, 0, 4096, 0x77));
    CALL(sync_file_range(-1, 0, 4096, 7));
}

/* ---- asynchronous ---- */

#define AIO_DONE(suffix)                                                                                               \
    static long aio_done##suffix(struct aiocb##suffix *block)                                                          \
    {                                                                                                                  \
        const struct aiocb##suffix *list[1] = {block};                                                                 \
        while (aio_error##suffix(block) == EINPROGRESS)                                                                \
            aio_suspend##suffix(list, 1, NULL);                                                                        \
        return aio_return##suffix(block);                                                                              \
    }                                                                                                                  \
    static struct aiocb##suffix aio_block##suffix(int fd, void *buffer, size_t length, off_t offset)                   \
    {                                                                                                                  \
        return (struct aiocb##suffix){                                                                                 \
            .aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = length, .aio_offset = offset};                          \
    }
AIO_DONE()
AIO_DONE(64)

#define AIO_CASE(name, suffix, buffer)                                                                                 \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 3000));                                                                              \
        struct aiocb##suffix block = aio_block##suffix(fd, buffer, 5000, 2000);                                        \
        CALL(name(&block));                                                                                            \
        CALL(aio_done##suffix(&block));                                                                                \
        SHOW_BYTES(buffer, 5000);                                                                                      \
        SHOW(fd);                                                                                                      \
    }
AIO_CASE(aio_read, , scratch)
AIO_CASE(aio_read64, 64, scratch)
AIO_CASE(aio_write, , bytes)
AIO_CASE(aio_write64, 64, bytes)

#define AIO_FSYNC_CASE(name, suffix)                                                                                   \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 3000));                                                                              \
        struct aiocb##suffix block = aio_block##suffix(fd, NULL, 0, 0);                                                \
        CALL(name(O_SYNC, &block));                                                                                    \
        CALL(aio_done##suffix(&block));                                                                                \
        CALL(name(77, &block));                                                                                        \
    }
AIO_FSYNC_CASE(aio_fsync, )
AIO_FSYNC_CASE(aio_fsync64, 64)

#define LIO_CASE(name, suffix)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        struct aiocb##suffix a = aio_block##suffix(fd, bytes + 9, 5000, 2000);                                         \
        struct aiocb##suffix b = aio_block##suffix(fd, scratch, 1000, 100);                                            \
        a.aio_lio_opcode = LIO_WRITE;                                                                                  \
        b.aio_lio_opcode = LIO_READ;                                                                                   \
        struct aiocb##suffix *list[3] = {&a, NULL, &b};                                                                \
        CALL(name(LIO_WAIT, list, 3, NULL));                                                                           \
        CALL(aio_done##suffix(&a));                                                                                    \
        SHOW_BYTES(scratch, CALL(aio_done##suffix(&b)));                                                               \
        CALL(name(77, list, 3, NULL));                                                                                 \
    }
LIO_CASE(lio_listio, )
LIO_CASE(lio_listio64, 64)

/* What asks about a request: a write of a page. */
#define AIO_ASK_CASE(name, suffix, ...)                                                                                \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        struct aiocb##suffix block = aio_block##suffix(fd, bytes + 6, 4096, 4096);                                     \
        const struct aiocb##suffix *list[1] = {&block};                                                                \
        CALL(aio_write##suffix(&block));                                                                               \
        while (aio_error##suffix(&block) == EINPROGRESS)                                                               \
            aio_suspend##suffix(list, 1, NULL);                                                                        \
        CALL(__VA_ARGS__);                                                                                             \
        SHOW(fd);                                                                                                      \
    }
AIO_ASK_CASE(aio_suspend, , aio_suspend(list, 1, NULL))
AIO_ASK_CASE(aio_suspend64, 64, aio_suspend64(list, 1, NULL))
AIO_ASK_CASE(aio_error, , aio_error(&block))
AIO_ASK_CASE(aio_error64, 64, aio_error64(&block))
AIO_ASK_CASE(aio_return, , aio_return(&block))
AIO_ASK_CASE(aio_return64, 64, aio_return64(&block))
AIO_ASK_CASE(aio_cancel, , aio_cancel(fd, &block))
AIO_ASK_CASE(aio_cancel64, 64, aio_cancel64(fd, &block))

SYMBOL_CASE(aio_init)
{
    aio_init(&(struct aioinit){.aio_threads = 2, .aio_num = 4});
}
