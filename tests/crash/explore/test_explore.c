/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_explore.c — the explorer's model on traces made by hand, of which the states are known; and one recovery.
 *
 * Each count below is what explore.h promises for that trace. A model that pinned too much or too little would give another.
 */
#include "crash/explore/explore_private.h"
#include "crash/explore/states.h"

#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HAND_EVENTS = 256, HAND_DATA = 1 << 16, HAND_FILES = 4, FILE_BYTES = 8192, LINE = 64 };
enum { DIRECTORY, DATA, SECOND, LOGS };

struct hand {
    struct trace trace;
    struct trace_event event[HAND_EVENTS];
    char data[HAND_DATA];
    struct trace_file file[HAND_FILES];
    uint64_t value; /* of the next store: each has its own */
};

static void hand_begin(struct hand *hand)
{
    memset(hand, 0, sizeof *hand);
    hand->trace = (struct trace){.event = hand->event,
                                 .room = HAND_EVENTS,
                                 .data = hand->data,
                                 .data_room = HAND_DATA,
                                 .file = hand->file,
                                 .file_count = HAND_FILES,
                                 .file_room = HAND_FILES};
    static const char *const paths[] = {"/r", "/r/a", "/r/b", "/r/log"};
    static const uint8_t kinds[] = {TRACE_FILE_DIRECTORY, TRACE_FILE_DATA, TRACE_FILE_DATA, TRACE_FILE_LOG};
    for (unsigned i = 0; i < HAND_FILES; i++) {
        hand->file[i] = (struct trace_file){.kind = kinds[i], .initial = true, .ino = i + 1, .size = FILE_BYTES};
        snprintf(hand->file[i].path, sizeof hand->file[i].path, "%s", paths[i]);
    }
    hand->trace.data_length = FILE_BYTES; /* zeros: everybody's first image */
}

static struct trace_event *hand_add(struct hand *hand, enum trace_kind kind, unsigned thread, uint32_t file,
                                    uint64_t offset, uint64_t length)
{
    struct trace_event *event = &hand->event[hand->trace.count++];
    *event = (struct trace_event){.kind = (uint8_t)kind,
                                  .thread = (uint8_t)thread,
                                  .file = file,
                                  .offset = offset,
                                  .length = length,
                                  .data = hand->trace.data_length,
                                  .site = hand->trace.count};
    if (kind == TRACE_STORE || kind == TRACE_STREAM)
        for (uint64_t i = 0; i < length; i++)
            hand->data[hand->trace.data_length++] = (char)(1 + hand->value++ % 255);
    return event;
}

static void hand_store(struct hand *hand, unsigned thread, uint64_t offset)
{
    hand_add(hand, TRACE_STORE, thread, DATA, offset, 8);
}

static void hand_stream(struct hand *hand, unsigned thread, uint64_t offset, uint64_t length)
{
    hand_add(hand, TRACE_STREAM, thread, DATA, offset, length);
}

static void hand_flush(struct hand *hand, unsigned thread, uint64_t offset)
{
    hand_add(hand, TRACE_FLUSH, thread, DATA, offset, 1);
}

static void hand_fence(struct hand *hand, unsigned thread)
{
    hand_add(hand, TRACE_FENCE, thread, TRACE_NO_FILE, 0, 0);
}

static void hand_call(struct hand *hand, enum trace_call call, uint32_t file, uint64_t offset, uint64_t length)
{
    hand_add(hand, TRACE_CALL, 0, file, offset, length)->call = (uint8_t)call;
}

/* ---- counting ---- */

struct count {
    struct persist *persist;
    struct seen images;
};

static bool count_state(void *context, const uint16_t *choice)
{
    struct count *count = context;
    struct image *image = count->persist->image;
    struct image_point mark = image_mark(image);
    persist_apply(count->persist, choice);
    seen_add(&count->images, image->hash);
    image_rewind(image, mark);
    return true;
}

