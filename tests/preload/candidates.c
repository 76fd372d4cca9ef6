/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * candidates.c — promise: a file on tmpfs that has not earned being served yet behaves as any other, whatever is done with its
 * descriptor before, while and after it is: duplicated, inherited, passed, locked, replaced, opened by others who do serve it.
 * Each part is a process of its own, on a file of its own; the same without the library, which tests the test.
 */
#include "clean.h"
#include "served.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SIZE = 20000,
    SPAWNED = 9,
};

static char root[] = "/dev/shm/nvmmio-candidates.XXXXXX", path[64], other[64];
static char bytes[SIZE], found[SIZE];
extern char **environ;

/* A new descriptor of the file that is there. */
static int again(int flags)
{
    return open(path, O_RDWR | flags);
}

/* A file of SIZE bytes 'b', not opened since. */
static bool made(void)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    memset(bytes, 'b', SIZE);
    return fd >= 0 && write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && close(fd) == 0;
}

static bool at(int fd, off_t offset)
{
    return lseek(fd, 0, SEEK_CUR) == offset;
}

/* Runs `part` in a child and waits. */
static bool in_child(bool (*part)(int fd), int fd)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(part(fd) ? EXIT_SUCCESS : EXIT_FAILURE);
    return ended_well(pid);
}

/* ---- descriptors ---- */

static int said[2], heard[2]; /* to a process beside this one, and from it */

static bool tell(int fd)
{
    return write(fd, "x", 1) == 1;
}

static bool wait_for(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* Serves the file meanwhile, if that is for it to decide. */
static bool child_moves(int fd)
{
    return write(fd, "child", 5) == 5 && write_many(fd, 100) && write(fd, "child", 5) == 5 && tell(heard[1]) &&
           wait_for(said[0]) && at(fd, 16) && write(fd, "y", 1) == 1;
}

static bool parent_moves(int fd, pid_t pid)
{
    return wait_for(heard[0]) && at(fd, 15) && byte_is(fd, 100, '.') && write_many(fd, 101) && write(fd, "x", 1) == 1 &&
           tell(said[1]) && ended_well(pid) && at(fd, 17) && byte_is(fd, 15, 'x') && byte_is(fd, 16, 'y');
}

static bool fork_shares(void)
{
    int fd = again(0);
    if (pipe(said) || pipe(heard) || read(fd, found, 5) != 5)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_moves(fd) ? EXIT_SUCCESS : EXIT_FAILURE);
    return parent_moves(fd, pid);
}

/* By the system call, so that no handlers of fork run. */
static bool bare_child_shares(void)
{
    int fd = again(0);
    if (pipe(said) || pipe(heard) || read(fd, found, 5) != 5)
        return false;
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        _exit(child_moves(fd) ? EXIT_SUCCESS : EXIT_FAILURE);
    return parent_moves(fd, pid);
}

static bool child_many(int fd)
{
    return write_many(fd, 200);
}

static bool dup_shares(void)
{
    int fd = again(0);
    if (write(fd, "abc", 3) != 3)
        return false;
    int copy = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    return at(copy, 3) && at(high, 3) && write_many(copy, 10) && write(copy, "def", 3) == 3 && at(fd, 6) &&
           lseek(high, 9, SEEK_SET) == 9 && at(fd, 9) && close(fd) == 0 && byte_is(copy, 3, 'd') && at(high, 9);
}

static bool dup2_replaces(void)
{
    int fd = again(0), target = open(other, O_RDWR | O_CREAT, 0600);
    return write(target, "other", 5) == 5 && dup2(fd, target) == target && byte_is(target, 0, 'b') && at(target, 0) &&
           write_many(target, 7) && byte_is(fd, 7, '.') && dup2(open(other, O_RDWR), fd) == fd && byte_is(fd, 0, 'o');
}

