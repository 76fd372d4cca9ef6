/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_table.c — the table of a volume: mapping, reset in a new boot, the processes in it. Layer log.
 *
 * Two descriptions of the file: the mapping's has no lock when it is closed, so that children may inherit the mapping; the
 * other holds the byte of this process's entry and is never mapped, so that it ends with the process.
 */
#include "base/grow.h"
#include "base/highfd.h"
#include "base/msg.h"
#include "base/rawsys.h"
#include "base/region.h"
#include "log/log_index.h"
#include "log/log_recover.h"
#include "log/volume_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

static const char table_name[] = "table";
enum {
    TABLE_MODE = 0600,
};

/* ---- locks on bytes ---- */

static int lock_byte(int fd, int command, short type, off_t byte)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = sys_fcntl(fd, command, (long)&range);
    while (result == -EINTR);
    if (result == 0 && command == F_OFD_GETLK)
        return range.l_type != F_UNLCK;
    return result;
}

bool volume_index_is_free(struct volume *volume, uint32_t index)
{
    uint64_t self = volume_self(volume);
    if (!self || index == volume_index(self))
        return false; /* our own lock does not stand against us; without an entry there is nothing to ask with */
    return lock_byte(volume->table_fd, F_OFD_GETLK, F_WRLCK, index) == 0;
}

/* ---- opening ---- */

/* A descriptor of the table after all checks, its inode number and length. */
static int open_table(const struct volume *volume, int flags, struct stat *st)
{
    int fd = sys_openat(volume->dirfd, table_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags,
                        TABLE_MODE);
    if (fd < 0)
        return fd == -ELOOP || fd == -EISDIR || fd == -ENXIO ? -ESTALE : fd;
    int result = sys_fstat(fd, st);
    if (result == 0 && S_ISREG(st->st_mode) && st->st_uid != volume->owner && st->st_size == 0 && st->st_uid == 0 &&
        sys_geteuid() == 0) { /* root has just made it for the owner */
        result = sys_fchown(fd, volume->owner, (gid_t)-1);
        if (result == 0)
            result = sys_fstat(fd, st);
    }
    if (result == 0 && (!S_ISREG(st->st_mode) || st->st_uid != volume->owner || st->st_nlink != 1 || st->st_mode & 077))
        result = -ESTALE;
    if (result < 0) {
        if (result == -ESTALE)
            msg(MSG_WARNING, "table of uid %u refused: not a regular file of the right owner and mode", volume->owner);
        sys_close(fd);
        return result;
    }
    return fd;
}

