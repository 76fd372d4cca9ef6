/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * program.c — promise: a program in a root that is open for reading, in whatever way, or mapped, may be executed (no ETXTBSY),
 * also by the process that has written it; what others write to it is seen at once through a stream or a mapping.
 *
 * Usage: program CONF (of NVMMIO_CONF). Without the preload library it tests the test.
 */
#include "clean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GONE = 2, PAGE = 4096, PADDING = 9 }; /* of the ELF header, which nobody looks at */

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

/* By another process: twice, the second time what is there already. */
static bool is_written(unsigned char byte)
{
    const unsigned char first = (unsigned char)~byte;
    pid_t writer = fork();
    if (writer == 0) {
        int fd = open(path, O_RDWR);
        _exit(pwrite(fd, &first, 1, PADDING) != 1 || fsync(fd) || pwrite(fd, &byte, 1, PADDING) != 1);
    }
    int status = -1;
    waitpid(writer, &status, 0);
    return status == 0;
}

static void open_as_stream(void)
{
    FILE *stream = fopen(path, "re");
    check(stream != NULL, "fopen");
    setvbuf(stream, NULL, _IONBF, 0);
    check(runs(-1), "a stream");
    check(is_written(0xaa), "written while a stream is open");
    fseek(stream, PADDING, SEEK_SET);
    check(fgetc(stream) == 0xaa, "what was written is seen by the stream");
    check(runs(-1), "after it was written");
    fclose(stream);
}

static const volatile unsigned char *map(int fd)
{
    const volatile unsigned char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        _exit(GONE);
    return page;
}

/* What a program writes that has nothing to do with the mapping, while it has the file open. */
static int write_and_wait(const char *byte)
{
    char none;
    int fd = open(path, O_RDWR);
    if (pwrite(fd, byte, 1, PADDING) != 1) /* once: into the log, if anywhere */
        return GONE;
    return write(STDOUT_FILENO, "", 1) != 1 || read(STDIN_FILENO, &none, 1) != 0;
}

static bool shows(const volatile unsigned char *page, const char *byte)
{
    int in[2], out[2], status = -1;
    char told;
    check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
    pid_t writer = fork();
    if (writer == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl("/proc/self/exe", "program", "write", path, byte, (char *)NULL);
        _exit(GONE);
    }
    close(in[0]);
    close(out[1]);
    bool seen = read(out[0], &told, 1) == 1 && page[PADDING] == (unsigned char)*byte;
    close(in[1]);
    close(out[0]);
    waitpid(writer, &status, 0);
    return seen && status == 0;
}

static void mapped(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const volatile unsigned char *page = map(fd);
    check(runs(-1), "mapped");
    check(shows(page, "a"), "what is written shows in a mapping");
    check(runs(-1), "mapped, after it was written");
    close(fd);
    check(runs(-1), "mapped alone");
    check(shows(page, "b"), "what is written shows in a mapping without a descriptor");
    int writer = open(path, O_RDWR | O_CLOEXEC);
    check(pwrite(writer, "\x55", 1, PADDING) == 1 && page[PADDING] == 0x55, "what the process writes itself shows");
    close(writer);
    check(runs(-1), "mapped, after the process has written it");
    munmap((void *)page, PAGE);
    check(runs(-1), "not mapped any more");
}

/* In user space, if there is a library. */
static int write_here(unsigned char byte)
{
    const unsigned char first = (unsigned char)~byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    check(pwrite(fd, &first, 1, PADDING) == 1 && fsync(fd) == 0 && pwrite(fd, &byte, 1, PADDING) == 1, "write");
    return fd;
}

static void written_here(void)
{
    unsigned char byte = 0;
    int reader = open(path, O_RDONLY | O_CLOEXEC), writer = write_here(0x66), other = dup(writer);
    fcntl(other, F_SETFD, FD_CLOEXEC);
    check(!runs(-1), "executed while it can be written");
    close(writer);
    check(!runs(-1), "executed while it can be written by a duplicate");
    close(other);
    check(runs(-1), "open for reading, after the process has written it");
    check(pread(reader, &byte, 1, PADDING) == 1 && byte == 0x66, "what was written is there");
    check(is_written(0x67) && pread(reader, &byte, 1, PADDING) == 1 && byte == 0x67, "what others write then is seen");
    check(runs(-1), "open for reading, after others have written it");
    check(dup3(reader, write_here(0x68), O_CLOEXEC) >= 0 && runs(-1), "the writing descriptor is replaced");
    writer = write_here(0x69);
    const volatile unsigned char *page = map(reader);
    close(writer);
    check(runs(-1) && page[PADDING] == 0x69, "mapped, and written by the process");
    closefrom(reader);
    check(runs(-1), "mapped alone, after the process has written it");
    check(shows(page, "c"), "what others write then shows in the mapping");
    munmap((void *)page, PAGE);
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
    if (argc == 4) {
        snprintf(path, sizeof path, "%s", argv[2]);
        return write_and_wait(argv[3]);
    }
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
    mapped();
    written_here();
    clean_tree(root);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
