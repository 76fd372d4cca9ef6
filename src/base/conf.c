/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * conf.c — parses NVMMIO_CONF by a table of keys, resolves NVMMIO_ROOT. Layer base; read by all.
 */
#include "base/conf.h"

#include "base/geometry.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/place.h"
#include "base/rawsys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum conf_kind {
    CONF_KIND_PATH,
    CONF_KIND_PATTERNS,
    CONF_KIND_PM,
    CONF_KIND_AIO,
    CONF_KIND_POLICY,
    CONF_KIND_LEVEL,
    CONF_KIND_SIZE,
    CONF_KIND_TIME,
    CONF_KIND_COUNT,
    CONF_KIND_SWITCH
};

struct conf_key {
    const char *name;
    enum conf_kind kind;
    size_t offset;     /* in struct conf */
    uint64_t min, max; /* of numbers: bytes, microseconds or plain */
};

#define CONF_US_PER_MS UINT64_C(1000)
#define CONF_US_PER_S UINT64_C(1000000)

static const struct conf_key conf_keys[] = {
    {"log", CONF_KIND_PATH, offsetof(struct conf, log_path), 0, 0},
    {"log_level", CONF_KIND_LEVEL, offsetof(struct conf, log_level), MSG_ERROR, MSG_DEBUG},
    {"pm", CONF_KIND_PM, offsetof(struct conf, pm), 0, 0},
    {"log_max", CONF_KIND_SIZE, offsetof(struct conf, log_max), GEOMETRY_LOG_LEAST, UINT64_C(1) << 50},
    {"commit_interval", CONF_KIND_TIME, offsetof(struct conf, commit_interval_ms), 1, 86400 * CONF_US_PER_S},
    {"idle", CONF_KIND_TIME, offsetof(struct conf, idle_ms), 1, 86400 * CONF_US_PER_S},
    {"pool", CONF_KIND_COUNT, offsetof(struct conf, pool), 0, 64},
    {"atomic_map", CONF_KIND_PATTERNS, offsetof(struct conf, atomic_map), 0, 0},
    {"atomic_nvmmap", CONF_KIND_SWITCH, offsetof(struct conf, atomic_nvmmap), 0, 1},
    {"atomic", CONF_KIND_SWITCH, offsetof(struct conf, atomic), 0, 1},
    {"stats", CONF_KIND_SWITCH, offsetof(struct conf, stats), 0, 1},
    {"lease", CONF_KIND_SWITCH, offsetof(struct conf, lease), 0, 1},
    {"aio", CONF_KIND_AIO, offsetof(struct conf, aio), 0, 0},
    {"policy", CONF_KIND_POLICY, offsetof(struct conf, policy), 0, 0},
};

/* A piece of the text: key or value. */
struct conf_span {
    const char *at;
    size_t len;
};

static bool conf_span_is(struct conf_span span, const char *word)
{
    return span.len == strlen(word) && !memcmp(span.at, word, span.len);
}

/* A decimal number; *rest is what follows it. -EINVAL without digits or above 2^64. */
static int conf_digits(struct conf_span span, uint64_t *value, struct conf_span *rest)
{
    size_t i = 0;
    *value = 0;
    for (; i < span.len && span.at[i] >= '0' && span.at[i] <= '9'; i++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (unsigned)(span.at[i] - '0'), value))
            return -EINVAL;
    *rest = (struct conf_span){span.at + i, span.len - i};
    return i ? 0 : -EINVAL;
}

/* The factor of a unit; 0 if there is no such unit. Times in microseconds. */
static uint64_t conf_unit(enum conf_kind kind, struct conf_span unit)
{
    if (kind == CONF_KIND_TIME) {
        if (!unit.len || conf_span_is(unit, "ms"))
            return CONF_US_PER_MS;
        return conf_span_is(unit, "us") ? 1 : conf_span_is(unit, "s") ? CONF_US_PER_S : 0;
    }
    if (!unit.len)
        return 1;
    const char *const letters = "KMGT";
    const char *letter = kind == CONF_KIND_SIZE && unit.len == 1 ? memchr(letters, unit.at[0], strlen(letters)) : NULL;
    return letter ? UINT64_C(1) << (10 * (letter - letters + 1)) : 0;
}

static int conf_number(const struct conf_key *key, struct conf_span text, uint64_t *value)
{
    struct conf_span unit;
    int error = conf_digits(text, value, &unit);
    if (error)
        return error;
    uint64_t factor = conf_unit(key->kind, unit);
    if (!factor || __builtin_mul_overflow(*value, factor, value) || *value < key->min || *value > key->max)
        return -EINVAL;
    return 0;
}