/* Numbers are used again after each way to close one. */
static bool numbers_are_reused(void)
{
    for (int way = 0; way < 3; way++) {
        int fd = again(0);
        bool closed = byte_is(fd, 0, 'b') && (way == 0   ? close(fd) == 0
                                              : way == 1 ? syscall(SYS_close_range, fd, fd, 0) == 0
                                                         : fclose(fdopen(fd, "r+")) == 0);
        if (!closed || pread(fd, found, 1, 0) != -1 || errno != EBADF)
            return false;
        int next = open(other, O_RDWR | O_CREAT, 0600);
        if (next != fd || write(next, "other", 5) != 5 || !byte_is(next, 0, 'o') || !write_many(next, 3) || close(next))
            return false;
    }
    int ends[2], fd = again(0);
    return close(fd) == 0 && pipe(ends) == 0 && ends[0] == fd && write(ends[1], "p", 1) == 1 &&
           read(ends[0], found, 1) == 1 && found[0] == 'p';
}

static bool flags_count(void)
{
    int fd = again(0);
    return write(fd, "a", 1) == 1 && fcntl(fd, F_SETFL, O_APPEND) == 0 && write(fd, "end", 3) == 3 &&
           at(fd, SIZE + 3) && (fcntl(fd, F_GETFL) & O_APPEND) && write_many(again(0), 0) && write(fd, "end", 3) == 3 &&
           lseek(fd, 0, SEEK_END) == SIZE + 6 && byte_is(fd, SIZE + 5, 'd');
}

/* Another program moves the offset, and finds it where this one left it. */
static bool programs_share(void)
{
    char command[64];
    int fd = again(0);
    if (dup2(fd, SPAWNED) != SPAWNED || close(fd) || read(SPAWNED, found, 10) != 10)
        return false;
    snprintf(command, sizeof command, "dd bs=10 count=1 <&%d >/dev/null 2>&1", SPAWNED);
    if (system(command) != 0 || !at(SPAWNED, 20) || !write_many(SPAWNED, 3))
        return false;
    return read(SPAWNED, found, 10) == 10 && system(command) == 0 && at(SPAWNED, 40);
}

/* A program that was started with the descriptor works while this one goes on. */
static bool spawned_shares(void)
{
    int fd = again(0);
    char name[32], *argv[] = {"sh", "-c", name, NULL};
    pid_t pid;
    if (pipe(said) || dup2(said[0], STDIN_FILENO) < 0 || fcntl(said[1], F_SETFD, FD_CLOEXEC))
        return false;
    snprintf(name, sizeof name, "read x; echo hi >&%d", fd);
    return posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0 && write_many(fd, 50) &&
           write(fd, "abc", 3) == 3 && write(said[1], "go\n", 3) == 3 && ended_well(pid) && at(fd, 6) &&
           byte_is(fd, 3, 'h') && byte_is(fd, 50, '.');
}

static bool receive_and_move(int socket)
{
    char room[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    int fd;
    if (recvmsg(socket, &message, 0) != 1)
        return false;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return at(fd, 5) && write(fd, "passed", 6) == 6 && write_many(fd, 300);
}

static bool passing_shares(void)
{
    int ends[2], fd = again(0);
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    *control = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || read(fd, found, 5) != 5 || sendmsg(ends[0], &message, 0) != 1)
        return false;
    return in_child(receive_and_move, ends[1]) && at(fd, 11) && byte_is(fd, 5, 'p') && byte_is(fd, 300, '.') &&
           write_many(fd, 301);
}

/* ---- others serve the file ---- */

/* Serves the file, says so, writes once more when told, and leaves when told. */
static bool server(int unused)
{
    (void)unused;
    int fd = again(0);
    return fd >= 0 && write_many(fd, 400) && tell(heard[1]) && wait_for(said[0]) && byte_is(fd, 500, 'c') &&
           pwrite(fd, "longer", 6, SIZE) == 6 && tell(heard[1]) && wait_for(said[0]);
}

static pid_t start_server(void)
{
    if (pipe(said) || pipe(heard))
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(server(0) ? EXIT_SUCCESS : EXIT_FAILURE);
    return wait_for(heard[0]) ? pid : -1;
}

