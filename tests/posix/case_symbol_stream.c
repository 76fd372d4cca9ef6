/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_stream.c — names of libc about streams: each on a stream of the file, beside a descriptor of it.
 */
#include "case_symbol.h"

#include <grp.h>
#include <gshadow.h>
#include <malloc.h>
#include <mntent.h>
#include <pwd.h>
#include <shadow.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

FILE *_IO_fopen(const char *path, const char *mode);
FILE *_IO_fdopen(int fd, const char *mode);
int _IO_fclose(FILE *stream);
FILE *__setmntent(const char *path, const char *mode);
int __endmntent(FILE *stream);
struct mntent *__getmntent_r(FILE *stream, struct mntent *entry, char *room, int size);

/* ---- opening and closing ---- */

static void use_stream(int fd, FILE *stream)
{
    CALL_POINTER(stream);
    if (!stream)
        return;
    CALL(fileno(stream));
    CALL(fread(scratch, 1, 100, stream));
    CALL(fseek(stream, 7, SEEK_SET));
    CALL(fputs("of the stream", stream));
    CALL(fflush(stream));
    SHOW(fd);
    CALL(pwrite(fd, "of the descriptor", 17, 10));
    CALL(fseek(stream, 0, SEEK_SET));
    SHOW_BYTES(scratch, CALL(fread(scratch, 1, 5000, stream)));
    CALL(fclose(stream));
}

#define FOPEN_CASE(name)                                                                                               \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        use_stream(fd, name(SUBJECT, "r+"));                                                                           \
        use_stream(fd, name(SUBJECT, "a+e"));                                                                          \
        use_stream(fd, name("new", "wx"));                                                                             \
        use_stream(fd, name("missing", "r"));                                                                          \
        use_stream(fd, name(SUBJECT, "w"));                                                                            \
        look(SUBJECT);                                                                                                 \
    }
FOPEN_CASE(fopen)
FOPEN_CASE(fopen64)
FOPEN_CASE(_IO_fopen)

#define FDOPEN_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        use_stream(fd, name(dup(fd), "r+"));                                                                           \
        CALL_POINTER(name(fd, "q"));                                                                                   \
        CALL_POINTER(name(777, "r"));                                                                                  \
    }
FDOPEN_CASE(fdopen)
FDOPEN_CASE(_IO_fdopen)

#define FREOPEN_CASE(name)                                                                                             \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        FILE *stream = fopen("other", "w");                                                                            \
        CALL(fputs("other", stream));                                                                                  \
        use_stream(fd, stream = name(SUBJECT, "r+", stream));                                                          \
        look("other");                                                                                                 \
        stream = fopen(SUBJECT, "r");                                                                                  \
        CALL_POINTER(stream = name("/dev/null", "r+", stream));                                                        \
        CALL(write(fileno(stream), bytes, 900));                                                                       \
        CALL(fclose(stream));                                                                                          \
    }
FREOPEN_CASE(freopen)
FREOPEN_CASE(freopen64)

/* The number is free, and another file's next. */
#define FCLOSE_CASE(name)                                                                                              \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        FILE *stream = fdopen(fd, "r+");                                                                               \
        CALL(fputs("last words", stream));                                                                             \
        CALL(name(stream));                                                                                            \
        CALL(write(fd, bytes, 10));                                                                                    \
        symbol_use(CALL(open("next", O_RDWR | O_CREAT, 0600)));                                                        \
    }
FCLOSE_CASE(fclose)
FCLOSE_CASE(_IO_fclose)

SYMBOL_CASE(fcloseall)
{
    watch_errno = false;
    FILE *stream = fopen(SUBJECT, "r+");
    CALL(fputs("last words", stream));
    CALL(fcloseall());
    SHOW(fd);
    CALL(write(fd, bytes + 3, 5000));
    SHOW(fd);
    CALL(write(fileno(stream), bytes + 4, 50));
    close(fileno(stream));
}

