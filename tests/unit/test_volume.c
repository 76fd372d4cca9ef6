/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_volume.c — roots, directories, the table of processes, bucket locks, the hand-over, pool and scan. Each test runs in
 * forked children, each of which is a new process to the library: the parent itself never calls it.
 */
#include "support/leak.h"
#include "support/place.h"
#include "unit/fault.h"
#include "unit/log_image.h"
#include "unit/unit.h"

#include "base/rawsys.h"
#include "log/log_index.h"
#include "log/log_recover.h"
#include "log/volume.h"
#include "log/volume_private.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OTHER_UID 12345
#define INO UINT64_C(424242)
#define INDEX_NONCE UINT64_C(0xfeedbeef00c0ffee)

static char root[UNIT_PATH_MAX];
static char path[UNIT_PATH_MAX + 64];

/* What children and parent share. */
static struct board {
    _Atomic uint32_t step;
    _Atomic uint64_t word, count, inside, attached;
    _Atomic uint32_t errors;
    char name[LOG_NAME_BYTES];
    uint64_t id;
} * board;

/* For children: cmocka's assertions are the parent's. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static pid_t start(void (*body)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    return child;
}

static void finish(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void run(void (*body)(void))
{
    finish(start(body));
}

static void kill_child(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

static void step_to(uint32_t step)
{
    atomic_store(&board->step, step);
}

static void wait_step(uint32_t step)
{
    for (unsigned i = 0; atomic_load(&board->step) < step; i++) {
        CHECK(i < 10000);
        nap(1);
    }
}

static void clean(void)
{
    char command[2 * UNIT_PATH_MAX + 64];
    snprintf(command, sizeof command, "rm -rf %s/* %s/.nvmmio*", root, root);
    if (system(command))
        abort();
}

static int setup(void **state)
{
    (void)state;
    clean();
    memset(board, 0, sizeof *board);
    return 0;
}

static const char *in_root(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static struct volume *volume_of_fd(int fd)
{
    struct statx stx;
    CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    return volume_of(fd, &stx);
}

static struct volume *volume_of_path(const char *name, int flags)
{
    int fd = open(name, flags | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    struct volume *volume = volume_of_fd(fd);
    close(fd);
    return volume;
}

static struct volume *get_volume(void)
{
    struct volume *volume = volume_of_path(in_root("file"), O_RDWR | O_CREAT);
    CHECK(volume);
    return volume;
}

static unsigned count_logs(void)
{
    char name[UNIT_PATH_MAX + 64];
    unsigned n = 0;
    uint64_t id;
    snprintf(name, sizeof name, "%s/.nvmmio/%u", root, geteuid());
    DIR *dir = opendir(name);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += log_name_parse(entry->d_name, &id);
    closedir(dir);
    return n;
}

/* ---- which files ---- */

