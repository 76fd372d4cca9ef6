/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * test_log.c — one log file: names, creation, locks, growth, issue and retirement, and what is refused.
 */
#include "unit/fault.h"
#include "unit/unit.h"

#include "base/highfd.h"
#include "base/rawsys.h"
#include "log/log.h"
#include "log/log_recover.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 64u

struct place {
    char path[UNIT_PATH_MAX];
    int dirfd;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    unit_directory(place->path);
    place->dirfd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(place->dirfd >= 0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    char command[UNIT_PATH_MAX + 16];
    close(place->dirfd);
    snprintf(command, sizeof command, "rm -rf %s", place->path);
    int result = system(command);
    free(place);
    return result;
}

static void make(struct place *place, struct log *log)
{
    assert_int_equal(log_create(log, place->dirfd, geteuid(), BLOCKS, PM_MAP_SYNC_NEVER), 0);
}

static unsigned names(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static unsigned descriptors(void)
{
    return names("/proc/self/fd");
}

/* A name is 16 hex digits and .log, and nothing else is taken for one. */
static void test_names(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "table",
                                         "0123456789abcdef",
                                         "0123456789abcdef.lo",
                                         "0123456789abcdef.log2",
                                         "0123456789ABCDEF.log",
                                         "0123456789abcdeg.log",
                                         "0000000000000000.log",
                                         "0123456789abcdef.tmp"};
    char name[LOG_NAME_BYTES];
    uint64_t id = 0;
    log_name_format(UINT64_C(0x0123456789abcdef), name);
    assert_string_equal(name, "0123456789abcdef.log");
    assert_true(log_name_parse(name, &id));
    assert_true(id == UINT64_C(0x0123456789abcdef));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(log_name_parse(others[i], &id));
}

/* A new log is the owner's alone, allocated, zero, pooled, and locked before it can be found. */
static void test_create(void **state)
{
    struct place *place = *state;
    struct log log, other;
    struct stat st;
    mode_t mask = umask(0277);
    make(place, &log);
    umask(mask);
    assert_int_equal(fstat(log.fd, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(log_blocks_in((uint64_t)st.st_size), LOG_FIRST_BLOCK + BLOCKS);
    assert_true(st.st_blocks * 512 >= (off_t)(BLOCKS * LOG_BLOCK));
    assert_int_equal(fcntl(log.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    struct log_header *copy = malloc(sizeof *copy);
    assert_int_equal(log_check(&log, geteuid(), copy), -ENODATA);
    free(copy);
    assert_int_equal(log_block(&log, LOG_FIRST_BLOCK + BLOCKS - 1)[LOG_BLOCK - 1], 0);
    assert_int_equal(log_open(&other, place->dirfd, log.id, geteuid()), 0);
    assert_int_equal(log_lock(&other, LOG_LOCK_SHARED), -EAGAIN);
    assert_int_equal(log_lock(&other, LOG_LOCK_EXCLUSIVE), -EAGAIN);
    log_close(&other);
    assert_int_equal(log_unlink(&log), 0);
    log_close(&log);
    assert_int_equal(names(place->path), 0);
}

/* Without O_TMPFILE a log is made just the same. */
static long invoke_without_tmpfile(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_openat && (c & O_TMPFILE) == O_TMPFILE)
        return -EOPNOTSUPP;
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

static void test_create_without_tmpfile(void **state)
{
    struct place *place = *state;
    struct log log, other;
    rawsys_table.invoke = invoke_without_tmpfile;
    make(place, &log);
    rawsys_table.invoke = rawsys_invoke_kernel;
    assert_int_equal(names(place->path), 1);
    assert_int_equal(log_open(&other, place->dirfd, log.id, geteuid()), 0);
    assert_int_equal(log_lock(&other, LOG_LOCK_SHARED), -EAGAIN);
    log_close(&other);
    log_close(&log);
}

/* Whichever system call of log_create fails, the error is told and everything is undone. */
static void test_create_faults(void **state)
{
    static const long numbers[] = {SYS_openat,    SYS_fcntl, SYS_fchmod, SYS_fstat,  SYS_newfstatat,
                                   SYS_fallocate, SYS_fsync, SYS_mmap,   SYS_linkat, SYS_getrandom};
    struct place *place = *state;
    unsigned before = descriptors(), failed = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (unsigned nth = 1; nth < 20; nth++) {
            struct log log;
            fault_start();
            fault_set(numbers[i], nth, ENOSPC, false);
            int result = log_create(&log, place->dirfd, geteuid(), BLOCKS, PM_MAP_SYNC_NEVER);
            bool hit = fault_hits() > 0;
            fault_stop();
            if (result == 0) {
                log_unlink(&log);
                log_close(&log);
            } else {
                assert_true(result == -ENOSPC || result == -ENOMEM); /* mmap tells the latter */
                failed++;
            }
            assert_int_equal(names(place->path), 0);
            assert_int_equal(descriptors(), before);
            if (!hit)
                break;
        }
    assert_true(failed >= 10); /* a failed move of the descriptor alone is borne */
}

/* Whatever is not a regular file of the owner, 0600, with one link, is refused, and a name that is not there is told. */
static void test_open_refusals(void **state)
{
    struct place *place = *state;
    struct log log, opened;
    char name[LOG_NAME_BYTES];
    make(place, &log);
    log_name_format(log.id, name);

    assert_int_equal(log_open(&opened, place->dirfd, log.id + 1, geteuid()), -ENOENT);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid() + 1), -ESTALE);
    assert_int_equal(fchmod(log.fd, 0640), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), -ESTALE);
    assert_int_equal(fchmod(log.fd, 0600), 0);
    assert_int_equal(linkat(place->dirfd, name, place->dirfd, "twin", 0), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), -ESTALE);
    assert_int_equal(unlinkat(place->dirfd, "twin", 0), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), 0);
    log_close(&opened);

