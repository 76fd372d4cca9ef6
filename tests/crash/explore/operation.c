/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * operation.c — the language of workloads: parsing and printing.
 */
#include "crash/explore/operation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verb {
    char name;
    int8_t numbers;
};
static const struct verb verbs[] = {
    {'w', 2}, {'W', 2}, {'y', 2}, {'a', 1}, {'t', 1}, {'f', 0}, {'x', 0}, {'u', 0}, {'v', 0},
    {'r', 2}, {'b', 0}, {'l', 0}, {'i', 2}, {'m', 0}, {'M', 0}, {'n', 2}, {'s', 0}, {'p', 2},
    {'z', 2}, {'e', 2}, {'c', 0}, {'C', 0}, {'D', 0}, {'q', 0}, {'h', 0}, {'d', 0},
};

int operation_numbers(char verb)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (verbs[i].name == verb)
            return verbs[i].numbers;
    return -1;
}

bool operation_writes(char verb)
{
    return verb == 'w' || verb == 'W' || verb == 'y' || verb == 'a' || verb == 'n';
}

bool operation_syncs(char verb)
{
    return verb == 'f' || verb == 'y' || verb == 's';
}

uint8_t operation_byte(unsigned number, unsigned file, uint64_t offset)
{
    uint64_t x = (offset + 1) * UINT64_C(0x9e3779b97f4a7c15) + (number * 2 + file + 1) * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 29;
    x *= UINT64_C(0x94d049bb133111eb);
    return (uint8_t)(1 + (x >> 32) % 255);
}

/* ---- parsing ---- */

static void skip_blanks(const char **at)
{
    while (**at == ' ')
        ++*at;
}

static bool take_number(const char **at, uint32_t *number)
{
    char *end;
    skip_blanks(at);
    if (**at < '0' || **at > '9')
        return false;
    unsigned long value = strtoul(*at, &end, 10);
    *at = end;
    *number = (uint32_t)value;
    return value <= UINT32_MAX;
}

static bool take_word(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool parse_switch(const char **at, struct workload *workload)
{
    uint32_t step, thread;
    if (workload->switches == WORKLOAD_SWITCHES || !take_number(at, &step) || !take_word(at, ">") ||
        !take_number(at, &thread) || thread >= OPERATION_ACTORS)
        return false;
    workload->at[workload->switches++] = (struct workload_switch){step, (uint8_t)thread};
    return true;
}

static bool parse_words(const char **at, struct workload *workload)
{
    for (skip_blanks(at); !take_word(at, ":"); skip_blanks(at)) {
        if (take_word(at, "atomic"))
            workload->atomic = true;
        else if (take_word(at, "empty"))
            workload->empty = true;
        else if (take_word(at, "threads"))
            workload->threads = true;
        else if (take_word(at, "processes"))
            workload->processes = true;
        else if (take_word(at, "heir"))
            workload->processes = workload->heir = true;
        else if (take_word(at, "kill=")) {
            if (!take_number(at, &workload->kill))
                return false;
        } else if (!take_word(at, "switch=") || !parse_switch(at, workload)) {
            return false;
        }
    }
    return true;
}

static bool parse_operation(const char **at, struct operation *operation)
{
    uint32_t actor = 0, number[2] = {0, 0};
    take_number(at, &actor);
    skip_blanks(at);
    int numbers = operation_numbers(**at);
    if (numbers < 0 || actor >= OPERATION_ACTORS)
        return false;
    operation->verb = *(*at)++;
    operation->actor = (uint8_t)actor;
    skip_blanks(at);
    if (**at != 'a' && **at != 'b')
        return false;
    operation->file = (uint8_t)(*(*at)++ - 'a');
    for (int i = 0; i < numbers; i++)
        if (!take_number(at, &number[i]))
            return false;
    operation->offset = numbers == 2 ? number[0] : 0;
    operation->length = numbers == 2 ? number[1] : number[0];
    return operation->offset <= OPERATION_SIZE_MOST && operation->length <= OPERATION_SIZE_MOST - operation->offset;
}

bool workload_parse(const char *text, struct workload *workload, const char **error)
{
    memset(workload, 0, sizeof *workload);
    *error = text;
    const char *at = text;
    if (strchr(text, ':') && !parse_words(&at, workload)) {
        *error = at;
        return false;
    }
    for (skip_blanks(&at); *at; skip_blanks(&at)) {
        *error = at;
        if (workload->count == WORKLOAD_MOST || !parse_operation(&at, &workload->operation[workload->count++]))
            return false;
        skip_blanks(&at);
        if (*at && *at != ';' && *at != ',') /* CMake's lists are made by the one */
            return false;
        at += *at != 0;
    }
    return true;
}

/* ---- printing ---- */

struct writer {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(writer->at, writer->left, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < writer->left ? (size_t)n : writer->left - 1;
    writer->at += used;
    writer->left -= used;
}

static void print_operation(struct writer *writer, const struct operation *operation)
{
    if (operation->actor)
        put(writer, "%u ", operation->actor);
    put(writer, "%c %c", operation->verb, 'a' + operation->file);
    int numbers = operation_numbers(operation->verb);
    if (numbers == 2)
        put(writer, " %u", operation->offset);
    if (numbers >= 1)
        put(writer, " %u", operation->length);
}

void workload_print(const struct workload *workload, char *text, size_t size)
{
    struct writer writer = {text, size};
    put(&writer, "%s%s%s%s", workload->atomic ? "atomic " : "", workload->empty ? "empty " : "",
        workload->threads ? "threads " : "",
        workload->heir        ? "heir "
        : workload->processes ? "processes "
                              : "");
    if (workload->processes)
        put(&writer, "kill=%u ", workload->kill);
    for (unsigned i = 0; i < workload->switches; i++)
        put(&writer, "switch=%u>%u ", workload->at[i].step, workload->at[i].thread);
    put(&writer, ":");
    for (unsigned i = 0; i < workload->count; i++) {
        put(&writer, i ? "; " : " ");
        print_operation(&writer, &workload->operation[i]);
    }
}
