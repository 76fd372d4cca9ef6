/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_private.h — what the files of layer file share: the state of the layer, one call on a uma, the size limit.
 */
#ifndef FILE_FILE_PRIVATE_H
#define FILE_FILE_PRIVATE_H

#include "file/file.h"
#include "file/handle.h"
#include "uma/uma.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef O_ATOMIC /* nvmmio.h has the same */
#define O_ATOMIC 01000000000
#endif

#define FILE_TOUCHES 16u /* of one call's buffers: what then still faults is another address */

struct file_state {
    _Atomic uint32_t pid;          /* of the process, once it has managed a file; 0 before */
    bool (*_Atomic foreign)(void); /* file_ask_foreign: tells vfork children apart; NULL: nobody does */
    _Atomic uintptr_t gone;        /* the thread that has called file_exit: nothing is managed any more */
    _Atomic bool divided;          /* threads have tables of descriptors of their own: nothing new is managed */
    _Atomic bool paused;           /* file_before_move has ended the sync thread */
    _Atomic bool mapped;           /* file_nvmmap has registered a mapping since the process began */
    _Atomic uint32_t rings;        /* 1: an io_uring was made; every file is the kernel's from then on */
    _Atomic bool limit_told;       /* file_limit_changed is called: the cached limit is exact */
    _Atomic uint64_t limit;        /* RLIMIT_FSIZE as last seen; 0: never looked */
};
extern struct file_state file_state;

/* Before the first handle of the process. */
void file_begin_process(void);

/* Whether descriptors may be opened, closed and duplicated here with effect on the table: not after file_exit, and not in
 * a vfork child, which has its own descriptors but the parent's memory. */
bool file_may_change(void);
/* The same at the begin of a call that holds nothing: beside a file_exit of another thread it waits until the process is gone. */
bool file_owns_table(void);

/* ---- one call on a uma ---- */

struct file_call {
    struct uma *uma;
    int fd;               /* -1: by path or address, no descriptor at hand */
    struct uma_done done; /* for uma_end; set by the step on the kernel's path */
};

/* Runs step between uma_begin and uma_end, again while the uma changes under it. Returns step's result, or uma_begin's
 * error. `call` is the first member of what the step needs. */
typedef long (*file_step)(struct file_call *call, enum uma_path path);
long file_call_run(struct file_call *call, enum uma_intent intent, file_step step);

/* ---- opening (file_open.c) ---- */

/* ftruncate on a managed file, by a descriptor that is open for writing. */
int file_resize(struct uma *uma, int fd, uint64_t size);
/* The same by a path (of an inode that `fd` is open on, maybe for reading alone), for truncate(2). Managed files only. */
int file_resize_path(struct uma *uma, int fd, const char *path, uint64_t size);

/* Takes a handle out of the table that was left there when libc closed the descriptor behind our back. */
void file_drop_stale(int fd);

/* Whether there may be a ring, through which files are read and written unseen (file_demote.c). To be asked behind the
 * publication of a handle; or of a candidate, whose last store is the other half already. */
bool file_has_rings(void);
static inline bool file_has_rings_now(void)
{
    return atomic_load_explicit(&file_state.rings, memory_order_seq_cst); /* pairs with file_ring_begin */
}

/* Before a call that may attach the uma: not if another program has inherited a description of the file, this one or
 * another that this process has (then the uma is marked, or demoted, for all). */
void file_heed_gifts(struct fd_handle *handle, int fd, uint32_t gifts);
static inline void file_heed(struct fd_handle *handle, int fd)
{
    if (__builtin_expect(uma_is_served(handle->uma), 1))
        return;
    uint32_t gifts = ofd_gifts();
    /* relaxed: a word by itself */
    if (__builtin_expect(ofd_is_given(handle->ofd), 0) ||
        __builtin_expect(gifts != atomic_load_explicit(&handle->gifts, memory_order_relaxed), 0))
        file_heed_gifts(handle, fd, gifts);
}

/* Behind uma_begin: whether the call must not be served in user space, since another program has the description and knows
 * neither its record nor the log. Somebody has attached the file meanwhile: it is demoted, and the call begins again. */
static inline bool file_yields(const struct fd_handle *handle, int path)
{
    return path == UMA_PATH_USER && __builtin_expect(ofd_is_given(handle->ofd), 0);
}

/* F_DUPFD and F_DUPFD_CLOEXEC (file_dup.c). */
int file_dup_from(int fd, int cmd, long least);

/* Makes newfd an entry for handle, whose count for it the caller has taken. If the table has no room the file goes to the
 * kernel and newfd stays unmanaged. Returns newfd, or -errno: newfd is still open then, but must not stay so. */
int file_publish(int newfd, struct fd_handle *handle);

/* ---- RLIMIT_FSIZE (file_limit.c) ---- */

/* Reads the limit again. */
uint64_t file_limit_refresh(void);

/* Sends this thread SIGXFSZ, as the kernel does to whoever passes the limit. Outside all locks. */
void file_limit_signal(void);

/* Looks anew, and cuts *length to what the limit allows from pos on. -EFBIG if that is nothing. */
int file_limit_cut(uint64_t pos, uint64_t *length);

/* Whether a file may get `size` bytes if it has `now`. */
bool file_limit_allows(uint64_t now, uint64_t size);

/* As file_limit_cut, at a glance where the limit is far. Without file_limit_changed nobody tells of a new limit: each
 * write that extends the file looks. */
static inline int file_limit_check(struct uma *uma, uint64_t pos, uint64_t *length)
{
    uint64_t end = pos + *length;
    /* relaxed: words by themselves */
    if (end <= atomic_load_explicit(&file_state.limit, memory_order_relaxed) &&
        (atomic_load_explicit(&file_state.limit_told, memory_order_relaxed) || end <= uma_size(uma)))
        return 0;
    return file_limit_cut(pos, length);
}

#endif
