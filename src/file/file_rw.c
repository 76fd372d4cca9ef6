/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_rw.c — read and write, with their positional and vector forms. Layer file.
 *
 * Arguments are checked as vfs_read and vfs_write check them, in their order. Where a check fails, the call itself is made
 * in the kernel: it must fail there too, and does so with the errno of the kernel that runs.
 */
#include "file/file_candidate.h"
#include "file/file_lock.h"
#include "file/file_private.h"

#include "base/inside.h"
#include "base/rawsys.h"
#include "pm/pm_guard.h"

#include <errno.h>
#include <limits.h>

#define RW_BYTES_MAX UINT64_C(0x7ffff000) /* MAX_RW_COUNT of the kernel */
#define RW_SEQUENTIAL ((off_t)-1)         /* in rw_call.offset: at the description's offset */

/* RWF_ flags that change nothing for a file in memory, and those that are understood. Others are EOPNOTSUPP. */
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x00000020
#endif
#define RW_FLAGS_SYNC (RWF_DSYNC | RWF_SYNC)
#define RW_FLAGS (RWF_HIPRI | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND | RW_FLAGS_SYNC)

struct rw_call {
    int fd;
    int iovcnt;
    const struct iovec *iov;
    uint64_t length; /* of all buffers, at most RW_BYTES_MAX */
    off_t offset;    /* or RW_SEQUENTIAL */
    int flags;       /* RWF_ */
    bool vector;     /* iov is the application's */
    bool over_limit; /* set by the call: SIGXFSZ is due */
};

enum rw_direction { RW_READ, RW_WRITE };

static bool appends(const struct rw_call *call, uint32_t status)
{
    return (call->flags & RWF_APPEND) || ((status & O_APPEND) && !(call->flags & RWF_NOAPPEND));
}

/* ---- the kernel's path ---- */

static inline ssize_t kernel_single(int fd, void *buf, size_t count, off_t offset, enum rw_direction direction)
{
    if (offset == RW_SEQUENTIAL)
        return direction == RW_WRITE ? sys_write(fd, buf, count) : sys_read(fd, buf, count);
    return direction == RW_WRITE ? sys_pwrite(fd, buf, count, offset) : sys_pread(fd, buf, count, offset);
}

static ssize_t kernel_transfer(const struct rw_call *call, enum rw_direction direction)
{
    const struct iovec *iov = call->iov;
    if (call->vector)
        return direction == RW_WRITE ? sys_pwritev2(call->fd, iov, call->iovcnt, call->offset, call->flags)
                                     : sys_preadv2(call->fd, iov, call->iovcnt, call->offset, call->flags);
    return kernel_single(call->fd, iov->iov_base, iov->iov_len, call->offset, direction);
}

static ssize_t kernel_call(struct fd_handle *handle, const struct rw_call *call, enum rw_direction direction,
                           struct uma_done *done)
{
    const bool sequential = call->offset == RW_SEQUENTIAL;
    if (sequential) {
        int error = ofd_to_kernel(handle->ofd, call->fd);
        if (error)
            return error;
    }
    uint32_t locks = file_lock_count(call->fd);
    if (locks)
        uma_note_locks(handle->uma, locks);
    if (direction == RW_READ) {
        ssize_t result = kernel_transfer(call, direction);
        done->bytes_read = result > 0 ? (uint64_t)result : 0;
        return result;
    }
    const bool append = appends(call, ofd_flags(handle->ofd));
    int64_t offset = append ? -1 : sequential ? UMA_OFFSET_KERNELS : call->offset;
    if (uma_earn_whole(handle->uma, call->fd, offset, call->length))
        return -UMA_AGAIN;
    ssize_t result = kernel_transfer(call, direction);
    if (result > 0) {
        done->bytes_written = (uint64_t)result;
        done->end = offset >= 0 ? (uint64_t)(offset + result) : 0;
    }
    return result;
}

/* ---- a candidate ---- */

/* Whether the write must be made by a handle. A fresh file has nothing to lose, and is not asked for its offset. */
static bool candidate_tears(struct fd_candidate *candidate, int fd, size_t count, off_t offset)
{
    if (candidate_is_fresh(candidate))
        return false;
    if (candidate->flags & O_APPEND)
        offset = -1;
    else if (offset == RW_SEQUENTIAL)
        offset = sys_lseek(fd, 0, SEEK_CUR);
    return uma_worth_tears(&candidate->worth, candidate->volume, fd, offset, count);
}

