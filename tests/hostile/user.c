/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * user.c — scenarios: the process becomes another user, or user ids mean something else.
 */
#include "hostile.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int capset(cap_user_header_t, const cap_user_data_t);

/* Opened as root, then used as nobody: the descriptor is as good as before, in children too. */
static void set_uid(void)
{
    int fd = file_begin("file"), idle = file_begin("idle"), log = nvx.open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    must(nvx.write(log, "one ", 4) == 4 && nvx.fsync(log) == 0, "a log");
    must(setgid(NOBODY) == 0 && setuid(NOBODY) == 0, "setuid");
    file_goes_on(fd);
    must(nvx.write(log, "two ", 4) == 4, "write to a log");
    must(nvx.open("log", O_WRONLY) < 0 && errno == EACCES, "root's file is root's");
    int own = file_begin("own");
    file_goes_on(own);
    file_opens("own", own);
    must(nvx.close(own) == 0 && nvx.close(idle) == 0 && nvx.close(log) == 0, "close");
    /* another file has the rounds of `own` in the book: only this one's first block, written last, is looked at */
    must(nvx.close(fd) == 0, "close");
}

/* A log that a root process writes to all the time, and that another one wrote to before it became nobody. */
static void set_uid_of_two(void)
{
    int fd = file_begin("file");
    pid_t pid = fork();
    if (pid == 0) {
        must(nvx.close(fd) == 0, "close");
        fd = nvx.open("file", O_RDWR);
        must(setuid(NOBODY) == 0, "setuid");
        for (unsigned i = 1; i < 30; i++) {
            file_put(fd, 5, i);
            file_check(fd, 5, i);
        }
        exit(nvx.close(fd));
    }
    for (unsigned i = 1; i < 30; i++) {
        file_put(fd, 6, i);
        file_check(fd, 6, i);
    }
    await(pid);
    file_check(fd, 5, 29);
    file_put(fd, 5, 30);
    file_end(fd, "file");
}

static void set_euid_and_back(void)
{
    int fd = file_begin("file");
    for (int i = 0; i < 3; i++) {
        must(seteuid(NOBODY) == 0, "seteuid");
        file_goes_on(fd);
        must(seteuid(0) == 0, "seteuid");
        file_goes_on(fd);
        file_opens("file", fd);
    }
    setfsuid(NOBODY);
    file_goes_on(fd);
    setfsuid(0);
    must(setresuid(NOBODY, NOBODY, 0) == 0, "setresuid");
    file_goes_on(fd);
    must(setresuid(0, 0, 0) == 0 && setreuid(0, NOBODY) == 0, "setreuid");
    file_goes_on(fd);
    must(setreuid(0, 0) < 0 || seteuid(0) == 0, "setreuid");
    must(nvx.close(fd) == 0, "close");
}

/* Root without capabilities may not open what belongs to others. */
static void without_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2];
    int fd = file_begin("file");
    must(fchown(fd, NOBODY, NOBODY) == 0 && nvx.close(fd) == 0, "chown");
    fd = file_begin("file");
    memset(none, 0, sizeof none);
    must(capset(&header, none) == 0, "capset");
    file_goes_on(fd);
    must(nvx.close(fd) == 0, "close");
}

/* ---- user namespaces ---- */

/* The kernel wants a process of one thread: the library's own must not stand in the way. */
static void unshare_user(void)
{
    int fd = file_begin("file");
    must(unshare(CLONE_NEWUSER) == 0, "unshare");
    file_goes_on(fd);
    must(nvx.close(fd) == 0, "close");
    fd = nvx.open("file", O_RDWR);
    must(fd >= 0, "open");
    file_goes_on(fd);
    file_end(fd, "file");
}

static void *thread_waits(void *gate)
{
    pthread_mutex_lock(gate);
    return NULL;
}

/* With a thread of the program's own it fails as on the kernel, and all goes on. */
static void unshare_user_with_threads(void)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    int fd = file_begin("file");
    pthread_mutex_lock(&gate);
    must(pthread_create(&thread, NULL, thread_waits, &gate) == 0, "pthread_create");
    must(unshare(CLONE_NEWUSER) < 0 && errno == EINVAL, "unshare");
    file_goes_on(fd);
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
    file_opens("file", fd);
    file_end(fd, "file");
}