/* The descriptor was opened before anybody served the file. */
static bool others_are_met(void)
{
    struct stat st;
    int fd = again(0), appender = again(O_APPEND);
    if (pipe(said) || pipe(heard) || read(fd, found, 5) != 5)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        close(fd);
        close(appender);
        _exit(server(0) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    return wait_for(heard[0]) && byte_is(fd, 400, '.') && at(fd, 5) && pwrite(fd, "c", 1, 500) == 1 && tell(said[1]) &&
           wait_for(heard[0]) && fstat(fd, &st) == 0 && st.st_size == SIZE + 6 && lseek(fd, 0, SEEK_END) == SIZE + 6 &&
           write(appender, "end", 3) == 3 && byte_is(fd, SIZE + 8, 'd') && fsync(fd) == 0 && tell(said[1]) &&
           ended_well(pid) && byte_is(fd, SIZE + 8, 'd');
}

/* While others serve another file of the root. */
static bool others_are_left_alone(void)
{
    struct stat st;
    pid_t pid = start_server();
    int fd = open(other, O_RDWR | O_CREAT | O_EXCL, 0600);
    return pid > 0 && write(fd, "new", 3) == 3 && fstat(fd, &st) == 0 && st.st_size == 3 && stat(path, &st) == 0 &&
           st.st_size == SIZE && write_many(fd, 1) && byte_is(fd, 1, '.') && pwrite(again(0), "c", 1, 500) == 1 &&
           tell(said[1]) && wait_for(heard[0]) && stat(path, &st) == 0 && st.st_size == SIZE + 6 && tell(said[1]) &&
           ended_well(pid);
}

static bool serve_new(void)
{
    return wait_for(said[0]) && write_many(open(other, O_RDWR), 1) && tell(heard[1]) && wait_for(said[0]);
}

/* A file that this process has just made is served by another meanwhile. */
static bool new_files_are_shared(void)
{
    struct stat st;
    if (pipe(said) || pipe(heard))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(serve_new() ? EXIT_SUCCESS : EXIT_FAILURE);
    int fd = open(other, O_RDWR | O_CREAT | O_EXCL, 0600);
    return write(fd, "new", 3) == 3 && tell(said[1]) && wait_for(heard[0]) && byte_is(fd, 1, '.') &&
           write(fd, "longer", 6) == 6 && fstat(fd, &st) == 0 && st.st_size == 9 && tell(said[1]) && ended_well(pid) &&
           byte_is(fd, 3, 'l') && write_many(fd, 2) && byte_is(fd, 2, '.');
}

static bool serve_both(void)
{
    return wait_for(said[0]) && write_many(again(0), 400) && write_many(open(other, O_RDWR), 400) && tell(heard[1]) &&
           wait_for(said[0]) && byte_is(again(0), 500, 'p') && byte_is(open(other, O_RDWR), 500, 'p');
}

/* A vfork child has other files by those numbers when it becomes another program: that is nothing to this process. */
static bool vfork_child_changes_nothing(void)
{
    if (pipe(said) || pipe(heard))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(serve_both() ? EXIT_SUCCESS : EXIT_FAILURE);
    int fd = again(0), new = open(other, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!byte_is(fd, 0, 'b') || write(new, "new", 3) != 3)
        return false;
    pid_t program = vfork();
    if (program == 0) {
        close(fd);
        close(new);
        if (open("/dev/null", O_RDWR) == fd && open("/dev/null", O_RDWR) == new)
            execl("/bin/true", "true", NULL);
        _exit(EXIT_FAILURE);
    }
    return ended_well(program) && tell(said[1]) && wait_for(heard[0]) && byte_is(fd, 400, '.') &&
           byte_is(new, 400, '.') && pwrite(fd, "p", 1, 500) == 1 && pwrite(new, "p", 1, 500) == 1 && tell(said[1]) &&
           ended_well(pid);
}

/* The new program moves the offset of what it was given, after this process has come to serve other descriptors of it. */
static bool vfork_child_shares(void)
{
    char command[64];
    int fd = again(0), new = open(other, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (pipe(said) || fcntl(said[1], F_SETFD, FD_CLOEXEC) || write(fd, "a", 1) != 1 || write(new, "a", 1) != 1)
        return false;
    snprintf(command, sizeof command, "read x <&%d; echo hi >&%d; echo hi >&%d", said[0], fd, new);
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(EXIT_FAILURE);
    }
    return write_many(fd, 50) && write_many(new, 50) && write(fd, "b", 1) == 1 && write(new, "b", 1) == 1 &&
           write(said[1], "go\n", 3) == 3 && ended_well(pid) && at(fd, 5) && at(new, 5) && byte_is(fd, 2, 'h') &&
           byte_is(new, 2, 'h') && byte_is(new, 50, '.');
}

/* Another thread uses the descriptor, and has it served, while a vfork child becomes another program with it. */
static void *write_on(void *arg)
{
    const int *fd = arg;
    return write_many(*fd, 20) && write_many(*fd, 21) ? arg : NULL;
}

static bool run_true(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/true", "true", NULL);
        _exit(EXIT_FAILURE);
    }
    return ended_well(pid);
}