#define MNTENT_CASE(which, name, end)                                                                                  \
    SYMBOL_CASE(which)                                                                                                 \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        struct mntent entry = {(char *)"dev", (char *)"/place", (char *)"type", (char *)"rw", 0, 0};                   \
        CALL(write(fd, bytes + 3, 5000));                                                                              \
        FILE *table;                                                                                                   \
        CALL_POINTER(table = name(SUBJECT, "r+"));                                                                     \
        CALL(addmntent(table, &entry));                                                                                \
        CALL(fflush(table));                                                                                           \
        SHOW(fd);                                                                                                      \
        CALL(pwrite(fd, bytes + 4, 50, 5));                                                                            \
        CALL(end(table));                                                                                              \
        symbol_use(CALL(open("next", O_RDWR | O_CREAT, 0600)));                                                        \
        CALL_POINTER(table = name(SUBJECT, "w"));                                                                      \
        CALL(addmntent(table, &entry));                                                                                \
        CALL(end(table));                                                                                              \
        SHOW(fd);                                                                                                      \
        CALL_POINTER(name("missing", "r"));                                                                            \
    }
MNTENT_CASE(setmntent, setmntent, fclose)
MNTENT_CASE(__setmntent, __setmntent, fclose)
MNTENT_CASE(endmntent, setmntent, endmntent)
MNTENT_CASE(__endmntent, __setmntent, __endmntent)

/* ---- on an open stream ---- */

/* The file begins with three lines of text that the functions below understand; then the case's calls on `stream`. */
static FILE *text_stream(int fd)
{
    static const char text[] = "12 word:x:1:2:three:/four:/five\nsecond line\nthird line\n";
    watch_errno = false;
    CALL(pwrite(fd, text, sizeof text - 1, 0));
    FILE *stream = fopen(SUBJECT, "r+");
    CALL_POINTER(stream);
    return stream;
}

static void text_end(int fd, FILE *stream)
{
    CALL(ftell(stream));
    CALL(ferror(stream));
    CALL(fclose(stream));
    SHOW(fd);
}

#define STREAM_CASE(name, ...)                                                                                         \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        FILE *stream = text_stream(fd);                                                                                \
        __VA_ARGS__;                                                                                                   \
        text_end(fd, stream);                                                                                          \
    }

#define ROOM ((char *)scratch)
enum { ROOM_SIZE = 5000 };

/* Reading */
size_t __fread_chk(void *room, size_t size, size_t each, size_t count, FILE *stream);
size_t __fread_unlocked_chk(void *room, size_t size, size_t each, size_t count, FILE *stream);
char *__fgets_chk(char *room, size_t size, int count, FILE *stream);
char *__fgets_unlocked_chk(char *room, size_t size, int count, FILE *stream);
size_t _IO_fread(void *room, size_t each, size_t count, FILE *stream);
char *_IO_fgets(char *room, int count, FILE *stream);
int _IO_getc(FILE *stream);
int _IO_ungetc(int c, FILE *stream);
size_t _IO_sgetn(FILE *stream, void *room, size_t count);
STREAM_CASE(fread, SHOW_BYTES(scratch, CALL(fread(scratch, 1, ROOM_SIZE, stream))))
STREAM_CASE(fread_unlocked, SHOW_BYTES(scratch, CALL(fread_unlocked(scratch, 1, ROOM_SIZE, stream))))
STREAM_CASE(__fread_chk, SHOW_BYTES(scratch, CALL(__fread_chk(scratch, ROOM_SIZE, 1, ROOM_SIZE, stream))))
STREAM_CASE(__fread_unlocked_chk,
            SHOW_BYTES(scratch, CALL(__fread_unlocked_chk(scratch, ROOM_SIZE, 1, ROOM_SIZE, stream))))
