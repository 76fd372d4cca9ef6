/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * handle.c — this process's part in open file descriptions. Layer file.
 *
 * A grace period for each close would cost more than many a close itself: ended handles are gathered and given back
 * together, after one.
 */
#include "file/handle.h"

#include "base/highfd.h"
#include "base/rawsys.h"
#include "file/file_candidate.h"
#include "file/file_lock.h"
#include "file/owner.h"

#include <errno.h>
#include <stddef.h>

#define HANDLE_ENDED_MOST 64u

static struct {
    struct pool pool;             /* private to the process */
    _Atomic uint32_t ended;       /* list by pool_link: uma closed, a reader may still hold handle and record */
    _Atomic uint32_t ended_count; /* about how many */
    _Atomic uint32_t late;        /* list: the uma is still to be closed */
} handles;

static struct fd_handle *handle_at(uint32_t index)
{
    return pool_at(&handles.pool, index);
}

static void list_push(_Atomic uint32_t *list, struct fd_handle *handle)
{
    uint32_t top = atomic_load_explicit(list, memory_order_relaxed);
    do
        atomic_store_explicit(&handle->link.next, top, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(list, &top, handle->index, memory_order_release,
                                                  memory_order_relaxed)); /* release: pairs with list_take */
}

/* Lists are only ever taken whole, so that pushing knows no ABA. */
static uint32_t list_take(_Atomic uint32_t *list)
{
    return atomic_exchange_explicit(list, 0, memory_order_acquire);
}

static uint32_t list_next(struct fd_handle *handle)
{
    return atomic_load_explicit(&handle->link.next, memory_order_relaxed);
}

struct fd_handle *handle_make(struct uma *uma, int flags)
{
    if (pool_make(&handles.pool, false))
        return NULL;
    uint32_t ofd_index, index = pool_take(&handles.pool);
    if (!index)
        return NULL;
    struct ofd *ofd = ofd_make((uint32_t)flags, &ofd_index);
    if (!ofd) {
        pool_give(&handles.pool, index);
        return NULL;
    }
    struct fd_handle *handle = handle_at(index);
    int mode = flags & O_ACCMODE;
    handle->uma = uma;
    handle->ofd = ofd;
    handle->ofd_index = ofd_index;
    handle->ofd_generation = ofd_generation(ofd);
    handle->index = index;
    handle->readable = mode == O_RDONLY || mode == O_RDWR;
    handle->writable = mode == O_WRONLY || mode == O_RDWR;
    handle->late_fd = -1;
    atomic_store_explicit(&handle->gifts, 0, memory_order_relaxed);
    atomic_store_explicit(&handle->quiet, flags & O_NOATIME, memory_order_relaxed);
    atomic_store_explicit(&handle->forked, 0, memory_order_relaxed);
    atomic_store_explicit(&handle->count, 1, memory_order_release); /* complete: pairs with handle_each, handle_count */
    return handle;
}