static bool vfork_beside_threads(void)
{
    enum { ROUNDS = 80, PROGRAMS = 3 };
    for (int round = 0; round < ROUNDS; round++) {
        struct stat st;
        pthread_t thread;
        void *well = NULL;
        int fd = again(0);
        if (pthread_create(&thread, NULL, write_on, &fd))
            return false;
        for (int i = 0; i < PROGRAMS; i++)
            if (!run_true())
                return false;
        if (pthread_join(thread, &well) || !well || fstat(fd, &st) || !byte_is(fd, 21, '.') || fsync(fd) || close(fd))
            return false;
    }
    return true;
}

static bool serve_longer(void)
{
    return wait_for(said[0]) && pwrite(again(0), bytes, 9000, SIZE - 5000) == 9000 && tell(heard[1]) &&
           wait_for(said[0]);
}

/* The time that is set stays, though others have written before whose time is still to come. */
static bool times_come_last(void)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    struct stat st;
    if (pipe(said) || pipe(heard))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(serve_longer() ? EXIT_SUCCESS : EXIT_FAILURE);
    int fd = again(0);
    return byte_is(fd, 0, 'b') && tell(said[1]) && wait_for(heard[0]) && futimens(fd, times) == 0 &&
           fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1000000000 && st.st_size == SIZE + 4000 && tell(said[1]) &&
           ended_well(pid) && stat(path, &st) == 0 && st.st_mtim.tv_sec == 1000000000;
}

