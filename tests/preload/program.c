/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * program.c — promise: a program in a root that is open for reading, in whatever way, may be executed (no ETXTBSY), and what
 * others write to it is seen at once through a stream that is open.
 *
 * Usage: program CONF (of NVMMIO_CONF). Without the preload library it tests the test.
 */
#include "clean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GONE = 2, PADDING = 9 }; /* of the ELF header, which nobody looks at */

static char path[64];
static int wrong;

static void check(bool good, const char *what)
{
    if (!good)
        fprintf(stderr, "program: %s\n", what);
    wrong += !good;
}

/* The program is this one: executed with "ran" it ends at once, with "wait" when its standard output's reader is gone. */
static pid_t start(int in, int out, const char *what)
{
    pid_t child = fork();
    if (child == 0) {
        if (in >= 0)
            dup2(in, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        close(out);
        execl(path, path, what, (char *)NULL);
        _exit(GONE);
    }
    return child;
}

static bool runs(int in)
{
    int status = -1;
    waitpid(start(in, STDERR_FILENO, "ran"), &status, 0);
    return status == 0;
}

static void open_by_number(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(runs(-1), "open");
    check(runs(fd), "standard input");
    int in = dup(fd);
    check(runs(-1), "a descriptor that is inherited");
    close(in);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    check(fcntl(fd, F_SETLK, &lock) == 0 && runs(fd), "locked");
    close(fd);
}

static void open_as_stream(void)
{
    FILE *stream = fopen(path, "re");
    check(stream != NULL, "fopen");
    setvbuf(stream, NULL, _IONBF, 0);
    check(runs(-1), "a stream");
    pid_t writer = fork();
    if (writer == 0) {
        int fd = open(path, O_RDWR);
        _exit(pwrite(fd, "\x55", 1, PADDING) != 1 || fsync(fd) || pwrite(fd, "\xaa", 1, PADDING) != 1);
    }
    int status = -1;
    waitpid(writer, &status, 0);
    check(status == 0, "written while a stream is open");
    fseek(stream, PADDING, SEEK_SET);
    check(fgetc(stream) == 0xaa, "what was written is seen by the stream");
    check(runs(-1), "after it was written");
    fclose(stream);
}

/* Two that have it as their standard input at once. */
static void open_in_others(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), ends[2] = {-1, -1}, status = -1;
    char byte;
    check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_t holder = start(fd, ends[1], "wait");
    close(ends[1]);
    check(read(ends[0], &byte, 1) == 1, "the holder");
    check(runs(-1), "while another process has it");
    check(runs(fd), "in two processes");
    close(ends[0]);
    kill(holder, SIGTERM);
    waitpid(holder, &status, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    char root[] = "/dev/shm/nvmmio-program.XXXXXX";
    struct stat st;
    if (argc == 2 && !strcmp(argv[1], "ran"))
        return 0;
    if (argc == 2 && !strcmp(argv[1], "wait"))
        return write(STDOUT_FILENO, "", 1) == 1 ? pause() : GONE;
    if (argc != 2 || !mkdtemp(root))
        return GONE;
    snprintf(path, sizeof path, "%s/program", root);
    setenv("NVMMIO_ROOT", root, 1);
    setenv("NVMMIO_CONF", argv[1], 1);
    int self = open("/proc/self/exe", O_RDONLY), fd = open(path, O_RDWR | O_CREAT, 0700);
    if (fstat(self, &st) || sendfile(fd, self, NULL, (size_t)st.st_size) != st.st_size)
        return GONE;
    close(fd);
    close(self);
    open_by_number();
    open_as_stream();
    open_in_others();
    clean_tree(root);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
