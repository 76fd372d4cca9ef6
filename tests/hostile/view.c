/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * view.c — scenarios: the process sees another file system than before, without /proc and /dev/shm.
 */
#include "hostile.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- chroot ---- */

/* The directory above the root becomes "/". */
static void chroot_above(void)
{
    int fd = file_begin("file");
    char path[64];
    snprintf(path, sizeof path, "%s", strrchr(hostile_root, '/'));
    must(chroot("/dev/shm") == 0 && chdir(path) == 0, "chroot");
    file_goes_on(fd);
    file_opens("file", fd);
    file_end(fd, "file");
}

static void chroot_to_root(void)
{
    int fd = file_begin("file");
    must(chroot(".") == 0 && chdir("/") == 0, "chroot");
    file_goes_on(fd);
    file_opens("/file", fd);
    file_end(fd, "/file");
}

static void chroot_below(void)
{
    must(mkdir("sub", 0755) == 0 && chdir("sub") == 0, "mkdir");
    int fd = file_begin("file");
    must(chroot(".") == 0 && chdir("/") == 0, "chroot");
    file_goes_on(fd);
    file_opens("/file", fd);
    must(mkdir("/deep", 0755) == 0 && chroot("/deep") == 0 && chdir("/") == 0, "chroot again");
    file_goes_on(fd);
    int other = file_begin("/other");
    file_opens("/other", other);
    file_end(other, "/other");
    must(nvx.close(fd) == 0, "close");
}

/* Nothing was opened before: the roots must be known from their names alone. */
static void chroot_first(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        must(chroot(".") == 0 && chdir("/") == 0, "chroot");
        int fd = file_begin("/file");
        file_goes_on(fd);
        file_opens("/file", fd);
        file_end(fd, "/file");
        exit(EXIT_SUCCESS);
    }
    await(pid);
}

/* The file cannot be reached by any name any more. */
static void chroot_away(void)
{
    char jail[] = "/tmp/nvmmio-jail.XXXXXX";
    int fd = file_begin("file");
    must(mkdtemp(jail) != NULL, "mkdtemp");
    pid_t pid = fork();
    if (pid == 0) {
        must(chroot(jail) == 0 && chdir("/") == 0, "chroot");
        file_goes_on(fd);
        exit(EXIT_SUCCESS);
    }
    await(pid);
    rmdir(jail);
    must(chroot(".") == 0, "chroot");
    must(nvx.fsync(fd) == 0, "fsync");
    must(nvx.close(fd) == 0, "close");
}

/* What a process in a jail writes one outside sees at once, and the other way round. */
static void chroot_coherent(void)
{
    int to_child[2], to_parent[2];
    char word;
    int fd = file_begin("file");
    must(pipe(to_child) == 0 && pipe(to_parent) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        must(nvx.close(fd) == 0 && chroot(".") == 0, "chroot");
        fd = nvx.open("/file", O_RDWR);
        for (unsigned i = 10; i < 20; i++) {
            must(read(to_child[0], &word, 1) == 1, "word");
            file_check(fd, 1, i);
            file_put(fd, 2, i);
            must(write(to_parent[1], "x", 1) == 1, "word");
        }
        exit(nvx.close(fd));
    }
    for (unsigned i = 10; i < 20; i++) {
        file_put(fd, 1, i);
        must(write(to_child[1], "x", 1) == 1 && read(to_parent[0], &word, 1) == 1, "word");
        file_check(fd, 2, i);
    }
    await(pid);
    file_put(fd, 2, 20);
    file_end(fd, "file");
}

/* ---- namespaces ---- */

static void own_mounts(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        hostile_skip("no mount namespaces");
}

/* /dev/shm and /proc are covered by empty ones. The root lies in the old /dev/shm. */
static void covered(void)
{
    int fd = file_begin("file");
    own_mounts();
    must(mount("none", "/proc", "tmpfs", 0, NULL) == 0, "mount");
    file_goes_on(fd);
    file_opens("file", fd);
    must(mount("none", "/dev/shm", "tmpfs", 0, NULL) == 0, "mount");
    file_goes_on(fd);
    file_end(fd, "file");
}

/* Another process enters the namespace of one that has covered its /dev/shm. */
static void entered(void)
{
    int gate[2];
    char word, path[64];
    int fd = file_begin("file");
    must(pipe(gate) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        must(nvx.close(fd) == 0, "close");
        own_mounts();
        must(mount("none", "/dev/shm", "tmpfs", 0, NULL) == 0, "mount");
        must(write(gate[1], "x", 1) == 1, "word");
        pause();
    }
    must(read(gate[0], &word, 1) == 1, "word");
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    int ns = open(path, O_RDONLY);
    must(ns >= 0 && setns(ns, 0) == 0, "setns");
    file_goes_on(fd);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    must(nvx.fsync(fd) == 0 && nvx.close(fd) == 0, "close");
}

