/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * clean.h — removes the root of a test, with what the library keeps in it.
 */
#ifndef PRELOAD_CLEAN_H
#define PRELOAD_CLEAN_H

#include <ftw.h>
#include <stdio.h>

#define CLEAN_DESCRIPTORS 8

static inline int clean_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void clean_tree(const char *root)
{
    nftw(root, clean_entry, CLEAN_DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

#endif