    assert_int_equal(renameat(place->dirfd, name, place->dirfd, "moved"), 0);
    assert_int_equal(symlinkat("moved", place->dirfd, name), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), -ESTALE);
    assert_int_equal(unlinkat(place->dirfd, name, 0), 0);
    assert_int_equal(mkdirat(place->dirfd, name, 0700), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), -ESTALE);
    assert_int_equal(unlinkat(place->dirfd, name, AT_REMOVEDIR), 0);
    assert_int_equal(mknodat(place->dirfd, name, S_IFIFO | 0600, 0), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), -ESTALE);
    log_close(&log);
}

/* A file too short for a header is not mapped: a load would be a SIGBUS. */
static void test_map_short(void **state)
{
    struct place *place = *state;
    struct log log, opened;
    make(place, &log);
    assert_int_equal(ftruncate(log.fd, LOG_HEADER_BYTES - 1), 0);
    assert_int_equal(log_open(&opened, place->dirfd, log.id, geteuid()), 0);
    assert_int_equal(log_map(&opened, PM_MAP_SYNC_NEVER), -ESTALE);
    struct log_header *copy = malloc(sizeof *copy);
    assert_int_equal(log_check(&opened, geteuid(), copy), -EBADMSG);
    free(copy);
    log_close(&opened);
    log_close(&log);
}

/* Locks: shared ones stand together, an exclusive one alone; downgrade; the kernel drops a dead process's. */
static void test_locks(void **state)
{
    struct place *place = *state;
    struct log log, second;
    make(place, &log);
    assert_int_equal(log_open(&second, place->dirfd, log.id, geteuid()), 0);
    assert_int_equal(log_lock(&log, LOG_LOCK_SHARED), 0);
    assert_int_equal(log_lock(&second, LOG_LOCK_SHARED), 0);
    assert_int_equal(log_lock(&second, LOG_LOCK_EXCLUSIVE), -EAGAIN);
    assert_int_equal(log_lock(&log, LOG_LOCK_NONE), 0);
    assert_int_equal(log_lock(&second, LOG_LOCK_EXCLUSIVE), 0);
    log_close(&second);

    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct log own;
        uint64_t id = log.id;
        close(ready[0]);
        log_forget(&log);
        if (log_open(&own, place->dirfd, id, geteuid()) || log_lock(&own, LOG_LOCK_EXCLUSIVE) ||
            log_map(&own, PM_MAP_SYNC_NEVER))
            _exit(1);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(log_lock(&log, LOG_LOCK_SHARED), -EAGAIN);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(log_lock(&log, LOG_LOCK_EXCLUSIVE), 0);
    close(ready[0]);
    log_close(&log);
}