static void body_membership(void)
{
    char beside[UNIT_PATH_MAX + 16];
    struct volume *volume = get_volume();
    CHECK(volume_owner(volume) == geteuid());
    CHECK(volume_sync(volume) == (place_is_pm() ? PM_MAP_SYNC_REQUIRED : PM_MAP_SYNC_NEVER));
    CHECK(mkdir(in_root("sub"), 0755) == 0);
    CHECK(volume_of_path(in_root("sub/x"), O_RDONLY | O_CREAT) == volume);
    CHECK(volume_of_path(root, O_TMPFILE | O_RDWR) == volume);
    int fd = open(in_root("gone"), O_RDWR | O_CREAT, 0600);
    CHECK(unlink(in_root("gone")) == 0);
    CHECK(volume_of_fd(fd) == volume);
    close(fd);

    CHECK(!volume_of_path(root, O_RDONLY | O_DIRECTORY));
    CHECK(mkfifo(in_root("fifo"), 0600) == 0);
    CHECK(!volume_of_path(in_root("fifo"), O_RDWR));
    CHECK(!volume_of_path("/dev/null", O_RDWR));
    CHECK(!volume_of_path("/proc/self/status", O_RDONLY));
    char table[UNIT_PATH_MAX + 64];
    snprintf(table, sizeof table, "%s/.nvmmio/%u/table", root, geteuid());
    CHECK(!volume_of_path(table, O_RDONLY));
    CHECK(volume_of_path(in_root(".nvmmio2"), O_RDWR | O_CREAT) == volume);
    snprintf(beside, sizeof beside, "%s-beside", root);
    CHECK(!volume_of_path(beside, O_RDWR | O_CREAT));
    CHECK(unlink(beside) == 0);
    /* found again by another descriptor, without a system call but the file's path and the uid */
    struct statx stx;
    fd = open(in_root("file"), O_RDONLY);
    CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    fault_start();
    CHECK(volume_of(fd, &stx) == volume);
    fault_stop();
    CHECK(fault_calls(FAULT_ANY) <= 2);
    int other = open("/proc/self/status", O_RDONLY);
    CHECK(statx(other, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    fault_start();
    CHECK(!volume_of(other, &stx));
    fault_stop();
    CHECK(fault_calls(FAULT_ANY) == 0);
}

static void body_pm_none(void)
{
    setenv("NVMMIO_CONF", "pm:none", 1);
    CHECK(!volume_of_path(in_root("file"), O_RDWR | O_CREAT));
    CHECK(access(in_root(".nvmmio"), F_OK) != 0);
}

/* Files below the root are in a volume: by descriptor, without a name too; others, and what is no regular file, are not. */
static void test_membership(void **state)
{
    (void)state;
    run(body_membership);
    clean();
    run(body_pm_none);
}

/* ---- directories ---- */

static void body_modes(void)
{
    struct stat st;
    umask(0777);
    struct volume *volume = get_volume();
    CHECK(volume);
    CHECK(stat(in_root(".nvmmio"), &st) == 0);
    CHECK((st.st_mode & 07777) == (geteuid() ? 0755 : 01777));
    char own[UNIT_PATH_MAX + 64];
    snprintf(own, sizeof own, "%s/.nvmmio/%u", root, geteuid());
    CHECK(stat(own, &st) == 0 && (st.st_mode & 07777) == 0700 && st.st_uid == geteuid());
}

static const char *planted;

static void plant(const char *what)
{
    char own[UNIT_PATH_MAX + 64], table[UNIT_PATH_MAX + 80], elsewhere[UNIT_PATH_MAX + 64];
    snprintf(own, sizeof own, "%s/.nvmmio/%u", root, geteuid());
    snprintf(table, sizeof table, "%s/table", own);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
    const char *top = in_root(".nvmmio");
    mkdir(elsewhere, 0700);
    if (!strcmp(what, "top is a file")) {
        CHECK(close(open(top, O_CREAT | O_RDWR, 0600)) == 0);
    } else if (!strcmp(what, "top is a link")) {
        CHECK(symlink(elsewhere, top) == 0);
    } else if (!strcmp(what, "top is open to all")) {
        CHECK(mkdir(top, 0777) == 0 && chmod(top, 0777) == 0);
    } else {
        CHECK(mkdir(top, 0755) == 0);
        if (!strcmp(what, "directory is a link"))
            CHECK(symlink(elsewhere, own) == 0);
        else if (!strcmp(what, "directory is a file"))
            CHECK(close(open(own, O_CREAT | O_RDWR, 0600)) == 0);
        else
            CHECK(mkdir(own, 0700) == 0);
        if (!strcmp(what, "directory is open to the group"))
            CHECK(chmod(own, 0770) == 0);
        else if (!strcmp(what, "directory of another"))
            CHECK(chown(own, OTHER_UID, (gid_t)-1) == 0);
        else if (!strcmp(what, "table is a link"))
            CHECK(symlink(elsewhere, table) == 0);
        else if (!strcmp(what, "table is a directory"))
            CHECK(mkdir(table, 0700) == 0);
        else if (!strcmp(what, "table is a FIFO"))
            CHECK(mkfifo(table, 0600) == 0);
        else if (!strcmp(what, "table of another"))
            CHECK(close(open(table, O_CREAT | O_RDWR, 0600)) == 0 && chown(table, OTHER_UID, (gid_t)-1) == 0);
    }
}

static void body_planted(void)
{
    plant(planted);
    CHECK(!volume_of_path(in_root("file"), O_RDWR | O_CREAT));
    char elsewhere[UNIT_PATH_MAX + 64];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
    CHECK(rmdir(elsewhere) == 0); /* nothing was made there */
}

/* The directories have their modes whatever the umask; what somebody planted in their place is refused and left alone. */
static void test_directories(void **state)
{
    (void)state;
    static const char *const plants[] = {
        "top is a file",        "top is a link",       "top is open to all",
        "directory is a link",  "directory is a file", "directory is open to the group",
        "directory of another", "table is a link",     "table is a directory",
        "table is a FIFO",      "table of another"};
    run(body_modes);
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        clean();
        planted = plants[i];
        if (strstr(planted, "another") && geteuid() != 0)
            continue;
        run(body_planted);
    }
}

static void body_faults(void)
{
    static const long numbers[] = {SYS_openat,     SYS_mkdirat, SYS_fchmod, SYS_fsync, SYS_fallocate, SYS_mmap,
                                   SYS_readlinkat, SYS_fcntl,   SYS_fstat,  SYS_statx, SYS_fstatfs,   SYS_getdents64};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (unsigned nth = 1; nth < 30; nth++) {
            clean();
            pid_t child = fork();
            if (child == 0) {
                int fd = open(in_root("file"), O_RDWR | O_CREAT, 0600);
                struct statx stx;
                CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
                conf_get(); /* which is not under test */
                fault_start();
                fault_set(numbers[i], nth, EIO, false);
                struct volume *volume = volume_of(fd, &stx);
                bool hit = fault_hits() > 0;
                fault_stop();
                for (unsigned k = 0; !volume && k < 600; k++) /* tried again some time later */
                    volume = volume_of(fd, &stx);
                CHECK(volume && volume_self(volume));
                _exit(hit ? 0 : 2);
            }
            int status;
            CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 1);
            if (WEXITSTATUS(status) == 2)
                break;
        }
}

/* Whichever system call of the first use fails, the file is left to the kernel, and a later try succeeds. */
static void test_faults(void **state)
{
    (void)state;
    run(body_faults);
}

static void body_other_owner(void)
{
    struct stat st;
    char own[UNIT_PATH_MAX + 64];
    int fd = open(in_root("his"), O_RDWR | O_CREAT, 0600);
    CHECK(fchown(fd, OTHER_UID, OTHER_UID) == 0);
    struct volume *his = volume_of_fd(fd), *ours = get_volume();
    CHECK(his && his != ours && volume_owner(his) == OTHER_UID && volume_owner(ours) == 0);
    snprintf(own, sizeof own, "%s/.nvmmio/%u", root, OTHER_UID);
    CHECK(stat(own, &st) == 0 && st.st_uid == OTHER_UID && (st.st_mode & 07777) == 0700);
    struct log log;
    CHECK(volume_take_log(his, &log) == 0 && fstat(log.fd, &st) == 0 && st.st_uid == OTHER_UID);
    volume_give_log(his, &log);
    volume_exit();
}

