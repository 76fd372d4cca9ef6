/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * crc32c.c — see crc32c.h.
 */
#include "crc32c.h"

#include <stdbool.h>
#include <string.h>

/* Remainders of the sixteen values of four bits by the reflected polynomial 0x82f63b78. */
static const uint32_t nibble_remainder[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(const void *data, size_t length)
{
    const unsigned char *byte = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < length; i++) {
        crc ^= byte[i];
        crc = (crc >> 4) ^ nibble_remainder[crc & 15];
        crc = (crc >> 4) ^ nibble_remainder[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(const void *data, size_t length)
{
    const unsigned char *byte = data;
    uint64_t crc = ~0u;
    for (; length >= sizeof(uint64_t); length -= sizeof(uint64_t), byte += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, byte, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; length > 0; length--, byte++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *byte);
    return ~(uint32_t)crc;
}
#endif

uint32_t crc32c(const void *data, size_t length)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_instruction(data, length);
#endif
    return crc32c_portable(data, length);
}
