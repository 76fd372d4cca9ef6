/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * words.h — what words.c and words_damage.c share.
 */
#ifndef FUZZ_WORDS_H
#define FUZZ_WORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORDS_WORKERS 3u
#define WORDS_FILE_BYTES (4u << 20)

/* Below `below`; of the process's own sequence. */
uint64_t words_random(uint64_t below);
void words_must(bool condition, const char *what);

/* ---- words_damage.c ---- */

/* Where the damage is to be. */
struct words_target {
    const char *table;       /* the volume's, by path */
    ino_t file, other;       /* what is damaged, and what is not to suffer */
    uint64_t (*nonce)(void); /* of the file's index object now, 0: it has none */
};

void words_damage(const struct words_target *target);
/* Prints what was damaged since words_forget. */
void words_tell(void);
void words_forget(void);

#endif