/* How many images a power cut behind the last event may leave. */
static size_t states_of(const struct hand *hand, const struct explore_options *options)
{
    struct image image;
    struct persist persist;
    assert_true(image_open(&image, &hand->trace));
    persist_open(&persist, &image, &hand->trace, options);
    for (size_t i = 0; i < hand->trace.count; i++)
        persist_feed(&persist, &hand->trace, i);
    persist_units(&persist);
    uint16_t *most = calloc(persist.units + 1, sizeof *most);
    for (size_t i = 0; i < persist.units; i++)
        most[i] = persist.unit[i].most;
    struct states_bounds bounds = {.product = UINT64_C(1) << 20};
    struct count count = {.persist = &persist};
    states_enumerate(most, persist.units, &bounds, count_state, &count);
    size_t states = count.images.count;
    assert_true(image_check(&image));
    free(most);
    seen_free(&count.images);
    persist_close(&persist);
    image_close(&image);
    return states;
}

static size_t states_as(const struct hand *hand, enum explore_model model)
{
    struct explore_options options;
    explore_defaults(&options);
    options.model = model;
    return states_of(hand, &options);
}

static size_t states(const struct hand *hand)
{
    return states_as(hand, EXPLORE_ADR);
}

static struct hand hand;

/* ---- cached stores ---- */

static void line_is_a_prefix(void **state)
{
    (void)state;
    hand_begin(&hand);
    assert_int_equal(states(&hand), 1);
    hand_store(&hand, 0, 0);
    hand_store(&hand, 0, 8);
    assert_int_equal(states(&hand), 3);
    assert_int_equal(states_as(&hand, EXPLORE_TORN), 4);
    assert_int_equal(states_as(&hand, EXPLORE_EADR), 1);
    hand_store(&hand, 0, LINE);
    hand_store(&hand, 0, LINE + 8);
    assert_int_equal(states(&hand), 9);
    assert_int_equal(states_as(&hand, EXPLORE_TORN), 16);
}

static void only_flush_and_fence_pin(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_store(&hand, 0, 0);
    hand_store(&hand, 0, LINE);
    hand_flush(&hand, 0, 0);
    assert_int_equal(states(&hand), 4);
    hand_store(&hand, 0, 8); /* behind the flush: not covered */
    assert_int_equal(states(&hand), 6);
    hand_fence(&hand, 1); /* another thread's */
    assert_int_equal(states(&hand), 6);
    hand_fence(&hand, 0);
    assert_int_equal(states(&hand), 4);
}

static void flush_covers_the_stores_of_others(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_store(&hand, 0, 0);
    hand_flush(&hand, 1, 0);
    hand_fence(&hand, 1);
    assert_int_equal(states(&hand), 1);
}

/* ---- streams ---- */

static void stream_words_are_independent(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_stream(&hand, 0, 0, LINE);
    assert_int_equal(states(&hand), 256);
    assert_int_equal(states_as(&hand, EXPLORE_EADR), 256);
    hand_flush(&hand, 1, 0); /* another thread's write-back and fence do not reach its buffers */
    hand_fence(&hand, 1);
    assert_int_equal(states(&hand), 256);
    hand_fence(&hand, 0);
    assert_int_equal(states(&hand), 1);
}

static void word_is_a_prefix_of_its_streams(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_stream(&hand, 0, 0, 8);
    hand_stream(&hand, 0, 0, 8);
    assert_int_equal(states(&hand), 3);
    hand_begin(&hand);
    hand_stream(&hand, 0, 4, 8); /* two halves of words */
    assert_int_equal(states(&hand), 4);
}

static void later_durable_store_hides_earlier(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_stream(&hand, 0, 0, 8);
    hand_store(&hand, 1, 0);
    hand_flush(&hand, 1, 0);
    hand_fence(&hand, 1); /* the stream cannot come behind it any more */
    assert_int_equal(states(&hand), 1);
}

