/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * limit.c — scenarios: little of everything, and descriptors and process ids that are not what they seem.
 */
#include "hostile.h"

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int close_range(unsigned, unsigned, int);

static void limit(int resource, rlim_t value)
{
    struct rlimit both = {.rlim_cur = value, .rlim_max = value};
    must(setrlimit(resource, &both) == 0, "setrlimit");
}

/* All descriptors that there are belong to the program: each that the kernel would give it it gets. */
static void descriptors_of(rlim_t most)
{
    int fd[4], count = 0;
    limit(RLIMIT_NOFILE, most);
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i);
        fd[count++] = file_begin(name);
    }
    for (int i = 0; i < 4; i++)
        file_put(fd[i], 1, 40);
    in_child(file_goes_on, fd[0]);
    int copies[2];
    for (int i = 0; i < 2; i++)
        must((copies[i] = nvx.dup(fd[i])) >= 0, "dup");
    for (int i = 0; i < 2; i++)
        must(nvx.close(copies[i]) == 0, "close");
    for (int i = 0; i < 4; i++) {
        file_check(fd[i], 1, 40);
        file_check(fd[i], 4, 2);
        must(nvx.fsync(fd[i]) == 0 && nvx.close(fd[i]) == 0, "close");
    }
    int again = file_begin("f0");
    file_end(again, "f0");
}

/* Some of the files are attached. */
static void few_descriptors(void)
{
    descriptors_of(24);
}

/* None is. */
static void fewer_descriptors(void)
{
    descriptors_of(16);
}

