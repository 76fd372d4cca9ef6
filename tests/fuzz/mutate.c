/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * mutate.c — logs that killed writers have left, changed at random, thousands of times: a new process opens the file. It
 * gets what a second reader of the format (reference.h) makes of the changed log, or EIO, and then file and log are as they
 * were. Nothing else in the root changes.
 *
 *   mutate [--logs N] [--changes N] [--seed S]
 */
#include "fuzz/reference.h"

#include "log/log.h"
#include "log/log_index.h"
#include "log/log_recover.h"
#include "log/volume_private.h"

#include "nvmmio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES (48u << 10)
#define WRITES_MOST 40u
#define CHILD_SECONDS 30
#define ROOT_BYTES 64
#define PATH_BYTES 400
#define BYSTANDER_BYTES 4096u
#define USED_ENTRIES 64u /* that changes fall into */
#define IMAGE_BYTES (4u << 20)

/* A file of the root, as the dead process has left it. */
struct image {
    char path[PATH_BYTES];
    uint8_t bytes[IMAGE_BYTES];
    size_t size;
};

static struct {
    char root[ROOT_BYTES], bystander[ROOT_BYTES + 16];
    struct image file, log, table;
    uint8_t changed[IMAGE_BYTES]; /* the log */
    size_t changed_size;
    struct log_identity identity;
    uint64_t boot[2];
    uint64_t random;
    struct reference want;
    unsigned refused, recovered;
} mutate;

static uint64_t rnd(uint64_t below)
{
    mutate.random ^= mutate.random << 13;
    mutate.random ^= mutate.random >> 7;
    mutate.random ^= mutate.random << 17;
    return (mutate.random >> 11) % below;
}

#define must(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))
static void __attribute__((noreturn)) failed(int line, const char *condition)
{
    fprintf(stderr, "mutate.c:%d: not so: %s\n", line, condition);
    exit(1);
}

/* ---- children ---- */

static int in_child(int (*body)(void))
{
    int status;
    pid_t child = fork();
    must(child >= 0);
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(CHILD_SECONDS);
        _exit(body());
    }
    must(waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -SIGKILL;
}

/* Writes, syncs now and then, and is killed. */
static int body_write(void)
{
    static char bytes[FILE_BYTES];
    int fd = nvopen(mutate.file.path, rnd(4) ? O_RDWR : O_RDWR | O_ATOMIC);
    if (fd < 0)
        return 1;
    for (uint64_t i = rnd(WRITES_MOST) + 10; i; i--) {
        off_t at = (off_t)rnd(FILE_BYTES - 6000);
        memset(bytes, (int)(1 + rnd(255)), sizeof bytes);
        nvpwrite(fd, bytes, rnd(6000) + 1, rnd(2) ? at & ~4095 : at);
        if (rnd(4) == 0)
            nvfsync(fd);
        if (rnd(10) == 0)
            nvftruncate(fd, at + 3000);
    }
    raise(SIGKILL);
    return 1;
}

/* What an application gets: 0, or the errno of its open. */
static int body_open(void)
{
    int fd = nvopen(mutate.file.path, O_RDWR);
    if (fd < 0)
        return errno;
    return nvclose(fd) ? EBADF : 0;
}

/* ---- images ---- */

static void load(struct image *image)
{
    int fd = open(image->path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0);
    ssize_t n = read(fd, image->bytes, sizeof image->bytes);
    must(n >= 0 && (size_t)n < sizeof image->bytes);
    image->size = (size_t)n;
    close(fd);
}

/* Stores bytes into the file, in the inode that it has, if it has one. */
static void store(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(fd >= 0 && ftruncate(fd, 0) == 0);
    must(write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static bool is_same(const char *path, const uint8_t *bytes, size_t size)
{
    static uint8_t got[IMAGE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got);
    close(fd);
    return n == (ssize_t)size && memcmp(got, bytes, size) == 0;
}

static void volume_path(const char *name, char *path)
{
    sprintf(path, "%s/.nvmmio/%u/%s", mutate.root, (unsigned)geteuid(), name);
}

/* Finds the log that the killed process was at; false if it had none. */
static bool find_log(void)
{
    char path[PATH_BYTES];
    uint64_t id;
    bool found = false;
    volume_path(".", path);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!log_name_parse(entry->d_name, &id))
            continue;
        volume_path(entry->d_name, mutate.log.path);
        load(&mutate.log);
        uint64_t magic;
        memcpy(&magic, mutate.log.bytes, sizeof magic);
        if ((found = magic == LOG_MAGIC))
            break;
    }
    if (dir)
        closedir(dir);
    return found;
}

static void remove_index(void)
{
    log_index_remove(geteuid(), ((const struct log_header *)(const void *)mutate.log.bytes)->index_nonce);
}

/* Makes a root with what a killed writer has left in it; false if it has left nothing. */
static bool make_log(void)
{
    static uint8_t bytes[FILE_BYTES];
    char command[ROOT_BYTES * 2];
    snprintf(command, sizeof command, "rm -rf %s/.nvmmio %s/file", mutate.root, mutate.root);
    must(system(command) == 0);
    memset(bytes, 'f', sizeof bytes);
    store(mutate.file.path, bytes, sizeof bytes);
    must(in_child(body_write) == -SIGKILL);
    if (!find_log())
        return false;
    remove_index();
    load(&mutate.file);
    load(&mutate.table);
    int fd = open(mutate.file.path, O_RDONLY | O_CLOEXEC);
    must(log_identity_of(fd, &mutate.identity, NULL) == 0 && log_boot_id(mutate.boot) == 0);
    close(fd);
    return true;
}

