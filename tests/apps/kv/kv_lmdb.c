/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv_lmdb.c — LMDB, which reads through a shared mapping what it has written by pwrite, or, mode "map", through the
 * mapping as well. Mode "nosync": the latter without any order, and a sync of the whole after each KV_GROUP transactions;
 * it is the mapping that must be failure-atomic.
 */
#include "kv.h"

#include <lmdb.h>
#include <string.h>

enum { LMDB_MAP_SIZE = 64 << 20 };

static struct kv_lmdb {
    MDB_env *environment;
    MDB_txn *transaction;
    MDB_dbi base;
    bool grouped;
    unsigned commits;
} kv;

static void check(const char *what, int result)
{
    if (result)
        kv_fail(what, mdb_strerror(result));
}

void kv_open(const char *directory, const char *mode)
{
    check("create", mdb_env_create(&kv.environment));
    check("size", mdb_env_set_mapsize(kv.environment, LMDB_MAP_SIZE));
    kv.grouped = strcmp(mode, "nosync") == 0;
    unsigned flags = kv.grouped ? MDB_WRITEMAP | MDB_NOSYNC : strcmp(mode, "map") == 0 ? MDB_WRITEMAP : 0;
    check("open", mdb_env_open(kv.environment, directory, flags, 0644));
}

void kv_close(void)
{
    mdb_env_close(kv.environment);
}

void kv_begin(void)
{
    check("begin", mdb_txn_begin(kv.environment, NULL, 0, &kv.transaction));
    check("base", mdb_dbi_open(kv.transaction, NULL, 0, &kv.base));
}

void kv_put(const char *key, const char *value, size_t length)
{
    MDB_val k = {strlen(key), (void *)key};
    MDB_val v = {length, (void *)value};
    check("put", mdb_put(kv.transaction, kv.base, &k, &v, 0));
}

void kv_delete(const char *key)
{
    MDB_val k = {strlen(key), (void *)key};
    int result = mdb_del(kv.transaction, kv.base, &k, NULL);
    check("delete", result == MDB_NOTFOUND ? 0 : result);
}

void kv_commit(void)
{
    check("commit", mdb_txn_commit(kv.transaction));
    if (kv.grouped && ++kv.commits % KV_GROUP == 0)
        check("sync", mdb_env_sync(kv.environment, 1));
}

void kv_each(void each(const char *key, size_t key_length, const char *value, size_t length))
{
    MDB_cursor *cursor;
    MDB_val k;
    MDB_val v;
    check("begin", mdb_txn_begin(kv.environment, NULL, MDB_RDONLY, &kv.transaction));
    check("base", mdb_dbi_open(kv.transaction, NULL, 0, &kv.base));
    check("cursor", mdb_cursor_open(kv.transaction, kv.base, &cursor));
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0)
        each(k.mv_data, k.mv_size, v.mv_data, v.mv_size);
    mdb_cursor_close(cursor);
    mdb_txn_abort(kv.transaction);
}
