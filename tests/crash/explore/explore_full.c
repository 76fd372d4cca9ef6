/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore_full.c — a crash state as real files, opened by an application with the whole library (opener.c).
 *
 * The files are other inodes than those of the run, so the headers of their logs are given the new identities and paths, and,
 * unless the boot is the same, a boot id of another boot. All else is as in the image. Afterwards the files must be as the
 * fast path has recovered them, and no log of theirs may have a magic left.
 */
#include "crash/explore/explore_private.h"

#include "log/log.h"
#include "log/log_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FULL_PATH = 512, FULL_FILES = 16 };

/* One comparison. */
struct full {
    const struct explorer *explorer;
    const struct image *image;
    char root[64];
    char path[FULL_FILES][FULL_PATH]; /* of the data files that exist */
    uint32_t number[FULL_FILES];
    unsigned files;
    char text[256];
};

static const char *complain(struct full *full, const char *what, const char *path)
{
    snprintf(full->text, sizeof full->text, "the whole library: %s: %.150s", what, path);
    return full->text;
}

/* ---- writing the image ---- */

/* The path of a name below the new root. */
static bool path_of(const struct full *full, const struct image_name *name, char path[FULL_PATH])
{
    const struct trace *trace = full->image->trace;
    const char *root = "", *directory = name->directory < trace->file_count ? trace->file[name->directory].path : "";
    for (uint32_t i = 0; i < trace->file_count; i++)
        if (trace->file[i].kind == TRACE_FILE_DIRECTORY) { /* the first is the root */
            root = trace->file[i].path;
            break;
        }
    size_t length = strlen(root);
    if (strncmp(directory, root, length) != 0)
        return false;
    return snprintf(path, FULL_PATH, "%s%s/%s", full->root, directory + length, name->text) < FULL_PATH;
}

