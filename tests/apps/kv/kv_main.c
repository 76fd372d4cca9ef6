/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv_main.c — a program that makes transactions in a database and tells each that is committed.
 *
 *     kv_DATABASE write DIRECTORY MODE FIRST COUNT     prints the number of each transaction when it is durable
 *     kv_DATABASE dump DIRECTORY MODE                  prints key, length and a hash of each pair
 *
 * Transaction n puts the keys n.0 ... n.4, overwrites "last", and deletes one key of an earlier transaction.
 */
#include "kv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KV_KEYS = 5, KV_BACK = 40, KV_LONGEST = 3000, KV_NAME = 32 };

void kv_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void name_key(char name[KV_NAME], unsigned long n, unsigned k)
{
    snprintf(name, KV_NAME, "%08lu.%u", n, k);
}

/* Length and bytes follow from the numbers. */
static void put(unsigned long n, unsigned k)
{
    char name[KV_NAME];
    char value[KV_LONGEST];
    size_t length = (n * 7919 + k * 104729) % (k ? 300 : KV_LONGEST);
    for (size_t i = 0; i < length; i++)
        value[i] = (char)((n * 31 + k * 7 + i * i) & 0xff);
    name_key(name, n, k);
    kv_put(name, value, length);
}

static void transaction(unsigned long n)
{
    char name[KV_NAME];
    kv_begin();
    for (unsigned k = 0; k < KV_KEYS; k++)
        put(n, k);
    if (n >= KV_BACK) {
        name_key(name, n - KV_BACK, (unsigned)(n % KV_KEYS));
        kv_delete(name);
    }
    int length = snprintf(name, sizeof name, "%lu", n);
    kv_put("last", name, (size_t)length);
    kv_commit();
}

static void say(unsigned long n)
{
    char text[KV_NAME];
    int length = snprintf(text, sizeof text, "%lu\n", n);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        exit(EXIT_FAILURE);
}

static void show(const char *key, size_t key_length, const char *value, size_t length)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)value[i]) * prime;
    printf("%.*s %zu %016llx\n", (int)key_length, key, length, (unsigned long long)hash);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        kv_fail("kv", "write DIRECTORY MODE FIRST COUNT, or dump DIRECTORY MODE");
    kv_open(argv[2], argv[3]);
    if (strcmp(argv[1], "dump") == 0) {
        kv_each(show);
    } else {
        unsigned long first = argc == 6 ? strtoul(argv[4], NULL, 10) : 0;
        unsigned long count = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
        for (unsigned long n = first; n < first + count; n++) {
            transaction(n);
            say(n);
        }
    }
    kv_close();
    return EXIT_SUCCESS;
}
