/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * ack.c — see ack.h.
 */
#include "ack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACK_MODE = 0644 };

struct ack *ack_map(const char *path, unsigned jobs, bool keep, int *error)
{
    size_t size = jobs * sizeof(struct ack);
    struct stat st;
    *error = 0;
    int fd = open(path, keep ? O_RDWR | O_CLOEXEC : O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, ACK_MODE);
    if (fd < 0 || (!keep && ftruncate(fd, (off_t)size)) || fstat(fd, &st))
        *error = -errno;
    else if (st.st_size != (off_t)size)
        *error = -EINVAL; /* of another command line */
    void *memory = MAP_FAILED;
    if (!*error) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
            *error = -errno;
    }
    if (fd >= 0)
        close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}