static void dead_streams_are_flushed_by_survivors(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_stream(&hand, 0, 0, 16);
    hand_add(&hand, TRACE_FLUSH, 0, DATA, 0, 16)->process = 1;
    hand_add(&hand, TRACE_FENCE, 0, TRACE_NO_FILE, 0, 0)->process = 1;
    assert_int_equal(states(&hand), 1);
    hand_stream(&hand, 0, LINE, 8); /* it was not dead: one more word in flight, and those two */
    assert_int_equal(states(&hand), 8);
}

static void long_stream_has_six_variants(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_stream(&hand, 0, 0, 4096);
    assert_int_equal(states(&hand), 6);
    hand_stream(&hand, 0, 4096, 4096);
    assert_int_equal(states(&hand), 36);
}

/* ---- the kernel ---- */

static void sizes_are_a_sequence(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_call(&hand, TRACE_CALL_RESIZE, DATA, 0, 4 * 4096);
    hand_call(&hand, TRACE_CALL_RESIZE, DATA, 0, 5 * 4096);
    assert_int_equal(states(&hand), 3);
    hand_call(&hand, TRACE_CALL_SYNC, SECOND, 0, 0);
    assert_int_equal(states(&hand), 3);
    hand_call(&hand, TRACE_CALL_SYNC, DATA, 0, 0);
    assert_int_equal(states(&hand), 1);
}

static void store_needs_its_page(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_call(&hand, TRACE_CALL_RESIZE, DATA, 0, 4 * 4096);
    hand_store(&hand, 0, 3 * 4096);
    assert_int_equal(states(&hand), 3);
    hand_flush(&hand, 0, 3 * 4096);
    hand_fence(&hand, 0);
    assert_int_equal(states(&hand), 2); /* durable, if the size is */
    hand_call(&hand, TRACE_CALL_SYNC, DATA, 0, 0);
    assert_int_equal(states(&hand), 1);
}

static void shrink_may_have_zeroed_the_tail(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_store(&hand, 0, 4096 + 512);
    hand_flush(&hand, 0, 4096 + 512);
    hand_fence(&hand, 0);
    hand_call(&hand, TRACE_CALL_RESIZE, DATA, 0, 4096 + 100);
    assert_int_equal(states(&hand), 3);
}

static void kernel_writes_wait_for_sync(void **state)
{
    (void)state;
    hand_begin(&hand);
    struct trace_event *event = hand_add(&hand, TRACE_STREAM, 0, DATA, 0, 16);
    event->kind = TRACE_CALL;
    event->call = TRACE_CALL_WRITE;
    hand_fence(&hand, 0);
    assert_int_equal(states(&hand), 4);
    hand_call(&hand, TRACE_CALL_SYNC, DATA, 0, 0);
    assert_int_equal(states(&hand), 1);
}

static void names_are_a_sequence(void **state)
{
    (void)state;
    hand_begin(&hand);
    struct trace_event *event = hand_add(&hand, TRACE_CALL, 0, DATA, 0, 0);
    event->call = TRACE_CALL_RENAME;
    event->directory = event->old_directory = DIRECTORY;
    memcpy(hand.data + hand.trace.data_length, "c\0a", 4);
    event->name = hand.trace.data_length;
    event->old_name = hand.trace.data_length + 2;
    hand.trace.data_length += 4;
    assert_int_equal(states(&hand), 2);
    hand_call(&hand, TRACE_CALL_SYNC, DATA, 0, 0);
    assert_int_equal(states(&hand), 2);
    hand_call(&hand, TRACE_CALL_SYNC, DIRECTORY, 0, 0);
    assert_int_equal(states(&hand), 1);
}

/* ---- mutants ---- */

static size_t states_without(const struct hand *from, uint64_t site, bool swap)
{
    struct explore_options options;
    explore_defaults(&options);
    options.mutant_site = site;
    options.mutant_swap = swap;
    return states_of(from, &options);
}

