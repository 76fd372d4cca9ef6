/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * cases.c — runs one case of the POSIX comparison in the current directory, or lists the cases.
 *
 *   posix_cases -l THEME          prints "CASE STATE" for all that can be run
 *   posix_cases THEME CASE STATE  runs one; compare.c reads the report from descriptor CASE_CONTROL
 */
#include "cases.h"

#include "hash.h"
#include "protocol.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#ifndef NVX_KERNEL
#include "nvmmio.h"
#endif

uint8_t *bytes;
uint8_t *scratch;
off_t subject_size;
bool watch_errno = true;

/* fresh   created in the case, never synced
 * synced  synced and written again: the library has attached it
 * cold    written, closed and opened again
 * large   3 MiB, synced, with many writes pending */
static const char *const states[] = {"fresh", "synced", "cold", "large"};
static const char *state = "fresh";

static const struct {
    const char *name;
    const struct posix_case *cases;
} themes[] = {
    {"append", cases_append},   {"bad", cases_bad},       {"child", cases_child},     {"dup", cases_dup},
    {"far", cases_far},         {"limit", cases_limit},   {"lock", cases_lock},       {"map", cases_map},
    {"mapping", cases_mapping}, {"name", cases_name},     {"process", cases_process}, {"open", cases_open},
    {"read", cases_read},       {"resize", cases_resize}, {"seek", cases_seek},       {"stat", cases_stat},
    {"stdio", cases_stdio},     {"symbol", cases_symbol}, {"syscall", cases_syscall}, {"descriptor", cases_descriptor},
    {"pass", cases_pass},       {"vector", cases_vector},
};

/* ---- the report ---- */

static void tell(char kind, const char *text)
{
    char message[PROTOCOL_MAX];
    int len = snprintf(message, sizeof message, "%c%s", kind, text);
    if (len >= (int)sizeof message)
        len = sizeof message - 1;
    if (send(CASE_CONTROL, message, (size_t)len, MSG_NOSIGNAL) != len)
        _exit(99);
}