/* fd: of the file, which the guest must not have from its parent. */
static void start_guest(const char *name, int fd)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (fd >= 0)
            nvx.close(fd);
        uid_t uid = geteuid();
        char map[32];
        int length = snprintf(map, sizeof map, "0 %u 1", uid);
        prctl(PR_SET_DUMPABLE, 1); /* who has changed its user may not write its map otherwise */
        if (unshare(CLONE_NEWUSER) != 0)
            _exit(EXIT_SUCCESS);
        int map_fd = open("/proc/self/uid_map", O_WRONLY);
        if (write(map_fd, map, (size_t)length) != length)
            _exit(EXIT_FAILURE);
        close(map_fd);
        execl("/proc/self/exe", "hostile", "--run", name, (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    await(pid);
}

/* A program in a container of an unprivileged user: its "root" is no root, and its files have an owner that has another
 * number outside. It must not begin a second log for a file that is in use outside. */
static void container(void)
{
    glob_t found;
    must(chmod(".", 0777) == 0, "chmod");
    must(setgid(NOBODY) == 0 && setuid(NOBODY) == 0, "setuid");
    int fd = file_begin("file");
    start_guest("container_guest", fd);
    file_goes_on(fd);
    file_end(fd, "file");
    start_guest("container_guest_alone", -1);
    int logs = glob(".nvmmio/0", 0, NULL, &found);
    must(logs == GLOB_NOMATCH, "a directory for the logs of root was made");
}

static void container_guest(void)
{
    if (getuid() != 0 || access("file", F_OK) != 0)
        hostile_skip("is part of container");
    int fd = nvx.open("file", O_RDWR);
    must(hostile_active() ? fd < 0 && errno == EBUSY : fd >= 0, "open of a file in use gave %d", fd);
}

static void container_guest_alone(void)
{
    if (getuid() != 0 || access("file", F_OK) != 0)
        hostile_skip("is part of container");
    int fd = file_begin("file");
    file_goes_on(fd);
    file_end(fd, "file");
}

/* ---- set-user-id ---- */

/* A program with another user's rights takes no orders from the environment: nothing is managed, nothing is made. */
static void set_user_id(void)
{
    glob_t found;
    char command[512], self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    must(n > 0, "readlink");
    self[n] = 0;
    snprintf(command, sizeof command,
             "cp %s /tmp/nvmmio-suid.%d && chown nobody /tmp/nvmmio-suid.%d && chmod 4755 "
             "/tmp/nvmmio-suid.%d",
             self, getpid(), getpid(), getpid());
    must(system(command) == 0 && chmod(".", 0777) == 0, "a set-user-id program");
    snprintf(command, sizeof command, "/tmp/nvmmio-suid.%d", getpid());
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execl(command, "hostile", "--run", "set_user_id_guest", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    int status;
    waitpid(pid, &status, 0);
    unlink(command);
    must(WIFEXITED(status) && WEXITSTATUS(status) != EXIT_FAILURE, "the program ended with status %x", status);
    must(glob(".nvmmio/*", 0, NULL, &found) == GLOB_NOMATCH, "it was managed");
}

static void set_user_id_guest(void)
{
    if (geteuid() == getuid())
        hostile_skip("is part of set_user_id, or set-user-id is switched off for /tmp");
    int fd = file_begin("file");
    file_goes_on(fd);
    file_end(fd, "file");
}

const struct scenario scenarios_user[] = {
    {"set_uid", set_uid, true, false},
    {"set_uid_of_two", set_uid_of_two, true, false},
    {"set_euid_and_back", set_euid_and_back, true, false},
    {"without_capabilities", without_capabilities, true, false},
    {"unshare_user", unshare_user, false, false},
    {"unshare_user_with_threads", unshare_user_with_threads, false, false},
    {"container", container, true, false},
    {"container_guest", container_guest, false, false},
    {"container_guest_alone", container_guest_alone, false, false},
    {"set_user_id", set_user_id, true, false},
    {"set_user_id_guest", set_user_id_guest, false, false},
    {0},
};
