/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * file_copy.c — nvmemcpy, nvmemmove, nvmemset, nvmemcmp, nvstrcmp, nvstrlen: memory functions whose ends may lie in mapped
 * managed files. Layer file.
 *
 * The ranges are walked in pieces, each wholly inside one mapping or outside all. A destination in a mapping is written
 * through its uma, never beyond the end of the file; a source in one is read through its uma.
 */
#include "file/file_private.h"

#include "base/mem.h"
#include "pm/pm.h"

#include <errno.h>
#include <string.h>

#define COPY_BOUNCE ((size_t)64 << 10)
#define COPY_SMALL 256u
#define COPY_PAGE UINT64_C(4096)

/* Room between a source and a destination: some on the stack, more from the heap. */
struct bounce {
    char small[COPY_SMALL];
    char *large; /* COPY_BOUNCE bytes or NULL */
};

static char *bounce_get(struct bounce *bounce, size_t n, size_t *size)
{
    if (n > COPY_SMALL && !bounce->large)
        bounce->large = mem_alloc(COPY_BOUNCE);
    bool large = n > COPY_SMALL && bounce->large;
    size_t most = large ? COPY_BOUNCE : COPY_SMALL;
    *size = n < most ? n : most;
    return large ? bounce->large : bounce->small;
}

static void bounce_free(struct bounce *bounce)
{
    mem_free(bounce->large, COPY_BOUNCE);
}

/* A piece of memory: in a mapping (uma) or not. */
struct piece {
    struct uma *uma;
    uint64_t offset;
    size_t length;
    bool writable;
};

/* What lies at addr; within a read section. */
static struct piece piece_at(const void *addr, size_t n)
{
    struct uma_place place;
    struct piece piece = {.uma = uma_at(addr, &place), .length = n};
    if (place.length && place.length < n)
        piece.length = place.length;
    if (piece.uma) {
        piece.offset = place.offset;
        piece.writable = place.kind & UMA_MAP_WRITABLE;
    }
    return piece;
}

struct copy_call {
    struct file_call call;
    char *memory;    /* plain memory: source of a write, destination of a read */
    char *mapped;    /* the address in the mapping */
    uint64_t offset; /* in the file */
    size_t length;
};

/* ---- writing ---- */

static long write_step(struct file_call *call, enum uma_path path)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (path == UMA_PATH_KERNEL) { /* handed to the kernel since it was mapped: the mapping is all there is */
        pm_copy(copy->mapped, copy->memory, copy->length);
        pm_fence(); /* for others to see it, as a copy in memory */
        return 0;
    }
    uint64_t size = uma_size(call->uma), end;
    if (copy->offset >= size)
        return 0;
    uint64_t length = copy->length < size - copy->offset ? copy->length : size - copy->offset;
    struct iovec iov = {.iov_base = copy->memory, .iov_len = length};
    ssize_t result = uma_write(call->uma, &iov, 1, copy->offset, length, 0, &end);
    if (result < 0)
        return result;
    return (uint64_t)result == length ? 0 : -ENOSPC; /* the one reason for a short write that is not our caller's */
}

static int write_mapped(const struct piece *to, char *dst, const char *src, size_t n)
{
    if (!to->writable)
        return -EACCES;
    struct copy_call copy = {
        .call = {.uma = to->uma, .fd = -1}, .memory = (char *)src, .mapped = dst, .offset = to->offset, .length = n};
    return (int)file_call_run(&copy.call, UMA_INTENT_WRITE, write_step);
}

/* ---- reading ---- */

static long read_step(struct file_call *call, enum uma_path path)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (path == UMA_PATH_KERNEL) {
        memcpy(copy->memory, copy->mapped, copy->length);
        return 0;
    }
    struct iovec iov = {.iov_base = copy->memory, .iov_len = copy->length};
    ssize_t result = uma_read(call->uma, &iov, 1, copy->offset, copy->length);
    if (result < 0)
        return result;
    size_t done = (size_t)result;
    /* As a mapping has it: zeros up to the end of the last page, nothing beyond. */
    uint64_t page_end = (copy->offset + done + COPY_PAGE - 1) & ~(COPY_PAGE - 1);
    size_t zeros = (size_t)(page_end - copy->offset) - done;
    if (zeros > copy->length - done)
        zeros = copy->length - done;
    memset(copy->memory + done, 0, zeros);
    done += zeros;
    memcpy(copy->memory + done, copy->mapped + done, copy->length - done); /* SIGBUS, as a load there */
    return 0;
}

static int read_mapped(const struct piece *from, char *dst, const char *src, size_t n)
{
    struct copy_call copy = {.call = {.uma = from->uma, .fd = -1},
                             .memory = dst,
                             .mapped = (char *)src,
                             .offset = from->offset,
                             .length = n};
    return (int)file_call_run(&copy.call, UMA_INTENT_READ, read_step);
}

/* ---- both ---- */

/* From one mapping to another, as much as the bounce buffer takes: *done. */
static int copy_across(const struct piece *to, const struct piece *from, char *dst, const char *src, size_t n,
                       struct bounce *bounce, size_t *done)
{
    char *between = bounce_get(bounce, n, done);
    int error = read_mapped(from, between, src, *done);
    return error ? error : write_mapped(to, dst, between, *done);
}

static int copy_piece(char *dst, const char *src, size_t n, struct bounce *bounce, size_t *done)
{
    int error = 0;
    rcu_enter();
    struct piece to = piece_at(dst, n), from = piece_at(src, n);
    *done = to.length < from.length ? to.length : from.length;
    if (to.uma && from.uma)
        error = copy_across(&to, &from, dst, src, *done, bounce, done);
    else if (to.uma)
        error = write_mapped(&to, dst, src, *done);
    else if (from.uma)
        error = read_mapped(&from, dst, src, *done);
    else
        memmove(dst, src, *done); /* a step of file_nvmemmove may overlap */
    rcu_leave();
    return error;
}

