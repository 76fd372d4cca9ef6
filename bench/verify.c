/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * verify.c — see verify.h.
 */
#include "verify.h"

#include "crc32c.h"
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stamp_unit(char *buf, uint64_t unit, const struct verify_header *identity)
{
    struct verify_header header = *identity;
    uint64_t state = header.seed ^ header.offset ^ (header.sequence << 20) ^ ((uint64_t)header.job << 44);
    uint64_t at = sizeof header;
    for (; at + sizeof state <= unit; at += sizeof state) {
        uint64_t word = random_next(&state);
        memcpy(buf + at, &word, sizeof word);
    }
    uint64_t word = random_next(&state);
    memcpy(buf + at, &word, unit - at);
    memcpy(buf, &header, sizeof header);
    header.crc = crc32c(buf + sizeof header.crc, unit - sizeof header.crc);
    memcpy(buf, &header.crc, sizeof header.crc);
}

void verify_stamp(void *buf, uint64_t length, uint64_t unit, uint64_t offset, uint64_t seed, uint32_t job,
                  uint64_t sequence)
{
    for (uint64_t at = 0; at < length; at += unit) {
        struct verify_header header = {.magic = VERIFY_MAGIC,
                                       .offset = offset + at,
                                       .sequence = sequence,
                                       .seed = seed,
                                       .job = job,
                                       .unit = (uint32_t)unit};
        stamp_unit((char *)buf + at, unit, &header);
    }
}

void verify_model_wrote(struct verify_model *model, uint64_t offset, uint64_t length, uint64_t sequence)
{
    uint64_t first = (offset - model->start) / model->unit;
    for (uint64_t i = 0; i < length / model->unit; i++)
        model->sequence[first + i] = sequence;
}

void verify_model_clear(struct verify_model *model)
{
    memset(model->sequence, 0, model->units * sizeof *model->sequence);
}

void verify_model_begun(struct verify_model *model, uint64_t offset, uint64_t length, uint64_t sequence)
{
    model->flight.sequence = sequence;
    model->flight.offset = offset;
    model->flight.length = length;
}

static bool all_zero(const char *buf, uint64_t length)
{
    return length == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, length - 1) == 0);
}

enum verify_fault verify_unit_intact(const void *buf, uint64_t unit, uint64_t offset)
{
    struct verify_header header;
    memcpy(&header, buf, sizeof header);
    if (header.magic != VERIFY_MAGIC)
        return all_zero(buf, unit) ? VERIFY_ZERO : VERIFY_NO_UNIT;
    if (header.crc != crc32c((const char *)buf + sizeof header.crc, unit - sizeof header.crc))
        return VERIFY_CORRUPT;
    return header.offset == offset && header.unit == unit ? VERIFY_OK : VERIFY_PLACE;
}

/* 0 if the model does not cover the offset. */
static uint64_t last_sequence(const struct verify_model *model, uint64_t offset)
{
    if (!model->sequence || offset < model->start)
        return 0;
    uint64_t index = (offset - model->start) / model->unit;
    return index < model->units ? model->sequence[index] : 0;
}

static bool anyone_wrote(const struct verify_model *models, uint32_t model_count, uint32_t self, uint64_t offset)
{
    for (uint32_t i = 0; i < model_count; i++)
        if (models[i].file == models[self].file && last_sequence(&models[i], offset))
            return true;
    return false;
}

static enum verify_fault settled_unit(const char *buf, uint64_t offset, const struct verify_model *models,
                                      uint32_t model_count, uint32_t self)
{
    const struct verify_model *model = &models[self];
    enum verify_fault fault = verify_unit_intact(buf, model->unit, offset);
    if (fault == VERIFY_ZERO && model->hole && !anyone_wrote(models, model_count, self, offset))
        return VERIFY_OK;
    if (fault)
        return fault;
    struct verify_header header;
    memcpy(&header, buf, sizeof header);
    if (header.job == VERIFY_LAYOUT)
        return anyone_wrote(models, model_count, self, offset) ? VERIFY_STALE
               : header.seed == model->seed && !model->hole    ? VERIFY_OK
                                                               : VERIFY_PLACE;
    if (header.job >= model_count || models[header.job].file != model->file || header.seed != models[header.job].seed)
        return VERIFY_PLACE;
    /* One writer's writes are ordered among themselves, so the last of any of the writers may be the newest; but a
     * single writer's older one never is. */
    uint64_t last = last_sequence(&models[header.job], offset);
    if (header.sequence == last)
        return VERIFY_OK;
    return header.sequence < last ? VERIFY_STALE : VERIFY_FUTURE;
}

/* What a unit may consist of: the bytes of a write, and which bytes of the unit are of it or of another one. */
struct mixture {
    const char *buf;
    char *candidate;
    bool *known;
    uint64_t unit;
};