/* How files of this file system are mapped; -EOPNOTSUPP if it is no PM. */
static int decide_sync(int fd, enum pm_map_sync *sync)
{
    struct statfs fs;
    int result = sys_fstatfs(fd, &fs);
    if (result < 0)
        return result;
    enum conf_pm pm = conf_get()->pm;
    if (fs.f_type == VOLUME_TMPFS_MAGIC) {
        *sync = PM_MAP_SYNC_NEVER;
        return 0;
    }
    if (pm == CONF_PM_FORCE) {
        *sync = PM_MAP_SYNC_TRY;
        return 0;
    }
    void *probe = sys_mmap(NULL, LOG_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    if (sys_is_error(probe))
        return (int)(intptr_t)probe;
    sys_munmap(probe, LOG_BLOCK);
    *sync = PM_MAP_SYNC_REQUIRED;
    return 0;
}

static int map_table(struct volume *volume, int fd, const struct stat *st)
{
    int result = 0;
    if (st->st_size < (off_t)sizeof *volume->table) /* both of two at once may do it */
        result = grow_allocate(fd, 0, 0, sizeof *volume->table);
    if (result == 0)
        result = decide_sync(fd, &volume->sync);
    if (result < 0)
        return result;
    void *map = region_map(sizeof *volume->table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_is_error(map))
        return (int)(intptr_t)map;
    volume->table = map;
    volume->table_ino = st->st_ino;
    return 0;
}

/* ---- entries ---- */

static void begin_entry(struct volume *volume, uint32_t index)
{
    struct volume_process *process = &volume->table->process[index];
    /* The byte is ours: nobody else stores here but those who clear a dead process's words. */
    uint32_t generation =
        (atomic_load_explicit(&process->generation, memory_order_relaxed) + 1) & VOLUME_GENERATION_MASK;
    if (generation == 0)
        generation = 1;
    for (unsigned i = 0; i < VOLUME_WORDS; i++)
        atomic_store_explicit(&process->inflight[i], 0, memory_order_relaxed);
    /* nothing of the bucket that the last one died with; the count goes on */
    uint64_t turns = atomic_load_explicit(&volume->table->locking[index], memory_order_relaxed) / VOLUME_LOCKING_TURN;
    atomic_store_explicit(&volume->table->locking[index],
                          (turns + 1) * VOLUME_LOCKING_TURN | (uint64_t)generation << VOLUME_LOCKING_BITS,
                          memory_order_relaxed);
    atomic_store_explicit(&process->generation, generation, memory_order_seq_cst);
    atomic_store_explicit(&process->unclean, generation, memory_order_relaxed); /* until volume_exit */
    uint32_t high = atomic_load_explicit(&volume->table->high, memory_order_relaxed);
    while (high <= index && !atomic_compare_exchange_weak(&volume->table->high, &high, index + 1))
        ; /* seq_cst: before any word of ours; pairs with the load in volume_register_log */
    /* Release: whoever sees us finds table_fd. */
    atomic_store_explicit(&volume->self, (uint64_t)generation << VOLUME_INDEX_BITS | index, memory_order_release);
}

/* Takes an entry, under volume->lock. *unclean: its last owner died without saying good-bye. */
static int take_entry(struct volume *volume, bool *unclean)
{
    struct stat st;
    int fd = open_table(volume, 0, &st);
    if (fd < 0)
        return fd;
    fd = highfd_move(fd);
    if (st.st_ino != volume->table_ino) { /* somebody replaced it under us */
        highfd_close(fd);
        return -ESTALE;
    }
    for (uint32_t i = 0; i < VOLUME_PROCESSES; i++) {
        int result = lock_byte(fd, F_OFD_SETLK, F_WRLCK, i);
        if (result == -EAGAIN || result == -EACCES)
            continue;
        if (result < 0) {
            highfd_close(fd);
            return result;
        }
        struct volume_process *process = &volume->table->process[i];
        *unclean = atomic_load_explicit(&process->unclean, memory_order_relaxed) != 0; /* the byte is ours */
        volume->table_fd = fd;
        begin_entry(volume, i);
        return 0;
    }
    highfd_close(fd);
    return -EAGAIN;
}

static int self_slow(struct volume *volume)
{
    bool unclean;
    int result = 0;
    volume_private_lock(&volume->lock);
    if (!atomic_load_explicit(&volume->self, memory_order_relaxed)) /* under the lock of those who store it */
        result = take_entry(volume, &unclean);
    shlock_release(&volume->lock);
    return result;
}

uint64_t volume_self(struct volume *volume)
{
    uint64_t self = atomic_load_explicit(&volume->self, memory_order_acquire); /* pairs with begin_entry */
    if (self || self_slow(volume) < 0)
        return self;
    return atomic_load_explicit(&volume->self, memory_order_acquire);
}

bool volume_is_dead(struct volume *volume, uint64_t process)
{
    uint64_t self = volume_self(volume);
    if (process == self || !self)
        return false;
    if (!process || process > SHLOCK_OWNER_MAX)
        return true; /* no process has such a word */
    uint32_t index = volume_index(process);
    /* The byte first: an entry that is taken between the two looks has a new generation then. */
    bool free = volume_index_is_free(volume, index);
    uint64_t generation = atomic_load_explicit(&volume->table->process[index].generation, memory_order_acquire);
    uint64_t again = atomic_load_explicit(&volume->table->locking[index], memory_order_acquire) >> VOLUME_LOCKING_BITS;
    /* While the entry is taken the two differ for a moment, and the last owner seems to live. */
    return free || (generation != process >> VOLUME_INDEX_BITS &&
                    (again & VOLUME_GENERATION_MASK) != process >> VOLUME_INDEX_BITS);
}

/* ---- reset and scan ---- */

static bool is_ready(struct volume_table *table, const uint64_t boot[2])
{
    /* Acquire pairs with the release in reset_and_scan. */
    return atomic_load_explicit(&table->magic, memory_order_acquire) == VOLUME_MAGIC &&
           table->version == VOLUME_VERSION && table->boot_id[0] == boot[0] && table->boot_id[1] == boot[1];
}

static void reset(struct volume_table *table, const uint64_t boot[2])
{
    atomic_store_explicit(&table->magic, 0, memory_order_seq_cst);
    memset((char *)table + sizeof table->magic, 0, sizeof *table - sizeof table->magic);
    table->version = VOLUME_VERSION;
    table->boot_id[0] = boot[0];
    table->boot_id[1] = boot[1];
}

/* Whether a process has died without saying good-bye since the last scan. *alone: none lives but this one, as far as was
 * looked. */
static bool needs_scan(struct volume *volume, bool *alone)
{
    uint32_t high = atomic_load_explicit(&volume->table->high, memory_order_acquire);
    *alone = true;
    for (uint32_t i = 0; i < high && i < VOLUME_PROCESSES; i++) {
        if (i == volume_index(volume_self(volume)) ||
            !atomic_load_explicit(&volume->table->process[i].unclean, memory_order_acquire))
            continue;
        if (volume_index_is_free(volume, i))
            return true;
        *alone = false;
    }
    return false;
}

/* Scans, then takes off the marks of those who had died before: a mark is signed first, so that one that is made while the
 * scan goes on is told apart. */
static int scan(struct volume *volume)
{
    uint32_t high = atomic_load_explicit(&volume->table->high, memory_order_acquire);
    for (uint32_t i = 0; i < high && i < VOLUME_PROCESSES; i++) {
        _Atomic uint32_t *unclean = &volume->table->process[i].unclean;
        uint32_t mark = atomic_load_explicit(unclean, memory_order_acquire);
        if (mark && volume_index_is_free(volume, i))
            atomic_compare_exchange_strong(unclean, &mark, mark | VOLUME_SIGNED);
    }
    int result = volume_scan(volume);
    for (uint32_t i = 0; result == 0 && i < high && i < VOLUME_PROCESSES; i++) {
        _Atomic uint32_t *unclean = &volume->table->process[i].unclean;
        uint32_t mark = atomic_load_explicit(unclean, memory_order_acquire);
        if (mark & VOLUME_SIGNED)
            atomic_compare_exchange_strong(unclean, &mark, 0);
    }
    return result;
}

/* With a valid table: entry, then a scan if somebody died. `fd` is the mapping's description. Index objects whose logs went
 * with another root are looked for then, and by the first of several processes: whoever finds others at work goes on. */
static int join(struct volume *volume, int fd)
{
    bool unclean = false, alone;
    volume_live_open(volume);
    int result = take_entry(volume, &unclean);
    if (result < 0)
        return result;
    bool died = needs_scan(volume, &alone) || unclean;
    if (died && lock_byte(fd, F_OFD_SETLKW, F_WRLCK, VOLUME_INIT_BYTE) == 0) {
        scan(volume); /* what it cannot read now, the next opener of the file or the next scan will */
        lock_byte(fd, F_OFD_SETLK, F_UNLCK, VOLUME_INIT_BYTE);
    }
    if (died || alone)
        log_index_reclaim(volume->owner);
    return 0;
}

static int reset_and_join(struct volume *volume, int fd, const uint64_t boot[2])
{
    int result = lock_byte(fd, F_OFD_SETLKW, F_WRLCK, VOLUME_INIT_BYTE);
    if (result < 0)
        return result;
    if (is_ready(volume->table, boot)) { /* another process was faster */
        lock_byte(fd, F_OFD_SETLK, F_UNLCK, VOLUME_INIT_BYTE);
        return join(volume, fd);
    }
    bool unclean;
    reset(volume->table, boot);
    volume_live_make(volume);
    result = take_entry(volume, &unclean);
    if (result == 0)
        result = scan(volume);
    if (result == 0) {
        volume_live_publish(volume); /* until now others see what was so before the boot */
        /* release: whoever finds the table ready finds all logs registered */
        atomic_store_explicit(&volume->table->magic, VOLUME_MAGIC, memory_order_release);
    }
    lock_byte(fd, F_OFD_SETLK, F_UNLCK, VOLUME_INIT_BYTE);
    if (result == 0)
        log_index_reclaim(volume->owner);
    return result;
}

int volume_table_open(struct volume *volume)
{
    struct stat st;
    uint64_t boot[2];
    int result = log_boot_id(boot);
    if (result < 0)
        return result;
    int fd = open_table(volume, O_CREAT, &st);
    if (fd < 0)
        return fd;
    result = map_table(volume, fd, &st);
    if (result == 0)
        result = is_ready(volume->table, boot) ? join(volume, fd) : reset_and_join(volume, fd, boot);
    sys_close(fd);
    if (result < 0)
        volume_table_close(volume);
    return result;
}

void volume_table_close(struct volume *volume)
{
    atomic_store_explicit(&volume->self, 0, memory_order_relaxed); /* nobody else knows the volume yet */
    if (volume->table_fd >= 0)
        highfd_close(volume->table_fd);
    volume->table_fd = -1;
    if (volume->table)
        sys_munmap(volume->table, sizeof *volume->table);
    volume->table = NULL;
    volume_live_close(volume);
}

/* ---- cuts ---- */

uint64_t volume_cuts(const struct volume *volume)
{
    /* acquire: a size that is asked for next is of that moment or later; pairs with volume_note_cut */
    return atomic_load_explicit(&volume->table->cuts, memory_order_acquire);
}

void volume_note_cut(struct volume *volume)
{
    /* acq_rel: of two, the first comes before the cut, the second behind it */
    atomic_fetch_add_explicit(&volume->table->cuts, 1, memory_order_acq_rel);
}

/* ---- a table that goes away ---- */

static bool table_patch(void *start, size_t bytes, uintptr_t address)
{
    uintptr_t base = (uintptr_t)start;
    if (!start || address < base || address - base >= bytes)
        return false;
    void *page = (void *)(address & ~(uintptr_t)(LOG_BLOCK - 1));
    return !sys_is_error(
        sys_mmap(page, LOG_BLOCK, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

bool volume_rescue(uintptr_t address)
{
    static const uint64_t no_magic;
    for (struct volume *volume = volume_first(); volume; volume = volume->next) {
        if (table_patch(volume->live, sizeof *volume->live, address))
            return true; /* only others read it */
        if (!table_patch(volume->table, sizeof *volume->table, address))
            continue;
        atomic_store_explicit(&volume->torn, true,
                              memory_order_relaxed); /* each call looks, at its next step at the latest */
        /* What is there now knows nothing of our logs: the next process that opens the volume makes it anew and scans. */
        if (volume->table_fd >= 0)
            sys_pwrite(volume->table_fd, &no_magic, sizeof no_magic, offsetof(struct volume_table, magic));
        return true;
    }
    return false;
}
