/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_symbol.h — one case for each name of src/preload/symbols.def: what the files case_symbol_*.c share.
 *
 * The list of cases is made from symbols.def, so a name without a case does not link; the test posix.symbols checks that
 * the program imports each name, so that a case does call what it is called after.
 */
#ifndef POSIX_CASE_SYMBOL_H
#define POSIX_CASE_SYMBOL_H

#include "cases.h"

/* The body of a name's case. `fd` is open O_RDWR on the file SUBJECT, at offset SYMBOL_OFFSET. What is still open of it
 * afterwards is looked at, written to and closed by symbol_run. */
#define SYMBOL_CASE(name)                                                                                              \
    void symbol_##name(int fd);                                                                                        \
    void symbol_##name(int fd __attribute__((unused)))
#define SYMBOL_OFFSET 100

/* A name that programs can no longer be linked with, only old ones still import: `alias` is to be called. */
#define SYMBOL_OLD(alias, name, version) __asm__(".symver " #alias ", " #name "@" version)

/* Looks at a descriptor that the call has made, writes to it and closes it; a negative one is a call that failed. */
void symbol_use(int fd);
/* Runs the case's body with the subject open, and goes on with the descriptor. */
void symbol_run(void (*body)(int fd));
/* Waits for a child and reports how it ended. */
void symbol_wait(pid_t pid);

#endif