/* ---- changes ---- */

static void change_bytes(uint64_t from, uint64_t length)
{
    uint64_t width = rnd(3) ? 1 : rnd(2) ? 8 : 64;
    uint64_t at = from + rnd(length / width) * width;
    for (uint64_t i = 0; i < width; i++)
        mutate.changed[at + i] ^= (uint8_t)(width == 1 ? 1u << rnd(8) : rnd(256));
}

static void change_log(void)
{
    const uint64_t entries = LOG_HEADER_BYTES;
    memcpy(mutate.changed, mutate.log.bytes, mutate.log.size);
    mutate.changed_size = mutate.log.size;
    for (uint64_t i = rnd(3) + 1; i; i--) {
        uint8_t *one = mutate.changed + entries + rnd(USED_ENTRIES) * LOG_ENTRY_BYTES;
        uint8_t *two = mutate.changed + entries + rnd(USED_ENTRIES) * LOG_ENTRY_BYTES;
        switch (rnd(8)) {
        case 0:
            change_bytes(0, 256);
            break;
        case 1:
            memcpy(one, two, LOG_ENTRY_BYTES);
            break;
        case 2:
            memset(one, rnd(2) ? 0 : 0xff, LOG_ENTRY_BYTES);
            break;
        case 3:
            mutate.changed_size = rnd(mutate.log.size);
            mutate.changed_size &= ~(rnd(2) ? (size_t)4095 : 0);
            break;
        default: /* records, mostly: they have no check */
            one[16 + rnd(48)] ^= (uint8_t)(1u << rnd(8));
        }
    }
    if (rnd(16) == 0) /* as it was */
        memcpy(mutate.changed, mutate.log.bytes, mutate.changed_size = mutate.log.size);
}

static const uint8_t *log_block_of(uint32_t n)
{
    return mutate.changed + log_block_offset(n);
}

static void expect(void)
{
    struct reference_case given = {.log = mutate.changed,
                                   .length = mutate.changed_size,
                                   .owner = geteuid(),
                                   .boot = {mutate.boot[0], mutate.boot[1]},
                                   .file = mutate.file.bytes,
                                   .file_size = mutate.file.size,
                                   .block = log_block_of};
    memcpy(given.identity, &mutate.identity, sizeof given.identity);
    reference_read(&given, &mutate.want);
}

static void check_bystander(void)
{
    static uint8_t bytes[BYSTANDER_BYTES];
    memset(bytes, 'b', sizeof bytes);
    must(is_same(mutate.bystander, bytes, sizeof bytes));
}

/* One changed log and the next process. */
static void play(void)
{
    bool boot = rnd(2); /* the table is gone */
    change_log();
    store(mutate.file.path, mutate.file.bytes, mutate.file.size);
    store(mutate.log.path, mutate.changed, mutate.changed_size);
    store(mutate.table.path, mutate.table.bytes, boot ? 0 : mutate.table.size);
    expect();
    int error = in_child(body_open);
    bool whole = is_same(mutate.log.path, mutate.changed, mutate.changed_size);
    const struct reference *want = &mutate.want;
    if (want->error == 0 && !want->passthrough) {
        must(error == 0 && is_same(mutate.file.path, want->file, want->size));
        must(access(mutate.log.path, F_OK) != 0);
        mutate.recovered++;
    } else {
        must(is_same(mutate.file.path, mutate.file.bytes, mutate.file.size));
        /* without a table nobody knows whose log it was if its identity is lost */
        must(error == EIO || (error == 0 && (boot || want->other || want->passthrough || want->error == -ENODATA)));
        must(whole || want->passthrough);
        mutate.refused++;
    }
    check_bystander();
}

int main(int argc, char **argv)
{
    uint64_t logs = 10, changes = 60, seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 0);
        *(!strcmp(argv[i], "--logs") ? &logs : !strcmp(argv[i], "--changes") ? &changes : &seed) = value;
    }
    strcpy(mutate.root, "/dev/shm/nvmmio-mutate-XXXXXX");
    must(mkdtemp(mutate.root) != NULL);
    snprintf(mutate.bystander, sizeof mutate.bystander, "%s/bystander", mutate.root);
    snprintf(mutate.file.path, sizeof mutate.file.path, "%s/file", mutate.root);
    volume_path("table", mutate.table.path);
    setenv("NVMMIO_ROOT", mutate.root, 1);
    memset(mutate.changed, 'b', BYSTANDER_BYTES);
    store(mutate.bystander, mutate.changed, BYSTANDER_BYTES);
    for (uint64_t i = 0; i < logs; i++) {
        mutate.random = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        if (!make_log())
            continue;
        for (uint64_t k = 0; k < changes; k++)
            play();
    }
    char command[ROOT_BYTES + 16];
    snprintf(command, sizeof command, "rm -rf %s", mutate.root);
    must(system(command) == 0);
    printf("%u changed logs recovered as the format says, %u refused\n", mutate.recovered, mutate.refused);
    return mutate.recovered == 0 || mutate.refused == 0;
}
