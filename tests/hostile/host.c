/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * host.c — promise: a program may have functions of the names of jemalloc's, use liburcu itself, in two flavours, and call
 * their functions around its forks while other threads use files: nothing of it is the library's, and nothing hangs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu.h>
#include <urcu/urcu-bp.h>

/* Of two flavours' headers the second renames call_rcu and its kin, and leaves their declaration to the first. */
void urcu_bp_call_rcu(struct rcu_head *head, void (*function)(struct rcu_head *head));
void urcu_bp_call_rcu_before_fork(void);
void urcu_bp_call_rcu_after_fork_parent(void);
void urcu_bp_call_rcu_after_fork_child(void);

enum { THREADS = 3, FORKS = 60, BYTES = 8192, PATIENCE_SECONDS = 120 };

/* ---- names of jemalloc ---- */

static _Atomic unsigned called;

void *mallocx(size_t size, int flags);
void sdallocx(void *ptr, size_t size, int flags);
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

void *mallocx(size_t size, int flags)
{
    (void)size;
    (void)flags;
    called++;
    return NULL;
}

void sdallocx(void *ptr, size_t size, int flags)
{
    (void)ptr;
    (void)size;
    (void)flags;
    called++;
}

int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
{
    (void)name;
    (void)old;
    (void)old_size;
    (void)new;
    (void)new_size;
    called++;
    return 0;
}

/* ---- files, and a pointer under RCU ---- */

struct node {
    struct rcu_head head;
    int value;
};

static struct node *_Atomic published;
static _Atomic bool stop;
static _Atomic unsigned wrong;

static void node_free(struct rcu_head *head)
{
    free((char *)head - offsetof(struct node, head));
}

static void node_publish(int value)
{
    struct node *node = calloc(1, sizeof *node);
    node->value = value;
    struct node *old = atomic_exchange(&published, node);
    if (old)
        call_rcu(&old->head, node_free);
}

static bool file_works(const char *name, char mark)
{
    char data[BYTES], back[BYTES];
    memset(data, mark, sizeof data);
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    bool good = fd >= 0 && pwrite(fd, data, BYTES, 0) == BYTES && fsync(fd) == 0 &&
                pwrite(fd, data, BYTES / 2, 100) == BYTES / 2 && pread(fd, back, BYTES, 0) == BYTES &&
                memcmp(data, back, BYTES) == 0;
    return close(fd) == 0 && good;
}

static void *work(void *arg)
{
    char name[16];
    snprintf(name, sizeof name, "t%ld", (long)arg);
    rcu_register_thread();
    for (char mark = 'a'; !stop; mark = mark == 'z' ? 'a' : (char)(mark + 1)) {
        wrong += !file_works(name, mark);
        urcu_bp_read_lock();
        urcu_bp_read_unlock();
        rcu_read_lock();
        wrong += published && ((struct node *)published)->value < 0;
        rcu_read_unlock();
        node_publish(mark);
        urcu_bp_synchronize_rcu();
    }
    rcu_unregister_thread();
    return NULL;
}

/* As such a program does it, with one flavour's functions around the other's. */
static bool fork_works(int number)
{
    char name[16];
    int status;
    call_rcu_before_fork();
    urcu_bp_before_fork();
    pid_t child = fork();
    if (child == 0) {
        urcu_bp_after_fork_child();
        call_rcu_after_fork_child();
        urcu_bp_synchronize_rcu();
        snprintf(name, sizeof name, "c%d", number % 4);
        bool good = file_works(name, 'A') && file_works("t0", 'B');
        good = file_works("shared", 'C') && good;
        _exit(!good);
    }
    urcu_bp_after_fork_parent();
    call_rcu_after_fork_parent();
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) <= 1;
}

int main(void)
{
    char root[] = "/dev/shm/nvmmio-host.XXXXXX", command[64];
    pthread_t thread[THREADS];
    if (!mkdtemp(root) || chdir(root) != 0)
        return EXIT_FAILURE;
    setenv("NVMMIO_ROOT", root, 1);
    alarm(PATIENCE_SECONDS);
    rcu_register_thread();
    /* liburcu's first call_rcu takes, inside a read section, a lock that the functions before a fork hold while they wait for
     * a grace period: a program has to make that call before it forks. */
    node_publish('a');
    node_publish('b');
    unsigned failures = !file_works("shared", 'x');
    /* The first call_rcu of all takes, inside a read section, the lock that call_rcu_before_fork holds: beside a fork and a
     * grace period that is a deadlock of liburcu's own, with nvmmio or without. So it comes before the threads. */
    node_publish(0);
    node_publish(0);
    for (long i = 1; i <= THREADS; i++)
        pthread_create(&thread[i - 1], NULL, work, (void *)i);
    for (int i = 0; i < FORKS; i++)
        failures += !fork_works(i);
    stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    failures += !file_works("shared", 'y');
    failures += wrong + called;
    struct stat st;
    if (getenv("LD_PRELOAD") && stat(".nvmmio", &st) != 0) {
        printf("the library is not at work\n");
        failures++;
    }
    snprintf(command, sizeof command, "rm -rf %s", root);
    rcu_unregister_thread();
    printf("%u failures, of them %u wrong bytes and %u calls of the program's own allocator\n", failures, wrong,
           called);
    return system(command) || failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
