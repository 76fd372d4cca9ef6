/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_region.c — base/region: not in a hole that the program left, two never at one place, and what the kernel refuses.
 */
#include "unit/unit.h"

#include "base/rawsys.h"
#include "base/region.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define HOLE ((size_t)64 << 20)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#define FIXED_NOREPLACE 0x100000

static char *map(size_t length)
{
    char *p = region_map(length, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0);
    assert_false(sys_is_error(p));
    return p;
}

/* The kernel would choose the hole: it does for a mapping without an address. */
static void test_holes(void **state)
{
    (void)state;
    char *hole = mmap(NULL, HOLE, PROT_NONE, ANONYMOUS, -1, 0);
    munmap(hole, HOLE);
    char *by_kernel = mmap(NULL, HOLE / 2, PROT_NONE, ANONYMOUS, -1, 0);
    assert_true(by_kernel >= hole && by_kernel < hole + HOLE);
    munmap(by_kernel, HOLE / 2);
    for (size_t length = 1; length < HOLE; length *= 3) {
        char *p = map(length);
        assert_true(p + length <= hole || p >= hole + HOLE);
        p[0] = p[length - 1] = 1;
        munmap(p, length);
    }
}

/* All of the region is handed out, and again from its beginning: what lies there is left alone. */
static void test_round(void **state)
{
    (void)state;
    const size_t piece = ((size_t)1 << 30) - PAGE;
    char *kept = map(3 * PAGE);
    memset(kept, 'k', 3 * PAGE);
    for (unsigned i = 0; i < 600; i++) {
        char *p = map(piece);
        assert_true(p + piece <= kept || p >= kept + 3 * PAGE);
        munmap(p, piece);
    }
    assert_int_equal(kept[0], 'k');
    assert_int_equal(kept[3 * PAGE - 1], 'k');
    munmap(kept, 3 * PAGE);
}

static void *many(void *arg)
{
    char value = *(char *)arg;
    for (unsigned i = 0; i < 2000; i++) {
        char *p = region_map(PAGE, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0);
        memset(p, value, PAGE);
        for (size_t at = 0; at < PAGE; at++)
            if (p[at] != value)
                return arg;
        munmap(p, PAGE);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    static char value[4] = {1, 2, 3, 4};
    pthread_t thread[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, many, &value[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
}

/* What the kernel says to the calls, and what they were. */
static struct {
    long answer; /* to a call with an address; 0: the kernel's own */
    unsigned fixed, free;
} play;

static long play_invoke(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != SYS_mmap)
        return rawsys_invoke_kernel(number, a, b, c, d, e, f);
    if (d & FIXED_NOREPLACE) {
        assert_true(a != 0 && a % (long)PAGE == 0);
        play.fixed++;
        return play.answer ? play.answer : rawsys_invoke_kernel(number, a, b, c, d, e, f);
    }
    assert_int_equal(a, 0);
    play.free++;
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

static char *map_played(size_t length, long answer)
{
    play.answer = answer;
    play.fixed = play.free = 0;
    rawsys_table.invoke = play_invoke;
    char *p = region_map(length, PROT_NONE, ANONYMOUS, -1, 0);
    rawsys_table.invoke = rawsys_invoke_kernel;
    return p;
}

/* Where all is taken the kernel chooses; another refusal is the answer; so is the address of a kernel that does not know
 * the flag; and what is very large is not looked for a place. */
static void test_refused(void **state)
{
    (void)state;
    char *p = map_played(PAGE, -EEXIST);
    assert_false(sys_is_error(p));
    assert_true(play.fixed > 1 && play.free == 1);
    munmap(p, PAGE);
    p = map_played(PAGE, -ENOMEM);
    assert_int_equal((intptr_t)p, -ENOMEM);
    assert_true(play.fixed == 1 && play.free == 0);
    assert_ptr_equal(map_played(PAGE, 0x7000), (void *)0x7000);
    assert_true(play.fixed == 1 && play.free == 0);
    p = map_played((size_t)1 << 43, 0); /* sanitizers have no such room */
    assert_true(play.fixed == 0 && play.free == 1);
    if (!sys_is_error(p))
        munmap(p, (size_t)1 << 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
