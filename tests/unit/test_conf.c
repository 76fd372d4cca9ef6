/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_conf.c — base/conf: the syntax of NVMMIO_CONF, strictly, and what becomes of NVMMIO_ROOT.
 */
#include "unit/unit.h"

#include "base/conf.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_defaults(void **state)
{
    (void)state;
    struct conf conf;
    conf_defaults(&conf);
    assert_true(conf.valid);
    assert_int_equal(conf.root_count, 0);
    assert_int_equal(conf.pm, CONF_PM_AUTO);
    assert_string_equal(conf.log_path, "");
    assert_int_equal(conf.log_level, 3);
    assert_int_equal(conf.log_max, UINT64_C(8) << 30);
    assert_int_equal(conf.commit_interval_ms, 5000);
    assert_int_equal(conf.idle_ms, 100);
    assert_int_equal(conf.pool, 4);
    assert_false(conf.atomic);
    assert_false(conf.stats);
}

static struct conf parse(const char *text)
{
    struct conf conf;
    size_t where = 12345;
    conf_defaults(&conf);
    if (conf_parse(text, &conf, &where))
        fail_msg("\"%s\" refused at %zu", text, where);
    return conf;
}

/* Every key, every unit; the last of two equal keys counts. */
static void test_accepted(void **state)
{
    (void)state;
    struct conf conf = parse("");
    assert_int_equal(conf.idle_ms, 100);
    conf = parse("log:/tmp/x.%p,log_level:4,pm:force,log_max:64M,commit_interval:2s,idle:250,pool:0,atomic:1,stats:1");
    assert_string_equal(conf.log_path, "/tmp/x.%p");
    assert_int_equal(conf.log_level, 4);
    assert_int_equal(conf.pm, CONF_PM_FORCE);
    assert_int_equal(conf.log_max, 64 << 20);
    assert_int_equal(conf.commit_interval_ms, 2000);
    assert_int_equal(conf.idle_ms, 250);
    assert_int_equal(conf.pool, 0);
    assert_true(conf.atomic);
    assert_true(conf.stats);
    assert_string_equal(parse("log:stderr").log_path, "stderr");
    assert_false(parse("").lease);
    assert_true(parse("lease:1").lease);
    assert_int_equal(parse("").aio, CONF_AIO_DENY);
    assert_int_equal(parse("aio:allow").aio, CONF_AIO_ALLOW);
    assert_int_equal(parse("aio:allow,aio:deny").aio, CONF_AIO_DENY);
    assert_int_equal(parse("").policy, CONF_POLICY_HYBRID);
    assert_int_equal(parse("policy:undo").policy, CONF_POLICY_UNDO);
    assert_int_equal(parse("policy:undo,policy:redo").policy, CONF_POLICY_REDO);
    assert_int_equal(parse("pm:none").pm, CONF_PM_NONE);
    assert_int_equal(parse("pm:auto").pm, CONF_PM_AUTO);
    assert_int_equal(parse("log_max:2T").log_max, UINT64_C(2) << 40);
    assert_int_equal(parse("log_max:3G").log_max, UINT64_C(3) << 30);
    assert_int_equal(parse("log_max:2048K").log_max, 2048 << 10);
    assert_int_equal(parse("log_max:1048577").log_max, 1048577);
    assert_int_equal(parse("idle:1us").idle_ms, 1);
    assert_int_equal(parse("idle:1001us").idle_ms, 2);
    assert_int_equal(parse("idle:7ms").idle_ms, 7);
    assert_int_equal(parse("idle:7,idle:8").idle_ms, 8);
    assert_false(parse("stats:1,stats:0").stats);
}

