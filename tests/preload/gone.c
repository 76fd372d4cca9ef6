/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * gone.c — promise: what a killed process has written comes to its file with the next process in the root, by whatever name the
 * file has then; the log of one that was removed since goes then, and no other one. Needs the right to open files by handle,
 * without which such logs are kept: nothing is tested then but that.
 */
#include "clean.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 40000, HANDLE_DATA = 272 }; /* bytes of a file; where the handle is in a log */

static char root[] = "/dev/shm/nvmmio-gone.XXXXXX", path[64], moved[64], other[64], bytes[SIZE];

/* ---- logs ---- */

/* Those in the root's directory: how many there are, the path of one. */
static int logs(char found[512])
{
    char name[256];
    int count = 0;
    snprintf(name, sizeof name, "%s/.nvmmio/%u", root, geteuid());
    DIR *dir = opendir(name);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strlen(entry->d_name) > 4 && strcmp(entry->d_name + strlen(entry->d_name) - 4, ".log") == 0) {
            snprintf(found, 512, "%.200s/%.200s", name, entry->d_name);
            count++;
        }
    if (dir)
        closedir(dir);
    return count;
}

/* ---- processes ---- */

/* Writes behind what it has synced, and is killed. */
static void victim(void)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (write(fd, bytes, SIZE / 2) == SIZE / 2 && fsync(fd) == 0 && pwrite(fd, bytes, SIZE / 2, SIZE / 2) == SIZE / 2 &&
        pwrite(fd, "end", 3, SIZE - 3) == 3)
        raise(SIGKILL);
    _exit(EXIT_FAILURE);
}

static void next_one(void)
{
    int fd = open(other, O_RDWR | O_CREAT, 0600);
    _exit(write(fd, bytes, SIZE) == SIZE && fsync(fd) == 0 && pwrite(fd, "x", 1, 0) == 1 && close(fd) == 0
              ? EXIT_SUCCESS
              : EXIT_FAILURE);
}

static int status_of(void (*run)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        run();
    waitpid(pid, &status, 0);
    return status;
}

static bool begin(void)
{
    unlink(path);
    unlink(moved);
    int status = status_of(victim);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* In a process of its own: one that has used the root's files looks through the logs no more, nor do its children. */
static void look(void)
{
    char end[3] = "";
    struct stat st;
    int fd = open(moved, O_RDONLY);
    _exit(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == SIZE && pread(fd, end, 3, SIZE - 3) == 3 &&
                  memcmp(end, "end", 3) == 0
              ? EXIT_SUCCESS
              : EXIT_FAILURE);
}

/* ---- what becomes of the file ---- */

static bool removed(void)
{
    char log[512];
    return unlink(path) == 0 && status_of(next_one) == 0 && logs(log) == 0;
}

/* As look: the library sees to what is renamed. */
static void rename_it(void)
{
    _exit(rename(path, moved) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool renamed(void)
{
    char log[512];
    return status_of(rename_it) == 0 && status_of(next_one) == 0 && logs(log) == 0 && status_of(look) == 0;
}

static bool linked(void)
{
    char log[512];
    return link(path, moved) == 0 && unlink(path) == 0 && status_of(next_one) == 0 && logs(log) == 0 &&
           status_of(look) == 0;
}

static bool is_kept(void)
{
    char log[512];
    return status_of(next_one) == 0 && logs(log) == 1 && unlink(log) == 0;
}

/* A handle that is damaged says nothing. */
static bool damaged(void)
{
    char log[512], byte;
    int fd = logs(log) == 1 ? open(log, O_RDWR) : -1;
    bool well = pread(fd, &byte, 1, HANDLE_DATA) == 1;
    byte ^= 4;
    well = well && pwrite(fd, &byte, 1, HANDLE_DATA) == 1 && close(fd) == 0;
    return well && unlink(path) == 0 && is_kept();
}

static bool may_open_by_handle(void)
{
    struct file_handle *handle = calloc(1, sizeof *handle + MAX_HANDLE_SZ);
    int mount, dir = open(root, O_RDONLY | O_DIRECTORY), fd = -1;
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(dir, "", handle, &mount, AT_EMPTY_PATH) == 0)
        fd = open_by_handle_at(dir, handle, O_PATH);
    free(handle);
    close(dir);
    return fd >= 0 && close(fd) == 0;
}

static bool kept(void)
{
    return unlink(path) == 0 && is_kept();
}

int main(void)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } parts[] = {{"removed", removed}, {"renamed", renamed}, {"linked", linked}, {"damaged", damaged}};
    int failed = 0;
    if (!mkdtemp(root) || setenv("NVMMIO_ROOT", root, 1) || /* before the library is used */
        setenv("NVMMIO_CONF", "pm:force,pool:0,idle:100s", 1))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", root);
    snprintf(moved, sizeof moved, "%s/moved", root);
    snprintf(other, sizeof other, "%s/other", root);
    if (!may_open_by_handle()) {
        failed += !(begin() && kept());
    } else {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            bool well = begin() && parts[i].run();
            printf("%s %s\n", well ? "ok" : "FAILED", parts[i].name);
            fflush(stdout);
            failed += !well;
        }
    }
    clean_tree(root);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
