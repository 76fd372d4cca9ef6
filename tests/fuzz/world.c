/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * world.c — planting and comparing.
 */
#include "fuzz/world.h"

#include "base/rawsys.h"
#include "unit/log_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYSTANDER_BYTES 4096u
#define CALLS_MOST 4096u /* of the library for one input */

static struct {
    struct world world;
    bool made;
    uint8_t blocks[WORLD_BLOCKS][LOG_BLOCK];
    uint8_t bystander[BYSTANDER_BYTES];
    bool blocks_planted;
    uint8_t *map; /* of the file */
} state;

/* Of the thread that recovers; the library's own thread goes its way. */
static _Thread_local struct {
    bool on;
    uint64_t size;
    unsigned calls;
} watched;

static const char *const bystanders[] = {"bystander", ".nvmmio/bystander"};

/* ---- watching ---- */

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_ino == state.world.ino;
}

static bool is_log(int fd)
{
    struct stat st, log;
    return fstat(fd, &st) == 0 && fstat(state.world.log_fd, &log) == 0 && st.st_ino == log.st_ino;
}

static void watch_store(int fd, uint64_t from, uint64_t length)
{
    world_check(is_file(fd));
    world_check(from <= watched.size && length <= watched.size - from);
}

/* The ways in which recovery changes files; everything else it calls reads. */
static long watch(long number, long a, long b, long c, long d, long e, long f)
{
    if (!watched.on)
        return rawsys_invoke_kernel(number, a, b, c, d, e, f);
    world_check(++watched.calls < CALLS_MOST);
    switch (number) {
    case SYS_pwrite64:
        watch_store((int)a, (uint64_t)d, (uint64_t)c);
        break;
    case SYS_fallocate: /* the tail's page is zeroed as a whole */
        world_check(b == FALLOC_FL_KEEP_SIZE && is_file((int)a));
        world_check((uint64_t)c + (uint64_t)d <= (watched.size | (LOG_BLOCK - 1)) + 1 ||
                    (uint64_t)c + (uint64_t)d <= (state.world.file_size | (LOG_BLOCK - 1)) + 1);
        break;
    case SYS_ftruncate:
        world_check(is_file((int)a) && (uint64_t)b == watched.size);
        break;
    case SYS_write: /* a message */
        world_check(!is_file((int)a) && !is_log((int)a));
        break;
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_renameat2:
    case SYS_linkat:
    case SYS_mkdirat:
    case SYS_truncate:
    case SYS_fchmod:
    case SYS_fchown:
        world_check(!"a call that recovery has no use for");
        break;
    default:
        break;
    }
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

void world_watch(uint64_t size)
{
    watched.size = size;
    watched.calls = 0;
    watched.on = true;
}

void world_watch_end(void)
{
    watched.on = false;
}

/* ---- making ---- */

static void write_all(int fd, const void *bytes, size_t n, uint64_t offset)
{
    world_check(pwrite(fd, bytes, n, (off_t)offset) == (ssize_t)n);
}

static void remove_world(void)
{
    char command[WORLD_PATH + 16];
    snprintf(command, sizeof command, "rm -rf %s", state.world.root);
    if (system(command))
        fprintf(stderr, "could not remove %s\n", state.world.root);
}

void world_failed(const char *file, int line, const char *condition)
{
    watched.on = false;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    remove_world();
    abort();
}

static void plant_bystanders(const struct world *w)
{
    char path[WORLD_PATH + 32];
    memset(state.bystander, 0x5a, sizeof state.bystander);
    for (unsigned i = 0; i < sizeof bystanders / sizeof *bystanders; i++) {
        snprintf(path, sizeof path, "%s/%s", w->root, bystanders[i]);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        write_all(fd, state.bystander, sizeof state.bystander, 0);
        close(fd);
    }
}

static void make_world(struct world *w)
{
    rawsys_table.invoke = watch;
    strcpy(w->root, "/dev/shm/nvmmio-fuzz-XXXXXX");
    world_check(mkdtemp(w->root) != NULL);
    atexit(remove_world);
    char path[WORLD_PATH + 32];
    snprintf(path, sizeof path, "%s/.nvmmio", w->root);
    world_check(mkdir(path, 0755) == 0);
    snprintf(path, sizeof path, "%s/.nvmmio/%u", w->root, (unsigned)geteuid());
    world_check(mkdir(path, 0700) == 0);
    w->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(w->path, sizeof w->path, "%s/file", w->root);
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    state.map = mmap(NULL, REFERENCE_FILE_MOST, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    world_check(state.map != MAP_FAILED);
    w->id = 0x1234567890abcdef;
    w->log_fd = -1;
    struct stat st;
    world_check(w->dirfd >= 0 && w->fd >= 0 && fstat(w->fd, &st) == 0);
    w->ino = st.st_ino;
    world_check(log_identity_of(w->fd, &w->identity, NULL) == 0 && log_boot_id(w->boot) == 0);
    for (unsigned n = 0; n < WORLD_BLOCKS; n++)
        for (unsigned x = 0; x < LOG_BLOCK; x++)
            state.blocks[n][x] = (uint8_t)(101 + (n * 31 + x / 64 + x % 64) % 150);
    plant_bystanders(w);
}

struct world *world_get(void)
{
    if (!state.made)
        make_world(&state.world);
    state.made = true;
    return &state.world;
}

const uint8_t *world_block(uint32_t n)
{
    world_check(n >= LOG_FIRST_BLOCK && n < LOG_FIRST_BLOCK + WORLD_BLOCKS);
    return state.blocks[n - LOG_FIRST_BLOCK];
}

void world_begin(struct world *w, uint64_t size)
{
    w->file_size = size < WORLD_FILE_MOST ? size : WORLD_FILE_MOST;
    memset(w->file, 0, sizeof w->file);
    for (uint64_t x = 0; x < w->file_size; x++)
        w->file[x] = (uint8_t)(1 + x / 64 % 100);
    struct log_header *h = &w->header;
    memset(h, 0, sizeof *h);
    h->magic = LOG_MAGIC;
    h->version = LOG_VERSION;
    h->owner = geteuid();
    memcpy(h->boot_id, w->boot, sizeof h->boot_id);
    h->identity = w->identity;
    h->size[0] = h->size[1] = h->newest_size = w->file_size;
    h->epoch = 10;
    h->floor = 3;
    strcpy(h->path, w->path);
    image_seal_header(h);
    memset(w->entry, 0, sizeof w->entry);
    w->length = log_block_offset(LOG_FIRST_BLOCK + WORLD_BLOCKS);
}

/* ---- planting ---- */

static void log_path(const struct world *w, char path[LOG_NAME_BYTES])
{
    log_name_format(w->id, path);
}

bool world_log_exists(const struct world *w)
{
    struct stat st, named;
    char name[LOG_NAME_BYTES];
    log_path(w, name);
    return w->log_fd >= 0 && fstat(w->log_fd, &st) == 0 && fstatat(w->dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_ino == named.st_ino;
}

void world_remove_log(const struct world *w)
{
    char name[LOG_NAME_BYTES];
    log_path(w, name);
    unlinkat(w->dirfd, name, 0);
}

static void plant_log(struct world *w)
{
    char name[LOG_NAME_BYTES];
    log_path(w, name);
    if (!world_log_exists(w)) {
        if (w->log_fd >= 0)
            close(w->log_fd);
        unlinkat(w->dirfd, name, 0);
        w->log_fd = openat(w->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        world_check(w->log_fd >= 0);
        state.blocks_planted = false;
    }
    uint64_t whole = log_block_offset(LOG_FIRST_BLOCK + WORLD_BLOCKS);
    if (!state.blocks_planted) {
        world_check(ftruncate(w->log_fd, 0) == 0);
        write_all(w->log_fd, state.blocks, sizeof state.blocks, log_block_offset(LOG_FIRST_BLOCK));
    }
    write_all(w->log_fd, &w->header, sizeof w->header, 0);
    write_all(w->log_fd, w->entry, sizeof w->entry, log_entry_offset(LOG_FIRST_BLOCK));
    state.blocks_planted = w->length >= whole;
    if (w->length != whole)
        world_check(ftruncate(w->log_fd, (off_t)w->length) == 0);
}

void world_plant(struct world *w)
{
    struct stat st;
    plant_log(w);
    world_check(fstat(w->log_fd, &st) == 0);
    if ((uint64_t)st.st_size != w->length)
        world_check(ftruncate(w->log_fd, (off_t)w->length) == 0);
    world_check(ftruncate(w->fd, 0) == 0);
    write_all(w->fd, w->file, w->file_size, 0);
    /* Mapped stores behind the end, which no call of the kernel has seen. */
    if (w->file_size % LOG_BLOCK)
        memset(state.map + w->file_size, 0xee, LOG_BLOCK - w->file_size % LOG_BLOCK);
}

/* ---- comparing ---- */

static struct reference_case case_of(const struct world *w)
{
    struct reference_case given = {.length = w->length,
                                   .owner = geteuid(),
                                   .boot = {w->boot[0], w->boot[1]},
                                   .file = w->file,
                                   .file_size = w->file_size,
                                   .block = world_block};
    memcpy(given.identity, &w->identity, sizeof given.identity);
    return given;
}

/* Header and entries, as the reference reads them. */
static const uint8_t *image_of(const struct world *w)
{
    static uint8_t image[64 * 1024];
    memcpy(image, &w->header, sizeof w->header);
    memcpy(image + sizeof w->header, w->entry, sizeof w->entry);
    return image;
}

void world_expect(const struct world *w, struct reference *want)
{
    struct reference_case given = case_of(w);
    given.log = image_of(w);
    reference_read(&given, want);
}

bool world_log_is_void(const struct world *w)
{
    struct reference_case given = case_of(w);
    given.log = image_of(w);
    return reference_is_void(&given);
}

static void compare_file(const struct world *w, const uint8_t *want, uint64_t size)
{
    static uint8_t got[REFERENCE_FILE_MOST];
    struct stat st;
    uint64_t seen = size < sizeof got ? size : sizeof got;
    world_check(fstat(w->fd, &st) == 0);
    world_check((uint64_t)st.st_size == size);
    world_check(pread(w->fd, got, sizeof got, 0) == (ssize_t)seen);
    world_check(memcmp(got, want, seen) == 0);
}

void world_check_untouched(const struct world *w)
{
    compare_file(w, w->file, w->file_size);
}

void world_check_file(const struct world *w, const struct reference *want)
{
    compare_file(w, want->file, want->size);
    if (want->size >= REFERENCE_FILE_MOST)
        return;
    static uint8_t behind[REFERENCE_FILE_MOST];
    world_check(ftruncate(w->fd, REFERENCE_FILE_MOST) == 0);
    ssize_t n = pread(w->fd, behind, sizeof behind, (off_t)want->size);
    world_check(n == (ssize_t)(REFERENCE_FILE_MOST - want->size));
    for (ssize_t i = 0; i < n; i++)
        world_check(behind[i] == 0);
    world_check(ftruncate(w->fd, (off_t)want->size) == 0);
}

void world_check_log_kept(const struct world *w)
{
    static uint8_t got[sizeof state.blocks];
    struct stat st;
    world_check(world_log_exists(w) && fstat(w->log_fd, &st) == 0 && (uint64_t)st.st_size == w->length);
    uint64_t n = w->length < WORLD_IMAGE ? w->length : WORLD_IMAGE;
    world_check(pread(w->log_fd, got, n, 0) == (ssize_t)n);
    world_check(memcmp(got, image_of(w), n) == 0);
    uint64_t blocks = log_block_offset(LOG_FIRST_BLOCK);
    n = w->length < blocks ? 0 : w->length - blocks < sizeof got ? w->length - blocks : sizeof got;
    world_check(pread(w->log_fd, got, n, (off_t)blocks) == (ssize_t)n);
    world_check(memcmp(got, state.blocks, n) == 0);
}

void world_check_bystanders(const struct world *w)
{
    char path[WORLD_PATH + 32];
    uint8_t got[BYSTANDER_BYTES + 1];
    for (unsigned i = 0; i < sizeof bystanders / sizeof *bystanders; i++) {
        snprintf(path, sizeof path, "%s/%s", w->root, bystanders[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        world_check(read(fd, got, sizeof got) == BYSTANDER_BYTES);
        world_check(memcmp(got, state.bystander, BYSTANDER_BYTES) == 0);
        close(fd);
    }
}

int world_recover(struct world *w, const struct reference *want, struct log *log, struct log_recovery *got)
{
    world_check(log_open(log, w->dirfd, w->id, geteuid()) == 0);
    int error = log_map(log, PM_MAP_SYNC_NEVER);
    world_check(error == (w->length < LOG_HEADER_BYTES ? -ESTALE : 0));
    if (error == 0) {
        world_watch(want->size);
        error = log_recover(log, w->fd, got);
        world_watch_end();
        world_check(error == want->error);
    }
    return error;
}
