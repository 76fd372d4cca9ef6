/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_stdio.c — C streams on the file, mixed with calls on descriptors.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_size(int line)
{
    struct stat st;
    int r = stat(SUBJECT, &st);
    say("%d: stat %d size %lld", line, r, (long long)st.st_size);
}

static void stream_writes(void)
{
    watch_errno = false;
    CALL(nvx.close(subject()));
    FILE *stream;
    CALL_POINTER(stream = fopen(SUBJECT, "w"));
    CALL(fileno(stream));
    CALL(fprintf(stream, "line %d\n", 1));
    say_size(__LINE__);
    CALL(fflush(stream));
    say_size(__LINE__);
    for (int i = 0; i < 3000; i++)
        fprintf(stream, "line %d\n", i);
    CALL(fseek(stream, 5, SEEK_SET));
    CALL(fputs("changed", stream));
    CALL(ftell(stream));
    CALL(fseek(stream, 100, SEEK_END));
    CALL(fputc('x', stream));
    CALL(fclose(stream));
    say_size(__LINE__);
    look(SUBJECT);
}

static void stream_modes(void)
{
    static const char *const modes[] = {"r", "r+", "a", "a+", "w+", "rb+", "ae", "w+x", "wx", "q"};
    watch_errno = false;
    CALL(nvx.close(subject()));
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        say("-- %s", modes[i]);
        FILE *stream;
        if (CALL_POINTER(stream = fopen(SUBJECT, modes[i])) != 0)
            continue;
        CALL(fread(scratch, 1, 100, stream));
        CALL(ferror(stream));
        CALL(fseek(stream, 10, SEEK_SET));
        CALL(fwrite(bytes, 1, 5000, stream));
        CALL(fflush(stream));
        CALL(ftell(stream));
        CALL(fclose(stream));
        look(SUBJECT);
    }
}

static void stream_reads(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes + 1, 5000, 777));
    FILE *stream;
    CALL_POINTER(stream = fopen(SUBJECT, "r"));
    SHOW_BYTES(scratch, CALL(fread(scratch, 1, 10000, stream)));
    CALL(nvx.pwrite(fd, bytes + 2, 5000, 12000));
    CALL(fseek(stream, 0, SEEK_SET));
    SHOW_BYTES(scratch, CALL(fread(scratch, 1, 20000, stream)));
    CALL(fseek(stream, -10, SEEK_END));
    SHOW_BYTES(scratch, CALL(fread(scratch, 1, 100, stream)));
    CALL(feof(stream));
    CALL(fclose(stream));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 3, 50));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes + 4, 50));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* A stream that appends begins where the file ends now, not where the kernel last knew it to end. */
static void stream_appends(void)
{
    static const char *const modes[] = {"a", "a+"};
    watch_errno = false;
    int fd = subject();
    for (unsigned i = 0; i < 4; i++) {
        CALL(nvx.pwrite(fd, bytes + 1, 100, 33000 + i * 1000));
        if (i & 2)
            CALL(nvx.ftruncate(fd, 77));
        FILE *stream;
        CALL_POINTER(stream = fopen(SUBJECT, modes[i & 1]));
        CALL(ftell(stream));
        CALL(fputs("end", stream));
        CALL(ftell(stream));
        CALL(fclose(stream));
        CALL(nvx.close(fd));
        look(SUBJECT);
        CALL(fd = nvx.open(SUBJECT, O_RDWR)); /* not the kernel's any more */
    }
    CALL(nvx.close(fd));
}

/* A stream writes what a descriptor reads and the reverse. */
static void stream_and_descriptor(void)
{
    watch_errno = false;
    int fd = subject();
    FILE *stream;
    CALL_POINTER(stream = fopen(SUBJECT, "r+"));
    CALL(fwrite(bytes + 3, 1, 9000, stream));
    CALL(fflush(stream));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 4, 100));
    CALL(nvx.pwrite(fd, bytes + 5, 5000, 15000));
    SHOW(fd);
    CALL(fseek(stream, 0, SEEK_SET));
    SHOW_BYTES(scratch, CALL(fread(scratch, 1, 20000, stream)));
    CALL(nvx.close(fd));
    CALL(fputs("end", stream));
    CALL(fclose(stream));
    look(SUBJECT);
}

