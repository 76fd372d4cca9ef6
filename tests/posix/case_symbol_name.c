/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol_name.c — names of libc that take a path and change or read names, rights, attributes, directories.
 */
#include "case_symbol.h"

#include <dirent.h>
#include <glob.h>
#include <nl_types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/acct.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/xattr.h>
#include <utmp.h>
#include <utmpx.h>

int __xmknod(int version, const char *path, mode_t mode, dev_t *dev);
int __xmknodat(int version, int dirfd, const char *path, mode_t mode, dev_t *dev);
ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t room);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t len, size_t room);
char *__realpath_chk(const char *path, char *room, size_t size);
int chflags(const char *path, unsigned long flags);
int fchflags(int fd, unsigned long flags);
int revoke(const char *path);
int symbol_uselib_old(const char *path);
SYMBOL_OLD(symbol_uselib_old, uselib, "GLIBC_2.2.5");

/* A call, after a write that the library may still have to itself, and what stat says then. */
#define NAME_CASE(name, ...)                                                                                           \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct stat st = {0};                                                                                          \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes + 1, 5000));                                                                              \
        CALL(__VA_ARGS__);                                                                                             \
        CALL(fstat(fd, &st));                                                                                          \
        say("mode %o links %u size %lld", st.st_mode, (unsigned)st.st_nlink, (long long)st.st_size);                   \
    }

NAME_CASE(access, access(SUBJECT, R_OK | W_OK))
NAME_CASE(eaccess, eaccess(SUBJECT, X_OK))
NAME_CASE(euidaccess, euidaccess(SUBJECT, R_OK))
NAME_CASE(faccessat, faccessat(AT_FDCWD, SUBJECT, W_OK, AT_EACCESS))
NAME_CASE(chmod, chmod(SUBJECT, 0600))
NAME_CASE(lchmod, lchmod(SUBJECT, 0600))
NAME_CASE(fchmod, fchmod(fd, 0400))
NAME_CASE(fchmodat, fchmodat(AT_FDCWD, SUBJECT, 0640, 0))
NAME_CASE(chown, chown(SUBJECT, (uid_t)-1, (gid_t)-1))
NAME_CASE(lchown, lchown(SUBJECT, (uid_t)-1, (gid_t)-1))
NAME_CASE(fchown, fchown(fd, (uid_t)-1, (gid_t)-1))
NAME_CASE(fchownat, fchownat(AT_FDCWD, SUBJECT, (uid_t)-1, (gid_t)-1, 0))
NAME_CASE(chflags, chflags(SUBJECT, 0))
NAME_CASE(fchflags, fchflags(fd, 0))
NAME_CASE(revoke, revoke(SUBJECT))
NAME_CASE(uselib, symbol_uselib_old(SUBJECT))
NAME_CASE(acct, acct("missing"))
NAME_CASE(chdir, chdir(SUBJECT))
NAME_CASE(mkdir, mkdir(SUBJECT, 0755) + mkdir("directory", 0755))
NAME_CASE(mkdirat, mkdirat(AT_FDCWD, "directory", 0755))
NAME_CASE(rmdir, rmdir(SUBJECT))
NAME_CASE(mkfifo, mkfifo("fifo", 0600) + mkfifo(SUBJECT, 0600))
NAME_CASE(mkfifoat, mkfifoat(AT_FDCWD, "fifo", 0600))
NAME_CASE(pathconf, pathconf(SUBJECT, _PC_NAME_MAX))
NAME_CASE(link, link(SUBJECT, "hard"))
NAME_CASE(linkat, linkat(AT_FDCWD, SUBJECT, AT_FDCWD, "hard", 0))
NAME_CASE(symlink, symlink(SUBJECT, "soft"))
NAME_CASE(symlinkat, symlinkat(SUBJECT, AT_FDCWD, "soft"))
NAME_CASE(unlink, unlink(SUBJECT))
NAME_CASE(unlinkat, unlinkat(AT_FDCWD, SUBJECT, 0))
NAME_CASE(remove, remove(SUBJECT))
NAME_CASE(rename, rename(SUBJECT, "renamed"))
NAME_CASE(renameat, renameat(AT_FDCWD, SUBJECT, AT_FDCWD, "renamed"))
NAME_CASE(mount, mount("missing", SUBJECT, "none", 0, NULL))
NAME_CASE(umount, umount(SUBJECT))
NAME_CASE(umount2, umount2(SUBJECT, UMOUNT_NOFOLLOW))
NAME_CASE(mount_setattr, mount_setattr(AT_FDCWD, "missing", 0, NULL, 0))
NAME_CASE(swapon, swapon("missing", 0))
NAME_CASE(swapoff, swapoff("missing"))
NAME_CASE(quotactl, quotactl(QCMD(Q_GETINFO, USRQUOTA), "missing", 0, NULL))
NAME_CASE(catopen, report_pointer(catopen("./" SUBJECT, 0) == (nl_catd)-1 ? NULL : bytes))
NAME_CASE(catclose, catclose((nl_catd)-1))
NAME_CASE(move_mount, move_mount(AT_FDCWD, "missing", AT_FDCWD, SUBJECT, 0))

