/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_uma_ranges.c — the table of mapped ranges against a model of pages: hundreds of ranges that come, go, are cut, moved
 * and protected at random, so that its leaves are split, joined and emptied.
 */
#include "unit/managed.h"

#include "base/rawsys.h"
#include "base/rcu.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define PAGES 1500u /* of addresses */
#define FILE_PAGES 64u
#define STEPS 6000
#define LOOKS 200

static struct {
    char *area;
    struct uma *uma;
    struct page {
        bool mapped, writable;
        uint64_t offset;
    } page[PAGES];
} t;

static char *address(unsigned page)
{
    return t.area + (size_t)page * PAGE;
}

static void look(unsigned page)
{
    struct uma_place place;
    const struct page *want = &t.page[page];
    rcu_enter();
    struct uma *uma = uma_at(address(page) + 5, &place);
    rcu_leave();
    assert_ptr_equal(uma, want->mapped ? t.uma : NULL);
    if (!uma)
        return;
    assert_int_equal(place.offset, want->offset + 5);
    assert_int_equal(!!(place.kind & UMA_MAP_WRITABLE), want->writable);
    for (unsigned next = page; (uint64_t)(next - page) * PAGE < place.length; next++)
        assert_true(next < PAGES && t.page[next].mapped &&
                    t.page[next].offset == want->offset + (uint64_t)(next - page) * PAGE);
}

static void map_pages(int fd, unsigned page, unsigned count)
{
    uint64_t offset = managed_random(FILE_PAGES - count) * PAGE;
    void *at = uma_map_over(address(page), count * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
    assert_ptr_equal(at, address(page));
    assert_int_equal(uma_map(t.uma, fd, at, count * PAGE, offset, UMA_MAP_SHARED), 0);
    for (unsigned i = 0; i < count; i++)
        t.page[page + i] = (struct page){true, false, offset + i * PAGE};
}

/* The addresses stay taken. */
static void unmap_pages(unsigned page, unsigned count)
{
    assert_int_equal(uma_unmap(address(page), count * PAGE), 0);
    void *at = sys_mmap(address(page), count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(at, address(page));
    memset(&t.page[page], 0, count * sizeof *t.page);
}

static void protect_pages(unsigned page, unsigned count)
{
    bool writable = managed_random(2);
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    assert_int_equal(uma_map_protect(address(page), count * PAGE, prot), 0);
    for (unsigned i = 0; i < count; i++)
        t.page[page + i].writable = writable && t.page[page + i].mapped;
}

/* One mapping of the kernel's, and where it goes; behind it the old addresses are taken again. */
static void move_pages(unsigned page, unsigned to, unsigned count)
{
    struct page moved[PAGES];
    for (unsigned i = 1; i < count; i++)
        if (!t.page[page].mapped || !t.page[page + i].mapped || t.page[page].writable != t.page[page + i].writable ||
            t.page[page + i].offset != t.page[page].offset + i * PAGE)
            return;
    if (!t.page[page].mapped || (page < to + count && to < page + count))
        return;
    memcpy(moved, &t.page[page], count * sizeof *moved);
    void *at = uma_remap(address(page), count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address(to));
    assert_ptr_equal(at, address(to));
    at = sys_mmap(address(page), count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(at, address(page));
    memset(&t.page[page], 0, count * sizeof *t.page);
    memcpy(&t.page[to], moved, count * sizeof *moved);
}

static void test_model(void **state)
{
    struct managed m;
    (void)state;
    managed_open(&m, FILE_PAGES * PAGE, FILE_PAGES * PAGE, 0);
    t.uma = m.uma;
    t.area = sys_mmap(NULL, (size_t)PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_false(sys_is_error(t.area));
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned count = 1 + (unsigned)managed_random(managed_random(20) ? 3 : 60);
        unsigned page = (unsigned)managed_random(PAGES - count);
        unsigned phase = step / 1500 % 2; /* fuller, emptier */
        switch (managed_random(8)) {
        case 0:
            protect_pages(page, count);
            break;
        case 1:
            move_pages(page, (unsigned)managed_random(PAGES - count), count);
            break;
        case 2:
        case 3:
            unmap_pages(page, count);
            break;
        default:
            if (phase)
                unmap_pages(page, count);
            else
                map_pages(m.fd, page, count < FILE_PAGES ? count : FILE_PAGES - 1);
        }
        look(page);
        if (step % 50 == 0)
            for (unsigned i = 0; i < LOOKS; i++)
                look((unsigned)managed_random(PAGES));
    }
    for (unsigned i = 0; i < PAGES; i++)
        look(i);
    assert_int_equal(uma_unmap(t.area, (size_t)PAGES * PAGE), 0);
    assert_int_equal(atomic_load(&t.uma->maps), 0);
    managed_check(&m);
    managed_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    managed_begin("idle:1000s,commit_interval:1000s,pool:0");
    return cmocka_run_group_tests(tests, NULL, managed_group_end);
}