static void mix_in(struct mixture *mixture)
{
    for (uint64_t i = 0; i < mixture->unit; i++)
        mixture->known[i] |= mixture->buf[i] == mixture->candidate[i];
}

static bool in_flight(const struct verify_model *model, uint64_t offset)
{
    return model->flight.sequence && offset >= model->flight.offset &&
           offset - model->flight.offset < model->flight.length;
}

static void mix_in_job(struct mixture *mixture, const struct verify_model *model, uint32_t job, uint64_t offset)
{
    uint64_t of[] = {last_sequence(model, offset), in_flight(model, offset) ? model->flight.sequence : 0};
    for (unsigned i = 0; i < sizeof of / sizeof of[0]; i++) {
        if (!of[i])
            continue;
        verify_stamp(mixture->candidate, mixture->unit, mixture->unit, offset, model->seed, job, of[i]);
        mix_in(mixture);
    }
}

/* Whether each byte is of a write in flight, of the last one of some job, or, if there is none, of the layout. */
static bool is_mixture(const char *buf, uint64_t offset, const struct verify_model *models, uint32_t model_count,
                       uint32_t self)
{
    uint64_t unit = models[self].unit, known = 0;
    struct mixture mixture = {.buf = buf, .candidate = calloc(1, unit), .known = calloc(unit, 1), .unit = unit};
    bool enough = mixture.candidate && mixture.known;
    for (uint32_t i = 0; enough && i < model_count; i++)
        if (models[i].file == models[self].file)
            mix_in_job(&mixture, &models[i], i, offset);
    if (enough && !anyone_wrote(models, model_count, self, offset)) {
        memset(mixture.candidate, 0, unit);
        if (!models[self].hole)
            verify_stamp(mixture.candidate, unit, unit, offset, models[self].seed, VERIFY_LAYOUT, 0);
        mix_in(&mixture);
    }
    for (uint64_t i = 0; enough && i < unit; i++)
        known += mixture.known[i];
    free(mixture.candidate);
    free(mixture.known);
    return enough && known == unit;
}

enum verify_fault verify_unit_newest(const void *buf, uint64_t offset, const struct verify_model *models,
                                     uint32_t model_count, uint32_t self)
{
    enum verify_fault fault = settled_unit(buf, offset, models, model_count, self);
    bool flies = false;
    for (uint32_t i = 0; fault && i < model_count; i++)
        flies |= models[i].file == models[self].file && in_flight(&models[i], offset);
    return flies && is_mixture(buf, offset, models, model_count, self) ? VERIFY_OK : fault;
}

/* Where the unit first differs from what its own header promises, in bytes from its start; `unit` if nowhere. */
static uint64_t first_difference(const char *buf, const struct verify_header *header, uint64_t unit)
{
    char *expected = malloc(unit);
    uint64_t at = 0;
    if (!expected)
        return 0;
    stamp_unit(expected, unit, header);
    while (at < unit && buf[at] == expected[at])
        at++;
    free(expected);
    return at;
}

void verify_describe(enum verify_fault fault, const void *buf, uint64_t offset, const struct verify_model *model,
                     uint32_t job, char *text, size_t text_size)
{
    struct verify_header header;
    memcpy(&header, buf, sizeof header);
    char expected[64] = "any intact block";
    if (model->sequence)
        snprintf(expected, sizeof expected, "write %" PRIu64 " of job %" PRIu32, last_sequence(model, offset), job);
    int used = snprintf(text, text_size, "offset %" PRIu64 ": expected %s, found ", offset, expected);
    if (used < 0 || (size_t)used >= text_size)
        return;
    text += used;
    text_size -= (size_t)used;
    switch (fault) {
    case VERIFY_OK:
        snprintf(text, text_size, "it");
        break;
    case VERIFY_ZERO:
        snprintf(text, text_size, "zeros (missing)");
        break;
    case VERIFY_NO_UNIT:
        snprintf(text, text_size, "no block of ours (magic %08" PRIx32 ")", header.magic);
        break;
    case VERIFY_CORRUPT:
        snprintf(text, text_size, "a torn or damaged block, write %" PRIu64 " of job %" PRIu32 " up to byte %" PRIu64,
                 header.sequence, header.job, first_difference(buf, &header, model->unit));
        break;
    case VERIFY_PLACE:
        snprintf(text, text_size,
                 "a block of another place: offset %" PRIu64 ", length %" PRIu32 ", job %" PRIu32 ", seed %" PRIu64,
                 header.offset, header.unit, header.job, header.seed);
        break;
    case VERIFY_STALE:
        snprintf(text, text_size, "a stale block, write %" PRIu64 " of job %" PRIu32, header.sequence, header.job);
        break;
    case VERIFY_FUTURE:
        snprintf(text, text_size, "a block never meant to stay, write %" PRIu64 " of job %" PRIu32, header.sequence,
                 header.job);
        break;
    }
}
