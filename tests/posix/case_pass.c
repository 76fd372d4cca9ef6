/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_pass.c — descriptions that several programs use at once: passed by message, inherited over exec by programs with the
 * library and without; and one file that two processes open, cut and make anew under each other.
 */
#include "cases.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char **environ;

/* ---- two processes, one of which waits ---- */

enum { HIGH = 300 };

/* The ends of two sockets: 0 the parent's, 1 the child's. For turns, and for descriptors. */
static int turns[2], mail[2];

/* High numbers, out of the way of those that are reported. */
static void socket_begin(int ends[2])
{
    int low[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, low) != 0)
        say("no socket");
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, HIGH);
        close(low[i]);
    }
}

static void turns_begin(void)
{
    socket_begin(turns);
    socket_begin(mail);
}

/* Lets the other one go on, and waits until it has done so and gives the turn back. */
static void turn_give(int mine)
{
    send(turns[mine], "x", 1, MSG_NOSIGNAL);
}
static void turn_wait(int mine)
{
    char x;
    if (recv(turns[mine], &x, 1, 0) != 1)
        say("the other one is gone");
}

static void wait_for(pid_t pid)
{
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status)
        say("child: status %#x", (unsigned)status);
    for (int i = 0; i < 2; i++) {
        close(turns[i]);
        close(mail[i]);
    }
}

/* ---- passed by message ---- */

static void pass(int fd)
{
    char space[CMSG_SPACE(sizeof fd)] = "";
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(mail[0], &message, 0) != 1)
        say("not sent");
}

static int receive(void)
{
    int fd = -1;
    char space[CMSG_SPACE(sizeof fd)], text[4];
    struct iovec iov = {text, sizeof text};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(mail[1], &message, 0) != 1)
        say("nothing received");
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* What each does in its turn with the description that both have. */
static void use_in_turn(const char *who, int fd, int round)
{
    say("%s, round %d", who, round);
    SHOW(fd);
    CALL(write(fd, bytes + 10 * round, 1000));
    SHOW_BYTES(scratch, CALL(read(fd, scratch, 100)));
    CALL(pwrite(fd, bytes + round, 300, 9000 + 100 * round));
    if (round % 2)
        CALL(fsync(fd));
    CALL(write(fd, bytes + 20 * round, 50));
    SHOW(fd);
}

enum { ROUNDS = 4 };

static void passed_child(int closes)
{
    int fd = receive();
    for (int i = 0; i < ROUNDS; i++) {
        use_in_turn("receiver", fd, i);
        turn_give(1);
        turn_wait(1);
    }
    if (closes) {
        int own = CALL(open(SUBJECT, O_RDWR));
        SHOW(own);
        CALL(write(own, bytes + 99, 9000));
        CALL(fsync(own));
        CALL(write(fd, bytes + 98, 900));
        SHOW(own);
        CALL(pwrite(own, bytes + 97, 900, 10));
        SHOW(fd);
        CALL(close(own));
    }
    SHOW(fd);
    CALL(close(fd));
    end_child();
}

static void passed(int flags, bool closes)
{
    turns_begin();
    pid_t pid = fork(); /* before the file is open: nothing is shared but what is passed */
    if (pid == 0)
        passed_child(closes);
    CALL(close(subject()));
    int fd = CALL(open(SUBJECT, flags));
    CALL(write(fd, bytes + 1, 3000));
    pass(fd);
    for (int i = 0; i < ROUNDS; i++) {
        turn_wait(0);
        use_in_turn("sender", fd, i);
        if (i == ROUNDS - 1 && closes)
            CALL(close(fd));
        turn_give(0);
    }
    wait_for(pid);
    if (!closes) {
        SHOW(fd);
        CALL(close(fd));
    }
    look(SUBJECT);
}

static void passed_and_used_by_both(void)
{
    passed(O_RDWR, false);
}

static void passed_and_closed(void)
{
    passed(O_RDWR, true);
}

static void passed_to_append(void)
{
    passed(O_RDWR | O_APPEND, true);
}

/* The sender's last close comes before the descriptor is received; others open the file while only the receiver has it. */
static void late_child(void)
{
    turn_wait(1);
    int fd = receive();
    SHOW(fd);
    CALL(write(fd, bytes + 2, 5000));
    for (int i = 0; i < 3; i++) {
        turn_give(1);
        turn_wait(1);
        SHOW(fd);
        CALL(write(fd, bytes + 5 + i, 500));
        CALL(pwrite(fd, bytes + 5 + i, 5000, 7000));
    }
    CALL(close(fd));
    end_child();
}

static void received_after_close(void)
{
    turns_begin();
    pid_t pid = fork();
    if (pid == 0)
        late_child();
    int fd = subject();
    CALL(write(fd, bytes + 1, 3000));
    pass(fd);
    CALL(close(fd));
    turn_give(0);
    turn_wait(0);
    fd = CALL(open(SUBJECT, O_RDWR));
    for (int i = 0; i < 3; i++) {
        SHOW(fd);
        CALL(pwrite(fd, bytes + 70 + i, 6000, 500));
        CALL(fsync(fd));
        CALL(pwrite(fd, bytes + 80 + i, 600, 5000));
        turn_give(0);
        if (i < 2)
            turn_wait(0);
    }
    wait_for(pid);
    SHOW(fd);
    CALL(close(fd));
    look(SUBJECT);
}

