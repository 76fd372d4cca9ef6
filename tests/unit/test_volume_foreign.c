/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_volume_foreign.c — what other users are told of files in use, and what a planted list can do: nothing. Processes of
 * three users, each a forked child with its own view of the library; needs root.
 */
#include "unit/fault.h"
#include "unit/unit.h"

#include "base/rawsys.h"
#include "log/log_recover.h"
#include "log/volume.h"
#include "log/volume_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWNER 12345
#define STRANGER 65534

static char root[UNIT_PATH_MAX];

static const char *in_root(const char *name)
{
    static char path[UNIT_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static const char *list_path(void)
{
    static char path[UNIT_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/.nvmmio/%u.live", root, OWNER);
    return path;
}

static pid_t start(uid_t uid, void (*body)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unit_check(setresuid(uid, uid, uid) == 0);
        body();
        _exit(0);
    }
    return child;
}

static void run(uid_t uid, void (*body)(void))
{
    int status;
    assert_true(waitpid(start(uid, body), &status, 0) > 0);
    unit_expect_exit(status, 0);
}

static int setup(void **state)
{
    char command[2 * UNIT_PATH_MAX + 64];
    (void)state;
    if (geteuid() != 0)
        return 0;
    snprintf(command, sizeof command, "rm -rf %s/* %s/.nvmmio", root, root);
    if (system(command))
        return -1;
    static const char *const names[] = {"file", "another"};
    for (unsigned i = 0; i < 2; i++) {
        int fd = open(in_root(names[i]), O_RDWR | O_CREAT, 0644);
        if (fd < 0 || fchown(fd, OWNER, OWNER) || close(fd))
            return -1;
    }
    return 0;
}

static void only_root(void)
{
    if (geteuid() != 0)
        skip();
}

static struct volume *open_file(const char *name, int *fd, struct statx *stx)
{
    *fd = open(in_root(name), O_RDONLY | O_CLOEXEC);
    unit_check(*fd >= 0 && statx(*fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, stx) == 0);
    return volume_of(*fd, stx);
}

static int ask(const char *name)
{
    struct statx stx;
    int fd;
    open_file(name, &fd, &stx);
    int result = volume_foreign(fd, &stx);
    close(fd);
    return result;
}

/* ---- one process after another ---- */

static struct volume *volume_at(const char *name, uint64_t *ino)
{
    struct statx stx;
    int fd;
    struct volume *volume = open_file(name, &fd, &stx);
    close(fd);
    *ino = stx.stx_ino;
    return volume;
}

static void body_open(void)
{
    uint64_t ino;
    unit_check(volume_at("file", &ino));
}

static void body_register(void)
{
    uint64_t ino;
    struct volume *volume = volume_at("file", &ino);
    unit_check(volume && volume_lock_inode(volume, ino) == 0 && volume_register_log(volume, ino, 7) == 0);
    volume_unlock_inode(volume, ino);
}

static void body_passthrough(void)
{
    uint64_t ino, other;
    struct volume *volume = volume_at("file", &ino);
    volume_at("another", &other);
    unit_check(volume_is_attached(volume, ino));
    volume_note_passthrough(volume, ino);
    unit_check(!volume_is_attached(volume, ino) && !volume_is_attached(volume, other));
    unit_check(volume_find_log(volume, ino) == 7);
    volume_note_passthrough(volume, other); /* which nobody has */
    /* a change of the same bucket does not bring it back */
    unit_check(volume_lock_inode(volume, ino) == 0);
    volume_live_note(volume, volume_bucket(volume, ino));
    volume_unlock_inode(volume, ino);
}

static void body_unregister(void)
{
    uint64_t ino;
    struct volume *volume = volume_at("file", &ino);
    unit_check(volume && volume_lock_inode(volume, ino) == 0);
    volume_unregister_log(volume, ino);
    volume_unlock_inode(volume, ino);
}

/* One who could not map the list takes an inode out; the next change of the bucket, by one who could, puts it right. */
static void body_unregister_blindly(void)
{
    uint64_t ino;
    struct volume *volume = volume_at("file", &ino);
    unit_check(volume && volume->live);
    volume_live_close(volume);
    unit_check(volume_lock_inode(volume, ino) == 0);
    volume_unregister_log(volume, ino);
    volume_unlock_inode(volume, ino);
}

static void body_busy(void)
{
    struct statx stx;
    int fd;
    unit_check(!open_file("file", &fd, &stx));
    unit_check(volume_foreign(fd, &stx) == -EBUSY);
    unit_check(ask("another") == 0);
    unit_check(open("/dev/null", O_RDONLY) == fd + 1); /* no descriptor is left behind */
}

static void body_free(void)
{
    unit_check(ask("file") == 0 && ask("another") == 0);
}

static void body_pm_none(void)
{
    setenv("NVMMIO_CONF", "pm:none", 1);
    unit_check(ask("file") == 0);
}

/* Another user is told of an inode that is attached, whoever of the owner's side attached it, also after the attacher's
 * death, until it is unregistered or the kernel has it. Owner and root are not: they can attach. */
static void test_listed(void **state)
{
    struct stat st;
    (void)state;
    only_root();
    mode_t mask = umask(077);
    run(OWNER, body_open);
    umask(mask);
    assert_int_equal(lstat(list_path(), &st), 0);
    assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644 && st.st_uid == OWNER && st.st_nlink == 1);
    assert_int_equal(st.st_size, VOLUME_BUCKETS * VOLUME_SLOTS * 8);
    run(STRANGER, body_free);
    static const uid_t attacher[] = {OWNER, 0};
    for (unsigned i = 0; i < 2; i++) {
        run(attacher[i], body_register);
        run(STRANGER, body_busy);
        run(STRANGER, body_pm_none);
        run(OWNER, body_free);
        run(0, body_free);
        run(attacher[1 - i], body_unregister);
        run(STRANGER, body_free);
        run(OWNER, body_register);
        run(OWNER, body_passthrough);
        run(STRANGER, body_free);
        run(OWNER, body_unregister);
        run(OWNER, body_register); /* a new log in the same slot serves the file */
        run(STRANGER, body_busy);
        run(OWNER, body_unregister_blindly);
        run(STRANGER, body_busy);
        run(OWNER, body_register);
        run(OWNER, body_unregister);
        run(STRANGER, body_free);
    }
}

/* ---- a new boot ---- */

static void new_boot(void)
{
    char name[UNIT_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/.nvmmio/%u/table", root, OWNER);
    int fd = open(name, O_RDWR);
    uint64_t other[2] = {1, 2};
    assert_int_equal(pwrite(fd, other, sizeof other, offsetof(struct volume_table, boot_id)), sizeof other);
    close(fd);
}

/* Issues a log for the file, which moves away then: a scan cannot recover it. */
static void body_leave_log(void)
{
    struct statx stx;
    struct log_identity identity;
    struct log log;
    int fd;
    struct volume *volume = open_file("file", &fd, &stx);
    unit_check(volume && volume_take_log(volume, &log) == 0 && log_identity_of(fd, &identity, NULL) == 0);
    unit_check(volume_lock_inode(volume, stx.stx_ino) == 0);
    unit_check(volume_register_log(volume, stx.stx_ino, log.id) == 0);
    log_issue(&log, &identity, OWNER, 0, 0, in_root("file"));
    log_store_newest_size(log_header(&log), 1); /* one that knows nothing would not be kept */
    volume_unlock_inode(volume, stx.stx_ino);
    raise(SIGKILL);
}

static void body_moved_busy(void)
{
    unit_check(ask("moved") == -EBUSY && ask("another") == 0);
}

/* After a boot the list is a new one, with the logs that wait for recovery and nothing else. */
static void test_boot(void **state)
{
    struct stat before, after;
    char moved[UNIT_PATH_MAX + 64];
    (void)state;
    only_root();
    run(OWNER, body_register); /* without a log: gone with the boot */
    new_boot();
    assert_int_equal(stat(list_path(), &before), 0);
    run(STRANGER, body_busy); /* as before, until the owner comes */
    run(OWNER, body_open);
    assert_int_equal(stat(list_path(), &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    run(STRANGER, body_free);

    waitpid(start(OWNER, body_leave_log), NULL, 0);
    snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(in_root("file"), moved), 0);
    run(STRANGER, body_moved_busy);
    new_boot();
    int fd = open(in_root("file"), O_RDWR | O_CREAT, 0644);
    assert_true(fd >= 0 && fchown(fd, OWNER, OWNER) == 0);
    close(fd);
    run(OWNER, body_open);
    run(STRANGER, body_moved_busy);
}

/* ---- what is planted, what cannot be made ---- */

static char kept[UNIT_PATH_MAX + 64]; /* a right list, elsewhere */

/* A list of the owner's with every place set to the file's inode. */
static void make_list(const char *path, uid_t owner, size_t size)
{
    struct stat st;
    static uint64_t list[VOLUME_BUCKETS * VOLUME_SLOTS];
    assert_int_equal(stat(in_root("file"), &st), 0);
    for (size_t i = 0; i < VOLUME_BUCKETS * VOLUME_SLOTS; i++)
        list[i] = st.st_ino;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0 && write(fd, list, size) == (ssize_t)size && fchown(fd, owner, owner) == 0);
    close(fd);
}

static void plant(const char *what)
{
    const char *list = list_path();
    if (!strcmp(what, "link"))
        assert_int_equal(symlink(kept, list), 0);
    else if (!strcmp(what, "directory"))
        assert_int_equal(mkdir(list, 0777), 0);
    else if (!strcmp(what, "FIFO"))
        assert_int_equal(mkfifo(list, 0666), 0);
    else if (!strcmp(what, "file of another"))
        make_list(list, STRANGER, sizeof(struct live_list));
    if (strcmp(what, "nothing"))
        assert_int_equal(lchown(list, STRANGER, STRANGER), 0);
}

static void body_live_without(void)
{
    body_register();
    body_unregister();
}

/* A list that is not the owner's is nothing to readers, and the owner's side goes on without one: it neither follows nor
 * changes what lies there. */
static void test_planted(void **state)
{
    static const char *const plants[] = {"nothing", "link", "directory", "FIFO", "file of another"};
    (void)state;
    only_root();
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++)
        for (unsigned early = 0; early < 2; early++) { /* before the table is made; in its life */
            struct stat before, after, target[2];
            assert_int_equal(setup(NULL), 0);
            run(STRANGER, body_free); /* where there is nothing at all */
            assert_int_equal(mkdir(in_root(".nvmmio"), 01777) | chmod(in_root(".nvmmio"), 01777), 0);
            snprintf(kept, sizeof kept, "%s/kept", root);
            make_list(kept, OWNER, sizeof(struct live_list));
            assert_int_equal(stat(kept, &target[0]), 0);
            if (!early) {
                run(OWNER, body_open);
                assert_int_equal(unlink(list_path()), 0);
            }
            plant(plants[i]);
            bool there = lstat(list_path(), &before) == 0;
            run(STRANGER, body_free);
            run(OWNER, body_register);
            if (there || !early) /* what was lost in this boot is not made again */
                run(STRANGER, body_free);
            else
                run(STRANGER, body_busy);
            run(OWNER, body_unregister);
            assert_int_equal(stat(kept, &target[1]), 0);
            assert_memory_equal(&target[0].st_mtim, &target[1].st_mtim, sizeof target[0].st_mtim);
            if (there) {
                assert_int_equal(lstat(list_path(), &after), 0);
                assert_true(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
                assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
            }
        }
}

/* The owner's own, but too short: no store goes behind its end. */
static void test_short(void **state)
{
    (void)state;
    only_root();
    run(OWNER, body_open);
    assert_int_equal(truncate(list_path(), 4096), 0);
    run(OWNER, body_register);
    run(OWNER, body_unregister);
    assert_int_equal(truncate(list_path(), 0), 0);
    run(OWNER, body_live_without);
    run(STRANGER, body_free);
    new_boot(); /* replaces it */
    run(OWNER, body_register);
    run(STRANGER, body_busy);
}

static long fault_number;
static unsigned fault_nth;

static void body_fault(void)
{
    struct statx stx;
    int fd = open(in_root("file"), O_RDONLY | O_CLOEXEC);
    unit_check(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    conf_get();
    fault_start();
    fault_set(fault_number, fault_nth, ENOSPC, false);
    struct volume *volume = volume_of(fd, &stx);
    unit_check(fault_hits() == 1);
    fault_stop();
    unit_check(volume && !volume->live);
    unit_check(volume_lock_inode(volume, stx.stx_ino) == 0 && volume_register_log(volume, stx.stx_ino, 7) == 0);
    volume_unlock_inode(volume, stx.stx_ino);
}

/* No list can be made: the volume works, an old list does not stay, and nobody is told anything. */
static void test_faults(void **state)
{
    static const long numbers[] = {SYS_renameat2, SYS_fallocate};
    (void)state;
    only_root();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (unsigned old = 0; old < 2; old++) {
            char rest[UNIT_PATH_MAX + 64];
            assert_int_equal(setup(NULL), 0);
            if (old) {
                run(OWNER, body_register);
                new_boot();
            }
            fault_number = numbers[i];
            fault_nth = fault_number == SYS_fallocate && !old ? 2 : 1; /* the first is for a new table */
            run(OWNER, body_fault);
            run(STRANGER, body_free);
            assert_int_not_equal(access(list_path(), F_OK), 0);
            snprintf(rest, sizeof rest, "%s/.nvmmio/%u/live.new", root, OWNER);
            assert_int_not_equal(access(rest, F_OK), 0);
        }
}

int main(void)
{
    unit_directory(root);
    if (chmod(root, 0777))
        return 1;
    setenv("NVMMIO_ROOT", root, 1);
    unsetenv("NVMMIO_CONF");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_listed, setup),  cmocka_unit_test_setup(test_boot, setup),
        cmocka_unit_test_setup(test_planted, setup), cmocka_unit_test_setup(test_short, setup),
        cmocka_unit_test_setup(test_faults, setup),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    setup(NULL);
    unlink(in_root("file"));
    unlink(in_root("another"));
    rmdir(root);
    return result;
}
