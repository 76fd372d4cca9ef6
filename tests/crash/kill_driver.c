/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_driver.c — the kill campaign: starts writers (kill_worker), kills them at random moments with SIGKILL, and
 * judges what is left, first through the library in a fresh process, then with plain read(2). Never linked with nvmmio
 * itself.
 *
 *     kill_driver --worker EXE [--preload LIB] [--library] [--mode NAME[,NAME]] [--kills N] [--seed S] [--session K]
 *                 [--dir DIR] [--seconds S] [--loose] [--torn-reads] [--strict] [--damage] [--expect-failure]
 *
 * A session is one file: some rounds of write, kill, recover (killed itself now and then), verify. It follows from seed
 * and number alone (the moments of the kills apart), so `--seed S --session K` runs one again. --library says that EXE
 * is linked with the library; with neither --library nor --preload the campaign checks the kernel, and so itself.
 * --seconds runs each mode so long without kills. --loose allows a size between old and new, --torn-reads half-written
 * records in reads; both are how the kernel is, and are on for it unless --strict. --damage changes one byte after each
 * kill, and --expect-failure turns the exit status around: proofs that the checks can fail.
 */
#include "crash/kill_journal.h"
#include "support/leak.h"
#include "support/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHDOG_MS 20000u
#define PATH_BYTES 512

static struct {
    const char *worker, *preload, *modes, *dir;
    bool library, expect_failure, loose, torn_reads, strict, damage, private_shm;
    uint64_t seed, kills, session, seconds;
} option = {.modes = "all", .dir = "/dev/shm", .kills = 100, .session = UINT64_MAX};

static struct {
    struct kj *j;
    int journal_fd;
    struct tool_rng rng;
    char root[PATH_BYTES], file[PATH_BYTES + 32];
    pid_t pid[KJ_WRITERS_MAX]; /* 0: not running */
    uint64_t kills, recovery_kills, sessions, partial, in_flight;
    bool failed;
} run;

/* ---- failing ---- */

static void print_trace(void)
{
    for (uint32_t i = 0; i < run.j->writers; i++) {
        const struct kj_writer *w = &run.j->writer[i];
        uint64_t ops = atomic_load(&w->ops);
        printf("  writer %u: %llu operations, state %u, the last ones:\n", i, (unsigned long long)ops,
               atomic_load(&w->flight.state));
        uint64_t begun = ops + (atomic_load(&w->flight.state) != KJ_IDLE);
        for (uint64_t n = ops > 12 ? ops - 12 : 0; n < begun; n++) {
            const struct kj_flight *t = &w->trace[n % KJ_TRACE];
            printf("    %s offset %llu length %llu new size %llu\n", kj_op_name(t->op), (unsigned long long)t->offset,
                   (unsigned long long)t->length, (unsigned long long)t->new_size);
        }
    }
}

static void keep_remains(void)
{
    const char *to = getenv("NVMMIO_TEST_KEEP");
    char command[3 * PATH_BYTES];
    if (!to)
        return;
    snprintf(command, sizeof(command), "mkdir -p '%s' && cp -a '%s' '%s/' && cp /proc/%d/fd/%d '%s/journal'", to,
             run.root, to, getpid(), run.journal_fd, to);
    if (system(command))
        printf("  (could not keep the remains in %s)\n", to);
}

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
    if (run.failed)
        return;
    run.failed = true;
    va_list args;
    va_start(args, format);
    printf("FAIL %s session %llu: ", kj_mode_name(run.j->mode), (unsigned long long)run.sessions);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (run.j->error[0])
        printf("  a worker said: %s\n", run.j->error);
    print_trace();
    printf("  again: --mode %s --seed %llu --session %llu\n", kj_mode_name(run.j->mode),
           (unsigned long long)option.seed, (unsigned long long)run.sessions);
    keep_remains();
    fflush(stdout);
}

