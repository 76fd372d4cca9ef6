/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nvmmio.h — the public interface of libnvmmio, and its manual.
 *
 * nvmmio serves the data path of file I/O in user space for files on DAX-mapped persistent memory (PM). A regular file
 * that lies below a root (a directory tree named by NVMMIO_ROOT) is *managed*: what is written to it is kept in a log of
 * redo entries until it is written back to the file, by a background thread, by epoch.
 *
 * What every managed file is promised
 *   durable         when nvfsync, nvfdatasync, nvmsync(MS_SYNC) or a write on an O_SYNC/O_DSYNC descriptor returns, every
 *                   write that returned before it on that file is on PM
 *   failure-atomic  after a power cut the file, bytes and size, is as at its last completed sync, or as at one that was
 *                   in flight; never a mix of two
 *   process death   after SIGKILL every completed write is there, as the kernel would have kept it; a file opened with
 *                   O_ATOMIC is as at its last completed sync instead
 *   coherent        all threads and processes that use nvmmio on the file see one file; a read never sees half a write
 *                   (of up to 2 MiB; longer ones are made of pieces of that size)
 *
 * Conventions
 *   Each function takes the arguments of the POSIX call of the same name (without "nv"), returns what that call returns
 *   and sets errno as it would; only differences are told here. On a descriptor or a path outside every root each
 *   function is the plain system call. Offsets and lengths are in bytes. All functions may be called by any thread, in
 *   forked children too; none is async-signal-safe, unless libnvmmio_preload.so is loaded. Descriptors are the kernel's:
 *   they may be mixed with the libc's calls where libnvmmio_preload.so is loaded as well, and only there.
 *
 * Additional errno values of managed files
 *   ENOSPC  neither the log nor the file can grow
 *   EIO     an earlier I/O error left memory and PM in doubt; the file stays so until its last close
 *   EBUSY   the file is in use through nvmmio by another user
 */
#ifndef NVMMIO_H
#define NVMMIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NVMMIO_VERSION_MAJOR 0
#define NVMMIO_VERSION_MINOR 1

/* Open flag: what is written becomes part of the file at the next sync of the file (or its orderly last close) and not
 * before: after a crash of any kind, of the process or of the machine, the file is exactly as at its last completed
 * sync. The bit is free in Linux (<= 6.18) on every architecture; it never reaches the kernel. */
#ifndef O_ATOMIC
#define O_ATOMIC 01000000000
#endif

#if defined(__GNUC__)
#define NV_API __attribute__((visibility("default")))
#else
#define NV_API
#endif

/* ---- descriptors ---- */

/* Opens `path` as open(2), openat(2), creat(2) do; `mode` is read when O_CREAT or O_TMPFILE is set. */
NV_API int nvopen(const char *path, int flags, ... /* mode_t mode */);
NV_API int nvopenat(int dirfd, const char *path, int flags, ... /* mode_t mode */);
NV_API int nvcreat(const char *path, mode_t mode);

/* The last close of a managed file commits what was written, brings it to the file and lets go of all memory: from then
 * on the file is an ordinary one. An error of that write-back is returned (EIO, ENOSPC); the descriptor is closed. */
NV_API int nvclose(int fd);
NV_API int nvdup(int fd);
NV_API int nvdup2(int fd, int newfd);

/* ---- data ---- */

NV_API ssize_t nvread(int fd, void *buf, size_t count);
NV_API ssize_t nvwrite(int fd, const void *buf, size_t count);
NV_API ssize_t nvpread(int fd, void *buf, size_t count, off_t offset);
/* As pwrite(2) on Linux: on a descriptor with O_APPEND the data are appended, whatever `offset` says. */
NV_API ssize_t nvpwrite(int fd, const void *buf, size_t count, off_t offset);
NV_API ssize_t nvreadv(int fd, const struct iovec *iov, int iovcnt);
NV_API ssize_t nvwritev(int fd, const struct iovec *iov, int iovcnt);
NV_API ssize_t nvpreadv(int fd, const struct iovec *iov, int iovcnt, off_t offset);
NV_API ssize_t nvpwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset);
NV_API off_t nvlseek(int fd, off_t offset, int whence);

/* ---- durability ---- */