/* ---- inherited over exec ---- */

enum { GO = 7, DONE = 8 }; /* the program reads a line from one and writes one to the other */

enum start { START_FORK, START_VFORK, START_SPAWN };

static char script[400];
static char *const arguments[] = {(char *)"sh", (char *)"-c", script, NULL};

/* A shell that appends a line to `fd` in each of its turns, with the library or without. */
static pid_t shell_start(int fd, enum start how, bool library, int pipes[4])
{
    static const char text[] = "for i in 1 2 3 4; do read x <&%d; echo line $i of the program >&%d; echo >&%d; done";
    pid_t pid = -1;
    char *saved = getenv("LD_PRELOAD") ? strdup(getenv("LD_PRELOAD")) : NULL;
    snprintf(script, sizeof script, text, GO, fd, DONE);
    for (int i = 0; i < 4; i += 2) {
        int ends[2];
        if (pipe(ends) != 0)
            say("no pipe");
        for (int k = 0; k < 2; k++) { /* out of the way of the numbers that a shell knows */
            pipes[i + k] = fcntl(ends[k], F_DUPFD_CLOEXEC, HIGH);
            close(ends[k]);
        }
    }
    dup2(pipes[0], GO);
    dup2(pipes[3], DONE);
    if (!library)
        unsetenv("LD_PRELOAD");
    if (how == START_SPAWN) {
        posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ);
    } else {
        pid = how == START_FORK ? fork() : vfork();
        if (pid == 0) {
            execve("/bin/sh", arguments, environ);
            _exit(127);
        }
    }
    close(GO);
    close(DONE);
    if (saved)
        setenv("LD_PRELOAD", saved, 1);
    free(saved);
    return pid;
}

static void shell_turn(const int pipes[4])
{
    char line[10];
    if (write(pipes[1], "\n", 1) != 1 || read(pipes[2], line, sizeof line) != 1)
        say("the shell does not answer");
}

static void shell_end(pid_t pid, const int pipes[4])
{
    int status = -1;
    for (int i = 0; i < 4; i++)
        close(pipes[i]);
    waitpid(pid, &status, 0);
    say("shell: status %#x", (unsigned)status);
}

/* Parent and program write by turns through one description. */
static void inherit(enum start how, bool library)
{
    int pipes[4], fd = subject();
    CALL(write(fd, bytes + 1, 300));
    pid_t pid = shell_start(fd, how, library, pipes);
    for (int i = 0; i < 4; i++) {
        SHOW(fd);
        CALL(write(fd, bytes + 10 * i, 2000));
        if (i == 1)
            CALL(fsync(fd));
        shell_turn(pipes);
        SHOW(fd);
        CALL(pwrite(fd, bytes + 11 * i, 2000, 8000));
        CALL(write(fd, bytes + 12 * i, 20));
    }
    shell_end(pid, pipes);
    SHOW(fd);
    CALL(close(fd));
    look(SUBJECT);
}

static void forked_with_library(void)
{
    inherit(START_FORK, true);
}
static void forked_without_library(void)
{
    inherit(START_FORK, false);
}
static void vforked_with_library(void)
{
    inherit(START_VFORK, true);
}
static void vforked_without_library(void)
{
    inherit(START_VFORK, false);
}
static void spawned_with_library(void)
{
    inherit(START_SPAWN, true);
}
static void spawned_without_library(void)
{
    inherit(START_SPAWN, false);
}

/* The program has one description of the file, the parent goes on with another. */
static void inherited_beside_another(void)
{
    int pipes[4], fd = subject();
    int own = CALL(open(SUBJECT, O_RDWR | O_CLOEXEC));
    pid_t pid = shell_start(fd, START_FORK, false, pipes);
    shell_turn(pipes); /* it is there, and has the file */
    for (int i = 0; i < 3; i++) {
        CALL(pwrite(own, bytes + 10 * i, 2000, 5000));
        CALL(fsync(own));
        CALL(write(own, bytes + 11 * i, 300));
        shell_turn(pipes);
        SHOW(own);
        CALL(pwrite(own, bytes + 12 * i, 20, 6000));
    }
    shell_end(pid, pipes);
    SHOW(fd);
    CALL(close(own));
    CALL(close(fd));
    look(SUBJECT);
}

/* The program alone has the description, and others open the file. */
static void inherited_and_closed(void)
{
    int pipes[4], fd = subject();
    CALL(write(fd, bytes + 1, 300));
    pid_t pid = shell_start(fd, START_FORK, true, pipes);
    shell_turn(pipes); /* it is there, and has the file */
    CALL(close(fd));
    fd = CALL(open(SUBJECT, O_RDWR));
    for (int i = 0; i < 3; i++) {
        SHOW(fd);
        CALL(pwrite(fd, bytes + 10 * i, 2000, 4000));
        CALL(fsync(fd));
        CALL(pwrite(fd, bytes + 10 * i, 200, 5000));
        shell_turn(pipes);
        SHOW(fd);
    }
    shell_end(pid, pipes);
    CALL(close(fd));
    look(SUBJECT);
}