static void body_other_user(void)
{
    CHECK(close(open(in_root("roots"), O_RDWR | O_CREAT, 0666)) == 0);
    CHECK(chmod(in_root("roots"), 0666) == 0);
    CHECK(seteuid(OTHER_UID) == 0);
    CHECK(!volume_of_path(in_root("roots"), O_RDWR));
    struct volume *volume = volume_of_path(in_root("his"), O_RDWR);
    CHECK(volume && volume_owner(volume) == OTHER_UID);
}

/* Root reaches every owner's logs, which are the owner's; another user reaches only his own. */
static void test_owners(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    run(body_other_owner);
    run(body_other_user);
}

/* ---- processes ---- */

static void body_live(void)
{
    struct volume *volume = get_volume();
    atomic_store(&board->word, volume_self(volume));
    step_to(1);
    wait_step(100);
}

static void body_watch(void)
{
    struct volume *volume = get_volume();
    uint64_t self = volume_self(volume), first = atomic_load(&board->word);
    CHECK(self && first && self != first && self <= SHLOCK_OWNER_MAX && first <= SHLOCK_OWNER_MAX);
    CHECK(!volume_is_dead(volume, self));
    CHECK(!volume_is_dead(volume, first));
    CHECK(volume_is_dead(volume, UINT64_MAX));
    step_to(2);
    wait_step(3);
    CHECK(volume_is_dead(volume, first));
    step_to(4);
    wait_step(5); /* its entry was taken again */
    CHECK(volume_index(atomic_load(&board->word)) == volume_index(first));
    CHECK(volume_is_dead(volume, first));
    CHECK(!volume_is_dead(volume, atomic_load(&board->word)));
}

static void body_live_again(void)
{
    struct volume *volume = get_volume();
    atomic_store(&board->word, volume_self(volume));
    step_to(5);
    wait_step(100);
}

/* A process is alive as long as it is, and its successor in the same entry is another one. */
static void test_liveness(void **state)
{
    (void)state;
    pid_t first = start(body_live);
    wait_step(1);
    pid_t watcher = start(body_watch);
    wait_step(2);
    kill_child(first);
    step_to(3);
    wait_step(4);
    pid_t second = start(body_live_again);
    finish(watcher);
    kill_child(second);
}

static void body_forker(void)
{
    struct volume *volume = get_volume();
    struct log log;
    CHECK(volume_take_log(volume, &log) == 0);
    volume_give_log(volume, &log);
    uint64_t parent = volume_self(volume);
    atomic_store(&board->word, parent);
    volume_before_fork();
    pid_t child = fork();
    if (child == 0) {
        volume_after_fork_child();
        uint64_t self = volume_self(volume);
        CHECK(self && self != parent && !volume_is_dead(volume, parent));
        struct log own;
        CHECK(volume_take_log(volume, &own) == 0 && own.id != log.id); /* the pool is the parent's */
        volume_give_log(volume, &own);
        step_to(1);
        wait_step(2);
        CHECK(volume_is_dead(volume, parent)); /* although this child of it lives on */
        volume_exit();
        step_to(3);
        _exit(0);
    }
    volume_after_fork_parent();
    CHECK(volume_self(volume) == parent);
    wait_step(1);
    CHECK(volume_take_log(volume, &log) == 0);
    volume_give_log(volume, &log);
    /* killed by the test now */
    wait_step(100);
}

/* A forked child is a process of its own and keeps nothing of the parent's alive. */
static void test_fork(void **state)
{
    (void)state;
    pid_t parent = start(body_forker);
    wait_step(1);
    nap(20);
    kill_child(parent);
    step_to(2);
    for (unsigned i = 0; atomic_load(&board->step) != 3; i++) {
        assert_true(i < 5000);
        nap(1);
    }
}

/* ---- bucket locks ---- */

static void body_lock_holder(void)
{
    struct volume *volume = get_volume();
    CHECK(volume_lock_inode(volume, INO) == 0);
    /* in the middle of a registration */
    struct volume_slot *slot = &volume_bucket(volume, INO)->slot[3];
    atomic_store(&slot->ino, INO);
    step_to(1);
    wait_step(100);
}

static void body_lock_heir(void)
{
    struct volume *volume = get_volume();
    CHECK(shlock_try(&volume_bucket(volume, INO)->lock, (uint32_t)volume_self(volume)) == -EBUSY);
    step_to(2);
    CHECK(volume_lock_inode(volume, INO) == 0);
    CHECK(atomic_load(&board->step) >= 3); /* not before the holder's death */
    CHECK(volume_find_log(volume, INO) == 0 && !volume_is_attached(volume, INO));
    volume_unlock_inode(volume, INO);
    CHECK(volume_lock_inode(volume, INO) == 0);
    volume_unlock_inode(volume, INO);
}

/* A bucket lock is its owner's until it dies; then the next one gets it, and what was half done is undone. */
static void test_lock_takeover(void **state)
{
    (void)state;
    pid_t holder = start(body_lock_holder);
    wait_step(1);
    pid_t heir = start(body_lock_heir);
    wait_step(2);
    nap(30);
    step_to(3);
    kill_child(holder);
    finish(heir);
}