/* Both commit all of the file's writes, by any descriptor, thread or process, as one: after a crash all are there or,
 * if it came before the return, none that belongs to this sync alone. */
NV_API int nvfsync(int fd);
NV_API int nvfdatasync(int fd);

/* ---- size ---- */

NV_API int nvftruncate(int fd, off_t length);
NV_API int nvfallocate(int fd, int mode, off_t offset, off_t len);
/* st_size is the size that the file has for nvread. */
NV_API int nvfstat(int fd, struct stat *st);

/* ---- mapped files ---- */

/* Maps a file as mmap(2), and enters the mapping: from then on loads and stores through it, through any other mapping of
 * the file, and reads and writes by any descriptor, in any process, meet in the same bytes at once; loads behind the end of
 * the file raise SIGBUS. That lasts as long as the mapping, whatever becomes of the descriptor; a forked child inherits it.
 * A shared mapping with PROT_WRITE is failure-atomic: after a crash of any kind the file is exactly as at its last completed
 * nvmsync or nvfsync, of all that was stored and written by all threads and processes, as if opened O_ATOMIC. The first store
 * to a page after a sync costs a signal (SIGSEGV, whose handler the program must leave to the library) and a copy of the page;
 * a store that finds no room for that raises SIGBUS. System calls must not store there (EFAULT) but by the nv calls. Other
 * mappings are as the kernel's: nvmsync and nvfsync make what was stored durable. With libnvmmio_preload.so mmap(2) does the same, and these three may be mixed with mmap, munmap and mremap; without it what
 * nvmmap has mapped must be unmapped, moved and replaced by nvmunmap, nvmremap and nvmmap alone. Thousands of mappings are
 * nothing special: finding the one of an address takes no lock.
 *
 * nvmunmap: whole pages, any part of one mapping or several, as munmap(2); addresses that are in none are the kernel's affair.
 * When the last mapping of a file is gone its writes are logged again. ENOMEM also if there is no memory to note it: then
 * nothing was unmapped. */
NV_API void *nvmmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
NV_API int nvmunmap(void *addr, size_t length);

/* As mremap(2), with all its flags; the fifth argument, the new address, is there with MREMAP_FIXED alone (and
 * MREMAP_DONTUNMAP, where it is wanted). */
NV_API void *nvmremap(void *old, size_t old_length, size_t new_length, int flags, ... /* void *new_address */);

/* As msync(2) (errors included: EINVAL, ENOMEM): MS_SYNC makes durable what was stored in the range by plain stores, and all
 * that was written by any means to every managed file mapped there, that as one. MS_ASYNC and MS_INVALIDATE promise nothing,
 * since mappings are always coherent. */
NV_API int nvmsync(void *addr, size_t length, int flags);

/* As memcpy(3), memmove(3) and memset(3). A destination inside a shared mapping (of nvmmap, or of mmap under the preload
 * library) is a failure-atomic write to the file, of pieces of at most 64 KiB, made durable by the next nvmsync or nvfsync;
 * a source inside one is read as by nvpread: it never shows half of such a write. Beyond the end of the file nothing is
 * stored, as a store there would raise SIGBUS. Return `dst`, or NULL with errno if the write failed (ENOSPC, EIO, EACCES for
 * a mapping made without PROT_WRITE); a part may be written then. */
NV_API void *nvmemcpy(void *dst, const void *src, size_t n);
NV_API void *nvmemmove(void *dst, const void *src, size_t n);
NV_API void *nvmemset(void *dst, int c, size_t n);

/* As memcmp(3), strcmp(3) and strlen(3); what lies in a shared mapping is read as by nvpread, at most 256 bytes at a time. They
 * cannot fail: where the file cannot be read (EIO) they load from the mapping, and a bad medium raises SIGBUS. */
NV_API int nvmemcmp(const void *a, const void *b, size_t n);
NV_API int nvstrcmp(const char *a, const char *b);
NV_API size_t nvstrlen(const char *s);

/* ---- insight ---- */

/* Reads one counter of this process by its name ("pm.bytes", "uma.commits", ... ; src/base/stats.h has the list) into
 * *value. Errors: ENOENT. */
NV_API int nvstats_get(const char *name, uint64_t *value);

#ifdef __cplusplus
}
#endif

#endif /* NVMMIO_H */