/* Growth across a group boundary gives zeroed blocks and entries, may be repeated, and keeps what is there. */
static void test_grow(void **state)
{
    struct place *place = *state;
    struct log log;
    struct stat st;
    make(place, &log);
    log_block(&log, LOG_FIRST_BLOCK)[7] = 'x';
    assert_int_equal(log_grow(&log, LOG_FIRST_BLOCK, BLOCKS), 0);
    assert_int_equal(log_block(&log, LOG_FIRST_BLOCK)[7], 'x');
    uint32_t last = LOG_GROUP_BLOCKS + 15;
    assert_int_equal(log_grow(&log, LOG_GROUP_BLOCKS - 16, 32), 0);
    assert_int_equal(fstat(log.fd, &st), 0);
    assert_int_equal(log_blocks_in((uint64_t)st.st_size), last + 1);
    assert_int_equal(log_block(&log, last)[LOG_BLOCK - 1], 0);
    assert_int_equal(log_entry(&log, last)->seq, 0);
    assert_int_equal(log_grow(&log, 0, 1), -EFBIG);
    assert_int_equal(log_grow(&log, LOG_BLOCKS_MAX - 1, 2), -EFBIG);
    log_close(&log);
}

/* Past RLIMIT_FSIZE growth is an error and not the application's death by SIGXFSZ. */
static void test_grow_limit(void **state)
{
    struct place *place = *state;
    struct rlimit old, low;
    struct log log;
    make(place, &log);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = log_block_offset(LOG_FIRST_BLOCK + BLOCKS) + LOG_BLOCK;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int result = log_grow(&log, LOG_FIRST_BLOCK + BLOCKS, 2);
    int other = log_grow(&log, LOG_FIRST_BLOCK + BLOCKS, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(result, -EFBIG);
    assert_int_equal(other, 0);
    log_close(&log);
}

/* Issue and retirement: the header says whose log it is, H is above everything stored before and above the floor. */
static void test_issue(void **state)
{
    struct place *place = *state;
    struct log log;
    struct log_identity identity;
    struct log_header *copy = malloc(sizeof *copy);
    uint64_t boot[2];
    make(place, &log);
    assert_int_equal(log_identity_of(log.fd, &identity, NULL), 0);
    assert_int_equal(log_boot_id(boot), 0);
    assert_true(log_next_epoch(&log) == 1);
    log_header(&log)->index_nonce = 77;
    log_issue(&log, &identity, geteuid(), 12345, LOG_FLAG_ATOMIC, "/some/path");
    assert_int_equal(log_check(&log, geteuid(), copy), 0);
    assert_true(copy->epoch == 1 && copy->floor == 0);
    assert_true(copy->size[1] == 12345 && copy->newest_size == 12345);
    assert_memory_equal(copy->boot_id, boot, sizeof boot);
    assert_true(log_identity_equal(&copy->identity, &identity));
    assert_int_equal(copy->flags, LOG_FLAG_ATOMIC);
    assert_int_equal(copy->index_nonce, 77);
    assert_string_equal(copy->path, "/some/path");
    assert_int_equal(log_check(&log, geteuid() + 1, copy), -EBADMSG);

    log_header(&log)->epoch = 41;
    log_entry(&log, LOG_FIRST_BLOCK)->record[0].epoch = 42; /* an uncommitted record: one above H */
    log_retire(&log);
    assert_int_equal(log_check(&log, geteuid(), copy), -ENODATA);
    log_issue(&log, &identity, geteuid(), 1, 0, NULL);
    assert_int_equal(log_check(&log, geteuid(), copy), 0);
    assert_true(copy->floor >= 42 && copy->epoch > copy->floor);
    assert_int_equal(copy->path[0], 0);

    static char longest[LOG_PATH_BYTES + 1];
    memset(longest, 'a', LOG_PATH_BYTES);
    log_retire(&log);
    log_issue(&log, &identity, geteuid(), 1, 0, longest);
    assert_int_equal(log_header(&log)->path[0], 0);
    free(copy);
    log_close(&log);
}

/* Every header that cannot be is refused with its errno. */
static void test_check(void **state)
{
    struct place *place = *state;
    struct log log;
    struct log_identity identity;
    struct log_header *copy = malloc(sizeof *copy), *good = malloc(sizeof *good);
    make(place, &log);
    assert_int_equal(log_identity_of(log.fd, &identity, NULL), 0);
    log_issue(&log, &identity, geteuid(), 100, 0, "/x");
    struct log_header *header = log_header(&log);
    memcpy(good, header, sizeof *good);
#define REFUSED(change, error)                                                                                         \
    do {                                                                                                               \
        memcpy(header, good, sizeof *good);                                                                            \
        change;                                                                                                        \
        assert_int_equal(log_check(&log, geteuid(), copy), error);                                                     \
    } while (0)
    REFUSED((void)0, 0);
    REFUSED(header->magic = 0, -ENODATA);
    REFUSED(header->magic ^= 1, -EBADMSG);
    REFUSED(header->version++, -EPROTONOSUPPORT);
    REFUSED(header->owner++, -EBADMSG);
    REFUSED(header->flags = LOG_FLAG_PASSTHROUGH << 1, -EBADMSG);
    REFUSED(header->flags = 1, -EBADMSG); /* half of one */
    REFUSED(header->identity.generation++, -EBADMSG);
    REFUSED(header->epoch = 0, -EBADMSG);
    REFUSED(header->epoch = UINT64_MAX, -EBADMSG);
    REFUSED(header->floor = 3, -EBADMSG);
    REFUSED(header->size[1] = UINT64_MAX, -EBADMSG);
    REFUSED(memset(header->path, 'a', sizeof header->path), -EBADMSG);
#undef REFUSED
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(sys_getrandom(header, sizeof *header, 0), sizeof *header);
        assert_int_equal(log_check(&log, geteuid(), copy), -EBADMSG);
    }
    memcpy(header, good, sizeof *good);
    fault_start();
    fault_set(SYS_pread64, 1, EIO, false);
    assert_int_equal(log_check(&log, geteuid(), copy), -EIO);
    fault_stop();
    free(copy);
    free(good);
    log_close(&log);
}

