/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * volume_bucket.c — which inodes are attached, and who is in the kernel on them: the hand-over. Layer log.
 *
 * The two sides are Dekker's: a caller stores its word and then looks at the slots, an attacher stores the slot and then
 * looks at the words; all four are sequentially consistent, so at least one sees the other.
 */
#include "base/rawsys.h"
#include "log/volume_private.h"

#include <errno.h>
#include <sys/single_threaded.h>

enum {
    BUCKET_WORD_BITS = 13,    /* bucket + 1 in the low bits of an in-flight word, */
    BUCKET_READS_BIT = 13,    /* then the kind: the call reads, */
    BUCKET_WRITES_BIT = 14,   /* or it writes, */
    BUCKET_THREAD_SHIFT = 15, /* the thread above */
    BUCKET_THREAD_ALIGN_BITS = 6,
    BUCKET_THREAD_ALIGN = 1 << BUCKET_THREAD_ALIGN_BITS, /* of a thread's address */
    BUCKET_SPINS = 100,
    BUCKET_DEATH_CHECK = 64, /* rounds between two looks whether a process lives */
};
#define BUCKET_WORD_MASK ((UINT64_C(1) << BUCKET_WORD_BITS) - 1)
#define BUCKET_ANY (BUCKET_WORD_MASK - 1) /* number of no bucket: the call is on some inode of the volume, or on none */
_Static_assert(VOLUME_BUCKETS <= BUCKET_ANY, "a word has room for each bucket");
#define BUCKET_READS (UINT64_C(1) << BUCKET_READS_BIT)
#define BUCKET_WRITES (UINT64_C(1) << BUCKET_WRITES_BIT)
#define BUCKET_KIND (BUCKET_READS | BUCKET_WRITES)

/* A short wait, longer with the rounds. */
static void pause_round(unsigned round)
{
    if (round < BUCKET_SPINS)
        __builtin_ia32_pause();
    else
        sys_sched_yield();
}

static uint32_t bucket_number(struct volume *volume, const struct volume_bucket *bucket)
{
    return (uint32_t)(bucket - volume->table->bucket);
}

/* The slot of an inode, NULL if there is none. ino 0: a free one. */
static struct volume_slot *find_slot(struct volume_bucket *bucket, uint64_t ino)
{
    for (unsigned i = 0; i < VOLUME_SLOTS; i++) /* seq_cst: one half of the hand-over */
        if (atomic_load_explicit(&bucket->slot[i].ino, memory_order_seq_cst) == ino)
            return &bucket->slot[i];
    return NULL;
}

/* ---- the kernel's path ---- */

bool volume_is_idle(const struct volume *volume)
{
    return !volume_is_torn(volume) && volume_has_none(volume);
}

/* Whether somebody serves the inode in user space. One that is attached for the kernel's sake alone (mode PASSTHROUGH) may
 * be used by all there, also by those who cannot attach it. The slot may be another inode's when its bit is read: ours has
 * left then, and who attaches it next waits for our word. */
static bool is_served(struct volume *volume, struct volume_bucket *bucket, uint64_t ino)
{
    if (__builtin_expect(volume_has_none(volume), 1))
        return false;
    const struct volume_slot *slot = find_slot(bucket, ino);
    /* seq_cst, as the slot: the other half is clear_kernels */
    return slot && !(atomic_load_explicit(&bucket->kernels, memory_order_seq_cst) >> (slot - bucket->slot) & 1);
}

/* What this thread publishes for a bucket. The thread's address makes it out among those of its process. */
static inline uint64_t inflight_word(uint32_t bucket, bool writes)
{
    return (uint64_t)(uintptr_t)__builtin_thread_pointer() << BUCKET_THREAD_SHIFT |
           (writes ? BUCKET_WRITES : BUCKET_READS) | (bucket + 1);
}