static int conf_set_path(char *path, size_t room, struct conf_span text)
{
    bool known = conf_span_is(text, "stderr") || (text.len && text.at[0] == '/');
    if (!known || text.len >= room)
        return -EINVAL;
    memcpy(path, text.at, text.len);
    path[text.len] = 0;
    return 0;
}

static int conf_set_patterns(char *patterns, size_t room, struct conf_span text)
{
    if (!text.len || text.len >= room)
        return -EINVAL;
    memcpy(patterns, text.at, text.len);
    patterns[text.len] = 0;
    return 0;
}

#define CONF_WORDS_MOST 3u

/* What a key of words may be: the numbers of its enum, in order. */
static const char *const conf_words[][CONF_WORDS_MOST] = {
    [CONF_KIND_PM] = {[CONF_PM_AUTO] = "auto", [CONF_PM_FORCE] = "force", [CONF_PM_NONE] = "none"},
    [CONF_KIND_AIO] = {[CONF_AIO_DENY] = "deny", [CONF_AIO_ALLOW] = "allow"},
    [CONF_KIND_POLICY] = {[CONF_POLICY_REDO] = "redo", [CONF_POLICY_UNDO] = "undo", [CONF_POLICY_HYBRID] = "hybrid"},
};

static int conf_word(enum conf_kind kind, struct conf_span text, uint64_t *value)
{
    for (unsigned i = 0; i < CONF_WORDS_MOST && conf_words[kind][i]; i++) {
        if (conf_span_is(text, conf_words[kind][i])) {
            *value = i;
            return 0;
        }
    }
    return -EINVAL;
}

static inline bool conf_is_word(enum conf_kind kind)
{
    return kind == CONF_KIND_PM || kind == CONF_KIND_AIO || kind == CONF_KIND_POLICY;
}

static int conf_set(struct conf *conf, const struct conf_key *key, struct conf_span text)
{
    void *field = (char *)conf + key->offset;
    uint64_t number = 0;
    if (key->kind == CONF_KIND_PATH)
        return conf_set_path(field, sizeof conf->log_path, text);
    if (key->kind == CONF_KIND_PATTERNS)
        return conf_set_patterns(field, sizeof conf->atomic_map, text);
    int error = conf_is_word(key->kind) ? conf_word(key->kind, text, &number) : conf_number(key, text, &number);
    if (error)
        return error;
    switch (key->kind) {
    case CONF_KIND_PM:
        *(enum conf_pm *)field = (enum conf_pm)number;
        break;
    case CONF_KIND_AIO:
        *(enum conf_aio *)field = (enum conf_aio)number;
        break;
    case CONF_KIND_POLICY:
        *(enum conf_policy *)field = (enum conf_policy)number;
        break;
    case CONF_KIND_SIZE:
        *(uint64_t *)field = number;
        break;
    case CONF_KIND_TIME: /* rounded up: 1 us is not "at once" */
        *(uint32_t *)field = (uint32_t)((number + CONF_US_PER_MS - 1) / CONF_US_PER_MS);
        break;
    case CONF_KIND_COUNT:
        *(uint32_t *)field = (uint32_t)number;
        break;
    case CONF_KIND_LEVEL:
        *(int *)field = (int)number;
        break;
    default:
        *(bool *)field = number;
        break;
    }
    return 0;
}

static const struct conf_key *conf_key_find(struct conf_span name)
{
    for (size_t i = 0; i < sizeof conf_keys / sizeof conf_keys[0]; i++)
        if (conf_span_is(name, conf_keys[i].name))
            return &conf_keys[i];
    return NULL;
}

/* Cuts "key:value" at *text and moves *text behind it and its comma; a missing ':' leaves value.at NULL. */
static void conf_cut(const char **text, struct conf_span *key, struct conf_span *value)
{
    const char *end = strchrnul(*text, ',');
    const char *colon = memchr(*text, ':', (size_t)(end - *text));
    key->at = *text;
    key->len = (size_t)((colon ? colon : end) - *text);
    value->at = colon ? colon + 1 : NULL;
    value->len = colon ? (size_t)(end - value->at) : 0;
    *text = *end ? end + 1 : end;
}