static void becomes_shell(int fd)
{
    snprintf(script, sizeof script,
             "dd bs=10 count=2 <&%d 2>/dev/null | cksum >sum; echo end >&%d; LD_PRELOAD=$KEPT sh -c 'echo last >&%d'",
             fd, fd, fd);
    setenv("KEPT", getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "", 1);
    unsetenv("LD_PRELOAD");
    CALL(write(fd, bytes + 4, 400));
    CALL(lseek(fd, 777, SEEK_SET));
    CALL(pwrite(fd, bytes + 5, 100, 700));
    execve("/bin/sh", arguments, environ);
}

/* With the library, without, with. */
static void exec_chain(void)
{
    int fd = subject();
    in_child(becomes_shell, fd);
    SHOW(fd);
    char sum[100] = "";
    int file = open("sum", O_RDONLY);
    CALL(read(file, sum, sizeof sum - 1));
    say("%s", sum);
    close(file);
    CALL(unlink("sum"));
    CALL(write(fd, bytes + 6, 600));
    SHOW(fd);
    CALL(close(fd));
    look(SUBJECT);
}

/* ---- two processes that open the file by its name ---- */

static void other_opens(void)
{
    turn_wait(1);
    int fd = CALL(open(SUBJECT, O_RDWR));
    SHOW(fd);
    CALL(write(fd, bytes + 3, 3000));
    CALL(fsync(fd));
    CALL(write(fd, bytes + 4, 30000));
    turn_give(1);
    turn_wait(1); /* it was cut to nothing */
    SHOW(fd);
    CALL(write(fd, bytes + 5, 500));
    SHOW(fd);
    int again = CALL(open(SUBJECT, O_RDWR | O_TRUNC));
    SHOW(fd);
    CALL(write(again, bytes + 6, 6000));
    CALL(fsync(again));
    CALL(pwrite(again, bytes + 6, 600, 100));
    turn_give(1);
    turn_wait(1);
    CALL(open(SUBJECT, O_RDWR | O_CREAT | O_EXCL, 0600));
    int created = CALL(open(SUBJECT, O_RDWR | O_CREAT, 0600));
    SHOW(created);
    CALL(close(created));
    turn_give(1);
    turn_wait(1); /* replaced by another file */
    SHOW(fd);
    CALL(write(fd, bytes + 7, 700));
    created = CALL(open(SUBJECT, O_RDWR));
    SHOW(created);
    CALL(close(created));
    CALL(close(again));
    CALL(close(fd));
    end_child();
}

static void opened_by_two(void)
{
    turns_begin();
    pid_t pid = fork();
    if (pid == 0)
        other_opens();
    int fd = subject();
    CALL(write(fd, bytes + 1, 300));
    turn_give(0);
    turn_wait(0);
    SHOW(fd);
    int cut = CALL(open(SUBJECT, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    SHOW(fd);
    CALL(write(cut, bytes + 8, 80));
    turn_give(0);
    turn_wait(0);
    SHOW(fd);
    CALL(close(cut));
    CALL(open(SUBJECT, O_RDWR | O_CREAT | O_EXCL, 0600));
    cut = CALL(open(SUBJECT, O_RDONLY | O_TRUNC));
    SHOW(fd);
    CALL(close(cut));
    CALL(pwrite(fd, bytes + 9, 900, 300));
    turn_give(0);
    turn_wait(0);
    int fresh = CALL(open("fresh", O_RDWR | O_CREAT | O_EXCL, 0600));
    CALL(write(fresh, bytes + 10, 10000));
    CALL(fsync(fresh));
    CALL(write(fresh, bytes + 10, 1000));
    CALL(rename("fresh", SUBJECT));
    turn_give(0);
    wait_for(pid);
    SHOW(fd);
    SHOW(fresh);
    CALL(close(fd));
    CALL(close(fresh));
    look(SUBJECT);
}

const struct posix_case cases_pass[] = {
    {"passed_and_used_by_both", passed_and_used_by_both, 0},
    {"passed_and_closed", passed_and_closed, 0},
    {"passed_to_append", passed_to_append, 0},
    {"received_after_close", received_after_close, 0},
    {"forked_with_library", forked_with_library, 0},
    {"forked_without_library", forked_without_library, 0},
    {"vforked_with_library", vforked_with_library, 0},
    {"vforked_without_library", vforked_without_library, 0},
    {"spawned_with_library", spawned_with_library, 0},
    {"spawned_without_library", spawned_without_library, 0},
    {"inherited_beside_another", inherited_beside_another, 0},
    {"inherited_and_closed", inherited_and_closed, 0},
    {"exec_chain", exec_chain, 0},
    {"opened_by_two", opened_by_two, 0},
    {0},
};
