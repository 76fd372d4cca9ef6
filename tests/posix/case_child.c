/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_child.c — fork, vfork, exec, posix_spawn, system, popen with descriptors of the file.
 */
#include "cases.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

static void child_writes(int fd)
{
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 21, 3000));
    CALL(nvx.pwrite(fd, bytes + 22, 300, 10000));
    SHOW_BYTES(scratch, CALL(nvx.read(fd, scratch, 100)));
    SHOW(fd);
}

static void child_closes(int fd)
{
    CALL(nvx.write(fd, bytes + 23, 30));
    CALL(nvx.close(fd));
}

static void child_syncs(int fd)
{
    CALL(nvx.pwrite(fd, bytes + 24, 3000, subject_size));
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 25, 3000, 2222));
}

static void child_opens(int fd)
{
    int own = CALL(nvx.open(SUBJECT, O_RDWR));
    SHOW(own);
    CALL(nvx.write(own, bytes + 26, 2600));
    SHOW(fd);
    CALL(nvx.ftruncate(own, 15000));
    SHOW(fd);
    CALL(nvx.close(own));
}

/* The offset and the bytes are common to parent and child. */
static void fork_shares(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 100));
    in_child(child_writes, fd);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 2, 100));
    in_child(child_closes, fd);
    SHOW(fd);
    in_child(child_syncs, fd);
    SHOW(fd);
    in_child(child_opens, fd);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 3, 100));
    CALL(nvx.fsync(fd));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The parent has closed when the child writes. */
static void child_outlives_descriptor(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes + 1, 5000));
    int ends[2];
    CALL(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        char go;
        close(ends[1]);
        if (read(ends[0], &go, 1) == 0)
            child_writes(fd);
        end_child();
    }
    CALL(nvx.close(fd));
    close(ends[0]);
    close(ends[1]);
    int status;
    waitpid(pid, &status, 0);
    say("status %d", status);
    look(SUBJECT);
}

static void exits_without_close(int fd)
{
    CALL(nvx.write(fd, bytes + 31, 5000));
    CALL(nvx.open("left", O_RDWR | O_CREAT, 0600));
    CALL(nvx.write(fd + 1, bytes + 32, 5000));
    CALL(nvx.fsync(fd + 1));
    CALL(nvx.write(fd + 1, bytes + 33, 5000));
}

static void child_exits(void)
{
    int fd = subject();
    in_child(exits_without_close, fd);
    SHOW(fd);
    CALL(nvx.close(fd));
    fd = CALL(nvx.open("left", O_RDONLY));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void fork_of_fork(int fd)
{
    CALL(nvx.write(fd, bytes + 41, 100));
    in_child(child_writes, fd);
    CALL(nvx.write(fd, bytes + 42, 100));
}

static void grandchild(void)
{
    int fd = subject();
    in_child(fork_of_fork, fd);
    CALL(nvx.write(fd, bytes + 43, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* Two processes write and read by turns. */
static void by_turns(void)
{
    int fd = subject();
    int other = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    for (int i = 0; i < 5; i++) {
        CALL(nvx.pwrite(fd, bytes + i, 4096, 4096));
        in_child(child_writes, other);
        if (i == 2)
            CALL(nvx.fsync(fd));
        SHOW(fd);
    }
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
}

/* ---- other programs ---- */

static void shell(int line, const char *script, int fd)
{
    char command[256];
    snprintf(command, sizeof command, script, fd);
    say("%d: system %d", line, system(command));
}

static void inherited_by_system(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 50));
    shell(__LINE__, "echo one >&%d", fd);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 1, 50));
    shell(__LINE__, "echo two >&%d; echo three >&%1$d", fd);
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 2, 50, 10));
    shell(__LINE__, "head -c 10 <&%d >/dev/null", fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.write(fd, bytes + 3, 50));
    CALL(nvx.close(fd));
}

static void read_by_system(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, "a line\n", 7, 0));
    shell(__LINE__, "read x <&%d; test \"$x\" = 'a line'", fd);
    CALL(nvx.pwrite(fd, bytes + 4, 5000, 100));
    shell(__LINE__, "cat " SUBJECT " > copy%d", fd);
    CALL(nvx.pwrite(fd, bytes + 5, 5000, 5000));
    shell(__LINE__, "cp " SUBJECT " second; echo new > " SUBJECT ".%d", fd);
    SHOW(fd);
    CALL(nvx.close(fd));
    look("copy3");
}

