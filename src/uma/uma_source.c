/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * uma_source.c — the bytes that a write takes. Layer uma; called by uma_write.c.
 */
#include "uma/uma_source.h"

#include "pm/pm_probe.h"

#include <string.h>

static const char zeros[UMA_BLOCK];

static void next_vector(struct uma_source *source)
{
    source->iov++;
    source->count--;
    source->skip = 0;
}

static const char *gather(struct uma_source *source, size_t n, char *bounce)
{
    for (size_t done = 0; done < n;) {
        size_t room = source->iov->iov_len - source->skip;
        size_t take = room < n - done ? room : n - done;
        memcpy(bounce + done, (const char *)source->iov->iov_base + source->skip, take);
        done += take;
        source->skip += take;
        if (source->skip == source->iov->iov_len && done < n)
            next_vector(source);
    }
    return bounce;
}

const char *uma_source_take(struct uma_source *source, size_t n, char *bounce)
{
    if (!source->iov)
        return zeros;
    while (source->skip == source->iov->iov_len)
        next_vector(source);
    const char *at = (const char *)source->iov->iov_base + source->skip;
    if (source->iov->iov_len - source->skip < n)
        return gather(source, n, bounce);
    source->skip += n;
    return at;
}

size_t uma_source_probe(const struct uma_source *source, size_t n)
{
    size_t good = 0;
    const struct iovec *iov = source->iov;
    size_t skip = source->skip;
    while (good < n) {
        if (skip == iov->iov_len) {
            iov++;
            skip = 0;
            continue;
        }
        const char *at = (const char *)iov->iov_base + skip;
        size_t page = UMA_BLOCK - ((uintptr_t)at & (UMA_BLOCK - 1));
        size_t take = iov->iov_len - skip;
        take = take < page ? take : page;
        if (!pm_probe(at))
            break;
        good += take < n - good ? take : n - good;
        skip += take;
    }
    return good;
}
