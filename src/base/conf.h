/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * conf.h — the configuration of a process: NVMMIO_ROOT and NVMMIO_CONF. Layer base; read by all.
 *
 * NVMMIO_ROOT is a colon-separated list of directories. NVMMIO_CONF is one string in the manner of MALLOC_CONF:
 * "key:value,key:value". Times take the suffixes us, ms, s (none: ms); sizes K, M, G, T (powers of 1024; none: bytes);
 * switches 0 and 1. An unknown key or an impossible value is an error: the whole string is then ignored, one line says
 * so where messages were asked for, and conf.valid is false. Both variables are ignored in secure-execution mode.
 *
 *   key              default   meaning
 *   log              (none)    where messages go: "stderr" or an absolute path; "%p" in it becomes the process id
 *   log_level        3         1 errors, 2 and warnings, 3 and notices (demotions, recoveries), 4 and debugging
 *   pm               auto      auto: PM where MAP_SYNC works, and tmpfs as emulated PM, where files attach only as it
 *                              pays; force: any file system as if PM; none: nothing is managed
 *   log_max          8G        most bytes that one file's log may take
 *   commit_interval  5s        after this long a file that is never synced is committed by the background thread
 *   idle             100ms     after this long without a write a file is written back
 *   pool             4         ready logs kept by a process
 *   atomic           0         1: every open of a file in a root is as if with O_ATOMIC
 *   stats            0         1: counters are written to the message log at exit
 *   lease            0         1: a program without nvmmio that opens a file in use reads it as it is then
 *   atomic_map       (none)    patterns of fnmatch(3), with | between them: stores to shared mappings of files whose path
 *                              matches are failure-atomic
 *   atomic_nvmmap    1         1: so are stores to what nvmmap maps writable and shared; 0: it maps as mmap does
 *   policy           hybrid    first touches of blocks: redo, undo; hybrid: what measures best, redo. Mapped files always
 *                              undo
 *   aio              deny      io_uring: deny: there is none; allow: from the first ring on files are the kernel's
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_ROOTS_MAX 16
#define CONF_PATH_MAX 4096

enum conf_pm { CONF_PM_AUTO, CONF_PM_FORCE, CONF_PM_NONE };
enum conf_aio { CONF_AIO_DENY, CONF_AIO_ALLOW };
enum conf_policy { CONF_POLICY_REDO, CONF_POLICY_UNDO, CONF_POLICY_HYBRID };

struct conf {
    bool valid;                       /* NVMMIO_CONF was understood */
    unsigned root_count;              /* entries of root; 0: every regular file on a DAX mount */
    const char *root[CONF_ROOTS_MAX]; /* absolute, real path, no trailing slash; NULL where it cannot be resolved */
    enum conf_pm pm;
    char log_path[256]; /* "" : silent */
    int log_level;
    uint64_t log_max;
    uint32_t commit_interval_ms;
    uint32_t idle_ms;
    uint32_t pool;
    bool atomic;
    char atomic_map[256]; /* "": none */
    bool atomic_nvmmap;
    bool stats;
    enum conf_aio aio;
    enum conf_policy policy;
    bool lease;
};

/* NULL before the first conf_get; release when complete. */
extern _Atomic(const struct conf *) conf_current;
const struct conf *conf_build(void); /* for conf_get */

/* Reads both variables, once per process; later calls return the same. Thread-safe. Never NULL. */
static inline const struct conf *conf_get(void)
{
    const struct conf *conf = atomic_load_explicit(&conf_current, memory_order_acquire); /* pairs with conf_build */
    return __builtin_expect(conf != NULL, 1) ? conf : conf_build();
}

/* Parses NVMMIO_CONF's syntax into *conf (which holds the defaults). 0, or -EINVAL with the offending byte's offset in
 * *where. For conf_get and tests. */
int conf_parse(const char *text, struct conf *conf, size_t *where);
void conf_defaults(struct conf *conf);

#endif
