/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * crc32c.h — CRC-32C (Castagnoli), by the CPU's instruction where there is one.
 */
#ifndef BENCH_CRC32C_H
#define BENCH_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *data, size_t length);

/* The same without the instruction; for machines without it, and for the test that compares both. */
uint32_t crc32c_portable(const void *data, size_t length);

#endif
