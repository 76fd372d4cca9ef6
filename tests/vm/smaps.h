/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * smaps.h — which mappings of this process are MAP_SYNC ones, as the kernel says. For the programs of the test machine.
 */
#ifndef VM_SMAPS_H
#define VM_SMAPS_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct smaps_count {
    unsigned sync, plain; /* mappings with MAP_SYNC and without */
};

/* Counts the mappings of the logs below `logs` (a directory with a slash at the end; its table is none of them) and of
 * `file`, by the flag "sf" (synchronous page faults) of each. False if the kernel does not tell. */
static inline bool smaps_look(const char *logs, const char *file, struct smaps_count *log, struct smaps_count *data)
{
    char line[PATH_MAX + 200];
    struct smaps_count *count = NULL;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    *log = *data = (struct smaps_count){0, 0};
    while (smaps && fgets(line, sizeof(line), smaps)) {
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "VmFlags:", strlen("VmFlags:"))) {
            bool sync = strstr(line, " sf") != NULL;
            if (count)
                *(sync ? &count->sync : &count->plain) += 1;
            count = NULL;
        } else if (path && !strncmp(path, logs, strlen(logs)) && !strstr(path, "/table")) {
            count = log;
        } else if (path && !strcmp(path, file)) {
            count = data;
        }
    }
    if (smaps)
        fclose(smaps);
    return smaps != NULL;
}

#endif