STREAM_CASE(_IO_fread, SHOW_BYTES(scratch, CALL(_IO_fread(scratch, 1, ROOM_SIZE, stream))))
STREAM_CASE(_IO_sgetn, SHOW_BYTES(scratch, CALL(_IO_sgetn(stream, scratch, 30))))
STREAM_CASE(fgets, say("%s", fgets(ROOM, ROOM_SIZE, stream)))
STREAM_CASE(fgets_unlocked, say("%s", fgets_unlocked(ROOM, ROOM_SIZE, stream)))
STREAM_CASE(__fgets_chk, say("%s", __fgets_chk(ROOM, ROOM_SIZE, ROOM_SIZE, stream)))
STREAM_CASE(__fgets_unlocked_chk, say("%s", __fgets_unlocked_chk(ROOM, ROOM_SIZE, ROOM_SIZE, stream)))
STREAM_CASE(_IO_fgets, say("%s", _IO_fgets(ROOM, ROOM_SIZE, stream)))
STREAM_CASE(fgetc, CALL(fgetc(stream)))
STREAM_CASE(fgetc_unlocked, CALL((fgetc_unlocked)(stream)))
STREAM_CASE(getc, CALL((getc)(stream)))
STREAM_CASE(getc_unlocked, CALL((getc_unlocked)(stream)))
STREAM_CASE(_IO_getc, CALL(_IO_getc(stream)))
STREAM_CASE(getw, CALL(getw(stream)))
STREAM_CASE(ungetc, CALL(fgetc(stream)); CALL(ungetc('x', stream)); CALL(fgetc(stream)))
STREAM_CASE(_IO_ungetc, CALL(fgetc(stream)); CALL(_IO_ungetc('x', stream)); CALL(fgetc(stream)))

#define LINE_CASE(name, ...)                                                                                           \
    STREAM_CASE(name, char *line = NULL; size_t size = 0; CALL(name(&line, &size, __VA_ARGS__)); say("%s", line);      \
                free(line))
ssize_t __getdelim(char **line, size_t *size, int end, FILE *stream);
LINE_CASE(getline, stream)
LINE_CASE(getdelim, ':', stream)
LINE_CASE(__getdelim, ':', stream)

#define SCAN_CASE(name, ...) STREAM_CASE(name, int number = 0; CALL(__VA_ARGS__); say("%d", number))
typedef int scan_call(FILE *stream, const char *format, va_list args);
static int scan_list(scan_call *scan, FILE *stream, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = scan(stream, format, args);
    va_end(args);
    return result;
}
int plain_fscanf(FILE *stream, const char *format, ...) __asm__("fscanf");
int plain_vfscanf(FILE *stream, const char *format, va_list args) __asm__("vfscanf");
int __isoc99_fscanf(FILE *stream, const char *format, ...);
int __isoc99_vfscanf(FILE *stream, const char *format, va_list args);
int __vfscanf(FILE *stream, const char *format, va_list args);
SCAN_CASE(fscanf, plain_fscanf(stream, "%d", &number))
SCAN_CASE(__isoc99_fscanf, __isoc99_fscanf(stream, "%d", &number))
SCAN_CASE(vfscanf, scan_list(plain_vfscanf, stream, "%d", &number))
SCAN_CASE(__isoc99_vfscanf, scan_list(__isoc99_vfscanf, stream, "%d", &number))
SCAN_CASE(__vfscanf, scan_list(__vfscanf, stream, "%d", &number))

