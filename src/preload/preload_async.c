/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_async.c — asynchronous input and output: of POSIX, and of the kernel (libaio). Layer preload.
 *
 * Files are demoted when a request names them. preload_ring.c has the rings.
 */
#include "preload/preload.h"

#include <aio.h>
#include <linux/aio_abi.h>

/* ---- the kernel's queues: libaio calls by syscall() ---- */

long preload_io_submit(unsigned long context, long count, void *requests)
{
    for (long i = 0; preload_core() && i < count; i++) {
        const void *address;
        struct iocb request;
        if (!preload_peek(&address, (const void **)requests + i, sizeof address) ||
            !preload_peek(&request, address, sizeof request))
            break;
        int error = preload_demote((int)request.aio_fildes, UMA_DEMOTE_AIO);
        if (error)
            return preload_result(error);
    }
    return preload_result(rawsys(SYS_io_submit, (long)context, count, (long)requests, 0, 0, 0));
}

/* ---- POSIX asynchronous input and output: threads inside libc ---- */

typedef int async_aio_call(struct aiocb *);

static int async_aio(enum preload_real which, struct aiocb *block)
{
    async_aio_call *real = preload_real(which);
    int error = preload_demote(block->aio_fildes, UMA_DEMOTE_AIO);
    if (error)
        return (int)preload_result(error);
    return real ? real(block) : -1;
}

int preload_aio_read(struct aiocb *block)
{
    return async_aio(PRELOAD_REAL_aio_read, block);
}

int preload_aio_write(struct aiocb *block)
{
    return async_aio(PRELOAD_REAL_aio_write, block);
}

int preload_aio_fsync(int operation, struct aiocb *block)
{
    int (*real)(int, struct aiocb *) = preload_real(PRELOAD_REAL_aio_fsync);
    int error = preload_demote(block->aio_fildes, UMA_DEMOTE_AIO);
    if (error)
        return (int)preload_result(error);
    return real ? real(operation, block) : -1;
}

int preload_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *event)
{
    int (*real)(int, struct aiocb *const[], int, struct sigevent *) = preload_real(PRELOAD_REAL_lio_listio);
    for (int i = 0; i < count; i++) {
        int error = list[i] ? preload_demote(list[i]->aio_fildes, UMA_DEMOTE_AIO) : 0;
        if (error)
            return (int)preload_result(error);
    }
    return real ? real(mode, list, count, event) : -1;
}

#define PRELOAD_EXPORT_async PRELOAD_ALIAS
#include "preload/preload_export.h"