static void mutants_drop_and_swap(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_store(&hand, 0, 0);  /* site 1 */
    hand_flush(&hand, 0, 0);  /* 2 */
    hand_fence(&hand, 0);     /* 3 */
    hand_store(&hand, 0, 8);  /* 4 */
    hand_store(&hand, 0, 16); /* 5 */
    assert_int_equal(states(&hand), 3);
    assert_int_equal(states_without(&hand, 2, false), 4);
    assert_int_equal(states_without(&hand, 3, false), 4);
    assert_int_equal(states_without(&hand, 4, true), 3);
    struct explore_site *sites = NULL;
    size_t count = 0;
    explore_sites(&hand.trace, &sites, &count);
    assert_int_equal(count, 3); /* flush, fence, and the one store that has a next one */
    free(sites);
}

/* What a judge sees under the swap: the later store without the earlier, and never the other way round. */
static bool finds(struct hand *from, uint64_t site, bool first, bool second)
{
    struct explore_options options;
    struct image image;
    struct persist persist;
    bool found = false;
    explore_defaults(&options);
    options.mutant_site = site;
    options.mutant_swap = true;
    assert_true(image_open(&image, &from->trace));
    persist_open(&persist, &image, &from->trace, &options);
    for (size_t i = 0; i < from->trace.count; i++)
        persist_feed(&persist, &from->trace, i);
    persist_units(&persist);
    for (uint16_t c = 0; c <= persist.unit[0].most; c++) {
        struct image_point mark = image_mark(&image);
        persist_apply(&persist, &c);
        found |= (image_word(&image, DATA, 0) != 0) == first && (image_word(&image, DATA, 1) != 0) == second;
        image_rewind(&image, mark);
    }
    persist_close(&persist);
    image_close(&image);
    return found;
}

static void swap_changes_the_order(void **state)
{
    (void)state;
    hand_begin(&hand);
    hand_store(&hand, 0, 0);
    hand_store(&hand, 0, 8);
    assert_true(finds(&hand, UINT64_MAX, true, false));
    assert_false(finds(&hand, UINT64_MAX, false, true));
    assert_true(finds(&hand, 1, false, true));
    assert_false(finds(&hand, 1, true, false));
}

/* ---- families ---- */

static bool count_visit(void *context, const uint16_t *choice)
{
    (void)choice;
    ++*(size_t *)context;
    return true;
}

static void families_have_their_size(void **state)
{
    (void)state;
    uint16_t most[20];
    for (unsigned i = 0; i < 20; i++)
        most[i] = 1;
    struct states_bounds bounds = {.product = 4096, .subset = 3, .random = 10};
    size_t visits = 0;
    states_enumerate(most, 12, &bounds, count_visit, &visits);
    assert_int_equal(visits, 4096);
    visits = 0;
    states_enumerate(most, 20, &bounds, count_visit, &visits);
    assert_int_equal(visits, 2 * (1 + 20 + 190 + 1140) + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_a_prefix),
        cmocka_unit_test(only_flush_and_fence_pin),
        cmocka_unit_test(flush_covers_the_stores_of_others),
        cmocka_unit_test(stream_words_are_independent),
        cmocka_unit_test(word_is_a_prefix_of_its_streams),
        cmocka_unit_test(later_durable_store_hides_earlier),
        cmocka_unit_test(dead_streams_are_flushed_by_survivors),
        cmocka_unit_test(long_stream_has_six_variants),
        cmocka_unit_test(sizes_are_a_sequence),
        cmocka_unit_test(store_needs_its_page),
        cmocka_unit_test(shrink_may_have_zeroed_the_tail),
        cmocka_unit_test(kernel_writes_wait_for_sync),
        cmocka_unit_test(names_are_a_sequence),
        cmocka_unit_test(mutants_drop_and_swap),
        cmocka_unit_test(swap_changes_the_order),
        cmocka_unit_test(families_have_their_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
