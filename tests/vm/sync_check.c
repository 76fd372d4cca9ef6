/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * sync_check.c — are the mappings of a managed file MAP_SYNC ones? Asks the kernel (smaps), not the library.
 *
 *     sync_check DIRECTORY sync|plain|none
 *
 * With NVMMIO_ROOT=DIRECTORY. sync: log and file are mapped, all with MAP_SYNC; plain: mapped, none with it (tmpfs, or
 * pm:force); none: not mapped at all, the kernel serves. Exit status 0 if it is so, 1 if not, 2 after an error.
 */
#include "support/nvx.h"
#include "vm/smaps.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, EPOCHS = 4 };

static struct {
    char file[PATH_MAX];
    char logs[PATH_MAX]; /* the directory of all logs, with a slash */
    struct smaps_count log, data;
} check;

static void die(const char *what)
{
    printf("sync_check: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* Overwrites two blocks in each of some epochs: lines go to the log and back, so that both are mapped. */
static int write_epochs(void)
{
    static char data[2 * BLOCK];
    int fd = nvx.open(check.file, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        die("open");
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        memset(data, 'a' + epoch, sizeof(data));
        if (nvx.pwrite(fd, data, sizeof(data), 0) != (ssize_t)sizeof(data))
            die("pwrite");
        if (nvx.fsync(fd))
            die("fsync");
    }
    return fd;
}

int main(int argc, char **argv)
{
    char real[PATH_MAX];
    if (argc != 3 || !realpath(argv[1], real))
        die("usage: sync_check DIRECTORY sync|plain|none");
    snprintf(check.file, sizeof(check.file), "%.4000s/sync_check.file", real);
    snprintf(check.logs, sizeof(check.logs), "%.4000s/.nvmmio/%u/", real, geteuid());
    int fd = write_epochs();
    if (!smaps_look(check.logs, check.file, &check.log, &check.data))
        die("smaps");
    if (nvx.close(fd))
        die("close");
    unlink(check.file);
    struct smaps_count log = check.log, data = check.data;
    printf("sync_check: logs: %u with MAP_SYNC, %u without; file: %u with, %u without\n", log.sync, log.plain,
           data.sync, data.plain);
    if (!strcmp(argv[2], "sync"))
        return !(log.sync && data.sync && !log.plain && !data.plain);
    if (!strcmp(argv[2], "plain"))
        return !(log.plain && data.plain && !log.sync && !data.sync);
    if (!strcmp(argv[2], "none"))
        return log.sync || log.plain || data.sync || data.plain;
    errno = EINVAL;
    die(argv[2]);
}