static void written_by_system(void)
{
    int fd = subject();
    shell(__LINE__, "printf 0123456789 | dd of=" SUBJECT " bs=10 seek=%d conv=notrunc 2>/dev/null", 30);
    SHOW(fd);
    shell(__LINE__, "echo tail >> " SUBJECT " # %d", 0);
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes, 100, subject_size));
    shell(__LINE__, ": > " SUBJECT " # %d", 0);
    SHOW(fd);
    CALL(nvx.write(fd, bytes, 10));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void close_on_exec(void)
{
    CALL(nvx.close(subject()));
    int fd = CALL(nvx.open(SUBJECT, O_RDWR | O_CLOEXEC));
    CALL(nvx.write(fd, bytes, 100));
    shell(__LINE__, "(echo never >&%d) 2>/dev/null", fd);
    SHOW(fd);
    CALL(fcntl(fd, F_SETFD, 0));
    shell(__LINE__, "echo once >&%d", fd);
    CALL(nvx.write(fd, bytes, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void exec_shell(int fd)
{
    char command[64];
    snprintf(command, sizeof command, "echo exec >&%d", fd);
    CALL(nvx.write(fd, bytes + 4, 40));
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
}

static void exec_in_fork(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    in_child(exec_shell, fd);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 9, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void exec_in_vfork(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    char command[64];
    snprintf(command, sizeof command, "echo exec >&%d", fd);
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    say("status %d", status);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 9, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* As Python's subprocess redirects a child's output. */
static void redirect_in_vfork(void)
{
    int fd = subject();
    int other = CALL(nvx.open(SUBJECT, O_RDWR));
    for (int i = 0; i < 2; i++) {
        CALL(nvx.write(fd, bytes, 100));
        pid_t pid = vfork();
        if (pid == 0) {
            dup2(fd, 1);
            close(fd);
            execl("/bin/sh", "sh", "-c", "echo redirected", (char *)NULL);
            _exit(127);
        }
        int status;
        waitpid(pid, &status, 0);
        say("status %d", status);
        SHOW(fd);
        CALL(nvx.fsync(fd));
        CALL(nvx.pwrite(other, bytes + 5, 5000, 8000 + 100 * i));
        SHOW(fd);
        CALL(nvx.pwrite(fd, bytes + 6, 5000, 9000 + 100 * i));
        SHOW(other);
    }
    CALL(nvx.close(other));
    CALL(nvx.write(fd, bytes + 9, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* A child of vfork that cannot exec leaves the parent as it was. */
static void failed_exec_in_vfork(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/missing", "missing", (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    say("status %d", status);
    CALL(nvx.write(fd, bytes + 9, 100));
    SHOW(fd);
    CALL(nvx.fsync(fd));
    CALL(nvx.pwrite(fd, bytes + 7, 100, 700));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void spawn(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 100));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    char *argv[] = {"sh", "-c", "echo spawned; cat " SUBJECT " | head -c 500 >copy", NULL};
    pid_t pid;
    CALL(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ));
    int status;
    waitpid(pid, &status, 0);
    say("status %d", status);
    SHOW(fd);
    CALL(nvx.write(fd, bytes + 2, 100));
    CALL(posix_spawnp(&pid, "sh", &actions, NULL, argv, environ));
    waitpid(pid, &status, 0);
    SHOW(fd);
    posix_spawn_file_actions_destroy(&actions);
    CALL(posix_spawn(&pid, "/missing", NULL, NULL, argv, environ));
    CALL(nvx.write(fd, bytes + 3, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
    look("copy");
}

static void pipe_from_shell(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes + 3, 3000, 300));
    FILE *from = popen("cksum <" SUBJECT, "r");
    char line[100] = "";
    CALL_POINTER(fgets(line, sizeof line, from));
    say("cksum %s", line);
    watch_errno = false;
    CALL(pclose(from));
    FILE *to = popen("cat >>" SUBJECT, "w");
    CALL(fprintf(to, "to the end\n"));
    CALL(pclose(to));
    SHOW(fd);
    CALL(nvx.write(fd, bytes, 10));
    CALL(nvx.close(fd));
}

const struct posix_case cases_child[] = {
    {"fork_shares", fork_shares, CASE_NV},
    {"child_outlives_descriptor", child_outlives_descriptor, CASE_NV},
    {"child_exits", child_exits, CASE_NV},
    {"grandchild", grandchild, CASE_NV},
    {"by_turns", by_turns, CASE_NV},
    {"inherited_by_system", inherited_by_system, 0},
    {"read_by_system", read_by_system, 0},
    {"written_by_system", written_by_system, 0},
    {"close_on_exec", close_on_exec, 0},
    {"exec_in_fork", exec_in_fork, 0},
    {"exec_in_vfork", exec_in_vfork, 0},
    {"redirect_in_vfork", redirect_in_vfork, 0},
    {"failed_exec_in_vfork", failed_exec_in_vfork, 0},
    {"spawn", spawn, 0},
    {"pipe_from_shell", pipe_from_shell, 0},
    {0},
};