void say(const char *format, ...)
{
    char text[PROTOCOL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell(PROTOCOL_LINE, text);
}

long report_call(int line, const char *text, long result)
{
    int error = errno;
    if (result < 0)
        say("%d: %s = %ld %s", line, text, result, strerrorname_np(error) ? strerrorname_np(error) : "no errno");
    else
        say("%d: %s = %ld%s", line, text, result, watch_errno && error != CASE_ERRNO ? " (touched errno)" : "");
    errno = error;
    return result;
}

long report_pointer(const void *address)
{
    return address == NULL || address == MAP_FAILED ? -1 : 0;
}

void show_bytes(int line, const void *address, long len)
{
    if (len >= 0)
        say("%d: %ld bytes, hash %016llx", line, len, (unsigned long long)hash_add(0, address, (size_t)len, 0));
}

void show_range(int line, int fd, off_t offset, size_t len)
{
    uint8_t *room = malloc(len);
    ssize_t n = nvx.pread(fd, room, len, offset);
    say("%d: pread %zu at %lld = %zd %s", line, len, (long long)offset, n, n < 0 ? strerrorname_np(errno) : "");
    show_bytes(line, room, n);
    free(room);
}

void show_file(int line, int fd)
{
    struct stat st;
    if (nvx.fstat(fd, &st) != 0) {
        say("%d: fstat: %s", line, strerrorname_np(errno));
        return;
    }
    long long offset = nvx.lseek(fd, 0, SEEK_CUR);
    enum { PIECE = 256 * 1024, WHOLE = 16 << 20 };
    static uint8_t piece[PIECE];
    uint64_t hash = 0;
    const char *how = "";
    off_t at = 0;
    while (at < st.st_size && at < WHOLE) {
        ssize_t n = nvx.pread(fd, piece, PIECE, at);
        if (n <= 0) {
            how = n == 0 ? " early end" : strerrorname_np(errno);
            break;
        }
        hash = hash_add(hash, piece, (size_t)n, (uint64_t)at);
        at += n;
    }
    say("%d: offset %lld size %lld hash %016llx of %lld %s", line, offset, (long long)st.st_size,
        (unsigned long long)hash, (long long)at, how);
}

void look(const char *path)
{
    char answer[PROTOCOL_MAX];
    tell(PROTOCOL_LOOK, path);
    if (recv(CASE_CONTROL, answer, sizeof answer, 0) <= 0)
        _exit(98);
}

/* ---- help for cases ---- */

static void must(bool good, const char *what)
{
    if (!good)
        say("PREPARATION FAILED: %s: %s", what, strerrorname_np(errno));
}

static off_t fill_plain(int fd, size_t size)
{
    must(nvx.write(fd, bytes, size) == (ssize_t)size, "write");
    return (off_t)size;
}

static off_t fill_large(int fd)
{
    enum { SIZE = 3 << 20, WRITES = 60, STEP = 50021, LEN = 3000, TAIL = 5000 };
    fill_plain(fd, SIZE);
    must(nvx.fsync(fd) == 0, "fsync");
    for (int i = 0; i < WRITES; i++)
        must(nvx.pwrite(fd, bytes + 7 * i + 1, LEN, (off_t)i * STEP) == LEN, "pwrite");
    must(nvx.pwrite(fd, bytes + 3, TAIL, SIZE - 1) == TAIL, "pwrite");
    return SIZE - 1 + TAIL;
}

int subject(void)
{
    enum { SIZE = 20000 };
    int fd = nvx.open(SUBJECT, O_RDWR | O_CREAT | O_EXCL, 0644);
    must(fd >= 0, "open");
    if (strcmp(state, "large") == 0) {
        subject_size = fill_large(fd);
    } else {
        subject_size = fill_plain(fd, SIZE);
        if (strcmp(state, "synced") == 0) {
            must(nvx.fsync(fd) == 0, "fsync");
            must(nvx.pwrite(fd, bytes + 11, 7000, 3000) == 7000, "pwrite");
            must(nvx.pwrite(fd, bytes + 13, 100, SIZE - 50) == 100, "pwrite");
            subject_size = SIZE + 50;
        } else if (strcmp(state, "cold") == 0) {
            must(nvx.close(fd) == 0, "close");
            fd = nvx.open(SUBJECT, O_RDWR);
            must(fd >= 0, "open");
        }
    }
    must(nvx.lseek(fd, 0, SEEK_SET) == 0, "lseek");
    return fd;
}

void end_child(void)
{
    /* The nv library alone sees exit; _exit is to it as a kill is. Under the preload library _exit is orderly too. */
    if (nvx_is_kernel)
        _exit(0);
    exit(0);
}

void in_child(void (*body)(int fd), int fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        body(fd);
        end_child();
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        say("fork or wait failed: %s", strerrorname_np(errno));
    else if (WIFSIGNALED(status))
        say("child killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        say("child exit %d", WEXITSTATUS(status));
}

void *bad_address(void)
{
    static void *page;
    if (!page)
        page = mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page;
}

int case_openat(int dirfd, const char *path, int flags, mode_t mode)
{
#ifdef NVX_KERNEL
    return openat(dirfd, path, flags, mode);
#else
    return nvopenat(dirfd, path, flags, mode);
#endif
}

int case_creat(const char *path, mode_t mode)
{
#ifdef NVX_KERNEL
    return creat(path, mode);
#else
    return nvcreat(path, mode);
#endif
}

/* ---- running ---- */

static const struct posix_case *find_theme(const char *name)
{
    for (size_t i = 0; i < sizeof themes / sizeof themes[0]; i++)
        if (strcmp(themes[i].name, name) == 0)
            return themes[i].cases;
    fprintf(stderr, "posix_cases: no theme %s\n", name);
    exit(2);
}

static void list(const struct posix_case *c)
{
    for (; c->name; c++) {
        if (!nvx_is_kernel && !(c->flags & CASE_NV))
            continue;
        size_t count = c->flags & CASE_ONCE ? 1 : sizeof states / sizeof states[0];
        for (size_t i = 0; i < count; i++)
            printf("%s %s\n", c->name, states[i]);
    }
}

/* What is still open below the control descriptor: the case's own, and what a library left where it should not. */
static void close_rest(void)
{
    for (int fd = 3; fd < CASE_CONTROL; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            continue;
        say("still open: %d", fd);
        nvx.close(fd);
    }
}

static void run(const struct posix_case *c)
{
    fcntl(CASE_CONTROL, F_SETFD, FD_CLOEXEC);
    bytes = malloc(BYTES_SIZE);
    scratch = malloc(BYTES_SIZE);
    tool_pattern(bytes, BYTES_SIZE, 1, 0);
    memset(scratch, 0, BYTES_SIZE);
    umask(022);
    c->run();
    close_rest();
    look("."); /* after the last close, before the exit */
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-l") == 0) {
        list(find_theme(argv[2]));
        return 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: posix_cases -l THEME | THEME CASE STATE\n");
        return 2;
    }
    state = argv[3];
    for (const struct posix_case *c = find_theme(argv[1]); c->name; c++) {
        if (strcmp(c->name, argv[2]) == 0) {
            run(c);
            return 0;
        }
    }
    fprintf(stderr, "posix_cases: no case %s\n", argv[2]);
    return 2;
}