/* Reading wide characters */
wchar_t *__fgetws_chk(wchar_t *room, size_t size, int count, FILE *stream);
wchar_t *__fgetws_unlocked_chk(wchar_t *room, size_t size, int count, FILE *stream);
STREAM_CASE(fgetwc, CALL(fgetwc(stream)))
STREAM_CASE(fgetwc_unlocked, CALL(fgetwc_unlocked(stream)))
STREAM_CASE(getwc, CALL((getwc)(stream)))
STREAM_CASE(getwc_unlocked, CALL((getwc_unlocked)(stream)))
STREAM_CASE(ungetwc, CALL(fgetwc(stream)); CALL(ungetwc(L'x', stream)); CALL(fgetwc(stream)))
STREAM_CASE(fgetws, wchar_t line[50]; say("%ls", fgetws(line, 50, stream)))
STREAM_CASE(fgetws_unlocked, wchar_t line[50]; say("%ls", fgetws_unlocked(line, 50, stream)))
STREAM_CASE(__fgetws_chk, wchar_t line[50]; say("%ls", __fgetws_chk(line, 50, 50, stream)))
STREAM_CASE(__fgetws_unlocked_chk, wchar_t line[50]; say("%ls", __fgetws_unlocked_chk(line, 50, 50, stream)))
typedef int wide_call(FILE *stream, const wchar_t *format, va_list args);
static int wide_list(wide_call *call, FILE *stream, const wchar_t *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = call(stream, format, args);
    va_end(args);
    return result;
}
int plain_fwscanf(FILE *stream, const wchar_t *format, ...) __asm__("fwscanf");
int plain_vfwscanf(FILE *stream, const wchar_t *format, va_list args) __asm__("vfwscanf");
int __isoc99_fwscanf(FILE *stream, const wchar_t *format, ...);
int __isoc99_vfwscanf(FILE *stream, const wchar_t *format, va_list args);
SCAN_CASE(fwscanf, plain_fwscanf(stream, L"%d", &number))
SCAN_CASE(__isoc99_fwscanf, __isoc99_fwscanf(stream, L"%d", &number))
SCAN_CASE(vfwscanf, wide_list(plain_vfwscanf, stream, L"%d", &number))
SCAN_CASE(__isoc99_vfwscanf, wide_list(__isoc99_vfwscanf, stream, L"%d", &number))

/* Writing */
size_t _IO_fwrite(const void *from, size_t each, size_t count, FILE *stream);
int _IO_fputs(const char *text, FILE *stream);
int _IO_putc(int c, FILE *stream);
int _IO_fprintf(FILE *stream, const char *format, ...);
int _IO_vfprintf(FILE *stream, const char *format, va_list args);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list args);
STREAM_CASE(fwrite, CALL(fwrite(bytes, 1, ROOM_SIZE, stream)))
STREAM_CASE(fwrite_unlocked, CALL(fwrite_unlocked(bytes, 1, ROOM_SIZE, stream)))
STREAM_CASE(_IO_fwrite, CALL(_IO_fwrite(bytes, 1, ROOM_SIZE, stream)))
STREAM_CASE(fputs, CALL(fputs("of the stream", stream)))
STREAM_CASE(fputs_unlocked, CALL(fputs_unlocked("of the stream", stream)))
STREAM_CASE(_IO_fputs, CALL(_IO_fputs("of the stream", stream)))
STREAM_CASE(fputc, CALL(fputc('x', stream)))
STREAM_CASE(fputc_unlocked, CALL((fputc_unlocked)('x', stream)))
STREAM_CASE(putc, CALL((putc)('x', stream)))
STREAM_CASE(putc_unlocked, CALL((putc_unlocked)('x', stream)))
STREAM_CASE(_IO_putc, CALL(_IO_putc('x', stream)))
STREAM_CASE(putw, CALL(putw(0x12345678, stream)))
STREAM_CASE(fprintf, CALL(fprintf(stream, "%d", 77)))
STREAM_CASE(__fprintf_chk, CALL(__fprintf_chk(stream, 1, "%d", 77)))
STREAM_CASE(_IO_fprintf, CALL(_IO_fprintf(stream, "%d", 77)))
STREAM_CASE(vfprintf, CALL(scan_list(vfprintf, stream, "%d", 77)))
STREAM_CASE(_IO_vfprintf, CALL(scan_list(_IO_vfprintf, stream, "%d", 77)))
static int checked_vfprintf(FILE *stream, const char *format, va_list args)
{
    return __vfprintf_chk(stream, 1, format, args);
}
STREAM_CASE(__vfprintf_chk, CALL(scan_list(checked_vfprintf, stream, "%d", 77)))

