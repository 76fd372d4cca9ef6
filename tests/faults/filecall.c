/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * filecall.c — file calls told on the command line, one result a line: the hands of faults.py.
 *
 *     filecall COMMAND [ARGUMENT...] [COMMAND ...]
 *
 *     open PATH FLAGS           letters: r w (both: O_RDWR) c t a s d x A(O_ATOMIC) n(O_NOFOLLOW) N(O_NONBLOCK)
 *     use SLOT                  later commands are about this descriptor (0-9); open opens into it
 *     pwrite OFFSET LENGTH KEY  data that follow from KEY and the offset
 *     write LENGTH KEY          the same at the descriptor's offset; the data are those of offset 0
 *     fill OFFSET STEP COUNT KEY  pwrites of STEP bytes, one after the other, until one fails: tells the bytes written
 *     check OFFSET LENGTH KEY   reads and compares; wrong bytes end the program with status 3
 *     pread OFFSET LENGTH       tells the count and a hash
 *     whole                     tells the size and a hash of the content
 *     fsync fdatasync close size truncate SIZE fallocate MODE OFFSET LENGTH lseek OFFSET
 *     limit BYTES               RLIMIT_FSIZE; SIGXFSZ is ignored; fatal-limit BYTES leaves it deadly
 *     wait                      until a line comes on standard input; sleep MS; kill (SIGKILL to itself); umask OCTAL
 *     setuid UID
 */
#include "support/nvx.h"
#include "support/tool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BUFFER_BYTES (16u << 20)
#define SLOTS 10
#define EXIT_WRONG 3

static struct {
    int fd[SLOTS];
    unsigned slot;
    uint8_t *data, *other;
    char **args; /* of the current command */
} run;

static void tell(const char *name, long long result)
{
    if (result < 0)
        printf("%s failed %s\n", name, strerrorname_np(errno));
    else
        printf("%s %lld\n", name, result);
    fflush(stdout);
}

static uint64_t number(unsigned n)
{
    return strtoull(run.args[n], NULL, 0);
}

static int fd(void)
{
    return run.fd[run.slot];
}

static void do_open(void)
{
    static const struct {
        char letter;
        int flag;
    } flags[] = {{'c', O_CREAT}, {'t', O_TRUNC},    {'a', O_APPEND},   {'s', O_SYNC},  {'d', O_DSYNC},
                 {'x', O_EXCL},  {'n', O_NOFOLLOW}, {'N', O_NONBLOCK}, {'A', O_ATOMIC}};
    const char *letters = run.args[1];
    int flag = strchr(letters, 'w') ? strchr(letters, 'r') ? O_RDWR : O_WRONLY : O_RDONLY;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strchr(letters, flags[i].letter))
            flag |= flags[i].flag;
    run.fd[run.slot] = nvx.open(run.args[0], flag, 0600);
    tell("open", fd() < 0 ? -1 : 0);
}

static void do_fill(void)
{
    uint64_t offset = number(0), step = number(1), count = number(2), done = 0;
    ssize_t n = 0;
    for (; count--; done += (uint64_t)n) {
        tool_pattern(run.data, step, number(3), offset + done);
        n = nvx.pwrite(fd(), run.data, step, (off_t)(offset + done));
        if (n <= 0)
            break;
    }
    printf("fill %llu %s\n", (unsigned long long)done, n < 0 ? strerrorname_np(errno) : "all");
    fflush(stdout);
}

static void do_check(void)
{
    uint64_t offset = number(0), length = number(1), key = number(2);
    while (length) {
        uint64_t part = length < BUFFER_BYTES ? length : BUFFER_BYTES;
        ssize_t n = nvx.pread(fd(), run.other, part, (off_t)offset);
        if (n < 0) {
            tell("check", -1);
            return;
        }
        tool_pattern(run.data, part, key, offset);
        if ((uint64_t)n != part || memcmp(run.data, run.other, part)) {
            uint64_t i = 0;
            while (i < part && (ssize_t)i < n && run.data[i] == run.other[i])
                i++;
            printf("check WRONG: %zd of %llu bytes read, byte %llu differs\n", n, (unsigned long long)part,
                   (unsigned long long)(offset + i));
            exit(EXIT_WRONG);
        }
        offset += part;
        length -= part;
    }
    tell("check", 0);
}

static void do_whole(void)
{
    struct stat st;
    uint64_t hash = 0;
    off_t at = 0;
    if (nvx.fstat(fd(), &st)) {
        tell("whole", -1);
        return;
    }
    for (ssize_t n; at < st.st_size; at += n) {
        n = nvx.pread(fd(), run.other, BUFFER_BYTES, at);
        if (n <= 0) {
            tell("whole", n < 0 ? -1 : 0);
            return;
        }
        hash = tool_mix2(hash, tool_hash(run.other, (size_t)n));
    }
    printf("whole %lld %016llx\n", (long long)st.st_size, (unsigned long long)hash);
    fflush(stdout);
}

