/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kill_driver.c — the kill campaign: starts writers (kill_worker), kills them at random moments with SIGKILL, and
 * judges what is left, first through the library in a fresh process, then with plain read(2). Never linked with nvmmio
 * itself.
 *
 *     kill_driver --worker EXE [--preload LIB] [--library] [--mode NAME[,NAME]] [--kills N] [--seed S] [--session K]
 *                 [--dir DIR] [--seconds S] [--loose] [--torn-reads] [--strict] [--damage] [--stops] [--expect-failure]
 *
 * A session is one file: some rounds of write, kill, recover (killed itself now and then), verify. It follows from seed
 * and number alone (the moments of the kills apart), so `--seed S --session K` runs one again. --library says that EXE
 * is linked with the library; with neither --library nor --preload the campaign checks the kernel, and so itself.
 * --stops stops processes as well (kill_stop.c; modes REGIONS, APPEND and REWRITE).
 * --seconds runs each mode so long without kills. --loose allows a size between old and new, --torn-reads half-written
 * records in reads; both are how the kernel is, and are on for it unless --strict. --damage changes one byte after each
 * kill, and --expect-failure turns the exit status around: proofs that the checks can fail.
 */
#include "crash/kill_run.h"
#include "support/leak.h"
#include "support/place.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sessions ---- */