/* Writing wide characters */
int __fwprintf_chk(FILE *stream, int flag, const wchar_t *format, ...);
int __vfwprintf_chk(FILE *stream, int flag, const wchar_t *format, va_list args);
static int checked_vfwprintf(FILE *stream, const wchar_t *format, va_list args)
{
    return __vfwprintf_chk(stream, 1, format, args);
}
STREAM_CASE(fputwc, CALL(fputwc(L'x', stream)))
STREAM_CASE(fputwc_unlocked, CALL(fputwc_unlocked(L'x', stream)))
STREAM_CASE(putwc, CALL((putwc)(L'x', stream)))
STREAM_CASE(putwc_unlocked, CALL((putwc_unlocked)(L'x', stream)))
STREAM_CASE(fputws, CALL(fputws(L"of the stream", stream)))
STREAM_CASE(fputws_unlocked, CALL(fputws_unlocked(L"of the stream", stream)))
STREAM_CASE(fwprintf, CALL(fwprintf(stream, L"%d", 77)))
STREAM_CASE(__fwprintf_chk, CALL(__fwprintf_chk(stream, 1, L"%d", 77)))
STREAM_CASE(vfwprintf, CALL(wide_list(vfwprintf, stream, L"%d", 77)))
STREAM_CASE(__vfwprintf_chk, CALL(wide_list(checked_vfwprintf, stream, L"%d", 77)))

/* Positions */
int _IO_fflush(FILE *stream);
long _IO_ftell(FILE *stream);
int _IO_fgetpos(FILE *stream, fpos_t *at);
int _IO_fgetpos64(FILE *stream, fpos64_t *at);
int _IO_fsetpos(FILE *stream, const fpos_t *at);
int _IO_fsetpos64(FILE *stream, const fpos64_t *at);
off64_t _IO_seekoff(FILE *stream, off64_t offset, int whence, int mode);
off64_t _IO_seekpos(FILE *stream, off64_t at, int mode);
int _IO_seekmark(FILE *stream, void *mark, int delta);
int _IO_seekwmark(FILE *stream, void *mark, int delta);
#define WRITTEN CALL(fputs("of the stream", stream))
STREAM_CASE(fflush, WRITTEN; CALL(fflush(stream)); SHOW(fd))
STREAM_CASE(fflush_unlocked, WRITTEN; CALL(fflush_unlocked(stream)); SHOW(fd))
STREAM_CASE(_IO_fflush, WRITTEN; CALL(_IO_fflush(stream)); SHOW(fd))
STREAM_CASE(fseek, CALL(fseek(stream, -5, SEEK_END)); WRITTEN)
STREAM_CASE(fseeko, CALL(fseeko(stream, 5, SEEK_CUR)); WRITTEN)
STREAM_CASE(fseeko64, CALL(fseeko64(stream, 5000, SEEK_SET)); WRITTEN)
STREAM_CASE(ftell, WRITTEN; CALL(ftell(stream)))
STREAM_CASE(ftello, WRITTEN; CALL(ftello(stream)))
STREAM_CASE(ftello64, WRITTEN; CALL(ftello64(stream)))
STREAM_CASE(_IO_ftell, WRITTEN; CALL(_IO_ftell(stream)))
STREAM_CASE(rewind, WRITTEN; rewind(stream); WRITTEN)
STREAM_CASE(fgetpos, fpos_t at; WRITTEN; CALL(fgetpos(stream, &at)); WRITTEN; CALL(fsetpos(stream, &at)))
STREAM_CASE(fsetpos, fpos_t at; WRITTEN; CALL(fgetpos(stream, &at)); WRITTEN; CALL(fsetpos(stream, &at)); WRITTEN)
STREAM_CASE(fgetpos64, fpos64_t at; WRITTEN; CALL(fgetpos64(stream, &at)); WRITTEN; CALL(fsetpos64(stream, &at)))
STREAM_CASE(fsetpos64, fpos64_t at; WRITTEN; CALL(fgetpos64(stream, &at)); CALL(fsetpos64(stream, &at)); WRITTEN)
STREAM_CASE(_IO_fgetpos, fpos_t at; WRITTEN; CALL(_IO_fgetpos(stream, &at)); CALL(_IO_fsetpos(stream, &at)))
STREAM_CASE(_IO_fsetpos, fpos_t at; WRITTEN; CALL(_IO_fgetpos(stream, &at)); CALL(_IO_fsetpos(stream, &at)); WRITTEN)
STREAM_CASE(_IO_fgetpos64, fpos64_t at; WRITTEN; CALL(_IO_fgetpos64(stream, &at)); CALL(_IO_fsetpos64(stream, &at)))
STREAM_CASE(_IO_fsetpos64, fpos64_t at; CALL(_IO_fgetpos64(stream, &at)); CALL(_IO_fsetpos64(stream, &at)); WRITTEN)
STREAM_CASE(_IO_seekoff, CALL(_IO_seekoff(stream, 20, SEEK_SET, 3)); WRITTEN)
STREAM_CASE(_IO_seekpos, CALL(_IO_seekpos(stream, 20, 3)); WRITTEN)
STREAM_CASE(_IO_seekmark, void *no_mark[4] = {0}; CALL(_IO_seekmark(stream, no_mark, 0)))
STREAM_CASE(_IO_seekwmark, void *no_mark[4] = {0}; CALL(_IO_seekwmark(stream, no_mark, 0)))