/* What is refused, where it is said to be wrong, and that nothing of it is taken. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t where;
    } bad[] = {
        {"nonsense:1", 0},
        {"stats:1,nonsense:1", 8},
        {"stats", 0},
        {"stats:", 6},
        {"stats:2", 6},
        {"stats:yes", 6},
        {"stats:01x", 6},
        {"policy:", 7},
        {"policy:both", 7},
        {"aio:", 4},
        {"aio:1", 4},
        {"aio:allowed", 4},
        {"stats:1,", 8},
        {",stats:1", 0},
        {"stats:1,,idle:5", 8},
        {" stats:1", 0},
        {"stats :1", 0},
        {"Stats:1", 0},
        {"log_level:0", 10},
        {"log_level:5", 10},
        {"log_level:-1", 10},
        {"log:relative", 4},
        {"log:", 4},
        {"pm:maybe", 3},
        {"log_max:0", 8},
        {"log_max:8Q", 8},
        {"log_max:8GB", 8},
        {"log_max:G", 8},
        {"log_max:1.5G", 8},
        {"log_max:18446744073709551616", 8},
        {"log_max:99999999T", 8},
        {"log_max:18446744073709551615K", 8},
        {"idle:0", 5},
        {"idle:5m", 5},
        {"idle:1h", 5},
        {"idle:99999999999s", 5},
        {"pool:65", 5},
        {"pool:4K", 5},
        {"idle:5,commit_interval:x", 23},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct conf conf, untouched;
        memset(&conf, 0, sizeof conf);
        conf_defaults(&conf);
        untouched = conf;
        size_t where = 12345;
        if (conf_parse(bad[i].text, &conf, &where) != -EINVAL)
            fail_msg("\"%s\" accepted", bad[i].text);
        if (where != bad[i].where)
            fail_msg("\"%s\": %zu instead of %zu", bad[i].text, where, bad[i].where);
        assert_memory_equal(&conf, &untouched, sizeof conf);
    }
    struct conf conf;
    size_t where;
    char text[400] = "log:/";
    memset(text + 5, 'x', 300);
    assert_int_equal(conf_parse(text, &conf, &where), -EINVAL);
}

/* Runs `check` in a child with the two variables, since a process reads them once. */
static void in_child(const char *conf_text, const char *root_text, int (*check)(const struct conf *))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        unsetenv("NVMMIO_CONF");
        unsetenv("NVMMIO_ROOT");
        if (conf_text)
            setenv("NVMMIO_CONF", conf_text, 1);
        if (root_text)
            setenv("NVMMIO_ROOT", root_text, 1);
        const struct conf *conf = conf_get();
        _exit(conf == conf_get() ? check(conf) : 99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int check_unset(const struct conf *conf)
{
    return conf->valid && conf->root_count == 0 && !conf->log_path[0] ? 0 : 1;
}

static int check_invalid(const struct conf *conf)
{
    return !conf->valid && conf->idle_ms == 100 && !conf->stats ? 0 : 1;
}

/* Nothing set: defaults. A bad string is ignored as a whole. */
static void test_environment(void **state)
{
    (void)state;
    in_child(NULL, NULL, check_unset);
    in_child("", "", check_unset);
    in_child("", ":::", check_unset);
    in_child("idle:7,bad:1,stats:1", NULL, check_invalid);
}

static char root_dir[UNIT_PATH_MAX];

static int check_roots(const struct conf *conf)
{
    char expected[UNIT_PATH_MAX + 8];
    if (conf->root_count != 5)
        return 1;
    snprintf(expected, sizeof expected, "%s/a", root_dir);
    if (!conf->root[0] || strcmp(conf->root[0], expected)) /* slash removed */
        return 2;
    if (conf->root[1]) /* is not there */
        return 3;
    if (!conf->root[2] || strcmp(conf->root[2], expected)) /* by a symbolic link and dots */
        return 4;
    if (conf->root[3]) /* a file */
        return 5;
    return conf->root[4] && !strcmp(conf->root[4], "/") ? 0 : 6;
}

static int check_most(const struct conf *conf)
{
    return conf->root_count == CONF_ROOTS_MAX ? 0 : 1;
}

static int check_one_unknown(const struct conf *conf)
{
    return conf->root_count == 1 && !conf->root[0] ? 0 : 1;
}

/* Roots are real paths; those that cannot be reached keep their place, empty; there are not more than the table takes. */
static void test_roots(void **state)
{
    (void)state;
    char text[1024], path[UNIT_PATH_MAX + 16], link[UNIT_PATH_MAX + 16];
    unit_directory(root_dir);
    snprintf(path, sizeof path, "%s/a", root_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(link, sizeof link, "%s/l", root_dir);
    assert_int_equal(symlink("a", link), 0);
    snprintf(text, sizeof text, "%s/a/:%s/absent::%s/../%s/l/.:/etc/passwd:/", root_dir, root_dir, root_dir,
             strrchr(root_dir, '/') + 1);
    in_child(NULL, text, check_roots);
    text[0] = 0;
    for (int i = 0; i < CONF_ROOTS_MAX + 5; i++)
        strcat(text, "/dev:");
    in_child(NULL, text, check_most);
    static char longer[2 * CONF_PATH_MAX];
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    in_child(NULL, longer, check_one_unknown);
    unlink(link);
    rmdir(path);
    rmdir(root_dir);
}

static int check_nothing(const struct conf *conf)
{
    return conf->pm == CONF_PM_NONE && !conf->valid ? 0 : 1;
}

/* Without memory there is a configuration all the same: one that manages nothing. */
static void test_no_memory(void **state)
{
    (void)state;
    pid_t child = fork();
    if (!child) {
        mem_fail_after(0);
        _exit(check_nothing(conf_get()));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void *get(void *arg)
{
    pthread_barrier_wait(arg);
    return (void *)(uintptr_t)conf_get();
}

/* Threads that ask at once get the same one. (The only test that reads the variables in this process.) */
static void test_threads(void **state)
{
    (void)state;
    pthread_barrier_t barrier;
    pthread_t thread[8];
    setenv("NVMMIO_ROOT", "/:/dev", 1);
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, get, &barrier), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_ptr_equal(result, conf_get());
    }
    pthread_barrier_destroy(&barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_accepted),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_roots),    cmocka_unit_test(test_environment), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
