/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * world.h — a root on tmpfs with one file, its log and a bystander, used again for each input of a fuzz target. Every
 * system call of the library passes by here: whatever changes a file other than the data file inside its size to be, the
 * log, or what recovery may remove, ends the process.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "fuzz/reference.h"

#include "log/log.h"
#include "log/log_recover.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_BLOCKS 16u /* of the log */
#define WORLD_FILE_MOST (32u << 10)
#define WORLD_IMAGE (LOG_HEADER_BYTES + WORLD_ENTRIES * LOG_ENTRY_BYTES)
#define WORLD_ENTRIES 24u /* that an input sets: some have no block */
#define WORLD_PATH 64

struct world {
    char root[WORLD_PATH], path[WORLD_PATH + 8];
    int dirfd; /* of the logs */
    int fd;    /* of the file, read-write */
    uint64_t id;
    uint64_t ino;
    int log_fd; /* our own, without lock */
    struct log_header header;
    struct log_entry entry[WORLD_ENTRIES];
    uint64_t length; /* of the log file */
    uint64_t file_size;
    uint8_t file[REFERENCE_FILE_MOST];
    struct log_identity identity;
    uint64_t boot[2];
};

/* Ends the process with a message if `condition` is false. */
#define world_check(condition) ((condition) ? (void)0 : world_failed(__FILE__, __LINE__, #condition))
void world_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

/* The one world; made at the first call and removed at exit. */
struct world *world_get(void);

/* A header as issued now, without entries, for a file of `size` bytes. */
void world_begin(struct world *w, uint64_t size);

/* Puts file and log on the file system as the world says. */
void world_plant(struct world *w);

/* What the reference says to what was planted. */
void world_expect(const struct world *w, struct reference *want);
bool world_log_is_void(const struct world *w);

/* The file is as planted; as wanted, and zeros behind its end. */
void world_check_untouched(const struct world *w);
void world_check_file(const struct world *w, const struct reference *want);

/* The log is where it was, as planted; the bystanders are whole. */
void world_check_log_kept(const struct world *w);
bool world_log_exists(const struct world *w);
void world_remove_log(const struct world *w);
void world_check_bystanders(const struct world *w);

/* The bytes of log block n. */
const uint8_t *world_block(uint32_t n);

/* From here on the library may store to the file below `size` alone; world_watch_end: it may do what it likes. */
void world_watch(uint64_t size);
void world_watch_end(void);

/* Opens the planted log and recovers from it, watched, with the error that the reference wants. The log stays open. */
int world_recover(struct world *w, const struct reference *want, struct log *log, struct log_recovery *got);

#endif