/* Buffers and state */
int _IO_feof(FILE *stream);
int _IO_ferror(FILE *stream);
int _IO_setvbuf(FILE *stream, char *buffer, int mode, size_t size);
void _IO_setbuffer(FILE *stream, char *buffer, size_t size);
void _IO_flockfile(FILE *stream);
int _IO_ftrylockfile(FILE *stream);
void _IO_funlockfile(FILE *stream);
STREAM_CASE(setvbuf, CALL(setvbuf(stream, NULL, _IONBF, 0)); WRITTEN; SHOW(fd))
STREAM_CASE(_IO_setvbuf, CALL(_IO_setvbuf(stream, NULL, _IONBF, 0)); WRITTEN; SHOW(fd))
STREAM_CASE(setbuf, setbuf(stream, NULL); WRITTEN; SHOW(fd))
STREAM_CASE(setbuffer, setbuffer(stream, NULL, 0); WRITTEN; SHOW(fd))
STREAM_CASE(_IO_setbuffer, _IO_setbuffer(stream, NULL, 0); WRITTEN; SHOW(fd))
STREAM_CASE(setlinebuf, setlinebuf(stream); CALL(fputs("line\n", stream)); SHOW(fd))
STREAM_CASE(feof, CALL(feof(stream)))
STREAM_CASE(feof_unlocked, CALL((feof_unlocked)(stream)))
STREAM_CASE(_IO_feof, CALL(_IO_feof(stream)))
STREAM_CASE(ferror, CALL(ferror(stream)))
STREAM_CASE(ferror_unlocked, CALL((ferror_unlocked)(stream)))
STREAM_CASE(_IO_ferror, CALL(_IO_ferror(stream)))
STREAM_CASE(clearerr, clearerr(stream))
STREAM_CASE(clearerr_unlocked, clearerr_unlocked(stream))
STREAM_CASE(fileno, CALL(fileno(stream)); CALL(write(fileno(stream), bytes, 30)))
STREAM_CASE(fileno_unlocked, CALL(fileno_unlocked(stream)); CALL(write(fileno_unlocked(stream), bytes, 30)))
STREAM_CASE(flockfile, flockfile(stream); WRITTEN; funlockfile(stream))
STREAM_CASE(ftrylockfile, CALL(ftrylockfile(stream)); WRITTEN; funlockfile(stream))
STREAM_CASE(funlockfile, flockfile(stream); WRITTEN; funlockfile(stream))
STREAM_CASE(_IO_flockfile, _IO_flockfile(stream); WRITTEN; _IO_funlockfile(stream))
STREAM_CASE(_IO_ftrylockfile, CALL(_IO_ftrylockfile(stream)); WRITTEN; _IO_funlockfile(stream))
STREAM_CASE(_IO_funlockfile, _IO_flockfile(stream); WRITTEN; _IO_funlockfile(stream))
STREAM_CASE(fwide, CALL(fwide(stream, 0)))
STREAM_CASE(__fbufsize, WRITTEN; CALL(__fbufsize(stream)))
STREAM_CASE(__flbf, CALL(__flbf(stream)))
STREAM_CASE(__fpending, WRITTEN; CALL(__fpending(stream)))
STREAM_CASE(__fpurge, WRITTEN; __fpurge(stream))
STREAM_CASE(__freadable, CALL(__freadable(stream)))
STREAM_CASE(__freading, CALL(__freading(stream)))
STREAM_CASE(__fsetlocking, CALL(__fsetlocking(stream, FSETLOCKING_QUERY)))
STREAM_CASE(__fwritable, CALL(__fwritable(stream)))
STREAM_CASE(__fwriting, CALL(__fwriting(stream)))
STREAM_CASE(_flushlbf, WRITTEN; _flushlbf(); SHOW(fd))