static void body_lock_damaged(void)
{
    struct volume *volume = get_volume();
    struct volume_bucket *bucket = volume_bucket(volume, INO);
    const uint32_t words[] = {(uint32_t)volume_self(volume), (uint32_t)board->word, SHLOCK_WAITERS, 5,
                              SHLOCK_OWNER_MAX | SHLOCK_WAITERS};
    alarm(20);
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        atomic_store(&bucket->lock.word, words[i]);
        CHECK(volume_lock_inode(volume, INO) == 0);
        CHECK(shlock_owner(&bucket->lock) == volume_self(volume));
        volume_unlock_inode(volume, INO);
    }
    /* as if calls were under way, of no thread */
    struct volume_inflight call;
    uint64_t odd[] = {live_bucket(INO) + 1, UINT64_MAX, UINT64_C(1) << 40,
                      (UINT64_C(1) << 13) | (live_bucket(INO) + 1)};
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (unsigned w = 0; w < 2 * VOLUME_WORDS; w++)
            atomic_store(&volume->table->process[w / VOLUME_WORDS].inflight[w % VOLUME_WORDS], odd[i]);
        CHECK(volume_enter_kernel(volume, INO, i % 2, &call));
        volume_leave_kernel(&call);
        CHECK(volume_lock_inode(volume, INO) == 0 && volume_register_log(volume, INO, 77) == 0);
        volume_unregister_log(volume, INO);
        volume_unlock_inode(volume, INO);
    }
}

static void body_other(void)
{
    struct volume *volume = get_volume();
    board->word = volume_self(volume);
    step_to(1);
    wait_step(2);
}

/* A lock that names a process which lives and does not hold it, and words of calls that nobody makes, are not waited for. */
static void test_lock_damaged(void **state)
{
    (void)state;
    pid_t other = start(body_other);
    wait_step(1);
    finish(start(body_lock_damaged));
    step_to(2);
    finish(other);
}

static void body_alive(void)
{
    struct volume *volume = get_volume();
    CHECK(!volume_is_dead(volume, board->word));
    atomic_store(&volume->table->process[volume_index(board->word)].generation, 99);
    CHECK(!volume_is_dead(volume, board->word)); /* its other word says so */
    CHECK(volume_is_dead(volume, board->word + VOLUME_PROCESSES));
}

/* One damaged word does not make a process dead. */
static void test_liveness_damaged(void **state)
{
    (void)state;
    pid_t other = start(body_other);
    wait_step(1);
    finish(start(body_alive));
    step_to(2);
    finish(other);
}

static struct volume *shared_volume;

static void *thread_locks(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3000; i++) {
        CHECK(volume_lock_inode(shared_volume, INO) == 0);
        uint64_t count = atomic_load_explicit(&board->count, memory_order_relaxed);
        if (i % 64 == 0)
            sched_yield();
        atomic_store_explicit(&board->count, count + 1, memory_order_relaxed);
        volume_unlock_inode(shared_volume, INO);
    }
    return NULL;
}