static inline bool publish_at(_Atomic uint64_t *at, uint64_t word)
{
    uint64_t none = 0;
    return atomic_load_explicit(at, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(at, &none, word, memory_order_seq_cst, memory_order_relaxed);
}

/* Threads begin at different words. */
static inline _Atomic uint64_t *first_word(struct volume_process *process, uint64_t word)
{
    const unsigned byte = (uint8_t)(word >> (BUCKET_THREAD_SHIFT + BUCKET_THREAD_ALIGN_BITS));
    return &process->inflight[byte * VOLUME_WORDS >> 8];
}

/* Whether no call can have published that: no thread has such an address (glibc aligns what is there to 64 bytes), or there is
 * no such bucket, or kind. The table is damaged; a call's own word heals by itself when the call is over. */
static bool is_nobodys_word(uint64_t word)
{
    uint64_t bucket = word & BUCKET_WORD_MASK, thread = word >> BUCKET_THREAD_SHIFT;
    return !bucket || (bucket > VOLUME_BUCKETS && bucket != BUCKET_ANY + 1) || !thread ||
           thread % BUCKET_THREAD_ALIGN || (word & BUCKET_KIND) == 0 || (word & BUCKET_KIND) == BUCKET_KIND;
}

static void clear_nobodys_word(_Atomic uint64_t *at)
{
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed); /* the exchange decides */
    if (word && is_nobodys_word(word))
        atomic_compare_exchange_strong(at, &word, 0);
}

static _Atomic uint64_t *publish(struct volume_process *process, uint64_t word)
{
    _Atomic uint64_t *first = first_word(process, word);
    if (publish_at(first, word))
        return first;
    for (unsigned round = 0;; round++) {
        for (unsigned i = 0; i < VOLUME_WORDS; i++)
            if (publish_at(&process->inflight[i], word))
                return &process->inflight[i];
        pause_round(round); /* all taken by calls of other threads, which end */
        if (round % BUCKET_DEATH_CHECK == BUCKET_DEATH_CHECK - 1)
            for (unsigned i = 0; i < VOLUME_WORDS; i++)
                clear_nobodys_word(&process->inflight[i]);
    }
}

/* Whether no word of the process can stand against `mine`, by a look at all at once: each is 0, or of the same kind. */
static inline bool words_are_clear(const struct volume_process *process, uint64_t mine)
{
    const _Atomic uint64_t *word = process->inflight;
    _Static_assert(VOLUME_WORDS == 7, "each is named here");
    /* seq_cst: Dekker's other half */
    uint64_t any =
        atomic_load_explicit(&word[0], memory_order_seq_cst) | atomic_load_explicit(&word[1], memory_order_seq_cst) |
        atomic_load_explicit(&word[2], memory_order_seq_cst) | atomic_load_explicit(&word[3], memory_order_seq_cst) |
        atomic_load_explicit(&word[4], memory_order_seq_cst) | atomic_load_explicit(&word[5], memory_order_seq_cst) |
        atomic_load_explicit(&word[6], memory_order_seq_cst);
    return !(any & BUCKET_KIND & ~mine);
}

/* The word of process i that stands against `mine`, NULL if there is none: same bucket, and one of the two writes while the
 * other reads. Not one of this thread itself: a signal handler's call cannot wait for the one that it interrupted. */
static _Atomic uint64_t *find_conflict_of(struct volume *volume, uint32_t i, uint64_t self, uint64_t mine)
{
    for (unsigned w = 0; w < VOLUME_WORDS; w++) {
        _Atomic uint64_t *at = &volume->table->process[i].inflight[w];
        uint64_t differs = atomic_load_explicit(at, memory_order_seq_cst) ^ mine; /* Dekker's other half */
        if ((differs & (BUCKET_WORD_MASK | BUCKET_KIND)) != BUCKET_KIND)
            continue;
        bool same_thread = i == volume_index(self) && differs == BUCKET_KIND;
        if (!same_thread)
            return at;
    }
    return NULL;
}

/* Entries that may have words. */
static inline uint32_t process_count(const struct volume *volume)
{
    uint32_t high = atomic_load_explicit(&volume->table->high, memory_order_seq_cst); /* pairs with begin_entry */
    return high < VOLUME_PROCESSES ? high : VOLUME_PROCESSES;
}

/* The same of all processes. */
static _Atomic uint64_t *find_conflict(struct volume *volume, uint64_t self, uint64_t mine)
{
    _Atomic uint64_t *at = NULL;
    for (uint32_t i = 0, count = process_count(volume); i < count && !at; i++)
        at = find_conflict_of(volume, i, self, mine);
    return at;
}

/* Whether there is none, as far as it can be told at a glance. Against a thread's own word none stands. */
static inline bool all_are_clear(const struct volume *volume, uint64_t mine)
{
    if (process_count(volume) == 1 && __libc_single_threaded)
        return true;
    const struct volume_process *process = volume->table->process, *end = process + process_count(volume);
    for (; process < end; process++)
        if (!words_are_clear(process, mine))
            return false;
    return true;
}

