/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv_bdb.c — Berkeley DB with transactions, its log and its shared region in files; mode "dsync" opens them with O_DSYNC.
 * Each open recovers.
 */
#include "kv.h"

#include <db.h>
#include <string.h>

static struct kv_bdb {
    DB_ENV *environment;
    DB *base;
    DB_TXN *transaction;
} kv;

static void check(const char *what, int result)
{
    if (result)
        kv_fail(what, db_strerror(result));
}

void kv_open(const char *directory, const char *mode)
{
    const u_int32_t use = DB_CREATE | DB_INIT_TXN | DB_INIT_LOG | DB_INIT_LOCK | DB_INIT_MPOOL | DB_RECOVER;
    check("create", db_env_create(&kv.environment, 0));
    check("cache", kv.environment->set_cachesize(kv.environment, 0, 256 << 10, 1));
    check("log", kv.environment->set_lg_max(kv.environment, 1 << 20));
    if (strcmp(mode, "dsync") == 0) {
        check("dsync", kv.environment->set_flags(kv.environment, DB_DSYNC_DB, 1));
        check("dsync", kv.environment->log_set_config(kv.environment, DB_LOG_DSYNC, 1));
    }
    check("open", kv.environment->open(kv.environment, directory, use, 0644));
    check("base", db_create(&kv.base, kv.environment, 0));
    check("base", kv.base->open(kv.base, NULL, "base.db", NULL, DB_BTREE, DB_CREATE | DB_AUTO_COMMIT, 0644));
}

void kv_close(void)
{
    check("close", kv.base->close(kv.base, 0));
    check("checkpoint", kv.environment->txn_checkpoint(kv.environment, 0, 0, 0));
    check("close", kv.environment->close(kv.environment, 0));
}

void kv_begin(void)
{
    check("begin", kv.environment->txn_begin(kv.environment, NULL, &kv.transaction, 0));
}

static DBT thing(const char *data, size_t length)
{
    DBT dbt;
    memset(&dbt, 0, sizeof dbt);
    dbt.data = (void *)data;
    dbt.size = (u_int32_t)length;
    return dbt;
}

void kv_put(const char *key, const char *value, size_t length)
{
    DBT k = thing(key, strlen(key));
    DBT v = thing(value, length);
    check("put", kv.base->put(kv.base, kv.transaction, &k, &v, 0));
}

void kv_delete(const char *key)
{
    DBT k = thing(key, strlen(key));
    int result = kv.base->del(kv.base, kv.transaction, &k, 0);
    check("delete", result == DB_NOTFOUND ? 0 : result);
}

void kv_commit(void)
{
    check("commit", kv.transaction->commit(kv.transaction, DB_TXN_SYNC));
}

void kv_each(void each(const char *key, size_t key_length, const char *value, size_t length))
{
    DBC *cursor;
    DBT k = thing(NULL, 0);
    DBT v = thing(NULL, 0);
    check("cursor", kv.base->cursor(kv.base, NULL, &cursor, 0));
    while (cursor->get(cursor, &k, &v, DB_NEXT) == 0)
        each(k.data, k.size, v.data, v.size);
    check("cursor", cursor->close(cursor));
}