static void prepare_file(void)
{
    struct kj *j = kill_run.j;
    uint8_t record[KJ_RECORD_MAX];
    unlink(kill_run.file);
    int fd = open(kill_run.file, O_RDWR | O_CREAT | O_EXCL, 0600);
    uint64_t size = 0, done = 0;
    switch (j->mode) {
    case KJ_SOLO:
    case KJ_ATOMIC:
        size = tool_below(&kill_run.rng, 3) ? tool_below(&kill_run.rng, 300000) : 0;
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
            kill_fail("cannot fill the file");
    if (fd < 0 || done < size)
        kill_fail("cannot make %s: %s", kill_run.file, strerror(errno));
    close(fd);
}

static void prepare(uint64_t session, uint32_t mode)
{
    struct kj *j = kill_run.j;
    kill_run.sessions = session;
    kill_run.rng.state = tool_mix2(kill_option.seed, session);
    bool kernel = !kill_option.library && !kill_option.preload && !kill_option.strict;
    memset(j, 0, sizeof(*j));
    j->seed = tool_random(&kill_run.rng);
    j->mode = mode;
    j->writers = mode == KJ_SOLO || mode == KJ_ATOMIC ? 1 : mode == KJ_THREADS || kill_option.stops ? 3 : 2;
    j->exact = !kernel && !kill_option.loose;
    j->whole = !kernel && !kill_option.torn_reads;
    atomic_store(&j->ticket, 1);
    for (uint32_t i = 0; i < j->writers; i++)
        j->writer[i].seq = mode == KJ_REWRITE ? 1 : 0;
    snprintf(kill_run.file, sizeof(kill_run.file), "%s/file%llu", kill_run.root, (unsigned long long)session);
    prepare_file();
}

/* A moment of the writer's life: after some operations, some time after its first, or some time after its start. */
static void wait_for_moment(uint32_t index, uint64_t base)
{
    uint64_t kind = tool_below(&kill_run.rng, 10);
    if (kind < 5) {
        if (kill_wait_ops(index, base, 1, false))
            tool_sleep_us(tool_below(&kill_run.rng, 15000));
    } else if (kind < 7) {
        tool_sleep_us(tool_below(&kill_run.rng, 8000));
    } else {
        kill_wait_ops(index, base, 1 + tool_below(&kill_run.rng, 300), true);
    }
}

static uint64_t ops_of(uint32_t index)
{
    return atomic_load(&kill_run.j->writer[index].ops);
}

/* One process that dies as a whole, and is the only one. */
static void session_alone(void)
{
    for (uint64_t rounds = 1 + tool_below(&kill_run.rng, 4); rounds-- && !kill_run.failed;) {
        uint64_t base = ops_of(0);
        kill_start_writer(0);
        wait_for_moment(0, base);
        if (kill_run.failed)
            return;
        kill_writer(0);
        for (uint32_t i = 1; i < kill_run.j->writers; i++)
            kill_bury(i);
        if (!kill_run.failed)
            kill_judge();
    }
}

static void finish_writers(void)
{
    atomic_store(&kill_run.j->stop, 1);
    for (uint32_t i = 0; i < kill_run.j->writers; i++) {
        pid_t pid = kill_run.pid[i] ? kill_run.pid[i] : atomic_load(&kill_run.j->writer[i].pid);
        if (kill_run.pid[i] || (kill_run.j->mode == KJ_FORK && i == 1 && pid && !kill_is_gone(pid)))
            kill_must_exit_well(pid, "a surviving writer");
        kill_run.pid[i] = 0;
    }
}

/* Two processes on one file; either one dies, the other goes on, a new one joins. */
static void session_together(void)
{
    bool forked = kill_run.j->mode == KJ_FORK, orphan = false;
    kill_start_writer(0);
    if (!forked)
        kill_start_writer(1);
    for (uint64_t kills = 1 + tool_below(&kill_run.rng, 5); kills-- && !kill_run.failed && !orphan;) {
        uint32_t victim = (uint32_t)tool_below(&kill_run.rng, 2), other = 1 - victim;
        if (!kill_wait_ops(0, ops_of(0), 3, false) || !kill_wait_ops(1, ops_of(1), 3, false))
            return;
        tool_sleep_us(tool_below(&kill_run.rng, 10000));
        uint64_t base = ops_of(other);
        kill_writer(victim);
        if (!kill_wait_ops(other, base, 20, false))
            return;
        orphan = forked && victim == 0;
        if (forked && !orphan)
            atomic_store(&kill_run.j->writer[1].respawn, 1);
        else if (!orphan)
            kill_start_writer(victim);
        if (kill_run.j->mode == KJ_APPEND) {
            struct stat st;
            orphan |= stat(kill_run.file, &st) == 0 && st.st_size > (off_t)KJ_APPEND_MAX / 2;
        }
    }
    if (kill_run.failed)
        return;
    if (!forked && !tool_below(&kill_run.rng, 3)) { /* the last ones die as well */
        for (uint32_t i = 0; i < 2; i++)
            kill_writer(i);
    }
    finish_writers();
    if (!kill_run.failed)
        kill_judge();
}

static void session_without_kills(void)
{
    uint64_t end = tool_now_ns() + kill_option.seconds * UINT64_C(1000000000);
    uint32_t processes =
        kill_run.j->mode == KJ_REGIONS || kill_run.j->mode == KJ_APPEND || kill_run.j->mode == KJ_REWRITE ? 2 : 1;
    for (uint32_t i = 0; i < processes; i++)
        kill_start_writer(i);
    while (tool_now_ns() < end && !kill_run.failed) {
        uint64_t base = ops_of(0);
        tool_sleep_us(100000);
        kill_wait_ops(0, base, 1, false);
        struct stat st;
        if (kill_run.j->mode == KJ_APPEND && !stat(kill_run.file, &st) && st.st_size > (off_t)KJ_APPEND_MAX / 2)
            break;
    }
    if (!kill_run.failed)
        finish_writers();
    if (!kill_run.failed)
        kill_judge();
}

static void run_session(uint64_t session, uint32_t mode)
{
    prepare(session, mode);
    if (kill_option.seconds)
        session_without_kills();
    else if (kill_option.stops)
        kill_session_stops();
    else if (mode == KJ_SOLO || mode == KJ_ATOMIC || mode == KJ_THREADS)
        session_alone();
    else
        session_together();
    kill_all();
    unlink(kill_run.file);
}

/* ---- start ---- */

static void remove_root(void)
{
    char command[KILL_PATH_BYTES + 32];
    snprintf(command, sizeof(command), "rm -rf '%s'", kill_run.root);
    if (system(command))
        printf("cannot remove %s\n", kill_run.root);
}

static unsigned parse_modes(uint32_t *list)
{
    unsigned count = 0;
    for (uint32_t m = 0; m < KJ_MODES; m++) {
        const char *at = strstr(kill_option.modes, kj_mode_name(m));
        /* The kernel has no O_ATOMIC: only when asked for by name. */
        bool all = !strcmp(kill_option.modes, "all") && (m != KJ_ATOMIC || kill_option.library);
        if (at || all)
            list[count++] = m;
    }
    return count;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"worker", 1, NULL, 'w'},  {"preload", 1, NULL, 'p'},
                                          {"library", 0, NULL, 'l'}, {"mode", 1, NULL, 'm'},
                                          {"kills", 1, NULL, 'k'},   {"seed", 1, NULL, 's'},
                                          {"session", 1, NULL, 'n'}, {"dir", 1, NULL, 'd'},
                                          {"seconds", 1, NULL, 't'}, {"expect-failure", 0, NULL, 'x'},
                                          {"loose", 0, NULL, 'L'},   {"torn-reads", 0, NULL, 'T'},
                                          {"strict", 0, NULL, 'S'},  {"damage", 0, NULL, 'D'},
                                          {"stops", 0, NULL, 'P'},   {NULL, 0, NULL, 0}};
    kill_option.seed = tool_now_ns() % 1000000;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'w':
            kill_option.worker = optarg;
            break;
        case 'p':
            kill_option.preload = optarg;
            break;
        case 'l':
            kill_option.library = true;
            break;
        case 'm':
            kill_option.modes = optarg;
            break;
        case 'k':
            kill_option.kills = strtoull(optarg, NULL, 0);
            break;
        case 's':
            kill_option.seed = strtoull(optarg, NULL, 0);
            break;
        case 'n':
            kill_option.session = strtoull(optarg, NULL, 0);
            break;
        case 'd':
            kill_option.dir = optarg;
            break;
        case 't':
            kill_option.seconds = strtoull(optarg, NULL, 0);
            break;
        case 'x':
            kill_option.expect_failure = true;
            break;
        case 'L':
            kill_option.loose = true;
            break;
        case 'S':
            kill_option.strict = true;
            break;
        case 'D':
            kill_option.damage = true;
            break;
        case 'P':
            kill_option.stops = true;
            break;
        case 'T':
            kill_option.torn_reads = true;
            break;
        default:
            exit(2);
        }
    }
    const char *scale = getenv("NVMMIO_TEST_SCALE");
    if (scale && atoi(scale) > 1)
        kill_option.kills *= (uint64_t)atoi(scale), kill_option.seconds *= (uint64_t)atoi(scale);
    if (!kill_option.worker) {
        fprintf(stderr, "kill_driver: --worker is missing; the head of kill_driver.c is the manual\n");
        exit(2);
    }
}