static bool look_at_lock(int unused)
{
    (void)unused;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
    return fcntl(again(0), F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

static bool look_at_none(int unused)
{
    (void)unused;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
    return fcntl(again(0), F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

/* A lock stays whatever becomes of the file, and goes with the first close. */
static bool locks_stay(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
    int fd = again(0);
    return byte_is(fd, 0, 'b') && fcntl(fd, F_SETLK, &lock) == 0 && in_child(look_at_lock, -1) && write_many(fd, 10) &&
           in_child(look_at_lock, -1) && in_child(child_many, fd) && in_child(look_at_lock, -1) &&
           close(again(O_RDONLY)) == 0 && in_child(look_at_none, -1);
}

/* ---- what else is done with one ---- */

static bool sizes_move(void)
{
    struct stat st;
    int fd = again(0);
    return ftruncate(fd, 10) == 0 && fstat(fd, &st) == 0 && st.st_size == 10 && pwrite(fd, bytes, 9000, 5) == 9000 &&
           lseek(fd, 0, SEEK_END) == 9005 && ftruncate(fd, -1) == -1 && errno == EINVAL && write_many(fd, 20) &&
           ftruncate(fd, 7) == 0 && stat(path, &st) == 0 && st.st_size == 7 && posix_fallocate(fd, 0, 100) == 0 &&
           lseek(fd, 0, SEEK_END) == 100;
}

static bool times_stay(void)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    struct stat st;
    int fd = again(0);
    return write(fd, "x", 1) == 1 && futimens(fd, times) == 0 && close(fd) == 0 && stat(path, &st) == 0 &&
           st.st_mtim.tv_sec == 1000000000;
}

static bool kernel_copies(void)
{
    int in = again(0), out = open(other, O_RDWR | O_CREAT | O_EXCL, 0600);
    return pwrite(in, "source", 6, 0) == 6 && copy_file_range(in, NULL, out, NULL, 1000, 0) == 1000 && at(in, 1000) &&
           at(out, 1000) && sendfile(out, in, NULL, 1000) == 1000 && at(out, 2000) && byte_is(out, 1, 'o') &&
           write_many(out, 1) && lseek(out, 0, SEEK_END) == 2000;
}

static bool mappings_meet(void)
{
    int fd = again(0);
    if (pwrite(fd, "1", 1, 0) != 1)
        return false;
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map != MAP_FAILED && map[0] == '1' && pwrite(fd, "2", 1, 0) == 1 && map[0] == '2' && write_many(fd, 0) &&
           map[0] == '.' && (map[1] = 'm') && byte_is(fd, 1, 'm');
}

static bool vectors_count(void)
{
    struct iovec iov[2] = {{bytes, 3}, {bytes, 4}}, in[2] = {{found, 2}, {found + 2, 5}};
    int fd = again(0);
    return writev(fd, iov, 2) == 7 && at(fd, 7) && preadv(fd, in, 2, 0) == 7 && pwritev(fd, iov, 2, SIZE) == 7 &&
           lseek(fd, 0, SEEK_END) == SIZE + 7;
}

static bool bad_calls_fail(void)
{
    int fd = again(0), reader = open(path, O_RDONLY);
    char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pread(fd, bad, 10, 0) == -1 && errno == EFAULT && pwrite(fd, bad, 10, 0) == -1 && errno == EFAULT &&
           pread(fd, found, 10, -1) == -1 && errno == EINVAL && write(reader, "x", 1) == -1 && errno == EBADF &&
           read(fd, found, 0) == 0 && pread(fd, found, 10, SIZE) == 0 && at(fd, 0);
}

/* Many small files, with and without a sync, are what they were written as. */
static bool many_files_are_whole(void)
{
    char name[96];
    for (int i = 0; i < SERVED_CALLS; i++) {
        snprintf(name, sizeof name, "%s/many.%d", root, i);
        int fd = open(name, O_WRONLY | O_CREAT | (i % 3 ? O_EXCL : 0), 0600);
        bool well = write(fd, name, sizeof name) == sizeof name && (i % 2 || fsync(fd) == 0) &&
                    write(fd, name, sizeof name) == sizeof name && close(fd) == 0;
        fd = open(name, O_RDONLY);
        if (!well || read(fd, found, SIZE) != 2 * sizeof name || memcmp(found + sizeof name, name, sizeof name) ||
            close(fd) || unlink(name))
            return false;
    }
    return true;
}

/* ---- the parts ---- */

static const struct part {
    const char *name;
    bool (*run)(void);
} parts[] = {
    {"fork_shares", fork_shares},
    {"bare_child_shares", bare_child_shares},
    {"dup_shares", dup_shares},
    {"dup2_replaces", dup2_replaces},
    {"numbers_are_reused", numbers_are_reused},
    {"flags_count", flags_count},
    {"programs_share", programs_share},
    {"spawned_shares", spawned_shares},
    {"passing_shares", passing_shares},
    {"others_are_met", others_are_met},
    {"others_are_left_alone", others_are_left_alone},
    {"new_files_are_shared", new_files_are_shared},
    {"vfork_child_changes_nothing", vfork_child_changes_nothing},
    {"vfork_child_shares", vfork_child_shares},
    {"vfork_beside_threads", vfork_beside_threads},
    {"times_come_last", times_come_last},
    {"locks_stay", locks_stay},
    {"sizes_move", sizes_move},
    {"times_stay", times_stay},
    {"kernel_copies", kernel_copies},
    {"mappings_meet", mappings_meet},
    {"vectors_count", vectors_count},
    {"bad_calls_fail", bad_calls_fail},
    {"many_files_are_whole", many_files_are_whole},
};

static bool run(const struct part *part)
{
    unlink(path);
    unlink(other);
    pid_t pid = fork();
    if (pid == 0)
        exit(made() && part->run() ? EXIT_SUCCESS : EXIT_FAILURE);
    bool well = ended_well(pid);
    printf("%s %s\n", well ? "ok" : "FAILED", part->name);
    fflush(stdout);
    return well;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1)) /* before the library is used */
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    snprintf(other, sizeof other, "%s/other", root);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (argc < 2 || strcmp(argv[1], parts[i].name) == 0)
            failed += !run(&parts[i]);
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
