/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file.h — POSIX file calls on descriptors, managed or not: the interface of layer file; called by api, and by preload
 * through core.h.
 *
 * Every function takes the arguments of the system call of its name and returns its result or a negative errno value. On
 * a descriptor that is not managed it is the plain system call. Descriptor numbers are the kernel's.
 *
 * An open file description (OFD) that is managed has a record in a shared arena (offset, flags), so that dup and fork
 * share it as POSIX says. While its file is detached or PASSTHROUGH the kernel's offset counts, else the record's.
 */
#ifndef FILE_FILE_H
#define FILE_FILE_H

#include "uma/uma.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- descriptors ---- */
int file_openat(int dirfd, const char *path, int flags, mode_t mode); /* O_ATOMIC allowed */
/* Registers a descriptor that the kernel has just opened elsewhere (mkstemp, fopen): managed from now on if it is in a
 * root. flags: those it was opened with, or FILE_ASK_FLAGS. 0 or -errno; the descriptor stays open in any case. */
#define FILE_ASK_FLAGS (-1)
int file_adopt(int fd, int flags);
/* After EMFILE: gives up what descriptors of ours can be given up. False: none. */
bool file_relieve(void);
int file_close(int fd);
/* Forgets fd as file_close does, without closing it: somebody else is about to (fclose, closefrom inside libc). */
int file_release(int fd);
int file_dup(int fd);
int file_dup3(int fd, int newfd, int flags); /* newfd == fd: -EINVAL, as dup3 */
int file_dup2(int fd, int newfd);
int file_close_range(unsigned first, unsigned last, unsigned flags);
/* What fcntl does before it asks the kernel for a lock: 0, and *lock says the same as *given, from the file's start; 1 if the
 * kernel is to be given *given itself; or -errno. For callers that wait by themselves. */
struct flock;
int file_lock_prepare(int fd, const struct flock *given, struct flock *lock);
int file_fcntl(int fd, int cmd, long arg);
bool file_is_managed(int fd);

/* ---- data ---- */
ssize_t file_read(int fd, void *buf, size_t count);
ssize_t file_write(int fd, const void *buf, size_t count);
ssize_t file_pread(int fd, void *buf, size_t count, off_t offset);
ssize_t file_pwrite(int fd, const void *buf, size_t count, off_t offset);
ssize_t file_readv(int fd, const struct iovec *iov, int iovcnt);
ssize_t file_writev(int fd, const struct iovec *iov, int iovcnt);
ssize_t file_preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags);  /* offset -1: the OFD's */
ssize_t file_pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags); /* preadv is flags 0 and
                                                                                               offset >= 0 only */
off_t file_lseek(int fd, off_t offset, int whence);

/* ---- durability, size ---- */
int file_fsync(int fd);
int file_fdatasync(int fd);
void file_sync_all(void); /* commits every managed file of this process; before sync(2), syncfs(2) */
int file_ftruncate(int fd, off_t length);
int file_truncate(const char *path, off_t length);
int file_fallocate(int fd, int mode, off_t offset, off_t length);

/* fchownat; fchown(dirfd) if path is NULL. */
int file_chown(int dirfd, const char *path, uid_t uid, gid_t gid, int flags);
int file_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);

/* RLIMIT_FSIZE may have changed. The first call promises that every change is told: until then each extending write looks
 * itself. */
void file_limit_changed(void);

/* ---- the stat family ---- */
int file_fstat(int fd, struct stat *st);
int file_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int file_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx);
int file_futimens(int fd, const struct timespec times[2]);
int file_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags);

/* ---- mappings ---- */
/* The application's own mmap: loads, stores, reads and writes meet in the same bytes. Demotes the file where that cannot be
 * otherwise (UMA_DEMOTE_MMAP). */
void *file_mmap(void *addr, size_t length, int prot, int flags, int fd,
                off_t offset); /* address or -errno as sys_mmap */
/* The application's mremap: what is known of the mapping moves with it. */
void *file_mremap(void *old, size_t old_length, size_t length, int flags, void *new);
/* The nv family. */
void *file_nvmmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int file_nvmunmap(void *addr, size_t length);
int file_nvmsync(void *addr, size_t length, int flags);
int file_nvmemcpy(void *dst, const void *src, size_t n);
int file_nvmemset(void *dst, int c, size_t n);
int file_nvmemmove(void *dst, const void *src, size_t n);
int file_nvmemcmp(const void *a, const void *b, size_t n);
int file_nvstrcmp(const char *a, const char *b);
size_t file_nvstrlen(const char *s);
/* madvise(MADV_REMOVE): punches a hole into what is mapped there. */
int file_remove(void *addr, size_t length);
int file_mprotect(void *addr, size_t length, int prot);
/* After a system call that could not store to the buffer: whether it may be tried again, since the buffer is in a
 * failure-atomic mapping, which is stored to now. */
bool file_touch(const void *addr, size_t length);
/* Copies from the application's memory, which may be anything: false if it cannot be read, or nothing was ever managed. */
bool file_peek(void *to, const void *from, size_t length);

/* ---- leaving user space ---- */
/* Hands the file of fd to the kernel, its offset included, until its last close. 0 if fd is not managed. */
/* A call by which the kernel reads `in` (-1: nothing) and writes `out`: made when that is right for both, its result
 * returned, or -errno. Files that are attached are demoted. */
typedef long (*file_kernel_call)(const void *arg);
long file_by_kernel(int in, int out, enum uma_demotion reason, file_kernel_call call, const void *arg);
int file_demote(int fd, enum uma_demotion reason);
/* The same for every managed descriptor without close-on-exec: before exec, posix_spawn, system, popen. In a vfork child
 * (own_memory false) no descriptor may be opened: only files that are attached already are demoted, which does not. */
void file_demote_inheritable(bool own_memory);
/* Before an io_uring is made: 0, and from now on every file of this process is the kernel's while it is open, as what a ring
 * does is seen by nobody; or -ENOSYS where rings are denied, or -errno of a file that cannot be handed over. */
int file_ring_begin(void);

/* Before this process becomes another program: the same, and every other file is brought up to date, as closing it would. */
void file_before_exec(void);
void file_exec_failed(void);

/* At the start of a program: whether fd is one of the library's that was kept over exec, and is again; when that was asked of
 * all, and the inherited files are adopted. */
bool file_take_over(int fd);
void file_take_over_end(void);

/* From now on `foreign` tells whether this is another process in this memory, a vfork child; else the process id does. */
void file_ask_foreign(bool (*foreign)(void));

/* ---- the process changes what it sees or may do (file_move.c) ---- */
/* Around such a call. Everything goes on, or is settled while it still can be: all files are the kernel's before user ids
 * change. what: enum uma_move. target: what becomes "/", or NULL. */
void file_before_move(unsigned what, const char *target);
void file_after_move(unsigned what, bool moved);
/* Before the effective user may become `euid`: files that it could not attach become the kernel's. privileged: root may
 * attach all. */
void file_before_user(uint32_t euid, bool privileged);

/* ---- process ---- */
void file_before_fork(void);
void file_after_fork_parent(void);
void file_after_fork_child(void);
void file_allow_thread(void); /* behind file_born: libc can make threads */
void file_before_bare(void);  /* before a child that will run none */
void file_born(void);         /* in a child that ran no fork handlers */
void file_exit(void);
void file_main_ended(void); /* the first thread ends, and not the process */

#endif
