/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * replay.c — a main program around a fuzz target, for every compiler: runs the given files and those of directories, and
 * `--random N` inputs that it makes of them: changed bytes, cut, joined.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MOST 4096u
#define FILES_MOST 1024u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    size_t size;
    uint8_t bytes[INPUT_MOST];
};

static struct {
    struct input *file[FILES_MOST];
    unsigned files;
    uint64_t random;
    const struct input *now; /* what runs */
} replay = {.random = 88172645463325252};

/* Keeps the input that failed. */
static void keep(int signal)
{
    static const char path[] = "failed-input";
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, replay.now->bytes, replay.now->size) == (ssize_t)replay.now->size)
        dprintf(STDERR_FILENO, "the input is in %s\n", path);
    _exit(128 + signal);
}

static void run(const struct input *input)
{
    replay.now = input;
    LLVMFuzzerTestOneInput(input->bytes, input->size);
}

static uint64_t rnd(uint64_t below)
{
    replay.random ^= replay.random << 13;
    replay.random ^= replay.random >> 7;
    replay.random ^= replay.random << 17;
    return (replay.random >> 11) % below;
}

static void read_input(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    struct input *input = calloc(1, sizeof *input);
    ssize_t n = read(fd, input->bytes, sizeof input->bytes);
    if (n < 0 || replay.files == FILES_MOST) {
        perror(name);
        exit(2);
    }
    close(fd);
    input->size = (size_t)n;
    replay.file[replay.files++] = input;
}

/* A file, or a directory of files. */
static void read_argument(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        read_input(AT_FDCWD, path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            read_input(dirfd(dir), entry->d_name);
    closedir(dir);
}

/* An input that is a changed one of the files. */
static void change(struct input *out)
{
    *out = *replay.file[rnd(replay.files)];
    const struct input *other = replay.file[rnd(replay.files)];
    uint64_t cut = rnd(out->size + 1);
    switch (rnd(4)) {
    case 0:
        out->size = cut;
        break;
    case 1: /* the one's beginning and the other's end */
        if (other->size > cut) {
            memcpy(out->bytes + cut, other->bytes + cut, other->size - cut);
            out->size = other->size;
        }
        break;
    default:
        for (uint64_t i = rnd(6) + 1; i && out->size; i--)
            out->bytes[rnd(out->size)] = (uint8_t)(rnd(3) ? rnd(16) : rnd(256));
    }
}

int main(int argc, char **argv)
{
    unsigned long random = 0, runs = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--random") && i + 1 < argc)
            random = strtoul(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            replay.random ^= strtoull(argv[++i], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15);
        else
            read_argument(argv[i]);
    }
    if (!replay.files) {
        fprintf(stderr, "usage: %s [--random N] [--seed S] FILE|DIRECTORY...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, keep);
    for (unsigned i = 0; i < replay.files; i++, runs++)
        run(replay.file[i]);
    for (struct input input; random; random--, runs++) {
        change(&input);
        run(&input);
    }
    printf("ok: %lu inputs, %u of them from files\n", runs, replay.files);
    return 0;
}
