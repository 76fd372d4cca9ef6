/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_seek.c — where data and holes are (lseek SEEK_DATA, SEEK_HOLE). Layer uma; called by file.
 *
 * A block is data if the kernel's file has data there or if it has an entry: what is newest may be in the log alone. Where
 * the file is reached by the application's own description (uma_lease.c) its offset is not to be moved: all is data.
 */
#include "base/rawsys.h"
#include "uma/uma_block.h"

#include <errno.h>
#include <unistd.h>

static bool has_entry(struct uma *uma, uint64_t block)
{
    struct index_slot *slot = index_find(&uma->index, block);
    uint64_t state = slot ? atomic_load_explicit(&slot->state, memory_order_acquire) : 0;
    return index_state_locked(state) || index_state_entry(state); /* locked: being written, or being read: data */
}

/* The first block >= `block` with an entry, UINT64_MAX if none. */
static uint64_t next_entry(struct uma *uma, uint64_t block)
{
    while ((block = index_next(&uma->index, block)) != UINT64_MAX && !has_entry(uma, block))
        block++;
    return block;
}

/* First the entries, then the kernel: write-back copies to the file before it frees an entry. The other way round a block that
 * moves in between would be in neither, and who zeroes what is behind the end would leave old bytes there. */
uint64_t uma_next_data(struct uma *uma, uint64_t offset)
{
    if (uma->borrowed)
        return offset;
    uint64_t block = next_entry(uma, uma_block_of(offset));
    off_t kernel = sys_lseek(uma->data_fd, (off_t)offset, SEEK_DATA);
    if (kernel < 0 && kernel != -ENXIO)
        return offset; /* it cannot tell: data, which is always right to say */
    uint64_t found = kernel < 0 ? UINT64_MAX : (uint64_t)kernel;
    if (block != UINT64_MAX)
        found = uma_min(found, uma_max(offset, block << UMA_BLOCK_SHIFT));
    return found;
}

uint64_t uma_next_hole(struct uma *uma, uint64_t offset)
{
    if (uma->borrowed)
        return UINT64_MAX;
    for (;;) {
        if (has_entry(uma, uma_block_of(offset))) {
            offset = (uma_block_of(offset) + 1) << UMA_BLOCK_SHIFT;
            continue;
        }
        off_t hole = sys_lseek(uma->data_fd, (off_t)offset, SEEK_HOLE);
        if (hole < 0 && hole != -ENXIO)
            return UINT64_MAX;
        if (hole <= (off_t)offset) /* a hole, or behind the kernel's end: nothing is there */
            return offset;
        /* the kernel's implicit hole at its end may be inside a block with an entry: look again from there */
        offset = (uint64_t)hole;
    }
}

int64_t uma_seek_data(struct uma *uma, uint64_t offset)
{
    uint64_t size = uma_size(uma);
    uint64_t found = offset < size ? uma_next_data(uma, offset) : UINT64_MAX;
    return found < size ? (int64_t)found : -ENXIO;
}

int64_t uma_seek_hole(struct uma *uma, uint64_t offset)
{
    uint64_t size = uma_size(uma);
    if (offset >= size)
        return -ENXIO;
    while (offset < size) {
        uint64_t hole = uma_next_hole(uma, offset);
        uint64_t start = uma_block_of(hole) << UMA_BLOCK_SHIFT;
        /* Behind the kernel's end, but in its last block: a file that is longer here has data there. */
        if (hole >= size || hole == start || uma_next_data(uma, start) != start)
            return (int64_t)uma_min(hole, size);
        offset = start + UMA_BLOCK;
    }
    return (int64_t)size;
}
