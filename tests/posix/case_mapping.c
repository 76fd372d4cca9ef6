/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * case_mapping.c — mappings in the midst of other things: behind the end (SIGBUS), moved, cut, replaced, protected,
 * advised, inherited; the file truncated, closed, unlinked, opened anew, mapped by another process.
 */
#include "cases.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, ROOM = 1024 * PAGE };

static uint8_t *map_all(int fd, int prot, int flags)
{
    uint8_t *map;
    CALL_POINTER(map = nvx.mmap(NULL, ROOM, prot, flags, fd, 0));
    return map;
}

/* ---- behind the end ---- */

static sigjmp_buf back;

static void caught(int signal)
{
    siglongjmp(back, signal);
}

/* What a load of the byte does. */
static void touch(int line, const volatile uint8_t *at, const char *what)
{
    struct sigaction action = {.sa_handler = caught}, before;
    sigaction(SIGBUS, &action, &before);
    int signal = sigsetjmp(back, 1);
    if (signal)
        say("%d: %s: %s", line, what, strsignal(signal));
    else
        say("%d: %s: byte %u", line, what, *at);
    sigaction(SIGBUS, &before, NULL);
}
#define TOUCH(at) touch(__LINE__, at, #at)

static size_t end_of_pages(off_t size)
{
    return ((size_t)size + PAGE - 1) / PAGE * PAGE;
}