static void print_proc(pid_t pid, const char *what)
{
    char command[128];
    snprintf(command, sizeof(command), "for t in /proc/%d/task/*; do echo $t; cat $t/%s 2>/dev/null; echo; done", pid,
             what);
    fflush(stdout);
    if (system(command))
        printf("  (no %s)\n", what);
}

static void report_hang(pid_t pid)
{
    print_proc(pid, "wchan");
    print_proc(pid, "syscall");
    print_proc(pid, "stack");
    if (getenv("NVMMIO_TEST_GDB")) {
        char command[128];
        snprintf(command, sizeof(command), "gdb -p %d -batch -ex 'thread apply all bt' 2>&1 | tail -60", pid);
        fflush(stdout);
        if (system(command))
            printf("  (no gdb)\n");
    }
}

/* ---- processes ---- */

static pid_t spawn(const char *role, uint64_t number, const char *file)
{
    char fd[16], text[32];
    snprintf(fd, sizeof(fd), "%d", run.journal_fd);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("NVMMIO_ROOT", run.root, 1);
    if (option.preload)
        setenv("LD_PRELOAD", option.preload, 1);
    execl(option.worker, option.worker, role, fd, text, file, (char *)NULL);
    _exit(127);
}

/* Waits for the process, but not for ever: its status, or -1 after a hang (then it is killed). */
static int wait_for(pid_t pid)
{
    uint64_t end = tool_now_ns() + WATCHDOG_MS * UINT64_C(1000000);
    for (uint64_t pause = 50;; pause = pause < 2000 ? pause * 2 : pause) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (got < 0)
            return 0;
        if (tool_now_ns() > end)
            break;
        tool_sleep_us(pause);
    }
    printf("pid %d hangs:\n", pid);
    report_hang(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

static void must_exit_well(pid_t pid, const char *what)
{
    int status = wait_for(pid);
    if (status)
        fail("%s ended with status %#x%s", what, (unsigned)status, status == -1 ? " (hang)" : "");
}

static void start_writer(uint32_t index)
{
    run.pid[index] = spawn("write", index, run.file);
}

/* Waits until the writer has done `more` operations beyond `base`. */
static bool wait_ops(uint32_t index, uint64_t base, uint64_t more, bool spin)
{
    const struct kj_writer *w = &run.j->writer[index];
    uint64_t end = tool_now_ns() + WATCHDOG_MS * UINT64_C(1000000);
    for (;;) {
        for (unsigned n = 0; n < 10000; n++)
            if (atomic_load(&w->ops) >= base + more)
                return true;
        if (run.j->error[0]) {
            fail("writer %u", index);
            return false;
        }
        int status;
        pid_t pid = run.pid[index];
        if (pid && waitpid(pid, &status, WNOHANG) == pid) {
            run.pid[index] = 0;
            fail("writer %u ended with status %#x", index, (unsigned)status);
            return false;
        }
        if (tool_now_ns() > end) {
            pid = atomic_load(&w->pid);
            printf("writer %u makes no progress:\n", index);
            if (pid)
                report_hang(pid);
            fail("writer %u hangs", index);
            return false;
        }
        if (!spin)
            tool_sleep_us(100);
    }
}

/* A dead writer's journal is put in order: what was in flight is noted where records need it. */
static void bury(uint32_t index)
{
    struct kj *j = run.j;
    struct kj_writer *w = &j->writer[index];
    uint32_t state = atomic_load(&w->flight.state);
    if (state == KJ_DONE) {
        kj_apply(j, w);
        atomic_store(&w->flight.state, KJ_IDLE);
    } else if (state == KJ_IN_FLIGHT && (w->flight.op == KJ_OP_APPEND || w->flight.op == KJ_OP_REWRITE)) {
        uint32_t n = atomic_load(&j->unsure_count);
        j->unsure[n % KJ_UNSURE_MAX] = (struct kj_unsure){.writer = index,
                                                          .slot = (uint32_t)w->flight.offset,
                                                          .seq = w->flight.seq,
                                                          .start = w->flight.key,
                                                          .death = atomic_fetch_add(&j->ticket, 1)};
        atomic_store(&j->unsure_count, n + 1);
        w->seq = w->flight.seq + 1;
        atomic_store(&w->flight.state, KJ_IDLE);
    }
    run.in_flight += state == KJ_IN_FLIGHT;
    atomic_store(&w->dead, 0);
}

static bool is_gone(pid_t pid)
{
    char name[64], text[256], *after;
    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return true;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return true;
    text[n] = 0;
    after = strrchr(text, ')');
    return after && (after[2] == 'Z' || after[2] == 'X');
}

/* Kills a writer that is not this process's child, or is: dead when it returns. */
static void kill_writer(uint32_t index)
{
    struct kj_writer *w = &run.j->writer[index];
    pid_t pid = run.pid[index] ? run.pid[index] : atomic_load(&w->pid);
    atomic_store(&w->dead, 1);
    kill(pid, SIGKILL);
    run.kills++;
    if (run.pid[index]) {
        int status = 0;
        waitpid(pid, &status, 0);
        run.pid[index] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status))
            fail("writer %u ended with status %#x before the kill", index, (unsigned)status);
    } else {
        while (!is_gone(pid))
            tool_sleep_us(50);
    }
    bury(index);
}

