/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_ofd.c — file/ofd and file/owner: shared offsets, references, and locks whose owner is dead.
 */
#include "unit/unit.h"

#include "file/ofd.h"
#include "file/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
    (void)state;
    return 0;
}

/* A record lives as long as a reference, and is used again afterwards. */
static void test_references(void **state)
{
    (void)state;
    uint32_t index, again;
    struct ofd *ofd = ofd_make(O_RDWR | O_APPEND, &index);
    assert_non_null(ofd);
    assert_int_equal(ofd_flags(ofd), O_RDWR | O_APPEND);
    assert_true(ofd_is_in_kernel(ofd));
    assert_true(ofd_reference(ofd));
    ofd_release(ofd, index);
    assert_int_equal(ofd->references, 1);
    ofd_release(ofd, index);
    assert_false(ofd_reference(ofd));
    assert_ptr_equal(ofd_make(O_RDONLY, &again), ofd);
    assert_int_equal(again, index);
    assert_int_equal(ofd_flags(ofd), O_RDONLY);
    ofd_release(ofd, index);
}

/* The offset goes to the kernel and back without loss. */
static void test_hand_over(void **state)
{
    (void)state;
    uint32_t index;
    int fd = unit_file(100);
    struct ofd *ofd = ofd_make(O_RDWR, &index);
    lseek(fd, 40, SEEK_SET);
    assert_int_equal(ofd_from_kernel(ofd, fd), 0);
    assert_int_equal(ofd->offset, 40);
    lseek(fd, 3, SEEK_SET); /* does not count now */
    assert_int_equal(ofd_from_kernel(ofd, fd), 0);
    assert_int_equal(ofd->offset, 40);
    assert_int_equal(ofd_to_kernel(ofd, fd), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 40);
    assert_true(ofd_is_in_kernel(ofd));
    close(fd);
    assert_int_equal(ofd_from_kernel(ofd, fd), -EBADF);
    assert_true(ofd_is_in_kernel(ofd));
    ofd_release(ofd, index);
}

static bool is_gone(uint32_t owner, void *arg)
{
    (void)arg;
    return owner_is_gone(owner);
}

static void lock(struct ofd *ofd)
{
    ofd_lock(ofd, (uint32_t)getpid(), is_gone, NULL);
}

/* Two processes count in one record without losing a step. */
#define SHARED_STEPS 20000
static void test_shared(void **state)
{
    (void)state;
    uint32_t index;
    struct ofd *ofd = ofd_make(O_RDWR, &index);
    ofd_set_offset(ofd, 0);
    pid_t child = fork();
    for (int i = 0; i < SHARED_STEPS; i++) {
        lock(ofd);
        ofd_set_offset(ofd, ofd->offset + 1);
        ofd_unlock(ofd);
    }
    if (!child)
        _exit(0);
    int status;
    waitpid(child, &status, 0);
    unit_expect_exit(status, 0);
    assert_int_equal(ofd->offset, 2 * SHARED_STEPS);
    ofd_release(ofd, index);
}

/* A child that takes the lock and waits to be killed. */
static pid_t lock_in_child(struct ofd *ofd)
{
    pid_t child = fork();
    if (!child) {
        lock(ofd);
        ofd_set_offset(ofd, 4711);
        for (;;)
            pause();
    }
    while (shlock_owner(&ofd->lock) != (uint32_t)child || ofd->offset != 4711)
        usleep(100);
    return child;
}

/* The lock of a killed process is taken over, before and after its parent has waited for it. */
static void test_dead_owner(void **state)
{
    (void)state;
    for (int reaped = 0; reaped < 2; reaped++) {
        uint32_t index;
        struct ofd *ofd = ofd_make(O_RDWR, &index);
        pid_t child = lock_in_child(ofd);
        kill(child, SIGKILL);
        siginfo_t info;
        waitid(P_PID, (id_t)child, &info, WEXITED | (reaped ? 0 : WNOWAIT));
        alarm(10);
        lock(ofd);
        alarm(0);
        assert_int_equal(shlock_owner(&ofd->lock), getpid());
        assert_int_equal(ofd->offset, 4711);
        ofd_unlock(ofd);
        if (!reaped)
            waitpid(child, NULL, 0);
        ofd_release(ofd, index);
    }
}

/* The lock of a living process is not. */
static void *lock_in_thread(void *arg)
{
    lock(arg);
    return NULL;
}

static void test_living_owner(void **state)
{
    (void)state;
    uint32_t index;
    struct ofd *ofd = ofd_make(O_RDWR, &index);
    pid_t child = lock_in_child(ofd);
    pthread_t thread;
    pthread_create(&thread, NULL, lock_in_thread, ofd);
    usleep(50000);
    assert_int_equal(shlock_owner(&ofd->lock), child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    pthread_join(thread, NULL);
    assert_int_equal(shlock_owner(&ofd->lock), getpid());
    ofd_unlock(ofd);
    ofd_release(ofd, index);
}

/* Who is gone: nobody of that number, or a zombie. Not: a running one, or one whose first
 * thread has ended. */
static void *outlive(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

static void test_is_gone(void **state)
{
    (void)state;
    uint32_t self = (uint32_t)getpid();
    assert_false(owner_is_gone(self));
    assert_false(owner_is_gone(1));
    assert_true(owner_is_gone(0x7ffffff0u));
    pid_t child = fork();
    if (!child) {
        pthread_t thread;
        pthread_create(&thread, NULL, outlive, NULL);
        pthread_exit(NULL);
    }
    usleep(50000);
    assert_false(owner_is_gone((uint32_t)child));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    assert_true(owner_is_gone((uint32_t)child));
    waitpid(child, NULL, 0);
    assert_true(owner_is_gone((uint32_t)child));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_hand_over),    cmocka_unit_test(test_shared),
        cmocka_unit_test(test_dead_owner), cmocka_unit_test(test_living_owner), cmocka_unit_test(test_is_gone),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
