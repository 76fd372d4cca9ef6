/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_stdio.c — streams, which open, read, write and close inside libc. Layer preload.
 *
 * A file that gets a stream is demoted: the kernel's until its last close. Its descriptor stays known to the core, since
 * programs use it beside the stream (std::fstream does). fclose is told to the core beforehand, or the number would be
 * taken for the old file when it is used again.
 */
#include "preload/preload.h"

#include <mntent.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/mman.h>

/* ---- opening ---- */

/* fileno without its errno. */
static int stdio_number(FILE *stream)
{
    int saved = errno;
    int fd = fileno(stream);
    errno = saved;
    return fd;
}

static void stdio_release(FILE *stream)
{
    const struct nvmmio_core *core = preload_owner();
    int fd = core ? stdio_number(stream) : -1;
    if (fd < 0 || !preload_serves(fd))
        return;
    if (__fpending(stream)) /* fflush of a stream that was read moves the offset, libc's fclose does not */
        fflush(stream);     /* while the file is known to be the kernel's; what fails now fails in fclose again */
    core->release(fd);
}

/* libc has put a stream that only appends at the end that the kernel knew: that is where the file ends now. */
static void stdio_seek_end(FILE *stream, int flags)
{
    int saved = errno;
    if (flags & O_APPEND && (flags & O_ACCMODE) == O_WRONLY)
        fseeko(stream, 0, SEEK_END);
    errno = saved;
}

/* A stream that libc has just opened: the stream, or NULL where the file cannot be handed to the kernel. */
static FILE *stdio_opened(FILE *stream)
{
    if (!stream)
        return NULL;
    int fd = stdio_number(stream);
    int flags = fd >= 0 ? sys_fcntl(fd, F_GETFL, 0) : -1;
    int error = flags >= 0 ? preload_adopt(fd, flags) : 0;
    bool served = flags >= 0 && preload_serves(fd);
    if (!error)
        error = preload_demote(fd, UMA_DEMOTE_STDIO);
    if (!error && served)
        stdio_seek_end(stream, flags);
    if (!error)
        return stream;
    int (*real)(FILE *) = preload_real(PRELOAD_REAL_fclose);
    stdio_release(stream);
    if (real)
        real(stream);
    errno = -error;
    return NULL;
}

/* Whether the call is to empty a file that may be managed: that must not be done by the kernel alone. */
static bool stdio_truncates(const char *path, const char *mode)
{
    return path && mode[0] == 'w' && !strchr(mode, 'x') && preload_hopeful() &&
           preload_root_holds_path(AT_FDCWD, path, 0) && preload_core_load() && !preload_foreign();
}