/* A load behind the page of the end is SIGBUS, whoever moved the end, and none before it is. */
static void behind_the_end(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes, 3000, 2000));
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    size_t end = end_of_pages(subject_size);
    TOUCH(map + subject_size);
    TOUCH(map + end);
    CALL(nvx.pwrite(fd, bytes + 5, 5000, (off_t)end));
    TOUCH(map + end);
    TOUCH(map + end + 4096);
    TOUCH(map + end + 8192);
    CALL(nvx.ftruncate(fd, 5000));
    SHOW(fd);
    TOUCH(map + 4999);
    TOUCH(map + 5000);
    TOUCH(map + 8192);
    TOUCH(map + end);
    CALL(nvx.pwrite(fd, bytes + 7, 100, 6000));
    TOUCH(map + 5500);
    TOUCH(map + 8192);
    CALL(nvx.ftruncate(fd, 30000));
    SHOW_BYTES(map, 30000);
    SHOW(fd);
    CALL(nvx.ftruncate(fd, 0));
    TOUCH(map);
    CALL(nvx.write(fd, bytes, 10));
    TOUCH(map + 9);
    CALL(nvx.munmap(map, ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void truncated_before(void)
{
    int fd = subject();
    CALL(nvx.pwrite(fd, bytes, 7000, 1000));
    CALL(nvx.ftruncate(fd, 4500));
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    SHOW_BYTES(map, 2L * PAGE);
    TOUCH(map + 8192);
    CALL(nvx.ftruncate(fd, 9000));
    SHOW_BYTES(map, 3L * PAGE);
    TOUCH(map + 12288);
    memset(map + 4400, 't', 300);
    SHOW(fd);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void opened_anew(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    CALL(nvx.close(fd));
    memset(map + 10, 'o', 5000);
    fd = CALL(nvx.open(SUBJECT, O_RDWR | O_TRUNC));
    TOUCH(map);
    CALL(nvx.write(fd, bytes + 3, 6000));
    TOUCH(map + 100);
    TOUCH(map + 8192);
    map[200] = 77;
    SHOW_RANGE(fd, 0, 6000);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* ---- parts ---- */

static void cut_in_parts(void)
{
    int fd = subject();
    CALL(nvx.ftruncate(fd, 40000));
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *again;
    CALL(nvx.munmap(map + 2 * PAGE, (size_t)2 * PAGE));
    CALL(nvx.munmap(map + 6 * PAGE, PAGE));
    memset(map + PAGE, 'a', 100);
    memset(map + 5 * PAGE, 'b', 100);
    memset(map + 7 * PAGE, 'c', 100);
    CALL(nvx.pwrite(fd, bytes, 40000, 0));
    SHOW_BYTES(map, 2 * PAGE);
    SHOW_BYTES(map + 4 * PAGE, 2 * PAGE);
    SHOW_BYTES(map + 7 * PAGE, PAGE);
    /* another part of the file into the hole, then over several */
    CALL_POINTER(again = nvx.mmap(map + 2 * PAGE, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                                  7 * PAGE));
    memset(map + 2 * PAGE + 100, 'd', 5000);
    SHOW(fd);
    CALL_POINTER(again = nvx.mmap(map + PAGE, (size_t)5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0));
    CALL(nvx.pwrite(fd, bytes + 9, 40000, 0));
    SHOW_BYTES(again, 5 * PAGE);
    SHOW_BYTES(map, PAGE);
    SHOW_BYTES(map + 7 * PAGE, PAGE);
    CALL(nvx.munmap(map, ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* Memory of nobody takes the place of the mapping; the file goes on without. */
static void covered(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    memset(map + 5, 'c', 5000);
    CALL_POINTER(nvx.mmap(map, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    memset(map, 'x', PAGE);
    CALL(nvx.pwrite(fd, bytes, 300, 100));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    CALL(nvx.pwrite(fd, bytes, 300, 1000));
    SHOW(fd);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.close(fd));
}

/* ---- moved ---- */

static void grown_and_moved(void)
{
    int fd = subject();
    uint8_t *map, *room, *second;
    CALL(nvx.ftruncate(fd, 60000));
    CALL_POINTER(room = nvx.mmap(NULL, (size_t)4 * ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CALL_POINTER(map = nvx.mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE));
    CALL(nvx.close(fd)); /* the mapping alone holds the file */
    CALL_POINTER(map = nvx.mremap(map, (size_t)2 * PAGE, (size_t)6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room));
    memset(map + 5 * PAGE, 'm', 1000);
    fd = CALL(nvx.open(SUBJECT, O_RDWR));
    SHOW(fd);
    CALL(nvx.pwrite(fd, bytes + 1, 30000, 1000));
    SHOW_BYTES(map, 6 * PAGE);
    CALL_POINTER(map = nvx.mremap(map, (size_t)6 * PAGE, PAGE, 0));
    CALL(nvx.pwrite(fd, bytes + 2, 30000, 1000));
    SHOW_BYTES(map, PAGE);
    /* a second mapping of the same pages */
    CALL_POINTER(second = nvx.mremap(map, 0, (size_t)3 * PAGE, MREMAP_MAYMOVE));
    CALL(nvx.munmap(map, PAGE));
    memset(second + PAGE, 's', 100);
    CALL(nvx.pwrite(fd, bytes + 3, 3000, 4000));
    SHOW_BYTES(second, 3 * PAGE);
    SHOW(fd);
    /* the middle page goes elsewhere */
    CALL_POINTER(nvx.mremap(second + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + ROOM));
    CALL(nvx.pwrite(fd, bytes + 4, 20000, 0));
    SHOW_BYTES(second, PAGE);
    SHOW_BYTES(second + 2 * PAGE, PAGE);
    SHOW_BYTES(room + ROOM, PAGE);
    CALL_POINTER(nvx.mremap(room + ROOM, PAGE, PAGE, 0x700));
    CALL(nvx.munmap(second, (size_t)3 * PAGE));
    room[ROOM + 5] = 5;
    CALL(nvx.munmap(room, (size_t)4 * ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void left_behind(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *other;
    CALL_POINTER(other = nvx.mremap(map, ROOM, ROOM, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
    CALL(nvx.pwrite(fd, bytes + 4, 5000, 50));
    SHOW_BYTES(map, subject_size);
    SHOW_BYTES(other, subject_size);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.pwrite(fd, bytes + 6, 5000, 500));
    other[1] = 1;
    SHOW_BYTES(other, subject_size);
    CALL(nvx.munmap(other, ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
}

/* ---- protection, advice ---- */

/* Stores may come through a mapping that was made for reading alone. */
static void made_writable(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ, MAP_SHARED);
    CALL(nvx.pwrite(fd, bytes, 2000, 300));
    CALL(mprotect(map, ROOM, PROT_READ | PROT_WRITE));
    memset(map + 100, 'w', 1000);
    CALL(nvx.fsync(fd));
    SHOW(fd);
    CALL(mprotect(map, PAGE, PROT_NONE));
    CALL(nvx.pwrite(fd, bytes + 1, 2000, 3000));
    SHOW_BYTES(map + PAGE, subject_size - PAGE);
    CALL(mprotect(map, PAGE, PROT_READ));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.msync(map, ROOM, MS_SYNC));
    CALL(nvx.munmap(map, ROOM));
    int reader = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL_POINTER(map = nvx.mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0));
    CALL(mprotect(map, PAGE, PROT_READ | PROT_WRITE));
    CALL(nvx.munmap(map, PAGE));
    CALL(nvx.close(reader));
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void advised(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    memset(map + 300, 'a', 6000);
    CALL(nvx.pwrite(fd, bytes, 3000, 5000));
    CALL(madvise(map, ROOM, MADV_DONTNEED));
    SHOW_BYTES(map, subject_size);
    CALL(madvise(map, ROOM, MADV_SEQUENTIAL));
    CALL(madvise(map + PAGE, PAGE, MADV_REMOVE));
    SHOW_BYTES(map, subject_size);
    SHOW(fd);
    memset(map + PAGE + 7, 'b', 10);
    CALL(nvx.pwrite(fd, bytes, 30, PAGE + 300));
    SHOW(fd);
    CALL(madvise(map + 1, PAGE, MADV_REMOVE));
    CALL(madvise(map, (size_t)3 * PAGE, MADV_REMOVE));
    SHOW(fd);
    CALL(nvx.munmap(map, ROOM));
    map = map_all(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    map[5] = 5;
    CALL(madvise(map, PAGE, MADV_REMOVE));
    CALL(madvise(map, PAGE, MADV_DONTNEED));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.munmap(map, ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* ---- private ---- */

/* Pages of a private mapping that nobody stored to show the file; what was stored is nobody else's. */
static void private_shows(void)
{
    int fd = subject();
    int reader = CALL(nvx.open(SUBJECT, O_RDONLY));
    CALL(nvx.pwrite(fd, bytes + 1, 3000, 100));
    uint8_t *map = map_all(reader, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CALL(nvx.close(reader));
    SHOW_BYTES(map, subject_size);
    map[5000] = 'p';
    CALL(nvx.pwrite(fd, bytes + 2, 12000, 0));
    SHOW_BYTES(map, PAGE);
    say("%u", map[5000]);
    SHOW_BYTES(map + 2 * PAGE, 1000);
    SHOW(fd);
    CALL(nvx.msync(map, ROOM, MS_SYNC));
    CALL(nvx.munmap(map, ROOM));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* ---- processes ---- */

static uint8_t *inherited;

static void child_uses_mapping(int fd)
{
    SHOW_BYTES(inherited, subject_size);
    memset(inherited + 50, 'i', 200);
    CALL(nvx.pwrite(fd, bytes + 8, 100, 5000));
    CALL(nvx.munmap(inherited, PAGE));
    SHOW_BYTES(inherited + PAGE, subject_size - PAGE);
    inherited[subject_size - 1] = 1;
}

static void child_maps(int fd)
{
    (void)fd;
    int own = CALL(nvx.open(SUBJECT, O_RDWR));
    uint8_t *map = map_all(own, PROT_READ | PROT_WRITE, MAP_SHARED);
    CALL(nvx.close(own));
    SHOW_BYTES(map, subject_size);
    memset(map + 4000, 'k', 200);
}

static void fork_inherits(void)
{
    int fd = subject();
    CALL(nvx.write(fd, bytes, 4000));
    inherited = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    in_child(child_uses_mapping, fd);
    SHOW(fd);
    SHOW_BYTES(inherited, subject_size);
    in_child(child_maps, fd);
    SHOW_BYTES(inherited, subject_size);
    CALL(nvx.pwrite(fd, bytes + 3, 100, 4100));
    SHOW_BYTES(inherited, subject_size);
    CALL(nvx.munmap(inherited, ROOM));
    in_child(child_maps, fd);
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* The child has the mapping alone, closed and unmapped by its parent, who goes on writing. */
static void outlived(void)
{
    int fd = subject(), ask[2], answer[2];
    char word = 0;
    CALL(pipe(ask) | pipe(answer));
    inherited = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        nvx.close(fd);
        close(ask[1]);
        while (read(ask[0], &word, 1) == 1) {
            inherited[100] = (uint8_t)word;
            word = (char)inherited[200];
            if (write(answer[1], &word, 1) != 1)
                break;
        }
        end_child();
    }
    CALL(nvx.munmap(inherited, ROOM));
    for (int i = 0; i < 5; i++) {
        CALL(nvx.pwrite(fd, bytes + i, 300, i % 2 ? 150 : 200));
        word = (char)('a' + i);
        CALL(write(ask[1], &word, 1));
        CALL(read(answer[0], &word, 1));
        say("%d", word);
        SHOW(fd);
        if (i % 2)
            CALL(nvx.fsync(fd));
    }
    close(ask[1]);
    waitpid(child, NULL, 0);
    close(ask[0]);
    close(answer[0]);
    close(answer[1]);
    CALL(nvx.pwrite(fd, bytes + 3, 100, 4100));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void unlinked(void)
{
    int fd = subject();
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    CALL(unlink(SUBJECT));
    CALL(nvx.pwrite(fd, bytes, 3000, 70));
    memset(map + 3000, 'u', 100);
    SHOW(fd);
    CALL(nvx.close(fd));
    map[7] = 7;
    SHOW_BYTES(map, subject_size);
    fd = CALL(nvx.open(SUBJECT, O_RDWR | O_CREAT, 0600)); /* another file of that name */
    CALL(nvx.write(fd, bytes, 100));
    SHOW(fd);
    SHOW_BYTES(map, subject_size);
    CALL(nvx.msync(map, ROOM, MS_SYNC));
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.close(fd));
}

/* Mapped and unmapped over and over, with writes in between. */
static void over_and_over(void)
{
    int fd = subject();
    for (int i = 0; i < 12; i++) {
        uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, i % 3 ? MAP_SHARED : MAP_PRIVATE);
        CALL(nvx.pwrite(fd, bytes + i, 3000, 700 * i));
        map[900 * i] = (uint8_t)i;
        SHOW_BYTES(map, subject_size);
        CALL(nvx.munmap(map, ROOM));
        CALL(nvx.pwrite(fd, bytes + i, 3000, 600 * i));
        if (i % 4 == 1)
            CALL(nvx.fsync(fd));
        SHOW(fd);
    }
    CALL(nvx.close(fd));
    look(SUBJECT);
}

/* Further than the library maps a file. */
static void far_away(void)
{
    int fd = subject();
    const off_t there = (off_t)5 << 40;
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    CALL(nvx.pwrite(fd, bytes, 100, there));
    SHOW_RANGE(fd, there, 100);
    map[5] = 'f';
    CALL(nvx.pwrite(fd, bytes, 100, 50));
    SHOW_BYTES(map, subject_size);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.pwrite(fd, bytes + 3, 100, there + 50));
    SHOW_RANGE(fd, there, 200);
    CALL(nvx.ftruncate(fd, subject_size));
    SHOW(fd);
    CALL(nvx.close(fd));
    look(SUBJECT);
}

static void appended(void)
{
    int fd = subject();
    int end = CALL(nvx.open(SUBJECT, O_RDWR | O_APPEND));
    uint8_t *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    off_t size = subject_size;
    for (int i = 0; i < 10; i++) {
        CALL(nvx.write(end, bytes + i, 1111));
        size += 1111;
        map[size - 5] = (uint8_t)i;
        SHOW_BYTES(map, size);
    }
    SHOW(fd);
    CALL(nvx.munmap(map, ROOM));
    CALL(nvx.close(end));
    CALL(nvx.close(fd));
    look(SUBJECT);
}

const struct posix_case cases_mapping[] = {
    {"behind_the_end", behind_the_end, CASE_NV},
    {"truncated_before", truncated_before, CASE_NV},
    {"opened_anew", opened_anew, CASE_NV},
    {"cut_in_parts", cut_in_parts, CASE_NV},
    {"covered", covered, CASE_NV},
    {"grown_and_moved", grown_and_moved, CASE_NV},
    {"left_behind", left_behind, CASE_NV},
    {"made_writable", made_writable, CASE_NV},
    {"advised", advised, 0},
    {"private_shows", private_shows, CASE_NV},
    {"fork_inherits", fork_inherits, CASE_NV},
    {"outlived", outlived, CASE_NV},
    {"unlinked", unlinked, CASE_NV},
    {"over_and_over", over_and_over, CASE_NV},
    {"far_away", far_away, CASE_NV},
    {"appended", appended, CASE_NV},
    {0},
};
