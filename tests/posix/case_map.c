/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_map.c — mmap before and after writes, msync, private and read-only mappings.
 */
#include "cases.h"

#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static size_t whole_pages(void)
{
    return ((size_t)subject_size + PAGE - 1) / PAGE * PAGE;
}

static void map_after_write(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes + 1, 5000, 3000));
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ, MAP_SHARED, fd, 0));
    SHOW_BYTES(map, subject_size);
    SHOW(fd);
    CALL(nvx.munmap(map, whole_pages()));
    CALL(nvx.close(fd));
}

static void write_after_map(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ, MAP_SHARED, fd, 0));
    for (int i = 0; i < 6; i++) {
        CALL(nvx.pwrite(fd, bytes + i, 3000, 2500 * i));
        SHOW_BYTES(map, subject_size);
        if (i % 2)
            CALL(nvx.fsync(fd));
    }
    CALL(nvx.write(fd, bytes + 77, 700));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.close(fd));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.munmap(map, whole_pages()));
}

static void store_and_read(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    nvx.memcpy(map + 100, bytes + 5, 6000);
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 9, 300, 200));
    SHOW_BYTES(map, subject_size);
    nvx.memset(map + 5000, 'x', 3000);
    SHOW(fd);
    CALL(nvx.msync(map, whole_pages(), MS_SYNC));
    nvx.memset(map + 9000, 'y', 10);
    CALL(nvx.fsync(fd));
    SHOW(fd);
    CALL(nvx.msync(map, whole_pages(), MS_ASYNC));
    CALL(nvx.munmap(map, whole_pages()));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 9, 300, 2000));
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void close_before_store(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CALL(nvx.close(fd));
    nvx.memcpy(map + 1000, bytes + 5, 6000);
    CALL(nvx.msync(map, PAGE, MS_SYNC));
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 6, 6000, 4000));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.munmap(map, whole_pages()));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void private_mapping(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    memset(map + 100, 'p', 5000);
    SHOW(fd);
    SHOW_BYTES(map, subject_size);
    CALL(nvx.pwrite(fd, bytes + 9, 10, 50));
    CALL(nvx.fsync(fd));
    CALL(nvx.munmap(map, whole_pages()));
    SHOW(fd);
    CALL(nvx.close(fd));
}

static void part_of_file(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PAGE));
    SHOW_BYTES(map, 2 * PAGE);
    nvx.memset(map + PAGE - 5, 'z', 10);
    CALL(nvx.pwrite(fd, bytes, 100, 2 * PAGE));
    CALL(nvx.munmap(map, PAGE));
    SHOW_BYTES(map + PAGE, PAGE);
    CALL(nvx.munmap(map + PAGE, PAGE));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* A mapping beyond the end shows what the file grows by. */
static void grow_under_mapping(void)
{
    int fd = subject();
    size_t len = whole_pages() + (size_t)16 * PAGE;
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CALL(nvx.pwrite(fd, bytes + 1, 20000, subject_size));
    SHOW_BYTES(map, subject_size + 20000);
    CALL(nvx.ftruncate(fd, subject_size + 30000));
    nvx.memset(map + subject_size + 25000, 'g', 100);
    SHOW(fd);
    CALL(nvx.ftruncate(fd, subject_size - 100));
    CALL(nvx.ftruncate(fd, subject_size + 50));
    SHOW_BYTES(map, subject_size + 50);
    SHOW(fd);
    CALL(nvx.munmap(map, len));
    CALL(nvx.close(fd));
}

/* Reads into and writes out of a mapping of the same file. */
static void own_mapping_as_buffer(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, whole_pages(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CALL(nvx.pwrite(fd, map + 100, 3000, 9000));
    SHOW(fd);
    CALL(nvx.pread(fd, map + 12288, 4096, 0));
    SHOW(fd);
    CALL(nvx.pwrite(fd, map, PAGE, subject_size));
    SHOW(fd);
    CALL(nvx.munmap(map, whole_pages()));
    CALL(nvx.close(fd));
}

static void two_mappings(void)
{
    int fd = subject();
    uint8_t *a, *b;
    CALL_POINTER(a = nvx.mmap(NULL, whole_pages(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    int other = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL_POINTER(b = nvx.mmap(NULL, whole_pages(), PROT_READ, MAP_SHARED, other, 0));
    nvx.memset(a + 77, 'a', 7000);
    SHOW_BYTES(b, subject_size);
    CALL(nvx.pwrite(fd, bytes + 4, 700, 77));
    SHOW_BYTES(b, subject_size);
    CALL(nvx.munmap(a, whole_pages()));
    CALL(nvx.pwrite(fd, bytes + 5, 700, 7777));
    SHOW_BYTES(b, subject_size);
    CALL(nvx.close(fd));
    SHOW(other);
    CALL(nvx.close(other));
    CALL(nvx.munmap(b, whole_pages()));
}

static void bad_maps(void)
{
    int fd = subject();
    CALL_POINTER(nvx.mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0));
    CALL_POINTER(nvx.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100));
    CALL_POINTER(nvx.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, -1, 0));
    CALL_POINTER(nvx.mmap(NULL, PAGE, PROT_READ, 0, fd, 0));
    CALL_POINTER(nvx.mmap((void *)5, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
    CALL_POINTER(nvx.mmap(NULL, SIZE_MAX - PAGE, PROT_READ, MAP_SHARED, fd, 0));
    CALL_POINTER(nvx.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, -PAGE));
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CALL(nvx.msync(map + 1, PAGE, MS_SYNC));
    CALL(nvx.msync(map, PAGE, MS_SYNC | MS_ASYNC));
    CALL(nvx.msync(map, PAGE, 0x100));
    CALL(nvx.msync(map, 0, MS_SYNC));
    CALL(nvx.msync(map, PAGE, 0));
    CALL(nvx.msync(map, PAGE, MS_INVALIDATE));
    CALL(nvx.munmap(map + 1, PAGE));
    CALL(nvx.munmap(map, 0));
    CALL(nvx.munmap(map + PAGE, PAGE));
    CALL(nvx.msync(map, (size_t)2 * PAGE, MS_SYNC));
    CALL(nvx.munmap(map, PAGE));
    CALL(nvx.msync(map, PAGE, MS_SYNC));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* The kernel moves the mapping. */
static void remapped(void)
{
    int fd = subject();
    uint8_t *map;
    CALL_POINTER(map = mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    map[10] = 1;
    CALL_POINTER(map = mremap(map, (size_t)2 * PAGE, whole_pages(), MREMAP_MAYMOVE));
    map[10000] = 2;
    CALL(nvx.pwrite(fd, bytes, 10, 15000));
    SHOW_BYTES(map, subject_size);
    CALL(mprotect(map, PAGE, PROT_READ));
    CALL(munmap(map, whole_pages()));
    SHOW(fd);
    CALL(nvx.close(fd));
}

const struct posix_case cases_map[] = {
    {"map_after_write", map_after_write, CASE_NV},
    {"write_after_map", write_after_map, CASE_NV},
    {"store_and_read", store_and_read, CASE_NV},
    {"close_before_store", close_before_store, CASE_NV},
    {"private_mapping", private_mapping, CASE_NV},
    {"part_of_file", part_of_file, CASE_NV},
    {"grow_under_mapping", grow_under_mapping, CASE_NV},
    {"own_mapping_as_buffer", own_mapping_as_buffer, CASE_NV},
    {"two_mappings", two_mappings, CASE_NV},
    {"bad_maps", bad_maps, CASE_NV},
    {"remapped", remapped, 0},
    {0},
};
