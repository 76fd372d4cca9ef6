/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_copy.c — data that move inside the kernel, by its own hands: copies between descriptors, clones. Layer preload.
 *
 * Files that take part and are attached are demoted first: written back, and the kernel's until their last close. If that
 * fails, so does the call.
 */
#include "preload/preload.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct copy_call {
    long number;
    long argument[6];
};

static long copy_invoke(const void *arg)
{
    const struct copy_call *call = arg;
    const long *a = call->argument;
    return rawsys(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int copy_demote_ends(int in, int out, enum uma_demotion reason)
{
    int error = preload_demote(in, reason);
    return error ? error : preload_demote(out, reason);
}

/* The call, when it is right for both ends: `in` is read, `out` written. */
static long copy_run(int in, int out, enum uma_demotion reason, const struct copy_call *call)
{
    const long *a = call->argument;
    if (!preload_serves(in) && !preload_serves(out))
        return preload_wait(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const struct nvmmio_core *core = preload_owner();
    preload_cancel_point();
    if (core)
        return core->by_kernel(in, out, (int)reason, copy_invoke, call);
    int error = copy_demote_ends(in, out, reason); /* a vfork child */
    return error ? error : copy_invoke(call);
}

ssize_t preload_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags)
{
    const struct copy_call call = {SYS_copy_file_range,
                                   {in, (long)in_offset, out, (long)out_offset, (long)length, (long)flags}};
    return preload_result(copy_run(in, out, UMA_DEMOTE_KERNEL_COPY, &call));
}

ssize_t preload_sendfile(int out, int in, off_t *offset, size_t count)
{
    const struct copy_call call = {SYS_sendfile, {out, in, (long)offset, (long)count}};
    return preload_result(copy_run(in, out, UMA_DEMOTE_KERNEL_COPY, &call));
}

/* May wait for a pipe: nobody else should wait for it meanwhile, so the files are the kernel's for good before. */
ssize_t preload_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t length, unsigned flags)
{
    int error = copy_demote_ends(in, out, UMA_DEMOTE_KERNEL_COPY);
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
    enum { MOST = 4096 }; /* a longer request is refused */
    struct file_dedupe_range head;
    struct file_dedupe_range_info info;
    int error = 0;
    if (!preload_peek(&head, range, sizeof head) || head.dest_count > (MOST - sizeof head) / sizeof info)
        return 0;
    for (unsigned i = 0; !error && i < head.dest_count && preload_peek(&info, &range->info[i], sizeof info); i++)
        error = preload_demote((int)info.dest_fd, UMA_DEMOTE_IOCTL);
    return error;
}

/* The file that a request clones from; -1: it is none. */
static int copy_clone_source(unsigned long request, const void *arg)
{
    struct file_clone_range range;
    if (request == FICLONE)
        return (int)(long)arg;
    return request == FICLONERANGE && preload_peek(&range, arg, sizeof range) ? (int)range.src_fd : -1;
}

/* FIONREAD: how far it is from the position to the end, neither of which the kernel knows. */
static long copy_bytes_left(const struct nvmmio_core *core, int fd, int *left)
{
    long result = sys_ioctl(fd, FIONREAD, left); /* is the address good? */
    if (result < 0)
        return result;
    struct stat st;
    result = core->fstat(fd, &st);
    if (!preload_serves(fd))
        return 0; /* it was not looked at before: no file of ours */
    off_t at = result ? 0 : core->lseek(fd, 0, SEEK_CUR);
    if (result || at < 0)
        return result ? result : at;
    *left = (int)(st.st_size - at);
    return 0;
}

int preload_ioctl_arg(int fd, unsigned long request, void *arg)
{
    int error = 0;
    if (__builtin_expect(preload_core() != NULL, 0)) {
        const struct nvmmio_core *core = request == FIONREAD ? preload_serves(fd) : NULL;
        if (core)
            return (int)preload_result(copy_bytes_left(core, fd, arg));
        int source = copy_clone_source(request, arg);
        const struct copy_call call = {SYS_ioctl, {fd, (long)request, (long)arg}};
        if (source >= 0)
            return (int)preload_result(copy_run(source, fd, UMA_DEMOTE_IOCTL, &call));
        error = request == FIDEDUPERANGE ? copy_demote_dedupe(arg) : 0;
        if (!error && !copy_ioctl_is_harmless(request))
            error = preload_demote(fd, UMA_DEMOTE_IOCTL);
    }
    return (int)preload_result(error ? error : sys_ioctl(fd, request, arg));
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