static void kill_all(void)
{
    for (uint32_t i = 0; i < KJ_WRITERS_MAX; i++) {
        pid_t pid = run.pid[i] ? run.pid[i] : atomic_load(&run.j->writer[i].pid);
        if (pid > 1 && (run.pid[i] || run.failed))
            kill(pid, SIGKILL);
        if (run.pid[i])
            waitpid(run.pid[i], NULL, 0);
        run.pid[i] = 0;
    }
}

/* ---- judging ---- */

static void check_no_leak(void)
{
    char name[PATH_BYTES + 16], found[600];
    snprintf(name, sizeof(name), "%s/.nvmmio", run.root);
    if ((option.library || option.preload) && access(name, F_OK))
        fail("%s: %s: the library was not active", name, strerror(errno));
    if (leak_any(run.root, option.private_shm, found, sizeof(found)))
        fail("left over: %s", found);
}

/* The file as an ordinary program reads it. */
static void check_plain(bool seen)
{
    static uint8_t *data;
    if (!data)
        data = mmap(NULL, KJ_APPEND_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(run.file, O_RDONLY);
    uint64_t size = 0;
    for (ssize_t n; fd >= 0 && size < KJ_APPEND_MAX && (n = read(fd, data + size, KJ_APPEND_MAX - size)) > 0;)
        size += (uint64_t)n;
    if (fd < 0) {
        fail("%s: %s", run.file, strerror(errno));
        return;
    }
    close(fd);
    char reason[300];
    if (run.j->mode != KJ_APPEND && size > KJ_FILE_MAX)
        fail("without the library: size %llu", (unsigned long long)size);
    else if (kj_check(run.j, data, size, reason, sizeof(reason)))
        fail("without the library: %s", reason);
    else if (seen && (size != run.j->seen_size || tool_hash(data, size) != run.j->seen_hash))
        fail("the file without the library is not what the library showed");
    else
        kj_adopt(run.j, data, size);
}

/* The planted fault: one byte of the file becomes another one. */
static void damage_file(void)
{
    struct stat st;
    uint8_t byte;
    int fd = open(run.file, O_RDWR);
    if (fd < 0 || fstat(fd, &st))
        return;
    off_t at = st.st_size ? (off_t)tool_below(&run.rng, (uint64_t)st.st_size) : 0;
    if (pread(fd, &byte, 1, at) != 1)
        byte = 0;
    byte ^= 0x5a;
    if (pwrite(fd, &byte, 1, at) != 1)
        printf("cannot damage the file\n");
    close(fd);
}

static void judge(void)
{
    char other[PATH_BYTES + 32];
    if (option.damage)
        damage_file();
    snprintf(other, sizeof(other), "%s/other", run.root);
    while (!run.failed && !tool_below(&run.rng, 4)) { /* a recovery that dies, too */
        pid_t pid = spawn("verify", tool_random(&run.rng), run.file);
        tool_sleep_us(tool_below(&run.rng, 6000));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status))
            fail("verify ended with status %#x", (unsigned)status);
        run.recovery_kills++;
    }
    bool sweep = !tool_below(&run.rng, 5);
    if (sweep)
        must_exit_well(spawn("sweep", 0, other), "sweep");
    else
        must_exit_well(spawn("verify", tool_random(&run.rng), run.file), "verify");
    if (run.failed)
        return;
    run.partial += run.j->partial > 0;
    run.j->partial = 0;
    check_plain(!sweep);
    check_no_leak();
}

