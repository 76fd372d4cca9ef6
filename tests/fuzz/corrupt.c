/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * corrupt.c — damaged logs, one by one: every bit of header and entries flipped, entries exchanged and doubled, impossible
 * numbers, logs cut at every 64 bytes, other things in a log's place, and what an application's open gets then, in the same
 * boot and in the next. Each recovery is compared with reference.h. Prints what a flipped bit does, by field.
 *
 * With --plant the reference is told a wrong epoch: the test must fail.
 */
#include "fuzz/world.h"

#include "base/mem.h"
#include "base/rawsys.h"
#include "log/log_recover.h"
#include "log/volume_private.h"
#include "uma/uma_private.h"
#include "unit/log_image.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ALL (~UINT64_C(0))
#define FIRST LOG_FIRST_BLOCK
#define CHILD_SECONDS 20
#define SLOWEST_SECONDS 10
#define MEMORY_MOST (1u << 20)

static struct {
    bool plant;
    char messages[WORLD_PATH + 16];
} test;

/* ---- a log like one that writers have left ---- */

enum used_entry {
    USED_FRESH,      /* one committed record */
    USED_CHAINED,    /* two committed records */
    USED_IN_FLIGHT,  /* the newer record is not committed */
    USED_RELOCATED,  /* superseded by ... */
    USED_RELOCATION, /* ... this one */
    USED_UNCOMMITTED,
    USED_ENTRIES,
};

static void put(struct world *w, unsigned i, uint64_t block, uint64_t seq, unsigned r, uint64_t base, uint64_t flip,
                uint64_t epoch)
{
    image_name_entry(&w->entry[i], FIRST + i, block, seq);
    w->entry[i].record[r].base = base;
    w->entry[i].record[r].flip = flip;
    w->entry[i].record[r].epoch = epoch;
}

static void begin(struct world *w, bool same_boot)
{
    world_begin(w, 20000);
    w->header.size[0] = 19000; /* committed */
    w->header.size[1] = 18000;
    w->header.newest_size = same_boot ? 21000 : 19000;
    if (!same_boot)
        w->header.boot_id[1] ^= 4;
    image_seal_header(&w->header);
    put(w, USED_FRESH, 0, 1, 0, 0, 0xff0ff0, 9);
    put(w, USED_CHAINED, 1, 2, 0, 0, 0xffff, 8);
    put(w, USED_CHAINED, 1, 2, 1, 0xffff, 0xff, 9);
    put(w, USED_IN_FLIGHT, 2, 3, 0, 0xf, 0xf0f0, 10);
    put(w, USED_IN_FLIGHT, 2, 3, 1, 0, 0xf, 9);
    put(w, USED_RELOCATED, 3, 4, 0, 0, 0xff00, 7);
    put(w, USED_RELOCATION, 3, 5, 0, 0, 0xffffff00, 9);
    put(w, USED_UNCOMMITTED, 4, 6, 0, 0, ALL, 10);
}

/* ---- one recovery ---- */

/* Plants and recovers the log: what the reference says comes of it, in *want. */
static void recover(struct world *w, struct reference *want)
{
    struct log log;
    struct log_recovery got;
    world_plant(w);
    if (test.plant)
        w->header.epoch--;
    world_expect(w, want);
    world_recover(w, want, &log, &got);
    log_close(&log);
    if (want->error) {
        world_check_untouched(w);
        world_check_log_kept(w);
    } else {
        world_check(got.size == want->size && got.entries == want->entries && got.lines == want->lines);
        world_check_file(w, want);
    }
}

static void refused(struct world *w, int error)
{
    static struct reference want;
    recover(w, &want);
    world_check(want.error == error);
}

/* ---- children: each is a new process to the library ---- */

