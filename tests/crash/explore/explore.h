/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore.h — every state that a power cut during a trace may leave, each recovered by the library's own code and judged.
 *
 * The persistence model (x86, ADR; x = explore_model)
 *   - Cached stores to one 64-byte line persist in the order they were made: the state of a line is a prefix of them. Lines
 *     are independent of each other. A prefix is pinned up to the stores that a TRACE_FLUSH of thread t covered once t has
 *     made a TRACE_FENCE.
 *   - Each 8-byte word of a TRACE_STREAM persists on its own, whenever it likes, pinned by a fence of its own thread alone.
 *     Several stores to a word: a prefix of them.
 *   - EXPLORE_EADR: what is visible is persistent, but for streams, which are as above.
 *   - EXPLORE_TORN: cached stores tear too, each 8-byte word on its own; of data lines only (header and entries rely on the
 *     order within a line).
 *   - The kernel: sizes, names and holes change in the order of the calls for each file and each directory, pinned by a
 *     SYNC; data that it wrote are as streams, pinned by a SYNC of the file, which pins everything of that file, whoever
 *     stored it. Bytes behind a size that is not durable do not exist. A shrink that is not durable may have zeroed the tail
 *     of the last page already.
 * A crash point lies before each fence and each pinning call (the largest set in flight; the states of earlier points of
 * the same stretch are among its own), behind each call, and at each mark.
 *
 * States of one crash point: a unit is a line, a word, a file's sequence of calls: it has choices. All combinations if there are
 * at most options.product of them; otherwise none, all, each unit alone, all but each, all sets of at most options.subset
 * units upon none and upon all, and options.random seeded ones; streams longer than options.bulk words are six variants
 * (none, all, without the first, the last, a middle line, with one torn word). States are counted once by a hash of the image.
 */
#ifndef CRASH_EXPLORE_EXPLORE_H
#define CRASH_EXPLORE_EXPLORE_H

#include "crash/explore/trace.h"

enum explore_model { EXPLORE_ADR, EXPLORE_EADR, EXPLORE_TORN };

struct explore_options {
    enum explore_model model;
    uint64_t product;                   /* 4096 */
    unsigned subset;                    /* 3 */
    unsigned random;                    /* 1000 */
    unsigned bulk;                      /* words */
    unsigned depth;                     /* crashes inside recovery: 0, 1, 2 levels */
    unsigned depth_subset, depth_share; /* within a recovery; one in how many states is crashed again (by its hash) */
    unsigned
        full_share; /* one in how many states is also recovered by the whole library in a new process, as after a boot */
    uint64_t seed;
    /* A mutant: events of this site are as if the library did not make them (flush, fence, sync), or, with swap, as if the
     * store of this site came behind the next store of its line. 0: none. */
    uint64_t mutant_site;
    bool mutant_swap;
    double until;   /* CLOCK_MONOTONIC, seconds: after this the rest is left out, without a word; 0: never */
    bool same_boot; /* the processes died, the machine did not: everything visible is there, recovery promotes */
};

/* One file after recovery. */
struct explore_file {
    uint32_t file; /* trace number */
    bool exists;   /* has a name */
    uint64_t size;
    const uint8_t *bytes;
};

/* What recovery made of one crash state. */
struct explore_outcome {
    size_t at;      /* the power went before event number `at` */
    unsigned level; /* power cuts inside recovery since then: 0, 1, 2. With same_boot the first of them ends the boot */
    const struct explore_file *file;
    uint32_t files; /* data files of the trace, in order of their numbers */
    int error;      /* of recovery: a power cut must never make it fail */
};

/* The workload's word on it. */
struct explore_oracle {
    void *context;
    /* Once for each crash point, before its states. */
    void (*prepare)(void *context, const struct trace *trace, size_t at);
    /* NULL if it is legal, else what is wrong, in static storage. */
    const char *(*judge)(void *context, const struct trace *trace, const struct explore_outcome *outcome);
    /* What is legal at the prepared crash point, as a number: an image that was judged under the same number is not judged
     * again. NULL: the number of marks before `at`. */
    uint64_t (*legal_id)(void *context);
};

struct explore_stats {
    uint64_t points; /* crash points */
    uint64_t states; /* built and recovered */
    uint64_t
        distinct; /* of different images, all levels; none is counted again in a later explore() of this process. The
                            words of a header that differ from run to run (boot id, identity, hints) do not count */
    uint64_t recoveries; /* all levels */
    uint64_t deep;       /* states of crashes inside recovery */
    uint64_t full;       /* recovered by the whole library */
    uint64_t violations;
};

/* The first violation, enough to come back to it. */
struct explore_failure {
    size_t at;
    unsigned level;  /* 0: the workload's own crash, 1, 2: in recovery */
    char state[512]; /* the choices, as explore_state reads them */
    char reason[256];
};

/* The defaults told above, for a trace of a few operations. */
void explore_defaults(struct explore_options *options);

/* A place of the library at which events of the trace were made: a mutant. */
struct explore_site {
    uint64_t site;
    uint8_t kind; /* TRACE_FLUSH, TRACE_FENCE, TRACE_CALL (a sync): to be dropped; TRACE_STORE: to be swapped */
    uint64_t count;
};
/* Adds the sites of the trace to the list of *sites that holds *count: flushes, fences, syncs; stores that have a next store
 * in their line, not flushed between. The list is grown by realloc. */
void explore_sites(const struct trace *trace, struct explore_site **sites, size_t *count);
/* The same for all recoveries of this process that were crashed (depth > 0): mutants of recovery. */
void explore_recovery_sites(struct explore_site **sites, size_t *count);

/* Explores the crash points of events [from, to]. Stops at the first violation if failure is given; true: none was found. */
bool explore(const struct trace *trace, size_t from, size_t to, const struct explore_oracle *oracle,
             const struct explore_options *options, struct explore_stats *stats, struct explore_failure *failure);

/* Builds, recovers and judges that one state again and prints the image's differences. */
bool explore_state(const struct trace *trace, const struct explore_failure *failure,
                   const struct explore_oracle *oracle, const struct explore_options *options);

#endif
