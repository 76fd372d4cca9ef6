/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_file_open.c — opening and closing: what is managed, O_TRUNC, adoption, stale entries, errors without leaks, close
 * under the feet of other threads.
 */
#include "unit/unit.h"

#include "base/mem.h"
#include "base/rawsys.h"
#include "file/file.h"
#include "file/handle.h"
#include "nvmmio.h"
#include "unit/fake/uma.h"
#include "unit/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[UNIT_PATH_MAX];
static char managed[UNIT_PATH_MAX + 16], plain[UNIT_PATH_MAX + 16];

static int setup(void **state)
{
    (void)state;
    fake_uma_begin(directory);
    snprintf(managed, sizeof managed, "%s/in/f", directory);
    snprintf(plain, sizeof plain, "%s/f", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_uma_finish(directory);
    return 0;
}

static int open_managed(int flags)
{
    int fd = file_openat(AT_FDCWD, managed, flags, 0600);
    assert_true(fd >= 0);
    assert_true(file_is_managed(fd));
    return fd;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -errno : st.st_size;
}

static void make(const char *path, size_t size)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

/* The lowest free number: the same before and after whatever leaks nothing. */
static int lowest(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* Regular files below the root are managed; other files, directories, O_PATH descriptors and pipes are not. O_ATOMIC never
 * reaches the kernel. */
static void test_what_is_managed(void **state)
{
    (void)state;
    int fd = open_managed(O_RDWR | O_CREAT | O_ATOMIC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ATOMIC, 0);
    assert_int_equal(file_close(fd), 0);
    assert_false(file_is_managed(fd));
    fd = file_openat(AT_FDCWD, plain, O_RDWR | O_CREAT | O_ATOMIC, 0600);
    assert_true(fd >= 0);
    assert_false(file_is_managed(fd));
    assert_int_equal(file_write(fd, "abc", 3), 3);
    assert_int_equal(file_close(fd), 0);
    fd = file_openat(AT_FDCWD, managed, O_PATH, 0);
    assert_false(file_is_managed(fd));
    file_close(fd);
    fd = file_openat(AT_FDCWD, fake_uma.root, O_RDONLY | O_DIRECTORY, 0);
    assert_true(fd >= 0 && !file_is_managed(fd));
    int at = file_openat(fd, "f", O_RDONLY, 0); /* a relative path is the kernel's matter */
    assert_true(file_is_managed(at));
    file_close(at);
    file_close(fd);
    assert_int_equal(file_openat(AT_FDCWD, "/nowhere/f", O_RDWR | O_TRUNC, 0), -ENOENT);
    assert_int_equal(file_openat(AT_FDCWD, (char *)8, O_RDWR | O_TRUNC, 0), -EFAULT);
    assert_int_equal(file_openat(AT_FDCWD, fake_uma.root, O_RDWR, 0), -EISDIR);
    assert_int_equal(file_openat(AT_FDCWD, fake_uma.root, O_RDONLY | O_TRUNC, 0), -EISDIR);
    assert_int_equal(file_close(-1), -EBADF);
    assert_int_equal(fake_uma.opens, 2);
}

/* O_TRUNC on a file in user space is the uma's; on the kernel's path and outside the root the kernel's; always done. */
static void test_truncating_open(void **state)
{
    (void)state;
    static const int modes[] = {O_RDWR, O_WRONLY, O_RDONLY, O_RDWR | O_CREAT};
    for (int user = 0; user < 2; user++) {
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            fake_uma.user = user;
            fake_uma.resizes = 0;
            make(managed, 100);
            make(plain, 100);
            int other = open_managed(O_RDONLY);
            int fd = open_managed(modes[i] | O_TRUNC);
            assert_int_equal(size_of(managed), 0);
            assert_int_equal(fake_uma.resizes, user);
            file_close(fd);
            file_close(other);
            fd = file_openat(AT_FDCWD, plain, modes[i] | O_TRUNC, 0);
            assert_true(fd >= 0);
            assert_int_equal(size_of(plain), 0);
            file_close(fd);
        }
    }
    /* an empty file that was there is cut, which moves its times */
    fake_uma.user = true;
    fake_uma.resizes = 0;
    make(managed, 0);
    file_close(open_managed(O_RDWR | O_CREAT | O_TRUNC));
    assert_int_equal(fake_uma.resizes, 1);
    /* a new file is not cut a second time; O_EXCL is the kernel's */
    unlink(managed);
    fake_uma.user = true;
    fake_uma.resizes = 0;
    file_close(open_managed(O_RDWR | O_CREAT | O_TRUNC));
    assert_int_equal(fake_uma.resizes, 0);
    assert_int_equal(file_openat(AT_FDCWD, managed, O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600), -EEXIST);
    /* through a symbolic link to nothing */
    unlink(managed);
    char link[UNIT_PATH_MAX + 24];
    snprintf(link, sizeof link, "%s/in/link", directory);
    assert_int_equal(symlink("f", link), 0);
    int fd = file_openat(AT_FDCWD, link, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && file_is_managed(fd));
    file_close(fd);
    assert_int_equal(file_openat(AT_FDCWD, link, O_RDWR | O_NOFOLLOW | O_TRUNC, 0), -ELOOP);
}

/* O_TRUNC for reading alone needs the right to write, and cuts nothing without it. (Own child: drops root.) */
static void play_no_right(void)
{
    if (geteuid() == 0 && setuid(65534))
        _exit(0);
    unit_check(file_openat(AT_FDCWD, managed, O_RDONLY | O_TRUNC, 0) == -EACCES);
    unit_check(size_of(managed) == 100);
    unit_check(file_truncate(managed, 0) == -EACCES);
    unit_check(size_of(managed) == 100);
    int fd = file_openat(AT_FDCWD, managed, O_RDONLY, 0);
    unit_check(fd >= 0 && file_is_managed(fd));
    unit_check(file_ftruncate(fd, 0) == -EINVAL);
}

static void test_no_right(void **state)
{
    (void)state;
    make(managed, 100);
    chmod(managed, 0444);
    chmod(directory, 0755);
    chmod(fake_uma.root, 0755);
    unit_expect_exit(unit_in_child(play_no_right), 0);
}

/* A FIFO is opened once: an open that waits for the other end sees one writer come and go. A device likewise. */
static void test_fifo(void **state)
{
    (void)state;
    char path[UNIT_PATH_MAX + 24];
    snprintf(path, sizeof path, "%s/in/fifo", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t child = fork();
    if (!child) {
        int fd = open(path, O_RDONLY);
        char c;
        _exit(read(fd, &c, 1) == 1 && read(fd, &c, 1) == 0 ? 0 : 1);
    }
    int fd = file_openat(AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0 && !file_is_managed(fd));
    assert_int_equal(file_write(fd, "x", 1), 1);
    assert_int_equal(file_lseek(fd, 0, SEEK_SET), -ESPIPE);
    file_close(fd);
    int status;
    waitpid(child, &status, 0);
    unit_expect_exit(status, 0);
    fd = file_openat(AT_FDCWD, "/dev/null", O_RDWR | O_TRUNC, 0);
    assert_true(fd >= 0 && !file_is_managed(fd));
    assert_int_equal(file_write(fd, "x", 1), 1);
    file_close(fd);
}

/* A uma that refuses the file makes open fail, and nothing is left behind. */
static void test_refused(void **state)
{
    (void)state;
    make(managed, 10);
    int before = lowest();
    fake_uma.open_error = EBUSY;
    assert_int_equal(file_openat(AT_FDCWD, managed, O_RDWR, 0), -EBUSY);
    assert_int_equal(file_openat(AT_FDCWD, managed, O_RDWR | O_TRUNC, 0), -EBUSY);
    assert_int_equal(size_of(managed), 10);
    assert_int_equal(lowest(), before);
    fake_uma.open_error = 0;
    fake_uma.begin_error = EIO;
    assert_int_equal(file_openat(AT_FDCWD, managed, O_RDWR | O_TRUNC, 0), -EIO);
    assert_int_equal(lowest(), before);
    assert_int_equal(fake_uma.open_umas, 0);
    fake_uma.begin_error = 0;
}

/* Whatever system call of an open fails: an errno or a working descriptor, and no descriptor or uma is lost. */
static void test_every_failure(void **state)
{
    (void)state;
    static const int flags[] = {O_RDWR, O_RDWR | O_TRUNC, O_RDONLY | O_TRUNC, O_RDWR | O_CREAT | O_TRUNC};
    make(managed, 10);
    int before = lowest();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        for (unsigned nth = 1;; nth++) {
            fault_start();
            fault_set(FAULT_ANY, nth, ENOMEM, false);
            int fd = file_openat(AT_FDCWD, managed, flags[i], 0600);
            bool hit = fault_hits() > 0;
            fault_stop();
            if (fd >= 0)
                assert_int_equal(file_close(fd), 0);
            assert_int_equal(lowest(), before);
            assert_int_equal(fake_uma.open_umas, 0);
            if (!hit)
                break;
        }
    }
}

/* Without memory for the table the file goes to the kernel: the descriptor works, unmanaged. */
static void test_no_memory(void **state)
{
    (void)state;
    make(managed, 10);
    int low = file_openat(AT_FDCWD, managed, O_RDWR, 0);
    int high = fcntl(low, F_DUPFD, (int)FD_LEAF); /* the first number of a leaf that is not there */
    file_close(low);
    mem_fail_after(0);
    assert_int_equal(file_adopt(high, O_RDWR), 0);
    mem_fail_after(-1);
    assert_false(file_is_managed(high));
    assert_int_equal(fake_uma.demotions, 1);
    assert_int_equal(fake_uma.open_umas, 1); /* stays, as the mode lives with it */
    assert_int_equal(file_write(high, "x", 1), 1);
    close(high);
    fake_uma.open_umas = 0;
}

/* A descriptor that somebody else opened is adopted with its flags and its offset. */
static void test_adopt(void **state)
{
    (void)state;
    make(managed, 100);
    int fd = open(managed, O_RDWR | O_APPEND);
    lseek(fd, 7, SEEK_SET);
    assert_int_equal(file_adopt(fd, O_RDWR | O_APPEND), 0);
    assert_true(file_is_managed(fd));
    assert_int_equal(file_lseek(fd, 0, SEEK_CUR), 7);
    assert_int_equal(file_write(fd, "abc", 3), 3);
    assert_int_equal(fake_uma.last_write_flags, UMA_WRITE_APPEND);
    assert_int_equal(file_lseek(fd, 0, SEEK_CUR), 103);
    assert_int_equal(file_release(fd), 0); /* forgotten, not closed */
    assert_false(file_is_managed(fd));
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_int_equal(file_adopt(fd, FILE_ASK_FLAGS), 0);
    close(fd);
    assert_int_equal(file_adopt(fd, FILE_ASK_FLAGS), -EBADF);
    assert_true(file_is_managed(fd)); /* closed behind our back: found out at the next open of that number */
    int again = file_openat(AT_FDCWD, plain, O_RDWR | O_CREAT, 0600);
    assert_int_equal(again, fd);
    assert_false(file_is_managed(again));
    assert_int_equal(fake_uma.last_close_fd, -1);
    file_close(again);
    int other = open_managed(O_RDWR);
    fd = open_managed(O_RDWR);
    struct fd_handle *stale = fd_table_get(fd);
    close(fd);
    assert_int_equal(file_dup(other), fd); /* ...and at a duplicate */
    assert_ptr_not_equal(fd_table_get(fd), stale);
    assert_int_equal(stale->count, 0);
    file_close(fd);
    file_close(other);
}

/* A descriptor whose close is under way is none any more: no call goes past its uma to the file. */
static void *close_held(void *arg)
{
    return (void *)(intptr_t)file_close(*(int *)arg);
}

static void test_closing(void **state)
{
    (void)state;
    pthread_t thread;
    struct stat st;
    char c;
    int fd = open_managed(O_RDWR | O_CREAT);
    fake_uma.hold_close = true;
    pthread_create(&thread, NULL, close_held, &fd);
    while (!fake_uma.closes)
        sched_yield();
    assert_int_equal(file_write(fd, "x", 1), -EBADF);
    assert_int_equal(file_pread(fd, &c, 1, 0), -EBADF);
    assert_int_equal(file_lseek(fd, 0, SEEK_SET), -EBADF);
    assert_int_equal(file_fsync(fd), -EBADF);
    assert_int_equal(file_ftruncate(fd, 0), -EBADF);
    assert_int_equal(file_fstat(fd, &st), -EBADF);
    assert_int_equal(file_dup(fd), -EBADF);
    assert_int_equal(file_dup2(fd, 500), -EBADF);
    fake_uma.hold_close = false;
    void *result;
    pthread_join(thread, &result);
    assert_null(result);
}

/* The uma's error of the last close is close's, and the descriptor is gone all the same. */
static void test_close_error(void **state)
{
    (void)state;
    int fd = open_managed(O_RDWR | O_CREAT);
    int other = file_dup(fd);
    fake_uma.close_error = ENOSPC;
    assert_int_equal(file_close(other), 0);
    assert_int_equal(file_close(fd), -ENOSPC);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(file_close(fd), -EBADF);
}

/* More opens and closes than handles are gathered leave no record behind; none costs a grace period alone. */
static void test_many(void **state)
{
    (void)state;
    int fd = open_managed(O_RDWR | O_CREAT);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(file_close(open_managed(O_RDWR)), 0);
    assert_int_equal(file_close(fd), 0);
    struct fd_handle *handle = NULL;
    fd = open_managed(O_RDWR);
    handle = fd_table_get(fd);
    assert_true(handle->index < 200); /* handles and records are used again */
    assert_true(handle->ofd_index < 200);
    file_close(fd);
}

/* close_range closes the managed among the others, and leaves them when it only marks. */
static void test_close_range(void **state)
{
    (void)state;
    int fd = open_managed(O_RDWR | O_CREAT);
    int first = file_fcntl(fd, F_DUPFD, 300), second = file_fcntl(fd, F_DUPFD_CLOEXEC, 305);
    assert_int_equal(first, 300);
    assert_int_equal(second, 305);
    assert_int_equal(file_close_range(300, 310, 4), 0); /* CLOSE_RANGE_CLOEXEC */
    assert_true(file_is_managed(300) && file_is_managed(305));
    assert_int_equal(fcntl(300, F_GETFD), FD_CLOEXEC);
    assert_int_equal(file_close_range(310, 300, 0), -EINVAL);
    assert_int_equal(file_close_range(300, 310, 0), 0);
    assert_false(file_is_managed(300) || file_is_managed(305));
    assert_true(file_is_managed(fd));
    assert_int_equal(fcntl(305, F_GETFD), -1);
    file_close(fd);
}

/* Threads read and write while others open and close: no call meets a uma that has ended, none hangs. */
static _Atomic bool storm_over;
static void *storm_io(void *arg)
{
    char buffer[64];
    int fd = *(int *)arg;
    while (!storm_over) {
        ssize_t result = file_pread(fd, buffer, sizeof buffer, 0);
        if (result < 0 && result != -EBADF)
            return (void *)-result;
        result = file_write(fd, buffer, sizeof buffer);
        if (result < 0 && result != -EBADF)
            return (void *)-result;
    }
    return NULL;
}

static void test_close_storm(void **state)
{
    (void)state;
    pthread_t thread[3];
    int fd = open_managed(O_RDWR | O_CREAT);
    file_close(fd);
    storm_over = false;
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, storm_io, &fd);
    for (int i = 0; i < 300; i++) { /* each waits for threads that may have lost the CPU */
        int now = open_managed(O_RDWR);
        assert_int_equal(now, fd);
        sched_yield();
        assert_int_equal(file_close(now), 0);
    }
    storm_over = true;
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_null(result);
    }
}

/* After file_exit everything is the kernel's, with offsets as they were. (Own child.) */
static void play_exit(void)
{
    char buffer[8];
    int fd = file_openat(AT_FDCWD, managed, O_RDWR | O_CREAT, 0600);
    unit_check(file_write(fd, "hello", 5) == 5);
    unit_check(lseek(fd, 0, SEEK_CUR) == 0);
    file_exit();
    file_exit();
    unit_check(!file_is_managed(fd));
    unit_check(lseek(fd, 0, SEEK_CUR) == 5);
    unit_check(file_write(fd, "more", 4) == 4);
    unit_check(file_pread(fd, buffer, 8, 2) == 7);
    int other = file_openat(AT_FDCWD, managed, O_RDWR | O_ATOMIC, 0);
    unit_check(other >= 0 && !file_is_managed(other));
    unit_check(file_dup2(other, fd) == fd);
    unit_check(file_close(fd) == 0 && file_close(other) == 0);
    file_sync_all();
}

static void test_exit(void **state)
{
    (void)state;
    unit_expect_exit(unit_in_child(play_exit), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown), /* first: the table is small yet */
        cmocka_unit_test_setup_teardown(test_what_is_managed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncating_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fifo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
