/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv_kyoto.c — Kyoto Cabinet's B+ tree, which stores into a mapping of its file. It is never told to begin a transaction:
 * mode "nosync" syncs after each KV_GROUP of them, and what is there in between only a failure-atomic mapping keeps whole.
 */
#include "kv.h"

#include <kclangc.h>
#include <stdio.h>
#include <string.h>

enum { KV_PATH = 512 };

static struct kv_kyoto {
    KCDB *base;
    unsigned commits;
} kv;

static void check(const char *what, int32_t result)
{
    if (!result && kcdbecode(kv.base) != KCENOREC)
        kv_fail(what, kcdbemsg(kv.base));
}

void kv_open(const char *directory, const char *mode)
{
    char path[KV_PATH];
    (void)mode;
    snprintf(path, sizeof path, "%s/data.kct#pccap=20000", directory);
    kv.base = kcdbnew();
    check("open", kcdbopen(kv.base, path, KCOWRITER | KCOCREATE));
}

void kv_close(void)
{
    check("close", kcdbclose(kv.base));
    kcdbdel(kv.base);
}

void kv_begin(void)
{
}

void kv_put(const char *key, const char *value, size_t length)
{
    check("put", kcdbset(kv.base, key, strlen(key), value, length));
}

void kv_delete(const char *key)
{
    check("delete", kcdbremove(kv.base, key, strlen(key)));
}

void kv_commit(void)
{
    if (++kv.commits % KV_GROUP == 0)
        check("sync", kcdbsync(kv.base, 1, NULL, NULL));
}

void kv_each(void each(const char *key, size_t key_length, const char *value, size_t length))
{
    KCCUR *cursor = kcdbcursor(kv.base);
    const char *value;
    size_t key_length, length;
    kccurjump(cursor);
    for (char *key; (key = kccurget(cursor, &key_length, &value, &length, 1));) {
        each(key, key_length, value, length);
        kcfree(key);
    }
    kccurdel(cursor);
}