/* ---- sessions ---- */

static void prepare_file(void)
{
    struct kj *j = run.j;
    uint8_t record[KJ_RECORD_MAX];
    unlink(run.file);
    int fd = open(run.file, O_RDWR | O_CREAT | O_EXCL, 0600);
    uint64_t size = 0, done = 0;
    switch (j->mode) {
    case KJ_SOLO:
    case KJ_ATOMIC:
        size = tool_below(&run.rng, 3) ? tool_below(&run.rng, 300000) : 0;
        break;
    case KJ_REGIONS:
    case KJ_FORK:
    case KJ_THREADS:
        size = UINT64_C(12) * j->writers * KJ_REGION;
        break;
    default:
        break;
    }
    j->size = j->committed_size = size;
    tool_pattern(j->ref, size, j->seed, 0);
    memcpy(j->committed, j->ref, size);
    while (fd >= 0 && done < size) {
        ssize_t n = write(fd, j->ref + done, size - done);
        if (n <= 0)
            break;
        done += (uint64_t)n;
    }
    for (uint32_t slot = 0; j->mode == KJ_REWRITE && slot < KJ_SLOTS; slot++)
        if (write(fd, record, kj_record(j, 0, 0, record)) != KJ_SLOT_BYTES)
            fail("cannot fill the file");
    if (fd < 0 || done < size)
        fail("cannot make %s: %s", run.file, strerror(errno));
    close(fd);
}

static void prepare(uint64_t session, uint32_t mode)
{
    struct kj *j = run.j;
    run.sessions = session;
    run.rng.state = tool_mix2(option.seed, session);
    bool kernel = !option.library && !option.preload && !option.strict;
    memset(j, 0, sizeof(*j));
    j->seed = tool_random(&run.rng);
    j->mode = mode;
    j->writers = mode == KJ_SOLO || mode == KJ_ATOMIC ? 1 : mode == KJ_THREADS ? 3 : 2;
    j->exact = !kernel && !option.loose;
    j->whole = !kernel && !option.torn_reads;
    atomic_store(&j->ticket, 1);
    for (uint32_t i = 0; i < j->writers; i++)
        j->writer[i].seq = mode == KJ_REWRITE ? 1 : 0;
    snprintf(run.file, sizeof(run.file), "%s/file%llu", run.root, (unsigned long long)session);
    prepare_file();
}

/* A moment of the writer's life: after some operations, some time after its first, or some time after its start. */
static void wait_for_moment(uint32_t index, uint64_t base)
{
    uint64_t kind = tool_below(&run.rng, 10);
    if (kind < 5) {
        if (wait_ops(index, base, 1, false))
            tool_sleep_us(tool_below(&run.rng, 15000));
    } else if (kind < 7) {
        tool_sleep_us(tool_below(&run.rng, 8000));
    } else {
        wait_ops(index, base, 1 + tool_below(&run.rng, 300), true);
    }
}

static uint64_t ops_of(uint32_t index)
{
    return atomic_load(&run.j->writer[index].ops);
}

/* One process that dies as a whole, and is the only one. */
static void session_alone(void)
{
    for (uint64_t rounds = 1 + tool_below(&run.rng, 4); rounds-- && !run.failed;) {
        uint64_t base = ops_of(0);
        start_writer(0);
        wait_for_moment(0, base);
        if (run.failed)
            return;
        kill_writer(0);
        for (uint32_t i = 1; i < run.j->writers; i++)
            bury(i);
        if (!run.failed)
            judge();
    }
}