/* The call on a candidate, made by the kernel. -UMA_AGAIN: it must be made by a handle. */
static inline ssize_t candidate_call(int fd, void *buf, size_t count, off_t offset, enum rw_direction direction)
{
    struct fd_candidate *candidate = candidate_record(fd);
    struct volume_inflight inflight;
    const bool writes = direction == RW_WRITE;
    if (__builtin_expect(!candidate_is_seen(candidate), 0)) {
        int error = candidate_see(fd, NULL);
        if (error || fd_table_get(fd) != FD_CANDIDATE || !candidate_is_seen(candidate))
            return error ? error : -UMA_AGAIN;
    }
    if (candidate_has_earned(candidate) || (writes && candidate_tears(candidate, fd, count, offset)) ||
        !candidate_enter(candidate, writes, &inflight))
        return -UMA_AGAIN;
    ssize_t result = uma_after_kernel(kernel_single(fd, buf, count, offset, direction));
    if (result > 0) {
        candidate_note(candidate, writes, (uint64_t)result);
        if (writes && offset != RW_SEQUENTIAL && !(candidate->flags & O_APPEND))
            uma_worth_reach(&candidate->worth, (uint64_t)offset + (uint64_t)result);
    }
    candidate_leave(&inflight);
    return __builtin_expect(result == -EFAULT, 0) && !writes ? -UMA_AGAIN : result; /* see rw_touch */
}

/* ---- in user space ---- */

static ssize_t user_write(struct fd_handle *handle, struct rw_call *call, uint64_t offset, uint64_t *end)
{
    struct uma *uma = handle->uma;
    uint32_t status = ofd_flags(handle->ofd);
    bool append = appends(call, status);
    unsigned how = append ? UMA_WRITE_APPEND : 0;
    if ((status & O_DSYNC) || (call->flags & RW_FLAGS_SYNC)) /* O_SYNC has the bit of O_DSYNC */
        how |= UMA_WRITE_SYNC;
    uint64_t length = call->length;
    if (append)
        offset = uma_size(uma);
    int error = offset >= INT64_MAX ? -EFBIG : file_limit_check(uma, offset, &length);
    if (error) {
        call->over_limit = offset < INT64_MAX;
        return error;
    }
    if (__builtin_expect(offset + length > UMA_SIZE_SURE, 0)) {
        uint64_t most = uma_size_most(uma, offset + length < INT64_MAX ? offset + length : INT64_MAX);
        if (offset >= most)
            return -EFBIG;
        length = length < most - offset ? length : most - offset;
    }
    return uma_write(uma, call->iov, call->iovcnt, offset, length, how, end);
}

static ssize_t user_read(struct fd_handle *handle, const struct rw_call *call, uint64_t offset)
{
    ssize_t result = uma_read(handle->uma, call->iov, call->iovcnt, offset, call->length);
    /* relaxed: as f_flags in the kernel */
    if (result >= 0 && !atomic_load_explicit(&handle->quiet, memory_order_relaxed))
        uma_note_read(handle->uma);
    return result;
}

static ssize_t user_sequential(struct fd_handle *handle, struct rw_call *call, enum rw_direction direction)
{
    struct ofd *ofd = handle->ofd;
    int error = ofd_from_kernel(ofd, call->fd);
    if (error)
        return error;
    uint64_t offset = ofd->offset, end = offset;
    if (call->length > (uint64_t)INT64_MAX - offset)
        return -EINVAL;
    ssize_t result;
    if (direction == RW_WRITE) {
        result = user_write(handle, call, offset, &end);
    } else {
        result = user_read(handle, call, offset);
        end = offset + (uint64_t)(result > 0 ? result : 0);
    }
    if (result > 0)
        ofd_set_offset(ofd, end);
    return result;
}

static ssize_t user_positional(struct fd_handle *handle, struct rw_call *call, enum rw_direction direction)
{
    uint64_t end;
    if (direction == RW_WRITE)
        return user_write(handle, call, (uint64_t)call->offset, &end);
    return user_read(handle, call, (uint64_t)call->offset);
}

/* ---- both ---- */

/* See file_yields. What cannot be handed over is an error of this call, as it would be of the demotion itself. */
static __attribute__((noinline, cold)) ssize_t rw_yield(struct fd_handle *handle, const struct rw_call *call)
{
    int error = uma_demote(handle->uma, call->fd, UMA_DEMOTE_FDPASS);
    return error ? error : -UMA_AGAIN;
}

