/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_syscall.c — syscall(): file calls go where the functions of their names go, the rest to the kernel. Layer
 * preload. Called by libuv (close, dup3, statx), libaio (io_setup) and others.
 */
#include "preload/preload.h"

/* Calls that take a descriptor and move data, bytes or durability. *result is libc's. False: none of them. */
static bool syscall_data(long number, const long a[6], long *result)
{
    switch (number) {
    case SYS_read:
        *result = preload_read((int)a[0], (void *)a[1], (size_t)a[2]);
        return true;
    case SYS_write:
        *result = preload_write((int)a[0], (const void *)a[1], (size_t)a[2]);
        return true;
    case SYS_pread64:
        *result = preload_pread((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
        return true;
    case SYS_pwrite64:
        *result = preload_pwrite((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
        return true;
    case SYS_readv:
        *result = preload_readv((int)a[0], (const struct iovec *)a[1], (int)a[2]);
        return true;
    case SYS_writev:
        *result = preload_writev((int)a[0], (const struct iovec *)a[1], (int)a[2]);
        return true;
    case SYS_preadv:
        *result = preload_preadv((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
        return true;
    case SYS_pwritev:
        *result = preload_pwritev((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
        return true;
    case SYS_preadv2:
        *result = preload_preadv2((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3], (int)a[5]);
        return true;
    case SYS_pwritev2:
        *result = preload_pwritev2((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3], (int)a[5]);
        return true;
    case SYS_lseek:
        *result = preload_lseek((int)a[0], a[1], (int)a[2]);
        return true;
    case SYS_fsync:
        *result = preload_fsync((int)a[0]);
        return true;
    case SYS_fdatasync:
        *result = preload_fdatasync((int)a[0]);
        return true;
    case SYS_sync:
        preload_sync();
        *result = 0;
        return true;
    case SYS_syncfs:
        *result = preload_syncfs((int)a[0]);
        return true;
    case SYS_copy_file_range:
        *result =
            preload_copy_file_range((int)a[0], (off_t *)a[1], (int)a[2], (off_t *)a[3], (size_t)a[4], (unsigned)a[5]);
        return true;
    case SYS_sendfile:
        *result = preload_sendfile((int)a[0], (int)a[1], (off_t *)a[2], (size_t)a[3]);
        return true;
    case SYS_splice:
        *result = preload_splice((int)a[0], (off_t *)a[1], (int)a[2], (off_t *)a[3], (size_t)a[4], (unsigned)a[5]);
        return true;
    default:
        return false;
    }
}

/* Calls that make, change and close descriptors. */
static bool syscall_descriptor(long number, const long a[6], long *result)
{
    switch (number) {
#ifdef SYS_open
    case SYS_open:
        *result = preload_openat_mode(AT_FDCWD, (const char *)a[0], (int)a[1], (mode_t)a[2]);
        return true;
    case SYS_creat:
        *result = preload_creat((const char *)a[0], (mode_t)a[1]);
        return true;
    case SYS_dup2:
        *result = preload_dup2((int)a[0], (int)a[1]);
        return true;
#endif
    case SYS_openat:
        *result = preload_openat_mode((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
        return true;
    case SYS_openat2:
        *result = preload_openat2((int)a[0], (const char *)a[1], (const struct open_how *)a[2], (size_t)a[3]);
        return true;
    case SYS_memfd_create:
        *result = preload_memfd_create((const char *)a[0], (unsigned)a[1]);
        return true;
    case SYS_pidfd_getfd:
        *result = preload_pidfd_getfd((int)a[0], (int)a[1], (unsigned)a[2]);
        return true;
    case SYS_open_by_handle_at:
        *result = preload_open_by_handle_at((int)a[0], (void *)a[1], (int)a[2]);
        return true;
    case SYS_close:
        *result = preload_close((int)a[0]);
        return true;
    case SYS_close_range:
        *result = preload_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
        return true;
    case SYS_dup:
        *result = preload_dup((int)a[0]);
        return true;
    case SYS_dup3:
        *result = preload_dup3((int)a[0], (int)a[1], (int)a[2]);
        return true;
    case SYS_fcntl:
        *result = preload_fcntl_arg((int)a[0], (int)a[1], a[2]);
        return true;
    case SYS_ioctl:
        *result = preload_ioctl_arg((int)a[0], (unsigned long)a[1], (void *)a[2]);
        return true;
    case SYS_sendmsg:
        *result = preload_sendmsg((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
        return true;
    case SYS_sendmmsg:
        *result = preload_sendmmsg((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3]);
        return true;
    case SYS_recvmsg:
        *result = preload_recvmsg((int)a[0], (struct msghdr *)a[1], (int)a[2]);
        return true;
    case SYS_select:
        *result = preload_select((int)a[0], (fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3], (struct timeval *)a[4]);
        return true;
    case SYS_pselect6:
        *result = preload_result(preload_select_sets((int)a[0],
                                                     (fd_set *const[]){(fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3]},
                                                     (struct timespec *)a[4], a[5]));
        return true;
    case SYS_recvmmsg:
        *result =
            preload_recvmmsg((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3], (struct timespec *)a[4]);
        return true;
    default:
        return false;
    }
}

/* Calls about size, times and mappings. */
static bool syscall_metadata(long number, const long a[6], long *result)
{
    switch (number) {
    case SYS_truncate:
        *result = preload_truncate((const char *)a[0], a[1]);
        return true;
    case SYS_ftruncate:
        *result = preload_ftruncate((int)a[0], a[1]);
        return true;
    case SYS_fallocate:
        *result = preload_fallocate((int)a[0], (int)a[1], a[2], a[3]);
        return true;
    case SYS_renameat2:
        *result = preload_renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4]);
        return true;
    case SYS_renameat:
        *result = preload_renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], 0);
        return true;
    case SYS_fchown:
        *result = preload_fchown((int)a[0], (uid_t)a[1], (gid_t)a[2]);
        return true;
    case SYS_fchownat:
        *result = preload_fchownat((int)a[0], (const char *)a[1], (uid_t)a[2], (gid_t)a[3], (int)a[4]);
        return true;
    case SYS_fstat:
        *result = preload_fstat((int)a[0], (struct stat *)a[1]);
        return true;
#ifdef SYS_stat
    case SYS_rename:
        *result = preload_renameat2(AT_FDCWD, (const char *)a[0], AT_FDCWD, (const char *)a[1], 0);
        return true;
    case SYS_chown:
        *result = preload_fchownat(AT_FDCWD, (const char *)a[0], (uid_t)a[1], (gid_t)a[2], 0);
        return true;
    case SYS_lchown:
        *result = preload_fchownat(AT_FDCWD, (const char *)a[0], (uid_t)a[1], (gid_t)a[2], AT_SYMLINK_NOFOLLOW);
        return true;
    case SYS_stat:
        *result = preload_fstatat(AT_FDCWD, (const char *)a[0], (struct stat *)a[1], 0);
        return true;
    case SYS_lstat:
        *result = preload_fstatat(AT_FDCWD, (const char *)a[0], (struct stat *)a[1], AT_SYMLINK_NOFOLLOW);
        return true;
    case SYS_utime:
        *result = preload_utime((const char *)a[0], (const struct utimbuf *)a[1]);
        return true;
    case SYS_utimes:
        *result = preload_futimesat(AT_FDCWD, (const char *)a[0], (const struct timeval *)a[1]);
        return true;
    case SYS_futimesat:
        *result = preload_futimesat((int)a[0], (const char *)a[1], (const struct timeval *)a[2]);
        return true;
#endif
    case SYS_newfstatat:
        *result = preload_fstatat((int)a[0], (const char *)a[1], (struct stat *)a[2], (int)a[3]);
        return true;
    case SYS_statx:
        *result = preload_statx((int)a[0], (const char *)a[1], (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
        return true;
    case SYS_utimensat:
        *result = preload_utimens((int)a[0], (const char *)a[1], (const struct timespec *)a[2], (int)a[3]);
        return true;
    case SYS_mmap:
        *result = (long)preload_mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
        return true;
    case SYS_munmap:
        *result = preload_munmap((void *)a[0], (size_t)a[1]);
        return true;
    case SYS_madvise:
        *result = preload_madvise((void *)a[0], (size_t)a[1], (int)a[2]);
        return true;
    case SYS_msync:
        *result = preload_msync((void *)a[0], (size_t)a[1], (int)a[2]);
        return true;
    case SYS_mremap:
        *result = (long)preload_mremap_to((void *)a[0], (size_t)a[1], (size_t)a[2], (int)a[3], (void *)a[4]);
        return true;
    default:
        return false;
    }
}

/* Calls that make, replace or end a process or set its limits, and give requests to queues and rings. */
static bool syscall_process(long number, const long a[6], long *result)
{
    switch (number) {
    case SYS_fork:
    case SYS_clone:
    case SYS_clone3: /* with a copy of the memory: preload_child_way sends us no others */
        *result = preload_result(preload_child_copy((const long[]){number, a[0], a[1], a[2], a[3], a[4]}));
        return true;
    case SYS_execve:
        *result = preload_execve((const char *)a[0], (char *const *)a[1], (char *const *)a[2]);
        return true;
    case SYS_execveat:
        *result = preload_execveat((int)a[0], (const char *)a[1], (char *const *)a[2], (char *const *)a[3], (int)a[4]);
        return true;
    case SYS_setrlimit:
        *result = preload_prlimit(0, (int)a[0], (const struct rlimit *)a[1], NULL);
        return true;
    case SYS_prlimit64:
        *result = preload_prlimit((pid_t)a[0], (int)a[1], (const struct rlimit *)a[2], (struct rlimit *)a[3]);
        return true;
    case SYS_chroot:
        *result = preload_chroot((const char *)a[0]);
        return true;
    case SYS_pivot_root:
        *result = preload_pivot_root((const char *)a[0], (const char *)a[1]);
        return true;
    case SYS_unshare:
        *result = preload_unshare((int)a[0]);
        return true;
    case SYS_setns:
        *result = preload_setns((int)a[0], (int)a[1]);
        return true;
    case SYS_setuid:
    case SYS_setfsuid:
        preload_before_user((uint32_t)a[0]);
        return false; /* of this thread alone, as the system call */
    case SYS_setreuid:
    case SYS_setresuid:
        preload_before_user((uint32_t)a[1]);
        return false;
    case SYS_capset:
        preload_before_capset();
        return false;
    case SYS_exit_group:
        preload_exit_group((int)a[0]);
    case SYS_io_uring_setup:
        *result = preload_result(preload_io_uring_setup((unsigned)a[0], (void *)a[1]));
        return true;
    case SYS_rt_sigaction:
        if (a[3] != sizeof(((struct sys_action *)0)->mask))
            return false;
        *result = preload_result(
            preload_signal_action((int)a[0], (const struct sys_action *)a[1], (struct sys_action *)a[2]));
        return true;
    case SYS_rt_sigprocmask:
        if (a[3] != sizeof(((struct sys_action *)0)->mask))
            return false;
        *result = preload_result(preload_signal_mask((int)a[0], (const uint64_t *)a[1], (uint64_t *)a[2]));
        return true;
    case SYS_io_submit:
        *result = preload_io_submit((unsigned long)a[0], a[1], (void *)a[2]);
        return true;
    default:
        return false;
    }
}

enum {
    SYSCALL_ARGUMENTS = 6,
    SYSCALL_KNOWN =
        466, /* of Linux 6.13. Those up to it that are not above touch no data of a file by its descriptor */
};

/* Calls that nobody here knows, and two in which the kernel reads a file: every managed file that an argument may name is
 * the kernel's first. What was not passed is whatever is there; handing a file over by chance harms nobody. */
static int syscall_demote(long number, const long a[6])
{
    int error = 0;
    bool known = number <= SYSCALL_KNOWN && number != SYS_finit_module && number != SYS_kexec_file_load;
    for (int i = 0; !known && !error && i < SYSCALL_ARGUMENTS; i++)
        if (a[i] == (int)a[i])
            error = preload_demote((int)a[i], UMA_DEMOTE_OTHER);
    return error;
}

/* Comes from preload_syscall_entry, which has looked for calls that make children. */
long preload_syscall(long number, ...)
{
    long a[SYSCALL_ARGUMENTS];
    long result;
    va_list args;
    va_start(args, number);
    for (int i = 0; i < SYSCALL_ARGUMENTS; i++)
        a[i] = va_arg(args, long); /* more than were passed: whatever is there, as in libc */
    va_end(args);
    number = (int)number; /* so the kernel takes it */
    if (syscall_data(number, a, &result) || syscall_descriptor(number, a, &result) ||
        syscall_metadata(number, a, &result) || syscall_process(number, a, &result))
        return result;
    result = syscall_demote(number, a);
    if (!result)
        result = preload_plain(number, a);
    return preload_result(result);
}
