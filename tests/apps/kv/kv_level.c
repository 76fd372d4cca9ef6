/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kv_level.c — LevelDB, and RocksDB (KV_ROCKSDB), whose interfaces for C differ by little more than the prefix. Small
 * buffers, so that tables are made and merged all the time. Modes of RocksDB: "mmap" and "direct".
 */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

#if defined(KV_ROCKSDB)
#include <rocksdb/c.h>
#define LEVEL(name) rocksdb_##name
#else
#include <leveldb/c.h>
#define LEVEL(name) leveldb_##name
#endif

enum { LEVEL_BUFFER = 64 << 10, LEVEL_FILE = 1 << 20 };

static struct kv_level {
    LEVEL(t) * base;
    LEVEL(options_t) * options;
    LEVEL(writebatch_t) * batch;
    LEVEL(writeoptions_t) * durable;
} kv;

static void check(const char *what, char *error)
{
    if (error)
        kv_fail(what, error);
}

static void set_mode(const char *mode)
{
#if defined(KV_ROCKSDB)
    LEVEL(options_set_target_file_size_base)(kv.options, LEVEL_FILE);
    LEVEL(options_set_allow_mmap_reads)(kv.options, strcmp(mode, "mmap") == 0);
    LEVEL(options_set_allow_mmap_writes)(kv.options, strcmp(mode, "mmap") == 0);
    LEVEL(options_set_use_direct_reads)(kv.options, strcmp(mode, "direct") == 0);
    LEVEL(options_set_use_direct_io_for_flush_and_compaction)(kv.options, strcmp(mode, "direct") == 0);
    LEVEL(options_set_recycle_log_file_num)(kv.options, strcmp(mode, "recycle") == 0 ? 2 : 0);
#else
    (void)mode;
    LEVEL(options_set_max_file_size)(kv.options, LEVEL_FILE);
#endif
    LEVEL(options_set_compression)(kv.options, 0);
}

void kv_open(const char *directory, const char *mode)
{
    char *error = NULL;
    kv.options = LEVEL(options_create)();
    LEVEL(options_set_create_if_missing)(kv.options, 1);
    LEVEL(options_set_paranoid_checks)(kv.options, 1);
    LEVEL(options_set_write_buffer_size)(kv.options, LEVEL_BUFFER);
    set_mode(mode);
    kv.base = LEVEL(open)(kv.options, directory, &error);
    check("open", error);
    kv.batch = LEVEL(writebatch_create)();
    kv.durable = LEVEL(writeoptions_create)();
    LEVEL(writeoptions_set_sync)(kv.durable, 1);
}

void kv_close(void)
{
    LEVEL(writeoptions_destroy)(kv.durable);
    LEVEL(writebatch_destroy)(kv.batch);
    LEVEL(close)(kv.base);
    LEVEL(options_destroy)(kv.options);
}

void kv_begin(void)
{
    LEVEL(writebatch_clear)(kv.batch);
}

void kv_put(const char *key, const char *value, size_t length)
{
    LEVEL(writebatch_put)(kv.batch, key, strlen(key), value, length);
}

void kv_delete(const char *key)
{
    LEVEL(writebatch_delete)(kv.batch, key, strlen(key));
}

void kv_commit(void)
{
    char *error = NULL;
    LEVEL(write)(kv.base, kv.durable, kv.batch, &error);
    check("write", error);
}

void kv_each(void each(const char *key, size_t key_length, const char *value, size_t length))
{
    char *error = NULL;
    LEVEL(readoptions_t) *checked = LEVEL(readoptions_create)();
    LEVEL(readoptions_set_verify_checksums)(checked, 1);
    LEVEL(iterator_t) *at = LEVEL(create_iterator)(kv.base, checked);
    for (LEVEL(iter_seek_to_first)(at); LEVEL(iter_valid)(at); LEVEL(iter_next)(at)) {
        size_t key_length;
        size_t length;
        const char *key = LEVEL(iter_key)(at, &key_length);
        const char *value = LEVEL(iter_value)(at, &length);
        each(key, key_length, value, length);
    }
    LEVEL(iter_get_error)(at, &error);
    check("read", error);
    LEVEL(iter_destroy)(at);
    LEVEL(readoptions_destroy)(checked);
}