int conf_parse(const char *text, struct conf *conf, size_t *where)
{
    struct conf result = *conf;
    const char *p = text;
    bool more = *p;
    while (more) {
        struct conf_span name, value;
        conf_cut(&p, &name, &value);
        const struct conf_key *key = conf_key_find(name);
        if (!key || !value.at) {
            *where = (size_t)(name.at - text);
            return -EINVAL;
        }
        if (conf_set(&result, key, value)) {
            *where = (size_t)(value.at - text);
            return -EINVAL;
        }
        more = *p || p[-1] == ','; /* a comma at the end promises one more */
    }
    *conf = result;
    return 0;
}

void conf_defaults(struct conf *conf)
{
    *conf = (struct conf){
        .valid = true,
        .pm = CONF_PM_AUTO,
        .policy = CONF_POLICY_HYBRID,
        .log_level = MSG_NOTICE,
        .atomic_nvmmap = true,
        .log_max = UINT64_C(8) << 30,
        .commit_interval_ms = 5000,
        .idle_ms = 100,
        .pool = 4,
    };
}

/* Of a string that is ignored, the place of messages is used all the same, to say so. */
static void conf_find_log(const char *text, struct conf *conf)
{
    while (*text) {
        struct conf_span name, value;
        conf_cut(&text, &name, &value);
        if (value.at && conf_span_is(name, "log"))
            conf_set_path(conf->log_path, sizeof conf->log_path, value);
    }
}

/* The real path of the directory, to be kept for ever; NULL if it cannot be had. `buf` has CONF_PATH_MAX bytes. */
static const char *conf_real_path(char *buf)
{
    int fd = sys_openat(AT_FDCWD, buf, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    ssize_t len = place_name(fd, buf, CONF_PATH_MAX);
    sys_close(fd);
    if (len <= 0 || len >= CONF_PATH_MAX || buf[0] != '/')
        return NULL;
    char *path = mem_alloc((size_t)len + 1);
    if (path)
        memcpy(path, buf, (size_t)len);
    return path;
}

static void conf_add_roots(struct conf *conf, const char *text)
{
    char *buf = mem_alloc(CONF_PATH_MAX);
    while (*text) {
        const char *end = strchrnul(text, ':');
        size_t len = (size_t)(end - text);
        if (len && conf->root_count < CONF_ROOTS_MAX) {
            const char *root = NULL;
            if (buf && len < CONF_PATH_MAX) {
                memcpy(buf, text, len);
                buf[len] = 0;
                root = conf_real_path(buf);
            }
            conf->root[conf->root_count++] = root;
        }
        text = *end ? end + 1 : end;
    }
    mem_free(buf, CONF_PATH_MAX);
}

static void conf_free(struct conf *conf)
{
    for (unsigned i = 0; i < conf->root_count; i++)
        if (conf->root[i])
            mem_free((void *)conf->root[i], strlen(conf->root[i]) + 1);
    mem_free(conf, sizeof *conf);
}

/* Without memory nothing is managed. */
static const struct conf conf_nothing = {.valid = false, .pm = CONF_PM_NONE};

_Atomic(const struct conf *) conf_current;

/* Whoever builds one first wins: no lock that a forked child could miss. */
static const struct conf *conf_publish(struct conf *conf)
{
    const struct conf *expected = NULL;
    if (atomic_compare_exchange_strong_explicit(&conf_current, &expected, conf, memory_order_acq_rel,
                                                memory_order_acquire))
        return conf;
    conf_free(conf);
    return expected;
}

static void conf_tell(const struct conf *conf, size_t where)
{
    if (!conf->valid)
        msg(MSG_ERROR, "NVMMIO_CONF is ignored: unknown key or impossible value at byte %zu", where);
    for (unsigned i = 0; i < conf->root_count; i++)
        if (!conf->root[i])
            msg(MSG_WARNING, "entry %u of NVMMIO_ROOT is not a directory that can be reached", i + 1);
}

const struct conf *conf_build(void)
{
    struct conf *conf = mem_alloc(sizeof *conf);
    if (!conf)
        return &conf_nothing;
    conf_defaults(conf);
    const char *text = secure_getenv("NVMMIO_CONF");
    const char *roots = secure_getenv("NVMMIO_ROOT");
    size_t where = 0;
    if (text && conf_parse(text, conf, &where)) {
        conf->valid = false;
        conf_find_log(text, conf);
    }
    if (roots)
        conf_add_roots(conf, roots);
    const struct conf *winner = conf_publish(conf);
    if (winner == conf)
        conf_tell(conf, where);
    return winner;
}