static void print_counts(uint64_t ns)
{
    const struct kill_run *r = &kill_run;
    printf("%s: %llu sessions, %llu kills, %llu of them inside an operation, %llu kills of a recovery, %llu of them "
           "inside "
           "its open, %llu writes in part, ",
           r->failed ? "FAILED" : "ok", (unsigned long long)r->sessions + 1, (unsigned long long)r->kills,
           (unsigned long long)r->in_flight, (unsigned long long)r->recovery_kills,
           (unsigned long long)r->recoveries_cut, (unsigned long long)r->partial);
    if (kill_option.stops)
        printf("%llu stops, %llu of them inside an operation, %llu that held others up, ", (unsigned long long)r->stops,
               (unsigned long long)r->stops_inside, (unsigned long long)r->stops_that_held);
    printf("%.1f s\n", (double)ns * 1e-9);
}

int main(int argc, char **argv)
{
    uint32_t list[KJ_MODES];
    kill_option.dir = place_directory();
    parse_options(argc, argv);
    unsigned count = parse_modes(list);
    kill_option.private_shm = leak_private_shm();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(kill_run.root, sizeof(kill_run.root), "%s/kill-campaign.%d", kill_option.dir, getpid());
    kill_run.journal_fd = memfd_create("journal", 0);
    if (!count || mkdir(kill_run.root, 0700) || kill_run.journal_fd < 0 ||
        ftruncate(kill_run.journal_fd, sizeof(struct kj))) {
        perror("kill_driver: start");
        return 2;
    }
    kill_run.j = mmap(NULL, sizeof(struct kj), PROT_READ | PROT_WRITE, MAP_SHARED, kill_run.journal_fd, 0);
    if (kill_run.j == MAP_FAILED)
        return 2;
    printf("kill campaign on %s%s, seed %llu%s\n", kill_option.preload ? "the preload library, worker " : "",
           kill_option.worker, (unsigned long long)kill_option.seed,
           kill_option.private_shm ? ", private /dev/shm" : "");
    fflush(stdout);
    uint64_t start = tool_now_ns();
    if (kill_option.session != UINT64_MAX)
        run_session(kill_option.session, list[kill_option.session % count]);
    else
        for (uint64_t n = 0; !kill_run.failed && (kill_option.seconds ? n < count : kill_run.kills < kill_option.kills);
             n++)
            run_session(n, list[n % count]);
    remove_root();
    print_counts(tool_now_ns() - start);
    if (kill_option.expect_failure)
        printf("%s\n", kill_run.failed ? "ok: failed as it must" : "FAILED: this must fail");
    return kill_run.failed != kill_option.expect_failure;
}
