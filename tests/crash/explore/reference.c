/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * reference.c — what POSIX says that an operation does to a file.
 */
#include "crash/explore/reference.h"

#include <string.h>

void reference_begin(struct reference *reference, const struct workload *workload, unsigned file)
{
    memset(reference, 0, sizeof *reference);
    if (workload->empty)
        return;
    reference->size = OPERATION_INITIAL;
    for (uint32_t i = 0; i < reference->size; i++)
        reference->bytes[i] = operation_byte(OPERATION_BEFORE, file, i);
}

bool reference_changes(const struct operation *operation)
{
    return operation_writes(operation->verb) || strchr("tpzei", operation->verb);
}

int reference_success(const struct operation *operation)
{
    return operation_writes(operation->verb) ? (int)operation->length : 0;
}

static void set_size(struct reference *reference, uint32_t size)
{
    if (size > OPERATION_SIZE_MOST)
        size = OPERATION_SIZE_MOST;
    if (size < reference->size)
        memset(reference->bytes + size, 0, reference->size - size);
    reference->size = size;
}

static void grow_to(struct reference *reference, uint32_t size)
{
    if (size > reference->size)
        set_size(reference, size);
}

/* `first`: the offset by which the bytes are known (operation_byte). */
static void store(struct reference *reference, const struct operation *operation, unsigned number, uint32_t at,
                  uint32_t length, uint32_t first)
{
    if (!length)
        return;
    grow_to(reference, at + length);
    for (uint32_t i = 0; i < length && at + i < OPERATION_SIZE_MOST; i++)
        reference->bytes[at + i] = operation_byte(number, operation->file, first + i);
}

static uint32_t within(const struct reference *reference, uint32_t offset, uint32_t length)
{
    uint32_t left = offset < reference->size ? reference->size - offset : 0;
    return length < left ? length : left;
}

void reference_apply(struct reference *reference, const struct operation *operation, unsigned number, int result)
{
    uint32_t offset = operation->offset, length = operation->length;
    if (result < 0)
        return;
    if (operation_writes(operation->verb))
        length = (uint32_t)result < length ? (uint32_t)result : length;
    switch (operation->verb) {
    case 'w':
    case 'W':
    case 'y':
        store(reference, operation, number, offset, length, offset);
        break;
    case 'a':
        store(reference, operation, number, reference->size, length, 0);
        break;
    case 'n':
        store(reference, operation, number, offset, within(reference, offset, length), offset);
        break;
    case 'i':
        length = within(reference, offset & ~7u, length) & ~7u;
        store(reference, operation, number, offset & ~7u, length, offset & ~7u);
        break;
    case 't':
        set_size(reference, length);
        break;
    case 'e':
        grow_to(reference, offset + length);
        break;
    case 'z':
        grow_to(reference, offset + length);
        memset(reference->bytes + offset, 0, length);
        break;
    case 'p':
        memset(reference->bytes + offset, 0, within(reference, offset, length));
        break;
    default:
        break;
    }
}
