/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_model.c — long random sequences of writes, appends, reads, sizes, syncs, write-backs, holes and reopenings on a
 * small file, against a model of its bytes. After every step the library must say what the model says, and after each
 * close a program without the library must see it, too.
 */
#include "unit/managed.h"

#include "nvmmio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST (48 * 1024)
#define FAR_MOST (6 * 1024 * 1024)

/* One step of the plan below. */
enum step { WRITE, OVERWRITE, APPEND, SYNC_WRITE, SHRINK, GROW, COMMIT, WRITE_BACK, PUNCH, ALLOCATE, REOPEN, STEPS };

/* How often each comes, in percent. */
struct plan {
    const char *name;
    unsigned weight[STEPS];
    uint64_t most;
    int flags;
    bool mapped;   /* the file is mapped by nvmmap meanwhile: IN_PLACE */
    bool policies; /* the policy for first touches changes all the time */
};

static const struct plan plans[] = {
    {.name = "overwriting", .weight = {20, 40, 5, 2, 2, 2, 20, 9, 0, 0, 1}, .most = MOST},
    {.name = "sizes", .weight = {20, 5, 20, 1, 15, 12, 14, 10, 0, 2, 1}, .most = MOST},
    {.name = "holes", .weight = {20, 15, 5, 2, 5, 8, 20, 10, 12, 2, 1}, .most = MOST},
    {.name = "never synced", .weight = {30, 30, 20, 0, 9, 7, 0, 2, 0, 1, 1}, .most = MOST},
    {.name = "atomic", .weight = {20, 20, 10, 2, 10, 6, 20, 9, 1, 1, 1}, .most = MOST, .flags = O_ATOMIC},
    {.name = "mapped", .weight = {25, 25, 5, 2, 5, 10, 20, 8, 0, 0, 0}, .most = MOST, .mapped = true},
    {.name = "policies", .weight = {20, 30, 5, 2, 5, 5, 20, 10, 2, 0, 1}, .most = MOST, .policies = true},
    {.name = "policies, atomic",
     .weight = {20, 30, 5, 2, 5, 5, 20, 10, 2, 0, 1},
     .most = MOST,
     .flags = O_ATOMIC,
     .policies = true},
    {.name = "over a segment", .weight = {20, 20, 5, 2, 10, 10, 20, 9, 2, 1, 1}, .most = FAR_MOST},
};

static enum step draw(const struct plan *plan)
{
    unsigned at = (unsigned)managed_random(100), sum = 0;
    for (unsigned i = 0; i < STEPS; i++)
        if ((sum += plan->weight[i]) > at)
            return (enum step)i;
    return WRITE;
}

/* Mostly small and odd, at times whole blocks. */
static uint64_t draw_length(void)
{
    switch (managed_random(7)) {
    case 0:
        return 4096 * (1 + managed_random(3));
    case 1:
        return 1 + managed_random(14000);
    case 2: /* ends in the first line of a block, if it begins in one */
        return 4096 * (1 + managed_random(3)) + managed_random(64);
    case 3:
        return 64 * (1 + managed_random(4));
    default:
        return 1 + managed_random(300);
    }
}

static uint64_t draw_offset(uint64_t below)
{
    uint64_t offset = managed_random(below);
    switch (managed_random(4)) {
    case 0:
        return offset & ~UINT64_C(4095);
    case 1:
        return offset & ~UINT64_C(63);
    default:
        return offset;
    }
}

static void step_write(struct managed *m, uint64_t below, unsigned flags)
{
    uint64_t offset = draw_offset(below ? below : 1);
    uint64_t length = draw_length();
    if (flags & UMA_WRITE_APPEND)
        offset = m->size;
    if (offset < m->most)
        assert_int_equal(managed_write(m, offset, uma_min(length, m->most - offset), flags),
                         uma_min(length, m->most - offset));
}

