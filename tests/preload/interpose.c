/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * interpose.c — promise: every name of libc that must be intercepted is, for programs that were linked in the ordinary
 * way, and does what libc's own does.
 *
 * "interpose core": under a preload library with a fake core beside it; each call must be seen by the core.
 * "interpose kernel": under a preload library without a core or with the real one, or under none; each call must do what
 * the kernel does.
 */
#include "interpose.h"

#include "clean.h"

#include <dlfcn.h>
#include <sys/syscall.h>

struct interpose interpose = {.fd = -1};

struct interpose_case {
    const char *name;
    const char *expected;
    bool (*call)(void);
};

/* Names that are dealt with in another way have no call. */
#define INTERPOSE_open(macro, name) macro(name)
#define INTERPOSE_rw(macro, name) macro(name)
#define INTERPOSE_fd(macro, name) macro(name)
#define INTERPOSE_size(macro, name) macro(name)
#define INTERPOSE_away(macro, name) macro(name)
#define INTERPOSE_stat(macro, name) macro(name)
#define INTERPOSE_times(macro, name) macro(name)
#define INTERPOSE_map(macro, name) macro(name)
#define INTERPOSE_stdio(macro, name) macro(name)
#define INTERPOSE_copy(macro, name) macro(name)
#define INTERPOSE_async(macro, name) macro(name)
#define INTERPOSE_buffer(macro, name) macro(name)
#define INTERPOSE_fill(macro, name) macro(name)
#define INTERPOSE_poll(macro, name) macro(name)
#define INTERPOSE_signal(macro, name) macro(name)
#define INTERPOSE_mask(macro, name) macro(name)
#define INTERPOSE_process(macro, name) macro(name)
#define INTERPOSE_exec(macro, name) macro(name)
#define INTERPOSE_child(macro, name) macro(name)
#define INTERPOSE_move(macro, name) macro(name)
#define INTERPOSE_walk(macro, name) macro(name)
#define INTERPOSE_kernel(macro, name)
#define INTERPOSE_core(macro, name)
#define INTERPOSE_ring(macro, name)

#define INTERPOSE_DECLARE(name)                                                                                        \
    bool call_##name(void);                                                                                            \
    extern const char expect_##name[];
#define SYMBOL(name, class, theme, handler, note) INTERPOSE_##theme(INTERPOSE_DECLARE, name)
#include "preload/symbols.def"
#undef SYMBOL

#define INTERPOSE_CASE(name) {#name, expect_##name, call_##name},
static const struct interpose_case cases[] = {
#define SYMBOL(name, class, theme, handler, note) INTERPOSE_##theme(INTERPOSE_CASE, name)
#include "preload/symbols.def"
#undef SYMBOL
};

/* Makes the file anew and opens it. */
static bool interpose_prepare(void)
{
    static const char block[INTERPOSE_SIZE] = "nvmmio";
    unlink(interpose.path);
    interpose.fd = open(interpose.path, O_RDWR | O_CREAT | O_EXCL, 0600);
    return interpose.fd >= 0 && write(interpose.fd, block, sizeof block) == (ssize_t)sizeof block &&
           lseek(interpose.fd, 0, SEEK_SET) == 0;
}

static bool interpose_run(const struct interpose_case *c, long (*calls)(const char *))
{
    if (!interpose_prepare()) {
        printf("%s: the file cannot be prepared: %s\n", c->name, strerror(errno));
        return false;
    }
    long before = calls ? calls(c->expected) : 0;
    bool right = c->call();
    int error = errno;
    long after = calls ? calls(c->expected) : 1;
    close(interpose.fd);
    if (!right)
        printf("%s: wrong result (errno is %s)\n", c->name, strerror(error));
    if (before < 0)
        printf("%s: the core has no function %s\n", c->name, c->expected);
    else if (after == before)
        printf("%s: not intercepted, %s of the core was not called\n", c->name, c->expected);
    return right && before >= 0 && after > before;
}

int main(int argc, char **argv)
{
    bool with_core = argc == 2 && strcmp(argv[1], "core") == 0;
    unsigned failures = 0;
    snprintf(interpose.root, sizeof interpose.root, "/dev/shm/nvmmio-interpose.XXXXXX");
    if (!mkdtemp(interpose.root))
        return EXIT_FAILURE;
    snprintf(interpose.path, sizeof interpose.path, "%s/file", interpose.root);
    setenv("NVMMIO_ROOT", interpose.root, 1); /* is read at the first open */
    if (!interpose_prepare())
        return EXIT_FAILURE;
    close(interpose.fd);

    void *core = dlopen("libnvmmio.so.0", RTLD_NOW | RTLD_NOLOAD);
    long (*calls)(const char *) = core ? (long (*)(const char *))dlsym(core, "fake_core_calls") : NULL;
    if (with_core != (calls != NULL)) {
        printf("the fake core is %s\n", calls ? "loaded" : "not loaded: nothing is intercepted");
        failures++;
    }
    size_t count = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < count && !(with_core && !calls); i++)
        failures += !interpose_run(&cases[i], calls);
    clean_tree(interpose.root);
    printf("%zu names, %u failures\n", count, failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
