/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_index.c — the name of the index object that a log's header names. Layer log.
 */
#include "log/log_index.h"

#include "base/place.h"
#include "base/rawsys.h"

static char *put_text(char *out, const char *text)
{
    while (*text)
        *out++ = *text++;
    return out;
}

void log_index_path(uint32_t owner, uint64_t nonce, char path[LOG_INDEX_PATH_BYTES])
{
    char digits[10];
    unsigned n = 0;
    path = put_text(path, "/dev/shm/nvmmio-");
    do {
        digits[n++] = (char)('0' + owner % 10);
        owner /= 10;
    } while (owner);
    while (n)
        *path++ = digits[--n];
    *path++ = '-';
    for (int shift = 60; shift >= 0; shift -= 4)
        *path++ = "0123456789abcdef"[nonce >> shift & 15];
    *path = 0;
}

void log_index_remove(uint32_t owner, uint64_t nonce)
{
    char path[LOG_INDEX_PATH_BYTES];
    if (!nonce)
        return;
    const char *name = path;
    log_index_path(owner, nonce, path);
    int at = place_at(&name);
    sys_unlinkat(at, name, 0);
}