/* Tables of text */
STREAM_CASE(getmntent, CALL_POINTER(getmntent(stream)))
STREAM_CASE(getmntent_r, struct mntent e; CALL_POINTER(getmntent_r(stream, &e, ROOM, ROOM_SIZE)))
STREAM_CASE(__getmntent_r, struct mntent e; CALL_POINTER(__getmntent_r(stream, &e, ROOM, ROOM_SIZE)))
STREAM_CASE(addmntent, struct mntent e = {ROOM, ROOM, ROOM, ROOM, 0, 0}; strcpy(ROOM, "x"); CALL(addmntent(stream, &e)))
STREAM_CASE(fgetpwent, CALL_POINTER(fgetpwent(stream)))
STREAM_CASE(fgetpwent_r, struct passwd e; struct passwd * f; CALL(fgetpwent_r(stream, &e, ROOM, ROOM_SIZE, &f)))
STREAM_CASE(putpwent, CALL(putpwent(getpwuid(0), stream)))
STREAM_CASE(fgetgrent, CALL_POINTER(fgetgrent(stream)))
STREAM_CASE(fgetgrent_r, struct group e; struct group * f; CALL(fgetgrent_r(stream, &e, ROOM, ROOM_SIZE, &f)))
STREAM_CASE(putgrent, CALL(putgrent(getgrgid(0), stream)))
STREAM_CASE(fgetspent, CALL_POINTER(fgetspent(stream)))
STREAM_CASE(fgetspent_r, struct spwd e; struct spwd * f; CALL(fgetspent_r(stream, &e, ROOM, ROOM_SIZE, &f)))
STREAM_CASE(putspent, struct spwd e = {.sp_namp = ROOM, .sp_pwdp = ROOM}; strcpy(ROOM, "x"); CALL(putspent(&e, stream)))
STREAM_CASE(fgetsgent, CALL_POINTER(fgetsgent(stream)))
STREAM_CASE(fgetsgent_r, struct sgrp e; struct sgrp * f; CALL(fgetsgent_r(stream, &e, ROOM, ROOM_SIZE, &f)))
STREAM_CASE(putsgent, char *none[1] = {NULL};
            struct sgrp e = {.sg_namp = ROOM, .sg_passwd = ROOM, .sg_adm = none, .sg_mem = none}; strcpy(ROOM, "x");
            CALL(putsgent(&e, stream)))
STREAM_CASE(malloc_info, CALL(malloc_info(77, stream)))

static ssize_t cookie_write(void *cookie, const char *text, size_t len)
{
    int *fd = cookie;
    return write(*fd, text, len);
}

SYMBOL_CASE(fopencookie)
{
    watch_errno = false;
    FILE *stream = fopencookie(&fd, "w", (cookie_io_functions_t){.write = cookie_write});
    CALL(fputs("through a cookie", stream));
    CALL(fileno(stream));
    CALL(fclose(stream));
}
