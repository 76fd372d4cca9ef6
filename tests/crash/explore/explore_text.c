/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore_text.c — the way to a state as text.
 *
 *     state  = level { "/" event level }       event: of the tape of the recovery before, where it is cut
 *     level  = ( "-" | "+" ) [ unit=choice { "," unit=choice } ]     all units at their most, but these; or at 0, but these
 */
#include "crash/explore/explore_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t append(char *text, size_t size, size_t used, const char *format, unsigned long long a,
                     unsigned long long b)
{
    if (used >= size)
        return used;
    int n = snprintf(text + used, size - used, format, a, b);
    return used + (n > 0 ? (size_t)n : 0);
}

/* How many units are elsewhere than the background. */
static size_t differences(const struct explore_cut *cut, bool full)
{
    size_t count = 0;
    for (size_t i = 0; i < cut->persist->units; i++)
        count += cut->choice[i] != (full ? cut->persist->unit[i].most : 0);
    return count;
}

void explore_text_write(const struct explorer *explorer, unsigned level, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned l = 0; l <= level; l++) {
        const struct explore_cut *cut = &explorer->cut[l];
        bool full = differences(cut, true) <= differences(cut, false);
        const char *comma = "%llu=%llu";
        if (l)
            used = append(text, size, used, "/%llu", cut->at, 0);
        used = append(text, size, used, full ? "-" : "+", 0, 0);
        for (size_t i = 0; i < cut->persist->units; i++) {
            if (cut->choice[i] == (full ? cut->persist->unit[i].most : 0))
                continue;
            used = append(text, size, used, comma, i, cut->choice[i]);
            comma = ",%llu=%llu";
        }
    }
    if (used >= size)
        snprintf(text, size, "too long to tell");
}

bool explore_text_point(const char **text, size_t *at)
{
    if (**text != '/')
        return false;
    char *end;
    *at = strtoull(*text + 1, &end, 10);
    bool good = end != *text + 1;
    *text = end;
    return good;
}

bool explore_text_choice(const char **text, const struct persist *persist, uint16_t *choice)
{
    bool full = **text == '-';
    if (**text != '-' && **text != '+')
        return false;
    for (size_t i = 0; i < persist->units; i++)
        choice[i] = full ? persist->unit[i].most : 0;
    ++*text;
    while (**text && **text != '/') {
        char *end;
        unsigned long long unit = strtoull(*text, &end, 10);
        if (end == *text || *end != '=' || unit >= persist->units)
            return false;
        const char *number = end + 1;
        unsigned long long value = strtoull(number, &end, 10);
        if (end == number || value > persist->unit[unit].most)
            return false;
        choice[unit] = (uint16_t)value;
        *text = *end == ',' ? end + 1 : end;
    }
    return true;
}
