/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * unit.h — CMocka with the headers it wants, and a file on tmpfs. For unit tests.
 */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A new file of `size` bytes in /dev/shm (or NVMMIO_TEST_DIR), already unlinked. */
int unit_file(uint64_t size);

/* Makes a new directory there and returns its name in `path` (at least UNIT_PATH_MAX bytes). */
#define UNIT_PATH_MAX 64
void unit_directory(char *path);

/* Runs `play` in a forked child, with the default actions of SIGSEGV and SIGBUS, without core files and for at most 20 s;
 * returns its wait status. For whatever changes a process, and for everything that uses pm_guard: CMocka sets its own
 * handlers of these signals before each test. `play` ends with unit_check failing, _exit, or by returning (exit 0). */
int unit_in_child(void (*play)(void));

/* In a child: ends it with status 1 and says where, if `condition` is false. (CMocka's assertions would go on with the
 * parent's tests.) */
#define unit_check(condition) ((condition) ? (void)0 : unit_check_failed(__FILE__, __LINE__, #condition))
void unit_check_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

/* In the parent: what became of a child. */
void unit_expect_exit(int status, int code);
void unit_expect_signal(int status, int signal);

#endif
