/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * family_process.h — processes of stress_family.
 */
#ifndef STRESS_FAMILY_PROCESS_H
#define STRESS_FAMILY_PROCESS_H

#include "stress/family.h"

/* stress_family.c */
char *family_shared_path(void);
void family_map(const char *path);

/* family_process.c */
unsigned family_alive(void);
bool family_reap(bool block);
pid_t family_fork(uint64_t seed);
void family_process_main(uint64_t seed) __attribute__((noreturn));
void family_join(char **argv) __attribute__((noreturn));

#endif