/* Not by file_call_run, which calls its step through a pointer: this is the hot path. */
static inline ssize_t rw_once(struct fd_handle *handle, struct rw_call *call, enum rw_direction direction)
{
    bool sequential = call->offset == RW_SEQUENTIAL;
    struct uma_op op;
    struct uma_done done;
    ssize_t result;
    if (!call->length)
        return 0;
    file_heed(handle, call->fd);
    if (sequential)
        handle_lock(handle);
    do {
        done = (struct uma_done){0};
        int path = uma_begin(handle->uma, call->fd, direction == RW_WRITE ? UMA_INTENT_WRITE : UMA_INTENT_READ, &op);
        if (path < 0) {
            result = path;
            continue;
        }
        if (file_yields(handle, path))
            result = rw_yield(handle, call);
        else if (path == UMA_PATH_KERNEL)
            result = uma_after_kernel(kernel_call(handle, call, direction, &done));
        else if (sequential)
            result = user_sequential(handle, call, direction);
        else
            result = user_positional(handle, call, direction);
        uma_end(handle->uma, &op, &done);
    } while (result == -UMA_AGAIN);
    if (sequential)
        ofd_unlock(handle->ofd);
    return result;
}

/* Whether a read may be tried again that could not store to its buffers. */
static __attribute__((noinline, cold)) bool rw_touch(const struct rw_call *call)
{
    bool any = false;
    for (int i = 0; i < call->iovcnt; i++)
        any = file_touch(call->iov[i].iov_base, call->iov[i].iov_len) || any;
    return any;
}

static inline ssize_t rw_run(struct fd_handle *handle, struct rw_call *call, enum rw_direction direction)
{
    ssize_t result;
    unsigned touches = 0;
    do
        result = rw_once(handle, call, direction);
    while (__builtin_expect(result == -EFAULT, 0) && direction == RW_READ && touches++ < FILE_TOUCHES &&
           rw_touch(call));
    return result;
}

/* Leaves the read section, then gives a signal that is due. */
static inline ssize_t rw_leave(const struct rw_call *call, ssize_t result)
{
    handle_leave();
    if (__builtin_expect(call->over_limit, 0))
        file_limit_signal();
    return result;
}

/* Whether the kernel must refuse the call: wrong access mode, or numbers that make no range. */
static inline bool refused(const struct fd_handle *handle, enum rw_direction direction, size_t count, off_t offset)
{
    bool allowed = direction == RW_WRITE ? handle->writable : handle->readable;
    return !allowed || (ssize_t)count < 0 || offset < 0 || count > (uint64_t)INT64_MAX - (uint64_t)offset;
}

/* Ends of what a process can have mapped: without asking for more, and by asking (five-level paging). A buffer across an
 * end is refused as a whole by the kernel, before anything is transferred. */
#if defined(__x86_64__)
#define RW_SPACE_END (UINT64_C(1) << 47)
#else
#define RW_SPACE_END (UINT64_C(1) << 48)
#endif
#define RW_SPACE_LAST (UINT64_C(1) << 56)

static inline bool outside_space(const void *base, size_t length)
{
    uint64_t start = (uintptr_t)base, end = start + length;
    return __builtin_expect(end > RW_SPACE_END || end < start, 0) &&
           (end < start || end > RW_SPACE_LAST || start < RW_SPACE_END);
}

static inline uint64_t clamp(size_t count)
{
    return count < RW_BYTES_MAX ? count : RW_BYTES_MAX;
}

/* A call on what is no managed file, and may wait: a pipe, a terminal. What is read may go to a failure-atomic mapping. */
static ssize_t other_single(int fd, void *buf, size_t count, off_t offset, enum rw_direction direction)
{
    ssize_t result;
    unsigned touches = 0;
    do {
        struct inside_window window = inside_open();
        result = kernel_single(fd, buf, count, offset, direction);
        inside_shut(window);
    } while (__builtin_expect(result == -EFAULT, 0) && direction == RW_READ && touches++ < FILE_TOUCHES &&
             file_touch(buf, count));
    return result;
}

static ssize_t other_vector(const struct rw_call *call, enum rw_direction direction)
{
    struct inside_window window = inside_open();
    ssize_t result = kernel_transfer(call, direction);
    inside_shut(window);
    return result;
}

/* The kernel's answer to a call that it refuses. */
static ssize_t rw_refuse(ssize_t result)
{
    handle_leave();
    return result;
}

/* A call with one buffer, by the handle. offset: not negative, or RW_SEQUENTIAL. */
static inline ssize_t rw_single(int fd, void *buf, size_t count, off_t offset, enum rw_direction direction)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : other_single(fd, buf, count, offset, direction);
    if (refused(handle, direction, count, offset == RW_SEQUENTIAL ? 0 : offset))
        return rw_refuse(kernel_single(fd, buf, count, offset, direction));
    struct iovec iov = {.iov_base = buf, .iov_len = count};
    struct rw_call call = {.fd = fd, .iov = &iov, .iovcnt = 1, .length = clamp(count), .offset = offset};
    return rw_leave(&call, outside_space(buf, count) ? -EFAULT : rw_run(handle, &call, direction));
}

