/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * managed.h — a managed file beside a model of what is in it, for the unit tests of layer uma. Calls go the way that the
 * file layer would send them: through the library or, where it says so, to the kernel.
 *
 * Every system call that the library makes in the test's thread passes a hook, which counts it, can let it fail, and
 * remembers the index objects that were made, so that none is left behind.
 */
#ifndef UNIT_MANAGED_H
#define UNIT_MANAGED_H

#include "unit/unit.h"

#include "uma/uma_private.h"

#include <stdbool.h>
#include <sys/types.h>

/* One thread alone has nothing to hide from the thread sanitizer, which takes ten times as long: a sample does there. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MANAGED_SAMPLE true
#endif
#elif defined(__SANITIZE_THREAD__)
#define MANAGED_SAMPLE true
#endif
#ifndef MANAGED_SAMPLE
#define MANAGED_SAMPLE false
#endif

#define MANAGED_PATH_MAX (UNIT_PATH_MAX + 32)

/* Makes the root directory of this process, with that NVMMIO_CONF. Before anything else of the library runs. */
void managed_begin(const char *conf);
/* Ends the library in this process and removes the root. Fails if logs, index objects or descriptors are left. */
void managed_end(void);
/* The same, as the end of a group of tests. */
int managed_group_end(void **state);

/* ---- random numbers ---- */

void managed_seed(uint64_t seed);
uint64_t managed_random(uint64_t below);

/* ---- files ---- */

struct managed {
    char path[MANAGED_PATH_MAX];
    int fd;
    struct uma *uma;
    uint8_t *want; /* the model: `most` bytes, zero behind `size` */
    uint64_t most;
    uint64_t size;
};

/* A new file of `size` random bytes whose model has room for `most`, made without the library, then opened with it. */
void managed_open(struct managed *m, uint64_t size, uint64_t most, int flags);
/* The file that a child of this process has opened so, and left behind; its model is empty. */
void managed_inherit(struct managed *m, uint64_t most);
/* The last close, then open again. */
int managed_close(struct managed *m);
void managed_reopen(struct managed *m, int flags);
/* Closes if need be and removes the file. */
void managed_remove(struct managed *m);

/* Attaches (a read or write intent would do it in time). */
void managed_attach(struct managed *m);

/* Operations; what is done is done to the model, too. Random bytes are written. Lengths and offsets must fit the model. */
ssize_t managed_write(struct managed *m, uint64_t offset, uint64_t length, unsigned flags);
ssize_t managed_write_bytes(struct managed *m, const void *bytes, uint64_t offset, uint64_t length, unsigned flags);
ssize_t managed_read(struct managed *m, void *out, uint64_t offset, uint64_t length);
int managed_resize(struct managed *m, uint64_t size);
int managed_commit(struct managed *m);
int managed_write_back(struct managed *m);

/* Compares with the model: through the library; a part only; by plain system calls (what another program sees). */
void managed_check(struct managed *m);
void managed_check_part(struct managed *m, uint64_t offset, uint64_t length);
void managed_check_kernel(struct managed *m);

/* ---- what is left behind ---- */

/* Logs in the root's directories; index objects that this process made and that still exist; open descriptors. */
unsigned managed_logs(void);
unsigned managed_objects(void);
unsigned managed_descriptors(void);

/* Pages of the index object of an attached file. */
uint64_t managed_index_bytes(const struct managed *m);

/* Log blocks in use. */
uint32_t managed_log_blocks_used(const struct managed *m);

/* ---- system calls ---- */

/* Counts this thread's calls from here on. */
void managed_watch(void);
unsigned managed_calls(void);

/* From here on the nth call (1: the next) of this thread that can fail at all does so, in the variant-th way that fits it:
 * false from managed_fault_stop if there was no such call. With `sticky` all later ones fail, too. */
#define MANAGED_VARIANTS 3u
void managed_fault(unsigned nth, unsigned variant, bool sticky);
bool managed_fault_stop(void);
/* The number of the call that was hit, and its error. */
long managed_fault_number(void);
int managed_fault_error(void);

#endif
