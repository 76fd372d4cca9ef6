/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_attach.c — from the kernel's path to user space; uma_detach.c is the way back. Layer uma; called at the first operation
 * that needs it.
 *
 * Under the inode's bucket lock, so one process at a time for one file:
 *   fresh    nobody has the file: a ready log and an index object are taken, the log is registered (from then on nobody
 *            starts a call on the kernel's path, and those under way were waited for), the file is fsynced, the log issued
 *   recover  a log is registered, and its exclusive lock is free: its users are dead, or it is of an earlier boot. Recovery,
 *            the log is retired, then as fresh. A damaged log is kept and its file is not opened (EIO): what the kernel
 *            would show is not what was committed
 *   join     the lock is held: another process serves the file; its index object is the one and only
 */
#include "base/conf.h"
#include "base/highfd.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/place.h"
#include "base/rawsys.h"
#include "base/rcu.h"
#include "base/stats.h"
#include "log/log_index.h"
#include "log/log_recover.h"
#include "pm/pm.h"
#include "uma/uma_private.h"

#include <errno.h>
#include <string.h>

#define JOIN_TRIES 2000u      /* waits of 1 ms for another process that recovers */
#define DEATH_TRIES 300u      /* for a dying one to let go of its log; only once for each uma */
#define ATTACH_DESCRIPTORS 2u /* log and index; the file's own is there */
#define INDEX_TRIES 4u        /* who looks for objects of dead processes may take one that was just made */
#define SECTOR 512u           /* unit of stx_blocks */

/* What became of a registered log that nobody uses; beside 0 and negative errno values. */
#define LOG_NOT_OURS 1   /* gone, retired, or of another file: left alone */
#define LOG_GIVEN_BACK 2 /* recovered, retired, unregistered */
/* And of one in use: its index object is not there. Its user is dying, and has let go of the object, which anybody may have
 * removed then, but not yet of the log; or it is in another mount namespace. */
#define LOG_WITHOUT_INDEX 3

/* ---- the parts of an attachment ---- */

/* The file is mapped when a home in it is first needed: many a file is detached before. */
static int map_data(struct uma *uma)
{
    enum pm_map_sync sync = volume_sync(uma->volume);
    if (sync == PM_MAP_SYNC_TRY)
        return pm_map_open(&uma->data, uma->data_fd, uma->data_writable, true, sync);
    pm_map_prepare(&uma->data, uma->data_fd, uma->data_writable, true, sync);
    return 0;
}

/* Frees the places of dead processes that were at nothing when they died; true if there was one. */
static bool leave_for_dead(struct uma *uma)
{
    bool any = false;
    for (unsigned p = 0; p < INDEX_PARTICIPANTS; p++) {
        uint64_t process = atomic_load_explicit(index_process(&uma->index, p), memory_order_acquire);
        bool idle = process && volume_is_dead(uma->volume, process);
        for (unsigned i = 0; idle && i < INDEX_RECORDS; i++)
            idle = !index_is_claimed(&index_records(&uma->index, p)[i]);
        if (idle)
            index_leave(&uma->index, p);
        any = any || idle;
    }
    return any;
}

static int join_index(struct uma *uma)
{
    uma->process = volume_self(uma->volume);
    int participant = index_join(&uma->index, uma->process);
    if (participant == -EUSERS && leave_for_dead(uma))
        participant = index_join(&uma->index, uma->process);
    uma->late = participant == -EUSERS;
    if (uma->late)
        participant = index_join_late(&uma->index, uma->process);
    if (participant < 0)
        return participant;
    uma->participant = (unsigned)participant;
    for (unsigned i = 0; i < INDEX_RECORDS; i++) /* of threads that this process does not have, if it was forked */
        atomic_store_explicit(&uma->claim[i].taken, 0, memory_order_relaxed);
    return 0;
}

/* One who came too late for a place of its own, and has joined for this moment: the file becomes the kernel's, for all. */
static int yield_to_kernel(struct uma *uma)
{
    struct index_record *record = uma_claim(uma);
    int error = uma_set_mode(uma, record, INDEX_MODE_PASSTHROUGH);
    uma_unclaim(uma, record);
    index_leave(&uma->index, uma->participant);
    msg(MSG_WARNING, "inode %llu: more processes than there are places: handed to the kernel",
        (unsigned long long)uma->ino);
    return error ? error : -EUSERS;
}

/* The volatile state of a file that is whole in the kernel, durable, `size` bytes long. */
static void shared_init(struct uma *uma, uint64_t size, uint64_t allocated)
{
    struct index_shared *shared = uma_shared(uma);
    uint64_t epoch = atomic_load_explicit(&log_header(&uma->log)->epoch, memory_order_relaxed);
    uint64_t blocks = uma_round_up(size) / UMA_BLOCK;
    atomic_store_explicit(&shared->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&shared->durable, epoch, memory_order_relaxed);
    atomic_store_explicit(&shared->committed_size, size, memory_order_relaxed);
    atomic_store_explicit(&shared->kernel_size, size, memory_order_relaxed);
    atomic_store_explicit(&shared->kernel_durable, size, memory_order_relaxed);
    /* fewer blocks than the size needs: a sparse file, whose blocks prove themselves one by one */
    atomic_store_explicit(&shared->dense_blocks, allocated >= blocks * UMA_BLOCK ? blocks : 0, memory_order_relaxed);
    atomic_store_explicit(&shared->size, size, memory_order_relaxed);
    atomic_store_explicit(&shared->prev_size, size, memory_order_relaxed);
    atomic_store_explicit(&shared->size_epoch, epoch - 1, memory_order_relaxed);
    atomic_store_explicit(&shared->dirty_epoch, epoch - 1, memory_order_relaxed);
    atomic_store_explicit(&shared->garbage_end, size, memory_order_relaxed);
    atomic_store_explicit(&shared->mode, INDEX_MODE_LOGGED, memory_order_relaxed);
}

/* Makes the index object of an exclusively locked log and names it in the header. */
static int make_index(struct uma *uma)
{
    struct stat st;
    int error = sys_fstat(uma->log.fd, &st);
    struct log_header *header = log_header(&uma->log);
    uint32_t owner = volume_owner(uma->volume);
    uint64_t nonce = atomic_load_explicit(&header->index_nonce, memory_order_relaxed); /* exclusive lock: no race */
    if (nonce && !index_is_pooled(nonce)) { /* of dead processes, or one that could not be made */
        log_index_remove(owner, nonce);
        nonce = 0;
    }
    for (unsigned tries = 0; !error && tries < INDEX_TRIES; tries++) {
        if (!nonce)
            error = index_new_nonce(&nonce);
        if (error)
            break;
        pm_store64(&header->index_nonce, nonce); /* before the object is made, see log_index.h */
        error = index_create(&uma->index, owner, nonce, log_blocks_in((uint64_t)st.st_size));
        if (error != -EAGAIN)
            break;
        nonce = 0;
        error = tries + 1 < INDEX_TRIES ? 0 : error;
    }
    if (error)
        return error;
    pm_store64(&header->index_dev, uma->index.dev);
    pm_store64(&header->index_ino, uma->index.ino);
    return 0;
}

void uma_set_log_flag(struct uma *uma, enum log_flags flag)
{
    struct log_header *header = log_header(&uma->log);
    /* an atomic or, since another process may set another flag */
    if (pm_or64(&header->flags, flag) & flag)
        return;
    pm_flush(header, PM_LINE);
    pm_fence();
}

void uma_note_atomic(struct uma *uma)
{
    struct index_shared *shared = uma_shared(uma);
    if (!(atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC))
        return;
    if (!uma_keeps_commits(uma)) {
        /* So far what was committed was written over, and a sync committed nothing. The state of this moment is what the
         * file rolls back to: those who did not know are out of the guard, and it is committed before anybody enters. */
        struct index_record *record = uma_claim(uma);
        uma_gate_close(uma, record);
        atomic_store_explicit(&shared->atomic, 1, memory_order_release);
        uma_commit_locked(uma, record); /* failing, it fails the file */
        uma_gate_open(uma, record);
        uma_unclaim(uma, record);
    }
    atomic_store_explicit(&shared->atomic, 1, memory_order_release);
    uma_set_log_flag(uma, LOG_FLAG_ATOMIC);
}

/* The log is exclusively ours and names no file: this one starts with it. */
static int start_log(struct uma *uma, const struct log_identity *identity)
{
    char *path = NULL;
    struct stat st;
    int error = make_index(uma);
    if (error)
        return error;
    error = sys_fsync(uma->data_fd); /* what went through the kernel so far is the first committed state */
    if (!error)
        error = sys_fstat(uma->data_fd, &st);
    if (!error)
        error = map_data(uma);
    if (!error) {
        path = mem_alloc(LOG_PATH_BYTES);
        if (path && place_name(uma->data_fd, path, LOG_PATH_BYTES - 1) < 0)
            path[0] = 0;
        bool atomic = atomic_load_explicit(&uma->flags, memory_order_relaxed) & UMA_FLAG_ATOMIC;
        log_note_handle(&uma->log, identity, uma->data_fd);
        log_issue(&uma->log, identity, volume_owner(uma->volume), (uint64_t)st.st_size, atomic ? LOG_FLAG_ATOMIC : 0,
                  path);
        mem_free(path, LOG_PATH_BYTES);
    }
    if (error) {
        index_destroy(&uma->index, false);
        return error;
    }
    shared_init(uma, (uint64_t)st.st_size, (uint64_t)st.st_blocks * SECTOR);
    error = join_index(uma);
    if (!error)
        error = log_lock(&uma->log, LOG_LOCK_SHARED);
    if (error) {
        pm_map_close(&uma->data);
        index_destroy(&uma->index, false);
    }
    return error;
}

/* ---- the three ways ---- */

static int attach_fresh(struct uma *uma, enum uma_purpose purpose)
{
    struct log_identity identity;
    if (purpose != UMA_TO_DEMOTE)
        uma_data_open_to_write(uma);
    if (!uma->data_writable && !(purpose == UMA_TO_DEMOTE && uma_is_program(uma)))
        return -EACCES;
    if (!highfd_has_room(ATTACH_DESCRIPTORS, true))
        return -EMFILE; /* the application has few, and needs them */
    int error = log_identity_of(uma->data_fd, &identity, NULL);
    if (!error)
        error = volume_take_log(uma->volume, &uma->log);
    if (error)
        return error;
    error = volume_register_log(uma->volume, uma->ino, uma->log.id);
    if (!error) {
        error = start_log(uma, &identity);
        if (!error && !uma->data_writable) /* before anybody could try to write here */
            uma_mark_passthrough(uma);
        if (error) {
            log_retire(&uma->log);
            volume_unregister_log(uma->volume, uma->ino);
        }
    }
    if (error)
        volume_give_log(uma->volume, &uma->log);
    return error;
}

/* A file that its owner has made read-only since: what was acknowledged comes first. The owner may change the mode, and
 * does, for the moment that opening it takes. */
static int recover_by_owner(struct uma *uma)
{
    struct stat st;
    int error = sys_fstat(uma->data_fd, &st);
    if (!error)
        error = sys_fchmod(uma->data_fd, (st.st_mode & 07777) | S_IRUSR | S_IWUSR);
    if (error)
        return -EACCES;
    int fd = place_reopen(uma->data_fd, O_RDWR | O_CLOEXEC);
    sys_fchmod(uma->data_fd, st.st_mode & 07777);
    if (fd < 0)
        return -EACCES;
    error = log_recover(&uma->log, fd, NULL);
    uma_data_replace(uma, fd);
    return error;
}

/* The log of the file is not one that we can read: it stays as it is, and so does the file. */
static int refuse_log(const struct uma *uma, uint64_t id)
{
    char name[LOG_NAME_BYTES];
    log_name_format(id, name);
    msg(MSG_ERROR, "inode %llu: its log %s is damaged or of another version: kept, the file cannot be opened",
        (unsigned long long)uma->ino, name);
    return -EIO;
}

/* The log, exclusively ours, is of another file, which may be gone, as the number of its inode is this one's now; durably, or a
 * power cut might bring it back. Otherwise it stays for its own. */
static void remove_replaced(struct uma *uma, const struct log_header *copy, const struct log_identity *identity)
{
    if (!log_identity_replaced(&copy->identity, identity) || (uma->durable && sys_syncfs(uma->data_fd) != 0))
        return;
    log_index_remove(volume_owner(uma->volume), copy->index_nonce);
    log_retire(&uma->log);
    log_unlink(&uma->log);
}

/* The registered log belongs to nobody alive: what it holds goes to the file. LOG_GIVEN_BACK; LOG_NOT_OURS; or -errno. */
static int attach_recovered(struct uma *uma, struct log_header *copy)
{
    struct log_identity identity;
    int error = log_check(&uma->log, volume_owner(uma->volume), copy);
    if (error == -ENODATA) /* in a pool, or its maker died before it was issued */
        return log_is_void(&uma->log, copy) ? LOG_NOT_OURS : refuse_log(uma, uma->log.id);
    bool damaged = error == -EBADMSG || error == -EPROTONOSUPPORT;
    if (!error || damaged) {
        int known = log_identity_of(uma->data_fd, &identity, NULL);
        if (known)
            return known;
    }
    if (damaged) {
        bool other = log_identity_is_intact(copy) && !log_identity_equal(&identity, &copy->identity);
        return other ? LOG_NOT_OURS : refuse_log(uma, uma->log.id);
    }
    if (!error)
        error = log_map(&uma->log, volume_sync(uma->volume));
    if (error)
        return error;
    if (!log_identity_equal(&identity, &copy->identity)) {
        remove_replaced(uma, copy, &identity);
        return LOG_NOT_OURS; /* the inode number is another file's now */
    }
    if (!(copy->flags & LOG_FLAG_PASSTHROUGH)) {
        uma_data_open_to_write(uma);
        error = uma->data_writable ? log_recover(&uma->log, uma->data_fd, NULL) : recover_by_owner(uma);
        if (error) {
            msg(MSG_ERROR, "inode %llu: recovery failed with %d, the log is kept", (unsigned long long)uma->ino,
                -error);
            return error == -ENOSPC || error == -EDQUOT || error == -EACCES ? error : -EIO;
        }
    }
    log_index_remove(volume_owner(uma->volume), copy->index_nonce);
    log_retire(&uma->log);
    volume_unregister_log(uma->volume, uma->ino);
    volume_give_log(uma->volume, &uma->log);
    return LOG_GIVEN_BACK;
}

static int refuse_reach(const struct uma *uma, int error)
{
    msg(MSG_WARNING, "inode %llu: served by another process out of reach, error %d", (unsigned long long)uma->ino,
        -error);
    return -EBUSY;
}

static int attach_joined(struct uma *uma, struct log_header *copy)
{
    struct log_identity identity;
    int error = log_check(&uma->log, volume_owner(uma->volume), copy);
    if (!error)
        error = log_identity_of(uma->data_fd, &identity, NULL);
    if (!error && !log_identity_equal(&identity, &copy->identity))
        error = -EXDEV;
    if (!error)
        error = index_open(&uma->index, volume_owner(uma->volume), copy->index_nonce, copy->index_dev, copy->index_ino);
    if (error == -ESTALE || error == -EAGAIN)
        return LOG_WITHOUT_INDEX;
    if (!error) {
        error = log_map(&uma->log, volume_sync(uma->volume));
        if (error)
            index_close(&uma->index);
    }
    if (error) /* in use, but we cannot share what its users share: never a second index */
        return refuse_reach(uma, error);
    /* acquire: PASSTHROUGH stays, so who does not see it yet can write for nothing at worst */
    if (atomic_load_explicit(&uma_shared(uma)->mode, memory_order_acquire) != INDEX_MODE_PASSTHROUGH)
        uma_data_open_to_write(uma);
    error = map_data(uma);
    if (!error) {
        error = join_index(uma);
        if (!error && uma->late)
            error = yield_to_kernel(uma);
        if (error)
            pm_map_close(&uma->data);
    }
    if (error) {
        uma_scratch_free(uma);
        index_close(&uma->index);
    }
    return error;
}

/* A log is registered for the inode. 0: attached; LOG_NOT_OURS or LOG_GIVEN_BACK: start afresh; or -errno. */
static int attach_existing(struct uma *uma, uint64_t id, struct log_header *copy)
{
    int error = volume_open_log(uma->volume, id, &uma->log);
    if (error == -ENOENT)
        return LOG_NOT_OURS; /* its maker died before it had a name, or somebody gave the log up */
    if (error)
        return error == -ESTALE ? refuse_log(uma, id) : error;
    for (unsigned tries = 0, without = 0;; tries++) {
        error = log_lock(&uma->log, LOG_LOCK_EXCLUSIVE);
        if (!error) {
            error = attach_recovered(uma, copy);
            break;
        }
        error = log_lock(&uma->log, LOG_LOCK_SHARED);
        if (!error) {
            error = attach_joined(uma, copy);
            if (error != LOG_WITHOUT_INDEX)
                break;
            if (uma->out_of_reach || without++ == DEATH_TRIES) {
                uma->out_of_reach = true;
                error = refuse_reach(uma, -ESTALE);
                break;
            }
            log_lock(&uma->log, LOG_LOCK_NONE);
        } else if (error != -EAGAIN || tries == JOIN_TRIES) {
            error = error == -EAGAIN ? -EBUSY : error;
            break;
        }
        struct timespec pause = {.tv_nsec = 1000000};
        rawsys(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
    }
    if (error && error != LOG_GIVEN_BACK)
        log_close(&uma->log);
    return error;
}

bool uma_has_room(void)
{
    return highfd_has_room(ATTACH_DESCRIPTORS + 1,
                           false); /* the file's own may be there, which the attach lock guards */
}

static bool is_leaving(struct uma *uma)
{
    return atomic_load_explicit(&uma->state, memory_order_acquire) == UMA_LEAVING;
}

/* Takes the attach lock. Another thread that lets the file go waits for read sections, and then for this lock. */
static void lock_to_attach(struct uma *uma)
{
    uma_attach_lock();
    while (is_leaving(uma) && !uma_exiting() && !rcu_inside()) {
        uma_attach_unlock();
        sys_sched_yield();
        uma_attach_lock();
    }
}

int uma_attach(struct uma *uma, int fd, enum uma_purpose purpose)
{
    uma_lease_prepare(uma, fd); /* without a lock: it may start a thread */
    lock_to_attach(uma);
    if (uma_exiting() || is_leaving(uma)) {
        uma_attach_unlock();
        return -EPERM;
    }
    if (uma_is_attached(uma)) {
        uma_note_atomic(uma); /* by an open that came while another thread attached */
        uma_attach_unlock();
        return 0;
    }
    struct log_header *copy = mem_alloc(sizeof *copy);
    int error = copy ? uma_prove(uma, fd) : -ENOMEM;
    if (!error)
        error = uma_data_open(uma, fd, purpose);
    if (!error)
        error = uma_rescue_install();
    atomic_store_explicit(&uma->torn, false, memory_order_relaxed); /* under the attach lock */
    if (!error)
        error = volume_lock_inode(uma->volume, uma->ino);
    if (!error) {
        uint64_t id = volume_find_log(uma->volume, uma->ino);
        error = id ? attach_existing(uma, id, copy) : LOG_GIVEN_BACK;
        if (error == LOG_NOT_OURS || error == LOG_GIVEN_BACK) {
            if (error == LOG_NOT_OURS)
                volume_unregister_log(uma->volume, uma->ino);
            error = attach_fresh(uma, purpose);
        }
        if (!error) {
            atomic_store_explicit(&uma->undo, conf_get()->policy == CONF_POLICY_UNDO, memory_order_relaxed);
            uma_note_atomic(uma);
            (void)uma_mapped_attached(uma); /* failing, as a mapping that cannot be made: FAILED, or without room */
            if (atomic_load_explicit(&uma->torn, memory_order_relaxed)) /* what was stored since is nobody's but ours */
                atomic_store_explicit(&uma_shared(uma)->mode, INDEX_MODE_FAILED, memory_order_release);
            uma_lease_begin(uma);
            /* seq_cst: pairs with the counting of mappings by who finds it detached still */
            atomic_store_explicit(&uma->state, UMA_ATTACHED, memory_order_seq_cst);
            uma_mapped_look_again(uma);
            stats_add(STATS_ATTACHES, 1);
        }
        volume_unlock_inode(uma->volume, uma->ino);
    }
    mem_free(copy, sizeof *copy);
    uma_attach_unlock();
    if (!error) {
        if (purpose != UMA_TO_DEMOTE &&
            !uma_begin_unattended(uma)) /* what the kernel is going to serve needs no thread */
            uma_attend(uma);
        uma_lease_attached(uma);
    } else if (error != -EXDEV && fd >= 0) /* without a descriptor it is tried again with one, if it matters */
        msg(MSG_WARNING, "inode %llu: not attached, error %d", (unsigned long long)uma->ino, -error);
    return error;
}