/* How many descriptors there are for those who do not come by the library: libc itself, say. */
static int count_free(void)
{
    int fd[32], count = 0;
    while (count < 32 && (fd[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0)
        count++;
    must(count == 32 || errno == EMFILE, "socket");
    for (int i = 0; i < count; i++)
        close(fd[i]);
    return count;
}

/* Where there are hardly enough for any program, files are left to the kernel. */
static void least_descriptors(void)
{
    limit(RLIMIT_NOFILE, 14);
    int before = count_free(), fd = file_begin("file"), after = count_free();
    must(after >= before - 1 - 2, "%d of %d descriptors are left", after, before);
    file_goes_on(fd);
    file_opens("file", fd);
    file_end(fd, "file");
}

/* Files are opened until there is no descriptor left; those that are open go on. */
static void no_descriptors(void)
{
    int fd = file_begin("file"), last = -1, copy;
    limit(RLIMIT_NOFILE, 24);
    while ((copy = dup(0)) >= 0)
        last = copy;
    must(errno == EMFILE, "dup");
    for (unsigned i = 0; i < BLOCKS; i++)
        file_put(fd, i, 41);
    must(nvx.fsync(fd) == 0, "fsync");
    must(nvx.open("other", O_RDWR | O_CREAT, 0600) < 0 && errno == EMFILE, "open");
    close(last);
    int other = nvx.open("other", O_RDWR | O_CREAT, 0600);
    must(other >= 0, "open with one descriptor left");
    must(nvx.write(other, "12345", 5) == 5 && nvx.fsync(other) == 0 && nvx.pwrite(other, "x", 1, 2) == 1, "write");
    must(nvx.close(other) == 0, "close");
    file_end(fd, "file");
}

static void little_address_space(void)
{
    int fd = file_begin("file");
    limit(RLIMIT_AS, (rlim_t)96 << 20);
    file_goes_on(fd);
    file_opens("file", fd);
    int large = nvx.open("large", O_RDWR | O_CREAT, 0600);
    must(large >= 0, "open");
    for (unsigned i = 0; i < 4096; i++)
        file_put(large, i % BLOCKS, i + 1);
    must(nvx.ftruncate(large, (off_t)256 << 20) == 0 && nvx.fsync(large) == 0, "a file larger than the address space");
    char text[4] = "";
    must(nvx.pwrite(large, "end", 3, ((off_t)256 << 20) - 3) == 3 &&
             nvx.pread(large, text, 3, ((off_t)256 << 20) - 3) == 3 && strcmp(text, "end") == 0,
         "its end");
    must(nvx.close(large) == 0 && nvx.close(fd) == 0, "close");
}

/* All memory that is mapped is locked, and there is little to lock. */
static void locked_memory(void)
{
    limit(RLIMIT_MEMLOCK, 8 << 20);
    if (geteuid() == 0)
        must(setuid(NOBODY) == 0, "setuid"); /* root is not limited */
    if (mlockall(MCL_FUTURE) != 0)
        hostile_skip("no mlockall");
    int fd = file_begin("file");
    file_goes_on(fd);
    file_opens("file", fd);
    must(nvx.close(fd) == 0, "close");
}

static void file_size(void)
{
    int fd = file_begin("file");
    pid_t parent = getpid();
    signal(SIGXFSZ, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) { /* from another process: nobody tells the library */
        struct rlimit most = {.rlim_cur = BLOCKS * BLOCK, .rlim_max = RLIM_INFINITY};
        _exit(prlimit(parent, RLIMIT_FSIZE, &most, NULL) != 0);
    }
    await(pid);
    for (unsigned i = 0; i < BLOCKS; i++)
        file_put(fd, i, 42);
    must(nvx.fsync(fd) == 0, "fsync");
    file_end(fd, "file");
}

/* ---- descriptors that are not shared by all threads ---- */

/* A pipe ends when its last writer is gone, also if the library has a thread. */
static void own_descriptors(void)
{
    int ends[2];
    char byte;
    int fd = file_begin("file");
    must(pipe(ends) == 0, "pipe");
    must(unshare(CLONE_FILES) == 0, "unshare");
    close(ends[1]);
    must(read(ends[0], &byte, 1) == 0, "the end of a pipe");
    file_goes_on(fd);
    file_opens("file", fd);
    must(pipe(ends) == 0 && close_range(ends[1], ends[1], CLOSE_RANGE_UNSHARE) == 0, "close_range");
    must(read(ends[0], &byte, 1) == 0, "the end of another pipe");
    file_goes_on(fd);
    file_end(fd, "file");
}

static void *thread_divides(void *arg)
{
    int fd = *(int *)arg;
    must(unshare(CLONE_FILES) == 0, "unshare");
    file_put(fd, 1, 50);
    must(nvx.fsync(fd) == 0 && nvx.close(fd) == 0, "close in one thread");
    int other = nvx.open("other", O_RDWR | O_CREAT, 0600);
    must(other >= 0 && nvx.write(other, "other", 5) == 5 && nvx.close(other) == 0, "another file in one thread");
    return NULL;
}

/* Each thread has its descriptor, whatever the other one does to the same number. */
static void divided_descriptors(void)
{
    pthread_t thread;
    int fd = file_begin("file");
    must(pthread_create(&thread, NULL, thread_divides, &fd) == 0, "pthread_create");
    pthread_join(thread, NULL);
    for (unsigned i = 2; i < BLOCKS; i++)
        file_put(fd, i, 51);
    file_put(fd, 0, 51);
    must(nvx.fsync(fd) == 0, "fsync");
    file_check(fd, 1, 50);
    file_end(fd, "file");
}

/* ---- process ids ---- */

static void writes_for_ever(int fd)
{
    for (;;)
        (void)!nvx.write(fd, "0123456789abcdef", 16);
}

/* A process whose id means another one here, or none, shares an open file, and is killed while it may hold its lock. */
static void other_process_ids(void)
{
    int fd = file_begin("file");
    for (int i = 0; i < 40; i++) {
        must(nvx.lseek(fd, 0, SEEK_SET) == 0, "lseek");
        int parent = getpid();
        pid_t outer = fork();
        if (outer == 0) {
            if (unshare(CLONE_NEWPID) != 0)
                _exit(77);
            pid_t inner = fork(); /* process 1 of its namespace */
            if (inner == 0)
                writes_for_ever(fd);
            usleep(3000);
            kill(inner, SIGKILL);
            waitpid(inner, NULL, 0);
            _exit(parent == getpid());
        }
        for (int k = 0; k < 20; k++)
            must(nvx.write(fd, "ABCDEFGHIJKLMNOP", 16) == 16, "write");
        await(outer);
        must(nvx.write(fd, "ABCDEFGHIJKLMNOP", 16) == 16, "write after a death");
    }
    must(nvx.close(fd) == 0, "close");
}

/* ---- what the library needs is cut under it ---- */

/* Whether the call did its work, or said honestly that it cannot. */
static bool honest(long result)
{
    return result >= 0 || errno == EIO || errno == EBUSY || errno == ENOSPC;
}

static void cut_all(const char *pattern, off_t size)
{
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            must(truncate(found.gl_pathv[i], size) == 0 || errno == EINVAL, "truncate of %s", found.gl_pathv[i]);
}

/* Everything may fail now, but nobody may die of it, or wait for ever. */
static void use_what_is_cut(int fd)
{
    char block[4096] = "after the cut";
    for (unsigned i = 0; i < BLOCKS * 2; i++) {
        must(honest(nvx.pwrite(fd, block, sizeof block, (off_t)(i * BLOCK))), "pwrite");
        must(honest(nvx.pread(fd, block, sizeof block, (off_t)(i * BLOCK))), "pread");
    }
    must(honest(nvx.fsync(fd)), "fsync");
    must(honest(nvx.ftruncate(fd, 5000)), "ftruncate");
    pid_t pid = fork();
    if (pid == 0) {
        must(honest(nvx.pwrite(fd, "child", 5, 0)), "pwrite in a child");
        must(honest(nvx.close(fd)), "close in a child");
        exit(EXIT_SUCCESS);
    }
    await(pid);
    must(honest(nvx.close(fd)), "close");
    fd = nvx.open("file", O_RDWR);
    must(honest(fd), "open");
    if (fd >= 0)
        must(honest(nvx.pwrite(fd, "again", 5, 0)) && honest(nvx.close(fd)), "the next one");
}

static const off_t cut_sizes[] = {0, 4096, 8192, 1 << 20, 2 << 20};

/* Runs each cut in a child, on a file of its own. */
static void cut_one(const char *path, const char *name, long size)
{
    must(truncate(path, size) == 0, "truncate of %s", name);
}

/* pattern: of names in the root; NULL: the index objects. */
static void cut_each(const char *pattern)
{
    for (size_t i = 0; i < sizeof cut_sizes / sizeof *cut_sizes; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            int fd = file_begin("file");
            if (pattern)
                cut_all(pattern, cut_sizes[i]);
            else
                each_index(cut_one, cut_sizes[i]);
            use_what_is_cut(fd);
            exit(EXIT_SUCCESS);
        }
        await(pid);
        unlink("file");
    }
}

static void cut_log(void)
{
    cut_each(".nvmmio/*/*.log");
}

static void cut_index(void)
{
    cut_each(NULL);
}

static void cut_table(void)
{
    cut_each(".nvmmio/*/table");
}

/* ---- names that others have planted ---- */

/* One that cannot find its parent's table is refused, or served. */
static void child_is_honest(int fd)
{
    must(honest(nvx.pwrite(fd, "child", 5, 0)) && honest(nvx.fsync(fd)) && honest(nvx.close(fd)), "a child");
}

/* A second name of the table or a log, a link in the place of one: never followed, never trusted, never written to. */
static void planted_names(void)
{
    char victim[] = "/dev/shm/nvmmio-victim.XXXXXX", text[8] = "";
    glob_t found;
    int fd = mkstemp(victim);
    must(fd >= 0 && nvx_plain.write(fd, "victim", 6) == 6, "a victim");
    must(nvx.close(file_begin("file")) == 0, "close"); /* makes the volume */
    must(chdir(hostile_root) == 0, "chdir");
    if (glob(".nvmmio/*/table", 0, NULL, &found) == 0) {
        must(unlink(found.gl_pathv[0]) == 0 && link(victim, found.gl_pathv[0]) == 0, "a hard link for the table");
        in_child(child_is_honest, file_begin("other"));
        must(unlink(found.gl_pathv[0]) == 0 && symlink(victim, found.gl_pathv[0]) == 0, "a symbolic link");
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "hostile", "--run", "planted_guest", (char *)NULL);
            _exit(EXIT_FAILURE);
        }
        await(pid);
    }
    must(nvx_plain.pread(fd, text, sizeof text, 0) == 6 && strcmp(text, "victim") == 0, "the victim holds '%s'", text);
    close(fd);
    unlink(victim);
}

static void planted_guest(void)
{
    int fd = file_begin("guest");
    file_goes_on(fd);
    file_end(fd, "guest");
}

const struct scenario scenarios_limit[] = {
    {"few_descriptors", few_descriptors, false, false},
    {"fewer_descriptors", fewer_descriptors, false, false},
    {"least_descriptors", least_descriptors, false, false},
    {"no_descriptors", no_descriptors, false, false},
    {"little_address_space", little_address_space, false, false},
    {"locked_memory", locked_memory, false, false},
    {"file_size", file_size, false, false},
    {"own_descriptors", own_descriptors, false, false},
    {"divided_descriptors", divided_descriptors, false, false},
    {"other_process_ids", other_process_ids, true, false},
    {"cut_log", cut_log, false, true},
    {"cut_index", cut_index, false, false},
    {"cut_table", cut_table, false, true},
    {"planted_names", planted_names, false, true},
    {"planted_guest", planted_guest, false, false},
    {0},
};
