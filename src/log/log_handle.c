/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_handle.c — the kernel's handle of a log's file: by it a scan finds the file whatever its name is by now, or learns that
 * it is gone. To open by handle takes a privilege (CAP_DAC_READ_SEARCH): for others what has lost its name stays unknown.
 * Layer log; called by uma_attach.c and by the scan.
 */
#include "base/rawsys.h"
#include "log/log_private.h"
#include "log/log_recover.h"
#include "log/volume_private.h"
#include "pm/pm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>

/* struct file_handle with room for the largest. */
struct handle {
    uint32_t bytes;
    int32_t type;
    uint8_t data[LOG_HANDLE_BYTES];
};

/* Of the file that it is of, too: what an earlier file of the log has left is none of this one. */
static uint64_t handle_check(const struct log_identity *identity, const struct log_handle *handle)
{
    uint64_t check = log_header_check(handle->bytes, (uint32_t)handle->type, identity), word;
    for (size_t i = 0; i < sizeof handle->data; i += sizeof word) {
        memcpy(&word, handle->data + i, sizeof word);
        check = log_check_word(check, word);
    }
    return check;
}

void log_note_handle(struct log *log, const struct log_identity *identity, int fd)
{
    struct handle got = {.bytes = LOG_HANDLE_BYTES};
    int mount;
    if (sys_name_to_handle_at(fd, "", &got, &mount, AT_EMPTY_PATH) < 0 || got.bytes > LOG_HANDLE_BYTES)
        return; /* no handles on this file system, or none so short: it is not found by one */
    struct log_handle handle = {.bytes = got.bytes, .type = got.type};
    memcpy(handle.data, got.data, got.bytes);
    handle.check = handle_check(identity, &handle);
    pm_store_words(&log_header(log)->handle, &handle, sizeof handle);
}

/* Whether the directory is on a tmpfs that has that id: nothing is read from a medium there, and a handle that was given out in
 * this boot is known as long as the file is there. Of other file systems the kernel's ESTALE may mean that the inode could not
 * be read. */
static bool knows_all(int dirfd, const struct log_header *header)
{
    struct statfs fs;
    uint64_t id;
    _Static_assert(sizeof fs.f_fsid == sizeof id, "f_fsid is two ints");
    if (sys_fstatfs(dirfd, &fs) != 0 || fs.f_type != VOLUME_TMPFS_MAGIC)
        return false;
    memcpy(&id, &fs.f_fsid, sizeof id);
    return id == header->identity.fs[0];
}

int log_open_handle(const struct log_header *header, int dirfd)
{
    const struct log_handle *handle = &header->handle;
    if (!handle->bytes || handle->bytes > sizeof handle->data ||
        handle->check != handle_check(&header->identity, handle))
        return -ENODATA;
    struct handle asked = {.bytes = handle->bytes, .type = handle->type};
    memcpy(asked.data, handle->data, sizeof asked.data);
    int fd = sys_open_by_handle_at(dirfd, &asked, O_PATH | O_CLOEXEC);
    if (fd == -ESTALE && knows_all(dirfd, header))
        return -ENOENT;
    return fd == -ENOENT ? -ESTALE : fd;
}