SYMBOL_CASE(renameat2)
{
    int other = CALL(open("other", O_RDWR | O_CREAT, 0600));
    CALL(write(other, bytes, 9000));
    CALL(fsync(other));
    CALL(write(other, bytes, 900));
    CALL(write(fd, bytes + 1, 5000));
    CALL(renameat2(AT_FDCWD, SUBJECT, AT_FDCWD, "other", RENAME_EXCHANGE));
    CALL(write(other, bytes, 900));
    CALL(renameat2(AT_FDCWD, SUBJECT, AT_FDCWD, "other", RENAME_NOREPLACE));
    symbol_use(other);
}

#define MKNOD_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        dev_t none __attribute__((unused)) = 0;                                                                        \
        CALL(name(__VA_ARGS__));                                                                                       \
        symbol_use(CALL(open("node", O_RDWR)));                                                                        \
        CALL(name(__VA_ARGS__));                                                                                       \
    }
MKNOD_CASE(mknod, "node", S_IFREG | 0600, 0)
MKNOD_CASE(mknodat, AT_FDCWD, "node", S_IFREG | 0600, 0)
MKNOD_CASE(__xmknod, 0, "node", S_IFREG | 0600, &none)
MKNOD_CASE(__xmknodat, 0, AT_FDCWD, "node", S_IFREG | 0600, &none)

SYMBOL_CASE(mkdtemp)
{
    char pattern[] = "t.XXXXXX";
    watch_errno = false;
    CALL_POINTER(mkdtemp(pattern));
    CALL(rmdir(pattern));
}

/* ---- paths ---- */

#define READLINK_CASE(name, ...)                                                                                       \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(symlink(SUBJECT, "soft"));                                                                                \
        SHOW_BYTES(scratch, CALL(name(__VA_ARGS__)));                                                                  \
        CALL(unlink("soft"));                                                                                          \
        CALL(name(__VA_ARGS__));                                                                                       \
    }
READLINK_CASE(readlink, "soft", (char *)scratch, 100)
READLINK_CASE(readlinkat, AT_FDCWD, "soft", (char *)scratch, 100)
READLINK_CASE(__readlink_chk, "soft", (char *)scratch, 100, 100)
READLINK_CASE(__readlinkat_chk, AT_FDCWD, "soft", (char *)scratch, 100, 100)

static void say_last(int line, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    say("%d: %s", line, slash ? slash : "nothing");
}

SYMBOL_CASE(realpath)
{
    char room[4096];
    say_last(__LINE__, realpath("./" SUBJECT, room));
    CALL_POINTER(realpath("missing", room));
}

SYMBOL_CASE(__realpath_chk)
{
    char room[4096];
    say_last(__LINE__, __realpath_chk("./" SUBJECT, room, sizeof room));
}

SYMBOL_CASE(canonicalize_file_name)
{
    char *path = canonicalize_file_name("./" SUBJECT);
    say_last(__LINE__, path);
    free(path);
}

SYMBOL_CASE(ftok)
{
    CALL(write(fd, bytes, 5000));
    say("%d", ftok(SUBJECT, 'a') == ftok("./" SUBJECT, 'a'));
    CALL(ftok("missing", 'a'));
}

/* ---- attributes ---- */

#define XATTR_CASE(name, ...)                                                                                          \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        CALL(write(fd, bytes + 1, 5000));                                                                              \
        CALL(fsetxattr(fd, "user.a", "value", 5, 0));                                                                  \
        CALL(__VA_ARGS__);                                                                                             \
        SHOW_BYTES(scratch, CALL(fgetxattr(fd, "user.a", scratch, 100)));                                              \
    }
XATTR_CASE(getxattr, getxattr(SUBJECT, "user.a", scratch, 100))
XATTR_CASE(lgetxattr, lgetxattr(SUBJECT, "user.a", scratch, 100))
XATTR_CASE(fgetxattr, fgetxattr(fd, "user.b", scratch, 100))
XATTR_CASE(setxattr, setxattr(SUBJECT, "user.a", "other", 5, 0))
XATTR_CASE(lsetxattr, lsetxattr(SUBJECT, "user.a", "other", 5, XATTR_CREATE))
XATTR_CASE(fsetxattr, fsetxattr(fd, "user.a", "other", 5, XATTR_REPLACE))
XATTR_CASE(listxattr, listxattr(SUBJECT, (char *)scratch, 0))
XATTR_CASE(llistxattr, llistxattr(SUBJECT, (char *)scratch, 100))
XATTR_CASE(flistxattr, flistxattr(fd, (char *)scratch, 100))
XATTR_CASE(removexattr, removexattr(SUBJECT, "user.a"))
XATTR_CASE(lremovexattr, lremovexattr(SUBJECT, "user.b"))
XATTR_CASE(fremovexattr, fremovexattr(fd, "user.a"))

