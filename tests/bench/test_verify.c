/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_verify.c — each kind of wrong block is told from a right one.
 */
#include "crc32c.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNIT = 512, UNITS = 8, SEED = 99 };

static uint64_t sequence[2][UNITS];
static struct verify_model models[2];
static char block[UNIT];

static int setup(void **state)
{
    (void)state;
    memset(sequence, 0, sizeof sequence);
    for (unsigned i = 0; i < 2; i++)
        models[i] = (struct verify_model){
            .seed = SEED, .unit = UNIT, .start = 0, .units = UNITS, .sequence = sequence[i], .file = 0};
    return 0;
}

static enum verify_fault check(uint64_t offset)
{
    return verify_unit_newest(block, offset, models, 2, 0);
}

static void test_crc(void **state)
{
    (void)state;
    /* The check value of the Castagnoli polynomial. */
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_portable("123456789", 9), 0xe3069283);
    char data[300];
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    for (unsigned length = 0; length <= sizeof data; length++)
        assert_int_equal(crc32c(data, length), crc32c_portable(data, length));
}

static void test_last_write(void **state)
{
    (void)state;
    verify_model_wrote(&models[0], UNIT, 2 * UNIT, 5);
    verify_stamp(block, UNIT, UNIT, UNIT, SEED, 0, 5);
    assert_int_equal(check(UNIT), VERIFY_OK);
    assert_int_equal(check(2 * UNIT), VERIFY_PLACE); /* a write of several units has one identity per unit */
    verify_model_wrote(&models[0], UNIT, UNIT, 6);
    assert_int_equal(check(UNIT), VERIFY_STALE);
    verify_stamp(block, UNIT, UNIT, UNIT, SEED, 0, 7);
    assert_int_equal(check(UNIT), VERIFY_FUTURE);
    verify_stamp(block, UNIT, UNIT, UNIT, SEED + 1, 0, 6);
    assert_int_equal(check(UNIT), VERIFY_PLACE); /* of another run */
    verify_stamp(block, UNIT, UNIT, UNIT, SEED, VERIFY_LAYOUT, 0);
    assert_int_equal(check(UNIT), VERIFY_STALE); /* the write is missing */
    assert_int_equal(check(0), VERIFY_PLACE);
    verify_stamp(block, UNIT, UNIT, 0, SEED, VERIFY_LAYOUT, 0);
    assert_int_equal(check(0), VERIFY_OK);
}

/* Of two writers each one's last may stand; an older one of either may not. */
static void test_two_writers(void **state)
{
    (void)state;
    verify_model_wrote(&models[0], 0, UNIT, 3);
    verify_model_wrote(&models[1], 0, UNIT, 9);
    verify_stamp(block, UNIT, UNIT, 0, SEED, 0, 3);
    assert_int_equal(check(0), VERIFY_OK);
    verify_stamp(block, UNIT, UNIT, 0, SEED, 1, 9);
    assert_int_equal(check(0), VERIFY_OK);
    verify_stamp(block, UNIT, UNIT, 0, SEED, 1, 8);
    assert_int_equal(check(0), VERIFY_STALE);
    models[1].file = 1;
    verify_stamp(block, UNIT, UNIT, 0, SEED, 1, 9);
    assert_int_equal(check(0), VERIFY_PLACE);
}

/* Any single damaged byte is seen. */
static void test_every_byte(void **state)
{
    (void)state;
    verify_model_wrote(&models[0], 0, UNIT, 1);
    for (unsigned i = 0; i < UNIT; i++) {
        verify_stamp(block, UNIT, UNIT, 0, SEED, 0, 1);
        block[i] = (char)(block[i] ^ 0x10);
        assert_int_not_equal(check(0), VERIFY_OK);
    }
}

/* A block of two writes is seen wherever it is torn. */
static void test_torn(void **state)
{
    (void)state;
    char older[UNIT];
    verify_model_wrote(&models[0], 0, UNIT, 2);
    verify_stamp(older, UNIT, UNIT, 0, SEED, 0, 1);
    for (unsigned cut = 8; cut < UNIT; cut += 8) {
        verify_stamp(block, UNIT, UNIT, 0, SEED, 0, 2);
        memcpy(block + cut, older + cut, UNIT - cut);
        assert_int_equal(check(0), VERIFY_CORRUPT);
        verify_stamp(block, UNIT, UNIT, 0, SEED, 0, 2);
        memcpy(block, older, cut);
        assert_int_not_equal(check(0), VERIFY_OK);
    }
}

static void test_zeros(void **state)
{
    (void)state;
    memset(block, 0, sizeof block);
    assert_int_equal(check(0), VERIFY_ZERO);
    models[0].hole = models[1].hole = true;
    assert_int_equal(check(0), VERIFY_OK); /* never written */
    verify_model_wrote(&models[1], 0, UNIT, 1);
    assert_int_equal(check(0), VERIFY_ZERO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test_setup(test_last_write, setup),
        cmocka_unit_test_setup(test_two_writers, setup),
        cmocka_unit_test_setup(test_every_byte, setup),
        cmocka_unit_test_setup(test_torn, setup),
        cmocka_unit_test_setup(test_zeros, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
