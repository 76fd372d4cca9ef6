/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol.c — the list of cases that is made from symbols.def, one for each name, and how each of them runs.
 */
#include "case_symbol.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define SYMBOL(name, class, theme, handler, note)                                                                      \
    void symbol_##name(int fd);                                                                                        \
    static void run_##name(void)                                                                                       \
    {                                                                                                                  \
        symbol_run(symbol_##name);                                                                                     \
    }
#include "preload/symbols.def"
#undef SYMBOL

const struct posix_case cases_symbol[] = {
#define SYMBOL(name, class, theme, handler, note) {#name, run_##name, 0},
#include "preload/symbols.def"
#undef SYMBOL
    {0},
};

void symbol_use(int fd)
{
    if (fd < 0)
        return;
    SHOW(fd);
    CALL(write(fd, bytes + 7, 500));
    CALL(pwrite(fd, bytes + 8, 500, 9000));
    SHOW_BYTES(scratch, CALL(read(fd, scratch, 300)));
    SHOW(fd);
    CALL(close(fd));
}

void symbol_wait(pid_t pid)
{
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        say("no child: %s", strerrorname_np(errno));
    else if (WIFSIGNALED(status))
        say("child killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        say("child exit %d", WEXITSTATUS(status));
}

void symbol_run(void (*body)(int fd))
{
    int fd = subject();
    CALL(lseek(fd, SYMBOL_OFFSET, SEEK_SET));
    body(fd);
    watch_errno = true;
    if (fcntl(fd, F_GETFD) >= 0) {
        SHOW(fd);
        CALL(write(fd, bytes + 40, 333));
        CALL(fsync(fd));
        CALL(pwrite(fd, bytes + 41, 5000, 4000));
        SHOW(fd);
        CALL(close(fd));
    }
    look(SUBJECT);
}