/* Runs `body` in a child; its exit status 0. */
static void in_child(void (*body)(struct world *w), struct world *w)
{
    int status;
    pid_t child = fork();
    world_check(child >= 0);
    if (!child) {
        alarm(CHILD_SECONDS);
        signal(SIGABRT, SIG_DFL);
        body(w);
        _exit(0);
    }
    world_check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define child_check(condition) ((condition) ? (void)0 : child_failed(__LINE__, #condition))
static void __attribute__((noreturn)) child_failed(int line, const char *condition)
{
    fprintf(stderr, "corrupt.c:%d: in a child: not so: %s\n", line, condition);
    _exit(1);
}

static int open_file(const struct world *w, struct uma **uma)
{
    int fd = open(w->path, O_RDWR | O_CLOEXEC);
    child_check(fd >= 0);
    return uma_open(fd, O_RDWR, NULL, uma);
}

/* Opens the file: EIO, and again, and nobody has changed anything. */
static void body_refused(struct world *w)
{
    struct uma *uma;
    for (unsigned i = 0; i < 2; i++)
        child_check(open_file(w, &uma) == -EIO && uma == NULL);
    uma_exit();
}

static void body_opens(struct world *w)
{
    struct uma *uma;
    child_check(open_file(w, &uma) == 0 && uma);
    uma_exit();
}

/* Enters the log into the table, as the process that has died had done. */
static void body_register(struct world *w)
{
    struct statx stx;
    child_check(sys_statx(w->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
    struct volume *volume = volume_of(w->fd, &stx);
    child_check(volume && volume_lock_inode(volume, w->ino) == 0);
    child_check(volume_register_log(volume, w->ino, w->id) == 0);
    volume_unlock_inode(volume, w->ino);
    volume_exit();
}

static void path_in_volume(const struct world *w, const char *name, char *path)
{
    sprintf(path, "%s/.nvmmio/%u/%s", w->root, (unsigned)geteuid(), name);
}

/* As after a boot: the table begins anew. */
static void forget_table(const struct world *w)
{
    char path[WORLD_PATH + 64];
    path_in_volume(w, "table", path);
    unlink(path);
}

/* What the library has said since the last call names the log, as a warning or an error. */
static void said_so(const struct world *w)
{
    char text[8192] = "", name[LOG_NAME_BYTES];
    log_name_format(w->id, name);
    int fd = open(test.messages, O_RDONLY | O_CLOEXEC);
    world_check(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    unlink(test.messages);
    world_check(strstr(text, name) && (strstr(text, "warning: ") || strstr(text, "error: ")));
}

/* ---- flipped bits ---- */

enum outcome { REFUSED, HARMLESS, WRONG, OUTCOMES };

struct field {
    const char *name;
    size_t from, to; /* bytes of the header, or of an entry */
    bool guarded;    /* a flip is never wrong */
    unsigned count[OUTCOMES];
};

static struct field header_fields[] = {
    {"magic", 0, 8, true, {0}},
    {"version, owner", 8, 16, true, {0}},
    {"boot_id, its check", 16, 32, true, {0}},
    {"boot_check", 40, 48, true, {0}},
    {"flags", 32, 40, true, {0}},
    {"identity, check", 64, 120, true, {0}},
    {"size in force", 128, 136, true, {0}},
    {"size not in force", 136, 144, true, {0}},
    {"epoch", 144, 152, true, {0}},
    {"floor", 152, 160, true, {0}},
    {"checks of size, floor", 160, 192, true, {0}},
    {"newest_size", 192, 200, true, {0}},
    {"index words", 200, 224, true, {0}},
    {"check of newest_size", 224, 240, true, {0}},
    {"path", 512, 512 + 32, true, {0}},
};
static struct field entry_fields[] = {
    {"block", 0, 8, true, {0}},
    {"seq", 8, 16, true, {0}},
    {"record 0 base", 16, 24, false, {0}},
    {"record 0 flip", 24, 32, false, {0}},
    {"record 0 epoch", 32, 40, false, {0}},
    {"record 1 base", 40, 48, false, {0}},
    {"record 1 flip", 48, 56, false, {0}},
    {"record 1 epoch", 56, 64, false, {0}},
};

/* Recovers with one bit flipped: what came of it beside what the whole log gives. */
static enum outcome flip(struct world *w, bool same_boot, uint8_t *at, unsigned bit, const struct reference *whole)
{
    static struct reference want;
    *at ^= (uint8_t)(1u << bit);
    recover(w, &want);
    begin(w, same_boot);
    if (want.error)
        return REFUSED;
    return want.size == whole->size && memcmp(want.file, whole->file, sizeof want.file) == 0 ? HARMLESS : WRONG;
}

static void flip_field(struct world *w, bool same_boot, struct field *field, uint8_t *base,
                       const struct reference *whole)
{
    for (size_t i = field->from; i < field->to; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            field->count[flip(w, same_boot, base + i, bit, whole)]++;
}

static void print_fields(const char *what, struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned *n = fields[i].count;
        printf("%-8s %-24s %6u refused %6u harmless %6u wrong\n", what, fields[i].name, n[REFUSED], n[HARMLESS],
               n[WRONG]);
        world_check(!fields[i].guarded || n[WRONG] == 0);
        memset(fields[i].count, 0, sizeof fields[i].count);
    }
}

static void test_flips(struct world *w)
{
    static struct reference whole;
    for (unsigned same_boot = 0; same_boot < 2; same_boot++) {
        begin(w, same_boot);
        recover(w, &whole);
        world_check(whole.error == 0 && whole.entries == USED_ENTRIES && whole.promoted == same_boot);
        begin(w, same_boot);
        for (size_t f = 0; f < sizeof header_fields / sizeof *header_fields; f++)
            flip_field(w, same_boot, &header_fields[f], (uint8_t *)&w->header, &whole);
        for (size_t f = 0; f < sizeof entry_fields / sizeof *entry_fields; f++)
            for (unsigned e = 0; e < USED_ENTRIES; e++)
                flip_field(w, same_boot, &entry_fields[f], (uint8_t *)&w->entry[e], &whole);
        printf("one flipped bit, %s:\n", same_boot ? "after the death of a process" : "after a boot");
        print_fields("header", header_fields, sizeof header_fields / sizeof *header_fields);
        print_fields("entry", entry_fields, sizeof entry_fields / sizeof *entry_fields);
    }
}

/* ---- impossible logs ---- */

static void test_entries(struct world *w)
{
    for (unsigned a = 0; a < USED_ENTRIES; a++)
        for (unsigned b = 0; b < USED_ENTRIES + 2; b++) {
            if (a == b)
                continue;
            begin(w, false); /* exchanged, with whatever was there */
            struct log_entry entry = w->entry[a];
            w->entry[a] = w->entry[b];
            w->entry[b] = entry;
            refused(w, -EBADMSG);
            begin(w, false); /* doubled */
            w->entry[b] = w->entry[a];
            refused(w, -EBADMSG);
            if (b >= USED_ENTRIES)
                continue;
            begin(w, false); /* of one block and order, each with a right check */
            image_name_entry(&w->entry[b], FIRST + b, log_entry_number(w->entry[a].block),
                             log_entry_number(w->entry[a].seq));
            refused(w, -EBADMSG);
        }
}

/* Numbers of blocks: with right checks the last ones lie behind every size and are passed over; with wrong ones, as a
 * stray store leaves them, nothing is believed. */
static void test_blocks(struct world *w)
{
    static struct reference want;
    static const uint64_t blocks[] = {0,
                                      1,
                                      5000,
                                      UINT32_MAX,
                                      UINT64_C(1) << 40,
                                      LOG_NUMBER_MASK - 1,
                                      LOG_NUMBER_MASK,
                                      LOG_NUMBER_MASK + 1,
                                      UINT64_C(1) << 52,
                                      UINT64_C(1) << 63,
                                      ALL};
    for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        begin(w, false);
        w->entry[USED_FRESH].block = blocks[i];
        refused(w, -EBADMSG);
        begin(w, false);
        image_name_entry(&w->entry[USED_FRESH], FIRST + USED_FRESH, blocks[i], 77);
        recover(w, &want);
        world_check(want.error == 0);
    }
    for (unsigned i = 0; i < 4; i++) { /* entries whose log block is not there */
        begin(w, false);
        put(w, WORLD_BLOCKS + i, 9, 1, 0, 0, ALL, 9);
        refused(w, -EBADMSG);
    }
}

static void test_numbers(struct world *w)
{
    static const uint64_t epochs[] = {12, 13, 100, UINT64_C(1) << 32, UINT64_C(1) << 62, INT64_MAX, ALL};
    for (unsigned i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        begin(w, false);
        w->entry[USED_FRESH].record[0].epoch = epochs[i]; /* beyond H + 1 */
        refused(w, -EBADMSG);
        begin(w, false);
        w->header.floor = epochs[i]; /* beyond H + 1, with right checks */
        image_seal_header(&w->header);
        refused(w, -EBADMSG);
        begin(w, false);
        w->header.epoch = epochs[i] + 1 - (epochs[i] & 1); /* the other size's, or no epoch at all: without a check */
        refused(w, -EBADMSG);
    }
    begin(w, false);
    w->header.epoch = 0;
    image_seal_header(&w->header);
    refused(w, -EBADMSG);
    begin(w, false);
    w->header.size[0] = UINT64_C(1) << 63;
    image_seal_header(&w->header);
    refused(w, -EBADMSG);
    begin(w, false);
    w->entry[USED_CHAINED].record[0].epoch = w->entry[USED_CHAINED].record[1].epoch;
    refused(w, -EBADMSG);
    begin(w, false);
    image_name_entry(&w->entry[USED_FRESH], FIRST + USED_FRESH, 0, 0);
    refused(w, -EBADMSG);
}

/* Header, flags and entries of zeros or ones. */
static void test_lines(struct world *w)
{
    for (unsigned line = 0; line < 3; line++)
        for (unsigned fill = 0; fill < 2; fill++) {
            begin(w, false);
            memset((uint8_t *)&w->header + 64 * line, fill ? 0xff : 0, 64);
            refused(w, line == 0 && !fill ? -ENODATA : -EBADMSG);
        }
    for (unsigned e = 0; e < USED_ENTRIES; e++) {
        begin(w, false);
        memset(&w->entry[e], 0xff, sizeof w->entry[e]);
        refused(w, -EBADMSG);
    }
}

/* ---- cut logs ---- */

static void test_cuts(struct world *w)
{
    static struct reference want;
    const uint64_t whole = log_block_offset(FIRST + WORLD_BLOCKS), used = log_block_offset(FIRST + USED_ENTRIES);
    unsigned tried = 0, kept = 0;
    for (uint64_t length = 0; length < whole; length += 64) {
        if (length > LOG_HEADER_BYTES + 64 * WORLD_ENTRIES && length < LOG_ENTRIES_BYTES - 128) {
            length = LOG_ENTRIES_BYTES - 128; /* nothing is there */
            continue;
        }
        begin(w, false);
        w->length = length;
        recover(w, &want);
        world_check(want.error == (length >= used && length % LOG_BLOCK == 0 ? 0 : -EBADMSG));
        tried++;
        kept += want.error == 0;
    }
    printf("cut at %u places: %u refused, %u behind all blocks in use\n", tried, tried - kept, kept);
}

/* A log that is far longer than its blocks, one whose growth into a second group was interrupted, and one that is cut there:
 * time and memory stay bounded. */
static void test_lengths(struct world *w)
{
    static const struct {
        uint64_t length;
        int error;
    } cases[] = {
        {UINT64_C(1) << 30, 0},
        {UINT64_C(1) << 40, 0},
        {UINT64_C(1) << 60, 0},
        {(UINT64_C(1) << 40) + 1, -EBADMSG},
        {LOG_GROUP_BYTES, 0},
        {LOG_GROUP_BYTES + 5 * LOG_ENTRY_BYTES, 0}, /* entries, no blocks yet */
        {LOG_GROUP_BYTES + LOG_ENTRIES_BYTES, 0},
        {LOG_GROUP_BYTES + 5 * LOG_ENTRY_BYTES + 1, -EBADMSG},
        {LOG_GROUP_BYTES + LOG_ENTRIES_BYTES + 64, -EBADMSG},
        {LOG_GROUP_BYTES - 64, -EBADMSG},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct log log;
        struct timespec from, to;
        begin(w, false);
        w->length = cases[i].length;
        world_plant(w);
        size_t memory = mem_allocated();
        world_check(log_open(&log, w->dirfd, w->id, geteuid()) == 0 && log_map(&log, PM_MAP_SYNC_NEVER) == 0);
        clock_gettime(CLOCK_MONOTONIC, &from);
        world_check(log_recover(&log, w->fd, NULL) == cases[i].error);
        clock_gettime(CLOCK_MONOTONIC, &to);
        log_close(&log);
        world_check(to.tv_sec - from.tv_sec < SLOWEST_SECONDS);
        world_check(mem_allocated() <= memory + MEMORY_MOST);
    }
}

/* ---- what an open gets ---- */

/* Damage and what it leaves known. */
struct damage {
    const char *what;
    void (*make)(struct world *w);
    bool found_after_boot; /* whose log it is can still be told without the table */
};

static void damage_magic(struct world *w)
{
    w->header.magic ^= 1 << 9;
}
static void damage_line0(struct world *w)
{
    memset(&w->header, 0, 64);
}
static void damage_page(struct world *w)
{
    memset(&w->header, 0, sizeof w->header);
}
static void damage_version(struct world *w)
{
    w->header.version++;
}
static void damage_ino(struct world *w)
{
    w->header.identity.ino ^= 1 << 20;
}
static void damage_epoch(struct world *w)
{
    w->header.epoch ^= 1;
}
static void damage_size(struct world *w)
{
    w->header.size[0] ^= 1 << 12;
}
static void damage_entry(struct world *w)
{
    w->entry[USED_FRESH].block ^= 1;
}
static void damage_cut(struct world *w)
{
    w->length = 640;
}
static void damage_cut_blocks(struct world *w)
{
    w->length = log_block_offset(FIRST + 1);
}
static void damage_empty(struct world *w)
{
    w->length = 0;
}

static const struct damage damages[] = {
    {"magic", damage_magic, true},
    {"line 0 lost", damage_line0, false},
    {"header page lost", damage_page, false},
    {"another version", damage_version, true},
    {"inode number", damage_ino, true},
    {"epoch", damage_epoch, true},
    {"size", damage_size, true},
    {"an entry", damage_entry, true},
    {"cut in the path", damage_cut, true},
    {"cut in the blocks", damage_cut_blocks, true},
    {"cut to nothing", damage_empty, false},
};

static void remove_log(struct world *w)
{
    char name[LOG_NAME_BYTES];
    log_name_format(w->id, name);
    unlinkat(w->dirfd, name, 0);
    unlinkat(w->dirfd, name, AT_REMOVEDIR);
}

/* The open fails, file and log stay, a message names the log; when somebody has removed the log the file opens as it is. */
static void test_open_damaged(struct world *w)
{
    for (unsigned i = 0; i < sizeof damages / sizeof *damages; i++)
        for (unsigned boot = 0; boot < 2; boot++) {
            begin(w, !boot);
            damages[i].make(w);
            forget_table(w);
            remove_log(w);
            if (!boot)
                in_child(body_register, w);
            world_plant(w);
            unlink(test.messages);
            bool found = !boot || damages[i].found_after_boot;
            in_child(found ? body_refused : body_opens, w);
            said_so(w);
            world_check_log_kept(w);
            world_check_untouched(w);
            if (found) {
                remove_log(w);
                in_child(body_opens, w);
                world_check_untouched(w);
            }
            world_check_bystanders(w);
        }
}

/* ---- something else in the log's place ---- */

static void plant_directory(struct world *w, const char *name)
{
    world_check(mkdirat(w->dirfd, name, 0700) == 0);
}
static void plant_fifo(struct world *w, const char *name)
{
    world_check(mkfifoat(w->dirfd, name, 0600) == 0);
}
static void plant_symlink(struct world *w, const char *name)
{
    world_check(symlinkat("../../bystander", w->dirfd, name) == 0);
}
static void plant_hard_link(struct world *w, const char *name)
{
    world_check(linkat(AT_FDCWD, w->path, w->dirfd, name, 0) == 0);
}
static void plant_mode(struct world *w, const char *name)
{
    world_plant(w);
    world_check(fchmodat(w->dirfd, name, 0644, 0) == 0);
}
static void plant_owner(struct world *w, const char *name)
{
    world_plant(w);
    world_check(geteuid() != 0 || fchownat(w->dirfd, name, 12345, -1, 0) == 0);
}
static void plant_empty(struct world *w, const char *name)
{
    (void)w;
    int fd = openat(w->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    world_check(fd >= 0 && ftruncate(fd, 1000) == 0); /* a hole */
    close(fd);
}

static void test_other_things(struct world *w)
{
    static void (*const plant[])(struct world *, const char *) = {
        plant_directory, plant_fifo, plant_symlink, plant_hard_link, plant_mode, plant_owner, plant_empty};
    char name[LOG_NAME_BYTES];
    log_name_format(w->id, name);
    for (unsigned i = 0; i < sizeof plant / sizeof *plant; i++) {
        struct stat before, after;
        if (plant[i] == plant_owner && geteuid() != 0)
            continue;
        begin(w, true);
        forget_table(w);
        remove_log(w);
        in_child(body_register, w);
        world_plant(w);
        remove_log(w);
        plant[i](w, name);
        unlink(test.messages);
        world_check(fstatat(w->dirfd, name, &before, AT_SYMLINK_NOFOLLOW) == 0);
        in_child(body_refused, w);
        said_so(w);
        world_check(fstatat(w->dirfd, name, &after, AT_SYMLINK_NOFOLLOW) == 0);
        world_check(before.st_ino == after.st_ino && before.st_mode == after.st_mode &&
                    before.st_size == after.st_size);
        world_check_untouched(w);
        remove_log(w);
        in_child(body_opens, w);
        world_check_untouched(w);
        world_check_bystanders(w);
    }
}

/* The log is whole: the control for all that is above. */
static void test_whole(struct world *w)
{
    static struct reference want;
    for (unsigned boot = 0; boot < 2; boot++) {
        begin(w, !boot);
        forget_table(w);
        remove_log(w);
        if (!boot)
            in_child(body_register, w);
        world_plant(w);
        world_expect(w, &want);
        in_child(body_opens, w);
        world_check_file(w, &want);
        world_check(!world_log_exists(w));
    }
}

static void stop(int signal)
{
    _exit(128 + signal); /* for ctest, to which a signal is not the failure that it waits for */
}

int main(int argc, char **argv)
{
    signal(SIGABRT, stop);
    test.plant = argc > 1 && !strcmp(argv[1], "--plant");
    struct world *w = world_get();
    char conf[WORLD_PATH + 64];
    snprintf(test.messages, sizeof test.messages, "%s/messages", w->root);
    snprintf(conf, sizeof conf, "pool:0,log:%s", test.messages);
    setenv("NVMMIO_CONF", conf, 1);
    setenv("NVMMIO_ROOT", w->root, 1);
    test_whole(w);
    test_open_damaged(w);
    test_other_things(w);
    test_flips(w);
    test_entries(w);
    test_blocks(w);
    test_numbers(w);
    test_lines(w);
    test_cuts(w);
    test_lengths(w);
    printf("ok\n");
    return 0;
}