/* ---- watchers ---- */

SYMBOL_CASE(inotify_add_watch)
{
    int watcher = CALL(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    CALL(inotify_add_watch(watcher, SUBJECT, IN_ATTRIB));
    CALL(write(fd, bytes, 100));
    CALL(fchmod(fd, 0600));
    say("told: %d", read(watcher, scratch, 1000) > 0);
    CALL(inotify_add_watch(fd, SUBJECT, IN_ATTRIB));
    CALL(close(watcher));
}

SYMBOL_CASE(fanotify_mark)
{
    CALL(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, SUBJECT));
}

/* ---- directories ---- */

#define SCANDIR_CASE(name, entry_type, order, ...)                                                                     \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct entry_type **list;                                                                                      \
        watch_errno = false;                                                                                           \
        int count = (int)CALL(name(__VA_ARGS__, &list, NULL, order));                                                  \
        for (int i = 0; i < count; i++) {                                                                              \
            say("%s", list[i]->d_name);                                                                                \
            free(list[i]);                                                                                             \
        }                                                                                                              \
        if (count >= 0)                                                                                                \
            free(list);                                                                                                \
    }
SCANDIR_CASE(scandir, dirent, alphasort, ".")
SCANDIR_CASE(scandir64, dirent64, alphasort64, ".")
SCANDIR_CASE(scandirat, dirent, alphasort, AT_FDCWD, ".")
SCANDIR_CASE(scandirat64, dirent64, alphasort64, AT_FDCWD, ".")

/* `code` uses `directory`, which is open. */
#define DIRECTORY_CASE(name, ...)                                                                                      \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(write(fd, bytes, 5000));                                                                                  \
        DIR *directory = opendir(".");                                                                                 \
        __VA_ARGS__;                                                                                                   \
        SHOW(fd);                                                                                                      \
        CALL(closedir(directory));                                                                                     \
    }
DIRECTORY_CASE(readdir, CALL_POINTER(readdir(directory)))
DIRECTORY_CASE(readdir64, CALL_POINTER(readdir64(directory)))
DIRECTORY_CASE(rewinddir, rewinddir(directory))
DIRECTORY_CASE(telldir, CALL(telldir(directory)))
DIRECTORY_CASE(seekdir, seekdir(directory, telldir(directory)))
DIRECTORY_CASE(dirfd, CALL(dirfd(directory)))
DIRECTORY_CASE(closedir, CALL(dirfd(directory)))
DIRECTORY_CASE(getdents64, CALL(getdents64(fd, scratch, 1000)))
DIRECTORY_CASE(getdirentries, off_t at = 0; CALL(getdirentries(fd, (char *)scratch, 1000, &at)))
DIRECTORY_CASE(getdirentries64, off64_t at = 0; CALL(getdirentries64(fd, (char *)scratch, 1000, &at)))

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
DIRECTORY_CASE(readdir_r, struct dirent entry; struct dirent * found; CALL(readdir_r(directory, &entry, &found)))
DIRECTORY_CASE(readdir64_r, struct dirent64 entry; struct dirent64 * found;
               CALL(readdir64_r(directory, &entry, &found)))
#pragma GCC diagnostic pop

#define GLOB_CASE(name, type, end)                                                                                     \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        type found;                                                                                                    \
        watch_errno = false;                                                                                           \
        CALL(name("?", GLOB_MARK, NULL, &found));                                                                      \
        say("%zu: %s", (size_t)found.gl_pathc, found.gl_pathv[0]);                                                     \
        end(&found);                                                                                                   \
    }
GLOB_CASE(glob, glob_t, globfree)
GLOB_CASE(glob64, glob64_t, globfree64)

/* ---- records of logins, in a file of that path ---- */

#define UPDWTMP_CASE(name, type)                                                                                       \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        struct type entry = {0};                                                                                       \
        memcpy(entry.ut_user, "user", 5);                                                                              \
        CALL(ftruncate(fd, 2 * sizeof entry));                                                                         \
        CALL(write(fd, bytes, 500));                                                                                   \
        name(SUBJECT, &entry);                                                                                         \
        SHOW(fd);                                                                                                      \
    }
UPDWTMP_CASE(updwtmp, utmp)
UPDWTMP_CASE(updwtmpx, utmpx)

#define UTMPNAME_CASE(name)                                                                                            \
    SYMBOL_CASE(name)                                                                                                  \
    {                                                                                                                  \
        watch_errno = false;                                                                                           \
        CALL(name("missing"));                                                                                         \
    }
UTMPNAME_CASE(utmpname)
UTMPNAME_CASE(utmpxname)
