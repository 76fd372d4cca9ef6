/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv.h — what the programs of the key-value tests share: the same transactions on each database. kv_main.c makes them,
 * kv_<database>.c knows how; ../keyvalue.py knows what must be there after n of them.
 */
#ifndef APPS_KV_H
#define APPS_KV_H

#include <stdbool.h>
#include <stddef.h>

/* Mode "nosync" of those that have it: what is synced together. ../keyvalue.py knows it as GROUP. */
enum { KV_GROUP = 8 };

/* A database's functions end the program with kv_fail where they fail. `mode` is the database's own word. */
void kv_open(const char *directory, const char *mode);
void kv_close(void);
void kv_begin(void);
void kv_put(const char *key, const char *value, size_t length);
void kv_delete(const char *key); /* a key that is not there is all right */
void kv_commit(void);            /* durable when it returns */
/* Calls back for each pair, by ascending keys. */
void kv_each(void each(const char *key, size_t key_length, const char *value, size_t length));

void kv_fail(const char *what, const char *why) __attribute__((noreturn));

#endif