static void body_lock_threads(void)
{
    pthread_t thread[3];
    shared_volume = get_volume();
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_create(&thread[i], NULL, thread_locks, NULL) == 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

/* The lock excludes threads of one process and of several alike. */
static void test_lock_exclusion(void **state)
{
    (void)state;
    pid_t a = start(body_lock_threads), b = start(body_lock_threads);
    finish(a);
    finish(b);
    assert_int_equal(atomic_load(&board->count), 2 * 3 * 3000);
}

/* ---- attachments and the hand-over ---- */

static void body_register(void)
{
    struct volume *volume = get_volume();
    struct volume_inflight call;
    CHECK(volume_lock_inode(volume, INO) == 0);
    CHECK(volume_find_log(volume, INO) == 0);
    CHECK(volume_register_log(volume, INO, 5) == 0);
    CHECK(volume_find_log(volume, INO) == 5 && volume_is_attached(volume, INO));
    CHECK(volume_register_log(volume, INO, 6) == 0 && volume_find_log(volume, INO) == 6);
    CHECK(!volume_enter_kernel(volume, INO, true, &call) && !call.word);
    CHECK(volume_enter_kernel(volume, INO + 1, true, &call) && call.word);
    volume_leave_kernel(&call);
    CHECK(!call.word);
    volume_unregister_log(volume, INO);
    CHECK(!volume_find_log(volume, INO) && !volume_is_attached(volume, INO));
    volume_unlock_inode(volume, INO);

    /* seven inodes of one bucket, no more */
    uint64_t ino = 1;
    unsigned n = 0;
    struct volume_bucket *bucket = volume_bucket(volume, 1);
    for (; n < VOLUME_SLOTS; ino++)
        if (volume_bucket(volume, ino) == bucket) {
            CHECK(volume_lock_inode(volume, ino) == 0);
            CHECK(volume_register_log(volume, ino, ino) == 0);
            volume_unlock_inode(volume, ino);
            n++;
        }
    while (volume_bucket(volume, ino) != bucket)
        ino++;
    CHECK(volume_lock_inode(volume, ino) == 0);
    CHECK(volume_register_log(volume, ino, ino) == -ENOSPC);
    volume_unlock_inode(volume, ino);

    /* under a signal handler: the interrupted call of this thread can never end */
    CHECK(volume_enter_kernel(volume, INO, true, &call));
    CHECK(volume_lock_inode(volume, INO) == 0);
    CHECK(volume_register_log(volume, INO, 5) == -EDEADLK);
    CHECK(!volume_is_attached(volume, INO));
    volume_unlock_inode(volume, INO);
    struct volume_inflight within;
    CHECK(volume_enter_kernel(volume, INO, false, &within)); /* neither does a read wait for it */
    volume_leave_kernel(&within);
    volume_leave_kernel(&call);

    /* in steady state the kernel's path costs no system call */
    fault_start();
    CHECK(volume_enter_kernel(volume, INO, true, &call));
    volume_leave_kernel(&call);
    fault_stop();
    CHECK(fault_calls(FAULT_ANY) == 0);
}

/* A call on who knows which inode keeps off the attacher of any, also of another thread's, and goes nowhere once one is there.
 * The number of those is right after each of them, also where a slot cannot be had. */
static void body_unknown(void)
{
    struct volume *volume = get_volume();
    struct volume_inflight call, other;
    CHECK(volume_is_idle(volume) && volume_all_idle());
    CHECK(volume_enter_unknown(volume, &call) && call.word);
    CHECK(volume_enter_kernel(volume, INO, false, &other)); /* no reader waits for it */
    volume_leave_kernel(&other);
    CHECK(volume_lock_inode(volume, INO) == 0);
    CHECK(volume_register_log(volume, INO, 5) == -EDEADLK); /* it is this thread's own */
    CHECK(volume_is_idle(volume));
    volume_leave_kernel(&call);
    CHECK(volume_register_log(volume, INO, 5) == 0);
    CHECK(!volume_is_idle(volume) && !volume_all_idle());
    CHECK(!volume_enter_unknown(volume, &call) && !call.word);
    CHECK(volume_enter_kernel(volume, INO + 1, true, &call));
    volume_leave_kernel(&call);
    CHECK(volume_register_log(volume, INO, 6) == 0); /* in its place */
    volume_unregister_log(volume, INO);
    CHECK(volume_is_idle(volume));
    volume_unlock_inode(volume, INO);
    CHECK(volume_enter_unknown(volume, &call));
    volume_leave_kernel(&call);
}

static void test_unknown(void **state)
{
    (void)state;
    run(body_unknown);
}

/* Registration shows at once, replaces, fills a bucket, and refuses to wait for its own thread. */
static void test_register(void **state)
{
    (void)state;
    run(body_register);
}

static void body_in_kernel(void)
{
    struct volume *volume = get_volume();
    struct volume_inflight call;
    CHECK(volume_enter_kernel(volume, INO, true, &call));
    step_to(1);
    wait_step(3);
    volume_leave_kernel(&call);
    CHECK(!volume_enter_kernel(volume, INO, true, &call));
}

static void body_in_kernel_unknown(void)
{
    struct volume *volume = get_volume();
    struct volume_inflight call;
    CHECK(volume_enter_unknown(volume, &call));
    step_to(1);
    wait_step(3);
    volume_leave_kernel(&call);
    CHECK(!volume_enter_unknown(volume, &call));
}

static void body_in_kernel_for_ever(void)
{
    struct volume *volume = get_volume();
    struct volume_inflight call;
    CHECK(volume_enter_kernel(volume, INO, true, &call));
    step_to(1);
    wait_step(100);
}

static void body_attacher(void)
{
    struct volume *volume = get_volume();
    CHECK(volume_lock_inode(volume, INO) == 0);
    step_to(2);
    CHECK(volume_register_log(volume, INO, 9) == 0);
    CHECK(atomic_load(&board->step) >= 3);
    volume_unlock_inode(volume, INO);
}

/* An attacher waits for calls in the kernel, and not for the dead. */
static void test_inflight(void **state)
{
    (void)state;
    void (*const bodies[])(void) = {body_in_kernel, body_in_kernel_unknown, body_in_kernel_for_ever};
    for (unsigned which = 0; which < 3; which++) {
        bool dies = bodies[which] == body_in_kernel_for_ever;
        setup(NULL);
        pid_t caller = start(bodies[which]);
        wait_step(1);
        pid_t attacher = start(body_attacher);
        wait_step(2);
        nap(30);
        step_to(3);
        if (dies)
            kill_child(caller);
        finish(attacher);
        if (!dies)
            finish(caller);
    }
}

static _Atomic bool stop;

static void *thread_calls(void *arg)
{
    (void)arg;
    struct volume_inflight call;
    while (!atomic_load(&stop)) {
        if (!volume_enter_kernel(shared_volume, INO, true, &call)) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&board->inside, 1);
        if (atomic_load(&board->attached))
            atomic_fetch_add(&board->errors, 1);
        atomic_fetch_sub(&board->inside, 1);
        volume_leave_kernel(&call);
        if (atomic_fetch_add(&board->count, 1) % 256 == 0)
            sched_yield();
    }
    return NULL;
}

static void body_hand_over(void)
{
    pthread_t thread[9]; /* more than words */
    shared_volume = get_volume();
    for (unsigned i = 0; i < 9; i++)
        CHECK(pthread_create(&thread[i], NULL, thread_calls, NULL) == 0);
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        CHECK(volume_lock_inode(shared_volume, INO) == 0);
        CHECK(volume_register_log(shared_volume, INO, 9) == 0);
        atomic_store(&board->attached, 1);
        if (atomic_load(&board->inside))
            atomic_fetch_add(&board->errors, 1);
        atomic_store(&board->attached, 0);
        volume_unregister_log(shared_volume, INO);
        volume_unlock_inode(shared_volume, INO);
        atomic_fetch_add(&board->word, 1);
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < 2);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 9; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