static void finish_writers(void)
{
    atomic_store(&run.j->stop, 1);
    for (uint32_t i = 0; i < run.j->writers; i++) {
        pid_t pid = run.pid[i] ? run.pid[i] : atomic_load(&run.j->writer[i].pid);
        if (run.pid[i] || (run.j->mode == KJ_FORK && i == 1 && pid && !is_gone(pid)))
            must_exit_well(pid, "a surviving writer");
        run.pid[i] = 0;
    }
}

/* Two processes on one file; either one dies, the other goes on, a new one joins. */
static void session_together(void)
{
    bool forked = run.j->mode == KJ_FORK, orphan = false;
    start_writer(0);
    if (!forked)
        start_writer(1);
    for (uint64_t kills = 1 + tool_below(&run.rng, 5); kills-- && !run.failed && !orphan;) {
        uint32_t victim = (uint32_t)tool_below(&run.rng, 2), other = 1 - victim;
        if (!wait_ops(0, ops_of(0), 3, false) || !wait_ops(1, ops_of(1), 3, false))
            return;
        tool_sleep_us(tool_below(&run.rng, 10000));
        uint64_t base = ops_of(other);
        kill_writer(victim);
        if (!wait_ops(other, base, 20, false))
            return;
        orphan = forked && victim == 0;
        if (forked && !orphan)
            atomic_store(&run.j->writer[1].respawn, 1);
        else if (!orphan)
            start_writer(victim);
        if (run.j->mode == KJ_APPEND) {
            struct stat st;
            orphan |= stat(run.file, &st) == 0 && st.st_size > (off_t)KJ_APPEND_MAX / 2;
        }
    }
    if (run.failed)
        return;
    if (!forked && !tool_below(&run.rng, 3)) { /* the last ones die as well */
        for (uint32_t i = 0; i < 2; i++)
            kill_writer(i);
    }
    finish_writers();
    if (!run.failed)
        judge();
}

static void session_without_kills(void)
{
    uint64_t end = tool_now_ns() + option.seconds * UINT64_C(1000000000);
    uint32_t processes = run.j->mode == KJ_REGIONS || run.j->mode == KJ_APPEND || run.j->mode == KJ_REWRITE ? 2 : 1;
    for (uint32_t i = 0; i < processes; i++)
        start_writer(i);
    while (tool_now_ns() < end && !run.failed) {
        uint64_t base = ops_of(0);
        tool_sleep_us(100000);
        wait_ops(0, base, 1, false);
        struct stat st;
        if (run.j->mode == KJ_APPEND && !stat(run.file, &st) && st.st_size > (off_t)KJ_APPEND_MAX / 2)
            break;
    }
    if (!run.failed)
        finish_writers();
    if (!run.failed)
        judge();
}

static void run_session(uint64_t session, uint32_t mode)
{
    prepare(session, mode);
    if (option.seconds)
        session_without_kills();
    else if (mode == KJ_SOLO || mode == KJ_ATOMIC || mode == KJ_THREADS)
        session_alone();
    else
        session_together();
    kill_all();
    unlink(run.file);
}

/* ---- start ---- */

static void remove_root(void)
{
    char command[PATH_BYTES + 32];
    snprintf(command, sizeof(command), "rm -rf '%s'", run.root);
    if (system(command))
        printf("cannot remove %s\n", run.root);
}