/* The process that a published word belongs to. */
static uint32_t word_owner(const struct volume *volume, const _Atomic uint64_t *at)
{
    size_t offset = (size_t)((const char *)at - (const char *)volume->table->process);
    return (uint32_t)(offset / sizeof(struct volume_process));
}

/* Waits while `at` holds what was seen there; clears it where its process is dead. */
static void wait_while(struct volume *volume, _Atomic uint64_t *at)
{
    uint64_t seen = atomic_load_explicit(at, memory_order_seq_cst);
    uint32_t index = word_owner(volume, at);
    for (unsigned round = 0; seen && atomic_load_explicit(at, memory_order_seq_cst) == seen; round++) {
        if (round % BUCKET_DEATH_CHECK == BUCKET_DEATH_CHECK - 1 &&
            (is_nobodys_word(seen) || volume_index_is_free(volume, index)))
            atomic_compare_exchange_strong(at, &seen, 0);
        pause_round(round);
    }
}

/* The same where somebody is attached, or there are other processes or threads, or no word is published yet. */
static __attribute__((noinline)) bool enter_among_others(struct volume *volume, uint64_t ino, uint64_t mine,
                                                         struct volume_inflight *inflight)
{
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    const bool writes = mine & BUCKET_WRITES;
    const uint64_t self = volume_self(volume);
    for (;;) {
        if (!inflight->word && self) /* without an entry an attacher cannot wait for us: best effort */
            inflight->word = publish(&volume->table->process[volume_index(self)], mine);
        if (volume_is_torn(volume) || is_served(volume, bucket, ino))
            break;
        _Atomic uint64_t *other = self ? find_conflict(volume, self, mine) : NULL;
        if (!other)
            return true;
        /* Of the two a reader steps back, so that they do not wait for each other. */
        if (!writes)
            volume_leave_kernel(inflight);
        wait_while(volume, other);
        if (writes && !find_conflict(volume, self, mine) && !is_served(volume, bucket, ino))
            return true;
        volume_leave_kernel(inflight);
    }
    volume_leave_kernel(inflight);
    return false;
}

/* The hot path of files that nobody serves. */
bool volume_enter_kernel(struct volume *volume, uint64_t ino, bool writes, struct volume_inflight *inflight)
{
    const uint64_t self = atomic_load_explicit(&volume->self, memory_order_acquire); /* pairs with begin_entry */
    const uint64_t mine = inflight_word(live_bucket(ino), writes);
    _Atomic uint64_t *word = first_word(&volume->table->process[volume_index(self)], mine);
    inflight->word = NULL;
    if (__builtin_expect(self && publish_at(word, mine), 1)) {
        inflight->word = word;
        if (__builtin_expect(volume_is_idle(volume) && all_are_clear(volume, mine), 1))
            return true;
    }
    return enter_among_others(volume, ino, mine, inflight);
}

bool volume_enter_unknown(struct volume *volume, struct volume_inflight *inflight)
{
    const uint64_t self = volume_self(volume);
    inflight->word = NULL;
    if (!self)
        return false;
    inflight->word = publish(&volume->table->process[volume_index(self)], inflight_word(BUCKET_ANY, true));
    if (__builtin_expect(volume_is_idle(volume), 1))
        return true;
    volume_leave_kernel(inflight);
    return false;
}

bool volume_may_look(struct volume *volume, uint64_t ino)
{
    return !volume_is_torn(volume) && !volume_is_attached(volume, ino);
}

void volume_note_correction(struct volume *volume)
{
    /* release: whoever sees what comes next sees the number; pairs with volume_corrections behind it */
    atomic_fetch_add_explicit(&volume->table->corrections, 1, memory_order_acq_rel);
}

uint64_t volume_corrections(void)
{
    uint64_t sum = 0;
    for (struct volume *volume = volume_first(); volume; volume = volume->next)
        if (atomic_load_explicit(&volume->ready, memory_order_acquire))
            sum += 1 +
                   atomic_load_explicit(&volume->table->corrections, memory_order_acquire); /* 1: a new volume counts */
    return sum;
}

bool volume_is_attached(struct volume *volume, uint64_t ino)
{
    return is_served(volume, volume_bucket(volume, ino), ino);
}

/* ---- the bucket lock ---- */

