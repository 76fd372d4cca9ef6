/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * seen.c — open addressing, at most half full.
 */
#include "crash/explore/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN_FIRST_ROOM = 1 << 12 };

static bool is_free(const struct seen_key *key)
{
    return key->half[0] == 0 && key->half[1] == 0;
}

/* The key's place, or the free one where it belongs. */
static struct seen_key *seen_place(const struct seen *seen, const struct seen_key *key)
{
    size_t at = (size_t)key->half[0] & (seen->room - 1);
    while (!is_free(&seen->key[at]) && memcmp(&seen->key[at], key, sizeof *key) != 0)
        at = (at + 1) & (seen->room - 1);
    return &seen->key[at];
}

static void seen_grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->room = old.room ? old.room * 2 : SEEN_FIRST_ROOM;
    seen->key = calloc(seen->room, sizeof *seen->key);
    if (!seen->key) {
        fprintf(stderr, "explore: no memory for %zu states\n", seen->room);
        exit(2);
    }
    for (size_t i = 0; i < old.room; i++)
        if (!is_free(&old.key[i]))
            *seen_place(seen, &old.key[i]) = old.key[i];
    free(old.key);
}

bool seen_add(struct seen *seen, struct seen_key key)
{
    if (seen->count * 2 >= seen->room)
        seen_grow(seen);
    if (is_free(&key))
        key.half[0] = 1;
    struct seen_key *place = seen_place(seen, &key);
    if (!is_free(place))
        return false;
    *place = key;
    seen->count++;
    return true;
}

void seen_free(struct seen *seen)
{
    free(seen->key);
    memset(seen, 0, sizeof *seen);
}
