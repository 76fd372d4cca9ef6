/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_copy.c — data that move inside the kernel, by its own hands: copies between descriptors, clones. Layer preload.
 *
 * Files that take part are demoted first: written back, and the kernel's until their last close. If that fails, so does
 * the call.
 */
#include "preload/preload.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int copy_demote_ends(int in, int out)
{
    int error = preload_demote(in, UMA_DEMOTE_KERNEL_COPY);
    return error ? error : preload_demote(out, UMA_DEMOTE_KERNEL_COPY);
}

ssize_t preload_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags)
{
    int error = copy_demote_ends(in, out);
    return preload_result(
        error ? error
              : preload_wait(SYS_copy_file_range, in, (long)in_offset, out, (long)out_offset, (long)length, flags));
}

ssize_t preload_sendfile(int out, int in, off_t *offset, size_t count)
{
    int error = copy_demote_ends(in, out);
    return preload_result(error ? error : rawsys(SYS_sendfile, out, in, (long)offset, (long)count, 0, 0));
}

ssize_t preload_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags)
{
    int error = copy_demote_ends(in, out);
    return preload_result(
        error ? error : preload_wait(SYS_splice, in, (long)in_offset, out, (long)out_offset, (long)length, flags));
}

/* ---- ioctl ---- */

/* Requests that neither read nor change data, size or blocks of a regular file. */
static bool copy_ioctl_is_harmless(unsigned long request)
{
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
    case FIONBIO:
    case FIOASYNC:
    case FIGETBSZ:
    case TCGETS: /* isatty */
    case TIOCGWINSZ:
    case FS_IOC_GETFLAGS:
    case FS_IOC_GETVERSION:
    case FS_IOC_FSGETXATTR:
    case FS_IOC_GETFSLABEL:
        return true;
    default:
        return false;
    }
}

static int copy_demote_dedupe(const struct file_dedupe_range *range)
{
    int error = 0;
    for (unsigned i = 0; range && !error && i < range->dest_count; i++)
        error = preload_demote((int)range->info[i].dest_fd, UMA_DEMOTE_IOCTL);
    return error;
}

/* Demotes the other file of a request that has one. */
static int copy_demote_other(unsigned long request, void *arg)
{
    switch (request) {
    case FICLONE:
        return preload_demote((int)(long)arg, UMA_DEMOTE_IOCTL);
    case FICLONERANGE:
        return arg ? preload_demote((int)((struct file_clone_range *)arg)->src_fd, UMA_DEMOTE_IOCTL) : 0;
    case FIDEDUPERANGE:
        return copy_demote_dedupe(arg);
    default:
        return 0;
    }
}

/* FIONREAD: how far it is from the position to the end, neither of which the kernel knows. */
static long copy_bytes_left(const struct nvmmio_core *core, int fd, int *left)
{
    long result = sys_ioctl(fd, FIONREAD, left); /* is the address good? */
    if (result < 0)
        return result;
    struct stat st;
    result = core->fstat(fd, &st);
    off_t at = result ? 0 : core->lseek(fd, 0, SEEK_CUR);
    if (result || at < 0)
        return result ? result : at;
    *left = (int)(st.st_size - at);
    return 0;
}

int preload_ioctl_arg(int fd, unsigned long request, void *arg)
{
    if (__builtin_expect(preload_core() != NULL, 0)) {
        const struct nvmmio_core *core = request == FIONREAD ? preload_serves(fd) : NULL;
        if (core)
            return (int)preload_result(copy_bytes_left(core, fd, arg));
        int error = copy_demote_other(request, arg);
        if (!error && !copy_ioctl_is_harmless(request))
            error = preload_demote(fd, UMA_DEMOTE_IOCTL);
        if (error)
            return (int)preload_result(error);
    }
    return (int)preload_result(sys_ioctl(fd, request, arg));
}

int preload_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    return preload_ioctl_arg(fd, request, arg);
}

#define PRELOAD_EXPORT_copy PRELOAD_ALIAS
#include "preload/preload_export.h"