static void stream_on_descriptor(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    FILE *stream;
    CALL_POINTER(stream = fdopen(fd, "r+"));
    CALL(fprintf(stream, "after a hundred\n"));
    CALL(fflush(stream));
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 1, 100));
    CALL(nvx.pwrite(fd, bytes + 2, 100, 9000));
    SHOW(fd);
    CALL(fclose(stream));
    CALL(nvx.write(fd, bytes, 1));
    look(SUBJECT);
}

/* fclose is a close that no wrapper of close sees; the next file has the same number. */
static void number_after_fclose(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes, 100));
    FILE *stream = fdopen(fd, "r+");
    CALL(fclose(stream));
    stream = fopen("/dev/null", "r+");
    CALL(fileno(stream));
    CALL(nvx.write(fileno(stream), bytes, 1000));
    CALL(nvx.read(fileno(stream), scratch, 1000));
    CALL(fclose(stream));
    int other = CALL(nvx.open("other", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(other, bytes, 1000));
    SHOW(other);
    CALL(nvx.close(other));
    look(SUBJECT);
}

static void reopened_stream(void)
{
    watch_errno = false;
    int fd = subject();
    FILE *stream = fopen("other", "w");
    CALL(fputs("something", stream));
    CALL_POINTER(stream = freopen(SUBJECT, "a", stream));
    CALL(fputs("appended", stream));
    CALL(fflush(stream));
    SHOW(fd);
    CALL(fclose(stream));
    CALL(nvx.pwrite(fd, bytes, 1000, 100));
    CALL(nvx.close(fd));
    look(".");
}

static void formatted_to_descriptor(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    CALL(dprintf(fd, "number %d\n", 5));
    SHOW(fd);
    CALL(nvx.write(fd, bytes, 100));
    CALL(dprintf(fd, "%0*d\n", 9000, 5));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void temporary_files(void)
{
    watch_errno = false;
    char name[] = "temporary.XXXXXX";
    int fd = CALL(mkstemp(name));
    CALL(nvx.write(fd, bytes, 5000));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 1, 5000, 300));
    SHOW(fd);
    CALL(rename(name, "temporary"));
    CALL(nvx.close(fd));
    look("temporary");
    char suffixed[] = "other.XXXXXX.txt";
    fd = CALL(mkostemps(suffixed, 4, O_APPEND));
    CALL(nvx.write(fd, bytes, 50));
    CALL(nvx.pwrite(fd, bytes, 50, 0));
    SHOW(fd);
    CALL(unlink(suffixed));
    CALL(nvx.close(fd));
    FILE *stream = tmpfile();
    CALL(fputs("text", stream));
    CALL(fclose(stream));
}

static void lines(void)
{
    watch_errno = false;
    int fd = subject();
    CALL(nvx.ftruncate(fd, 0));
    for (int i = 0; i < 500; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "the line %d of %d\n", i, 500);
        if (nvx.write(fd, line, (size_t)len) != len)
            say("short write");
    }
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, "THE", 3, 0));
    FILE *stream = fopen(SUBJECT, "r");
    char *line = NULL;
    size_t size = 0, count = 0;
    while (getline(&line, &size, stream) > 0)
        if (count++ % 100 == 0)
            say("%s", line);
    say("%zu lines", count);
    free(line);
    CALL(fclose(stream));
    CALL(nvx.close(fd));
}

const struct posix_case cases_stdio[] = {
    {"stream_writes", stream_writes, 0},
    {"stream_modes", stream_modes, 0},
    {"stream_reads", stream_reads, 0},
    {"stream_appends", stream_appends, 0},
    {"stream_and_descriptor", stream_and_descriptor, 0},
    {"stream_on_descriptor", stream_on_descriptor, 0},
    {"number_after_fclose", number_after_fclose, 0},
    {"reopened_stream", reopened_stream, 0},
    {"formatted_to_descriptor", formatted_to_descriptor, 0},
    {"temporary_files", temporary_files, CASE_ONCE},
    {"lines", lines, 0},
    {0},
};