/* Counts slots in use. A number that cannot be is never changed: the table is damaged, and slots are looked at. */
static void count_slot(struct volume *volume, int more)
{
    _Atomic uint64_t *slots = &volume->table->slots;
    uint64_t seen = atomic_load_explicit(slots, memory_order_relaxed);
    while (seen <= (uint64_t)VOLUME_BUCKETS * VOLUME_SLOTS && (seen || more > 0) &&
           !atomic_compare_exchange_weak_explicit(slots, &seen, more > 0 ? seen + 1 : seen - 1, memory_order_seq_cst,
                                                  memory_order_relaxed))
        ; /* seq_cst: see is_served */
}

/* A slot comes into use, or goes out of it. Under the lock. */
static void begin_slot(struct volume *volume, struct volume_slot *slot, uint64_t ino)
{
    count_slot(volume, 1);
    atomic_store_explicit(&slot->ino, ino, memory_order_seq_cst); /* visible: no call begins from now on */
}

static void end_slot(struct volume *volume, struct volume_slot *slot)
{
    atomic_store_explicit(&slot->ino, 0, memory_order_seq_cst);
    count_slot(volume, -1);
}

/* The dead owner may have stopped in the middle of a change. */
static void repair_bucket(struct volume *volume, struct volume_bucket *bucket)
{
    for (unsigned i = 0; i < VOLUME_SLOTS; i++) {
        struct volume_slot *slot = &bucket->slot[i];
        if (atomic_load_explicit(&slot->id, memory_order_relaxed) == 0 && /* under the lock, both */
            atomic_load_explicit(&slot->ino, memory_order_relaxed) != 0)
            end_slot(volume, slot);
    }
}

/* What this process says of itself; under one_bucket. Before the lock's exchange, which releases it, and behind the one that
 * gives the lock back. */
static void say_locking(struct volume *volume, uint64_t self, uint64_t bucket)
{
    _Atomic uint64_t *at = &volume->table->locking[volume_index(self)];
    uint64_t said = atomic_load_explicit(at, memory_order_relaxed) & ~VOLUME_LOCKING_MASK;
    atomic_store_explicit(at, bucket ? (said + VOLUME_LOCKING_TURN) | bucket : said, memory_order_release);
}

/* Whether the lock names a process that lives and does not hold it. A holder says so from before it has the lock until after it
 * has given it back, and says nothing twice: what is the same on both sides of the look at the lock was so all the time. */
static bool is_nobodys_lock(struct volume *volume, const struct volume_bucket *bucket, uint64_t self, uint32_t owner)
{
    if (owner == self)
        return true;
    const _Atomic uint64_t *at = &volume->table->locking[volume_index(owner)];
    uint64_t says = atomic_load_explicit(at, memory_order_acquire);
    return (says & VOLUME_LOCKING_MASK) != bucket_number(volume, bucket) + 1 &&
           (atomic_load_explicit(&bucket->lock.word, memory_order_acquire) & SHLOCK_OWNER_MAX) == owner &&
           atomic_load_explicit(at, memory_order_acquire) == says;
}

int volume_lock_inode(struct volume *volume, uint64_t ino)
{
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    uint64_t self = volume_self(volume);
    if (!self)
        return -EAGAIN;
    if (volume_is_torn(volume))
        return -EIO; /* who is attached, and where, is not known any more */
    volume_private_lock(&volume->one_bucket);
    say_locking(volume, self, bucket_number(volume, bucket) + 1);
    for (;;) {
        if (shlock_acquire(&bucket->lock, (uint32_t)self) == 0)
            return 0;
        uint32_t owner = shlock_owner(&bucket->lock);
        if ((volume_is_dead(volume, owner) || is_nobodys_lock(volume, bucket, self, owner)) &&
            shlock_take_over(&bucket->lock, owner, (uint32_t)self) == 0) {
            repair_bucket(volume, bucket);
            volume_live_note(volume, bucket);
            return 0;
        }
    }
}

void volume_unlock_inode(struct volume *volume, uint64_t ino)
{
    shlock_release(&volume_bucket(volume, ino)->lock);
    uint64_t self = volume_self(volume);
    if (self)
        say_locking(volume, self, 0);
    shlock_release(&volume->one_bucket);
}

/* ---- attachments ---- */

uint64_t volume_find_log(struct volume *volume, uint64_t ino)
{
    struct volume_slot *slot = find_slot(volume_bucket(volume, ino), ino);
    return slot ? atomic_load_explicit(&slot->id, memory_order_relaxed) : 0; /* under the lock */
}