/* fopen with "w" on an existing file in a root: the core opens and empties it, libc adds the stream. */
static FILE *stdio_open_empty(const char *path, const char *mode)
{
    int flags = (strchr(mode, '+') ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC | (strchr(mode, 'e') ? O_CLOEXEC : 0);
    FILE *(*real)(int, const char *) = preload_real(PRELOAD_REAL_fdopen);
    int fd = real ? preload_openat_mode(AT_FDCWD, path, flags, 0666) : -1;
    if (fd < 0)
        return NULL;
    int error = preload_demote(fd, UMA_DEMOTE_STDIO);
    FILE *stream = error ? NULL : real(fd, mode);
    if (!stream) {
        error = error ? -error : errno;
        preload_close(fd);
        errno = error;
    }
    return stream;
}

static FILE *stdio_open(enum preload_real which, const char *path, const char *mode)
{
    /* Only fopen understands a character set. */
    if (stdio_truncates(path, mode) && !strstr(mode, ",ccs="))
        return stdio_open_empty(path, mode);
    FILE *(*real)(const char *, const char *) = preload_real(which);
    return real ? stdio_opened(real(path, mode)) : NULL;
}

FILE *preload_fopen(const char *path, const char *mode)
{
    return stdio_open(PRELOAD_REAL_fopen, path, mode);
}

FILE *preload_fopen64(const char *path, const char *mode)
{
    return stdio_open(PRELOAD_REAL_fopen64, path, mode);
}

FILE *preload_fdopen(int fd, const char *mode)
{
    FILE *(*real)(int, const char *) = preload_real(PRELOAD_REAL_fdopen);
    int error = preload_demote(fd, UMA_DEMOTE_STDIO);
    if (error) {
        errno = -error;
        return NULL;
    }
    return real ? real(fd, mode) : NULL;
}

/* A descriptor that keeps the file of that path with the kernel until it is closed, or -1. */
static int stdio_hold(const char *path, int flags)
{
    int fd = preload_openat_mode(AT_FDCWD, path, flags | O_CLOEXEC, 0);
    preload_demote(fd, UMA_DEMOTE_STDIO);
    return fd;
}

static void stdio_let_go(int holder)
{
    int saved = errno;
    if (holder >= 0)
        preload_close(holder);
    errno = saved;
}

static FILE *stdio_reopen(enum preload_real which, const char *path, const char *mode, FILE *stream)
{
    FILE *(*real)(const char *, const char *, FILE *) = preload_real(which);
    if (!real)
        return NULL;
    /* the file that is emptied is the kernel's meanwhile */
    int holder = stdio_truncates(path, mode) ? stdio_hold(path, O_WRONLY) : -1;
    stdio_release(stream);
    stream = stdio_opened(real(path, mode, stream));
    stdio_let_go(holder);
    return stream;
}

FILE *preload_freopen(const char *path, const char *mode, FILE *stream)
{
    return stdio_reopen(PRELOAD_REAL_freopen, path, mode, stream);
}

FILE *preload_freopen64(const char *path, const char *mode, FILE *stream)
{
    return stdio_reopen(PRELOAD_REAL_freopen64, path, mode, stream);
}

int preload_fclose(FILE *stream)
{
    int (*real)(FILE *) = preload_real(PRELOAD_REAL_fclose);
    if (!real)
        return EOF;
    stdio_release(stream);
    return real(stream);
}

/* ---- other libc functions that open, write and close by themselves ---- */

FILE *preload_setmntent(const char *path, const char *mode)
{
    return stdio_open(PRELOAD_REAL_setmntent, path, mode);
}

int preload_endmntent(FILE *stream)
{
    int (*real)(FILE *) = preload_real(PRELOAD_REAL_endmntent);
    if (stream)
        stdio_release(stream);
    return real ? real(stream) : 1;
}

struct utmp;
void preload_updwtmp(const char *path, const struct utmp *entry)
{
    void (*real)(const char *, const struct utmp *) = preload_real(PRELOAD_REAL_updwtmp);
    int holder = preload_hopeful() && preload_root_holds_path(AT_FDCWD, path, 0) ? stdio_hold(path, O_WRONLY) : -1;
    if (real)
        real(path, entry);
    stdio_let_go(holder);
}

void preload_backtrace_symbols_fd(void *const *list, int count, int fd)
{
    void (*real)(void *const *, int, int) = preload_real(PRELOAD_REAL_backtrace_symbols_fd);
    if (real && !preload_demote(fd, UMA_DEMOTE_OTHER))
        real(list, count, fd);
}

/* ---- dprintf: written by libc, so formatted here where the descriptor is managed ---- */

/* Formats as vsnprintf does; with a flag as its checked form. */
static int stdio_format(char *buf, size_t size, int flag, const char *format, va_list args)
{
    extern int __vsnprintf_chk(char *, size_t, int, size_t, const char *, va_list);
    return flag > 0 ? __vsnprintf_chk(buf, size, flag, size, format, args) : vsnprintf(buf, size, format, args);
}

static int stdio_write_all(int fd, const char *text, int length)
{
    for (int done = 0; done < length;) {
        ssize_t written = preload_write(fd, text + done, (size_t)(length - done));
        if (written < 0)
            return -1;
        done += (int)written;
    }
    return length;
}

static int stdio_print(int fd, int flag, const char *format, va_list args)
{
    char first;
    va_list again;
    va_copy(again, args);
    int length = stdio_format(&first, sizeof first, flag, format, again);
    va_end(again);
    if (length <= 0)
        return length;
    size_t size = (size_t)length + 1;
    char *text = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys_is_error(text))
        return (int)preload_result((long)text);
    length = stdio_format(text, size, flag, format, args);
    if (length > 0)
        length = stdio_write_all(fd, text, length);
    sys_munmap(text, size);
    return length;
}

int preload_vdprintf(int fd, const char *format, va_list args)
{
    if (preload_serves(fd))
        return stdio_print(fd, 0, format, args);
    int (*real)(int, const char *, va_list) = preload_real(PRELOAD_REAL_vdprintf);
    return real ? real(fd, format, args) : -1;
}

int preload_vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
    if (preload_serves(fd))
        return stdio_print(fd, flag, format, args);
    int (*real)(int, int, const char *, va_list) = preload_real(PRELOAD_REAL___vdprintf_chk);
    return real ? real(fd, flag, format, args) : -1;
}

int preload_dprintf(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = preload_vdprintf(fd, format, args);
    va_end(args);
    return result;
}

int preload_dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = preload_vdprintf_chk(fd, flag, format, args);
    va_end(args);
    return result;
}

#define PRELOAD_EXPORT_stdio PRELOAD_ALIAS
#include "preload/preload_export.h"
