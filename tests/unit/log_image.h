/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_image.h — headers and entries made by hand, with right checks. For unit tests and for tests/fuzz.
 */
#ifndef UNIT_LOG_IMAGE_H
#define UNIT_LOG_IMAGE_H

#include "log/log_format.h"

/* Makes the checks of a header right, after its fields were changed. */
static inline void image_seal_header(struct log_header *header)
{
    uint64_t epoch = header->epoch, boot[2] = {header->boot_id[0], header->boot_id[1]};
    header->boot_check = log_boot_check(boot);
    header->check = log_header_check(header->version, header->owner, &header->identity);
    header->size_check[epoch & 1] = log_size_check(header->size[epoch & 1], epoch);
    header->floor_check[0] = header->floor_check[1] = log_number_check(header->floor);
    header->newest_check[0] = header->newest_check[1] = log_number_check(header->newest_size);
}

/* Gives entry n its block and order. */
static inline void image_name_entry(struct log_entry *entry, uint32_t n, uint64_t block, uint64_t seq)
{
    struct log_entry_words words = log_entry_seal(block, seq, n);
    entry->block = words.block;
    entry->seq = words.seq;
}

#endif
