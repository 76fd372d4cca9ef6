/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nvx.c — the two call tables of nvx.h.
 */
#include "support/nvx.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef NVX_KERNEL
#include "nvmmio.h"

const bool nvx_is_kernel = false;
const struct nvx nvx = {
    .name = "nv",
    .open = nvopen,
    .close = nvclose,
    .dup = nvdup,
    .dup2 = nvdup2,
    .read = nvread,
    .write = nvwrite,
    .pread = nvpread,
    .pwrite = nvpwrite,
    .readv = nvreadv,
    .writev = nvwritev,
    .preadv = nvpreadv,
    .pwritev = nvpwritev,
    .lseek = nvlseek,
    .fsync = nvfsync,
    .fdatasync = nvfdatasync,
    .ftruncate = nvftruncate,
    .fallocate = nvfallocate,
    .fstat = nvfstat,
    .mmap = nvmmap,
    .munmap = nvmunmap,
    .mremap = nvmremap,
    .msync = nvmsync,
    .memcpy = nvmemcpy,
    .memset = nvmemset,
};
#endif

/* Libc's calls: the plain side of every test, and in the kernel build the side under test as well. */
const struct nvx nvx_plain = {
    .name = "kernel",
    .open = open,
    .close = close,
    .dup = dup,
    .dup2 = dup2,
    .read = read,
    .write = write,
    .pread = pread,
    .pwrite = pwrite,
    .readv = readv,
    .writev = writev,
    .preadv = preadv,
    .pwritev = pwritev,
    .lseek = lseek,
    .fsync = fsync,
    .fdatasync = fdatasync,
    .ftruncate = ftruncate,
    .fallocate = fallocate,
    .fstat = fstat,
    .mmap = mmap,
    .munmap = munmap,
    .mremap = mremap,
    .msync = msync,
    .memcpy = memcpy,
    .memset = memset,
};

#ifdef NVX_KERNEL
const bool nvx_is_kernel = true;
extern const struct nvx nvx __attribute__((alias("nvx_plain")));
#endif
