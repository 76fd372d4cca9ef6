/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * arguments_ctor.c — a library that keeps what its constructor was told. For arguments.c.
 */
#include "arguments.h"

struct arguments_told arguments_told;

__attribute__((constructor)) static void keep(int argc, char **argv, char **envp)
{
    arguments_told = (struct arguments_told){.argc = argc, .argv = argv, .envp = envp};
}