/* Runs another scenario, in a program of its own, maybe with another /dev/shm. */
static void start_program(const char *name, bool covers)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        own_mounts();
        if (covers && mount("none", "/dev/shm", "tmpfs", 0, NULL) != 0)
            _exit(EXIT_FAILURE);
        execl("/proc/self/exe", "hostile", "--run", name, (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    await(pid);
}

/* A process that shares the file, but not /dev/shm, is refused, or served right; never does it write beside the others. */
static void other_shm(void)
{
    char volume[] = "/tmp/nvmmio-volume.XXXXXX";
    must(mkdtemp(volume) != NULL, "mkdtemp");
    own_mounts();
    must(mount("none", volume, "tmpfs", 0, NULL) == 0 && chdir(volume) == 0, "mount");
    setenv("NVMMIO_ROOT", volume, 1); /* of the programs that are executed */
    start_program("other_shm_host", false);
    must(chdir("/") == 0 && umount2(volume, MNT_DETACH) == 0 && rmdir(volume) == 0, "umount");
}

static void other_shm_host(void)
{
    if (!strstr(hostile_root, "volume"))
        hostile_skip("is part of other_shm");
    int fd = file_begin("file");
    must(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0, "close-on-exec"); /* else the guest had it, and it were the kernel's */
    start_program("other_shm_guest", true);
    for (unsigned i = 0; i < BLOCKS; i++)
        file_check(fd, i, i % 2 ? 1 : 2);
    file_end(fd, "file");
}

/* The other side of it. */
static void other_shm_guest(void)
{
    if (!strstr(hostile_root, "volume"))
        hostile_skip("is part of other_shm");
    int fd = nvx.open("file", O_RDWR);
    must(fd >= 0 || errno == EBUSY, "open");
    if (fd >= 0 && hostile_active()) {
        char byte;
        ssize_t n = nvx.pread(fd, &byte, 1, 0);
        must(n == 1 || errno == EBUSY, "pread");
        n = nvx.pwrite(fd, "wrong", 5, 0);
        must(n < 0 && errno == EBUSY, "pwrite beside a process that serves the file gave %zd", n);
    }
}

static void unlink_index(const char *path, const char *name, long arg)
{
    (void)path;
    (void)arg;
    must(unlink(name) == 0, "unlink of %s", name);
}

/* Somebody removes all that is in /dev/shm while the file is in use. */
static void emptied_shm(void)
{
    int fd = file_begin("file");
    each_index(unlink_index, 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        file_put(fd, i, 30);
    must(nvx.fsync(fd) == 0, "fsync");
    for (unsigned i = 0; i < BLOCKS; i++)
        file_check(fd, i, 30);
    pid_t pid = fork();
    if (pid == 0) { /* cannot find the index: refused, and nothing is torn */
        char byte;
        ssize_t n = nvx.pwrite(fd, "x", 1, 0);
        must(n == 1 || errno == EBUSY, "pwrite");
        n = nvx.pread(fd, &byte, 1, 0);
        must(n == 1 || errno == EBUSY, "pread");
        _exit(EXIT_SUCCESS);
    }
    await(pid);
    file_put(fd, 0, 31);
    file_end(fd, "file");
}

/* A process dies; its index object is gone before its log is free, as may happen when the kernel closes its descriptors. Who
 * opens the file in that moment waits for the end of it. */
static void dying(void)
{
    int gate[2];
    char word;
    must(pipe(gate) == 0 && nvx.close(file_begin("file")) == 0, "a file");
    pid_t pid = fork();
    if (pid == 0) {
        int fd = nvx.open("file", O_RDWR);
        file_put(fd, 0, 40);
        each_index(unlink_index, 0);
        must(write(gate[1], "x", 1) == 1, "word");
        usleep(50000);
        raise(SIGKILL);
    }
    must(read(gate[0], &word, 1) == 1, "word");
    int fd = nvx.open("file", O_RDWR);
    must(fd >= 0, "open");
    file_check(fd, 0, 40);
    file_put(fd, 0, 41);
    waitpid(pid, NULL, 0);
    file_end(fd, "file");
}

const struct scenario scenarios_view[] = {
    {"chroot_above", chroot_above, true, false},
    {"chroot_to_root", chroot_to_root, true, false},
    {"chroot_below", chroot_below, true, false},
    {"chroot_first", chroot_first, true, false},
    {"chroot_away", chroot_away, true, false},
    {"chroot_coherent", chroot_coherent, true, false},
    {"covered", covered, true, false},
    {"entered", entered, true, false},
    {"other_shm", other_shm, true, false},
    {"other_shm_host", other_shm_host, false, false},
    {"other_shm_guest", other_shm_guest, false, false},
    {"emptied_shm", emptied_shm, false, false},
    {"dying", dying, false, false},
    {0},
};
