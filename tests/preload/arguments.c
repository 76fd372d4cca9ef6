/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * arguments.c — promise: a program that is started with a descriptor of a managed file, so that the library is loaded
 * before libc has begun, knows its name, and constructors of what it loads are told its arguments.
 *
 * Usage: arguments LIBRARY (arguments_ctor.c). It starts itself so; without the preload library it tests the test.
 */
#include "clean.h"

#include "arguments.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int wrong;

static void check(int good, const char *what)
{
    if (!good)
        fprintf(stderr, "arguments: %s\n", what);
    wrong += !good;
}

static int started(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    check(strcmp(program_invocation_name, argv[0]) == 0, "program_invocation_name");
    check(strcmp(program_invocation_short_name, slash ? slash + 1 : argv[0]) == 0, "program_invocation_short_name");
    check(!getenv("LD_PRELOAD") || dlopen("libnvmmio.so.0", RTLD_LAZY | RTLD_NOLOAD), "the core is not loaded");
    void *library = dlopen(argv[1], RTLD_NOW);
    const struct arguments_told *told = library ? dlsym(library, "arguments_told") : NULL;
    check(told != NULL, "the library with a constructor");
    check(told && told->argc == argc, "argc of a constructor");
    check(told && told->argv == argv, "argv of a constructor");
    check(told && told->envp == environ, "envp of a constructor");
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    char root[] = "/dev/shm/nvmmio-arguments.XXXXXX", path[64];
    int status = -1;
    if (argc == 3)
        return started(argc, argv);
    if (argc != 2 || !mkdtemp(root))
        return 2;
    snprintf(path, sizeof path, "%s/f", root);
    int fd = open(path, O_RDWR | O_CREAT, 0600); /* the kernel's: this process has no root */
    pid_t child = fork();
    if (child == 0) {
        setenv("NVMMIO_ROOT", root, 1);
        execl("/proc/self/exe", argv[0], argv[1], "started", (char *)NULL);
        _exit(2);
    }
    waitpid(child, &status, 0);
    close(fd);
    clean_tree(root);
    return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