/* Under load from threads of two processes nobody is ever in the kernel on an attached inode. */
static void test_hand_over(void **state)
{
    (void)state;
    pid_t a = start(body_hand_over), b = start(body_hand_over);
    finish(a);
    finish(b);
    assert_int_equal(atomic_load(&board->errors), 0);
    assert_true(atomic_load(&board->word) > 4 && atomic_load(&board->count) > 1000);
}

/* ---- pool ---- */

static void body_pool(void)
{
    struct volume *volume = get_volume();
    struct log log[6];
    struct stat st;
    for (unsigned i = 0; i < 6; i++) {
        CHECK(volume_take_log(volume, &log[i]) == 0);
        CHECK(fstat(log[i].fd, &st) == 0);
        CHECK(log_blocks_in((uint64_t)st.st_size) >= LOG_FIRST_BLOCK + VOLUME_READY_BLOCKS);
        CHECK(log_header(&log[i])->magic == 0);
    }
    uint64_t id = log[3].id;
    for (unsigned i = 0; i < 6; i++)
        volume_give_log(volume, &log[i]);
    CHECK(count_logs() == 4); /* conf.pool */
    fault_start();
    CHECK(volume_take_log(volume, &log[0]) == 0);
    fault_stop();
    CHECK(log[0].id == id && fault_calls(FAULT_ANY) <= 1);
    struct log again;
    CHECK(volume_open_log(volume, id, &again) == 0 && log_lock(&again, LOG_LOCK_SHARED) == -EAGAIN);
    log_close(&again);

    /* a large one is cut, a very large one removed */
    CHECK(log_grow(&log[0], LOG_FIRST_BLOCK, 5000) == 0);
    volume_give_log(volume, &log[0]);
    CHECK(volume_take_log(volume, &log[0]) == 0 && log[0].id == id && fstat(log[0].fd, &st) == 0);
    CHECK(log_blocks_in((uint64_t)st.st_size) == LOG_FIRST_BLOCK + VOLUME_READY_BLOCKS);
    CHECK(ftruncate(log[0].fd, (off_t)log_block_offset(LOG_GROUP_BLOCKS + 10)) == 0);
    volume_give_log(volume, &log[0]);
    CHECK(count_logs() == 3);

    /* one that somebody removed is not given out */
    CHECK(volume_take_log(volume, &log[0]) == 0);
    CHECK(log_unlink(&log[0]) == 0);
    volume_give_log(volume, &log[0]);
    CHECK(volume_take_log(volume, &log[0]) == 0 && volume_take_log(volume, &log[1]) == 0);
    CHECK(log_unlink(&log[1]) == 0);
    volume_give_log(volume, &log[0]);
    CHECK(log_unlink(&log[0]) == 0); /* while it is pooled */
    CHECK(volume_take_log(volume, &log[2]) == 0 && fstat(log[2].fd, &st) == 0 && st.st_nlink == 1);
    volume_give_log(volume, &log[2]);
    volume_exit();
    CHECK(count_logs() == 0);
}

/* Ready logs come from the pool without work, no more are kept than asked for, and none after an orderly exit. */
static void test_pool(void **state)
{
    (void)state;
    run(body_pool);
}

static void body_leave_pool(void)
{
    struct volume *volume = get_volume();
    struct log log;
    CHECK(volume_take_log(volume, &log) == 0);
    volume_give_log(volume, &log);
    CHECK(count_logs() == 1);
    raise(SIGKILL);
}

static void body_sweep(void)
{
    get_volume();
    CHECK(count_logs() == 0);
    volume_exit();
}

/* ---- scan ---- */

static const char *index_path(void)
{
    static char name[LOG_INDEX_PATH_BYTES];
    log_index_path(geteuid(), INDEX_NONCE, name);
    return name;
}