/* Makes a hole, or allocates: the model of that is easy. */
static void step_allocate(struct managed *m, int mode)
{
    uint64_t offset = draw_offset(m->most), length = uma_min(draw_length(), m->most - offset);
    if (!uma_is_attached(m->uma))
        managed_attach(m);
    assert_int_equal(uma_allocate(m->uma, mode, offset, length), 0);
    if (mode & FALLOC_FL_PUNCH_HOLE)
        memset(m->want + offset, 0, uma_min(length, offset < m->size ? m->size - offset : 0));
    else
        m->size = uma_max(m->size, offset + length);
}

static void step(struct managed *m, const struct plan *plan)
{
    switch (draw(plan)) {
    case WRITE:
        step_write(m, m->most, 0);
        break;
    case OVERWRITE:
        step_write(m, m->size, 0);
        break;
    case APPEND:
        step_write(m, 1, UMA_WRITE_APPEND);
        break;
    case SYNC_WRITE:
        step_write(m, m->size, UMA_WRITE_SYNC);
        break;
    case SHRINK:
        assert_int_equal(managed_resize(m, draw_offset(m->size + 1)), 0);
        break;
    case GROW:
        assert_int_equal(managed_resize(m, m->size + managed_random(m->most - m->size + 1)), 0);
        break;
    case COMMIT:
        assert_int_equal(managed_commit(m), 0);
        break;
    case WRITE_BACK:
        assert_int_equal(managed_write_back(m), 0);
        break;
    case PUNCH:
        step_allocate(m, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
        break;
    case ALLOCATE:
        step_allocate(m, 0);
        break;
    default:
        assert_int_equal(managed_close(m), 0);
        managed_check_kernel(m);
        managed_reopen(m, plan->flags);
    }
}

/* What loads from the application's own mapping see. */
static void check_mapping(const struct managed *m, const uint8_t *mapping)
{
    uint64_t size = m->size;
    for (uint64_t i = 0; i < size; i++)
        if (mapping[i] != m->want[i])
            fail_msg("mapping: byte %llu is %u, not %u", (unsigned long long)i, mapping[i], m->want[i]);
}

static void run_plan(const struct plan *plan, uint64_t seed, unsigned steps)
{
    struct managed m;
    uint8_t *mapping = NULL;
    managed_seed(seed);
    managed_open(&m, managed_random(2) ? plan->most / 2 : 1 + managed_random(5000), plan->most, plan->flags);
    if (plan->mapped) {
        mapping = mmap(NULL, plan->most, PROT_READ, MAP_SHARED, m.fd, 0);
        assert_true(mapping != MAP_FAILED);
        assert_int_equal(uma_map(m.uma, m.fd, mapping, plan->most, 0, UMA_MAP_SHARED), 0);
    }
    for (unsigned i = 0; i < steps; i++) {
        if (plan->policies)
            atomic_store(&m.uma->undo, managed_random(2));
        step(&m, plan);
        if (plan->most <= MOST || i % 16 == 0)
            managed_check(&m);
        else
            managed_check_part(&m, draw_offset(plan->most), 10000);
        if (mapping)
            check_mapping(&m, mapping);
    }
    if (mapping) {
        uma_unmap(mapping, plan->most);
        munmap(mapping, plan->most);
    }
    managed_check(&m);
    assert_int_equal(managed_close(&m), 0);
    managed_check_kernel(&m);
    managed_remove(&m);
}

static unsigned rounds = MANAGED_SAMPLE ? 1 : 6, length = 250;

static void test_plan(void **state)
{
    const struct plan *plan = *state;
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t seed = (uint64_t)(plan - plans) * 100000 + i + 1;
        run_plan(plan, seed, length);
    }
}

/* Arguments: rounds of each plan, steps of a round. */
int main(int argc, char **argv)
{
    struct CMUnitTest tests[sizeof plans / sizeof *plans];
    if (argc > 1)
        rounds = (unsigned)atoi(argv[1]);
    if (argc > 2)
        length = (unsigned)atoi(argv[2]);
    for (unsigned i = 0; i < sizeof plans / sizeof *plans; i++)
        tests[i] = (struct CMUnitTest){plans[i].name, test_plan, NULL, NULL, (void *)&plans[i]};
    managed_begin("pm:force,idle:1000s,commit_interval:1000s");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