/* The identity tells files apart, also when an inode number is used again, and is the same for all descriptors of one. */
static void test_identity(void **state)
{
    struct place *place = *state;
    struct log_identity first, again, second;
    int a = openat(place->dirfd, "a", O_RDWR | O_CREAT, 0600), b = openat(place->dirfd, "b", O_RDWR | O_CREAT, 0600);
    int a2 = openat(place->dirfd, "a", O_RDONLY);
    assert_int_equal(log_identity_of(a, &first, NULL), 0);
    assert_int_equal(log_identity_of(a2, &again, NULL), 0);
    assert_int_equal(log_identity_of(b, &second, NULL), 0);
    assert_true(log_identity_equal(&first, &again));
    assert_false(log_identity_equal(&first, &second));
    assert_true(first.fs[0] || first.fs[1]);
    assert_true(first.ino != 0);
    /* gone for sure only where another birth has the number */
    struct log_identity later = first;
    assert_false(log_identity_replaced(&first, &second));
    later.generation++;
    assert_false(log_identity_replaced(&first, &later));
    later.birth_nsec++;
    assert_true(log_identity_replaced(&first, &later) == (first.birth_sec != 0));
    later.fs[0]++;
    assert_false(log_identity_replaced(&first, &later));
    later = first;
    later.birth_sec = 0;
    later.birth_nsec = 0;
    assert_false(log_identity_replaced(&first, &later));
    close(a);
    close(a2);
    close(b);
}

/* Descriptors move to high numbers; where none is free the number stays. */
static void test_highfd(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t base = limit.rlim_cur / 2 < HIGHFD_MOST ? limit.rlim_cur / 2 : HIGHFD_MOST;
    int low = open("/dev/null", O_RDONLY);
    int high = highfd_move(low);
    assert_true((rlim_t)high >= base);
    assert_int_equal(fcntl(low, F_GETFD), -1);
    assert_int_equal(fcntl(high, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(highfd_move(high), high);
    assert_int_equal(highfd_move(-ENOENT), -ENOENT);
    close(high);
    low = open("/dev/null", O_RDONLY);
    fault_start();
    fault_set(SYS_fcntl, 1, EMFILE, false);
    assert_int_equal(highfd_move(low), low);
    fault_stop();
    close(low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_without_tmpfile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test(test_highfd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