static void do_data(bool write, bool at_offset)
{
    uint64_t offset = at_offset ? 0 : number(0), length = number(at_offset ? 0 : 1);
    if (write) {
        tool_pattern(run.data, length, number(at_offset ? 1 : 2), offset);
        ssize_t n = at_offset ? nvx.write(fd(), run.data, length) : nvx.pwrite(fd(), run.data, length, (off_t)offset);
        tell(at_offset ? "write" : "pwrite", n);
        return;
    }
    ssize_t n = at_offset ? nvx.read(fd(), run.other, length) : nvx.pread(fd(), run.other, length, (off_t)offset);
    if (n < 0)
        tell("pread", -1);
    else
        printf("pread %zd %016llx\n", n, (unsigned long long)tool_hash(run.other, (size_t)n));
    fflush(stdout);
}

static void do_limit(bool fatal)
{
    struct rlimit limit = {.rlim_cur = number(0), .rlim_max = RLIM_INFINITY};
    if (!fatal)
        signal(SIGXFSZ, SIG_IGN);
    tell("limit", setrlimit(RLIMIT_FSIZE, &limit));
}

static void do_size(void)
{
    struct stat st;
    int result = nvx.fstat(fd(), &st);
    tell("size", result ? -1 : st.st_size);
}

static void do_wait(void)
{
    char line[100];
    tell("wait", fgets(line, sizeof(line), stdin) ? 0 : 1);
}

static const struct command {
    const char *name;
    int args;
} commands[] = {{"open", 2},     {"use", 1},       {"pwrite", 3}, {"write", 2},     {"fill", 4},        {"check", 3},
                {"pread", 2},    {"whole", 0},     {"fsync", 0},  {"fdatasync", 0}, {"close", 0},       {"size", 0},
                {"truncate", 1}, {"fallocate", 3}, {"lseek", 1},  {"limit", 1},     {"fatal-limit", 1}, {"wait", 0},
                {"sleep", 1},    {"kill", 0},      {"umask", 1},  {"setuid", 1},    {"read", 1}};

static void do_command(const char *name)
{
    if (!strcmp(name, "open"))
        do_open();
    else if (!strcmp(name, "use"))
        run.slot = (unsigned)number(0) % SLOTS;
    else if (!strcmp(name, "pwrite") || !strcmp(name, "write"))
        do_data(true, name[0] == 'w');
    else if (!strcmp(name, "pread") || !strcmp(name, "read"))
        do_data(false, name[0] == 'r');
    else if (!strcmp(name, "fill"))
        do_fill();
    else if (!strcmp(name, "check"))
        do_check();
    else if (!strcmp(name, "whole"))
        do_whole();
    else if (!strcmp(name, "fsync"))
        tell(name, nvx.fsync(fd()));
    else if (!strcmp(name, "fdatasync"))
        tell(name, nvx.fdatasync(fd()));
    else if (!strcmp(name, "close"))
        tell(name, nvx.close(fd()));
    else if (!strcmp(name, "size"))
        do_size();
    else if (!strcmp(name, "truncate"))
        tell(name, nvx.ftruncate(fd(), (off_t)number(0)));
    else if (!strcmp(name, "fallocate"))
        tell(name, nvx.fallocate(fd(), (int)number(0), (off_t)number(1), (off_t)number(2)));
    else if (!strcmp(name, "lseek"))
        tell(name, nvx.lseek(fd(), (off_t)number(0), SEEK_SET));
    else if (!strcmp(name, "limit") || !strcmp(name, "fatal-limit"))
        do_limit(name[0] == 'f');
    else if (!strcmp(name, "wait"))
        do_wait();
    else if (!strcmp(name, "sleep"))
        tool_sleep_us(number(0) * 1000);
    else if (!strcmp(name, "kill"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(name, "umask"))
        umask((mode_t)strtoul(run.args[0], NULL, 8));
    else if (!strcmp(name, "setuid"))
        tell(name, setuid((uid_t)number(0)));
}

int main(int argc, char **argv)
{
    run.data = malloc(BUFFER_BYTES);
    run.other = malloc(BUFFER_BYTES);
    if (!run.data || !run.other)
        return 2;
    for (unsigned i = 0; i < SLOTS; i++)
        run.fd[i] = -1;
    for (int at = 1; at < argc;) {
        size_t i = 0, count = sizeof(commands) / sizeof(commands[0]);
        while (i < count && strcmp(commands[i].name, argv[at]))
            i++;
        if (i == count || at + commands[i].args >= argc) {
            fprintf(stderr, "filecall: %s?\n", argv[at]);
            return 2;
        }
        run.args = argv + at + 1;
        do_command(argv[at]);
        at += 1 + commands[i].args;
    }
    return 0;
}
