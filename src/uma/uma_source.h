/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_source.h — the bytes that a write takes: the caller's vectors, one after the other, or zeros. Layer uma; for
 * uma_write.c.
 */
#ifndef UMA_UMA_SOURCE_H
#define UMA_UMA_SOURCE_H

#include "uma/uma_private.h"

struct uma_source {
    const struct iovec *iov; /* NULL: zeros */
    int count;
    size_t skip; /* of iov[0] */
};

/* The next n bytes, at most a block, in one piece: in the caller's buffer, or gathered in `bounce`. */
const char *uma_source_take(struct uma_source *source, size_t n, char *bounce);

/* How many of the next n bytes can be read: touches each page once, before any lock is taken. */
size_t uma_source_probe(const struct uma_source *source, size_t n);

#endif
