/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * geometry.h — sizes that are no promise to anybody, for release and, with NVMMIO_TINY, so small that a handful of writes
 * meets every boundary: for the explorer of crash states (tests/crash/explore). Layer base; the layers' own headers name
 * and explain what they take from here. Tiny logs have another format: each build reads its own only.
 */
#ifndef BASE_GEOMETRY_H
#define BASE_GEOMETRY_H

#ifdef NVMMIO_TINY
#define GEOMETRY(release, tiny) (tiny)
#else
#define GEOMETRY(release, tiny) (release)
#endif

/* Entries of a log's group. A multiple of 64, so that blocks lie on pages. */
#define GEOMETRY_GROUP_BLOCKS GEOMETRY(32768u, 128u)
/* First block of a log, at least 64: those before would have their entries in the header page. Tiny: four blocks before the
 * end of the first group, so that the first growth begins a second one. */
#define GEOMETRY_FIRST_BLOCK GEOMETRY(64u, 124u)
/* End of the block numbers of a log. Tiny: 16 blocks. */
#define GEOMETRY_BLOCKS_MAX GEOMETRY(1u << 22, 140u)
/* Least log_max that may be set, bytes. Tiny: down to six blocks, one more than a piece may need. */
#define GEOMETRY_LOG_LEAST GEOMETRY(1ull << 20, 130ull << 12)
/* A log may always become so long, bytes: two pieces and what a group has before its first block. Tiny: as the least log_max. */
#define GEOMETRY_LOG_SURE GEOMETRY(5ull << 20, 130ull << 12)
/* Blocks of a log that was just made. */
#define GEOMETRY_READY_BLOCKS GEOMETRY(64u, 4u)
/* Block numbers beyond which a pooled log is cut, and removed. */
#define GEOMETRY_POOL_KEEP GEOMETRY(4096u, 132u)
#define GEOMETRY_POOL_CUT GEOMETRY(32768u, 136u)
/* Least and greatest growth of a log, blocks. */
#define GEOMETRY_GROW_LEAST GEOMETRY(256u, 4u)
#define GEOMETRY_GROW_MOST GEOMETRY(4096u, 4u)
/* Blocks that a full log tries to free at once. */
#define GEOMETRY_RECLAIM GEOMETRY(512u, 2u)
/* Least and greatest reserve behind the end of a growing file, blocks. */
#define GEOMETRY_AHEAD_LEAST GEOMETRY(16ull, 1ull)
#define GEOMETRY_AHEAD_MOST GEOMETRY(4096ull, 2ull)
/* Blocks of an atomic piece: a power of two, not less than a leaf (the repairer looks at as many). */
#define GEOMETRY_PIECE_BLOCKS GEOMETRY(512u, 4u)
/* Slots of a leaf of the radix table, as a power of two. */
#define GEOMETRY_LEAF_SHIFT GEOMETRY(8u, 2u)
/* Blocks of a batch of write-back. */
#define GEOMETRY_BATCH GEOMETRY(16u, 2u)
/* Bytes that are moved before a fresh file is looked at. */
#define GEOMETRY_FRESH_LEAST GEOMETRY(1ull << 20, 2ull << 12)

#endif