static void make_parents(char path[FULL_PATH])
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* Writes the file's pages that may hold something. */
static bool write_file(const struct full *full, uint32_t number, char path[FULL_PATH])
{
    const struct image_file *file = &full->image->file[number];
    make_parents(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && ftruncate(fd, (off_t)file->size) == 0;
    for (uint64_t page = image_next_page(full->image, number, 0); good && page * IMAGE_PAGE < file->size;
         page = image_next_page(full->image, number, page + 1)) {
        uint64_t offset = page * IMAGE_PAGE, left = file->size - offset;
        size_t n = left < IMAGE_PAGE ? left : IMAGE_PAGE;
        good = pwrite(fd, file->bytes + offset, n, (off_t)offset) == (ssize_t)n;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

/* The data file that a header means, as an index of full->path; full->files if there is none. */
static unsigned file_of(const struct full *full, const struct log_header *header)
{
    unsigned i = 0;
    while (i < full->files &&
           !log_identity_equal(&full->image->trace->file[full->number[i]].identity, &header->identity))
        i++;
    return i;
}

/* Makes the header name the new file. False: its file does not exist. */
static bool patch_header(const struct full *full, struct log_header *header)
{
    unsigned i = file_of(full, header);
    if (i == full->files)
        return false;
    bool boot_known = header->boot_check == log_boot_check(header->boot_id);
    int fd = open(full->path[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || log_identity_of(fd, &header->identity, NULL) < 0)
        return false;
    close(fd);
    header->check = log_header_check(header->version, header->owner, &header->identity);
    if (!full->explorer->options->same_boot) {
        header->boot_id[1] ^= 1;
        if (boot_known)
            header->boot_check = log_boot_check(header->boot_id);
    }
    snprintf(header->path, sizeof header->path, "%s", full->path[i]);
    return true;
}

/* Reads the header of a log file: whether it has a magic. */
static bool read_header(const char *path, struct log_header *header)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && pread(fd, header, sizeof *header, 0) == (ssize_t)sizeof *header;
    if (fd >= 0)
        close(fd);
    return good && atomic_load(&header->magic) == LOG_MAGIC;
}

static bool patch_log(const struct full *full, const char *path)
{
    struct log_header header;
    if (!read_header(path, &header) || !patch_header(full, &header))
        return true;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && pwrite(fd, &header, sizeof header, 0) == (ssize_t)sizeof header;
    if (fd >= 0)
        close(fd);
    return good;
}

/* Data files, then logs, which need to know them. */
static bool write_image(struct full *full)
{
    for (int logs = 0; logs <= 1; logs++)
        for (uint32_t i = 0; i < full->image->names; i++) {
            const struct image_name *name = &full->image->name[i];
            char path[FULL_PATH];
            if (name->file == IMAGE_NO_FILE || !full->image->file[name->file].bytes ||
                full->image->file[name->file].log != logs)
                continue;
            if (!path_of(full, name, path) || !write_file(full, name->file, path))
                return false;
            if (logs) {
                if (!patch_log(full, path))
                    return false;
            } else if (full->files < FULL_FILES) {
                snprintf(full->path[full->files], FULL_PATH, "%s", path);
                full->number[full->files++] = name->file;
            }
        }
    return true;
}

/* ---- the application ---- */

static const struct explore_file *expected_file(const struct recover_copy *expected, uint32_t number)
{
    for (uint32_t i = 0; i < expected->files; i++)
        if (expected->file[i].file == number)
            return &expected->file[i];
    return NULL;
}

static const char *compare_output(struct full *full, FILE *output, const struct recover_copy *expected)
{
    for (unsigned i = 0; i < full->files; i++) {
        const struct explore_file *wanted = expected_file(expected, full->number[i]);
        uint64_t size;
        if (fread(&size, sizeof size, 1, output) != 1)
            return complain(full, "the opener failed", full->path[i]);
        if (!wanted || !wanted->exists || wanted->size != size)
            return complain(full, "another size", full->path[i]);
        for (uint64_t at = 0; at < size; at++)
            if (getc(output) != wanted->bytes[at])
                return complain(full, "other bytes", full->path[i]);
    }
    return NULL;
}

static const char *run_opener(struct full *full, const struct recover_copy *expected)
{
    char root[sizeof full->root + 16];
    char *arguments[FULL_FILES + 2] = {(char[]){EXPLORE_OPENER}};
    char *environment[] = {root, (char[]){"NVMMIO_CONF=log:stderr,log_level:2"}, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = -1;
    pid_t child;
    snprintf(root, sizeof root, "NVMMIO_ROOT=%s", full->root);
    for (unsigned i = 0; i < full->files; i++)
        arguments[i + 1] = full->path[i];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return complain(full, "no pipe", "");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int error = posix_spawn(&child, EXPLORE_OPENER, &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    if (error || !output)
        return complain(full, "cannot be started", EXPLORE_OPENER);
    const char *wrong = compare_output(full, output, expected);
    fclose(output);
    waitpid(child, &status, 0);
    if (!wrong && status != 0)
        wrong = complain(full, "the opener failed", "");
    return wrong;
}

/* No log of an existing file may be left to recover. */
static const char *check_logs(struct full *full)
{
    struct log_header header;
    char path[FULL_PATH];
    for (uint32_t i = 0; i < full->image->names; i++) {
        const struct image_name *name = &full->image->name[i];
        if (name->file == IMAGE_NO_FILE || !full->image->file[name->file].log || !path_of(full, name, path) ||
            !read_header(path, &header))
            continue;
        const struct log_header *before = (const void *)full->image->file[name->file].bytes;
        if (file_of(full, before) < full->files)
            return complain(full, "a log is left with its magic", path);
    }
    return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

const char *explore_full(const struct explorer *explorer, const struct recover_copy *expected)
{
    static struct full full;
    full = (struct full){.explorer = explorer, .image = &explorer->image};
    snprintf(full.root, sizeof full.root, "/dev/shm/nvmmio-explore-full-XXXXXX");
    if (!mkdtemp(full.root)) {
        perror("explore: mkdtemp");
        exit(2);
    }
    const char *wrong = NULL;
    if (!write_image(&full))
        wrong = complain(&full, "the image cannot be written", full.root);
    if (!wrong)
        wrong = run_opener(&full, expected);
    if (!wrong)
        wrong = check_logs(&full);
    nftw(full.root, remove_entry, FULL_FILES, FTW_DEPTH | FTW_PHYS);
    return wrong;
}