/* Whether a published word may be of the bucket of `mine`. */
static bool may_be_of_bucket(uint64_t word, uint64_t mine)
{
    return (word & BUCKET_WORD_MASK) == (mine & BUCKET_WORD_MASK) || (word & BUCKET_WORD_MASK) == BUCKET_ANY + 1;
}

/* Waits until the call published there is over. False if it is one of this thread. A call that takes the word's place begins
 * after the registration, sees it, and ends by itself: it is not waited for. */
static bool wait_for_word(struct volume *volume, uint32_t index, _Atomic uint64_t *at, uint64_t mine)
{
    bool own = index == volume_index(volume_self(volume));
    uint64_t first = atomic_load_explicit(at, memory_order_seq_cst); /* the other half */
    if (!may_be_of_bucket(first, mine))
        return true;
    if (is_nobodys_word(first)) {
        atomic_compare_exchange_strong(at, &first, 0);
        return true;
    }
    if (own && first >> BUCKET_THREAD_SHIFT == mine >> BUCKET_THREAD_SHIFT)
        return false;
    uint64_t word = first;
    for (unsigned round = 0; word == first; round++) {
        pause_round(round);
        if (!own && round % BUCKET_DEATH_CHECK == BUCKET_DEATH_CHECK - 1 && volume_index_is_free(volume, index))
            atomic_compare_exchange_strong(at, &word, 0);
        word = atomic_load_explicit(at, memory_order_acquire); /* the call's effects; pairs with volume_leave_kernel */
    }
    return true;
}

static bool wait_for_calls(struct volume *volume, uint32_t bucket)
{
    uint64_t mine = inflight_word(bucket, false);
    for (uint32_t i = 0, count = process_count(volume); i < count; i++)
        for (unsigned w = 0; w < VOLUME_WORDS; w++)
            if (!wait_for_word(volume, i, &volume->table->process[i].inflight[w], mine))
                return false;
    return true;
}

/* A slot begins with a log that serves its file. Under the lock. */
static void clear_kernels(struct volume_bucket *bucket, const struct volume_slot *slot)
{
    uint32_t bit = slot ? UINT32_C(1) << (slot - bucket->slot) : 0;
    if (atomic_load_explicit(&bucket->kernels, memory_order_relaxed) & bit) /* of this slot nobody sets it now */
        /* seq_cst: a call that still sees the bit has published its word, which is waited for */
        atomic_fetch_and_explicit(&bucket->kernels, ~bit, memory_order_seq_cst);
}

int volume_register_log(struct volume *volume, uint64_t ino, uint64_t id)
{
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    struct volume_slot *slot = find_slot(bucket, ino);
    clear_kernels(bucket, slot ? slot : find_slot(bucket, 0));
    if (slot) { /* in the place of a log that was given up: callers knew of an attachment all the time */
        atomic_store_explicit(&slot->id, id, memory_order_relaxed);
        if (atomic_load_explicit(&volume->table->slots, memory_order_relaxed) == 0) /* the table is damaged */
            begin_slot(volume, slot, ino);
    } else {
        slot = find_slot(bucket, 0);
        if (!slot)
            return -ENOSPC;
        atomic_store_explicit(&slot->id, id, memory_order_relaxed);
        begin_slot(volume, slot, ino);
    }
    volume_live_note(volume, bucket);
    if (wait_for_calls(volume, bucket_number(volume, bucket)))
        return 0;
    volume_unregister_log(volume, ino);
    return -EDEADLK;
}

void volume_unregister_log(struct volume *volume, uint64_t ino)
{
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    struct volume_slot *slot = find_slot(bucket, ino);
    if (!slot)
        return;
    volume_note_correction(volume);
    end_slot(volume, slot);
    atomic_store_explicit(&slot->id, 0, memory_order_relaxed); /* under the lock; id counts only beside an inode */
    volume_live_note(volume, bucket);
}

void volume_note_passthrough(struct volume *volume, uint64_t ino)
{
    struct volume_bucket *bucket = volume_bucket(volume, ino);
    struct volume_slot *slot = find_slot(bucket, ino); /* stays ours while we are attached */
    if (!slot)
        return;
    atomic_fetch_or_explicit(&bucket->kernels, UINT32_C(1) << (slot - bucket->slot), memory_order_seq_cst);
    volume_live_drop(volume, bucket, slot);
}
