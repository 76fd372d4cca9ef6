/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * arguments.h — what the constructor of arguments_ctor.c was told.
 */
#ifndef PRELOAD_ARGUMENTS_H
#define PRELOAD_ARGUMENTS_H

struct arguments_told {
    int argc;
    char **argv, **envp;
};

#endif