/* Attaches a file of one block, writes a committed and an uncommitted line, and dies. */
static void body_die_attached(void)
{
    struct volume *volume = get_volume();
    int fd = open(in_root("file"), O_RDWR | O_CLOEXEC);
    char block[LOG_BLOCK], where[LOG_PATH_BYTES];
    struct statx stx;
    struct log log;
    struct log_identity identity;
    memset(block, 'a', sizeof block);
    CHECK(pwrite(fd, block, sizeof block, 0) == sizeof block);
    CHECK(log_identity_of(fd, &identity, &stx) == 0);
    CHECK(volume_lock_inode(volume, stx.stx_ino) == 0);
    CHECK(volume_take_log(volume, &log) == 0);
    CHECK(volume_register_log(volume, stx.stx_ino, log.id) == 0);
    snprintf(where, sizeof where, "%s/file", root);
    log_header(&log)->index_nonce = INDEX_NONCE;
    close(open(index_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    log_issue(&log, &identity, geteuid(), LOG_BLOCK, 0, where);
    log_lock(&log, LOG_LOCK_SHARED);
    volume_unlock_inode(volume, stx.stx_ino);
    memset(log_block(&log, LOG_FIRST_BLOCK), 'b', 64);
    struct log_entry *entry = log_entry(&log, LOG_FIRST_BLOCK);
    image_name_entry(entry, LOG_FIRST_BLOCK, 0, 1);
    entry->record[0].flip = 1;
    entry->record[0].epoch = log_header(&log)->epoch;
    log_store_newest_size(log_header(&log), LOG_BLOCK - 1);
    board->id = log.id;
    log_name_format(log.id, board->name);
    step_to(1);
    wait_step(2);
    raise(SIGKILL);
}

static void expect_file(const char *name, char first, off_t size)
{
    struct stat st;
    char byte;
    int fd = open(in_root(name), O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, &byte, 1, 0) == 1);
    CHECK(byte == first && st.st_size == size);
    close(fd);
}

static void body_in_use(void)
{
    struct volume *volume = get_volume();
    struct stat st;
    CHECK(stat(in_root("file"), &st) == 0);
    CHECK(volume_is_attached(volume, st.st_ino)); /* in use: left alone */
    CHECK(count_logs() == 1);
    expect_file("file", 'a', LOG_BLOCK);
}

static void body_recovered(void)
{
    struct volume *volume = volume_of_path(in_root("another"), O_RDWR | O_CREAT);
    struct stat st;
    CHECK(volume && stat(in_root("file"), &st) == 0);
    CHECK(!volume_is_attached(volume, st.st_ino));
    expect_file("file", 'b', LOG_BLOCK - 1);
    CHECK(count_logs() == 0 && access(index_path(), F_OK) != 0);
    volume_exit();
}

static void body_die(void)
{
    get_volume();
    raise(SIGKILL);
}

static void die_attached(void)
{
    setup(NULL);
    pid_t child = start(body_die_attached);
    wait_step(1);
    waitpid(start(body_die), NULL, 0); /* so that the next process scans */
    run(body_in_use);
    step_to(2);
    waitpid(child, NULL, 0);
}

static void body_registered(void)
{
    struct volume *volume = volume_of_path(in_root("another"), O_RDWR | O_CREAT);
    struct stat st;
    struct log log;
    struct log_recovery result;
    CHECK(volume && stat(in_root("moved"), &st) == 0);
    CHECK(volume_lock_inode(volume, st.st_ino) == 0);
    CHECK(volume_is_attached(volume, st.st_ino) && volume_find_log(volume, st.st_ino) == board->id);
    expect_file("moved", 'a', LOG_BLOCK);
    CHECK(volume_open_log(volume, board->id, &log) == 0 && log_lock(&log, LOG_LOCK_EXCLUSIVE) == 0);
    CHECK(log_map(&log, volume_sync(volume)) == 0);
    int fd = open(in_root("moved"), O_RDWR);
    CHECK(log_recover(&log, fd, &result) == 0);
    log_retire(&log);
    volume_unregister_log(volume, st.st_ino);
    volume_give_log(volume, &log);
    volume_unlock_inode(volume, st.st_ino);
    expect_file("moved", 'b', LOG_BLOCK - 1);
    volume_exit();
    CHECK(count_logs() == 0);
}

static void write_header(size_t offset, const void *bytes, size_t n)
{
    char name[UNIT_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/.nvmmio/%u/%s", root, geteuid(), board->name);
    int fd = open(name, O_RDWR);
    assert_int_equal(pwrite(fd, bytes, n, (off_t)offset), n);
    close(fd);
}

static void change_header(size_t offset, uint8_t bit)
{
    char name[UNIT_PATH_MAX + 64];
    uint8_t byte;
    snprintf(name, sizeof name, "%s/.nvmmio/%u/%s", root, geteuid(), board->name);
    int fd = open(name, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bit;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static void body_untouched(void)
{
    struct volume *volume = volume_of_path(in_root("another"), O_RDWR | O_CREAT);
    CHECK(volume);
    CHECK(count_logs() == 1);
    expect_file("file", 'a', LOG_BLOCK);
}

static void new_boot(void)
{
    char name[UNIT_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/.nvmmio/%u/table", root, geteuid());
    int fd = open(name, O_RDWR);
    uint64_t other[2] = {1, 2};
    assert_int_equal(pwrite(fd, other, sizeof other, offsetof(struct volume_table, boot_id)), sizeof other);
    close(fd);
    const uint64_t boot[2] = {3, 4}, check = log_boot_check(boot);
    write_header(offsetof(struct log_header, boot_id), boot, sizeof boot);
    write_header(offsetof(struct log_header, boot_check), &check, sizeof check);
}

static void body_after_boot(void)
{
    struct volume *volume = volume_of_path(in_root("another"), O_RDWR | O_CREAT);
    CHECK(volume && volume->table->high == 1);
    expect_file("file", 'a', LOG_BLOCK); /* its last sync: nothing was committed */
    CHECK(count_logs() == 0);
}

/* What a killed process leaves behind: pooled logs go; an attached file is recovered by the next process where the path
 * still names it, else at its next open; logs in use and foreign or damaged ones stay; a new boot resets the table. */
static void test_scan(void **state)
{
    (void)state;
    pid_t child = start(body_leave_pool);
    waitpid(child, NULL, 0);
    run(body_sweep);

    die_attached();
    run(body_recovered);

    die_attached();
    char moved[UNIT_PATH_MAX + 64];
    snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(in_root("file"), moved), 0);
    run(body_registered);

    static const size_t damaged[] = {offsetof(struct log_header, magic), offsetof(struct log_header, version),
                                     offsetof(struct log_header, owner), offsetof(struct log_header, identity.fs),
                                     offsetof(struct log_header, identity.birth_nsec)};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        die_attached();
        change_header(damaged[i], 4);
        run(body_untouched);
    }

    die_attached();
    new_boot();
    run(body_after_boot);
}

/* Attaches a file, changes nothing or its size, unlinks it, and dies. */
static void die_with_unlinked(uint64_t size)
{
    struct volume *volume = get_volume();
    struct statx stx;
    struct log log;
    struct log_identity identity;
    int fd = open(in_root("file"), O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && log_identity_of(fd, &identity, &stx) == 0 && volume_lock_inode(volume, stx.stx_ino) == 0);
    CHECK(volume_take_log(volume, &log) == 0 && volume_register_log(volume, stx.stx_ino, log.id) == 0);
    log_issue(&log, &identity, geteuid(), 0, 0, in_root("file"));
    log_store_newest_size(log_header(&log), size);
    CHECK(log_lock(&log, LOG_LOCK_SHARED) == 0);
    volume_unlock_inode(volume, stx.stx_ino);
    CHECK(unlink(in_root("file")) == 0 && count_logs() == 1);
    raise(SIGKILL);
}

static void body_die_reading(void)
{
    die_with_unlinked(0);
}

static void body_die_writing(void)
{
    die_with_unlinked(1);
}

/* Whether a new file gets the inode number of one that was removed. */
static bool numbers_come_again(void)
{
    struct stat first, second;
    int fd = open(in_root("number"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && fstat(fd, &first) == 0 && close(fd) == 0 && unlink(in_root("number")) == 0);
    fd = open(in_root("number"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && fstat(fd, &second) == 0 && close(fd) == 0 && unlink(in_root("number")) == 0);
    return first.st_ino == second.st_ino;
}

static void body_one_log(void)
{
    get_volume();
    CHECK(count_logs() == 1 || (count_logs() == 0 && numbers_come_again()));
    volume_exit();
}

/* The log of a file that was only read goes at the scan, whatever became of the file; one that knows something stays, unless
 * the file's number is another one's by then. */
static void test_unlinked(void **state)
{
    (void)state;
    waitpid(start(body_die_reading), NULL, 0);
    run(body_sweep);
    waitpid(start(body_die_writing), NULL, 0);
    run(body_one_log);
}

/* Leaves an index object and the root is removed: no log tells of it any more. */
static void forget_root(void)
{
    die_attached();
    clean();
}

static void body_open(void)
{
    get_volume();
    CHECK(access(index_path(), F_OK) != 0);
    volume_exit();
}

static void body_stay(void)
{
    get_volume();
    step_to(atomic_load(&board->step) < 11 ? 11 : 12); /* the first one, the second */
    wait_step(13);
    volume_exit();
}

/* Index objects whose logs are gone are removed by the first process that opens a volume of their owner, new or old. */
static void test_reclaim(void **state)
{
    (void)state;
    forget_root();
    run(body_open); /* the table is new */
    close(open(index_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    run(body_open); /* it is there, and nobody in it */
    pid_t child = start(body_stay);
    wait_step(11);
    close(open(index_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    kill_child(child);
    child = start(body_stay); /* somebody had died */
    wait_step(12);
    run(body_open); /* one is there already */
    step_to(13);
    finish(child);
}

/* Many processes begin at once with a new table: one table, all entries different. */
static void body_begin(void)
{
    struct volume *volume = get_volume();
    uint64_t bit = UINT64_C(1) << volume_index(volume_self(volume));
    CHECK(!(atomic_fetch_or(&board->word, bit) & bit));
    atomic_fetch_add(&board->count, 1);
    wait_step(1);
    uint32_t index = volume_index(volume_self(volume)); /* nobody has reset the table since */
    CHECK(volume->table->process[index].generation == volume_self(volume) >> VOLUME_INDEX_BITS);
}

static void test_begin_at_once(void **state)
{
    (void)state;
    pid_t child[12];
    for (unsigned i = 0; i < 12; i++)
        child[i] = start(body_begin);
    for (unsigned i = 0; i < 5000 && atomic_load(&board->count) < 12; i++)
        nap(1);
    step_to(1);
    for (unsigned i = 0; i < 12; i++)
        finish(child[i]);
    assert_true(atomic_load(&board->word) == (1 << 12) - 1);
}

int main(void)
{
    char roots[2 * UNIT_PATH_MAX + 32];
    leak_private_shm(); /* others reclaim, too */
    unit_directory(root);
    if (chmod(root, 0777))
        return 1;
    snprintf(roots, sizeof roots, "/nonexistent-root:%s", root);
    setenv("NVMMIO_ROOT", roots, 1);
    unsetenv("NVMMIO_CONF");
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_membership, setup),    cmocka_unit_test_setup(test_directories, setup),
        cmocka_unit_test_setup(test_faults, setup),        cmocka_unit_test_setup(test_owners, setup),
        cmocka_unit_test_setup(test_liveness, setup),      cmocka_unit_test_setup(test_fork, setup),
        cmocka_unit_test_setup(test_lock_damaged, setup),  cmocka_unit_test_setup(test_liveness_damaged, setup),
        cmocka_unit_test_setup(test_lock_takeover, setup), cmocka_unit_test_setup(test_lock_exclusion, setup),
        cmocka_unit_test_setup(test_register, setup),      cmocka_unit_test_setup(test_inflight, setup),
        cmocka_unit_test_setup(test_unknown, setup),       cmocka_unit_test_setup(test_hand_over, setup),
        cmocka_unit_test_setup(test_pool, setup),          cmocka_unit_test_setup(test_scan, setup),
        cmocka_unit_test_setup(test_begin_at_once, setup), cmocka_unit_test_setup(test_reclaim, setup),
        cmocka_unit_test_setup(test_unlinked, setup),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    clean();
    rmdir(root);
    unlink(index_path());
    return result;
}