/* Not inlined, so that a candidate's call, which needs little room, does not make theirs. */
static __attribute__((noinline)) ssize_t single_read(int fd, void *buf, size_t count, off_t offset)
{
    return rw_single(fd, buf, count, offset, RW_READ);
}

static __attribute__((noinline)) ssize_t single_write(int fd, void *buf, size_t count, off_t offset)
{
    return rw_single(fd, buf, count, offset, RW_WRITE);
}

static inline ssize_t single(int fd, void *buf, size_t count, off_t offset, enum rw_direction direction)
{
    if (fd_table_get(fd) == FD_CANDIDATE) {
        ssize_t result = candidate_call(fd, buf, count, offset, direction);
        if (__builtin_expect(result != -UMA_AGAIN, 1))
            return result;
    }
    return direction == RW_WRITE ? single_write(fd, buf, count, offset) : single_read(fd, buf, count, offset);
}

/* An offset below 0 is the kernel's to refuse: -1 would be RW_SEQUENTIAL. */
ssize_t file_pread(int fd, void *buf, size_t count, off_t offset)
{
    return __builtin_expect(offset < 0, 0) ? sys_pread(fd, buf, count, offset)
                                           : single(fd, buf, count, offset, RW_READ);
}

ssize_t file_pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    return __builtin_expect(offset < 0, 0) ? sys_pwrite(fd, buf, count, offset)
                                           : single(fd, (void *)buf, count, offset, RW_WRITE);
}

ssize_t file_read(int fd, void *buf, size_t count)
{
    return single(fd, buf, count, RW_SEQUENTIAL, RW_READ);
}

ssize_t file_write(int fd, const void *buf, size_t count)
{
    return single(fd, (void *)buf, count, RW_SEQUENTIAL, RW_WRITE);
}

/* ---- vectors ---- */

/* The length of all buffers, cut as the kernel cuts it; -EINVAL or -EFAULT for an array that it refuses. */
static __attribute__((noinline)) int vector_length(const struct iovec *iov, int iovcnt, uint64_t *length)
{
    struct pm_guard guard;
    *length = 0;
    if (iovcnt < 0 || iovcnt > IOV_MAX)
        return -EINVAL;
    if (pm_guard_begin(&guard))
        return -EFAULT;
    uint64_t sum = 0;
    bool negative = false, outside = false;
    for (int i = 0; i < iovcnt; i++) {
        size_t piece = iov[i].iov_len;
        negative |= (ssize_t)piece < 0;
        outside |= outside_space(iov[i].iov_base, piece);
        sum = clamp(sum + clamp(piece));
    }
    pm_guard_end();
    *length = sum;
    if (negative)
        return -EINVAL;
    return outside ? -EFAULT : 0;
}

static ssize_t vector_call(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags,
                           enum rw_direction direction)
{
    struct rw_call call = {.fd = fd, .iov = iov, .iovcnt = iovcnt, .offset = offset, .flags = flags, .vector = true};
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle ? -EBADF : other_vector(&call, direction);
    off_t position = offset == RW_SEQUENTIAL ? 0 : offset;
    int error = vector_length(iov, iovcnt, &call.length);
    ssize_t result;
    if (refused(handle, direction, call.length, position))
        result = kernel_transfer(&call, direction);
    else if (error)
        result = error;
    else if (call.length && (flags & ~RW_FLAGS))
        result = -EOPNOTSUPP;
    else if ((flags & RWF_APPEND) && (flags & RWF_NOAPPEND))
        result = -EINVAL;
    else if ((flags & RWF_NOWAIT) && call.length &&
             (error = uma_nowait(handle->uma, fd, direction == RW_WRITE ? UMA_INTENT_WRITE : UMA_INTENT_READ)))
        result = error;
    else
        result = rw_run(handle, &call, direction);
    return rw_leave(&call, result);
}

ssize_t file_readv(int fd, const struct iovec *iov, int iovcnt)
{
    return vector_call(fd, iov, iovcnt, RW_SEQUENTIAL, 0, RW_READ);
}

ssize_t file_writev(int fd, const struct iovec *iov, int iovcnt)
{
    return vector_call(fd, iov, iovcnt, RW_SEQUENTIAL, 0, RW_WRITE);
}

ssize_t file_preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
{
    return vector_call(fd, iov, iovcnt, offset, flags, RW_READ);
}

ssize_t file_pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
{
    return vector_call(fd, iov, iovcnt, offset, flags, RW_WRITE);
}
