/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * hash.h — the hash of a file's bytes that both the cases and the looking process report: zero blocks count for nothing,
 * so that it can skip holes and still be the same for the same bytes.
 */
#ifndef POSIX_HASH_H
#define POSIX_HASH_H

#include "support/tool.h"

#include <stdbool.h>

enum { HASH_BLOCK = 4096 };

static inline bool hash_is_zero(const uint8_t *block, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (block[i])
            return false;
    return true;
}

/* Adds `len` bytes at `offset`, a multiple of HASH_BLOCK. */
static inline uint64_t hash_add(uint64_t hash, const uint8_t *p, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len; done += HASH_BLOCK) {
        size_t n = len - done < HASH_BLOCK ? len - done : HASH_BLOCK;
        if (hash_is_zero(p + done, n))
            continue;
        /* The last block of a file may end anywhere. */
        uint8_t block[HASH_BLOCK] = {0};
        memcpy(block, p + done, n);
        hash = tool_mix2(tool_mix2(hash, offset + done), tool_hash(block, sizeof block));
    }
    return hash;
}

#endif