static bool none_mapped(void)
{
    return !atomic_load_explicit(&file_state.mapped, memory_order_relaxed); /* a mapping's maker knows of it */
}

int file_nvmemcpy(void *dst, const void *src, size_t n)
{
    if (none_mapped()) {
        memcpy(dst, src, n);
        return 0;
    }
    struct bounce bounce;
    bounce.large = NULL;
    int error = 0;
    for (size_t at = 0, done; at < n && !error; at += done)
        error = copy_piece((char *)dst + at, (const char *)src + at, n - at, &bounce, &done);
    bounce_free(&bounce);
    return error;
}

/* Bytes of the page of `end` that lie before it, at most n: what ends there lies in one mapping, or in none. */
static size_t page_back(uintptr_t end, size_t n)
{
    size_t in_page = end % COPY_PAGE ? end % COPY_PAGE : COPY_PAGE;
    return in_page < n ? in_page : n;
}

/* Where the destination begins within the source the last bytes go first, by pieces within pages; what a piece reads is
 * read before it is written. */
int file_nvmemmove(void *dst, const void *src, size_t n)
{
    uintptr_t to = (uintptr_t)dst, from = (uintptr_t)src;
    if (none_mapped()) {
        memmove(dst, src, n);
        return 0;
    }
    if (to <= from || to - from >= n)
        return file_nvmemcpy(dst, src, n);
    struct bounce bounce;
    bounce.large = NULL;
    int error = 0;
    for (size_t left = n, done; left && !error; left -= done) {
        size_t length = page_back(to + left, page_back(from + left, left));
        if (length > COPY_SMALL)
            (void)bounce_get(&bounce, length, &done);
        if (length > COPY_SMALL && !bounce.large)
            length = COPY_SMALL;
        error = copy_piece((char *)dst + left - length, (const char *)src + left - length, length, &bounce, &done);
    }
    bounce_free(&bounce);
    return error;
}

static int set_piece(char *dst, int c, size_t n, struct bounce *bounce, size_t *done)
{
    int error = 0;
    rcu_enter();
    struct piece to = piece_at(dst, n);
    *done = to.length;
    if (to.uma) {
        char *pattern = bounce_get(bounce, to.length, done);
        memset(pattern, c, *done);
        error = write_mapped(&to, dst, pattern, *done);
    } else {
        memset(dst, c, to.length);
    }
    rcu_leave();
    return error;
}

int file_nvmemset(void *dst, int c, size_t n)
{
    if (none_mapped()) {
        memset(dst, c, n);
        return 0;
    }
    struct bounce bounce;
    bounce.large = NULL;
    int error = 0;
    for (size_t at = 0, done; at < n && !error; at += done)
        error = set_piece((char *)dst + at, c, n - at, &bounce, &done);
    bounce_free(&bounce);
    return error;
}

/* ---- comparing ---- */

#define VIEW_BYTES 256u

/* Up to `n` bytes at `at`, at most VIEW_BYTES, in one piece: themselves, or what was read of a mapped file into `room`, as a
 * read has it. A file that cannot be read is looked at through the mapping, where the medium answers for itself (SIGBUS). */
static const char *view(const char *at, size_t n, char *room, size_t *length)
{
    rcu_enter();
    struct piece piece = piece_at(at, n);
    const char *bytes = at;
    *length = piece.length < VIEW_BYTES ? piece.length : VIEW_BYTES;
    if (piece.uma && read_mapped(&piece, room, at, *length) == 0)
        bytes = room;
    rcu_leave();
    return bytes;
}

/* As far as both have bytes, and neither view reaches beyond its page: what is behind may not be there. */
struct pair {
    char room[2][VIEW_BYTES];
    const char *a, *b;
    size_t length;
};

static void pair_view(struct pair *pair, const char *a, const char *b, size_t n)
{
    size_t first, second;
    pair->a = view(a, n, pair->room[0], &first);
    pair->b = view(b, first, pair->room[1], &second);
    pair->length = second;
}

int file_nvmemcmp(const void *a, const void *b, size_t n)
{
    if (none_mapped())
        return memcmp(a, b, n);
    struct pair pair;
    for (size_t at = 0; at < n; at += pair.length) {
        pair_view(&pair, (const char *)a + at, (const char *)b + at, n - at);
        int difference = memcmp(pair.a, pair.b, pair.length);
        if (difference)
            return difference;
    }
    return 0;
}

static size_t page_left(const char *at)
{
    return COPY_PAGE - (uintptr_t)at % COPY_PAGE;
}

size_t file_nvstrlen(const char *s)
{
    if (none_mapped())
        return strlen(s);
    char room[VIEW_BYTES];
    for (size_t at = 0, length;; at += length) {
        const char *bytes = view(s + at, page_left(s + at), room, &length);
        const char *end = memchr(bytes, 0, length);
        if (end)
            return at + (size_t)(end - bytes);
    }
}

int file_nvstrcmp(const char *a, const char *b)
{
    if (none_mapped())
        return strcmp(a, b);
    struct pair pair;
    for (;; a += pair.length, b += pair.length) {
        size_t most = page_left(a) < page_left(b) ? page_left(a) : page_left(b);
        pair_view(&pair, a, b, most);
        const char *end = memchr(pair.a, 0, pair.length);
        int difference = strncmp(pair.a, pair.b, pair.length);
        if (difference || end)
            return difference;
    }
}