static unsigned parse_modes(uint32_t *list)
{
    unsigned count = 0;
    for (uint32_t m = 0; m < KJ_MODES; m++) {
        const char *at = strstr(option.modes, kj_mode_name(m));
        /* The kernel has no O_ATOMIC: only when asked for by name. */
        bool all = !strcmp(option.modes, "all") && (m != KJ_ATOMIC || option.library);
        if (at || all)
            list[count++] = m;
    }
    return count;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"worker", 1, NULL, 'w'},         {"preload", 1, NULL, 'p'}, {"library", 0, NULL, 'l'},
        {"mode", 1, NULL, 'm'},           {"kills", 1, NULL, 'k'},   {"seed", 1, NULL, 's'},
        {"session", 1, NULL, 'n'},        {"dir", 1, NULL, 'd'},     {"seconds", 1, NULL, 't'},
        {"expect-failure", 0, NULL, 'x'}, {"loose", 0, NULL, 'L'},   {"torn-reads", 0, NULL, 'T'},
        {"strict", 0, NULL, 'S'},         {"damage", 0, NULL, 'D'},  {NULL, 0, NULL, 0}};
    option.seed = tool_now_ns() % 1000000;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'w':
            option.worker = optarg;
            break;
        case 'p':
            option.preload = optarg;
            break;
        case 'l':
            option.library = true;
            break;
        case 'm':
            option.modes = optarg;
            break;
        case 'k':
            option.kills = strtoull(optarg, NULL, 0);
            break;
        case 's':
            option.seed = strtoull(optarg, NULL, 0);
            break;
        case 'n':
            option.session = strtoull(optarg, NULL, 0);
            break;
        case 'd':
            option.dir = optarg;
            break;
        case 't':
            option.seconds = strtoull(optarg, NULL, 0);
            break;
        case 'x':
            option.expect_failure = true;
            break;
        case 'L':
            option.loose = true;
            break;
        case 'S':
            option.strict = true;
            break;
        case 'D':
            option.damage = true;
            break;
        case 'T':
            option.torn_reads = true;
            break;
        default:
            exit(2);
        }
    }
    const char *scale = getenv("NVMMIO_TEST_SCALE");
    if (scale && atoi(scale) > 1)
        option.kills *= (uint64_t)atoi(scale), option.seconds *= (uint64_t)atoi(scale);
    if (!option.worker) {
        fprintf(stderr, "kill_driver: --worker is missing; the head of kill_driver.c is the manual\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    uint32_t list[KJ_MODES];
    parse_options(argc, argv);
    unsigned count = parse_modes(list);
    option.private_shm = leak_private_shm();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(run.root, sizeof(run.root), "%s/kill-campaign.%d", option.dir, getpid());
    run.journal_fd = memfd_create("journal", 0);
    if (!count || mkdir(run.root, 0700) || run.journal_fd < 0 || ftruncate(run.journal_fd, sizeof(struct kj))) {
        perror("kill_driver: start");
        return 2;
    }
    run.j = mmap(NULL, sizeof(struct kj), PROT_READ | PROT_WRITE, MAP_SHARED, run.journal_fd, 0);
    if (run.j == MAP_FAILED)
        return 2;
    printf("kill campaign on %s%s, seed %llu%s\n", option.preload ? "the preload library, worker " : "", option.worker,
           (unsigned long long)option.seed, option.private_shm ? ", private /dev/shm" : "");
    fflush(stdout);
    uint64_t start = tool_now_ns();
    if (option.session != UINT64_MAX)
        run_session(option.session, list[option.session % count]);
    else
        for (uint64_t n = 0; !run.failed && (option.seconds ? n < count : run.kills < option.kills); n++)
            run_session(n, list[n % count]);
    remove_root();
    printf("%s: %llu sessions, %llu kills, %llu of them inside an operation, %llu kills of a recovery, %llu writes in "
           "part, %.1f s\n",
           run.failed ? "FAILED" : "ok", (unsigned long long)run.sessions + 1, (unsigned long long)run.kills,
           (unsigned long long)run.in_flight, (unsigned long long)run.recovery_kills, (unsigned long long)run.partial,
           (double)(tool_now_ns() - start) * 1e-9);
    if (option.expect_failure)
        printf("%s\n", run.failed ? "ok: failed as it must" : "FAILED: this must fail");
    return run.failed != option.expect_failure;
}