bool handle_count(struct fd_handle *handle)
{
    uint32_t count = atomic_load_explicit(&handle->count, memory_order_relaxed);
    while (count)
        if (atomic_compare_exchange_weak_explicit(&handle->count, &count, count + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Marks an owner that is a process id: the words of a volume's table are smaller. */
#define OWNER_IS_PID UMA_PROCESS_END

static bool lock_owner_is_gone(uint32_t owner, void *arg)
{
    return owner & OWNER_IS_PID ? owner_is_gone(owner & ~OWNER_IS_PID) : uma_process_is_dead(arg, owner);
}

void handle_lock(struct fd_handle *handle)
{
    uint32_t self = uma_process(handle->uma);
    if (__builtin_expect(!self, 0))
        self = OWNER_IS_PID | (uint32_t)sys_getpid();
    ofd_lock(handle->ofd, self, lock_owner_is_gone, handle->uma);
}

static void give_back(uint32_t index, bool with_record)
{
    while (index) {
        struct fd_handle *handle = handle_at(index);
        uint32_t next = list_next(handle);
        if (with_record)
            ofd_release(handle->ofd, handle->ofd_index);
        pool_give(&handles.pool, index);
        index = next;
    }
}

static void end_gathered(void)
{
    atomic_store_explicit(&handles.ended_count, 0, memory_order_relaxed); /* an estimate */
    uint32_t first = list_take(&handles.ended);
    if (!first)
        return;
    rcu_wait_for_others();
    give_back(first, true);
}

static int end(struct fd_handle *handle, int fd)
{
    /* A child that we do not know of, made without handlers, may have the description still: it takes the kernel's offset. */
    if (fd >= 0 && !ofd_is_in_kernel(handle->ofd)) {
        handle_lock(handle);
        ofd_to_kernel(handle->ofd, fd);
        ofd_unlock(handle->ofd);
    }
    int error = uma_close(handle->uma, fd);
    list_push(&handles.ended, handle);
    /* alone: no waiting, and the next open finds record and handle in the caches */
    if (rcu_is_alone() || atomic_fetch_add_explicit(&handles.ended_count, 1, memory_order_relaxed) >= HANDLE_ENDED_MOST)
        end_gathered();
    return error;
}

void handle_end_late(void)
{
    if (!atomic_load_explicit(&handles.late, memory_order_relaxed) || rcu_inside())
        return;
    uint32_t index = list_take(&handles.late);
    while (index) {
        struct fd_handle *handle = handle_at(index);
        uint32_t next = list_next(handle);
        int fd = handle->late_fd;
        end(handle, fd);
        if (fd >= 0)
            highfd_close(fd);
        index = next;
    }
}

typedef bool handle_test(const struct fd_handle *handle);

static bool any(const struct uma *uma, handle_test *test)
{
    uint32_t extent = pool_extent(&handles.pool);
    for (uint32_t index = 1; index <= extent; index++) {
        struct fd_handle *handle = handle_at(index);
        /* acquire: pairs with the last store of handle_make */
        if (atomic_load_explicit(&handle->count, memory_order_acquire) && handle->uma == uma && test(handle))
            return true;
    }
    return false;
}

static bool is_given(const struct fd_handle *handle)
{
    return ofd_is_given(handle->ofd);
}

bool handle_any_given(const struct uma *uma)
{
    return any(uma, is_given);
}

static bool is_writable(const struct fd_handle *handle)
{
    return handle->writable;
}

/* Of a program: who can only read it now does not keep it from being executed. */
static int end_writing(struct fd_handle *handle, int fd)
{
    if (!handle->writable || !uma_bars_execution(handle->uma) || any(handle->uma, is_writable))
        return 0;
    file_lock_forget();
    int error = uma_let_execute(handle->uma, fd);
    file_lock_forget(); /* the uma is not ready for locks any more */
    return error;
}

int handle_drop(struct fd_handle *handle, int fd)
{
    /* acq_rel: what every holder did with it is over before it ends */
    if (atomic_fetch_sub_explicit(&handle->count, 1, memory_order_acq_rel) != 1)
        return 0;
    if (rcu_inside()) {
        handle->late_fd = fd < 0 ? -1 : highfd_move(sys_fcntl(fd, F_DUPFD_CLOEXEC, 0));
        list_push(&handles.late, handle);
        return 0;
    }
    int error = end_writing(handle, fd), lent = uma_let_lender_go(handle->uma, fd), last = end(handle, fd);
    return error ? error : lent ? lent : last;
}

void handle_each(void (*visit)(struct fd_handle *handle))
{
    uint32_t extent = pool_extent(&handles.pool);
    for (uint32_t index = 1; index <= extent; index++) {
        struct fd_handle *handle = handle_at(index);
        /* acquire: pairs with the last store of handle_make */
        if (atomic_load_explicit(&handle->count, memory_order_acquire))
            visit(handle);
    }
}

static void count_for_child(struct fd_handle *handle)
{
    if (ofd_reference(handle->ofd))
        atomic_store_explicit(&handle->forked, 1, memory_order_relaxed); /* read by this thread, here or in the child */
}

/* In a read section: a handle that is met is not given back and made another's before its record is counted. */
void handle_before_fork(void)
{
    rcu_enter();
    handle_each(count_for_child);
    rcu_leave();
}

static void forget_child(struct fd_handle *handle)
{
    atomic_store_explicit(&handle->forked, 0, memory_order_relaxed);
}

void handle_after_fork_parent(void)
{
    handle_each(forget_child);
}

/* A description that nobody has counted for this child: another thread opened it while this one was forking, or there were
 * no handlers before the fork. Its record may be another's by now. */
static void join_uncounted(struct fd_handle *handle)
{
    uint32_t index;
    if (ofd_reference(handle->ofd)) {
        if (ofd_generation(handle->ofd) == handle->ofd_generation)
            return;
        ofd_release(handle->ofd, handle->ofd_index);
    }
    struct ofd *own = ofd_make(ofd_flags(handle->ofd), &index);
    if (!own)
        return;
    handle->ofd = own;
    handle->ofd_index = index;
    handle->ofd_generation = ofd_generation(own);
}

void handle_after_fork_child(bool counted)
{
    /* What had ended was the parent's to give back; its threads in read sections are not here. */
    give_back(list_take(&handles.ended), false);
    uint32_t extent = pool_extent(&handles.pool);
    for (uint32_t index = 1; index <= extent; index++) {
        struct fd_handle *handle = handle_at(index);
        /* relaxed: there is one thread. Without handlers the mark belongs to another fork, that was under way. */
        bool ours = atomic_exchange_explicit(&handle->forked, 0, memory_order_relaxed) && counted;
        bool alive = atomic_load_explicit(&handle->count, memory_order_relaxed) != 0;
        atomic_store_explicit(&handle->gifts, 0, memory_order_relaxed); /* the uma is detached here: look again */
        if (ours && !alive)
            ofd_release(handle->ofd, handle->ofd_index);
        else if (alive && !ours)
            join_uncounted(handle);
    }
}

static void exit_entry(int fd, struct fd_handle *handle, void *arg)
{
    (void)arg;
    handle_lock(handle);
    ofd_to_kernel(handle->ofd, fd); /* what this thread still does with the number the kernel does */
    ofd_unlock(handle->ofd);
    fd_table_set(fd, FD_LEFT);
}

static void exit_handle(struct fd_handle *handle)
{
    /* acq_rel: as in handle_drop; a borrower that is still at it keeps its record */
    if (atomic_exchange_explicit(&handle->count, 0, memory_order_acq_rel))
        ofd_release(handle->ofd, handle->ofd_index);
}

void handle_exit(void)
{
    fd_table_each(0, (unsigned)FD_MAX - 1, exit_entry, NULL);
    if (rcu_inside())
        return; /* in a signal handler: a thread, this one, still holds a handle */
    end_gathered();
    rcu_wait();
    handle_each(exit_handle);
}

void handle_enter_section(void)
{
    rcu_enter(); /* first: it makes the thread known with all care, which rcu_inside does without */
    while (uma_is_parting()) {
        rcu_leave();
        bool goes_on = rcu_inside() || !uma_parting_wait(); /* an outer section is waited for, with all that is in it */
        rcu_enter();
        if (goes_on)
            return;
    }
}

struct fd_handle *handle_enter_marked(int fd)
{
    for (;;) {
        handle_enter_section();
        struct fd_handle *handle = fd_table_get(fd);
        if (fd_is_handle(handle))
            return handle;
        rcu_leave();
        bool left = handle == FD_LEFT;
        if (handle == FD_CANDIDATE || handle == FD_CHANGING)
            left = uma_has_left(); /* another thread was at the number: it waits for the end, too */
        if (left) {
            return NULL;
        } else if (handle == FD_CANDIDATE) {
            int error = candidate_adopt(fd);
            if (error) /* a vfork child's number; or no memory: EBADF, as open would have had none */
                return error == -EPERM ? NULL : FD_CLOSING;
        } else if (handle != FD_CHANGING) {
            return handle;
        } else {
            sys_sched_yield();
        }
    }
}

struct fd_handle *handle_borrow(int fd)
{
    struct fd_handle *handle = handle_enter(fd);
    if (!fd_is_handle(handle))
        return handle;
    bool counted = handle_count(handle);
    handle_leave();
    return counted ? handle : FD_CLOSING;
}
